//! One batch: how it stands, changed while it runs; one call taken back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use insta::assert_snapshot;
use outdial_http::HttpConfig;
use outdial_ports::Store;
use serde_json::{Value, json};

use crate::faulty::{Faults, Faulty};
use crate::support::World;

const NOBODY: &str = "64e5f12345abcdef98765432";

fn path(batch: &str) -> String {
    format!("/api/call/batch/{batch}")
}

/// `data` of the batch.
async fn shown(world: &World, batch: &str) -> Value {
    let answer = world.get(&path(batch)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

#[tokio::test]
async fn a_batch_with_everything() {
    let world = World::new().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let price = r#"{"pricePerMinute":"0.0125"}"#;
    world.patch(&format!("/api/phones/{phone}"), price).send().await;
    let all = r#","retry":3,"delay":60,"timezone":"America/New_York","weight":5,"concurrency":20,
        "callingHour":{"start":"09:00","end":"17:00"},"allowedDays":[1,2,3,4,5],
        "redialUnknown":true,"retryVoicemail":true,"maxCallSeconds":90,"canary":50,
        "budget":{"minutes":120.5,"money":1.234567,"perDay":true},"enableDNC":true,
        "expiresAt":"2025-06-01T00:00:00+02:00","userId":"USER""#;
    let batch = world.batch_over(&phone, &all.replace("USER", &world.own.user.to_string())).await;
    assert_snapshot!("batch_made", world.get(&path(&batch)).send().await.shown());
    // What comes out goes in again, and changes nothing.
    let before = shown(&world, &batch).await;
    let mut body = serde_json::Map::new();
    for field in [
        "batchName",
        "callingNumbers",
        "retry",
        "delay",
        "callingHour",
        "allowedDays",
        "redialUnknown",
        "retryVoicemail",
        "concurrency",
        "weight",
        "maxCallSeconds",
        "budget",
        "canary",
        "expiresAt",
        "enableDNC",
    ] {
        body.insert(field.to_owned(), before[field].clone());
    }
    let again = world.patch(&path(&batch), Value::Object(body).to_string()).send().await;
    assert_eq!(again.json()["data"], before, "{}", again.text());
}

#[tokio::test]
async fn a_plain_batch_back_to_the_defaults() {
    let world = World::new().await;
    let batch = world.batch().await;
    assert_snapshot!("batch_plain", world.get(&path(&batch)).send().await.shown());
    let plain = shown(&world, &batch).await;
    let some = r#"{"retry":2,"delay":1,"callingHour":{"start":"09:00","end":"17:00"},
        "allowedDays":[4],"redialUnknown":true,"retryVoicemail":true,"concurrency":1,"weight":9,
        "maxCallSeconds":60,"budget":{"minutes":1},"canary":1,
        "expiresAt":"2025-05-16T00:00:00Z","enableDNC":true}"#;
    assert_eq!(world.patch(&path(&batch), some).send().await.status, 200);
    let none = r#"{"retry":null,"delay":null,"callingHour":null,"allowedDays":null,
        "redialUnknown":null,"retryVoicemail":null,"concurrency":null,"weight":null,
        "maxCallSeconds":null,"budget":null,"canary":null,"expiresAt":null,"enableDNC":null}"#;
    let back = world.patch(&path(&batch), none).send().await;
    assert_eq!(back.json()["data"], plain, "{}", back.text());
}

#[tokio::test]
async fn edits_that_cannot_be() {
    let world = World::new().await;
    let batch = world.batch().await;
    let before = shown(&world, &batch).await;
    let faulty = r#"{"batchName":null,"callingNumbers":null,"timezone":"Europe/Rome","retry":11,
        "delay":-1,"callingHour":{"start":"9","end":"17:00"},"concurrency":0,"weight":0,
        "maxCallSeconds":0,"budget":{},"canary":0,"expiresAt":"x"}"#;
    assert_snapshot!("edit_faults", world.patch(&path(&batch), faulty).send().await.shown());
    for (body, part) in [
        (r#"{"timezone":null}"#, "timezone"),
        (r#"{"name":"x"}"#, "name"),
        (r#"{"callingNumbers":[]}"#, "callingNumbers"),
        (r#"{"callingNumbers":["x"]}"#, "callingNumbers[0]"),
        (r#"{"allowedDays":[]}"#, "allowedDays"),
        (r#"{"budget":{"minutes":5}}"#, "smaller than one call"),
        (r#"{"budget":{"minutes":5},"maxCallSeconds":301}"#, "smaller than one call"),
        (r#"{"budget":{"money":5}}"#, "pricePerMinute"),
        (r#"{"retry":"3"}"#, "retry"),
        (r#"{"callingHour":["09:00","17:00"]}"#, "callingHour: invalid type: array, expected an o"),
        (r#"{"callingHour":{"start":"09:00","end":"17:00","days":[1]}}"#, "callingHour.days"),
        (r#"{"budget":[5]}"#, "budget: invalid type: array, expected an object"),
        (r#"{"budget":5}"#, "budget: invalid type: integer `5`, expected an object"),
        (r#"{"expiresAt":"9999-12-31T23:59:59Z"}"#, "too far away"),
        ("[]", "object"),
    ] {
        let text = world.patch(&path(&batch), body).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
    let unknown = format!(r#"{{"callingNumbers":["{NOBODY}"]}}"#);
    assert!(world.patch(&path(&batch), unknown).send().await.refusal(404).contains("number"));
    let user = format!(r#"{{"userId":"{NOBODY}"}}"#);
    world.patch(&path(&batch), user).send().await.refusal(404);
    let other = world.phone("12125551235", Some(&world.agent("[]").await)).await;
    let number = before["callingNumbers"][0].as_str().unwrap();
    let both = format!(r#"{{"callingNumbers":["{number}","{other}"]}}"#);
    assert!(world.patch(&path(&batch), both).send().await.refusal(400).contains("agents"));
    assert_eq!(shown(&world, &batch).await, before);
    for bad in ["x", "%ff"] {
        world.get(&path(bad)).send().await.refusal(400);
        world.patch(&path(bad), "{}").send().await.refusal(400);
    }
    world.get(&path(NOBODY)).send().await.refusal(404);
    world.patch(&path(NOBODY), "{}").send().await.refusal(404);
    world.delete(&format!("/api/call/delete-batch/{batch}")).send().await;
    world.get(&path(&batch)).send().await.refusal(404);
    world.patch(&path(&batch), "{}").send().await.refusal(404);
}

#[tokio::test]
async fn hours_that_would_leave_calls_waiting_for_ever() {
    let world = World::new().await;
    let batch = world.batch().await;
    // Each number lies in one zone, but the last: it may lie anywhere under +1.
    let (york, honolulu) = (r#"{"phoneNumber":"12125551001"}"#, r#"{"phoneNumber":"18085551001"}"#);
    world.patch("/api/settings", r#"{"callingRules":"off"}"#).send().await;
    world.add(&batch, &[york, honolulu, r#"{"phoneNumber":"18005551001"}"#]).send().await;
    let before = shown(&world, &batch).await;
    let hours = |start: &str, end: &str| {
        let body = format!(r#"{{"callingHour":{{"start":"{start}","end":"{end}"}}}}"#);
        world.patch(&path(&batch), body)
    };
    let text = hours("09:00", "13:00").send().await.refusal(400);
    assert!(text.starts_with("callingHour: 1 waiting call would never be placed"), "{text}");
    assert!(text.contains("(1 in one of ") && text.contains(" zones)"), "{text}");
    assert_eq!(shown(&world, &batch).await, before);
    // It cannot be called under the rules as it is: those hours take nothing from it.
    world.patch("/api/settings", r#"{"callingRules":"on"}"#).send().await;
    let text = hours("22:00", "23:00").send().await.refusal(400);
    assert!(text.contains("America/New_York") && text.contains("Pacific/Honolulu"), "{text}");
    assert_eq!(shown(&world, &batch).await["callingHour"], Value::Null);
    assert_eq!(hours("07:00", "23:00").send().await.status, 200);
    // What is over waits for nothing.
    world.delete(&format!("/api/call/delete-batch/{batch}")).send().await;
    let phone = before["callingNumbers"][0].as_str().unwrap();
    let other = world.batch_over(phone, "").await;
    let late = world.patch(&path(&other), r#"{"callingHour":{"start":"22:00","end":"23:00"}}"#);
    assert_eq!(late.send().await.status, 200);
}

#[tokio::test]
async fn an_edit_holds_for_what_comes_and_cuts_nothing() {
    let world = World::new().await;
    let batch = world.batch().await;
    let records = [r#"{"phoneNumber":"12125551001"}"#, r#"{"phoneNumber":"12125551002"}"#];
    world.add(&batch, &records).send().await;
    let attempt = world.dial().await;
    let version = async || {
        let head = world.store.dispatch_head(world.own.workspace, None).await.unwrap();
        head.version
    };
    let before = version().await;
    let woken = world.wake.notified();
    let patch = r#"{"batchName":"June","concurrency":1,"weight":7}"#;
    let changed = world.patch(&path(&batch), patch).send().await.json();
    // What was planned before does not commit, and the engine is told at once.
    woken.await;
    assert!(version().await > before);
    let data = &changed["data"];
    assert_eq!((&data["batchName"], &data["weight"]), (&json!("June"), &json!(7)), "{changed}");
    assert_eq!((&data["callsLive"], &data["callsPending"]), (&json!(1), &json!(1)), "{changed}");
    let head = world.store.dispatch_head(world.own.workspace, None).await.unwrap();
    assert_eq!(head.batches[0].settings.concurrency, Some(1));
    // The live call goes on, and its end is recorded.
    assert!(world.store.live_list_recalled().await.unwrap().is_empty());
    world.hang_up(attempt, Duration::from_secs(5)).await;
    let data = shown(&world, &batch).await;
    assert_eq!((&data["callsLive"], &data["callsFinished"]), (&json!(0), &json!(1)), "{data}");
}

#[tokio::test]
async fn other_numbers_while_it_runs() {
    let world = World::new().await;
    let batch = world.batch().await;
    world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).send().await;
    let old = shown(&world, &batch).await["callingNumbers"][0].as_str().unwrap().to_owned();
    world.delete(&format!("/api/call/delete-phone/{old}")).send().await;
    let data = shown(&world, &batch).await;
    assert_eq!(
        (&data["queue_status"], &data["pauseReason"]),
        (&json!("paused"), &json!("no_numbers"))
    );
    let agents = world.get("/api/agents").send().await.json();
    let agent = agents["data"]["agents"][0]["_id"].as_str().unwrap().to_owned();
    let new = world.phone("12125551235", Some(&agent)).await;
    let patch = format!(r#"{{"callingNumbers":["{new}","{new}"]}}"#);
    let data = world.patch(&path(&batch), patch).send().await.json()["data"].clone();
    assert_eq!(data["callingNumbers"], json!([new]));
    assert_eq!(data["queue_status"], "active", "{data}");
}

#[tokio::test]
async fn of_two_edits_at_once_neither_is_lost() {
    let world = World::new().await;
    let batch = world.batch().await;
    let path = path(&batch);
    for n in 1..20 {
        let (a, b) = (format!(r#"{{"concurrency":{n}}}"#), format!(r#"{{"weight":{n}}}"#));
        let (one, other) = tokio::join!(world.patch(&path, a).send(), world.patch(&path, b).send());
        assert_eq!((one.status, other.status), (200, 200));
        let data = shown(&world, &batch).await;
        assert_eq!((&data["concurrency"], &data["weight"]), (&json!(n), &json!(n)));
    }
}

#[tokio::test]
async fn an_edit_over_another_node_is_not_undone() {
    let faults = Arc::new(Faults::default());
    let given = faults.clone();
    let wrap = |inner| Arc::new(Faulty { inner, faults: given }) as Arc<dyn Store>;
    let world = World::with(HttpConfig::default(), wrap).await;
    let batch = world.batch().await;
    let agents = world.get("/api/agents").send().await.json();
    let agent = agents["data"]["agents"][0]["_id"].as_str().unwrap().to_owned();
    let trunk = r#"{"name":"Carrier","host":"sip.example.com"}"#;
    let trunk = world.post("/api/trunks", trunk).send().await.made_id();
    let concurrency = || json!({"concurrency": 100});
    let name = || json!({"name": "rival 0"});
    let settings = "/api/settings".to_owned();
    let (agent, trunk) = (format!("/api/agents/{agent}"), format!("/api/trunks/{trunk}"));
    for (path, ours, theirs, more) in [
        (path(&batch), json!({"weight": 7}), concurrency(), json!({"weight": 8})),
        (settings, json!({"doNotCall": false}), concurrency(), json!({"doNotCall": true})),
        (agent, json!({"languages": ["fr"]}), name(), json!({"languages": ["de"]})),
        (trunk, json!({"channels": 3}), name(), json!({"channels": 4})),
    ] {
        let keeps = |data: &Value, fields: &Value| {
            fields.as_object().unwrap().iter().all(|(field, value)| data[field] == *value)
        };
        faults.rivals.store(4, Ordering::Release);
        let edited = world.patch(&path, ours.to_string()).send().await;
        assert_eq!(edited.status, 200, "{}", edited.text());
        let data = edited.json()["data"].clone();
        assert!(keeps(&data, &ours) && keeps(&data, &theirs), "{path}: {data}");
        // Who is overtaken at every try changes nothing, and is told so.
        faults.rivals.store(5, Ordering::Release);
        let text = world.patch(&path, more.to_string()).send().await.refusal(409);
        assert!(text.contains("try again"), "{text}");
        assert_eq!(faults.rivals.load(Ordering::Acquire), 0);
    }
}

#[tokio::test]
async fn an_answer_in_the_making_holds_no_edit_up() {
    let faults = Arc::new(Faults::default());
    let given = faults.clone();
    let wrap = |inner| Arc::new(Faulty { inner, faults: given }) as Arc<dyn Store>;
    let world = World::with(HttpConfig::default(), wrap).await;
    let batch = world.batch().await;
    faults.hold_groups.store(true, Ordering::Release);
    let path = path(&batch);
    let first = world.patch(&path, r#"{"weight":2}"#).send();
    let others = async {
        faults.held.notified().await;
        let other = world.patch("/api/settings", r#"{"concurrency":5}"#).send().await;
        assert_eq!(other.status, 200, "{}", other.text());
        faults.hold_groups.store(false, Ordering::Release);
        faults.release.notify_waiters();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!((first.status, &first.json()["data"]["weight"]), (200, &json!(2)));
}

#[tokio::test]
async fn a_budget_of_money_needs_a_price() {
    let world = World::new().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let create = |budget: &str| {
        let body = format!(
            r#"{{"batchName":"May","callingNumbers":["{phone}"],"budget":{budget},
                "maxCallSeconds":600}}"#
        );
        world.post("/api/call/createBatch", body)
    };
    let text = create(r#"{"money":5}"#).send().await.refusal(400);
    assert!(text.contains("PATCH /api/phones/{id} with pricePerMinute"), "{text}");
    world.patch(&format!("/api/phones/{phone}"), r#"{"pricePerMinute":0.5}"#).send().await;
    let text = create(r#"{"money":4.999999}"#).send().await.refusal(400);
    assert!(text.contains("smaller than one call of maxCallSeconds (10 minutes)"), "{text}");
    assert_eq!(create(r#"{"money":"5"}"#).send().await.status, 201);
}

#[tokio::test]
async fn what_is_used_of_a_budget() {
    let world = World::new().await;
    let batch = world.batch().await;
    let phone = shown(&world, &batch).await["callingNumbers"][0].as_str().unwrap().to_owned();
    world.patch(&format!("/api/phones/{phone}"), r#"{"pricePerMinute":0.06}"#).send().await;
    let budget = r#"{"budget":{"money":10,"perDay":true}}"#;
    assert_eq!(world.patch(&path(&batch), budget).send().await.status, 200);
    let records = [r#"{"phoneNumber":"12125551001"}"#, r#"{"phoneNumber":"12125551002"}"#];
    world.add(&batch, &records).send().await;
    let used = async || shown(&world, &batch).await["budgetUsed"].clone();
    let until = "2025-05-16T00:00:00.000Z";
    assert_eq!(used().await, json!({"minutes": 0, "money": 0, "until": until}));
    let attempt = world.dial().await;
    // A call under way counts with all that is reserved for it.
    assert_eq!(used().await, json!({"minutes": 10, "money": 0.6, "until": until}));
    world.hang_up(attempt, Duration::from_millis(89_001)).await;
    assert_eq!(used().await, json!({"minutes": 1.5, "money": 0.09, "until": until}));
}

#[tokio::test]
async fn one_call_taken_back() {
    let world = World::new().await;
    let batch = world.batch().await;
    let records = [
        r#"{"phoneNumber":"12125551001"}"#,
        r#"{"phoneNumber":"12125551002"}"#,
        r#"{"phoneNumber":"12125551003"}"#,
    ];
    let added = world.add(&batch, &records).send().await.json();
    let ids: Vec<_> = added["data"]["callIds"].as_array().unwrap().clone();
    let cancel =
        |id: &Value| world.post("/api/call/cancel-call", json!({"callId": id}).to_string());
    let ringing = world.dial().await;
    let woken = world.wake.notified();
    assert_snapshot!("cancel_pending", cancel(&ids[1]).send().await.shown());
    woken.await;
    assert_snapshot!("cancel_ringing", cancel(&ids[0]).send().await.shown());
    // Both are idempotent.
    for (i, status) in [(0, "canceling"), (1, "canceled")] {
        let again = cancel(&ids[i]).send().await.json();
        assert_eq!(again["data"], json!({"callId": ids[i], "status": status}));
    }
    assert_eq!(world.store.live_list_recalled().await.unwrap(), [ringing]);
    world.hang_up(ringing, Duration::from_secs(5)).await;
    let finished = cancel(&ids[0]).send().await.json();
    assert_eq!(finished["data"]["status"], "completed", "{finished}");
    assert_eq!(world.records(&batch).await[1]["callStatus"], "canceled");

    let user = world.own.user;
    let with = |body: Value| world.post("/api/call/cancel-call", body.to_string());
    let own = with(json!({"callId": ids[2], "userId": user.to_string()})).send().await;
    assert_eq!(own.json()["data"]["status"], "canceled");
    with(json!({"callId": ids[2], "userId": NOBODY})).send().await.refusal(404);
    with(json!({"callId": NOBODY})).send().await.refusal(404);
    with(json!({"callId": "x"})).send().await.refusal(400);
    assert!(with(json!({})).send().await.refusal(400).contains("callId"));
}
