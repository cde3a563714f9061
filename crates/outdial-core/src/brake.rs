//! Brakes: a batch whose calls go wrong slows down, and then pauses.

use serde::{Deserialize, Serialize};

use crate::attempt::{AttemptEnd, AttemptState};
use crate::batch::PauseReason;

/// When a batch is braked. Shares are in percent, 1–100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrakeSettings {
    /// How far back is looked, in seconds.
    pub window_s: u32,
    /// Fewer ended attempts than this in the window say nothing.
    pub min_attempts: u32,
    /// Most attempts in a hundred that fail; none: not braked for that.
    pub failed_percent: Option<u8>,
    /// Most answered calls in a hundred that are shorter than 6 s.
    pub short_percent: Option<u8>,
    /// Most attempts in a hundred that a voicemail box answers.
    pub voicemail_percent: Option<u8>,
}

impl Default for BrakeSettings {
    fn default() -> Self {
        Self {
            window_s: 600,
            min_attempts: 100,
            failed_percent: Some(80),
            short_percent: Some(90),
            voicemail_percent: Some(90),
        }
    }
}

/// How a batch's attempts went: counts of those that ended within a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Sent and over.
    pub ended: u64,
    /// Of those: nobody could be reached, and it was not the callee's doing.
    pub failed: u64,
    /// Of those: a person answered.
    pub answered: u64,
    /// Of the answered: over within 6 s.
    pub short: u64,
    /// A voicemail box answered.
    pub voicemail: u64,
    /// Talk of persons and machines, in milliseconds.
    pub talk_ms: u64,
}

/// What the brakes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// Full pace.
    Free,
    /// At most [`SLOW_CONCURRENCY`] live calls.
    Slow(PauseReason),
    /// No more calls until a person starts the batch again.
    Pause(PauseReason),
}

/// Live calls of a batch that is slowed down.
pub const SLOW_CONCURRENCY: u32 = 2;

/// What the brakes say to a batch with this `pulse` in the window.
pub fn judge(settings: &BrakeSettings, pulse: &Pulse) -> Brake {
    let _ = (settings, pulse);
    Brake::Free
}

/// The pulse of one attempt's end; nothing for one that was not sent.
pub fn pulse_of(end: &AttemptEnd) -> Pulse {
    if end.state == AttemptState::NotSent {
        return Pulse::default();
    }
    Pulse { ended: 1, ..Pulse::default() }
}
