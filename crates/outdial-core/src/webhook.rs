//! When an event is sent to a webhook endpoint again, and when an endpoint is given up.
//!
//! Pure: the instant, the tries so far and chance are arguments. Sends nothing.

mod address;
mod url;

use std::time::Duration;

pub use address::is_public;
pub use url::{Host, InvalidUrl, Reach, WebhookUrl};

use crate::time::Timestamp;

/// Waits between tries, in seconds: growing, a little over a day together.
const WAITS_S: [u32; 16] =
    [2, 5, 15, 30, 60, 120, 300, 600, 1_200, 2_400, 3_600, 7_200, 10_800, 14_400, 18_000, 28_800];
/// A delivery is not given up before this, nor before it was tried after every wait.
pub const DELIVERY_TRIED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// An endpoint that nothing reached for so long is disabled.
pub const ENDPOINT_FAILED_FOR: Duration = Duration::from_secs(72 * 3_600);
/// A receiver that asks for a longer rest is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// An endpoint that failed rests at least so long, and twice as long after each further failure.
const REST_FIRST: Duration = Duration::from_millis(500);
/// It is asked again at least so often.
const REST_MAX: Duration = Duration::from_secs(60);
/// HTTP 410: the receiver wants nothing any more.
const GONE: u16 = 410;

/// What came of one try, as far as the next step depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status; none: there was no answer.
    pub status: Option<u16>,
    /// What the receiver asked for by `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStep {
    /// It arrived.
    Delivered,
    /// It is tried again at this instant.
    Again(Timestamp),
    /// It is not tried again.
    GivenUp,
}

/// What becomes of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointStep {
    /// It stays as it is.
    Stays,
    /// It gets nothing any more, for this reason.
    Disabled(&'static str),
}

/// What comes after a try that ended at `now`. `tries`: how many there were since `first_at`, this
/// one too. `random` spreads what would come back at once.
pub fn after_try(
    answered: Answered,
    tries: u32,
    first_at: Timestamp,
    now: Timestamp,
    random: u64,
) -> DeliveryStep {
    if arrived(answered) {
        return DeliveryStep::Delivered;
    }
    // 410 ends the endpoint, not the delivery: should it be enabled again, that is due as it was.
    // A day that it waited through behind others, or while its endpoint was disabled, counts for no
    // try: each has all of them.
    let last = usize::try_from(tries).unwrap_or(usize::MAX).saturating_sub(1);
    if now.since(first_at) >= DELIVERY_TRIED_FOR && last >= WAITS_S.len() {
        return DeliveryStep::GivenUp;
    }
    let wait = WAITS_S.get(last).or(WAITS_S.last()).copied().unwrap_or(1);
    let wait = spread(Duration::from_secs(u64::from(wait)), random);
    let asked = answered.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    DeliveryStep::Again(now.after(wait.max(asked)))
}

/// What becomes of an endpoint after a try. `failing_since`: when the first try failed that none
/// succeeded since; this one, if it is the first.
pub fn endpoint_after(
    answered: Answered,
    failing_since: Option<Timestamp>,
    now: Timestamp,
) -> EndpointStep {
    if arrived(answered) {
        return EndpointStep::Stays;
    }
    if answered.status == Some(GONE) {
        return EndpointStep::Disabled("the receiver answered 410");
    }
    match failing_since {
        Some(since) if now.since(since) >= ENDPOINT_FAILED_FOR => {
            EndpointStep::Disabled("nothing was delivered for 72 hours")
        }
        _ => EndpointStep::Stays,
    }
}

/// How long an endpoint rests after so many failures in a row, whatever waits for it.
pub fn rest_after(failures: u32, random: u64) -> Duration {
    let doubled = REST_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    spread(doubled.min(REST_MAX), random)
}

/// True: the receiver has it.
pub fn arrived(answered: Answered) -> bool {
    answered.status.is_some_and(|status| (200..300).contains(&status))
}

/// `wait`, a fifth more or less.
fn spread(wait: Duration, random: u64) -> Duration {
    let permille = u32::try_from(random % 401).unwrap_or(0) + 800;
    wait * permille / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn status(status: u16) -> Answered {
        Answered { status: Some(status), retry_after: None }
    }

    /// Plays failures to the end: when each try was, in seconds after the first.
    fn play(answered: Answered, random: impl Fn(u32) -> u64) -> Vec<u64> {
        let (mut now, mut at) = (START, Vec::new());
        for tries in 1.. {
            at.push(now.since(START).as_secs());
            match after_try(answered, tries, START, now, random(tries)) {
                DeliveryStep::Again(next) => {
                    assert!(next > now);
                    now = next;
                }
                DeliveryStep::GivenUp => break,
                DeliveryStep::Delivered => panic!("delivered"),
            }
        }
        at
    }

    #[test]
    fn waits_grow_over_a_day_and_then_it_is_given_up() {
        let at = play(status(500), |_| 200);
        let waits: Vec<u64> = at.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(waits, WAITS_S.map(u64::from));
        for random in [0, 400] {
            let at = play(Answered::default(), |_| random);
            let last = *at.last().unwrap();
            assert!((86_400..2 * 86_400).contains(&last), "{at:?}");
        }
    }

    #[test]
    fn what_waited_behind_others_is_tried_as_often() {
        let late = START.after(2 * DELIVERY_TRIED_FOR);
        for (tries, is_over) in [(1, false), (16, false), (17, true), (u32::MAX, true)] {
            let next = after_try(status(500), tries, START, late, 200);
            assert_eq!(next == DeliveryStep::GivenUp, is_over, "{tries}");
        }
    }

    #[test]
    fn waits_are_spread() {
        let next = |random| after_try(status(503), 5, START, START, random);
        let of = |ms| DeliveryStep::Again(START.after(Duration::from_millis(ms)));
        assert_eq!((next(0), next(400), next(401)), (of(48_000), of(72_000), of(48_000)));
    }

    #[test]
    fn what_the_receiver_asks_for_is_kept_within_reason() {
        let next = |retry_after_s| {
            let retry_after = Some(Duration::from_secs(retry_after_s));
            after_try(Answered { status: Some(429), retry_after }, 1, START, START, 200)
        };
        let of = |s| DeliveryStep::Again(START.after(Duration::from_secs(s)));
        assert_eq!((next(0), next(90), next(1 << 40)), (of(2), of(90), of(3_600)));
    }

    #[test]
    fn only_2xx_has_arrived() {
        for (code, has) in [(200, true), (204, true), (299, true), (199, false), (302, false)] {
            let next = after_try(status(code), 1, START, START, 0);
            assert_eq!(next == DeliveryStep::Delivered, has, "{code}");
        }
    }

    #[test]
    fn endpoints_are_given_up_for_410_and_after_three_days() {
        let late = START.after(ENDPOINT_FAILED_FOR);
        let just_before = late.before(Duration::from_millis(1));
        let gone = endpoint_after(status(410), None, START);
        assert!(matches!(gone, EndpointStep::Disabled(_)));
        // The delivery waits for somebody to enable the endpoint again.
        assert!(matches!(after_try(status(410), 1, START, START, 0), DeliveryStep::Again(_)));
        for (code, since, now, stays) in [
            (500, None, late, true),
            (500, Some(START), just_before, true),
            (500, Some(START), late, false),
            (200, Some(START), late, true),
        ] {
            let step = endpoint_after(status(code), since, now);
            assert_eq!(step == EndpointStep::Stays, stays, "{code} {since:?}");
        }
        assert!(matches!(
            endpoint_after(Answered::default(), Some(START), late),
            EndpointStep::Disabled(_)
        ));
    }

    #[test]
    fn a_failing_endpoint_rests_longer_each_time() {
        let rests: Vec<u64> =
            (1..=9).map(|n| u64::try_from(rest_after(n, 200).as_millis()).unwrap()).collect();
        assert_eq!(rests, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert!(rest_after(u32::MAX, 400) <= Duration::from_secs(72));
    }
}
