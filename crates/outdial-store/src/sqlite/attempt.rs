//! Attempts between their commit and their end, and what the end makes of their call.

use outdial_core::attempt::{AttemptEnd, AttemptProgress, AttemptState};
use outdial_core::batch::BatchSettings;
use outdial_core::budget::Spend;
use outdial_core::call::{CallFacts, CallNext, WaitReason};
use outdial_core::id::{AttemptId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::time::Timestamp;
use outdial_core::trunk_health::PAUSE_MAX;
use outdial_ports::store::{FinishResult, Integration, OpenAttempt, Settle, StoreError};
use outdial_ports::{Mark, failpoint};
use rusqlite::{Row, params};

use super::call::{attempt_state, attempt_state_number};
use super::db::SqliteDb;
use super::limits::spend;
use super::rows::{Id, RowExt};
use super::sql;
use super::totals::Delta;
use crate::counts::{Found, next_after};

/// An attempt to finish, with the rows that its end touches.
struct Ending {
    state: AttemptState,
    trunk: i64,
    caller: i64,
    call: i64,
    phone: i64,
    picked: bool,
    batch: i64,
    workspace: i64,
    batch_deleted: bool,
    expires_at: Option<Timestamp>,
    /// Its number is to be looked up in the do-not-call list.
    dnc_checked: bool,
    /// The day on whose account it went.
    day: i64,
    cancel_requested: bool,
    reserve: Spend,
    /// Who may end it: who took it over, or else who committed it.
    owner: i64,
}

/// What was added for a call while it was on the phone.
struct Deferred {
    class: i64,
    lane: Option<u32>,
    agent: i64,
    agent_version: u32,
    blocked: Option<(Disposition, String)>,
    fields: String,
}

impl SqliteDb {
    pub(super) fn attempt_is_known(
        &self,
        attempt: AttemptId,
        token: [u8; 16],
    ) -> Result<bool, StoreError> {
        let row = params![attempt.seq64(), token];
        let found = self.one(sql!("attempt/is_known"), row, |_| Ok(()))?;
        Ok(found.is_some())
    }

    pub(super) fn attempt_is_any(&self) -> Result<bool, StoreError> {
        Ok(self.one(sql!("attempt/is_any"), [], |_| Ok(()))?.is_some())
    }

    pub(super) fn attempt_latest_of_others(
        &mut self,
        ws: WorkspaceId,
    ) -> Result<Option<Mark>, StoreError> {
        self.one(sql!("attempt/latest_of_others"), params![ws.seq64(), self.instance], |r| {
            Ok(Mark { attempt: r.id(0)?, token: r.get(2)? })
        })
    }

    pub(super) fn attempt_record(
        &mut self,
        attempt: AttemptId,
        progress: AttemptProgress,
        dialog: Option<&str>,
    ) -> Result<bool, StoreError> {
        if progress.state.is_over() || progress.state == AttemptState::Intent {
            return Err(StoreError::Internal(format!("{:?} is no progress", progress.state)));
        }
        let state = attempt_state_number(progress.state);
        let at = progress.at.as_millis();
        let row = params![attempt.seq64(), attempt.secs(), state, at, self.instance];
        let recorded = self.exec(sql!("attempt/record"), row)? == 1;
        if let Some(dialog) = dialog.filter(|_| recorded) {
            self.exec(sql!("attempt/keep_dialog"), params![attempt.seq64(), dialog])?;
        }
        Ok(recorded)
    }

    pub(super) fn attempt_fetch(
        &mut self,
        attempt: AttemptId,
    ) -> Result<Option<OpenAttempt>, StoreError> {
        self.one(sql!("attempt/open"), params![attempt.seq64(), attempt.secs()], open_attempt)
    }

    pub(super) fn attempt_list_orphaned(
        &mut self,
        limit: u32,
    ) -> Result<Vec<OpenAttempt>, StoreError> {
        self.exec(sql!("attempt/take_over"), params![self.instance, limit])?;
        self.all(sql!("attempt/orphaned"), params![self.instance, limit], open_attempt)
    }

    pub(super) fn live_list_recalled(&mut self) -> Result<Vec<AttemptId>, StoreError> {
        self.all(sql!("attempt/recalled"), [self.instance], |r| r.id(0))
    }

    pub(super) fn attempt_finish(
        &mut self,
        attempt: AttemptId,
        end: &AttemptEnd,
        next: CallNext,
        settle: &Settle,
    ) -> Result<FinishResult, StoreError> {
        if !end.state.is_over() {
            return Err(StoreError::Internal(format!("{:?} is no end", end.state)));
        }
        let key = params![attempt.seq64(), attempt.secs()];
        let ending = self
            .one(sql!("attempt/to_finish"), key, ending)?
            .ok_or_else(|| StoreError::Internal(format!("no attempt {attempt}")))?;
        if ending.state.is_over() {
            return Ok(FinishResult::AlreadyOver);
        }
        if ending.owner != self.instance {
            return Ok(FinishResult::TakenOver);
        }
        self.attempt_end(attempt, end)?;
        self.exec(sql!("attempt/forget_dialog"), [attempt.seq64()])?;
        let number = params![ending.workspace, ending.phone, attempt.seq64()];
        self.exec(sql!("attempt/release_number"), number)?;
        self.call_after(attempt, &ending, end, (next, settle))?;
        self.settle(ending.batch, ending.day, end.ended_at, settle)?;
        if !end.outcome.charged {
            self.person_forget(attempt.seq64())?;
        }
        if end.state == AttemptState::NotSent {
            self.number_give_back(ending.caller, ending.day)?;
        }
        if let Some(until) = settle.trunk_paused_until {
            let latest = self.now().after(PAUSE_MAX);
            let row = params![ending.trunk, until.as_millis(), latest.as_millis()];
            self.exec(sql!("trunk/pause"), row)?;
        }
        if settle.trunk_paused_until.is_some() || self.exceeds_reserve(&ending, settle)? {
            self.dispatch_bump(ending.workspace)?;
        }
        failpoint("store.end_applied");
        Ok(FinishResult::Applied)
    }

    /// Whether it took more of a budget than was reserved for it: a process that was stalled hangs
    /// up late, and hears late of the end. Other ends only give back, and spoil no plan.
    fn exceeds_reserve(&self, ending: &Ending, settle: &Settle) -> Result<bool, StoreError> {
        let Spend { seconds, micros } = settle.used;
        if seconds <= ending.reserve.seconds && micros <= ending.reserve.micros {
            return Ok(false);
        }
        let row = [ending.batch];
        let settings: Option<BatchSettings> =
            self.one(sql!("attempt/settings_of_batch"), row, |r| r.json(0))?;
        Ok(settings.is_some_and(|s| s.budget.is_some()))
    }

    /// Writes the attempt's own row.
    fn attempt_end(&self, attempt: AttemptId, end: &AttemptEnd) -> Result<(), StoreError> {
        let millis = |t: Option<Timestamp>| t.map(Timestamp::as_millis);
        self.exec(
            sql!("attempt/finish"),
            params![
                attempt.seq64(),
                attempt_state_number(end.state),
                millis(end.sent_at),
                millis(end.ringing_at),
                millis(end.answered_at),
                end.ended_at.as_millis(),
                end.outcome.disposition.as_str(),
                end.outcome.fault.as_str(),
                end.outcome.reason,
                end.sip_status,
                end.outcome.charged,
            ],
        )?;
        Ok(())
    }

    /// Moves the call on, with the fields that waited for this, and the batch's totals with it.
    fn call_after(
        &self,
        attempt: AttemptId,
        ending: &Ending,
        end: &AttemptEnd,
        (next, settle): (CallNext, &Settle),
    ) -> Result<(), StoreError> {
        let now = self.now().as_millis();
        let outcome = &end.outcome;
        let charged = i64::from(outcome.charged);
        let uncharged = i64::from(!outcome.charged && end.state != AttemptState::NotSent);
        let picked = i64::from(outcome.picked && !ending.picked);
        let mut delta = Delta { live: -1, picked, ..Delta::default() };
        let (next, why) = self.next_after(ending, end, next)?;
        let call = ending.call;
        match next {
            CallNext::Pending { not_before, reason, is_retry } => {
                delta.pending += 1;
                let reason = Some(reason).filter(|r| *r != WaitReason::Due);
                let row = params![
                    call,
                    is_retry,
                    not_before.as_millis(),
                    reason.map(WaitReason::as_str),
                    charged,
                    uncharged,
                    picked,
                    now
                ];
                self.exec(sql!("attempt/call_pending"), row)?;
            }
            CallNext::Finished(disposition) => {
                delta.finished += 1;
                delta.completed += i64::from(disposition == Disposition::Completed);
                let row = params![call, disposition.as_str(), why, charged, uncharged, picked, now];
                self.exec(sql!("attempt/call_finished"), row)?;
            }
        }
        let is_pending = delta.pending == 1;
        if self.call_apply_deferred(call, is_pending, now)? {
            delta.pending -= 1;
            delta.finished += 1;
        }
        self.tell_attempt((ending.batch, call, attempt.seq64()), end)?;
        if delta.finished == 1 {
            self.tell_finished(call)?;
        }
        self.totals_settle(ending.batch, delta, settle)
    }

    /// What becomes of the call, and why, where its attempts do not say so.
    fn next_after(
        &self,
        ending: &Ending,
        end: &AttemptEnd,
        next: CallNext,
    ) -> Result<(CallNext, Option<&'static str>), StoreError> {
        let found = Found {
            batch_deleted: ending.batch_deleted,
            is_listed: ending.dnc_checked && self.dnc_is_listed(ending.workspace, ending.phone)?,
            cancel_requested: ending.cancel_requested,
            is_expired: ending.expires_at.is_some_and(|at| at <= self.now()),
        };
        Ok(next_after(found, end, next))
    }

    /// Gives the call what was added for it meanwhile. True: that finished a pending call.
    fn call_apply_deferred(
        &self,
        call: i64,
        is_pending: bool,
        now: i64,
    ) -> Result<bool, StoreError> {
        let Some(d) = self.one(sql!("call/take_deferred"), [call], deferred)? else {
            return Ok(false);
        };
        self.exec(sql!("call/set_fields"), params![call, d.fields])?;
        let row = params![call, d.class, d.lane, d.agent, d.agent_version, now];
        self.exec(sql!("call/update_pending"), row)?;
        match d.blocked {
            Some((disposition, reason)) if is_pending => {
                let row = params![call, disposition.as_str(), reason];
                self.exec(sql!("call/finish_blocked"), row)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn ending(r: &Row<'_>) -> rusqlite::Result<Ending> {
    Ok(Ending {
        state: attempt_state(r, 0)?,
        trunk: r.get(1)?,
        caller: r.get(2)?,
        call: r.get(3)?,
        phone: r.get(4)?,
        picked: r.get(5)?,
        batch: r.get(6)?,
        workspace: r.get(7)?,
        batch_deleted: r.get(8)?,
        expires_at: r.time_opt(9)?,
        dnc_checked: r.get(10)?,
        day: r.get::<_, Option<i64>>(11)?.unwrap_or(0),
        cancel_requested: r.get::<_, Option<bool>>(12)?.unwrap_or(false),
        // Were its live row missing, nothing would be reserved.
        reserve: match r.get::<_, Option<i64>>(13)? {
            Some(_) => spend(r, 13)?,
            None => Spend::NONE,
        },
        owner: r.get(15)?,
    })
}

fn deferred(r: &Row<'_>) -> rusqlite::Result<Deferred> {
    let disposition = r.word_opt(4, Disposition::parse)?;
    let reason: Option<String> = r.get(5)?;
    let lane: Option<u32> = r.get(1)?;
    Ok(Deferred {
        class: r.get(0)?,
        lane,
        agent: r.get(2)?,
        agent_version: r.int(3)?,
        blocked: disposition.map(|d| (d, reason.unwrap_or_default())),
        fields: r.get(6)?,
    })
}

fn open_attempt(r: &Row<'_>) -> rusqlite::Result<OpenAttempt> {
    let number: u32 = r.int(14)?;
    // It is live, so it has its row; were it missing, nothing would be reserved.
    let (reserve, price) = match r.get::<_, Option<i64>>(20)? {
        Some(_) => (spend(r, 20)?, r.int(22)?),
        None => (Spend::NONE, 0),
    };
    Ok(OpenAttempt {
        attempt: r.id(0)?,
        call: r.id(2)?,
        batch: r.id(4)?,
        batch_deleted: r.get(6)?,
        settings: r.json(7)?,
        callee: r.phone(8)?,
        trunk: r.id(9)?,
        integration: r.word(23, Integration::parse)?,
        ring_timeout: r.duration_opt(24)?,
        trunks: r.int(25)?,
        caller: r.phone(26)?,
        send_by: r.time(27)?,
        dialog: r.get(28)?,
        facts: CallFacts {
            round: r.int(11)?,
            charged: r.int(12)?,
            uncharged: r.int(13)?,
            attempts: number.saturating_sub(1),
        },
        state: attempt_state(r, 15)?,
        sent_at: r.time_opt(16)?,
        ringing_at: r.time_opt(17)?,
        answered_at: r.time_opt(18)?,
        token: r.get(19)?,
        reserve,
        price,
    })
}
