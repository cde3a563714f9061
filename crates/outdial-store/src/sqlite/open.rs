//! Opening a database: who may, with which settings, at which schema.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use outdial_ports::store::StoreError;
use outdial_ports::{Clock, Entropy};
use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::db::SqliteDb;
use super::error::store_error;
use super::{sql, text};

mod migrations {
    refinery::embed_migrations!("src/sqlite/migrations");
}

/// How long a statement waits for another process's transaction (a tool beside `serve`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection; there are about as many.
const STATEMENTS: usize = 256;
/// Page cache of the writer, in KiB.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Page cache of a reader, in KiB.
const READER_CACHE_KIB: i64 = 4 * 1024;

/// Bytes of write-ahead log that are kept on disk when it is empty.
const LOG_KEPT: i64 = 64 << 20;

/// Pages that a copy takes over in one go.
const PAGES_AT_ONCE: i32 = 100_000;

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// To serve: once per file. Attempts and leases of whoever served before are dead from here on.
    Serve,
    /// A short command beside a server, or without one. It must not own attempts or requests, and
    /// leaves the write-ahead log as it is: after a failed fsync that is all that is good.
    Tool,
}

/// Why a database was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Somebody serves it already.
    #[error("{0} is being served by another process already")]
    InUse(PathBuf),
    /// It has several names, and another process may serve it under another one.
    #[error("{0} has several names (hard links); serve a file that has one")]
    Linked(PathBuf),
    /// The lock beside it cannot be taken.
    #[error("cannot lock {path}")]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It was made by a newer version, or its schema is not what this version left behind.
    #[error("cannot bring the schema of {path} up to date: {why}")]
    Schema {
        /// The database.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// As ever.
    #[error("cannot open {path}")]
    Store {
        /// The database.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// A database whose schema is up to date, and the lock that says who serves it.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) instance: i64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stopped: Arc<AtomicBool>,
    mode: OpenMode,
    /// Held, never read: the lock ends with the file.
    pub(super) _lock: Option<File>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Writes.
    Writer,
    /// Only reads.
    Reader,
}

/// Locks the file if it is to be served, and makes or updates its schema.
pub(super) fn open(
    path: &Path,
    mode: OpenMode,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Opened, OpenError> {
    let path = &one_name(path).map_err(|e| OpenError::Store {
        path: path.to_owned(),
        source: StoreError::Unavailable(e.to_string()),
    })?;
    let lock = match mode {
        OpenMode::Tool => None,
        OpenMode::Serve if has_other_names(path) => return Err(OpenError::Linked(path.clone())),
        OpenMode::Serve => Some(lock_to_serve(path)?),
    };
    migrate(path, mode, entropy)?;
    Ok(Opened {
        path: path.clone(),
        instance: new_instance(entropy),
        clock,
        stopped: Arc::default(),
        mode,
        _lock: lock,
    })
}

impl Opened {
    /// One more connection.
    pub(super) fn db(&self, role: Role) -> Result<SqliteDb, OpenError> {
        let conn = connect_as(&self.path, role, self.mode).map_err(|e| failed(&self.path, &e))?;
        let (clock, stopped) = (Arc::clone(&self.clock), Arc::clone(&self.stopped));
        Ok(SqliteDb::new(conn, clock, self.instance, stopped))
    }
}

/// A database in memory, gone with the connection.
pub(super) fn in_memory(
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<SqliteDb, OpenError> {
    let path = Path::new(":memory:");
    let failed = |e| failed(path, &e);
    let mut conn = Connection::open_in_memory().map_err(failed)?;
    prepare(&conn, Role::Writer).map_err(failed)?;
    update_schema(&mut conn, path, entropy)?;
    Ok(SqliteDb::new(conn, clock, new_instance(entropy), Arc::default()))
}

/// What the database of a connection holds now, in another one in memory.
pub(super) fn copy_in_memory(
    of: &Connection,
    clock: Arc<dyn Clock>,
    instance: i64,
) -> Result<SqliteDb, OpenError> {
    let failed = |e| failed(Path::new(":memory:"), &e);
    let mut conn = Connection::open_in_memory().map_err(failed)?;
    let backup = Backup::new(of, &mut conn).map_err(failed)?;
    backup.run_to_completion(PAGES_AT_ONCE, Duration::ZERO, None).map_err(failed)?;
    drop(backup);
    prepare(&conn, Role::Writer).map_err(failed)?;
    Ok(SqliteDb::new(conn, clock, instance, Arc::default()))
}

/// A name for this process, as good as unique.
pub(super) fn new_instance(entropy: &dyn Entropy) -> i64 {
    i64::from_le_bytes(entropy.next_u64().to_le_bytes()) & i64::MAX
}

/// A connection with our settings and functions, whatever the schema.
pub(crate) fn connect(path: &Path, role: Role) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    prepare(&conn, role)?;
    Ok(conn)
}

/// As [`connect`]; a tool's connection leaves the log as it is when it closes.
fn connect_as(path: &Path, role: Role, mode: OpenMode) -> rusqlite::Result<Connection> {
    let conn = connect(path, role)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, mode == OpenMode::Tool)?;
    Ok(conn)
}

fn prepare(conn: &Connection, role: Role) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without this, a plan may depend on the values bound to it, and SQLite then compiles a cached
    // statement anew at nearly every use.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // On macOS a plain fsync does not reach the platter.
    conn.pragma_update(None, "fullfsync", true)?;
    // What a burst leaves of the log is given back.
    conn.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
    let cache = match role {
        Role::Writer => WRITER_CACHE_KIB,
        Role::Reader => READER_CACHE_KIB,
    };
    conn.pragma_update(None, "cache_size", -cache)?;
    conn.pragma_update(None, "query_only", role == Role::Reader)?;
    text::register(conn)
}

/// The file's own name, behind all links; locks and SQLite's own files stand beside that. Makes the
/// file, empty, if it is not there. One that is there is not opened: closing any handle of it would
/// drop the locks that SQLite has on it in this process.
fn one_name(path: &Path) -> std::io::Result<PathBuf> {
    if !path.try_exists()? {
        OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    }
    path.canonicalize()
}

#[cfg(unix)]
fn has_other_names(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().is_ok_and(|file| file.nlink() > 1)
}

#[cfg(not(unix))]
fn has_other_names(_: &Path) -> bool {
    false
}

fn lock_to_serve(path: &Path) -> Result<File, OpenError> {
    let (file, lock) = lock_file(path, "lock")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(OpenError::Lock { path: lock, source }),
    }
}

fn migrate(path: &Path, mode: OpenMode, entropy: &dyn Entropy) -> Result<(), OpenError> {
    // Two processes that open a new file at once must not both make its tables.
    let (file, lock) = lock_file(path, "migrate.lock")?;
    file.lock().map_err(|source| OpenError::Lock { path: lock, source })?;
    let mut conn = connect_as(path, Role::Writer, mode).map_err(|e| failed(path, &e))?;
    check_history(&conn, path)?;
    let _not_served = match mode {
        OpenMode::Serve => None,
        OpenMode::Tool => lock_to_change(&mut conn, path)?,
    };
    update_schema(&mut conn, path, entropy)
}

/// Looks at what refinery is about to read of its earlier runs: it panics where a disk has harmed
/// that.
fn check_history(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let read = || {
        let mut known = conn.prepare(sql!("meta/history"))?;
        let rows = known.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let mut is_there = conn.prepare(sql!("meta/has_history")).map_err(|e| failed(path, &e))?;
    if !is_there.exists([]).map_err(|e| failed(path, &e))? {
        return Ok(());
    }
    for (applied_on, checksum) in read().map_err(|e| failed(path, &e))? {
        if OffsetDateTime::parse(&applied_on, &Rfc3339).is_err() || checksum.parse::<u64>().is_err()
        {
            let why = "its own history is damaged".to_owned();
            return Err(OpenError::Schema { path: path.to_owned(), why });
        }
    }
    Ok(())
}

/// A command must not change the schema under a server that knows only the old one. None: there is
/// nothing to change.
fn lock_to_change(conn: &mut Connection, path: &Path) -> Result<Option<File>, OpenError> {
    let runner = migrations::migrations::runner();
    let newest = runner.get_migrations().iter().map(refinery::Migration::version).max();
    // An error: a new database, which has no history yet, or one that the migration will refuse.
    let here = runner.get_last_applied_migration(conn).ok().flatten().map(|m| m.version());
    if here >= newest {
        return Ok(None);
    }
    match lock_to_serve(path) {
        Err(OpenError::InUse(_)) => {
            let why = "an older version is serving it: stop that first".to_owned();
            Err(OpenError::Schema { path: path.to_owned(), why })
        }
        other => other.map(Some),
    }
}

fn update_schema(
    conn: &mut Connection,
    path: &Path,
    entropy: &dyn Entropy,
) -> Result<(), OpenError> {
    migrations::migrations::runner()
        .run(conn)
        .map_err(|e| OpenError::Schema { path: path.to_owned(), why: e.to_string() })?;
    let mut secret = [0_u8; 32];
    entropy.fill(&mut secret);
    conn.execute(sql!("meta/init"), [secret]).map_err(|e| failed(path, &e))?;
    Ok(())
}

/// Makes a database as that version of the schema left it.
#[cfg(test)]
pub(super) fn make_at(path: &Path, version: i32) {
    let mut conn = connect(path, Role::Writer).unwrap();
    let runner = migrations::migrations::runner();
    runner.set_target(refinery::Target::Version(version)).run(&mut conn).unwrap();
}

/// A file beside the database, never the database itself; see `one_name`.
fn lock_file(path: &Path, suffix: &str) -> Result<(File, PathBuf), OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    let lock = PathBuf::from(name);
    match OpenOptions::new().create(true).truncate(false).write(true).open(&lock) {
        Ok(file) => Ok((file, lock)),
        Err(source) => Err(OpenError::Lock { path: lock, source }),
    }
}

fn failed(path: &Path, e: &rusqlite::Error) -> OpenError {
    OpenError::Store { path: path.to_owned(), source: store_error(e) }
}
