//! SIGTERM: no new calls, live ones finish or are recorded, exit 0.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Home, PATIENCE, lines_in, records, wait_for};

#[test]
fn live_calls_finish_and_no_new_one_is_placed() {
    // At this speed a talk takes two to four seconds.
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "2")]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 10 }));
    let body = json!({ "batchId": batch, "call_data": records(12_125_550_000, 60) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    wait_for("live calls", PATIENCE, || (server.count(&batch, &["in-progress"]) > 0).then_some(()));

    server.terminate();
    wait_for("it stops accepting", PATIENCE, || {
        server.try_send("GET", "/healthz", &[], Vec::new()).is_err().then_some(())
    });
    let placed_by_then = lines_in(&home.carrier_log());
    assert!(server.wait().success());
    let placed = lines_in(&home.carrier_log());
    assert_eq!(placed, placed_by_then, "a call was placed while draining");
    assert!(placed.len() < 60, "there was nothing left to do");

    // The next life finds every call that was placed, over, and calls the others.
    let server = home.serve();
    server.wait_completed(&batch, PATIENCE);
    assert_eq!(server.count(&batch, &["completed"]), 60);
    assert_eq!(lines_in(&home.carrier_log()).len(), 60, "one attempt each");
}

#[test]
fn what_does_not_finish_in_time_is_recorded() {
    let settings = [("OUTDIAL_SIMULATED_SPEED", "0.1"), ("OUTDIAL_ENGINE_DRAIN_LIMIT_MS", "300")];
    let home = Home::new(&settings);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    let body = json!({ "batchId": batch, "call_data": records(12_125_550_000, 5) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    wait_for("all are placed", PATIENCE, || {
        (lines_in(&home.carrier_log()).len() == 5).then_some(())
    });

    server.terminate();
    assert!(server.wait().success());
    let server = home.serve();
    server.wait_completed(&batch, PATIENCE);
    assert_eq!(server.count(&batch, &["unknown", "canceled"]), 5);
    assert_eq!(lines_in(&home.carrier_log()).len(), 5);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "0.01")]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    let body = json!({ "batchId": batch, "call_data": records(12_125_550_000, 1) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    wait_for("it is placed", PATIENCE, || {
        (!lines_in(&home.carrier_log()).is_empty()).then_some(())
    });

    server.terminate();
    wait_for("it drains", PATIENCE, || {
        server.try_send("GET", "/healthz", &[], Vec::new()).is_err().then_some(())
    });
    server.terminate();
    let ended = server.wait_at_most(Duration::from_secs(5));
    assert!(!ended.success());
}
