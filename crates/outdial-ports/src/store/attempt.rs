//! Intents and attempts.

use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::{BatchSettings, PauseReason};
use outdial_core::brake::{BrakeState, Pulse};
use outdial_core::budget::Spend;
use outdial_core::call::CallFacts;
use outdial_core::dispatcher::{Intent, Line};
use outdial_core::id::{AttemptId, BatchId, CallId, TrunkId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use thiserror::Error;

use super::{Integration, StoreError};
use crate::watermark::Mark;

/// An intent to commit, with the name that its attempt gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntent {
    /// What the dispatcher decided.
    pub intent: Intent,
    /// Unguessable name of the attempt.
    pub token: [u8; 16],
}

/// What to commit of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPlan {
    /// The calls to place.
    pub intents: Vec<NewIntent>,
    /// As of [`outdial_core::dispatcher::Plan::slots`].
    pub slots: Vec<(Line, Vec<Timestamp>)>,
    /// Batches to pause.
    pub pauses: Vec<(BatchId, PauseReason)>,
    /// What the brakes are to remember of batches.
    pub brakes: Vec<(BatchId, BrakeState)>,
    /// An attempt that the database must hold; without it, it is not the one that was dialed from.
    pub mark: Option<Mark>,
}

/// What an attempt's end changes besides its call; the core has worked it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settle {
    /// What it used of what was reserved.
    pub used: Spend,
    /// Its share in the batch's pulse.
    pub pulse: Pulse,
    /// Pauses its trunk; the later instant wins, but for one that no trunk can be given
    /// ([`outdial_core::trunk_health::PAUSE_MAX`]).
    pub trunk_paused_until: Option<Timestamp>,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOutcome {
    /// The version that stands now.
    pub version: u64,
    /// Intents that went through, in the order in which they were given.
    pub committed: Vec<Committed>,
    /// Those that did not.
    pub dropped: Vec<Dropped>,
}

/// An intent that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its attempt.
    pub attempt: AttemptId,
    /// The intent.
    pub intent: NewIntent,
}

/// An intent that did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its call.
    pub call: CallId,
    /// Why.
    pub reason: DropReason,
}

/// Why an intent did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The call is no longer pending, or not as the candidate said.
    NotPending,
    /// Another call to the same number is live in the workspace.
    NumberBusy,
    /// The number is on the do-not-call list.
    DoNotCall,
    /// The person was called as often in 24 h as is allowed.
    AttemptsPerDay,
}

/// Why a plan was not committed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Something changed since the view was read: look again.
    #[error("the view is stale")]
    Stale,
    /// The database does not hold the plan's mark: it is an older copy.
    #[error("the database does not know what was dialed")]
    Older,
    /// As ever. After `OutcomeUnknown` nothing may be sent.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An attempt that is not over, with what must be known to decide what comes after it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// Its call.
    pub call: CallId,
    /// Its batch.
    pub batch: BatchId,
    /// The batch is deleted: nothing is retried.
    pub batch_deleted: bool,
    /// The batch's settings as they are now.
    pub settings: BatchSettings,
    /// Whom.
    pub callee: PhoneNumber,
    /// Its trunk.
    pub trunk: TrunkId,
    /// The trunk's kind.
    pub integration: Integration,
    /// How long it may ring there; none: as the server is configured.
    pub ring_timeout: Option<Duration>,
    /// How many trunks its calling number has.
    pub trunks: u32,
    /// Caller ID.
    pub caller: PhoneNumber,
    /// The end of its slot.
    pub send_by: Timestamp,
    /// What ends its call, as recorded with its answer (`CallControl::dialog`).
    pub dialog: Option<String>,
    /// As of before this attempt.
    pub facts: CallFacts,
    /// How far it is.
    pub state: AttemptState,
    /// When it was handed to the carrier, as far as recorded.
    pub sent_at: Option<Timestamp>,
    /// When it rang, as far as recorded.
    pub ringing_at: Option<Timestamp>,
    /// When it was answered, as far as recorded.
    pub answered_at: Option<Timestamp>,
    /// Its unguessable name.
    pub token: [u8; 16],
    /// What was reserved for it.
    pub reserve: Spend,
    /// What a minute costs, in millionths.
    pub price: u64,
}

/// What `attempt_finish` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishResult {
    /// Recorded.
    Applied,
    /// It was over before; nothing changed (a late or duplicate result).
    AlreadyOver,
    /// Another process has taken it over, because this one was gone to it; nothing changed.
    TakenOver,
}
