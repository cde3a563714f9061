//! Why a pending call was not placed yet, in the words of the API.
//!
//! Nothing is judged here: the gates come from `Dispatcher::explain`, and what is known of times
//! from the same gates at later instants.

use crate::batch::{BatchState, PauseReason};
use crate::call::WaitReason;
use crate::dispatcher::{BatchHead, Gate, Head, Outlook, Wait, next_opening};
use crate::time::Timestamp;
use crate::zone::Class;

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable word.
    pub word: &'static str,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
}

/// Where a pending call, or many that are alike, stand.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Its batch's state.
    pub state: BatchState,
    /// Why the batch is paused, if it is.
    pub pause: Option<PauseReason>,
    /// A start with `callData` holds it back: its lane is not the batch's.
    pub held: bool,
    /// Its `not_before`, and the reason for it.
    pub waiting: Option<(Timestamp, WaitReason)>,
    /// What `Dispatcher::explain` says of its group.
    pub gates: &'a [Wait],
}

/// Everything that holds a call back at `now`, what weighs most first; each word once. A call that
/// nothing holds back is `queued`: its turn comes after those before it.
///
/// The order: the batch does not run, the call is held, the batch has expired, the call is not due,
/// calling rules, calling hours, budget, price, numbers, cap of the day, pause of the trunk, brake,
/// canary, concurrency of the batch and the workspace, channels, calls per second, the node.
pub fn reasons(standing: &Standing<'_>, now: Timestamp) -> Vec<Reason> {
    let mut found: Vec<(u8, Reason)> = Vec::new();
    let without_time = |word| Reason { word, until: None };
    found.extend(batch_word(standing).map(|word| (0, without_time(word))));
    if standing.held {
        found.push((1, without_time(PauseReason::CallsHeld.as_str())));
    }
    if let Some((not_before, reason)) = standing.waiting.filter(|(at, _)| *at > now) {
        found.push((3, Reason { word: reason.as_str(), until: Some(not_before) }));
    }
    for wait in standing.gates {
        if let Some(rank) = rank(wait.gate) {
            let until = (wait.until != Timestamp::MAX).then_some(wait.until);
            found.push((rank, Reason { word: wait.gate.as_str(), until }));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    let mut reasons: Vec<Reason> = Vec::with_capacity(found.len().max(1));
    for (_, reason) in found {
        if reasons.iter().all(|known| known.word != reason.word) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        reasons.push(without_time(Gate::Turn.as_str()));
    }
    reasons
}

/// The one reason under which a call is counted: the first of [`reasons`], so that counts by
/// reason add up to the pending calls. For a `Bucket` the standing has its `not_before`, `reason`
/// and the gates of its group.
pub fn dominant(standing: &Standing<'_>, now: Timestamp) -> Reason {
    let first = reasons(standing, now).into_iter().next();
    first.expect("there always is a reason, if only that it is queued")
}

/// The earliest instant from `now` on at which nothing holds the call that is known in time: its
/// own wait, hours and rules, pauses of trunks, caps and budgets of a day. Its turn may come later
/// than that. None where it never will, because the batch expires first, and where something
/// without a time must happen before: the batch does not run, the call is held, a brake or the
/// canary is on, a number or a price is missing, a budget is used up.
pub fn next_attempt_at(
    batch: &BatchHead,
    head: &Head,
    zones: &Class,
    standing: &Standing<'_>,
    now: Timestamp,
) -> Option<Timestamp> {
    let without_time = standing.gates.iter().any(|wait| {
        matches!(wait.gate, Gate::Brake | Gate::Canary) && wait.until == Timestamp::MAX
    });
    if batch_word(standing).is_some() || standing.held || without_time {
        return None;
    }
    let from = standing.waiting.map_or(now, |(not_before, _)| not_before.max(now));
    match next_opening(head, batch, zones, from) {
        Outlook::At(at) => Some(at),
        Outlook::Nothing => None,
    }
}

/// What the state of the batch says; none: it runs.
fn batch_word(standing: &Standing<'_>) -> Option<&'static str> {
    match (standing.state, standing.pause) {
        (BatchState::Active, _) => None,
        (BatchState::Paused, Some(reason)) => Some(reason.as_str()),
        (BatchState::Paused, None) => Some("batch_paused"),
        (BatchState::Stopped, _) => Some("batch_stopped"),
        (BatchState::Pending | BatchState::Importing, _) => Some("batch_not_started"),
        (BatchState::Completed | BatchState::Deleted, _) => Some("batch_not_running"),
    }
}

/// What weighs more comes first; none: said otherwise, or nothing but the calls before it.
fn rank(gate: Gate) -> Option<u8> {
    Some(match gate {
        // The call's own wait says it better than that of its group.
        Gate::NotBefore | Gate::TurnLimit | Gate::Turn => return None,
        Gate::Expired => 2,
        Gate::Rules => 4,
        Gate::Hours => 5,
        Gate::Budget => 6,
        Gate::NoPrice => 7,
        Gate::NoNumbers => 8,
        Gate::CallsPerDay => 9,
        Gate::TrunkPaused => 10,
        Gate::Brake => 11,
        Gate::Canary => 12,
        Gate::BatchConcurrency => 13,
        Gate::WorkspaceConcurrency => 14,
        Gate::Channels => 15,
        Gate::Pacing => 16,
        Gate::NodeCapacity => 17,
    })
}
