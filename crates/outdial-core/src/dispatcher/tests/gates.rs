//! Each gate by itself: what it lets through, what it says, until when.

use super::*;
use crate::brake::Pulse;
use crate::budget::{Budget, Day, Spend};
use crate::hours::{Allowed, CallingHours};
use crate::settings::CallingRules;
use crate::zone::Place;

/// A world of one batch, one number with a price of 6000 a minute, an unlimited trunk.
fn one(settings: BatchSettings) -> Head {
    let numbers = vec![NumberHead { price: Some(6_000), ..number(1, LineLimits::default()) }];
    head(vec![batch_head(1, settings, &[1])], numbers, LineLimits::default())
}

fn first_tries() -> [Group; 1] {
    [group(1, false, &utc())]
}

fn plan(h: &Head) -> Plan {
    run(&mut Dispatcher::new(), h, &first_tries(), &turn(50), 1000)
}

fn why(h: &Head) -> Vec<Wait> {
    let mut why = Dispatcher::new().explain(h, &first_tries(), &turn(50));
    why.remove(&first_tries()[0].key).unwrap()
}

fn budget(seconds: Option<u64>, micros: Option<u64>, per_day: bool) -> BatchSettings {
    let budget = Some(Budget { seconds, micros, per_day });
    BatchSettings { budget, max_call_s: 60, ..BatchSettings::default() }
}

fn wait(gate: Gate, until: Timestamp) -> Vec<Wait> {
    vec![Wait { gate, until }]
}

fn today(h: &Head) -> Day {
    Day::of(&h.zone, NOW)
}

#[test]
fn a_plan_reserves_no_more_than_the_budget_has() {
    let mut h = one(budget(Some(250), None, false));
    h.batches[0].spent = Spend { seconds: 10, micros: 0 };
    let first = plan(&h);
    assert_eq!(first.intents.len(), 4, "4 × 60 s beside 10 s");
    assert_eq!(first.intents[0].reserve, Spend { seconds: 60, micros: 6_000 });
    assert_eq!((first.intents[0].price, first.intents[0].day), (6_000, today(&h)));
    assert_eq!(first.look_again, Some((Timestamp::MAX, Gate::Budget)), "they may give back");
    assert!(first.pauses.is_empty());
}

#[test]
fn a_used_up_budget_waits_for_live_calls_and_then_pauses() {
    let mut h = one(budget(None, Some(10_000), false));
    (h.batches[0].spent, h.batches[0].live) = (Spend { seconds: 0, micros: 6_000 }, 1);
    let while_live = plan(&h);
    assert!(while_live.intents.is_empty() && while_live.pauses.is_empty());
    assert_eq!(why(&h), wait(Gate::Budget, Timestamp::MAX));
    h.batches[0].live = 0;
    let over = plan(&h);
    assert!(over.intents.is_empty());
    assert_eq!(over.pauses, [(batch_id(1), PauseReason::Budget)]);
    // Nothing is pending after all: the batch completes instead.
    let none = run(&mut Dispatcher::new(), &h, &first_tries(), &turn(50), 0);
    assert!(none.pauses.is_empty());
    let later = [Group { next_due: NOW.after(Duration::from_secs(60)), ..group(1, true, &utc()) }];
    let retry = run(&mut Dispatcher::new(), &h, &later, &turn(50), 0);
    assert_eq!(retry.pauses.len(), 1, "a retry is pending");
}

#[test]
fn a_budget_of_the_day_comes_back_with_the_next_day() {
    let mut h = one(budget(Some(100), None, true));
    h.batches[0].spent_by_day = vec![(today(&h), Spend { seconds: 70, micros: 0 })];
    let held = plan(&h);
    let midnight = today(&h).ends(&h.zone);
    assert!(held.intents.is_empty() && held.pauses.is_empty());
    assert_eq!(held.look_again, Some((midnight.before(turn(50).lead), Gate::Budget)));
    assert_eq!(why(&h), wait(Gate::Budget, midnight));
    // The slots of a turn just before midnight lie on the next day.
    let late = Turn { now: midnight.before(turn(50).lead), ..turn(50) };
    let next = run(&mut Dispatcher::new(), &h, &first_tries(), &late, 1000);
    assert_eq!(next.intents.len(), 1);
    assert_eq!(next.intents[0].day, Day(today(&h).0 + 1));
    // A budget in which not one call fits never comes back by itself.
    let never = plan(&one(budget(Some(59), None, true)));
    assert_eq!(never.pauses, [(batch_id(1), PauseReason::Budget)]);
}

#[test]
fn under_a_budget_of_money_a_number_without_a_price_is_not_used() {
    let settings = budget(None, Some(1_000_000), false);
    let numbers = vec![
        number(1, LineLimits::default()),
        NumberHead { price: Some(0), ..number(2, LineLimits::default()) },
    ];
    let mut h = head(vec![batch_head(1, settings, &[1, 2])], numbers, LineLimits::default());
    let priced = plan(&h);
    assert_eq!(priced.intents.len(), 50);
    assert!(priced.intents.iter().all(|i| i.caller.seq() == 2));
    h.numbers[1].price = None;
    assert!(plan(&h).intents.is_empty() && plan(&h).pauses.is_empty());
    assert_eq!(why(&h), wait(Gate::NoPrice, Timestamp::MAX));
    // Minutes cost nothing to count.
    h.batches[0].settings = Arc::new(budget(Some(600), None, false));
    assert_eq!(plan(&h).intents.len(), 10);
}

#[test]
fn the_cheaper_number_goes_on_where_the_dearer_does_not_fit() {
    let settings = budget(None, Some(10_000), false);
    let priced = |n, price| NumberHead { price: Some(price), ..number(n, LineLimits::default()) };
    let numbers = vec![priced(1, 20_000), priced(2, 2_000)];
    let h = head(vec![batch_head(1, settings, &[1, 2])], numbers, LineLimits::default());
    let callers: Vec<u64> = plan(&h).intents.iter().map(|i| i.caller.seq()).collect();
    assert_eq!(callers, [2; 5]);
}

#[test]
fn a_number_at_its_cap_rests_until_the_next_day_and_the_others_go_on() {
    let capped = LineLimits { calls_per_day: Some(3), ..LineLimits::default() };
    // A trunk's cap of the day does not count.
    let batches = vec![batch_head(1, BatchSettings::default(), &[1, 2])];
    let mut h = head(batches, vec![number(1, capped), number(2, capped)], capped);
    h.numbers[0].placed_by_day = vec![(today(&h), 2)];
    h.numbers[1].placed_by_day = vec![(Day(today(&h).0 - 1), 3)];
    let first = plan(&h);
    let by = |n| first.intents.iter().filter(|i| i.caller.seq() == n).count();
    assert_eq!((by(1), by(2)), (1, 3));
    let midnight = today(&h).ends(&h.zone);
    let gate = Some((midnight.before(turn(50).lead), Gate::CallsPerDay));
    assert_eq!(first.look_again, gate);
}

#[test]
fn a_brake_slows_and_then_pauses() {
    let mut h = one(BatchSettings::default());
    h.batches[0].pulse = Pulse { ended: 100, failed: 90, ..Pulse::default() };
    h.batches[0].pulse_ever = h.batches[0].pulse;
    assert_eq!(plan(&h).intents.len(), 2);
    h.batches[0].live = 2;
    assert_eq!(plan(&h).look_again, Some((Timestamp::MAX, Gate::Brake)));
    assert_eq!(why(&h), wait(Gate::Brake, Timestamp::MAX));
    h.batches[0].live = 0;
    h.batches[0].pulse = Pulse { ended: 200, failed: 180, ..Pulse::default() };
    h.batches[0].pulse_ever = h.batches[0].pulse;
    let paused = plan(&h);
    assert!(paused.intents.is_empty());
    assert_eq!(paused.pauses, [(batch_id(1), PauseReason::Failures)]);
}

#[test]
fn a_slow_batch_is_judged_by_what_ended_since() {
    let failed = |n| Pulse { ended: n, failed: n, ..Pulse::default() };
    let mut h = one(BatchSettings::default());
    (h.batches[0].pulse, h.batches[0].pulse_ever) = (failed(100), failed(500));
    let slowed = plan(&h);
    assert_eq!((slowed.intents.len(), slowed.brakes.len()), (2, 1));
    assert_eq!(slowed.brakes[0].1.slowed, Some(failed(500)));
    h.batches[0].brake = slowed.brakes[0].1;
    // The window holds no more than that, ever.
    h.batches[0].pulse_ever = failed(599);
    let still = plan(&h);
    assert_eq!((still.intents.len(), still.brakes.len()), (2, 0));
    h.batches[0].pulse_ever = failed(600);
    assert_eq!(plan(&h).pauses, [(batch_id(1), PauseReason::Failures)]);
    h.batches[0].pulse_ever = Pulse { ended: 600, ..failed(570) };
    let released = plan(&h);
    assert_eq!((released.intents.len(), released.brakes.len()), (50, 1));
    assert_eq!(released.brakes[0].1.slowed, None);
}

#[test]
fn the_canary_goes_first_and_decides() {
    let mut h = one(BatchSettings { canary: Some(5), ..BatchSettings::default() });
    assert_eq!(plan(&h).intents.len(), 5);
    h.batches[0].live = 2;
    h.batches[0].pulse_ever = Pulse { ended: 3, ..Pulse::default() };
    assert!(plan(&h).intents.is_empty());
    assert_eq!(why(&h), wait(Gate::Canary, Timestamp::MAX));
    h.batches[0].live = 0;
    h.batches[0].pulse_ever = Pulse { ended: 5, failed: 4, ..Pulse::default() };
    let content = plan(&h);
    assert_eq!(content.intents.len(), 50, "full pace");
    h.batches[0].brake = content.brakes[0].1;
    h.batches[0].pulse_ever = Pulse { ended: 90, failed: 89, ..Pulse::default() };
    let later = plan(&h);
    assert_eq!((later.intents.len(), later.brakes.len()), (50, 0), "it has sung");
    h.batches[0].brake = Default::default();
    h.batches[0].pulse_ever = Pulse { ended: 5, failed: 5, ..Pulse::default() };
    let paused = plan(&h);
    assert_eq!(paused.pauses, [(batch_id(1), PauseReason::Failures)]);
    assert!(paused.intents.is_empty());
}

#[test]
fn an_expired_batch_is_closed_and_one_about_to_expire_closes_then() {
    let soon = NOW.after(Duration::from_secs(5));
    let mut h = one(BatchSettings { expires_at: Some(soon), ..BatchSettings::default() });
    assert!(plan(&h).intents.iter().all(|i| i.open_until == soon));
    h.batches[0].settings =
        Arc::new(BatchSettings { expires_at: Some(NOW), ..BatchSettings::default() });
    assert!(plan(&h).intents.is_empty());
    assert_eq!(why(&h), wait(Gate::Expired, Timestamp::MAX));
}

#[test]
fn the_rules_of_the_place_hold_beside_the_hours() {
    let new_york: Zone = "America/New_York".parse().unwrap();
    let florida = in_florida(new_york);
    let mut h = one(BatchSettings::default());
    h.rules = CallingRules::On;
    let of = |at| {
        let hours = CallingHours::always();
        crate::rules::verdict(&hours, CallingRules::On, &florida, at).allowed
    };
    // NOW is three in the morning there.
    let Allowed::Closed { opens: Some(opens) } = of(NOW) else { panic!("open at night") };
    let groups = [group(1, false, &florida)];
    let night = run(&mut Dispatcher::new(), &h, &groups, &turn(5), 10);
    assert!(night.intents.is_empty());
    assert_eq!(night.look_again, Some((opens.before(turn(5).lead), Gate::Rules)));
    let why = Dispatcher::new().explain(&h, &groups, &turn(5));
    assert_eq!(why[&groups[0].key], wait(Gate::Rules, opens));
    let Allowed::Open { until } = of(opens) else { panic!("closed where it opens") };
    let day = Turn { now: opens, ..turn(5) };
    let attempts = |h: &Head| {
        let plan = run(&mut Dispatcher::new(), h, &groups, &day, 10);
        assert!(plan.intents.iter().all(|i| i.open_until == until));
        plan.intents[0].attempts_24h
    };
    assert_eq!(attempts(&h), Some(3), "Florida's");
    h.attempts_24h = Some(2);
    assert_eq!(attempts(&h), Some(2), "the workspace's, which is less");
    h.attempts_24h = Some(9);
    assert_eq!(attempts(&h), Some(3), "the law's, which is less");
    h.rules = CallingRules::Off;
    assert_eq!(plan(&h).intents[0].attempts_24h, Some(9));
}

#[test]
fn what_never_opens_says_so_and_not_the_one_by_the_other() {
    let hours = |from, to| CallingHours::new(Some((from, to)), None).unwrap();
    let at = |h: &Head, class: &Class| {
        let mut why = Dispatcher::new().explain(h, &[group(1, false, class)], &turn(5));
        why.remove(&first_tries()[0].key).unwrap()
    };
    let night = BatchSettings { calling_hours: hours("22:00", "23:00"), ..Default::default() };
    let mut h = one(night);
    h.rules = CallingRules::On;
    let florida = in_florida("America/New_York".parse().unwrap());
    assert_eq!(at(&h, &florida), wait(Gate::NoCommonHours, Timestamp::MAX));
    assert_eq!(at(&h, &utc()), wait(Gate::PlaceUnknown, Timestamp::MAX));
    let apart = Class::new(["UTC", "Asia/Kathmandu"].map(|z| z.parse().unwrap()));
    h.rules = CallingRules::Off;
    assert_eq!(at(&h, &apart), wait(Gate::NoCommonHours, Timestamp::MAX));
    let plan = run(&mut Dispatcher::new(), &h, &[group(1, false, &apart)], &turn(5), 10);
    assert!(plan.intents.is_empty());
    assert_eq!(plan.look_again, Some((Timestamp::MAX, Gate::NoCommonHours)));
    assert_eq!(Gate::NoCommonHours.as_str(), "no_common_hours");
    assert_eq!(Gate::PlaceUnknown.as_str(), "place_unknown");
    // Wider hours end it at once.
    h.batches[0].settings = Arc::new(BatchSettings::default());
    assert!(at(&h, &apart).is_empty());
}

/// Somebody in Florida.
fn in_florida(zone: Zone) -> Class {
    let florida: Place = "US-FL".parse().unwrap();
    Class::new([zone.clone()]).at_places([florida]).rules_read_in([zone])
}

#[test]
fn every_gate_is_told_of_at_once() {
    let hours = CallingHours::new(Some(("09:00", "17:00")), None).unwrap();
    let settings = BatchSettings {
        calling_hours: hours,
        concurrency: Some(1),
        canary: Some(1),
        ..BatchSettings::default()
    };
    let mut h = one(settings);
    h.batches[0].live = 1;
    (h.concurrency, h.live) = (Some(1), 1);
    (h.trunks[0].limits.channels, h.trunks[0].live) = (Some(1), 1);
    h.trunks[0].paused_until = Some(NOW.after(Duration::from_secs(30)));
    h.numbers[0].limits.calls_per_second = Some(1.0);
    h.numbers[0].slots = vec![NOW];
    let gates: Vec<Gate> = why(&h).iter().map(|w| w.gate).collect();
    let all = [
        Gate::Hours,
        Gate::Canary,
        Gate::BatchConcurrency,
        Gate::Channels,
        Gate::TrunkPaused,
        Gate::Pacing,
        Gate::WorkspaceConcurrency,
    ];
    assert_eq!(gates, all);
    let untils: Vec<Timestamp> = why(&h).iter().map(|w| w.until).collect();
    assert_eq!(untils[0], "2027-01-15T09:00:00Z".parse().unwrap());
    assert_eq!(untils[5], NOW.after(Duration::from_millis(1100)), "when the slot begins");
}

#[test]
fn a_change_of_the_rules_switch_is_seen_at_once() {
    let mut h = one(BatchSettings::default());
    let mut d = Dispatcher::new();
    let _ = run(&mut d, &h, &first_tries(), &turn(1), 10);
    let before = d.rulings.len();
    h.rules = CallingRules::On;
    let _ = run(&mut d, &h, &first_tries(), &turn(1), 10);
    assert_eq!((before, d.rulings.len()), (1, 1));
    let ruling = d.rulings.values().next().unwrap();
    let hours = CallingHours::always();
    assert!(ruling.holds(&hours, h.rules, earliest(&turn(1))));
    assert!(!ruling.holds(&hours, CallingRules::Off, earliest(&turn(1))));
}
