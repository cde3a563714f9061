//! One open transaction: statements, and what an operation may know besides.
//!
//! The operations are methods of [`PgTx`], each whole or nothing with its transaction, which
//! `store` begins, ends, and repeats where two of them met. Statements of one transaction that do
//! not rest on each other may be joined: they are then sent without waiting for each other's
//! answers, and run in the order in which they were first polled.
//!
//! Never here: state of a session. Whatever is set is set for the transaction alone (`SET LOCAL`),
//! and no statement has a name.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, SimpleQueryMessage};

use super::class::Classes;
use super::clock;
use super::error::{Met, commit_error, corrupt, met, store_error};
use super::params::{Bound, P};
use super::pool::Conn;
use super::shared::Shared;

/// In how many rows the counters that many write are split.
const SHARDS: u64 = 16;
/// Longest wait for the answer of a server that is there, beyond what it may take itself.
const GRACE: Duration = Duration::from_secs(2);

/// What an operation asks of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads a little.
    Read,
    /// Reads what a call hangs on; must not wait behind reads that people ask for.
    EngineRead,
    /// May read a whole batch.
    SlowRead,
    /// Writes a little.
    Write,
    /// Writes a chunk.
    BigWrite,
    /// May write all that waits in a batch.
    SlowWrite,
}

impl Kind {
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Write | Self::BigWrite | Self::SlowWrite)
    }
}

/// An open transaction. One that is dropped is undone, and its connection closed.
pub(super) struct PgTx<'a> {
    shared: &'a Shared,
    conn: Conn<'a>,
    kind: Kind,
    now: Timestamp,
    shard: i64,
    deadline: Duration,
    has_failed: AtomicBool,
    is_broken: AtomicBool,
    has_met: AtomicBool,
}

impl<'a> PgTx<'a> {
    /// Begins one on this connection, and reads the clock.
    pub(super) async fn begin(
        shared: &'a Shared,
        conn: Conn<'a>,
        kind: Kind,
    ) -> Result<Self, StoreError> {
        let may_take = shared.may_take(kind);
        let text = begin_text(kind, may_take, shared.may_take(Kind::Write));
        let answer = timeout(shared.begin_within, conn.client().simple_query(&text)).await;
        let messages = match answer {
            Ok(Ok(messages)) => messages,
            Ok(Err(e)) => return Err(store_error(&e)),
            Err(_) => return Err(no_answer(shared.begin_within)),
        };
        let now = shared.clock.as_ref().map_or_else(|| clock::read(&messages), |c| Ok(c.now()))?;
        Ok(Self {
            shared,
            conn,
            kind,
            now,
            shard: i64::try_from(shared.random() % SHARDS).unwrap_or(0),
            deadline: may_take + GRACE,
            has_failed: AtomicBool::default(),
            is_broken: AtomicBool::default(),
            has_met: AtomicBool::default(),
        })
    }

    /// The database's clock as of the beginning: leases and everything that is due go by it.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Names this process.
    pub(super) fn instance(&self) -> i64 {
        self.shared.instance
    }

    /// Which row of counters that many write is this transaction's: 0 to 15, by chance.
    pub(super) fn shard(&self) -> i64 {
        self.shard
    }

    /// What this transaction has in common with the others.
    pub(super) fn shared(&self) -> &Shared {
        self.shared
    }

    /// What this process knows of classes.
    pub(super) fn classes(&self) -> &Classes {
        &self.shared.classes
    }

    /// Runs a statement; how many rows it changed.
    pub(super) async fn exec(&self, sql: &str, params: &[P<'_>]) -> Result<u64, StoreError> {
        let bound = bind(params);
        self.answer(self.conn.client().execute_typed(sql, &typed(&bound))).await
    }

    /// The first row, if there is one.
    pub(super) async fn one<T>(
        &self,
        sql: &str,
        params: &[P<'_>],
        read: impl FnOnce(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.rows(sql, params).await?.first().map(read).transpose()
    }

    /// Every row.
    pub(super) async fn all<T>(
        &self,
        sql: &str,
        params: &[P<'_>],
        read: impl FnMut(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.rows(sql, params).await?.iter().map(read).collect()
    }

    /// Whether there is a row.
    pub(super) async fn any(&self, sql: &str, params: &[P<'_>]) -> Result<bool, StoreError> {
        Ok(!self.rows(sql, params).await?.is_empty())
    }

    /// The single value of the row that an `INSERT … RETURNING` gives.
    pub(super) async fn insert(&self, sql: &str, params: &[P<'_>]) -> Result<i64, StoreError> {
        self.one(sql, params, |r| super::rows::RowExt::int(r, 0))
            .await?
            .ok_or_else(|| corrupt("refusal of a row"))
    }

    /// Hands every row on as it comes, for answers that are too many to keep.
    pub(super) async fn each(
        &self,
        sql: &str,
        params: &[P<'_>],
        mut take: impl FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let bound = bind(params);
        let asked = self.conn.client().query_typed_raw(sql, typed(&bound));
        let mut rows = pin!(self.answer(asked).await?);
        while let Some(row) = self.answer(rows.try_next()).await? {
            take(&row)?;
        }
        Ok(())
    }

    async fn rows(&self, sql: &str, params: &[P<'_>]) -> Result<Vec<Row>, StoreError> {
        let bound = bind(params);
        self.answer(self.conn.client().query_typed(sql, &typed(&bound))).await
    }

    async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match timeout(self.deadline, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => {
                self.note(met(&e));
                Err(store_error(&e))
            }
            Err(_) => {
                self.note(Met::Broken);
                Err(no_answer(self.deadline))
            }
        }
    }

    fn note(&self, met: Met) {
        self.has_failed.store(true, Ordering::Relaxed);
        match met {
            Met::Conflict => self.has_met.store(true, Ordering::Relaxed),
            Met::Broken => self.is_broken.store(true, Ordering::Relaxed),
            Met::Failed => {}
        }
    }

    /// Ends it as its operation did. Nothing: it met another, and is to be run again.
    pub(super) async fn end<T, E: From<StoreError>>(
        mut self,
        done: Result<T, E>,
    ) -> Option<Result<T, E>> {
        if let Err(error) = done {
            let again = self.has_met.load(Ordering::Relaxed);
            self.roll_back().await;
            return if again { None } else { Some(Err(error)) };
        }
        if self.has_failed.load(Ordering::Relaxed) {
            // COMMIT would roll back, and say so in a word that is easily missed.
            self.roll_back().await;
            let why = "an operation went on after a failed statement".to_owned();
            return Some(Err(StoreError::Internal(why).into()));
        }
        let committed = timeout(self.deadline, self.conn.client().batch_execute("COMMIT")).await;
        match committed {
            Ok(Ok(())) => {
                self.conn.give_back();
                Some(done)
            }
            // What was read was read.
            _ if !self.kind.writes() => Some(done),
            Ok(Err(e)) if met(&e) == Met::Conflict => {
                self.roll_back().await;
                None
            }
            Ok(Err(e)) => Some(Err(commit_error(&e).into())),
            Err(_) => {
                let why = format!("COMMIT was not answered in {:?}", self.deadline);
                Some(Err(StoreError::OutcomeUnknown(why).into()))
            }
        }
    }

    async fn roll_back(&mut self) {
        if self.is_broken.load(Ordering::Relaxed) {
            // Whatever else is kept may lead to the same place.
            self.conn.forget_idle();
            return;
        }
        let undone =
            timeout(self.shared.begin_within, self.conn.client().batch_execute("ROLLBACK"));
        if let Ok(Ok(())) = undone.await {
            self.conn.give_back();
        }
    }
}

/// One round trip begins the transaction, bounds what a process that is stopped in the midst of it
/// can hold up, and reads the clock.
fn begin_text(kind: Kind, may_take: Duration, may_idle: Duration) -> String {
    let how = if kind.writes() { "READ COMMITTED READ WRITE" } else { "REPEATABLE READ READ ONLY" };
    let (statement, idle) = (may_take.as_millis(), may_idle.as_millis());
    // Few rows do not mean a small table: it holds whatever an old snapshot keeps from removal.
    let by_index = if kind == Kind::EngineRead { "SET LOCAL enable_seqscan = off; " } else { "" };
    format!(
        "BEGIN ISOLATION LEVEL {how}; SET LOCAL statement_timeout = {statement}; \
         SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL jit = off; {by_index}{}",
        clock::ASK,
    )
}

fn no_answer(within: Duration) -> StoreError {
    StoreError::Unavailable(format!("the database did not answer within {within:?}"))
}

fn bind<'a>(params: &[P<'a>]) -> Vec<Bound<'a>> {
    params.iter().map(|p| Bound(*p)).collect()
}

fn typed<'a>(bound: &'a [Bound<'_>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    bound.iter().map(|b| (b as &(dyn ToSql + Sync), b.0.pg_type())).collect()
}

/// The only value that a simple query answered.
pub(super) fn only_value(messages: &[SimpleQueryMessage]) -> Option<&str> {
    messages.iter().find_map(|m| match m {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    })
}
