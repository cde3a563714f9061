//! `outdial doctor`: looks at what a server here would stand on, and says what is wrong with it.
//! Calls nobody and changes nothing, unless `--accept-restore` is given.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use outdial_core::id::WorkspaceId;
use outdial_ports::{Clock, Store};
use outdial_store::SqliteStore;
use serde_json::{Value, json};

use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl};
use crate::database;
use crate::state::{Marks, StateFile};
use crate::term::say;

/// How long the two clocks are watched.
const WATCHED: Duration = Duration::from_millis(500);
/// More than this apart after that, they do not agree.
const APART: Duration = Duration::from_millis(50);

/// Flags of `outdial doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The database was restored from a backup, and calls that it does not know of may have been
    /// placed: dial with it all the same. People who were called since the backup may be called
    /// again.
    #[arg(long)]
    accept_restore: bool,
    /// Print JSON, one line for each finding.
    #[arg(long)]
    json: bool,
}

/// Looks at everything; the exit code is 0 only when all is well.
pub(crate) async fn run(args: &DoctorArgs, config: &Config) -> Result<ExitCode> {
    let mut report = Report { json: args.json, well: true };
    match look_at_database(args, config, &mut report).await {
        Ok(()) => {}
        Err(error) => report.tell("database", Err(format!("{error:#}"))),
    }
    report.tell("clock", clock().await);
    report.tell("port", port(&config.server.listen));
    Ok(if report.well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look_at_database(args: &DoctorArgs, config: &Config, report: &mut Report) -> Result<()> {
    let DatabaseUrl::Sqlite(path) = &config.database.url;
    if !path.exists() {
        bail!("{} is not there; `outdial serve` makes a new one", path.display());
    }
    let store = database::open_tool(config)?;
    store.ping().await?;
    let workspaces = store.workspace_list().await?.len();
    let text = format!("{} can be read; {workspaces} workspace(s)", config.database.url);
    report.tell("database", Ok(text));
    report.tell("integrity", integrity(&store).await);
    let numbers = numbers(&*store).await?;
    report.tell("trunks", Ok(numbers));

    let file = database::state_file(config, &*store).await?;
    let marks = file.read().with_context(|| format!("{}", file.path().display()))?;
    let versions: BTreeMap<_, _> = store.dispatch_versions().await?.into_iter().collect();
    let older = older(&marks, &versions);
    if marks == Marks::default() {
        let text = format!(
            "nothing was dialed from here yet ({} notes nothing): an older copy would not be told",
            file.path().display()
        );
        report.tell("restore", Ok(text));
    } else if older.is_empty() {
        let text = "the database is not behind what was noted of the calls that left here";
        report.tell("restore", Ok(text.to_owned()));
    } else if args.accept_restore {
        file.accept(&older).with_context(|| format!("{}", file.path().display()))?;
        let text = format!("{} workspace(s) are dialed again from now on", older.len());
        report.tell("restore", Ok(text));
    } else {
        report.tell("restore", Err(refusal(&marks, &older, &file)));
    }
    Ok(())
}

/// The file is what was written, as far as SQLite can tell: it has no checksums of its rows.
async fn integrity(store: &SqliteStore) -> Result<String, String> {
    match store.damage().await {
        Ok(found) if found.is_empty() => Ok("every page and row can be read".to_owned()),
        Ok(found) => Err(format!(
            "the file is damaged ({}): stop the server, and put a backup back",
            found.join("; ")
        )),
        Err(error) => Err(format!("the file cannot be read to its end: {error}")),
    }
}

/// Workspaces in which the database is older than what this node saw.
fn older(marks: &Marks, versions: &BTreeMap<WorkspaceId, u64>) -> BTreeMap<WorkspaceId, u64> {
    let is_older = |ws: &WorkspaceId, version: u64| {
        marks.older.contains(ws) || marks.seen.get(ws).is_some_and(|seen| version < *seen)
    };
    versions.iter().filter(|(ws, v)| is_older(ws, **v)).map(|(ws, v)| (*ws, *v)).collect()
}

fn refusal(marks: &Marks, older: &BTreeMap<WorkspaceId, u64>, file: &StateFile) -> String {
    let of = |(ws, version): (&WorkspaceId, &u64)| {
        let seen = marks.seen.get(ws).copied().unwrap_or(0);
        format!("workspace {ws} stands at {version}, and this node saw {seen}")
    };
    let list: Vec<String> = older.iter().map(of).collect();
    format!(
        "the database is an older copy ({}): calls were placed that it does not know of, so \
         nobody is dialed. Put the newer database back if there is one, and say so with \
         `outdial doctor --accept-restore`; with this one people may be called again \
         (noted in {})",
        list.join("; "),
        file.path().display()
    )
}

async fn numbers(store: &dyn Store) -> Result<String> {
    let (mut numbers, mut workspaces) = (0, 0);
    for ws in store.workspace_list().await? {
        let phones = store.phone_list(ws.id).await?;
        workspaces += usize::from(!phones.is_empty());
        numbers += phones.len();
    }
    Ok(format!("{numbers} calling number(s) in {workspaces} workspace(s), all simulated"))
}

/// The wall clock runs as the monotonic one does.
async fn clock() -> Result<String, String> {
    let clock = SystemClock::new();
    let (wall, at) = (clock.now(), clock.monotonic());
    clock.sleep_until(at.after(WATCHED)).await;
    let by_wall = clock.now().since(wall);
    let by_monotonic = clock.monotonic().since(at);
    match by_wall.abs_diff(by_monotonic) {
        apart if apart <= APART => Ok(format!("{}", clock.now())),
        apart => Err(format!(
            "the wall clock moved by {apart:?} against the monotonic one within {WATCHED:?}: let \
             one service alone set it, slowly"
        )),
    }
}

fn port(listen: &str) -> Result<String, String> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(format!("{listen} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{listen} is taken; by the server that runs, if one does"))
        }
        Err(e) => Err(format!("{listen} cannot be listened on: {e}")),
    }
}

/// What was found, line by line.
struct Report {
    json: bool,
    well: bool,
}

impl Report {
    fn tell(&mut self, what: &str, found: Result<String, String>) {
        let (ok, text) = match found {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        self.well &= ok;
        if self.json {
            say(finding(what, ok, &text));
        } else {
            say(format_args!("{}  {what:<9} {text}", if ok { "ok  " } else { "FAIL" }));
        }
    }
}

fn finding(what: &str, ok: bool, text: &impl Display) -> Value {
    json!({ "check": what, "ok": ok, "text": text.to_string() })
}
