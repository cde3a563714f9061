//! What commits and ends of attempts make of the model.

use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::batch::BatchState;
use outdial_core::call::{CallNext, CallState, WaitReason};
use outdial_core::id::{AttemptId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{CommitOutcome, Committed, DropReason, FinishResult};

use super::{Attempt, Model, differs};
use crate::checker::Violation;

/// How long a call is put off whose number is on the phone, at most; only an estimate of when it
/// is due again.
const PUT_OFF: Duration = Duration::from_secs(5);

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
            self.intent_committed(process, workspace, committed)?;
        }
        for dropped in &outcome.dropped {
            let Some(call) = self.calls.get_mut(&dropped.call) else {
                return differs(format!("nobody added call {}", dropped.call));
            };
            match dropped.reason {
                DropReason::NumberBusy => {
                    call.not_before = now.after(PUT_OFF);
                    if !self.live.contains_key(&(workspace, call.phone)) {
                        return differs(format!("{} was not busy", call.phone));
                    }
                }
                // It may be pending again, but not as the plan had seen it.
                DropReason::NotPending => {}
            }
        }
        Ok(())
    }

    fn intent_committed(
        &mut self,
        process: u32,
        workspace: WorkspaceId,
        committed: &Committed,
    ) -> Result<(), Violation> {
        let (attempt, intent) = (committed.attempt, &committed.intent.intent);
        let id = intent.call;
        let Some(call) = self.calls.get_mut(&id) else {
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
        if (call.batch, call.phone) != (intent.batch, intent.callee) {
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

    /// An attempt was ended.
    pub(crate) fn finished(
        &mut self,
        id: AttemptId,
        end: &AttemptEnd,
        next: CallNext,
        result: FinishResult,
    ) -> Result<(), Violation> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return differs(format!("nobody committed attempt {id}"));
        };
        if attempt.over != (result == FinishResult::AlreadyOver) {
            return differs(format!("the end of {id} was {result:?}, but {attempt:?}"));
        }
        if attempt.over {
            return Ok(());
        }
        attempt.over = true;
        let call = self.calls.get_mut(&attempt.call).expect("every attempt was made with its call");
        let batch = self.batches.get(&call.batch).expect("every call was made with its batch");
        self.live.remove(&(batch.workspace, call.phone));
        if end.outcome.charged {
            call.facts.charged += 1;
        } else if end.state != AttemptState::NotSent {
            call.facts.uncharged += 1;
        }
        call.attempt = None;
        call.state = match next {
            CallNext::Finished(_) => CallState::Finished,
            CallNext::Pending { .. } if batch.state == BatchState::Deleted => CallState::Finished,
            CallNext::Pending { not_before, reason, .. } => {
                if reason == WaitReason::RetryDelay
                    && call.facts.charged > u32::from(batch.settings.retry)
                {
                    return differs(format!("I1: {id} is to be retried: {call:?}"));
                }
                call.not_before = not_before;
                CallState::Pending
            }
        };
        if let Some(deferred) = call.deferred.take() {
            call.class = deferred.class;
            call.lane = deferred.lane.unwrap_or(call.lane);
            if deferred.blocked {
                call.state = CallState::Finished;
            }
        }
        Ok(())
    }
}
