//! `outdial demo`: the whole journey on one screen, with nothing else installed. Everything after
//! the workspace goes over HTTP, in the requests that the documents show; the calls go over SIP, to
//! callees inside this process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use outdial_core::settings::CallingRules;
use outdial_ports::Store;
use outdial_telephony::callee::{Callee, CalleeConfig};
use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::SystemClock;
use crate::commands::batch::{add_body, new_idempotency_key, table, upload};
use crate::commands::workspace;
use crate::config::{Config, DatabaseUrl, PortRange, SipConfig};
use crate::contacts::Contacts;
use crate::database;
use crate::entropy::OsEntropy;
use crate::serve::Server;
use crate::term::{Progress, say};

/// The list, also when the binary is far from its sources.
const CONTACTS: &str = include_str!("../../../examples/contacts.csv");
/// The callees' time, unless OUTDIAL_SIMULATED_SPEED says otherwise: a no-answer takes most of a
/// minute, and nobody wants to watch that.
const SPEED: f64 = 8.0;
/// What the trunk between them takes.
const CALLS_PER_SECOND: u32 = 50;
/// Most calls at once: few enough that there is something to see.
const CONCURRENCY: u32 = 25;
/// How long a callee may let it ring, and the unit of SIP's timers, in real time.
const RINGS: Duration = Duration::from_secs(45);
const T1: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Flags of `outdial demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End when the batch is completed, instead of leaving the server up to look around.
    #[arg(long)]
    exit: bool,
}

/// Runs it.
pub(crate) async fn run(args: &DemoArgs, config: &Config) -> Result<ExitCode> {
    let directory = tempfile::tempdir().context("no temporary directory can be made")?;
    let mut config = config.clone();
    config.database.url = DatabaseUrl::Sqlite(directory.path().join("demo.db"));
    config.database.state_dir = None;
    "127.0.0.1:0".clone_into(&mut config.server.listen);
    let speed = match config.simulated.speed {
        speed if speed == Config::default().simulated.speed => SPEED,
        speed => speed,
    };
    let hurried = Hurried(speed);
    config.sip = SipConfig {
        listen: LOOPBACK,
        rtp_ports: PortRange { first: 0, last: 0 },
        t1: Some(hurried.by(T1)),
        ..SipConfig::default()
    };
    let mut callees = CalleeConfig::new(LOOPBACK);
    callees.speed = speed;
    let callees = Callee::open(callees, Arc::new(SystemClock::new()), Arc::new(OsEntropy));
    let callees = callees.await.context("the callees")?;
    let database = database::open_serve(&config).await?;
    let store = database.store();
    let server = Server::start(&config, database).await?;
    // Ctrl-C at any moment: the server is drained, the directory removed.
    tokio::select! {
        done = journey(&server, &*store, &callees, &hurried, args.exit) => done?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    server.drain().await?;
    Ok(ExitCode::SUCCESS)
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Times of the demo, so many times shorter than real ones.
struct Hurried(f64);

impl Hurried {
    fn by(&self, real: Duration) -> Duration {
        real.div_f64(self.0).max(Duration::from_millis(1))
    }
}

/// From a workspace to the summary; without `exit` it then waits for ever.
async fn journey(
    server: &Server,
    store: &dyn Store,
    callees: &Callee,
    hurried: &Hurried,
    exit: bool,
) -> Result<()> {
    // The law of the called person's place protects persons, and here are none.
    let (_, key) = workspace::create(store, "Demo", CallingRules::Off).await?;
    let url = server.url();
    let client = Client::new(&url, &key)?;
    say("Outdial demo: 200 contacts, called over SIP on this machine. No telephone is touched.\n");
    say(format_args!("server     {url}"));
    say(format_args!("callees    sip:{}", callees.udp_addr()));

    let trunk = make_trunk(&client, callees, hurried).await?;
    let batch = make_batch(&client, &trunk).await?;
    say(format_args!("batch      {batch}"));
    let contacts = Contacts::from_csv(CONTACTS.as_bytes()).context("the demo's list")?;
    let body = add_body(&batch, &contacts, None);
    let data = upload(&client, body, &new_idempotency_key()).await?;
    say(format_args!("added      {} contacts of examples/contacts.csv\n", data["added"]));

    watch(&client, &batch).await?;
    say(table(&client.dispositions(&batch).await?));
    say(format_args!("\nThe callees saw {} INVITEs.", callees.invites().len()));
    if !exit {
        say(look_around(&url, &key, &client.me().await?.user_id, &batch));
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// A trunk to the callees: its id.
async fn make_trunk(client: &Client, callees: &Callee, hurried: &Hurried) -> Result<Value> {
    let to = callees.udp_addr();
    let rings = u64::try_from(hurried.by(RINGS).as_millis())?.max(1_000);
    let trunk = client
        .post(
            "/api/trunks",
            &json!({
                "name": "Callees of the demo", "host": to.ip(), "port": to.port(),
                "callsPerSecond": CALLS_PER_SECOND, "channels": CONCURRENCY,
                "ringTimeoutMs": rings,
            }),
        )
        .await?;
    Ok(trunk["_id"].clone())
}

/// An agent, a calling number that leads to it over the trunk, a batch with that number: its id.
async fn make_batch(client: &Client, trunk: &Value) -> Result<String> {
    let variable = |key: &str, kind: &str| json!({ "key": key, "type": kind, "required": true });
    let agent = client
        .post(
            "/api/agents",
            &json!({
                "name": "Appointment reminder",
                "languages": ["en-US"],
                "variables": [
                    variable("name", "string"),
                    variable("appointment_date", "date"),
                    variable("appointment_time", "string"),
                    variable("clinic", "string"),
                ],
                "connection": {
                    "type": "announcement",
                    "text": "Hello {{name}}, this is {{clinic}}. We expect you on \
                             {{appointment_date}} at {{appointment_time}}.",
                },
            }),
        )
        .await?;
    let user = client.me().await?.user_id;
    let phone = client
        .post(
            "/api/call/add-phone",
            &json!({
                "userId": user, "phoneNumber": "12025550143", "integration": "sip",
                "trunkId": trunk, "agentId": agent["_id"],
            }),
        )
        .await?;
    let batch = client
        .post(
            "/api/call/createBatch",
            &json!({
                "batchName": "Appointment reminders", "callingNumbers": [phone["_id"]],
                "retry": 1, "delay": 2, "concurrency": CONCURRENCY,
            }),
        )
        .await?;
    batch.as_str().map(str::to_owned).context("the server's answer has no batch id")
}

async fn watch(client: &Client, batch: &str) -> Result<()> {
    let mut bar = Progress::new("called", 0, false);
    loop {
        let progress = client.progress(batch).await?;
        let done = progress.total.saturating_sub(progress.unfinished);
        bar.update(done, progress.total, &progress.status);
        if progress.status == "completed" {
            bar.finish();
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn look_around(url: &str, key: &str, user: &str, batch: &str) -> String {
    let filter = json!({ "callStatus": Value::from("no-answer") });
    format!(
        "\nThe server stays up until Ctrl-C. To look around:\n\n\
         curl -H 'x-api-key: {key}' {url}/api/call/batches/{user}\n\
         curl -H 'x-api-key: {key}' {url}/api/call/batch-details/{batch}?limit=3\n\
         curl -H 'x-api-key: {key}' -G {url}/api/call/batch-details/{batch} \
         --data-urlencode 'filter={filter}'"
    )
}
