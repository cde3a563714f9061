//! Who may do what.

use outdial_ports::store::Scope;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::described::{Operation, Values, operations, sent};
use crate::support::{Tenant, World, read_answer};
use crate::two_workspaces::without_rates;

/// As `expected`, one a line, or the committed list is to be looked at.
fn compare(file: &str, expected: &[String]) {
    let path = format!("{}/tests/it/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let committed = std::fs::read_to_string(&path).unwrap();
    let committed: Vec<&str> = committed.lines().collect();
    assert_eq!(committed, expected, "{path}");
}

#[test]
fn what_is_open_is_open_on_purpose() {
    let open = operations().into_iter().filter(|op| op.scope.is_none());
    compare("open_endpoints.txt", &open.map(|op| op.line()).collect::<Vec<_>>());
}

/// All endpoints go through the macro that reads their guard; only what serves no operation may
/// stand beside.
#[test]
fn no_route_goes_past_the_description() {
    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Files of the reference page are no operations.
            let text = std::fs::read_to_string(&path).unwrap().replace(".route(\"/docs/", "");
            for past in
                [".route(", ".route_service(", ".nest(", ".nest_service(", "utoipa_axum::routes;"]
            {
                assert!(!text.contains(past), "{past} in {}", path.display());
            }
        }
    }
}

/// Keys that are good for nothing, each with a name.
async fn bad_keys(world: &World) -> Vec<(&'static str, String)> {
    let make = async |body: &str| {
        let made = world.post("/api/keys", body).send().await;
        let key = made.json()["data"]["apiKey"].as_str().unwrap().to_owned();
        (made.made_id(), key)
    };
    let all = r#""scopes":["calls:read","calls:write","admin"]"#;
    let (_, expired) =
        make(&format!(r#"{{"name":"x",{all},"expiresAt":"2025-05-15T14:31:00.000Z"}}"#)).await;
    let (revoked_id, revoked) = make(&format!(r#"{{"name":"x",{all}}}"#)).await;
    let (rotated_id, rotated) = make(&format!(r#"{{"name":"x",{all}}}"#)).await;
    let revoke = world.delete(&format!("/api/keys/{revoked_id}")).send().await;
    assert_eq!(revoke.status, 200);
    let rotate = format!("/api/keys/{rotated_id}/rotate");
    let rotate = world.post(&rotate, r#"{"oldKeyHours":0}"#).send().await;
    assert_eq!(rotate.status, 201, "{}", rotate.text());
    world.clock.advance(std::time::Duration::from_secs(60));
    let mistyped = "od_0000000000000000000000000000000000000000000000000000000";
    vec![
        ("mistyped", mistyped.to_owned()),
        ("unknown", outdial_http::keys::mint(&Ones)),
        ("expired", expired),
        ("revoked", revoked),
        ("rotated away", rotated),
    ]
}

/// Sets of scopes, each with a key that has just these.
async fn keys_by_scopes(world: &World) -> Vec<(Vec<Scope>, Tenant)> {
    let mut keys = Vec::new();
    for set in 0..1 << Scope::ALL.len() {
        let has = |i: &usize| set >> i & 1 == 1;
        let scopes: Vec<Scope> = (0..Scope::ALL.len()).filter(has).map(|i| Scope::ALL[i]).collect();
        keys.push((scopes.clone(), world.limited(&scopes).await));
    }
    keys
}

/// Ids that nobody has.
fn of_nobody() -> Values {
    let nobody = "64e5f12345abcdef98765432".to_owned();
    let kinds = ["agent", "trunk", "key", "phone", "webhook", "batch", "dnc", "call", "user"];
    let mut values: Values = kinds.map(|kind| (kind, nobody.clone())).into_iter().collect();
    let number = "12125551234".to_owned();
    values.extend([("called", number.clone()), ("fresh", number)]);
    values.insert("delivery", nobody);
    values.insert("requestUUID", "01234567-89ab-4cde-8f01-23456789abcd".to_owned());
    values
}

/// Two documented endpoints say 403 to bad credentials, all others 401.
fn refusal_of(op: &Operation) -> u16 {
    if ["createBatch", "addCallsToBatch"].contains(&op.name.as_str()) { 403 } else { 401 }
}

#[tokio::test]
async fn every_endpoint_asks_for_credentials_and_for_its_scope() {
    let world = World::with(without_rates(), |store| store).await;
    let bad = bad_keys(&world).await;
    let by_scopes = keys_by_scopes(&world).await;
    let values = of_nobody();
    let mut untested = Vec::new();
    for op in operations() {
        let Some(scope) = &op.scope else { continue };
        if !["GET", "POST", "PATCH", "DELETE"].contains(&op.method.as_str()) {
            untested.push(op.line());
            continue;
        }
        let made = op.filled(&values, None);
        let (line, refused) = (op.line(), refusal_of(&op));
        let (status, body) = sent(&world, made.request(&world).anonymous()).await;
        assert_eq!(status, refused, "{line} without credentials: {body}");
        for (name, key) in &bad {
            let bearer = format!("Bearer {key}");
            for (header, value) in [("x-api-key", key), ("authorization", &bearer)] {
                let request = made.request(&world).anonymous().header(header, value);
                let (status, body) = sent(&world, request).await;
                assert_eq!(status, refused, "{line} with a key that is {name}: {body}");
            }
        }
        for (scopes, tenant) in &by_scopes {
            let is_enough = scope == "any" || scopes.iter().any(|s| s.as_str() == scope);
            let (status, body) = sent(&world, made.request(&world).by(tenant)).await;
            let lacks = body.contains(&format!("lacks the scope {scope}"));
            let what = format!("{line} with {scopes:?}: {status} {body}");
            if is_enough {
                assert!(!lacks && status != 401 && status != 429, "{what}");
            } else {
                assert!(lacks && status == 403, "{what}");
            }
        }
    }
    compare("endpoints_without_auth_test.txt", &untested);
}

/// Whoever holds a request open can do nothing with it once its key is revoked.
#[tokio::test]
async fn no_body_outlives_its_key() {
    let world = World::with(without_rates(), |store| store).await;
    let values = of_nobody();
    let mut asked = 0;
    for op in operations().iter().filter(|op| op.scope.is_some() && op.body.is_some()) {
        let all = r#"{"name":"x","scopes":["calls:read","calls:write","admin"]}"#;
        let made = world.post("/api/keys", all).send().await;
        let key = made.json()["data"]["apiKey"].as_str().unwrap().to_owned();
        let by = Tenant { key, ..world.own.clone() };
        let request = op.filled(&values, None).request(&world).by(&by);
        let request = request.header("expect", "100-continue").bytes();
        let (most, rest) = request.split_at(request.len() - 1);
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        stream.write_all(most).await.unwrap();
        // It is let in, and its body is asked for.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", op.line());
        let revoked = world.delete(&format!("/api/keys/{}", made.made_id())).send().await;
        assert_eq!(revoked.status, 200);
        world.clock.advance(std::time::Duration::from_secs(1));
        stream.write_all(rest).await.unwrap();
        let answer = read_answer(&mut stream).await.expect("an answer");
        let text = answer.refusal(refusal_of(op));
        assert!(text.contains("no longer good"), "{}: {text}", op.line());
        asked += 1;
    }
    assert!(asked > 15, "{asked}");
}

/// What `openapi.json` says of credentials is said everywhere.
#[test]
fn the_description_says_how_credentials_are_refused() {
    let api: Value = serde_json::from_str(&outdial_http::openapi()).unwrap();
    for op in operations() {
        let said = &api["paths"][&op.path][op.method.to_ascii_lowercase()];
        let Some(scope) = &op.scope else {
            assert_eq!(said["security"], serde_json::json!([]), "{}", op.line());
            continue;
        };
        let roles: Vec<_> = (scope != "any").then_some(scope).into_iter().collect();
        let either = serde_json::json!([{"apiKey": roles}, {"bearer": roles}]);
        assert_eq!(said["security"], either, "{}", op.line());
        let refused = refusal_of(&op).to_string();
        assert!(said["responses"][&refused].is_object(), "{} says no {refused}", op.line());
        assert!(scope == "any" || said["responses"]["403"].is_object(), "{}", op.line());
    }
}

struct Ones;
impl outdial_ports::Entropy for Ones {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(1);
    }
}

#[tokio::test]
async fn either_header_or_both_of_one_workspace() {
    let world = World::new().await;
    let stranger = world.stranger().await;
    let bearer = format!("Bearer {}", world.own.key);
    let me = || world.get("/api/me");
    assert_eq!(me().anonymous().header("authorization", &bearer).send().await.status, 200);
    assert_eq!(me().header("authorization", &bearer).send().await.status, 200);
    me().by(&stranger).header("authorization", &bearer).send().await.refusal(401);
    me().header("authorization", "Bearer od_wrong").send().await.refusal(401);
    me().header("authorization", "Basic eDp5").send().await.refusal(401);
    let twice = me().header("x-api-key", &world.own.key).send().await;
    assert!(twice.refusal(400).contains("x-api-key"));
    let twice = me().header("authorization", &bearer).header("authorization", &bearer);
    assert!(twice.send().await.refusal(400).contains("authorization"));
    let query = format!("/api/me?x-api-key={}", world.own.key);
    world.get(&query).anonymous().send().await.refusal(401);
}

#[tokio::test]
async fn scopes() {
    let world = World::new().await;
    let reader = world.limited(&[Scope::CallsRead]).await;
    let writer = world.limited(&[Scope::CallsWrite]).await;
    let batch = "64e5f12345abcdef98765432";
    let details = format!("/api/call/batch-details/{batch}");
    world.get(&details).by(&reader).send().await.refusal(404);
    assert!(world.get(&details).by(&writer).send().await.refusal(403).contains("calls:read"));
    let add = world.add(batch, &["{}"]).by(&reader).send().await;
    assert!(add.refusal(403).contains("calls:write"));
    let create = world.post("/api/call/createBatch", "{}").by(&reader).send().await;
    assert!(create.refusal(403).contains("calls:write"));
    world.add(batch, &["{}"]).by(&writer).send().await.refusal(404);
    assert!(world.get("/api/keys").by(&writer).send().await.refusal(403).contains("admin"));
    assert_eq!(world.get("/api/me").by(&writer).send().await.status, 200);
}

#[tokio::test]
async fn credentials_come_before_the_body() {
    let world = World::new().await;
    // Wrong in every way, and refused for its credentials all the same.
    let request = world.post("/api/call/addCallsToBatch", "x").untyped().anonymous();
    request.header("content-encoding", "gzip").send().await.refusal(403);
}
