//! What the server is like, for those who look after it. Changes nothing.

use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use tokio::time::timeout;
use tokio_postgres::{Client, Row};

use super::error::store_error;
use super::rows::RowExt as _;
use super::{OpenError, clock};

/// Longest wait for an answer.
const WITHIN: Duration = Duration::from_secs(10);

/// A server, as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgFacts {
    /// `PostgreSQL 17.2 …`, or what the engine calls itself.
    pub version: String,
    /// `on`: what is committed reaches the disk. Empty where the engine has no such setting.
    pub fsync: String,
    /// When COMMIT is answered.
    pub synchronous_commit: String,
    /// `on`: a page that a crash tears is mended.
    pub full_page_writes: String,
    /// Which replicas a commit waits for; empty: none.
    pub synchronous_standby_names: String,
    /// Connections that it takes from all.
    pub max_connections: String,
    /// It takes no writes.
    pub is_replica: bool,
    /// Two connections of ours are one of the server's: a pooler is between.
    pub is_pooled: bool,
}

/// Looks at the server of this URL.
pub async fn facts(url: &str) -> Result<PgFacts, OpenError> {
    // Open at the same time, and asked one after the other.
    let (one, other) = (super::client(url).await?, super::client(url).await?);
    let pids = [ask_pid(&one).await?, ask_pid(&other).await?];
    let row = ask(
        &one,
        "SELECT version(), coalesce(current_setting('fsync', true), ''), \
         coalesce(current_setting('synchronous_commit', true), ''), \
         coalesce(current_setting('full_page_writes', true), ''), \
         coalesce(current_setting('synchronous_standby_names', true), ''), \
         coalesce(current_setting('max_connections', true), ''), pg_is_in_recovery()",
    )
    .await?;
    let version = row.text(0)?;
    // The rest says how it was compiled.
    let version = version.split(" on ").next().unwrap_or_default().to_owned();
    Ok(PgFacts {
        version,
        fsync: row.text(1)?,
        synchronous_commit: row.text(2)?,
        full_page_writes: row.text(3)?,
        synchronous_standby_names: row.text(4)?,
        max_connections: row.text(5)?,
        is_replica: row.flag(6)?,
        is_pooled: pids[0] == pids[1],
    })
}

/// The server's clock, over a connection of its own.
pub struct PgClock(Client);

impl PgClock {
    /// Of the server of this URL.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Ok(Self(super::client(url).await?))
    }

    /// What it shows: one way there and back.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        ask(&self.0, clock::ASK).await?.time(0)
    }
}

async fn ask_pid(client: &Client) -> Result<i64, StoreError> {
    ask(client, "SELECT pg_backend_pid()").await?.int(0)
}

async fn ask(client: &Client, sql: &str) -> Result<Row, StoreError> {
    let answer = timeout(WITHIN, client.query_typed(sql, &[])).await;
    let silent = || StoreError::Unavailable(format!("the database did not answer in {WITHIN:?}"));
    let rows = answer.map_err(|_| silent())?.map_err(|e| store_error(&e))?;
    rows.into_iter().next().ok_or_else(|| StoreError::Internal("no row".to_owned()))
}
