//! A batch: its settings and its lifecycle.

use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::hours::CallingHours;
use crate::time::Timestamp;
use crate::zone::Zone;

/// Where a batch stands; `queue_status` on the wire.
///
/// ```text
///            add, start            stop (a person)
/// Pending ───────────────▶ Active ───────────────▶ Stopped
///                          ▲ │ ▲                      │
///              add, start  │ │ └──────────────────────┘ start
///                          │ ├── brake, budget ──▶ Paused ── start ──▶ Active
///                          │ ▼ nothing pending, nothing live
///                       Completed
/// ```
/// `Deleted` is reached from any state, and left by none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// Made, nothing added or started yet.
    Pending,
    /// Rows of an upload are still going in; invisible to everybody.
    Importing,
    /// Calls are placed when hours and limits allow.
    Active,
    /// Held by a brake, a budget, or for want of numbers; `start-calling` resumes.
    Paused,
    /// Stopped by a person; `start-calling` resumes, adding does not.
    Stopped,
    /// Nothing pending, nothing live.
    Completed,
    /// Gone for the user.
    Deleted,
}

impl BatchState {
    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Importing => "importing",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Deleted => "deleted",
        }
    }

    /// The reverse of [`BatchState::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Importing,
            Self::Active,
            Self::Paused,
            Self::Stopped,
            Self::Completed,
            Self::Deleted,
        ]
        .into_iter()
        .find(|s| s.as_str() == word)
    }

    /// What adding calls makes of it: a batch that a person stopped, or that a brake paused, keeps
    /// its state; every other becomes active. `reason` is why it is paused.
    #[must_use]
    pub fn after_add(self, reason: Option<PauseReason>) -> Self {
        match self {
            Self::Pending | Self::Active | Self::Completed => Self::Active,
            Self::Paused if reason == Some(PauseReason::CallsHeld) => Self::Active,
            Self::Paused | Self::Stopped | Self::Importing | Self::Deleted => self,
        }
    }
}

/// Why a batch is paused without a person having stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// It has no calling number left.
    NoNumbers,
    /// A start with `callData` has called its records; the batch's other calls wait for a start
    /// without `callData`.
    CallsHeld,
    /// Its budget is used up.
    Budget,
    /// Too many of its attempts failed.
    Failures,
    /// Too many of its answered calls were over within 6 s.
    ShortCalls,
    /// Too many voicemail boxes answered.
    Voicemail,
}

impl PauseReason {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::NoNumbers,
        Self::CallsHeld,
        Self::Budget,
        Self::Failures,
        Self::ShortCalls,
        Self::Voicemail,
    ];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoNumbers => "no_numbers",
            Self::CallsHeld => "calls_held",
            Self::Budget => "budget",
            Self::Failures => "failures",
            Self::ShortCalls => "short_calls",
            Self::Voicemail => "voicemail",
        }
    }

    /// The reverse of [`PauseReason::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

/// What the maker of a batch chose. Stored as JSON; unknown fields of an older or newer version are
/// ignored and missing ones take their default, so that it can grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchSettings {
    /// Retries after the first charged attempt of a round, 0–10.
    pub retry: u8,
    /// Seconds between the end of an attempt and its retry, 0–604,800.
    pub delay_s: u32,
    /// IANA name: the zone of records that bring none.
    pub timezone: Option<String>,
    /// When calls may be placed, read in each record's zone.
    pub calling_hours: CallingHours,
    /// Redial calls that ended as `unknown`.
    pub redial_unknown: bool,
    /// Retry calls that a voicemail box answered.
    pub retry_voicemail: bool,
    /// Most live calls at once; none: no limit of its own.
    pub concurrency: Option<u32>,
    /// Share among the workspace's batches, 1–1000.
    pub weight: u32,
    /// Longest call in seconds, counted from the answer.
    pub max_call_s: u32,
    /// Check the do-not-call list even where the workspace does not.
    pub enable_dnc: bool,
    /// What it may use.
    pub budget: Option<Budget>,
    /// So many attempts must have ended, and the brakes be content with them, before more go out.
    pub canary: Option<u32>,
    /// Calls that are still pending then are finished as `expired`.
    pub expires_at: Option<Timestamp>,
}

impl BatchSettings {
    /// Most retries that may be asked for.
    pub const RETRY_MAX: u8 = 10;
    /// Longest delay that may be asked for: a week.
    pub const DELAY_MAX_S: u32 = 604_800;
    /// Largest weight.
    pub const WEIGHT_MAX: u32 = 1000;
    /// Longest call that may be asked for: four hours.
    pub const MAX_CALL_MAX_S: u32 = 14_400;

    /// The zone it names, if it does. A name that was valid when stored stays valid: the time-zone
    /// data is bundled and only grows.
    pub fn zone(&self) -> Option<Zone> {
        self.timezone.as_deref().and_then(|name| name.parse().ok())
    }
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            retry: 0,
            delay_s: 300,
            timezone: None,
            calling_hours: CallingHours::always(),
            redial_unknown: false,
            retry_voicemail: false,
            concurrency: None,
            weight: 1,
            max_call_s: 600,
            enable_dnc: false,
            budget: None,
            canary: None,
            expires_at: None,
        }
    }
}

/// How many of a batch's calls stand where. I3: total = pending + live + finished, at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchTotals {
    /// All call records.
    pub total: u64,
    /// Waiting for an attempt (held ones too).
    pub pending: u64,
    /// With an attempt that is not over.
    pub live: u64,
    /// Done, until re-opened.
    pub finished: u64,
    /// Of all: the latest round was answered by a person.
    pub picked: u64,
    /// Of all: the latest round ended as `completed`.
    pub completed: u64,
}
