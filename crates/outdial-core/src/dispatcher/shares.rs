//! Fair shares: which batch goes next, and which of its candidates.
//!
//! Batches share by calls *started*, not by calls they have: under a limit of calls per second a
//! batch whose calls fail at once always has the fewest, and would take everything. It is
//! start-time fair queueing: every batch has a virtual time that each start moves on by the inverse
//! of its weight, and the earliest goes next.
//!
//! Among batches that always have something to place, each gets in any run of starts its weighted
//! share but for at most 1 + n·w/W calls (n batches, its weight w, W that of all).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::gates::Opening;
use super::scene::{OpenGroup, Scene};
use super::{Candidate, GroupKey};
use crate::id::BatchId;

/// What one start moves the virtual time of a batch of weight 1.
const STEP: u128 = 1 << 64;
/// A batch that could not take its share (its candidates were not read in time, or only lines that
/// it cannot use were free) may catch up so many calls, and no more: what it could not use it has
/// not saved up against the others.
const CATCH_UP: u128 = 16;

/// What is remembered of one batch between turns.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Whose turn it is among its numbers.
    pub(super) rotation: usize,
    /// The last one out was a first try, so a retry's turn has come: they get up to half.
    retry_turn: bool,
    /// Its virtual time.
    time: u128,
    /// It had something to place that only the others, or the lines, kept waiting.
    contends: bool,
}

/// The virtual time of a workspace, and what is remembered of its batches.
#[derive(Debug, Default)]
pub(super) struct Shares {
    now: u128,
    batches: BTreeMap<BatchId, Memory>,
}

impl Shares {
    /// The virtual time at which a batch stands in line. One that comes anew, or back from having
    /// had nothing to place, begins now: it is owed nothing, and owes nothing.
    pub(super) fn enter(&mut self, id: BatchId, weight: u64) -> u128 {
        let now = self.now;
        let memory = self.of(id);
        let owed = if memory.contends { CATCH_UP * step(weight) } else { 0 };
        memory.time = memory.time.max(now.saturating_sub(owed));
        memory.time
    }

    /// A call of the batch that stood in line at `time` goes out, and whether it was a retry; where
    /// it stands then.
    pub(super) fn start(&mut self, id: BatchId, weight: u64, time: u128, retry: bool) -> u128 {
        self.now = self.now.max(time);
        let memory = self.of(id);
        memory.time = time + step(weight);
        memory.retry_turn = !retry;
        memory.time
    }

    pub(super) fn of(&mut self, id: BatchId) -> &mut Memory {
        self.batches.entry(id).or_default()
    }

    /// `contenders` still had something to place when the turn ended, and only the others, or the
    /// lines, kept them waiting. What is not to be kept is forgotten.
    pub(super) fn end_turn(
        &mut self,
        contenders: &BTreeSet<BatchId>,
        keep: impl Fn(BatchId) -> bool,
    ) {
        self.batches.retain(|id, memory| {
            memory.contends = contenders.contains(id);
            keep(*id)
        });
    }
}

fn step(weight: u64) -> u128 {
    STEP / u128::from(weight.max(1))
}

/// The candidates of one batch in the order in which they go out.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: VecDeque<(Candidate, Opening)>,
    retries: VecDeque<(Candidate, Opening)>,
    retry_turn: bool,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.retries.is_empty()
    }

    /// The next one.
    pub(super) fn peek(&self) -> Option<&(Candidate, Opening)> {
        if self.takes_retry() { self.retries.front() } else { self.first.front() }
    }

    /// Takes the next one.
    pub(super) fn pop(&mut self) {
        self.retry_turn = match self.takes_retry() {
            true => self.retries.pop_front().is_none(),
            false => self.first.pop_front().is_some(),
        };
    }

    fn takes_retry(&self) -> bool {
        !self.retries.is_empty() && (self.retry_turn || self.first.is_empty())
    }
}

/// Puts the candidates of each batch in order: the groups as they stand in the scene, the class
/// that closes first before the others.
pub(super) fn queues(
    scene: &Scene<'_>,
    candidates: &[Candidate],
    shares: &mut Shares,
) -> BTreeMap<BatchId, Queue> {
    let wanted: BTreeSet<GroupKey> = candidates.iter().map(|c| c.group).collect();
    let groups = scene.batches.values().flat_map(|stage| &stage.open);
    let groups: Vec<&OpenGroup> = groups.filter(|open| wanted.contains(&open.key)).collect();
    let places: BTreeMap<GroupKey, usize> = (0..).zip(&groups).map(|(n, g)| (g.key, n)).collect();
    let mut order: Vec<(usize, &Candidate)> =
        candidates.iter().filter_map(|c| Some((*places.get(&c.group)?, c))).collect();
    order.sort_by_key(|(place, _)| *place);
    let mut queues: BTreeMap<BatchId, Queue> = BTreeMap::new();
    for (place, candidate) in order {
        let queue = queues.entry(candidate.group.batch).or_insert_with_key(|id| Queue {
            retry_turn: shares.of(*id).retry_turn,
            ..Queue::default()
        });
        let into = if candidate.group.is_retry { &mut queue.retries } else { &mut queue.first };
        into.push_back((*candidate, groups[place].opening));
    }
    queues
}
