//! `kill -9` with calls on the line: their ends come all the same, and nobody is called twice.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_ports::FAILPOINTS;
use serde_json::{Value, json};

use super::bench::{Bench, LIMIT, home};
use super::seen::{attempts, one_invite_each};
use super::sipp::{Play, Sipp};
use crate::harness::{Home, PATIENCE, Server, wait_for};

/// The BYE of a process to a call that its predecessor's INVITE opened.
#[track_caller]
fn bye_in_its_dialog(callee: &Sipp) {
    let (invite, bye) = (callee.wait_for("INVITE"), callee.wait_for("BYE"));
    assert_eq!(bye.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(bye.tag("From"), invite.tag("From"));
    assert_eq!(bye.tag("To"), "callee-1");
    assert!(bye.cseq().0 > invite.cseq().0, "{}", bye.text);
    assert!(bye.line().starts_with("BYE sip:callee@"), "{}", bye.text);
}

fn call_of<'a>(home: &'a Home, server: &'a Server<'a>, callee: &Sipp) -> String {
    Bench { home, server }.call(callee, &json!({}))
}

#[test]
fn sip_an_answered_call_of_a_killed_process_is_hung_up_by_the_next() {
    let home = home(&[]);
    let server = home.serve();
    let callee = Play::of("survivor").fill("hold", "90000").start();
    let batch = call_of(&home, &server, &callee);
    wait_for("it talks", LIMIT, || (server.count(&batch, &["in-progress"]) == 1).then_some(()));
    server.kill9();
    assert_eq!(callee.requests("BYE").len(), 0);

    let server = home.serve();
    let bench = Bench { home: &home, server: &server };
    let call = bench.over(&batch, &[&callee]);
    super::bench::ended(&call, "completed", "cut_off");
    bye_in_its_dialog(&callee);
    callee.went_as_written();
}

/// Killed when the 200 has come and nothing of it is stored: the next process knows the dialog by
/// its Call-ID and tag alone when the callee repeats its 200.
#[cfg(feature = "failpoints")]
#[test]
fn sip_killed_between_the_200_and_what_is_stored_of_it() {
    let home = home(&[]);
    let server = home.serve();
    let callee = Play::of("survivor").fill("hold", "90000").start();
    let trunk = Bench { home: &home, server: &server }.trunk(&callee, &json!({}));
    server.terminate();
    assert!(server.wait().success());

    // The events of one call, in their order: placed, ringing, answered.
    let kill = [("OUTDIALTEST_KILL_AT", "engine.answer_recorded:1")];
    let (mut server, _) = home.serve_with(&kill);
    let bench = Bench { home: &home, server: &server };
    let batch = bench.call_over(&[&trunk], &json!({}));
    wait_for("it dies of the answer", LIMIT, || server.is_gone().then_some(()));
    drop(server);

    let server = home.serve();
    let bench = Bench { home: &home, server: &server };
    let call = bench.over(&batch, &[&callee]);
    assert!(super::bench::sent(&call) == 1, "{call}");
    bye_in_its_dialog(&callee);
    callee.went_as_written();
}

/// Killed while it rings: the next process cancels, whatever credentials the INVITE had, and tells
/// what came of it.
#[test]
fn sip_a_ringing_call_of_a_killed_process_is_canceled_by_the_next() {
    let home = home(&[]);
    let callee = Play::of("orphan-ring").start();
    let call = killed_while_ringing(&home, &callee);
    assert_eq!(call["callStatus"], "canceled", "{call}");
    assert_eq!(super::bench::last_attempt(&call)["sipStatus"], 487, "{call}");
    callee.went_as_written();
}

/// It is answered all the same: the next process acknowledges and hangs up.
#[test]
fn sip_an_answer_to_a_killed_process_is_acknowledged_and_hung_up() {
    let home = home(&[]);
    let callee = Play::of("orphan-late").hold(2_000).start();
    let call = killed_while_ringing(&home, &callee);
    assert_eq!(call["callStatus"], "canceled", "{call}");
    assert_eq!(super::bench::last_attempt(&call)["reason"], "answered_then_dropped", "{call}");
    bye_in_its_dialog(&callee);
    callee.went_as_written();
}

/// The call, when it is over in the life of the next process.
fn killed_while_ringing(home: &Home, callee: &Sipp) -> Value {
    let server = home.serve();
    let batch = call_of(home, &server, callee);
    wait_for("it rings", LIMIT, || (server.count(&batch, &["ringing"]) == 1).then_some(()));
    server.kill9();
    assert_eq!(callee.requests("CANCEL").len(), 0);

    let server = home.serve();
    let call = Bench { home, server: &server }.over(&batch, &[callee]);
    assert_eq!(super::bench::sent(&call), 1, "not called again: {call}");
    let (invite, cancels) = (callee.wait_for("INVITE"), callee.requests("CANCEL"));
    assert!(cancels.iter().any(|c| c.branch() == invite.branch()), "of its transaction");
    call
}

/// At every named step, early and in full swing: after the restart everything ends, no attempt had
/// two INVITEs, nobody was called more often than the batch allows, and no line stays open.
#[cfg(feature = "failpoints")]
#[test]
fn sip_killed_at_every_step_nobody_is_called_twice() {
    // Those on the way of a call; the others are as without SIP.
    let steps: Vec<&str> = FAILPOINTS
        .into_iter()
        .filter(|n| n.starts_with("engine.") || n.ends_with("_applied"))
        .collect();
    let kills: Vec<(&str, u32)> = steps
        .iter()
        .filter(|name| **name != "store.chunk_applied")
        .flat_map(|name| [(*name, 1), (*name, if is_a_turn(name) { 3 } else { 12 })])
        .collect();
    std::thread::scope(|scope| {
        for part in kills.chunks(kills.len().div_ceil(8)) {
            scope.spawn(|| part.iter().for_each(|(name, passes)| killed_at(name, *passes)));
        }
    });
}

/// A step that is passed once for many calls.
#[cfg(feature = "failpoints")]
fn is_a_turn(name: &str) -> bool {
    ["engine.deciding", "engine.planned", "engine.committed", "engine.noted"].contains(&name)
        || name == "store.intents_applied"
}

#[cfg(feature = "failpoints")]
#[expect(clippy::print_stdout, reason = "which kill it was, to repeat a failure")]
fn killed_at(name: &str, passes: u32) {
    const CALLS: u64 = 20;
    println!("killed at {name}, pass {passes}");
    let home = home(&[]);
    let server = home.serve();
    let callee = Play::of("survivor").fill("hold", "400").forgets().start();
    let limits = json!({ "callsPerSecond": 10, "channels": 8, "ringTimeoutMs": 2_000 });
    let trunk = Bench { home: &home, server: &server }.trunk(&callee, &limits);
    server.terminate();
    assert!(server.wait().success());

    let at = format!("{name}:{passes}");
    let (mut server, _) = home.serve_with(&[("OUTDIALTEST_KILL_AT", &at)]);
    let bench = Bench { home: &home, server: &server };
    // It may die of the request that brings the calls: then they are brought again.
    let number = bench.number(&[&trunk]);
    let batch = bench.server.make_batch(&number, &json!({ "retry": 1, "delay": 1 }));
    let numbers = super::bench::numbers(CALLS);
    let body = json!({ "batchId": batch, "call_data": numbers }).to_string().into_bytes();
    let add = |server: &Server<'_>| {
        let headers = [("idempotency-key", "the-list")];
        server.try_send("POST", "/api/call/addCallsToBatch", &headers, body.clone())
    };
    let _answered = add(&server);
    wait_for(&format!("killed at {at}"), LIMIT, || server.is_gone().then_some(()));
    drop(server);

    let server = home.serve();
    add(&server).unwrap().expect(200);
    let bench = Bench { home: &home, server: &server };
    bench.server.wait_completed(&batch, LIMIT * 2);
    let log = callee.log();
    one_invite_each(&log);
    let mut times = BTreeMap::<String, usize>::new();
    for number in attempts(&log).into_values() {
        *times.entry(number).or_default() += 1;
    }
    assert!(times.values().all(|n| *n <= 2), "{at}: {times:?}");
    for call in server.all_calls(&batch) {
        let logs = call["phoneLogs"].as_array().unwrap().len();
        assert!(logs <= 2, "{at}: {call}");
        let number = call["phoneNumber"].as_str().unwrap();
        let seen = times.get(number).copied().unwrap_or_default();
        assert!(seen <= logs, "{at}: an INVITE that is in no history: {call}");
    }
    let ended = ["completed", "unknown", "canceled"];
    assert_eq!(server.count(&batch, &ended), CALLS, "{at}");
    wait_for("no line is open", PATIENCE, || {
        let log = callee.log();
        let answered = log.iter().filter(|m| !m.received && m.status() == Some(200));
        let answered = answered.filter(|m| m.cseq().1 == "INVITE");
        let is_ended =
            |id: &str| log.iter().any(|m| m.header("Call-ID") == id && m.cseq().1 == "BYE");
        answered.map(|m| m.header("Call-ID")).all(is_ended).then_some(())
    });
    server.terminate();
    assert!(server.wait_at_most(PATIENCE + Duration::from_secs(5)).success());
}
