//! What limits, budgets and brakes count: attempts at persons, attempts by numbers and days, use
//! by batches and days, and how attempts ended.
//!
//! Counts only; which day, how much is reserved and what is too much is said by the core.

use outdial_core::brake::Pulse;
use outdial_core::budget::{Day, Spend};
use outdial_core::dispatcher::Intent;
use outdial_core::time::Timestamp;
use outdial_core::trunk_health::PAUSE_MAX;
use outdial_ports::store::{Settle, StoreError};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::rows::{RowExt, digits};
use super::sql;
use crate::counts::{Forgotten, PERSON_WINDOW};
pub(super) use crate::counts::{first_day_told, minute_of, pulse_columns, whole};

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
        let Forgotten { person, day, minute } = Forgotten::at(now);
        // Left of a clock that was ahead; else it would hold once that time comes.
        self.exec(sql!("trunk/unpause"), [now.after(PAUSE_MAX).as_millis()])?;
        let mut left = limit - self.persons_prune(person.as_millis(), limit)?;
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
