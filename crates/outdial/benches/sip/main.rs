//! How many calls a second go out over SIP, and what one costs, beside SIPp as caller.
//!
//! Both call the same kind of callee, `sipp -sn uas`, over UDP on the loopback, at rates that do
//! not wait for what becomes of the calls; whoever answers is hung up on at once. Then the same
//! with everything in a call's way: the real engine on the real store in a file. Nothing here
//! fails for being slow. SIPp stands in the Debian package `sip-tester`.
//!
//! `cargo xtask bench sip [RATE,…] [SECONDS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod carrier;
mod engine;
#[path = "../../src/files.rs"]
mod files;
#[path = "../support/machine.rs"]
mod machine;
mod port;
mod sipp;
#[path = "../support/workspace.rs"]
mod workspace;

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::dispatcher::LineLimits;
use port::{Port, Taken};
use sipp::Callee;
use tokio::runtime::Runtime;

/// Calls a second, in this order.
const RATES: &str = "100,300,500,800,1500,3000,4500,6000,8000,10000,12000,15000";
/// So long at each rate.
const SECONDS: &str = "3";
/// Beyond the time in which calls are placed: repetitions of what was lost take some seconds.
const AFTER: Duration = Duration::from_secs(6);
/// A caller that does not come to this share of the rate does not keep it.
const KEPT: f64 = 0.95;
/// At this rate no call may fail.
const GOAL_RATE: u64 = 500;
/// The share of SIPp's own rate that is wanted.
const GOAL_SHARE: f64 = 0.5;
/// People that the engine calls: over a trunk of so many calls per second, and over one without
/// that limit.
const PEOPLE: [(Option<f64>, u64); 2] = [(Some(500.0), 5_000), (None, 15_000)];

fn main() {
    files::allow_all();
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let rates = args.next().unwrap_or_else(|| RATES.to_owned());
    let seconds = args.next().unwrap_or_else(|| SECONDS.to_owned());
    let seconds: u64 = seconds.parse().expect("SECONDS is a number");
    let rates = rates.split(',').map(|n| n.parse().expect("RATE is a list of numbers")).collect();
    let taken = runtime().block_on(take());
    let [ours, theirs] = climb(rates, seconds);
    summary(&ours, &theirs, &taken);
    through_the_engine();
}

/// Each measurement has its own, so that what one leaves behind burdens no other.
fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime")
}

async fn take() -> Taken {
    let callee = Callee::start().await;
    Port::open(&callee).await.take().await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Outdial,
    Sipp,
}

/// What came of calls.
#[derive(Default)]
struct Placed {
    /// Answered, hung up, and over.
    good: u64,
    /// From the first call to the end of the last.
    took: Duration,
    /// Of the caller.
    cpu: Duration,
    /// From the order to the answer, in milliseconds.
    set_up_ms: Vec<f64>,
    /// How others ended, as far as the caller says, and how many so.
    bad: BTreeMap<String, u64>,
}

/// What came of one rate.
struct Rung {
    rate: u64,
    achieved: f64,
    failed: u64,
    cpu_ms: f64,
}

impl Rung {
    fn is_kept(&self) -> bool {
        self.failed == 0 && self.achieved >= self.rate as f64 * KEPT
    }
}

/// Both callers at each rate, until neither keeps it.
fn climb(rates: Vec<u64>, seconds: u64) -> [Vec<Rung>; 2] {
    println!("{seconds} s at each rate; the callee is SIPp; no talk");
    println!(
        "{:>7} {:>8} {:>8} {:>7} {:>7} {:>8} {:>8} {:>8} {:>7}",
        "calls/s",
        "caller",
        "achieved",
        "failed",
        "repeats",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "callee"
    );
    let mut rungs = [(Caller::Outdial, Vec::new()), (Caller::Sipp, Vec::new())];
    for rate in rates {
        for (caller, rungs) in &mut rungs {
            if rungs.last().is_none_or(Rung::is_kept) {
                rungs.push(runtime().block_on(step(*caller, rate, seconds)));
            }
        }
    }
    rungs.map(|(_, rungs)| rungs)
}

async fn step(caller: Caller, rate: u64, seconds: u64) -> Rung {
    let (calls, limit) = (rate * seconds, Duration::from_secs(seconds) + AFTER);
    let callee = Callee::start().await;
    let before = callee.cpu();
    let (name, placed) = match caller {
        Caller::Outdial => ("outdial", Port::open(&callee).await.call(rate, calls, limit).await),
        Caller::Sipp => ("sipp", sipp::call(callee.addr, rate, calls, limit).await),
    };
    let Placed { good, took, cpu, mut set_up_ms, bad } = placed;
    let busy = (callee.cpu() - before).as_secs_f64() / took.as_secs_f64();
    let seen = callee.end().await;
    let achieved = good as f64 / took.as_secs_f64();
    let cpu_ms = cpu.as_secs_f64() * 1e3 / calls as f64;
    // One that the callee saw twice, or not at all, did not go well either.
    let failed = (calls - good).max(seen.calls.abs_diff(calls));
    println!(
        "{rate:>7} {name:>8} {achieved:>8.0} {failed:>7} {:>7} {:>8.1} {:>8.1} \
         {cpu_ms:>8.3} {:>6.0}%",
        seen.repeats,
        share(&mut set_up_ms, 0.5),
        share(&mut set_up_ms, 0.99),
        busy * 100.0
    );
    for (how, calls) in bad {
        println!("{:>16} {calls} ended otherwise: {how}", "");
    }
    Rung { rate, achieved, failed, cpu_ms }
}

/// The value that this share of them does not exceed; 0 of none.
fn share(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let before = (values.len() as f64 * share).ceil();
    values.iter().zip(1_u32..).find(|(_, n)| f64::from(*n) >= before).map_or(0.0, |(v, _)| *v)
}

fn summary(ours: &[Rung], theirs: &[Rung], taken: &Taken) {
    let best = |rungs: &[Rung]| {
        let kept = rungs.iter().filter(|rung| rung.is_kept()).map(|rung| rung.rate).max();
        (kept.unwrap_or(0), rungs.last().is_some_and(Rung::is_kept))
    };
    let shown = |(rate, is_end)| format!("{rate}/s{}", if is_end { " or more" } else { "" });
    let (our_best, their_best) = (best(ours), best(theirs));
    println!(
        "no call failed: outdial {}, sipp {}, ratio {:.2} (goal {GOAL_SHARE:.2})",
        shown(our_best),
        shown(their_best),
        our_best.0 as f64 / their_best.0 as f64
    );
    let at_goal = |rungs: &[Rung]| rungs.iter().position(|rung| rung.rate == GOAL_RATE);
    if let (Some(our), Some(their)) = (at_goal(ours), at_goal(theirs)) {
        let (our, their) = (&ours[our], &theirs[their]);
        println!(
            "at {GOAL_RATE}/s: {} failed (goal 0); CPU {:.3} ms a call, sipp {:.3}, ratio {:.1}",
            our.failed,
            our.cpu_ms,
            their.cpu_ms,
            our.cpu_ms / their.cpu_ms
        );
    }
    println!(
        "a call that stands: {:.1} KiB, CPU {:.2} ms/s with its sound; one that is over and may be \
         repeated: {:.1} KiB for 32 s",
        taken.live_kib, taken.live_cpu_ms, taken.over_kib
    );
}

/// The second figure.
fn through_the_engine() {
    println!("with store and dispatch in the way, 1000 channels");
    println!(
        "{:>14} {:>7} {:>8} {:>13} {:>7} {:>12}",
        "limit", "people", "calls/s", "not answered", "repeats", "CPU ms each"
    );
    for (calls_per_second, people) in PEOPLE {
        let limits = LineLimits { calls_per_second, channels: Some(1000), ..LineLimits::default() };
        runtime().block_on(async {
            let callee = Callee::start().await;
            let done = engine::call(&callee, people, limits).await;
            let seen = callee.end().await;
            let limit = calls_per_second.map_or("none".to_owned(), |n| format!("{n} CPS"));
            println!(
                "{limit:>14} {people:>7} {:>8.0} {:>13} {:>7} {:>12.3}",
                done.over as f64 / done.took.as_secs_f64(),
                people - done.answered,
                seen.repeats,
                done.cpu.as_secs_f64() * 1e3 / done.over.max(1) as f64
            );
        });
    }
}
