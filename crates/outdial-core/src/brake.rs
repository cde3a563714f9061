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
    /// Why it goes slowly.
    pub slowed_for: Option<PauseReason>,
    /// Its pulse ever as it was when it was last released: what ended before speaks for nothing.
    pub released: Option<Pulse>,
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
    let enough = u64::from(settings.min_attempts.max(1));
    if let Some(reason) = above(settings, pulse, enough.saturating_mul(2)) {
        return Brake::Pause(reason);
    }
    above(settings, pulse, enough).map_or(Brake::Free, Brake::Slow)
}

/// What the brakes say to a batch that they remember `state` of, and what they are to remember:
/// `pulse` is that of the window, `ever` that since it was last resumed.
///
/// A canary decides once. A batch that was slowed down is judged by what ended since: slow as it
/// is, the window may never hold twice as many. It pauses, or it is released and begins anew.
pub fn look(
    settings: &BrakeSettings,
    canary: Option<u32>,
    state: &BrakeState,
    (pulse, ever): (&Pulse, &Pulse),
) -> (Brake, BrakeState) {
    let mut next = *state;
    let canary = canary.filter(|n| *n > 0 && !state.canary_passed);
    if let Some(count) = canary.filter(|n| ever.ended >= u64::from(*n)) {
        if let Some(reason) = judge_canary(settings, count, ever) {
            return (Brake::Pause(reason), next);
        }
        next.canary_passed = true;
    }
    if let Some(slowed) = state.slowed {
        let reason = state.slowed_for.unwrap_or(PauseReason::Failures);
        let brake = judge_slowed(settings, reason, &ever.minus(slowed));
        if brake == Brake::Free {
            (next.slowed, next.slowed_for, next.released) = (None, None, Some(*ever));
        }
        return (brake, next);
    }
    // Both are what ended of late; the shorter of them is the one with less in it.
    let since = ever.minus(state.released.unwrap_or_default());
    let brake = judge(settings, if since.ended < pulse.ended { &since } else { pulse });
    if let Brake::Slow(reason) = brake {
        (next.slowed, next.slowed_for, next.released) = (Some(*ever), Some(reason), None);
    }
    (brake, next)
}

/// What `since`, which ended while the batch went slowly, decides: nothing until enough speaks for
/// or against the share that was above its limit.
fn judge_slowed(settings: &BrakeSettings, reason: PauseReason, since: &Pulse) -> Brake {
    let enough = u64::from(settings.min_attempts.max(1));
    if let Some(reason) = above(settings, since, enough) {
        return Brake::Pause(reason);
    }
    let open = |share: &Share| share.reason == reason && share.percent.is_some();
    match shares(settings, since).iter().find(|share| open(share)) {
        Some(share) if share.of < enough => Brake::Slow(reason),
        _ => Brake::Free,
    }
}

/// One of the shares that are watched.
struct Share {
    percent: Option<u8>,
    part: u64,
    of: u64,
    reason: PauseReason,
}

fn shares(settings: &BrakeSettings, pulse: &Pulse) -> [Share; 3] {
    let share = |percent, part, of, reason| Share { percent, part, of, reason };
    [
        share(settings.failed_percent, pulse.failed, pulse.ended, PauseReason::Failures),
        share(settings.short_percent, pulse.short, pulse.answered, PauseReason::ShortCalls),
        share(settings.voicemail_percent, pulse.voicemail, pulse.ended, PauseReason::Voicemail),
    ]
}

/// The first share above its limit of which at least `enough` speak.
fn above(settings: &BrakeSettings, pulse: &Pulse, enough: u64) -> Option<PauseReason> {
    let is_above = |share: &Share| {
        share.percent.is_some_and(|most| {
            u128::from(share.part) * 100 > u128::from(share.of) * u128::from(most)
        }) && share.of >= enough
    };
    shares(settings, pulse).into_iter().find(is_above).map(|share| share.reason)
}

/// What the first `count` attempts say, of which `pulse` is what came: nothing before so many have
/// ended; then a pause where a share is above its limit, whatever `min_attempts` is.
pub fn judge_canary(settings: &BrakeSettings, count: u32, pulse: &Pulse) -> Option<PauseReason> {
    if pulse.ended < u64::from(count) {
        return None;
    }
    above(settings, pulse, u64::from(count.max(1)))
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

    /// This without the other, which is part of it.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            ended: self.ended.saturating_sub(other.ended),
            failed: self.failed.saturating_sub(other.failed),
            answered: self.answered.saturating_sub(other.answered),
            short: self.short.saturating_sub(other.short),
            voicemail: self.voicemail.saturating_sub(other.voicemail),
            talk_ms: self.talk_ms.saturating_sub(other.talk_ms),
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

    /// Looks at a batch after each of these ends, the window holding the last `window` of them;
    /// what was said, with what is remembered.
    fn watch(
        settings: &BrakeSettings,
        canary: Option<u32>,
        window: usize,
        ends: impl Iterator<Item = Pulse>,
    ) -> Vec<(Brake, BrakeState)> {
        let (mut ever, mut recent, mut state) = (Pulse::default(), Vec::new(), Default::default());
        let mut said = Vec::new();
        for end in ends {
            ever = ever.plus(end);
            recent.push(end);
            let from = recent.len().saturating_sub(window);
            let pulse = recent[from..].iter().fold(Pulse::default(), |sum, p| sum.plus(*p));
            let (brake, next) = look(settings, canary, &state, (&pulse, &ever));
            state = next;
            said.push((brake, state));
        }
        said
    }

    const FAILED: Pulse =
        Pulse { ended: 1, failed: 1, answered: 0, short: 0, voicemail: 0, talk_ms: 0 };
    const QUIET: Pulse = Pulse { failed: 0, ..FAILED };

    #[test]
    fn what_is_slowed_down_pauses_though_the_window_never_holds_twice_as_many() {
        let s = BrakeSettings::default();
        let said = watch(&s, None, 120, std::iter::repeat_n(FAILED, 200));
        let slow = Brake::Slow(PauseReason::Failures);
        assert_eq!((said[98].0, said[99].0, said[198].0), (Brake::Free, slow, slow));
        assert_eq!(said[199].0, Brake::Pause(PauseReason::Failures));
    }

    #[test]
    fn what_is_released_begins_anew() {
        let s = BrakeSettings::default();
        let better = [FAILED, FAILED, FAILED, QUIET].into_iter().cycle();
        let said = watch(&s, None, 1_000, std::iter::repeat_n(FAILED, 100).chain(better.take(400)));
        assert_eq!(said[199].0, Brake::Free);
        assert_eq!(said[199].1.released.map(|p| p.ended), Some(200));
        // 175 of 200, and for long more than 80 in a hundred of the window: but not of what is new.
        assert!(said[199..].iter().all(|(brake, _)| *brake == Brake::Free));
        // It goes wrong again: slow again, and then over.
        let worse = std::iter::repeat_n(FAILED, 200);
        let again =
            watch(&s, None, 150, std::iter::repeat_n(QUIET, 300).chain(worse)).pop().unwrap();
        assert_eq!(again.0, Brake::Slow(PauseReason::Failures));
    }

    #[test]
    fn a_share_is_decided_by_as_many_as_it_is_a_share_of() {
        let s =
            BrakeSettings { failed_percent: None, short_percent: Some(50), ..Default::default() };
        let short = Pulse { answered: 1, short: 1, ..QUIET };
        let ends = std::iter::repeat_n(short, 100).chain(std::iter::repeat_n(QUIET, 300));
        let slow = Brake::Slow(PauseReason::ShortCalls);
        let said = watch(&s, None, 1_000, ends.chain(std::iter::repeat_n(short, 100)));
        assert!(said[99..499].iter().all(|(brake, _)| *brake == slow), "nobody answered");
        assert_eq!(said[499].0, Brake::Pause(PauseReason::ShortCalls));
        // Nobody asks for it any more.
        let off = BrakeSettings { short_percent: None, ..s };
        let ever = pulse(120, 0, 120, 120, 0);
        let (brake, state) = look(&off, None, &said[110].1, (&ever, &ever));
        assert_eq!((brake, state.slowed), (Brake::Free, None));
    }

    #[test]
    fn a_canary_decides_once() {
        let s = BrakeSettings { min_attempts: 1_000, ..BrakeSettings::default() };
        let good = std::iter::repeat_n(QUIET, 5);
        let said = watch(&s, Some(5), 1_000, good.chain(std::iter::repeat_n(FAILED, 400)));
        assert!(!said[3].1.canary_passed && said[4].1.canary_passed);
        assert!(said.iter().all(|(brake, _)| *brake == Brake::Free), "81 in a hundred of all");
        let bad = watch(&s, Some(5), 1_000, std::iter::repeat_n(FAILED, 5));
        assert_eq!(bad[4], (Brake::Pause(PauseReason::Failures), BrakeState::default()));
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

        /// Whatever the window holds: who only fails pauses with the `2 * min`-th end, and who is
        /// slowed down pauses or is released with the next `min`.
        #[test]
        fn slow_does_not_last(
            min in 1usize..30,
            window in 1usize..100,
            ends in proptest::collection::vec(any::<bool>(), 1..300),
        ) {
            let min_attempts = u32::try_from(min).unwrap();
            let s = BrakeSettings { min_attempts, ..BrakeSettings::default() };
            let of = |failed| if failed { FAILED } else { QUIET };
            let said = watch(&s, None, window, ends.into_iter().map(of));
            let mut slow = 0;
            for (brake, state) in said.iter().take_while(|s| !matches!(s.0, Brake::Pause(_))) {
                slow = if state.slowed.is_some() { slow + 1 } else { 0 };
                prop_assert_eq!(state.slowed.is_some(), matches!(brake, Brake::Slow(_)));
                prop_assert!(slow <= min);
            }
            let failing = watch(&s, None, window.max(min), std::iter::repeat_n(FAILED, 2 * min));
            prop_assert_eq!(failing[2 * min - 1].0, Brake::Pause(PauseReason::Failures));
        }
    }
}
