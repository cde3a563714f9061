//! PostgreSQL through the conformance suite, directly and through PgBouncer; and what only it does.

use std::sync::Arc;

use outdial_ports::Store;
use outdial_ports::store::NodeSpec;

use super::{PgConfig, PostgresStore, migrate};
use crate::conformance::{Database, Factory, TestClock, run_all};
use crate::testing::Server;

/// Runs on threads, so that a case may wait for a process that is opened meanwhile.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(work)
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

/// Databases of the shared server, reached as told.
struct Installations {
    is_pooled: bool,
}

struct Installation {
    url: String,
    direct: String,
    clock: Arc<TestClock>,
}

impl Factory for Installations {
    fn empty(&self, clock: Arc<TestClock>) -> Box<dyn Database> {
        let server = Server::shared();
        let direct = server.installation(|url| {
            now(migrate(url)).unwrap();
        });
        let url = if self.is_pooled { server.pooled(&direct) } else { direct.clone() };
        Box::new(Installation { url, direct, clock })
    }
}

impl Installation {
    async fn join(&self) -> Arc<PostgresStore> {
        let clock: Arc<TestClock> = Arc::clone(&self.clock);
        let clock: Arc<dyn outdial_ports::Clock> = clock;
        let config = PgConfig { clock: Some(clock), ..PgConfig::at(&self.url) };
        let store = PostgresStore::connect(config).await.unwrap();
        store.node_join(node()).await.unwrap();
        // The suite's clock leaps: whoever is there is there for good.
        let beside = Server::shared().plain(&self.direct).await;
        let stays = "UPDATE node SET beat_at = 9e15 WHERE left_at IS NULL";
        beside.batch_execute(stays).await.unwrap();
        store
    }
}

impl Database for Installation {
    fn process(&self) -> Arc<dyn Store> {
        now(self.join())
    }
}

/// The same node on the same host in every life: whoever was there before is gone.
pub(super) fn node() -> NodeSpec {
    NodeSpec {
        id: [1; 16],
        name: "one".to_owned(),
        host: "here".to_owned(),
        role: "all".to_owned(),
        address: "127.0.0.1:1".to_owned(),
        version: "test".to_owned(),
    }
}

#[test]
fn conforms() {
    block_on(run_all(&Installations { is_pooled: false }));
}

#[test]
fn conforms_through_a_pooler() {
    block_on(run_all(&Installations { is_pooled: true }));
}
