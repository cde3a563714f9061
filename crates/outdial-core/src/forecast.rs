//! Forecasts: the dispatcher, the retry arithmetic, the budgets and the brakes, run on virtual time
//! in a world made of what waits and of assumptions about who answers.
//!
//! Pure: no clock, no chance; the same question has the same answer. What is forecast is what the
//! real dispatcher would do, because it is the real dispatcher. Of a person only the calls of this
//! forecast are known: somebody who waits in two batches counts as two, and attempts from before
//! are not in their 24 h.

mod assume;
mod tally;
mod waiting;
mod world;

use std::time::Duration;

pub use assume::{Assumptions, OBSERVED_MIN, Source};
pub use tally::{Hour, Never};

use crate::batch::{BatchState, PauseReason};
use crate::call::WaitReason;
use crate::dispatcher::{Bucket, Dispatcher, GroupKey, Head, Turn, Wait};
use crate::hours::Allowed;
use crate::id::BatchId;
use crate::rules::verdict;
use crate::time::Timestamp;
use crate::why::{self, Standing};
use crate::zone::Class;
use tally::Tally;
use world::World;

/// Between two turns, as the engine has it.
const GAP: Duration = Duration::from_millis(10);
/// Between a plan and its first slot, as of a database at ease.
const LEAD: Duration = Duration::from_millis(10);
/// Most intents of a turn, as the engine has it.
const TURN_LIMIT: u32 = 500;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Input {
    /// The workspace: active batches, and the one asked about. Time begins at its `clock`.
    pub head: Head,
    /// The pending calls of those batches.
    pub waiting: Vec<Bucket>,
    /// The batch asked about.
    pub batch: BatchId,
    /// It is not active: what if a person started it now, without `callData`?
    pub assumes_start: bool,
    /// What becomes of attempts.
    pub assume: Assumptions,
    /// End of the window.
    pub until: Timestamp,
    /// Most turns of the dispatcher.
    pub turns_max: u64,
}

/// An attempt of the forecast, for those who look on.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The call: its index among those of the input.
    pub call: u32,
    /// Its batch.
    pub batch: BatchId,
    /// Where the person may be.
    pub class: &'a Class,
    /// When it leaves.
    pub at: Timestamp,
    /// Its number within the call, from 1.
    pub number: u32,
}

/// How a forecast ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The batch is done.
    Done,
    /// The batch pauses, or its other calls are held.
    Paused(PauseReason),
    /// The window is over.
    Horizon,
    /// So much was to be worked through that this is only the beginning.
    TurnsMax,
    /// Nothing goes on unless somebody changes something.
    Stuck,
}

/// What is going to happen to a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// When it began.
    pub from: Timestamp,
    /// How far it reaches: the last instant that was looked at.
    pub to: Timestamp,
    /// How it ends.
    pub ending: Ending,
    /// When the last call is over; none: not in this forecast.
    pub done_at: Option<Timestamp>,
    /// When the first call goes out.
    pub first_attempt_at: Option<Timestamp>,
    /// Calls of the batch that wait or are live at the start: reached and never reached.
    pub calls: u64,
    /// Attempts of the batch.
    pub attempts: u64,
    /// Attempts that a person answers.
    pub answered: u64,
    /// Calls that a person answers.
    pub reached: u64,
    /// The others, by the reason.
    pub never: Vec<(Never, u64)>,
    /// Hours in which it places calls.
    pub hours: Vec<Hour>,
    /// Most live calls of the batch at once.
    pub peak_batch: u32,
    /// Most live calls of the workspace at once.
    pub peak_workspace: u32,
    /// What was assumed.
    pub assumed: Assumptions,
    /// As asked.
    pub assumes_start: bool,
    /// Turns that the dispatcher took.
    pub turns: u64,
}

impl Forecast {
    /// Counts calls that import skips, because hours and rules never open for them.
    pub fn skip(&mut self, calls: u64) {
        self.calls += calls;
        if calls > 0 {
            self.never.push((Never::NoCommonHours, calls));
            self.never.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        }
    }
}

/// Runs it.
#[must_use]
pub fn run(input: Input) -> Forecast {
    run_watched(input, &mut |_| {})
}

/// Runs it, and shows every attempt of every batch to `on_attempt`.
#[must_use]
pub fn run_watched(input: Input, on_attempt: &mut dyn FnMut(&Attempt<'_>)) -> Forecast {
    let (from, until, turns_max) = (input.head.clock, input.until, input.turns_max);
    let (assumed, assumes_start) = (input.assume, input.assumes_start);
    let mut world = World::new(input, on_attempt);
    let mut dispatcher = Dispatcher::new();
    let (mut groups, mut candidates) = (Vec::new(), Vec::new());
    let (mut now, mut turns) = (from, 0);
    let ending = loop {
        world.pass(now);
        if world.is_over() {
            break world.paused().map_or(Ending::Done, Ending::Paused);
        }
        if turns >= turns_max {
            break Ending::TurnsMax;
        }
        turns += 1;
        world.waiting.groups(now, &mut groups);
        let turn = turn_at(now);
        // Groups are read at every turn, and what was taken is gone from them.
        dispatcher.forget_cursors();
        let asks = dispatcher.ask(&world.head, &groups, &turn);
        world.waiting.candidates(&asks, &mut candidates);
        let plan = dispatcher.plan(&world.head, &groups, &asks, &candidates, &turn);
        let look_again = plan.look_again.filter(|(at, _)| *at < Timestamp::MAX);
        let look_at = match !plan.pauses.is_empty() | world.commit(plan) {
            true => Some(now),
            false => look_again.map(|(at, _)| at),
        };
        let look_at = look_at.map(|at| at.max(now.after(GAP)));
        let Some(next) = look_at.into_iter().chain(world.next_event()).min() else {
            break Ending::Stuck;
        };
        if next >= until {
            now = until;
            break Ending::Horizon;
        }
        now = next.max(now);
    };
    world.waiting.groups(now, &mut groups);
    let gates = dispatcher.explain(&world.head, &groups, &turn_at(now));
    world.count_left(|head, key, class, wait| match ending {
        Ending::Paused(reason) => Never::Paused(reason),
        _ => why_left(head, key, class, (now, wait), gates.get(key).map_or(&[], Vec::as_slice)),
    });
    summed(&mut world.tally, (from, now), ending, (assumed, assumes_start), turns)
}

/// The forecast from its counts.
fn summed(
    tally: &mut Tally,
    (from, now): (Timestamp, Timestamp),
    ending: Ending,
    (assumed, assumes_start): (Assumptions, bool),
    turns: u64,
) -> Forecast {
    tally.never.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    let held = tally.never.iter().any(|(why, _)| *why == Never::Held);
    let closed = tally.never.iter().any(|(why, _)| *why == Never::NoCommonHours);
    let is_done = ending == Ending::Done && !held && !closed;
    Forecast {
        from,
        to: tally.last_end.filter(|_| is_done).unwrap_or(now),
        ending: match ending {
            Ending::Done if held => Ending::Paused(PauseReason::CallsHeld),
            Ending::Done if closed => Ending::Stuck,
            other => other,
        },
        done_at: is_done.then(|| tally.last_end.unwrap_or(from)),
        first_attempt_at: tally.first_attempt_at,
        calls: tally.calls,
        attempts: tally.attempts,
        answered: tally.answered,
        reached: tally.reached,
        never: std::mem::take(&mut tally.never),
        hours: tally.hours(),
        peak_batch: tally.peak_batch,
        peak_workspace: tally.peak_workspace,
        assumed,
        assumes_start,
        turns,
    }
}

/// A turn of a node that has room.
fn turn_at(now: Timestamp) -> Turn {
    Turn { now, lead: LEAD, node_free: u32::MAX, turn_limit: TURN_LIMIT }
}

/// What a call that is left over waits for at `now`; `gates` are those of its group.
fn why_left(
    head: &Head,
    key: &GroupKey,
    class: &Class,
    (now, waiting): (Timestamp, (Timestamp, WaitReason)),
    gates: &[Wait],
) -> Never {
    let found = head.batches.iter().find(|b| b.id == key.batch);
    // Gone from the head: nothing of its lane is left, so this is of another.
    let Some(batch) = found.filter(|b| b.lane.is_none_or(|lane| lane == key.lane)) else {
        return Never::Held;
    };
    let hours = &batch.settings.calling_hours;
    if verdict(hours, head.rules, class, now).allowed == (Allowed::Closed { opens: None }) {
        return Never::NoCommonHours;
    }
    let standing = Standing {
        older: false,
        state: BatchState::Active,
        pause: None,
        held: false,
        waiting: Some(waiting),
        gates,
    };
    Never::OutOfTime(why::dominant(&standing, now).word)
}

#[cfg(test)]
mod tests;
