//! The requests of the documented contract, as printed there with the ids replaced, and their
//! answers, field for field.

use std::time::Duration;

use insta::assert_snapshot;

use crate::support::World;

/// As printed, with the batch's id in its place.
fn add_calls_body(batch: &str) -> String {
    include_str!("requests/addCallsToBatch.json").replace("64e5f12345abcdef98765432", batch)
}

const ADD: &str = "/api/call/addCallsToBatch";

/// An id of nothing.
const NOBODY: &str = "64e5f12345abcdef98765432";

#[tokio::test]
async fn create_batch() {
    let world = World::new().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let body = include_str!("requests/createBatch.json");
    let body = body.replace("64e5f12345abcdef87654321", &phone);
    let answer = world.post("/api/call/createBatch", body).send().await;
    assert_snapshot!(answer.shown());
}

#[tokio::test]
async fn create_batch_errors() {
    let world = World::new().await;
    let stranger = world.stranger().await;
    let phone = world.phone("12125551234", None).await;
    let create = |body: String| world.post("/api/call/createBatch", body);
    let faulty = r#"{"batchName":" ","callingNumbers":[],"retry":11,"delay":-1,"timezone":"Mars/X",
        "callingHour":{"start":"9","end":"17:00"},"allowedDays":[7],"concurrency":0,"weight":0,
        "maxCallSeconds":0,"budget":{},"canary":0,"expiresAt":"x","enableDNC":true}"#;
    assert_snapshot!("faults", create(faulty.to_owned()).send().await.shown());
    for (more, part) in [
        (r#""callingHour":{"start":"09:00","end":"09:00"}"#, "callingHour"),
        (r#""callingHour":{"start":"09:00"}"#, "callingHour"),
        (r#""callingHour":"09:00""#, "callingHour"),
        (r#""allowedDays":[]"#, "allowedDays"),
        (r#""allowedDays":["Monday"]"#, "allowedDays[0]"),
        (r#""retry":"3""#, "retry"),
        (r#""retry":1.5"#, "retry"),
        (r#""budget":{"minutes":0}"#, "budget.minutes"),
        (r#""budget":{"minutes":10.01}"#, "budget.minutes"),
        (r#""budget":{"minutes":9.95}"#, "smaller than one call of maxCallSeconds (10 minutes)"),
        (r#""budget":{"money":0.0000001}"#, "budget.money"),
        (r#""budget":{"money":"1e3"}"#, "budget.money"),
        (r#""budget":{"money":5}"#, "PATCH /api/phones/{id} with pricePerMinute"),
        (r#""budget":{"perDay":true}"#, "budget"),
        (r#""budget":{"minute":5}"#, "budget"),
        (r#""budget":5"#, "budget"),
        (r#""canary":1000001"#, "canary"),
        (r#""expiresAt":"2025-05-15T14:30:00.000Z""#, "future"),
        (r#""expiresAt":"2025-05-16""#, "ISO 8601"),
        (r#""enableDNC":"true""#, "enableDNC"),
    ] {
        let body = format!(r#"{{"batchName":"x","callingNumbers":["{phone}"],{more}}}"#);
        let text = create(body).send().await.refusal(400);
        assert!(text.contains(part), "{part} in {text}");
    }
    let unknown = r#"{"batchName":"x","callingNumbers":["64e5f12345abcdef87654321"]}"#;
    create(unknown.to_owned()).send().await.refusal(404);
    let no_id = r#"{"batchName":"x","callingNumbers":["12125551234"]}"#;
    assert!(create(no_id.to_owned()).send().await.refusal(400).contains("callingNumbers[0]"));
    let foreign = format!(r#"{{"batchName":"x","callingNumbers":["{phone}"]}}"#);
    create(foreign).by(&stranger).send().await.refusal(403);
}

#[tokio::test]
async fn add_calls_to_batch() {
    let world = World::new().await;
    let batch = world.batch().await;
    let woken = world.wake.notified();
    let answer = world.post(ADD, add_calls_body(&batch)).send().await;
    assert_snapshot!(answer.shown());
    // The engine is told at once.
    woken.await;
}

#[tokio::test]
async fn the_other_spelling_of_call_data() {
    let world = World::new().await;
    let batch = world.batch().await;
    let post = |body: String| world.post("/api/call/addCallsToBatch", body);
    let one = r#"[{"phoneNumber":"12125551001"}]"#;
    let answer = post(format!(r#"{{"callData":{one},"batchId":"{batch}"}}"#)).send().await;
    assert_eq!((answer.status, &answer.json()["data"]["added"]), (200, &1.into()));
    let both = format!(r#"{{"batchId":"{batch}","callData":{one},"call_data":{one}}}"#);
    let text = post(both).send().await.refusal(400);
    assert!(text.contains("callData") && text.contains("call_data"), "{text}");
}

#[tokio::test]
async fn batches() {
    let world = World::new().await;
    let path = format!("/api/call/batches/{}", world.own.user);
    world.get(&path).send().await.refusal(404);
    let batch = world.batch().await;
    world.post(ADD, add_calls_body(&batch)).send().await;
    let attempt = world.dial().await;
    world.hang_up(attempt, Duration::from_millis(119_001)).await;
    assert_snapshot!(world.get(&path).send().await.shown());
    let none = world.get(&format!("{path}?search=nothing")).send().await;
    assert_snapshot!("batches_empty", none.shown());
    for query in ["page=0", "limit=101", "limit=x", "page=1&page=2"] {
        world.get(&format!("{path}?{query}")).send().await.refusal(400);
    }
    world.get("/api/call/batches/12").send().await.refusal(400);
    world.get("/api/call/batches/64e5f12345abcdef12345678").send().await.refusal(404);
}

#[tokio::test]
async fn batch_details() {
    let world = World::new().await;
    let batch = world.batch().await;
    world.post(ADD, add_calls_body(&batch)).send().await;
    let attempt = world.dial().await;
    let path = format!("/api/call/batch-details/{batch}");
    assert_snapshot!("batch_details_ringing", world.get(&path).send().await.shown());
    world.hang_up(attempt, Duration::from_millis(119_001)).await;
    assert_snapshot!(world.get(&path).send().await.shown());
    world.get("/api/call/batch-details/x").send().await.refusal(400);
    world.get("/api/call/batch-details/%ff").send().await.refusal(400);
    world.get("/api/call/batch-details/64e5f12345abcdef98765432").send().await.refusal(404);
    for query in ["filter=x", "filter=[]", "sortOrder=up", "limit=0"] {
        world.get(&format!("{path}?{query}")).send().await.refusal(400);
    }
}

#[tokio::test]
async fn batch_details_paged_filtered_sorted_searched() {
    let world = World::new().await;
    let batch = world.batch().await;
    let records: Vec<String> = (0..25)
        .map(|i| {
            let name = ["Ann", "Bob", "Cy"][i % 3];
            format!(r#"{{"phoneNumber":"121255510{i:02}","name":"{name}","n":{}}}"#, 99 - i)
        })
        .collect();
    world.add_body(&batch, &records.join(","), "").send().await;
    let numbers = async |query: &str| {
        let path = format!("/api/call/batch-details/{batch}?{query}");
        let json = world.get(&path).send().await.json();
        let data = &json["data"];
        let numbers: Vec<String> = data["data"]
            .as_array()
            .unwrap_or_else(|| panic!("{json}"))
            .iter()
            .map(|r| r["phoneNumber"].as_str().unwrap()[9..].to_owned())
            .collect();
        (data["total"].as_u64().unwrap(), data["totalPages"].as_u64().unwrap(), numbers.join(" "))
    };
    assert_eq!(numbers("limit=3").await, (25, 9, "00 01 02".into()));
    assert_eq!(numbers("limit=10&page=3").await, (25, 3, "20 21 22 23 24".into()));
    assert_eq!(numbers("page=9").await, (25, 3, String::new()));
    assert_eq!(numbers("limit=2&sortOrder=desc").await, (25, 13, "24 23".into()));
    assert_eq!(numbers("limit=2&sortBy=name&sortOrder=desc").await.2, "23 20");
    assert_eq!(numbers("limit=2&sortBy=n").await.2, "24 23");
    let filter = |json: &str| format!("limit=2&filter={}", percent(json));
    assert_eq!(numbers(&filter(r#"{"name":"Bob"}"#)).await, (8, 4, "01 04".into()));
    assert_eq!(numbers(&filter(r#"{"name":["Bob","Cy"],"n":97}"#)).await, (1, 1, "02".into()));
    assert_eq!(numbers(&filter(r#"{"callStatus":"completed"}"#)).await, (0, 0, String::new()));
    assert_eq!(numbers(&filter(r#"{"callStatus":"pending"}"#)).await.0, 25);
    assert_eq!(numbers(&filter(r#"{"phoneNumber":"+1 212 555 1007"}"#)).await.2, "07");
    assert_eq!(numbers("search=bOb&limit=1").await, (8, 8, "01".into()));
    assert_eq!(numbers("search=5551024").await.2, "24");
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

#[tokio::test]
async fn start_and_stop_calling() {
    let world = World::new().await;
    let batch = world.batch().await;
    world.post(ADD, add_calls_body(&batch)).send().await;
    let user = world.own.user;
    let body = format!(r#"{{"batchId":"{batch}","userId":"{user}"}}"#);
    for path in ["/api/call/stop-calling", "/api/call/start-calling"] {
        let name = path.rsplit('/').next().unwrap();
        let first = world.post(path, body.clone()).send().await;
        assert_snapshot!(name, first.shown());
        // Both are idempotent.
        let again = world.post(path, body.clone()).send().await;
        assert_eq!(first.text(), again.text());
        for (bad, status) in [
            (format!(r#"{{"batchId":"{batch}"}}"#), 400),
            (format!(r#"{{"userId":"{user}"}}"#), 400),
            (format!(r#"{{"batchId":"x","userId":"{user}"}}"#), 400),
            (format!(r#"{{"batchId":5,"userId":"{user}"}}"#), 400),
            (format!(r#"{{"batchId":"{batch}","userId":"{NOBODY}"}}"#), 404),
            (format!(r#"{{"batchId":"{NOBODY}","userId":"{user}"}}"#), 404),
            ("[]".to_owned(), 400),
            (String::new(), 400),
        ] {
            world.post(path, bad).send().await.refusal(status);
        }
    }
}

#[tokio::test]
async fn delete_batch() {
    let world = World::new().await;
    let batch = world.batch().await;
    let path = format!("/api/call/delete-batch/{batch}");
    assert_snapshot!(world.delete(&path).send().await.shown());
    world.delete(&path).send().await.refusal(404);
    world.delete("/api/call/delete-batch/x").send().await.refusal(400);
    world.post(ADD, add_calls_body(&batch)).send().await.refusal(404);
    world.get(&format!("/api/call/batch-details/{batch}")).send().await.refusal(404);
}

#[tokio::test]
async fn add_and_delete_phone() {
    let world = World::new().await;
    let user = world.own.user;
    let add = |body: String| world.post("/api/call/add-phone", body);
    let body = |number: &str, integration: &str| {
        format!(
            r#"{{"userId":"{user}","phoneNumber":"{number}","integration":"{integration}",
                "authToken":"secret-token","accSId":"AC1"}}"#
        )
    };
    let made = add(body("+12125551234", "simulated")).send().await;
    assert_snapshot!("add_phone", made.shown());
    let twice = add(body("12125551234", "simulated")).send().await;
    assert!(twice.refusal(400).contains("phoneNumber"));
    for provider in ["plivo", "twilio", "telnyx"] {
        let text = add(body("12125551235", provider)).send().await.refusal(400);
        assert!(text.contains(provider) && text.contains("not available"), "{text}");
    }
    assert!(add(body("12125551235", "x")).send().await.refusal(400).contains("integration"));
    let text = add(body("12125551235", "sip")).send().await.refusal(400);
    assert!(text.contains("trunkId"), "{text}");
    assert!(add(body("123", "simulated")).send().await.refusal(400).contains("phoneNumber"));
    add("{}".to_owned()).send().await.refusal(400);
    let path = format!("/api/call/delete-phone/{}", made.made_id());
    assert_snapshot!("delete_phone", world.delete(&path).send().await.shown());
    world.delete(&path).send().await.refusal(404);
    world.delete("/api/call/delete-phone/x").send().await.refusal(400);
}

#[tokio::test]
async fn forms_of_refusals() {
    let world = World::new().await;
    let batch = world.batch().await;
    let add = world.post(ADD, add_calls_body(&batch));
    assert_snapshot!("refused_403", add.anonymous().send().await.shown());
    let me = world.get("/api/me").anonymous().send().await;
    assert_snapshot!("refused_401", me.shown());
    let nowhere = world.get("/api/nowhere").send().await;
    assert_snapshot!("refused_404", nowhere.shown());
    let method = world.get("/api/call/createBatch").send().await;
    assert_snapshot!("refused_405", method.shown());
}
