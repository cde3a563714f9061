//! `GET /api/call/forecast/{batchId}`.

use outdial_ports::store::Scope;
use serde_json::Value;

use crate::support::World;

/// A batch of `calls` in one zone, with these fields more.
async fn batch_of(world: &World, calls: u32, more: &str) -> String {
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let batch = world.batch_over(&phone, more).await;
    let records: Vec<String> = (0..calls)
        .map(|n| format!(r#"{{"phoneNumber":"{}"}}"#, 12_125_550_000u64 + u64::from(n)))
        .collect();
    let body = format!(r#"{{"batchId":"{batch}","call_data":[{}]}}"#, records.join(","));
    assert_eq!(world.post("/api/call/addCallsToBatch", body).send().await.status, 200);
    batch
}

async fn set(world: &World, settings: &str) {
    assert_eq!(world.patch("/api/settings", settings).send().await.status, 200);
}

async fn forecast(world: &World, batch: &str, query: &str) -> Value {
    let path = format!("/api/call/forecast/{batch}{query}");
    world.get(&path).send().await.json()["data"].clone()
}

#[tokio::test]
async fn says_when_it_is_done_and_who_is_not_reached() {
    let world = World::new().await;
    set(&world, r#"{"callingRules":"off"}"#).await;
    let hours = r#","callingHour":{"start":"09:00","end":"17:00"},"concurrency":5"#;
    let batch = batch_of(&world, 100, hours).await;
    let data = forecast(&world, &batch, "?answerRate=1&talkSeconds=30").await;
    assert_eq!((&data["calls"], &data["reached"]), (&100.into(), &100.into()), "{data}");
    assert_eq!((&data["ending"], &data["assumesStart"]), (&"done".into(), &false.into()));
    assert_eq!(data["peakChannels"]["batch"], 5);
    assert_eq!(data["assumptions"]["source"], "given");
    // It is 10:30 in New York: at once, in some fifteen minutes.
    assert_eq!(&data["from"].as_str().unwrap()[..16], "2025-05-15T14:30");
    assert_eq!(&data["firstAttemptAt"].as_str().unwrap()[..16], "2025-05-15T14:30");
    let done = data["doneAt"].as_str().unwrap();
    assert!(("2025-05-15T14:40".."2025-05-15T14:55").contains(&done), "{done}");
    let per_hour: u64 =
        data["perHour"].as_array().unwrap().iter().map(|h| h["attempts"].as_u64().unwrap()).sum();
    assert_eq!(per_hour, 100);

    let data = forecast(&world, &batch, "?answerRate=0").await;
    assert_eq!((&data["reached"], &data["neverReached"]), (&0.into(), &100.into()));
    let never = data["never"].as_array().unwrap();
    assert!(never.iter().all(|n| n["reason"] == "retries_used_up"), "{never:?}");
    assert_eq!(never.iter().map(|n| n["calls"].as_u64().unwrap()).sum::<u64>(), 100);
    let again = forecast(&world, &batch, "?answerRate=0").await;
    assert_eq!(again, data, "nothing was placed, and chance is no part of it");

    let assumed = forecast(&world, &batch, "").await;
    assert_eq!(assumed["assumptions"]["source"], "assumed");
    assert_eq!(assumed["assumptions"]["answerRate"], 0.3);
}

#[tokio::test]
async fn a_stopped_batch_is_forecast_as_if_started() {
    let world = World::new().await;
    set(&world, r#"{"callingRules":"off"}"#).await;
    let batch = batch_of(&world, 10, "").await;
    let user = world.own.user;
    let body = format!(r#"{{"batchId":"{batch}","userId":"{user}"}}"#);
    assert_eq!(world.post("/api/call/stop-calling", body).send().await.status, 200);
    let data = forecast(&world, &batch, "?answerRate=1").await;
    assert_eq!((&data["assumesStart"], &data["reached"]), (&true.into(), &10.into()), "{data}");
}

#[tokio::test]
async fn what_is_asked_is_checked() {
    let world = World::new().await;
    let batch = batch_of(&world, 1, "").await;
    for (query, word) in [
        ("days=0", "days"),
        ("days=367", "366"),
        ("days=x", "days"),
        ("answerRate=1.5", "answerRate"),
        ("answerRate=-0.1", "answerRate"),
        ("answerRate=NaN", "answerRate"),
        ("talkSeconds=0", "talkSeconds"),
        ("talkSeconds=1e9", "14400"),
    ] {
        let path = format!("/api/call/forecast/{batch}?{query}");
        let refused = world.get(&path).send().await.refusal(400);
        assert!(refused.contains(word), "{query}: {refused}");
    }
    world.get("/api/call/forecast/nothing").send().await.refusal(400);
    let path = "/api/call/forecast/64e5f12345abcdef98765432";
    world.get(path).send().await.refusal(404);
}

#[tokio::test]
async fn strangers_and_other_scopes_get_nothing() {
    let world = World::new().await;
    let batch = batch_of(&world, 1, "").await;
    let path = format!("/api/call/forecast/{batch}");
    let stranger = world.stranger().await;
    world.get(&path).by(&stranger).send().await.refusal(404);
    let writer = world.limited(&[Scope::CallsWrite]).await;
    world.get(&path).by(&writer).send().await.refusal(403);
    world.get(&path).anonymous().send().await.refusal(401);
}
