//! Why was somebody not called yet? The words of every gate, and counts that add up.

use std::time::Duration;

use outdial_ports::{Mark, Noted};
use serde_json::{Value, json};

use crate::support::World;

/// `data` of the call.
async fn details(world: &World, call: &str) -> Value {
    let answer = world.get(&format!("/api/call/call-details/{call}")).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

/// Adds one person; the call's id.
async fn added(world: &World, batch: &str, number: &str) -> String {
    let record = format!(r#"{{"phoneNumber":"{number}"}}"#);
    let answer = world.add(batch, &[&record]).send().await.json();
    answer["data"]["callIds"][0].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// `waiting` of the batch; its counts add up to the pending calls.
async fn waiting(world: &World, batch: &str) -> Value {
    let answer = world.get(&format!("/api/call/batch/{batch}")).send().await.json();
    let data = &answer["data"];
    let calls = data["waiting"].as_array().unwrap().iter().map(|w| w["calls"].as_u64().unwrap());
    assert_eq!(json!(calls.sum::<u64>()), data["callsPending"], "{answer}");
    data["waiting"].clone()
}

async fn patch(world: &World, batch: &str, body: &str) {
    let answer = world.patch(&format!("/api/call/batch/{batch}"), body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn start_or_stop(world: &World, batch: &str, what: &str) {
    let body = format!(r#"{{"batchId":"{batch}","userId":"{}"}}"#, world.own.user);
    let answer = world.post(&format!("/api/call/{what}-calling"), body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn its_turn_has_not_come() {
    let world = World::new().await;
    let batch = world.batch().await;
    let call = added(&world, &batch, "12125551001").await;
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"], json!([{"reason": "queued"}]));
    assert_eq!(shown["nextAttemptAt"], "2025-05-15T14:30:00.000Z");
    assert_eq!(waiting(&world, &batch).await, json!([{"reason": "queued", "calls": 1}]));
}

#[tokio::test]
async fn outside_hours() {
    let world = World::new().await;
    let batch = world.batch().await;
    let call = added(&world, &batch, "12125551001").await;
    patch(&world, &batch, r#"{"callingHour":{"start":"12:00","end":"17:00"}}"#).await;
    let until = "2025-05-15T16:00:00.000Z";
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"], json!([{"reason": "outside_calling_hours", "until": until}]));
    assert_eq!(shown["nextAttemptAt"], until);
    let expected = json!([{"reason": "outside_calling_hours", "calls": 1, "until": until}]);
    assert_eq!(waiting(&world, &batch).await, expected);
}

#[tokio::test]
async fn outside_the_rules_of_the_place() {
    let world = World::new().await;
    let batch = world.batch().await;
    let call = added(&world, &batch, "12125551001").await;
    // Eleven at night in New York.
    world.clock.advance(Duration::from_secs(12 * 3600 + 1800));
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"][0]["reason"], "calling_rules", "{shown}");
    assert_eq!(shown["whyNotYet"][0]["until"], shown["nextAttemptAt"], "{shown}");
    let off = world.patch("/api/settings", r#"{"callingRules":"off"}"#).send().await;
    assert_eq!(off.status, 200);
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"], json!([{"reason": "queued"}]));
}

#[tokio::test]
async fn hours_and_rules_that_are_never_open_at_once() {
    let world = World::new().await;
    let batch = world.batch().await;
    world.patch("/api/settings", r#"{"callingRules":"off"}"#).send().await;
    patch(&world, &batch, r#"{"callingHour":{"start":"22:00","end":"23:00"}}"#).await;
    let call = added(&world, &batch, "12125551001").await;
    world.patch("/api/settings", r#"{"callingRules":"on"}"#).send().await;
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"][0], json!({"reason": "no_common_hours"}), "{shown}");
    assert!(shown.get("nextAttemptAt").is_none(), "{shown}");
    let expected = json!([{"reason": "no_common_hours", "calls": 1}]);
    assert_eq!(waiting(&world, &batch).await, expected);
}

#[tokio::test]
async fn stopped_and_not_started() {
    let world = World::new().await;
    let batch = world.batch().await;
    let call = added(&world, &batch, "12125551001").await;
    start_or_stop(&world, &batch, "stop").await;
    let hours = r#"{"callingHour":{"start":"12:00","end":"17:00"}}"#;
    patch(&world, &batch, hours).await;
    let shown = details(&world, &call).await;
    let until = "2025-05-15T16:00:00.000Z";
    let both = json!([
        {"reason": "batch_stopped"},
        {"reason": "outside_calling_hours", "until": until},
    ]);
    assert_eq!(shown["whyNotYet"], both);
    assert!(shown.get("nextAttemptAt").is_none(), "{shown}");
    assert_eq!(waiting(&world, &batch).await, json!([{"reason": "batch_stopped", "calls": 1}]));
    start_or_stop(&world, &batch, "start").await;
    assert_eq!(details(&world, &call).await["nextAttemptAt"], until);
}

#[tokio::test]
async fn concurrency_is_reached() {
    let world = World::new().await;
    let batch = world.batch().await;
    added(&world, &batch, "12125551001").await;
    let call = added(&world, &batch, "12125551002").await;
    let attempt = world.dial().await;
    patch(&world, &batch, r#"{"concurrency":1}"#).await;
    let of_workspace = world.patch("/api/settings", r#"{"concurrency":1}"#).send().await;
    assert_eq!(of_workspace.status, 200);
    let both = json!([{"reason": "batch_concurrency"}, {"reason": "workspace_concurrency"}]);
    assert_eq!(details(&world, &call).await["whyNotYet"], both);
    assert_eq!(waiting(&world, &batch).await, json!([{"reason": "batch_concurrency", "calls": 1}]));
    patch(&world, &batch, r#"{"concurrency":null}"#).await;
    let one = json!([{"reason": "workspace_concurrency"}]);
    assert_eq!(details(&world, &call).await["whyNotYet"], one);
    world.hang_up(attempt, Duration::from_secs(5)).await;
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "queued"}]));
}

#[tokio::test]
async fn the_budget_is_reserved() {
    let world = World::new().await;
    let batch = world.batch().await;
    patch(&world, &batch, r#"{"budget":{"minutes":10,"perDay":true}}"#).await;
    added(&world, &batch, "12125551001").await;
    let call = added(&world, &batch, "12125551002").await;
    let attempt = world.dial().await;
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"][0]["reason"], "budget", "{shown}");
    assert_eq!(waiting(&world, &batch).await[0]["reason"], "budget");
    world.hang_up(attempt, Duration::from_secs(300)).await;
    // Five minutes are left, and a call reserves ten, until the next day.
    let until = "2025-05-16T00:00:00.000Z";
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"], json!([{"reason": "budget", "until": until}]));
    patch(&world, &batch, r#"{"maxCallSeconds":300}"#).await;
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "queued"}]));
}

#[tokio::test]
async fn the_numbers_have_called_enough_today() {
    let world = World::new().await;
    let batch = world.batch().await;
    added(&world, &batch, "12125551001").await;
    let call = added(&world, &batch, "12125551002").await;
    let attempt = world.dial().await;
    world.hang_up(attempt, Duration::from_secs(5)).await;
    let phones = world.get("/api/phones").send().await.json();
    let phone = phones["data"]["phones"][0]["_id"].as_str().unwrap();
    world.patch(&format!("/api/phones/{phone}"), r#"{"callsPerDay":1}"#).send().await;
    let until = "2025-05-16T00:00:00.000Z";
    let why = json!([{"reason": "calls_per_day", "until": until}]);
    assert_eq!(details(&world, &call).await["whyNotYet"], why);
}

#[tokio::test]
async fn the_person_was_called_often_enough() {
    let world = World::new().await;
    let batch = world.batch().await;
    world.patch("/api/settings", r#"{"attemptsPerPerson24h":1}"#).send().await;
    let call = added(&world, &batch, "12125551001").await;
    let attempt = world.dial().await;
    world.hang_up(attempt, Duration::from_secs(5)).await;
    added(&world, &batch, "12125551001").await;
    assert_eq!(world.commit().await.committed, []);
    let shown = details(&world, &call).await;
    let until = shown["whyNotYet"][0]["until"].as_str().unwrap().to_owned();
    assert_eq!(shown["whyNotYet"][0]["reason"], "attempts_per_day", "{shown}");
    assert!(until.starts_with("2025-05-16T14:30:"), "{shown}");
    // To the millisecond, like the call.
    let counted = json!([{"reason": "attempts_per_day", "calls": 1, "until": until}]);
    assert_eq!(waiting(&world, &batch).await, counted);
}

#[tokio::test]
async fn held_by_a_start_with_its_own_calls() {
    let world = World::new().await;
    let batch = world.batch().await;
    let call = added(&world, &batch, "12125551001").await;
    let body = format!(
        r#"{{"batchId":"{batch}","userId":"{}","callData":[{{"phoneNumber":"12125551002"}}]}}"#,
        world.own.user
    );
    assert_eq!(world.post("/api/call/start-calling", body).send().await.status, 200);
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "calls_held"}]));
    let both = json!([{"reason": "calls_held", "calls": 1}, {"reason": "queued", "calls": 1}]);
    assert_eq!(waiting(&world, &batch).await, both);
}

#[tokio::test]
async fn the_batch_has_expired() {
    let world = World::new().await;
    let batch = world.batch().await;
    let call = added(&world, &batch, "12125551001").await;
    patch(&world, &batch, r#"{"expiresAt":"2025-05-15T14:31:00Z"}"#).await;
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "queued"}]));
    world.clock.advance(Duration::from_secs(60));
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"], json!([{"reason": "expired"}]));
    assert!(shown.get("nextAttemptAt").is_none(), "{shown}");
    assert_eq!(world.store.batch_expire_due(10).await.unwrap(), 1);
    let shown = details(&world, &call).await;
    assert_eq!(shown["callStatus"], "expired", "{shown}");
    assert!(shown.get("whyNotYet").is_none(), "{shown}");
    assert_eq!(waiting(&world, &batch).await, json!([]));
}

#[tokio::test]
async fn nobody_says_any_more_what_a_minute_costs() {
    let world = World::new().await;
    let batch = world.batch().await;
    let call = added(&world, &batch, "12125551001").await;
    let phones = world.get("/api/phones").send().await.json();
    let phone = format!("/api/phones/{}", phones["data"]["phones"][0]["_id"].as_str().unwrap());
    world.patch(&phone, r#"{"pricePerMinute":0.01}"#).send().await;
    patch(&world, &batch, r#"{"budget":{"money":1}}"#).await;
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "queued"}]));
    world.patch(&phone, r#"{"pricePerMinute":null}"#).send().await;
    let shown = details(&world, &call).await;
    assert_eq!(shown["whyNotYet"], json!([{"reason": "no_price"}]));
    assert!(shown.get("nextAttemptAt").is_none(), "{shown}");
}

#[tokio::test]
async fn the_first_calls_must_end_well_first() {
    let world = World::new().await;
    let batch = world.batch().await;
    patch(&world, &batch, r#"{"canary":1}"#).await;
    added(&world, &batch, "12125551001").await;
    let call = added(&world, &batch, "12125551002").await;
    let attempt = world.dial().await;
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "canary"}]));
    assert_eq!(waiting(&world, &batch).await, json!([{"reason": "canary", "calls": 1}]));
    world.hang_up(attempt, Duration::from_secs(30)).await;
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "queued"}]));
}

#[tokio::test]
async fn the_numbers_channels_are_taken() {
    let world = World::new().await;
    let batch = world.batch().await;
    added(&world, &batch, "12125551001").await;
    let call = added(&world, &batch, "12125551002").await;
    let phones = world.get("/api/phones").send().await.json();
    let phone = format!("/api/phones/{}", phones["data"]["phones"][0]["_id"].as_str().unwrap());
    world.patch(&phone, r#"{"channels":1}"#).send().await;
    world.dial().await;
    assert_eq!(details(&world, &call).await["whyNotYet"], json!([{"reason": "channels"}]));
}

#[tokio::test]
async fn every_call_is_counted_once() {
    let world = World::new().await;
    let batch = world.batch().await;
    world.patch("/api/settings", r#"{"callingRules":"off"}"#).send().await;
    // New York may be called, Los Angeles may not yet; one is on the phone.
    patch(&world, &batch, r#"{"callingHour":{"start":"10:00","end":"17:00"}}"#).await;
    let added = world
        .add(
            &batch,
            &[
                r#"{"phoneNumber":"12125551001"}"#,
                r#"{"phoneNumber":"12125551002"}"#,
                r#"{"phoneNumber":"12125551003"}"#,
                r#"{"phoneNumber":"12135551001"}"#,
                r#"{"phoneNumber":"12135551002"}"#,
            ],
        )
        .send()
        .await;
    assert_eq!(added.status, 200, "{}", added.text());
    world.dial().await;
    let expected = json!([
        {"reason": "outside_calling_hours", "calls": 2, "until": "2025-05-15T17:00:00.000Z"},
        {"reason": "queued", "calls": 2},
    ]);
    assert_eq!(waiting(&world, &batch).await, expected);
}

#[tokio::test]
async fn a_database_that_is_refused() {
    let world = World::new().await;
    let batch = world.batch().await;
    added(&world, &batch, "12125551000").await;
    let attempt = world.dial().await;
    let call = added(&world, &batch, "12125551001").await;
    let words = async || {
        let shown = details(&world, &call).await;
        let reasons = shown["whyNotYet"].as_array().unwrap().clone();
        let first = reasons[0]["reason"].as_str().unwrap().to_owned();
        let expected = json!([{"reason": first, "calls": 1}]);
        assert_eq!(waiting(&world, &batch).await, expected);
        let is_refused = first == "database_older";
        assert_eq!(shown.get("nextAttemptAt").is_none(), is_refused, "{shown}");
        assert!(reasons[0].get("until").is_none(), "{shown}");
        let words = reasons.iter().map(|r| r["reason"].as_str().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    let ours = world.own.workspace;
    let stranger = world.stranger().await.workspace;
    let mark = |token| Ok(Noted::Mark(Mark { attempt, token: [token; 16] }));
    for (ws, noted, is_accepted, expected) in [
        (ours, mark(0xab), false, "queued"),
        (ours, mark(0xac), false, "database_older"),
        (ours, mark(0xac), true, "queued"),
        (ours, Ok(Noted::Lost), false, "database_older"),
        (ours, Ok(Noted::Lost), true, "queued"),
        (ours, Err(()), false, "queued"),
        (ours, Ok(Noted::Nothing), false, "queued"),
        (stranger, Ok(Noted::Lost), false, "queued"),
    ] {
        world.watermark.set(ws, noted, is_accepted);
        assert_eq!(words().await, [expected], "{ws} {noted:?} {is_accepted}");
    }
    world.watermark.set(ours, Ok(Noted::Lost), false);
    assert_eq!(world.get("/readyz").send().await.status, 200);
    start_or_stop(&world, &batch, "stop").await;
    assert_eq!(words().await, ["database_older", "batch_stopped"]);
}
