//! What limits, budgets and brakes count: attempts at persons, attempts by numbers and days, use
//! by batches and days, and how attempts ended.
//!
//! Counts only; which day, how much is reserved and what is too much is said by the core.

use std::time::Duration;

use outdial_core::brake::Pulse;
use outdial_core::budget::{Day, Spend};
use outdial_core::dispatcher::Intent;
use outdial_core::pacing::SLOT;
use outdial_core::time::Timestamp;
use outdial_core::trunk_health::PAUSE_MAX;
use outdial_ports::store::{Settle, StoreError};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::rows::{RowExt, digits};
use super::sql;

/// Within which attempts at a person are counted, by the starts of their slots: 24 h, and a slot,
/// at whose end one may leave and at whose beginning another.
const PERSON_WINDOW: Duration = Duration::from_secs(24 * 3600).saturating_add(SLOT);
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

/// The first day, in any zone, that a head tells of.
pub(super) fn first_day_told(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(DAY_MS) - DAYS_TOLD
}

/// The minute that `at` falls in; the window of the brakes begins with a whole one.
pub(super) fn minute_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(MINUTE_MS)
}

impl SqliteDb {
    /// When this person may be called again, if the intent is one attempt too many.
    pub(super) fn person_waits(
        &self,
        workspace: i64,
        intent: &Intent,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Some(most) = intent.attempts_24h else { return Ok(None) };
        let Some(before) = most.checked_sub(1) else {
            return Ok(Some(intent.send_at.after(PERSON_WINDOW)));
        };
        // The attempt that makes it one too many; when it has left the window, there is room.
        let since = intent.send_at.before(PERSON_WINDOW).as_millis();
        let key = params![workspace, digits(intent.callee), since, before];
        let nth = self.one(sql!("limits/person_nth"), key, |r| r.time(0))?;
        Ok(nth.map(|at| at.after(PERSON_WINDOW)))
    }

    /// An attempt at a person, which counts until it turns out not to be charged.
    pub(super) fn person_add(
        &self,
        workspace: i64,
        attempt: i64,
        intent: &Intent,
    ) -> Result<(), StoreError> {
        let at = intent.send_at.as_millis();
        let row = params![attempt, workspace, digits(intent.callee), at];
        self.exec(sql!("limits/person_insert"), row)?;
        Ok(())
    }

    /// It was not charged.
    pub(super) fn person_forget(&self, attempt: i64) -> Result<(), StoreError> {
        self.exec(sql!("limits/person_delete"), [attempt])?;
        Ok(())
    }

    /// Counts attempts of a number on a day.
    pub(super) fn number_add(&self, phone: i64, day: Day, placed: u32) -> Result<(), StoreError> {
        self.exec(sql!("limits/number_add"), params![phone, day.0, placed])?;
        Ok(())
    }

    /// One of them was not sent.
    pub(super) fn number_give_back(&self, phone: i64, day: i64) -> Result<(), StoreError> {
        self.exec(sql!("limits/number_give_back"), params![phone, day])?;
        Ok(())
    }

    /// Books what an attempt used, on the day of its intent, and how it ended, in its minute. The
    /// sums of all days and minutes stand with the totals.
    pub(super) fn settle(
        &self,
        batch: i64,
        day: i64,
        ended_at: Timestamp,
        settle: &Settle,
    ) -> Result<(), StoreError> {
        let (used, pulse) = (settle.used, settle.pulse);
        if used != Spend::NONE {
            let (seconds, micros) = (whole(used.seconds), whole(used.micros));
            self.exec(sql!("limits/use_add"), params![batch, day, seconds, micros])?;
        }
        if pulse != Pulse::default() {
            let [ended, failed, answered, short, voicemail, talk_ms] = pulse_columns(&pulse);
            let minute = minute_of(ended_at);
            let row = params![batch, minute, ended, failed, answered, short, voicemail, talk_ms];
            self.exec(sql!("limits/pulse_add"), row)?;
        }
        Ok(())
    }

    /// The batch's pulse begins anew, and what the brakes remember of it.
    pub(super) fn pulse_clear(&self, batch: i64) -> Result<(), StoreError> {
        self.exec(sql!("limits/pulse_clear"), [batch])?;
        self.exec(sql!("limits/ever_resume"), [batch])?;
        self.exec(sql!("batch/clear_brake"), [batch])?;
        Ok(())
    }

    pub(super) fn limits_prune(&mut self, limit: u32) -> Result<u32, StoreError> {
        let now = self.now();
        let person = now.before(PERSON_KEPT).as_millis();
        let day = now.as_millis().div_euclid(DAY_MS) - DAYS_KEPT;
        let minute = minute_of(now) - PULSE_MINUTES_KEPT;
        // Left of a clock that was ahead; else it would hold once that time comes.
        self.exec(sql!("trunk/unpause"), [now.after(PAUSE_MAX).as_millis()])?;
        let mut left = limit - self.persons_prune(person, limit)?;
        for (text, bound) in [
            (sql!("limits/pulse_prune"), minute),
            (sql!("limits/use_prune"), day),
            (sql!("limits/number_prune"), day),
        ] {
            let gone = self.exec(text, params![bound, left])?;
            left = left.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX));
        }
        Ok(limit - left)
    }

    /// The oldest mostly stand first. But what a clock that was ahead has left there may stay for
    /// years; so it is looked behind that, too, a piece each time.
    fn persons_prune(&mut self, bound: i64, limit: u32) -> Result<u32, StoreError> {
        let (gone, _) = self.persons_prune_after(0, bound, limit)?;
        let (more, seen) = self.persons_prune_after(self.persons_seen, bound, limit - gone)?;
        self.persons_seen = seen;
        Ok(gone + more)
    }

    /// Looks at the first `limit` after an attempt: how many were old, and where to go on.
    fn persons_prune_after(
        &self,
        after: i64,
        bound: i64,
        limit: u32,
    ) -> Result<(u32, i64), StoreError> {
        let Some(others) = limit.checked_sub(1) else { return Ok((0, after)) };
        let last = self.one(sql!("limits/person_after"), params![after, others], |r| r.get(0))?;
        let until = last.unwrap_or(i64::MAX);
        let gone = self.exec(sql!("limits/person_prune"), params![after, until, bound])?;
        Ok((u32::try_from(gone).unwrap_or(limit), last.unwrap_or(0)))
    }
}

/// From six columns beginning with `i`.
pub(super) fn pulse(r: &Row<'_>, i: usize) -> rusqlite::Result<Pulse> {
    Ok(Pulse {
        ended: r.int(i)?,
        failed: r.int(i + 1)?,
        answered: r.int(i + 2)?,
        short: r.int(i + 3)?,
        voicemail: r.int(i + 4)?,
        talk_ms: r.int(i + 5)?,
    })
}

/// Both together.
pub(super) fn add_pulse(sum: &mut Pulse, more: &Pulse) {
    sum.ended += more.ended;
    sum.failed += more.failed;
    sum.answered += more.answered;
    sum.short += more.short;
    sum.voicemail += more.voicemail;
    sum.talk_ms += more.talk_ms;
}

/// From two columns beginning with `i`.
pub(super) fn spend(r: &Row<'_>, i: usize) -> rusqlite::Result<Spend> {
    Ok(Spend { seconds: r.int(i)?, micros: r.int(i + 1)? })
}

/// As a column. Sums of columns must not overflow, so what nobody can use is cut off.
pub(super) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX).min(LARGEST)
}

/// A million of these still fit into a column.
const LARGEST: i64 = i64::MAX / 1_000_000;

/// As columns.
pub(super) fn pulse_columns(p: &Pulse) -> [i64; 6] {
    [p.ended, p.failed, p.answered, p.short, p.voicemail, p.talk_ms].map(whole)
}
