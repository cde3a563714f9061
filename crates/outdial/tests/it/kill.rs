//! `kill -9` at random moments, twenty times: no acknowledged call is missing, nobody is called
//! twice, the totals add up, the batch ends.
//!
//! Each round takes in 20,000 records while another batch is being dialed, is killed once in the
//! middle of that and once while dialing goes on, and starts again on the same database. What was
//! placed is proved by the carrier's own log, which outlives every process. `OUTDIAL_KILL_SEED`
//! repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Home, Server, lines_in, monotonic, records, try_send};

const ROUNDS: u64 = 20;
const RECORDS: u64 = 20_000;
const DIALED: u64 = 300;
/// First of the numbers that are taken in, and of those that are dialed.
const STORED_FROM: u64 = 13_105_500_000;
const DIALED_FROM: u64 = 12_125_550_000;
const RETRY: usize = 1;
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn nothing_is_lost_and_nobody_is_called_twice() {
    let seed = std::env::var("OUTDIAL_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OUTDIAL_KILL_SEED={seed}");
    let mut chance = Chance(seed);
    // How long an undisturbed ingest takes here; kills are spread over it.
    let undisturbed = Round::new(&mut chance, 0, Duration::from_secs(600)).run(false);
    for round in 1..=ROUNDS {
        let round = Round::new(&mut chance, round, undisturbed);
        println!("{round:?}");
        round.run(true);
    }
}

/// Random numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Up to `longest`.
    fn wait(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.next() % (longest.as_millis() as u64).max(1))
    }
}

/// What one round does.
#[derive(Debug)]
struct Round {
    number: u64,
    /// In how many requests the records come.
    requests: u64,
    /// Whether those carry an Idempotency-Key.
    keyed: bool,
    /// From the beginning of the ingest to the first kill.
    first_kill: Duration,
    /// From the restart to the second.
    second_kill: Duration,
}

/// One request of the ingest.
struct Request {
    key: Option<String>,
    body: Vec<u8>,
    count: u64,
    /// What it was answered, when it was.
    answer: Option<Answer>,
}

impl Round {
    fn new(chance: &mut Chance, number: u64, ingest: Duration) -> Self {
        Self {
            number,
            requests: if number.is_multiple_of(2) { 1 } else { 10 },
            keyed: (number / 2).is_multiple_of(2),
            first_kill: chance.wait(ingest),
            second_kill: chance.wait(Duration::from_millis(1500)),
        }
    }

    /// Runs it; how long the ingest took until it was through or killed.
    fn run(&self, kills: bool) -> Duration {
        let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "200")]);
        let mut server = home.serve();
        let number = server.make_number();
        let stored = server.make_batch(&number, &json!({}));
        // Stopped, so that it is known when its ingest is at work and when the dialer is.
        let stop = json!({ "batchId": stored, "userId": home.user });
        server.post("/api/call/stop-calling", &stop).expect(200);
        let dialed = self.start_dialing(&server, &number);
        let mut requests = self.requests_for(&stored);

        let limit = if kills { self.first_kill } else { LIMIT };
        let (took, finished) = send_all(&server, &home.key, &mut requests, limit);
        if kills {
            server.kill9();
            requests = finished.recv_timeout(LIMIT).expect("requests end with the server");
            server = home.serve();
            check_acknowledged(&server, &stored, &requests);
        } else {
            requests = finished.recv_timeout(LIMIT).expect("requests end");
        }
        repeat_unanswered(&server, &mut requests);
        check_stored(&server, &stored, &requests);

        if kills {
            // The dialer is at work, or done; either way this may come at any moment.
            let (_, over) = mpsc::channel::<()>();
            let _timeout = over.recv_timeout(self.second_kill);
            server.kill9();
            server = home.serve();
        }
        server.wait_completed(&dialed, LIMIT);
        check_dialed(&server, &dialed, &home);
        check_stored(&server, &stored, &requests);
        took
    }

    /// A batch with one retry that is being called from now on; acknowledged before anything ends.
    fn start_dialing(&self, server: &Server<'_>, number: &str) -> String {
        let batch = server.make_batch(number, &json!({ "retry": RETRY, "delay": 1 }));
        let body = json!({ "batchId": batch, "call_data": dialed_records() });
        let data = server.post("/api/call/addCallsToBatch", &body).expect(200);
        assert_eq!(data["data"]["added"], DIALED);
        batch
    }

    fn requests_for(&self, batch: &str) -> Vec<Request> {
        let count = RECORDS / self.requests;
        (0..self.requests)
            .map(|i| {
                let call_data = records(STORED_FROM + i * count, count);
                let body = json!({ "batchId": batch, "call_data": call_data });
                let key = self.keyed.then(|| format!("round-{}-{i}", self.number));
                Request { key, body: body.to_string().into_bytes(), count, answer: None }
            })
            .collect()
    }
}

/// Contacts of every row of the simulated table but the network's refusals, whose waits are in real
/// time and would only make the rounds longer.
fn dialed_records() -> Vec<Value> {
    let mut all = records(DIALED_FROM, DIALED * 2);
    all.retain(|r| !matches!(&r["phoneNumber"].as_str().unwrap()[9..], "93" | "94" | "95"));
    all.truncate(DIALED as usize);
    all
}

/// Sends the requests on a thread, two at a time; returns when they are through or `limit` is over:
/// how long that took, and where the requests come back.
fn send_all(
    server: &Server<'_>,
    key: &str,
    requests: &mut Vec<Request>,
    limit: Duration,
) -> (Duration, mpsc::Receiver<Vec<Request>>) {
    let (give_back, finished) = mpsc::channel();
    let (through, is_through) = mpsc::channel();
    let (url, key) = (server.url.clone(), key.to_owned());
    let mut requests = std::mem::take(requests);
    let start = monotonic();
    std::thread::spawn(move || {
        let half = requests.len().div_ceil(2);
        std::thread::scope(|scope| {
            for part in requests.chunks_mut(half) {
                scope.spawn(|| part.iter_mut().for_each(|r| r.send(&url, &key)));
            }
        });
        let _killed_first = through.send(());
        let _nobody = give_back.send(requests);
    });
    let _timeout = is_through.recv_timeout(limit);
    (monotonic() - start, finished)
}

impl Request {
    /// Sends it once; without an answer it stays unanswered.
    fn send(&mut self, url: &str, key: &str) {
        let header = self.key.as_deref().map(|key| ("idempotency-key", key));
        let headers: Vec<_> = header.into_iter().collect();
        let path = "/api/call/addCallsToBatch";
        self.answer = try_send(url, key, "POST", path, &headers, self.body.clone()).ok();
    }

    fn ids(&self) -> Vec<String> {
        let Some(answer) = &self.answer else { return Vec::new() };
        let ids = answer.body["data"]["callIds"].as_array().unwrap();
        ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }
}

/// I2: every id that was acknowledged is there after the crash.
fn check_acknowledged(server: &Server<'_>, batch: &str, requests: &[Request]) {
    let there = ids_of(&server.all_calls(batch));
    for request in requests.iter().filter(|r| r.answer.is_some()) {
        let lost: Vec<_> = request.ids().into_iter().filter(|id| !there.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}

/// Does what the documents say: sends again what was not answered, with the same bytes. One that
/// was answered under a key gets the same answer again.
fn repeat_unanswered(server: &Server<'_>, requests: &mut [Request]) {
    for request in requests {
        let headers: Vec<_> = request.key.iter().map(|k| ("idempotency-key", k.as_str())).collect();
        if request.answer.is_some() && headers.is_empty() {
            continue;
        }
        let body = request.body.clone();
        let path = "/api/call/addCallsToBatch";
        let answer = server.try_send("POST", path, &headers, body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        if let Some(earlier) = &request.answer {
            assert_eq!(earlier, &answer, "the same key, another answer");
        }
        assert_eq!(answer.body["data"]["added"], request.count);
        request.answer = Some(answer);
    }
}

/// The batch holds what was acknowledged, and nothing twice.
fn check_stored(server: &Server<'_>, batch: &str, requests: &[Request]) {
    let calls = server.all_calls(batch);
    let mut answered: Vec<String> = requests.iter().flat_map(Request::ids).collect();
    answered.sort();
    assert_eq!(calls.len() as u64, RECORDS);
    let there: Vec<String> = ids_of(&calls).into_iter().collect();
    assert!(answered == there, "the ids answered are not the ids stored");
    let numbers: BTreeSet<&str> =
        calls.iter().map(|c| c["phoneNumber"].as_str().unwrap()).collect();
    assert_eq!(numbers.len() as u64, RECORDS, "a number twice");
    assert_eq!(server.count(batch, &["pending"]), RECORDS);
}

/// I1, I2, I3 by the carrier's log and the histories.
fn check_dialed(server: &Server<'_>, batch: &str, home: &Home) {
    let calls = server.all_calls(batch);
    assert_eq!(calls.len() as u64, DIALED);
    let placed = placed(home);
    for call in &calls {
        let number = call["phoneNumber"].as_str().unwrap();
        let tokens = placed.get(number).map(Vec::as_slice).unwrap_or_default();
        assert!(tokens.len() <= RETRY + 1, "{number} was called {} times", tokens.len());
        check_history(server, call, tokens);
    }
    let mut sum = 0;
    for disposition in outdial_core::outcome::Disposition::ALL {
        sum += server.count(batch, &[disposition.as_str()]);
    }
    assert_eq!(sum, DIALED, "dispositions add up to the batch");
    assert_eq!(server.count(batch, &["pending", "dialing", "ringing", "in-progress"]), 0);
}

/// The history of a call tells of every attempt that the carrier saw, one after the other, and none
/// after one whose outcome is unknown.
fn check_history(server: &Server<'_>, call: &Value, tokens: &[String]) {
    let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
    let details = server.get(&path).expect(200);
    let attempts = details["data"]["attempts"].as_array().unwrap();
    let text = |a: &Value, key: &str| a[key].as_str().unwrap_or_default().to_owned();
    let known: Vec<String> =
        attempts.iter().map(|a| text(a, "requestUUID").replace('-', "")).collect();
    let unknown_to_us: Vec<_> = tokens.iter().filter(|t| !known.contains(t)).collect();
    assert!(unknown_to_us.is_empty(), "placed, but in no history: {unknown_to_us:?} {details}");
    let charged = attempts.iter().filter(|a| a["charged"] == true).count();
    assert!(charged <= RETRY + 1, "{details}");
    for pair in attempts.windows(2) {
        assert!(text(&pair[0], "endedAt") <= text(&pair[1], "sendAt"), "overlap: {details}");
        assert_ne!(text(&pair[0], "disposition"), "unknown", "redialed: {details}");
    }
}

/// What the carrier was asked to place over all lives: number → tokens. No attempt twice.
fn placed(home: &Home) -> BTreeMap<String, Vec<String>> {
    let mut attempts = BTreeSet::new();
    let mut placed = BTreeMap::<String, Vec<String>>::new();
    for line in lines_in(&home.carrier_log()) {
        let words: Vec<&str> = line.split(' ').collect();
        let [attempt, number, token] = words[..] else { panic!("{line}") };
        assert!(attempts.insert(attempt.to_owned()), "attempt {attempt} was placed twice");
        placed.entry(number.to_owned()).or_default().push(token.to_owned());
    }
    placed
}

fn ids_of(calls: &[Value]) -> BTreeSet<String> {
    calls.iter().map(|c| c["_id"].as_str().unwrap().to_owned()).collect()
}
