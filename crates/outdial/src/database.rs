//! Opening the store that the configuration names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outdial_core::id::WorkspaceId;
use outdial_ports::store::StoreError;
use outdial_ports::{Noted, Store};
use outdial_store::postgres::{PgConfig, PostgresStore};
use outdial_store::{OpenMode, SqliteStore};

use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl, PostgresUrl};
use crate::entropy::OsEntropy;
use crate::state::StateFiles;
use crate::watermark::FileWatermark;

/// Where the state of a node of a PostgreSQL is, when nobody says.
const STATE_DIR: &str = "outdial.state";

/// An open database.
#[derive(Clone)]
pub(crate) enum Database {
    /// A file.
    Sqlite(Arc<SqliteStore>),
    /// A server, and where it is.
    Postgres(Arc<PostgresStore>, PostgresUrl),
}

impl Database {
    /// What it remembers.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => store.clone(),
            Self::Postgres(store, _) => store.clone(),
        }
    }

    /// A sync of its file has failed: nothing more is taken in, and the process must end. A server
    /// keeps its files itself.
    pub(crate) fn has_stopped(&self) -> bool {
        match self {
            Self::Sqlite(store) => store.has_stopped(),
            Self::Postgres(..) => false,
        }
    }
}

/// Opens it to serve it: a file for this process alone, until it has ended. A new database becomes
/// an empty one; a file is brought to this version's schema, a server's by `outdial migrate` alone.
pub(crate) async fn open_serve(config: &Config) -> Result<Database> {
    open(config, OpenMode::Serve, true).await
}

/// Opens it for a command, whether or not it is being served. There must be one: a misspelled path
/// is no empty database.
pub(crate) async fn open_tool(config: &Config) -> Result<Database> {
    if let DatabaseUrl::Sqlite(path) = &config.database.url
        && (std::fs::metadata(path).is_ok_and(|file| file.len() == 0) || !path.exists())
    {
        bail!(
            "there is no database at {}: name it with --database-url, or make one with `outdial \
             workspace create NAME`",
            path.display()
        );
    }
    open(config, OpenMode::Tool, false).await
}

/// As [`open_tool`], for the command that also makes a database where there is none.
pub(crate) async fn open_or_make(config: &Config) -> Result<Database> {
    open(config, OpenMode::Tool, true).await
}

/// `makes`: where there is an empty PostgreSQL database, it becomes an installation.
async fn open(config: &Config, mode: OpenMode, makes: bool) -> Result<Database> {
    match &config.database.url {
        DatabaseUrl::Sqlite(path) => {
            let clock = Arc::new(SystemClock::new());
            let store = SqliteStore::open(path, mode, clock, &OsEntropy)?;
            Ok(Database::Sqlite(Arc::new(store)))
        }
        DatabaseUrl::Postgres(url) => {
            let server = PgConfig { migrate_if_empty: makes, ..server(config, url) };
            let store = PostgresStore::connect(server).await;
            Ok(Database::Postgres(store.with_context(|| url.to_string())?, url.clone()))
        }
    }
}

/// How a PostgreSQL is spoken to.
fn server(config: &Config, url: &PostgresUrl) -> PgConfig {
    PgConfig {
        url: url.secret().to_owned(),
        pool: config.database.pool,
        clock: None,
        statement_timeout: Duration::from_millis(config.database.statement_timeout_ms),
        migrate_if_empty: false,
    }
}

/// What this node notes beside the database that `store` is, for who serves it.
pub(crate) async fn watermark(config: &Config, store: &dyn Store) -> Result<FileWatermark> {
    let files = state_files(config, store).await?;
    FileWatermark::open(files, &dialed(store).await?, &OsEntropy)
}

/// Where it is noted.
pub(crate) async fn state_files(config: &Config, store: &dyn Store) -> Result<StateFiles> {
    // A name that every copy of the database has, and no other database.
    let name = outdial_http::keys::hash(&store.secret_fetch().await?, "state");
    let name: String = name.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(StateFiles::new(&state_directory(config), &name))
}

/// Where this node keeps what it must know beside its database.
pub(crate) fn state_directory(config: &Config) -> PathBuf {
    let by_default = || match &config.database.url {
        DatabaseUrl::Sqlite(path) => {
            let mut beside = path.clone().into_os_string();
            beside.push(".state");
            PathBuf::from(beside)
        }
        DatabaseUrl::Postgres(_) => {
            config.database.state_of_service.clone().unwrap_or_else(|| STATE_DIR.into())
        }
    };
    config.database.state_dir.clone().unwrap_or_else(by_default)
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn where_a_node_keeps_its_state() {
        let mut config = Config::default();
        let of = |config: &Config| state_directory(config);
        config.database.state_of_service = Some("/var/lib/outdial".into());
        assert_eq!(of(&config), Path::new("outdial.db.state"), "beside the file");
        config.database.url = "postgres://host/db".parse().unwrap();
        assert_eq!(of(&config), Path::new("/var/lib/outdial"));
        config.database.state_of_service = None;
        assert_eq!(of(&config), Path::new("outdial.state"));
        config.database.state_dir = Some("mine".into());
        assert_eq!(of(&config), Path::new("mine"));
    }
}
