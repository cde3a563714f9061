//! The dispatcher: which calls to place now, in which slot, over which number; and when to look
//! again, with the reason. Pure: it is given a view of one workspace and returns a plan, which the
//! store commits only if the view is still true.
//!
//! One turn goes: [`Head`] and [`Group`]s are read → [`Dispatcher::ask`] says of which groups to
//! read how many candidates → [`Dispatcher::plan`] turns them into a [`Plan`] → the store commits.
//! [`Dispatcher::explain`] tells what holds each group back, by the same gates.
//!
//! What it remembers between turns (where it stopped reading, whose turn it is among batches and
//! calling numbers) only makes it quicker and fairer; forgetting all of it is always safe.

mod gates;
mod lines;
mod node_share;
mod outlook;
mod scene;
mod shares;
mod view;
mod waits;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

pub use node_share::NodeShare;
pub(crate) use outlook::{Outlook, next_opening};
pub use view::{
    Ask, BatchHead, Bucket, Candidate, Gate, Group, GroupKey, Head, Intent, Line, LineLimits,
    NumberHead, Plan, TrunkHead, Turn, Wait,
};

use crate::id::{BatchId, CallId};
use crate::pacing::SLOT;
use crate::time::Timestamp;
use gates::{Days, Opening, Ruling, workspace_room};
use lines::{Ceilings, Lines, Ready};
use scene::{OpenGroup, Scene, Stage};
use shares::{Queue, Shares, queues};
use waits::Waits;

/// Slots are committed at most so far ahead (`semantics.md` 3.2).
pub const HORIZON: Duration = Duration::from_millis(250);
/// Fewer candidates than this are not worth a query.
const ASK_MIN: u32 = 16;
/// So many rulings are kept without a look at whose they are.
const RULINGS_KEPT: usize = 256;

/// The dispatcher of one workspace.
#[derive(Debug, Default)]
pub struct Dispatcher {
    /// Per group: the last call taken from it, behind which the next turn reads on.
    cursors: BTreeMap<GroupKey, (Timestamp, CallId)>,
    /// Groups that gave fewer candidates than asked for: nothing due is left in them.
    exhausted: BTreeSet<GroupKey>,
    /// Whose turn it is.
    shares: Shares,
    /// Hours and rules answer the same until their next edge.
    rulings: BTreeMap<(BatchId, u32), Ruling>,
    /// So does the calendar.
    days: Option<Days>,
    /// Slots from before the clock was set back.
    ceilings: Ceilings,
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
    /// turn depends on the room there is, not on how many wait. Of a batch that is to be paused one
    /// call is read: as long as one is pending, the pause says something.
    #[must_use]
    pub fn ask(&mut self, head: &Head, groups: &[Group], turn: &Turn) -> Vec<Ask> {
        let room = room(head, turn);
        if room == 0 {
            return Vec::new();
        }
        let scene = self.scene(head, groups, turn, &mut Waits::new(turn));
        let mut asks = Vec::new();
        let mut limits = Vec::new();
        for stage in scene.batches.values().filter(|stage| !stage.open.is_empty()) {
            if stage.pause.is_some() {
                asks.extend(stage.open.first().map(|open| self.ask_of(open, 1)));
                continue;
            }
            let most = stage.account.room().min(match stage.account.room() {
                0 => 0,
                _ => scene.lines.room(&stage.account),
            });
            if most > 0 {
                limits.push((stage, most));
            }
        }
        let weights: u64 = limits.iter().map(|(stage, _)| weight(stage.account.batch)).sum();
        for (stage, most) in limits {
            let limit = fair_ask(room, weight(stage.account.batch), weights).min(most);
            for is_retry in [false, true] {
                let kind = stage.open.iter().filter(|open| open.key.is_retry == is_retry);
                asks.extend(kind.take(2).map(|open| self.ask_of(open, limit)));
            }
        }
        asks
    }

    /// Turns candidates into a plan: the batch whose turn it is by weight goes next; within it the
    /// class that closes first, first tries and retries in turn; over the next of its numbers that
    /// has a channel and a slot, and fits its budget.
    pub fn plan(
        &mut self,
        head: &Head,
        groups: &[Group],
        asks: &[Ask],
        candidates: &[Candidate],
        turn: &Turn,
    ) -> Plan {
        let mut waits = Waits::new(turn);
        let mut scene = self.scene(head, groups, turn, &mut waits);
        let mut queues = queues(&scene, candidates, &mut self.shares);
        let mut plan = Plan::default();
        let room = room(head, turn) as usize;
        let mut line = self.line_up(&scene, &queues, &mut plan);
        // Batches that their own limits hold back do not stand in line with the others; those that
        // the lines hold back do.
        let (mut held, mut blocked) = (BTreeSet::new(), BTreeSet::new());
        let mut none = Queue::default();
        while let Some(Reverse((time, id))) = line.pop() {
            if plan.intents.len() >= room {
                waits.note_full(head, turn);
                break;
            }
            let Some(stage) = scene.batches.get_mut(&id) else { continue };
            let queue = queues.get_mut(&id).unwrap_or(&mut none);
            match self.next_of(stage, &scene.lines, queue, &mut waits) {
                Ok((candidate, opening, ready)) => {
                    scene.lines.book(&ready, &mut stage.account);
                    self.cursors.insert(candidate.group, (candidate.not_before, candidate.call));
                    let batch = stage.account.batch;
                    let time = self.shares.start(id, weight(batch), time, candidate.group.is_retry);
                    self.shares.of(id).rotation = ready.next_turn;
                    plan.intents.push(intent(&candidate, &opening, &ready));
                    line.push(Reverse((time, id)));
                }
                Err(Stop::HeldByItself) => {
                    held.insert(id);
                }
                Err(Stop::HeldByLines) => {
                    blocked.insert(id);
                }
                Err(Stop::Dry) => {}
            }
        }
        let more = self.note_exhausted(asks, candidates, plan.intents.is_empty());
        let contenders = scene.batches.iter().filter(|(id, stage)| {
            let due = stage.open.iter().any(|open| !self.exhausted.contains(&open.key));
            due && stage.pause.is_none() && !held.contains(*id)
        });
        let contenders: BTreeSet<BatchId> = contenders.map(|(id, _)| *id).collect();
        if more && !contenders.is_subset(&blocked) && plan.intents.len() < room {
            waits.now(Gate::TurnLimit);
        }
        self.shares.end_turn(&contenders, |id| batch(head, id).is_some());
        // Those of batches that are gone take room, not time.
        if self.rulings.len() > RULINGS_KEPT.max(2 * groups.len()) {
            self.rulings.retain(|(id, _), _| batch(head, *id).is_some());
        }
        let accounts = scene.batches.values().map(|stage| &stage.account);
        let learned = accounts.filter(|account| account.remembers != account.batch.brake);
        plan.brakes = learned.map(|account| (account.batch.id, account.remembers)).collect();
        plan.slots = scene.lines.used_slots(turn.now);
        plan.look_again = waits.soonest();
        plan
    }

    /// Puts the batches in line by their virtual time; those that are to be paused, and of which
    /// something is pending, into the plan.
    fn line_up(
        &mut self,
        scene: &Scene<'_>,
        queues: &BTreeMap<BatchId, Queue>,
        plan: &mut Plan,
    ) -> BinaryHeap<Reverse<(u128, BatchId)>> {
        let mut line = BinaryHeap::new();
        for (id, stage) in &scene.batches {
            let any = queues.get(id).is_some_and(|queue| !queue.is_empty());
            match stage.pause {
                Some(reason) if any || stage.waiting => plan.pauses.push((*id, reason)),
                None if !stage.open.is_empty() => {
                    let time = self.shares.enter(*id, weight(stage.account.batch));
                    line.push(Reverse((time, *id)));
                }
                _ => {}
            }
        }
        line
    }

    /// What the batch whose turn it is does with it.
    fn next_of(
        &mut self,
        stage: &Stage<'_>,
        lines: &Lines<'_>,
        queue: &mut Queue,
        waits: &mut Waits,
    ) -> Result<(Candidate, Opening, Ready), Stop> {
        if !stage.account.count_gates(&mut |wait| waits.add(wait)) {
            return Err(Stop::HeldByItself);
        }
        let rotation = self.shares.of(stage.account.batch.id).rotation;
        let tried = queue.peek().map_or(0, |(candidate, _)| candidate.facts.uncharged);
        let ready = match lines.ready(&stage.account, rotation, tried) {
            Ok(ready) => ready,
            Err(wait) => {
                waits.add(wait);
                let own = matches!(wait.gate, Gate::Budget | Gate::NoPrice | Gate::NoNumbers);
                return Err(if own { Stop::HeldByItself } else { Stop::HeldByLines });
            }
        };
        let Some((candidate, opening)) = queue.peek().copied() else { return Err(Stop::Dry) };
        if ready.send_at.after(SLOT) > opening.until {
            waits.add(Wait { gate: opening.ends_by, until: opening.until });
            return Err(Stop::HeldByLines);
        }
        queue.pop();
        Ok((candidate, opening, ready))
    }

    /// Notes which groups gave less than asked for, all of it planned: nothing due is left in them.
    /// True: this turn has made headway, so that the next is worth taking now.
    fn note_exhausted(
        &mut self,
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
        headway
    }

    fn ask_of(&self, open: &OpenGroup, limit: u32) -> Ask {
        Ask { group: open.key, limit, after: self.cursors.get(&open.key).copied() }
    }
}

/// Why a batch whose turn it was placed no call.
enum Stop {
    /// Its own limits hold it back.
    HeldByItself,
    /// It waits for something that others want too.
    HeldByLines,
    /// None of its candidates is left.
    Dry,
}

fn intent(c: &Candidate, opening: &Opening, ready: &Ready) -> Intent {
    Intent {
        call: c.call,
        batch: c.group.batch,
        callee: c.callee,
        facts: c.facts,
        lane: c.group.lane,
        class: c.group.class,
        caller: ready.number,
        trunk: ready.trunk,
        send_at: ready.send_at,
        send_by: ready.send_at.after(SLOT),
        open_until: opening.until,
        max_call_s: ready.max_call_s,
        day: ready.day,
        reserve: ready.reserve,
        price: ready.price,
        attempts_24h: opening.attempts_24h,
    }
}

fn batch(head: &Head, id: BatchId) -> Option<&BatchHead> {
    head.batches.binary_search_by_key(&id, |b| b.id).ok().map(|i| &head.batches[i])
}

fn weight(batch: &BatchHead) -> u64 {
    u64::from(batch.settings.weight.max(1))
}

fn room(head: &Head, turn: &Turn) -> u32 {
    workspace_room(head).min(turn.node_free).min(turn.turn_limit)
}

fn fair_ask(room: u32, weight: u64, weights: u64) -> u32 {
    let share = (u64::from(room) * 2 * weight).div_ceil(weights.max(1));
    u32::try_from(share).unwrap_or(u32::MAX).max(ASK_MIN).min(room)
}

/// How far ahead the earliest slot of a turn is put.
fn lead(turn: &Turn) -> Duration {
    turn.lead.min(HORIZON - SLOT)
}

/// The earliest slot of a turn.
fn earliest(turn: &Turn) -> Timestamp {
    turn.now.after(lead(turn))
}

/// The latest slot of a turn.
fn latest(turn: &Turn) -> Timestamp {
    turn.now.after(HORIZON)
}

#[cfg(test)]
mod tests;
