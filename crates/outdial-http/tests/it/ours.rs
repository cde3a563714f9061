//! The endpoints that the documented API does not have.

use std::time::Duration;

use insta::assert_snapshot;

use crate::support::World;

#[tokio::test]
async fn me_and_health() {
    let world = World::new().await;
    assert_snapshot!("me", world.get("/api/me").send().await.shown());
    assert_snapshot!("healthz", world.get("/healthz").anonymous().send().await.shown());
    assert_snapshot!("readyz", world.get("/readyz").anonymous().send().await.shown());
    let api = world.get("/openapi.json").anonymous().send().await;
    assert_eq!((api.status, api.text()), (200, outdial_http::openapi()));
}

#[tokio::test]
async fn agents() {
    let world = World::new().await;
    let body = r#"{"name":"Reminder","languages":["en-US","es"],
        "variables":[{"key":"name","type":"string","required":true},
                     {"key":"tier","type":"string","required":true,"default":"basic"}],
        "connection":{"type":"announcement","text":"Hello {{name}}"}}"#;
    let made = world.post("/api/agents", body).send().await;
    assert_snapshot!("agent_made", made.shown());
    let path = format!("/api/agents/{}", made.made_id());
    assert_eq!(world.get(&path).send().await.json()["data"], made.json()["data"]);
    world.clock.advance(Duration::from_secs(60));
    let patch = r#"{"name":"Reminder 2","connection":null}"#;
    assert_snapshot!("agent_changed", world.patch(&path, patch).send().await.shown());
    assert_eq!(world.get("/api/agents").send().await.json()["data"]["agents"][0]["version"], 2);

    let phone = world.phone("12125551234", Some(&path[12..])).await;
    world.delete(&path).send().await.refusal(409);
    let unbind = world.patch(&format!("/api/phones/{phone}"), r#"{"agentId":null}"#).send().await;
    assert_eq!(unbind.status, 200, "{}", unbind.text());
    assert_snapshot!("agent_deleted", world.delete(&path).send().await.shown());
    world.get(&path).send().await.refusal(404);
    world.patch(&path, "{}").send().await.refusal(404);
    world.get("/api/agents/x").send().await.refusal(400);
}

#[tokio::test]
async fn agents_that_cannot_be() {
    let world = World::new().await;
    for (body, part) in [
        ("{}", "name"),
        (r#"{"name":"x"}"#, "languages"),
        (r#"{"name":"x","languages":["english language"]}"#, "languages[0]"),
        (
            r#"{"name":"x","languages":["en"],"variables":[{"key":"phoneNumber","type":"phone"}]}"#,
            "phoneNumber",
        ),
        (
            r#"{"name":"x","languages":["en"],"variables":[{"key":"a","type":"text"}]}"#,
            "variables[0].type",
        ),
        (
            r#"{"name":"x","languages":["en"],
                "variables":[{"key":"a","type":"number","default":"1"}]}"#,
            "default",
        ),
        (r#"{"name":"x","languages":["en"],"connection":{"type":"fax"}}"#, "connection"),
        (
            r#"{"name":"x","languages":["en"],
                "connection":{"type":"mediaStream","url":"http://x"}}"#,
            "connection.url",
        ),
        (r#"{"name":"x","languages":["en"],"voice":"x"}"#, "voice"),
    ] {
        let text = world.post("/api/agents", body).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(
        world.get("/api/agents").send().await.json()["data"]["agents"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn phones() {
    let world = World::new().await;
    let phone = world.phone("12125551234", None).await;
    let path = format!("/api/phones/{phone}");
    let agent = world.agent("[]").await;
    let patch = format!(
        r#"{{"agentId":"{agent}","callsPerSecond":0.5,"channels":3,
        "callsPerDay":250,"pricePerMinute":0.0125}}"#
    );
    assert_snapshot!("phone_changed", world.patch(&path, patch).send().await.shown());
    let patch = r#"{"callsPerSecond":null}"#;
    assert_snapshot!("phone_changed_back", world.patch(&path, patch).send().await.shown());
    assert_snapshot!("phones", world.get("/api/phones").send().await.shown());
    for (patch, part) in [
        (r#"{"callsPerSecond":0}"#, "callsPerSecond"),
        (r#"{"channels":0}"#, "channels"),
        (r#"{"callsPerDay":0}"#, "callsPerDay"),
        (r#"{"pricePerMinute":-1}"#, "pricePerMinute"),
        (r#"{"pricePerMinute":0.0000001}"#, "pricePerMinute"),
        (r#"{"pricePerMinute":true}"#, "pricePerMinute"),
        (r#"{"agentId":"x"}"#, "agentId"),
        (r#"{"number":"1"}"#, "number"),
    ] {
        let text = world.patch(&path, patch).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
    let patch = r#"{"callsPerDay":null,"pricePerMinute":null}"#;
    let json = world.patch(&path, patch).send().await.json();
    let data = &json["data"];
    assert!(data.get("callsPerDay").is_none() && data.get("pricePerMinute").is_none(), "{json}");
    let nobody = r#"{"agentId":"64e5f12345abcdef87654321"}"#;
    assert!(world.patch(&path, nobody).send().await.refusal(404).contains("agent"));
}

#[tokio::test]
async fn a_phone_comes_with_its_limits() {
    let world = World::new().await;
    let add = |number: &str, more: &str| {
        let user = world.own.user;
        let body = format!(
            r#"{{"userId":"{user}","phoneNumber":"{number}","integration":"simulated"{more}}}"#
        );
        world.post("/api/call/add-phone", body)
    };
    let price = r#","callsPerDay":100,"pricePerMinute":"123.456789""#;
    assert_snapshot!("phone_added_with_limits", add("12125551234", price).send().await.shown());
    for (more, part) in
        [(r#","callsPerDay":0"#, "callsPerDay"), (r#","pricePerMinute":"a lot""#, "pricePerMinute")]
    {
        let text = add("12125551235", more).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
    let phones = world.get("/api/phones").send().await.json();
    assert_eq!(phones["data"]["phones"].as_array().unwrap().len(), 1, "{phones}");
}

#[tokio::test]
async fn of_two_changes_at_once_neither_is_lost() {
    let world = World::new().await;
    for n in 1..20 {
        let (a, b) = (format!(r#"{{"concurrency":{n}}}"#), r#"{"timezone":"Europe/Rome"}"#);
        let (one, other) = tokio::join!(
            world.patch("/api/settings", a).send(),
            world.patch("/api/settings", b).send()
        );
        assert_eq!((one.status, other.status), (200, 200));
        let data = world.get("/api/settings").send().await.json()["data"].clone();
        assert_eq!((&data["concurrency"], &data["timezone"]), (&n.into(), &"Europe/Rome".into()));
        let back = r#"{"concurrency":null,"timezone":"UTC"}"#;
        assert_eq!(world.patch("/api/settings", back).send().await.status, 200);
    }
}

#[tokio::test]
async fn settings() {
    let world = World::new().await;
    assert_snapshot!("settings", world.get("/api/settings").send().await.shown());
    let patch = r#"{"callingRules":"off","timezone":"Europe/Berlin","allowedCountries":["US","DE"],
        "concurrency":20,"allowSpecialNumbers":true,"doNotCall":false,"attemptsPerPerson24h":3,
        "brakes":{"windowSeconds":300,"minAttempts":20,"shortPercent":20,
            "voicemailPercent":null}}"#;
    let changed = world.patch("/api/settings", patch).send().await;
    assert_snapshot!("settings_changed", changed.shown());
    assert_eq!(world.get("/api/settings").send().await.json()["data"], changed.json()["data"]);
    let patch = r#"{"concurrency":null,"allowedCountries":null,"attemptsPerPerson24h":null,
        "brakes":null}"#;
    let back = world.patch("/api/settings", patch).send().await.json();
    assert_eq!(back["data"]["concurrency"], serde_json::Value::Null);
    assert_eq!(back["data"]["attemptsPerPerson24h"], serde_json::Value::Null);
    let brakes = serde_json::json!({"windowSeconds": 300, "minAttempts": 20, "failedPercent": null,
        "shortPercent": null, "voicemailPercent": null});
    assert_eq!(back["data"]["brakes"], brakes);
    for (patch, part) in [
        (r#"{"callingRules":"maybe"}"#, "callingRules"),
        (r#"{"timezone":"Mars/X"}"#, "timezone"),
        (r#"{"allowedCountries":["USA"]}"#, "allowedCountries[0]"),
        (r#"{"allowedCountries":["US","XX"]}"#, "allowedCountries[1]"),
        (r#"{"allowedCountries":["us"]}"#, "allowedCountries[0]"),
        (r#"{"allowedCountries":[]}"#, "allowedCountries"),
        (r#"{"callingRules":null}"#, "callingRules: cannot be null"),
        (r#"{"timezone":null}"#, "timezone: cannot be null"),
        (r#"{"doNotCall":null}"#, "doNotCall: cannot be null"),
        (r#"{"allowSpecialNumbers":null}"#, "allowSpecialNumbers: cannot be null"),
        (r#"{"brakes":{"minAttempts":null}}"#, "brakes.minAttempts: cannot be null"),
        (r#"{"brakes":{"windowSeconds":null}}"#, "brakes.windowSeconds: cannot be null"),
        (r#"{"brakes":[60,1]}"#, "brakes: invalid type: array, expected an object"),
        (r#"{"concurrency":0}"#, "concurrency"),
        (r#"{"retention":1}"#, "retention"),
        (r#"{"doNotCall":"no"}"#, "doNotCall"),
        (r#"{"attemptsPerPerson24h":1001}"#, "attemptsPerPerson24h"),
        (r#"{"brakes":{"failedPercent":0}}"#, "brakes.failedPercent"),
        (r#"{"brakes":{"shortPercent":101}}"#, "brakes.shortPercent"),
        (r#"{"brakes":{"windowSeconds":59}}"#, "brakes.windowSeconds"),
        (r#"{"brakes":{"minAttempts":0}}"#, "brakes.minAttempts"),
        (r#"{"brakes":{"failed":1}}"#, "failed"),
    ] {
        let text = world.patch("/api/settings", patch).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn keys() {
    let world = World::new().await;
    for (body, part) in [
        ("{}", "name"),
        (r#"{"name":"x","scopes":[]}"#, "scopes"),
        (r#"{"name":"x","scopes":["root"]}"#, "scopes[0]"),
    ] {
        let text = world.post("/api/keys", body).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
    let made = world.post("/api/keys", r#"{"name":"CI"}"#).send().await;
    assert_snapshot!("key_made", made.shown());
}

#[tokio::test]
async fn call_details() {
    let world = World::new().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let hours = r#","callingHour":{"start":"09:00","end":"17:00"},"timezone":"America/New_York""#;
    let batch = world.batch_over(&phone, hours).await;
    let record = r#"{ "phoneNumber": "+1 212-555-1001", "id": 1234567890123456789012 }"#;
    let added = world.add(&batch, &[record]).send().await.json();
    let path = format!("/api/call/call-details/{}", added["data"]["callIds"][0].as_str().unwrap());
    assert_snapshot!("call_queued", world.get(&path).send().await.shown());

    let stop = format!(r#"{{"batchId":"{batch}","userId":"{}"}}"#, world.own.user);
    world.post("/api/call/stop-calling", stop.clone()).send().await;
    world.clock.advance(Duration::from_secs(7 * 3600));
    let json = world.get(&path).send().await.json();
    let why = serde_json::json!([
        {"reason": "batch_stopped"},
        {"reason": "outside_calling_hours", "until": "2025-05-16T13:00:00.000Z"},
    ]);
    assert_eq!(json["data"]["whyNotYet"], why, "{json}");
    assert!(json["data"].get("nextAttemptAt").is_none(), "{json}");

    world.post("/api/call/start-calling", stop).send().await;
    let json = world.get(&path).send().await.json();
    assert_eq!(json["data"]["nextAttemptAt"], "2025-05-16T13:00:00.000Z", "{json}");

    let attempt = world.dial().await;
    let json = world.get(&path).send().await.json();
    assert_eq!(json["data"]["callStatus"], "ringing", "{json}");
    world.hang_up(attempt, Duration::from_secs(5)).await;
    assert_snapshot!("call_finished", world.get(&path).send().await.shown());
    world.get("/api/call/call-details/x").send().await.refusal(400);
    let nobody = "/api/call/call-details/64e5f12345abcdef87654321";
    world.get(nobody).send().await.refusal(404);
}
