//! `outdial batch`: a client of the HTTP API. It works from any machine that reaches the server.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::client::{Client, Refused, Sent, may_pass};
use crate::contacts::Contacts;
use crate::entropy::OsEntropy;
use crate::term::{Progress, hint, say};

/// How many faults are shown one by one.
const FAULTS_SHOWN: usize = 20;
/// How often `watch` looks, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many looks of `watch` may fail one after the other.
const FAILURES_IN_A_ROW: u32 = 10;

/// Make a batch, fill it, watch it. The API key is taken from OUTDIAL_API_KEY.
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// Where the server is.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Print one line of JSON instead of text, and no progress.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: BatchCommand,
}

#[derive(Debug, Subcommand)]
enum BatchCommand {
    /// Make an empty batch and print its id.
    Create(CreateArgs),
    /// Add the contacts of a file, and start calling them.
    Add(AddArgs),
    /// Follow a batch until it is completed.
    Watch {
        /// Id of the batch.
        batch: String,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Its name.
    #[arg(long)]
    name: String,
    /// Ids of the calling numbers (GET /api/phones), separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    numbers: Vec<String>,
    /// Further attempts when a call fails, 0-10.
    #[arg(long)]
    retry: Option<u32>,
    /// Seconds between attempts.
    #[arg(long, value_name = "SECONDS")]
    delay: Option<u32>,
    /// IANA time zone of contacts that bring none, e.g. America/New_York.
    #[arg(long)]
    timezone: Option<String>,
    /// When to call, e.g. 09:00-17:00.
    #[arg(long, value_name = "START-END", value_parser = hours)]
    hours: Option<(String, String)>,
    /// On which days to call, 0 is Sunday, e.g. 1,2,3,4,5.
    #[arg(long, value_delimiter = ',')]
    days: Option<Vec<u8>>,
    /// Most calls at once.
    #[arg(long)]
    concurrency: Option<u32>,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Id of the batch.
    batch: String,
    /// A .csv file with a header row and a column phoneNumber, or a .json file with an array.
    file: PathBuf,
    /// Store the good records even if some are bad.
    #[arg(long)]
    skip_invalid: bool,
    /// Name of this request: given again with the same file, nobody is added twice. By default a
    /// new one, which serves for the tries of this command.
    #[arg(long)]
    idempotency_key: Option<String>,
}

/// Runs one of them.
pub(crate) async fn run(args: &BatchArgs) -> Result<()> {
    let key = std::env::var("OUTDIAL_API_KEY").ok().filter(|key| !key.is_empty()).context(
        "OUTDIAL_API_KEY is not set: put an API key there (`outdial key create` makes one)",
    )?;
    let client = Client::new(&args.url, &key)?;
    match &args.command {
        BatchCommand::Create(create) => run_create(&client, create, args.json).await,
        BatchCommand::Add(add) => run_add(&client, add, args.json).await,
        BatchCommand::Watch { batch } => run_watch(&client, batch, args.json).await,
    }
}

async fn run_create(client: &Client, args: &CreateArgs, as_json: bool) -> Result<()> {
    let mut body = Map::new();
    body.insert("batchName".into(), json!(args.name));
    body.insert("callingNumbers".into(), json!(args.numbers));
    let optional = [
        ("retry", args.retry.map(Value::from)),
        ("delay", args.delay.map(Value::from)),
        ("timezone", args.timezone.as_deref().map(Value::from)),
        ("callingHour", args.hours.as_ref().map(|(s, e)| json!({ "start": s, "end": e }))),
        ("allowedDays", args.days.as_ref().map(|days| json!(days))),
        ("concurrency", args.concurrency.map(Value::from)),
    ];
    for (key, value) in optional {
        body.extend(value.map(|value| (key.to_owned(), value)));
    }
    let data = client.post("/api/call/createBatch", &body).await?;
    let id = data.as_str().context("the server's answer has no batch id")?;
    match as_json {
        true => say(json!({ "batchId": id })),
        false => say(id),
    }
    Ok(())
}

async fn run_add(client: &Client, args: &AddArgs, as_json: bool) -> Result<()> {
    let contacts = Contacts::from_file(&args.file)?;
    let on_invalid = args.skip_invalid.then_some("skip");
    let body = add_body(&args.batch, &contacts, on_invalid);
    let key = args.idempotency_key.clone().unwrap_or_else(new_idempotency_key);
    let data = match upload(client, body, &key, as_json).await {
        Err(error) => return Err(explained(error, &contacts)),
        Ok(data) => data,
    };
    if as_json {
        say(&data);
    } else {
        say(summary(&data, contacts.count));
        let rejected = data["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
        show_faults(rejected, rejected.len() as u64, &contacts);
    }
    match data["failedChunks"].as_array() {
        None => Ok(()),
        Some(failed) => {
            for chunk in failed {
                hint(format_args!(
                    "chunk {} was not stored: {}",
                    chunk["chunkNum"], chunk["error"]
                ));
            }
            bail!(
                "some records were not stored; run the same command with --idempotency-key {key} \
                 to try only those again"
            );
        }
    }
}

async fn run_watch(client: &Client, batch: &str, as_json: bool) -> Result<()> {
    // A wrong id or address is told at once; a server that restarts later on is waited for.
    client.progress(batch).await?;
    let mut bar = Progress::new("called", 0, as_json);
    let mut failures = 0;
    let total = loop {
        let progress = match client.progress(batch).await {
            Err(error) if failures < FAILURES_IN_A_ROW && may_pass(&error) => {
                failures += 1;
                bar.note(&format!("{error:#}"));
                tokio::time::sleep(LOOK_EVERY * failures).await;
                continue;
            }
            looked => looked?,
        };
        failures = 0;
        let done = progress.total.saturating_sub(progress.unfinished);
        let message = match &progress.pause_reason {
            Some(why) => format!("{} ({why})", progress.status),
            None => progress.status.clone(),
        };
        bar.update(done, progress.total, &message);
        if progress.status == "completed" {
            break progress.total;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    bar.finish();
    let counts = client.dispositions(batch).await?;
    if as_json {
        let counts: Map<String, Value> =
            counts.iter().map(|(d, n)| (d.as_str().to_owned(), json!(n))).collect();
        say(json!({
            "batchId": batch, "status": "completed", "total": total, "dispositions": counts,
        }));
    } else {
        say(table(&counts));
    }
    Ok(())
}

/// A summary by disposition.
pub(crate) fn table(counts: &[(outdial_core::outcome::Disposition, u64)]) -> String {
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let mut lines = String::new();
    for (disposition, count) in counts {
        lines += &format!("{:<16}{count:>8}\n", disposition.as_str());
    }
    lines + &format!("{:<16}{total:>8}", "total")
}

/// The documented request.
pub(crate) fn add_body(batch: &str, contacts: &Contacts, on_invalid: Option<&str>) -> Vec<u8> {
    let mut body = Vec::with_capacity(contacts.json.len() + 128);
    body.extend_from_slice(b"{\"batchId\":");
    body.extend_from_slice(json!(batch).to_string().as_bytes());
    if let Some(word) = on_invalid {
        body.extend_from_slice(format!(",\"onInvalid\":\"{word}\"").as_bytes());
    }
    body.extend_from_slice(b",\"call_data\":");
    body.extend_from_slice(&contacts.json);
    body.push(b'}');
    body
}

/// A key that no other request has.
pub(crate) fn new_idempotency_key() -> String {
    use outdial_ports::Entropy;
    format!("outdial-{:016x}{:016x}", OsEntropy.next_u64(), OsEntropy.next_u64())
}

/// Sends a list, with a bar over the bytes that have left.
pub(crate) async fn upload(
    client: &Client,
    body: Vec<u8>,
    key: &str,
    quiet: bool,
) -> Result<Value> {
    let total = body.len() as u64;
    let sent = Sent::default();
    // Without a terminal nobody watches a few seconds of sending.
    let mut bar = Progress::new("sent", total, quiet || !std::io::stderr().is_terminal());
    let request = client.add_calls(body, key, &sent, |why| {
        if !quiet {
            hint(why);
        }
    });
    tokio::pin!(request);
    let answer = loop {
        tokio::select! {
            answer = &mut request => break answer,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let message = if sent.bytes() == total { "bytes, being stored" } else { "bytes" };
                bar.update(sent.bytes(), total, message);
            }
        }
    };
    bar.finish();
    answer
}

fn summary(data: &Value, count: u64) -> String {
    let mut text = format!("{} of {count} records are in the batch", data["added"]);
    for (key, word) in [("updated", "were there before"), ("deferred", "are on the phone now")] {
        if let Some(n) = data[key].as_u64() {
            text += &format!("; {n} {word}");
        }
    }
    if let Some(status) = data["batchStatus"].as_str() {
        text += &format!("; the batch is {status}: start it to call them");
    }
    text
}

/// Shows every fault that the server found, where it stands in the file, and makes it one error.
fn explained(error: anyhow::Error, contacts: &Contacts) -> anyhow::Error {
    let Some(refused) = error.downcast_ref::<Refused>() else { return error };
    let faults = refused.data["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = refused.data["errorCount"].as_u64().unwrap_or(faults.len() as u64);
    show_faults(faults, count, contacts);
    match faults.is_empty() {
        true => error,
        false => error.context("nothing was added (--skip-invalid adds the good records)"),
    }
}

fn show_faults(faults: &[Value], count: u64, contacts: &Contacts) {
    for fault in faults.iter().take(FAULTS_SHOWN) {
        let text = |key: &str| fault[key].as_str().unwrap_or_default();
        let place = contacts.place(fault["index"].as_u64().unwrap_or_default());
        let field =
            if text("field").is_empty() { String::new() } else { format!(" {}:", text("field")) };
        hint(format_args!("{place}:{field} {} ({})", text("message"), text("code")));
    }
    let shown = faults.len().min(FAULTS_SHOWN) as u64;
    if count > shown {
        hint(format_args!("and {} more", count - shown));
    }
}

fn hours(text: &str) -> Result<(String, String), String> {
    text.split_once('-')
        .map(|(start, end)| (start.trim().to_owned(), end.trim().to_owned()))
        .ok_or_else(|| "START-END is needed, for instance 09:00-17:00".to_owned())
}
