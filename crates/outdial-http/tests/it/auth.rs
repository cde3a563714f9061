//! Who may do what.

use outdial_ports::store::Scope;
use serde_json::Value;

use crate::support::World;

/// Every route of the OpenAPI document, with ids filled in.
fn routes() -> Vec<(String, String)> {
    let api: Value = serde_json::from_str(&outdial_http::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let mut parts = path.split('/').map(|p| match p.starts_with('{') {
                true => "64e5f12345abcdef98765432",
                false => p,
            });
            let first = parts.next().unwrap().to_owned();
            let filled = parts.fold(first, |path, part| format!("{path}/{part}"));
            routes.push((method.to_ascii_uppercase(), filled));
        }
    }
    routes
}

const OPEN: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

#[tokio::test]
async fn every_route_but_the_health_ones_asks_for_credentials() {
    let world = World::new().await;
    let mut asked = 0;
    for (method, path) in routes() {
        let request = || {
            let request = match method.as_str() {
                "GET" => world.get(&path),
                "DELETE" => world.delete(&path),
                "PATCH" => world.patch(&path, "{}"),
                "POST" => world.post(&path, "{}"),
                other => panic!("unexpected method {other}"),
            };
            request.anonymous()
        };
        if OPEN.contains(&path.as_str()) {
            assert_eq!(request().send().await.status, 200, "{path}");
            continue;
        }
        let submits = ["/api/call/createBatch", "/api/call/addCallsToBatch"];
        let refused = if submits.contains(&path.as_str()) { 403 } else { 401 };
        request().send().await.refusal(refused);
        let mistyped = "od_0000000000000000000000000000000000000000000000000000000";
        request().header("x-api-key", mistyped).send().await.refusal(refused);
        let unknown = outdial_http::keys::mint(&Ones);
        request().header("x-api-key", &unknown).send().await.refusal(refused);
        let bearer = format!("Bearer {unknown}");
        request().header("authorization", &bearer).send().await.refusal(refused);
        asked += 1;
    }
    assert!(asked >= 20, "{asked}");
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

#[tokio::test]
async fn a_revoked_key_is_no_longer_good() {
    let world = World::new().await;
    let made = world.post("/api/keys", r#"{"name":"CI","scopes":["calls:read"]}"#).send().await;
    let id = made.made_id();
    let mut other = world.own.clone();
    other.key = made.json()["data"]["apiKey"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/api/me").by(&other).send().await.status, 200);
    let path = format!("/api/keys/{id}");
    assert_eq!(world.delete(&path).send().await.status, 200);
    world.delete(&path).send().await.refusal(404);
    world.get("/api/me").by(&other).send().await.refusal(401);
    let list = world.get("/api/keys").send().await.text();
    assert!(list.contains("revokedAt") && !list.contains("apiKey"), "{list}");
}
