//! Brakes: a batch whose calls go wrong slows down, and then pauses.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::{AttemptEnd, AttemptState};
use crate::batch::PauseReason;
use crate::outcome::{Disposition, Fault};

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
            // A greeting that plays and hangs up is short, and as it should be.
            short_percent: None,
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

/// What the brakes remember of a batch between two looks. Forgotten when a person starts a batch
/// that they had paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrakeState {
    /// It goes slowly: its pulse ever as it was when that began. What ended since decides whether
    /// it pauses or is released.
    pub slowed: Option<Pulse>,
    /// Its canary has sung; it is not listened to again.
    pub canary_passed: bool,
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

/// Answered calls that are over within this count as short. Carriers draw the line at the same
/// place: Twilio and Plivo both count calls of at most 6 s as short-duration calls.
const SHORT: Duration = Duration::from_secs(6);

/// What the brakes say to a batch with this `pulse` in the window: a share strictly above its
/// limit slows the batch down as soon as enough attempts speak for it, and pauses it when twice as
/// many do. The worst is what counts; of equals failures before short calls before voicemail.
pub fn judge(settings: &BrakeSettings, pulse: &Pulse) -> Brake {
    let shares = [
        (settings.failed_percent, pulse.failed, pulse.ended, PauseReason::Failures),
        (settings.short_percent, pulse.short, pulse.answered, PauseReason::ShortCalls),
        (settings.voicemail_percent, pulse.voicemail, pulse.ended, PauseReason::Voicemail),
    ];
    let enough = u64::from(settings.min_attempts.max(1));
    let mut slow = Brake::Free;
    for (percent, part, of, reason) in shares {
        let above = percent.is_some_and(|most| {
            u128::from(part) * 100 > u128::from(of) * u128::from(most) && of >= enough
        });
        if above && of >= enough.saturating_mul(2) {
            return Brake::Pause(reason);
        }
        if above && slow == Brake::Free {
            slow = Brake::Slow(reason);
        }
    }
    slow
}

/// What the first `count` attempts say, of which `pulse` is what came: nothing before so many have
/// ended; then a pause where a share is above its limit, whatever `min_attempts` is.
pub fn judge_canary(settings: &BrakeSettings, count: u32, pulse: &Pulse) -> Option<PauseReason> {
    if pulse.ended < u64::from(count) {
        return None;
    }
    let settings = BrakeSettings { min_attempts: count, ..*settings };
    match judge(&settings, pulse) {
        Brake::Free => None,
        Brake::Slow(reason) | Brake::Pause(reason) => Some(reason),
    }
}

impl Pulse {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            ended: self.ended.saturating_add(other.ended),
            failed: self.failed.saturating_add(other.failed),
            answered: self.answered.saturating_add(other.answered),
            short: self.short.saturating_add(other.short),
            voicemail: self.voicemail.saturating_add(other.voicemail),
            talk_ms: self.talk_ms.saturating_add(other.talk_ms),
        }
    }
}

/// The pulse of one attempt's end; nothing for one that was not sent.
///
/// An `unknown` that is the carrier's doing (it never said a word) is a failure: a trunk that has
/// fallen silent would otherwise use up a whole batch, since `unknown` is charged and not redialed.
/// One that is ours (this process died) is only counted: it says nothing about the batch, and a
/// restart must not pause it.
pub fn pulse_of(end: &AttemptEnd) -> Pulse {
    if end.state == AttemptState::NotSent {
        return Pulse::default();
    }
    let outcome = &end.outcome;
    let failed = match outcome.disposition {
        Disposition::Failed
        | Disposition::Rejected
        | Disposition::InvalidNumber
        | Disposition::Unreachable => true,
        Disposition::Unknown => outcome.fault == Fault::Carrier,
        _ => false,
    };
    let talk = end.talk();
    Pulse {
        ended: 1,
        failed: u64::from(failed),
        answered: u64::from(outcome.picked),
        short: u64::from(outcome.picked && talk < SHORT),
        voicemail: u64::from(outcome.disposition == Disposition::Voicemail),
        talk_ms: u64::try_from(talk.as_millis()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{CallEnd, outcome_of};
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn pulse(ended: u64, failed: u64, answered: u64, short: u64, voicemail: u64) -> Pulse {
        Pulse { ended, failed, answered, short, voicemail, talk_ms: 0 }
    }

    #[test]
    fn the_table() {
        use PauseReason as P;
        let s = BrakeSettings { short_percent: Some(90), ..BrakeSettings::default() };
        let table = [
            // ended, failed, answered, short, voicemail
            (pulse(99, 99, 0, 0, 0), Brake::Free),
            (pulse(100, 80, 20, 0, 0), Brake::Free),
            (pulse(100, 81, 19, 0, 0), Brake::Slow(P::Failures)),
            (pulse(199, 199, 0, 0, 0), Brake::Slow(P::Failures)),
            (pulse(200, 160, 0, 0, 0), Brake::Free),
            (pulse(200, 161, 0, 0, 0), Brake::Pause(P::Failures)),
            // Short is a share of the answered, and enough of them must be there.
            (pulse(1000, 0, 99, 99, 0), Brake::Free),
            (pulse(1000, 0, 100, 90, 0), Brake::Free),
            (pulse(1000, 0, 100, 91, 0), Brake::Slow(P::ShortCalls)),
            (pulse(1000, 0, 200, 181, 0), Brake::Pause(P::ShortCalls)),
            (pulse(100, 0, 0, 0, 91), Brake::Slow(P::Voicemail)),
            (pulse(200, 0, 0, 0, 181), Brake::Pause(P::Voicemail)),
            // A pause for one reason outweighs being slow for another.
            (pulse(200, 161, 100, 100, 0), Brake::Pause(P::Failures)),
        ];
        for (pulse, brake) in table {
            assert_eq!(judge(&s, &pulse), brake, "{pulse:?}");
        }
        let off = BrakeSettings {
            failed_percent: None,
            short_percent: None,
            voicemail_percent: None,
            ..s
        };
        assert_eq!(judge(&off, &pulse(500, 500, 500, 500, 500)), Brake::Free);
    }

    #[test]
    fn the_canary_judges_as_soon_as_it_is_over() {
        let s = BrakeSettings { short_percent: Some(90), ..BrakeSettings::default() };
        assert_eq!(judge_canary(&s, 10, &pulse(9, 9, 0, 0, 0)), None);
        assert_eq!(judge_canary(&s, 10, &pulse(10, 8, 0, 0, 0)), None);
        assert_eq!(judge_canary(&s, 10, &pulse(10, 9, 0, 0, 0)), Some(PauseReason::Failures));
        assert_eq!(judge_canary(&s, 10, &pulse(10, 0, 10, 10, 0)), Some(PauseReason::ShortCalls));
    }

    #[test]
    fn what_each_end_counts_as() {
        let of = |end: CallEnd, talk_ms: u64, state| {
            let answered_at = (talk_ms > 0).then_some(Timestamp::EPOCH);
            pulse_of(&AttemptEnd {
                state,
                outcome: outcome_of(&end),
                sip_status: None,
                sent_at: Some(Timestamp::EPOCH),
                ringing_at: None,
                answered_at,
                ended_at: Timestamp::EPOCH.after(Duration::from_millis(talk_ms)),
            })
        };
        let refused = |status| CallEnd::Refused { status, q850: None, retry_after: None };
        let ended = AttemptState::Ended;
        let talked = |ms, short| Pulse { talk_ms: ms, ..pulse(1, 0, 1, short, 0) };
        let table = [
            (CallEnd::TalkOver, 5_999, ended, talked(5_999, 1)),
            (CallEnd::TalkOver, 6_000, ended, talked(6_000, 0)),
            (CallEnd::MachineOver, 3_000, ended, Pulse { talk_ms: 3_000, ..pulse(1, 0, 0, 0, 1) }),
            (CallEnd::RingTimeout, 0, ended, pulse(1, 0, 0, 0, 0)),
            (refused(486), 0, ended, pulse(1, 0, 0, 0, 0)),
            (refused(404), 0, ended, pulse(1, 1, 0, 0, 0)),
            (refused(480), 0, ended, pulse(1, 1, 0, 0, 0)),
            (refused(503), 0, ended, pulse(1, 1, 0, 0, 0)),
            (refused(603), 0, ended, pulse(1, 1, 0, 0, 0)),
            (CallEnd::Canceled, 0, ended, pulse(1, 0, 0, 0, 0)),
            (CallEnd::Silence, 0, AttemptState::Unknown, pulse(1, 1, 0, 0, 0)),
            (CallEnd::Lost, 0, AttemptState::Unknown, pulse(1, 0, 0, 0, 0)),
            (CallEnd::NotSent { reason: "late" }, 0, AttemptState::NotSent, Pulse::default()),
        ];
        for (end, talk, state, want) in table {
            assert_eq!(of(end, talk, state), want, "{end:?}");
        }
    }

    proptest! {
        /// More failures never loosen a brake.
        #[test]
        fn worse_is_never_judged_better(ended in 0u64..400, failed in 0u64..400, min in 0u32..150) {
            let s = BrakeSettings { min_attempts: min, ..BrakeSettings::default() };
            let rank = |brake| match brake {
                Brake::Free => 0,
                Brake::Slow(_) => 1,
                Brake::Pause(_) => 2,
            };
            let failed = failed.min(ended);
            let now = rank(judge(&s, &pulse(ended, failed, 0, 0, 0)));
            let worse = rank(judge(&s, &pulse(ended + 1, failed + 1, 0, 0, 0)));
            prop_assert!(worse >= now);
        }
    }
}
