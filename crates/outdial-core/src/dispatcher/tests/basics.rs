//! One turn, or a few, in small worlds.

use super::*;
use crate::hours::{Allowed, CallingHours};

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

/// A world with one paced number, and its dispatcher.
fn paced(cps: f64) -> (Head, Dispatcher) {
    let limits = LineLimits { calls_per_second: Some(cps), channels: None, calls_per_day: None };
    let batches = vec![batch_head(1, BatchSettings::default(), &[1])];
    let h = head(batches, vec![number(1, limits)], LineLimits::default());
    (h, Dispatcher::new())
}

/// Takes turns for `ms`, every 10 ms of a clock that is off by `off_ms`: slots in the time of a
/// clock that is not.
fn slots_of(
    (h, d): (&mut Head, &mut Dispatcher),
    (from_ms, ms): (u64, u64),
    off: Duration,
) -> Vec<Timestamp> {
    let due = [Group { next_due: Timestamp::EPOCH, ..group(1, false, &utc()) }];
    let mut slots = Vec::new();
    for at in (from_ms..from_ms + ms).step_by(10) {
        let now = NOW.after(Duration::from_millis(at)).before(off);
        d.forget_cursors();
        let turn = Turn { now, ..turn(100) };
        let plan = run(d, h, &due, &turn, 1000);
        slots.extend(plan.intents.iter().map(|i| i.send_at.after(off)));
        if let Some((_, line)) = plan.slots.into_iter().next() {
            h.numbers[0].slots = line;
        }
    }
    slots
}

#[test]
fn a_clock_that_is_set_back_does_not_break_the_pace() {
    for back_ms in [100, 250, 400, 1_900, 3_600_000] {
        let (mut h, mut d) = paced(10.0);
        let mut slots = slots_of((&mut h, &mut d), (0, 10), Duration::ZERO);
        assert_eq!(slots.len(), 10);
        slots.extend(slots_of((&mut h, &mut d), (10, 2_500), Duration::from_millis(back_ms)));
        for first in &slots {
            let within = |s: &&Timestamp| *s >= first && s.since(*first).as_millis() < 1_100;
            assert!(slots.iter().filter(within).count() <= 10, "{back_ms} ms back: {slots:?}");
        }
        // It rests for a window and what a turn looks ahead; where the clock catches up before
        // that, for a window and what it was set back by. Not for an hour.
        assert!(slots.len() >= 20, "{back_ms} ms back: {} slots", slots.len());
        let next = slots[10].since(slots[9]).as_millis();
        assert!(next <= 2_450, "{back_ms} ms back: the line rests {next} ms");
    }
}

#[test]
fn a_node_that_starts_after_the_clock_was_set_back_keeps_the_pace() {
    let (mut h, mut d) = paced(10.0);
    let first = slots_of((&mut h, &mut d), (0, 10), Duration::ZERO);
    let back = Duration::from_millis(400);
    let then = slots_of((&mut h, &mut Dispatcher::new()), (10, 2_000), back);
    assert!(then[0].since(first[9]).as_millis() >= 1_100);
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
