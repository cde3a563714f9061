//! A call: one record of a batch, (batch, phone number), and what is known of it between attempts.

use serde::{Deserialize, Serialize};

use crate::outcome::Disposition;
use crate::time::Timestamp;

/// Where a call stands.
///
/// ```text
///            intent committed            outcome: no further attempt
/// Pending ─────────────────────▶ Live ─────────────────────────────▶ Finished
///  ▲  ▲                           │                                      │
///  │  └── outcome: retry, not_sent┘                                      │
///  └───────────────── added again: a new round, due at once ─────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallState {
    /// Waits until `not_before`, hours and limits allow the next attempt.
    Pending,
    /// An attempt of it is not over.
    Live,
    /// Has a disposition; added again, it is re-opened.
    Finished,
}

/// What retry arithmetic needs to know of a call, as of before the attempt in question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFacts {
    /// Rounds count from 1; every re-opening begins a new one.
    pub round: u32,
    /// Attempts of this round that reached the callee's side; what the retry limit counts.
    pub charged: u32,
    /// Attempts of this round that were sent and did not.
    pub uncharged: u32,
    /// Number of the latest attempt; only grows, over all rounds.
    pub attempts: u32,
}

/// Why a pending call is not due yet: the reason beside `not_before`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Nothing holds it back: just added, re-opened, or given back unsent.
    Due,
    /// The batch's `delay` after an attempt that is to be retried.
    RetryDelay,
    /// The trunk refused (503, and the like); nobody was reached.
    CarrierUnavailable,
    /// Another call to the same number is live in the workspace.
    NumberBusy,
    /// The person was called as often in 24 h as the workspace or the calling rules allow.
    AttemptsPerDay,
}

impl WaitReason {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Due,
        Self::RetryDelay,
        Self::CarrierUnavailable,
        Self::NumberBusy,
        Self::AttemptsPerDay,
    ];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::RetryDelay => "retry_delay",
            Self::CarrierUnavailable => "carrier_unavailable",
            Self::NumberBusy => "number_busy",
            Self::AttemptsPerDay => "attempts_per_day",
        }
    }

    /// The reverse of [`WaitReason::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

/// What becomes of a call when its attempt is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallNext {
    /// Pending again.
    Pending {
        /// Earliest instant of the next attempt (hours may make it later).
        not_before: Timestamp,
        /// Why not earlier.
        reason: WaitReason,
        /// Whether the next attempt counts as a retry for the share that retries get.
        is_retry: bool,
    },
    /// Done.
    Finished(Disposition),
}
