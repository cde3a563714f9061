//! Batches.

use outdial_core::batch::{BatchSettings, BatchState, BatchTotals, PauseReason};
use outdial_core::id::{AgentId, BatchId, PhoneId, UserId, WorkspaceId};
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_core::variables::Variable;
use thiserror::Error;

use super::{PhoneRecord, StoreError};

/// A batch to make.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Display name.
    pub name: String,
    /// What its maker chose.
    pub settings: BatchSettings,
    /// Its calling numbers, in the order of rotation; not empty, no repetition.
    pub numbers: Vec<PhoneId>,
}

/// Why a batch was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchCreateError {
    /// Nobody has this number.
    #[error("calling number {0} does not exist")]
    UnknownNumber(PhoneId),
    /// Another workspace has it.
    #[error("calling number {0} does not belong to this workspace")]
    ForeignNumber(PhoneId),
    /// The numbers lead to different agents.
    #[error("the calling numbers lead to different agents")]
    AgentsDiffer,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRecord {
    /// Which.
    pub id: BatchId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// The user of that workspace.
    pub user: UserId,
    /// Display name.
    pub name: String,
    /// What its maker chose.
    pub settings: BatchSettings,
    /// Its calling numbers, in the order of rotation.
    pub numbers: Vec<PhoneId>,
    /// Where it stands.
    pub state: BatchState,
    /// Why it is paused, if it is.
    pub pause_reason: Option<PauseReason>,
    /// Only calls of this lane are placed; none: all.
    pub lane: Option<u32>,
    /// How many of its calls stand where.
    pub totals: BatchTotals,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed: state, settings, calls added.
    pub updated_at: Timestamp,
}

/// What to change; `None` leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct BatchPatch {
    /// Another display name.
    pub name: Option<String>,
    /// Other settings, all of them.
    pub settings: Option<BatchSettings>,
    /// Nothing is changed unless the settings are still these.
    pub was: Option<BatchSettings>,
    /// Other calling numbers, in the order of rotation; not empty, no repetition.
    pub numbers: Option<Vec<PhoneId>>,
}

/// Why a batch was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchUpdateError {
    /// No such batch in this workspace.
    #[error("no such batch")]
    NotFound,
    /// A given number does not exist in this workspace.
    #[error("calling number {0} does not exist")]
    UnknownNumber(PhoneId),
    /// The numbers lead to different agents.
    #[error("the calling numbers lead to different agents")]
    AgentsDiffer,
    /// Its settings are not what they were (`BatchPatch::was`): look again.
    #[error("somebody else has changed the batch")]
    Changed,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which page of which batches.
#[derive(Clone, Debug)]
pub struct BatchListQuery {
    /// From 1.
    pub page: u32,
    /// 1–100.
    pub limit: u32,
    /// Part of the name or of `queue_status`, case-insensitive.
    pub search: Option<String>,
}

/// A page of batches.
#[derive(Clone, Debug)]
pub struct BatchList {
    /// The page.
    pub batches: Vec<BatchRecord>,
    /// How many match.
    pub total: u64,
    /// The workspace has any batch at all.
    pub any: bool,
}

/// How to start a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchStart {
    /// Replace its calling numbers by these.
    pub numbers: Option<Vec<PhoneId>>,
    /// The start came with `callData`: its calls are in this lane, which `call_add_chunk` gave
    /// them. None: all calls may be placed.
    pub call_data_lane: Option<u32>,
}

/// Why a batch was not started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchStartError {
    /// No such batch in this workspace.
    #[error("no such batch")]
    NotFound,
    /// It has no calling number, and none was given.
    #[error("the batch has no calling number")]
    NoNumbers,
    /// A given number does not exist in this workspace.
    #[error("calling number {0} does not exist")]
    UnknownNumber(PhoneId),
    /// The numbers lead to different agents.
    #[error("the calling numbers lead to different agents")]
    AgentsDiffer,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One version of an agent's declared variables.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentVersion {
    /// The agent.
    pub agent: AgentId,
    /// Which version.
    pub version: u32,
    /// What it declares.
    pub variables: Vec<Variable>,
}

/// What ingest has to know of a batch.
#[derive(Clone, Debug)]
pub struct IngestContext {
    /// The batch.
    pub batch: BatchRecord,
    /// Its calling numbers.
    pub numbers: Vec<PhoneRecord>,
    /// The agents that those lead to, without repetition. None: no agent; several: they differ.
    pub agents: Vec<AgentVersion>,
    /// The settings of its workspace.
    pub settings: WorkspaceSettings,
    /// A lane that no call of the batch has yet, for a start with `callData`.
    pub free_lane: u32,
}
