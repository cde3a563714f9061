//! What crosses on the wire, what is lost, and what comes late.

use serde_json::json;

use super::bench::{Bench, all_at_once, assert_near, ended, home, last_attempt};
use super::seen::{Seen, one_invite_each};
use super::sipp::Play;
use crate::harness::{PATIENCE, wait_for};

#[test]
fn sip_races() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("200 after the CANCEL", late_answer),
            ("200 crosses the CANCEL", crossing),
            ("forked 200", forked),
            ("lost ACKs of an answer", lost_ack),
            ("lost ACKs of a refusal", lost_ack_of_a_refusal),
            ("silence", silence),
        ],
    );
}

fn late_answer(bench: &Bench<'_>) {
    let callee = Play::of("late-answer").hold(700).start();
    let batch = bench.call(&callee, &json!({ "ringTimeoutMs": 1_500 }));
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "canceled", "answered_then_dropped");
    assert_eq!(callee.requests("BYE").len(), 1);
    callee.went_as_written();
}

fn crossing(bench: &Bench<'_>) {
    let callee = Play::of("crossing").start();
    let batch = bench.call(&callee, &json!({ "ringTimeoutMs": 1_500 }));
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "canceled", "answered_then_dropped");
    assert_eq!(callee.requests("BYE").len(), 1);
    callee.went_as_written();
}

/// Both are acknowledged, the second is hung up on; the first is the call.
fn forked(bench: &Bench<'_>) {
    let callee = Play::of("fork").hold(1_000).start();
    let batch = bench.call(&callee, &json!({}));
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "completed", "answered");
    let talk = call["phoneLogs"][0]["timings"]["talkMs"].as_u64().expect("it was answered");
    assert!(talk >= 1_000, "until the first hung up: {call}");
    let log = callee.log();
    let said = |m: &&Seen| !m.received && m.method() == Some("BYE");
    let over = log.iter().find(said).expect("the first hung up").at;
    let answered = log.iter().find(|m| m.status() == Some(200)).expect("an answer").at;
    assert_near(talk, over - answered, 800, &call);
    let billed = call["phoneLogs"][0]["callDuration"].as_u64();
    assert_eq!(billed, Some(talk.div_ceil(1_000)), "{call}");
    let tags: Vec<String> = callee.requests("ACK").iter().map(|m| m.tag("To").to_owned()).collect();
    assert!(tags.contains(&"callee-1".to_owned()) && tags.contains(&"other-1".to_owned()));
    let byes = callee.requests("BYE");
    assert_eq!(byes.len(), 1);
    assert_eq!(byes[0].tag("To"), "other-1");
    callee.went_as_written();
}

/// The 200 comes again until its ACK arrives: each is acknowledged by the same ACK.
fn lost_ack(bench: &Bench<'_>) {
    let callee = Play::of("lost-ack").deaf_in_pauses().start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let acks = callee.requests("ACK");
    assert!(acks.len() >= 3, "{} ACKs", acks.len());
    assert!(acks.iter().all(|ack| ack.text == acks[0].text), "another ACK");
    callee.went_as_written();
}

fn lost_ack_of_a_refusal(bench: &Bench<'_>) {
    let callee = Play::of("lost-ack-busy").deaf_in_pauses().start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "busy", "busy");
    wait_for("the ACK that arrives", PATIENCE, || {
        (callee.requests("ACK").len() >= 3).then_some(())
    });
    let invite = callee.wait_for("INVITE");
    let of_its_transaction = |ack: &super::seen::Seen| ack.branch() == invite.branch();
    assert!(callee.requests("ACK").iter().all(of_its_transaction));
    callee.went_as_written();
}

/// Timer B: the INVITE comes again, the same, by Timer A; nothing is canceled, nobody is called
/// again, over no trunk, though there is a second and a retry.
fn silence(bench: &Bench<'_>) {
    let callee = Play::of("silent").hold(120_000).start();
    let other = Play::of("answer-bye").start();
    let trunks = [bench.trunk(&callee, &json!({})), bench.trunk(&other, &json!({}))];
    let batch = bench.call_over(&[&trunks[0], &trunks[1]], &json!({ "retry": 2, "delay": 1 }));
    let call = bench.over(&batch, &[&callee, &other]);
    ended(&call, "unknown", "timer_b");
    assert_eq!(last_attempt(&call)["charged"], true);
    assert_eq!(other.calls(), 0, "failover after silence");
    let log = callee.log();
    one_invite_each(&log);
    let invites = callee.requests("INVITE");
    assert_eq!(invites.len(), 7, "Timer A doubles from T1 to Timer B");
    let waits: Vec<u128> =
        invites.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
    for (wait, wanted) in waits.iter().zip([500_u128, 1_000, 2_000, 4_000, 8_000, 16_000]) {
        assert!(wait.abs_diff(wanted) < 400, "{waits:?}");
    }
    assert_eq!(log.iter().filter(|m| m.received).count(), invites.len(), "INVITEs alone");
}

/// What hangs on timers of a peer that is gone, ten times faster than on a telephone network.
#[cfg(feature = "failpoints")]
#[test]
fn sip_peers_that_are_gone() {
    let home = home(&[("OUTDIALTEST_SIP_T1_MS", "50")]);
    let server = home.serve();
    let cases: &[super::bench::Case] = &[
        ("silence", |b| {
            let callee = Play::of("silent").hold(60_000).start();
            let batch = b.call(&callee, &json!({}));
            ended(&b.over(&batch, &[&callee]), "unknown", "timer_b");
            assert_eq!(callee.requests("CANCEL").len(), 0, "nothing was heard of it");
        }),
        ("no answer to a CANCEL", |b| {
            let callee = Play::of("deaf-ring").deaf_in_pauses().start();
            let batch = b.call(&callee, &json!({ "ringTimeoutMs": 1_000 }));
            ended(&b.over(&batch, &[&callee]), "unknown", "lost");
            assert!(callee.requests("CANCEL").len() > 4, "it comes again, by Timer E");
        }),
        ("no answer to a BYE", |b| {
            let callee = Play::of("deaf").deaf_in_pauses().start();
            let batch = b.call(&callee, &json!({ "maxCallMs": 1_000 }));
            ended(&b.over(&batch, &[&callee]), "completed", "answered");
            let byes = callee.requests("BYE");
            let again =
                byes.iter().map(|m| m.cseq().0).max() > byes.iter().map(|m| m.cseq().0).min();
            assert!(again, "another one after Timer F");
        }),
    ];
    all_at_once(&home, &server, cases);
}
