//! The store without threads: every operation runs where it is awaited. For the simulator, where
//! everything runs in one thread under virtual time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use outdial_ports::store::StoreError;
use outdial_ports::{Clock, Entropy};

use super::db::{Begin, SqliteDb};
use super::open::{self, OpenError, OpenMode, Role};
use super::store::{Kind, Run};

/// One process's hold of a database that is run inline. Clones are the same process.
#[derive(Clone)]
pub struct SqliteInline {
    db: Arc<Mutex<SqliteDb>>,
    instance: i64,
}

impl SqliteInline {
    /// A new database in memory, gone with its last handle.
    pub fn in_memory(clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Result<Self, OpenError> {
        Ok(Self::of(open::in_memory(clock, entropy)?))
    }

    /// A database in a file, not locked against other processes.
    pub fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, OpenError> {
        let opened = open::open(path, OpenMode::Tool, clock, entropy)?;
        Ok(Self::of(opened.db(Role::Writer)?))
    }

    /// The same database in the hands of another process: to this one, attempts and leases of
    /// `self` are dead. `self` goes on working, like a process that only seems to be gone.
    #[must_use]
    pub fn another_process(&self, entropy: &dyn Entropy) -> Self {
        Self { db: Arc::clone(&self.db), instance: open::new_instance(entropy) }
    }

    /// A backup: what it holds now, in another database in memory, gone with its last handle.
    pub fn copy(&self, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        db.rollback();
        Ok(Self::of(open::copy_in_memory(&db.conn, clock, self.instance)?))
    }

    fn of(db: SqliteDb) -> Self {
        let instance = db.instance;
        Self { db: Arc::new(Mutex::new(db)), instance }
    }
}

impl Run for SqliteInline {
    async fn run<T, E>(
        &self,
        kind: Kind,
        mut op: impl FnMut(&mut SqliteDb) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        // An operation that panicked has left at most an open transaction; it is rolled back.
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        db.rollback();
        db.instance = self.instance;
        db.begin(if kind.writes() { Begin::Write } else { Begin::Read })?;
        let result = op(&mut db);
        match result {
            Ok(value) => db.commit().map(|()| value).map_err(E::from),
            Err(e) => {
                db.rollback();
                Err(e)
            }
        }
    }
}
