//! Trunks, and the calling numbers that go out over them.

use insta::assert_snapshot;
use outdial_ports::store::{TrunkHealth, TrunkState};

use crate::support::World;

const TRUNK: &str = r#"{"name":"Carrier","host":"sip.example.com","username":"u","password":"p"}"#;

#[tokio::test]
async fn a_trunk_is_made_changed_and_deleted() {
    let world = World::new().await;
    let made = world.post("/api/trunks", TRUNK).send().await;
    assert!(!made.text().contains("\"p\""), "the password is not shown");
    assert_snapshot!("trunk_made", made.shown());
    let path = format!("/api/trunks/{}", made.made_id());
    assert_eq!(world.get(&path).send().await.json()["data"], made.json()["data"]);
    let patch = r#"{"port":5070,"transport":"tls","callsPerSecond":2.5,"channels":30,
        "fromDomain":"out.example.com","outboundProxy":"[::1]:5080","ringTimeoutMs":30000,
        "maxCallMs":90500,"register":true,"keepAliveSeconds":0,"callerId":"pAssertedIdentity",
        "plus":false,"verifyCertificate":false,"name":"Another"}"#;
    assert_snapshot!("trunk_changed", world.patch(&path, patch).send().await.shown());
    let back = r#"{"port":null,"transport":null,"callsPerSecond":null,"channels":null,
        "fromDomain":null,"outboundProxy":null,"ringTimeoutMs":null,"maxCallMs":null,
        "register":null,"keepAliveSeconds":null,"callerId":null,"plus":null,
        "verifyCertificate":null,"name":"Carrier"}"#;
    let back = world.patch(&path, back).send().await.json();
    let mut first = made.json();
    first["data"]["updatedAt"] = back["data"]["updatedAt"].clone();
    assert_eq!(back["data"], first["data"]);
    assert_snapshot!("trunks", world.get("/api/trunks").send().await.shown());
    assert_eq!(world.delete(&path).send().await.status, 200);
    world.get(&path).send().await.refusal(404);
    world.patch(&path, "{}").send().await.refusal(404);
    world.delete(&path).send().await.refusal(404);
}

#[tokio::test]
async fn trunks_that_cannot_be() {
    let world = World::new().await;
    for (body, part) in [
        ("{}", "host"),
        (r#"{"name":"x"}"#, "host"),
        (r#"{"host":"x"}"#, "name"),
        (r#"{"name":"x","host":"sip:x"}"#, "host"),
        (r#"{"name":"x","host":"a\r\nVia: b"}"#, "host"),
        (r#"{"name":"x","host":"x","port":0}"#, "port"),
        (r#"{"name":"x","host":"x","transport":"sctp"}"#, "transport"),
        (r#"{"name":"x","host":"x","callsPerSecond":0}"#, "callsPerSecond"),
        (r#"{"name":"x","host":"x","channels":0}"#, "channels"),
        (r#"{"name":"x","host":"x","register":true}"#, "register"),
        (r#"{"name":"x","host":"x","password":"p"}"#, "username"),
        (r#"{"name":"x","host":"x","username":"a\nb"}"#, "username"),
        (r#"{"name":"x","host":"x","maxCallMs":5}"#, "maxCallMs"),
        (r#"{"name":"x","host":"x","ringTimeoutMs":5}"#, "ringTimeoutMs"),
        (r#"{"name":"x","host":"x","keepAliveSeconds":1}"#, "keepAliveSeconds"),
        (r#"{"name":"x","host":"x","callerId":"none"}"#, "callerId"),
        (r#"{"name":"x","host":"x","outboundProxy":"a b"}"#, "outboundProxy"),
        (r#"{"name":"x","host":"x","fromDomain":"a;b"}"#, "fromDomain"),
        (r#"{"name":"x","host":"x","secure":true}"#, "secure"),
    ] {
        let text = world.post("/api/trunks", body).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
    world.post("/api/trunks", TRUNK).send().await.made_id();
    assert!(world.post("/api/trunks", TRUNK).send().await.refusal(400).contains("name"));
    let trunks = world.get("/api/trunks").send().await.json();
    assert_eq!(trunks["data"]["trunks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_number_goes_out_over_its_trunks() {
    let world = World::new().await;
    let mut trunks = Vec::new();
    for name in ["a", "b", "c"] {
        let body = format!(r#"{{"name":"{name}","host":"{name}.example.com"}}"#);
        trunks.push(world.post("/api/trunks", body).send().await.made_id());
    }
    let [a, b, c] = &trunks[..] else { panic!() };
    let user = world.own.user;
    let add = |more: String| {
        let body = format!(
            r#"{{"userId":"{user}","phoneNumber":"12125551234","integration":"sip"{more}}}"#
        );
        world.post("/api/call/add-phone", body).send()
    };
    assert!(add(String::new()).await.refusal(400).contains("trunkId"));
    assert!(
        add(r#","trunkId":"64e5f12345abcdef87654321""#.to_owned())
            .await
            .refusal(404)
            .contains("trunk")
    );
    let twice = format!(r#","trunkId":"{a}","failoverTrunkIds":["{a}"]"#);
    assert!(add(twice).await.refusal(400).contains("failoverTrunkIds[0]"));
    let made = add(format!(r#","trunkId":"{b}","failoverTrunkIds":["{a}"]"#)).await;
    assert_snapshot!("sip_phone", made.shown());
    let phone = format!("/api/phones/{}", made.made_id());
    world.delete(&format!("/api/trunks/{a}")).send().await.refusal(409);
    world.delete(&format!("/api/trunks/{b}")).send().await.refusal(409);

    let patch = format!(r#"{{"trunkId":"{c}"}}"#);
    let changed = world.patch(&phone, patch).send().await.json();
    assert_eq!(changed["data"]["trunkId"], **c);
    assert!(changed["data"].get("failoverTrunkIds").is_none());
    let alone = format!(r#"{{"failoverTrunkIds":["{a}"]}}"#);
    assert!(world.patch(&phone, alone).send().await.refusal(400).contains("trunkId"));
    world.patch(&phone, r#"{"trunkId":null}"#).send().await.refusal(400);
    assert_eq!(world.delete(&format!("/api/trunks/{a}")).send().await.status, 200);

    let simulated = world.phone("12125559999", None).await;
    let patch = format!(r#"{{"trunkId":"{b}"}}"#);
    world.patch(&format!("/api/phones/{simulated}"), patch).send().await.refusal(404);
    let all = world.get("/api/trunks").send().await.json();
    let all = all["data"]["trunks"].as_array().unwrap().clone();
    let it = all.iter().find(|t| t["integration"] == "simulated").unwrap();
    let path = format!("/api/trunks/{}", it["_id"].as_str().unwrap());
    world.patch(&path, r#"{"name":"x"}"#).send().await.refusal(409);
    world.delete(&path).send().await.refusal(409);
}

#[tokio::test]
async fn its_health_is_shown() {
    let world = World::new().await;
    let id = world.post("/api/trunks", TRUNK).send().await.made_id();
    let trunk = world.store.trunk_list(world.own.workspace).await.unwrap().remove(0);
    let health = TrunkHealth {
        state: TrunkState::Down,
        detail: Some("no answer to OPTIONS".to_owned()),
        since: Some(trunk.updated_at),
    };
    world.store.trunk_report(vec![(trunk.id, trunk.updated_at, health)]).await.unwrap();
    let shown = world.get(&format!("/api/trunks/{id}")).send().await.json();
    assert_eq!(shown["data"]["health"]["state"], "down");
    assert_eq!(shown["data"]["health"]["detail"], "no answer to OPTIONS");
}
