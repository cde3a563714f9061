//! Why a pending call was not placed yet, in the words of the API.
//!
//! Nothing is judged here: the gates come from `Dispatcher::explain`, and what is known of times
//! from the same gates at later instants.

use crate::batch::{BatchState, PauseReason};
use crate::call::WaitReason;
use crate::dispatcher::{BatchHead, Gate, Head, Outlook, Wait, next_opening};
use crate::time::Timestamp;
use crate::zone::Class;

/// The word for [`Standing::older`].
pub const DATABASE_OLDER: &str = "database_older";

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable word.
    pub word: &'static str,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
}

/// Where a pending call, or many that are alike, stand.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The database is refused as an older copy: nobody of the workspace is dialed.
    pub older: bool,
    /// Its batch's state.
    pub state: BatchState,
    /// Why the batch is paused, if it is.
    pub pause: Option<PauseReason>,
    /// A start with `callData` holds it back: its lane is not the batch's.
    pub held: bool,
    /// Its `not_before`, and the reason for it.
    pub waiting: Option<(Timestamp, WaitReason)>,
    /// What `Dispatcher::explain` says of its group.
    pub gates: &'a [Wait],
}

/// Everything that holds a call back at `now`, what weighs most first; each word once. A call that
/// nothing holds back is `queued`: its turn comes after those before it.
///
/// The order: the database is refused, the batch does not run, the call is held, the batch has
/// expired, nothing ever opens, the call is not due, calling rules, calling hours, budget, price,
/// numbers, cap of the day, pause of the trunk, brake, canary, concurrency of the batch and the
/// workspace, channels, calls per second, the node.
pub fn reasons(standing: &Standing<'_>, now: Timestamp) -> Vec<Reason> {
    let mut found: Vec<(u8, Reason)> = Vec::new();
    let without_time = |word| Reason { word, until: None };
    if standing.older {
        found.push((0, without_time(DATABASE_OLDER)));
    }
    found.extend(batch_word(standing).map(|word| (0, without_time(word))));
    if standing.held {
        found.push((1, without_time(PauseReason::CallsHeld.as_str())));
    }
    if let Some((not_before, reason)) = standing.waiting.filter(|(at, _)| *at > now) {
        found.push((4, Reason { word: reason.as_str(), until: Some(not_before) }));
    }
    for wait in standing.gates {
        if let Some(rank) = rank(wait.gate) {
            let until = (wait.until != Timestamp::MAX).then_some(wait.until);
            found.push((rank, Reason { word: wait.gate.as_str(), until }));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    let mut reasons: Vec<Reason> = Vec::with_capacity(found.len().max(1));
    for (_, reason) in found {
        if reasons.iter().all(|known| known.word != reason.word) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() {
        reasons.push(without_time(Gate::Turn.as_str()));
    }
    reasons
}

/// The one reason under which a call is counted: the first of [`reasons`], so that counts by
/// reason add up to the pending calls. For a `Bucket` the standing has its `earliest`, `reason`
/// and the gates of its group.
pub fn dominant(standing: &Standing<'_>, now: Timestamp) -> Reason {
    let first = reasons(standing, now).into_iter().next();
    first.expect("there always is a reason, if only that it is queued")
}

/// The earliest instant from `now` on at which nothing holds the call that is known in time: its
/// own wait, hours and rules, pauses of trunks, the pace of the lines, caps and budgets of a day.
/// Its turn may come later than that. None where it never will, because nothing ever opens or the
/// batch expires first, and where something without a time must happen before: the database is
/// refused, the batch does not run, the call is held, a brake or the canary is on, a number or a
/// price is missing, a budget is used up. For a call that could go out now that is also a free
/// channel, and room among the live calls of the batch and the workspace; of later instants their
/// being full now says nothing.
pub fn next_attempt_at(
    batch: &BatchHead,
    head: &Head,
    zones: &Class,
    standing: &Standing<'_>,
    now: Timestamp,
) -> Option<Timestamp> {
    let without_time = standing.gates.iter().any(|wait| {
        matches!(wait.gate, Gate::Brake | Gate::Canary) && wait.until == Timestamp::MAX
    });
    if standing.older || batch_word(standing).is_some() || standing.held || without_time {
        return None;
    }
    let from = standing.waiting.map_or(now, |(not_before, _)| not_before.max(now));
    let is_full = standing.gates.iter().any(|wait| {
        use Gate::{BatchConcurrency, NodeCapacity, WorkspaceConcurrency};
        matches!(wait.gate, BatchConcurrency | WorkspaceConcurrency | NodeCapacity)
    });
    match next_opening(head, batch, zones, (now, from), is_full) {
        Outlook::At(at) => Some(at),
        Outlook::Nothing => None,
    }
}

/// What the state of the batch says; none: it runs.
fn batch_word(standing: &Standing<'_>) -> Option<&'static str> {
    match (standing.state, standing.pause) {
        (BatchState::Active, _) => None,
        (BatchState::Paused, Some(reason)) => Some(reason.as_str()),
        (BatchState::Paused, None) => Some("batch_paused"),
        (BatchState::Stopped, _) => Some("batch_stopped"),
        (BatchState::Pending | BatchState::Importing, _) => Some("batch_not_started"),
        (BatchState::Completed | BatchState::Deleted, _) => Some("batch_not_running"),
    }
}

/// What weighs more comes first; none: said otherwise, or nothing but the calls before it.
fn rank(gate: Gate) -> Option<u8> {
    Some(match gate {
        // The call's own wait says it better than that of its group.
        Gate::NotBefore | Gate::TurnLimit | Gate::Turn => return None,
        Gate::Expired => 2,
        Gate::NoCommonHours | Gate::PlaceUnknown => 3,
        Gate::Rules => 5,
        Gate::Hours => 6,
        Gate::Budget => 7,
        Gate::NoPrice => 8,
        Gate::NoNumbers => 9,
        Gate::CallsPerDay => 10,
        Gate::TrunkDown => 11,
        Gate::TrunkPaused => 12,
        Gate::Brake => 13,
        Gate::Canary => 14,
        Gate::BatchConcurrency => 15,
        Gate::WorkspaceConcurrency => 16,
        Gate::Channels => 17,
        Gate::Pacing => 18,
        Gate::NodeCapacity => 19,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchSettings;
    use crate::brake::{BrakeSettings, Pulse};
    use crate::budget::{Budget, Day, Spend};
    use crate::dispatcher::{LineLimits, NumberHead, TrunkHead};
    use crate::hours::CallingHours;
    use crate::id::{BatchId, PhoneId, TrunkId, WorkspaceId};
    use crate::phone::PhoneNumber;
    use crate::settings::CallingRules;
    use crate::zone::Zone;
    use std::sync::Arc;

    fn t(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        t("2027-01-15T08:00:00Z")
    }

    fn head(settings: BatchSettings) -> Head {
        let (trunk, number) = (TrunkId::from_parts(1, 1), PhoneId::from_parts(1, 1));
        Head {
            workspace: WorkspaceId::from_parts(1, 1),
            version: 1,
            clock: now(),
            concurrency: None,
            live: 0,
            rules: CallingRules::Off,
            zone: Zone::utc(),
            attempts_24h: None,
            brakes: BrakeSettings::default(),
            batches: vec![BatchHead {
                id: BatchId::from_parts(1, 1),
                settings: Arc::new(settings),
                numbers: vec![number],
                lane: None,
                live: 0,
                spent: Spend::NONE,
                spent_by_day: vec![],
                pulse: Pulse::default(),
                pulse_ever: Pulse::default(),
                brake: Default::default(),
            }],
            numbers: vec![NumberHead {
                id: number,
                number: PhoneNumber::from_digits(1),
                trunks: vec![trunk],
                limits: LineLimits::default(),
                live: 0,
                slots: vec![],
                price: None,
                placed_by_day: vec![],
            }],
            trunks: vec![TrunkHead {
                id: trunk,
                limits: LineLimits::default(),
                live: 0,
                slots: vec![],
                paused_until: None,
                is_down: false,
                max_call_s: None,
            }],
        }
    }

    fn standing(gates: &[Wait]) -> Standing<'_> {
        let state = BatchState::Active;
        Standing { older: false, state, pause: None, held: false, waiting: None, gates }
    }

    fn next(h: &Head, standing: &Standing<'_>) -> Option<Timestamp> {
        next_attempt_at(&h.batches[0], h, &Class::new([Zone::utc()]), standing, now())
    }

    fn words(standing: &Standing<'_>) -> Vec<&'static str> {
        reasons(standing, now()).iter().map(|r| r.word).collect()
    }

    #[test]
    fn every_reason_in_order_and_each_word_once() {
        let wait = |gate, until| Wait { gate, until };
        let later = t("2027-01-15T09:00:00Z");
        let gates = [
            wait(Gate::NotBefore, later),
            wait(Gate::Channels, Timestamp::MAX),
            wait(Gate::Budget, Timestamp::MAX),
            wait(Gate::Hours, later),
        ];
        let all = Standing {
            older: false,
            state: BatchState::Paused,
            pause: Some(PauseReason::Budget),
            held: true,
            waiting: Some((later, WaitReason::RetryDelay)),
            gates: &gates,
        };
        let want = ["budget", "calls_held", "retry_delay", "outside_calling_hours", "channels"];
        assert_eq!(words(&all), want);
        assert_eq!(dominant(&all, now()).word, "budget");
        let older = Standing { older: true, ..all };
        assert_eq!(words(&older), [[DATABASE_OLDER].as_slice(), &want].concat());
        assert_eq!(dominant(&older, now()), Reason { word: DATABASE_OLDER, until: None });
        assert_eq!(words(&Standing { older: true, ..standing(&[]) }), [DATABASE_OLDER]);
        let got = reasons(&standing(&gates), now());
        assert_eq!(got[0], Reason { word: "outside_calling_hours", until: Some(later) });
        assert_eq!(got[1], Reason { word: "budget", until: None });
        assert_eq!(words(&standing(&[])), ["queued"]);
        let due = Standing { waiting: Some((now(), WaitReason::RetryDelay)), ..standing(&[]) };
        assert_eq!(words(&due), ["queued"]);
    }

    #[test]
    fn states_and_pauses_have_their_words() {
        let word = |state, pause| words(&Standing { state, pause, ..standing(&[]) })[0];
        assert_eq!(word(BatchState::Stopped, None), "batch_stopped");
        assert_eq!(word(BatchState::Pending, None), "batch_not_started");
        assert_eq!(word(BatchState::Paused, None), "batch_paused");
        for reason in PauseReason::ALL {
            assert_eq!(word(BatchState::Paused, Some(reason)), reason.as_str());
        }
    }

    #[test]
    fn the_next_attempt_is_where_everything_with_a_time_is_open() {
        let hours = CallingHours::new(Some(("09:00", "17:00")), None).unwrap();
        let settings = BatchSettings { calling_hours: hours, ..BatchSettings::default() };
        let mut h = head(settings.clone());
        assert_eq!(next(&h, &standing(&[])), Some(t("2027-01-15T09:00:00Z")));
        let retry = t("2027-01-15T16:59:00Z");
        let delayed = Standing { waiting: Some((retry, WaitReason::RetryDelay)), ..standing(&[]) };
        assert_eq!(next(&h, &delayed), Some(retry));
        // The trunk's pause outlasts the day's hours.
        h.clock = t("2027-01-15T16:30:00Z");
        h.trunks[0].paused_until = Some(t("2027-01-15T17:30:00Z"));
        assert_eq!(next(&h, &delayed), Some(t("2027-01-16T09:00:00Z")));
        // One that no trunk can be given: the clock was set back.
        h.clock = now();
        assert_eq!(next(&h, &delayed), Some(retry));
        // The number's cap is reached today.
        h.trunks[0].paused_until = None;
        h.numbers[0].limits.calls_per_day = Some(2);
        h.numbers[0].placed_by_day = vec![(Day::of(&Zone::utc(), now()), 2)];
        assert_eq!(next(&h, &standing(&[])), Some(t("2027-01-16T09:00:00Z")));
        // So is the budget of the day.
        let budget = Some(Budget { seconds: Some(600), micros: None, per_day: true });
        h.numbers[0].limits.calls_per_day = None;
        h.batches[0].settings = Arc::new(BatchSettings { budget, ..settings.clone() });
        h.batches[0].spent_by_day =
            vec![(Day::of(&Zone::utc(), now()), Spend { seconds: 1, micros: 0 })];
        assert_eq!(next(&h, &standing(&[])), Some(t("2027-01-16T09:00:00Z")));
        // It expires before that.
        let expires_at = Some(t("2027-01-16T09:00:00Z"));
        h.batches[0].settings = Arc::new(BatchSettings { budget, expires_at, ..settings });
        assert_eq!(next(&h, &standing(&[])), None);
    }

    #[test]
    fn the_next_attempt_keeps_the_pace() {
        let ms = |ms| now().after(std::time::Duration::from_millis(ms));
        let mut h = head(BatchSettings::default());
        h.trunks[0].limits.calls_per_second = Some(0.1);
        h.trunks[0].slots = vec![ms(0)];
        assert_eq!(next(&h, &standing(&[])), Some(ms(11_000)));
        let retry =
            Standing { waiting: Some((ms(60_000), WaitReason::RetryDelay)), ..standing(&[]) };
        assert_eq!(next(&h, &retry), Some(ms(60_000)));
        // The clock was set back: as if the last slot were at the end of a turn.
        h.trunks[0].slots = vec![ms(3_600_000)];
        assert_eq!(next(&h, &standing(&[])), Some(ms(11_250)));
    }

    #[test]
    fn what_passes_as_calls_end_has_no_time_and_says_nothing_of_later() {
        let mut h = head(BatchSettings::default());
        let later = t("2027-01-15T08:05:00Z");
        let retry = Standing { waiting: Some((later, WaitReason::RetryDelay)), ..standing(&[]) };
        h.trunks[0].limits.channels = Some(0);
        assert_eq!((next(&h, &standing(&[])), next(&h, &retry)), (None, Some(later)));
        // Another number has a channel, in a while.
        let (trunk, number) = (TrunkId::from_parts(1, 2), PhoneId::from_parts(1, 2));
        let paused = TrunkHead { id: trunk, paused_until: Some(later), ..h.trunks[0].clone() };
        let paused = TrunkHead { limits: LineLimits::default(), ..paused };
        h.trunks.push(paused);
        h.numbers.push(NumberHead { id: number, trunks: vec![trunk], ..h.numbers[0].clone() });
        h.batches[0].numbers.push(number);
        assert_eq!(next(&h, &standing(&[])), Some(later));
        h.trunks[0].limits.channels = None;
        for gate in [Gate::BatchConcurrency, Gate::WorkspaceConcurrency, Gate::NodeCapacity] {
            let full = [Wait { gate, until: Timestamp::MAX }];
            assert_eq!(next(&h, &standing(&full)), None, "{gate:?}");
            let retry = Standing { gates: &full, ..retry };
            assert_eq!(next(&h, &retry), Some(later), "{gate:?}");
        }
    }

    #[test]
    fn what_never_opens_has_no_next_attempt() {
        let hours = CallingHours::new(Some(("22:00", "23:00")), None).unwrap();
        let mut h = head(BatchSettings { calling_hours: hours, ..BatchSettings::default() });
        assert!(next(&h, &standing(&[])).is_some());
        h.rules = CallingRules::On;
        assert_eq!(next(&h, &standing(&[])), None);
        let wait = [Wait { gate: Gate::NoCommonHours, until: Timestamp::MAX }];
        let due = Some((t("2027-01-15T09:00:00Z"), WaitReason::RetryDelay));
        let all = Standing { waiting: due, ..standing(&wait) };
        assert_eq!(words(&all), ["no_common_hours", "retry_delay"]);
    }

    #[test]
    fn no_time_is_told_where_something_without_one_must_happen_first() {
        let mut h = head(BatchSettings::default());
        assert_eq!(next(&h, &standing(&[])), Some(now()));
        let brake = [Wait { gate: Gate::Brake, until: Timestamp::MAX }];
        assert_eq!(next(&h, &standing(&brake)), None);
        let stopped = Standing { state: BatchState::Stopped, ..standing(&[]) };
        assert_eq!(next(&h, &stopped), None);
        assert_eq!(next(&h, &Standing { held: true, ..standing(&[]) }), None);
        assert_eq!(next(&h, &Standing { older: true, ..standing(&[]) }), None);
        let budget = Some(Budget { seconds: Some(1), micros: None, per_day: false });
        h.batches[0].settings = Arc::new(BatchSettings { budget, ..BatchSettings::default() });
        assert_eq!(next(&h, &standing(&[])), None, "used up");
        h.batches[0].settings = Arc::new(BatchSettings::default());
        h.batches[0].numbers.clear();
        assert_eq!(next(&h, &standing(&[])), None, "no number");
    }
}
