//! Workspaces, agents, calling numbers.

use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{AgentId, KeyId, PhoneId, TrunkId, UserId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_core::variables::Variable;
use thiserror::Error;

use super::{NewKey, StoreError};

/// A workspace to make.
#[derive(Clone, Debug)]
pub struct NewWorkspace {
    /// Display name.
    pub name: String,
    /// Its first key.
    pub key: NewKey,
    /// Its settings.
    pub settings: WorkspaceSettings,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceCreated {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its user.
    pub user: UserId,
    /// Its first key.
    pub key: KeyId,
}

/// A workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceRecord {
    /// Which.
    pub id: WorkspaceId,
    /// Its user.
    pub user: UserId,
    /// Display name.
    pub name: String,
}

/// What an agent is.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSpec {
    /// Display name.
    pub name: String,
    /// BCP 47 tags, at least one.
    pub languages: Vec<String>,
    /// The variables that a contact brings.
    pub variables: Vec<Variable>,
    /// How an answered call reaches it; JSON as of the API, checked by the edge.
    pub connection: String,
}

/// A stored agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// Which.
    pub id: AgentId,
    /// Grows by one with every change.
    pub version: u32,
    /// What it is.
    pub spec: AgentSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Why an agent was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AgentError {
    /// No such agent in this workspace.
    #[error("no such agent")]
    NotFound,
    /// A calling number is bound to it.
    #[error("a calling number is bound to this agent")]
    InUse,
    /// It is not as the caller has seen it: look again.
    #[error("somebody else has changed the agent")]
    Changed,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How calls of a number go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integration {
    /// No telephone is touched.
    Simulated,
    /// Over SIP trunks.
    Sip,
}

impl Integration {
    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Sip => "sip",
        }
    }

    /// The reverse of [`Integration::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Simulated, Self::Sip].into_iter().find(|i| i.as_str() == word)
    }
}

/// A calling number to add.
#[derive(Clone, Debug)]
pub struct NewPhone {
    /// The number.
    pub number: PhoneNumber,
    /// How its calls go out.
    pub integration: Integration,
    /// Over which trunks, in the order of preference; `Sip` only, at least one there.
    pub trunks: Vec<TrunkId>,
    /// Who talks on its calls.
    pub agent: Option<AgentId>,
}

/// What to change; `None` leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct PhonePatch {
    /// Other trunks, at least one; of a `Sip` number only.
    pub trunks: Option<Vec<TrunkId>>,
    /// Bind another agent, or none.
    pub agent: Option<Option<AgentId>>,
    /// Other calls per second (none: unlimited).
    pub calls_per_second: Option<Option<f64>>,
    /// Other channels (none: unlimited).
    pub channels: Option<Option<u32>>,
    /// Other attempts a calendar day (none: unlimited).
    pub calls_per_day: Option<Option<u32>>,
    /// Another price of a minute, in millionths (none: nobody says).
    pub price: Option<Option<u64>>,
}

/// A calling number.
#[derive(Clone, Debug, PartialEq)]
pub struct PhoneRecord {
    /// Which.
    pub id: PhoneId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// The number.
    pub number: PhoneNumber,
    /// How its calls go out.
    pub integration: Integration,
    /// Over which trunks, in the order of preference.
    pub trunks: Vec<TrunkId>,
    /// Who talks on its calls.
    pub agent: Option<AgentId>,
    /// Its own limits.
    pub limits: LineLimits,
    /// What a minute of talk costs, in millionths; none: nobody said.
    pub price: Option<u64>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Why a calling number was not added or changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PhoneError {
    /// No such number in this workspace.
    #[error("no such calling number")]
    NotFound,
    /// The workspace has it already.
    #[error("the workspace has this number already")]
    Duplicate,
    /// The agent to bind does not exist in this workspace.
    #[error("no such agent")]
    NoSuchAgent,
    /// A trunk does not exist in this workspace, or is not of the number's integration.
    #[error("no such trunk")]
    NoSuchTrunk,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}
