//! What can be seen from outside of what was called: the histories, and the carrier's own log,
//! which outlives every process.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::{Home, Server, lines_in};

/// I1, I2, I3 by the carrier's log and the histories; how many calls were cut off by a kill.
pub(crate) fn check_dialed(
    server: &Server<'_>,
    batch: &str,
    home: &Home,
    total: u64,
    retry: usize,
) -> u64 {
    let calls = server.all_calls(batch);
    assert_eq!(calls.len() as u64, total);
    let placed = placed(home);
    let mut cut_off = 0;
    for call in &calls {
        let number = call["phoneNumber"].as_str().unwrap();
        let tokens = placed.get(number).map(Vec::as_slice).unwrap_or_default();
        assert!(tokens.len() <= retry + 1, "{number} was called {} times", tokens.len());
        check_history(server, call, tokens, retry);
        cut_off += u64::from(call["callStatus"] == "unknown" && !number.ends_with("97"));
    }
    let finals = outdial_core::outcome::Disposition::ALL;
    let sum: u64 = finals.iter().map(|d| server.count(batch, &[d.as_str()])).sum();
    assert_eq!(sum, total, "dispositions add up to the batch");
    assert_eq!(server.count(batch, &["pending", "dialing", "ringing", "in-progress"]), 0);
    cut_off
}

/// The history of a call tells of every attempt that the carrier saw, one after the other, and none
/// after one whose outcome is unknown.
fn check_history(server: &Server<'_>, call: &Value, tokens: &[String], retry: usize) {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let logs = call["phoneLogs"].as_array().unwrap();
    let known: Vec<String> =
        logs.iter().map(|log| text(log, "requestUUID").replace('-', "")).collect();
    let unheard: Vec<_> = tokens.iter().filter(|t| !known.contains(t)).collect();
    assert!(unheard.is_empty(), "placed, but not in the history: {unheard:?} {call}");
    assert!(logs.len() <= retry + 1, "{call}");
    if call["callStatus"] == "completed" {
        let last = known.last().expect("a completed call was called");
        assert!(tokens.contains(last), "completed, and never placed: {call}");
    }
    if logs.len() < 2 {
        return;
    }
    let details = server.get(&format!("/api/call/call-details/{}", text(call, "_id")));
    let details = details.expect(200);
    for pair in details["data"]["attempts"].as_array().unwrap().windows(2) {
        assert!(text(&pair[0], "endedAt") <= text(&pair[1], "sendAt"), "overlap: {details}");
        assert_ne!(text(&pair[0], "disposition"), "unknown", "redialed: {details}");
    }
}

/// What the carrier was asked to place over all lives: number → tokens. No attempt twice.
pub(crate) fn placed(home: &Home) -> BTreeMap<String, Vec<String>> {
    let mut attempts = BTreeSet::new();
    let mut placed = BTreeMap::<String, Vec<String>>::new();
    for line in lines_in(&home.carrier_log()) {
        let words: Vec<&str> = line.split(' ').collect();
        let [attempt, number, token] = words[..] else { panic!("{line}") };
        assert!(attempts.insert(attempt.to_owned()), "attempt {attempt} was placed twice");
        placed.entry(number.to_owned()).or_default().push(token.to_owned());
    }
    placed
}

pub(crate) fn ids_of(calls: &[Value]) -> BTreeSet<String> {
    calls.iter().map(|c| c["_id"].as_str().unwrap().to_owned()).collect()
}
