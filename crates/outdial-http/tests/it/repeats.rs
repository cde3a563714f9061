//! What makes a repeat a repeat: `Idempotency-Key`, and the rule for requests without one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_http::HttpConfig;
use outdial_ports::store::StoreError;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::faulty::{Faults, Faulty};
use crate::support::{Answer, Req, World, eventually, exchange};

fn records(range: std::ops::Range<usize>) -> String {
    let record = |i| format!(r#"{{"phoneNumber":"1212{:07}"}}"#, 5_550_000 + i);
    range.map(record).collect::<Vec<_>>().join(",")
}

async fn faulty() -> (World, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let given = faults.clone();
    let world =
        World::with(HttpConfig::default(), |inner| Arc::new(Faulty { inner, faults: given }));
    (world.await, faults)
}

/// How many times each record of the batch was put to be called, at most: its round.
async fn rounds(world: &World, answer: &Answer) -> Vec<u32> {
    let mut rounds = Vec::new();
    for id in answer.json()["data"]["callIds"].as_array().unwrap() {
        let id = id.as_str().unwrap().parse().unwrap();
        let (_, call) = world.store.call_fetch(world.own.workspace, id).await.unwrap().unwrap();
        rounds.push(call.facts.round);
    }
    rounds
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_byte_for_byte() {
    let world = World::new().await;
    let batch = world.batch().await;
    let add = |key: &str| world.add_body(&batch, &records(0..3), "").header("idempotency-key", key);
    let first = add("k1").send().await;
    let attempt = world.dial().await;
    world.hang_up(attempt, Duration::from_secs(1)).await;
    let again = add("k1").send().await;
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    assert_eq!(rounds(&world, &first).await, [1, 1, 1], "nothing was re-opened");
    // A new key is a new request.
    let other = add("k2").send().await.json();
    assert_eq!(other["data"]["updated"], 3, "{other}");
    // Even what has changed since does not change the answer.
    world.delete(&format!("/api/call/delete-batch/{batch}")).send().await;
    assert_eq!(add("k1").send().await.text(), first.text());
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let world = World::new().await;
    let batch = world.batch().await;
    let add = |n: usize| world.add_body(&batch, &records(0..n), "").header("idempotency-key", "k");
    assert_eq!(add(1).send().await.status, 200);
    add(2).send().await.refusal(422);
    // Before what the body says is looked at.
    let garbage = world.post("/api/call/addCallsToBatch", "{").header("idempotency-key", "k");
    garbage.send().await.refusal(422);
    let other_path = world.post("/api/call/start-calling", "{").header("idempotency-key", "k");
    other_path.send().await.refusal(400);
    let add = || world.add_body(&batch, &records(0..1), "");
    add().header("idempotency-key", "").send().await.refusal(400);
    add().header("idempotency-key", "a").header("idempotency-key", "b").send().await.refusal(400);
    let stranger = world.stranger().await;
    add().header("idempotency-key", "k").by(&stranger).send().await.refusal(403);
}

#[tokio::test]
async fn a_refusal_leaves_no_trace_of_the_key() {
    let world = World::new().await;
    let batch = world.batch().await;
    let add = |records: &str| world.add_body(&batch, records, "").header("idempotency-key", "k");
    add("{}").send().await.refusal(400);
    assert_eq!(add(&records(0..1)).send().await.status, 200);

    let phone = world.phone("12125551235", None).await;
    let create = |phone: &str| -> Req<'_> {
        let body = format!(r#"{{"batchName":"x","callingNumbers":["{phone}"]}}"#);
        world.post("/api/call/createBatch", body).header("idempotency-key", "k")
    };
    create("64e5f12345abcdef87654321").send().await.refusal(404);
    assert_eq!(create(&phone).send().await.status, 201);
}

#[tokio::test]
async fn creating_takes_a_key_too() {
    let world = World::new().await;
    let phone = world.phone("12125551234", None).await;
    let create = |name: &str| -> Req<'_> {
        let body = format!(r#"{{"batchName":"{name}","callingNumbers":["{phone}"]}}"#);
        world.post("/api/call/createBatch", body).header("idempotency-key", "k")
    };
    let first = create("a").send().await;
    assert_eq!((first.status, first.text()), (201, create("a").send().await.text()));
    create("b").send().await.refusal(422);
    let agent = || {
        let body = r#"{"name":"x","languages":["en"]}"#;
        world.post("/api/agents", body).header("idempotency-key", "k")
    };
    assert_eq!(agent().send().await.text(), agent().send().await.text());
    assert_eq!(world.get("/api/agents").send().await.json()["data"]["agents"][1], json!(null));
}

#[tokio::test]
async fn keyless_and_answered_is_a_new_request_when_sent_again() {
    let world = World::new().await;
    let batch = world.batch().await;
    let add = || world.add_body(&batch, &records(0..1), "");
    let first = add().send().await;
    let attempt = world.dial().await;
    world.hang_up(attempt, Duration::from_secs(1)).await;
    let again = add().send().await;
    assert_eq!(again.json()["data"]["updated"], 1, "{}", again.text());
    assert_eq!(rounds(&world, &first).await, [2], "called again, as asked");
}

#[tokio::test]
async fn a_207_sent_again_is_a_repeat_that_finishes_the_rest() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    let add = || world.add_body(&batch, &records(0..2500), "");
    let gone = StoreError::Unavailable("pulled".to_owned());
    faults.chunks.lock().unwrap().insert(2, gone);
    let partial = add().send().await;
    assert_eq!(partial.status, 207);
    let json = partial.json();
    assert_eq!(json["message"], "Some calls failed to enqueue");
    assert_eq!(json["errorMessage"], "Partial content, check failedChunks for details");
    assert_eq!((&json["status"], &json["data"]["added"]), (&json!(false), &json!(1500)));
    let failed = json!([{"chunkNum": 2, "error": "Database connection error"}]);
    assert_eq!(json["data"]["failedChunks"], failed);
    assert_eq!(world.total(&batch).await, 1500);

    faults.chunks.lock().unwrap().clear();
    let before = faults.added.load(Ordering::Acquire);
    let whole = add().send().await;
    assert_eq!((whole.status, &whole.json()["data"]["added"]), (200, &json!(2500)));
    assert!(whole.json()["data"].get("updated").is_none(), "no chunk was applied twice");
    assert_eq!(faults.added.load(Ordering::Acquire) - before, 1, "one chunk was left to do");
    assert_eq!(world.total(&batch).await, 2500);
}

#[tokio::test]
async fn nothing_stored_is_500_and_the_repeat_does_it() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    let add = || world.add_body(&batch, &records(0..10), "").header("idempotency-key", "k");
    faults.chunks.lock().unwrap().insert(1, StoreError::Internal("x".to_owned()));
    let none = add().send().await;
    insta::assert_snapshot!(none.shown());
    faults.chunks.lock().unwrap().clear();
    let done = add().send().await;
    assert_eq!((done.status, &done.json()["data"]["added"]), (200, &json!(10)));
    assert_eq!(add().send().await.text(), done.text());
}

#[tokio::test]
async fn a_lost_answer_to_a_commit_is_looked_up() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    faults.lose_answers.store(1, Ordering::Release);
    let done = world.add_body(&batch, &records(0..10), "").send().await;
    assert_eq!((done.status, &done.json()["data"]["added"]), (200, &json!(10)));
    assert!(done.json()["data"].get("updated").is_none());
    // And when that cannot be asked, it is said.
    faults.lose_answers.store(2, Ordering::Release);
    let lost = world.add_body(&batch, &records(20..30), "").send().await;
    assert_eq!(lost.status, 500);
    assert_eq!(lost.json()["data"]["failedChunks"][0]["error"], "outcome unknown");
}

#[tokio::test]
async fn a_store_that_is_known_to_be_gone() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    let add = || world.add_body(&batch, &records(0..10), "");
    *faults.begin.lock().unwrap() = Some(StoreError::Unavailable("pulled".to_owned()));
    insta::assert_snapshot!("unavailable", add().send().await.shown());
    *faults.begin.lock().unwrap() = Some(StoreError::Full);
    insta::assert_snapshot!("full", add().send().await.shown());
    *faults.begin.lock().unwrap() = None;
    assert_eq!(add().send().await.status, 200);
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_answer_gets_it_when_it_comes_again() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    let add = || world.add_body(&batch, &records(0..10), "");
    faults.hold.store(true, Ordering::Release);
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(&add().bytes()).await.unwrap();
    faults.held.notified().await;
    // The same bytes while they are being worked on.
    let busy = add().send().await;
    assert!(busy.header("retry-after").is_some());
    busy.refusal(409);
    drop(stream);
    faults.hold.store(false, Ordering::Release);
    faults.release.notify_waiters();
    // The work ran to its end, and the answer waits for who comes again.
    eventually(async || world.total(&batch).await == 10).await;
    let mut answer = add().send().await;
    while answer.status == 409 {
        answer = add().send().await;
    }
    assert_eq!((answer.status, &answer.json()["data"]["added"]), (200, &json!(10)));
    assert!(answer.json()["data"].get("updated").is_none(), "a repeat, not a new request");
    // Now it was delivered: the same bytes are a new request.
    assert_eq!(add().send().await.json()["data"]["updated"], 10);
}

#[tokio::test]
async fn a_busy_key_is_409() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    let add = || world.add_body(&batch, &records(0..10), "").header("idempotency-key", "k");
    faults.hold.store(true, Ordering::Release);
    let first = async { add().send().await };
    let second = async {
        faults.held.notified().await;
        let busy = add().send().await;
        faults.hold.store(false, Ordering::Release);
        faults.release.notify_waiters();
        busy
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status, 200);
    assert!(second.header("retry-after").is_some());
    second.refusal(409);
}

#[tokio::test]
async fn a_client_that_hangs_up_as_its_request_begins_leaves_no_lease() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    let add = || world.add_body(&batch, &records(0..10), "").header("idempotency-key", "k");
    let agent = || {
        let body = r#"{"name":"x","languages":["en"]}"#;
        world.post("/api/agents", body).header("idempotency-key", "k")
    };
    for (request, status) in [(add().bytes(), 200), (agent().bytes(), 201)] {
        faults.hold_begun.store(true, Ordering::Release);
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        stream.write_all(&request).await.unwrap();
        faults.held.notified().await;
        drop(stream);
        // The server sees that the client has gone while it answers others.
        for _ in 0..20 {
            assert_eq!(world.get("/healthz").send().await.status, 200);
        }
        faults.hold_begun.store(false, Ordering::Release);
        faults.release.notify_waiters();
        eventually(async || exchange(world.addr, &request).await.unwrap().status == status).await;
    }
    assert_eq!(world.total(&batch).await, 10);
}

#[tokio::test]
async fn a_batch_that_is_deleted_before_the_first_chunk_leaves_no_trace_of_the_key() {
    let (world, faults) = faulty().await;
    let batch = world.batch().await;
    let other = world.phone("12125551235", Some(&world.agent("[]").await)).await;
    let other = world.batch_over(&other, "").await;
    let add =
        |batch: &str| world.add_body(batch, &records(0..10), "").header("idempotency-key", "k");
    faults.hold.store(true, Ordering::Release);
    let first = async { add(&batch).send().await };
    let second = async {
        faults.held.notified().await;
        world.delete(&format!("/api/call/delete-batch/{batch}")).send().await;
        faults.hold.store(false, Ordering::Release);
        faults.release.notify_waiters();
    };
    let (first, ()) = tokio::join!(first, second);
    first.refusal(404);
    assert_eq!(add(&other).send().await.status, 200, "another body with the same key");
}
