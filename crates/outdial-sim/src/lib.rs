//! A world with virtual time, faults and checkers: the real core, engine and SQLite store in one
//! thread, a carrier and users that are not real, and somebody who looks on and judges.
//!
//! One seed decides everything. The same seed gives the same trace, byte for byte. Never here:
//! anything that the product needs.
#![forbid(unsafe_code)]

mod carrier;
pub mod checker;
mod client;
mod clock;
mod model;
mod outlook;
mod panics;
mod process;
mod rng;
mod sabotage;
#[cfg(test)]
mod scenarios;
mod store;
mod trace;
mod watch;
mod weather;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use checker::Violation;
pub use sabotage::Sabotage;
pub use trace::tail;
use world::{Aim, World};

/// Steps of a world unless somebody says otherwise.
pub const STEPS: u32 = 60;

/// A world in which all promises were kept.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of which seed.
    pub seed: u64,
    /// What happened, for people.
    pub trace: String,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// How much time passed in it.
    pub lasted: Duration,
}

/// A world in which a promise was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Of which seed.
    pub seed: u64,
    /// Which promise.
    pub violation: Violation,
    /// What happened until then, for people.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.violation)
    }
}

/// Plays the world of a seed.
pub fn run(seed: u64, steps: u32) -> Result<Report, Box<Failure>> {
    play(seed, steps, (None, Aim::Usual))
}

/// Plays the world of a seed with one safeguard switched off.
pub fn run_sabotaged(seed: u64, steps: u32, rule: Sabotage) -> Result<Report, Box<Failure>> {
    play(seed, steps, (Some(rule), rule.aim()))
}

/// Plays the world of a seed without faults that are aimed.
#[cfg(test)]
pub(crate) fn run_unaimed(seed: u64, steps: u32) -> Result<Report, Box<Failure>> {
    play(seed, steps, (None, Aim::Off))
}

fn play(seed: u64, steps: u32, of: (Option<Sabotage>, Aim)) -> Result<Report, Box<Failure>> {
    panics::watch();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O takes nothing that could be missing");
    // The clock is the runtime's, so it is read inside.
    let (played, (trace, counts, lasted)) = runtime.block_on(async {
        let mut watch = None;
        let played = match World::new(seed, of, &mut watch).await {
            Ok(world) => world.play(steps).await,
            Err(violation) => Err(violation),
        };
        (played, watch.map(|w| w.summary()).unwrap_or_default())
    });
    match played {
        Ok(()) => Ok(Report { seed, trace, counts, lasted }),
        Err(violation) => Err(Box::new(Failure { seed, violation, trace })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        for seed in 1..=6 {
            let traces: Vec<String> =
                (0..2).map(|_| run(seed, STEPS).unwrap_or_else(|f| panic!("{f}")).trace).collect();
            assert!(traces[0].lines().count() > 100, "nothing happens:\n{}", traces[0]);
            assert!(traces[0] == traces[1], "{}", first_difference(&traces[0], &traces[1]));
        }
        let other = run(5, 25).unwrap_or_else(|f| panic!("{f}")).trace;
        assert!(other != run(6, 25).unwrap_or_else(|f| panic!("{f}")).trace);
    }

    /// A world in which nothing happens proves nothing.
    #[test]
    fn much_happens() {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for seed in 1..=24 {
            let report = run(seed, STEPS).unwrap_or_else(|f| panic!("{f}\n{}", tail(&f.trace, 40)));
            for (what, count) in report.counts {
                *counts.entry(what).or_default() += count;
            }
        }
        for what in [
            "added: deferred",
            "added: do not call",
            "added: new",
            "added: pending",
            "added: re-opened",
            "changed",
            "commit refused",
            "crashed with live calls",
            "deleted",
            "dialed: 503 with Retry-After",
            "dialed: answers late",
            "dialed: silence",
            "dialed: third time",
            "dialed: voicemail",
            "drained",
            "dropped: attempts per day",
            "dropped: number busy",
            "expired",
            "fault: 503 burst",
            "fault: BYE lost",
            "fault: applied, answer lost",
            "fault: carrier falls silent",
            "fault: carrier slow to send",
            "fault: changed while a plan is under way",
            "fault: clock set ahead",
            "fault: commits lose their answers",
            "fault: disk full",
            "fault: events doubled and late",
            "fault: events out of order",
            "fault: not applied, answer lost",
            "fault: older copy put back",
            "fault: stalled as hours end",
            "fault: stalled between commit and send",
            "fault: store panics",
            "fault: store slower than a slot",
            "fault: store unavailable",
            "hung up by us",
            "listed: skipped",
            "nights",
            "paused: budget",
            "paused: failures",
            "started with callData",
            "taken back: pending",
        ] {
            assert!(counts.contains_key(what), "never: {what}; {counts:?}");
        }
    }

    fn first_difference(a: &str, b: &str) -> String {
        let differs = a.lines().zip(b.lines()).find(|(a, b)| a != b);
        differs.map_or("one is longer".to_owned(), |(a, b)| format!("{a}\n{b}"))
    }
}
