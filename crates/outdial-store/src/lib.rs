//! The store: what Outdial remembers, in SQLite.
