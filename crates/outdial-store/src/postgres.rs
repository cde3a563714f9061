//! PostgreSQL, for several nodes at one database.
//!
//! `tx` is one open transaction and the only place that runs SQL; the operations, a file per noun,
//! are methods of it. `store` puts the port on them: it takes a connection from `pool`, begins,
//! runs the operation, commits, and repeats what met another transaction.
//!
//! The SQL stands in `sql/`, a file per statement, by the same names as that of SQLite.
//!
//! Never here: state of a session, and anything that needs one. A pooler in transaction mode stands
//! before the server, or may.

mod account;
mod agent;
mod attempt;
mod backlog;
mod batch;
mod call;
mod chunk;
mod chunk_old;
mod class;
mod clock;
mod delivery;
mod dispatch;
mod dnc;
mod edit;
mod error;
mod event;
#[cfg(test)]
mod event_tests;
mod export;
mod facts;
#[cfg(test)]
mod fault_tests;
mod fold;
mod import;
mod intents;
mod key;
mod limits;
mod list;
mod migrate;
mod node;
#[cfg(test)]
mod nodes_tests;
mod open;
mod params;
mod phone;
mod pool;
mod request;
mod rows;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod totals;
mod trunk;
mod tx;
mod webhook;

pub(crate) use error::is_undone;
pub use facts::{PgClock, PgFacts, facts};
pub use migrate::{Migrated, migrate};
pub(crate) use open::client;
pub use open::{OpenError, PgConfig};
pub use store::PostgresStore;

/// The text of a statement: `pg!("batch/fetch")` is `sql/batch/fetch.sql`.
macro_rules! pg {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/sql/", $name, ".sql"))
    };
}
pub(crate) use pg;
