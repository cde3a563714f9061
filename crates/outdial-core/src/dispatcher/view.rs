//! What the dispatcher is given and what it returns.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::{BatchSettings, PauseReason};
use crate::brake::{BrakeSettings, BrakeState, Pulse};
use crate::budget::{Day, Spend};
use crate::call::{CallFacts, WaitReason};
use crate::contact::Never;
use crate::id::{BatchId, CallId, PhoneId, TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::settings::CallingRules;
use crate::time::Timestamp;
use crate::zone::{Class, Zone};

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
    /// Whether the calling rules apply.
    pub rules: CallingRules,
    /// The zone whose calendar days budgets and daily caps count.
    pub zone: Zone,
    /// Most charged attempts at one person in any 24 h; the calling rules may say less.
    pub attempts_24h: Option<u32>,
    /// When a batch is braked.
    pub brakes: BrakeSettings,
    /// Its active batches (and one that was asked for besides), by id.
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
    /// Used and reserved, over all days.
    pub spent: Spend,
    /// Used and reserved by day: the latest few days.
    pub spent_by_day: Vec<(Day, Spend)>,
    /// How its attempts went within the window of the brakes, since it was last resumed.
    pub pulse: Pulse,
    /// How all of its attempts went since it was last resumed from a brake.
    pub pulse_ever: Pulse,
    /// What the brakes remember of it.
    pub brake: BrakeState,
}

/// Limits of a line: a trunk or a calling number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LineLimits {
    /// Calls per second, fractions included; none: unlimited.
    pub calls_per_second: Option<f64>,
    /// Live calls at once; none: unlimited.
    pub channels: Option<u32>,
    /// Attempts a calendar day (of a calling number only); none: unlimited.
    pub calls_per_day: Option<u32>,
}

/// One calling number.
#[derive(Clone, Debug)]
pub struct NumberHead {
    /// Which.
    pub id: PhoneId,
    /// The number itself: the caller ID.
    pub number: PhoneNumber,
    /// The trunks its calls go out over, at least one. A call whose round saw n uncharged tries
    /// goes over the n-th (modulo their number), or the next one behind it that is usable.
    pub trunks: Vec<TrunkId>,
    /// Its own limits.
    pub limits: LineLimits,
    /// Its live calls.
    pub live: u32,
    /// Starts of its recent slots, ascending; see [`Plan::slots`].
    pub slots: Vec<Timestamp>,
    /// What a minute of talk costs, in millionths; none: nobody said.
    pub price: Option<u64>,
    /// Its attempts by day, those not sent left out: the latest few days.
    pub placed_by_day: Vec<(Day, u32)>,
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
    /// It was found out of order: no call goes out over it.
    pub is_down: bool,
    /// A call over it may last so long at most; none: as the batch says.
    pub max_call_s: Option<u32>,
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
    /// The lane and class of its candidate: the commit drops a call that is in others by then.
    pub lane: u32,
    /// See `lane`.
    pub class: u32,
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
    /// The day of the slot, on whose account it goes.
    pub day: Day,
    /// What is reserved for it.
    pub reserve: Spend,
    /// What a minute costs, in millionths.
    pub price: u64,
    /// Most charged attempts at this person in the 24 h that end with the slot, this one included;
    /// checked by the commit.
    pub attempts_24h: Option<u32>,
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
    /// Batches to pause, because a brake or a budget says so.
    pub pauses: Vec<(BatchId, PauseReason)>,
    /// What the brakes are to remember of batches from now on.
    pub brakes: Vec<(BatchId, BrakeState)>,
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
    /// The trunk is out of order.
    TrunkDown,
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
    /// The calling rules of the called party's place.
    Rules,
    /// Hours and rules have no instant in common, within 14 days.
    NoCommonHours,
    /// Nobody knows where the person is, so that no rule can be kept.
    PlaceUnknown,
    /// The batch's budget, of the day or as far as it is not reserved.
    Budget,
    /// The calling numbers have placed as many calls today as they may.
    CallsPerDay,
    /// The batch has a budget of money, and its calling numbers no price.
    NoPrice,
    /// A brake slows the batch down.
    Brake,
    /// The first calls of the batch must end well before more go out.
    Canary,
    /// The batch has expired.
    Expired,
    /// Nothing holds it back but those before it.
    Turn,
}

impl Gate {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotBefore => "not_before",
            Self::Hours => "outside_calling_hours",
            Self::Pacing => "calls_per_second",
            Self::Channels => "channels",
            Self::TrunkPaused => "trunk_paused",
            Self::TrunkDown => "trunk_down",
            Self::BatchConcurrency => "batch_concurrency",
            Self::WorkspaceConcurrency => "workspace_concurrency",
            Self::NodeCapacity => "node_capacity",
            Self::TurnLimit | Self::Turn => "queued",
            Self::NoNumbers => "no_numbers",
            Self::Rules => "calling_rules",
            Self::NoCommonHours => Never::NoCommonHours.as_str(),
            Self::PlaceUnknown => Never::PlaceUnknown.as_str(),
            Self::Budget => "budget",
            Self::CallsPerDay => "calls_per_day",
            Self::NoPrice => "no_price",
            Self::Brake => "brake",
            Self::Canary => "canary",
            Self::Expired => "expired",
        }
    }
}

/// A gate that is closed, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// Which.
    pub gate: Gate,
    /// Until when; [`Timestamp::MAX`]: until something changes.
    pub until: Timestamp,
}

/// Pending calls that are alike, counted: what reports and forecasts read instead of every call.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Their group.
    pub group: GroupKey,
    /// The zones in which their people may be.
    pub zones: Arc<Class>,
    /// Charged attempts of their round.
    pub charged: u32,
    /// Uncharged ones.
    pub uncharged: u32,
    /// Why they are not due yet.
    pub reason: WaitReason,
    /// When they are due: [`Timestamp::EPOCH`] for those that are, else rounded up to the minute.
    pub not_before: Timestamp,
    /// When the first of them is due, exactly.
    pub earliest: Timestamp,
    /// How many.
    pub count: u64,
}
