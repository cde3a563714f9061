//! Fair shares: which batch goes next, and which of its candidates.

use std::collections::{BTreeMap, VecDeque};

use super::{Candidate, GroupKey, Head, OpenGroup, batch, batch_room, weight};
use crate::id::{BatchId, PhoneId};
use crate::time::Timestamp;

/// A batch's place in the order of fairness: calls it has, by its weight.
#[derive(PartialEq, Eq)]
pub(super) struct Share {
    pub(super) of: u64,
    pub(super) weight: u64,
    pub(super) id: BatchId,
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (a, b) = (self.of * other.weight, other.of * self.weight);
        a.cmp(&b).then_with(|| self.id.cmp(&other.id))
    }
}
impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The candidates of one batch in the order in which they go out.
pub(super) struct Queue<'a> {
    first: VecDeque<(Candidate, Timestamp)>,
    retries: VecDeque<(Candidate, Timestamp)>,
    /// The last one out was a first try, so a retry's turn has come: they get up to half.
    retry_turn: bool,
    pub(super) numbers: &'a [PhoneId],
    pub(super) live: u32,
    pub(super) room: u32,
    pub(super) weight: u64,
    pub(super) max_call_s: u32,
}

impl Queue<'_> {
    fn takes_retry(&self) -> bool {
        !self.retries.is_empty() && (self.retry_turn || self.first.is_empty())
    }

    /// The next one, and when its hours end.
    pub(super) fn peek(&self) -> Option<(Candidate, Timestamp)> {
        let from = if self.takes_retry() { &self.retries } else { &self.first };
        from.front().copied()
    }

    /// Takes the next one.
    pub(super) fn pop(&mut self) {
        self.room -= 1;
        self.retry_turn = match self.takes_retry() {
            true => self.retries.pop_front().is_none(),
            false => self.first.pop_front().is_some(),
        };
    }
}

/// The candidates of each batch that has groups open.
pub(super) fn queues<'a>(
    head: &'a Head,
    open: &BTreeMap<BatchId, Vec<OpenGroup<'_>>>,
    candidates: &[Candidate],
) -> BTreeMap<BatchId, Queue<'a>> {
    let mut by_group: BTreeMap<GroupKey, Vec<Candidate>> = BTreeMap::new();
    for c in candidates {
        by_group.entry(c.group).or_default().push(*c);
    }
    let mut queues = BTreeMap::new();
    for (id, groups) in open {
        let Some(batch) = batch(head, *id) else { continue };
        let mut queue = Queue {
            first: VecDeque::new(),
            retries: VecDeque::new(),
            retry_turn: false,
            numbers: &batch.numbers,
            live: batch.live,
            room: batch_room(batch),
            weight: weight(batch),
            max_call_s: batch.settings.max_call_s,
        };
        for open in groups {
            let into = if open.group.key.is_retry { &mut queue.retries } else { &mut queue.first };
            let found = by_group.remove(&open.group.key).unwrap_or_default();
            into.extend(found.into_iter().map(|c| (c, open.open_until)));
        }
        queues.insert(*id, queue);
    }
    queues
}
