//! The one who sees everything: writes the trace, moves the model, asks the checkers, and keeps the
//! first violation. The parts of the world tell it what happens at the moment it happens.

mod edits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_core::attempt::CallEvent;
use outdial_core::id::{AttemptId, BatchId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::{CallOrder, Clock};

use crate::checker::{Checkers, Over, Placed, Violation};
use crate::clock::SimClock;
use crate::model::Model;
use crate::trace::Trace;

/// A committed call leaves within its slot, which begins 250 ms after its plan at the latest; so
/// long after a change nothing leaves any more that was planned before.
const HOLDS: Duration = Duration::from_secs(1);

/// Shared by all parts of a world.
pub(crate) struct Watch {
    clock: Arc<SimClock>,
    seen: Mutex<Seen>,
}

/// A calling number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which.
    pub phone: PhoneId,
    /// Over which trunk.
    pub trunk: TrunkId,
}

/// What was seen.
pub(crate) struct Seen {
    /// For people.
    pub trace: Trace,
    /// What should be.
    pub model: Model,
    /// Who judges.
    pub checkers: Checkers,
    /// Calling numbers by their digits.
    pub callers: BTreeMap<PhoneNumber, Caller>,
    /// Batches that changed since they were last compared with the model.
    pub changed: BTreeSet<BatchId>,
    /// How often what happened: a world in which nothing happens proves nothing.
    pub counts: BTreeMap<&'static str, u64>,
    /// What the wall clock shows; `look` is told of time that only passes.
    pub wall: Timestamp,
    /// Time that only passes, as `look` is told of it.
    real: Timestamp,
    /// Attempts whose carrier left them without a word.
    pub excused: BTreeSet<AttemptId>,
    /// When an attempt was committed, in time that only passes.
    committed_at: BTreeMap<AttemptId, Timestamp>,
    violation: Option<Violation>,
}

impl Watch {
    /// Has seen nothing yet.
    pub(crate) fn new(clock: Arc<SimClock>) -> Self {
        let seen = Seen { wall: clock.now(), ..Seen::new() };
        Self { clock, seen: Mutex::new(seen) }
    }

    /// Writes a line.
    pub(crate) fn note(&self, who: &str, what: &str) {
        self.seen().trace.line(self.clock.elapsed(), who, what);
    }

    /// Something happened: `f` takes note of it. The first violation ends the trace.
    pub(crate) fn look<R>(
        &self,
        f: impl FnOnce(&mut Seen, Timestamp) -> Result<R, Violation>,
    ) -> Option<R> {
        let mut seen = self.seen();
        (seen.wall, seen.real) = (self.clock.now(), self.clock.real());
        let real = seen.real;
        match f(&mut seen, real) {
            Ok(result) => Some(result),
            Err(violation) => {
                if seen.violation.is_none() {
                    let text = violation.to_string();
                    seen.trace.line(self.clock.elapsed(), "BROKEN", &text);
                    seen.trace.close();
                    seen.violation = Some(violation);
                }
                None
            }
        }
    }

    /// Whether all promises were kept so far.
    pub(crate) fn verdict(&self) -> Result<(), Violation> {
        self.seen().violation.clone().map_or(Ok(()), Err)
    }

    /// Something that is worth counting.
    pub(crate) fn count(&self, what: &'static str) {
        self.seen().count(what, 1);
    }

    /// A call leaves a process.
    pub(crate) fn placed(&self, process: u32, order: &CallOrder) {
        self.look(|seen, at| seen.placed(process, order, at));
    }

    /// A call that left is over, `None`: because its process is.
    pub(crate) fn over(&self, attempt: AttemptId, end: Option<&CallEnd>) {
        let charged = !matches!(end, Some(CallEnd::Refused { status: 503, .. }));
        self.seen().checkers.over(Over { attempt, charged });
    }

    /// The process hears what happened on a call; what is spent is reckoned from that.
    pub(crate) fn heard(&self, attempt: AttemptId, event: &CallEvent) {
        let now = self.clock.real();
        let spending = &mut self.seen().checkers.spending;
        match event {
            CallEvent::Ringing => {}
            CallEvent::Answered => spending.answered(attempt, now),
            CallEvent::Ended(_) => spending.over(attempt, now),
        }
    }

    /// The carrier will never say what became of a call.
    pub(crate) fn excuse(&self, attempt: AttemptId) {
        self.seen().excused.insert(attempt);
    }

    /// A call that left was answered.
    pub(crate) fn answered(&self, attempt: AttemptId) {
        self.seen().checkers.recalls.settled(attempt);
    }

    /// A call is being cancelled.
    pub(crate) fn hung_up(&self, attempt: AttemptId) {
        let mut seen = self.seen();
        seen.count("hung up by us", 1);
        seen.checkers.recalls.settled(attempt);
    }

    /// The trace, the counts, and the time that has passed.
    pub(crate) fn summary(&self) -> (String, BTreeMap<&'static str, u64>, Duration) {
        let seen = self.seen();
        (seen.trace.text().to_owned(), seen.counts.clone(), self.clock.elapsed())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn new() -> Self {
        Self {
            trace: Trace::default(),
            model: Model::default(),
            checkers: Checkers::default(),
            callers: BTreeMap::new(),
            changed: BTreeSet::new(),
            counts: BTreeMap::new(),
            wall: Timestamp::EPOCH,
            real: Timestamp::EPOCH,
            excused: BTreeSet::new(),
            committed_at: BTreeMap::new(),
            violation: None,
        }
    }

    /// Counts `what`.
    pub(crate) fn count(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    fn placed(&mut self, process: u32, order: &CallOrder, at: Timestamp) -> Result<(), Violation> {
        self.checkers.copies.placed(process, order.attempt)?;
        let wrong = |what: String| Err(Violation::new("I1", what));
        let Some(attempt) = self.model.attempts.get(&order.attempt) else {
            return wrong(format!("attempt {} left without an intent", order.attempt));
        };
        if attempt.process != process || !attempt.acknowledged || attempt.over {
            return wrong(format!("process {process} placed {}: {attempt:?}", order.attempt));
        }
        let call = &self.model.calls[&attempt.call];
        let batch = &self.model.batches[&call.batch];
        let caller = self.callers.get(&order.caller).filter(|c| {
            (c.workspace, c.phone, c.trunk) == (batch.workspace, attempt.caller, order.trunk)
        });
        let Some(caller) = caller.filter(|_| call.phone == order.callee) else {
            return wrong(format!("{order:?} is not what was committed: {attempt:?}, {call:?}"));
        };
        let committed = self.committed_at.get(&order.attempt).copied().unwrap_or(attempt.at);
        if at > committed.after(HOLDS) {
            let late = at.since(committed);
            return wrong(format!("{} left {late:?} after its commit", order.attempt));
        }
        let placed = Placed {
            at,
            process,
            attempt: order.attempt,
            call: attempt.call,
            round: attempt.round,
            retry: batch.retry_most,
            batch: call.batch,
            workspace: batch.workspace,
            trunk: order.trunk,
            caller: caller.phone,
            callee: order.callee,
        };
        let walls = self.checkers.clocks.walls(self.wall, at);
        if let Some(end) = attempt.expires_at.filter(|end| walls.iter().all(|at| at >= end)) {
            let what = format!("{} left at {walls:?}, its batch expired at {end}", order.attempt);
            return Err(Violation::new("I4", what));
        }
        let (hours, rules, class) = (attempt.hours.clone(), attempt.rules, attempt.class.clone());
        self.checkers.hours.placed(&hours, rules, &class, walls)?;
        self.checkers.placed(&placed)
    }
}

#[cfg(test)]
mod tests {
    use outdial_core::id::CallId;
    use outdial_ports::Monotonic;

    use super::*;
    use crate::checker::fixtures::START;

    fn order() -> CallOrder {
        CallOrder {
            attempt: AttemptId::from_parts(1, 1),
            token: [0; 16],
            trunk: TrunkId::from_parts(1, 1),
            caller: PhoneNumber::from_digits(13_105_550_100),
            callee: PhoneNumber::from_digits(12_125_550_001),
            charged_before: 0,
            send_by: Monotonic(Duration::from_secs(1)),
            open_until: Monotonic(Duration::from_secs(1)),
            ring_limit: Duration::from_secs(45),
            talk_limit: Duration::from_secs(600),
        }
    }

    fn attempt(process: u32, acknowledged: bool, over: bool) -> crate::model::Attempt {
        crate::model::Attempt {
            call: CallId::from_parts(1, 1),
            process,
            round: 1,
            caller: PhoneId::from_parts(1, 1),
            class: Arc::from("UTC"),
            hours: outdial_core::hours::CallingHours::always(),
            rules: outdial_core::settings::CallingRules::Off,
            expires_at: None,
            at: Timestamp::from_millis(START),
            acknowledged,
            over,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_leaves_without_an_acknowledged_intent_of_its_own_process() {
        let bad = [
            None,
            Some(attempt(2, true, false)),
            Some(attempt(1, false, false)),
            Some(attempt(1, true, true)),
        ];
        for attempt in bad {
            let clock = Arc::new(SimClock::new(Timestamp::from_millis(START)));
            let watch = Watch::new(clock);
            let text = format!("{attempt:?}");
            watch.look(|seen, _| {
                seen.model.attempts.extend(attempt.map(|a| (order().attempt, a)));
                Ok(())
            });
            watch.placed(1, &order());
            assert_eq!(watch.verdict().map_err(|v| v.promise), Err("I1"), "{text}");
            assert!(watch.summary().0.contains("BROKEN   I1"));
        }
    }
}
