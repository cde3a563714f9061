//! Shares of batches by weight, of retries within a batch.

use proptest::prelude::*;

use super::model::World;
use super::*;

#[test]
fn shares_by_weight() {
    let heavy = BatchSettings { weight: 3, ..BatchSettings::default() };
    let h = head(
        vec![batch_head(1, heavy, &[1]), batch_head(2, BatchSettings::default(), &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits { calls_per_second: None, channels: Some(40), calls_per_day: None },
    );
    let groups = [group(1, false, &utc()), group(2, false, &utc())];
    let of = |plan: &Plan, n| plan.intents.iter().filter(|i| i.batch == batch_id(n)).count();
    let mut d = Dispatcher::new();
    let plan = run(&mut d, &h, &groups, &turn(100), 1000);
    assert_eq!((of(&plan, 1), of(&plan, 2)), (30, 10));
    // All forty are over at once: what counts is what was started, so the same again.
    let plan = run(&mut d, &h, &groups, &turn(100), 1000);
    assert_eq!((of(&plan, 1), of(&plan, 2)), (30, 10));
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
fn retries_get_their_turn_however_small_a_turn_is() {
    let h = head(
        vec![batch_head(1, BatchSettings::default(), &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits::default(),
    );
    let both = [group(1, false, &utc()), group(1, true, &utc())];
    let mut d = Dispatcher::new();
    let mut retries = 0;
    for _ in 0..20 {
        let plan = run(&mut d, &h, &both, &turn(1), 1000);
        retries += plan.intents.iter().filter(|i| i.call.seq() % 1_000_000 >= 500_000).count();
    }
    assert_eq!(retries, 10);
}

#[test]
fn a_huge_batch_does_not_delay_a_small_one_that_comes_later() {
    let paced = LineLimits { calls_per_second: Some(10.0), ..LineLimits::default() };
    let batches =
        [1, 2].map(|n| batch_head(n, BatchSettings::default(), &[1])).into_iter().collect();
    let h = head(batches, vec![number(1, paced)], LineLimits::default());
    let mut w = World::new(h, vec![group(1, false, &utc())], turn(500));
    for _ in 0..200 {
        let _ = w.turn(400_000);
        (0..100).for_each(|_| w.end_one(None));
        w.pass(100);
    }
    assert!(w.placed.len() > 150, "the first has the line for itself");
    w.groups.push(group(2, false, &utc()));
    let before = w.placed.len();
    while w.placed.iter().filter(|i| i.batch == batch_id(2)).count() < 10 {
        let _ = w.turn(400_000);
        (0..100).for_each(|_| w.end_one(None));
        w.pass(100);
        // Every second start is its own: it is owed no more, and gets no less.
        assert!(w.placed.len() - before < 22, "delayed");
    }
    assert!(w.placed.len() - before >= 18, "owed nothing for the time it had not come");
}

proptest! {
    /// Whatever the weights, the pace and the length of calls (one batch's fail at once, another's
    /// last), every batch gets in any run of turns its weighted share of the starts but for a
    /// bounded number of calls.
    #[test]
    fn nobody_backlogged_gets_less_than_its_share(
        weights in proptest::collection::vec(1u32..12, 2..6),
        cps in proptest::option::of(1.0f64..40.0),
        channels in proptest::option::of(5u32..60),
        steps in proptest::collection::vec((1u32..60, 20u64..700, 0usize..50), 10..60),
        classes in 1u32..4,
    ) {
        let batches: Vec<BatchHead> = (1..).zip(&weights).map(|(n, weight)| {
            let settings = BatchSettings { weight: *weight, ..BatchSettings::default() };
            batch_head(n, settings, &[1])
        }).collect();
        let ids: Vec<BatchId> = batches.iter().map(|b| b.id).collect();
        let limits = LineLimits { calls_per_second: cps, channels, calls_per_day: None };
        let h = head(batches, vec![number(1, limits)], LineLimits::default());
        let groups = ids.iter().flat_map(|id| (1..=classes).map(|class| {
            let mut group = group(id.seq(), false, &utc());
            group.key.class = class;
            group
        })).collect();
        let mut w = World::new(h, groups, turn(0));
        let mut started: Vec<Vec<usize>> = vec![vec![0; ids.len()]];
        for (limit, wait, ended) in steps {
            w.turn.turn_limit = limit;
            let _ = w.turn(400_000);
            // Calls of the first batch fail at once.
            let (at_once, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut w.live).into_iter().partition(|i| i.batch == ids[0]);
            w.live = rest;
            drop(at_once);
            (0..ended).for_each(|_| w.end_one(Some(30)));
            w.pass(wait);
            let count = |id: &BatchId| w.placed.iter().filter(|i| i.batch == *id).count();
            started.push(ids.iter().map(count).collect());
        }
        let all: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        for (from, first) in started.iter().enumerate() {
            for last in &started[from..] {
                let got: Vec<f64> =
                    last.iter().zip(first).map(|(l, f)| (l - f) as f64).collect();
                let total: f64 = got.iter().sum();
                for (got, weight) in got.iter().zip(&weights) {
                    let share = f64::from(*weight) / all;
                    let bound = 1.0 + ids.len() as f64 * share;
                    prop_assert!(*got >= share * total - bound, "{got} of {total}, {share}");
                }
            }
        }
    }

    /// Batches come and go: one that is back from having had nothing is neither owed what it did
    /// not ask for, nor made to wait for what it had.
    #[test]
    fn coming_and_going_changes_nobodys_share(
        away in proptest::collection::vec(any::<bool>(), 5..60), limit in 1u32..30,
    ) {
        let batches = [1, 2].map(|n| batch_head(n, BatchSettings::default(), &[1]));
        let numbers = vec![number(1, LineLimits::default())];
        let h = head(batches.to_vec(), numbers, LineLimits::default());
        let both = vec![group(1, false, &utc()), group(2, false, &utc())];
        let mut w = World::new(h, both.clone(), turn(limit));
        for is_away in away {
            w.groups = if is_away { both[..1].to_vec() } else { both.clone() };
            let before = w.placed.len();
            let _ = w.turn(400_000);
            w.live.clear();
            let second = w.placed[before..].iter().filter(|i| i.batch == batch_id(2)).count();
            let (half, rest) = ((limit / 2) as usize, (limit % 2) as usize);
            if !is_away {
                prop_assert!((half.saturating_sub(1)..=half + rest + 1).contains(&second));
            }
        }
    }
}
