//! What callees do, and what the phone log says of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, LIMIT, all_at_once, assert_near, ended, home, last_attempt};
use super::seen::Seen;
use super::sipp::{Play, Sipp};
use crate::harness::wait_for;

#[test]
fn sip_outcomes() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("hung up by the callee", hung_up_by_the_callee),
            ("hung up by us", hung_up_by_us),
            ("early media", early_media),
            ("everything twice", everything_twice),
            ("refusals", refusals),
            ("tried again", tried_again),
            ("no answer", no_answer),
            ("183 for ever", progress_for_ever),
            ("100 for ever", trying_for_ever),
            ("the third time", third_time),
            ("who calls", who_calls),
            ("a batch", a_batch),
            ("taken back", taken_back),
        ],
    );
}

/// Milliseconds of a part of the only phone log.
fn timing(details: &Value, part: &str) -> u64 {
    let ms = details["phoneLogs"][0]["timings"][part].as_u64();
    ms.unwrap_or_else(|| panic!("{part}: {details}"))
}

fn hung_up_by_the_callee(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").hold(1_200).start();
    let batch = bench.call(&callee, &json!({}));
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "completed", "answered");
    // By the callee's own log, for a busy machine delays what SIPp says, too.
    let log = callee.log();
    let first = |method: Option<&str>, status: Option<u16>| {
        let is_it = |m: &&Seen| m.method() == method && m.status() == status;
        log.iter().find(is_it).unwrap_or_else(|| panic!("{method:?} {status:?}: {call}")).at
    };
    let (invited, over) = (first(Some("INVITE"), None), first(Some("BYE"), None));
    let (rang, answered) = (first(None, Some(180)), first(None, Some(200)));
    let talk = timing(&call, "talkMs");
    assert_near(talk, over - answered, 800, &call);
    assert!(talk >= 1_200, "{call}");
    assert_eq!(call["phoneLogs"][0]["callDuration"], talk.div_ceil(1_000), "{call}");
    assert_near(timing(&call, "postDialMs"), rang - invited, 1_000, &call);
    assert_near(timing(&call, "ringMs"), answered - rang, 1_000, &call);

    let invite = callee.wait_for("INVITE");
    assert_eq!(invite.number("To"), call["phoneNumber"].as_str().unwrap());
    let phones = bench.server.get("/api/phones").expect(200)["data"]["phones"].clone();
    let calling = &last_attempt(&call)["callingNumber"];
    let phone = phones.as_array().unwrap().iter().find(|p| p["_id"] == *calling).unwrap();
    assert_eq!(invite.number("From"), phone["phoneNumber"].as_str().unwrap());
    assert!(invite.line().starts_with("INVITE sip:+1"), "{}", invite.text);
    assert!(invite.header("Max-Forwards").parse::<u8>().is_ok());
    let media = invite.body().lines().find(|l| l.starts_with("m=audio ")).unwrap();
    assert!(media.contains("RTP/AVP 0 8"), "PCMU and PCMA: {media}");
    assert!(invite.body().contains("telephone-event/8000"), "{}", invite.text);
    // Neither the id of the call nor who it is for can be read from what names the dialog.
    let id = call["_id"].as_str().unwrap();
    assert!(!invite.header("Call-ID").contains(id) && !invite.tag("From").contains(id));
    assert_eq!(callee.answers("BYE")[0].status(), Some(200));
    callee.went_as_written();
}

fn hung_up_by_us(bench: &Bench<'_>) {
    let callee = Play::of("answer-wait").start();
    let batch = bench.call(&callee, &json!({ "maxCallMs": 2_000 }));
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "completed", "answered");
    // The answer is noted a moment after it came.
    assert!((1_900..2_900).contains(&timing(&call, "talkMs")), "{call}");
    let (invite, bye) = (callee.wait_for("INVITE"), callee.wait_for("BYE"));
    assert_eq!(bye.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(bye.tag("From"), invite.tag("From"));
    assert_eq!(bye.tag("To"), "callee-1");
    assert!(bye.cseq().0 > invite.cseq().0);
    assert!(bye.line().starts_with("BYE sip:callee@"), "to the contact: {}", bye.text);
    callee.went_as_written();
}

fn early_media(bench: &Bench<'_>) {
    let callee = Play::of("answer-early").hold(600).start();
    let batch = bench.call(&callee, &json!({}));
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "completed", "answered");
    assert!(timing(&call, "ringMs") >= 500, "{call}");
    callee.went_as_written();
}

fn everything_twice(bench: &Bench<'_>) {
    let callee = Play::of("repeats").start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    callee.went_as_written();
}

/// One row for each thing that a carrier says by a status, some with a cause.
fn refusals(bench: &Bench<'_>) {
    let rows = [
        ("486 Busy Here", "", "busy", "busy"),
        ("600 Busy Everywhere", "", "busy", "busy"),
        ("603 Decline", "Reason: Q.850;cause=21;text=\"no\"", "rejected", "declined"),
        ("607 Unwanted", "", "rejected", "unwanted"),
        ("403 Forbidden", "", "rejected", "forbidden"),
        ("404 Not Found", "Reason: Q.850;cause=1", "invalid-number", "no_such_number"),
        ("484 Address Incomplete", "", "invalid-number", "number_incomplete"),
        ("480 Temporarily Unavailable", "", "unreachable", "temporarily_unavailable"),
        ("480 Temporarily Unavailable", "Reason: Q.850;cause=19", "no-answer", "no_answer"),
        ("503 Service Unavailable", "Reason: Q.850;cause=1", "invalid-number", "no_such_number"),
        ("408 Request Timeout", "", "no-answer", "no_answer"),
        ("500 Server Internal Error", "", "failed", "server_error"),
    ];
    let calls: Vec<(Sipp, String)> = rows
        .iter()
        .map(|(status, cause, ..)| {
            let extra = if cause.is_empty() { "Server: sipp" } else { cause };
            let play = Play::of("refuse").fill("provisional", "180 Ringing").hold(300);
            let callee = play.fill("final", *status).fill("extra", extra).start();
            let batch = bench.call(&callee, &json!({}));
            (callee, batch)
        })
        .collect();
    for ((callee, batch), (status, _, disposition, reason)) in calls.into_iter().zip(rows) {
        let call = bench.over(&batch, &[&callee]);
        ended(&call, disposition, reason);
        let status: u16 = status[..3].parse().unwrap();
        assert_eq!(last_attempt(&call)["sipStatus"], status, "{call}");
        assert_eq!(last_attempt(&call)["charged"], true, "{call}");
        callee.went_as_written();
    }
}

/// A retry is another attempt: another Call-ID, another tag.
fn tried_again(bench: &Bench<'_>) {
    let callee = busy().start();
    let trunk = bench.trunk(&callee, &json!({}));
    let batch = bench.call_over(&[&trunk], &json!({ "retry": 1, "delay": 1 }));
    let call = bench.over(&batch, &[&callee]);
    assert_eq!(call["phoneLogs"].as_array().unwrap().len(), 2, "{call}");
    let invites = callee.requests("INVITE");
    assert_eq!(invites.len(), 2);
    assert_ne!(invites[0].header("Call-ID"), invites[1].header("Call-ID"));
    assert_ne!(invites[0].tag("From"), invites[1].tag("From"));
    callee.went_as_written();
}

/// Rings a little, and is busy.
pub(crate) fn busy() -> Play {
    let play = Play::of("refuse").fill("provisional", "180 Ringing");
    play.fill("final", "486 Busy Here").fill("extra", "Server: sipp")
}

fn no_answer(bench: &Bench<'_>) {
    rings_out(bench, "180 Ringing", "ring_timeout");
}

fn progress_for_ever(bench: &Bench<'_>) {
    rings_out(bench, "183 Session Progress", "ring_timeout");
}

fn trying_for_ever(bench: &Bench<'_>) {
    rings_out(bench, "100 Trying", "ring_timeout");
}

/// CANCEL at the end of the ring timeout, in the transaction of the INVITE, and its 487.
fn rings_out(bench: &Bench<'_>, provisional: &str, reason: &str) {
    let callee = Play::of("ring").fill("provisional", provisional).start();
    let batch = bench.call(&callee, &json!({ "ringTimeoutMs": 2_000 }));
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "no-answer", reason);
    assert_eq!(call["phoneLogs"][0]["callDuration"], 0, "{call}");
    let (invite, cancel) = (callee.wait_for("INVITE"), callee.wait_for("CANCEL"));
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!(cancel.cseq().0, invite.cseq().0);
    assert_eq!(cancel.header("From"), invite.header("From"));
    assert_eq!(cancel.header("To"), invite.header("To"));
    assert_eq!(cancel.line().split(' ').nth(1), invite.line().split(' ').nth(1));
    let rang = cancel.at - invite.at;
    assert!((1_900..3_000).contains(&rang.as_millis()), "canceled after {rang:?}");
    callee.went_as_written();
}

/// No answer twice, then an answer: three attempts, each ended before the next began.
fn third_time(bench: &Bench<'_>) {
    let callee = Play::of("third-time").start();
    let trunk = bench.trunk(&callee, &json!({ "ringTimeoutMs": 1_000 }));
    let batch = bench.call_over(&[&trunk], &json!({ "retry": 3, "delay": 1 }));
    let call = bench.over(&batch, &[&callee]);
    let logs = call["phoneLogs"].as_array().unwrap();
    let said: Vec<_> = logs.iter().map(|log| log["callStatus"].as_str().unwrap()).collect();
    assert_eq!(said, ["no-answer", "no-answer", "completed"], "{call}");
    assert_eq!(callee.calls(), 3);
    callee.went_as_written();
}

/// How a trunk wants to be told who calls, and the numbers to look.
fn who_calls(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").start();
    let identity = json!({
        "callerId": "pAssertedIdentity", "plus": false, "fromDomain": "pbx.example.com",
    });
    let batch = bench.call(&callee, &identity);
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let invite = callee.wait_for("INVITE");
    let number = invite.number("From");
    let who = format!("sip:{number}@pbx.example.com");
    assert!(invite.header("From").contains(&format!("<{who}>")), "{}", invite.text);
    assert!(invite.header("P-Asserted-Identity").contains(&who), "{}", invite.text);
    assert!(invite.line().starts_with("INVITE sip:1"), "{}", invite.text);
    callee.went_as_written();
}

/// Many at once over one trunk, within its limits.
fn a_batch(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").hold(300).start();
    let limits = json!({ "callsPerSecond": 20, "channels": 5 });
    let trunk = bench.trunk(&callee, &limits);
    let batch = bench.call_many(&[&trunk], 60, &json!({}));
    bench.all_over(&batch, &[&callee]);
    assert_eq!(bench.server.count(&batch, &["completed"]), 60);
    let invites = callee.requests("INVITE");
    let first = |i: usize| invites[i].at;
    for i in 20..invites.len() {
        // A little less than a second: the callee's clock looks when it has time to.
        let took = first(i) - first(i - 20);
        assert!(took >= Duration::from_millis(980), "21 INVITEs in {took:?}");
    }
    callee.went_as_written();
}

/// A person takes a ringing call back.
fn taken_back(bench: &Bench<'_>) {
    let callee = Play::of("ring").fill("provisional", "180 Ringing").start();
    let batch = bench.call(&callee, &json!({}));
    wait_for("it rings", LIMIT, || (bench.now(&batch)["callStatus"] == "ringing").then_some(()));
    let id = bench.now(&batch)["_id"].clone();
    let body = json!({ "callId": id, "userId": bench.home.user });
    let asked = crate::harness::monotonic();
    bench.server.post("/api/call/cancel-call", &body).expect(200);
    let call = bench.over(&batch, &[&callee]);
    assert!(crate::harness::monotonic() - asked < Duration::from_secs(5));
    ended(&call, "canceled", "canceled");
    callee.went_as_written();
}
