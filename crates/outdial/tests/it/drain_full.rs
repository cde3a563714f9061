//! F52: SIGTERM with five hundred live calls, and more about to be placed.

use std::time::Duration;

use serde_json::json;

use crate::evidence::{check_dialed, placed};
use crate::faulty_disk::{Disk, add, list, talkers};
use crate::harness::{Home, PATIENCE, lines_in, monotonic, wait_for};

const TOTAL: u64 = 800;
/// The trunk has 500 channels; the last hundred is about to leave.
const LIVE: usize = 400;
/// Calls that are committed and have not left when it is told to stop.
const AHEAD: u64 = 10;
const DRAIN: Duration = Duration::from_secs(8);

#[test]
fn five_hundred_live_calls_are_ended_and_the_rest_waits() {
    // A talk takes more than a minute.
    let limit = DRAIN.as_millis().to_string();
    let home = Home::new(&[
        ("OUTDIAL_SIMULATED_SPEED", "0.05"),
        ("OUTDIAL_ENGINE_DRAIN_LIMIT_MS", &limit),
    ]);
    // Commits are slow, so that they lie well ahead of what leaves.
    let disk = Disk::under(&home, &["outdial.db-wal$"]);
    let server = disk.serve(&home);
    disk.begin("slow", "40");
    let number = server.make_number();
    // In bursts of a hundred.
    let pace = json!({ "callsPerSecond": 100 }).to_string().into_bytes();
    let path = format!("/api/phones/{number}");
    server.try_send("PATCH", &path, &[], pace).unwrap().expect(200);
    let batch = server.make_batch(&number, &json!({}));
    let people = talkers(12_125_550_000, TOTAL);
    add(&server, "list", &list(&batch, &people)).unwrap().expect(200);
    let log = || lines_in(&home.carrier_log()).len();
    wait_for("they are live", PATIENCE, || (log() >= LIVE).then_some(()));
    let path = format!("/api/call/batch/{batch}");
    let live = || server.get(&path).expect(200)["data"]["callsLive"].as_u64().unwrap();
    // A tenth of a second's worth: much longer than it takes to send the signal.
    wait_for("many are committed and have not left", PATIENCE, || {
        (live() >= log() as u64 + AHEAD).then_some(())
    });

    let asked = monotonic();
    server.terminate();
    wait_for("it stops accepting", PATIENCE, || {
        server.try_send("GET", "/healthz", &[], Vec::new()).is_err().then_some(())
    });
    let then = log();
    assert!(server.wait().success());
    let took = monotonic() - asked;
    assert!(took < DRAIN + Duration::from_secs(5), "it took {took:?}");
    assert_eq!(log(), then, "a call was placed while draining");
    assert!(then < people.len(), "nothing was left to give back");

    // What had not left was given back: the next life calls everybody else, and nobody again.
    let server = home.serve_with(&[("OUTDIAL_SIMULATED_SPEED", "500")]).0;
    server.wait_completed(&batch, PATIENCE);
    check_dialed(&server, &batch, &home, TOTAL, 0);
    assert_eq!(log(), people.len(), "an intent that had not left was lost");
    assert!(placed(&home).values().all(|tokens| tokens.len() == 1));
    let tried = |call: &serde_json::Value| {
        let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
        server.get(&path).expect(200)["data"]["attempts"].as_array().unwrap().len()
    };
    let given_back = server.all_calls(&batch).iter().filter(|call| tried(call) > 1).count();
    println!("{then} were placed by then, {given_back} were committed and given back");
    assert!(given_back > 0, "nothing was committed and had not left");
    server.terminate();
    assert!(server.wait().success());
}
