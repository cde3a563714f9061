//! What commits and ends of attempts make of the model.

use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::batch::BatchState;
use outdial_core::call::{CallNext, CallState, WaitReason};
use outdial_core::dispatcher::Intent;
use outdial_core::id::{AttemptId, CallId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_ports::store::{CommitOutcome, Committed, DropReason, FinishResult};

use super::{Attempt, Batch, Call, Model, differs};
use crate::checker::Violation;

/// How long a call is put off whose number is on the phone, at most; only an estimate of when it
/// is due again.
const PUT_OFF: Duration = Duration::from_secs(5);
/// How much longer than a person has to rest a call may rest.
const REST_SLACK: Duration = Duration::from_secs(60);

impl Call {
    /// Its attempt ended.
    fn ended_as(&mut self, end: &AttemptEnd) {
        self.last[0] = Some(end.outcome.disposition);
        if end.outcome.charged {
            self.last[1] = self.last[0];
        }
    }
}

impl Model {
    /// A plan was committed by a process.
    pub(crate) fn committed(
        &mut self,
        process: u32,
        workspace: WorkspaceId,
        outcome: &CommitOutcome,
        now: Timestamp,
    ) -> Result<(), Violation> {
        for committed in &outcome.committed {
            self.intent_committed(process, workspace, committed, now)?;
        }
        for dropped in &outcome.dropped {
            let Some(call) = self.calls.get(&dropped.call) else {
                return differs(format!("nobody added call {}", dropped.call));
            };
            let listed = self.is_listed(call.batch, call.phone);
            let call = self.calls.get_mut(&dropped.call).expect("it was there just before");
            match dropped.reason {
                DropReason::NumberBusy => {
                    (call.not_before, call.reason) = (now.after(PUT_OFF), WaitReason::NumberBusy);
                    if !self.live.contains_key(&(workspace, call.phone)) {
                        return differs(format!("{} was not busy", call.phone));
                    }
                }
                // It may be pending again, but not as the plan had seen it.
                DropReason::NotPending => {}
                DropReason::DoNotCall if !listed || call.state != CallState::Pending => {
                    return differs(format!("{} is not listed: {call:?}", call.phone));
                }
                DropReason::DoNotCall => {
                    (call.state, call.disposition) =
                        (CallState::Finished, Some(Disposition::Skipped));
                    call.by_list = true;
                }
                // The store says until when; see `Model::rest`.
                DropReason::AttemptsPerDay => {
                    (call.not_before, call.reason) = (Timestamp::MAX, WaitReason::AttemptsPerDay);
                }
            }
        }
        Ok(())
    }

    fn intent_committed(
        &mut self,
        process: u32,
        workspace: WorkspaceId,
        committed: &Committed,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let (attempt, intent) = (committed.attempt, &committed.intent.intent);
        let id = intent.call;
        let Some(call) = self.calls.get(&id) else {
            return differs(format!("nobody added call {id}"));
        };
        let Some(batch) = self.batches.get(&call.batch) else {
            return differs(format!("nobody made batch {}", call.batch));
        };
        if call.state != CallState::Pending || call.facts != intent.facts {
            return differs(format!(
                "{attempt} was committed for {:?} over {call:?}",
                intent.facts
            ));
        }
        if (call.batch, call.phone, call.lane) != (intent.batch, intent.callee, intent.lane) {
            return differs(format!("{attempt} is for another call than {call:?}"));
        }
        if batch.workspace != workspace || batch.state != BatchState::Active {
            return differs(format!("{attempt} was committed for {batch:?}"));
        }
        if batch.lane.is_some_and(|lane| lane != call.lane) {
            return differs(format!("{attempt} was committed for a held call: {call:?}"));
        }
        if !batch.numbers.contains(&intent.caller) {
            return differs(format!("{attempt} is from {}, not of its batch", intent.caller));
        }
        if call.facts.round > call.adds {
            return differs(format!("call {id} was re-opened more often than added: {call:?}"));
        }
        if self.is_listed(call.batch, call.phone) {
            return differs(format!("{attempt} was committed to a listed number"));
        }
        expires_in_time(attempt, intent, batch)?;
        if intent.max_call_s != batch.settings.max_call_s {
            return differs(format!("{attempt} may talk {} s, not its batch's", intent.max_call_s));
        }
        let rules = self.settings.get(&workspace).map_or(CallingRules::On, |s| s.calling_rules);
        let (hours, expires_at) = (batch.settings.calling_hours.clone(), batch.settings.expires_at);
        let call = self.calls.get_mut(&id).expect("it was there just before");
        if let Some(other) = self.live.insert((workspace, call.phone), attempt) {
            return differs(format!("{other} and {attempt} are both live to {}", call.phone));
        }
        call.state = CallState::Live;
        call.facts.attempts += 1;
        call.attempt = Some(attempt);
        let made = Attempt {
            call: id,
            process,
            round: call.facts.round,
            caller: intent.caller,
            class: std::sync::Arc::clone(&call.class),
            hours,
            rules,
            expires_at,
            at: now,
            acknowledged: false,
            over: false,
        };
        match self.attempts.insert(attempt, made) {
            None => Ok(()),
            Some(_) => differs(format!("attempt {attempt} was made twice")),
        }
    }

    /// The process that committed a plan was told so.
    pub(crate) fn acknowledged(&mut self, outcome: &CommitOutcome) {
        for committed in &outcome.committed {
            if let Some(attempt) = self.attempts.get_mut(&committed.attempt) {
                attempt.acknowledged = true;
            }
        }
    }

    /// An attempt was ended; false: it was over before.
    pub(crate) fn finished(
        &mut self,
        id: AttemptId,
        end: &AttemptEnd,
        next: CallNext,
        result: FinishResult,
        now: Timestamp,
    ) -> Result<bool, Violation> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return differs(format!("nobody committed attempt {id}"));
        };
        // One process runs at a time, and takes over only what a dead one left.
        let expected = if attempt.over { FinishResult::AlreadyOver } else { FinishResult::Applied };
        if result != expected {
            return differs(format!("the end of {id} was {result:?}, but {attempt:?}"));
        }
        if attempt.over {
            return Ok(false);
        }
        attempt.over = true;
        let of = attempt.call;
        let call = self.calls.get(&of).expect("every attempt was made with its call");
        let listed = self.is_listed(call.batch, call.phone);
        let batch = self.batches.get(&call.batch).expect("every call was made with its batch");
        let expired = batch.settings.expires_at.is_some_and(|at| at <= now);
        let call = self.calls.get_mut(&of).expect("it was there just before");
        self.live.remove(&(batch.workspace, call.phone));
        if end.outcome.charged {
            call.facts.charged += 1;
        } else if end.state != AttemptState::NotSent {
            call.facts.uncharged += 1;
        }
        call.attempt = None;
        call.ended_as(end);
        let instead = [
            (batch.state == BatchState::Deleted, Disposition::Canceled),
            (listed, Disposition::Skipped),
            (call.canceled, Disposition::Canceled),
            (expired, Disposition::Expired),
        ];
        let instead = instead.into_iter().find(|(is_so, _)| *is_so).map(|(_, d)| d);
        let mut finished = match next {
            CallNext::Finished(disposition) => Some(disposition),
            CallNext::Pending { .. } if instead.is_some() => instead,
            CallNext::Pending { not_before, reason, is_retry } => {
                if reason == WaitReason::RetryDelay
                    && call.facts.charged > u32::from(batch.retry_most)
                {
                    return differs(format!("I1: {id} is to be retried: {call:?}"));
                }
                (call.not_before, call.reason, call.is_retry) = (not_before, reason, is_retry);
                None
            }
        };
        if let Some(deferred) = call.deferred.take() {
            call.class = deferred.class;
            call.lane = deferred.lane.unwrap_or(call.lane);
            // What was finished anyhow says why already.
            finished = finished.or(deferred.blocked);
        }
        call.canceled = false;
        call.by_list =
            instead == Some(Disposition::Skipped) && matches!(next, CallNext::Pending { .. });
        call.disposition = finished;
        call.state = match finished {
            Some(_) => CallState::Finished,
            None => CallState::Pending,
        };
        Ok(true)
    }

    /// A call waits because its person was called often enough: until when the store says so, which
    /// is not longer than it has to be.
    pub(crate) fn rest(
        &mut self,
        id: CallId,
        until: Timestamp,
        at_most: Option<Timestamp>,
    ) -> Result<(), Violation> {
        let Some(call) = self.calls.get_mut(&id) else { return Ok(()) };
        if at_most.is_none_or(|most| until > most.after(REST_SLACK)) {
            return differs(format!("call {id} rests until {until}, should be {at_most:?}"));
        }
        call.not_before = until;
        Ok(())
    }
}

/// What is committed may leave until its batch expires, and no longer. A clock that was set since
/// the plan, or a commit that took long, make it late by now: it must not leave (`Seen::placed`).
fn expires_in_time(attempt: AttemptId, intent: &Intent, batch: &Batch) -> Result<(), Violation> {
    match batch.settings.expires_at {
        Some(end) if intent.open_until > end => {
            let until = intent.open_until;
            differs(format!("{attempt} may leave until {until}, its batch expires at {end}"))
        }
        _ => Ok(()),
    }
}
