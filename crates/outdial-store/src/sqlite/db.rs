//! One connection: statements, transactions, and what it remembers between them.
//!
//! Never commits on its own: an operation runs inside the transaction that `threads` or `inline`
//! has begun, and is whole or nothing with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outdial_core::time::Timestamp;
use outdial_ports::Clock;
use outdial_ports::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, Params, Row};

use super::class::Classes;
use super::error::{is_failed_sync, store_error};

/// One connection. The operations of the store are its methods.
pub(crate) struct SqliteDb {
    pub(super) conn: Connection,
    pub(super) classes: Classes,
    /// Names this process: attempts and leases of every other are dead (one `serve` per file).
    pub(super) instance: i64,
    /// How far attempts at persons were looked through for old ones.
    pub(super) persons_seen: i64,
    clock: Arc<dyn Clock>,
    /// An fsync failed, on whichever connection: no operation runs any more.
    stopped: Arc<AtomicBool>,
}

impl Drop for SqliteDb {
    fn drop(&mut self) {
        // The last connection to close brings the log into the database and syncs both. After a
        // failed fsync the log is all that is known to be good, and is left as it is.
        if self.stopped.load(Ordering::Acquire)
            && let Err(e) =
                self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::error!(error = %e, "the write-ahead log may be brought in at the end");
        }
    }
}

/// How a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// One view of the data, no writes.
    Read,
    /// The writer's lock from the start, so that no operation fails half-way for want of it.
    Write,
}

impl SqliteDb {
    /// Takes over a connection that `open` has prepared.
    pub(super) fn new(
        conn: Connection,
        clock: Arc<dyn Clock>,
        instance: i64,
        stopped: Arc<AtomicBool>,
    ) -> Self {
        Self { conn, classes: Classes::default(), instance, persons_seen: 0, clock, stopped }
    }

    /// The store's clock: leases and everything that is due go by it.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Begins a transaction.
    pub(crate) fn begin(&mut self, how: Begin) -> Result<(), StoreError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(StoreError::Internal("stopped after a failed fsync".to_owned()));
        }
        match how {
            Begin::Read => self.batch("BEGIN"),
            Begin::Write => self.batch("BEGIN IMMEDIATE"),
        }
    }

    /// Commits. After an error nothing is open and nothing was changed, but for a failed fsync:
    /// then the outcome is unknown, and the store has stopped.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        match self.conn.execute_batch("COMMIT") {
            Ok(()) => {
                self.classes.keep();
                Ok(())
            }
            Err(e) => {
                let error = self.fail(&e);
                self.rollback();
                Err(if is_failed_sync(&e) {
                    StoreError::OutcomeUnknown(e.to_string())
                } else {
                    error
                })
            }
        }
    }

    /// Rolls back whatever is open.
    pub(crate) fn rollback(&mut self) {
        self.classes.forget();
        if self.in_transaction()
            && let Err(e) = self.conn.execute_batch("ROLLBACK")
        {
            // Nothing more can be done here; the next BEGIN fails and says so.
            tracing::error!(error = %e, "rollback failed");
        }
    }

    /// Ends a transaction that only read.
    pub(crate) fn end_read(&mut self) {
        self.classes.keep();
        self.rollback();
    }

    /// A transaction is open (some errors of SQLite roll it back by themselves).
    pub(crate) fn in_transaction(&self) -> bool {
        !self.conn.is_autocommit()
    }

    /// Begins one of several operations in the open transaction.
    pub(crate) fn savepoint(&mut self) -> Result<(), StoreError> {
        self.batch("SAVEPOINT op")
    }

    /// Ends it.
    pub(crate) fn release(&mut self) -> Result<(), StoreError> {
        self.batch("RELEASE op")
    }

    /// Ends it as if it had never been.
    pub(crate) fn undo(&mut self) -> Result<(), StoreError> {
        self.classes.forget();
        self.batch("ROLLBACK TO op; RELEASE op")
    }

    /// Brings the write-ahead log into the database, as far as nobody reads what is there.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        let run = || self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        run().map_err(|e| self.fail(&e))
    }

    /// What is wrong with the file, a few lines of it.
    pub(super) fn damage(&mut self) -> Result<Vec<String>, StoreError> {
        let mut found = self.all("PRAGMA quick_check(10)", [], |r| r.get::<_, String>(0))?;
        found.retain(|line| line != "ok");
        Ok(found)
    }

    fn batch(&self, text: &str) -> Result<(), StoreError> {
        self.conn.execute_batch(text).map_err(|e| self.fail(&e))
    }

    /// A statement to run many times.
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.conn.prepare_cached(sql).map_err(|e| self.fail(&e))
    }

    /// Runs a statement; how many rows it changed.
    pub(super) fn exec(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        let run = || self.conn.prepare_cached(sql)?.execute(params);
        run().map_err(|e| self.fail(&e))
    }

    /// Runs an insert; the new row's `seq`.
    pub(super) fn insert(&self, sql: &str, params: impl Params) -> Result<i64, StoreError> {
        self.exec(sql, params)?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The first row, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let run = || {
            let mut statement = self.conn.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            rows.next()?.map(read).transpose()
        };
        run().map_err(|e| self.fail(&e))
    }

    /// Every row.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run = || {
            let mut statement = self.conn.prepare_cached(sql)?;
            let rows = statement.query_map(params, read)?;
            rows.collect::<rusqlite::Result<Vec<T>>>()
        };
        run().map_err(|e| self.fail(&e))
    }

    /// Translates an error, and stops the store if it was a failed fsync.
    pub(super) fn fail(&self, e: &rusqlite::Error) -> StoreError {
        if is_failed_sync(e) && !self.stopped.swap(true, Ordering::AcqRel) {
            tracing::error!(error = %e, "fsync failed: the store has stopped for good");
        }
        store_error(e)
    }
}
