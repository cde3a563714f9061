//! F9, F10 and F12: the database is restarted without warning, or its connections are gone without
//! a word. What was acknowledged is there, what was refused is not, and all goes on by itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::nodes::{Node, kill, nodes};
use crate::evidence::{check_dialed, ids_of};
use crate::faulty_disk::talkers;
use crate::harness::{
    Answer, Home, PATIENCE, Server, lines_in, monotonic, records, try_send, wait_for,
};
use crate::postgres::Postgres;

/// How long after the database is back calls go out again.
const RESUMED: Duration = Duration::from_secs(10);
/// Chunks are of 1000.
const REQUEST: u64 = 3_000;
const CHUNK: u64 = 1_000;
const STORED_FROM: u64 = 13_105_500_000;
const RESTARTS: usize = 4;

#[test]
fn postgresql_restarted_at_once_while_lists_come_in_and_calls_go_out() {
    let mut postgres = Postgres::start(&[]);
    let nodes = nodes(&postgres, 1, &[("OUTDIAL_SIMULATED_SPEED", "10")]);
    let home = &nodes[0].home;
    let server = home.serve();
    let number = server.make_number();
    let (dialed, total) = start_dialing(&server, &number, 1_200);
    let stored = server.make_batch(&number, &json!({}));
    let stop = json!({ "batchId": stored, "userId": home.user });
    server.post("/api/call/stop-calling", &stop).expect(200);

    let enough = AtomicBool::new(false);
    let (answers, resumed) = std::thread::scope(|scope| {
        let client = scope.spawn(|| keep_adding(&server.url, &home.key, &stored, &enough));
        let resumed = restart_often(&mut postgres, home);
        enough.store(true, Ordering::SeqCst);
        (client.join().unwrap(), resumed)
    });
    let statuses: Vec<u16> = answers.iter().map(|(_, a)| a.status).collect();
    println!("answers {statuses:?}; calls go out again after {resumed:?}");
    assert!(statuses.iter().any(|s| *s != 200), "no request met a restart");
    assert!(statuses.contains(&200));

    let there: BTreeSet<u64> = server.all_calls(&stored).iter().map(number_of).collect();
    for (n, answer) in &answers {
        is_truthful(*n, answer, &there);
    }
    // The documented advice: the same again, under the same key.
    let mut whole = BTreeSet::new();
    for (n, _) in &answers {
        // A lease that could not be given back, for the database was gone, is over in a while.
        let again = wait_for("its lease is over", PATIENCE, || {
            let again = add(&server.url, &home.key, &stored, *n);
            (again.status != 409).then_some(again)
        });
        let again = again.expect(200);
        assert_eq!(again["data"]["added"], REQUEST);
        whole.extend(ids(&again));
    }
    let calls = server.all_calls(&stored);
    assert_eq!(calls.len() as u64, REQUEST * answers.len() as u64);
    assert_eq!(ids_of(&calls), whole);

    server.wait_completed(&dialed, PATIENCE * 3);
    let unknown = check_dialed(&server, &dialed, home, total, 0);
    println!("{unknown} of {total} unknown");
    assert_eq!(unknown, 0, "the node lived: it knows what became of each");
    assert!(resumed.iter().all(|took| *took <= RESUMED), "{resumed:?}");
}

/// Restarts it as calls go out; how long each time until they go out again.
fn restart_often(postgres: &mut Postgres, home: &Home) -> Vec<Duration> {
    let log = || lines_in(&home.carrier_log()).len();
    let mut resumed = Vec::new();
    for _ in 0..RESTARTS {
        let before = log();
        wait_for("calls go out", PATIENCE, || (log() >= before + 40).then_some(()));
        postgres.stop_immediately();
        postgres.begin();
        let (back, before) = (monotonic(), log());
        wait_for("calls go out again", PATIENCE, || (log() > before).then_some(()));
        resumed.push(monotonic() - back);
    }
    resumed
}

fn start_dialing(server: &Server<'_>, number: &str, count: u64) -> (String, u64) {
    let batch = server.make_batch(number, &json!({ "concurrency": 25 }));
    let people = talkers(12_125_550_000, count);
    let total = people.len() as u64;
    let body = json!({ "batchId": batch, "call_data": people });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    (batch, total)
}

/// Sends one list after the other until it is enough, whatever is answered.
fn keep_adding(url: &str, key: &str, batch: &str, enough: &AtomicBool) -> Vec<(u64, Answer)> {
    let mut answers = Vec::new();
    while !enough.load(Ordering::SeqCst) {
        let n = answers.len() as u64;
        let answer = add(url, key, batch, n);
        if answer.status == 503 {
            // tidy: sleeps because who is told to come later comes later
            #[expect(clippy::disallowed_methods, reason = "as Retry-After asks, but sooner")]
            std::thread::sleep(Duration::from_millis(200));
        }
        answers.push((n, answer));
    }
    answers
}

fn add(url: &str, key: &str, batch: &str, n: u64) -> Answer {
    let body =
        json!({ "batchId": batch, "call_data": records(STORED_FROM + n * REQUEST, REQUEST) });
    let idempotency = format!("list-{n}");
    let headers = [("idempotency-key", idempotency.as_str())];
    let body = body.to_string().into_bytes();
    try_send(url, key, "POST", "/api/call/addCallsToBatch", &headers, body).unwrap()
}

/// What was answered agrees with what is there, chunk by chunk.
fn is_truthful(n: u64, answer: &Answer, there: &BTreeSet<u64>) {
    let data = &answer.body["data"];
    let failed = data["failedChunks"].as_array().cloned().unwrap_or_default();
    assert!([200, 207, 500, 503].contains(&answer.status), "{answer:?}");
    let first = STORED_FROM + n * REQUEST;
    let mut added = 0;
    for chunk in 1..=REQUEST / CHUNK {
        let from = first + (chunk - 1) * CHUNK;
        let stored = (from..from + CHUNK).filter(|number| there.contains(number)).count() as u64;
        assert!(stored == 0 || stored == CHUNK, "half a chunk: {stored}");
        let failure = failed.iter().find(|f| f["chunkNum"] == chunk);
        let is_failed = failure.is_some() || answer.status == 503;
        let is_unknown = failure.is_some_and(|f| f.to_string().contains("unknown"));
        if !is_unknown {
            assert_eq!(stored == 0, is_failed, "list {n}, chunk {chunk}: {answer:?}");
        }
        added += if is_failed { 0 } else { CHUNK };
    }
    if answer.status != 503 {
        assert_eq!(data["added"], added, "{answer:?}");
        assert_eq!(ids(&answer.body).len() as u64, added);
    }
    assert_eq!(answer.status == 200, failed.is_empty() && answer.status != 503, "{answer:?}");
}

fn ids(body: &Value) -> Vec<String> {
    let ids = body["data"]["callIds"].as_array().into_iter().flatten();
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn number_of(call: &Value) -> u64 {
    call["phoneNumber"].as_str().unwrap().parse().unwrap()
}

/// The database is gone, calls end, and then the process is gone too: what became of them is known
/// to its next life.
#[test]
fn what_ended_without_a_database_outlives_the_process() {
    let mut postgres = Postgres::start(&[]);
    let nodes = nodes(&postgres, 1, &[]);
    let home = &nodes[0].home;
    let mut server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 25 }));
    let body = json!({ "batchId": batch, "call_data": talkers(12_125_550_000, 25) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    let log = || lines_in(&home.carrier_log()).len();
    wait_for("all are called", PATIENCE, || (log() == 25).then_some(()));
    postgres.stop_immediately();
    let kept = wait_for("every call is over", PATIENCE * 2, || {
        let kept = ends_kept(home);
        (kept == 25).then_some(kept)
    });
    kill(&mut server);
    postgres.begin();
    let server = home.serve();
    server.wait_completed(&batch, PATIENCE * 2);
    let unknown = check_dialed(&server, &batch, home, 25, 0);
    println!("{kept} ends kept, {unknown} unknown");
    assert_eq!(unknown, 0);
    wait_for("nothing is kept any more", PATIENCE, || (ends_kept(home) == 0).then_some(()));
}

/// Ends in the journal of a node.
fn ends_kept(home: &Home) -> usize {
    let files = std::fs::read_dir(home.path("state")).unwrap().map(|file| file.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|e| e == "ends"));
    let lines = journals.flat_map(|path| lines_in(&path));
    lines.filter(|line| line.starts_with("end ") && line.ends_with(" .")).count()
}

/// The connections are there, and nothing comes through any more: found out, and others are made.
#[test]
fn half_open_connections_are_found_out_and_others_are_made() {
    let postgres = Postgres::start(&[]);
    let nodes = nodes(&postgres, 1, &[("OUTDIAL_SIMULATED_SPEED", "10")]);
    let Node { home, proxy, .. } = &nodes[0];
    let server = home.serve();
    let number = server.make_number();
    let (dialed, total) = start_dialing(&server, &number, 1_200);
    let stored = server.make_batch(&number, &json!({}));
    let stop = json!({ "batchId": stored, "userId": home.user });
    server.post("/api/call/stop-calling", &stop).expect(200);
    let log = || lines_in(&home.carrier_log()).len();
    for n in 0..2 {
        let before = log();
        wait_for("calls go out", PATIENCE, || (log() >= before + 40).then_some(()));
        // Many connections are in the pool: none of them may be tried for long.
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| server.get("/api/settings").expect(200));
            }
        });
        proxy.forget();
        let since = monotonic();
        let answer = add(&server.url, &home.key, &stored, n);
        let (status, took) = (answer.status, monotonic() - since);
        let served = wait_for("it serves again", PATIENCE, || {
            let answer = server.get("/api/settings");
            (answer.status == 200).then(|| monotonic() - since)
        });
        let quick = monotonic();
        for _ in 0..20 {
            server.get("/api/settings").expect(200);
        }
        let quick = monotonic() - quick;
        let before = log();
        let dials =
            wait_for("it dials again", PATIENCE, || (log() > before).then(|| monotonic() - since));
        println!(
            "a list: {status} after {took:?}; serves after {served:?}, twenty requests in \
             {quick:?}; dials after {dials:?}"
        );
        assert!(took <= Duration::from_secs(25), "the list took {took:?}");
        assert!(served <= Duration::from_secs(15) + took, "serves again after {served:?}");
        assert!(quick <= Duration::from_secs(5), "twenty requests took {quick:?}");
        add(&server.url, &home.key, &stored, n).expect(200);
    }
    server.wait_completed(&dialed, PATIENCE * 3);
    check_dialed(&server, &dialed, home, total, 0);
    assert_eq!(server.all_calls(&stored).len() as u64, 2 * REQUEST);
}
