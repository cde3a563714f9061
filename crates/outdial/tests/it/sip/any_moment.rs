//! `kill -9` at random moments with calls on the line, ringing and talking: everybody is called,
//! nobody by an attempt twice, and no line stays open. `OUTDIAL_KILL_SEED` repeats a run.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, LIMIT, home};
use super::seen::{Seen, attempts, every_answer_acknowledged, one_invite_each};
use super::steady::Steady;
use crate::chance::Chance;
use crate::harness::{Home, PATIENCE, Server, monotonic, wait_for};

/// Each on a thread: most of one is waiting for what may still come of calls that were cut off.
const ROUNDS: u64 = 6;
/// How often the process is killed in each.
const KILLS: usize = 2;
const CALLS: u64 = 40;
const CPS: u64 = 20;
/// From a start to a kill, at most: less than the calls take that are left.
const LIFE: Duration = Duration::from_millis(1_800);
/// Until we hang up.
const TALK_MS: u64 = 1_000;

/// How long a callee rings before an answer: a moment, or some; one of ten until we give up.
fn rings(number: &str) -> Option<Duration> {
    let last = u64::from(number.as_bytes()[number.len() - 1] - b'0');
    (last < 9).then(|| Duration::from_millis(last * 80))
}

#[test]
fn sip_killed_at_any_moment_everybody_is_called() {
    let seed = std::env::var("OUTDIAL_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OUTDIAL_KILL_SEED={seed}");
    let mut chance = Chance(seed);
    let mut rounds: Vec<[Duration; KILLS]> =
        (0..ROUNDS).map(|_| std::array::from_fn(|_| chance.wait(LIFE))).collect();
    // One of them is sure to hit calls.
    rounds[0] = [LIFE; KILLS];
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let started: Vec<_> = rounds.iter().map(|kills| scope.spawn(|| round(kills))).collect();
        started.into_iter().map(|round| round.join().unwrap()).collect()
    });
    println!("{rounds:?}: {tallies:?}");
    let [cut_off, talking, ringing] =
        [|t: &Tally| t.cut_off, |t: &Tally| t.talking, |t: &Tally| t.ringing]
            .map(|of| tallies.iter().map(of).sum::<usize>());
    // Else the kills did not hit what they are meant to hit, and nothing was proved.
    assert!(cut_off >= 10 && talking >= 5 && ringing >= 1, "{tallies:?}");
}

/// What the kills of a round hit.
#[derive(Debug, Default)]
struct Tally {
    /// Calls that a process left behind.
    cut_off: usize,
    /// Of them, those that talked at that moment.
    talking: usize,
    /// Those that rang.
    ringing: usize,
    /// Contacts whose attempt never left, or nobody knows.
    unseen: usize,
}

fn round(kills: &[Duration; KILLS]) -> Tally {
    let home = home(&[]);
    let mut server = home.serve();
    let callee = Steady::start(rings);
    let limits = json!({
        "callsPerSecond": CPS, "channels": 12, "ringTimeoutMs": 1_000, "maxCallMs": TALK_MS,
    });
    let bench = Bench { home: &home, server: &server };
    let trunk = bench.trunk_to(callee.port, &limits);
    let batch = bench.call_many(&[&trunk], CALLS, &json!({ "retry": 1, "delay": 1 }));
    let mut tally = Tally::default();
    for life in kills {
        server = killed_after(*life, &home, server, &callee, &mut tally);
    }
    server.wait_completed(&batch, LIMIT);
    no_line_is_open(&callee);
    let log = callee.log();
    one_invite_each(&log);
    every_answer_acknowledged(&log);
    tally.unseen = everybody_called(&server.all_calls(&batch), &log);
    server.terminate();
    assert!(server.wait_at_most(PATIENCE).success());
    tally
}

/// The next life. What the callee has on the line at the kill is counted.
fn killed_after<'a>(
    life: Duration,
    home: &'a Home,
    server: Server<'a>,
    callee: &Steady,
    tally: &mut Tally,
) -> Server<'a> {
    let born = monotonic();
    wait_for("its time comes", PATIENCE, || (monotonic() - born >= life).then_some(()));
    server.kill9();
    let log = callee.log();
    for call_id in attempts(&log).into_keys() {
        let of = |m: &&Seen| m.header("Call-ID") == call_id;
        let sent = |status: u16| log.iter().filter(of).any(|m| m.status() == Some(status));
        let is_over = |m: &Seen| matches!(m.method(), Some("BYE" | "CANCEL"));
        if log.iter().filter(of).any(is_over) {
            continue;
        }
        tally.cut_off += 1;
        tally.talking += usize::from(sent(200));
        tally.ringing += usize::from(sent(180) && !sent(200));
    }
    home.serve()
}

/// Every call that the callee answered got a BYE of ours, which it never sends itself.
fn no_line_is_open(callee: &Steady) {
    let end = monotonic() + PATIENCE / 2;
    wait_for("no line is open", PATIENCE, || {
        let log = callee.log();
        let is_answer =
            |m: &&Seen| !m.received && m.status() == Some(200) && m.cseq().1 == "INVITE";
        let of = |id: &str| log.iter().filter(|m| m.header("Call-ID") == id).collect::<Vec<_>>();
        let is_open = |m: &Vec<&Seen>| !m.iter().any(|m| m.received && m.method() == Some("BYE"));
        let mut calls = log.iter().filter(is_answer).map(|m| of(m.header("Call-ID")));
        let open = calls.find(is_open);
        if let Some(call) = open.as_ref().filter(|_| monotonic() > end) {
            let lines = call.iter().map(|m| (m.at, m.received, m.line(), m.header("CSeq")));
            panic!("a line stays open: {:#?}", lines.collect::<Vec<_>>());
        }
        open.is_none().then_some(())
    });
}

/// By the callee's log: nobody got more calls than attempts, all of them are in a history, and who
/// got none is one of the few whose attempt was on its way from the store to the network. How many
/// those are.
fn everybody_called(calls: &[Value], log: &[Seen]) -> usize {
    let mut seen = BTreeMap::<String, usize>::new();
    for number in attempts(log).into_values() {
        *seen.entry(number).or_default() += 1;
    }
    assert_eq!(calls.len() as u64, CALLS);
    let mut unseen = 0;
    for call in calls {
        let status = call["callStatus"].as_str().unwrap();
        let ends = ["completed", "canceled", "unknown", "no-answer"];
        assert!(ends.contains(&status), "{call}");
        let logs = call["phoneLogs"].as_array().unwrap().len();
        let invites = seen.remove(call["phoneNumber"].as_str().unwrap()).unwrap_or_default();
        assert!((1..=2).contains(&logs) && invites <= logs, "{invites} INVITEs: {call}");
        if invites == 0 {
            assert_eq!(status, "unknown", "{call}");
            unseen += 1;
        }
    }
    assert!(seen.is_empty(), "INVITEs to nobody of the batch: {seen:?}");
    // A quarter of a second ahead, at the most, and one more for each edge.
    assert!(unseen as u64 <= KILLS as u64 * (CPS / 4 + 2), "{unseen} were never called");
    unseen
}
