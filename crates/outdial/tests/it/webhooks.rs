//! Webhooks as their receivers meet them: verified by a package that is not ours, through kills of
//! the server and of the receiver (I8, F7, F35).

mod failing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE, Server, monotonic, wait_for};
use crate::kill::contacts;
use crate::postgres::Postgres;

/// Of bytes 1 to 32, in base64.
const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const OTHER_SECRET: &str = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const OPEN: [(&str, &str); 3] = [
    ("OUTDIAL_SIMULATED_SPEED", "50"),
    ("OUTDIAL_WEBHOOKS_ALLOW_HTTP", "true"),
    ("OUTDIAL_WEBHOOKS_ALLOW_PRIVATE", "true"),
];
/// Where the numbers called begin.
const NUMBERS: u64 = 12_125_550_000;
/// For what waits for retries of deliveries and of calls.
const LONG: Duration = Duration::from_secs(240);

/// A receiver, its port and its log outliving its processes.
struct Receiver {
    port: u16,
    log: PathBuf,
    secrets: Vec<&'static str>,
    process: Option<Child>,
}

/// What came: one delivery at one try.
#[derive(Debug)]
struct Came {
    path: String,
    id: String,
    verified: Vec<bool>,
    body: Value,
}

impl Came {
    fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    fn sequence(&self) -> u64 {
        self.body["data"]["sequence"].as_u64().unwrap()
    }

    fn batch(&self) -> String {
        self.body["data"]["batchId"].as_str().unwrap_or_default().to_owned()
    }
}

impl Receiver {
    fn start(home: &Home, secrets: &[&'static str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = home.path("receiver.log");
        std::fs::write(&log, "").unwrap();
        let mut receiver = Self { port: free, log, secrets: secrets.to_vec(), process: None };
        receiver.restart();
        receiver
    }

    /// SIGKILL.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn restart(&mut self) {
        self.kill();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/webhooks/receiver.py");
        let mut python = Command::new(python());
        python.arg(script).arg(self.port.to_string()).arg(&self.log).args(&self.secrets);
        self.process = Some(python.stdin(Stdio::null()).spawn().unwrap());
        let address = ("127.0.0.1", self.port);
        wait_for("the receiver", PATIENCE, || std::net::TcpStream::connect(address).ok());
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything that came here; all of it verified.
    fn came(&self, path: &str) -> Vec<Came> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        // A kill may have torn the last line.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let all = lines.map(|line| Came {
            path: line["path"].as_str().unwrap().to_owned(),
            id: line["id"].as_str().unwrap().to_owned(),
            verified: serde_json::from_value(line["verified"].clone()).unwrap(),
            body: line["body"].clone(),
        });
        let came: Vec<Came> = all.filter(|came| came.path == path).collect();
        assert!(came.iter().all(|c| c.verified.contains(&true)), "not verified: {came:?}");
        came
    }

    fn wait_for(&self, what: &str, path: &str, enough: impl Fn(&[Came]) -> bool) -> Vec<Came> {
        wait_for(what, LONG, || Some(self.came(path)).filter(|came| enough(came)))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The interpreter of the tests' packages, which `cargo xtask test` installs.
fn python() -> PathBuf {
    let build = Path::new(env!("CARGO_BIN_EXE_outdial")).ancestors().nth(2).unwrap();
    let python = build.join("python/bin/python3");
    assert!(python.exists(), "{}: `cargo xtask test` makes it", python.display());
    python
}

fn make_webhook(server: &Server<'_>, url: &str, more: &Value) -> String {
    let mut body = json!({ "url": url, "secret": SECRET });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = server.post("/api/webhooks", &body).expect(201);
    assert_eq!(made["data"]["enabled"], true);
    made["data"]["_id"].as_str().unwrap().to_owned()
}

fn webhook(server: &Server<'_>, id: &str) -> Value {
    server.get(&format!("/api/webhooks/{id}")).expect(200)["data"].clone()
}

fn patch(server: &Server<'_>, id: &str, body: &Value) -> Value {
    let path = format!("/api/webhooks/{id}");
    let answer = server.try_send("PATCH", &path, &[], body.to_string().into_bytes());
    answer.unwrap().expect(200)["data"].clone()
}

fn add(server: &Server<'_>, batch: &str, first: u64, count: u64) {
    let body = json!({ "batchId": batch, "call_data": contacts(NUMBERS + first, count) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
}

/// The same id is the same event, and sequences have no gap.
fn check_whole(came: &[Came]) {
    let mut seen: BTreeMap<&str, &Came> = BTreeMap::new();
    let mut sequences: BTreeMap<String, BTreeMap<u64, &str>> = BTreeMap::new();
    for delivery in came {
        let first = seen.entry(&delivery.id).or_insert(delivery);
        assert_eq!(first.body, delivery.body, "the same id, another body");
        let of_batch = sequences.entry(delivery.batch()).or_default();
        let id = of_batch.entry(delivery.sequence()).or_insert(&delivery.id);
        assert_eq!(*id, delivery.id, "a sequence twice");
    }
    for (batch, numbers) in sequences {
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert!(numbers.keys().copied().eq(expected), "a gap in {batch}: {numbers:?}");
    }
}

fn finished(came: &[Came]) -> BTreeMap<String, String> {
    let finished = came.iter().filter(|c| c.kind() == "call.finished");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    finished
        .map(|c| (text(&c.body["data"]["callId"]), text(&c.body["data"]["callStatus"])))
        .collect()
}

/// Calls a batch while server and receiver are killed in turns; every final event arrives.
fn through_kills(home: &Home, count: u64) {
    let mut server = home.serve();
    let mut receiver = Receiver::start(home, &[SECRET]);
    make_webhook(&server, &receiver.url("/all"), &json!({}));
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "retry": 1, "delay": 1, "concurrency": 40 }));
    for round in 1..=4 {
        let before = receiver.came("/all").len();
        add(&server, &batch, round * 1_000, count / 4);
        receiver.wait_for("more events", "/all", |came| came.len() > before + 5);
        if round % 2 == 0 {
            receiver.kill();
        }
        server.kill9();
        server = home.serve();
        if round % 2 == 0 {
            receiver.restart();
        }
        let before = receiver.came("/all").len();
        receiver.wait_for("more events", "/all", |came| came.len() > before);
        receiver.restart();
    }
    server.wait_completed(&batch, LONG);
    let expected: BTreeMap<String, String> = server
        .all_calls(&batch)
        .iter()
        .map(|call| {
            let text = |key: &str| call[key].as_str().unwrap().to_owned();
            (text("_id"), text("callStatus"))
        })
        .collect();
    assert_eq!(expected.len() as u64, count);
    let came = receiver.wait_for("every final event", "/all", |came| {
        finished(came).len() as u64 == count && came.iter().any(|c| c.kind() == "batch.completed")
    });
    assert_eq!(finished(&came), expected);
    // What was under way when the last came may close a gap.
    let no_gap = |came: &[Came]| {
        let of_batch: BTreeSet<u64> =
            came.iter().filter(|c| c.batch() == batch).map(Came::sequence).collect();
        of_batch.last().copied() == Some(of_batch.len() as u64)
    };
    check_whole(&receiver.wait_for("no gap", "/all", no_gap));
}

#[test]
fn every_final_event_arrives_through_kills_of_both() {
    through_kills(&Home::new(&OPEN), 200);
}

#[test]
fn every_final_event_arrives_through_kills_of_both_on_postgres() {
    let postgres = Postgres::start(&[]);
    postgres.psql("CREATE DATABASE webhooks");
    through_kills(&Home::on_postgres(&postgres.url_of("webhooks"), &OPEN), 100);
}

/// Another node on the database of this one.
fn second_node(first: &Home, url: &str) -> Home {
    let mut home = Home::at(tempfile::tempdir().unwrap());
    home.move_to(url);
    OPEN.iter().for_each(|(name, value)| home.set(name, value));
    home.set("OUTDIAL_SERVER_NODE_NAME", "second");
    (home.key, home.user) = (first.key.clone(), first.user.clone());
    home.workspace.clone_from(&first.workspace);
    home
}

#[test]
fn of_two_nodes_one_sends_and_either_goes_on_alone() {
    let postgres = Postgres::start(&[]);
    postgres.psql("CREATE DATABASE webhooks");
    let url = postgres.url_of("webhooks");
    let mut home = Home::on_postgres(&url, &OPEN);
    home.set("OUTDIAL_SERVER_NODE_NAME", "first");
    let second = second_node(&home, &url);
    let (doomed, server) = (home.serve(), second.serve());
    let mut receiver = Receiver::start(&home, &[SECRET]);
    make_webhook(&server, &receiver.url("/all"), &json!({}));
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 40 }));
    let is_whole = |came: &[Came], count: usize| {
        let ids: BTreeSet<&str> = came.iter().map(|c| c.id.as_str()).collect();
        let sequences: BTreeSet<u64> = came.iter().map(Came::sequence).collect();
        finished(came).len() == count
            && came.iter().any(|c| c.kind() == "batch.completed")
            && sequences.last().copied() == Some(ids.len() as u64)
    };
    add(&server, &batch, 1, 100);
    server.wait_completed(&batch, LONG);
    let came = receiver.wait_for("every event", "/all", |came| is_whole(came, 100));
    check_whole(&came);
    let ids: BTreeSet<&str> = came.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids.len(), came.len(), "while both are well, each event is sent once");

    // What one of them had in hand when it was killed, the other sends.
    let before = came.len();
    receiver.kill();
    add(&server, &batch, 2_000, 60);
    wait_for("deliveries that fail", LONG, || {
        let failing = server.get("/api/webhooks").expect(200);
        failing["data"]["webhooks"][0].get("failingSince").map(|_| ())
    });
    receiver.restart();
    receiver.wait_for("more events", "/all", |came| came.len() > before);
    doomed.kill9();
    server.wait_completed(&batch, LONG);
    check_whole(&receiver.wait_for("the rest", "/all", |came| is_whole(came, 160)));
}

#[test]
fn a_slow_receiver_delays_nobody_else() {
    let mut home = Home::new(&OPEN);
    home.set("OUTDIAL_WEBHOOKS_IN_FLIGHT", "4");
    home.set("OUTDIAL_WEBHOOKS_IN_FLIGHT_PER_ENDPOINT", "2");
    home.set("OUTDIAL_WEBHOOKS_TIMEOUT_MS", "4000");
    let server = home.serve();
    let receiver = Receiver::start(&home, &[SECRET]);
    for _ in 0..3 {
        make_webhook(&server, &receiver.url("/slow"), &json!({}));
    }
    make_webhook(&server, &receiver.url("/quick"), &json!({ "events": ["call.finished"] }));
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 40 }));
    add(&server, &batch, 1, 60);
    server.wait_completed(&batch, LONG);
    // In one queue they would wait for three times sixty tries of four seconds, four at a time.
    let start = monotonic();
    receiver.wait_for("the quick one's", "/quick", |came| finished(came).len() == 60);
    let waited = monotonic() - start;
    assert!(waited < Duration::from_secs(60), "{waited:?}");
    assert!(!receiver.came("/slow").is_empty());
    assert!(receiver.came("/quick").iter().all(|c| c.kind() == "call.finished"));
}

#[test]
fn what_waits_leaves_for_where_its_endpoint_is_by_then() {
    let mut home = Home::new(&OPEN);
    home.set("OUTDIAL_WEBHOOKS_IN_FLIGHT_PER_ENDPOINT", "1");
    home.set("OUTDIAL_WEBHOOKS_TIMEOUT_MS", "5000");
    let server = home.serve();
    let receiver = Receiver::start(&home, &[SECRET]);
    let hook = make_webhook(&server, &receiver.url("/all"), &json!({}));
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    add(&server, &batch, 1, 3);
    server.wait_completed(&batch, LONG);
    let log = format!("/api/webhooks/{hook}/deliveries");
    receiver.wait_for("the last", "/all", |came| {
        let delivered = server.query(&log, &[("state", "delivered")]).expect(200);
        let total = &delivered["data"]["pagination"]["total"];
        came.iter().any(|c| c.kind() == "batch.completed") && *total == came.len()
    });
    // All are due at once: one is on its way, another waits behind it.
    patch(&server, &hook, &json!({ "url": receiver.url("/slow") }));
    let replay = json!({ "since": "2020-01-01T00:00:00Z" });
    server.post(&format!("/api/webhooks/{hook}/replay"), &replay).expect(200);
    receiver.wait_for("the first", "/slow", |came| !came.is_empty());
    patch(&server, &hook, &json!({ "url": receiver.url("/again") }));
    let all: BTreeSet<String> = receiver.came("/all").into_iter().map(|c| c.id).collect();
    receiver.wait_for("all of them", "/again", |came| {
        all.iter().all(|id| came.iter().any(|c| c.id == *id))
    });
    assert_eq!(receiver.came("/slow").len(), 1);
}

#[test]
fn gone_disables_and_enabling_delivers_what_waited() {
    let home = Home::new(&OPEN);
    let server = home.serve();
    let receiver = Receiver::start(&home, &[SECRET]);
    let gone = make_webhook(&server, &receiver.url("/gone"), &json!({}));
    let told = json!({ "events": ["webhook.disabled"] });
    make_webhook(&server, &receiver.url("/told"), &told);
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    add(&server, &batch, 1, 5);
    let came = receiver.wait_for("the event about it", "/told", |came| !came.is_empty());
    assert_eq!(came[0].body["data"]["webhookId"], gone.as_str());
    let shown = webhook(&server, &gone);
    assert_eq!(shown["enabled"], false);
    assert!(shown["disabledReason"].as_str().unwrap().contains("410"), "{shown}");
    server.wait_completed(&batch, LONG);

    let shown = patch(&server, &gone, &json!({ "url": receiver.url("/again"), "enabled": true }));
    assert_eq!((&shown["enabled"], shown.get("disabledReason")), (&json!(true), None));
    // What happened while it was disabled is not for it; what waited is.
    let before = receiver.came("/gone").iter().map(|c| c.id.clone()).collect::<BTreeSet<_>>();
    let came = receiver.wait_for("what waited", "/again", |came| {
        before.iter().all(|id| came.iter().any(|c| c.id == *id))
    });
    check_whole(&came);
}

#[test]
fn replay_and_the_delivery_log() {
    let home = Home::new(&OPEN);
    let server = home.serve();
    let receiver = Receiver::start(&home, &[SECRET, OTHER_SECRET]);
    let hook = make_webhook(&server, &receiver.url("/all"), &json!({}));
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    add(&server, &batch, 1, 3);
    server.wait_completed(&batch, LONG);
    let first = receiver.wait_for("the last", "/all", |came| {
        came.iter().any(|c| c.kind() == "batch.completed") && finished(came).len() == 3
    });
    assert!(first.iter().all(|c| c.verified == [true, false]));
    let log_path = format!("/api/webhooks/{hook}/deliveries");
    let log = wait_for("all are delivered", PATIENCE, || {
        let log = server.query(&log_path, &[("limit", "100")]).expect(200)["data"].clone();
        let all = log["deliveries"].as_array().unwrap().iter();
        all.clone().all(|d| d["state"] == "delivered").then_some(log)
    });
    let deliveries = log["deliveries"].as_array().unwrap();
    assert_eq!(log["pagination"]["total"], deliveries.len());
    let ids: BTreeSet<&str> = deliveries.iter().map(|d| d["eventId"].as_str().unwrap()).collect();
    let came_ids: BTreeSet<&str> = first.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, came_ids);
    let tried = &deliveries[0]["tries"][0];
    assert_eq!((&tried["status"], &tried["answer"]), (&json!(200), &json!("ok")));

    // With another secret, and the old one good for a while: both verify.
    let rotate = format!("/api/webhooks/{hook}/rotate-secret");
    let body = json!({ "secret": OTHER_SECRET, "oldSecretHours": 1 });
    server.post(&rotate, &body).expect(200);
    let replay = format!("/api/webhooks/{hook}/replay");
    let one = json!({ "deliveryId": deliveries[0]["_id"] });
    assert_eq!(server.post(&replay, &one).expect(200)["data"]["replayed"], 1);
    let came = receiver.wait_for("it again", "/all", |came| came.len() > first.len());
    assert_eq!(came.last().unwrap().verified, [true, true]);
    check_whole(&came);

    // Without the old one only the other does.
    let body = json!({ "secret": OTHER_SECRET, "oldSecretHours": 0 });
    server.post(&rotate, &body).expect(200);
    let all = json!({ "since": "2020-01-01T00:00:00Z" });
    let again = wait_for("all are over", PATIENCE, || {
        let pending = server.query(&log_path, &[("state", "pending")]).expect(200);
        (pending["data"]["pagination"]["total"] == 0)
            .then(|| server.post(&replay, &all).expect(200)["data"]["replayed"].clone())
    });
    assert_eq!(again, deliveries.len());
    let before = came.len();
    let came =
        receiver.wait_for("all again", "/all", |came| came.len() >= before + deliveries.len());
    assert!(came[before..].iter().all(|c| c.verified == [false, true]));
    check_whole(&came);
    server.post(&replay, &json!({})).expect(400);
    let failed = server.post(&replay, &json!({ "failed": true })).expect(200);
    assert_eq!(failed["data"]["replayed"], 0);
}

#[test]
fn without_leave_of_the_operator_only_public_https_is_taken() {
    let home = Home::new(&[]);
    let server = home.serve();
    for url in [
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:192.168.0.1]/",
        "https://2130706433/",
        "https://user@hooks.example.com/",
        "ftp://hooks.example.com/",
    ] {
        let answer = server.post("/api/webhooks", &json!({ "url": url })).expect(400);
        assert!(answer["errorMessage"].as_str().unwrap().contains("url"), "{url}: {answer}");
    }
    // A name that leads inside is refused when it is connected to.
    let hook = server.post("/api/webhooks", &json!({ "url": "https://localhost/" })).expect(201);
    let hook = hook["data"]["_id"].as_str().unwrap();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    add(&server, &batch, 1, 1);
    wait_for("the refusal in the log", PATIENCE, || {
        let log = server.get(&format!("/api/webhooks/{hook}/deliveries")).expect(200);
        let error = log["data"]["deliveries"][0]["tries"][0]["error"].as_str()?.to_owned();
        error.starts_with("forbidden").then_some(())
    });
}
