//! Section 4: a wall clock that jumps by more than 2 s stops dialing until 60 s of agreement.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::time::Timestamp;

use super::{Placed, Violation};

/// More than this is a jump.
const JUMP_MS: i64 = 2_000;
/// How long nothing leaves after one.
const REST: Duration = Duration::from_secs(60);
/// What left so shortly after a small step may have been planned before it.
const LATELY: Duration = Duration::from_secs(1);

/// How the wall clock was set, in time that only passes.
#[derive(Debug, Default)]
pub struct Clocks {
    /// When, and by how many milliseconds.
    set: Vec<(Timestamp, i64)>,
    /// When a process first saw it.
    started: BTreeMap<u32, Timestamp>,
}

impl Clocks {
    /// A process starts: what happened before is nothing to it.
    pub fn started(&mut self, process: u32, at: Timestamp) {
        self.started.insert(process, at);
    }

    /// The wall clock was set.
    pub fn set(&mut self, at: Timestamp, by_ms: i64) {
        self.set.push((at, by_ms));
    }

    /// It was set back, at some time.
    pub fn was_set_back(&self) -> bool {
        self.set.iter().any(|(_, by_ms)| *by_ms < -JUMP_MS)
    }

    /// It was set lately.
    pub fn was_set_within(&self, now: Timestamp, time: Duration) -> bool {
        self.set.iter().any(|(at, _)| *at > now.before(time))
    }

    /// A call leaves. Steps that add up to nothing may have gone unnoticed: nobody may have looked
    /// since before the first of them.
    pub fn placed(&self, call: &Placed) -> Result<(), Violation> {
        let started = self.started.get(&call.process).copied().unwrap_or(Timestamp::EPOCH);
        let latest: Vec<_> = self.set.iter().rev().take_while(|(at, _)| *at > started).collect();
        let recent = latest.iter().filter(|(at, _)| *at > call.at.before(REST)).count();
        let mut by_ms = 0;
        for (n, (_, by)) in (1..).zip(&latest) {
            by_ms += by;
            if n >= recent && by_ms.abs() <= JUMP_MS {
                return Ok(());
            }
        }
        if recent == 0 {
            return Ok(());
        }
        let what = format!("attempt {} left though the clock jumped", call.attempt);
        Err(Violation::new("clock", what))
    }

    /// What the wall clock shows, and what it showed before a small step just now.
    pub fn walls(&self, wall: Timestamp, real: Timestamp) -> [Timestamp; 2] {
        let recent =
            self.set.iter().filter(|(at, by)| *at > real.before(LATELY) && by.abs() <= JUMP_MS);
        let by_ms: i64 = recent.map(|(_, by)| by).sum();
        [wall, Timestamp::from_millis(wall.as_millis() - by_ms)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    #[test]
    fn a_call_just_after_a_jump() {
        let mut clocks = Clocks::default();
        clocks.set(at(0), 1_500);
        clocks.placed(&placed(1, 1)).unwrap();
        assert_eq!(clocks.walls(at(1_600), at(100)), [at(1_600), at(100)]);
        clocks.set(at(1_000), -3_600_000);
        assert!(clocks.placed(&placed(1, 60_999)).is_err());
        clocks.placed(&placed(1, 61_000)).unwrap();
        clocks.started(1, at(1_001));
        clocks.placed(&placed(1, 1_002)).unwrap();
    }

    #[test]
    fn there_and_back() {
        let mut clocks = Clocks::default();
        clocks.set(at(0), 90_000);
        clocks.set(at(5), -90_000);
        clocks.placed(&placed(1, 10)).unwrap();
        clocks.set(at(100_000), -3_600_000);
        clocks.set(at(300_000), 3_600_000);
        clocks.placed(&placed(1, 300_001)).unwrap();
        clocks.set(at(300_002), 3_600_000);
        assert!(clocks.placed(&placed(1, 300_003)).is_err());
    }
}
