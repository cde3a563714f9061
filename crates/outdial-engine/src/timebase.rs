//! The database's time on this process's monotonic clock. Pure.

use std::time::Duration;

use outdial_core::attempt::Slot;
use outdial_core::dispatcher::Intent;
use outdial_core::time::Timestamp;
use outdial_ports::Monotonic;

/// A reading of the database's clock, which was made somewhere between two of the monotonic one.
///
/// [`TimeBase::now`] is the earliest that the database's time can be; it may really be later by
/// [`TimeBase::uncertainty`]. What must not happen early is compared with the former as it is, what
/// must not happen late after the latter was subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeBase {
    clock: Timestamp,
    asked: Monotonic,
    answered: Monotonic,
}

impl TimeBase {
    /// The clock was read as `clock` by a question asked and answered then.
    pub(crate) fn new(clock: Timestamp, asked: Monotonic, answered: Monotonic) -> Self {
        Self { clock, asked, answered }
    }

    /// What the clock showed, at the latest when it was answered.
    pub(crate) fn earliest(&self) -> Timestamp {
        self.clock
    }

    /// When it was.
    pub(crate) fn answered(&self) -> Monotonic {
        self.answered
    }

    /// Between question and answer.
    pub(crate) fn round_trip(&self) -> Duration {
        self.answered.since(self.asked)
    }

    /// How much later than `now` it may be: the round trip, and the fraction of a millisecond that
    /// a timestamp does not show; in whole milliseconds.
    pub(crate) fn uncertainty(&self) -> Duration {
        let ms = self.round_trip().as_nanos().div_ceil(1_000_000) + 1;
        Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// The earliest that the database's time can be.
    pub(crate) fn now(&self, at: Monotonic) -> Timestamp {
        self.clock.after(at.since(self.answered))
    }

    /// When `now` is `at`.
    pub(crate) fn monotonic(&self, at: Timestamp) -> Monotonic {
        self.answered.after(at.since(self.clock))
    }

    /// The slot of an intent by `now`: its ends are so early that they are not late by the
    /// database's time.
    pub(crate) fn slot(&self, intent: &Intent) -> Slot {
        Slot {
            send_at: intent.send_at,
            send_by: intent.send_by.before(self.uncertainty()),
            open_until: intent.open_until.before(self.uncertainty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the database's clock really showed and whenever it was read within the round
        /// trip: what leaves by this reckoning leaves inside its slot by the database's time.
        #[test]
        fn never_early_and_never_late(
            clock_us in 0_u64..1_000_000_000,
            trip_us in 0_u64..50_000,
            read_part in 0_u64..=1000,
            offset_ms in 0_i64..400,
            later_us in 0_u64..500_000,
        ) {
            let us = Duration::from_micros;
            let base = TimeBase::new(
                Timestamp::from_millis((clock_us / 1000) as i64),
                Monotonic(us(1_000_000)),
                Monotonic(us(1_000_000 + trip_us)),
            );
            let read_at = 1_000_000 + trip_us * read_part / 1000;
            let mono = 1_000_000 + trip_us + later_us;
            let really_us = clock_us + mono - read_at;

            let now = base.now(Monotonic(us(mono)));
            prop_assert!(now.as_millis() as u64 * 1000 <= really_us, "now is a lower bound");

            let send_at = Timestamp::from_millis((clock_us / 1000) as i64 + offset_ms);
            let send_by = send_at.after(Duration::from_millis(100));
            let early = really_us < send_at.as_millis() as u64 * 1000;
            let late = really_us >= send_by.as_millis() as u64 * 1000;
            let sends = now >= send_at && now < send_by.before(base.uncertainty());
            prop_assert!(!(sends && (early || late)), "{now} {really_us}");
        }

        #[test]
        fn sleeping_until_an_instant_reaches_it(
            trip_us in 0_u64..50_000, ahead_ms in 0_u64..10_000,
        ) {
            let clock = Timestamp::from_millis(5_000);
            let asked = Monotonic(Duration::from_millis(77));
            let base = TimeBase::new(clock, asked, asked.after(Duration::from_micros(trip_us)));
            let at = clock.after(Duration::from_millis(ahead_ms));
            prop_assert_eq!(base.now(base.monotonic(at)), at);
        }
    }
}
