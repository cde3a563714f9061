//! Calls over TCP, to SIPp, and over TLS, to SIPp behind a Kamailio: Debian's SIPp has no TLS.

use serde_json::{Value, json};

use super::bench::{Bench, LIMIT, all_at_once, ended, home, last_attempt, sent, with};
use super::certificate::Certificate;
use super::peers::Proxy;
use super::sipp::{Play, Sipp, free_port};
use crate::harness::{Home, wait_for};

#[test]
fn sip_over_tcp() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("hung up by the callee", |b| {
                let callee = Play::of("answer-bye").hold(500).tcp().start();
                over_tcp(b, callee, &json!({}), "completed", "answered");
            }),
            ("hung up by us", |b| {
                let callee = Play::of("answer-wait").tcp().start();
                over_tcp(b, callee, &json!({ "maxCallMs": 1_000 }), "completed", "answered");
            }),
            ("busy", |b| {
                let callee = super::outcomes::busy().tcp().start();
                over_tcp(b, callee, &json!({}), "busy", "busy");
            }),
            ("no answer", |b| {
                let callee = Play::of("ring").fill("provisional", "180 Ringing").tcp().start();
                over_tcp(
                    b,
                    callee,
                    &json!({ "ringTimeoutMs": 1_500 }),
                    "no-answer",
                    "ring_timeout",
                );
            }),
            ("many over one connection", many_over_one),
            ("the connection breaks", broken),
        ],
    );
}

/// A call to it; `more` are fields of the trunk.
fn over_tcp(bench: &Bench<'_>, callee: Sipp, more: &Value, disposition: &str, reason: &str) {
    let batch = bench.call(&callee, more);
    ended(&bench.over(&batch, &[&callee]), disposition, reason);
    let invites = callee.requests("INVITE");
    assert_eq!(invites.len(), 1, "a stream repeats nothing");
    assert!(invites[0].header("Via").starts_with("SIP/2.0/TCP"), "{}", invites[0].text);
    assert!(invites[0].header("Contact").contains("transport=tcp"), "{}", invites[0].text);
    callee.went_as_written();
}

fn many_over_one(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").hold(300).tcp().start();
    let trunk = bench.trunk(&callee, &json!({}));
    let batch = bench.call_many(&[&trunk], 40, &json!({}));
    bench.all_over(&batch, &[&callee]);
    assert_eq!(bench.server.count(&batch, &["completed"]), 40);
    callee.went_as_written();
}

/// After the INVITE left, a broken connection says nothing of what became of it.
fn broken(bench: &Bench<'_>) {
    let callee = Play::of("silent").hold(120_000).tcp().start();
    let other = Play::of("answer-bye").start();
    let trunks = [bench.trunk(&callee, &json!({})), bench.trunk(&other, &json!({}))];
    let batch = bench.call_over(&[&trunks[0], &trunks[1]], &json!({}));
    callee.wait_for("INVITE");
    drop(callee);
    bench.server.wait_completed(&batch, LIMIT);
    let call = bench.now(&batch);
    assert_eq!(call["callStatus"], "unknown", "{call}");
    assert_eq!(sent(&call), 1, "{call}");
    assert_eq!(other.calls(), 0, "failover after an INVITE that may have arrived");
}

/// A home that trusts an authority of its own, and takes connections with a certificate of it, if
/// it is to take any.
fn tls_home(listens: bool) -> Home {
    let mut home = home(&[]);
    let files = Certificate::make(home.path("outdial.db").parent().unwrap());
    home.set("OUTDIAL_SIP_CA_FILE", &files.authority.display().to_string());
    if listens {
        home.set("OUTDIAL_SIP_TLS_LISTEN", &format!("127.0.0.1:{}", free_port()));
        home.set("OUTDIAL_SIP_TLS_CERTIFICATE", &files.leaf.display().to_string());
        home.set("OUTDIAL_SIP_TLS_KEY", &files.key.display().to_string());
    }
    home
}

#[test]
fn sip_over_tls() {
    let home = tls_home(true);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("hung up by the callee", |b| {
                let callee = Play::of("answer-bye").hold(500).start();
                over_tls(b, callee, &json!({}), "completed", "answered");
            }),
            ("hung up by us", |b| {
                let callee = Play::of("answer-wait").start();
                over_tls(b, callee, &json!({ "maxCallMs": 1_000 }), "completed", "answered");
            }),
            ("busy", |b| {
                let callee = super::outcomes::busy().start();
                over_tls(b, callee, &json!({}), "busy", "busy");
            }),
            ("canceled", |b| {
                let callee = Play::of("ring").fill("provisional", "180 Ringing").start();
                over_tls(
                    b,
                    callee,
                    &json!({ "ringTimeoutMs": 1_500 }),
                    "no-answer",
                    "ring_timeout",
                );
            }),
            ("a stranger's certificate", stranger),
            ("nobody speaks TLS", not_tls),
        ],
    );
}

/// Without a port for TLS of ours: the callee's BYE comes over the connection that the INVITE took.
#[test]
fn sip_over_tls_one_way() {
    let home = tls_home(false);
    let server = home.serve();
    let callee = Play::of("answer-bye").hold(500).start();
    let bench = Bench { home: &home, server: &server };
    over_tls(&bench, callee, &json!({}), "completed", "answered");
}

/// The files that the server of this home was started with.
fn files(bench: &Bench<'_>) -> Certificate {
    Certificate {
        authority: bench.home.path("authority.pem"),
        leaf: bench.home.path("leaf.pem"),
        key: bench.home.path("leaf.key"),
    }
}

fn over_tls(bench: &Bench<'_>, callee: Sipp, more: &Value, disposition: &str, reason: &str) {
    let proxy = Proxy::start(callee.port, Some(&files(bench)));
    let tls = with(json!({ "transport": "tls", "host": "localhost" }), more);
    let batch = bench.call_over(&[&bench.trunk_to(proxy.tls, &tls)], &json!({}));
    ended(&bench.over(&batch, &[&callee]), disposition, reason);
    let invite = callee.wait_for("INVITE");
    let vias = invite.all("Via");
    assert!(vias[1].starts_with("SIP/2.0/TLS"), "{}", invite.text);
    assert!(invite.header("Contact").contains("transport=tls"), "{}", invite.text);
    callee.went_as_written();
}

/// A certificate that the trunk's host cannot have: not a byte of the call leaves, and nobody is
/// charged. Without the check it does.
fn stranger(bench: &Bench<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let callee = Play::of("answer-bye").start();
    let proxy = Proxy::start(callee.port, Some(&Certificate::make(folder.path())));
    let tls = json!({ "transport": "tls", "host": "localhost" });
    let checked = bench.trunk_to(proxy.tls, &tls);
    let batch = bench.call_over(&[&checked], &json!({}));
    never_placed(bench, &batch, &callee);

    let unchecked = json!({ "transport": "tls", "host": "localhost", "verifyCertificate": false });
    let trunk = bench.trunk_to(proxy.tls, &unchecked);
    let batch = bench.call_over(&[&trunk], &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    callee.went_as_written();
}

fn not_tls(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").tcp().start();
    let trunk = bench.trunk(&callee, &json!({ "transport": "tls" }));
    let batch = bench.call_over(&[&trunk], &json!({}));
    never_placed(bench, &batch, &callee);
}

/// Given up uncharged for the trunk's fault, and the callee saw nothing. A machine that is too busy
/// for a handshake within the slot ends a try before that as late.
fn never_placed(bench: &Bench<'_>, batch: &str, callee: &Sipp) {
    let attempts = wait_for("the trunk is at fault", LIMIT, || {
        let attempts = bench.now(batch)["attempts"].as_array().cloned().unwrap_or_default();
        attempts.iter().any(|a| a["fault"] == "carrier").then_some(attempts)
    });
    let is_free = |a: &Value| a["charged"] == false || a["endedAt"].is_null();
    assert!(attempts.iter().all(is_free), "{attempts:?}");
    super::auth::stop(bench, batch);
    assert_eq!(last_attempt(&bench.now(batch))["charged"], false);
    assert_eq!(callee.calls(), 0);
}
