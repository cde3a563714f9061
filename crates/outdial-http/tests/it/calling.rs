//! start-calling with its own records and numbers.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Req, World};

fn start<'a>(world: &'a World, batch: &str, more: &str) -> Req<'a> {
    let user = world.own.user;
    world.post(
        "/api/call/start-calling",
        format!(r#"{{"batchId":"{batch}","userId":"{user}"{more}}}"#),
    )
}

#[tokio::test]
async fn call_data_is_called_instead_of_the_batchs_own() {
    let world = World::new().await;
    let batch = world.batch().await;
    world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).send().await;
    let more = r#","uuid":"track-1","callData":[{"phoneNumber":"12125551002"}]"#;
    let started = start(&world, &batch, more).send().await;
    assert_snapshot!(started.shown());
    // The batch's own waits; what came along is placed.
    let attempt = world.dial().await;
    let call = started.json()["data"]["callIds"][0].clone();
    let path = format!("/api/call/call-details/{}", call.as_str().unwrap());
    assert_eq!(world.get(&path).send().await.json()["data"]["callStatus"], "ringing");
    world.hang_up(attempt, std::time::Duration::from_secs(1)).await;
    let shown = world.records(&batch).await;
    let held = format!("/api/call/call-details/{}", shown[0]["_id"].as_str().unwrap());
    let details = world.get(&held).send().await.json();
    assert_eq!(details["data"]["whyNotYet"], json!([{"reason": "calls_held"}]), "{details}");
    // Until a start without.
    assert_eq!(start(&world, &batch, "").send().await.status, 200);
    let details = world.get(&held).send().await.json();
    assert_eq!(details["data"]["whyNotYet"], json!([{"reason": "queued"}]), "{details}");
}

#[tokio::test]
async fn a_start_says_nothing_of_where_the_batch_stood_before() {
    let world = World::new().await;
    let one = r#","callData":[{"phoneNumber":"12125551002"}]"#;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    for before in ["pending", "stopped", "completed"] {
        let batch = world.batch_over(&phone, "").await;
        match before {
            "stopped" => {
                let body = format!(r#"{{"batchId":"{batch}","userId":"{}"}}"#, world.own.user);
                world.post("/api/call/stop-calling", body).send().await;
            }
            "completed" => {
                world.add(&batch, &[r#"{"phoneNumber":"12125551003"}"#]).send().await;
                let attempt = world.dial().await;
                world.hang_up(attempt, std::time::Duration::from_secs(1)).await;
                world.store.batch_close_due(10).await.unwrap();
            }
            _ => {}
        }
        let path = format!("/api/call/batch-details/{batch}");
        let shown = async || world.get(&path).send().await.json()["data"]["batchStatus"].clone();
        assert_eq!(shown().await, before);
        let started = start(&world, &batch, one).send().await.json();
        assert_eq!(started["data"]["status"], "started", "{before}: {started}");
        assert!(started["data"].get("batchStatus").is_none(), "{before}: {started}");
        assert!(started["data"].get("pauseReason").is_none(), "{before}: {started}");
        assert_eq!(shown().await, "active");
        // Out of the way of the next.
        world.delete(&format!("/api/call/delete-batch/{batch}")).send().await;
    }
}

#[tokio::test]
async fn call_data_of_null_is_none() {
    let world = World::new().await;
    let batch = world.batch().await;
    for more in [r#","callData":null,"callingNumbers":null"#, r#","call_data" : null "#] {
        let started = start(&world, &batch, more).send().await;
        assert_eq!(started.status, 200, "{}", started.text());
        let data = json!({"batchId": batch, "status": "started"});
        assert_eq!(started.json()["data"], data);
    }
}

#[tokio::test]
async fn call_data_is_judged_like_any_other() {
    let world = World::new().await;
    let batch = world.batch().await;
    for (more, status, part) in [
        (r#","callData":[]"#, 400, "empty"),
        (r#","callData":{}"#, 400, "array"),
        (r#","callData":false"#, 400, "array"),
        (r#","callData":[{"phoneNumber":"1"}]"#, 400, "invalid_phone_number"),
        (r#","callingNumbers":"x""#, 400, "callingNumbers"),
        (r#","callingNumbers":["x"]"#, 400, "callingNumbers[0]"),
        (r#","callingNumbers":["64e5f12345abcdef87654321"]"#, 404, "64e5f12345abcdef87654321"),
        (
            r#","callData":[{"phoneNumber":"12125551002"}],
                "callingNumbers":["64e5f12345abcdef87654321"]"#,
            404,
            "64e5f12345abcdef87654321",
        ),
        (r#","uuid":5"#, 400, "uuid"),
    ] {
        let answer = start(&world, &batch, more).send().await;
        assert!(answer.text().contains(part), "{part} in {}", answer.text());
        answer.refusal(status);
    }
    assert_eq!(world.total(&batch).await, 0);
}

#[tokio::test]
async fn other_numbers_from_now_on() {
    let world = World::new().await;
    let batch = world.batch().await;
    let foreign = world.agent("[]").await;
    let silent = world.phone("12125551236", None).await;
    let other = world.phone("12125551235", Some(&foreign)).await;
    let more =
        format!(r#","callingNumbers":["{other}"],"callData":[{{"phoneNumber":"12125551002"}}]"#);
    assert_eq!(start(&world, &batch, &more).send().await.status, 200);
    let id = batch.parse().unwrap();
    let record = world.store.batch_fetch(id).await.unwrap().unwrap();
    assert_eq!(record.numbers.iter().map(ToString::to_string).collect::<Vec<_>>(), [other]);
    let more =
        format!(r#","callingNumbers":["{silent}"],"callData":[{{"phoneNumber":"12125551002"}}]"#);
    assert!(start(&world, &batch, &more).send().await.refusal(404).contains("agent"));
}
