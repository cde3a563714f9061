//! I5: calls per second in every sliding second, and live calls, never above their limits; a
//! changed limit holds within 1 s and cuts no live call.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outdial_core::dispatcher::{Line, LineLimits};
use outdial_core::id::{AttemptId, BatchId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::time::Timestamp;

use super::{Placed, Violation};

/// Within so long a changed limit holds.
const HOLDS: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a limit of live calls is a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cap {
    /// Channels of a trunk.
    Trunk(TrunkId),
    /// Channels of a calling number.
    Number(PhoneId),
    /// Concurrency of a batch.
    Batch(BatchId),
    /// Concurrency of a workspace.
    Workspace(WorkspaceId),
    /// Capacity of a process.
    Process(u32),
}

/// All limits as they were and are, and the calls that left under them.
#[derive(Debug, Default)]
pub struct Pace {
    cps: BTreeMap<Line, History<f64>>,
    caps: BTreeMap<Cap, History<u32>>,
    left: BTreeMap<Line, Vec<Timestamp>>,
    live: BTreeMap<Cap, BTreeSet<AttemptId>>,
    /// When the wall clock was last set: slots are in its time, and a step of less than 2 s shows
    /// to nobody.
    clock_set: Option<Timestamp>,
}

/// A limit from an instant on; none: unlimited.
#[derive(Debug)]
struct History<T>(Vec<(Timestamp, Option<T>)>);

/// The loosest that a limit was.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loosest<T> {
    Unlimited,
    Limit(T),
}

impl<T: Copy + PartialOrd> History<T> {
    /// Over all instants in `from..=to`.
    fn loosest(&self, from: Timestamp, to: Timestamp) -> Loosest<T> {
        let before = self.0.iter().rev().find(|(at, _)| *at <= from);
        let within = self.0.iter().filter(|(at, _)| *at > from && *at <= to);
        let mut loosest: Option<T> = None;
        for (_, limit) in before.into_iter().chain(within) {
            let Some(limit) = *limit else { return Loosest::Unlimited };
            loosest = Some(loosest.map_or(limit, |l| if limit > l { limit } else { l }));
        }
        loosest.map_or(Loosest::Unlimited, Loosest::Limit)
    }
}

impl Pace {
    /// From now on so many live calls; none: any number.
    pub fn set_cap(&mut self, cap: Cap, at: Timestamp, limit: Option<u32>) {
        self.caps.entry(cap).or_insert_with(|| History(Vec::new())).0.push((at, limit));
    }

    /// From now on these limits of a line.
    pub fn set_line(&mut self, line: Line, at: Timestamp, limits: LineLimits) {
        let cps = self.cps.entry(line).or_insert_with(|| History(Vec::new()));
        cps.0.push((at, limits.calls_per_second));
        let cap = match line {
            Line::Trunk(id) => Cap::Trunk(id),
            Line::Number(id) => Cap::Number(id),
        };
        self.set_cap(cap, at, limits.channels);
    }

    /// A call leaves.
    pub fn placed(&mut self, call: &Placed) -> Result<(), Violation> {
        for cap in caps(call) {
            let live = self.live.entry(cap).or_default();
            live.insert(call.attempt);
            let Some(history) = self.caps.get(&cap) else { continue };
            if let Loosest::Limit(most) = history.loosest(call.at.before(HOLDS), call.at)
                && live.len() > most as usize
            {
                let what = format!("{} live calls of {cap:?}, limit {most}", live.len());
                return Err(Violation::new("I5", what));
            }
        }
        for line in [Line::Trunk(call.trunk), Line::Number(call.caller)] {
            self.left.entry(line).or_default().push(call.at);
            self.check_second(line, call.at)?;
        }
        Ok(())
    }

    /// The wall clock was set.
    pub fn clock_set(&mut self, at: Timestamp) {
        self.clock_set = Some(at);
    }

    /// A call is over.
    pub fn over(&mut self, attempt: AttemptId) {
        for live in self.live.values_mut() {
            live.remove(&attempt);
        }
    }

    /// The second that ends with `at`, which holds a call that has just left. Less than one call
    /// per second: the time since the one before it.
    fn check_second(&self, line: Line, at: Timestamp) -> Result<(), Violation> {
        let (Some(history), Some(left)) = (self.cps.get(&line), self.left.get(&line)) else {
            return Ok(());
        };
        let Loosest::Limit(cps) = history.loosest(at.before(SECOND + HOLDS), at) else {
            return Ok(());
        };
        let set_since = |from: Timestamp| self.clock_set.is_some_and(|set| set >= from);
        if cps >= 1.0 {
            if set_since(at.before(SECOND + HOLDS)) {
                return Ok(());
            }
            let within = left.iter().rev().take_while(|t| at.since(**t) < SECOND).count();
            if within as f64 > cps {
                let what = format!("{within} calls left within a second over {line:?}, CPS {cps}");
                return Err(Violation::new("I5", what));
            }
            return Ok(());
        }
        let Some(&before) = left.iter().rev().nth(1) else { return Ok(()) };
        if let Loosest::Limit(cps) = history.loosest(before.before(HOLDS), at)
            && cps < 1.0
            && !set_since(before.before(HOLDS))
            && at.since(before).as_secs_f64() < 1.0 / cps
        {
            let what = format!("calls left {:?} apart over {line:?}, CPS {cps}", at.since(before));
            return Err(Violation::new("I5", what));
        }
        Ok(())
    }
}

fn caps(call: &Placed) -> [Cap; 5] {
    [
        Cap::Trunk(call.trunk),
        Cap::Number(call.caller),
        Cap::Batch(call.batch),
        Cap::Workspace(call.workspace),
        Cap::Process(call.process),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    fn paced(cps: Option<f64>, channels: Option<u32>) -> Pace {
        let mut pace = Pace::default();
        let line = Line::Number(placed(1, 0).caller);
        pace.set_line(
            line,
            at(-60_000),
            LineLimits { calls_per_second: cps, channels, calls_per_day: None },
        );
        pace
    }

    /// Whether each of these may leave.
    fn leave(pace: &mut Pace, times: &[i64]) -> Vec<bool> {
        (1..).zip(times).map(|(n, ms)| pace.placed(&placed(n, *ms)).is_ok()).collect()
    }

    #[test]
    fn too_many_in_a_sliding_second() {
        let mut pace = paced(Some(2.0), None);
        assert_eq!(leave(&mut pace, &[0, 900, 1_000, 1_899]), [true, true, true, false]);
        let mut pace = paced(Some(2.5), None);
        assert_eq!(leave(&mut pace, &[0, 500, 999]), [true, true, false]);
    }

    #[test]
    fn less_than_one_a_second() {
        let mut pace = paced(Some(0.5), None);
        assert_eq!(leave(&mut pace, &[0, 2_000, 3_999]), [true, true, false]);
    }

    #[test]
    fn too_many_live_calls() {
        let mut pace = paced(None, Some(2));
        assert_eq!(leave(&mut pace, &[0, 1, 2]), [true, true, false]);
        let mut pace = paced(None, Some(2));
        assert_eq!(leave(&mut pace, &[0, 1]), [true, true]);
        pace.over(placed(1, 0).attempt);
        pace.placed(&placed(3, 2)).unwrap();
    }

    #[test]
    fn every_cap_counts() {
        let call = placed(1, 0);
        for cap in caps(&call) {
            let mut pace = Pace::default();
            pace.set_cap(cap, at(-60_000), Some(1));
            assert_eq!(leave(&mut pace, &[0, 1]), [true, false], "{cap:?}");
        }
    }

    #[test]
    fn a_lowered_limit_holds_within_a_second_and_cuts_nothing() {
        let cap = Cap::Number(placed(1, 0).caller);
        let mut pace = paced(None, Some(3));
        assert_eq!(leave(&mut pace, &[0, 1]), [true, true]);
        pace.set_cap(cap, at(100), Some(1));
        pace.placed(&placed(3, 1_099)).unwrap();
        pace.over(placed(3, 0).attempt);
        assert!(pace.placed(&placed(4, 1_100)).is_err());
    }

    #[test]
    fn a_raised_limit_holds_at_once() {
        let line = Line::Number(placed(1, 0).caller);
        let mut pace = paced(Some(1.0), None);
        pace.placed(&placed(1, 0)).unwrap();
        pace.set_line(line, at(1), LineLimits::default());
        pace.placed(&placed(2, 2)).unwrap();
    }
}
