//! Opening the store that the configuration names.

use std::sync::Arc;

use std::path::PathBuf;

use anyhow::{Result, bail};
use outdial_core::id::WorkspaceId;
use outdial_ports::store::StoreError;
use outdial_ports::{Noted, Store};
use outdial_store::{OpenMode, SqliteStore};

use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl};
use crate::entropy::OsEntropy;
use crate::state::StateFiles;
use crate::watermark::FileWatermark;

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

/// What this node notes beside the database that `store` is, for who serves it.
pub(crate) async fn watermark(config: &Config, store: &dyn Store) -> Result<FileWatermark> {
    let files = state_files(config, store).await?;
    FileWatermark::open(files, &dialed(store).await?, &OsEntropy)
}

/// Where it is noted.
pub(crate) async fn state_files(config: &Config, store: &dyn Store) -> Result<StateFiles> {
    let DatabaseUrl::Sqlite(path) = &config.database.url;
    let directory = config.database.state_dir.clone().unwrap_or_else(|| {
        let mut beside = path.clone().into_os_string();
        beside.push(".state");
        PathBuf::from(beside)
    });
    // A name that every copy of the database has, and no other database.
    let name = outdial_http::keys::hash(&store.secret_fetch().await?, "state");
    let name: String = name.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(StateFiles::new(&directory, &name))
}

/// The workspaces of a database that calls were placed from; none of one that never dialed.
pub(crate) async fn dialed(store: &dyn Store) -> Result<Vec<WorkspaceId>, StoreError> {
    match store.attempt_is_any().await? {
        true => Ok(store.workspace_list().await?.into_iter().map(|ws| ws.id).collect()),
        false => Ok(Vec::new()),
    }
}

/// Whether the database is the one of which this was noted.
pub(crate) async fn is_recognised(store: &dyn Store, noted: Noted) -> Result<bool, StoreError> {
    match noted {
        Noted::Nothing => Ok(true),
        Noted::Mark(mark) => store.attempt_is_known(mark.attempt, mark.token).await,
        Noted::Lost => Ok(false),
    }
}
