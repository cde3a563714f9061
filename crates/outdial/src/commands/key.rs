//! `outdial key`: works on the database itself, also while it is being served.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use outdial_core::id::{KeyId, WorkspaceId};
use outdial_ports::Store;
use outdial_ports::store::{KeyRecord, Scope};
use serde_json::{Value, json};

use super::workspace::new_key;
use crate::config::Config;
use crate::database;
use crate::term::say;

/// API keys of a workspace.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// Id of the workspace; not needed while there is only one.
    #[arg(long, global = true)]
    workspace: Option<WorkspaceId>,
    /// Print JSON, one line for each key.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key, which is shown this once.
    Create {
        /// Display name.
        #[arg(long, default_value = "")]
        name: String,
        /// What it may do: calls:read, calls:write, admin. By default everything.
        #[arg(long, value_delimiter = ',', value_parser = scope)]
        scopes: Vec<Scope>,
    },
    /// List the keys, revoked ones too. Their secrets are not known any more.
    List,
    /// Make a key worthless from now on.
    Revoke {
        /// Id of the key, as `list` shows it.
        key: KeyId,
    },
}

/// Runs one of them.
pub(crate) async fn run(args: &KeyArgs, config: &Config) -> Result<()> {
    let store = database::open_tool(config).await?.store();
    let workspace = workspace_of(&*store, args.workspace).await?;
    match &args.command {
        KeyCommand::Create { name, scopes } => {
            let scopes = if scopes.is_empty() { Scope::ALL.to_vec() } else { sorted(scopes) };
            let (secret, new) = new_key(&*store, name, scopes, None).await?;
            let key = store.key_create(workspace, new).await?;
            if args.json {
                let mut shown = shown(&key);
                shown["apiKey"] = json!(secret);
                say(shown);
            } else {
                say(format_args!("key      {}", key.id));
                say(format_args!("API key  {secret}"));
                say("The key is not shown again.");
            }
        }
        KeyCommand::List => {
            for key in store.key_list(workspace).await? {
                if args.json { say(shown(&key)) } else { say(line(&key)) }
            }
        }
        KeyCommand::Revoke { key } => {
            if !store.key_revoke(workspace, *key).await? {
                bail!("workspace {workspace} has no key {key} that is still good");
            }
            if args.json {
                say(json!({ "_id": key, "revoked": true }));
            } else {
                say(format_args!("key {key} is revoked"));
            }
        }
    }
    Ok(())
}

/// The workspace asked for, else the only one.
async fn workspace_of(store: &dyn Store, asked: Option<WorkspaceId>) -> Result<WorkspaceId> {
    let all = store.workspace_list().await?;
    match (asked, all.as_slice()) {
        (Some(id), all) => all
            .iter()
            .find(|w| w.id == id)
            .map(|w| w.id)
            .with_context(|| format!("there is no workspace {id} in this database")),
        (None, [only]) => Ok(only.id),
        (None, []) => {
            bail!("this database has no workspace yet: `outdial workspace create NAME` makes one")
        }
        (None, several) => {
            let names: Vec<String> =
                several.iter().map(|w| format!("{} ({})", w.id, w.name)).collect();
            bail!("say which with --workspace: {}", names.join(", "))
        }
    }
}

fn shown(key: &KeyRecord) -> Value {
    let mut shown = json!({
        "_id": key.id,
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>(),
        "createdAt": key.created_at,
    });
    if let Some(at) = key.revoked_at {
        shown["revokedAt"] = json!(at);
    }
    shown
}

fn line(key: &KeyRecord) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|s| s.as_str()).collect();
    let end = match key.revoked_at {
        Some(at) => format!("  revoked {at}"),
        None => String::new(),
    };
    let (id, hint, made) = (key.id, &key.hint, key.created_at);
    format!("{id}  …{hint}  {made}  {}  {}{end}", scopes.join(","), key.name)
}

fn sorted(scopes: &[Scope]) -> Vec<Scope> {
    let set: std::collections::BTreeSet<Scope> = scopes.iter().copied().collect();
    set.into_iter().collect()
}

fn scope(word: &str) -> Result<Scope, String> {
    Scope::parse(word).ok_or_else(|| {
        let known: Vec<&str> = Scope::ALL.iter().map(|s| s.as_str()).collect();
        format!("there are {}", known.join(", "))
    })
}
