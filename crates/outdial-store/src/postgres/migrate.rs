//! The schema: bringing it up to date, and telling whether it is one that this version can use.
//!
//! A version leaves the schema such that the program of the version before can work with it
//! (expand, and contract a version later), so nodes may run meanwhile. All that is missing is done
//! in one transaction, under a lock that is its own: it is done once, whole or not at all, also
//! through a pooler.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use outdial_ports::store::StoreError;
use refinery::Migration;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::error::{commit_error, store_error};
use super::open::{OpenError, client, random};
use super::pg;
use super::rows::RowExt;

mod embedded {
    refinery::embed_migrations!("src/postgres/migrations");
}

/// Longest time that a step may take, which may go through all rows.
const STEP: Duration = Duration::from_secs(3600);
/// Longest answer to a question.
const WITHIN: Duration = Duration::from_secs(10);

/// Makes the table in which refinery remembers, unless it is there; after the lock, because two
/// who make a table at once fail.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL statement_timeout = 0;
SELECT pg_advisory_xact_lock(7237128888997146477);
CREATE TABLE IF NOT EXISTS refinery_schema_history (
  version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255));
SET LOCAL lock_timeout = '5s'";
const APPLIED: &str = "SELECT version::bigint, checksum FROM refinery_schema_history";
const REMEMBER: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
VALUES ($1, $2, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), $3)";
/// Also where the rights to look are missing, this says nothing but whether there is a table.
const IS_THERE: &str = "SELECT to_regclass('schema_mark') IS NOT NULL";
const MARK: &str = "SELECT version, compatible_from FROM schema_mark";

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found; none: the database was empty.
    pub from: Option<i64>,
    /// The version that it has.
    pub to: i64,
}

impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to;
        match self.from {
            None => write!(f, "was empty, and has schema {to}"),
            Some(from) if from == to => write!(f, "has schema {to}, as it had"),
            Some(from) => write!(f, "brought from schema {from} to {to}"),
        }
    }
}

/// Brings the database of this URL to this version's schema. Nodes of this version and of the one
/// before may run.
pub async fn migrate(url: &str) -> Result<Migrated, OpenError> {
    apply(&client(url).await?, newest()).await
}

/// The database can be used by this version, or is empty and becomes an installation.
pub(super) async fn check(client: &Client, migrate_if_empty: bool) -> Result<(), OpenError> {
    let is_there = ask(client, IS_THERE).await?.iter().any(|r| r.flag(0).unwrap_or(false));
    if !is_there && migrate_if_empty {
        let done = apply(client, newest()).await?;
        tracing::info!("the database {done}");
    } else if !is_there {
        return Err(OpenError::Schema("there is none: run `outdial migrate`".to_owned()));
    }
    let rows = ask(client, MARK).await?;
    let Some(row) = rows.first() else {
        return Err(OpenError::Schema("it does not say its version".to_owned()));
    };
    let (version, compatible_from): (i64, i64) = (row.int(0)?, row.int(1)?);
    let ours = newest();
    if ours > version {
        let why = format!("it is {version}, and this version needs {ours}: run `outdial migrate`");
        return Err(OpenError::Schema(why));
    }
    if ours < compatible_from {
        let why = format!("it is {version}, which a version with schema {ours} cannot use");
        return Err(OpenError::Schema(why));
    }
    Ok(())
}

/// Our migrations, by their versions.
fn ours() -> BTreeMap<i64, Migration> {
    let all = embedded::migrations::runner();
    all.get_migrations().iter().map(|m| (i64::from(m.version()), m.clone())).collect()
}

/// The version that this program brings.
fn newest() -> i64 {
    ours().keys().next_back().copied().unwrap_or(0)
}

/// Applies what is missing, up to a version.
pub(super) async fn apply(client: &Client, up_to: i64) -> Result<Migrated, OpenError> {
    run(client, BEGIN).await?;
    let done = missing(client, up_to).await;
    match done {
        Ok(done) => {
            let committed = timeout(WITHIN, client.batch_execute("COMMIT")).await;
            let unknown = || StoreError::OutcomeUnknown("COMMIT was not answered".to_owned());
            committed.map_err(|_| unknown())?.map_err(|e| commit_error(&e))?;
            Ok(done)
        }
        Err(error) => {
            // The connection is this operation's own: what cannot be undone ends with it.
            let _undone = run(client, "ROLLBACK").await;
            Err(error)
        }
    }
}

async fn missing(client: &Client, up_to: i64) -> Result<Migrated, OpenError> {
    let ours = ours();
    let mut found = BTreeMap::new();
    for row in ask(client, APPLIED).await? {
        found.insert(row.int::<i64>(0)?, row.text(1)?);
    }
    let from = found.keys().next_back().copied();
    for (version, migration) in ours.range(..=up_to) {
        match found.get(version) {
            Some(checksum) if *checksum == migration.checksum().to_string() => {}
            Some(_) => {
                let why = format!("version {version} is not as this program made it");
                return Err(OpenError::Schema(why));
            }
            None if from.is_some_and(|from| from > *version) => {
                return Err(OpenError::Schema(format!("version {version} was left out")));
            }
            None => step(client, migration).await?,
        }
    }
    if from.is_none() {
        let secret: [u8; 32] = random()?;
        let secret = secret.as_slice();
        told(WITHIN, client.execute_typed(pg!("meta/init"), &[(&secret, Type::BYTEA)])).await?;
    }
    Ok(Migrated { from, to: from.unwrap_or(0).max(up_to) })
}

async fn step(client: &Client, migration: &Migration) -> Result<(), OpenError> {
    let sql = migration.sql().unwrap_or_default();
    told(STEP, client.batch_execute(sql)).await?;
    let checksum = migration.checksum().to_string();
    told(
        WITHIN,
        client.execute_typed(
            REMEMBER,
            &[
                (&migration.version(), Type::INT4),
                (&migration.name(), Type::TEXT),
                (&checksum, Type::TEXT),
            ],
        ),
    )
    .await?;
    Ok(())
}

async fn run(client: &Client, sql: &str) -> Result<(), StoreError> {
    told(STEP, client.batch_execute(sql)).await
}

async fn ask(client: &Client, sql: &str) -> Result<Vec<Row>, StoreError> {
    told(WITHIN, client.query_typed(sql, &[])).await
}

async fn told<T>(
    within: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    let silent = |_| StoreError::Unavailable(format!("no answer within {within:?}"));
    timeout(within, work).await.map_err(silent)?.map_err(|e| store_error(&e))
}
