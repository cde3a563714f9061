//! What addCallsToBatch promises beyond its documented answer.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::World;

fn record(i: usize) -> String {
    format!(r#"{{"phoneNumber":"1212{:07}","i":{i}}}"#, 5_550_000 + i)
}

fn records(range: std::ops::Range<usize>) -> String {
    range.map(record).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn every_fault_is_reported_and_nothing_stored() {
    let world = World::new().await;
    let agent = world
        .agent(
            r#"[{"key":"name","type":"string","required":true},{"key":"n","type":"number"},
                {"key":"tier","type":"string","required":true,"default":"basic"}]"#,
        )
        .await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let batch = world.batch_over(&phone, "").await;
    let bad = [
        r#"{"phoneNumber":"12125551001","name":"Ann","n":1}"#,
        r#"{"phoneNumber":"12125551002","name":" ","n":"1"}"#,
        r#"{"phoneNumber":"555","name":"Cy"}"#,
        "7",
    ];
    assert_snapshot!("faults_of_records", world.add(&batch, &bad).send().await.shown());
    assert_eq!(world.total(&batch).await, 0);

    let many = vec!["{}"; 150].join(",");
    let json = world.add_body(&batch, &many, "").send().await.json();
    assert_eq!(json["data"]["errorCount"], 300, "{json}");
    assert_eq!(json["data"]["errors"].as_array().unwrap().len(), 100);
    assert_eq!(json["data"]["errors"][99]["index"], 49);

    let skip = world.add_body(&batch, &bad.join(","), r#","onInvalid":"skip""#).send().await;
    assert_snapshot!("rejected", skip.shown());
    assert_eq!(world.total(&batch).await, 1);
    let none = world.add_body(&batch, "{},7", r#","onInvalid":"skip""#).send().await;
    none.refusal(400);
}

#[tokio::test]
async fn added_again_updates_and_the_last_of_a_request_wins() {
    let world = World::new().await;
    let batch = world.batch().await;
    let first = world
        .add(
            &batch,
            &[
                r#"{"phoneNumber":"12125551001","v":1}"#,
                r#"{"phoneNumber":"12125551002","v":2}"#,
                r#"{"phoneNumber":"+1 (212) 555-1001","v":3}"#,
            ],
        )
        .send()
        .await
        .json();
    assert_eq!(first["data"]["added"], 2, "{first}");
    assert!(first["data"].get("updated").is_none(), "{first}");
    let shown: Vec<Value> = world.records(&batch).await;
    assert_eq!((&shown[0]["v"], &shown[1]["v"]), (&json!(2), &json!(3)));
    assert_eq!(shown[1]["variables"], json!({"phoneNumber": "+1 (212) 555-1001"}));

    let again = world.add(&batch, &[r#"{"phoneNumber":"12125551002","w":9}"#]).send().await.json();
    assert_eq!((&again["data"]["added"], &again["data"]["updated"]), (&json!(1), &json!(1)));
    assert_eq!(again["data"]["callIds"][0], first["data"]["callIds"][0]);
    let shown = world.records(&batch).await;
    assert_eq!((&shown[0]["w"], shown[0].get("v")), (&json!(9), None), "fields are replaced");
    assert_eq!(world.total(&batch).await, 2);
}

#[tokio::test]
async fn on_the_phone_waits_and_finished_is_called_again() {
    let world = World::new().await;
    let batch = world.batch().await;
    let add = |v: u32| {
        let record = format!(r#"{{"phoneNumber":"12125551001","v":{v}}}"#);
        world.add_body(&batch, &record, "")
    };
    add(1).send().await;
    let attempt = world.dial().await;
    let deferred = add(2).send().await.json();
    assert_eq!(deferred["data"]["deferred"], 1, "{deferred}");
    assert_eq!(world.records(&batch).await[0]["v"], 1);
    world.hang_up(attempt, Duration::from_secs(30)).await;
    let shown = world.records(&batch).await;
    assert_eq!((&shown[0]["v"], &shown[0]["callStatus"]), (&json!(2), &json!("completed")));

    let reopened = add(3).send().await.json();
    assert_eq!(reopened["data"]["updated"], 1, "{reopened}");
    let shown = world.records(&batch).await;
    assert_eq!((&shown[0]["v"], &shown[0]["callStatus"]), (&json!(3), &json!("pending")));
    let attempt = world.dial().await;
    world.hang_up(attempt, Duration::from_secs(1)).await;
    let logs = &world.records(&batch).await[0]["phoneLogs"];
    assert_eq!(logs.as_array().unwrap().len(), 2, "{logs}");
    assert_eq!((&logs[0]["callDuration"], &logs[1]["callDuration"]), (&json!(30), &json!(1)));
}

#[tokio::test]
async fn chunks_are_by_position() {
    let world = World::new().await;
    let batch = world.batch().await;
    let answer = world.add_body(&batch, &records(0..2500), "").send().await;
    let json = answer.json();
    assert_eq!((answer.status, &json["data"]["added"]), (200, &json!(2500)));
    let ids = json["data"]["callIds"].as_array().unwrap();
    assert_eq!(ids.len(), 2500);
    for i in [0, 999, 1000, 2499] {
        let path = format!("/api/call/call-details/{}", ids[i].as_str().unwrap());
        let call = world.get(&path).send().await.json();
        assert_eq!(call["data"]["variables"]["i"], i, "{call}");
    }
    // A number of the first chunk again in the third: it is stored there only.
    let all = format!("{},{}", records(5000..7500), r#"{"phoneNumber":"12125555003","late":1}"#);
    let json = world.add_body(&batch, &all, "").send().await.json();
    let ids = json["data"]["callIds"].as_array().unwrap();
    assert_eq!((&json["data"]["added"], ids.len()), (&json!(2500), 2500));
    let path = format!("/api/call/call-details/{}", ids[2499].as_str().unwrap());
    let call = world.get(&path).send().await.json();
    assert_eq!(call["data"]["variables"]["late"], 1, "{call}");
}

#[tokio::test]
async fn adding_does_not_start_what_a_person_stopped() {
    let world = World::new().await;
    let batch = world.batch().await;
    let body = format!(r#"{{"batchId":"{batch}","userId":"{}"}}"#, world.own.user);
    world.post("/api/call/stop-calling", body).send().await;
    let added = world.add_body(&batch, &record(1), "").send().await.json();
    assert_eq!(added["data"]["batchStatus"], "stopped", "{added}");
    let details = world.get(&format!("/api/call/batch-details/{batch}")).send().await.json();
    assert_eq!(details["data"]["batchStatus"], "stopped");
}

#[tokio::test]
async fn zones_and_hours_that_never_meet() {
    let world = World::new().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let hours = r#","callingHour":{"start":"10:00","end":"11:00"}"#;
    let batch = world.batch_over(&phone, hours).await;
    let toll_free = r#"{"phoneNumber":"18002345678"}"#;
    let records = [r#"{"phoneNumber":"12125551001"}"#, toll_free];
    let added = world.add(&batch, &records).send().await;
    assert_snapshot!("no_common_hours", added.shown());
    let shown = world.records(&batch).await;
    assert_eq!(shown[0]["appliedTimezone"], "America/New_York", "{}", shown[0]);
    assert_eq!((&shown[1]["callStatus"], shown[1].get("timezone")), (&json!("skipped"), None));
    let own = r#"{"phoneNumber":"18002345678","timezone":"America/Phoenix"}"#;
    let added = world.add(&batch, &[own]).send().await.json();
    assert!(added["data"].get("warnings").is_none(), "{added}");
    let shown = world.records(&batch).await;
    assert_eq!(shown[1]["timezone"], "America/Phoenix");
    assert_eq!(
        (&shown[1]["appliedTimezone"], &shown[1]["callStatus"]),
        (&json!("America/Phoenix"), &json!("pending"))
    );
}

#[tokio::test]
async fn rules_that_allow_less_than_the_hours() {
    let world = World::new().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let hours = r#","callingHour":{"start":"07:00","end":"20:30"}"#;
    let batch = world.batch_over(&phone, hours).await;
    let records = [
        r#"{"phoneNumber":"12125551001"}"#,
        r#"{"phoneNumber":"13055551001"}"#,
        r#"{"phoneNumber":"13055551002","timezone":"America/New_York"}"#,
    ];
    let added = world.add(&batch, &records).send().await;
    assert_snapshot!("calling_rules", added.shown());
    for record in world.records(&batch).await {
        assert_eq!(record["callStatus"], "pending", "{record}");
    }
    // Without hours of its own a batch asks for nothing that a rule could take away.
    let batch = world.batch_over(&phone, "").await;
    let added = world.add(&batch, &records).send().await.json();
    assert!(added["data"].get("warnings").is_none(), "{added}");
}

#[tokio::test]
async fn agents_and_numbers() {
    let world = World::new().await;
    let phone = world.phone("12125551234", None).await;
    let batch = world.batch_over(&phone, "").await;
    assert!(world.add_body(&batch, &record(1), "").send().await.refusal(404).contains("agent"));
    let (a, b) = (world.agent("[]").await, world.agent("[]").await);
    let other = world.phone("12125551235", Some(&a)).await;
    let two = format!(r#"{{"batchName":"x","callingNumbers":["{phone}","{other}"]}}"#);
    let batch = world.post("/api/call/createBatch", two.clone()).send().await.json();
    let batch = batch["data"].as_str().unwrap();
    assert_eq!(world.add_body(batch, &record(1), "").send().await.status, 200);
    let bind = format!(r#"{{"agentId":"{b}"}}"#);
    world.patch(&format!("/api/phones/{phone}"), bind).send().await;
    let differ = world.add_body(batch, &record(1), "").send().await;
    assert!(differ.refusal(400).contains("agents_differ"));
    world.post("/api/call/createBatch", two).send().await.refusal(400);
}

#[tokio::test]
async fn settings_decide_which_countries_may_be_called() {
    let world = World::new().await;
    let batch = world.batch().await;
    let british = r#"{"phoneNumber":"4402079460000"}"#;
    let refused = world.add(&batch, &[british]).send().await;
    assert!(refused.refusal(400).contains("country code"));
    world.patch("/api/settings", r#"{"allowedCountries":["GB"]}"#).send().await;
    assert_eq!(world.add(&batch, &[british]).send().await.status, 200);
    let shown = world.records(&batch).await;
    assert_eq!(shown[0]["phoneNumber"], "442079460000");
    assert_eq!(shown[0]["variables"]["phoneNumber"], "4402079460000");
}

#[tokio::test]
async fn a_batch_that_has_expired_takes_calls_and_says_so() {
    let world = World::new().await;
    let agent = world.agent("[]").await;
    let phone = world.phone("12125551234", Some(&agent)).await;
    let batch = world.batch_over(&phone, r#","expiresAt":"2025-05-15T15:00:00Z""#).await;
    let records = [r#"{"phoneNumber":"12125551001"}"#, r#"{"phoneNumber":"12125551002"}"#];
    let early = world.add(&batch, &records[..1]).send().await.json();
    assert!(early["data"].get("warnings").is_none(), "{early}");
    world.clock.advance(Duration::from_secs(1800));
    let late = world.add(&batch, &records).send().await.json();
    let warnings = late["data"]["warnings"].as_array().unwrap();
    assert_eq!((warnings.len(), &late["data"]["added"]), (1, &2.into()), "{late}");
    assert_eq!((&warnings[0]["code"], &warnings[0]["count"]), (&"expired".into(), &2.into()));
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(message.contains("expired at 2025-05-15T15:00:00"), "{message}");
}
