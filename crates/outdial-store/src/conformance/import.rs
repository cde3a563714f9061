//! Imports: invisible until whole, dropped when nobody is at work on them, and exports.

use std::collections::BTreeSet;

use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::dispatcher::Group;
use outdial_core::id::{BatchId, CallId, RequestId};
use outdial_core::outcome::Disposition;
use outdial_ports::store::{
    BatchCreateError, BatchListQuery, ChunkAdd, ChunkError, ChunkLane, ChunkRecord, ImportError,
    ImportFinish, NewBatch, RequestBegin, RequestLookup, StoreError, StoredAnswer, StoredChunk,
};

use super::Factory;
use super::world::{World, bytes, record};

const ALL: BatchListQuery = BatchListQuery { page: 1, limit: 100, search: None };

fn new_batch(w: &World) -> NewBatch {
    let settings = BatchSettings { expires_at: Some(w.now()), ..BatchSettings::default() };
    NewBatch { workspace: w.ws, name: "import".to_owned(), settings, numbers: vec![w.phone] }
}

fn begin(w: &World) -> RequestBegin {
    RequestBegin {
        workspace: w.ws,
        scope: "POST /api/call/upload".to_owned(),
        key: Some("file".to_owned()),
        body_sha256: bytes(77),
        context: "terms".to_owned(),
    }
}

async fn begun(w: &World) -> RequestId {
    match w.store.request_begin(&begin(w)).await.unwrap() {
        RequestLookup::Begun(progress) => progress.request,
        other => panic!("{other:?}"),
    }
}

async fn add(
    w: &World,
    (request, batch): (RequestId, BatchId),
    chunk_num: u32,
    records: Vec<ChunkRecord>,
) -> Result<StoredChunk, ChunkError> {
    let (agent, lane) = ((w.agent, 1), ChunkLane::Current);
    let chunk = ChunkAdd { request, chunk_num, batch, agent, lane, auto_start: false, records };
    w.store.call_add_chunk(chunk).await
}

fn end((request, batch): (RequestId, BatchId), calls: u64) -> ImportFinish {
    let answer = StoredAnswer { status: 200, body: b"{}".to_vec().into() };
    ImportFinish { batch, request, calls, answer }
}

/// How many events there are.
async fn told(w: &World) -> usize {
    while w.store.event_number(100).await.unwrap() > 0 {}
    w.store.event_list(w.ws, 0, 100).await.unwrap().events.len()
}

async fn is_invisible(w: &World, batch: BatchId, calls: &[CallId]) {
    assert_eq!(w.store.batch_fetch(batch).await.unwrap(), None);
    assert!(w.store.batch_ingest_context(w.ws, batch).await.unwrap().is_none());
    let list = w.store.batch_list(w.ws, ALL).await.unwrap();
    assert_eq!((list.total, list.any, list.batches.len()), (0, false, 0));
    assert!(!w.store.batch_stop(w.ws, batch).await.unwrap());
    assert!(!w.store.batch_delete(w.ws, batch).await.unwrap());
    for call in calls {
        assert!(w.store.call_fetch(w.ws, *call).await.unwrap().is_none());
        assert!(w.store.call_cancel(w.ws, *call).await.unwrap().is_none());
    }
    let groups: Vec<Group> = w.groups().await;
    assert!(groups.is_empty(), "{groups:?}");
    assert!(w.store.batch_close_due(10).await.unwrap().is_empty());
    assert_eq!(w.store.batch_expire_due(10).await.unwrap(), 0);
    assert_eq!(w.store.import_prune(10).await.unwrap(), 0, "it is being worked on");
}

pub(super) async fn whole_or_nothing(f: &dyn Factory) {
    let w = World::new(f).await;
    let request = begun(&w).await;
    let batch = w.store.import_begin(request, new_batch(&w)).await.unwrap();
    let import = (request, batch);
    is_invisible(&w, batch, &[]).await;
    let mut blocked = record(491_512_000_002);
    blocked.blocked = Some((Disposition::Skipped, "no_common_hours"));
    let first = add(&w, import, 1, vec![record(491_512_000_001), blocked]).await.unwrap();
    assert_eq!((first.calls.len(), first.batch_state), (2, BatchState::Importing));
    is_invisible(&w, batch, &first.calls).await;
    // A repeat of a chunk, the second chunk, and a wrong count.
    assert_eq!(add(&w, import, 1, vec![record(491_512_000_001)]).await.unwrap(), first);
    let second = add(&w, import, 2, vec![record(491_512_000_003)]).await.unwrap();
    let wrong = w.store.import_finish(end(import, 4)).await;
    assert!(matches!(wrong, Err(ImportError::Store(StoreError::Internal(_)))), "{wrong:?}");
    is_invisible(&w, batch, &second.calls).await;

    assert_eq!(told(&w).await, 0, "nothing is told of what nobody can see");
    let version = w.version().await;
    w.store.import_finish(end(import, 3)).await.unwrap();
    assert!(w.version().await > version);
    assert_eq!(told(&w).await, 1, "the one that is finished");
    let seen = w.store.batch_fetch(batch).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.pause_reason), (BatchState::Pending, None));
    let totals = w.totals(batch).await;
    assert_eq!((totals.total, totals.pending, totals.finished), (3, 2, 1));
    assert!(w.store.call_fetch(w.ws, first.calls[0]).await.unwrap().is_some());
    assert_eq!(w.store.batch_list(w.ws, ALL).await.unwrap().total, 1);
    let lookup = w.store.request_lookup(&begin(&w)).await.unwrap();
    assert_eq!(lookup, RequestLookup::Answered { request, answer: end(import, 3).answer });
    // What is finished is not finished twice, nor dropped, nor begun again.
    assert_eq!(w.store.import_finish(end(import, 3)).await, Err(ImportError::Gone));
    let again = w.store.import_begin(request, new_batch(&w)).await;
    assert_eq!(again, Err(ImportError::Gone));
    w.advance_s(3600);
    assert_eq!(w.store.import_prune(10).await.unwrap(), 0);
    assert_eq!(w.totals(batch).await.total, 3);
}

pub(super) async fn refused(f: &dyn Factory) {
    let w = World::new(f).await;
    let request = begun(&w).await;
    let numbers = vec![outdial_core::id::PhoneId::from_parts(1, 999)];
    let new = NewBatch { numbers: numbers.clone(), ..new_batch(&w) };
    let unknown = w.store.import_begin(request, new).await;
    let expected = ImportError::Batch(BatchCreateError::UnknownNumber(numbers[0]));
    assert_eq!(unknown, Err(expected));
    let batch = w.store.import_begin(request, new_batch(&w)).await.unwrap();
    add(&w, (request, batch), 1, vec![record(491_512_000_001)]).await.unwrap();
    // Another request has nothing to do with it.
    let other = w.request().await;
    assert_eq!(w.store.import_finish(end((other, batch), 1)).await, Err(ImportError::Gone));
    // Its only number goes while it is filled.
    w.store.phone_delete(w.ws, w.phone).await.unwrap();
    is_invisible(&w, batch, &[]).await;
    w.store.import_finish(end((request, batch), 1)).await.unwrap();
    let seen = w.store.batch_fetch(batch).await.unwrap().unwrap();
    let expected = (BatchState::Paused, Some(PauseReason::NoNumbers));
    assert_eq!((seen.state, seen.pause_reason), expected);
}

pub(super) async fn dropped(f: &dyn Factory) {
    let w = World::new(f).await;
    let request = begun(&w).await;
    let first = w.store.import_begin(request, new_batch(&w)).await.unwrap();
    let numbers = || (0..5).map(|n| record(491_512_000_000 + n)).collect::<Vec<_>>();
    let old = add(&w, (request, first), 1, numbers()).await.unwrap();
    // Silent for longer than the lease of its request.
    w.advance_s(61);
    assert_eq!(w.store.import_prune(2).await.unwrap(), 2);
    let late = add(&w, (request, first), 2, vec![record(491_512_000_009)]).await;
    assert_eq!(late, Err(ChunkError::BatchGone));
    assert_eq!(w.store.import_finish(end((request, first), 5)).await, Err(ImportError::Gone));
    while w.store.import_prune(2).await.unwrap() > 0 {}
    for call in &old.calls {
        assert!(w.store.call_fetch(w.ws, *call).await.unwrap().is_none());
    }
    assert!(w.store.call_export(first, None, 10).await.unwrap().is_empty());

    // The repeat begins anew: no chunk of the first counts, also when the first is still there.
    let request = begun(&w).await;
    let second = w.store.import_begin(request, new_batch(&w)).await.unwrap();
    add(&w, (request, second), 1, numbers()).await.unwrap();
    let third = w.store.import_begin(request, new_batch(&w)).await.unwrap();
    let gone = add(&w, (request, second), 2, vec![record(491_512_000_009)]).await;
    assert_eq!(gone, Err(ChunkError::BatchGone));
    let new = add(&w, (request, third), 1, numbers()).await.unwrap();
    assert_eq!((new.calls.len(), new.updated), (5, 0));
    while w.store.import_prune(2).await.unwrap() > 0 {}
    w.store.import_finish(end((request, third), 5)).await.unwrap();
    assert_eq!(w.totals(third).await.total, 5);
    // One that was given back goes at once.
    let other = w.request().await;
    let fourth = w.store.import_begin(other, new_batch(&w)).await.unwrap();
    w.store.request_finish(other, end((other, fourth), 0).answer, false).await.unwrap();
    assert_eq!(w.store.import_prune(2).await.unwrap(), 1);
    assert_eq!(w.store.import_prune(2).await.unwrap(), 0);
    assert_eq!(w.store.import_finish(end((other, fourth), 0)).await, Err(ImportError::Gone));
}

pub(super) async fn exported(f: &dyn Factory) {
    let w = World::new(f).await;
    let (batch, other) = (w.batch().await, w.batch().await);
    let mut added = Vec::new();
    for n in 0..4 {
        let numbers: Vec<u64> = (0..5).map(|m| 491_512_000_000 + n * 10 + m).collect();
        added.extend(w.add_numbers(batch, &numbers).await);
        w.add_numbers(other, &numbers).await;
    }
    for limit in [1, 3, 7, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = w.store.call_export(batch, after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit as usize && page.iter().all(|c| c.batch == batch));
            after = Some(last.id);
            seen.extend(page.iter().map(|c| c.id));
        }
        assert_eq!(seen, added, "pages of {limit}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 20);
    }
}
