//! SQLite: WAL, `synchronous=FULL`, one writer.
//!
//! `db` is one connection and the only place that runs SQL; the operations, a file per noun, are
//! methods of it and run inside a transaction that their caller has begun. `threads` and `inline`
//! are the two callers; `store` puts the port on either.
//!
//! The SQL stands in `sql/`, a file per statement, so that another backend can mirror it.

mod account;
mod agent;
mod attempt;
mod backlog;
mod batch;
mod call;
mod chunk;
mod class;
mod db;
mod delivery;
mod dispatch;
mod dnc;
mod edit;
mod error;
mod event;
mod export;
mod import;
mod inline;
mod intents;
mod key;
mod limits;
mod log;
mod node;
mod open;
mod phone;
mod request;
mod rows;
#[cfg(test)]
mod schema_tests;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod threads;
mod totals;
mod trunk;
mod webhook;

pub use inline::SqliteInline;
pub use open::{OpenError, OpenMode};
pub use threads::SqliteStore;

#[cfg(feature = "bench")]
pub(crate) use open::{Role, connect};

/// The text of a statement: `sql!("batch/fetch")` is `sql/batch/fetch.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;
