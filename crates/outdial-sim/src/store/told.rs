//! What the watch is told of the store; whether a process lives that could ask it, and how long
//! that takes.

use std::sync::atomic::{AtomicBool, Ordering};

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::call::CallNext;
use outdial_core::id::{AttemptId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{CommitOutcome, DropReason, FinishResult};

use super::SimStore;
use crate::checker::Violation;
use crate::watch::Seen;

/// Whether a process is alive; what belongs to a dead one does nothing any more.
#[derive(Default)]
pub(crate) struct Life {
    over: AtomicBool,
}

impl Life {
    /// It dies.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// It has died.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// How long questions and answers take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Usually at most, each way; in milliseconds.
    pub usual_ms: u64,
    /// Now and then at most; in milliseconds.
    pub spike_ms: u64,
}

impl SimStore {
    pub(super) fn saw(&self, f: impl FnOnce(&mut Seen, Timestamp) -> Result<(), Violation>) {
        self.watch.look(f);
    }

    pub(super) fn note(&self, what: &str) {
        self.watch.note(&format!("store{}", self.process), what);
    }

    pub(super) fn saw_commit(&self, ws: WorkspaceId, outcome: &CommitOutcome) {
        for c in &outcome.committed {
            let (call, to) = (c.intent.intent.call.seq(), c.intent.intent.callee);
            self.note(&format!("commit attempt {} call {call} to {to}", c.attempt.seq()));
        }
        for d in &outcome.dropped {
            self.note(&format!("dropped call {}: {:?}", d.call.seq(), d.reason));
            self.watch.count(match d.reason {
                DropReason::NumberBusy => "dropped: number busy",
                DropReason::NotPending => "dropped: not pending",
            });
        }
        self.saw(|seen, now| {
            let batches = outcome.committed.iter().map(|c| c.intent.intent.batch);
            seen.changed.extend(batches);
            seen.model.committed(self.process, ws, outcome, now)
        });
    }

    pub(super) fn saw_finish(
        &self,
        attempt: AttemptId,
        end: &AttemptEnd,
        next: CallNext,
        result: FinishResult,
    ) {
        let (disposition, reason) = (end.outcome.disposition, end.outcome.reason);
        self.note(&format!(
            "finish attempt {} {:?} {disposition:?} {reason} -> {next:?} {result:?}",
            attempt.seq(),
            end.state
        ));
        self.saw(|seen, _| {
            seen.model.finished(attempt, end, next, result)?;
            let Some(made) = seen.model.attempts.get(&attempt) else { return Ok(()) };
            let (process, call) = (made.process, made.call);
            seen.changed.extend(seen.model.calls.get(&call).map(|c| c.batch));
            seen.count(disposition.as_str(), 1);
            if result == FinishResult::AlreadyOver {
                return Ok(());
            }
            let wrong = |what: &str| {
                Err(Violation::new("I1", format!("attempt {attempt} {what}: {end:?}")))
            };
            if end.state == AttemptState::NotSent && seen.checkers.once.was_sent(attempt) {
                return wrong("left and is recorded as not sent");
            }
            if seen.checkers.once.is_live(attempt) {
                return wrong("is still on the phone and is recorded as over");
            }
            if end.outcome.reason == "lost" && process == self.process {
                return wrong("was lost by a process that lives");
            }
            Ok(())
        });
    }
}
