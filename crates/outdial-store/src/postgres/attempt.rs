//! Attempts between their commit and their end, and what the end makes of their call.
//!
//! What an end decides by is read under the lock of its call, and then of its attempt: nobody
//! takes the call back, adds to it, or takes the attempt over in between.

use std::future::Future;
use std::pin::Pin;

use futures_util::future::join_all;
use outdial_core::attempt::{AttemptEnd, AttemptProgress, AttemptState};
use outdial_core::batch::BatchSettings;
use outdial_core::budget::Spend;
use outdial_core::call::{CallFacts, CallNext, WaitReason};
use outdial_core::id::{AttemptId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::time::Timestamp;
use outdial_core::trunk_health::PAUSE_MAX;
use outdial_ports::store::{
    FinishResult, Integration, NODE_LEASE, OpenAttempt, Settle, StoreError,
};
use outdial_ports::{Mark, failpoint};
use tokio_postgres::Row;

use super::error::corrupt;
use super::limits::spend;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;
use crate::common::{Delta, attempt_state_number, attempt_state_of};
use crate::counts::{Found, next_after, whole};

/// One of several statements that are sent at once.
pub(super) type Step<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// Sends statements one behind the other, and waits for all of them. The first error is the cause
/// of those behind it.
pub(super) async fn together(steps: Vec<Step<'_>>) -> Result<(), StoreError> {
    join_all(steps).await.into_iter().collect()
}

/// An attempt to finish, with the rows that its end touches.
struct Ending {
    attempt: i64,
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
    /// Its number is on the do-not-call list, and checked.
    is_listed: bool,
    /// The day on whose account it went.
    day: i64,
    cancel_requested: bool,
    /// Who may end it: who took it over, or else who committed it.
    owner: i64,
    /// Something was added for the call while it was on the phone.
    deferred: bool,
    /// And blocks it, should it be pending.
    blocked: bool,
    /// It used more of its batch's budget than was reserved for it.
    exceeds: bool,
}

impl PgTx<'_> {
    pub(super) async fn attempt_is_known(
        &self,
        attempt: AttemptId,
        token: [u8; 16],
    ) -> Result<bool, StoreError> {
        let row = params![attempt.seq64(), token];
        Ok(self.one(pg!("attempt/is_known"), row, |_| Ok(())).await?.is_some())
    }

    pub(super) async fn attempt_is_any(&self) -> Result<bool, StoreError> {
        Ok(self.one(pg!("attempt/is_any"), params![], |_| Ok(())).await?.is_some())
    }

    pub(super) async fn attempt_latest_of_others(
        &self,
        ws: WorkspaceId,
    ) -> Result<Option<Mark>, StoreError> {
        let row = params![ws.seq64(), self.instance()];
        self.one(pg!("attempt/latest_of_others"), row, |r| {
            Ok(Mark { attempt: r.id(0)?, token: r.exact(2)? })
        })
        .await
    }

    pub(super) async fn attempt_record(
        &self,
        attempt: AttemptId,
        progress: AttemptProgress,
        dialog: Option<&str>,
    ) -> Result<bool, StoreError> {
        if progress.state.is_over() || progress.state == AttemptState::Intent {
            return Err(StoreError::Internal(format!("{:?} is no progress", progress.state)));
        }
        let state = attempt_state_number(progress.state);
        let (seq, secs) = (attempt.seq64(), attempt.secs());
        let row = params![seq, secs, state, progress.at, self.instance(), dialog];
        Ok(self.one(pg!("attempt/record"), row, |_| Ok(())).await?.is_some())
    }

    pub(super) async fn attempt_fetch(
        &self,
        attempt: AttemptId,
    ) -> Result<Option<OpenAttempt>, StoreError> {
        let row = params![attempt.seq64(), attempt.secs()];
        self.one(pg!("attempt/open"), row, open_attempt).await
    }

    pub(super) async fn attempt_list_orphaned(
        &self,
        limit: u32,
    ) -> Result<Vec<OpenAttempt>, StoreError> {
        let me = self.instance();
        self.exec(pg!("attempt/take_over"), params![me, self.now().before(NODE_LEASE), limit])
            .await?;
        self.all(pg!("attempt/orphaned"), params![me, limit], open_attempt).await
    }

    pub(super) async fn live_list_recalled(&self) -> Result<Vec<AttemptId>, StoreError> {
        self.all(pg!("attempt/recalled"), params![self.instance()], |r| r.id(0)).await
    }

    pub(super) async fn attempt_finish(
        &self,
        attempt: AttemptId,
        end: &AttemptEnd,
        next: CallNext,
        settle: &Settle,
    ) -> Result<FinishResult, StoreError> {
        if !end.state.is_over() {
            return Err(StoreError::Internal(format!("{:?} is no end", end.state)));
        }
        let (bumped, held, found) = tokio::join!(
            biased;
            self.lock_dispatch(attempt, settle),
            self.lock_call(attempt),
            self.attempt_to_finish(attempt, settle),
        );
        let ((), (), found) = (bumped?, held?, found?);
        let ending = found.ok_or_else(|| StoreError::Internal(format!("no attempt {attempt}")))?;
        if ending.state.is_over() {
            return Ok(FinishResult::AlreadyOver);
        }
        if ending.owner != self.instance() {
            return Ok(FinishResult::TakenOver);
        }
        self.attempt_apply(&ending, end, next, settle).await?;
        failpoint("store.end_applied");
        Ok(FinishResult::Applied)
    }

    /// The workspace's dispatch row, if this end may have to bump its version.
    async fn lock_dispatch(&self, attempt: AttemptId, settle: &Settle) -> Result<(), StoreError> {
        let (pauses, used) = (settle.trunk_paused_until.is_some(), settle.used);
        let (seconds, micros) = (whole(used.seconds), whole(used.micros));
        let row = params![attempt.seq64(), attempt.secs(), pauses, seconds, micros];
        self.exec(pg!("attempt/lock_dispatch"), row).await?;
        Ok(())
    }

    async fn lock_call(&self, attempt: AttemptId) -> Result<(), StoreError> {
        self.exec(pg!("attempt/lock_call"), params![attempt.seq64(), attempt.secs()]).await?;
        Ok(())
    }

    /// The attempt, locked.
    async fn attempt_to_finish(
        &self,
        attempt: AttemptId,
        settle: &Settle,
    ) -> Result<Option<Ending>, StoreError> {
        let (seconds, micros) = (whole(settle.used.seconds), whole(settle.used.micros));
        let row = params![attempt.seq64(), attempt.secs(), seconds, micros];
        self.one(pg!("attempt/to_finish"), row, |r| ending(attempt, r)).await
    }

    /// Everything that an end changes, sent at once; the rows that many ends share come last.
    async fn attempt_apply(
        &self,
        ending: &Ending,
        end: &AttemptEnd,
        next: CallNext,
        settle: &Settle,
    ) -> Result<(), StoreError> {
        let found = Found {
            batch_deleted: ending.batch_deleted,
            is_listed: ending.is_listed,
            cancel_requested: ending.cancel_requested,
            is_expired: ending.expires_at.is_some_and(|at| at <= self.now()),
        };
        let (next, why) = next_after(found, end, next);
        let picked = end.outcome.picked && !ending.picked;
        let mut delta = Delta { live: -1, picked: i64::from(picked), ..Delta::default() };
        match next {
            CallNext::Pending { .. } if !ending.blocked => delta.pending += 1,
            CallNext::Pending { .. } => delta.finished += 1,
            CallNext::Finished(disposition) => {
                delta.finished += 1;
                delta.completed += i64::from(disposition == Disposition::Completed);
            }
        }
        let mut steps: Vec<Step<'_>> = vec![
            Box::pin(self.attempt_end(ending, end)),
            Box::pin(self.call_after(ending, end, (next, why), picked)),
        ];
        if ending.deferred {
            steps.push(Box::pin(self.apply_deferred(ending, next)));
        }
        if end.state == AttemptState::NotSent {
            steps.push(Box::pin(self.number_give_back(ending.caller, ending.day)));
        }
        if let Some(until) = settle.trunk_paused_until {
            steps.push(Box::pin(self.pause_trunk(ending.trunk, until)));
        }
        if settle.trunk_paused_until.is_some() || ending.exceeds {
            steps.push(Box::pin(self.dispatch_bump(ending.workspace)));
        }
        steps.push(Box::pin(self.delta_add((ending.batch, ending.day), delta, end, settle)));
        together(steps).await
    }

    /// Writes the attempt's own row, frees its number, forgets its dialog; and that it was an
    /// attempt at a person, if it was not charged.
    async fn attempt_end(&self, ending: &Ending, end: &AttemptEnd) -> Result<(), StoreError> {
        let outcome = &end.outcome;
        let row = params![
            ending.attempt,
            attempt_state_number(end.state),
            end.sent_at,
            end.ringing_at,
            end.answered_at,
            end.ended_at,
            outcome.disposition.as_str(),
            outcome.fault.as_str(),
            outcome.reason,
            end.sip_status,
            outcome.charged,
            ending.workspace,
            ending.phone,
        ];
        self.exec(pg!("attempt/finish"), row).await?;
        Ok(())
    }

    /// Moves the call on.
    async fn call_after(
        &self,
        ending: &Ending,
        end: &AttemptEnd,
        (next, why): (CallNext, Option<&'static str>),
        picked: bool,
    ) -> Result<(), StoreError> {
        let (call, now) = (ending.call, self.now());
        let charged = i64::from(end.outcome.charged);
        let uncharged = i64::from(!end.outcome.charged && end.state != AttemptState::NotSent);
        let sent = Some(ending.attempt).filter(|_| end.state != AttemptState::NotSent);
        let ended_at = end.ended_at;
        match next {
            CallNext::Pending { not_before, reason, is_retry } => {
                let reason = Some(reason).filter(|r| *r != WaitReason::Due).map(WaitReason::as_str);
                let row = params![
                    call, is_retry, not_before, reason, charged, uncharged, picked, now, sent,
                    ended_at
                ];
                self.exec(pg!("attempt/call_pending"), row).await?;
            }
            CallNext::Finished(disposition) => {
                let disposition = disposition.as_str();
                let row = params![
                    call,
                    disposition,
                    why,
                    charged,
                    uncharged,
                    picked,
                    now,
                    sent,
                    ended_at
                ];
                self.exec(pg!("attempt/call_finished"), row).await?;
            }
        }
        Ok(())
    }

    /// Gives the call what was added for it meanwhile, which may block it.
    async fn apply_deferred(&self, ending: &Ending, next: CallNext) -> Result<(), StoreError> {
        let is_pending = matches!(next, CallNext::Pending { .. });
        let row = params![ending.call, self.now(), is_pending];
        self.exec(pg!("attempt/apply_deferred"), row).await?;
        Ok(())
    }

    async fn pause_trunk(&self, trunk: i64, until: Timestamp) -> Result<(), StoreError> {
        let latest = self.now().after(PAUSE_MAX);
        self.exec(pg!("attempt/pause_trunk"), params![trunk, until, latest]).await?;
        Ok(())
    }
}

fn state(r: &Row, i: usize) -> Result<AttemptState, StoreError> {
    attempt_state_of(r.int(i)?).ok_or_else(|| corrupt("state of an attempt"))
}

fn ending(attempt: AttemptId, r: &Row) -> Result<Ending, StoreError> {
    let exceeding: Option<BatchSettings> = match r.text_opt(16)? {
        Some(_) => Some(r.json(16)?),
        None => None,
    };
    Ok(Ending {
        attempt: attempt.seq64(),
        state: state(r, 0)?,
        trunk: r.int(1)?,
        caller: r.int(2)?,
        call: r.int(3)?,
        phone: r.int(4)?,
        picked: r.flag(5)?,
        batch: r.int(6)?,
        workspace: r.int(7)?,
        batch_deleted: r.flag(8)?,
        expires_at: r.time_opt(9)?,
        is_listed: r.flag(10)?,
        // Were its live row missing, nothing would be reserved, and nobody could take it back.
        day: r.int_opt(11)?.unwrap_or(0),
        cancel_requested: r.col::<Option<bool>>(12)?.unwrap_or(false),
        owner: r.int(13)?,
        deferred: r.flag(14)?,
        blocked: r.flag(15)?,
        exceeds: exceeding.is_some_and(|s| s.budget.is_some()),
    })
}

fn open_attempt(r: &Row) -> Result<OpenAttempt, StoreError> {
    let number: u32 = r.int(14)?;
    // It is live, so it has its row; were it missing, nothing would be reserved.
    let (reserve, price) = match r.int_opt::<i64>(20)? {
        Some(_) => (spend(r, 20)?, r.int(22)?),
        None => (Spend::NONE, 0),
    };
    Ok(OpenAttempt {
        attempt: r.id(0)?,
        call: r.id(2)?,
        batch: r.id(4)?,
        batch_deleted: r.flag(6)?,
        settings: r.json(7)?,
        callee: r.phone(8)?,
        trunk: r.id(9)?,
        integration: r.word(23, Integration::parse)?,
        ring_timeout: r.duration_opt(24)?,
        trunks: r.int(25)?,
        caller: r.phone(26)?,
        send_by: r.time(27)?,
        dialog: r.text_opt(28)?,
        facts: CallFacts {
            round: r.int(11)?,
            charged: r.int(12)?,
            uncharged: r.int(13)?,
            attempts: number.saturating_sub(1),
        },
        state: state(r, 15)?,
        sent_at: r.time_opt(16)?,
        ringing_at: r.time_opt(17)?,
        answered_at: r.time_opt(18)?,
        token: r.exact(19)?,
        reserve,
        price,
    })
}
