//! Pacing: slots such that no sliding second holds more than CPS first transmissions.
//!
//! A call leaves somewhere inside its slot, `[start, start + 100 ms)`. So that no sliding second
//! of *transmissions* holds more than CPS of them, no 1.1 s of slot starts may. Pure: the recent
//! slots are an argument, kept by the store with the line they belong to.

use std::time::Duration;

use crate::time::Timestamp;

/// Length of a slot.
pub const SLOT: Duration = Duration::from_millis(100);
/// A sliding second, and the slack that a slot's length adds to it.
const WINDOW_MS: f64 = 1100.0;
/// More than this is not a limit any line has; it bounds how many slots are kept.
pub const CPS_MAX: f64 = 10_000.0;
/// Less would keep a line waiting for longer than a day.
pub const CPS_MIN: f64 = 0.000_02;

/// The pace of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// At most so many slot starts …
    count: usize,
    /// … in any half-open interval of this length.
    window: Duration,
}

impl Pace {
    /// The pace of `calls_per_second`. With 1 or more, as many whole calls as fit into any second;
    /// a fraction of a call fits into none, so 2.5 paces like 2. Below 1, one call every
    /// 1 / `calls_per_second` seconds and a tenth more.
    pub fn new(calls_per_second: f64) -> Self {
        let cps = match calls_per_second.is_nan() {
            true => CPS_MIN,
            false => calls_per_second.clamp(CPS_MIN, CPS_MAX),
        };
        let ms = if cps < 1.0 { WINDOW_MS / cps } else { WINDOW_MS };
        Self { count: (cps as usize).max(1), window: Duration::from_millis(ms.ceil() as u64) }
    }

    /// Slots in a window, which is longer than a turn looks ahead.
    pub fn per_window(&self) -> u32 {
        u32::try_from(self.count).unwrap_or(u32::MAX)
    }

    /// The earliest start, not before `at`, that may follow the slots in `taken` (ascending).
    pub fn next(&self, taken: &[Timestamp], at: Timestamp) -> Timestamp {
        let not_before_last = taken.last().map_or(at, |&last| at.max(last));
        match taken.len().checked_sub(self.count) {
            Some(i) => not_before_last.max(taken[i].after(self.window)),
            None => not_before_last,
        }
    }

    /// The slots in `taken` that can still hold a start at or after `at` back, also when those of
    /// one turn are given back, since their calls drop out at the commit. A turn looks ahead less
    /// than a window, so it takes no more than a window holds.
    pub fn still_matter(&self, taken: &[Timestamp], at: Timestamp) -> Vec<Timestamp> {
        let skip = taken.len().saturating_sub(self.count.saturating_mul(2));
        taken[skip..].iter().copied().filter(|t| t.after(self.window) > at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn whole_fraction_and_less_than_one() {
        let starts = |cps: f64, n: usize| {
            let (pace, mut taken) = (Pace::new(cps), Vec::new());
            for _ in 0..n {
                taken.push(pace.next(&taken, at(0)));
            }
            taken.iter().map(|t| t.as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(starts(1.0, 4), [0, 1100, 2200, 3300]);
        assert_eq!(starts(2.5, 5), [0, 0, 1100, 1100, 2200]);
        assert_eq!(starts(0.5, 3), [0, 2200, 4400]);
    }

    proptest! {
        #[test]
        fn no_sliding_second_of_transmissions_exceeds_cps(
            cps in prop_oneof![0.05f64..1.0, 1.0f64..40.0],
            arrivals in proptest::collection::vec((0i64..1500, 0i64..100), 1..200),
        ) {
            let pace = Pace::new(cps);
            let (mut now, mut taken, mut sent) = (0, Vec::new(), Vec::new());
            for (gap, delay) in arrivals {
                now += gap;
                let start = pace.next(&taken, at(now));
                prop_assert!(start >= at(now));
                taken = pace.still_matter(&taken, at(now));
                taken.push(start);
                prop_assert!(taken.len() <= 2 * (cps.ceil() as usize + 1));
                sent.push(start.as_millis() + delay);
            }
            sent.sort_unstable();
            // Any sliding second; below one call per second, any 1 / CPS seconds.
            let (length, most) = match cps < 1.0 {
                true => ((1000.0 / cps) as i64, 1),
                false => (1000, cps as usize),
            };
            for (i, &first) in sent.iter().enumerate() {
                let within = sent[i..].iter().take_while(|&&t| t < first + length).count();
                prop_assert!(within <= most, "{within} calls within {length} ms at {cps}/s");
            }
        }

        #[test]
        fn a_slot_is_never_later_than_it_must_be(cps in 1.0f64..40.0, n in 1usize..100) {
            let pace = Pace::new(cps);
            let mut taken = Vec::new();
            for _ in 0..n {
                taken.push(pace.next(&taken, at(0)));
            }
            let full = (n - 1) / cps as usize;
            prop_assert_eq!(taken[n - 1].as_millis(), full as i64 * 1100);
        }
    }
}
