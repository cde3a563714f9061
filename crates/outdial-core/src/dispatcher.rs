//! The dispatcher: which calls to place now, in which slot, over which number; and when to look
//! again, with the reason. Pure: it is given a view of one workspace and returns a plan, which the
//! store commits only if the view is still true.
//!
//! One turn goes: [`Head`] and [`Group`]s are read → [`Dispatcher::ask`] says of which groups to
//! read how many candidates → [`Dispatcher::plan`] turns them into a [`Plan`] → the store commits.
//!
//! What it remembers between turns (where it stopped reading, whose turn it is among the calling
//! numbers) only makes it quicker and fairer; forgetting all of it is always safe.

mod lines;
mod shares;
mod view;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

pub use view::{
    Ask, BatchHead, Bucket, Candidate, Gate, Group, GroupKey, Head, Intent, Line, LineLimits,
    NumberHead, Plan, TrunkHead, Turn, Wait,
};

use crate::budget::{Day, Spend};
use crate::hours::{Allowed, CallingHours};
use crate::id::{BatchId, CallId};
use crate::pacing::SLOT;
use crate::time::Timestamp;
use lines::Lines;
use shares::{Share, queues};

/// Slots are committed at most so far ahead (`semantics.md` 3.2).
pub const HORIZON: Duration = Duration::from_millis(250);
/// Fewer candidates than this are not worth a query.
const ASK_MIN: u32 = 16;

/// The dispatcher of one workspace.
#[derive(Debug, Default)]
pub struct Dispatcher {
    /// Per group: the last call taken from it, behind which the next turn reads on.
    cursors: BTreeMap<GroupKey, (Timestamp, CallId)>,
    /// Groups that gave fewer candidates than asked for: nothing due is left in them.
    exhausted: BTreeSet<GroupKey>,
    /// Per batch: how many calls went out, modulo its numbers; whose turn it is.
    rotation: BTreeMap<BatchId, usize>,
    /// Calling hours answer the same until their next edge.
    hours: BTreeMap<(BatchId, u32), CachedHours>,
}

#[derive(Debug)]
struct CachedHours {
    hours: CallingHours,
    from: Timestamp,
    to: Timestamp,
    allowed: Allowed,
}

/// A group that may be dialed now.
struct OpenGroup<'a> {
    group: &'a Group,
    open_until: Timestamp,
}

impl Dispatcher {
    /// One that remembers nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets where it stopped reading. To be called whenever the groups were read anew, and when
    /// a plan was not committed.
    pub fn forget_cursors(&mut self) {
        self.cursors.clear();
        self.exhausted.clear();
    }

    /// Of which groups to read how many candidates.
    ///
    /// A batch is asked for up to twice its fair share, the class that closes first before the
    /// others, and not more than two groups each of first tries and retries at once: the cost of a
    /// turn depends on the room there is, not on how many wait.
    #[must_use]
    pub fn ask(&mut self, head: &Head, groups: &[Group], turn: &Turn) -> Vec<Ask> {
        let room = room(head, turn);
        if room == 0 {
            return Vec::new();
        }
        let open = self.open_groups(head, groups, turn);
        let lines = Lines::new(head, earliest(turn), latest(turn));
        let weights: u64 = open.keys().filter_map(|b| batch(head, *b)).map(weight).sum();
        let mut asks = Vec::new();
        for (id, groups) in &open {
            let Some(batch) = batch(head, *id) else { continue };
            let limit = fair_ask(room, weight(batch), weights)
                .min(batch_room(batch))
                .min(lines.room(&batch.numbers));
            for is_retry in [false, true] {
                let kind = groups.iter().filter(|g| g.group.key.is_retry == is_retry);
                for open in kind.take(2).filter(|_| limit > 0) {
                    let group = open.group.key;
                    asks.push(Ask { group, limit, after: self.cursors.get(&group).copied() });
                }
            }
        }
        asks
    }

    /// Turns candidates into a plan: the batch that has least, by its weight, goes next; within it
    /// the class that closes first, first tries and retries in turn; over the next of its numbers
    /// that has a channel and a slot.
    pub fn plan(
        &mut self,
        head: &Head,
        groups: &[Group],
        asks: &[Ask],
        candidates: &[Candidate],
        turn: &Turn,
    ) -> Plan {
        let open = self.open_groups(head, groups, turn);
        let mut waits = Waits::new(turn.now);
        self.wait_for_closed(head, groups, turn, &mut waits);
        let mut queues = queues(head, &open, candidates);
        let mut lines = Lines::new(head, earliest(turn), latest(turn));
        let mut plan = Plan::default();
        let room = room(head, turn);
        let mut heap: BinaryHeap<_> = queues
            .iter()
            .map(|(id, q)| Reverse(Share { of: u64::from(q.live), weight: q.weight, id: *id }))
            .collect();
        while let Some(Reverse(share)) = heap.pop() {
            if plan.intents.len() >= room as usize {
                waits.note_full(head, turn);
                break;
            }
            let Some(queue) = queues.get_mut(&share.id) else { continue };
            if queue.room == 0 {
                waits.at(Timestamp::MAX, Gate::BatchConcurrency);
                continue;
            }
            let turn_of = self.rotation.entry(share.id).or_default();
            let ready = match lines.ready(queue.numbers, *turn_of) {
                Ok(ready) => ready,
                Err((until, gate)) => {
                    waits.at(until, gate);
                    continue;
                }
            };
            let Some((candidate, open_until)) = queue.peek() else { continue };
            if ready.send_at.after(SLOT) > open_until {
                waits.at(open_until, Gate::Hours);
                continue;
            }
            lines.book(&ready);
            *turn_of = ready.next_turn;
            queue.pop();
            self.cursors.insert(candidate.group, (candidate.not_before, candidate.call));
            plan.intents.push(intent(&head.zone, &candidate, queue.max_call_s, open_until, &ready));
            heap.push(Reverse(Share { of: share.of + 1, ..share }));
        }
        if self.more_due(&open, asks, candidates, plan.intents.is_empty())
            && plan.intents.len() < room as usize
        {
            waits.at(turn.now, Gate::TurnLimit);
        }
        self.rotation.retain(|id, _| batch(head, *id).is_some());
        self.hours.retain(|(id, _), _| batch(head, *id).is_some());
        plan.slots = lines.used_slots(turn.now);
        plan.look_again = waits.soonest;
        plan
    }

    /// The groups of active batches that are due and inside hours, by batch, the class that closes
    /// first before the others.
    fn open_groups<'a>(
        &mut self,
        head: &Head,
        groups: &'a [Group],
        turn: &Turn,
    ) -> BTreeMap<BatchId, Vec<OpenGroup<'a>>> {
        let mut open: BTreeMap<BatchId, Vec<OpenGroup<'a>>> = BTreeMap::new();
        for group in groups {
            if group.next_due > turn.now || self.exhausted.contains(&group.key) {
                continue;
            }
            let Some(batch) = batch(head, group.key.batch) else { continue };
            if batch.lane.is_some_and(|lane| lane != group.key.lane) {
                continue;
            }
            if let Allowed::Open { until } = self.allowed(batch, group, earliest(turn)) {
                let entry = open.entry(batch.id).or_default();
                entry.push(OpenGroup { group, open_until: until });
            }
        }
        for groups in open.values_mut() {
            groups.sort_by_key(|g| (g.open_until, g.group.next_due, g.group.key));
        }
        open
    }

    fn allowed(&mut self, batch: &BatchHead, group: &Group, at: Timestamp) -> Allowed {
        let hours = &batch.settings.calling_hours;
        let key = (batch.id, group.key.class);
        if let Some(c) = self.hours.get(&key)
            && c.hours == *hours
            && (c.from..c.to).contains(&at)
        {
            return c.allowed;
        }
        let allowed = hours.allowed(&group.zones, at);
        let to = match allowed {
            Allowed::Open { until } => until,
            Allowed::Closed { opens } => opens.unwrap_or(at.after(Duration::from_secs(3600))),
        };
        self.hours.insert(key, CachedHours { hours: hours.clone(), from: at, to, allowed });
        allowed
    }

    /// Notes which groups gave less than asked for, all of it planned: nothing due is left in them.
    /// True: other groups may still have something, and this turn has made headway, so the next is
    /// worth taking now.
    fn more_due(
        &mut self,
        open: &BTreeMap<BatchId, Vec<OpenGroup<'_>>>,
        asks: &[Ask],
        candidates: &[Candidate],
        nothing_planned: bool,
    ) -> bool {
        let mut found: BTreeMap<GroupKey, (u32, &Candidate)> = BTreeMap::new();
        for c in candidates {
            found
                .entry(c.group)
                .and_modify(|(n, last)| (*n, *last) = (*n + 1, c))
                .or_insert((1, c));
        }
        let mut headway = !nothing_planned;
        for ask in asks {
            let is_empty = match found.get(&ask.group) {
                None => true,
                // What is left over (a slot was missing, say) is not forgotten.
                Some((n, last)) => {
                    let planned = self.cursors.get(&ask.group);
                    *n < ask.limit && planned == Some(&(last.not_before, last.call))
                }
            };
            if is_empty {
                headway |= self.exhausted.insert(ask.group);
            }
        }
        headway && open.values().flatten().any(|g| !self.exhausted.contains(&g.group.key))
    }

    /// When the groups that cannot be dialed now will be.
    fn wait_for_closed(&mut self, head: &Head, groups: &[Group], turn: &Turn, waits: &mut Waits) {
        for group in groups {
            let Some(batch) = batch(head, group.key.batch) else { continue };
            if batch.lane.is_some_and(|lane| lane != group.key.lane) {
                continue;
            }
            if group.next_due > turn.now {
                waits.at(group.next_due, Gate::NotBefore);
            } else if let Allowed::Closed { opens: Some(opens) } =
                self.allowed(batch, group, earliest(turn))
            {
                waits.at(opens.before(turn.lead), Gate::Hours);
            }
        }
    }
}

fn intent(
    zone: &crate::zone::Zone,
    c: &Candidate,
    max_call_s: u32,
    open_until: Timestamp,
    ready: &lines::Ready,
) -> Intent {
    Intent {
        call: c.call,
        batch: c.group.batch,
        callee: c.callee,
        facts: c.facts,
        caller: ready.number,
        trunk: ready.trunk,
        send_at: ready.send_at,
        send_by: ready.send_at.after(SLOT),
        open_until,
        max_call_s,
        day: Day::of(zone, ready.send_at),
        reserve: Spend::of(u64::from(max_call_s), 0),
        price: 0,
        attempts_24h: None,
    }
}

/// When to look again at the latest, and why.
struct Waits {
    now: Timestamp,
    soonest: Option<(Timestamp, Gate)>,
}

impl Waits {
    fn new(now: Timestamp) -> Self {
        Self { now, soonest: None }
    }

    /// [`Timestamp::MAX`]: something must change first (a call must end); whoever runs the turns is
    /// woken by that, and looks again after a while in any case.
    fn at(&mut self, at: Timestamp, gate: Gate) {
        let wait = (at.max(self.now), gate);
        self.soonest = Some(self.soonest.map_or(wait, |s| s.min(wait)));
    }

    fn note_full(&mut self, head: &Head, turn: &Turn) {
        if workspace_room(head) <= turn.node_free.min(turn.turn_limit) {
            self.at(Timestamp::MAX, Gate::WorkspaceConcurrency);
        } else if turn.node_free < turn.turn_limit {
            self.at(Timestamp::MAX, Gate::NodeCapacity);
        } else {
            self.at(turn.now, Gate::TurnLimit);
        }
    }
}

fn batch(head: &Head, id: BatchId) -> Option<&BatchHead> {
    head.batches.binary_search_by_key(&id, |b| b.id).ok().map(|i| &head.batches[i])
}

fn weight(batch: &BatchHead) -> u64 {
    u64::from(batch.settings.weight.max(1))
}

fn batch_room(batch: &BatchHead) -> u32 {
    batch.settings.concurrency.map_or(u32::MAX, |most| most.saturating_sub(batch.live))
}

fn workspace_room(head: &Head) -> u32 {
    head.concurrency.map_or(u32::MAX, |most| most.saturating_sub(head.live))
}

fn room(head: &Head, turn: &Turn) -> u32 {
    workspace_room(head).min(turn.node_free).min(turn.turn_limit)
}

fn fair_ask(room: u32, weight: u64, weights: u64) -> u32 {
    let share = (u64::from(room) * 2 * weight).div_ceil(weights.max(1));
    u32::try_from(share).unwrap_or(u32::MAX).max(ASK_MIN).min(room)
}

/// The earliest slot of a turn.
fn earliest(turn: &Turn) -> Timestamp {
    turn.now.after(turn.lead.min(HORIZON - SLOT))
}

/// The latest slot of a turn.
fn latest(turn: &Turn) -> Timestamp {
    turn.now.after(HORIZON)
}

#[cfg(test)]
mod tests;
