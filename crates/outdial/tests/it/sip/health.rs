//! What is known of a trunk before anybody is called: OPTIONS and registration.

use serde_json::json;

use super::bench::{Bench, LIMIT, all_at_once, ended, home};
use super::sipp::{Play, free_port};
use crate::harness::wait_for;

#[test]
fn sip_health() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(&home, &server, &[("OPTIONS", asked), ("gone", gone), ("registered", registered)]);
}

/// A trunk in this state, within the limit.
fn becomes(bench: &Bench<'_>, trunk: &str, state: &str) {
    wait_for(&format!("the trunk is {state}"), LIMIT, || {
        (bench.trunk_now(trunk)["health"]["state"] == state).then_some(())
    });
}

fn registrar() -> Play {
    let challenge = "WWW-Authenticate: Digest realm=\"sip\", nonce=\"n\", qop=\"auth\"";
    Play::of("registrar").fill("first", challenge)
}

fn asked(bench: &Bench<'_>) {
    let callee = registrar().start();
    let trunk = bench.trunk(&callee, &json!({ "keepAliveSeconds": 5 }));
    becomes(bench, &trunk, "up");
    wait_for("asked again", LIMIT, || (callee.requests("OPTIONS").len() >= 2).then_some(()));
    let asked = callee.requests("OPTIONS");
    let waited = asked[1].at - asked[0].at;
    assert!((3_000..8_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(callee.requests("REGISTER").len(), 0);
    let batch = bench.call_over(&[&trunk], &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    callee.went_as_written();
}

/// One that answered, and does not any more, gets no call until it answers again.
fn gone(bench: &Bench<'_>) {
    let port = free_port();
    let callee = registrar().at(port).start();
    let trunk = bench.trunk(&callee, &json!({ "keepAliveSeconds": 5 }));
    becomes(bench, &trunk, "up");
    drop(callee);
    becomes(bench, &trunk, "down");
    let batch = bench.call_over(&[&trunk], &json!({}));
    wait_for("the call waits for the trunk", LIMIT, || {
        let call = bench.now(&batch);
        let why = call["whyNotYet"].as_array()?;
        why.iter().any(|w| w["reason"] == "trunk_down").then_some(())
    });
    assert_eq!(bench.now(&batch)["attempts"], json!([]));
    let callee = registrar().at(port).start();
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    callee.went_as_written();
}

/// No INVITE before the registration that needed credentials.
fn registered(bench: &Bench<'_>) {
    let callee = registrar().start();
    let account = json!({ "register": true, "username": "me", "password": "secret" });
    let trunk = bench.trunk(&callee, &account);
    let batch = bench.call_over(&[&trunk], &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    becomes(bench, &trunk, "up");
    let log = callee.log();
    let answered =
        log.iter().position(|m| m.status() == Some(200) && m.cseq().1 == "REGISTER").unwrap();
    let called = log.iter().position(|m| m.method() == Some("INVITE")).unwrap();
    assert!(answered < called, "called before it was registered");
    let registers = callee.requests("REGISTER");
    assert!(registers[1].header("Authorization").contains("username=\"me\""));
    assert!(!registers[1].text.contains("secret"));
    callee.went_as_written();
}
