//! SQLite through the conformance suite, with its threads and inline; and what only SQLite does.

use std::path::PathBuf;
use std::sync::Arc;

use outdial_ports::Store;
use outdial_ports::store::StoreError;

use super::{OpenError, OpenMode, SqliteInline, SqliteStore};
use crate::conformance::{Database, Factory, TestClock, TestEntropy, run_all};

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
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

#[test]
fn a_file_that_is_no_database_is_refused() {
    let file = File::new(Arc::default());
    std::fs::write(file.path(), "phoneNumber,name\n".repeat(1000)).unwrap();
    let refused = file.open(OpenMode::Tool);
    let Err(OpenError::Store { source: StoreError::Internal(_), .. }) = refused else {
        panic!("{:?}", refused.err());
    };
}
