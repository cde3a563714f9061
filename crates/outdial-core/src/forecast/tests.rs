//! Small worlds whose outcome can be worked out by hand, and what holds in all of them.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::batch::BatchSettings;
use crate::brake::{BrakeSettings, Pulse};
use crate::budget::{Budget, Spend};
use crate::dispatcher::{BatchHead, Gate, LineLimits, NumberHead, TrunkHead};
use crate::hours::CallingHours;
use crate::id::{PhoneId, TrunkId, WorkspaceId};
use crate::outcome::Disposition;
use crate::phone::PhoneNumber;
use crate::settings::CallingRules;
use crate::zone::Zone;

/// A Monday.
const MONDAY: &str = "2026-06-01T00:00:00Z";

fn t(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn batch_id(n: u64) -> BatchId {
    BatchId::from_parts(0, n)
}

fn limits(cps: Option<f64>, channels: Option<u32>) -> LineLimits {
    LineLimits { calls_per_second: cps, channels, calls_per_day: None }
}

fn head(trunk: LineLimits, batches: Vec<(u64, BatchSettings)>) -> Head {
    let (phone, trunk_id) = (PhoneId::from_parts(0, 1), TrunkId::from_parts(0, 1));
    let batch = |(id, settings): (u64, BatchSettings)| BatchHead {
        id: batch_id(id),
        settings: Arc::new(settings),
        numbers: vec![phone],
        lane: None,
        live: 0,
        spent: Spend::NONE,
        spent_by_day: vec![],
        pulse: Pulse::default(),
        pulse_ever: Pulse::default(),
        brake: Default::default(),
    };
    Head {
        workspace: WorkspaceId::from_parts(0, 1),
        version: 1,
        clock: t(MONDAY),
        concurrency: None,
        live: 0,
        rules: CallingRules::Off,
        zone: Zone::utc(),
        attempts_24h: None,
        brakes: BrakeSettings::default(),
        batches: batches.into_iter().map(batch).collect(),
        numbers: vec![NumberHead {
            id: phone,
            number: PhoneNumber::from_digits(12_025_550_100),
            trunks: vec![trunk_id],
            limits: LineLimits::default(),
            live: 0,
            slots: vec![],
            price: None,
            placed_by_day: vec![],
        }],
        trunks: vec![TrunkHead {
            id: trunk_id,
            limits: trunk,
            live: 0,
            slots: vec![],
            paused_until: None,
            is_down: false,
            max_call_s: None,
        }],
    }
}

fn bucket(batch: u64, class: u32, zone: &str, count: u64) -> Bucket {
    Bucket {
        group: GroupKey { batch: batch_id(batch), lane: 0, class, is_retry: false },
        zones: Arc::new(zone.parse().unwrap()),
        charged: 0,
        uncharged: 0,
        reason: WaitReason::Due,
        not_before: Timestamp::EPOCH,
        earliest: Timestamp::EPOCH,
        count,
    }
}

/// Everybody answers.
fn all_answer() -> Assumptions {
    Assumptions::default().with_answer_rate(1.0)
}

/// Nobody does; it rings for 45 s.
fn nobody() -> Assumptions {
    Assumptions {
        answered: 0.0,
        voicemail: 0.0,
        no_answer: 1.0,
        busy: 0.0,
        failed: 0.0,
        ..Assumptions::default()
    }
}

fn input(head: Head, waiting: Vec<Bucket>, assume: Assumptions, days: u64) -> Input {
    let until = head.clock.after(Duration::from_secs(86_400 * days));
    Input {
        head,
        waiting,
        batch: batch_id(1),
        assumes_start: false,
        assume,
        until,
        turns_max: 1_000_000,
    }
}

fn nine_to_five() -> BatchSettings {
    let calling_hours = CallingHours::new(Some(("09:00", "17:00")), None).unwrap();
    BatchSettings { calling_hours, ..BatchSettings::default() }
}

fn never_sum(f: &Forecast) -> u64 {
    f.never.iter().map(|(_, n)| n).sum()
}

/// Runs it twice, and checks what holds of every forecast.
fn checked(input: &Input) -> Forecast {
    let mut seen = Vec::new();
    let batch = input.batch;
    let forecast = run_watched(input.clone(), &mut |a| {
        if a.batch == batch {
            seen.push(a.at);
        }
    });
    assert_eq!(forecast, run(input.clone()), "the same question, the same answer");
    assert_eq!(forecast.reached + never_sum(&forecast), forecast.calls, "{forecast:?}");
    assert_eq!(forecast.attempts, seen.len() as u64);
    assert_eq!(forecast.hours.iter().map(|h| h.attempts).sum::<u64>(), forecast.attempts);
    assert_eq!(forecast.hours.iter().map(|h| h.answered).sum::<u64>(), forecast.answered);
    assert_eq!(forecast.first_attempt_at, seen.iter().copied().min());
    assert!(forecast.done_at.is_none_or(|at| at >= forecast.from && at <= input.until));
    forecast
}

#[test]
fn one_call_a_second_in_hours_takes_as_long_as_pacing_says() {
    // 1.1 s a slot, 28,800 s of hours a day: 26,182 slots; 30,000 calls take a second morning.
    let waiting = vec![bucket(1, 1, "Europe/Berlin", 30_000)];
    let head = head(limits(Some(1.0), None), vec![(1, nine_to_five())]);
    let f = checked(&input(head, waiting, all_answer(), 3));
    assert_eq!(f.ending, Ending::Done);
    assert_eq!((f.calls, f.reached, f.attempts), (30_000, 30_000, 30_000));
    let first = f.first_attempt_at.unwrap();
    assert!(first.since(t("2026-06-01T07:00:00Z")) < Duration::from_secs(1), "{first}");
    // The rest, 3818 calls of 1.1 s each, takes 4200 s from 07:00Z on; then the last one talks.
    let last_out = t("2026-06-02T07:00:00Z").after(Duration::from_secs(4200));
    let done = f.done_at.unwrap();
    assert!(done > last_out && done.since(last_out) < Duration::from_secs(130), "{done}");
    assert_eq!(f.hours.len(), 8 + 2);
    assert!((3272..=3274).contains(&f.hours[1].attempts), "{:?}", f.hours[1]);
}

#[test]
fn channels_bound_what_is_live() {
    let head = head(limits(None, Some(10)), vec![(1, BatchSettings::default())]);
    let waiting = vec![bucket(1, 1, "UTC", 500)];
    let f = checked(&input(head, waiting, nobody(), 3));
    assert_eq!((f.peak_batch, f.peak_workspace), (10, 10));
    assert_eq!(f.never, [(Never::GivenUp(Disposition::NoAnswer), 500)]);
    // Fifty times ten calls of 45 s, and the moments between them.
    let took = f.done_at.unwrap().since(f.from);
    assert!((2250..2260).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn retries_follow_the_delay_and_the_hours() {
    let settings = BatchSettings { retry: 2, delay_s: 6 * 3600, ..nine_to_five() };
    let head = head(limits(None, None), vec![(1, settings)]);
    let mut seen = Vec::new();
    let input = input(head, vec![bucket(1, 1, "UTC", 1)], nobody(), 7);
    let f = run_watched(input.clone(), &mut |a| seen.push((a.number, a.at.to_string())));
    checked(&input);
    let minutes: Vec<_> = seen.iter().map(|(n, at)| (*n, &at[..16])).collect();
    // 09:00, six hours after its end, and six hours later it is closed until the next morning.
    let wanted = [(1, "2026-06-01T09:00"), (2, "2026-06-01T15:00"), (3, "2026-06-02T09:00")];
    assert_eq!(minutes, wanted);
    assert_eq!(f.never, [(Never::GivenUp(Disposition::NoAnswer), 1)]);
}

#[test]
fn a_batch_that_expires_leaves_the_rest() {
    let expires_at = Some(t("2026-06-01T10:00:00Z"));
    let settings = BatchSettings { expires_at, ..nine_to_five() };
    let head = head(limits(Some(1.0), None), vec![(1, settings)]);
    let f = checked(&input(head, vec![bucket(1, 1, "UTC", 10_000)], all_answer(), 3));
    assert_eq!(f.ending, Ending::Done);
    assert!((3272..=3274).contains(&f.reached), "{}", f.reached);
    assert_eq!(f.never, [(Never::Expired, 10_000 - f.reached)]);
}

#[test]
fn what_never_opens_and_what_has_no_number_is_said() {
    let settings = BatchSettings {
        calling_hours: CallingHours::new(Some(("09:00", "10:00")), None).unwrap(),
        ..BatchSettings::default()
    };
    let mut head = head(limits(None, None), vec![(1, settings)]);
    let classes = vec![bucket(1, 1, "Asia/Tokyo,America/New_York", 3), bucket(1, 2, "UTC", 2)];
    let f = checked(&input(head.clone(), classes.clone(), all_answer(), 3));
    assert_eq!((f.reached, f.done_at), (2, None));
    assert_eq!(f.never, [(Never::NoCommonHours, 3)]);
    head.batches[0].numbers.clear();
    head.clock = t("2026-06-01T09:30:00Z");
    let f = checked(&input(head, classes, all_answer(), 3));
    assert_eq!((f.attempts, f.reached), (0, 0));
    assert!(f.never.contains(&(Never::OutOfTime(Gate::NoNumbers.as_str()), 2)), "{:?}", f.never);
}

#[test]
fn calls_of_another_lane_are_held_unless_a_start_is_assumed() {
    let mut head = head(limits(None, None), vec![(1, BatchSettings::default())]);
    head.batches[0].lane = Some(3);
    let mut other = bucket(1, 1, "UTC", 4);
    other.group.lane = 3;
    let waiting = vec![bucket(1, 1, "UTC", 6), other];
    let mut input = input(head, waiting, all_answer(), 1);
    let f = checked(&input);
    assert_eq!((f.reached, f.done_at), (4, None));
    assert_eq!(f.ending, Ending::Paused(PauseReason::CallsHeld));
    assert_eq!(f.never, [(Never::Held, 6)]);
    input.assumes_start = true;
    assert_eq!(checked(&input).reached, 10);
}

#[test]
fn live_calls_hold_their_channels_until_they_end() {
    let mut head = head(limits(None, Some(2)), vec![(1, BatchSettings::default())]);
    head.batches[0].live = 2;
    head.numbers[0].live = 2;
    head.trunks[0].live = 2;
    head.live = 2;
    let f = checked(&input(head, vec![bucket(1, 1, "UTC", 1)], all_answer(), 1));
    assert_eq!((f.calls, f.reached, f.attempts, f.peak_batch), (3, 3, 1, 2));
    let first = f.first_attempt_at.unwrap().since(f.from);
    assert!(first > Duration::from_secs(20), "{first:?}");
}

#[test]
fn two_batches_share_and_the_other_does_not_count() {
    let heavy = BatchSettings { weight: 3, ..BatchSettings::default() };
    let head = head(limits(Some(10.0), Some(40)), vec![(1, BatchSettings::default()), (2, heavy)]);
    let waiting = vec![bucket(1, 1, "UTC", 4000), bucket(2, 1, "UTC", 4000)];
    let f = checked(&input(head, waiting, nobody(), 1));
    assert_eq!((f.calls, f.attempts), (4000, 4000));
    assert!(f.peak_batch <= f.peak_workspace && f.peak_workspace == 40);
    // Alone it would take 4000 / 40 × 45 s; with a quarter until the other is done, twice that.
    let took = f.done_at.unwrap().since(f.from).as_secs();
    assert!((8900..9200).contains(&took), "{took}");
    let first_hour = f.hours[0].attempts;
    assert!((750..900).contains(&first_hour), "a quarter of 3200: {first_hour}");
}

/// Person, instant: attempts of anybody within 24 h.
fn most_in_24h(seen: &[(u32, Timestamp)]) -> usize {
    let within = |i: usize| {
        let (call, at) = seen[i];
        seen.iter().filter(|(c, s)| *c == call && *s <= at && at.since(*s) < DAY).count()
    };
    (0..seen.len()).map(within).max().unwrap_or(0)
}

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug)]
struct Random {
    cps: Option<f64>,
    channels: Option<u32>,
    counts: [u64; 3],
    retry: u8,
    delay_s: u32,
    hours: (u8, u8),
    expires_h: Option<i64>,
    per_day: Option<u32>,
    answer: f64,
}

fn random() -> impl Strategy<Value = Random> {
    let lines = (
        prop_oneof![Just(None), (1u32..30).prop_map(|n| Some(f64::from(n) / 4.0))],
        prop_oneof![Just(None), (1u32..20).prop_map(Some)],
        prop_oneof![Just(None), (1u32..60).prop_map(Some)],
    );
    let batch = ([0u64..60, 0u64..60, 0u64..60], 0u8..4, 0u32..40_000, (0u8..24, 1u8..24));
    (lines, batch, proptest::option::of(1i64..100), 0.0f64..1.0).prop_map(
        |((cps, channels, per_day), (counts, retry, delay_s, hours), expires_h, answer)| Random {
            cps,
            channels,
            counts,
            retry,
            delay_s,
            hours,
            expires_h,
            per_day,
            answer,
        },
    )
}

fn of_random(r: &Random) -> Input {
    let (start, length) = r.hours;
    let end = (start + length) % 24;
    let window = (format!("{start:02}:00"), format!("{end:02}:00"));
    let settings = BatchSettings {
        retry: r.retry,
        delay_s: r.delay_s,
        calling_hours: CallingHours::new(Some((&window.0, &window.1)), None).unwrap(),
        expires_at: r.expires_h.map(|h| t(MONDAY).after(Duration::from_secs(3600 * h as u64))),
        ..BatchSettings::default()
    };
    let mut head = head(limits(r.cps, r.channels), vec![(1, settings)]);
    head.numbers[0].limits.calls_per_day = r.per_day;
    head.brakes.failed_percent = None;
    let zones = ["Asia/Kathmandu", "America/New_York", "Pacific/Apia"];
    let waiting = (0..).zip(zones).zip(r.counts);
    let waiting = waiting.map(|((class, zone), n)| bucket(1, class, zone, n)).collect();
    input(head, waiting, Assumptions::default().with_answer_rate(r.answer), 10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn totals_add_up_and_hours_hold(r in random()) {
        let input = of_random(&r);
        let mut outside = None;
        let (start, length) = r.hours;
        let _ = run_watched(input.clone(), &mut |a| {
            // Minutes of the local day since the window's start.
            let local = a.class.zones()[0].tz().to_datetime(a.at.to_jiff()).time();
            let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
            let since = (minute - i32::from(start) * 60).rem_euclid(24 * 60);
            if since >= i32::from(length) * 60 {
                outside = Some(a.at);
            }
        });
        prop_assert_eq!(outside, None);
        checked(&input);
    }

    #[test]
    fn attempts_per_person_hold(r in random(), cap in 1u32..4) {
        let mut input = of_random(&r);
        input.head.attempts_24h = Some(cap);
        let mut seen = Vec::new();
        let forecast = run_watched(input.clone(), &mut |a| seen.push((a.call, a.at)));
        prop_assert!(most_in_24h(&seen) <= cap as usize, "{forecast:?}");
        checked(&input);
    }

    #[test]
    fn more_calls_per_second_are_never_later(mut r in random(), more in 2u32..10) {
        // With channels, hours or retries a better pace may meet a worse moment; without, never.
        (r.channels, r.retry, r.hours, r.expires_h, r.per_day) = (None, 0, (0, 23), None, None);
        r.cps = Some(1.0);
        let slow = checked(&of_random(&r)).done_at;
        r.cps = Some(f64::from(more));
        let fast = checked(&of_random(&r)).done_at;
        prop_assert!(fast <= slow, "{fast:?} {slow:?}");
    }
}

#[test]
fn a_daily_cap_spreads_the_calls_over_days() {
    let mut head = head(limits(None, None), vec![(1, BatchSettings::default())]);
    head.numbers[0].limits.calls_per_day = Some(100);
    let waiting = vec![bucket(1, 1, "UTC", 450)];
    let f = checked(&input(head.clone(), waiting.clone(), all_answer(), 10));
    assert_eq!(f.done_at.map(|at| at.to_string()[..10].to_owned()), Some("2026-06-05".into()));
    let by_day: Vec<u64> = f.hours.iter().map(|h| h.attempts).collect();
    assert_eq!(by_day, [100, 100, 100, 100, 50]);
    let mut input = input(head, waiting, all_answer(), 3);
    input.until = input.until.before(Duration::from_secs(1));
    let f = checked(&input);
    assert_eq!(f.ending, Ending::Horizon);
    assert_eq!(f.never, [(Never::OutOfTime(Gate::CallsPerDay.as_str()), 150)]);
}

#[test]
fn a_budget_of_minutes_a_day() {
    // A call may take ten minutes, so an hour reserves six at once; each uses a minute.
    let budget = Some(Budget { seconds: Some(3600), micros: None, per_day: true });
    let settings = BatchSettings { budget, ..BatchSettings::default() };
    let head = head(limits(None, None), vec![(1, settings)]);
    let f = checked(&input(head, vec![bucket(1, 1, "UTC", 100)], all_answer(), 10));
    assert_eq!((f.ending, f.reached), (Ending::Done, 100));
    assert!(f.peak_batch <= 6, "{}", f.peak_batch);
    // Fewer than 60 a day: the last calls of a day reserve what is not there any more.
    let days: std::collections::BTreeSet<_> =
        f.hours.iter().map(|h| h.start.to_string()[..10].to_owned()).collect();
    assert!((2..=3).contains(&days.len()), "{days:?}");
}

#[test]
fn a_budget_that_is_used_up_pauses() {
    let budget = Some(Budget { seconds: Some(3600), micros: None, per_day: false });
    let settings = BatchSettings { budget, ..BatchSettings::default() };
    let head = head(limits(None, None), vec![(1, settings)]);
    let f = checked(&input(head, vec![bucket(1, 1, "UTC", 100)], all_answer(), 10));
    assert!((40..60).contains(&f.reached), "{}", f.reached);
    assert_eq!(f.never, [(Never::Paused(PauseReason::Budget), 100 - f.reached)]);
}

#[test]
fn a_canary_waits_for_its_first_calls() {
    let settings = BatchSettings { canary: Some(5), ..BatchSettings::default() };
    let head = head(limits(None, None), vec![(1, settings)]);
    let mut seen = Vec::new();
    let input = input(head, vec![bucket(1, 1, "UTC", 50)], nobody(), 1);
    let _ = run_watched(input.clone(), &mut |a| seen.push(a.at));
    let f = checked(&input);
    assert_eq!(seen[..5].iter().filter(|at| at.since(f.from).as_secs() < 1).count(), 5);
    assert!(seen[5..].iter().all(|at| at.since(f.from).as_secs() >= 45), "{seen:?}");
    assert_eq!(f.peak_batch, 45);
}

#[test]
fn a_batch_that_only_fails_is_paused_though_it_goes_slowly() {
    let mut head = head(limits(Some(5.0), None), vec![(1, BatchSettings::default())]);
    (head.brakes.window_s, head.brakes.min_attempts) = (5, 20);
    let failing = Assumptions { no_answer: 0.0, failed: 1.0, ..nobody() };
    let f = checked(&input(head, vec![bucket(1, 1, "UTC", 5000)], failing, 1));
    assert_eq!(f.ending, Ending::Paused(PauseReason::Failures));
    assert!(f.attempts < 100, "{}", f.attempts);
}

#[test]
fn a_batch_that_only_fails_is_paused() {
    let head = head(limits(Some(5.0), None), vec![(1, BatchSettings::default())]);
    let failing = Assumptions { no_answer: 0.0, failed: 1.0, ..nobody() };
    let f = checked(&input(head, vec![bucket(1, 1, "UTC", 5000)], failing, 1));
    assert_eq!(f.ending, Ending::Paused(PauseReason::Failures));
    assert!(f.attempts < 1000, "{}", f.attempts);
    assert!(f.never.contains(&(Never::Paused(PauseReason::Failures), 5000 - f.attempts)));
}
