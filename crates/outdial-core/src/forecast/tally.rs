//! What is counted of the batch that a forecast was asked about.

use std::collections::BTreeMap;

use crate::batch::PauseReason;
use crate::outcome::Disposition;
use crate::time::Timestamp;

const HOUR_MS: i64 = 3_600_000;

/// Why nobody talks with somebody within the forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {
    /// Its last attempt ended so, and there is no further one.
    GivenUp(Disposition),
    /// The batch expires before.
    Expired,
    /// Batch hours and calling rules have no instant in common within 14 days.
    NoCommonHours,
    /// Calls of another lane are placed; these wait for a start without `callData`.
    Held,
    /// The batch pauses before.
    Paused(PauseReason),
    /// The window ends before; this is what it waits for then, in the words of `crate::why`.
    OutOfTime(&'static str),
    /// The window ends while it is on the phone.
    OnThePhone,
}

/// One hour (of UTC) in which the batch places calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// Its start.
    pub start: Timestamp,
    /// Attempts that leave in it.
    pub attempts: u64,
    /// Those of them that a person answers.
    pub answered: u64,
}

/// Counts.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) attempts: u64,
    pub(super) answered: u64,
    pub(super) reached: u64,
    /// A handful of reasons, each once.
    pub(super) never: Vec<(Never, u64)>,
    pub(super) peak_batch: u32,
    pub(super) peak_workspace: u32,
    pub(super) first_attempt_at: Option<Timestamp>,
    pub(super) last_end: Option<Timestamp>,
    hours: BTreeMap<i64, (u64, u64)>,
}

impl Tally {
    pub(super) fn attempt(&mut self, at: Timestamp) {
        self.attempts += 1;
        self.first_attempt_at = Some(self.first_attempt_at.map_or(at, |first| first.min(at)));
        self.hours.entry(hour(at)).or_default().0 += 1;
    }

    /// A person answered the attempt that left at `sent_at`.
    pub(super) fn answer(&mut self, sent_at: Timestamp) {
        self.answered += 1;
        self.hours.entry(hour(sent_at)).or_default().1 += 1;
    }

    /// A call is finished.
    pub(super) fn finish(&mut self, at: Timestamp, disposition: Disposition) {
        self.last_end = Some(self.last_end.map_or(at, |last| last.max(at)));
        match disposition {
            Disposition::Completed => self.reached += 1,
            Disposition::Expired => self.expire(at, 1),
            other => self.never(Never::GivenUp(other), 1),
        }
    }

    /// So many calls are finished because their batch has expired.
    pub(super) fn expire(&mut self, at: Timestamp, calls: u64) {
        self.last_end = Some(self.last_end.map_or(at, |last| last.max(at)));
        self.never(Never::Expired, calls);
    }

    pub(super) fn never(&mut self, why: Never, calls: u64) {
        match self.never.iter_mut().find(|(known, _)| *known == why) {
            Some((_, count)) => *count += calls,
            None if calls > 0 => self.never.push((why, calls)),
            None => {}
        }
    }

    pub(super) fn hours(&self) -> Vec<Hour> {
        let hour = |(start, (attempts, answered)): (&i64, &(u64, u64))| Hour {
            start: Timestamp::from_millis(*start),
            attempts: *attempts,
            answered: *answered,
        };
        self.hours.iter().map(hour).collect()
    }
}

fn hour(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(HOUR_MS) * HOUR_MS
}
