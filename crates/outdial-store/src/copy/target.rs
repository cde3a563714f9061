//! The PostgreSQL database that is copied into: one transaction, over one connection.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use super::{CopyError, Kind, Plan, Tally, Tallying, text};
use crate::postgres;

/// Tables that belong to the schema itself, or that the copy writes over.
const NOT_LOOKED_AT: [&str; 3] = ["refinery_schema_history", "schema_mark", "meta"];
/// Longest silence of the server in the middle of the copy.
const SILENCE: Duration = Duration::from_secs(120);

/// A table of the target.
pub(super) struct TargetTable {
    pub(super) name: String,
    pub(super) columns: Vec<TargetColumn>,
    pub(super) key: Vec<String>,
    pub(super) numbered: Vec<String>,
}

/// A column of it.
pub(super) struct TargetColumn {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// It has a default, or may be null.
    pub(super) can_be_left_out: bool,
}

/// The database.
pub(super) struct Target {
    client: Client,
}

impl Target {
    pub(super) async fn open(url: &str) -> Result<Self, CopyError> {
        Ok(Self { client: postgres::client(url).await? })
    }

    /// Every table of the schema.
    pub(super) async fn tables(&self) -> Result<Vec<TargetTable>, CopyError> {
        let columns = self
            .rows(
                "SELECT c.table_name::text, c.column_name::text, c.udt_name::text, \
                   c.is_nullable = 'YES' OR c.column_default IS NOT NULL \
                     OR c.is_identity = 'YES', \
                   c.is_identity = 'YES' \
                 FROM information_schema.columns c \
                 JOIN information_schema.tables t USING (table_schema, table_name) \
                 WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
                 ORDER BY c.table_name, c.ordinal_position",
            )
            .await?;
        let keys = self
            .rows(
                "SELECT r.relname::text, a.attname::text \
                 FROM pg_index i \
                 JOIN pg_class r ON r.oid = i.indrelid \
                 JOIN pg_namespace n ON n.oid = r.relnamespace \
                 CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, pos) \
                 JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum \
                 WHERE i.indisprimary AND n.nspname = current_schema() \
                 ORDER BY r.relname, k.pos",
            )
            .await?;
        let mut tables: Vec<TargetTable> = Vec::new();
        for row in &columns {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            if tables.last().is_none_or(|t| t.name != table) {
                tables.push(TargetTable {
                    name: table.clone(),
                    columns: Vec::new(),
                    key: Vec::new(),
                    numbered: Vec::new(),
                });
            }
            let Some(last) = tables.last_mut() else { continue };
            if row.get(4) {
                last.numbered.push(column.clone());
            }
            last.columns.push(TargetColumn {
                kind: kind(&table, &column, row.get(2))?,
                name: column,
                can_be_left_out: row.get(3),
            });
        }
        for row in &keys {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            if let Some(table) = tables.iter_mut().find(|t| t.name == table) {
                table.key.push(column);
            }
        }
        Ok(tables)
    }

    /// Begins the transaction; nobody else reads or writes these tables until it ends. They must be
    /// empty, and nobody may serve them.
    pub(super) async fn begin(&self, plans: &[Plan]) -> Result<(), CopyError> {
        self.run(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '10s'; \
             SET LOCAL synchronous_commit = on; SET LOCAL bytea_output = 'hex'; \
             SET LOCAL extra_float_digits = 1; SET LOCAL DateStyle = 'ISO'",
        )
        .await?;
        let tables = self.tables().await?;
        let names: Vec<String> = tables.iter().map(|t| quoted(&t.name)).collect();
        self.run(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "))).await?;
        if self.is_there("node", "left_at IS NULL").await? {
            return Err(CopyError::Served);
        }
        for table in &tables {
            let is_left = NOT_LOOKED_AT.contains(&table.name.as_str()) || table.name == "node";
            if !is_left && self.is_there(&table.name, "true").await? {
                return Err(CopyError::NotEmpty(table.name.clone()));
            }
        }
        for plan in plans.iter().filter(|plan| plan.name == "meta") {
            // Made with the schema; the copy is known by the source's.
            self.run(&format!("DELETE FROM {}", quoted(&plan.name))).await?;
        }
        Ok(())
    }

    async fn is_there(&self, table: &str, what: &str) -> Result<bool, CopyError> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {what})", quoted(table));
        let rows = self.rows(&sql).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Writes the rows of a table as they come.
    pub(super) async fn write(
        &self,
        plan: &Plan,
        mut rows: mpsc::Receiver<Bytes>,
    ) -> Result<(), CopyError> {
        let sql = format!("COPY {} ({}) FROM STDIN", quoted(&plan.name), columns(plan));
        let sink = self.client.copy_in::<_, Bytes>(&sql).await.map_err(|e| failed(&e))?;
        let mut sink = std::pin::pin!(sink);
        while let Some(piece) = rows.recv().await {
            let sent = timeout(SILENCE, sink.send(piece)).await.map_err(|_| silent())?;
            sent.map_err(|e| failed(&e))?;
        }
        let done = timeout(SILENCE, sink.finish()).await.map_err(|_| silent())?;
        done.map_err(|e| failed(&e))?;
        Ok(())
    }

    /// Reads a table in the order of its key.
    pub(super) async fn read_back(&self, plan: &Plan) -> Result<Tally, CopyError> {
        let key: Vec<String> = plan
            .key
            .iter()
            .map(|c| match c.kind {
                Kind::Text => format!("{} COLLATE \"C\"", quoted(&c.name)),
                _ => quoted(&c.name),
            })
            .collect();
        let sql = format!(
            "COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT",
            columns(plan),
            quoted(&plan.name),
            key.join(", ")
        );
        let stream = self.client.copy_out(&sql).await.map_err(|e| failed(&e))?;
        let mut stream = std::pin::pin!(stream);
        let (mut tally, mut rest) = (Tallying::default(), Vec::new());
        let has_floats = plan.columns.iter().any(|c| c.kind == Kind::Float);
        loop {
            let piece = timeout(SILENCE, stream.try_next()).await.map_err(|_| silent())?;
            let Some(piece) = piece.map_err(|e| failed(&e))? else { break };
            rest.extend_from_slice(&piece);
            let mut from = 0;
            while let Some(end) = rest[from..].iter().position(|b| *b == b'\n') {
                let line = &rest[from..=from + end];
                match has_floats {
                    false => tally.row(line),
                    true => {
                        let line = text::normal(line, &plan.columns);
                        let wrong = || CopyError::Value(format!("{}: a bad number", plan.name));
                        tally.row(&line.ok_or_else(wrong)?);
                    }
                }
                from += end + 1;
            }
            rest.drain(..from);
        }
        Ok(tally.done())
    }

    /// What numbers itself goes on behind the highest that was ever given.
    pub(super) async fn set_sequences(&self, plan: &Plan, highest: i64) -> Result<(), CopyError> {
        for column in &plan.numbered {
            let (table, column) = (&plan.name, quoted(column));
            self.run(&format!(
                "SELECT setval(pg_get_serial_sequence('{}', '{}'), \
                 greatest((SELECT coalesce(max({column}), 0) FROM {}), {highest}) + 1, false)",
                quoted(table),
                column.trim_matches('"'),
                quoted(table),
            ))
            .await?;
        }
        Ok(())
    }

    /// Makes all of it durable, or none; then has the planner look at it.
    pub(super) async fn commit(&self) -> Result<(), CopyError> {
        let answer = timeout(SILENCE, self.client.batch_execute("COMMIT")).await;
        match answer {
            Ok(Ok(())) => {}
            Ok(Err(e)) if e.code().is_some_and(postgres::is_undone) => return Err(failed(&e)),
            Ok(Err(e)) => return Err(CopyError::Unknown(e.to_string())),
            Err(_) => return Err(CopyError::Unknown("no answer".to_owned())),
        }
        // The copy stands whatever comes of this: the server does it by itself in a while.
        if let Err(error) = self.run("ANALYZE").await {
            tracing::warn!(%error, "the target was not analyzed");
        }
        Ok(())
    }

    async fn run(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, CopyError> {
        let answer = timeout(SILENCE, self.client.simple_query(sql)).await;
        answer.map_err(|_| silent())?.map_err(|e| failed(&e))
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Row>, CopyError> {
        let answer = timeout(SILENCE, self.client.query_typed(sql, &[])).await;
        answer.map_err(|_| silent())?.map_err(|e| failed(&e))
    }
}

fn kind(table: &str, column: &str, of: &str) -> Result<Kind, CopyError> {
    Ok(match of {
        "int2" | "int4" | "int8" => Kind::Int,
        "bool" => Kind::Bool,
        "float8" => Kind::Float,
        "text" | "varchar" => Kind::Text,
        "bytea" => Kind::Bytes,
        // The history of migrations has some; they are not copied.
        _ if NOT_LOOKED_AT.contains(&table) => Kind::Text,
        other => {
            let why = format!("{table}.{column} is of the type {other}, which nobody can copy");
            return Err(CopyError::Schema(why));
        }
    })
}

fn columns(plan: &Plan) -> String {
    let names: Vec<String> = plan.columns.iter().map(|c| quoted(&c.name)).collect();
    names.join(", ")
}

/// Names come from the two schemas, which are ours.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What the server says, without the row that it is about.
fn failed(e: &tokio_postgres::Error) -> CopyError {
    CopyError::Target(match e.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => e.to_string(),
    })
}

fn silent() -> CopyError {
    CopyError::Target(format!("it has not answered for {SILENCE:?}"))
}
