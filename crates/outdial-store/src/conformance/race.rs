//! Several at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use outdial_core::phone::PhoneNumber;
use outdial_ports::Store;
use outdial_ports::store::{
    ChunkAdd, CommitError, Integration, NewPhone, PhoneError, RequestBegin, RequestLookup,
};
use tokio::task::JoinSet;

use super::Factory;
use super::world::{World, bytes, new_key, record};

/// Claimers that plan on what they see, all the time, until nothing is left.
pub(super) async fn claimers_at_once(f: &dyn Factory) {
    let w = Arc::new(World::new(f).await);
    let (a, b) = (w.batch().await, w.batch().await);
    let numbers: Vec<u64> = (49_000..49_200).collect();
    w.add_numbers(a, &numbers).await;
    w.add_numbers(b, &numbers[..50]).await;
    let mut claimers = JoinSet::new();
    for _ in 0..4 {
        claimers.spawn(claim(Arc::clone(&w)));
    }
    let claimed = claimers.join_all().await;
    let stale: usize = claimed.iter().map(|c| c.1).sum();
    let calls: Vec<_> = claimed.into_iter().flat_map(|c| c.0).collect();
    let distinct: BTreeSet<_> = calls.iter().copied().collect();
    assert_eq!(calls.len(), 200, "each number once; {stale} plans were stale");
    assert_eq!(distinct.len(), 200);
    let (ta, tb) = (w.totals(a).await, w.totals(b).await);
    assert_eq!((ta.live + tb.live, ta.pending + tb.pending), (200, 50));
    assert_eq!(w.store.dispatch_head(w.ws, None).await.unwrap().live, 200);
}

async fn claim(w: Arc<World>) -> (Vec<u64>, usize) {
    let mut claimed = Vec::new();
    let mut stale = 0;
    loop {
        let version = w.version().await;
        let due = w.due().await;
        if due.is_empty() {
            return (claimed, stale);
        }
        // Others plan on the same view.
        tokio::task::yield_now().await;
        let intents = due.iter().take(7).map(|c| w.intent(c)).collect();
        match w.try_commit(version, intents).await {
            Ok(out) => {
                claimed.extend(out.committed.iter().map(|c| c.intent.intent.callee.digits()));
            }
            Err(CommitError::Stale) => stale += 1,
            Err(e) => panic!("{e}"),
        }
    }
}

/// The same chunk from several sides, and different ones for the same numbers.
pub(super) async fn chunks_at_once(f: &dyn Factory) {
    let w = Arc::new(World::new(f).await);
    let batch = w.batch().await;
    let records: Vec<_> = (49_000..49_300).map(record).collect();
    let same = w.chunk(batch, records.clone()).await;
    let mut adds = JoinSet::new();
    for n in 0..8 {
        let chunk = if n < 4 {
            same.clone()
        } else {
            ChunkAdd { request: w.request().await, ..same.clone() }
        };
        let store: Arc<dyn Store> = Arc::clone(&w.store);
        adds.spawn(async move { (n, store.call_add_chunk(chunk).await.unwrap()) });
        if n == 5 {
            let w = Arc::clone(&w);
            adds.spawn(async move {
                let chunk = w.chunk(batch, (49_300..49_310).map(record).collect()).await;
                (99, w.store.call_add_chunk(chunk).await.unwrap())
            });
        }
    }
    let stored = adds.join_all().await;
    let repeats: Vec<_> = stored.iter().filter(|(n, _)| *n < 4).map(|(_, s)| s).collect();
    assert!(repeats.iter().all(|s| *s == repeats[0]), "one of them was applied");
    let fresh = stored.iter().filter(|(n, s)| *n != 99 && s.updated == 0).count();
    assert!((1..=4).contains(&fresh), "the first of them made the calls");
    assert!(stored.iter().filter(|(n, _)| *n != 99).all(|(_, s)| s.calls == repeats[0].calls));
    assert_eq!(w.totals(batch).await.total, 310);
}

pub(super) async fn begin_at_once(f: &dyn Factory) {
    let w = Arc::new(World::new(f).await);
    for key in [Some("k".to_owned()), None] {
        let mut begins = JoinSet::new();
        for _ in 0..8 {
            let r = RequestBegin {
                workspace: w.ws,
                scope: "POST /".to_owned(),
                key: key.clone(),
                body_sha256: bytes(1),
                context: String::new(),
            };
            let store: Arc<dyn Store> = Arc::clone(&w.store);
            begins.spawn(async move { store.request_begin(&r).await.unwrap() });
        }
        let all = begins.join_all().await;
        let begun = all.iter().filter(|l| matches!(l, RequestLookup::Begun(_))).count();
        let busy = all.iter().filter(|l| matches!(l, RequestLookup::Busy { .. })).count();
        assert_eq!((begun, busy), (1, 7));
    }
}

/// Operations that fail among operations that do not: a failure undoes itself and nobody else.
pub(super) async fn failures_among_others(f: &dyn Factory) {
    let w = Arc::new(World::new(f).await);
    let mut all = JoinSet::new();
    for n in 0..60 {
        let w = Arc::clone(&w);
        all.spawn(async move {
            if n % 2 == 0 {
                w.store.key_create(w.ws, new_key(100 + n)).await.unwrap();
                return true;
            }
            let phone = NewPhone {
                number: PhoneNumber::from_digits(4_930_999),
                integration: Integration::Simulated,
                trunks: Vec::new(),
                agent: None,
            };
            match w.store.phone_create(w.ws, phone).await {
                Ok(_) => true,
                Err(PhoneError::Duplicate) => false,
                Err(e) => panic!("{e}"),
            }
        });
    }
    let done = all.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(done, 30 + 1);
    assert_eq!(w.store.key_list(w.ws).await.unwrap().len(), 31);
    assert_eq!(w.store.phone_list(w.ws).await.unwrap().len(), 2);
}
