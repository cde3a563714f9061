//! The store: what Outdial remembers, in SQLite.
//!
//! One backend so far: [`SqliteStore`] with its threads for the binary, [`SqliteInline`] without
//! any for the simulator; both run the same operations. `conformance` is the suite that every
//! backend must pass.
//!
//! Never here: decisions. An operation does what its caller says if the rows still allow it.
#![forbid(unsafe_code)]

#[cfg(feature = "bench")]
pub mod bench_support;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod common;
mod runs;
pub mod sqlite;
mod text;

pub use sqlite::{OpenError, OpenMode, SqliteInline, SqliteStore};
