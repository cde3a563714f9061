//! The model against what the store shows.

use std::collections::BTreeMap;

use outdial_core::batch::BatchState;
use outdial_core::call::{CallState, WaitReason};
use outdial_core::id::{BatchId, CallId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{BatchRecord, CallView};

use super::{Batch, Call, Model, differs};
use crate::checker::Violation;

impl Model {
    /// A batch as the store shows it; `None`: not at all.
    pub(crate) fn compare_batch(
        &self,
        id: BatchId,
        shown: Option<&BatchRecord>,
    ) -> Result<(), Violation> {
        let batch = self.batches.get(&id).filter(|b| b.state != BatchState::Deleted);
        match (batch, shown) {
            (None, None) => Ok(()),
            (Some(b), Some(s))
                if (b.state, b.reason, b.lane) == (s.state, s.pause_reason, s.lane)
                    && (&b.settings, &b.numbers) == (&s.settings, &s.numbers) =>
            {
                Ok(())
            }
            (wanted, shown) => differs(format!("batch {id} is {shown:?}, should be {wanted:?}")),
        }
    }

    /// All calls of a batch as the store shows them.
    pub(crate) fn compare_calls(&self, id: BatchId, shown: &[CallView]) -> Result<(), Violation> {
        let Some(batch) = self.batches.get(&id) else {
            return differs(format!("nobody made batch {id}"));
        };
        let wanted = self.calls.values().filter(|c| c.batch == id).count();
        if wanted != shown.len() {
            return differs(format!("batch {id} has {} calls, not {wanted}", shown.len()));
        }
        for view in shown {
            let Some(call) = self.calls.get(&view.id) else {
                return differs(format!("nobody added call {}", view.id));
            };
            if !same(batch, call, view) {
                return differs(format!("call {} is {view:?}, should be {call:?}", view.id));
            }
        }
        Ok(())
    }

    /// How often each call of a batch has finished: one is added again only when it has.
    pub(crate) fn finished_of(&self, id: BatchId) -> impl Iterator<Item = (CallId, u32)> {
        self.calls.iter().filter(move |(_, c)| c.batch == id).map(|(id, c)| {
            let is_finished = c.state == CallState::Finished;
            (*id, c.facts.round.saturating_sub(1) + u32::from(is_finished))
        })
    }

    /// Batches that are neither deleted nor done, and why not.
    pub(crate) fn unfinished(&self) -> Vec<(BatchId, String)> {
        let open = self
            .batches
            .iter()
            .filter(|(_, b)| !matches!(b.state, BatchState::Deleted | BatchState::Completed));
        open.map(|(id, b)| {
            let of = |state| self.calls_of(*id).filter(|c| c.state == state).count();
            let (pending, live) = (of(CallState::Pending), of(CallState::Live));
            let mut classes: BTreeMap<&str, (u32, Timestamp)> = BTreeMap::new();
            for call in self.calls_of(*id).filter(|c| c.state == CallState::Pending) {
                let (count, due) = classes.entry(&call.class).or_insert((0, call.not_before));
                (*count, *due) = (*count + 1, call.not_before.min(*due));
            }
            (*id, format!("{:?}, {pending} pending: {classes:?}, {live} live, {b:?}", b.state))
        })
        .collect()
    }

    /// How many of them are on the phone.
    pub(crate) fn live_of(&self, id: BatchId) -> u32 {
        let live = self.calls_of(id).filter(|c| c.state == CallState::Live).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// The calls of a batch.
    pub(crate) fn calls_of(&self, id: BatchId) -> impl Iterator<Item = &Call> {
        self.calls.values().filter(move |c| c.batch == id)
    }

    /// Active batches.
    pub(crate) fn active(&self) -> impl Iterator<Item = (BatchId, &Batch)> {
        self.batches.iter().filter(|(_, b)| b.state == BatchState::Active).map(|(id, b)| (*id, b))
    }

    /// The latest `not_before` among what may be placed of a class in a batch.
    pub(crate) fn waiting(&self, id: BatchId) -> Vec<(&str, Timestamp)> {
        self.calls_of(id)
            .filter(|c| c.state == CallState::Pending)
            .map(|c| (&*c.class, c.not_before))
            .collect()
    }
}

fn same(batch: &Batch, call: &Call, view: &CallView) -> bool {
    let held = call.state == CallState::Pending && batch.lane.is_some_and(|lane| lane != call.lane);
    let live: Vec<_> = view.attempts.iter().filter(|a| !a.state.is_over()).map(|a| a.id).collect();
    let numbers = view.attempts.iter().map(|a| a.number).eq(1..=call.facts.attempts);
    // How long a busy number or a rest puts a call off is the store's to say.
    let waits = view.waiting.is_none_or(|w| {
        w.reason == call.reason
            && (matches!(w.reason, WaitReason::NumberBusy | WaitReason::AttemptsPerDay)
                || w.not_before == call.not_before)
    });
    let disposition = call.state != CallState::Finished || view.disposition == call.disposition;
    (view.batch, view.phone, view.state, view.facts)
        == (call.batch, call.phone, call.state, call.facts)
        && *view.class == *call.class
        && view.held == held
        && live == call.attempt.into_iter().collect::<Vec<_>>()
        && numbers
        && disposition
        && waits
}
