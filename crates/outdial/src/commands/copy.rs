//! `outdial copy`: an installation from one database to another.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use outdial_store::copy::{TableCopied, copy};

use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl};
use crate::database;
use crate::entropy::OsEntropy;
use crate::term::say;

/// Copy an installation from a SQLite file into an empty PostgreSQL database, and prove it. Nobody
/// may serve the file meanwhile.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// What is copied: sqlite:FILE. It stays as it is.
    #[arg(long, value_name = "URL")]
    from: DatabaseUrl,
    /// Where to: postgres://USER@HOST/DATABASE. Default: the configured database, so that a
    /// password may stand in the environment.
    #[arg(long, value_name = "URL")]
    to: Option<DatabaseUrl>,
}

/// Copies.
pub(crate) async fn run(args: &CopyArgs, config: &Config) -> Result<()> {
    let to = args.to.as_ref().unwrap_or(&config.database.url);
    let (DatabaseUrl::Sqlite(from), DatabaseUrl::Postgres(url)) = (&args.from, to) else {
        bail!("copies go from sqlite:FILE to postgres://…, not from {} to {to}", args.from);
    };
    if !from.exists() {
        bail!("there is no database at {}", from.display());
    }
    // Makes the schema, if the database has none yet.
    drop(database::open_or_make(&with(config, to)).await?);
    say(format_args!("copying {} to {to}", args.from));
    let told = |table: &TableCopied| {
        let TableCopied { table, rows, sha256 } = table;
        say(format_args!("  {table:<16} {rows:>12} rows  {}", &sha256[..16]));
    };
    let copied = copy(from, url.secret(), Arc::new(SystemClock::new()), &OsEntropy, told).await?;
    let rows: u64 = copied.iter().map(|table| table.rows).sum();
    say(format_args!(
        "{rows} rows of {} tables were written, read back and are the same.\n\n\
         Next:\n\
         \x20 1. Put {} away: it must not be served again, for people would be called twice.\n\
         \x20 2. Move its state directory to the node that is to serve: `mv {} outdial.state`, or \
         name it with --state-dir. Without it nobody is dialed until `outdial doctor \
         --accept-restore`.\n\
         \x20 3. `outdial doctor`, then `outdial serve`, with --database-url {to}",
        copied.len(),
        args.from,
        database::state_directory(&with(config, &args.from)).display(),
    ));
    Ok(())
}

/// The configuration, of another database.
fn with(config: &Config, url: &DatabaseUrl) -> Config {
    let mut config = config.clone();
    config.database.url = url.clone();
    config
}
