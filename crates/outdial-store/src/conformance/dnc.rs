//! The do-not-call list, and what it does to calls.

use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::call::CallState;
use outdial_core::id::{BatchId, DncId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_ports::store::{
    CommitError, DncAddError, DncDeleteError, DncListQuery, DropReason, NewDnc,
};

use super::Factory;
use super::world::{World, completed, no_answer, record, record_with, workspace};

/// State, disposition, and its reason.
async fn fate(w: &World, call: outdial_core::id::CallId) -> (CallState, Option<Disposition>, bool) {
    let call = w.call(call).await;
    let listed = call.disposition_reason.as_deref() == Some("do_not_call");
    (call.state, call.disposition, listed)
}

const SKIPPED: (CallState, Option<Disposition>, bool) =
    (CallState::Finished, Some(Disposition::Skipped), true);

pub(super) async fn adding(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let (a, b, gone) = (w.batch().await, w.batch().await, w.batch().await);
    w.add_numbers(a, &[49_301]).await;
    let log = w.dial_all().await.remove(0);
    let token = log.intent.token;
    let new = |batch, phone, token| NewDnc {
        phone: PhoneNumber::from_digits(phone),
        batch,
        token,
        kind: Some("complaint".to_owned()),
    };
    let add = |n| w.store.dnc_add(w.ws, n);
    let forged = BatchId::from_parts(a.seconds() + 1, a.seq());
    assert_eq!(add(new(forged, 49_301, token)).await, Err(DncAddError::NoBatch));
    let theirs = w.store.dnc_add(other, new(a, 49_301, token)).await;
    assert_eq!(theirs, Err(DncAddError::NoBatch));
    for lost in [new(a, 49_301, [9; 16]), new(a, 49_302, token), new(b, 49_301, token)] {
        assert_eq!(add(lost).await, Err(DncAddError::NoPhoneLog));
    }

    // Others wait for the same person, and one whose batch is deleted.
    let waiting = w.add_numbers(b, &[49_301, 49_302]).await;
    let lost = w.add_numbers(gone, &[49_301]).await[0];
    w.store.batch_delete(w.ws, gone).await.unwrap();
    let before = w.version().await;
    w.advance_s(1);
    let entry = add(new(a, 49_301, token)).await.unwrap();
    assert_eq!((entry.workspace, entry.phone.digits(), entry.batch), (w.ws, 49_301, a));
    assert_eq!((entry.token, entry.kind.as_deref()), (token, Some("complaint")));
    assert_eq!((entry.recording.clone(), entry.transcript.clone()), (None, None));
    assert_eq!(entry.created_at, w.now());
    assert_eq!(w.version().await, before + 1);
    assert_eq!(add(new(a, 49_301, token)).await, Err(DncAddError::AlreadyListed));
    assert_eq!(w.version().await, before + 1, "a refusal changes nothing");

    assert_eq!(fate(&w, waiting[0]).await, SKIPPED);
    assert_eq!(w.call(waiting[0]).await.updated_at, w.now());
    assert_eq!(w.call(waiting[1]).await.state, CallState::Pending);
    let totals = w.totals(b).await;
    assert_eq!((totals.pending, totals.finished), (1, 1));
    assert!(w.store.call_fetch(w.ws, lost).await.unwrap().is_none());
    assert_eq!(w.store.live_list_recalled().await.unwrap(), [log.attempt]);
    // It rings on, and would be tried again.
    w.again(&log, AttemptState::Ended, no_answer()).await;
    assert_eq!(fate(&w, log.intent.intent.call).await, SKIPPED);
    assert!(w.store.live_list_recalled().await.unwrap().is_empty());
    assert_eq!(w.totals(a).await.finished, 1);
}

pub(super) async fn which_calls_are_checked(f: &dyn Factory) {
    let w = World::new(f).await;
    w.configure(|s| s.do_not_call = false).await;
    let careful = BatchSettings { enable_dnc: true, ..BatchSettings::default() };
    let (plain, careful) = (w.batch().await, w.batch_with(careful).await);
    w.add_numbers(plain, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    let waits = w.add_numbers(careful, &[49_301, 49_302]).await;
    w.list(&live[0]).await.unwrap();
    w.list(&live[1]).await.unwrap();
    assert_eq!(fate(&w, waits[0]).await, SKIPPED, "its batch says so");
    assert!(w.store.live_list_recalled().await.unwrap().is_empty(), "nobody says so");
    w.again(&live[0], AttemptState::Ended, no_answer()).await;
    let call = live[0].intent.intent.call;
    assert_eq!(w.call(call).await.state, CallState::Pending);
    // With the switch on it is checked where it matters: before it is placed.
    w.configure(|s| s.do_not_call = true).await;
    assert_eq!(w.store.live_list_recalled().await.unwrap(), [live[1].attempt]);
    let due = w.due().await;
    assert_eq!(due.len(), 1);
    let before = w.totals(plain).await;
    let out = w.commit(vec![w.intent(&due[0])]).await;
    assert_eq!(out.dropped[0].reason, DropReason::DoNotCall);
    assert_eq!((out.committed.len(), out.dropped[0].call), (0, call));
    assert_eq!(fate(&w, call).await, SKIPPED);
    let after = w.totals(plain).await;
    assert_eq!((after.pending, after.finished), (before.pending - 1, before.finished + 1));
    // Another workspace has its own list.
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let query = DncListQuery { page: 1, limit: 10, search: None };
    assert_eq!(w.store.dnc_list(other, query).await.unwrap().total, 0);
}

pub(super) async fn races(f: &dyn Factory) {
    let w = World::new(f).await;
    let (a, b) = (w.batch().await, w.batch().await);
    w.add_numbers(a, &[49_301, 49_302]).await;
    let live = w.dial_all().await;
    w.complete(&live[0]).await;
    w.complete(&live[1]).await;
    let waits = w.add_numbers(b, &[49_301, 49_302]).await;
    let plan: Vec<_> = w.due().await.iter().map(|c| w.intent(c)).collect();
    let version = w.version().await;
    w.list(&live[0]).await.unwrap();
    let listed = live[0].intent.intent.callee;
    assert_eq!(w.try_commit(version, plan.clone()).await, Err(CommitError::Stale));
    // The same plan on the version that stands: only the other one goes.
    let out = w.commit(plan).await;
    assert_eq!((out.committed.len(), out.dropped.len()), (1, 1));
    assert_ne!(out.committed[0].intent.intent.callee, listed);
    assert_eq!(out.dropped[0].reason, DropReason::NotPending, "it was finished when listed");

    // Listed between the answer and the end: what was said stays said.
    w.list(&live[1]).await.unwrap();
    assert_eq!(w.store.live_list_recalled().await.unwrap(), [out.committed[0].attempt]);
    w.finish(
        &out.committed[0],
        completed(),
        outdial_core::call::CallNext::Finished(Disposition::Completed),
    )
    .await;
    let talked = out.committed[0].intent.intent.call;
    assert!(waits.contains(&talked));
    assert_eq!(fate(&w, talked).await, (CallState::Finished, Some(Disposition::Completed), false));
}

pub(super) async fn listing(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302, 49_403]).await;
    let mut live = w.dial_all().await;
    live.sort_by_key(|c| c.intent.intent.callee);
    let mut ids = Vec::new();
    for (c, kind) in live.iter().zip([Some("Ärger 100%"), None, Some("customer_request")]) {
        let (phone, token) = (c.intent.intent.callee, c.intent.token);
        let kind = kind.map(str::to_owned);
        let new = NewDnc { phone, batch, token, kind };
        ids.push(w.store.dnc_add(w.ws, new).await.unwrap().id);
    }
    let page = async |page, limit, search: Option<&str>| {
        let query = DncListQuery { page, limit, search: search.map(str::to_owned) };
        let list = w.store.dnc_list(w.ws, query).await.unwrap();
        (list.entries.iter().map(|e| e.id).collect::<Vec<_>>(), list.total)
    };
    assert_eq!(page(1, 2, None).await, (vec![ids[2], ids[1]], 3), "newest first");
    assert_eq!(page(2, 2, None).await, (vec![ids[0]], 3));
    assert_eq!(page(3, 2, None).await, (vec![], 3));
    assert_eq!(page(1, 9, Some("")).await.1, 3);
    assert_eq!(page(1, 9, Some("4930")).await, (vec![ids[1], ids[0]], 2));
    assert_eq!(page(1, 9, Some("äRGER")).await, (vec![ids[0]], 1));
    assert_eq!(page(1, 9, Some("%")).await.1, 1, "no wildcards");
    // `requestUUID` as it is shown: 8-4-4-4-12, in either case.
    let hex: String = live[1].intent.token.iter().map(|b| format!("{b:02X}")).collect();
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    assert_eq!(page(1, 9, Some(&uuid)).await, (vec![ids[1]], 1));
    assert_eq!(page(1, 9, Some(&uuid[..14])).await.0, [ids[1]], "a part that has a hyphen");
    let query = DncListQuery { page: 1, limit: 1, search: Some(uuid) };
    let entry = w.store.dnc_list(w.ws, query).await.unwrap().entries.remove(0);
    assert_eq!((entry.phone.digits(), entry.batch, entry.kind), (49_302, batch, None));
    assert_eq!((entry.workspace, entry.token), (w.ws, live[1].intent.token));
    assert_eq!(entry.created_at, w.now());
}

pub(super) async fn deleting(f: &dyn Factory) {
    let w = World::new(f).await;
    let other = workspace(&*w.store, "other", 2).await.workspace;
    let (batch, second) = (w.batch().await, w.batch().await);
    w.add_numbers(batch, &[49_301]).await;
    let live = w.dial_all().await;
    let waits = w.add_numbers(second, &[49_301]).await[0];
    let entry = w.list(&live[0]).await.unwrap();
    let forged = DncId::from_parts(entry.id.seconds() + 1, entry.id.seq());
    assert_eq!(w.store.dnc_delete(w.ws, forged).await, Err(DncDeleteError::NotFound));
    assert_eq!(w.store.dnc_delete(other, entry.id).await, Err(DncDeleteError::Foreign));
    let before = w.version().await;
    w.store.dnc_delete(w.ws, entry.id).await.unwrap();
    assert_eq!(w.version().await, before + 1);
    assert_eq!(w.store.dnc_delete(w.ws, entry.id).await, Err(DncDeleteError::NotFound));
    assert!(w.store.live_list_recalled().await.unwrap().is_empty());
    assert_eq!(fate(&w, waits).await, SKIPPED, "what was skipped stays so");
    let again = w.list(&live[0]).await.unwrap();
    assert_ne!(again.id, entry.id, "an id is not used twice");
    w.store.dnc_delete(w.ws, again.id).await.unwrap();
    // Added again it is called.
    w.complete(&live[0]).await;
    assert_eq!(w.add(second, vec![record(49_301)]).await.do_not_call, 0);
    assert_eq!(w.call(waits).await.state, CallState::Pending);
    assert_eq!(w.dial_all().await.len(), 1);
}

pub(super) async fn chunks(f: &dyn Factory) {
    let w = World::new(f).await;
    let (old, batch) = (w.batch().await, w.batch().await);
    w.add_numbers(old, &[49_301, 49_302, 49_303, 49_304]).await;
    let mut logs = w.dial_all().await;
    logs.sort_by_key(|c| c.intent.intent.callee);
    for log in &logs {
        w.complete(log).await;
    }
    // One done, one on the phone, one that waits, one that nobody has added.
    w.add_numbers(batch, &[49_301]).await;
    w.complete(&w.dial_all().await[0]).await;
    w.add_numbers(batch, &[49_302]).await;
    let live = w.dial_all().await;
    w.configure(|s| s.do_not_call = false).await;
    w.add_numbers(batch, &[49_303]).await;
    for log in &logs {
        w.list(log).await.unwrap();
    }
    w.configure(|s| s.do_not_call = true).await;
    let records = || (49_301..=49_305).map(record).collect::<Vec<_>>();
    let chunk = w.chunk(batch, records()).await;
    let stored = w.store.call_add_chunk(chunk.clone()).await.unwrap();
    assert_eq!((stored.updated, stored.deferred, stored.do_not_call), (3, 1, 4));
    assert_eq!(w.store.call_add_chunk(chunk).await.unwrap(), stored, "as it was stored");
    for i in [0, 2, 3] {
        assert_eq!(fate(&w, stored.calls[i]).await, SKIPPED, "{i}");
    }
    assert_eq!(w.call(stored.calls[4]).await.state, CallState::Pending);
    let totals = w.totals(batch).await;
    assert_eq!((totals.live, totals.pending, totals.finished), (1, 1, 3));
    assert_eq!((totals.completed, totals.picked), (0, 0), "a new round, which was skipped");
    w.again(&live[0], AttemptState::Ended, no_answer()).await;
    assert_eq!(fate(&w, stored.calls[1]).await, SKIPPED);

    // Still listed: it stays as it is, but for its fields.
    let round = w.call(stored.calls[0]).await.facts.round;
    let again = w.add(batch, vec![record_with(49_301, r#"{"a":1}"#, super::world::BERLIN)]).await;
    assert_eq!((again.updated, again.do_not_call), (1, 1));
    let call = w.call(stored.calls[0]).await;
    assert_eq!((call.facts.round, call.fields.as_str()), (round, r#"{"a":1}"#));
    assert_eq!(fate(&w, stored.calls[0]).await, SKIPPED);
    // Where nobody checks, it is called.
    w.configure(|s| s.do_not_call = false).await;
    let free = w.add(batch, records()).await;
    assert_eq!((free.do_not_call, free.updated), (0, 5));
    assert_eq!(w.due().await.len(), 5);
}
