//! Trunks that refuse: pauses, other trunks, redirects.

use serde_json::{Value, json};

use super::auth::stop;
use super::bench::{Bench, all_at_once, ended, home, last_attempt};
use super::sipp::{Play, Sipp, free_port};
use crate::harness::wait_for;

#[test]
fn sip_failover() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("503 is given up after five", unavailable),
            ("503 with Retry-After", retry_after),
            ("three numbers get 503", three_in_a_row),
            ("503, then the second trunk", second_trunk),
            ("nobody listens, then the second trunk", nobody_listens),
            ("no name, then the second trunk", no_such_name),
            ("busy is no failure of the trunk", busy_is_final),
            ("redirected", redirected),
            ("redirected in a circle", in_a_circle),
        ],
    );
}

fn refusing(extra: &str) -> Sipp {
    let play = Play::of("refuse").fill("provisional", "100 Trying").hold(20);
    play.fill("final", "503 Service Unavailable").fill("extra", extra).start()
}

fn attempts(call: &Value) -> &[Value] {
    call["attempts"].as_array().unwrap()
}

fn unavailable(bench: &Bench<'_>) {
    let callee = refusing("Server: sipp");
    let batch = bench.call(&callee, &json!({}));
    let call = bench.over(&batch, &[&callee]);
    assert_eq!(call["callStatus"], "failed", "{call}");
    assert_eq!(call["phoneLogs"], json!([]), "nobody was reached: {call}");
    assert_eq!(attempts(&call).len(), 5, "{call}");
    for attempt in attempts(&call) {
        assert_eq!(attempt["sipStatus"], 503);
        assert_eq!(attempt["reason"], "carrier_unavailable");
        assert_eq!(attempt["charged"], false);
    }
    assert_eq!(callee.calls(), 5);
    callee.went_as_written();
}

/// The trunk says for how long, and is left alone for so long, by other calls too.
fn retry_after(bench: &Bench<'_>) {
    let callee = refusing("Retry-After: 7 (busy);duration=60");
    let trunk = bench.trunk(&callee, &json!({}));
    let first = bench.call_over(&[&trunk], &json!({}));
    let until = wait_for("the trunk is paused", super::bench::LIMIT, || {
        bench.trunk_now(&trunk)["pausedUntil"].as_str().map(str::to_owned)
    });
    let attempt = super::auth::first_end(bench, &first);
    assert!(until.as_str() > attempt["endedAt"].as_str().unwrap(), "{until} {attempt}");
    let other = bench.call_over(&[&trunk], &json!({}));
    wait_for("it is tried again", super::bench::LIMIT, || (callee.calls() >= 2).then_some(()));
    let invites = callee.requests("INVITE");
    let waited = invites[1].at - invites[0].at;
    assert!((6_900..12_000).contains(&waited.as_millis()), "{waited:?}");
    for batch in [first, other] {
        stop(bench, &batch);
    }
    super::seen::one_invite_each(&callee.log());
}

fn three_in_a_row(bench: &Bench<'_>) {
    let callee = refusing("Server: sipp");
    let trunk = bench.trunk(&callee, &json!({ "callsPerSecond": 5 }));
    let batch = bench.call_many(&[&trunk], 6, &json!({}));
    wait_for("the trunk is paused", super::bench::LIMIT, || {
        bench.trunk_now(&trunk)["pausedUntil"].as_str().map(|_| ())
    });
    let body = json!({ "batchId": batch, "userId": bench.home.user });
    bench.server.post("/api/call/stop-calling", &body).expect(200);
    super::seen::one_invite_each(&callee.log());
}

/// At once, uncharged, over a trunk of its own Call-ID.
fn second_trunk(bench: &Bench<'_>) {
    let (down, callee) = (refusing("Server: sipp"), Play::of("answer-bye").start());
    let trunks = [bench.trunk(&down, &json!({})), bench.trunk(&callee, &json!({}))];
    let batch = bench.call_over(&[&trunks[0], &trunks[1]], &json!({}));
    let call = bench.over(&batch, &[&down, &callee]);
    ended(&call, "completed", "answered");
    assert_eq!(attempts(&call).len(), 2, "{call}");
    assert_eq!(attempts(&call)[0]["reason"], "carrier_unavailable");
    assert_eq!(attempts(&call)[0]["charged"], false);
    let (first, second) = (down.wait_for("INVITE"), callee.wait_for("INVITE"));
    assert_ne!(first.header("Call-ID"), second.header("Call-ID"));
    let wait = second.at - first.at;
    assert!(wait.as_millis() < 3_000, "{wait:?}");
    down.went_as_written();
    callee.went_as_written();
}

/// A connection that is refused is a definite failure.
fn nobody_listens(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").start();
    let nobody = bench.trunk_to(free_port(), &json!({ "transport": "tcp" }));
    unreached(bench, &nobody, &callee);
}

fn no_such_name(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").start();
    let nobody = bench.trunk_to(free_port(), &json!({ "host": "no-such-name.invalid" }));
    unreached(bench, &nobody, &callee);
}

fn unreached(bench: &Bench<'_>, nobody: &str, callee: &Sipp) {
    let trunk = bench.trunk(callee, &json!({}));
    let batch = bench.call_over(&[nobody, &trunk], &json!({}));
    bench.server.wait_completed(&batch, super::bench::LIMIT);
    let call = bench.now(&batch);
    ended(&call, "completed", "answered");
    assert_eq!(attempts(&call).len(), 2, "{call}");
    assert_eq!(attempts(&call)[0]["charged"], false, "{call}");
    assert_eq!(attempts(&call)[0]["fault"], "carrier", "{call}");
    assert_eq!(callee.calls(), 1);
}

fn busy_is_final(bench: &Bench<'_>) {
    let (busy, other) = (super::outcomes::busy().start(), Play::of("answer-bye").start());
    let trunks = [bench.trunk(&busy, &json!({})), bench.trunk(&other, &json!({}))];
    let batch = bench.call_over(&[&trunks[0], &trunks[1]], &json!({}));
    ended(&bench.over(&batch, &[&busy, &other]), "busy", "busy");
    assert_eq!(other.calls(), 0);
    busy.went_as_written();
}

/// The next attempt goes where the 302 said.
fn redirected(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").start();
    let sends = Play::of("redirect").fill("next", callee.port.to_string()).start();
    let batch = bench.call(&sends, &json!({}));
    let call = bench.over(&batch, &[&sends, &callee]);
    ended(&call, "completed", "answered");
    assert_eq!(attempts(&call).len(), 2, "{call}");
    assert_eq!(attempts(&call)[0]["reason"], "redirected", "{call}");
    assert_eq!(attempts(&call)[0]["charged"], false, "{call}");
    assert_eq!((sends.calls(), callee.calls()), (1, 1));
    sends.went_as_written();
    callee.went_as_written();
}

/// Two that send callers to one another.
fn in_a_circle(bench: &Bench<'_>) {
    let (here, there) = (free_port(), free_port());
    let one = Play::of("redirect").fill("next", there.to_string()).at(here).start();
    let two = Play::of("redirect").fill("next", here.to_string()).at(there).start();
    let batch = bench.call(&one, &json!({}));
    let call = bench.over(&batch, &[&one, &two]);
    assert_eq!(call["callStatus"], "failed", "{call}");
    assert_eq!(last_attempt(&call)["reason"], "redirected", "{call}");
    assert_eq!(attempts(&call).len(), 5, "{call}");
    assert_eq!(one.calls() + two.calls(), 5);
    one.went_as_written();
    two.went_as_written();
}
