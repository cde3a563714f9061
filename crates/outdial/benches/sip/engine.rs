//! Calls with everything in their way: the real engine on the real store in a file.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::batch::BatchTotals;
use outdial_core::dispatcher::LineLimits;
use outdial_core::id::BatchId;
use outdial_engine::{Engine, EngineConfig, MemoryJournal, MemoryWatermark, Ports};
use outdial_ports::Store;
use outdial_store::SqliteStore;
use tokio::sync::Notify;

use crate::carrier::{Brief, trunk_to};
use crate::machine::{RealClock, Weyl, cpu_time, now};
use crate::sipp::Callee;
use crate::workspace::{Workspace, open};

/// How often it is looked whether all calls are over.
const LOOK: Duration = Duration::from_millis(50);
/// How long the calls may take.
const LIMIT: Duration = Duration::from_secs(40);

/// What came of the calls of a batch.
pub(crate) struct Dispatched {
    /// Whose end is recorded.
    pub(crate) over: u64,
    /// Of these, answered.
    pub(crate) answered: u64,
    /// From the first INVITE to the last recorded end.
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
}

/// Calls so many people over one trunk.
pub(crate) async fn call(callee: &Callee, calls: u64, limits: LineLimits) -> Dispatched {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Arc::new(RealClock::new());
    let store = open(&folder.path().join("bench.db"), &clock);
    let batch = fill(&store, callee, calls, limits).await;
    let carrier = Arc::new(Brief::new(&clock));
    let ports = Ports {
        store: store.clone(),
        carrier: carrier.clone(),
        clock,
        entropy: Arc::new(Weyl::default()),
        watermark: Arc::new(MemoryWatermark::default()),
        journal: Arc::new(MemoryJournal::default()),
    };
    let engine = Engine::new(EngineConfig::default(), ports, Arc::new(Notify::new()));
    let (begun, cpu) = (now(), cpu_time("self"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(engine.run(async {
        let _dropped = stopped.await;
    }));
    let mut totals = totals(&store, batch).await;
    while totals.finished < calls && begun.elapsed() < LIMIT {
        tokio::time::sleep(LOOK).await;
        totals = self::totals(&store, batch).await;
    }
    let (took, cpu) = (carrier.first().elapsed(), cpu_time("self") - cpu);
    drop(stop);
    running.await.expect("the engine ends");
    Dispatched { over: totals.finished, answered: totals.picked, took, cpu }
}

async fn fill(store: &SqliteStore, callee: &Callee, calls: u64, limits: LineLimits) -> BatchId {
    let workspace = Workspace::make(store).await;
    let trunk = store.trunk_create(workspace.id, trunk_to(callee.addr, limits)).await;
    let number = workspace.number(vec![trunk.expect("a trunk").id]).await;
    workspace.batch(number, calls, true).await
}

async fn totals(store: &SqliteStore, batch: BatchId) -> BatchTotals {
    store.batch_fetch(batch).await.expect("a batch").expect("the batch").totals
}
