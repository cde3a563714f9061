//! `outdial migrate`: brings a database that nobody serves to this version's schema.

use anyhow::Result;
use outdial_ports::Store;

use crate::config::Config;
use crate::database;
use crate::term::say;

/// Opening a database for serving brings it up to date; so this does just that.
pub(crate) async fn run(config: &Config) -> Result<()> {
    let store = database::open_serve(config)?;
    store.ping().await?;
    say(format_args!("{} has the schema of this version", config.database.url));
    Ok(())
}
