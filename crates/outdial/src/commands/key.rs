//! `outdial key`: works on the database itself, also while it is being served.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use outdial_core::id::{KeyId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_http::keys;
use outdial_ports::store::{KeyRecord, KeyRotation, Scope};
use outdial_ports::{Clock as _, Store};
use serde_json::{Value, json};

use super::workspace::new_key;
use crate::clock::SystemClock;
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
        /// From when on it is no longer good, like 2026-05-15T14:30:00Z. Without: it does not end
        /// by itself.
        #[arg(long)]
        expires_at: Option<Timestamp>,
    },
    /// List the keys, revoked ones too. Their secrets are not known any more.
    List,
    /// Make a key worthless from now on.
    Revoke {
        /// Id of the key, as `list` shows it.
        key: KeyId,
    },
    /// Make the successor of a key, which is shown this once; the old one stays good for a while.
    Rotate {
        /// Id of the key, as `list` shows it.
        key: KeyId,
        /// Hours for which the old key stays good, 720 at most; 0: it ends at once.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(..=720))]
        old_key_hours: u32,
        /// From when on the successor is no longer good. Without: it lasts as long as the old key
        /// was to last when it was made.
        #[arg(long)]
        expires_at: Option<Timestamp>,
    },
}

/// Runs one of them.
pub(crate) async fn run(args: &KeyArgs, config: &Config) -> Result<()> {
    let store = database::open_tool(config).await?.store();
    let workspace = workspace_of(&*store, args.workspace).await?;
    match &args.command {
        KeyCommand::Create { name, scopes, expires_at } => {
            let scopes = if scopes.is_empty() { Scope::ALL.to_vec() } else { sorted(scopes) };
            check_future(*expires_at)?;
            let (secret, new) = new_key(&*store, name, scopes, *expires_at).await?;
            let key = store.key_create(workspace, new).await?;
            made(&key, &secret, args.json);
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
        KeyCommand::Rotate { key, old_key_hours, expires_at } => {
            check_future(*expires_at)?;
            let known = store.key_list(workspace).await?;
            let end = keys::successor_expiry(&known, *key, SystemClock::new().now());
            let end = expires_at.or(end);
            let (secret, new) = new_key(&*store, "", Vec::new(), end).await?;
            let (hash, hint, expires_at) = (new.hash, new.hint, new.expires_at);
            let old_for = Duration::from_secs(u64::from(*old_key_hours) * 3600);
            let rotation = KeyRotation { hash, hint, expires_at, old_for };
            let rotated = store.key_rotate(workspace, *key, rotation).await;
            let next = rotated.with_context(|| format!("key {key} of workspace {workspace}"))?;
            made(&next, &secret, args.json);
        }
    }
    Ok(())
}

/// Shows a key that was made, with its secret.
fn made(key: &KeyRecord, secret: &str, json: bool) {
    if json {
        let mut shown = shown(key);
        shown["apiKey"] = json!(secret);
        return say(shown);
    }
    say(format_args!("key      {}", key.id));
    say(format_args!("API key  {secret}"));
    say("The key is not shown again.");
}

fn check_future(at: Option<Timestamp>) -> Result<()> {
    match at {
        Some(at) if at <= SystemClock::new().now() => bail!("--expires-at {at} is in the past"),
        _ => Ok(()),
    }
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
    for (name, at) in [
        ("revokedAt", key.revoked_at),
        ("expiresAt", key.expires_at),
        ("lastUsedAt", key.last_used_at),
    ] {
        if let Some(at) = at {
            shown[name] = json!(at);
        }
    }
    if let Some(old) = key.replaces {
        shown["replaces"] = json!(old);
    }
    shown
}

fn line(key: &KeyRecord) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|s| s.as_str()).collect();
    let end = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("  revoked {at}"),
        (None, Some(at)) => format!("  until {at}"),
        (None, None) => String::new(),
    };
    let used = key.last_used_at.map_or_else(String::new, |at| format!("  used {at}"));
    let (id, hint, made) = (key.id, &key.hint, key.created_at);
    format!("{id}  …{hint}  {made}  {}  {}{used}{end}", scopes.join(","), key.name)
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
