//! F15, F38: no room on the disk, for a while or for one write.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::evidence::check_dialed;
use crate::faulty_disk::{Disk, add, assert_whole, ids, list, stopped_batch, talkers};
use crate::harness::{Home, PATIENCE, Server, lines_in, monotonic, records, wait_for};

const DIALED_FROM: u64 = 12_125_550_000;
const STORED_FROM: u64 = 13_105_500_000;
/// Of the fault, so that everything has met it more than once.
const WHILE: Duration = Duration::from_secs(3);

#[test]
fn a_full_disk_refuses_and_everything_goes_on_when_there_is_room() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "20")]);
    let disk = Disk::under(&home, &["outdial.db"]);
    let server = disk.serve(&home);
    let number = server.make_number();
    let stored = stopped_batch(&server, &home, &number);
    let kept = add(&server, "before", &list(&stored, &records(STORED_FROM, 1000)));
    let kept = kept.unwrap().expect(200);
    let dialed = server.make_batch(&number, &json!({ "concurrency": 20 }));
    add(&server, "dialed", &list(&dialed, &talkers(DIALED_FROM, 300))).unwrap().expect(200);
    let placed = || lines_in(&home.carrier_log()).len();
    wait_for("dialing is under way", PATIENCE, || (placed() >= 40).then_some(()));

    disk.begin("full", "0");
    wait_for("somebody has met it", PATIENCE, || (!disk.log().is_empty()).then_some(()));
    let more = list(&stored, &records(STORED_FROM + 5000, 2500));
    let refused = add(&server, "during", &more).unwrap();
    assert!([503, 507].contains(&refused.status), "{refused:?}");
    let both = json!({ "batchId": dialed, "userId": home.user });
    let new = json!({ "batchName": "New", "callingNumbers": [number] });
    for (path, body) in [("stop-calling", &both), ("createBatch", &new)] {
        let refused = server.post(&format!("/api/call/{path}"), body);
        assert!([503, 507].contains(&refused.status), "{path}: {refused:?}");
    }
    // What was planned at the moment of the fault has left by then; nothing leaves without room.
    let until = monotonic() + Duration::from_secs(1);
    wait_for("a second", PATIENCE, || (monotonic() >= until).then_some(()));
    let before = placed();
    let until = monotonic() + WHILE;
    wait_for("the fault", PATIENCE, || {
        assert_eq!(server.count(&stored, &["pending"]), 1000, "readable, and nothing by half");
        (monotonic() >= until).then_some(())
    });
    assert_eq!(placed(), before, "nothing leaves whose intent could not be stored");
    assert!(before < 300, "there was nothing left to do");

    disk.end("full");
    server.wait_completed(&dialed, PATIENCE);
    let unknown = check_dialed(&server, &dialed, &home, 300, 0);
    assert_eq!(unknown, 0, "the ends of live calls were kept until there was room");
    assert_eq!(server.count(&dialed, &["completed"]), 300);
    let again = add(&server, "during", &more).unwrap().expect(200);
    assert_eq!(again["data"]["added"], 2500);
    assert_eq!(
        add(&server, "before", &list(&stored, &records(STORED_FROM, 1000))).unwrap().body,
        kept
    );
    assert_eq!(server.count(&stored, &["pending"]), 3500);
    server.terminate();
    assert!(server.wait().success());
    assert_whole(&home);
}

/// One write in the middle of a list fails. Where it is depends on how commits are grouped: it is
/// tried at several places; whatever the answer is, it must be exact.
#[test]
fn a_chunk_for_which_there_was_no_room_is_named_and_a_repeat_brings_it() {
    let home = Home::new(&[]);
    let disk = Disk::under(&home, &["outdial.db", "outdial.db-wal"]);
    let server = disk.serve(&home);
    let number = server.make_number();
    let mut statuses = Vec::new();
    for (i, room) in [0_u64, 60, 250, 500, 1_000, 1_500].into_iter().enumerate() {
        let batch = stopped_batch(&server, &home, &number);
        let call_data = records(STORED_FROM, 6500);
        let (key, body) = (format!("list-{i}"), list(&batch, &call_data));
        disk.begin("full", &format!("{} 1", room * 1024));
        let answer = add(&server, &key, &body).unwrap();
        disk.end("full");
        let there = by_number(&server, &batch);
        statuses.push(answer.status);
        check_answer(&answer.body, answer.status, &call_data, &there);

        // At once, unless the write that failed was the one that kept the answer.
        let again = wait_for("the request is free", Duration::from_secs(90), || {
            Some(add(&server, &key, &body).unwrap()).filter(|a| a.status != 409)
        });
        let again = again.expect(200);
        assert_eq!(again["data"]["added"], 6500);
        check_answer(&again, 200, &call_data, &by_number(&server, &batch));
        assert_eq!(add(&server, &key, &body).unwrap().body, again, "the answer is final");
        let now = by_number(&server, &batch);
        assert!(there.iter().all(|(number, id)| now.get(number) == Some(id)), "another id");
    }
    assert!(statuses.contains(&207), "no list was cut in the middle: {statuses:?}");
    server.terminate();
    assert!(server.wait().success());
    assert_whole(&home);
}

/// `added`, `callIds` and `failedChunks` are what is there.
fn check_answer(
    answer: &Value,
    status: u16,
    call_data: &[Value],
    there: &BTreeMap<String, String>,
) {
    if status == 503 || status == 507 {
        assert!(there.is_empty(), "refused, and something was stored");
        return;
    }
    let data = &answer["data"];
    let failed: Vec<u64> = data["failedChunks"]
        .as_array()
        .map(|chunks| chunks.iter().map(|c| c["chunkNum"].as_u64().unwrap()).collect())
        .unwrap_or_default();
    let wanted = match (failed.len(), call_data.len().div_ceil(1000)) {
        (0, _) => 200,
        (n, all) if n == all => 500,
        _ => 207,
    };
    assert_eq!(status, wanted, "{failed:?}");
    assert!(failed.is_sorted() && failed.iter().all(|n| (1..=7).contains(n)), "{failed:?}");
    let good = call_data.chunks(1000).zip(1..).filter(|(_, n)| !failed.contains(n));
    let numbers: Vec<&str> =
        good.flat_map(|(c, _)| c).map(|r| r["phoneNumber"].as_str().unwrap()).collect();
    let ids = ids(answer);
    assert_eq!(data["added"], ids.len());
    let there_in_order: Vec<_> = numbers.iter().filter_map(|n| there.get(*n)).collect();
    assert!(ids.iter().eq(there_in_order), "the ids are not those of the chunks, in their order");
    assert_eq!(there.len(), ids.len(), "stored, but not told");
}

/// Number → id of every call of a batch.
fn by_number(server: &Server<'_>, batch: &str) -> BTreeMap<String, String> {
    let text = |call: &Value, key: &str| call[key].as_str().unwrap().to_owned();
    let calls = server.all_calls(batch);
    calls.iter().map(|c| (text(c, "phoneNumber"), text(c, "_id"))).collect()
}

#[test]
fn without_room_for_its_marks_nothing_leaves_until_there_is() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let disk = Disk::under(&home, &["outdial.db.state"]);
    let server = disk.serve(&home);
    let number = server.make_number();
    let batch = stopped_batch(&server, &home, &number);
    add(&server, "list", &list(&batch, &talkers(DIALED_FROM, 30))).unwrap().expect(200);
    // Room for the beginning of a line.
    disk.begin("full", "9");
    let both = json!({ "batchId": batch, "userId": home.user });
    server.post("/api/call/start-calling", &both).expect(200);
    wait_for("it was met", PATIENCE, || (disk.log().len() >= 2).then_some(()));
    let until = monotonic() + WHILE;
    wait_for("the fault", PATIENCE, || (monotonic() >= until).then_some(()));
    assert_eq!(lines_in(&home.carrier_log()).len(), 0, "nothing leaves that is not noted");
    disk.end("full");
    server.wait_completed(&batch, PATIENCE);
    assert_eq!(check_dialed(&server, &batch, &home, 30, 0), 0);
    let calls = server.all_calls(&batch);
    let tried = |call: &Value| {
        let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
        server.get(&path).expect(200)["data"]["attempts"].as_array().unwrap().len()
    };
    let most = calls.iter().map(tried).max().unwrap();
    assert!(most <= 3, "{most} attempts of one call were committed in vain");
    server.terminate();
    assert!(server.wait().success());
    // The half line is not read as a mark.
    home.serve().kill9();
}

#[test]
fn a_start_without_room_is_refused_or_only_reads() {
    let home = Home::new(&[]);
    let server = home.serve();
    let number = server.make_number();
    let batch = stopped_batch(&server, &home, &number);
    add(&server, "list", &list(&batch, &records(STORED_FROM, 1000))).unwrap().expect(200);
    // There is a log to be read at the start.
    server.kill9();
    let disk = Disk::under(&home, &["outdial.db"]);
    disk.begin("full", "0");
    let said = || std::fs::read_to_string(home.path("server.log")).unwrap();
    if let Some(server) = disk.try_serve(&home) {
        assert_eq!(server.count(&batch, &["pending"]), 1000);
        let refused = add(&server, "more", &list(&batch, &records(STORED_FROM + 5000, 1))).unwrap();
        assert!([503, 507].contains(&refused.status), "{refused:?}");
        server.terminate();
        assert!(server.wait().success());
    } else {
        assert!(said().contains("cannot open") && said().contains("full"), "{}", said());
    }
    assert!(!said().contains("panicked"), "{}", said());
    let server = home.serve();
    assert_eq!(server.count(&batch, &["pending"]), 1000);
    server.terminate();
    assert!(server.wait().success());
    assert_whole(&home);
}
