//! Whether the wall clock can be trusted: it is compared with the monotonic one, and a jump stops
//! dialing until the two have agreed for a while. Pure.
//!
//! On SQLite the database's clock is this process's wall clock, so nothing else would notice that
//! somebody set it; calling hours and retry delays would then be reckoned on a wrong time.

use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::Monotonic;

/// More than this is a jump.
const JUMP: Duration = Duration::from_secs(2);
/// How long the clocks must have agreed after a jump.
const AGREEMENT: Duration = Duration::from_secs(60);
/// What a clock is corrected by without jumping, in parts of a thousand; NTP slews by half of that.
const SLEW_PER_MILLE: u64 = 1;

/// Compares the clocks at every reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockGuard {
    reference: Option<Reference>,
    /// Not to be trusted before.
    agreed_at: Option<Monotonic>,
}

/// Where the wall clock should be: its distance to the monotonic one, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Reference {
    offset_us: i64,
    read_at: Monotonic,
}

/// What a reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The clocks agree.
    Agreed,
    /// The wall clock has just jumped by so many milliseconds.
    Jumped(i64),
    /// It jumped, and has agreed since, but not for long enough.
    Resting,
}

impl ClockGuard {
    /// Takes both clocks as read at one moment.
    pub(crate) fn observe(&mut self, wall: Timestamp, at: Monotonic) -> Trust {
        let offset_us = wall.as_millis().saturating_mul(1000).saturating_sub(micros(at.0));
        let reference = self.reference.unwrap_or(Reference { offset_us, read_at: at });
        let apart = offset_us.saturating_sub(reference.offset_us);
        if apart.unsigned_abs() > u64::try_from(micros(JUMP)).unwrap_or(u64::MAX) {
            self.reference = Some(Reference { offset_us, read_at: at });
            self.agreed_at = Some(at.after(AGREEMENT));
            return Trust::Jumped(apart / 1000);
        }
        // Follow a clock that is being corrected slowly; a jump is what is faster than that.
        let slew = micros(at.since(reference.read_at)) * SLEW_PER_MILLE as i64 / 1000;
        let followed = reference.offset_us + apart.clamp(-slew, slew);
        // Time too short to follow in is not lost, but added to the next.
        if slew > 0 || self.reference.is_none() {
            self.reference = Some(Reference { offset_us: followed, read_at: at });
        }
        match self.is_resting(at) {
            true => Trust::Resting,
            false => Trust::Agreed,
        }
    }

    /// It jumped, and has not agreed for long enough since.
    pub(crate) fn is_resting(&self, at: Monotonic) -> bool {
        self.agreed_at.is_some_and(|until| at < until)
    }
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000_000;

    fn read(guard: &mut ClockGuard, wall_ms: i64, mono_ms: u64) -> Trust {
        let wall = Timestamp::from_millis(START + wall_ms);
        guard.observe(wall, Monotonic(Duration::from_millis(mono_ms)))
    }

    #[test]
    fn agrees_while_both_go_on() {
        let mut guard = ClockGuard::default();
        for second in 0..1000 {
            let wall = second * 1000 + (second % 3) * 300;
            assert_eq!(read(&mut guard, wall, second as u64 * 1000), Trust::Agreed);
        }
    }

    #[test]
    fn a_jump_either_way_rests_for_a_minute_of_agreement() {
        for by in [2_001, -2_001, 3_600_000, -86_400_000] {
            let mut guard = ClockGuard::default();
            assert_eq!(read(&mut guard, 0, 0), Trust::Agreed);
            assert_eq!(read(&mut guard, 1_000 + by, 1_000), Trust::Jumped(by));
            assert_eq!(read(&mut guard, 2_000 + by, 2_000), Trust::Resting);
            assert_eq!(read(&mut guard, 60_999 + by, 60_999), Trust::Resting);
            assert_eq!(read(&mut guard, 61_000 + by, 61_000), Trust::Agreed);
        }
    }

    #[test]
    fn jumping_back_begins_the_minute_anew() {
        let mut guard = ClockGuard::default();
        let _ = read(&mut guard, 0, 0);
        assert_eq!(read(&mut guard, 11_000, 1_000), Trust::Jumped(10_000));
        assert_eq!(read(&mut guard, 30_000, 30_000), Trust::Jumped(-10_000));
        assert_eq!(read(&mut guard, 61_500, 61_500), Trust::Resting);
        assert_eq!(read(&mut guard, 90_000, 90_000), Trust::Agreed);
    }

    #[test]
    fn follows_a_slewed_clock_however_often_it_is_read() {
        for step in [3_u64, 1_000] {
            let mut guard = ClockGuard::default();
            // Half a thousandth too fast for three hours: five seconds in all.
            for mono in (0..10_800_000).step_by(usize::try_from(step).unwrap()) {
                let wall = i64::try_from(mono + mono / 2_000).unwrap();
                assert_eq!(read(&mut guard, wall, mono), Trust::Agreed, "at {mono} by {step}");
            }
        }
    }

    #[test]
    fn two_seconds_are_not_yet_a_jump_but_two_such_steps_are() {
        let mut guard = ClockGuard::default();
        let _ = read(&mut guard, 0, 0);
        assert_eq!(read(&mut guard, 3_000, 1_000), Trust::Agreed);
        assert!(matches!(read(&mut guard, 6_000, 2_000), Trust::Jumped(_)));
    }
}
