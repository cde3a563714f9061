//! Whether this node may dial as far as it and the database know each other: it was heard of
//! lately, and both tell one time. Pure.

use std::fmt;
use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::Monotonic;
use outdial_ports::store::{NODE_LEASE, NODE_TRUST};

use crate::clock_guard::{ClockGuard, Trust};
use crate::timebase::TimeBase;

/// A node that knows the database's time no better than this does not dial.
pub(crate) const UNCERTAINTY_MAX: Duration = Duration::from_millis(50);
/// Its wall clock and the database's must not be further apart.
const APART_MAX: Duration = Duration::from_secs(2);
/// A reading of the database's clock that took longer says nothing of jumps.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// Why nothing is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Not heard of for so long that others may take it for dead.
    Unheard,
    /// The database's clock has just jumped by so many milliseconds, or another's answers.
    DatabaseJumped(i64),
    /// It jumped, and has gone on evenly since, but not for long enough.
    DatabaseRests,
    /// The wall clock less the database's, in milliseconds.
    Apart(i64),
    /// So long does the database take to tell the time.
    Slow(Duration),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unheard => {
                write!(f, "the database has not heard of this node for {NODE_TRUST:?}")
            }
            Self::DatabaseJumped(by) => write!(f, "the database's clock jumped by {by} ms"),
            Self::DatabaseRests => f.write_str("the database's clock jumped less than 60 s ago"),
            Self::Apart(by) => {
                write!(f, "this machine's clock and the database's are {} ms apart", by.abs())
            }
            Self::Slow(by) => write!(f, "the database takes {by:?} to tell the time"),
        }
    }
}

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// When the latest acknowledged beat began.
    heard: Option<Monotonic>,
    /// Since when it has been heard of without a gap.
    steady: Monotonic,
    database: ClockGuard,
    /// How many nodes dial, as of the latest beat.
    pub(crate) dialing: u32,
    /// As of the latest reading.
    obstacle: Option<Obstacle>,
}

impl Standing {
    /// A beat that began then was acknowledged.
    pub(crate) fn heard(&mut self, began: Monotonic) {
        if self.heard.is_none() || began >= self.heard_until() {
            self.steady = began;
        }
        self.heard = self.heard.max(Some(began));
    }

    /// Silence of the others means that they are gone: this node has been heard of for so long that
    /// they would have been too, whatever kept all of them from it before (a database that was
    /// gone, or that jumped in time).
    pub(crate) fn may_judge(&self, now: Monotonic) -> bool {
        self.heard.is_some() && now >= self.steady.after(NODE_LEASE) && self.knows_time(now)
    }

    /// The database's clock has not jumped lately: what it says of the age of a beat is so.
    pub(crate) fn knows_time(&self, now: Monotonic) -> bool {
        !self.database.is_resting(now)
    }

    /// From then on this node may be dead to the others, unless it is heard of again.
    pub(crate) fn heard_until(&self) -> Monotonic {
        self.heard.map_or(Monotonic::default(), |began| began.after(NODE_TRUST))
    }

    /// Takes a reading of the database's clock, after which the wall clock showed `wall`; what
    /// speaks against dialing.
    pub(crate) fn observe(
        &mut self,
        read: &TimeBase,
        wall: Timestamp,
        now: Monotonic,
    ) -> Option<Obstacle> {
        self.obstacle = self.look(read, wall, now);
        self.obstacle
    }

    /// What spoke against it as of the latest reading, or does by now.
    pub(crate) fn obstacle(&self, now: Monotonic) -> Option<Obstacle> {
        let unheard = (now >= self.heard_until()).then_some(Obstacle::Unheard);
        unheard.or(self.obstacle)
    }

    fn look(&mut self, read: &TimeBase, wall: Timestamp, now: Monotonic) -> Option<Obstacle> {
        let trip = read.round_trip();
        if trip <= READ_WITHIN {
            match self.database.observe(read.earliest(), read.answered()) {
                Trust::Agreed => {}
                Trust::Jumped(by_ms) => return Some(Obstacle::DatabaseJumped(by_ms)),
                Trust::Resting => return Some(Obstacle::DatabaseRests),
            }
        }
        let apart = apart_ms(read, wall);
        if apart.unsigned_abs() > millis(APART_MAX).unsigned_abs() {
            return Some(Obstacle::Apart(apart));
        }
        if trip > UNCERTAINTY_MAX {
            return Some(Obstacle::Slow(trip));
        }
        (now >= self.heard_until()).then_some(Obstacle::Unheard)
    }
}

/// By how much the wall clock differs from whatever the database's may have shown at that moment.
fn apart_ms(read: &TimeBase, wall: Timestamp) -> i64 {
    let earliest = read.earliest().as_millis();
    let latest = earliest.saturating_add(millis(read.uncertainty()));
    let wall = wall.as_millis();
    wall.saturating_sub(wall.clamp(earliest, latest))
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: i64 = 1_800_000_000_000;

    fn mono(ms: u64) -> Monotonic {
        Monotonic(Duration::from_millis(ms))
    }

    /// What is found `at_ms`, when the database's clock is `database_ms` off, read within
    /// `trip_ms`, and the wall clock `wall_ms`.
    fn observe(
        standing: &mut Standing,
        at_ms: u64,
        trip_ms: u64,
        database_ms: i64,
        wall_ms: i64,
    ) -> Option<Obstacle> {
        let shown = |off: i64| Timestamp::from_millis(CLOCK + at_ms as i64 + off);
        let read = TimeBase::new(shown(database_ms), mono(at_ms - trip_ms), mono(at_ms));
        standing.observe(&read, shown(wall_ms), mono(at_ms))
    }

    #[test]
    fn trust_ends_by_the_beginning_of_the_latest_beat() {
        let mut standing = Standing::default();
        assert_eq!(observe(&mut standing, 1_000, 1, 0, 0), Some(Obstacle::Unheard));
        standing.heard(mono(1_000));
        assert_eq!(observe(&mut standing, 15_999, 1, 0, 0), None);
        assert_eq!(standing.obstacle(mono(15_999)), None);
        assert_eq!(standing.obstacle(mono(16_000)), Some(Obstacle::Unheard));
        assert_eq!(observe(&mut standing, 16_000, 1, 0, 0), Some(Obstacle::Unheard));
        standing.heard(mono(9_000));
        standing.heard(mono(7_000));
        assert_eq!(standing.heard_until(), mono(24_000), "an earlier one is nothing");
    }

    #[test]
    fn it_judges_the_silence_of_others_when_they_had_as_long_as_it() {
        let mut standing = Standing::default();
        assert!(!standing.may_judge(mono(100_000)), "it was never heard of itself");
        for beat in 0..=6 {
            standing.heard(mono(1_000 + beat * 5_000));
        }
        assert!(!standing.may_judge(mono(30_999)) && standing.may_judge(mono(31_000)));
        // A gap of its own: the database may have been gone to everybody.
        standing.heard(mono(45_999));
        assert!(standing.may_judge(mono(46_000)), "no longer than it is trusted without");
        standing.heard(mono(60_999));
        assert!(!standing.may_judge(mono(90_998)) && standing.may_judge(mono(90_999)));
        // A clock that jumps makes beats old that are not.
        standing.heard(mono(91_000));
        observe(&mut standing, 92_000, 1, 0, 0);
        observe(&mut standing, 93_000, 1, 3_600_000, 0);
        assert!(!standing.may_judge(mono(152_000)) && standing.may_judge(mono(153_000)));
    }

    #[test]
    fn clocks_apart() {
        let mut standing = Standing::default();
        standing.heard(mono(60_000));
        for (wall, found) in [
            (2_000, None),
            (-2_000, None),
            (2_100, Some(Obstacle::Apart(2_069))),
            (-2_001, Some(Obstacle::Apart(-2_001))),
        ] {
            assert_eq!(observe(&mut standing, 61_000, 30, 0, wall), found, "{wall}");
        }
    }

    #[test]
    fn another_server_with_another_clock() {
        let mut standing = Standing::default();
        for second in 0..200 {
            standing.heard(mono(1_000 + second * 1_000));
            let (database, expected) = match second {
                0..=9 => (0, None),
                10 => (1_900, None),
                11 => (2_500, Some(Obstacle::DatabaseJumped(2_500))),
                12..=70 => (2_500, Some(Obstacle::DatabaseRests)),
                _ => (2_500, None),
            };
            let found = observe(&mut standing, 2_000 + second * 1_000, 0, database, database);
            let found = found.map(|f| match f {
                // The guard follows slow changes, by less than that.
                Obstacle::DatabaseJumped(by) if (2_480..=2_500).contains(&by) => {
                    Obstacle::DatabaseJumped(2_500)
                }
                other => other,
            });
            assert_eq!(found, expected, "second {second}");
        }
    }

    #[test]
    fn a_slow_database() {
        let mut standing = Standing::default();
        standing.heard(mono(10_000));
        let found = observe(&mut standing, 10_000, 51, 0, 0);
        assert_eq!(found, Some(Obstacle::Slow(Duration::from_millis(51))));
        assert_eq!(observe(&mut standing, 10_100, 50, 0, 0), None);
        // Nothing is concluded of jumps from a reading that took seconds.
        let found = observe(&mut standing, 20_000, 4_000, -3_900, 0);
        assert_eq!(found, Some(Obstacle::Slow(Duration::from_secs(4))));
        assert_eq!(observe(&mut standing, 21_000, 1, 0, 0), None);
    }
}
