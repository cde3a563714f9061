//! What a turn of the dispatcher reads.

use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::dispatcher::{Ask, Line};
use outdial_core::phone::PhoneNumber;
use outdial_ports::store::{BatchStart, ChunkAdd, ChunkLane, NewPlan, PhonePatch, Settle};

use super::Factory;
use super::world::{BERLIN, NEW_YORK, World, completed, no_answer, phone, record, record_with};

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
    let lines: Vec<_> = head.numbers.iter().map(|n| (n.id, n.trunk, n.live)).collect();
    assert_eq!(lines, [(w.phone, w.trunk, 2), (second, w.trunk, 0)]);
    assert_eq!(head.numbers[1].limits.calls_per_second, Some(2.5));
    assert_eq!(head.numbers[0].number, PhoneNumber::from_digits(4_930_111));
    assert_eq!(head.trunks.len(), 1);
    let trunk = &head.trunks[0];
    assert_eq!((trunk.id, trunk.live, trunk.paused_until), (w.trunk, 2, None));
    assert_eq!((trunk.limits.calls_per_second, trunk.limits.channels), (None, Some(500)));
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
}
