//! An attempt: at most one INVITE, and what is known of it.

use std::time::Duration;

use crate::outcome::{CallEnd, Outcome};
use crate::time::Timestamp;

/// Where an attempt stands. Its history only goes forward (I6).
///
/// ```text
/// Intent ─▶ Sent ─▶ Ringing ─▶ Answered ─▶ Ended
///   │         └────────┴──────────┴──────▶ Ended | Unknown
///   └────▶ NotSent | Unknown
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptState {
    /// Committed; nothing has left yet as far as anybody knows.
    Intent,
    /// Handed to the carrier.
    Sent,
    /// The callee's side answered provisionally.
    Ringing,
    /// A 2xx came.
    Answered,
    /// Over, with an outcome.
    Ended,
    /// It certainly did not leave.
    NotSent,
    /// It may have left; what came of it cannot be known.
    Unknown,
}

impl AttemptState {
    /// Every one, in the order in which an attempt can pass through them.
    pub const ALL: [AttemptState; 7] = [
        Self::Intent,
        Self::Sent,
        Self::Ringing,
        Self::Answered,
        Self::Ended,
        Self::NotSent,
        Self::Unknown,
    ];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Sent => "sent",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Ended => "ended",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }

    /// The reverse of [`AttemptState::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::NotSent | Self::Unknown)
    }

    /// `callStatus` of a phone log while the attempt is live.
    pub const fn live_status(self) -> &'static str {
        match self {
            Self::Answered => "in-progress",
            Self::Ringing => "ringing",
            _ => "dialing",
        }
    }
}

/// What a carrier tells of a call that it was asked to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// A provisional answer of the callee's side (180, 183).
    Ringing,
    /// A 2xx: somebody or something is on the line.
    Answered,
    /// Over. Nothing follows.
    Ended(CallEnd),
}

/// What the runner of an attempt tells its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEvent {
    /// Time has passed; look at the deadlines.
    Tick,
    /// The carrier said something.
    Carrier(CallEvent),
    /// The carrier's event stream ended without a final word.
    CarrierGone,
    /// The batch was deleted, or the number put on the do-not-call list: take the call back unless
    /// it is answered.
    Recall,
}

/// What the machine of an attempt asks of its runner, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptCommand {
    /// Hand it to the carrier, now. Comes at most once.
    Place,
    /// Take it back (the carrier turns this into CANCEL, or BYE when it is too late for that).
    Cancel,
    /// Remember how far it is; nobody waits for it.
    Record(AttemptProgress),
    /// It is over: record this, and wait until it is recorded. Comes exactly once, last.
    Finish(AttemptEnd),
}

/// How far a live attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptProgress {
    /// `Sent`, `Ringing` or `Answered`.
    pub state: AttemptState,
    /// Since when.
    pub at: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// `Ended`, `NotSent` or `Unknown`.
    pub state: AttemptState,
    /// The verdict.
    pub outcome: Outcome,
    /// The SIP status that ended it, if one did.
    pub sip_status: Option<u16>,
    /// When it was handed to the carrier.
    pub sent_at: Option<Timestamp>,
    /// When the callee's side first answered provisionally.
    pub ringing_at: Option<Timestamp>,
    /// When the 2xx came.
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Timestamp,
}

impl AttemptEnd {
    /// Time between the answer and the end.
    pub fn talk(&self) -> Duration {
        self.answered_at.map_or(Duration::ZERO, |at| self.ended_at.since(at))
    }
}
