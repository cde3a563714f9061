//! The process is killed at every named failpoint on the way of a call, from the request that
//! brings it to its recorded end, once early and once in full swing; then it is started again, the
//! client repeats what was not answered, and everything must end: nothing acknowledged is lost,
//! nobody is called twice.

use std::time::Duration;

use outdial_ports::FAILPOINTS;
use serde_json::{Value, json};

use crate::evidence::check_dialed;
use crate::harness::{Home, PATIENCE, Server, records, try_send, wait_for};

const FIRST: u64 = 12_125_550_000;
/// Three chunks, the last of which is not full.
const RECORDS: u64 = 2_300;
const RETRY: usize = 1;
const KEY: &str = "the-list";
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn killed_at_every_step_nothing_is_lost_and_nobody_is_called_twice() {
    // The second time of some is the last there is: three chunks, one answer.
    let once = ["http.request_begun", "http.chunks_stored", "http.answer_kept"];
    // The first commits are those of the start, before anybody is spoken to.
    // Those of uploads have their own test.
    let mut points = FAILPOINTS.to_vec();
    points.retain(|name| !name.contains("import"));
    let early = points.iter().map(|name| (*name, if *name == "store.committed" { 12 } else { 1 }));
    let later = points.iter().filter(|name| !once.contains(name)).map(|name| match *name {
        "store.chunk_applied"
        | "http.chunk_stored"
        | "engine.planned"
        | "engine.committed"
        | "engine.noted"
        | "store.intents_applied" => (*name, 2),
        name => (name, 60),
    });
    let kills: Vec<(&str, u32)> = early.chain(later).collect();
    // Two at a time: most of it is waiting for calls.
    std::thread::scope(|scope| {
        for half in kills.chunks(kills.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(|(name, passes)| killed_at(name, *passes)));
        }
    });
}

#[expect(clippy::print_stdout, reason = "which kill it was, to repeat a failure")]
fn killed_at(name: &str, passes: u32) {
    println!("killed at {name}, pass {passes}");
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "retry": RETRY, "delay": 1 }));
    server.terminate();
    assert!(server.wait().success());

    let (mut server, _) = home.serve_with(&[("OUTDIALTEST_KILL_AT", &format!("{name}:{passes}"))]);
    let body = list(&batch);
    let answered = send(&server.url, &home.key, &body);
    wait_for(&format!("killed at {name}"), LIMIT, || server.is_gone().then_some(()));
    drop(server);

    let server = home.serve();
    let again = send(&server.url, &home.key, &body).expect("an answer of a living server");
    assert_eq!(again["data"]["added"], RECORDS, "{name}");
    if let Some(earlier) = answered {
        assert_eq!(earlier, again, "{name}: the same key, another answer");
    }
    server.wait_completed(&batch, LIMIT);
    // Those that were live or planned: the channels of the trunk, and a turn.
    let cut_off = check_dialed(&server, &batch, &home, RECORDS, RETRY);
    assert!(cut_off <= 1_000, "{name}: {cut_off} calls were given up");
    stops_well(server);
}

/// The same bytes each time. None of the numbers that the network refuses: their waits are in real
/// time and would only make it longer.
fn list(batch: &str) -> Vec<u8> {
    let mut call_data = records(FIRST, RECORDS * 2);
    let refused =
        |r: &Value| matches!(&r["phoneNumber"].as_str().unwrap()[9..], "93" | "94" | "95");
    call_data.retain(|r| !refused(r));
    call_data.truncate(usize::try_from(RECORDS).unwrap());
    json!({ "batchId": batch, "call_data": call_data }).to_string().into_bytes()
}

/// The answer, if the server lived to give one; it must be 200.
fn send(url: &str, key: &str, body: &[u8]) -> Option<Value> {
    let headers = [("idempotency-key", KEY)];
    let path = "/api/call/addCallsToBatch";
    let answer = try_send(url, key, "POST", path, &headers, body.to_vec()).ok()?;
    Some(answer.expect(200))
}

fn stops_well(server: Server<'_>) {
    server.terminate();
    assert!(server.wait_at_most(PATIENCE).success());
}
