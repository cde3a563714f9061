//! What a turn of the dispatcher reads.

use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::call::WaitReason;
use outdial_core::dispatcher::{Ask, Line};
use outdial_core::id::BatchId;
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_core::trunk_health::PAUSE_MAX;
use outdial_ports::store::{BatchStart, ChunkAdd, ChunkLane, NewPlan, PhonePatch, Settle};

use super::Factory;
use super::world::{
    BERLIN, NEW_YORK, World, completed, no_answer, phone, record, record_with, workspace,
};

pub(super) async fn head(f: &dyn Factory) {
    let w = World::new(f).await;
    let second = phone(&*w.store, w.ws, 4_930_222, Some(w.agent)).await.id;
    let patch = PhonePatch { calls_per_second: Some(Some(2.5)), ..PhonePatch::default() };
    w.store.phone_update(w.ws, second, patch).await.unwrap();
    let settings = BatchSettings { concurrency: Some(9), weight: 3, ..BatchSettings::default() };
    let (idle, active) = (w.batch().await, w.batch_with(settings.clone()).await);
    let start = BatchStart { numbers: Some(vec![second, w.phone]), call_data_lane: Some(4) };
    w.store.batch_start(w.ws, active, start).await.unwrap();
    let chunk = w.chunk(active, vec![record(49_301), record(49_302)]).await;
    w.store.call_add_chunk(chunk).await.unwrap();
    w.dial_all().await;

    let head = w.store.dispatch_head(w.ws, None).await.unwrap();
    assert_eq!((head.workspace, head.clock, head.concurrency), (w.ws, w.now(), Some(7)));
    assert_eq!(head.live, 2);
    assert_eq!(head.batches.len(), 1, "only active ones: {idle} is not");
    let batch = &head.batches[0];
    assert_eq!((batch.id, &*batch.settings, batch.lane), (active, &settings, Some(4)));
    assert_eq!((batch.numbers.as_slice(), batch.live), (&[second, w.phone][..], 2));
    let lines: Vec<_> = head.numbers.iter().map(|n| (n.id, &*n.trunks, n.live)).collect();
    assert_eq!(lines, [(w.phone, &[w.trunk][..], 2), (second, &[w.trunk], 0)]);
    assert_eq!(head.numbers[1].limits.calls_per_second, Some(2.5));
    assert_eq!(head.numbers[0].number, PhoneNumber::from_digits(4_930_111));
    assert_eq!(head.trunks.len(), 1);
    let trunk = &head.trunks[0];
    assert_eq!((trunk.id, trunk.live, trunk.paused_until), (w.trunk, 2, None));
    assert_eq!((trunk.limits.calls_per_second, trunk.limits.channels), (None, Some(500)));
    assert_eq!((trunk.is_down, trunk.max_call_s), (false, None));
}

pub(super) async fn groups_and_candidates(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    assert!(w.groups().await.is_empty());
    let zones = [BERLIN, NEW_YORK, "America/New_York,Europe/Berlin"];
    let records = (0..9).map(|n| record_with(49_300 + n as u64, "{}", zones[n % 3])).collect();
    let calls = w.add(batch, records).await.calls;
    w.advance_s(10);
    let live = w.dial_all().await;
    assert_eq!(live.len(), 9);
    w.retry_later(&live[0]).await;
    for c in &live[1..] {
        let next = outdial_core::call::CallNext::Pending {
            not_before: w.now(),
            reason: outdial_core::call::WaitReason::Due,
            is_retry: false,
        };
        w.finish(c, no_answer(), next).await;
    }
    let groups = w.groups().await;
    let seen: Vec<_> =
        groups.iter().map(|g| (g.zones.to_string(), g.key.is_retry, g.next_due)).collect();
    let later = w.now().after(Duration::from_secs(60));
    let first = live[0].intent.intent.call;
    let retried = zones[calls.iter().position(|c| *c == first).unwrap() % 3];
    for zone in zones {
        assert!(seen.contains(&(zone.to_owned(), false, w.now())), "{seen:?}");
    }
    assert!(seen.contains(&(retried.to_owned(), true, later)), "{seen:?}");
    assert_eq!(seen.len(), 4);

    let due = w.due().await;
    assert_eq!(due.len(), 8, "the retry is not due");
    let one = due.iter().find(|c| c.call == calls[4]).unwrap();
    assert_eq!((one.callee.digits(), one.not_before), (49_304, w.now()));
    assert_eq!((one.facts.round, one.facts.charged, one.facts.attempts), (1, 1, 1));
    w.store.batch_stop(w.ws, batch).await.unwrap();
    assert!(w.groups().await.is_empty());
}

pub(super) async fn continuing_after_a_candidate(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let mut calls = w.add_numbers(batch, &[49_309, 49_308, 49_307]).await;
    w.advance_s(1);
    calls.extend(w.add_numbers(batch, &[49_306, 49_305]).await);
    let group = w.groups().await[0].key;
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let ask = Ask { group, limit: 2, after };
        let page = w.store.dispatch_candidates(&[ask]).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some((last.not_before, last.call));
        seen.extend(page.iter().map(|c| c.call));
    }
    assert_eq!(seen, calls, "in the order (not_before, call)");
}

pub(super) async fn lanes(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301]).await;
    for lane in [2, 5] {
        let chunk = w.chunk(batch, vec![record(49_310 + u64::from(lane))]).await;
        let chunk = ChunkAdd { lane: ChunkLane::Lane(lane), ..chunk };
        w.store.call_add_chunk(chunk).await.unwrap();
    }
    let lanes = async || w.groups().await.iter().map(|g| g.key.lane).collect::<Vec<_>>();
    assert_eq!(lanes().await, [0, 2, 5]);
    for (lane, seen) in [(Some(5), vec![5]), (Some(3), vec![]), (Some(0), vec![0])] {
        let start = BatchStart { numbers: None, call_data_lane: lane };
        w.store.batch_start(w.ws, batch, start).await.unwrap();
        assert_eq!(lanes().await, seen);
    }
}

pub(super) async fn slots_and_pauses(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301]).await;
    let slots =
        |n: u64| (0..n).map(|i| w.now().after(Duration::from_millis(i))).collect::<Vec<_>>();
    let set = async |lines: Vec<_>| {
        let version = w.version().await;
        let plan = NewPlan { slots: lines, ..NewPlan::default() };
        w.store.attempt_commit_intents(w.ws, version, plan).await.unwrap();
        w.store.dispatch_head(w.ws, None).await.unwrap()
    };
    let (trunk, number) = (Line::Trunk(w.trunk), Line::Number(w.phone));
    let head = set(vec![(trunk, slots(3)), (number, slots(1))]).await;
    assert_eq!((&head.trunks[0].slots, &head.numbers[0].slots), (&slots(3), &slots(1)));
    let head = set(vec![(trunk, slots(2))]).await;
    assert_eq!((&head.trunks[0].slots, &head.numbers[0].slots), (&slots(2), &slots(1)));

    // The later pause wins, and spoils plans.
    let live = w.dial_all().await;
    let again = outdial_core::call::CallNext::Pending {
        not_before: w.now(),
        reason: outdial_core::call::WaitReason::CarrierUnavailable,
        is_retry: false,
    };
    let pause = async |seconds: u64, c: &outdial_ports::store::Committed| {
        let end = w.end(outdial_core::attempt::AttemptState::Ended, completed());
        let until = w.now().after(Duration::from_secs(seconds));
        let settle = Settle { trunk_paused_until: Some(until), ..Settle::default() };
        let before = w.version().await;
        w.store.attempt_finish(c.attempt, end, again, settle).await.unwrap();
        assert_eq!(w.version().await, before + 1);
        w.store.dispatch_head(w.ws, None).await.unwrap().trunks[0].paused_until
    };
    let later = Some(w.now().after(Duration::from_secs(9)));
    assert_eq!(pause(9, &live[0]).await, later);
    let live = w.dial_all().await;
    assert_eq!(pause(3, &live[0]).await, later);
    // One that ends later than any pause can is left of another clock.
    let in_s = |s: u64| Some(w.now().after(Duration::from_secs(s)));
    let beyond = PAUSE_MAX.as_secs() + 1;
    let live = w.dial_all().await;
    assert_eq!(pause(beyond, &live[0]).await, in_s(beyond));
    let live = w.dial_all().await;
    assert_eq!(pause(3, &live[0]).await, in_s(3));
    let paused = async || w.store.dispatch_head(w.ws, None).await.unwrap().trunks[0].paused_until;
    w.store.limits_prune(10).await.unwrap();
    assert_eq!(paused().await, in_s(3));
    let live = w.dial_all().await;
    assert_eq!(pause(beyond, &live[0]).await, in_s(beyond));
    w.store.limits_prune(10).await.unwrap();
    assert_eq!(paused().await, None);
}

/// What was planned and not placed takes nothing of a line's pace.
pub(super) async fn slots_of_the_dropped(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let mut intents: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    let slot = w.now();
    let old = slot.before(Duration::from_millis(500));
    intents[0].intent.facts.attempts = 9;
    intents[2].intent.facts.round = 9;
    // Of three in one slot two drop out; of another trunk nothing does.
    let other = outdial_core::id::TrunkId::from_parts(1, 99);
    let slots = vec![
        (Line::Trunk(w.trunk), vec![old, slot, slot, slot]),
        (Line::Number(w.phone), vec![slot, slot, slot]),
        (Line::Trunk(other), vec![slot]),
    ];
    let plan = NewPlan { intents, slots, ..NewPlan::default() };
    let out = w.store.attempt_commit_intents(w.ws, w.version().await, plan).await.unwrap();
    assert_eq!((out.committed.len(), out.dropped.len()), (1, 2));
    let head = w.head().await;
    assert_eq!(head.trunks[0].slots, [old, slot]);
    assert_eq!(head.numbers[0].slots, [slot]);
}

pub(super) async fn one_batch_besides(f: &dyn Factory) {
    let w = World::new(f).await;
    let (active, stopped) = (w.batch().await, w.batch().await);
    w.add_numbers(active, &[49_301]).await;
    w.add_numbers(stopped, &[49_302]).await;
    for (batch, lane, number) in [(active, 2, 49_303), (stopped, 4, 49_304)] {
        let chunk = w.chunk(batch, vec![record(number)]).await;
        let chunk = ChunkAdd { lane: ChunkLane::Lane(lane), ..chunk };
        w.store.call_add_chunk(chunk).await.unwrap();
        let start = BatchStart { numbers: None, call_data_lane: Some(lane) };
        w.store.batch_start(w.ws, batch, start).await.unwrap();
    }
    w.store.batch_stop(w.ws, stopped).await.unwrap();
    let heads = async |also| {
        let head = w.store.dispatch_head(w.ws, also).await.unwrap();
        head.batches.iter().map(|b| (b.id, b.lane)).collect::<Vec<_>>()
    };
    let (one, both) = (vec![(active, Some(2))], vec![(active, Some(2)), (stopped, Some(4))]);
    assert_eq!(heads(None).await, one);
    assert_eq!(heads(Some(active)).await, one, "once");
    assert_eq!(heads(Some(stopped)).await, both);
    assert_eq!(w.batch_head(stopped).await.numbers, [w.phone]);
    let groups = async |also| {
        let groups = w.store.dispatch_groups(w.ws, also).await.unwrap();
        groups.iter().map(|g| (g.key.batch, g.key.lane)).collect::<Vec<_>>()
    };
    assert_eq!(groups(None).await, [(active, 2)]);
    assert_eq!(groups(Some(active)).await, [(active, 0), (active, 2)], "all of its lanes");
    assert_eq!(groups(Some(stopped)).await, [(active, 2), (stopped, 0), (stopped, 4)]);
    // Not another workspace's, nor one that nobody has.
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let theirs = w.store.dispatch_head(other, Some(active)).await.unwrap();
    assert_eq!((theirs.batches.len(), theirs.numbers.len()), (0, 0));
    assert!(w.store.dispatch_groups(other, Some(active)).await.unwrap().is_empty());
    let forged = BatchId::from_parts(stopped.seconds() + 1, stopped.seq());
    assert_eq!(heads(Some(forged)).await, one);
    assert_eq!(groups(Some(forged)).await, [(active, 2)]);

    // What the workspace chose comes with it.
    w.configure(|s| {
        s.timezone = NEW_YORK.to_owned();
        s.calling_rules = CallingRules::Off;
        s.attempts_24h = Some(5);
        s.brakes.min_attempts = 7;
    })
    .await;
    let head = w.head().await;
    assert_eq!((head.zone.name(), head.rules), (NEW_YORK, CallingRules::Off));
    assert_eq!((head.attempts_24h, head.brakes.min_attempts), (Some(5), 7));
}

pub(super) async fn waiting(f: &dyn Factory) {
    let w = World::new(f).await;
    let (batch, other) = (w.batch().await, w.batch().await);
    let ids = w.add_numbers(batch, &[49_301, 49_302, 49_303, 49_304]).await;
    let extra = w.add(batch, vec![record_with(49_305, "{}", NEW_YORK)]).await.calls[0];
    w.add_numbers(other, &[49_306]).await;
    let view = w.call(extra).await;
    let group = view.group.unwrap();
    assert_eq!((group.batch, group.lane, group.is_retry), (batch, 0, false));
    assert!(w.groups().await.iter().any(|g| g.key == group));
    // Two wait for a retry: due within the same minute, seconds apart.
    w.advance_s(1);
    let due = w.due().await;
    let mine = |id| due.iter().filter(move |c| c.call == id);
    for id in [ids[0], ids[1]] {
        let live = w.commit(mine(id).map(|c| w.intent(c)).collect()).await.committed;
        assert!(w.call(id).await.group.is_none(), "not while it is on the phone");
        w.retry_later(&live[0]).await;
        w.advance_s(1);
    }
    let buckets = w.store.dispatch_waiting(vec![batch]).await.unwrap();
    let mut seen: Vec<_> = buckets
        .iter()
        .map(|b| (b.count, b.zones.to_string(), b.charged, b.uncharged, b.reason, b.not_before))
        .collect();
    seen.sort_by_key(|b| (b.2, b.0));
    // The clock began with a whole minute, three seconds ago.
    let later = w.now().after(Duration::from_secs(117));
    assert_eq!(
        seen,
        [
            (1, NEW_YORK.to_owned(), 0, 0, WaitReason::Due, Timestamp::EPOCH),
            (2, BERLIN.to_owned(), 0, 0, WaitReason::Due, Timestamp::EPOCH),
            (2, BERLIN.to_owned(), 1, 0, WaitReason::RetryDelay, later),
        ]
    );
    assert!(buckets.iter().all(|b| b.group.batch == batch && b.group.is_retry == (b.charged == 1)));
    assert_eq!(buckets.iter().find(|b| b.count == 1).unwrap().group, group);
    w.advance_s(120);
    let both = w.store.dispatch_waiting(vec![batch, other]).await.unwrap();
    assert_eq!(both.iter().map(|b| b.count).sum::<u64>(), 6);
    assert!(both.iter().all(|b| b.reason == WaitReason::Due && b.not_before == Timestamp::EPOCH));
    assert!(w.store.dispatch_waiting(Vec::new()).await.unwrap().is_empty());
}
