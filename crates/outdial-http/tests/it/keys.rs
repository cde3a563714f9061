//! Keys: made, rotated, revoked, used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_http::HttpConfig;
use outdial_ports::Store;
use outdial_ports::store::KEY_USE_EVERY;
use serde_json::Value;

use crate::faulty::{Faults, Faulty};
use crate::support::{Answer, Tenant, World, eventually};

impl World {
    /// Makes a key; its id, and somebody who uses it.
    async fn key(&self, body: &str) -> (String, Tenant) {
        made(self, "/api/keys", body).await
    }

    /// The key as the list has it.
    async fn listed(&self, id: &str) -> Value {
        let all = self.get("/api/keys").send().await.json();
        let mut all = all["data"]["keys"].as_array().unwrap().iter();
        all.find(|k| k["_id"] == id).expect("it is there").clone()
    }

    async fn is_good(&self, tenant: &Tenant) -> bool {
        let answer = self.get("/api/me").by(tenant).send().await;
        assert!([200, 401].contains(&answer.status), "{}", answer.text());
        answer.status == 200
    }
}

async fn made(world: &World, path: &str, body: &str) -> (String, Tenant) {
    let made = world.post(path, body).send().await;
    let id = made.made_id();
    let key = made.json()["data"]["apiKey"].as_str().unwrap().to_owned();
    (id, Tenant { key, ..world.own.clone() })
}

#[tokio::test]
async fn a_revoked_key_is_no_longer_good() {
    let world = World::new().await;
    let (id, other) = world.key(r#"{"name":"CI","scopes":["calls:read"]}"#).await;
    assert!(world.is_good(&other).await);
    let path = format!("/api/keys/{id}");
    assert_eq!(world.delete(&path).send().await.status, 200);
    world.delete(&path).send().await.refusal(404);
    assert!(!world.is_good(&other).await);
    let list = world.get("/api/keys").send().await.text();
    assert!(list.contains("revokedAt") && !list.contains("apiKey"), "{list}");
}

#[tokio::test]
async fn a_key_expires() {
    let world = World::new().await;
    for (at, why) in [("2025-05-15T14:30:00.000Z", "past"), ("tomorrow", "instant")] {
        let body = format!(r#"{{"name":"x","expiresAt":"{at}"}}"#);
        let text = world.post("/api/keys", body).send().await.refusal(400);
        assert!(text.contains("expiresAt") && text.contains(why), "{text}");
    }
    let at = "2025-05-15T15:30:00.000Z";
    let (id, other) = world.key(&format!(r#"{{"name":"x","expiresAt":"{at}"}}"#)).await;
    assert_eq!(world.listed(&id).await["expiresAt"], at);
    world.clock.advance(Duration::from_millis(3_599_999));
    assert!(world.is_good(&other).await);
    world.clock.advance(Duration::from_millis(1));
    assert!(!world.is_good(&other).await);
}

#[tokio::test]
async fn a_key_is_rotated() {
    let world = World::new().await;
    let (first, by_first) = world.key(r#"{"name":"CI","scopes":["calls:read"]}"#).await;
    let rotate = |id: &str| format!("/api/keys/{id}/rotate");
    let too_long = world.post(&rotate(&first), r#"{"oldKeyHours":721}"#).send().await;
    assert!(too_long.refusal(400).contains("oldKeyHours"));
    world.post(&rotate("64e5f12345abcdef98765432"), "{}").send().await.refusal(404);

    let (second, by_second) = made(&world, &rotate(&first), r#"{"oldKeyHours":2}"#).await;
    let listed = world.listed(&second).await;
    assert_eq!((&listed["name"], &listed["replaces"]), (&"CI".into(), &first.clone().into()));
    assert_eq!(listed["scopes"], serde_json::json!(["calls:read"]));
    assert!(listed.get("expiresAt").is_none(), "{listed}");
    assert_eq!(world.listed(&first).await["expiresAt"], "2025-05-15T16:30:00.000Z");
    assert!(world.is_good(&by_first).await && world.is_good(&by_second).await);
    let twice = world.post(&rotate(&first), "{}").send().await.refusal(409);
    assert!(twice.contains(&second), "{twice}");

    let (_, by_third) = made(&world, &rotate(&second), "{}").await;
    let good = [&by_first, &by_second, &by_third];
    for (key, is) in good.into_iter().zip([false, true, true]) {
        assert_eq!(world.is_good(key).await, is, "two of a line");
    }
    world.post(&rotate(&first), "{}").send().await.refusal(409);
    world.clock.advance(Duration::from_secs(24 * 3600));
    assert!(!world.is_good(&by_second).await && world.is_good(&by_third).await);

    // A key that was made for an hour has a successor for an hour.
    let body = r#"{"name":"x","expiresAt":"2025-05-16T15:30:05.000Z"}"#;
    let (short, _) = world.key(body).await;
    world.clock.advance(Duration::from_secs(1800));
    let made_at = world.listed(&short).await["createdAt"].as_str().unwrap().to_owned();
    let (next, _) = made(&world, &rotate(&short), "{}").await;
    let listed = world.listed(&next).await;
    let at = |text: &str| text.parse::<outdial_core::time::Timestamp>().unwrap();
    let life = at("2025-05-16T15:30:05.000Z").since(at(&made_at));
    let [end, begin] = ["expiresAt", "createdAt"].map(|name| at(listed[name].as_str().unwrap()));
    assert_eq!(end.since(begin), life);
}

#[tokio::test]
async fn its_last_use_is_written_down_once_a_minute() {
    let world = World::new().await;
    let (id, other) = world.key(r#"{"name":"CI"}"#).await;
    assert!(world.listed(&id).await.get("lastUsedAt").is_none());
    assert!(world.is_good(&other).await);
    let used = async || world.listed(&id).await["lastUsedAt"].as_str().map(ToOwned::to_owned);
    eventually(async || used().await.is_some_and(|at| at == "2025-05-15T14:30:00.000Z")).await;
    world.clock.advance(KEY_USE_EVERY / 2);
    assert!(world.is_good(&other).await);
    world.clock.advance(KEY_USE_EVERY / 2);
    assert_eq!(used().await.unwrap(), "2025-05-15T14:30:00.000Z");
    assert!(world.is_good(&other).await);
    eventually(async || used().await.is_some_and(|at| at == "2025-05-15T14:31:00.000Z")).await;
}

/// F45: a request whose key is revoked while it is at work stores nothing more.
#[tokio::test]
async fn a_request_ends_with_its_key() {
    let faults = Arc::<Faults>::default();
    let of_world = faults.clone();
    let config = HttpConfig { ingest_chunks_in_flight: 1, ..HttpConfig::default() };
    let wrap = |inner| Arc::new(Faulty { inner, faults: of_world }) as Arc<dyn Store>;
    let world = World::with(config, wrap).await;
    let batch = world.batch().await;
    let records: Vec<String> =
        (0..3000).map(|n| format!(r#"{{"phoneNumber":"1212555{n:04}"}}"#)).collect();
    let records = records.join(",");
    let add = |by: &Tenant| {
        world.add_body(&batch, &records, "").by(by).header("Idempotency-Key", "f45").bytes()
    };
    for (hold, stored) in [(&faults.hold_begun, 0), (&faults.hold, 1000)] {
        let (id, by) = world.key(r#"{"name":"CI"}"#).await;
        hold.store(true, Ordering::Release);
        let request = tokio::spawn(exchange(world.addr, add(&by)));
        faults.held.notified().await;
        assert_eq!(world.delete(&format!("/api/keys/{id}")).send().await.status, 200);
        world.clock.advance(Duration::from_secs(1));
        hold.store(false, Ordering::Release);
        faults.release.notify_waiters();
        let answer = request.await.unwrap();
        assert_eq!(world.total(&batch).await, stored);
        if stored == 0 {
            assert!(answer.refusal(403).contains("no longer good"));
            continue;
        }
        assert_eq!(answer.status, 207, "{}", answer.text());
        let failed = &answer.json()["data"]["failedChunks"];
        let failed: Vec<_> = failed.as_array().unwrap().iter().map(|f| &f["chunkNum"]).collect();
        assert_eq!(failed, [2, 3]);
        assert!(answer.text().contains("no longer good"));
    }
    // The rest goes in with a key that is good, as the repeat of that request.
    let rest = exchange(world.addr, add(&world.own)).await;
    assert_eq!((rest.status, world.total(&batch).await), (200, 3000));
}

async fn exchange(addr: std::net::SocketAddr, bytes: Vec<u8>) -> Answer {
    crate::support::exchange(addr, &bytes).await.expect("an answer")
}
