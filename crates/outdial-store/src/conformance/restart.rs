//! A process dies, another takes over.

use outdial_core::attempt::{AttemptProgress, AttemptState};
use outdial_core::call::CallNext;
use outdial_core::outcome::Disposition;
use outdial_ports::store::{FinishResult, RequestBegin, RequestLookup, Settle};

use super::Factory;
use super::world::{World, bytes, completed, record};

pub(super) async fn orphans_and_leases(f: &dyn Factory) {
    let mut w = World::new(f).await;
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302, 49_303]).await;
    let live = w.dial_all().await;
    w.complete(&live[2]).await;
    let ringing = AttemptProgress { state: AttemptState::Ringing, at: w.now() };
    w.store.attempt_record(live[1].attempt, ringing, None).await.unwrap();
    let request = RequestBegin {
        workspace: w.ws,
        scope: "POST /".to_owned(),
        key: Some("k".to_owned()),
        body_sha256: bytes(1),
        context: String::new(),
    };
    w.store.request_begin(&request).await.unwrap();
    assert!(w.store.attempt_list_orphaned(10).await.unwrap().is_empty(), "its own are not");

    let old = std::mem::replace(&mut w.store, w.db.process());
    let orphans = w.store.attempt_list_orphaned(10).await.unwrap();
    let ids: Vec<_> = orphans.iter().map(|o| o.attempt).collect();
    assert_eq!(ids, [live[0].attempt, live[1].attempt]);
    assert_eq!(w.store.attempt_list_orphaned(1).await.unwrap().len(), 1);
    assert_eq!((orphans[1].state, orphans[1].ringing_at), (AttemptState::Ringing, Some(w.now())));
    let taken = w.store.request_lookup(&request).await.unwrap();
    assert!(matches!(taken, RequestLookup::Begun(_)), "a dead owner's lease is lapsed: {taken:?}");

    // The old process is not as dead as it seems. What was taken over is not its own any more.
    let end = w.end(AttemptState::Ended, completed());
    let next = CallNext::Finished(Disposition::Completed);
    let late = old.attempt_finish(ids[0], end.clone(), next, Settle::default()).await.unwrap();
    assert_eq!(late, FinishResult::TakenOver);
    let answered = AttemptProgress { state: AttemptState::Answered, at: w.now() };
    assert!(!old.attempt_record(ids[1], answered, Some("d".to_owned())).await.unwrap());
    let open = w.store.attempt_fetch(ids[1]).await.unwrap().unwrap();
    assert_eq!((open.state, open.dialog), (AttemptState::Ringing, None));
    let unknown = w.end(AttemptState::Unknown, completed());
    let done = CallNext::Finished(Disposition::Unknown);
    let first =
        w.store.attempt_finish(ids[0], unknown.clone(), done, Settle::default()).await.unwrap();
    assert_eq!(first, FinishResult::Applied);
    let later = old.attempt_finish(ids[0], end, next, Settle::default()).await.unwrap();
    assert_eq!(later, FinishResult::AlreadyOver);
    w.store.attempt_finish(ids[1], unknown, done, Settle::default()).await.unwrap();
    assert!(w.store.attempt_list_orphaned(10).await.unwrap().is_empty());
    assert_eq!(w.totals(batch).await.finished, 3);
    assert_eq!(w.store.dispatch_head(w.ws, None).await.unwrap().live, 0);
}

pub(super) async fn acknowledged_is_there(f: &dyn Factory) {
    let mut w = World::new(f).await;
    let batch = w.batch().await;
    let ids = w.add_numbers(batch, &[49_301, 49_302]).await;
    let version = w.version().await;
    drop(std::mem::replace(&mut w.store, w.db.process()));
    assert_eq!(w.version().await, version);
    for id in ids {
        assert_eq!(w.call(id).await.id, id);
    }
    // What the first had interned means the same to the second.
    w.add(batch, vec![record(49_303)]).await;
    assert_eq!(w.groups().await.len(), 1);
}
