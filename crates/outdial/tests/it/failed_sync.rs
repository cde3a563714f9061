//! F16: the disk did not keep what it was given. The process takes nothing more in and ends by
//! itself, without another try; what was acknowledged is there.

use std::time::Duration;

use serde_json::json;

use crate::evidence::{check_dialed, ids_of};
use crate::faulty_disk::{Disk, add, assert_whole, ids, list, stopped_batch, talkers};
use crate::harness::{Home, PATIENCE, lines_in, records, wait_for};

const DIALED_FROM: u64 = 12_125_550_000;
const STORED_FROM: u64 = 13_105_500_000;
/// Of the drain, in which nothing can be recorded any more.
const DRAIN_MS: &str = "1000";

#[test]
fn a_commit_that_was_not_kept_ends_the_process() {
    let home = Home::new(&[
        ("OUTDIAL_SIMULATED_SPEED", "20"),
        ("OUTDIAL_ENGINE_DRAIN_LIMIT_MS", DRAIN_MS),
    ]);
    let disk = Disk::under(&home, &["outdial.db$", "outdial.db-wal$"]);
    let server = disk.serve(&home);
    let number = server.make_number();
    let stored = stopped_batch(&server, &home, &number);
    let kept = list(&stored, &records(STORED_FROM, 1500));
    let kept_answer = add(&server, "kept", &kept).unwrap().expect(200);
    let dialed = server.make_batch(&number, &json!({ "concurrency": 20 }));
    add(&server, "dialed", &list(&dialed, &talkers(DIALED_FROM, 200))).unwrap().expect(200);
    let placed = || lines_in(&home.carrier_log()).len();
    wait_for("dialing is under way", PATIENCE, || (placed() >= 40).then_some(()));

    disk.begin("nosync", "");
    wait_for("a sync has failed", PATIENCE, || (!disk.log().is_empty()).then_some(()));
    let then = placed();
    let more = list(&stored, &records(STORED_FROM + 5000, 1500));
    // Refused, or nobody there any more.
    let refused = add(&server, "more", &more);
    assert!(refused.as_ref().map_or(true, |a| a.status >= 500), "{refused:?}");
    let ended = server.wait_at_most(Duration::from_secs(20));
    assert!(!ended.success(), "{ended}");
    assert_eq!(placed(), then, "a call left after that");
    assert_eq!(disk.log().len(), 1, "the sync was tried again: {:?}", disk.log());
    assert!(disk.log()[0].ends_with("-wal"), "{:?}", disk.log());

    // On a disk that keeps things again.
    let server = home.serve();
    assert_eq!(add(&server, "kept", &kept).unwrap().expect(200), kept_answer);
    let there = ids_of(&server.all_calls(&stored));
    assert!(ids(&kept_answer).iter().all(|id| there.contains(id)), "acknowledged and lost");
    // Whether the list that was refused is there is unknown, but not half of a chunk of it.
    assert!([1500, 2500, 2000, 3000].contains(&there.len()), "{}", there.len());
    let again = add(&server, "more", &more).unwrap().expect(200);
    assert_eq!(again["data"]["added"], 1500);
    assert_eq!(server.count(&stored, &["pending"]), 3000);
    server.wait_completed(&dialed, PATIENCE);
    check_dialed(&server, &dialed, &home, 200, 0);
    server.terminate();
    assert!(server.wait().success());
    assert_whole(&home);
}

#[test]
fn a_checkpoint_that_was_not_kept_ends_the_process() {
    let home = Home::new(&[("OUTDIAL_ENGINE_DRAIN_LIMIT_MS", DRAIN_MS)]);
    // Commits are kept, in the log; bringing them into the file is not.
    let disk = Disk::under(&home, &["outdial.db$"]);
    let server = disk.serve(&home);
    let number = server.make_number();
    let batch = stopped_batch(&server, &home, &number);
    disk.begin("nosync", "");
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let key = format!("list-{n}");
        match add(&server, &key, &list(&batch, &records(STORED_FROM + n * 1000, 1000))) {
            Ok(answer) if answer.status == 200 => acknowledged.extend(ids(&answer.body)),
            Ok(answer) => {
                assert!(answer.status >= 500, "{answer:?}");
                break;
            }
            Err(_) => break,
        }
        assert!(n < 50, "the log was never brought in");
    }
    assert!(!acknowledged.is_empty());
    let ended = server.wait_at_most(Duration::from_secs(20));
    assert!(!ended.success(), "{ended}");
    assert_eq!(disk.log().len(), 1, "the sync was tried again: {:?}", disk.log());

    let server = home.serve();
    let there = ids_of(&server.all_calls(&batch));
    assert!(acknowledged.iter().all(|id| there.contains(id)), "acknowledged and lost");
    server.terminate();
    assert!(server.wait().success());
    assert_whole(&home);
}

#[test]
fn marks_that_were_not_kept_end_the_process_before_anything_leaves() {
    let home = Home::new(&[
        ("OUTDIAL_SIMULATED_SPEED", "100"),
        ("OUTDIAL_ENGINE_DRAIN_LIMIT_MS", DRAIN_MS),
    ]);
    let disk = Disk::under(&home, &["outdial.db.state"]);
    let server = disk.serve(&home);
    let number = server.make_number();
    disk.begin("nosync", "");
    let batch = server.make_batch(&number, &json!({}));
    add(&server, "list", &list(&batch, &talkers(DIALED_FROM, 20))).unwrap().expect(200);
    let ended = server.wait_at_most(Duration::from_secs(20));
    assert!(!ended.success(), "{ended}");
    assert_eq!(lines_in(&home.carrier_log()).len(), 0, "something left that was not noted");
    assert_eq!(disk.log().len(), 1, "the sync was tried again: {:?}", disk.log());

    let server = home.serve();
    server.wait_completed(&batch, PATIENCE);
    check_dialed(&server, &batch, &home, 20, 0);
    assert_eq!(server.count(&batch, &["completed"]), 20);
}

/// Nobody looks any more whether the store has stopped, once a process is to end.
#[test]
fn a_commit_that_was_not_kept_during_the_drain_is_told() {
    // Calls end within the drain, and their ends are to be recorded.
    let home =
        Home::new(&[("OUTDIAL_SIMULATED_SPEED", "20"), ("OUTDIAL_ENGINE_DRAIN_LIMIT_MS", "8000")]);
    let disk = Disk::under(&home, &["outdial.db$", "outdial.db-wal$"]);
    let server = disk.serve(&home);
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 20 }));
    add(&server, "list", &list(&batch, &talkers(DIALED_FROM, 200))).unwrap().expect(200);
    let placed = || lines_in(&home.carrier_log()).len();
    wait_for("dialing is under way", PATIENCE, || (placed() >= 40).then_some(()));
    server.terminate();
    wait_for("it stops accepting", PATIENCE, || {
        server.try_send("GET", "/healthz", &[], Vec::new()).is_err().then_some(())
    });
    assert!(disk.log().is_empty(), "{:?}", disk.log());
    disk.begin("nosync", "");
    let then = placed();
    let ended = server.wait_at_most(Duration::from_secs(20));
    assert_eq!(disk.log().len(), 1, "one sync fails and none is tried after: {:?}", disk.log());
    assert!(!ended.success(), "{ended}");
    assert_eq!(placed(), then, "a call left while draining");

    let server = home.serve();
    server.wait_completed(&batch, PATIENCE);
    check_dialed(&server, &batch, &home, 200, 0);
    server.terminate();
    assert!(server.wait().success());
    assert_whole(&home);
}

/// A disk so slow that no commit comes back in time: nobody is called late, and everybody once.
#[test]
fn what_was_kept_too_late_is_not_sent() {
    nobody_is_called_late("outdial.db-wal$");
}

/// The commit is there in time, but what is noted of it beside the database is not.
#[test]
fn what_was_noted_too_late_is_not_sent() {
    nobody_is_called_late("outdial.db.state");
}

/// With slow syncs of this file.
fn nobody_is_called_late(file: &str) {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let disk = Disk::under(&home, &[file]);
    let server = disk.serve(&home);
    let number = server.make_number();
    let batch = stopped_batch(&server, &home, &number);
    add(&server, "list", &list(&batch, &talkers(DIALED_FROM, 40))).unwrap().expect(200);
    disk.begin("slow", "600");
    let both = json!({ "batchId": batch, "userId": home.user });
    server.post("/api/call/start-calling", &both).expect(200);
    let late = || {
        let calls = server.all_calls(&batch);
        let details = |c: &serde_json::Value| {
            let path = format!("/api/call/call-details/{}", c["_id"].as_str().unwrap());
            server.get(&path).expect(200)["data"]["attempts"].to_string()
        };
        calls.iter().take(3).map(details).any(|attempts| attempts.contains("late")).then_some(())
    };
    wait_for("an intent came back too late", PATIENCE, late);
    assert_eq!(lines_in(&home.carrier_log()).len(), 0, "a call left after its slot");
    disk.end("slow");
    server.wait_completed(&batch, PATIENCE);
    check_dialed(&server, &batch, &home, 40, 0);
    assert_eq!(server.count(&batch, &["completed"]), 40);
}
