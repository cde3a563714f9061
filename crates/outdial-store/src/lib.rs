//! The store: what Outdial remembers, in SQLite or PostgreSQL.
//!
//! Two backends: [`SqliteStore`] with its threads for the binary, [`SqliteInline`] without any for
//! the simulator, which run the same operations; and `postgres` for several nodes. `conformance`
//! is the suite that every backend must pass.
//!
//! Never here: decisions. An operation does what its caller says if the rows still allow it.
#![forbid(unsafe_code)]

mod backlog;
#[cfg(feature = "bench")]
pub mod bench_support;
mod common;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod copy;
mod counts;
mod events;
mod ids;
pub mod postgres;
mod runs;
pub mod sqlite;
#[cfg(test)]
mod testing;
mod text;

pub use sqlite::{OpenError, OpenMode, SqliteInline, SqliteStore};
