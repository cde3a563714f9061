//! `call_add_chunk`: what becomes of a record (`semantics.md` 1.3 and 1.8).

use outdial_core::batch::{BatchState, BatchTotals};
use outdial_core::call::{CallFacts, CallNext, CallState, WaitReason};
use outdial_core::outcome::Disposition;
use outdial_ports::store::{BatchStart, ChunkAdd, ChunkError, ChunkLane, ChunkRecord, DropReason};

use super::Factory;
use super::world::{BERLIN, NEW_YORK, World, completed, record, record_with};

fn blocked(phone: u64) -> ChunkRecord {
    ChunkRecord { blocked: Some((Disposition::Skipped, "no_common_hours")), ..record(phone) }
}

fn totals(pending: u64, live: u64, finished: u64) -> BatchTotals {
    let total = pending + live + finished;
    BatchTotals { total, pending, live, finished, ..BatchTotals::default() }
}

pub(super) async fn new_calls(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.advance_s(5);
    let fields = r#"{ "phoneNumber" : 49301, "n": 12345678901234567890123.50, "ü":"\u00fc" }"#;
    let records = vec![record_with(49_301, fields, NEW_YORK), record(49_302)];
    let stored = w.add(batch, records).await;
    assert_eq!((stored.calls.len(), stored.updated, stored.deferred), (2, 0, 0));
    assert_eq!((stored.batch_state, stored.pause_reason), (BatchState::Active, None));
    let call = w.call(stored.calls[0]).await;
    assert_eq!((call.batch, call.phone.digits()), (batch, 49_301));
    assert_eq!((call.fields.as_str(), call.class.as_str()), (fields, NEW_YORK));
    assert_eq!((call.state, call.held), (CallState::Pending, false));
    assert_eq!(call.facts, CallFacts { round: 1, ..CallFacts::default() });
    assert_eq!((call.disposition, call.disposition_reason), (None, None));
    let waiting = call.waiting.unwrap();
    assert_eq!((waiting.not_before, waiting.reason), (w.now(), WaitReason::Due));
    assert_eq!((call.created_at, call.updated_at), (w.now(), w.now()));
    assert!(call.attempts.is_empty());
    assert_eq!(w.totals(batch).await, totals(2, 0, 0));
    assert_eq!(w.store.batch_fetch(batch).await.unwrap().unwrap().updated_at, w.now());
    // The same number in another batch is another call.
    let other = w.batch().await;
    assert_ne!(w.add_numbers(other, &[49_301]).await[0], stored.calls[0]);
}

pub(super) async fn updates_while_pending(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    w.retry_later(&live[0]).await;
    w.complete(&live[1]).await;
    let before = w.call(ids[0]).await;
    w.advance_s(1);
    let version = w.version().await;
    let records = vec![record(49_309), record_with(49_301, r#"{"a":1}"#, NEW_YORK)];
    let again = w.add(batch, records).await;
    assert_eq!(w.version().await, version, "a long list spoils no plan");
    assert_eq!((again.calls[1], again.updated, again.deferred), (ids[0], 1, 0));
    let after = w.call(ids[0]).await;
    assert_eq!((after.fields.as_str(), after.class.as_str()), (r#"{"a":1}"#, NEW_YORK));
    assert_eq!((after.facts, after.waiting), (before.facts, before.waiting));
    assert_eq!((after.created_at, after.updated_at), (before.created_at, w.now()));
    assert_eq!(after.attempts, before.attempts);
    assert_eq!(w.totals(batch).await, BatchTotals { picked: 1, completed: 1, ..totals(2, 0, 1) });
}

pub(super) async fn reopens_when_finished(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let id = w.add_numbers(batch, &[49_301]).await[0];
    w.complete(&w.dial_all().await[0]).await;
    assert_eq!(w.totals(batch).await, BatchTotals { picked: 1, completed: 1, ..totals(0, 0, 1) });
    w.store.batch_close_due(1).await.unwrap();
    w.advance_s(1);
    let again = w.add(batch, vec![record_with(49_301, r#"{"a":2}"#, BERLIN)]).await;
    assert_eq!((again.calls.as_slice(), again.updated), (&[id][..], 1));
    assert_eq!(again.batch_state, BatchState::Active);
    let call = w.call(id).await;
    assert_eq!((call.state, call.fields.as_str()), (CallState::Pending, r#"{"a":2}"#));
    assert_eq!(call.facts, CallFacts { round: 2, charged: 0, uncharged: 0, attempts: 1 });
    assert_eq!(call.disposition, Some(Disposition::Completed), "the latest, until the next");
    let waiting = call.waiting.unwrap();
    assert_eq!((waiting.not_before, waiting.reason), (w.now(), WaitReason::Due));
    assert_eq!(w.totals(batch).await, totals(1, 0, 0), "the new round is not picked yet");

    let live = w.dial_all().await;
    assert_eq!(live[0].intent.intent.facts.attempts, 1);
    w.complete(&live[0]).await;
    let call = w.call(id).await;
    let logs: Vec<_> = call.attempts.iter().map(|a| (a.number, a.round)).collect();
    assert_eq!(logs, [(1, 1), (2, 2)]);
    assert_eq!(w.totals(batch).await, BatchTotals { picked: 1, completed: 1, ..totals(0, 0, 1) });
}

pub(super) async fn defers_while_live(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    let old = w.call(ids[0]).await.fields;
    for fields in [r#"{"a":1}"#, r#"{"a":2}"#] {
        let records = [49_301, 49_302].map(|n| record_with(n, fields, NEW_YORK)).to_vec();
        let stored = w.add(batch, records).await;
        assert_eq!(stored.calls, ids);
        assert_eq!((stored.updated, stored.deferred), (2, 2));
    }
    let during = w.call(ids[0]).await;
    assert_eq!((during.state, &during.fields), (CallState::Live, &old));
    assert_eq!(w.totals(batch).await, totals(0, 2, 0));

    w.retry_later(&live[0]).await;
    w.complete(&live[1]).await;
    let retried = w.call(ids[0]).await;
    assert_eq!((retried.fields.as_str(), retried.class.as_str()), (r#"{"a":2}"#, NEW_YORK));
    assert_eq!(retried.facts, CallFacts { round: 1, charged: 1, uncharged: 0, attempts: 1 });
    assert_eq!(retried.waiting.unwrap().reason, WaitReason::RetryDelay);
    let done = w.call(ids[1]).await;
    assert_eq!((done.state, done.facts.round), (CallState::Finished, 1), "no re-open");
    assert_eq!(done.fields, r#"{"a":2}"#);
    w.advance_s(60);
    let due = w.due().await;
    assert_eq!(due.len(), 1);
    let group = &w.groups().await[0];
    assert_eq!(group.zones.to_string(), NEW_YORK, "the retry goes by the new zone");
    // What was deferred is applied once.
    w.add(batch, vec![record_with(49_301, r#"{"a":3}"#, BERLIN)]).await;
    let live = w.dial_all().await;
    w.complete(&live[0]).await;
    assert_eq!(w.call(ids[0]).await.fields, r#"{"a":3}"#);
}

pub(super) async fn deferred_and_blocked(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    w.add(batch, vec![blocked(49_301), blocked(49_302)]).await;
    w.retry_later(&live[0]).await;
    w.complete(&live[1]).await;
    let retried = w.call(ids[0]).await;
    assert_eq!(retried.state, CallState::Finished);
    assert_eq!(retried.disposition, Some(Disposition::Skipped));
    assert_eq!(retried.disposition_reason.as_deref(), Some("no_common_hours"));
    assert_eq!(w.call(ids[1]).await.disposition, Some(Disposition::Completed));
    assert_eq!(w.totals(batch).await, BatchTotals { picked: 1, completed: 1, ..totals(0, 0, 2) });
}

pub(super) async fn blocked_records(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let stored = w.add(batch, vec![blocked(49_301), record(49_302)]).await;
    let call = w.call(stored.calls[0]).await;
    assert_eq!((call.state, call.disposition), (CallState::Finished, Some(Disposition::Skipped)));
    assert_eq!(call.disposition_reason.as_deref(), Some("no_common_hours"));
    assert_eq!(w.totals(batch).await, totals(1, 0, 1));
    assert_eq!(w.due().await.len(), 1);
    // A pending one that can no longer be called, and a blocked one that can.
    w.add(batch, vec![blocked(49_302), record(49_301)]).await;
    assert_eq!(w.totals(batch).await, totals(1, 0, 1));
    let due = w.due().await;
    assert_eq!((due.len(), due[0].call), (1, stored.calls[0]));
    assert_eq!(w.call(stored.calls[0]).await.disposition_reason, None);
    // A finished one that can no longer be called.
    w.complete(&w.dial_all().await[0]).await;
    w.add(batch, vec![blocked(49_301)]).await;
    assert_eq!(w.totals(batch).await, totals(0, 0, 2));
    assert_eq!(w.call(stored.calls[0]).await.disposition, Some(Disposition::Skipped));
}

pub(super) async fn auto_start(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let chunk = w.chunk(batch, vec![record(49_301)]).await;
    let quiet = ChunkAdd { auto_start: false, ..chunk };
    assert_eq!(w.store.call_add_chunk(quiet).await.unwrap().batch_state, BatchState::Pending);
    assert!(w.due().await.is_empty());
    let version = w.version().await;
    assert_eq!(w.add(batch, vec![record(49_302)]).await.batch_state, BatchState::Active);
    assert_eq!(w.version().await, version + 1, "a plan did not know of this batch");
    assert_eq!(w.due().await.len(), 2);
    w.add(batch, vec![record(49_303)]).await;
    assert_eq!(w.version().await, version + 1, "more calls spoil no plan");
    w.store.batch_stop(w.ws, batch).await.unwrap();
    assert_eq!(w.add(batch, vec![record(49_304)]).await.batch_state, BatchState::Stopped);
    assert!(w.due().await.is_empty());
}

pub(super) async fn lanes_of_chunks(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let free = async || w.store.batch_ingest_context(w.ws, batch).await.unwrap().unwrap().free_lane;
    let lane = free().await;
    assert_eq!(free().await, lane, "asking takes nothing");
    // One of the batch's own (moves), one that is on the phone (moves when it is over), one new.
    let due = w.due().await;
    let on_phone = due.iter().find(|c| c.call == ids[1]).unwrap();
    let live = w.commit(vec![w.intent(on_phone)]).await.committed;
    let chunk = w.chunk(batch, vec![record(49_301), record(49_302), record(49_304)]).await;
    let chunk = ChunkAdd { lane: ChunkLane::Lane(lane), ..chunk };
    let stored = w.store.call_add_chunk(chunk).await.unwrap();
    assert!(free().await > lane);
    let start = BatchStart { numbers: None, call_data_lane: Some(lane) };
    let started = w.store.batch_start(w.ws, batch, start).await.unwrap();
    assert_eq!(started.lane, Some(lane));
    assert!(w.call(ids[2]).await.held);
    let due: Vec<_> = w.due().await.into_iter().map(|c| c.call).collect();
    assert_eq!(due, [ids[0], stored.calls[2]]);
    // A later plain add of a call on the phone does not take it out of the lane.
    w.add(batch, vec![record(49_302)]).await;
    let next = CallNext::Pending { not_before: w.now(), reason: WaitReason::Due, is_retry: true };
    w.finish(&live[0], completed(), next).await;
    assert!(!w.call(ids[1]).await.held);
    assert_eq!(w.due().await.len(), 3);
    // Plain adding follows the lane that is placed; a call held stays held.
    let more = w.add(batch, vec![record(49_305), record(49_303)]).await;
    assert!(!w.call(more.calls[0]).await.held);
    assert!(w.call(ids[2]).await.held);
    w.store.batch_start(w.ws, batch, BatchStart::default()).await.unwrap();
    assert!(!w.call(ids[2]).await.held);
    assert_eq!(w.due().await.len(), 5);
}

pub(super) async fn batch_gone(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let done = w.chunk(batch, vec![record(49_301)]).await;
    let stored = w.store.call_add_chunk(done.clone()).await.unwrap();
    let late = w.chunk(batch, vec![record(49_302)]).await;
    w.store.batch_delete(w.ws, batch).await.unwrap();
    assert_eq!(w.store.call_add_chunk(late).await, Err(ChunkError::BatchGone));
    assert_eq!(w.store.call_add_chunk(done).await, Ok(stored.clone()), "what is done is done");
    assert!(w.store.call_fetch(w.ws, stored.calls[0]).await.unwrap().is_none());
}

/// A plan of before does not take a call that is for another zone's hours, or of another lane.
pub(super) async fn plans_of_before(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let plan: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    let version = w.version().await;
    let abroad = record_with(49_301, "{}", NEW_YORK);
    w.add(batch, vec![abroad, record_with(49_303, "{}", BERLIN)]).await;
    let lane = ChunkLane::Lane(7);
    let apart = ChunkAdd { lane, ..w.chunk(batch, vec![record(49_302)]).await };
    w.store.call_add_chunk(apart).await.unwrap();
    let out = w.try_commit(version, plan).await.unwrap();
    let dropped: Vec<_> = out.dropped.iter().map(|d| d.reason).collect();
    assert_eq!(dropped, [DropReason::NotPending; 2]);
    assert_eq!(out.committed[0].intent.intent.callee.digits(), 49_303);
    // As they are now they go.
    assert_eq!(w.dial_all().await.len(), 2);
}
