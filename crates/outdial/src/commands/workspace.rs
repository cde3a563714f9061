//! `outdial workspace`: works on the database itself, also while it is being served.

use anyhow::Result;
use clap::{Args, Subcommand};
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use outdial_core::time::Timestamp;
use outdial_http::keys;
use outdial_ports::Store;
use outdial_ports::store::{NewKey, NewWorkspace, Scope, WorkspaceCreated};
use serde_json::json;

use crate::config::Config;
use crate::database;
use crate::entropy::OsEntropy;
use crate::term::say;

/// Workspaces: organizations that know nothing of each other.
#[derive(Debug, Args)]
pub(crate) struct WorkspaceArgs {
    #[command(subcommand)]
    command: WorkspaceCommand,
}

#[derive(Debug, Subcommand)]
enum WorkspaceCommand {
    /// Make a workspace with its user and an API key, which is shown this once.
    Create {
        /// Display name.
        name: String,
        /// Print one line of JSON: workspaceId, userId, apiKey.
        #[arg(long)]
        json: bool,
        /// Whether the calling rules of the called person's place apply. Off is for trials with
        /// simulated numbers, at any hour of the day.
        #[arg(long, value_name = "on|off", default_value = "on", value_parser = calling_rules)]
        calling_rules: CallingRules,
    },
}

/// Runs one of them.
pub(crate) async fn run(args: &WorkspaceArgs, config: &Config) -> Result<()> {
    let WorkspaceCommand::Create { name, json: as_json, calling_rules } = &args.command;
    let store = database::open_or_make(config).await?.store();
    let (created, key) = create(&*store, name, *calling_rules).await?;
    if *as_json {
        say(json!({
            "workspaceId": created.workspace, "userId": created.user, "apiKey": key,
        }));
    } else {
        say(format_args!("workspace  {}", created.workspace));
        say(format_args!("user       {}", created.user));
        say(format_args!("API key    {key}"));
        say("The key is not shown again; `outdial key create` makes another.");
    }
    Ok(())
}

/// Makes a workspace, and its first key with every scope.
pub(crate) async fn create(
    store: &dyn Store,
    name: &str,
    calling_rules: CallingRules,
) -> Result<(WorkspaceCreated, String)> {
    let (key, new_key) = new_key(store, "first", Scope::ALL.to_vec(), None).await?;
    let new = NewWorkspace {
        name: name.to_owned(),
        key: new_key,
        settings: WorkspaceSettings { calling_rules, ..WorkspaceSettings::default() },
    };
    let created = store.workspace_create(new).await?;
    if calling_rules == CallingRules::Off {
        tracing::warn!(workspace = %created.workspace, "a workspace without calling rules");
    }
    Ok((created, key))
}

fn calling_rules(word: &str) -> Result<CallingRules, String> {
    match word {
        "on" => Ok(CallingRules::On),
        "off" => Ok(CallingRules::Off),
        _ => Err("write on or off".to_owned()),
    }
}

/// A new secret, and what the store is to remember of it.
pub(crate) async fn new_key(
    store: &dyn Store,
    name: &str,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
) -> Result<(String, NewKey)> {
    let secret = store.secret_fetch().await?;
    let key = keys::mint(&OsEntropy);
    let new = NewKey {
        hash: keys::hash(&secret, &key),
        hint: keys::hint(&key),
        name: name.to_owned(),
        scopes,
        expires_at,
    };
    Ok((key, new))
}
