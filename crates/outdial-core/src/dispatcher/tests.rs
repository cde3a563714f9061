//! Goal: whatever the view, a plan keeps every limit, calls only what is due and inside hours,
//! shares by weight, and says when to look again. Method: small worlds and random ones.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::batch::BatchSettings;
use crate::call::CallFacts;
use crate::id::{PhoneId, TrunkId, WorkspaceId};
use crate::phone::PhoneNumber;
use crate::zone::{Class, Zone};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn turn(turn_limit: u32) -> Turn {
    Turn { now: NOW, lead: Duration::from_millis(50), node_free: 10_000, turn_limit }
}

fn batch_id(n: u64) -> BatchId {
    BatchId::from_parts(1, n)
}

fn batch_head(n: u64, settings: BatchSettings, numbers: &[u64]) -> BatchHead {
    BatchHead {
        id: batch_id(n),
        settings: Arc::new(settings),
        numbers: numbers.iter().map(|n| PhoneId::from_parts(1, *n)).collect(),
        lane: None,
        live: 0,
        spent: crate::budget::Spend::NONE,
        spent_by_day: Vec::new(),
        pulse: crate::brake::Pulse::default(),
        pulse_ever: crate::brake::Pulse::default(),
    }
}

fn number(n: u64, limits: LineLimits) -> NumberHead {
    NumberHead {
        id: PhoneId::from_parts(1, n),
        number: PhoneNumber::from_digits(n),
        trunk: TrunkId::from_parts(1, 1),
        limits,
        live: 0,
        slots: Vec::new(),
        price: None,
        placed_by_day: Vec::new(),
    }
}

fn head(batches: Vec<BatchHead>, numbers: Vec<NumberHead>, trunk: LineLimits) -> Head {
    let id = TrunkId::from_parts(1, 1);
    Head {
        workspace: WorkspaceId::from_parts(1, 1),
        version: 1,
        clock: NOW,
        concurrency: None,
        live: 0,
        rules: crate::settings::CallingRules::Off,
        zone: Zone::utc(),
        attempts_24h: None,
        brakes: crate::brake::BrakeSettings::default(),
        batches,
        numbers,
        trunks: vec![TrunkHead { id, limits: trunk, live: 0, slots: vec![], paused_until: None }],
    }
}

fn group(batch: u64, is_retry: bool, zones: &Class) -> Group {
    Group {
        key: GroupKey { batch: batch_id(batch), lane: 0, class: 1, is_retry },
        zones: Arc::new(zones.clone()),
        next_due: NOW,
    }
}

/// A store with `waiting` due calls in every group.
fn answer(asks: &[Ask], waiting: u64) -> Vec<Candidate> {
    let mut found = Vec::new();
    for ask in asks {
        let base = ask.group.batch.seq() * 1_000_000 + u64::from(ask.group.is_retry) * 500_000;
        let after = ask.after.map_or(0, |(_, call)| call.seq() - base + 1);
        for n in (after..waiting).take(ask.limit as usize) {
            found.push(Candidate {
                group: ask.group,
                call: CallId::from_parts(1, base + n),
                callee: PhoneNumber::from_digits(base + n),
                not_before: NOW,
                facts: CallFacts { round: 1, ..CallFacts::default() },
            });
        }
    }
    found
}

fn run(d: &mut Dispatcher, head: &Head, groups: &[Group], turn: &Turn, waiting: u64) -> Plan {
    let asks = d.ask(head, groups, turn);
    let candidates = answer(&asks, waiting);
    d.plan(head, groups, &asks, &candidates, turn)
}

fn utc() -> Class {
    Class::new([Zone::utc()])
}

#[test]
fn shares_by_weight_and_counts_what_is_live_already() {
    let heavy = BatchSettings { weight: 3, ..BatchSettings::default() };
    let mut h = head(
        vec![batch_head(1, heavy, &[1]), batch_head(2, BatchSettings::default(), &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits { calls_per_second: None, channels: Some(40), calls_per_day: None },
    );
    let groups = [group(1, false, &utc()), group(2, false, &utc())];
    let of = |plan: &Plan, n| plan.intents.iter().filter(|i| i.batch == batch_id(n)).count();
    let plan = run(&mut Dispatcher::new(), &h, &groups, &turn(100), 1000);
    assert_eq!((of(&plan, 1), of(&plan, 2)), (30, 10));
    (h.batches[0].live, h.trunks[0].live) = (30, 30);
    let plan = run(&mut Dispatcher::new(), &h, &groups, &turn(100), 1000);
    assert_eq!((of(&plan, 1), of(&plan, 2)), (0, 10), "the second has had nothing yet");
}

#[test]
fn retries_get_up_to_half_and_all_when_nothing_else_waits() {
    let h = head(
        vec![batch_head(1, BatchSettings::default(), &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits::default(),
    );
    let both = [group(1, false, &utc()), group(1, true, &utc())];
    let retries =
        |plan: &Plan| plan.intents.iter().filter(|i| i.call.seq() % 1_000_000 >= 500_000).count();
    let plan = run(&mut Dispatcher::new(), &h, &both, &turn(20), 1000);
    assert_eq!((plan.intents.len(), retries(&plan)), (20, 10));
    let plan = run(&mut Dispatcher::new(), &h, &both[1..], &turn(20), 1000);
    assert_eq!((plan.intents.len(), retries(&plan)), (20, 20));
}

#[test]
fn the_class_that_closes_first_goes_first() {
    let hours = CallingHours::new(Some(("00:00", "23:00")), None).unwrap();
    let settings = BatchSettings { calling_hours: hours, ..BatchSettings::default() };
    let h = head(
        vec![batch_head(1, settings, &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits::default(),
    );
    // NOW is 2027-01-15T08:00Z: 17:00 in Tokyo, 03:00 in New York.
    let mut new_york = group(1, false, &"America/New_York".parse().unwrap());
    new_york.key.class = 2;
    let tokyo = group(1, false, &"Asia/Tokyo".parse().unwrap());
    let groups = [new_york, tokyo.clone()];
    let mut d = Dispatcher::new();
    let asks = d.ask(&h, &groups, &turn(5));
    assert_eq!(asks[0].group, tokyo.key);
    let plan = d.plan(&h, &groups, &asks, &answer(&asks, 100), &turn(5));
    let first = hours_end(&h, &tokyo);
    assert!(plan.intents.iter().all(|i| i.open_until == first));
}

fn hours_end(h: &Head, g: &Group) -> Timestamp {
    match h.batches[0].settings.calling_hours.allowed(&g.zones, NOW) {
        Allowed::Open { until } => until,
        Allowed::Closed { .. } => panic!("closed"),
    }
}

#[test]
fn closed_hours_give_no_call_but_a_time_to_look_again() {
    let hours = CallingHours::new(Some(("09:00", "17:00")), None).unwrap();
    let settings = BatchSettings { calling_hours: hours, ..BatchSettings::default() };
    let h = head(
        vec![batch_head(1, settings, &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits::default(),
    );
    let plan = run(&mut Dispatcher::new(), &h, &[group(1, false, &utc())], &turn(5), 10);
    let opens: Timestamp = "2027-01-15T09:00:00Z".parse().unwrap();
    assert!(plan.intents.is_empty());
    assert_eq!(plan.look_again, Some((opens.before(turn(5).lead), Gate::Hours)));
}

#[test]
fn rotates_over_the_numbers_and_says_what_it_waits_for() {
    let paced = LineLimits { calls_per_second: Some(1.0), channels: None, calls_per_day: None };
    let h = head(
        vec![batch_head(1, BatchSettings::default(), &[1, 2, 3])],
        vec![number(1, paced), number(2, paced), number(3, paced)],
        LineLimits::default(),
    );
    let groups = [group(1, false, &utc())];
    let mut d = Dispatcher::new();
    let plan = run(&mut d, &h, &groups, &turn(10), 100);
    let callers: Vec<u64> = plan.intents.iter().map(|i| i.caller.seq()).collect();
    assert_eq!(callers, [1, 2, 3]);
    assert_eq!(plan.slots.len(), 3);
    let mut h = h;
    for (line, slots) in plan.slots {
        let Line::Number(id) = line else { panic!("the trunk is not paced") };
        h.numbers.iter_mut().find(|n| n.id == id).unwrap().slots = slots;
    }
    let again = run(&mut d, &h, &groups, &turn(10), 100);
    assert!(again.intents.is_empty());
    let (at, gate) = again.look_again.unwrap();
    assert_eq!(gate, Gate::Pacing);
    assert!(at > NOW && at < NOW.after(Duration::from_millis(1100)));
}

#[test]
fn what_one_slot_leaves_over_gets_the_next() {
    let paced = LineLimits { calls_per_second: Some(2.0), channels: None, calls_per_day: None };
    let batches = vec![batch_head(1, BatchSettings::default(), &[1])];
    let mut h = head(batches, vec![number(1, paced)], LineLimits::default());
    let groups = [group(1, false, &utc())];
    let (mut d, mut t) = (Dispatcher::new(), turn(10));
    let mut placed = Vec::new();
    // Fewer wait than are asked for, and more than there are slots.
    for _ in 0..100 {
        let plan = run(&mut d, &h, &groups, &t, 5);
        placed.extend(plan.intents.iter().map(|i| i.send_at.since(NOW).as_millis()));
        for (_, slots) in plan.slots {
            h.numbers[0].slots = slots;
        }
        match plan.look_again {
            Some((at, _)) => t.now = at,
            None => break,
        }
    }
    assert_eq!(placed, [50, 50, 1150, 1150, 2250]);
}

#[test]
fn slots_of_a_time_that_is_not_yet_do_not_hold_a_line() {
    let paced = LineLimits { calls_per_second: Some(1.0), channels: None, calls_per_day: None };
    let mut h = head(
        vec![batch_head(1, BatchSettings::default(), &[1])],
        vec![number(1, paced)],
        LineLimits::default(),
    );
    // The clock stood an hour ahead for a while, and was set back.
    h.numbers[0].slots = vec![NOW.after(Duration::from_secs(3600))];
    let plan = run(&mut Dispatcher::new(), &h, &[group(1, false, &utc())], &turn(10), 100);
    assert_eq!(plan.intents.len(), 1);
}

#[test]
fn goes_through_stale_groups_without_sleeping_and_without_spinning() {
    let h = head(
        vec![batch_head(1, BatchSettings::default(), &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits::default(),
    );
    let groups: Vec<Group> = (0..7)
        .map(|class| {
            let mut g = group(1, false, &utc());
            g.key.class = class;
            g
        })
        .collect();
    let mut d = Dispatcher::new();
    let mut turns = 0;
    while run(&mut d, &h, &groups, &turn(10), 0).look_again.is_some_and(|(at, _)| at == NOW) {
        turns += 1;
        assert!(turns < 10, "spins");
    }
    assert!(d.ask(&h, &groups, &turn(10)).is_empty(), "all groups were looked at");
    d.forget_cursors();
    assert!(!d.ask(&h, &groups, &turn(10)).is_empty());
}

prop_compose! {
    fn any_line()(
        cps in proptest::option::of(0.2f64..20.0), channels in proptest::option::of(0u32..12),
    ) -> LineLimits {
        LineLimits { calls_per_second: cps, channels, calls_per_day: None }
    }
}

proptest! {
    /// Many turns over random limits: live calls never above any of them, slots within the horizon
    /// and paced, no call taken twice.
    #[test]
    fn no_limit_is_exceeded(
        lines in proptest::collection::vec(any_line(), 1..4),
        trunk in any_line(),
        concurrency in proptest::option::of(0u32..20),
        batch_limits in proptest::collection::vec(proptest::option::of(0u32..8), 1..4),
        steps in proptest::collection::vec((1u64..900, 0usize..6), 1..40),
    ) {
        let numbers: Vec<u64> = (1..=lines.len() as u64).collect();
        let batches = batch_limits.iter().enumerate().map(|(i, limit)| {
            let settings = BatchSettings { concurrency: *limit, ..BatchSettings::default() };
            batch_head(i as u64 + 1, settings, &numbers)
        });
        let numbers = lines.iter().zip(1..).map(|(l, n)| number(n, *l)).collect();
        let mut h = head(batches.collect(), numbers, trunk);
        h.concurrency = concurrency;
        let groups: Vec<Group> = (1..=batch_limits.len() as u64)
            .flat_map(|b| [group(b, false, &utc()), group(b, true, &utc())])
            .collect();
        let mut d = Dispatcher::new();
        let mut t = turn(7);
        let mut live: VecDeque<Intent> = VecDeque::new();
        let mut seen = BTreeSet::new();
        let mut trunk_starts = Vec::new();
        for (wait, ended) in steps {
            t.now = t.now.after(Duration::from_millis(wait));
            live.drain(..ended.min(live.len()));
            count(&mut h, &live);
            let plan = run(&mut d, &h, &groups, &t, 1_000);
            for i in &plan.intents {
                prop_assert!(i.send_at >= earliest(&t) && i.send_at <= latest(&t));
                prop_assert!(seen.insert(i.call), "taken twice");
                trunk_starts.push(i.send_at);
            }
            prop_assert!(plan.intents.len() <= 7);
            live.extend(plan.intents);
            for (line, slots) in plan.slots {
                match line {
                    Line::Trunk(_) => h.trunks[0].slots = slots,
                    Line::Number(id) => {
                        let n = h.numbers.iter_mut().find(|n| n.id == id).unwrap();
                        n.slots = slots;
                    }
                }
            }
            count(&mut h, &live);
            prop_assert!(h.live <= concurrency.unwrap_or(u32::MAX));
            prop_assert!(h.trunks[0].live <= trunk.channels.unwrap_or(u32::MAX));
            for n in &h.numbers {
                prop_assert!(n.live <= n.limits.channels.unwrap_or(u32::MAX));
            }
            for b in &h.batches {
                prop_assert!(b.live <= b.settings.concurrency.unwrap_or(u32::MAX));
            }
        }
        if let Some(cps) = trunk.calls_per_second.filter(|c| *c >= 1.0) {
            for (i, first) in trunk_starts.iter().enumerate() {
                let end = first.after(Duration::from_millis(1100));
                let within = trunk_starts[i..].iter().filter(|s| **s < end).count();
                prop_assert!(within <= cps as usize, "{within} in 1.1 s at {cps}/s");
            }
        }
    }
}

fn count(h: &mut Head, live: &VecDeque<Intent>) {
    h.live = live.len() as u32;
    h.trunks[0].live = h.live;
    for n in &mut h.numbers {
        n.live = live.iter().filter(|i| i.caller == n.id).count() as u32;
    }
    for b in &mut h.batches {
        b.live = live.iter().filter(|i| i.batch == b.id).count() as u32;
    }
}
