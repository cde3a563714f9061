//! Requests inside a call: hold, questions, refreshes.

use serde_json::json;

use super::bench::{Bench, all_at_once, ended, home};
use super::seen::Seen;
use super::sipp::{Play, Sipp};

#[test]
fn sip_dialogs() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("hold, questions, nonsense", in_dialog),
            ("the session is refreshed", refreshed),
            ("the session is refreshed by UPDATE", refreshed_by_update),
            ("the callee refreshes the session", refreshed_by_the_callee),
            ("nobody refreshes the session", never_refreshed),
        ],
    );
}

fn in_dialog(bench: &Bench<'_>) {
    let callee = Play::of("in-dialog").hold(300).start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    callee.went_as_written();
}

/// RFC 4028: at half of 90 s, by a re-INVITE, as the callee allows no UPDATE.
fn refreshed(bench: &Bench<'_>) {
    let callee = Play::of("timer").start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let invites = callee.requests("INVITE");
    let [first, refresh] = &invites[..] else { panic!("{} INVITEs", invites.len()) };
    assert!(first.all("Supported").iter().any(|v| v.contains("timer")), "{}", first.text);
    assert!(!first.header("Session-Expires").is_empty());
    assert_eq!(refresh.tag("To"), "callee-1");
    assert!((30..=60).contains(&(refresh.at - first.at).as_secs()));
    callee.went_as_written();
}

/// The same, by an UPDATE without a description, as the callee allows it.
fn refreshed_by_update(bench: &Bench<'_>) {
    let callee = Play::of("timer-update").start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    let (invite, update) = (only(&callee, "INVITE"), only(&callee, "UPDATE"));
    assert_eq!((update.tag("To"), update.tag("From")), ("callee-1", invite.tag("From")));
    assert!(update.cseq().0 > invite.cseq().0, "{}", update.text);
    assert!(update.body().is_empty(), "{}", update.text);
    assert!((40..=50).contains(&(update.at - invite.at).as_secs()));
    callee.went_as_written();
}

/// An UPDATE of the callee's is answered, and the session lives longer than it would without: it
/// would be given up 30 s before its 90 s are over.
fn refreshed_by_the_callee(bench: &Bench<'_>) {
    let callee = Play::of("timer-theirs").fill("first", "35000").hold(28_000).start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    only(&callee, "INVITE");
    assert!(callee.requests("UPDATE").is_empty(), "the callee said that it refreshes");
    let answers = callee.answers("UPDATE");
    assert_eq!(answers.iter().map(Seen::status).collect::<Vec<_>>(), [Some(200)]);
    assert!(answers[0].all("Require").contains(&"timer"), "{}", answers[0].text);
    assert_eq!(callee.answers("BYE")[0].status(), Some(200), "the call was still there");
    callee.went_as_written();
}

/// RFC 4028 section 10: a callee that went away without a word does not hold the line.
fn never_refreshed(bench: &Bench<'_>) {
    let callee = Play::of("timer-never").start();
    let batch = bench.call(&callee, &json!({}));
    ended(&bench.over(&batch, &[&callee]), "completed", "answered");
    assert!(callee.requests("UPDATE").is_empty());
    let (invite, bye) = (only(&callee, "INVITE"), only(&callee, "BYE"));
    let lived = bye.at - invite.at;
    assert!((59..=63).contains(&lived.as_secs()), "BYE after {lived:?}");
    callee.went_as_written();
}

/// The only request of a method.
fn only(callee: &Sipp, method: &str) -> Seen {
    let mut all = callee.requests(method);
    assert_eq!(all.len(), 1, "{method}");
    all.remove(0)
}
