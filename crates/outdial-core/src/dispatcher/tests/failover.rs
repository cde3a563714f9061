//! Several trunks of one number.

use super::*;

fn trunk_id(n: u64) -> TrunkId {
    TrunkId::from_parts(1, n)
}

/// Which trunk a call takes that so many could not place, of a number with the trunks 2, 3, 1; or
/// what it waits for.
fn taken(uncharged: u32, change: impl Fn(&mut [TrunkHead])) -> Result<u64, Vec<(Gate, Timestamp)>> {
    let settings = BatchSettings { max_call_s: 600, ..BatchSettings::default() };
    let mut h = head(
        vec![batch_head(1, settings, &[1])],
        vec![number(1, LineLimits::default())],
        LineLimits::default(),
    );
    let trunk = h.trunks[0].clone();
    h.trunks = (1..=3).map(|n| TrunkHead { id: trunk_id(n), ..trunk.clone() }).collect();
    // The order of preference is not that of the ids.
    h.numbers[0].trunks = vec![trunk_id(2), trunk_id(3), trunk_id(1)];
    change(&mut h.trunks);
    let groups = [group(1, false, &utc())];
    let mut d = Dispatcher::new();
    let asks = d.ask(&h, &groups, &turn(1));
    let mut candidates = answer(&asks, 1);
    candidates.iter_mut().for_each(|c| c.facts.uncharged = uncharged);
    let plan = d.plan(&h, &groups, &asks, &candidates, &turn(1));
    match &plan.intents[..] {
        [intent] => {
            let trunk = h.trunks.iter().find(|t| t.id == intent.trunk).unwrap();
            assert_eq!(intent.max_call_s, trunk.max_call_s.unwrap_or(600).min(600));
            Ok(intent.trunk.seq())
        }
        _ => Err(d.explain(&h, &groups, &turn(1))[&groups[0].key]
            .iter()
            .map(|wait| (wait.gate, wait.until))
            .collect()),
    }
}

#[test]
fn each_uncharged_try_goes_over_the_next_trunk() {
    let tried: Vec<u64> = (0..5).map(|n| taken(n, |_| {}).unwrap()).collect();
    assert_eq!(tried, [2, 3, 1, 2, 3]);
}

#[test]
fn what_is_paused_or_down_is_passed_over() {
    let later = NOW.after(Duration::from_secs(30));
    let paused = |trunks: &mut [TrunkHead]| trunks[1].paused_until = Some(later);
    assert_eq!(taken(0, paused), Ok(3));
    assert_eq!(taken(2, paused), Ok(1));
    assert_eq!(taken(3, paused), Ok(3));
    let two = |trunks: &mut [TrunkHead]| {
        trunks[1].paused_until = Some(later);
        trunks[2].is_down = true;
    };
    assert_eq!(taken(0, two), Ok(1));
    let over = |trunks: &mut [TrunkHead]| trunks[1].paused_until = Some(NOW);
    assert_eq!(taken(0, over), Ok(2), "its pause is over");
}

#[test]
fn when_none_is_in_order_it_waits_for_the_one_that_will_be_soonest() {
    let at = |s| NOW.after(Duration::from_secs(s));
    let all = |trunks: &mut [TrunkHead]| {
        trunks[0].paused_until = Some(at(20));
        trunks[1].paused_until = Some(at(60));
        trunks[2].is_down = true;
    };
    assert_eq!(taken(0, all), Err(vec![(Gate::TrunkPaused, at(20))]));
    let down = |trunks: &mut [TrunkHead]| trunks.iter_mut().for_each(|t| t.is_down = true);
    assert_eq!(taken(0, down), Err(vec![(Gate::TrunkDown, Timestamp::MAX)]));
}

#[test]
fn one_that_is_merely_busy_is_waited_for() {
    let full = |trunks: &mut [TrunkHead]| {
        (trunks[1].limits.channels, trunks[1].live) = (Some(1), 1);
    };
    assert_eq!(taken(0, full), Err(vec![(Gate::Channels, Timestamp::MAX)]));
    assert_eq!(taken(1, full), Ok(3));
    assert_eq!(taken(3, full), Ok(3), "it was refused before, and waits for no busy one");
}

#[test]
fn a_call_lasts_no_longer_than_its_trunk_allows() {
    let short = |trunks: &mut [TrunkHead]| trunks[1].max_call_s = Some(60);
    assert_eq!(taken(0, short), Ok(2));
    let long = |trunks: &mut [TrunkHead]| trunks[1].max_call_s = Some(6_000);
    assert_eq!(taken(0, long), Ok(2));
}
