//! What only a server does: it is gone and back, it does not answer, it encrypts; transactions
//! meet; the schema is another's.

use std::sync::Arc;
use std::time::Duration;

use outdial_ports::Store;
use outdial_ports::store::{NODE_LEASE, NodeBeat, NodeJoinError, NodeSpec, StoreError};

use super::migrate::migrate;
use super::params::params;
use super::tests::{block_on, node};
use super::tx::Kind;
use super::{OpenError, PgConfig, PostgresStore, client};
use crate::conformance::TestClock;
use crate::testing::{Server, name_of};

async fn open(url: &str) -> Arc<PostgresStore> {
    let config = PgConfig { migrate_if_empty: true, ..PgConfig::at(url) };
    PostgresStore::connect(config).await.unwrap()
}

#[test]
fn is_encrypted_as_told() {
    let server = Server::shared();
    let ca = server.authority().display().to_string();
    let url = |host: &str, how: &str| {
        format!("postgres://outdial@{host}:{}/postgres?sslmode={how}", server.port())
    };
    let rooted = |host: &str, how: &str| url(host, &format!("{how}&sslrootcert={ca}"));
    block_on(async {
        for (url, encrypted) in [
            (url("localhost", "disable"), false),
            (url("127.0.0.1", "prefer"), true),
            (url("127.0.0.1", "require"), true),
            (rooted("127.0.0.1", "verify-ca"), true),
            (rooted("localhost", "verify-full"), true),
        ] {
            let client = client(&url).await.unwrap_or_else(|e| panic!("{url}: {e}"));
            let asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let row = client.query_typed(asked, &[]).await.unwrap();
            assert_eq!(row[0].get::<_, bool>(0), encrypted, "{url}");
        }
        for url in [
            // The certificate is for another name; it is signed by nobody whom the system knows.
            rooted("127.0.0.1", "verify-full"),
            url("localhost", "verify-full"),
            url("127.0.0.1", "verify-ca"),
        ] {
            let refused = client(&url).await;
            assert!(matches!(refused, Err(OpenError::Store(StoreError::Unavailable(_)))), "{url}");
        }
    });
}

#[test]
fn connections_that_died_are_replaced() {
    let server = Server::shared();
    let url = server.database();
    block_on(async {
        let store = open(&url).await;
        store.ping().await.unwrap();
        for _ in 0..3 {
            let name = name_of(&url);
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity";
            server.psql("postgres", &format!("{kill} WHERE datname = '{name}'"));
            store.ping().await.unwrap();
        }
    });
}

#[test]
fn who_does_not_answer_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    block_on(async {
        let url = format!("postgres://u@127.0.0.1:{port}/d?sslmode=disable");
        let opened = tokio::time::timeout(Duration::from_secs(30), client(&url)).await.unwrap();
        let Err(OpenError::Store(StoreError::Unavailable(why))) = opened else { panic!() };
        assert!(why.contains("within"), "{why}");
    });
}

#[test]
fn whoever_meets_another_is_told_to_run_again() {
    let url = Server::shared().database();
    block_on(async {
        let store = open(&url).await;
        let beside = Server::shared().plain(&url).await;
        beside
            .batch_execute("INSERT INTO class (id, text) VALUES (1, 'a'), (2, 'b')")
            .await
            .unwrap();
        let touch = "UPDATE class SET text = text || '.' WHERE id = $1";
        let crossing = async |first: i64, second: i64, both: &tokio::sync::Barrier| {
            let tx = store.begin(Kind::Write).await.unwrap();
            tx.exec(touch, params![first]).await.unwrap();
            both.wait().await;
            let done = tx.exec(touch, params![second]).await.map(|_| ());
            tx.end(done).await
        };
        let both = tokio::sync::Barrier::new(2);
        let (a, b) = tokio::join!(crossing(1, 2, &both), crossing(2, 1, &both));
        let mut ends = [a, b];
        ends.sort_by_key(Option::is_some);
        assert_eq!(ends, [None, Some(Ok(()))]);
        let texts = beside.query_typed("SELECT text FROM class ORDER BY id", &[]).await.unwrap();
        let texts: Vec<String> = texts.iter().map(|r| r.get(0)).collect();
        assert_eq!(texts, ["a.", "b."]);
    });
}

#[test]
fn a_transaction_ends_whole_or_not_at_all() {
    let url = Server::shared().database();
    block_on(async {
        let config = PgConfig {
            statement_timeout: Duration::from_millis(300),
            migrate_if_empty: true,
            ..PgConfig::at(&url)
        };
        let store = PostgresStore::connect(config).await.unwrap();
        let beside = Server::shared().plain(&url).await;
        let count = async || {
            let rows = beside.query_typed("SELECT count(*) FROM class", &[]).await.unwrap();
            rows[0].get::<_, i64>(0)
        };
        let insert = "INSERT INTO class (text) VALUES ($1)";

        // Dropped.
        let tx = store.begin(Kind::Write).await.unwrap();
        tx.exec(insert, params!["dropped"]).await.unwrap();
        drop(tx);
        // Goes on after a statement has failed.
        let tx = store.begin(Kind::Write).await.unwrap();
        tx.exec(insert, params!["failed"]).await.unwrap();
        tx.exec("SELECT 1 / 0", params![]).await.unwrap_err();
        let end = tx.end(Ok::<(), StoreError>(())).await;
        assert!(matches!(end, Some(Err(StoreError::Internal(_)))), "{end:?}");
        // Takes too long.
        let tx = store.begin(Kind::Write).await.unwrap();
        let slow = tx.exec("SELECT pg_sleep(60)", params![]).await.map(|_| ());
        assert!(matches!(slow, Err(StoreError::Unavailable(_))), "{slow:?}");
        assert_eq!(tx.end(slow.clone()).await, Some(slow));
        // Stops in the midst of it: the server ends it, and nobody waits for its rows for ever.
        let stopped = store.begin(Kind::Write).await.unwrap();
        stopped.exec("INSERT INTO class (id, text) VALUES (7, 'x')", params![]).await.unwrap();
        let other = "INSERT INTO class (id, text) VALUES (7, 'y')";
        beside.batch_execute(other).await.unwrap();
        let end = stopped.end(Ok::<(), StoreError>(())).await;
        assert!(matches!(end, Some(Err(_))), "{end:?}");
        assert_eq!(count().await, 1);
        // And what is whole is there.
        let tx = store.begin(Kind::Write).await.unwrap();
        tx.exec(insert, params!["whole"]).await.unwrap();
        assert_eq!(tx.end(Ok::<(), StoreError>(())).await, Some(Ok(())));
        assert_eq!(count().await, 2);
    });
}

#[test]
fn a_schema_of_another_version() {
    let url = Server::shared().database();
    let why = |opened: Result<Arc<PostgresStore>, OpenError>| match opened {
        Err(OpenError::Schema(why)) => why,
        other => panic!("{:?}", other.err()),
    };
    block_on(async {
        let none = PostgresStore::connect(PgConfig::at(&url)).await;
        assert!(why(none).contains("outdial migrate"));
        // Several at once: one does it, and the others find it done.
        let all = futures_util::future::join_all((0..4).map(|_| migrate(&url))).await;
        let mut from: Vec<_> = all.into_iter().map(|done| done.unwrap().from).collect();
        from.sort_unstable();
        let ours = from[3].expect("the version that the first has made");
        assert_eq!(from, [None, Some(ours), Some(ours), Some(ours)]);
        let secret = open(&url).await.secret_fetch().await.unwrap();
        assert_eq!(open(&url).await.secret_fetch().await.unwrap(), secret);

        let beside = Server::shared().plain(&url).await;
        let mark = async |version: i64, compatible_from: i64| {
            let set = format!("version = {version}, compatible_from = {compatible_from}");
            beside.batch_execute(&format!("UPDATE schema_mark SET {set}")).await.unwrap();
            PostgresStore::connect(PgConfig::at(&url)).await
        };
        assert!(mark(9, 1).await.is_ok(), "a later version left it so that this one can use it");
        assert!(why(mark(9, 9).await).contains("cannot use"));
        assert!(why(mark(0, 0).await).contains("outdial migrate"));
        mark(ours, 1).await.unwrap();
        let other = "UPDATE refinery_schema_history SET checksum = '1'";
        beside.batch_execute(other).await.unwrap();
        let refused = migrate(&url).await;
        assert!(matches!(refused, Err(OpenError::Schema(_))), "{refused:?}");
    });
}

#[test]
fn who_may_join_as_a_node() {
    let url = Server::shared().database();
    let clock = Arc::<TestClock>::default();
    block_on(async {
        let process = async || {
            let shown: Arc<TestClock> = Arc::clone(&clock);
            let config =
                PgConfig { clock: Some(shown), migrate_if_empty: true, ..PgConfig::at(&url) };
            PostgresStore::connect(config).await.unwrap()
        };
        let is_joined = async |store: &PostgresStore| {
            store.node_beat(NodeBeat::default()).await.unwrap().is_joined
        };
        let elsewhere = || NodeSpec { host: "there".to_owned(), ..node() };
        let (first, second, third) = (process().await, process().await, process().await);
        assert!(!is_joined(&first).await, "it never has");
        first.node_join(node()).await.unwrap();
        first.node_join(node()).await.unwrap();
        assert!(is_joined(&first).await);
        let refused = second.node_join(elsewhere()).await;
        assert!(matches!(refused, Err(NodeJoinError::Running { .. })), "{refused:?}");
        second.node_join(node()).await.unwrap();
        assert!(is_joined(&second).await && !is_joined(&first).await);
        let other = NodeSpec { id: [2; 16], name: "two".to_owned(), ..elsewhere() };
        first.node_join(other).await.unwrap();
        clock.advance(NODE_LEASE);
        assert!(is_joined(&first).await, "it was gone, and is back");
        third.node_join(elsewhere()).await.unwrap();
        let nodes = first.node_list().await.unwrap();
        let alive: Vec<_> = nodes.iter().filter(|n| n.is_alive).map(|n| &*n.spec.name).collect();
        assert_eq!(alive, ["one", "two"]);
        third.node_leave().await.unwrap();
        let gone = first.node_list().await.unwrap().into_iter().filter(|n| n.has_left).count();
        assert_eq!(gone, 2);
    });
}
