//! Digest authentication. What a right answer is, is computed by `md5sum` and `sha256sum`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::bench::{Bench, all_at_once, ended, home, last_attempt};
use super::seen::Seen;
use super::sipp::{Play, Sipp};

const USER: &str = "out dial";
const PASSWORD: &str = "p\"ass:wörd";

#[test]
fn sip_credentials() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("401 MD5", |b| answered(b, "401 Unauthorized", &[MD5], "MD5")),
            ("407 MD5", |b| answered(b, "407 Proxy Authentication Required", &[MD5], "MD5")),
            ("401 SHA-256", |b| answered(b, "401 Unauthorized", &[SHA], "SHA-256")),
            ("407 SHA-256", |b| {
                answered(b, "407 Proxy Authentication Required", &[SHA], "SHA-256");
            }),
            ("the stronger", |b| answered(b, "401 Unauthorized", &[MD5, SHA], "SHA-256")),
            ("the one known", |b| answered(b, "401 Unauthorized", &[ODD, MD5], "MD5")),
            ("without qop", |b| answered(b, "401 Unauthorized", &[OLD], "MD5")),
            ("stale", stale),
            ("refused", refused),
            ("no credentials", none),
            ("nothing to answer", unanswerable),
        ],
    );
}

const MD5: &str = "Digest realm=\"sip\", nonce=\"n-1\", qop=\"auth\", algorithm=MD5";
const SHA: &str = "Digest realm=\"sip\", nonce=\"n-2\", qop=\"auth,auth-int\", algorithm=SHA-256";
const OLD: &str = "Digest realm=\"sip\", nonce=\"n-3\", opaque=\"o\"";
const ODD: &str = "Digest realm=\"sip\", nonce=\"n-4\", qop=\"auth\", algorithm=SHA3-1024";

/// Header lines that ask for credentials.
fn asking(status: &str, challenges: &[&str]) -> [String; 2] {
    let name = if status.starts_with("401") { "WWW-Authenticate" } else { "Proxy-Authenticate" };
    let line = |i: usize| challenges.get(i).map(|c| format!("{name}: {c}"));
    [line(0).unwrap(), line(1).unwrap_or_else(|| "Server: sipp".to_owned())]
}

fn asks(scenario: &'static str, status: &str, challenges: &[&str]) -> Sipp {
    let [first, second] = asking(status, challenges);
    Play::of(scenario).fill("status", status).fill("first", first).fill("second", second).start()
}

fn account() -> Value {
    json!({ "username": USER, "password": PASSWORD })
}

fn answered(bench: &Bench<'_>, status: &str, challenges: &[&str], algorithm: &str) {
    let callee = asks("auth", status, challenges);
    let batch = bench.call(&callee, &account());
    let call = bench.over(&batch, &[&callee]);
    ended(&call, "completed", "answered");
    assert_eq!(call["attempts"].as_array().unwrap().len(), 1, "the same attempt: {call}");
    let invites = callee.requests("INVITE");
    let [open, known] = &invites[..] else { panic!("{} INVITEs", invites.len()) };
    assert!(open.credentials().is_empty());
    let name = if status.starts_with("401") { "Authorization" } else { "Proxy-Authorization" };
    check(known, known.header(name), challenges, algorithm);
    assert_eq!(known.tag("To"), "", "a second INVITE opens a dialog as the first did");
    callee.went_as_written();
}

fn stale(bench: &Bench<'_>) {
    let again = MD5.replace("n-1", "n-9") + ", stale=true";
    let callee = asks("auth-stale", "407 Proxy Authentication Required", &[MD5, &again]);
    let batch = bench.call(&callee, &account());
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let invites = callee.requests("INVITE");
    assert_eq!(invites.len(), 3);
    let last = invites[2].header("Proxy-Authorization");
    check(&invites[2], last, &[&again], "MD5");
    callee.went_as_written();
}

/// Wrong credentials are tried once, and not again and again; nobody was reached.
fn refused(bench: &Bench<'_>) {
    let again = MD5.replace("n-1", "n-8");
    let callee = asks("auth-refused", "401 Unauthorized", &[MD5, &again]);
    let trunk = bench.trunk(&callee, &account());
    let batch = bench.call_over(&[&trunk], &json!({}));
    let attempt = first_end(bench, &batch);
    assert_eq!(attempt["sipStatus"], 401, "{attempt}");
    assert_eq!(attempt["reason"], "trunk_credentials", "{attempt}");
    assert_eq!(attempt["charged"], false, "{attempt}");
    stop(bench, &batch);
    let first = callee.wait_for("INVITE");
    let of_first = callee.requests("INVITE");
    let of_first = of_first.iter().filter(|m| m.header("Call-ID") == first.header("Call-ID"));
    assert_eq!(of_first.count(), 2);
    super::seen::one_invite_each(&callee.log());
}

fn none(bench: &Bench<'_>) {
    let callee = asks("auth", "401 Unauthorized", &[MD5]);
    let batch = bench.call(&callee, &json!({}));
    let attempt = first_end(bench, &batch);
    assert_eq!(attempt["reason"], "trunk_credentials", "{attempt}");
    stop(bench, &batch);
    assert!(callee.requests("INVITE").iter().all(|m| m.credentials().is_empty()));
}

fn unanswerable(bench: &Bench<'_>) {
    let callee = asks("auth", "407 Proxy Authentication Required", &[ODD]);
    let batch = bench.call(&callee, &account());
    let attempt = first_end(bench, &batch);
    assert_eq!(attempt["reason"], "trunk_credentials", "{attempt}");
    stop(bench, &batch);
    assert!(callee.requests("INVITE").iter().all(|m| m.credentials().is_empty()));
}

/// The first attempt of the only call, when it is over.
pub(crate) fn first_end(bench: &Bench<'_>, batch: &str) -> Value {
    crate::harness::wait_for("an attempt is over", super::bench::LIMIT, || {
        let call = bench.now(batch);
        let first = call["attempts"].get(0)?;
        first["endedAt"].is_string().then(|| first.clone())
    })
}

/// Nothing more of this batch: what follows is another test's matter.
pub(crate) fn stop(bench: &Bench<'_>, batch: &str) {
    let body = json!({ "batchId": batch, "userId": bench.home.user });
    bench.server.post("/api/call/stop-calling", &body).expect(200);
    crate::harness::wait_for("its calls are over", super::bench::LIMIT, || {
        let live = bench.server.count(batch, &["dialing", "ringing", "in-progress"]);
        (live == 0).then_some(())
    });
    assert_eq!(last_attempt(&bench.now(batch))["charged"], false);
}

/// That the credentials answer the challenge of `algorithm`, RFC 7616 3.4.1 and RFC 2069.
fn check(invite: &Seen, credentials: &str, challenges: &[&str], algorithm: &str) {
    let challenge =
        challenges.iter().find(|c| field(c, "algorithm").unwrap_or("MD5") == algorithm).unwrap();
    let given = |name: &str| field(credentials, name);
    let must = |name: &str| given(name).unwrap_or_else(|| panic!("{name}: {credentials}"));
    for name in ["realm", "nonce", "opaque"] {
        assert_eq!(given(name), field(challenge, name), "{name}: {credentials}");
    }
    assert_eq!(must("username"), USER);
    let uri = invite.line().split(' ').nth(1).unwrap();
    assert_eq!(must("uri"), uri, "{credentials}");
    let sum = if algorithm == "MD5" { "md5sum" } else { "sha256sum" };
    let h = |text: String| digest(sum, &text);
    let a1 = h(format!("{USER}:{}:{PASSWORD}", must("realm")));
    let a2 = h(format!("INVITE:{uri}"));
    let wanted = match field(challenge, "qop") {
        None => h(format!("{a1}:{}:{a2}", must("nonce"))),
        Some(_) => {
            // Some peers take it only without quotes (RFC 7616 3.4).
            assert!(credentials.contains("qop=auth,") || credentials.ends_with("qop=auth"));
            assert_eq!(must("nc"), "00000001");
            let (nonce, cnonce) = (must("nonce"), must("cnonce"));
            h(format!("{a1}:{nonce}:00000001:{cnonce}:auth:{a2}"))
        }
    };
    assert_eq!(must("response"), wanted, "{credentials}");
}

/// A field of a challenge or of credentials, without its quotes.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let fields = text.strip_prefix("Digest ").unwrap();
    let at = fields.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = fields[..*at].trim_end();
        (before.is_empty() || before.ends_with(',')) && fields[at + name.len()..].starts_with('=')
    })?;
    let value = &fields[at + name.len() + 1..];
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split(',').next().map(str::trim),
    }
}

/// The hexadecimal digest of a text, by a program of coreutils.
fn digest(program: &str, text: &str) -> String {
    let mut command = Command::new(program);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}
