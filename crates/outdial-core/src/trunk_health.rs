//! When a trunk that refuses calls is paused, and for how long (503).
//!
//! One refusal may be about one number. A trunk is paused when it asks for it (`Retry-After`), or
//! when three different numbers in a row were refused.

use std::time::Duration;

use crate::outcome::{Outcome, RetryClass};
use crate::phone::PhoneNumber;
use crate::retry::backoff;
use crate::time::Timestamp;

/// No pause ends later than so long after it was given: the longest `Retry-After` that is believed,
/// with its jitter, and what a clock may be corrected by.
pub const PAUSE_MAX: Duration = Duration::from_secs(5_400);

/// Different numbers in a row that pause a trunk.
const IN_A_ROW: usize = 3;

/// What is remembered of one trunk's latest answers.
#[derive(Clone, Debug, Default)]
pub struct TrunkHealth {
    /// Different numbers that were refused since the last call that was not; at most three.
    refused: Vec<PhoneNumber>,
    /// Pauses in a row.
    pauses: u32,
    /// End of the latest pause: refusals of calls that left before it say nothing new.
    paused_until: Timestamp,
}

/// Whether a pause until `until` holds at `now`. One that ends later than any pause can was given
/// by a clock that was ahead, and has been set back since: it is over.
pub fn is_paused(until: Timestamp, now: Timestamp) -> bool {
    now < until && until <= now.after(PAUSE_MAX)
}

impl TrunkHealth {
    /// A trunk of which nothing bad is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of an outcome at `now`; returns until when to pause the trunk, if that is new.
    pub fn observe(
        &mut self,
        now: Timestamp,
        callee: PhoneNumber,
        outcome: &Outcome,
        random: u64,
    ) -> Option<Timestamp> {
        let RetryClass::Uncharged { retry_after } = outcome.retry else {
            // Something got through; `AtOnce` never asked the trunk.
            if outcome.retry != RetryClass::AtOnce {
                self.refused.clear();
                self.pauses = 0;
            }
            return None;
        };
        if self.paused_until > now.after(PAUSE_MAX) {
            self.paused_until = Timestamp::EPOCH;
        }
        if is_paused(self.paused_until, now) {
            return self.extend(now, retry_after, random);
        }
        if !self.refused.contains(&callee) {
            self.refused.push(callee);
        }
        if retry_after.is_none() && self.refused.len() < IN_A_ROW {
            return None;
        }
        self.refused.clear();
        self.paused_until = now.after(backoff(self.pauses, retry_after, random));
        self.pauses += 1;
        Some(self.paused_until)
    }

    /// While paused only a later `Retry-After` counts.
    fn extend(
        &mut self,
        now: Timestamp,
        retry_after: Option<Duration>,
        random: u64,
    ) -> Option<Timestamp> {
        let until = now.after(backoff(0, Some(retry_after?), random));
        (until > self.paused_until).then(|| {
            self.paused_until = until;
            until
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{CallEnd, outcome_of};
    use crate::retry::RETRY_AFTER_MAX;

    fn refused(retry_after: Option<u64>) -> Outcome {
        outcome_of(&CallEnd::Refused {
            status: 503,
            q850: None,
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1000)
    }

    fn n(digits: u64) -> PhoneNumber {
        PhoneNumber::from_digits(digits)
    }

    #[test]
    fn three_different_numbers_in_a_row() {
        let mut t = TrunkHealth::new();
        assert_eq!(t.observe(at(100), n(1), &refused(None), 0), None);
        assert_eq!(t.observe(at(100), n(1), &refused(None), 0), None);
        assert_eq!(t.observe(at(100), n(2), &refused(None), 0), None);
        let busy = outcome_of(&CallEnd::RingTimeout);
        assert_eq!(t.observe(at(100), n(3), &busy, 0), None, "something got through");
        for number in [4, 5] {
            assert_eq!(t.observe(at(101), n(number), &refused(None), 0), None);
        }
        assert_eq!(t.observe(at(101), n(6), &refused(None), 0), Some(at(102)));
    }

    #[test]
    fn retry_after_pauses_at_once_and_pauses_double() {
        let mut t = TrunkHealth::new();
        assert_eq!(t.observe(at(100), n(1), &refused(Some(30)), 0), Some(at(130)));
        assert_eq!(t.observe(at(101), n(2), &refused(None), 0), None, "already paused");
        assert_eq!(t.observe(at(101), n(2), &refused(Some(60)), 0), Some(at(161)));
        for number in [1, 2] {
            t.observe(at(200), n(number), &refused(None), 0);
        }
        assert_eq!(t.observe(at(200), n(3), &refused(None), 0), Some(at(202)));
    }

    #[test]
    fn no_pause_outlasts_the_longest_and_a_clock_set_back_ends_it() {
        let mut t = TrunkHealth::new();
        let day = 86_400;
        let until = t.observe(at(day), n(1), &refused(Some(u64::MAX)), u64::MAX).unwrap();
        let longest = until.since(at(day));
        assert!(longest >= RETRY_AFTER_MAX && longest < PAUSE_MAX, "{longest:?}");
        assert!(is_paused(until, at(day)) && !is_paused(until, until));
        // Set back by a minute it goes on, and is not given anew; by a day it is over, and is.
        assert!(is_paused(until, at(day - 60)));
        assert!(!is_paused(until, at(0)));
        for number in [1, 2, 3] {
            assert_eq!(t.observe(at(day - 60), n(number), &refused(None), 0), None);
        }
        assert_eq!(t.observe(at(0), n(4), &refused(Some(5)), 0), Some(at(5)));
        assert_eq!(t.observe(at(4), n(5), &refused(Some(9)), 0), Some(at(13)));
    }
}
