//! Shares of batches by weight, of retries within a batch.

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
