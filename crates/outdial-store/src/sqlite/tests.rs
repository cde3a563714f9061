//! SQLite through the conformance suite, with its threads and inline; and what only SQLite does.

use std::path::PathBuf;
use std::sync::Arc;

use outdial_core::batch::BatchSettings;
use outdial_core::dispatcher::Ask;
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::WorkspaceSettings;
use outdial_ports::Store;
use outdial_ports::store::{
    CallQuery, CallSort, ChunkAdd, ChunkError, ChunkLane, ChunkRecord, Integration, NewBatch,
    NewKey, NewPhone, NewWorkspace, RequestBegin, RequestLookup, StoreError,
};
use rusqlite::{StatementStatus, ffi};

use super::db::SqliteDb;
use super::store::{Kind, Run};
use super::{OpenError, OpenMode, SqliteInline, SqliteStore, sql};
use crate::conformance::{Database, Factory, TestClock, TestEntropy, run_all};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Each database a file in a folder that is gone with it.
struct Threads;

struct File {
    dir: tempfile::TempDir,
    clock: Arc<TestClock>,
    entropy: TestEntropy,
}

impl File {
    fn new(clock: Arc<TestClock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, clock, entropy: TestEntropy::default() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("outdial.db")
    }

    fn open(&self, mode: OpenMode) -> Result<SqliteStore, OpenError> {
        let clock: Arc<TestClock> = Arc::clone(&self.clock);
        SqliteStore::open(&self.path(), mode, clock, &self.entropy)
    }
}

impl Factory for Threads {
    fn empty(&self, clock: Arc<TestClock>) -> Box<dyn Database> {
        Box::new(File::new(clock))
    }
}

impl Database for File {
    fn process(&self) -> Arc<dyn Store> {
        // As a tool: the suite keeps an old process beside the new one.
        Arc::new(self.open(OpenMode::Tool).unwrap())
    }
}

struct Inline;

struct Memory {
    first: SqliteInline,
    entropy: TestEntropy,
}

impl Factory for Inline {
    fn empty(&self, clock: Arc<TestClock>) -> Box<dyn Database> {
        let entropy = TestEntropy::default();
        let first = SqliteInline::in_memory(clock, &entropy).unwrap();
        Box::new(Memory { first, entropy })
    }
}

impl Database for Memory {
    fn process(&self) -> Arc<dyn Store> {
        Arc::new(self.first.another_process(&self.entropy))
    }
}

#[test]
fn conforms_with_threads() {
    block_on(run_all(&Threads));
}

#[test]
fn conforms_inline() {
    block_on(run_all(&Inline));
}

#[test]
fn is_served_once() {
    let file = File::new(Arc::default());
    let first = file.open(OpenMode::Serve).unwrap();
    let second = file.open(OpenMode::Serve);
    assert!(matches!(second, Err(OpenError::InUse(_))), "{:?}", second.err());
    let tool = file.open(OpenMode::Tool).unwrap();
    block_on(async {
        let secret = first.secret_fetch().await.unwrap();
        assert_eq!(tool.secret_fetch().await.unwrap(), secret);
    });
    drop(first);
    file.open(OpenMode::Serve).unwrap();
}

/// The last to close brings the log into the file, every time; a command never does.
#[test]
fn who_serves_leaves_one_file_and_a_tool_leaves_the_log() {
    let file = File::new(Arc::default());
    let wal = file.dir.path().join("outdial.db-wal");
    for round in 0..20 {
        let store = file.open(OpenMode::Serve).unwrap();
        block_on(store.ping()).unwrap();
        drop(store);
        assert!(!wal.exists(), "round {round}");
    }
    let at_rest = std::fs::read(file.path()).unwrap();
    let tool = file.open(OpenMode::Tool).unwrap();
    let key = NewKey {
        hash: [1; 32],
        hint: "1".into(),
        name: "k".into(),
        scopes: Vec::new(),
        expires_at: None,
    };
    let settings = WorkspaceSettings::default();
    let new = NewWorkspace { name: "w".into(), key, settings };
    block_on(tool.workspace_create(new)).unwrap();
    drop(tool);
    assert_eq!(std::fs::read(file.path()).unwrap(), at_rest);
    assert!(wal.exists());
    for mode in [OpenMode::Tool, OpenMode::Serve] {
        let store = file.open(mode).unwrap();
        assert_eq!(block_on(store.workspace_list()).unwrap().len(), 1, "{mode:?}");
    }
    assert!(!wal.exists());
}

#[cfg(unix)]
#[test]
fn is_served_once_by_whatever_name() {
    let file = File::new(Arc::default());
    let other = File::new(Arc::default());
    // The link is there before the file.
    std::os::unix::fs::symlink(file.path(), other.path()).unwrap();
    let first = other.open(OpenMode::Serve).unwrap();
    for same in [&file, &other] {
        let second = same.open(OpenMode::Serve);
        assert!(matches!(second, Err(OpenError::InUse(_))), "{:?}", second.err());
    }
    drop(first);
    let linked = File::new(Arc::default());
    std::fs::hard_link(file.path(), linked.path()).unwrap();
    for same in [&file, &linked] {
        let refused = same.open(OpenMode::Serve);
        assert!(matches!(refused, Err(OpenError::Linked(_))), "{:?}", refused.err());
    }
    linked.open(OpenMode::Tool).unwrap();
    std::fs::remove_file(linked.path()).unwrap();
    file.open(OpenMode::Serve).unwrap();
}

fn first_page() -> CallQuery {
    CallQuery {
        page: 1,
        limit: 10,
        filter: Vec::new(),
        sort: CallSort::CreatedAt,
        descending: false,
        search: None,
    }
}

#[test]
fn keeps_what_a_newer_version_left() {
    let file = File::new(Arc::default());
    drop(file.open(OpenMode::Serve).unwrap());
    let conn = rusqlite::Connection::open(file.path()).unwrap();
    conn.execute_batch(
        "INSERT INTO refinery_schema_history VALUES (99, 'later', '2026-11-23T00:00:00Z', '1')",
    )
    .unwrap();
    drop(conn);
    let refused = file.open(OpenMode::Serve);
    assert!(matches!(refused, Err(OpenError::Schema { .. })), "{:?}", refused.err());
}

/// The migrations' library panics where it cannot read what it wrote of its earlier runs.
#[test]
fn a_damaged_history_is_refused() {
    for damage in ["applied_on = 'yesterday'", "checksum = '-'", "applied_on = x'00ff'"] {
        let file = File::new(Arc::default());
        drop(file.open(OpenMode::Serve).unwrap());
        let conn = rusqlite::Connection::open(file.path()).unwrap();
        conn.execute_batch(&format!("UPDATE refinery_schema_history SET {damage}")).unwrap();
        drop(conn);
        for mode in [OpenMode::Serve, OpenMode::Tool] {
            assert!(file.open(mode).is_err(), "{damage}, {mode:?}");
        }
    }
}

/// A command of a new version must not change the schema under the server of an old one.
#[test]
fn a_tool_leaves_the_schema_of_an_older_server_alone() {
    let file = File::new(Arc::default());
    let server = file.open(OpenMode::Serve).unwrap();
    let conn = rusqlite::Connection::open(file.path()).unwrap();
    conn.execute_batch("DELETE FROM refinery_schema_history").unwrap();
    let refused = file.open(OpenMode::Tool);
    let Err(OpenError::Schema { why, .. }) = refused else { panic!("{:?}", refused.err()) };
    assert!(why.contains("an older version is serving it"), "{why}");
    let left: i64 =
        conn.query_row("SELECT count(*) FROM refinery_schema_history", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 0);
    drop(server);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let file = File::new(Arc::default());
    std::fs::write(file.path(), "phoneNumber,name\n".repeat(1000)).unwrap();
    let refused = file.open(OpenMode::Tool);
    let Err(OpenError::Store { source: StoreError::Internal(_), .. }) = refused else {
        panic!("{:?}", refused.err());
    };
}

/// A workspace and a batch with one number.
async fn furnish(store: &dyn Store) -> (WorkspaceId, BatchId) {
    let key = NewKey {
        hash: [1; 32],
        hint: "h".into(),
        name: "k".into(),
        scopes: Vec::new(),
        expires_at: None,
    };
    let settings = WorkspaceSettings::default();
    let new = NewWorkspace { name: "w".into(), key, settings };
    let workspace = store.workspace_create(new).await.unwrap().workspace;
    let number = PhoneNumber::from_digits(4_930_111);
    let integration = Integration::Simulated;
    let phone = NewPhone { number, integration, trunks: Vec::new(), agent: None };
    let numbers = vec![store.phone_create(workspace, phone).await.unwrap().id];
    let settings = BatchSettings::default();
    let new = NewBatch { workspace, name: "b".into(), settings, numbers };
    (workspace, store.batch_create(new).await.unwrap())
}

/// A chunk of a request of its own.
async fn chunk(store: &dyn Store, ws: WorkspaceId, batch: BatchId, first: u64) -> ChunkAdd {
    let begin = RequestBegin {
        workspace: ws,
        scope: String::new(),
        key: Some(first.to_string()),
        body_sha256: [0; 32],
        context: String::new(),
    };
    let RequestLookup::Begun(progress) = store.request_begin(&begin).await.unwrap() else {
        panic!("the key was used");
    };
    let records = (first..first + 1000).map(|n| ChunkRecord {
        phone: PhoneNumber::from_digits(n),
        class: Arc::from("Europe/Berlin"),
        fields: format!(r#"{{"phoneNumber":"{n}","name":"{}"}}"#, "x".repeat(100)).into(),
        blocked: None,
    });
    ChunkAdd {
        request: progress.request,
        chunk_num: 1,
        batch,
        agent: (outdial_core::id::AgentId::from_parts(0, 1), 1),
        lane: ChunkLane::Current,
        auto_start: true,
        records: records.collect(),
    }
}

async fn on_writer<T: Send + 'static>(
    store: &impl Run,
    mut op: impl FnMut(&mut SqliteDb) -> T + Send + 'static,
) -> Result<T, StoreError> {
    store.run(Kind::Write, move |db| Ok::<T, StoreError>(op(db))).await
}

async fn limit_pages(store: &impl Run, spare: i64) {
    let limit = move |db: &mut SqliteDb| {
        let pages: i64 = db.conn.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        db.conn.pragma_update(None, "max_page_count", pages + spare).unwrap();
    };
    on_writer(store, limit).await.unwrap();
}

#[test]
fn a_full_disk_stores_nothing_by_half_and_recovers() {
    let file = File::new(Arc::default());
    let store = file.open(OpenMode::Serve).unwrap();
    block_on(async {
        let (ws, batch) = furnish(&store).await;
        let first = chunk(&store, ws, batch, 49_000_000).await;
        store.call_add_chunk(first).await.unwrap();
        let second = chunk(&store, ws, batch, 49_500_000).await;
        limit_pages(&store, 10).await;
        let full = store.call_add_chunk(second.clone()).await;
        assert_eq!(full, Err(ChunkError::Store(StoreError::Full)));
        let totals = store.batch_fetch(batch).await.unwrap().unwrap().totals;
        assert_eq!((totals.total, totals.pending), (1000, 1000));
        assert!(store.batch_stop(ws, batch).await.unwrap(), "what needs no space goes on");
        limit_pages(&store, 1 << 20).await;
        assert_eq!(store.call_add_chunk(second).await.unwrap().calls.len(), 1000);
        assert_eq!(store.batch_fetch(batch).await.unwrap().unwrap().totals.total, 2000);
    });
}

/// Several chunks share a commit; one that fails takes none of the others with it, and none of them
/// is applied twice.
#[test]
fn a_failed_chunk_takes_no_other_with_it() {
    let file = File::new(Arc::default());
    let store = Arc::new(file.open(OpenMode::Serve).unwrap());
    block_on(async {
        let (ws, batch) = furnish(&*store).await;
        let gone = NewBatch {
            workspace: ws,
            name: "gone".into(),
            settings: BatchSettings::default(),
            numbers: store.batch_fetch(batch).await.unwrap().unwrap().numbers,
        };
        let gone = store.batch_create(gone).await.unwrap();
        assert!(store.batch_delete(ws, gone).await.unwrap());
        let mut chunks = Vec::new();
        for n in 0..12 {
            let into = if n % 4 == 1 { gone } else { batch };
            chunks.push((into, chunk(&*store, ws, into, 49_000_000 + n * 1000).await));
        }
        // The writer is kept busy until all of them wait.
        let busy = Arc::clone(&store);
        let wait = std::sync::Barrier::new(2);
        let wait = Arc::new(wait);
        let waiter = Arc::clone(&wait);
        let held = tokio::spawn(async move {
            on_writer(&*busy, move |_: &mut SqliteDb| {
                waiter.wait();
            })
            .await
        });
        let mut adding = tokio::task::JoinSet::new();
        for (into, chunk) in chunks {
            let store = Arc::clone(&store);
            adding.spawn(async move { (into, store.call_add_chunk(chunk).await) });
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        wait.wait();
        held.await.unwrap().unwrap();
        while let Some(added) = adding.join_next().await {
            let (into, result) = added.unwrap();
            match into == batch {
                true => assert_eq!(result.unwrap().calls.len(), 1000),
                false => assert_eq!(result, Err(ChunkError::BatchGone)),
            }
        }
        let totals = store.batch_fetch(batch).await.unwrap().unwrap().totals;
        assert_eq!((totals.total, totals.pending), (9000, 9000));
    });
}

#[test]
fn a_panic_undoes_one_operation() {
    let file = File::new(Arc::default());
    let store = file.open(OpenMode::Serve).unwrap();
    block_on(async {
        let (ws, batch) = furnish(&store).await;
        let op = |db: &mut SqliteDb| {
            db.exec("DELETE FROM batch_number", []).unwrap();
            panic!("on purpose");
        };
        let panicked: Result<(), _> = on_writer(&store, op).await;
        assert!(matches!(panicked, Err(StoreError::Internal(_))), "{panicked:?}");
        assert_eq!(store.batch_fetch(batch).await.unwrap().unwrap().numbers.len(), 1);
        assert!(store.batch_stop(ws, batch).await.unwrap());
    });
}

#[test]
fn after_a_failed_fsync_nothing_runs_any_more() {
    let file = File::new(Arc::default());
    let store = file.open(OpenMode::Serve).unwrap();
    block_on(async {
        let (ws, _) = furnish(&store).await;
        assert!(!store.has_stopped());
        let fsync = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
        let error = rusqlite::Error::SqliteFailure(fsync, None);
        on_writer(&store, move |db| db.fail(&error)).await.unwrap();
        assert!(store.has_stopped());
        assert!(matches!(store.ping().await, Err(StoreError::Internal(_))));
        assert!(matches!(store.key_list(ws).await, Err(StoreError::Internal(_))));
        assert!(matches!(furnish_fails(&store).await, StoreError::Internal(_)));
    });
    drop(store);
    let again = file.open(OpenMode::Serve).unwrap();
    block_on(async { assert_eq!(again.workspace_list().await.unwrap().len(), 1) });
}

async fn furnish_fails(store: &dyn Store) -> StoreError {
    let key = NewKey {
        hash: [2; 32],
        hint: "h".into(),
        name: "k".into(),
        scopes: Vec::new(),
        expires_at: None,
    };
    let settings = WorkspaceSettings::default();
    store.workspace_create(NewWorkspace { name: "w".into(), key, settings }).await.unwrap_err()
}

/// Steps of SQLite's machine that one turn's reads and a page cost.
async fn steps(store: &SqliteInline, ws: WorkspaceId, batch: BatchId) -> [i32; 3] {
    let reset = |db: &mut SqliteDb| statuses(db);
    on_writer(store, reset).await.unwrap();
    let group = store.dispatch_groups(ws, None).await.unwrap()[0].key;
    let due = store.dispatch_candidates(&[Ask { group, limit: 50, after: None }]).await.unwrap();
    assert_eq!(due.len(), 50);
    let query = CallQuery { page: 15, ..first_page() };
    assert_eq!(store.call_list(batch, query).await.unwrap().calls.len(), 10);
    on_writer(store, statuses).await.unwrap()
}

fn statuses(db: &mut SqliteDb) -> [i32; 3] {
    [sql!("dispatch/next_group"), sql!("dispatch/candidates"), sql!("call/run_at")]
        .map(|text| db.prepare(text).unwrap().reset_status(StatementStatus::VmStep))
}

#[test]
fn a_turn_costs_the_same_however_many_wait() {
    let store = SqliteInline::in_memory(Arc::new(TestClock::default()), &TestEntropy::default());
    let store = store.unwrap();
    block_on(async {
        let (ws, batch) = furnish(&store).await;
        let first = chunk(&store, ws, batch, 49_000_000).await;
        store.call_add_chunk(first).await.unwrap();
        let few = steps(&store, ws, batch).await;
        for n in 1..20 {
            let more = chunk(&store, ws, batch, 49_000_000 + n * 1000).await;
            store.call_add_chunk(more).await.unwrap();
        }
        let many = steps(&store, ws, batch).await;
        assert!(few.iter().all(|steps| *steps > 0), "{few:?}");
        assert_eq!(few, many);
    });
}
