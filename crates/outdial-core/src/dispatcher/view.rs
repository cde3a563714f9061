//! What the dispatcher is given and what it returns.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::BatchSettings;
use crate::call::CallFacts;
use crate::id::{BatchId, CallId, PhoneId, TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::time::Timestamp;
use crate::zone::Class;

/// What a workspace's dispatch rests on, read in one transaction. Every change of it but the end of
/// a call bumps `version`; the end of a call only frees capacity, so an old count is on the safe
/// side.
#[derive(Clone, Debug)]
pub struct Head {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Version of the workspace's dispatch row; a plan made on it commits only while it stands.
    pub version: u64,
    /// The database's clock when this was read. All instants here are in its time.
    pub clock: Timestamp,
    /// Most live calls of the workspace at once.
    pub concurrency: Option<u32>,
    /// Live calls of the workspace.
    pub live: u32,
    /// Its active batches, by id.
    pub batches: Vec<BatchHead>,
    /// The calling numbers of those batches, by id.
    pub numbers: Vec<NumberHead>,
    /// The trunks of those numbers, by id.
    pub trunks: Vec<TrunkHead>,
}

/// One active batch.
#[derive(Clone, Debug)]
pub struct BatchHead {
    /// Which.
    pub id: BatchId,
    /// What its maker chose.
    pub settings: Arc<BatchSettings>,
    /// Its calling numbers, in the order of rotation.
    pub numbers: Vec<PhoneId>,
    /// Only calls of this lane are placed; none: all (see `Store::batch_start`).
    pub lane: Option<u32>,
    /// Its live calls.
    pub live: u32,
}

/// Limits of a line: a trunk or a calling number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LineLimits {
    /// Calls per second, fractions included; none: unlimited.
    pub calls_per_second: Option<f64>,
    /// Live calls at once; none: unlimited.
    pub channels: Option<u32>,
}

/// One calling number.
#[derive(Clone, Debug)]
pub struct NumberHead {
    /// Which.
    pub id: PhoneId,
    /// The number itself: the caller ID.
    pub number: PhoneNumber,
    /// The trunk its calls go out over.
    pub trunk: TrunkId,
    /// Its own limits.
    pub limits: LineLimits,
    /// Its live calls.
    pub live: u32,
    /// Starts of its recent slots, ascending; see [`Plan::slots`].
    pub slots: Vec<Timestamp>,
}

/// One trunk.
#[derive(Clone, Debug)]
pub struct TrunkHead {
    /// Which.
    pub id: TrunkId,
    /// Its limits.
    pub limits: LineLimits,
    /// Its live calls.
    pub live: u32,
    /// Starts of its recent slots, ascending; see [`Plan::slots`].
    pub slots: Vec<Timestamp>,
    /// No call goes out before this instant (503).
    pub paused_until: Option<Timestamp>,
}

/// The calls of one batch that share lane, class and being a retry or not: the unit by which the
/// dispatcher reasons, so that its cost does not grow with the number of waiting calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The batch.
    pub batch: BatchId,
    /// The lane (see `Store::batch_start`); 0 for calls that came by adding.
    pub lane: u32,
    /// The store's number of the class.
    pub class: u32,
    /// Whether their next attempt is a retry.
    pub is_retry: bool,
}

/// A group with pending calls.
#[derive(Clone, Debug)]
pub struct Group {
    /// Which.
    pub key: GroupKey,
    /// The zones in which its people may be.
    pub zones: Arc<Class>,
    /// Earliest `not_before` among its pending calls, as of when it was read.
    pub next_due: Timestamp,
}

/// How many candidates of a group to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Of which group.
    pub group: GroupKey,
    /// At most so many.
    pub limit: u32,
    /// Only those behind this (`not_before`, call): where the last turn stopped reading.
    pub after: Option<(Timestamp, CallId)>,
}

/// A pending call that is due, in the order (`not_before`, call) within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its group.
    pub group: GroupKey,
    /// Which.
    pub call: CallId,
    /// Whom to call.
    pub callee: PhoneNumber,
    /// Since when it is due.
    pub not_before: Timestamp,
    /// What retry arithmetic needs.
    pub facts: CallFacts,
}

/// One call to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The call, as its candidate said.
    pub call: CallId,
    /// Its batch.
    pub batch: BatchId,
    /// Whom to call.
    pub callee: PhoneNumber,
    /// What retry arithmetic needs, as of before this attempt. The attempt's number is
    /// `facts.attempts + 1`.
    pub facts: CallFacts,
    /// The calling number.
    pub caller: PhoneId,
    /// The trunk.
    pub trunk: TrunkId,
    /// Start of the slot.
    pub send_at: Timestamp,
    /// End of the slot: not sent by then, it is lost.
    pub send_by: Timestamp,
    /// End of the calling hours in which it was planned; checked again just before sending.
    pub open_until: Timestamp,
    /// Longest call from the answer, in seconds.
    pub max_call_s: u32,
}

/// The terms of one turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The instant of the turn, in the database's time.
    pub now: Timestamp,
    /// How far ahead the earliest slot is put, so that the commit can be acknowledged before it;
    /// at most 150 ms.
    pub lead: Duration,
    /// How many more calls this node may run.
    pub node_free: u32,
    /// Most intents of one turn.
    pub turn_limit: u32,
}

/// What a turn decided.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Plan {
    /// The calls to place.
    pub intents: Vec<Intent>,
    /// New slot rows of the lines that the plan uses and that have a CPS limit: the recent slots
    /// that still matter and those of this plan, ascending.
    pub slots: Vec<(Line, Vec<Timestamp>)>,
    /// When to look again at the latest, and why not now; none: only when something changes.
    pub look_again: Option<(Timestamp, Gate)>,
}

/// A line by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// A trunk.
    Trunk(TrunkId),
    /// A calling number.
    Number(PhoneId),
}

/// What keeps a group of due calls waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// None of its calls is due yet.
    NotBefore,
    /// Calling hours.
    Hours,
    /// Calls per second of trunk or number.
    Pacing,
    /// Channels of trunk or number.
    Channels,
    /// The trunk is paused (503).
    TrunkPaused,
    /// Concurrency of the batch.
    BatchConcurrency,
    /// Concurrency of the workspace.
    WorkspaceConcurrency,
    /// This node runs as many calls as it may.
    NodeCapacity,
    /// More is due than one turn takes.
    TurnLimit,
    /// No calling number.
    NoNumbers,
}
