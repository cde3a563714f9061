//! Whether and when a call is tried again.

use std::time::Duration;

use crate::batch::BatchSettings;
use crate::call::{CallFacts, CallNext, WaitReason};
use crate::outcome::{Disposition, Outcome, RetryClass};
use crate::time::Timestamp;

/// Sent attempts of a round that reached nobody; with so many the call is given up.
pub const UNCHARGED_MAX: u32 = 5;
/// What is resolved as `unknown` rests at least so long before it is redialed.
pub const UNKNOWN_REST: Duration = Duration::from_secs(60);

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A carrier that asks for more is not believed: an hour.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What a batch says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries after the first charged attempt of a round.
    pub retry: u32,
    /// From the end of an attempt to its retry.
    pub delay: Duration,
    /// Redial what ended as `unknown`.
    pub redial_unknown: bool,
    /// Retry what a voicemail box answered.
    pub retry_voicemail: bool,
    /// The batch is deleted: nothing is tried again.
    pub deleted: bool,
    /// Trunks of the calling number: what one of them could not place, the next one may try at
    /// once (failover, `semantics.md` 3.6 and 3.8).
    pub trunks: u32,
}

impl RetryPolicy {
    /// The policy of a batch with these settings, for a number with so many trunks.
    pub fn of(settings: &BatchSettings, deleted: bool, trunks: u32) -> Self {
        Self {
            retry: u32::from(settings.retry),
            delay: Duration::from_secs(u64::from(settings.delay_s)),
            redial_unknown: settings.redial_unknown,
            retry_voicemail: settings.retry_voicemail,
            deleted,
            trunks,
        }
    }
}

/// What becomes of a call whose attempt ended at `ended_at` with `outcome`; `facts` are those
/// before the attempt. `random` spreads the waits that carriers impose.
pub fn next_step(
    facts: &CallFacts,
    policy: &RetryPolicy,
    outcome: &Outcome,
    ended_at: Timestamp,
    random: u64,
) -> CallNext {
    if policy.deleted {
        return CallNext::Finished(match outcome.retry {
            RetryClass::AtOnce => Disposition::Canceled,
            _ => outcome.disposition,
        });
    }
    let charged = facts.charged + u32::from(outcome.charged);
    let by_policy = |wait: Duration| match charged <= policy.retry {
        true => CallNext::Pending {
            not_before: ended_at.after(wait),
            reason: WaitReason::RetryDelay,
            is_retry: true,
        },
        false => CallNext::Finished(outcome.disposition),
    };
    match outcome.retry {
        RetryClass::Never => CallNext::Finished(outcome.disposition),
        RetryClass::Policy => by_policy(policy.delay),
        RetryClass::IfVoicemail if policy.retry_voicemail => by_policy(policy.delay),
        RetryClass::IfUnknown if policy.redial_unknown => by_policy(policy.delay.max(UNKNOWN_REST)),
        RetryClass::IfVoicemail | RetryClass::IfUnknown => CallNext::Finished(outcome.disposition),
        RetryClass::Uncharged { .. } | RetryClass::Redirected
            if facts.uncharged + 1 >= UNCHARGED_MAX =>
        {
            CallNext::Finished(Disposition::Failed)
        }
        RetryClass::Uncharged { .. } if facts.uncharged + 1 < policy.trunks => {
            at_once(facts, ended_at)
        }
        RetryClass::Uncharged { retry_after } => CallNext::Pending {
            not_before: ended_at.after(backoff(facts.uncharged, retry_after, random)),
            reason: WaitReason::CarrierUnavailable,
            is_retry: facts.charged > 0,
        },
        RetryClass::AtOnce | RetryClass::Redirected => at_once(facts, ended_at),
    }
}

fn at_once(facts: &CallFacts, ended_at: Timestamp) -> CallNext {
    CallNext::Pending { not_before: ended_at, reason: WaitReason::Due, is_retry: facts.charged > 0 }
}

/// How long to leave a carrier alone after the `earlier`-th refusal in a row (from 0): what it
/// asked for, else 1 s doubling to 60 s; and up to a quarter more, so that not all come back at
/// once.
pub fn backoff(earlier: u32, retry_after: Option<Duration>, random: u64) -> Duration {
    let wait = retry_after.map_or_else(
        || BACKOFF_FIRST.saturating_mul(1 << earlier.min(6)).min(BACKOFF_MAX),
        |asked| asked.min(RETRY_AFTER_MAX),
    );
    let quarter_ms = u64::try_from(wait.as_millis() / 4).unwrap_or(0);
    wait + Duration::from_millis(random % (quarter_ms + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{CallEnd, CarrierApi, CarrierCode, outcome_of};
    use proptest::prelude::*;

    const AT: Timestamp = Timestamp::from_millis(1_000_000);

    fn policy(retry: u32) -> RetryPolicy {
        RetryPolicy {
            retry,
            delay: Duration::from_secs(300),
            redial_unknown: false,
            retry_voicemail: false,
            deleted: false,
            trunks: 1,
        }
    }

    fn status(status: u16) -> Outcome {
        outcome_of(&CallEnd::Refused { status, q850: None, retry_after: None })
    }

    #[test]
    fn busy_is_retried_as_often_as_the_batch_says_after_its_delay() {
        let mut facts = CallFacts { round: 1, ..CallFacts::default() };
        for _ in 0..2 {
            let CallNext::Pending { not_before, reason, is_retry } =
                next_step(&facts, &policy(2), &status(486), AT, 7)
            else {
                panic!("given up early")
            };
            assert_eq!(not_before, AT.after(Duration::from_secs(300)));
            assert_eq!((reason, is_retry), (WaitReason::RetryDelay, true));
            facts.charged += 1;
        }
        let last = next_step(&facts, &policy(2), &status(486), AT, 7);
        assert_eq!(last, CallNext::Finished(Disposition::Busy));
    }

    #[test]
    fn invalid_numbers_and_deleted_batches_never_again() {
        let facts = CallFacts { round: 1, ..CallFacts::default() };
        let next = next_step(&facts, &policy(10), &status(404), AT, 0);
        assert_eq!(next, CallNext::Finished(Disposition::InvalidNumber));
        let gone = RetryPolicy { deleted: true, ..policy(10) };
        for end in [CallEnd::Silence, CallEnd::RingTimeout, CallEnd::NotSent { reason: "late" }] {
            let next = next_step(&facts, &gone, &outcome_of(&end), AT, 0);
            assert!(matches!(next, CallNext::Finished(_)), "{end:?}");
        }
    }

    #[test]
    fn five_refusals_of_the_carrier_end_a_round() {
        let mut facts = CallFacts { round: 1, ..CallFacts::default() };
        let mut waits = 0;
        while let CallNext::Pending { reason, is_retry, .. } =
            next_step(&facts, &policy(0), &status(503), AT, 3)
        {
            assert_eq!((reason, is_retry), (WaitReason::CarrierUnavailable, false));
            facts.uncharged += 1;
            waits += 1;
        }
        assert_eq!(waits, 4);
    }

    #[test]
    fn what_one_trunk_refused_the_next_one_may_try_at_once() {
        let mut facts = CallFacts { round: 1, ..CallFacts::default() };
        let three = RetryPolicy { trunks: 3, ..policy(0) };
        for at_once in [true, true, false, false] {
            let next = next_step(&facts, &three, &status(503), AT, 3);
            let CallNext::Pending { not_before, .. } = next else { panic!("given up early") };
            assert_eq!(not_before == AT, at_once, "{}", facts.uncharged);
            facts.uncharged += 1;
        }
        let last = next_step(&facts, &three, &status(503), AT, 3);
        assert_eq!(last, CallNext::Finished(Disposition::Failed));
    }

    #[test]
    fn redirects_are_followed_at_once_and_bounded() {
        let redirected = outcome_of(&CallEnd::Redirected { status: 302 });
        let mut facts = CallFacts { round: 1, ..CallFacts::default() };
        let mut hops = 0;
        while let CallNext::Pending { not_before, .. } =
            next_step(&facts, &policy(9), &redirected, AT, 3)
        {
            assert_eq!(not_before, AT);
            facts.uncharged += 1;
            hops += 1;
        }
        assert_eq!(hops, 4);
    }

    #[test]
    fn unknown_rests_a_minute_and_only_when_asked_for() {
        let facts = CallFacts { round: 1, ..CallFacts::default() };
        let silence = outcome_of(&CallEnd::Silence);
        let next = next_step(&facts, &policy(3), &silence, AT, 0);
        assert_eq!(next, CallNext::Finished(Disposition::Unknown));
        let redial =
            RetryPolicy { redial_unknown: true, delay: Duration::from_secs(1), ..policy(3) };
        let CallNext::Pending { not_before, .. } = next_step(&facts, &redial, &silence, AT, 0)
        else {
            panic!("not redialed")
        };
        assert_eq!(not_before, AT.after(UNKNOWN_REST));
    }

    fn any_end() -> impl Strategy<Value = CallEnd> {
        let wait = proptest::option::of((0u64..200_000).prop_map(Duration::from_secs));
        prop_oneof![
            Just(CallEnd::RingTimeout),
            Just(CallEnd::Silence),
            Just(CallEnd::Lost),
            Just(CallEnd::MachineOver),
            Just(CallEnd::NotSent { reason: "late" }),
            (0u32..10_000).prop_map(|code| CallEnd::CarrierCode {
                carrier: CarrierApi::Plivo,
                code: CarrierCode::Number(code / 10 * 10),
            }),
            (300u16..700, wait).prop_map(|(status, retry_after)| CallEnd::Refused {
                status,
                q850: None,
                retry_after
            }),
        ]
    }

    proptest! {
        /// Over several rounds of any outcomes: never more attempts than the batch and the five
        /// uncharged tries allow, every wait as long as its reason says, nothing after what is
        /// never to be tried again.
        #[test]
        fn a_round_is_as_long_as_its_policy_says(
            retry in 0u32..=10,
            delay_s in 0u64..=604_800,
            (redial_unknown, retry_voicemail) in any::<(bool, bool)>(),
            rounds in proptest::collection::vec(
                proptest::collection::vec((any_end(), 0u64..100_000), 1..60), 1..4),
            random: u64,
        ) {
            let delay = Duration::from_secs(delay_s);
            let policy = RetryPolicy { delay, redial_unknown, retry_voicemail, ..policy(retry) };
            let mut at = AT;
            for (round, ends) in (1..).zip(rounds) {
                let mut facts = CallFacts { round, ..CallFacts::default() };
                for (end, later_ms) in ends {
                    let outcome = outcome_of(&end);
                    let next = next_step(&facts, &policy, &outcome, at, random);
                    facts.charged += u32::from(outcome.charged);
                    let sent = !matches!(end, CallEnd::NotSent { .. });
                    facts.uncharged += u32::from(sent && !outcome.charged);
                    prop_assert!(facts.charged <= retry + 1);
                    prop_assert!(facts.uncharged <= UNCHARGED_MAX);
                    let CallNext::Pending { not_before, reason, is_retry } = next else {
                        let spent = facts.charged > retry || facts.uncharged >= UNCHARGED_MAX;
                        let never = matches!(
                            outcome.retry,
                            RetryClass::Never | RetryClass::IfVoicemail | RetryClass::IfUnknown
                        );
                        prop_assert!(spent || never, "given up early: {end:?}");
                        break;
                    };
                    prop_assert!(outcome.retry != RetryClass::Never);
                    prop_assert!(outcome.disposition != Disposition::InvalidNumber);
                    prop_assert_eq!(is_retry, facts.charged > 0);
                    let wait = not_before.since(at);
                    match reason {
                        WaitReason::Due => prop_assert!(!sent && wait.is_zero()),
                        WaitReason::RetryDelay if outcome.retry == RetryClass::IfUnknown => {
                            prop_assert_eq!(wait, delay.max(UNKNOWN_REST));
                        }
                        WaitReason::RetryDelay => prop_assert_eq!(wait, delay),
                        WaitReason::CarrierUnavailable => {
                            prop_assert!(!outcome.charged && wait <= RETRY_AFTER_MAX * 5 / 4);
                        }
                        other => prop_assert!(false, "{other:?} is not for an attempt's end"),
                    }
                    at = not_before.after(Duration::from_millis(later_ms));
                }
            }
        }

        #[test]
        fn backoff_stays_within_its_bounds(n: u32, random: u64) {
            let wait = backoff(n, None, random);
            prop_assert!(wait >= BACKOFF_FIRST && wait <= BACKOFF_MAX * 5 / 4);
        }
    }
}
