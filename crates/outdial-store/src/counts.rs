//! What both backends count alike for limits, budgets and brakes, and what becomes of a call when
//! its attempt ends. Pure, and without a row or a statement.

use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::brake::Pulse;
use outdial_core::call::CallNext;
use outdial_core::dispatcher::{Intent, Line};
use outdial_core::outcome::Disposition;
use outdial_core::pacing::SLOT;
use outdial_core::time::Timestamp;

use crate::common::{CANCEL_REQUESTED, DO_NOT_CALL, EXPIRES_AT};

/// How long a call waits whose number is on the phone for another batch.
pub(crate) const NUMBER_BUSY_WAIT: Duration = Duration::from_secs(5);
/// Within which attempts at a person are counted, by the starts of their slots: 24 h, and a slot,
/// at whose end one may leave and at whose beginning another.
pub(crate) const PERSON_WINDOW: Duration = Duration::from_secs(24 * 3600).saturating_add(SLOT);
const DAY_MS: i64 = 24 * 3600 * 1000;
const MINUTE_MS: i64 = 60_000;
/// Days before the present that a head tells of: those that have not ended in every zone, and one.
const DAYS_TOLD: i64 = 2;
/// After which an attempt at a person is forgotten: twice as long as it counts, so that a clock
/// that was ahead by a day, and is set back, finds it again.
const PERSON_KEPT: Duration = Duration::from_secs(2 * 24 * 3600);
/// Days after which what was counted by day is forgotten.
const DAYS_KEPT: i64 = 7;
/// Minutes after which a pulse is forgotten: far beyond every window of the brakes.
const PULSE_MINUTES_KEPT: i64 = 7 * 24 * 60;
/// A million of these still fit into a column.
const LARGEST: i64 = i64::MAX / 1_000_000;

/// Before what is forgotten.
pub(crate) struct Forgotten {
    /// Attempts at persons, by the starts of their slots.
    pub(crate) person: Timestamp,
    /// What was counted by day.
    pub(crate) day: i64,
    /// What was counted by minute.
    pub(crate) minute: i64,
}

impl Forgotten {
    /// As of an instant.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self {
            person: now.before(PERSON_KEPT),
            day: now.as_millis().div_euclid(DAY_MS) - DAYS_KEPT,
            minute: minute_of(now) - PULSE_MINUTES_KEPT,
        }
    }
}

/// The first day, in any zone, that a head tells of.
pub(crate) fn first_day_told(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(DAY_MS) - DAYS_TOLD
}

/// The minute that `at` falls in; the window of the brakes begins with a whole one.
pub(crate) fn minute_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(MINUTE_MS)
}

/// As a column. Sums of columns must not overflow, so what nobody can use is cut off.
pub(crate) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX).min(LARGEST)
}

/// As columns.
pub(crate) fn pulse_columns(p: &Pulse) -> [i64; 6] {
    [p.ended, p.failed, p.answered, p.short, p.voicemail, p.talk_ms].map(whole)
}

/// Slots of a line as a column: 8 bytes each.
pub(crate) fn pack(starts: &[Timestamp]) -> Vec<u8> {
    starts.iter().flat_map(|t| t.as_millis().to_be_bytes()).collect()
}

/// The reverse of [`pack`].
pub(crate) fn unpack(bytes: &[u8]) -> Vec<Timestamp> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|w| Timestamp::from_millis(i64::from_be_bytes(*w))).collect()
}

/// The recent slots of lines, without those that dropped intents would have used.
pub(crate) fn without<'a>(
    slots: &[(Line, Vec<Timestamp>)],
    dropped: impl Iterator<Item = &'a Intent>,
) -> Vec<(Line, Vec<Timestamp>)> {
    let mut slots = slots.to_vec();
    for intent in dropped {
        let lines = [Line::Trunk(intent.trunk), Line::Number(intent.caller)];
        for (_, starts) in slots.iter_mut().filter(|(line, _)| lines.contains(line)) {
            // A slot is in the list once for every call in it.
            if let Some(i) = starts.iter().rposition(|at| *at == intent.send_at) {
                starts.remove(i);
            }
        }
    }
    slots
}

/// What an end finds out about its call, besides what its attempts say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Its batch is deleted.
    pub(crate) batch_deleted: bool,
    /// Its number is listed, and checked.
    pub(crate) is_listed: bool,
    /// A person has taken it back.
    pub(crate) cancel_requested: bool,
    /// The time of its batch is over.
    pub(crate) is_expired: bool,
}

/// What becomes of the call, and why, where its attempts do not say so. One that would be pending
/// again may have been taken back by a person meanwhile.
pub(crate) fn next_after(
    found: Found,
    end: &AttemptEnd,
    next: CallNext,
) -> (CallNext, Option<&'static str>) {
    if let CallNext::Finished(disposition) = next {
        // A call that was cut short says at whose wish.
        let why = match disposition {
            Disposition::Canceled if found.batch_deleted => None,
            Disposition::Canceled if found.is_listed => Some(DO_NOT_CALL),
            Disposition::Canceled if found.cancel_requested => Some(CANCEL_REQUESTED),
            _ => None,
        };
        return (next, why);
    }
    let done = |disposition, why| (CallNext::Finished(disposition), Some(why));
    if found.batch_deleted {
        return (without_retry(end, next), None);
    }
    if found.is_listed {
        return done(Disposition::Skipped, DO_NOT_CALL);
    }
    if found.cancel_requested {
        return done(Disposition::Canceled, CANCEL_REQUESTED);
    }
    if found.is_expired {
        return done(Disposition::Expired, EXPIRES_AT);
    }
    (next, None)
}

/// Nothing of a deleted batch is retried.
fn without_retry(end: &AttemptEnd, next: CallNext) -> CallNext {
    match next {
        CallNext::Pending { .. } if end.state == AttemptState::NotSent => {
            CallNext::Finished(Disposition::Canceled)
        }
        CallNext::Pending { .. } => CallNext::Finished(end.outcome.disposition),
        CallNext::Finished(_) => next,
    }
}
