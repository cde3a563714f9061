//! The SQLite file that is copied: locked, at this version's schema, read and not written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use outdial_ports::{Clock, Entropy};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{CopyError, Plan, Tally, Tallying, text};
use crate::{OpenMode, SqliteStore};

/// Bytes that are sent at once.
const PIECE: usize = 256 << 10;
/// Pieces that wait to be sent.
const PIECES: usize = 8;
/// Of keyless requests that are open and have one body, the target knows one: the latest.
const REQUEST_CLOSED: &str = "closed OR (key IS NULL AND EXISTS (SELECT 1 FROM request n \
     WHERE n.workspace = request.workspace AND n.scope = request.scope \
     AND n.body_sha256 = request.body_sha256 AND n.key IS NULL AND n.closed = 0 \
     AND n.seq > request.seq))";

/// A table and its columns.
pub(super) struct SourceTable {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

/// The file.
pub(super) struct Source {
    path: PathBuf,
    conn: Connection,
    /// Nobody else serves it until this is dropped.
    _served: SqliteStore,
}

impl Source {
    pub(super) fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, CopyError> {
        let served = SqliteStore::open(path, OpenMode::Serve, clock, entropy)?;
        let conn = connect(path)?;
        Ok(Self { path: path.to_owned(), conn, _served: served })
    }

    /// All but SQLite's own.
    pub(super) fn tables(&self) -> Result<Vec<SourceTable>, CopyError> {
        let names = "SELECT name FROM sqlite_schema \
                     WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let mut names = self.conn.prepare(names)?;
        let names = names.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        let columns = "SELECT name FROM pragma_table_info(?1) ORDER BY cid";
        let mut columns = self.conn.prepare(columns)?;
        let mut tables = Vec::new();
        for name in names {
            let columns = columns.query_map([&name], |row| row.get(0))?;
            tables.push(SourceTable { columns: columns.collect::<Result<_, _>>()?, name });
        }
        Ok(tables)
    }

    /// The highest number that SQLite remembers having given in this table, deleted rows included.
    pub(super) fn highest(&self, table: &str) -> Result<i64, CopyError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        Ok(self.conn.query_row(sql, [table], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    /// Begins to read a table, in the order of its key. The rows come in pieces; what they were is
    /// known when the reader is done.
    #[expect(clippy::type_complexity, reason = "a channel, and who writes to it")]
    pub(super) fn read(
        &self,
        plan: &Plan,
    ) -> Result<(mpsc::Receiver<Bytes>, JoinHandle<Result<Tally, CopyError>>), CopyError> {
        let (pieces, rows) = mpsc::channel(PIECES);
        let (plan, conn) = (plan.clone(), connect(&self.path)?);
        let reading = tokio::task::spawn_blocking(move || read_all(&conn, &plan, &pieces));
        Ok((rows, reading))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn read_all(
    conn: &Connection,
    plan: &Plan,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<Tally, CopyError> {
    let mut statement = conn.prepare(&select(plan))?;
    let mut rows = statement.query([])?;
    let (mut piece, mut line, mut tally) = (Vec::new(), Vec::new(), Tallying::default());
    while let Some(row) = rows.next()? {
        line.clear();
        for (i, column) in plan.columns.iter().enumerate() {
            if i > 0 {
                line.push(b'\t');
            }
            let at = || format!("{}.{}", plan.name, column.of);
            text::put(&mut line, row.get_ref(i)?, column.kind, at)?;
        }
        line.push(b'\n');
        tally.row(&line);
        piece.extend_from_slice(&line);
        if piece.len() >= PIECE && pieces.blocking_send(std::mem::take(&mut piece).into()).is_err()
        {
            // The writer has given up, and says why.
            return Ok(tally.done());
        }
    }
    let _the_writer_says_why = pieces.blocking_send(piece.into());
    Ok(tally.done())
}

fn select(plan: &Plan) -> String {
    let value = |name: &str| match (plan.name.as_str(), name) {
        ("request", "closed") => format!("({REQUEST_CLOSED})"),
        _ => format!("\"{name}\""),
    };
    let columns: Vec<String> = plan.columns.iter().map(|c| value(&c.of)).collect();
    let key: Vec<String> = plan.key.iter().map(|c| format!("\"{}\"", c.of)).collect();
    format!("SELECT {} FROM \"{}\" ORDER BY {}", columns.join(", "), plan.name, key.join(", "))
}
