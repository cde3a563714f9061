//! Repeats of ingest requests (`semantics.md` 1.4).

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::id::RequestId;
use outdial_ports::store::{ChunkAdd, RequestBegin, RequestLookup, RequestProgress, StoredAnswer};

use super::Factory;
use super::world::{World, bytes, record, workspace};

const DAY_S: u64 = 24 * 3600;

fn begin(w: &World, key: Option<&str>, body: u64) -> RequestBegin {
    RequestBegin {
        workspace: w.ws,
        scope: "POST /api/call/addCallsToBatch".to_owned(),
        key: key.map(str::to_owned),
        body_sha256: bytes(1_000_000 + body),
        context: format!("context {body}"),
    }
}

fn answer(status: u16) -> StoredAnswer {
    StoredAnswer { status, body: vec![0, 255, b'{'].into() }
}

async fn begun(w: &World, r: &RequestBegin) -> RequestProgress {
    match w.store.request_begin(r).await.unwrap() {
        RequestLookup::Begun(progress) => progress,
        other => panic!("{other:?}"),
    }
}

fn is_busy(lookup: &RequestLookup) -> bool {
    matches!(lookup, RequestLookup::Busy { retry_after_s } if (1..=60).contains(retry_after_s))
}

pub(super) async fn with_a_key(f: &dyn Factory) {
    let w = World::new(f).await;
    let r = begin(&w, Some("k"), 1);
    let lookup = async |r: &RequestBegin| w.store.request_lookup(r).await.unwrap();
    assert_eq!(lookup(&r).await, RequestLookup::Fresh);
    assert_eq!(lookup(&r).await, RequestLookup::Fresh, "looking changes nothing");
    let first = begun(&w, &r).await;
    assert_eq!((first.context.as_str(), first.chunks.len()), ("context 1", 0));
    assert!(is_busy(&lookup(&r).await));
    assert!(is_busy(&w.store.request_begin(&r).await.unwrap()));
    assert_eq!(lookup(&begin(&w, Some("k"), 2)).await, RequestLookup::BodyDiffers);
    let differs = w.store.request_begin(&begin(&w, Some("k"), 2)).await.unwrap();
    assert_eq!(differs, RequestLookup::BodyDiffers);

    // Another scope, another workspace, no key: other requests.
    let other = workspace(&*w.store, "other", 2).await.workspace;
    assert_eq!(lookup(&RequestBegin { workspace: other, ..r.clone() }).await, RequestLookup::Fresh);
    let path = RequestBegin { scope: "POST /api/call/upload".to_owned(), ..r.clone() };
    assert_eq!(lookup(&path).await, RequestLookup::Fresh);
    assert_eq!(lookup(&begin(&w, None, 1)).await, RequestLookup::Fresh);

    // Not final: a repeat goes on with it, by the rules of the first.
    w.store.request_finish(first.request, answer(207), false).await.unwrap();
    let repeat = RequestBegin { context: "another".to_owned(), ..r.clone() };
    assert_eq!(lookup(&repeat).await, RequestLookup::Begun(first.clone()));
    assert_eq!(begun(&w, &repeat).await, first);
    assert!(is_busy(&lookup(&r).await));

    w.store.request_finish(first.request, answer(200), true).await.unwrap();
    let answered = RequestLookup::Answered { request: first.request, answer: answer(200) };
    assert_eq!(lookup(&r).await, answered);
    assert_eq!(w.store.request_begin(&r).await.unwrap(), answered);
    w.store.request_finish(first.request, answer(500), true).await.unwrap();
    assert_eq!(lookup(&r).await, answered, "a final answer never changes");
    w.store.request_close(first.request).await.unwrap();
    assert_eq!(lookup(&r).await, answered, "closing is for requests without a key");
    assert_eq!(lookup(&begin(&w, Some("k"), 2)).await, RequestLookup::BodyDiffers);
    w.advance_s(7 * DAY_S - 1);
    w.store.request_prune(10).await.unwrap();
    assert_eq!(lookup(&r).await, answered);

    // Refused before anything came of it: the key is free again.
    let refused = begun(&w, &begin(&w, Some("refused"), 3)).await;
    w.store.request_close(refused.request).await.unwrap();
    assert_eq!(lookup(&begin(&w, Some("refused"), 4)).await, RequestLookup::Fresh);
}

pub(super) async fn without_a_key(f: &dyn Factory) {
    let w = World::new(f).await;
    let r = begin(&w, None, 1);
    let lookup = async || w.store.request_lookup(&r).await.unwrap();
    let first = begun(&w, &r).await;
    assert!(is_busy(&lookup().await));
    w.store.request_finish(first.request, answer(207), false).await.unwrap();
    assert_eq!(lookup().await, RequestLookup::Begun(first.clone()));
    assert_eq!(begun(&w, &r).await, first);
    w.store.request_finish(first.request, answer(200), true).await.unwrap();
    let answered = RequestLookup::Answered { request: first.request, answer: answer(200) };
    assert_eq!(lookup().await, answered, "the connection broke before it was written");
    w.store.request_close(first.request).await.unwrap();
    assert_eq!(lookup().await, RequestLookup::Fresh);
    let second = begun(&w, &r).await;
    assert_ne!(second.request, first.request);
    w.store.request_finish(second.request, answer(500), false).await.unwrap();
    w.advance_s(DAY_S - 1);
    assert_eq!(lookup().await, RequestLookup::Begun(second));
    w.advance_s(1);
    assert_eq!(lookup().await, RequestLookup::Fresh, "a day later it is a new request");
}

pub(super) async fn leases(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let r = begin(&w, Some("k"), 1);
    let first = begun(&w, &r).await;
    w.advance_s(59);
    assert!(is_busy(&w.store.request_lookup(&r).await.unwrap()));
    let chunk = ChunkAdd { request: first.request, ..w.chunk(batch, vec![record(49_301)]).await };
    let stored = w.store.call_add_chunk(chunk).await.unwrap();
    w.advance_s(59);
    assert!(is_busy(&w.store.request_lookup(&r).await.unwrap()), "a chunk extends the lease");
    w.advance_s(1);
    let chunks = BTreeMap::from([(1, stored)]);
    let lapsed = RequestProgress { chunks, ..first };
    assert_eq!(w.store.request_lookup(&r).await.unwrap(), RequestLookup::Begun(lapsed.clone()));
    assert_eq!(begun(&w, &r).await, lapsed);
    assert!(is_busy(&w.store.request_lookup(&r).await.unwrap()), "taken over");
}

pub(super) async fn chunks_are_applied_once(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let progress = begun(&w, &begin(&w, Some("k"), 1)).await;
    let one = |records| ChunkAdd {
        request: progress.request,
        chunk_num: 1,
        batch,
        agent: (w.agent, 1),
        lane: outdial_ports::store::ChunkLane::Current,
        auto_start: true,
        records,
    };
    let first = one(vec![record(49_303), record(49_301), record(49_302)]);
    let stored = w.store.call_add_chunk(first.clone()).await.unwrap();
    // Whatever happened to its calls since, a repeat changes nothing and answers the same.
    for c in w.dial_all().await {
        w.complete(&c).await;
    }
    w.store.batch_stop(w.ws, batch).await.unwrap();
    let before = w.totals(batch).await;
    assert_eq!(w.store.call_add_chunk(first).await.unwrap(), stored);
    assert_eq!(w.totals(batch).await, before);
    // A later chunk of the request: mixed old and new, in the order of its records.
    let two =
        ChunkAdd { chunk_num: 2, ..one(vec![record(49_304), record(49_301), record(49_305)]) };
    let second = w.store.call_add_chunk(two).await.unwrap();
    assert_eq!((second.calls[1], second.updated), (stored.calls[1], 1));
    w.store.request_finish(progress.request, answer(207), false).await.unwrap();
    let again = begun(&w, &begin(&w, Some("k"), 1)).await;
    assert_eq!(again.chunks, BTreeMap::from([(1, stored), (2, second)]));
    // A request that nobody has: nothing is stored.
    let lost = RequestId::from_parts(1, 1);
    let orphan = ChunkAdd { request: lost, chunk_num: 3, ..one(vec![record(49_306)]) };
    let before = w.totals(batch).await;
    assert!(w.store.call_add_chunk(orphan).await.is_err());
    assert_eq!(w.totals(batch).await, before, "all of it or nothing");
}

pub(super) async fn pruning_is_bounded(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    for n in 0..3 {
        let r = begun(&w, &begin(&w, None, n)).await;
        for chunk_num in 1..=900 {
            let chunk = ChunkAdd {
                request: r.request,
                chunk_num,
                batch,
                agent: (w.agent, 1),
                lane: outdial_ports::store::ChunkLane::Current,
                auto_start: false,
                records: Vec::new(),
            };
            w.store.call_add_chunk(chunk).await.unwrap();
        }
        w.store.request_finish(r.request, answer(207), false).await.unwrap();
    }
    w.advance_s(2 * DAY_S);
    assert_eq!(w.store.request_prune(10).await.unwrap(), 2, "what fits");
    assert_eq!(w.store.request_prune(10).await.unwrap(), 1);
}

pub(super) async fn pruning(f: &dyn Factory) {
    let w = World::new(f).await;
    let batch = w.batch().await;
    let keyed = begun(&w, &begin(&w, Some("k"), 1)).await;
    w.store.request_finish(keyed.request, answer(200), true).await.unwrap();
    let keyless = begun(&w, &begin(&w, None, 2)).await;
    let unused = w.chunk(batch, vec![record(49_301)]).await;
    let in_work = unused.request;
    let chunk = ChunkAdd { request: keyless.request, ..unused };
    w.store.call_add_chunk(chunk.clone()).await.unwrap();
    w.store.request_finish(keyless.request, answer(207), false).await.unwrap();
    let closed = begun(&w, &begin(&w, None, 3)).await;
    w.store.request_finish(closed.request, answer(200), true).await.unwrap();
    w.store.request_close(closed.request).await.unwrap();
    assert_eq!(w.store.request_prune(10).await.unwrap(), 1, "the closed one");
    // A clock that is a day ahead for a while forgets nothing that counts when it is set back.
    w.advance_s(2 * DAY_S - 1);
    assert_eq!(w.store.request_prune(10).await.unwrap(), 0, "kept longer than it counts");
    w.clock.set_back(Duration::from_secs(DAY_S));
    let repeat = w.store.request_lookup(&begin(&w, None, 2)).await.unwrap();
    assert!(matches!(repeat, RequestLookup::Begun(p) if p.request == keyless.request));
    w.advance_s(DAY_S + 1);
    // A clock that was set ahead takes no request from whoever is at work on it.
    assert_eq!(w.store.request_prune(10).await.unwrap(), 1, "but not the one in work");
    w.store.call_add_chunk(ChunkAdd { request: in_work, ..chunk }).await.unwrap();
    w.store.request_finish(in_work, answer(200), false).await.unwrap();
    assert_eq!(w.store.request_prune(10).await.unwrap(), 0, "kept from its answer");
    w.advance_s(2 * DAY_S);
    assert_eq!(w.store.request_prune(1).await.unwrap(), 1);
    assert_eq!(w.store.request_prune(10).await.unwrap(), 0);
    w.advance_s(4 * DAY_S - 1);
    assert_eq!(w.store.request_prune(10).await.unwrap(), 0, "the one with a key");
    w.advance_s(1);
    assert_eq!(w.store.request_prune(10).await.unwrap(), 1);
    let r = begin(&w, Some("k"), 1);
    assert_eq!(w.store.request_lookup(&r).await.unwrap(), RequestLookup::Fresh);
}
