//! `outdial migrate`: brings a database to this version's schema. A file must not be served
//! meanwhile; a server's may be, for each version leaves the schema such that the one before can
//! work with it.

use anyhow::{Context, Result};
use outdial_ports::Store;

use crate::config::{Config, DatabaseUrl};
use crate::database::{self, Database};
use crate::term::say;

/// Migrates, and says what was done.
pub(crate) async fn run(config: &Config) -> Result<()> {
    let url = &config.database.url;
    let DatabaseUrl::Postgres(server) = url else {
        // Opening a file to serve it brings it up to date.
        let Database::Sqlite(store) = database::open_serve(config).await? else { return Ok(()) };
        store.ping().await?;
        say(format_args!("{url} has the schema of this version"));
        return Ok(());
    };
    let done =
        outdial_store::postgres::migrate(server.secret()).await.with_context(|| url.to_string())?;
    say(format_args!("{url}: {done}"));
    Ok(())
}
