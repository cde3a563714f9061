//! Copies an installation from a SQLite file into an empty PostgreSQL database, and proves it.
//!
//! The source is locked for as long as it takes: nobody serves it meanwhile. The target sees one
//! transaction: a copy that is cut short leaves nothing behind. Before the commit every row is read
//! back and compared. Never changes a row of the source.

mod source;
mod target;
mod text;

use std::path::Path;
use std::sync::Arc;

use outdial_ports::{Clock, Entropy};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::OpenError;
use crate::postgres;
use source::{Source, SourceTable};
use target::{Target, TargetTable};

/// Of the source alone: what its own tools keep, and who served it.
const NOT_COPIED: [&str; 2] = ["refinery_schema_history", "node"];
/// What others refer to, in an order in which it can be written; the rest follows by name.
const FIRST: [&str; 11] = [
    "meta",
    "class",
    "workspace",
    "agent",
    "trunk",
    "phone",
    "batch",
    "request",
    "webhook",
    "event",
    "delivery",
];
/// Columns that this backend alone needs.
const LEFT_OUT: [(&str, &str); 1] = [("call_run", "before")];
/// Columns that the other backend alone has, and what of the source they are made of.
const MADE_OF: [(&str, &str, &str); 1] = [("call_run", "span", "count")];

/// A table that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCopied {
    /// Its name.
    pub table: String,
    /// How many rows; read back from the target, and as many as in the source.
    pub rows: u64,
    /// SHA-256 of all of them in the order of their keys, in hexadecimal; the same on both sides.
    pub sha256: String,
}

/// Why nothing was copied.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The source cannot be opened, or somebody serves it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The target cannot be opened.
    #[error(transparent)]
    OpenTarget(#[from] postgres::OpenError),
    /// The source cannot be read to its end.
    #[error("the source cannot be read: {0}")]
    Source(#[from] rusqlite::Error),
    /// The target does not take it.
    #[error("the target: {0}")]
    Target(String),
    /// There is something in the target.
    #[error("the target is not empty: there are rows in {0}. Copy into an empty database")]
    NotEmpty(String),
    /// A node runs on the target.
    #[error("a node runs on the target: stop it, and copy into an empty database")]
    Served,
    /// The two schemas do not fit together.
    #[error("the schemas differ: {0}")]
    Schema(String),
    /// A value that the target cannot hold.
    #[error("{0}")]
    Value(String),
    /// What was read back is not what was written.
    #[error("{table} differs: {rows} rows were read and {there} are there, {sha256} and {other}")]
    Differs {
        /// Which table.
        table: String,
        /// Rows of the source.
        rows: u64,
        /// Rows of the target.
        there: u64,
        /// Of the source.
        sha256: String,
        /// Of the target.
        other: String,
    },
    /// The answer to COMMIT was lost.
    #[error(
        "the answer to the commit was lost ({0}): all of it is there, or nothing. Copy again: a \
         target that holds the copy refuses as not empty"
    )]
    Unknown(String),
}

/// Copies the database of this file into the one of this URL, whose schema is up to date and whose
/// tables are empty. `told` hears of every table when its rows have been proved.
pub async fn copy(
    from: &Path,
    to: &str,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
    mut told: impl FnMut(&TableCopied),
) -> Result<Vec<TableCopied>, CopyError> {
    let source = Source::open(from, clock, entropy)?;
    let target = Target::open(to).await?;
    let plans = plans(source.tables()?, &target.tables().await?)?;
    target.begin(&plans).await?;
    let mut copied = Vec::new();
    for plan in &plans {
        let written = write(&source, &target, plan).await?;
        let read = target.read_back(plan).await?;
        if written != read {
            return Err(CopyError::Differs {
                table: plan.name.clone(),
                rows: written.rows,
                there: read.rows,
                sha256: written.hex(),
                other: read.hex(),
            });
        }
        let table = TableCopied { table: plan.name.clone(), rows: read.rows, sha256: read.hex() };
        told(&table);
        copied.push(table);
        target.set_sequences(plan, source.highest(&plan.name)?).await?;
    }
    target.commit().await?;
    Ok(copied)
}

/// What a column holds, on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Bool,
    Float,
    Text,
    Bytes,
}

/// A column of the target, and of what column of the source it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    of: String,
    kind: Kind,
}

/// How one table is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    name: String,
    columns: Vec<Column>,
    /// The target's primary key: both sides are read in its order.
    key: Vec<Column>,
    /// Columns that number themselves.
    numbered: Vec<String>,
}

/// Rows that went by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    sha256: Vec<u8>,
}

impl Tally {
    fn hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Counts rows as they go by.
#[derive(Default)]
struct Tallying {
    rows: u64,
    hasher: Sha256,
}

impl Tallying {
    /// A row as `COPY` has it, with its end.
    fn row(&mut self, line: &[u8]) {
        self.rows += 1;
        self.hasher.update(line);
    }

    fn done(self) -> Tally {
        Tally { rows: self.rows, sha256: self.hasher.finalize().to_vec() }
    }
}

/// Every table of the source finds its own on the target, and every column.
fn plans(source: Vec<SourceTable>, target: &[TargetTable]) -> Result<Vec<Plan>, CopyError> {
    let mut plans = Vec::new();
    for table in source {
        if NOT_COPIED.contains(&table.name.as_str()) {
            continue;
        }
        let there = target.iter().find(|t| t.name == table.name);
        let there = there
            .ok_or_else(|| CopyError::Schema(format!("the target has no table {}", table.name)))?;
        plans.push(plan(&table, there)?);
    }
    let rank = |plan: &Plan| FIRST.iter().position(|name| *name == plan.name);
    plans.sort_by_key(|plan| (rank(plan).unwrap_or(FIRST.len()), plan.name.clone()));
    Ok(plans)
}

fn plan(source: &SourceTable, target: &TargetTable) -> Result<Plan, CopyError> {
    let name = &source.name;
    let mut columns = Vec::new();
    for column in &target.columns {
        let made_of = MADE_OF.iter().find(|(t, c, _)| t == name && *c == column.name);
        let of = made_of.map_or(column.name.as_str(), |(_, _, of)| of);
        if source.columns.iter().any(|c| c == of) {
            columns.push(Column {
                name: column.name.clone(),
                of: of.to_owned(),
                kind: column.kind,
            });
        } else if !column.can_be_left_out {
            let why = format!("the source has no column {name}.{}", column.name);
            return Err(CopyError::Schema(why));
        }
    }
    let is_taken = |of: &String| {
        columns.iter().any(|c| c.of == *of) || LEFT_OUT.contains(&(name.as_str(), of.as_str()))
    };
    if let Some(lost) = source.columns.iter().find(|of| !is_taken(of)) {
        return Err(CopyError::Schema(format!("the target has no column {name}.{lost}")));
    }
    // A part of the key that the source does not have is the same in all rows.
    let part = |key: &String| columns.iter().find(|c| c.name == *key).cloned();
    let key: Vec<Column> = target.key.iter().filter_map(part).collect();
    if key.is_empty() {
        return Err(CopyError::Schema(format!("{name} has no key")));
    }
    Ok(Plan { name: name.clone(), columns, key, numbered: target.numbered.clone() })
}

/// Reads on a thread of its own, and writes what comes.
async fn write(source: &Source, target: &Target, plan: &Plan) -> Result<Tally, CopyError> {
    let (rows, reading) = source.read(plan)?;
    let sent = target.write(plan, rows).await;
    let read = reading.await.map_err(|e| CopyError::Target(format!("the reader: {e}")))?;
    // What broke the reader matters more than that the writer had to give up.
    let tally = read?;
    sent?;
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::target::TargetColumn;
    use super::*;

    fn there(columns: &[(&str, bool)], key: &[&str]) -> TargetTable {
        TargetTable {
            name: "call_run".to_owned(),
            columns: columns
                .iter()
                .map(|(name, can_be_left_out)| TargetColumn {
                    name: (*name).to_owned(),
                    kind: Kind::Int,
                    can_be_left_out: *can_be_left_out,
                })
                .collect(),
            key: key.iter().map(|k| (*k).to_owned()).collect(),
            numbered: Vec::new(),
        }
    }

    fn here(columns: &[&str]) -> SourceTable {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        SourceTable { name: "call_run".to_owned(), columns }
    }

    #[test]
    fn columns_find_each_other() {
        let target = there(
            &[("batch", false), ("first_seq", false), ("span", false), ("count", false)],
            &["batch", "first_seq"],
        );
        let plan = plan(&here(&["batch", "before", "first_seq", "count"]), &target).unwrap();
        let of: Vec<_> = plan.columns.iter().map(|c| (&*c.name, &*c.of)).collect();
        let same = |name| (name, name);
        assert_eq!(of, [same("batch"), same("first_seq"), ("span", "count"), same("count")]);
    }

    #[test]
    fn a_column_that_only_one_side_has_is_an_error_unless_it_may_be_left_out() {
        let target = there(&[("batch", false), ("shard", true)], &["batch", "shard"]);
        assert_eq!(plan(&here(&["batch"]), &target).unwrap().key.len(), 1);
        let lost = plan(&here(&["batch", "other"]), &target).unwrap_err().to_string();
        assert!(lost.contains("call_run.other"), "{lost}");
        let target = there(&[("batch", false), ("must", false)], &["batch"]);
        let missing = plan(&here(&["batch"]), &target).unwrap_err().to_string();
        assert!(missing.contains("call_run.must"), "{missing}");
    }
}
