//! Facts that are committed late, and what numbering passes over: only here do writers overlap.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::id::WorkspaceId;
use outdial_ports::Store;
use outdial_ports::store::EventKind;
use tokio_postgres::Client;

use super::migrate::{apply, migrate};
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

/// Nobody is told of what was before; a program that would tell nothing is kept out.
#[test]
fn an_installation_of_schema_1_goes_on() {
    block_on(async {
        let server = Server::shared();
        let url = server.database();
        let beside = server.plain(&url).await;
        apply(&beside, 1).await.unwrap();
        let fill = "INSERT INTO workspace (seq, created_at, name, settings, do_not_call)
             VALUES (1, 1000, 'first', '{}', TRUE);
           INSERT INTO workspace_user (created_at, workspace) VALUES (1000, 1);
           INSERT INTO batch (seq, created_at, updated_at, workspace, name, settings, state,
             next_lane) VALUES (1, 1000, 1000, 1, 'old', '{}', 'active', 1);
           INSERT INTO batch_total (batch, shard) VALUES (1, 0);
           INSERT INTO dispatch (workspace, version) VALUES (1, 1)";
        beside.batch_execute(fill).await.unwrap();
        migrate(&url).await.unwrap();
        let mark = "SELECT compatible_from FROM schema_mark";
        let row = beside.query_typed(mark, &[]).await.unwrap();
        assert!(row[0].get::<_, i64>(0) >= 2);

        let store = PostgresStore::connect(PgConfig::at(&url)).await.unwrap();
        store.node_join(node()).await.unwrap();
        let ws = WorkspaceId::from_parts(1, 1);
        assert_eq!(store.event_number(10).await.unwrap(), 0);
        assert_eq!(store.batch_close_due(10).await.unwrap().len(), 1);
        assert_eq!(store.event_number(10).await.unwrap(), 1);
        let page = store.event_list(ws, 0, 10).await.unwrap();
        assert_eq!(page.events[0].kind, EventKind::BatchCompleted);
        assert!(page.events[0].data.contains("\"batchName\":\"old\""));
    });
}
