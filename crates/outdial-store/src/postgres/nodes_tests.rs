//! Several processes at one database: who commits, who takes over, and who may not.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use outdial_core::attempt::{AttemptProgress, AttemptState};
use outdial_core::call::CallNext;
use outdial_core::dispatcher::Ask;
use outdial_core::id::AttemptId;
use outdial_core::outcome::Disposition;
use outdial_ports::Clock;
use outdial_ports::Store;
use outdial_ports::store::{
    CallQuery, ChunkAdd, CommitError, CommitOutcome, DncListQuery, DropReason, FilterField,
    FinishResult, NODE_LEASE, NewIntent, NewPlan, NodeBeat, NodeJoinError, NodeSpec, RequestBegin,
    RequestLookup, Settle, StoreError, StoredAnswer,
};
use tokio::task::JoinSet;

use super::tx::Kind;
use super::{PgConfig, PostgresStore};
use crate::conformance::world::{World, completed, query, record};
use crate::conformance::{Database, Factory, TestClock};
use crate::testing::Server;

/// One database, at which processes are opened one after the other.
#[derive(Default)]
struct Cluster(OnceLock<(String, Arc<TestClock>)>);

/// Its first process, node 1.
struct First(Arc<dyn Store>);

impl Factory for Cluster {
    fn empty(&self, clock: Arc<TestClock>) -> Box<dyn Database> {
        let url = Server::shared().database();
        assert!(self.0.set((url, clock)).is_ok(), "one database each");
        let first = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(self.node(1))
        });
        Box::new(First(first))
    }
}

impl Database for First {
    fn process(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }
}

impl Cluster {
    /// A process that has not joined.
    async fn process(&self) -> Arc<PostgresStore> {
        let (url, clock) = self.0.get().unwrap();
        let clock: Arc<TestClock> = Arc::clone(clock);
        let clock: Arc<dyn Clock> = clock;
        let config = PgConfig { clock: Some(clock), migrate_if_empty: true, ..PgConfig::at(url) };
        PostgresStore::connect(config).await.unwrap()
    }

    /// A process that has joined as this node, on a host of its own.
    async fn node(&self, n: u8) -> Arc<dyn Store> {
        let store = self.process().await;
        store.node_join(spec(n, &format!("host {n}"))).await.unwrap();
        store
    }
}

fn spec(n: u8, host: &str) -> NodeSpec {
    NodeSpec {
        id: [n; 16],
        name: format!("node {n}"),
        host: host.to_owned(),
        role: "all".to_owned(),
        address: format!("10.0.0.{n}:80"),
        version: "test".to_owned(),
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(work)
}

async fn beat(store: &dyn Store) -> bool {
    store.node_beat(NodeBeat::default()).await.unwrap().is_joined
}

async fn commit(
    w: &World,
    store: &dyn Store,
    version: u64,
    intents: Vec<NewIntent>,
) -> Result<CommitOutcome, CommitError> {
    let plan = NewPlan { intents, ..NewPlan::default() };
    store.attempt_commit_intents(w.ws, version, plan).await
}

async fn orphans(store: &dyn Store, limit: u32) -> Vec<AttemptId> {
    let open = store.attempt_list_orphaned(limit).await.unwrap();
    open.into_iter().map(|o| o.attempt).collect()
}

async fn finish(w: &World, store: &dyn Store, attempt: AttemptId) -> FinishResult {
    let end = w.end(AttemptState::Ended, completed());
    let next = CallNext::Finished(Disposition::Completed);
    store.attempt_finish(attempt, end, next, Settle::default()).await.unwrap()
}

fn is_unheard(result: &Result<CommitOutcome, CommitError>) -> bool {
    matches!(result, Err(CommitError::Store(StoreError::Unavailable(_))))
}

#[test]
fn one_commit_of_a_version() {
    block_on(async {
        let cluster = Cluster::default();
        let w = World::new(&cluster).await;
        let others = [cluster.node(2).await, cluster.node(3).await];
        let (a, b) = (w.batch().await, w.batch().await);
        w.add_numbers(a, &(49_000..49_040).collect::<Vec<_>>()).await;
        let busy = w.add_numbers(b, &[49_000]).await[0];
        for _ in 0..10 {
            let version = w.version().await;
            let due = w.due().await;
            let due: Vec<_> = due.iter().filter(|c| c.call != busy).take(4).collect();
            let plan = || due.iter().map(|c| w.intent(c)).collect::<Vec<_>>();
            let (x, y, z) = tokio::join!(
                commit(&w, &*w.store, version, plan()),
                commit(&w, &*others[0], version, plan()),
                commit(&w, &*others[1], version, plan()),
            );
            let all = [x, y, z];
            let done: Vec<_> = all.iter().filter_map(|r| r.as_ref().ok()).collect();
            assert_eq!(done.len(), 1, "{all:?}");
            assert_eq!((done[0].committed.len(), done[0].version), (4, version + 1));
            assert_eq!(all.iter().filter(|r| **r == Err(CommitError::Stale)).count(), 2);
        }
        assert_eq!(w.totals(a).await.live, 40);
        // The number is on the phone, whoever called it.
        let due = w.due().await;
        assert_eq!(due.len(), 1);
        let version = w.version().await;
        let out = commit(&w, &*others[1], version, vec![w.intent(&due[0])]).await.unwrap();
        assert_eq!((out.dropped[0].call, out.dropped[0].reason), (busy, DropReason::NumberBusy));
    });
}

#[test]
fn the_calls_of_the_dead_go_to_one() {
    block_on(async {
        let cluster = Cluster::default();
        let w = World::new(&cluster).await;
        let (b, c) = (cluster.node(2).await, cluster.node(3).await);
        let batch = w.batch().await;
        w.add_numbers(batch, &(49_000..49_060).collect::<Vec<_>>()).await;
        let mine: BTreeSet<_> = w.dial_all().await.iter().map(|c| c.attempt).collect();
        assert_eq!(mine.len(), 60);
        assert!(orphans(&*b, 100).await.is_empty(), "it is alive");

        w.clock.advance(NODE_LEASE);
        assert!(beat(&*b).await && beat(&*c).await);
        let (at_b, at_c) = tokio::join!(orphans(&*b, 40), orphans(&*c, 40));
        assert!(at_b.len() <= 40 && at_c.len() <= 40);
        let (more_b, more_c) = tokio::join!(orphans(&*b, 60), orphans(&*c, 60));
        let both: BTreeSet<_> = more_b.iter().chain(&more_c).copied().collect();
        assert_eq!((both.len(), more_b.len() + more_c.len()), (60, 60), "each has one rescuer");
        assert_eq!(both, mine);
        assert!(at_b.iter().all(|a| more_b.contains(a)) && at_c.iter().all(|a| more_c.contains(a)));

        // The dead one is back: it dials again, and what was taken over is not its own any more.
        assert!(w.due().await.is_empty());
        w.add_numbers(batch, &[49_900]).await;
        let due = w.due().await;
        let version = b.dispatch_head(w.ws, None).await.unwrap().version;
        let unheard = commit(&w, &*w.store, version, vec![w.intent(&due[0])]).await;
        assert!(is_unheard(&unheard), "{unheard:?}");
        assert!(orphans(&*w.store, 100).await.is_empty(), "nor does it take over");
        assert!(beat(&*w.store).await);
        let fresh = commit(&w, &*w.store, version, vec![w.intent(&due[0])]).await.unwrap();
        assert_eq!(fresh.committed.len(), 1);
        let (theirs, taken) = if more_b.is_empty() { (&c, &more_c) } else { (&b, &more_b) };
        let taken = taken[0];
        let progress = AttemptProgress { state: AttemptState::Ringing, at: w.now() };
        assert!(!w.store.attempt_record(taken, progress, None).await.unwrap());
        assert_eq!(finish(&w, &*w.store, taken).await, FinishResult::TakenOver);
        assert!(theirs.attempt_record(taken, progress, None).await.unwrap());
        assert_eq!(finish(&w, &**theirs, taken).await, FinishResult::Applied);
        assert_eq!(finish(&w, &*w.store, taken).await, FinishResult::AlreadyOver);

        // A rescuer that dies is rescued from, also by whom it was from.
        b.node_leave().await.unwrap();
        c.node_leave().await.unwrap();
        assert_eq!(orphans(&*w.store, 100).await.len(), 59);
        for attempt in mine.iter().filter(|a| **a != taken) {
            assert_eq!(finish(&w, &*w.store, *attempt).await, FinishResult::Applied);
        }
        assert_eq!(w.totals(batch).await.live, 1);
        assert!(orphans(&*w.store, 100).await.is_empty());
    });
}

#[test]
fn who_joins_and_who_leaves() {
    block_on(async {
        let cluster = Cluster::default();
        let w = World::new(&cluster).await;
        let b = cluster.node(2).await;
        let batch = w.batch().await;
        w.add_numbers(batch, &[49_001, 49_002, 49_003]).await;
        let due = w.due().await;
        let version = w.version().await;
        let first = commit(&w, &*b, version, vec![w.intent(&due[0])]).await.unwrap();
        let latest = w.store.attempt_latest_of_others(w.ws).await.unwrap().unwrap();
        assert_eq!(latest.attempt, first.committed[0].attempt);
        assert_eq!(latest.token, first.committed[0].intent.token);
        assert_eq!(b.attempt_latest_of_others(w.ws).await.unwrap(), None);

        // Another life of node 2: not beside it on another host, but in its place on its own.
        let next = cluster.process().await;
        let elsewhere = next.node_join(spec(2, "elsewhere")).await;
        assert!(matches!(elsewhere, Err(NodeJoinError::Running { .. })), "{elsewhere:?}");
        assert!(orphans(&*w.store, 9).await.is_empty() && beat(&*b).await);
        next.node_join(spec(2, "host 2")).await.unwrap();
        assert!(!beat(&*b).await, "it is another's name");
        let refused = commit(&w, &*b, first.version, vec![w.intent(&due[1])]).await;
        assert!(is_unheard(&refused), "{refused:?}");
        assert_eq!(orphans(&*next, 9).await, [latest.attempt]);
        assert_eq!(finish(&w, &*b, latest.attempt).await, FinishResult::TakenOver);
        // One that never joined places nothing, and takes nothing over.
        let tool = cluster.process().await;
        let refused = commit(&w, &*tool, first.version, vec![w.intent(&due[1])]).await;
        assert!(is_unheard(&refused), "{refused:?}");
        // One that leaves is gone at once.
        let second = commit(&w, &*next, first.version, vec![w.intent(&due[1])]).await.unwrap();
        next.node_leave().await.unwrap();
        assert!(orphans(&*tool, 9).await.is_empty());
        let left = [latest.attempt, second.committed[0].attempt];
        assert_eq!(orphans(&*w.store, 9).await, left);
    });
}

/// A refusal comes late: another process has the request by then, or stores a chunk of it.
#[test]
fn a_request_that_another_has_is_not_forgotten() {
    block_on(async {
        let cluster = Cluster::default();
        let w = World::new(&cluster).await;
        let other = cluster.process().await;
        other.node_join(spec(2, "host 2")).await.unwrap();
        let batch = w.batch().await;
        let begin = RequestBegin {
            workspace: w.ws,
            scope: "POST /api/call/addCallsToBatch".to_owned(),
            key: Some("k".to_owned()),
            body_sha256: [7; 32],
            context: String::new(),
        };
        let begun = async |store: &dyn Store| match store.request_begin(&begin).await.unwrap() {
            RequestLookup::Begun(progress) => progress,
            other => panic!("{other:?}"),
        };
        let request = begun(&*w.store).await.request;
        w.clock.advance(Duration::from_secs(61));
        assert!(beat(&*w.store).await && beat(&*other).await);
        assert_eq!(begun(&*other).await.request, request, "its lease has lapsed");
        let refused = || StoredAnswer { status: 400, body: Vec::new().into() };
        w.store.request_finish(request, refused(), false).await.unwrap();
        w.store.request_close(request).await.unwrap();
        let busy = w.store.request_lookup(&begin).await.unwrap();
        assert!(matches!(busy, RequestLookup::Busy { .. }), "{busy:?}");

        other.request_finish(request, refused(), false).await.unwrap();
        let chunk = ChunkAdd { request, ..w.chunk(batch, vec![record(49_001)]).await };
        let tx = other.begin(Kind::BigWrite).await.unwrap();
        let stored = tx.call_add_chunk(&chunk).await.unwrap();
        let close = async {
            w.store.request_close(request).await.unwrap();
        };
        let commit = async {
            let url = &cluster.0.get().unwrap().0;
            let beside = Server::shared().plain(url).await;
            let waiting = "SELECT 1 FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while beside.query_typed(waiting, &[]).await.unwrap().is_empty() {}
            tx.end(Ok::<(), StoreError>(())).await.unwrap().unwrap();
        };
        let both = async { tokio::join!(close, commit) };
        tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
        let progress = begun(&*w.store).await;
        assert_eq!(progress.chunks.get(&1), Some(&stored), "it is not stored again");
    });
}

/// What no text that is stored can have in it is not found.
#[test]
fn a_search_for_nul() {
    block_on(async {
        let w = World::new(&Cluster::default()).await;
        let batch = w.batch().await;
        w.add_numbers(batch, &[49_001, 49_002]).await;
        let called = w.dial_all().await;
        w.list(&called[0]).await.unwrap();
        let nul = || Some("4\09".to_owned());
        let found = w.store.call_list(batch, CallQuery { search: nul(), ..query() }).await.unwrap();
        assert_eq!((found.total, found.calls.len()), (0, 0));
        let statuses = ["a\0", "dialing"].map(str::to_owned).to_vec();
        let filter = vec![(FilterField::CallStatus, statuses)];
        let found = w.store.call_list(batch, CallQuery { filter, ..query() }).await.unwrap();
        assert_eq!(found.total, 2);
        let wanted = DncListQuery { page: 1, limit: 10, search: nul() };
        assert_eq!(w.store.dnc_list(w.ws, wanted).await.unwrap().total, 0);
    });
}

/// Eight processes, a thousand calls: each call once.
#[test]
fn many_claimers() {
    block_on(async {
        let cluster = Cluster::default();
        let w = Arc::new(World::new(&cluster).await);
        let batch = w.batch().await;
        w.add_numbers(batch, &(49_000..50_000).collect::<Vec<_>>()).await;
        let mut claimers = JoinSet::new();
        for n in 0..8 {
            let store = cluster.node(10 + n).await;
            claimers.spawn(claim(Arc::clone(&w), store));
        }
        let all: Vec<u64> = claimers.join_all().await.into_iter().flatten().collect();
        assert_eq!(all.len(), 1000);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1000);
        let totals = w.totals(batch).await;
        assert_eq!((totals.live, totals.pending), (1000, 0));
        assert_eq!(w.head().await.live, 1000);
    });
}

async fn claim(w: Arc<World>, store: Arc<dyn Store>) -> Vec<u64> {
    let mut claimed = Vec::new();
    loop {
        let version = store.dispatch_head(w.ws, None).await.unwrap().version;
        let groups = store.dispatch_groups(w.ws, None).await.unwrap();
        let asks: Vec<Ask> =
            groups.iter().map(|g| Ask { group: g.key, limit: 20, after: None }).collect();
        let due = store.dispatch_candidates(&asks).await.unwrap();
        if due.is_empty() {
            return claimed;
        }
        let intents = due.iter().map(|c| w.intent(c)).collect();
        match commit(&w, &*store, version, intents).await {
            Ok(out) => {
                claimed.extend(out.committed.iter().map(|c| c.intent.intent.callee.digits()));
            }
            Err(CommitError::Stale) => {}
            // It met others at the same rows too often; it looks again.
            Err(CommitError::Store(StoreError::Unavailable(_))) => {}
            Err(e) => panic!("{e}"),
        }
    }
}
