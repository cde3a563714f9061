//! `outdial batch add`: the contacts of a file, in as many requests as it takes.
//!
//! The file is read twice: first to see that every record is good as far as that can be told from
//! here, then to send them. The second time nothing is held but the request on its way. Each
//! request has an idempotency key of its own, made of the one of the whole and its position: the
//! same file given again with the same key adds nobody twice.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use outdial_core::variables::VariableSchema;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::client::{Client, Refused};
use crate::commands::batch::{add_body, new_idempotency_key, send_part};
use crate::contacts::{ContactFile, Contacts, Fault, Part};
use crate::term::{Progress, hint, say};

/// How many faults are shown one by one.
const FAULTS_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Id of the batch.
    batch: String,
    /// A .csv, .xlsx or .xls file with a header row and a column phoneNumber, a .json file with an
    /// array, or an .ndjson file with a record on each line.
    file: PathBuf,
    /// Store the good records even if some are bad.
    #[arg(long)]
    skip_invalid: bool,
    /// Name of this request: given again with the same file, nobody is added twice. By default a
    /// new one, which serves for the tries of this command.
    #[arg(long)]
    idempotency_key: Option<String>,
}

/// What a file has.
#[derive(Default)]
struct Survey {
    good: u64,
    rejected: u64,
    faults: Vec<Fault>,
    fault_count: u64,
}

impl Survey {
    fn add(&mut self, part: Part) {
        self.good += part.contacts.count;
        self.rejected += part.rejected;
        self.fault_count += part.fault_count;
        self.add_faults(part.faults);
    }

    fn add_faults(&mut self, faults: impl IntoIterator<Item = Fault>) {
        let room = FAULTS_SHOWN.saturating_sub(self.faults.len());
        self.faults.extend(faults.into_iter().take(room));
    }
}

/// Reads, checks, sends.
pub(crate) async fn run(client: &Client, args: &AddArgs, as_json: bool) -> Result<()> {
    let file = ContactFile::new(&args.file)?;
    let schema = match schema_of(client, &args.batch).await {
        Ok(schema) => schema,
        // Wrong batch, wrong key, no server: nothing else would fare better.
        Err(error) if error.downcast_ref::<Refused>().is_none_or(|r| r.status != 403) => {
            return Err(error);
        }
        Err(_) => VariableSchema::new(Vec::new())?,
    };
    let mut survey = survey(&file, &schema).await?;
    if survey.rejected > 0 && (!args.skip_invalid || survey.good == 0) {
        show(&survey.faults, survey.fault_count);
        bail!("nothing was added (--skip-invalid adds the good records)");
    }
    let records = survey.good + survey.rejected;
    let key = args.idempotency_key.clone().unwrap_or_else(new_idempotency_key);
    let mut bar = Progress::new("added", survey.good, as_json || !std::io::stderr().is_terminal());
    let (send, mut parts) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || {
        file.read(schema, |part| send.blocking_send(part.contacts).is_ok())
    });
    let (mut total, mut done, mut number) = (Map::new(), 0, 1_u64);
    while let Some(contacts) = parts.recv().await {
        if contacts.count == 0 {
            continue;
        }
        let body = add_body(&args.batch, &contacts, args.skip_invalid.then_some("skip"));
        let own = if number == 1 { key.clone() } else { format!("{key}-{number}") };
        let progress = (done, contacts.count, survey.good);
        let answer = match send_part(client, body, &own, &mut bar, progress, as_json).await {
            Ok(answer) => answer,
            Err(error) => {
                bar.finish();
                return Err(explained(error, &contacts, done, &key));
            }
        };
        let rejected = answer["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
        survey.rejected += rejected.len() as u64;
        survey.fault_count += rejected.len() as u64;
        survey.add_faults(rejected.iter().map(|fault| contacts.fault(fault)));
        merge(&mut total, answer);
        (done, number) = (done + contacts.count, number + 1);
    }
    bar.finish();
    reading.await.context("the reader of the file failed")??;
    tell(total, &survey, records, &key, as_json)
}

/// What came of it all.
fn tell(
    mut total: Map<String, Value>,
    survey: &Survey,
    records: u64,
    key: &str,
    as_json: bool,
) -> Result<()> {
    let failed = total.get("failedChunks").and_then(Value::as_array).cloned();
    if as_json {
        if survey.rejected > 0 {
            let faults: Vec<Value> = survey.faults.iter().map(Fault::as_json).collect();
            total.insert("rejected".into(), json!(faults));
            total.insert("rejectedCount".into(), json!(survey.rejected));
        }
        say(Value::Object(total));
    } else {
        say(summary(&total, records));
        show(&survey.faults, survey.fault_count);
    }
    let Some(failed) = failed else { return Ok(()) };
    for chunk in failed {
        hint(format_args!("chunk {} was not stored: {}", chunk["chunkNum"], chunk["error"]));
    }
    bail!(
        "some records were not stored; run the same command with --idempotency-key {key} to try \
         only those again"
    );
}

/// What the batch's agent declares.
async fn schema_of(client: &Client, batch: &str) -> Result<VariableSchema> {
    let shown = client.get(&format!("/api/call/batch/{batch}"), &[]).await?;
    let phones = client.get("/api/phones", &[]).await?;
    let numbers = shown["callingNumbers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let phones = phones["phones"].as_array().map(Vec::as_slice).unwrap_or_default();
    let agent = phones
        .iter()
        .filter(|phone| numbers.contains(&phone["_id"]))
        .find_map(|phone| phone["agentId"].as_str());
    let variables = match agent {
        Some(id) => client.get(&format!("/api/agents/{id}"), &[]).await?["variables"].take(),
        None => Value::Null,
    };
    let variables = if variables.is_null() { json!([]) } else { variables };
    let variables = serde_json::from_value(variables).context("the agent's variables")?;
    Ok(VariableSchema::new(variables)?)
}

async fn survey(file: &ContactFile, schema: &VariableSchema) -> Result<Survey> {
    let (file, schema) = (file.clone(), schema.clone());
    let read = tokio::task::spawn_blocking(move || {
        let mut survey = Survey::default();
        file.read(schema, |part| {
            survey.add(part);
            true
        })?;
        Ok(survey)
    });
    read.await.context("the reader of the file failed")?
}

/// Adds up the answers to several requests.
fn merge(total: &mut Map<String, Value>, answer: Value) {
    let Value::Object(answer) = answer else { return };
    for (key, value) in answer {
        match (total.get_mut(&key), value) {
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
            (Some(sum @ Value::Number(_)), Value::Number(more)) => {
                *sum = json!(sum.as_u64().unwrap_or(0) + more.as_u64().unwrap_or(0));
            }
            (_, value) => {
                total.insert(key, value);
            }
        }
    }
}

fn summary(data: &Map<String, Value>, count: u64) -> String {
    let number = |key: &str| data.get(key).and_then(Value::as_u64);
    let added = number("added").unwrap_or_default();
    let mut text = format!("{added} of {count} records are in the batch");
    for (key, word) in [("updated", "were there before"), ("deferred", "are on the phone now")] {
        if let Some(n) = number(key) {
            text += &format!("; {n} {word}");
        }
    }
    if let Some(status) = data.get("batchStatus").and_then(Value::as_str) {
        text += &format!("; the batch is {status}: start it to call them");
    }
    text
}

/// Shows every fault that the server found, where it stands in the file, and makes it one error.
fn explained(error: anyhow::Error, contacts: &Contacts, done: u64, key: &str) -> anyhow::Error {
    let Some(refused) = error.downcast_ref::<Refused>() else { return error };
    let faults = refused.data["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = refused.data["errorCount"].as_u64().unwrap_or(faults.len() as u64);
    let shown: Vec<Fault> =
        faults.iter().take(FAULTS_SHOWN).map(|fault| contacts.fault(fault)).collect();
    show(&shown, count);
    match (faults.is_empty(), done) {
        (true, 0) => error,
        (false, 0) => error.context("nothing was added (--skip-invalid adds the good records)"),
        _ => error.context(format!(
            "{done} records were sent, those from {} on were not; put the file right from there \
             on, and run the same command with --idempotency-key {key}",
            contacts.place(0)
        )),
    }
}

fn show(faults: &[Fault], count: u64) {
    for fault in faults {
        hint(fault);
    }
    if count > faults.len() as u64 {
        hint(format_args!("and {} more", count - faults.len() as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_add_up() {
        let mut total = Map::new();
        merge(&mut total, json!({"added": 3, "batchStatus": "pending", "failedChunks": [1]}));
        merge(
            &mut total,
            json!({"added": 4, "updated": 1, "batchStatus": "active", "failedChunks": [2]}),
        );
        let expected = json!({
            "added": 7, "updated": 1, "batchStatus": "active", "failedChunks": [1, 2],
        });
        assert_eq!(Value::Object(total), expected);
    }
}
