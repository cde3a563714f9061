//! `outdial batch`: a client of the HTTP API. It works from any machine that reaches the server.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::client::{Client, Sent, may_pass};
use crate::commands::{add, export};
use crate::contacts::Contacts;
use crate::entropy::OsEntropy;
use crate::term::{Progress, hint, say};

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
    Add(add::AddArgs),
    /// Write a batch's calls as CSV.
    Export(export::ExportArgs),
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

/// Runs one of them.
pub(crate) async fn run(args: &BatchArgs) -> Result<()> {
    let key = std::env::var("OUTDIAL_API_KEY").ok().filter(|key| !key.is_empty()).context(
        "OUTDIAL_API_KEY is not set: put an API key there (`outdial key create` makes one)",
    )?;
    let client = Client::new(&args.url, &key)?;
    match &args.command {
        BatchCommand::Create(create) => run_create(&client, create, args.json).await,
        BatchCommand::Add(add) => add::run(&client, add, args.json).await,
        BatchCommand::Export(export) => export::run(&client, export, args.json).await,
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

/// Sends a list, saying nothing.
pub(crate) async fn upload(client: &Client, body: Vec<u8>, key: &str) -> Result<Value> {
    let mut bar = Progress::new("sent", 1, true);
    let answer = send_part(client, body, key, &mut bar, (0, 1, 1), true).await;
    bar.finish();
    answer
}

/// Sends one of the requests that a list needs. `progress`: how many records went before, how many
/// go with it, and how many there are in all.
pub(crate) async fn send_part(
    client: &Client,
    body: Vec<u8>,
    key: &str,
    bar: &mut Progress,
    (before, count, all): (u64, u64, u64),
    quiet: bool,
) -> Result<Value> {
    let total = (body.len() as u64).max(1);
    let sent = Sent::default();
    let request = client.add_calls(body, key, &sent, |why| {
        if !quiet {
            hint(why);
        }
    });
    tokio::pin!(request);
    loop {
        tokio::select! {
            answer = &mut request => {
                bar.update(before + count, all, "records");
                return answer;
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let gone = count.saturating_mul(sent.bytes()) / total;
                let is_gone = sent.bytes() >= total;
                let what = if is_gone { "records, being stored" } else { "records" };
                bar.update(before + gone, all, what);
            }
        }
    }
}

fn hours(text: &str) -> Result<(String, String), String> {
    text.split_once('-')
        .map(|(start, end)| (start.trim().to_owned(), end.trim().to_owned()))
        .ok_or_else(|| "START-END is needed, for instance 09:00-17:00".to_owned())
}
