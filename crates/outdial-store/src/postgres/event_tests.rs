//! Facts that are committed late, and what numbering passes over: only here do writers overlap.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::id::WorkspaceId;
use outdial_ports::Store;
use tokio_postgres::Client;

use super::migrate::migrate;
use super::tests::{block_on, node};
use super::{PgConfig, PostgresStore};
use crate::conformance::world::workspace;
use crate::testing::Server;

/// Writes a fact of a batch that is made for it, behind a row of its own.
const FACT: &str = "WITH made AS (
    INSERT INTO batch (created_at, updated_at, workspace, name, settings, state, next_lane)
    SELECT 1, 1, seq, 'late', '{}', 'pending', 1 FROM workspace RETURNING seq)
  INSERT INTO outbox (kind, at, batch, facts) SELECT 2, 1, seq, '{}' FROM made";

async fn installation(server: &Server) -> (Arc<PostgresStore>, WorkspaceId, [Client; 2]) {
    let url = server.database();
    migrate(&url).await.unwrap();
    let store = PostgresStore::connect(PgConfig::at(&url)).await.unwrap();
    store.node_join(node()).await.unwrap();
    let ws = workspace(&*store, "late", 1).await.workspace;
    let clients = [server.plain(&url).await, server.plain(&url).await];
    (store, ws, clients)
}

async fn positions(store: &PostgresStore, ws: WorkspaceId) -> Vec<u64> {
    let page = store.event_list(ws, 0, 1000).await.unwrap();
    page.events.iter().map(|e| e.position).collect()
}

#[test]
fn what_is_committed_late_is_numbered() {
    block_on(async {
        let (store, ws, [late, other]) = installation(Server::shared()).await;
        late.batch_execute("BEGIN").await.unwrap();
        late.batch_execute(FACT).await.unwrap();
        // Others overtake it, and are numbered; run after run the floor stays below it.
        for run in 1..=8 {
            other.batch_execute(FACT).await.unwrap();
            assert_eq!(store.event_number(100).await.unwrap(), 1, "run {run}");
        }
        assert_eq!(store.shared().numbered.lock().unwrap().floor, 0);
        late.batch_execute("COMMIT").await.unwrap();
        assert_eq!(store.event_number(100).await.unwrap(), 1);
        assert_eq!(positions(&store, ws).await, (1..=9).collect::<Vec<_>>());
        // With nobody left to wait for (other tests write too), what was taken is not looked
        // through again.
        let mut count = 9;
        let floor = || store.shared().numbered.lock().unwrap().floor;
        while floor() < 9 {
            assert!(count < 2_000, "the floor stays at {}", floor());
            other.batch_execute(FACT).await.unwrap();
            assert_eq!(store.event_number(100).await.unwrap(), 1);
            count += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let latest = store.event_list(ws, 0, 1).await.unwrap().latest;
        assert_eq!(latest, count);
    });
}

#[test]
fn what_was_undone_is_told_to_nobody() {
    block_on(async {
        let (store, ws, [one, other]) = installation(Server::shared()).await;
        one.batch_execute("BEGIN").await.unwrap();
        one.batch_execute(FACT).await.unwrap();
        other.batch_execute(FACT).await.unwrap();
        one.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(store.event_number(100).await.unwrap(), 1);
        assert_eq!(positions(&store, ws).await, [1]);
    });
}

/// One that numbers and is cut off gives back what it took; who comes meanwhile passes by.
#[test]
fn one_numbers_at_a_time() {
    block_on(async {
        let (store, ws, [one, other]) = installation(Server::shared()).await;
        other.batch_execute(FACT).await.unwrap();
        one.batch_execute("BEGIN; SELECT 1 FROM meta WHERE one = 1 FOR NO KEY UPDATE")
            .await
            .unwrap();
        one.batch_execute("DELETE FROM outbox").await.unwrap();
        assert_eq!(store.event_number(100).await.unwrap(), 0);
        one.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(store.event_number(100).await.unwrap(), 1);
        assert_eq!(positions(&store, ws).await, [1]);
    });
}
