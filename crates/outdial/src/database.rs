//! Opening the store that the configuration names.

use std::sync::Arc;

use anyhow::Result;
use outdial_store::{OpenMode, SqliteStore};

use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl};
use crate::entropy::OsEntropy;

/// Opens it to serve it: nobody else may, until this process has ended. A new file becomes an empty
/// database, an older one is brought to this version's schema.
pub(crate) fn open_serve(config: &Config) -> Result<Arc<SqliteStore>> {
    open(config, OpenMode::Serve)
}

/// Opens it for a command, whether or not it is being served.
pub(crate) fn open_tool(config: &Config) -> Result<Arc<SqliteStore>> {
    open(config, OpenMode::Tool)
}

fn open(config: &Config, mode: OpenMode) -> Result<Arc<SqliteStore>> {
    let DatabaseUrl::Sqlite(path) = &config.database.url;
    let clock = Arc::new(SystemClock::new());
    Ok(Arc::new(SqliteStore::open(path, mode, clock, &OsEntropy)?))
}
