//! No limit is exceeded, whatever the limits and the arrivals; and no turn is taken in vain.

use proptest::prelude::*;

use super::model::World;
use super::*;
use crate::brake::{Brake, SLOW_CONCURRENCY, look};
use crate::budget::{Budget, Day, Spend};

prop_compose! {
    fn any_line()(
        cps in proptest::option::of(0.2f64..20.0),
        channels in proptest::option::of(0u32..12),
        calls_per_day in proptest::option::of(0u32..40),
    ) -> LineLimits {
        LineLimits { calls_per_second: cps, channels, calls_per_day }
    }
}

prop_compose! {
    fn any_batch()(
        concurrency in proptest::option::of(0u32..8),
        weight in 1u32..20,
        max_call_s in 1u32..120,
        canary in proptest::option::of(0u32..12),
        budget in proptest::option::of((
            proptest::option::of(0u64..1500), proptest::option::of(0u64..3_000_000), any::<bool>(),
        )),
    ) -> BatchSettings {
        BatchSettings {
            concurrency,
            weight,
            max_call_s,
            canary,
            budget: budget.map(|(seconds, micros, per_day)| Budget { seconds, micros, per_day }),
            ..BatchSettings::default()
        }
    }
}

/// Ten seconds before a day ends.
fn evening() -> Turn {
    Turn { now: "2027-01-15T23:59:50Z".parse().unwrap(), ..turn(7) }
}

fn world(
    lines: &[(LineLimits, Option<u64>)],
    trunk: LineLimits,
    concurrency: Option<u32>,
    batches: &[BatchSettings],
) -> World {
    let all: Vec<u64> = (1..=lines.len() as u64).collect();
    let batches: Vec<BatchHead> =
        (1..).zip(batches).map(|(n, s)| batch_head(n, s.clone(), &all)).collect();
    let count = batches.len() as u64;
    let numbers = (1..)
        .zip(lines)
        .map(|(n, (limits, price))| NumberHead { price: *price, ..number(n, *limits) });
    let mut h = head(batches, numbers.collect(), trunk);
    h.concurrency = concurrency;
    h.brakes.min_attempts = 5;
    h.brakes.failed_percent = Some(60);
    let groups =
        (1..=count).flat_map(|b| [group(b, false, &utc()), group(b, true, &utc())]).collect();
    World::new(h, groups, evening())
}

/// What a batch may start before a turn, as its brakes and its canary say.
fn rooms(h: &Head, b: &BatchHead) -> u32 {
    let (said, state) = look(&h.brakes, b.settings.canary, &b.brake, (&b.pulse, &b.pulse_ever));
    let brake = match said {
        Brake::Free => u32::MAX,
        Brake::Slow(_) => SLOW_CONCURRENCY.saturating_sub(b.live),
        Brake::Pause(_) => 0,
    };
    let canary = b.settings.canary.filter(|n| *n > 0 && !state.canary_passed);
    let first = canary.filter(|n| b.pulse_ever.ended < u64::from(*n)).map_or(u32::MAX, |n| {
        n.saturating_sub(b.live).saturating_sub(u32::try_from(b.pulse_ever.ended).unwrap())
    });
    brake.min(first)
}

fn check_intents(w: &World, before: &Head, plan: &Plan) -> Result<(), TestCaseError> {
    prop_assert!(plan.intents.len() <= 7);
    for i in &plan.intents {
        prop_assert!(i.send_at >= earliest(&w.turn) && i.send_at <= latest(&w.turn));
        prop_assert_eq!(i.day, Day::of(&w.head.zone, i.send_at));
        prop_assert_eq!(i.reserve, Spend::of(u64::from(i.max_call_s), i.price));
        let caller = w.head.numbers.iter().find(|n| n.id == i.caller).unwrap();
        prop_assert_eq!(i.price, caller.price.unwrap_or(0));
        let budget = batch(&w.head, i.batch).unwrap().settings.budget;
        let counts_money = budget.is_some_and(|b| b.micros.is_some());
        prop_assert!(caller.price.is_some() || !counts_money);
        prop_assert!(plan.pauses.iter().all(|(id, _)| *id != i.batch), "paused and called");
    }
    for b in &before.batches {
        let started = plan.intents.iter().filter(|i| i.batch == b.id).count();
        prop_assert!(started <= rooms(before, b) as usize, "brake or canary");
    }
    Ok(())
}

fn check_limits(w: &World) -> Result<(), TestCaseError> {
    let h = &w.head;
    prop_assert!(h.live <= h.concurrency.unwrap_or(u32::MAX));
    prop_assert!(h.trunks[0].live <= h.trunks[0].limits.channels.unwrap_or(u32::MAX));
    for n in &h.numbers {
        prop_assert!(n.live <= n.limits.channels.unwrap_or(u32::MAX));
        for (_, placed) in &n.placed_by_day {
            prop_assert!(*placed <= n.limits.calls_per_day.unwrap_or(u32::MAX));
        }
    }
    for b in &h.batches {
        prop_assert!(b.live <= b.settings.concurrency.unwrap_or(u32::MAX));
        let Some(budget) = b.settings.budget else { continue };
        match budget.per_day {
            false => prop_assert!(budget.fits(b.spent, Spend::NONE), "{:?}", b.spent),
            true => {
                for (day, spent) in &b.spent_by_day {
                    prop_assert!(budget.fits(*spent, Spend::NONE), "{day:?} {spent:?}");
                }
            }
        }
    }
    Ok(())
}

/// No 1.1 s of a line hold more slots than its calls per second; below one, no 1.1 / CPS.
fn check_pace(
    limits: &LineLimits,
    starts: impl Iterator<Item = Timestamp>,
) -> Result<(), TestCaseError> {
    let Some(cps) = limits.calls_per_second else { return Ok(()) };
    let starts: Vec<Timestamp> = starts.collect();
    let (most, ms) = if cps < 1.0 { (1, 1100.0 / cps) } else { (cps as usize, 1100.0) };
    for (i, first) in starts.iter().enumerate() {
        let end = first.after(Duration::from_millis(ms as u64));
        let within = starts[i..].iter().filter(|s| **s < end).count();
        prop_assert!(within <= most, "{within} in {ms} ms at {cps}/s");
    }
    Ok(())
}

proptest! {
    /// Many turns over random limits, calls that end at random, a day that ends: no limit is
    /// exceeded, no call is taken twice, and turns that say "again now" come to an end.
    #[test]
    fn no_limit_is_exceeded(
        lines in proptest::collection::vec(
            (any_line(), proptest::option::of(0u64..200_000)), 1..4),
        trunk in any_line(),
        concurrency in proptest::option::of(0u32..20),
        batches in proptest::collection::vec(any_batch(), 1..4),
        steps in proptest::collection::vec(
            (1u64..900, proptest::collection::vec(proptest::option::of(0u32..200), 0..6)), 1..40),
    ) {
        let mut w = world(&lines, trunk, concurrency, &batches);
        for (wait, ends) in steps {
            w.pass(wait);
            ends.into_iter().for_each(|talk| w.end_one(talk));
            let mut idle = 0;
            while idle < 10 {
                let mut before = w.head.clone();
                let plan = w.turn(60);
                before.batches.clone_from(&w.head.batches);
                for b in &mut before.batches {
                    let started = plan.intents.iter().filter(|i| i.batch == b.id).count();
                    b.live -= u32::try_from(started).unwrap();
                }
                check_intents(&w, &before, &plan)?;
                check_limits(&w)?;
                for (id, reason) in &plan.pauses {
                    if *reason == PauseReason::Budget {
                        prop_assert_eq!(batch(&w.head, *id).unwrap().live, 0, "may give back");
                    } else {
                        w.resume(*id);
                    }
                }
                if plan.look_again.is_none_or(|(at, _)| at > w.turn.now) {
                    break;
                }
                idle += usize::from(plan.intents.is_empty() && plan.pauses.is_empty());
            }
            prop_assert!(idle < 10, "spins");
        }
        let calls: BTreeSet<CallId> = w.placed.iter().map(|i| i.call).collect();
        prop_assert_eq!(calls.len(), w.placed.len(), "taken twice");
        check_pace(&trunk, w.placed.iter().map(|i| i.send_at))?;
        for n in &w.head.numbers {
            let over = w.placed.iter().filter(|i| i.caller == n.id);
            check_pace(&n.limits, over.map(|i| i.send_at))?;
        }
    }

    /// What is explained is what held the plan back: where nothing is said to hold a group, a turn
    /// places calls of its batch; where something is, it places none of the group's.
    #[test]
    fn what_is_explained_is_what_holds(
        lines in proptest::collection::vec(
            (any_line(), proptest::option::of(0u64..200_000)), 1..4),
        trunk in any_line(),
        settings in any_batch(),
        opens in any::<bool>(),
        ends in proptest::collection::vec(proptest::option::of(0u32..200), 0..8),
    ) {
        let hours = crate::hours::CallingHours::new(
            Some(if opens { ("20:00", "24:00") } else { ("08:00", "20:00") }), None,
        ).unwrap();
        let settings = BatchSettings { calling_hours: hours, ..settings };
        let mut w = world(&lines, trunk, None, &[settings]);
        let _ = w.turn(1_000);
        ends.into_iter().for_each(|talk| w.end_one(talk));
        // `turn` counts before it plans; explain what it will see.
        let limit = w.turn.turn_limit;
        w.turn.turn_limit = 0;
        let _ = w.turn(0);
        w.turn.turn_limit = limit;
        let why = Dispatcher::new().explain(&w.head, &w.groups, &w.turn);
        let plan = run(&mut Dispatcher::new(), &w.head, &w.groups, &w.turn, 1_000);
        let held = why.values().all(|waits| !waits.is_empty());
        prop_assert_eq!(held, plan.intents.is_empty(), "{:?}", why);
        for wait in why.values().flatten() {
            prop_assert!(wait.until > w.turn.now);
        }
        if !plan.pauses.is_empty() {
            let gates: Vec<Gate> = why.values().flatten().map(|wait| wait.gate).collect();
            prop_assert!(gates.iter().any(|g| matches!(g, Gate::Budget | Gate::Brake)));
        }
    }
}
