//! The do-not-call list.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Req, World};

/// The name of the attempts that tests dial.
const LOG: &str = "abababab-abab-abab-abab-abababababab";
const NOBODY: &str = "64e5f12345abcdef98765432";

fn add<'a>(world: &'a World, number: &str, batch: &str, log: &str) -> Req<'a> {
    let body = format!(
        r#"{{"phoneNumber":"{number}","batchId":"{batch}","requestUUID":"{log}",
            "type":"customer_request"}}"#
    );
    world.post("/api/dnc/add", body)
}

/// A batch with one called person, 12125551001.
async fn called(world: &World) -> String {
    let batch = world.batch().await;
    world.add(&batch, &[r#"{"phoneNumber":"12125551001","name":"Ann"}"#]).send().await;
    let attempt = world.dial().await;
    world.hang_up(attempt, Duration::from_secs(5)).await;
    batch
}

async fn listed(world: &World, query: &str) -> Vec<Value> {
    let answer = world.get(&format!("/api/dnc/list{query}")).send().await.json();
    answer["data"]["dncList"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

#[tokio::test]
async fn added_listed_and_deleted() {
    let world = World::new().await;
    let batch = called(&world).await;
    assert_snapshot!("dnc_empty", world.get("/api/dnc/list").send().await.shown());
    assert_snapshot!(
        "dnc_added",
        add(&world, "+1 (212) 555-1001", &batch, LOG).send().await.shown()
    );
    assert_snapshot!("dnc_twice", add(&world, "12125551001", &batch, LOG).send().await.shown());
    assert_snapshot!("dnc_list", world.get("/api/dnc/list").send().await.shown());
    let path = format!("/api/dnc/delete/{}", listed(&world, "").await[0]["_id"].as_str().unwrap());
    assert_snapshot!("dnc_deleted", world.delete(&path).send().await.shown());
    assert_snapshot!("dnc_deleted_twice", world.delete(&path).send().await.shown());
    assert_eq!(listed(&world, "").await, [] as [Value; 0]);
    world.delete("/api/dnc/delete/x").send().await.refusal(400);
    world.delete(&format!("/api/dnc/delete/{NOBODY}")).send().await.refusal(404);
}

#[tokio::test]
async fn what_cannot_be_listed() {
    let world = World::new().await;
    let batch = called(&world).await;
    let other = world.batch_over(&world.phone("12125551235", None).await, "").await;
    for (body, status, part) in [
        (json!({}), 400, "phoneNumber"),
        (json!({"phoneNumber": "12125551001", "requestUUID": LOG}), 400, "batchId"),
        (json!({"phoneNumber": "12125551001", "batchId": batch}), 400, "requestUUID"),
        (json!({"phoneNumber": "1", "batchId": batch, "requestUUID": LOG}), 400, "phoneNumber"),
        (json!({"phoneNumber": [], "batchId": batch, "requestUUID": LOG}), 400, "phoneNumber"),
        (json!({"phoneNumber": "12125551001", "batchId": "x", "requestUUID": LOG}), 400, "batchId"),
        (
            json!({"phoneNumber": "12125551001", "batchId": NOBODY, "requestUUID": LOG}),
            404,
            "batch",
        ),
        (
            json!({"phoneNumber": "12125551001", "batchId": batch, "requestUUID": LOG,
                "type": "x".repeat(201)}),
            400,
            "type",
        ),
        // Neither another person's log, nor another batch's, nor what is no UUID at all.
        (json!({"phoneNumber": "12125551002", "batchId": batch, "requestUUID": LOG}), 404, "log"),
        (json!({"phoneNumber": "12125551001", "batchId": other, "requestUUID": LOG}), 404, "log"),
        (json!({"phoneNumber": "12125551001", "batchId": batch, "requestUUID": "1"}), 404, "log"),
        (
            json!({"phoneNumber": "12125551001", "batchId": batch, "requestUUID": LOG,
                "userId": NOBODY}),
            404,
            "user",
        ),
    ] {
        let answer = world.post("/api/dnc/add", body.to_string()).send().await;
        assert!(answer.refusal(status).contains(part), "{part} in {}", answer.text());
    }
    assert_eq!(listed(&world, "").await, [] as [Value; 0]);
    let integer = format!(
        r#"{{"phoneNumber":12125551001,"batchId":"{batch}","requestUUID":"{}"}}"#,
        LOG.to_uppercase()
    );
    assert_eq!(world.post("/api/dnc/add", integer).send().await.status, 200);
    assert_eq!(listed(&world, "").await[0]["type"], Value::Null);
}

#[tokio::test]
async fn pages_and_searches() {
    let world = World::new().await;
    let batch = called(&world).await;
    add(&world, "12125551001", &batch, LOG).send().await;
    for (query, found) in [
        ("?search=5551001", 1),
        ("?search=CUSTOMER", 1),
        ("?search=ABABABAB-", 1),
        ("?search=complaint", 0),
        ("?page=2", 0),
        ("?limit=1&page=1", 1),
    ] {
        assert_eq!(listed(&world, query).await.len(), found, "{query}");
    }
    for query in ["?limit=0", "?limit=101", "?page=0", "?page=x"] {
        world.get(&format!("/api/dnc/list{query}")).send().await.refusal(400);
    }
}

#[tokio::test]
async fn the_same_request_twice_is_one() {
    let world = World::new().await;
    let batch = called(&world).await;
    let once = || add(&world, "12125551001", &batch, LOG).header("idempotency-key", "k");
    let (first, again) = (once().send().await, once().send().await);
    assert_eq!((first.status, first.text()), (200, again.text()));
    assert_eq!(listed(&world, "").await.len(), 1);
    let other = add(&world, "12125551002", &batch, LOG).header("idempotency-key", "k");
    other.send().await.refusal(422);
}

#[tokio::test]
async fn holds_at_once_and_for_every_batch() {
    let world = World::new().await;
    let batch = called(&world).await;
    // The same person waits in another batch, and again in this one.
    let second = world.batch_over(&world.phone("12125551235", None).await, "").await;
    let bind = format!(
        r#"{{"agentId":"{}"}}"#,
        world.get("/api/agents").send().await.json()["data"]["agents"][0]["_id"].as_str().unwrap()
    );
    let phones = world.get("/api/phones").send().await.json();
    let phone = phones["data"]["phones"][1]["_id"].as_str().unwrap();
    world.patch(&format!("/api/phones/{phone}"), bind).send().await;
    for b in [&batch, &second] {
        let added = world.add(b, &[r#"{"phoneNumber":"12125551001"}"#]).send().await;
        assert_eq!(added.status, 200, "{}", added.text());
    }
    let woken = world.wake.notified();
    assert_eq!(add(&world, "12125551001", &batch, LOG).send().await.status, 200);
    woken.await;
    for b in [&batch, &second] {
        let record = &world.records(b).await[0];
        assert_eq!(record["callStatus"], "skipped", "{record}");
        let path = format!("/api/call/call-details/{}", record["_id"].as_str().unwrap());
        let details = world.get(&path).send().await.json();
        assert_eq!(details["data"]["reason"], "do_not_call", "{details}");
        assert!(details["data"].get("whyNotYet").is_none(), "{details}");
    }
    // Added again while listed, it stays so, and the answer says it.
    let body = [r#"{"phoneNumber":"12125551001"}"#, r#"{"phoneNumber":"12125551002"}"#];
    let added = world.add(&batch, &body).send().await;
    assert_snapshot!("dnc_warning", added.shown());
    assert_eq!(world.records(&batch).await[0]["callStatus"], "skipped");
    // Taken off again, they are not revived; added again they are called.
    let path = format!("/api/dnc/delete/{}", listed(&world, "").await[0]["_id"].as_str().unwrap());
    world.delete(&path).send().await;
    assert_eq!(world.records(&batch).await[0]["callStatus"], "skipped");
    world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).send().await;
    assert_eq!(world.records(&batch).await[0]["callStatus"], "pending");
}

#[tokio::test]
async fn switched_on_and_off() {
    let world = World::new().await;
    let switch = |body: &str| world.post("/api/dnc/enable-disable", body);
    let is_on =
        async || world.get("/api/settings").send().await.json()["data"]["doNotCall"].clone();
    assert_eq!(is_on().await, true);
    assert_snapshot!("dnc_switched", switch(r#"{"enable":false}"#).send().await.shown());
    assert_eq!(is_on().await, false);
    for bad in ["{}", r#"{"enable":null}"#, r#"{"enable":"true"}"#, r#"{"enable":1}"#, "[]"] {
        let text = switch(bad).send().await.refusal(400);
        assert!(text.contains("enable") || text.contains("object"), "{bad}: {text}");
    }
    // Off, nothing is skipped, but for a batch that asks for it.
    let batch = called(&world).await;
    assert_eq!(add(&world, "12125551001", &batch, LOG).send().await.status, 200);
    world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).send().await;
    assert_eq!(world.records(&batch).await[0]["callStatus"], "pending");
    let patch = r#"{"enableDNC":true}"#;
    world.patch(&format!("/api/call/batch/{batch}"), patch).send().await;
    assert_eq!(world.commit().await.committed, []);
    assert_eq!(world.records(&batch).await[0]["callStatus"], "skipped");
    assert_eq!(switch(r#"{"enable":true}"#).send().await.status, 200);
    assert_eq!(is_on().await, true);
}
