//! The write-ahead log: when its pages are brought into the database.
//!
//! SQLite would do that by itself within a COMMIT, whose answers then wait for it, and keeps its
//! errors to itself: a failed fsync would go unseen. Here it is done after the answers, and a
//! failed fsync stops the store.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::db::SqliteDb;

/// Pages that the log may grow by between two checkpoints.
const EVERY: i64 = 1_000;
/// Pages of log from which on long reads are held back until it has begun anew: 64 MiB. It cannot
/// while a view of it is read, and views that overlap all the time would let it grow for ever.
pub(super) const LARGE: i64 = 16_384;
/// Longest time that a read is held back.
const HELD: Duration = Duration::from_secs(5);

/// Where long reads wait while the log is too large.
#[derive(Default)]
pub(super) struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// Returns when a long read may begin.
    pub(super) fn pass(&self) {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(closed, HELD, |closed| *closed));
    }

    fn close(&self, closed: bool) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = closed;
        self.changed.notify_all();
    }
}

/// What the writer knows of its log.
pub(super) struct Log {
    /// Its pages as of the latest commit.
    pages: Arc<AtomicI64>,
    /// Its pages at the latest checkpoint.
    done: i64,
    gate: Arc<Gate>,
    large: i64,
    is_large: bool,
}

impl Log {
    /// Takes over from SQLite. `large`: pages from which on the gate is closed.
    pub(super) fn of(db: &mut SqliteDb, gate: Arc<Gate>, large: i64) -> Self {
        let pages = Arc::<AtomicI64>::default();
        let counted = Arc::clone(&pages);
        let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
            counted.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        };
        // The hook takes the place of the automatic checkpoint; without it that stays.
        if let Err(e) = db.conn.wal_hook(Some(hook)) {
            tracing::error!(error = %e, "the write-ahead log is not watched");
        }
        Self { pages, done: 0, gate, large, is_large: false }
    }

    /// Brings the log into the database if it has grown enough. To be called between transactions.
    pub(super) fn checkpoint(&mut self, db: &SqliteDb) {
        let pages = self.pages.load(Ordering::Relaxed);
        // It began anew.
        self.done = if pages < self.done { 0 } else { self.done };
        let is_large = pages >= self.large;
        if is_large != self.is_large {
            self.gate.close(is_large);
            self.is_large = is_large;
        }
        if !is_large && pages - self.done < EVERY {
            return;
        }
        self.done = pages;
        if let Err(e) = db.checkpoint() {
            // A failed fsync has stopped the store by now; anything else may pass.
            tracing::warn!(error = %e, pages, "the write-ahead log stays as it is for now");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.gate.close(false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::conformance::{TestClock, TestEntropy};
    use crate::sqlite::OpenMode;
    use crate::sqlite::db::Begin;
    use crate::sqlite::open::{self, Role};

    /// Writes 7,000 pages beside so many readers; the most pages that the log had.
    fn most_pages(readers: usize, large: i64) -> i64 {
        let dir = tempfile::tempdir().unwrap();
        let (path, clock) = (dir.path().join("outdial.db"), Arc::new(TestClock::default()));
        let opened = open::open(&path, OpenMode::Serve, clock, &TestEntropy::default()).unwrap();
        let stop = AtomicBool::default();
        let mut db = opened.db(Role::Writer).unwrap();
        let gate = Arc::<Gate>::default();
        let mut log = Log::of(&mut db, Arc::clone(&gate), large);
        db.conn.execute_batch("CREATE TABLE t (a BLOB)").unwrap();
        thread::scope(|scope| {
            for _ in 0..readers {
                scope.spawn(|| {
                    let mut db = opened.db(Role::Reader).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        gate.pass();
                        db.begin(Begin::Read).unwrap();
                        let view = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                            LIMIT 100000) SELECT count(*) + (SELECT count(*) FROM meta) FROM n";
                        db.conn.query_row(view, [], |r| r.get::<_, i64>(0)).unwrap();
                        db.end_read();
                    }
                });
            }
            let mut most = 0;
            for _ in 0..70 {
                db.begin(Begin::Write).unwrap();
                db.exec("INSERT INTO t VALUES (zeroblob(4096 * 100))", []).unwrap();
                db.commit().unwrap();
                most = most.max(log.pages.load(Ordering::Relaxed));
                log.checkpoint(&db);
            }
            stop.store(true, Ordering::Relaxed);
            most
        })
    }

    #[test]
    fn begins_anew_again_and_again() {
        let alone = most_pages(0, LARGE);
        assert!((EVERY..2 * EVERY).contains(&alone), "{alone}");
        let observed = most_pages(2, 2 * EVERY);
        assert!((EVERY..5 * EVERY).contains(&observed), "{observed}");
    }

    #[test]
    fn a_view_keeps_it_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (path, clock) = (dir.path().join("outdial.db"), Arc::new(TestClock::default()));
        let opened = open::open(&path, OpenMode::Serve, clock, &TestEntropy::default()).unwrap();
        let mut reader = opened.db(Role::Reader).unwrap();
        let mut db = opened.db(Role::Writer).unwrap();
        let mut log = Log::of(&mut db, Arc::default(), LARGE);
        db.conn.execute_batch("CREATE TABLE t (a BLOB)").unwrap();
        let mut write = || {
            db.exec("INSERT INTO t VALUES (zeroblob(4096 * 1500))", []).unwrap();
            log.checkpoint(&db);
            log.pages.load(Ordering::Relaxed)
        };
        reader.begin(Begin::Read).unwrap();
        reader.conn.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)).unwrap();
        write();
        assert!(write() > 3000, "the log of a view that is still read");
        reader.end_read();
        // The third is brought in after its commit, and the fourth finds it so.
        write();
        assert!(write() < 2000);
    }
}
