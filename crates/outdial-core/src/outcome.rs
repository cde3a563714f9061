//! What came of an attempt: the one table from what the carrier said to a disposition, whose fault
//! it was, and whether to try again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a call ended, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Answered by a person, and over.
    Completed,
    /// Answered by a machine.
    Voicemail,
    /// It rang, nobody answered.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// The callee, or the callee's network, declined.
    Rejected,
    /// The network or the trunk failed.
    Failed,
    /// The number does not exist.
    InvalidNumber,
    /// The callee could not be reached (switched off, out of coverage).
    Unreachable,
    /// Taken back by us: canceled, deleted, or answered after we had hung up.
    Canceled,
    /// Never tried: do-not-call, rules, no common hours.
    Skipped,
    /// Its time was over before it could be placed.
    Expired,
    /// It may have been placed; what came of it cannot be known.
    Unknown,
}

impl Disposition {
    /// Every one.
    pub const ALL: [Disposition; 12] = [
        Self::Completed,
        Self::Voicemail,
        Self::NoAnswer,
        Self::Busy,
        Self::Rejected,
        Self::Failed,
        Self::InvalidNumber,
        Self::Unreachable,
        Self::Canceled,
        Self::Skipped,
        Self::Expired,
        Self::Unknown,
    ];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Voicemail => "voicemail",
            Self::NoAnswer => "no-answer",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::InvalidNumber => "invalid-number",
            Self::Unreachable => "unreachable",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }

    /// The reverse of [`Disposition::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == word)
    }
}

/// Whose fault an outcome was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Nobody's: it went as meant.
    None,
    /// The called side's: busy, no answer, declined, does not exist.
    Callee,
    /// The carrier's or the network's.
    Carrier,
    /// Ours.
    Local,
}

impl Fault {
    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Callee => "callee",
            Self::Carrier => "carrier",
            Self::Local => "local",
        }
    }
}

/// Whether an outcome asks for another attempt; the batch's policy decides (`crate::retry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// Never again.
    Never,
    /// As often as the batch's `retry` says, after its `delay`.
    Policy,
    /// As `Policy` if the batch says `retryVoicemail`, else never.
    IfVoicemail,
    /// As `Policy` if the batch says `redialUnknown`, else never; and at least 60 s later.
    IfUnknown,
    /// Nobody was reached and nothing is charged: after a wait, at most 5 times a round.
    Uncharged {
        /// What the carrier asked for (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// Nothing was sent: due again at once, nothing counted.
    AtOnce,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the words of the API.
    pub disposition: Disposition,
    /// Whose fault.
    pub fault: Fault,
    /// Whether to try again.
    pub retry: RetryClass,
    /// A stable word that says more than the disposition: `carrier_unavailable`, `timer_b`, …
    pub reason: &'static str,
    /// The callee's side was reached: the attempt counts against `retry`.
    pub charged: bool,
    /// A person answered: the record counts as picked.
    pub picked: bool,
}

/// How the carrier says that an attempt is over. Everything that a carrier can report is one of
/// these; [`outcome_of`] makes the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// Answered, talked, and over (a BYE in either direction, or 481).
    TalkOver,
    /// Answered by a machine, and over.
    MachineOver,
    /// A final answer of 300 or more before any 2xx (RFC 3261 section 21).
    Refused {
        /// The SIP status.
        status: u16,
        /// The Q.850 cause of a `Reason` header (RFC 3326), if there was one.
        q850: Option<u8>,
        /// `Retry-After`, if there was one.
        retry_after: Option<Duration>,
    },
    /// It rang for as long as we let it; our CANCEL ended it (487).
    RingTimeout,
    /// We took it back before the answer; our CANCEL ended it (487).
    Canceled,
    /// It was answered after our CANCEL, and we hung up.
    AnsweredThenDropped,
    /// No answer of any kind until Timer B (RFC 3261 section 17.1.1.2): ambiguous.
    Silence,
    /// It certainly did not leave: no route, no socket, the connection stood in pieces before it.
    NotSent {
        /// A stable word.
        reason: &'static str,
    },
    /// We lost sight of it (a crash, a broken connection after the send): ambiguous.
    Lost,
}
