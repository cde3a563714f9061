//! Opening the store that the configuration names.

use std::sync::Arc;

use anyhow::{Result, bail};
use outdial_store::{OpenMode, SqliteStore};

use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl};
use crate::entropy::OsEntropy;

/// Opens it to serve it: nobody else may, until this process has ended. A new file becomes an empty
/// database, an older one is brought to this version's schema.
pub(crate) fn open_serve(config: &Config) -> Result<Arc<SqliteStore>> {
    open(config, OpenMode::Serve)
}

/// Opens it for a command, whether or not it is being served. There must be one: a misspelled path
/// is no empty database.
pub(crate) fn open_tool(config: &Config) -> Result<Arc<SqliteStore>> {
    let DatabaseUrl::Sqlite(path) = &config.database.url;
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) || !path.exists() {
        bail!(
            "there is no database at {}: name it with --database-url, or make one with `outdial \
             workspace create NAME`",
            path.display()
        );
    }
    open(config, OpenMode::Tool)
}

/// As [`open_tool`], for the command that also makes a database where there is none.
pub(crate) fn open_or_make(config: &Config) -> Result<Arc<SqliteStore>> {
    open(config, OpenMode::Tool)
}

fn open(config: &Config, mode: OpenMode) -> Result<Arc<SqliteStore>> {
    let DatabaseUrl::Sqlite(path) = &config.database.url;
    let clock = Arc::new(SystemClock::new());
    Ok(Arc::new(SqliteStore::open(path, mode, clock, &OsEntropy)?))
}
