//! `outdial doctor`: looks at what a server here would stand on, and says what is wrong with it.
//! Calls nobody and changes nothing, unless `--accept-restore` is given.

mod postgres;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use outdial_core::id::WorkspaceId;
use outdial_ports::store::{Integration, TrunkRecord};
use outdial_ports::{Clock, Store};
use outdial_store::SqliteStore;
use outdial_telephony::sip::SipCarrier;
use serde_json::{Value, json};

use crate::carriers;
use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl};
use crate::database::{self, Database};
use crate::entropy::OsEntropy;
use crate::state::{Entry, Marks, StateFiles};
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
    /// Look at this SIP trunk as well: where its host is, whether it answers, whether it takes the
    /// credentials. Nobody is called.
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
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
    if let DatabaseUrl::Sqlite(path) = &config.database.url
        && !path.exists()
    {
        bail!("{} is not there; `outdial serve` makes a new one", path.display());
    }
    let database = database::open_tool(config).await?;
    let store = database.store();
    store.ping().await?;
    let workspaces = store.workspace_list().await?.len();
    let text = format!("{} can be read; {workspaces} workspace(s)", config.database.url);
    report.tell("database", Ok(text));
    match &database {
        Database::Sqlite(store) => report.tell("integrity", integrity(store).await),
        Database::Postgres(store, url) => postgres::look(store, url, config, report).await,
    }
    let numbers = numbers(&*store).await?;
    report.tell("trunks", Ok(numbers));
    if let Some(name) = &args.trunk {
        look_at_trunk(name, config, &*store, report).await?;
    }

    let found = restore(args, config, &*store).await?;
    report.tell("restore", found);
    Ok(())
}

/// Whether the database is the one that was dialed from.
async fn restore(
    args: &DoctorArgs,
    config: &Config,
    store: &dyn Store,
) -> Result<Result<String, String>> {
    let files = database::state_files(config, store).await?;
    let file = files.marks();
    let in_file = || format!("{}", file.display());
    let in_accepted = || format!("{}", files.acceptance().display());
    let lost = database::dialed(store).await?;
    let marks = match files.read().with_context(in_file)? {
        Some((marks, _)) => marks,
        None if lost.is_empty() => Marks::default(),
        // Written down, so that it can be accepted, and `serve` finds it so.
        None if args.accept_restore => write_lost(&files, &lost).with_context(in_file)?,
        None => Marks::lost(&lost, &OsEntropy),
    };
    if marks.is_empty() {
        let text = format!(
            "nothing was dialed from here yet ({} notes nothing): an older copy would not be told",
            file.display()
        );
        return Ok(Ok(text));
    }
    let accepted = files.accepted().with_context(in_accepted)?;
    let (mut strange, mut taken) = (BTreeMap::new(), 0);
    for ws in store.workspace_list().await?.into_iter().map(|ws| ws.id) {
        let Some(entry) = marks.latest(ws) else { continue };
        if database::is_recognised(store, entry.noted()).await? {
            continue;
        }
        match accepted.contains(&(ws, entry.token())) {
            true => taken += 1,
            false => drop(strange.insert(ws, entry)),
        }
    }
    if strange.is_empty() && taken == 0 {
        return Ok(Ok("the database holds the latest calls that left here".to_owned()));
    }
    if strange.is_empty() {
        let text = format!("{taken} workspace(s) are dialed as accepted, not as recognised");
        return Ok(Ok(text));
    }
    if !args.accept_restore {
        return Ok(Err(refusal(&strange, &file)));
    }
    let tokens = strange.iter().map(|(ws, entry)| (*ws, entry.token())).collect();
    files.accept(&tokens).with_context(in_accepted)?;
    Ok(Ok(format!("{} workspace(s) are dialed again from now on", strange.len())))
}

/// Notes that the marks are gone, unless somebody serves the database and has just done so.
fn write_lost(files: &StateFiles, lost: &[WorkspaceId]) -> Result<Marks> {
    let _lock = files.lock()?;
    if let Some((marks, _)) = files.read()? {
        return Ok(marks);
    }
    let marks = Marks::lost(lost, &OsEntropy);
    files.replace(&marks).map_err(std::io::Error::from)?;
    Ok(marks)
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

fn refusal(strange: &BTreeMap<WorkspaceId, Entry>, file: &Path) -> String {
    let names = |lost: bool| {
        let of = strange.iter().filter(|(_, entry)| matches!(entry, Entry::Lost(_)) == lost);
        let name = |(ws, entry): (&WorkspaceId, &Entry)| match entry {
            Entry::Mark(mark) => format!("workspace {ws} does not hold attempt {}", mark.attempt),
            Entry::Lost(_) => format!("workspace {ws}"),
        };
        of.map(name).collect::<Vec<_>>().join("; ")
    };
    let mut text = String::new();
    let older = names(false);
    if !older.is_empty() {
        text += &format!(
            "the database is an older copy, or was dialed elsewhere since ({older}): calls were \
             placed that it does not know of, so nobody is dialed. Put the newer database back if \
             there is one, and dialing goes on. "
        );
    }
    let lost = names(true);
    if !lost.is_empty() {
        text += &format!(
            "calls were placed, and what was noted of them is gone ({lost}), so nobody knows \
             whether the database is older than they are, and nobody is dialed. If it was moved, \
             bring its state directory along. "
        );
    }
    let there = file.display();
    text += &format!(
        "`outdial doctor --accept-restore` dials with this database all the same; people may be \
         called again (noted in {there})"
    );
    text
}

async fn numbers(store: &dyn Store) -> Result<String> {
    let (mut sip, mut simulated, mut workspaces) = (0, 0, 0);
    for ws in store.workspace_list().await? {
        let phones = store.phone_list(ws.id).await?;
        workspaces += usize::from(!phones.is_empty());
        let over_sip = phones.iter().filter(|p| p.integration == Integration::Sip).count();
        sip += over_sip;
        simulated += phones.len() - over_sip;
    }
    let trunks = store.trunk_list_all().await?;
    let trunks = trunks.iter().filter(|t| t.integration == Integration::Sip).count();
    Ok(format!(
        "{trunks} SIP trunk(s); calling numbers in {workspaces} workspace(s): {sip} over SIP, \
         {simulated} simulated"
    ))
}

/// Asks the trunk of that name, in every workspace that has one.
async fn look_at_trunk(
    name: &str,
    config: &Config,
    store: &dyn Store,
    report: &mut Report,
) -> Result<()> {
    let trunks = store.trunk_list_all().await?;
    let is_meant = |t: &&TrunkRecord| t.spec.as_ref().is_some_and(|spec| spec.name == name);
    let meant: Vec<&TrunkRecord> = trunks.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let mut names: Vec<&str> =
            trunks.iter().filter_map(|t| Some(t.spec.as_ref()?.name.as_str())).collect();
        names.sort_unstable();
        let text = match names[..] {
            [] => "there is no SIP trunk".to_owned(),
            _ => format!("there is no SIP trunk {name:?}; there are {}", names.join(", ")),
        };
        report.tell("trunk", Err(text));
        return Ok(());
    }
    let secret = store.secret_fetch().await?;
    // The server, if one runs, has the port that calls go out from.
    let mut sip = carriers::sip(&config.sip);
    sip.listen.set_port(0);
    sip.tls = None;
    let carrier = SipCarrier::new(sip, &secret, Arc::new(SystemClock::new()), Arc::new(OsEntropy))?;
    for trunk in meant {
        for found in carrier.examine(trunk).await {
            report.tell(found.what, found.result);
        }
    }
    Ok(())
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
