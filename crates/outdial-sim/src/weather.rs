//! The weather: windows of time in which the store or the carrier of a world does not do what it
//! should. Drawn by the world, asked by the store and the carrier, gone when the world heals.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_ports::store::StoreError;

use crate::clock::SimClock;
use crate::rng::Rng;

/// In the text of every error that is meant, so that nobody takes one for another.
pub(crate) const MEANT: &str = "meant by the simulator";
/// The operation that commits a plan.
const COMMIT: &str = "attempt_commit_intents";
/// The promise that is not broken when something meant goes wrong; see `Client::act`.
pub(crate) const FAULT: &str = "fault";

/// Kinds of bad weather at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreStorm {
    /// Nothing gets through.
    Down,
    /// So many of a hundred questions are refused.
    Flaky(u64),
    /// Whatever writes is refused: the disk is full.
    Full,
    /// The answer to so many of a hundred writes is lost, whether they were applied or not.
    Losing(u64),
    /// The answer to every commit of a plan is lost, whether it was applied or not.
    LosingCommits,
    /// Each way takes between the half of this and this, in milliseconds.
    Slow(u64),
    /// So many of a hundred questions break down.
    Panics(u64),
}

/// Kinds of bad weather at the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CarrierStorm {
    /// Every call is refused with 503; with `Retry-After` or without.
    Unavailable(Option<Duration>),
    /// So many of a hundred calls go wrong in one way or another; see `carrier::mishap`.
    Strange(u64),
}

/// What a question to the store meets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    /// Nothing.
    Good,
    /// It is refused, and nothing was changed.
    Refused(StoreError),
    /// It is done, and the answer lost.
    AnswerLost,
    /// It is not done, and the answer lost.
    NeverArrived,
    /// It breaks down.
    Panic,
}

/// The weather of a world.
pub(crate) struct Weather {
    clock: Arc<SimClock>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    store: Option<(StoreStorm, Duration)>,
    carrier: Option<(CarrierStorm, Duration)>,
    broke_down: bool,
}

impl Weather {
    /// Fine.
    pub(crate) fn new(clock: Arc<SimClock>) -> Self {
        Self { clock, now: Mutex::default() }
    }

    /// For so long.
    pub(crate) fn storm_at_store(&self, storm: StoreStorm, lasts: Duration) {
        let until = self.clock.elapsed() + lasts;
        self.now().store = Some((storm, until));
    }

    /// For so long.
    pub(crate) fn storm_at_carrier(&self, storm: CarrierStorm, lasts: Duration) {
        self.now().carrier = Some((storm, self.clock.elapsed() + lasts));
    }

    /// From now on it is fine.
    pub(crate) fn clear(&self) {
        let mut now = self.now();
        (now.store, now.carrier) = (None, None);
    }

    /// Something has broken down that was meant to.
    pub(crate) fn broke_down(&self) -> bool {
        self.now().broke_down
    }

    /// What a question meets with.
    pub(crate) fn luck(&self, rng: &mut Rng, op: &str, may_panic: bool) -> Luck {
        let (meant, writes) = (|| MEANT.to_owned(), writes(op));
        match self.at_store() {
            Some(StoreStorm::Down) => Luck::Refused(StoreError::Unavailable(meant())),
            Some(StoreStorm::Flaky(often)) if rng.percent(often) => {
                Luck::Refused(StoreError::Unavailable(meant()))
            }
            Some(StoreStorm::Full) if writes => Luck::Refused(StoreError::Full),
            Some(StoreStorm::Losing(often)) if writes && rng.percent(often) => {
                if rng.percent(50) {
                    Luck::AnswerLost
                } else {
                    Luck::NeverArrived
                }
            }
            Some(StoreStorm::LosingCommits) if op == COMMIT => match rng.percent(50) {
                true => Luck::AnswerLost,
                false => Luck::NeverArrived,
            },
            Some(StoreStorm::Panics(often)) if may_panic && rng.percent(often) => {
                self.now().broke_down = true;
                Luck::Panic
            }
            _ => Luck::Good,
        }
    }

    /// How long one way to the store takes, if that is unusual.
    pub(crate) fn delay(&self, rng: &mut Rng) -> Option<Duration> {
        match self.at_store() {
            Some(StoreStorm::Slow(ms)) => Some(Duration::from_millis(rng.range(ms / 2..=ms))),
            _ => None,
        }
    }

    /// At the carrier.
    pub(crate) fn at_carrier(&self) -> Option<CarrierStorm> {
        let elapsed = self.clock.elapsed();
        self.now().carrier.filter(|(_, until)| elapsed < *until).map(|(storm, _)| storm)
    }

    fn at_store(&self) -> Option<StoreStorm> {
        let elapsed = self.clock.elapsed();
        self.now().store.filter(|(_, until)| elapsed < *until).map(|(storm, _)| storm)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a question that is lost.
pub(crate) fn lost() -> StoreError {
    StoreError::OutcomeUnknown(MEANT.to_owned())
}

/// An error of which the simulator is the cause; nothing else fills a disk here.
pub(crate) fn is_meant(error: &str) -> bool {
    error.contains(MEANT) || error.contains(&StoreError::Full.to_string())
}

/// Whether an operation of the store writes.
pub(crate) fn writes(op: &str) -> bool {
    let reads = [
        "_list",
        "_fetch",
        "_authenticate",
        "_lookup",
        "_list_all",
        "_list_orphaned",
        "_list_recalled",
    ];
    let others = ["ping", "batch_ingest_context", "node_beat", "attempt_latest_of_others"];
    !(reads.iter().any(|end| op.ends_with(end))
        || others.contains(&op)
        || op.starts_with("dispatch_"))
}

#[cfg(test)]
mod tests {
    use outdial_core::time::Timestamp;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn storms_pass() {
        let clock = Arc::new(SimClock::new(Timestamp::EPOCH));
        let weather = Weather::new(Arc::clone(&clock));
        let mut rng = Rng::new(1);
        assert_eq!(weather.luck(&mut rng, "batch_stop", true), Luck::Good);
        weather.storm_at_store(StoreStorm::Full, Duration::from_secs(3));
        assert_eq!(weather.luck(&mut rng, "batch_stop", true), Luck::Refused(StoreError::Full));
        assert_eq!(weather.luck(&mut rng, "call_list", true), Luck::Good);
        weather.storm_at_store(StoreStorm::Losing(100), Duration::from_secs(3));
        let lucks: Vec<Luck> =
            (0..20).map(|_| weather.luck(&mut rng, "batch_stop", true)).collect();
        assert!(lucks.contains(&Luck::AnswerLost) && lucks.contains(&Luck::NeverArrived));
        weather.storm_at_store(StoreStorm::LosingCommits, Duration::from_secs(3));
        assert_eq!(weather.luck(&mut rng, "batch_stop", true), Luck::Good);
        assert_ne!(weather.luck(&mut rng, COMMIT, true), Luck::Good);
        clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(weather.luck(&mut rng, "batch_stop", true), Luck::Good);
    }

    #[test]
    fn what_writes() {
        for op in ["call_add_chunk", "attempt_finish", "attempt_record", "batch_close_due"] {
            assert!(writes(op), "{op}");
        }
        for op in ["call_list", "dispatch_head", "attempt_fetch", "live_list_recalled"] {
            assert!(!writes(op), "{op}");
        }
    }
}
