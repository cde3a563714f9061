//! `kill -9` at random moments, twenty times: no acknowledged call is missing, nobody is called
//! twice, the totals add up, the batch ends.
//!
//! Each round takes in 20,000 records while another batch is being dialed, is killed once in the
//! middle of that and once while dialing goes on, and starts again on the same database; the last
//! one dials the 20,000 too. What was placed is proved by the carrier's own log, which outlives
//! every process. `OUTDIAL_KILL_SEED` repeats a run.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::evidence::{check_dialed, ids_of};
use crate::harness::{Answer, Home, Server, monotonic, records, try_send};
use crate::postgres::Postgres;

const ROUNDS: u64 = 20;
const POSTGRES_ROUNDS: u64 = 4;
const RECORDS: u64 = 20_000;
const DIALED: u64 = 300;
/// First of the numbers that are taken in, and of those that are dialed.
const STORED_FROM: u64 = 13_105_500_000;
const DIALED_FROM: u64 = 12_125_550_000;
const RETRY: usize = 1;
/// Few enough that dialing goes on for as long as the kills come.
const CONCURRENCY: u32 = 25;
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn nothing_is_lost_and_nobody_is_called_twice() {
    kills(ROUNDS, None);
}

/// One node of a PostgreSQL, which itself goes on.
#[test]
fn nothing_is_lost_on_postgres_either() {
    kills(POSTGRES_ROUNDS, Some(&Postgres::start(&[])));
}

#[expect(clippy::print_stdout, reason = "the seed, to repeat a failure")]
fn kills(rounds: u64, postgres: Option<&Postgres>) {
    let seed = std::env::var("OUTDIAL_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OUTDIAL_KILL_SEED={seed}");
    let mut chance = Chance(seed);
    // How long an undisturbed ingest takes here; kills are spread over it and a little more.
    let undisturbed = Round::new(&mut chance, 0, LIMIT, postgres).run(false).ingest;
    let rounds: Vec<Round> =
        (1..=rounds).map(|n| Round::new(&mut chance, n, undisturbed * 5 / 4, postgres)).collect();
    // Two at a time: most of a round is waiting for calls.
    let (early, late) = rounds.split_at(rounds.len() / 2);
    let run_all =
        |rounds: &[Round]| -> Vec<Tally> { rounds.iter().map(Round::run_loudly).collect() };
    let tallies = std::thread::scope(|scope| {
        let other = scope.spawn(|| run_all(early));
        let mut tallies = run_all(late);
        tallies.extend(other.join().unwrap());
        tallies
    });
    let half_way = tallies.iter().filter(|t| (1..RECORDS).contains(&t.stored)).count();
    let cut_off: u64 = tallies.iter().map(|t| t.cut_off).sum();
    // Else the kills did not hit what they are meant to hit, and nothing was proved.
    let (ingests, calls) = if postgres.is_some() { (1, 20) } else { (3, 100) };
    assert!(half_way >= ingests, "only {half_way} rounds were killed during the ingest");
    assert!(cut_off >= calls, "only {cut_off} calls were cut off");
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
    /// Where its database is a server's.
    url: Option<String>,
}

/// What the kills of a round hit.
#[derive(Debug)]
struct Tally {
    /// How long the ingest took until it was through or killed.
    ingest: Duration,
    /// Requests that were answered before the first kill.
    answered: usize,
    /// Records that were stored by then.
    stored: u64,
    /// Calls that were on their way at a kill.
    cut_off: u64,
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
    fn new(
        chance: &mut Chance,
        number: u64,
        ingest: Duration,
        postgres: Option<&Postgres>,
    ) -> Self {
        let url = postgres.map(|server| {
            let database = format!("round{number}");
            server.psql(&format!("CREATE DATABASE {database}"));
            server.url_of(&database)
        });
        Self {
            url,
            number,
            requests: if number.is_multiple_of(2) { 1 } else { 10 },
            keyed: (number / 2).is_multiple_of(2),
            first_kill: chance.wait(ingest),
            second_kill: chance.wait(Duration::from_millis(1500)),
        }
    }

    /// Runs it with its kills, and tells what they hit.
    #[expect(clippy::print_stdout, reason = "the seed and what it led to, to repeat a failure")]
    fn run_loudly(&self) -> Tally {
        let tally = self.run(true);
        let Tally { ingest, answered, stored, cut_off } = &tally;
        println!("{self:?}");
        println!(
            "    after {ingest:?} {answered} answered, {stored} stored; {cut_off} calls cut off"
        );
        tally
    }

    /// Runs it, with kills or for comparison without.
    fn run(&self, kills: bool) -> Tally {
        let settings = [("OUTDIAL_SIMULATED_SPEED", "50")];
        let home = match &self.url {
            Some(url) => Home::on_postgres(url, &settings),
            None => Home::new(&settings),
        };
        let mut server = home.serve();
        let number = server.make_number();
        let stored = server.make_batch(&number, &json!({}));
        let both = json!({ "batchId": stored, "userId": home.user });
        // Stopped, so that it is known when its ingest is at work and when the dialer is.
        server.post("/api/call/stop-calling", &both).expect(200);
        let dialed = self.start_dialing(&server, &number);
        let requests = self.requests_for(&stored);

        let limit = if kills { self.first_kill } else { LIMIT };
        let (ingest, finished) = send_all(&server, &home.key, requests, limit);
        if kills {
            server.kill9();
            server = home.serve();
        }
        let mut requests = finished.recv_timeout(LIMIT).expect("requests end with their server");
        let answered = requests.iter().filter(|r| r.answer.is_some()).count();
        let stored_by_then = check_acknowledged(&server, &stored, &requests);
        repeat_unanswered(&server, &mut requests);
        check_stored(&server, &stored, &requests);

        if kills {
            server = kill_within(server, self.second_kill, &home);
        }
        server.wait_completed(&dialed, LIMIT);
        let mut cut_off = check_dialed(&server, &dialed, &home, DIALED, RETRY);
        assert_eq!(server.count(&stored, &["pending"]), RECORDS, "all wait to be started");
        if self.number == ROUNDS {
            server.post("/api/call/start-calling", &both).expect(200);
            server = kill_within(server, self.second_kill, &home);
            server.wait_completed(&stored, LIMIT);
            cut_off += check_dialed(&server, &stored, &home, RECORDS, 0);
        }
        Tally { ingest, answered, stored: stored_by_then, cut_off }
    }

    /// A batch with one retry that is being called from now on; acknowledged before anything ends.
    fn start_dialing(&self, server: &Server<'_>, number: &str) -> String {
        let batch = server
            .make_batch(number, &json!({ "retry": RETRY, "delay": 1, "concurrency": CONCURRENCY }));
        let body = json!({ "batchId": batch, "call_data": contacts(DIALED_FROM, DIALED) });
        let data = server.post("/api/call/addCallsToBatch", &body).expect(200);
        assert_eq!(data["data"]["added"], DIALED);
        batch
    }

    fn requests_for(&self, batch: &str) -> Vec<Request> {
        let count = RECORDS / self.requests;
        (0..self.requests)
            .map(|i| {
                // Twice as many numbers as are needed: some are left out.
                let call_data = contacts(STORED_FROM + i * count * 2, count);
                let body = json!({ "batchId": batch, "call_data": call_data });
                let key = self.keyed.then(|| format!("round-{}-{i}", self.number));
                Request { key, body: body.to_string().into_bytes(), count, answer: None }
            })
            .collect()
    }
}

/// `count` contacts of every row of the simulated table but the network's refusals, whose waits are
/// in real time and would only make the rounds longer.
pub(crate) fn contacts(first: u64, count: u64) -> Vec<Value> {
    let mut all = records(first, count * 2);
    all.retain(|r| !matches!(&r["phoneNumber"].as_str().unwrap()[9..], "93" | "94" | "95"));
    all.truncate(usize::try_from(count).unwrap());
    all
}

/// The next life of a server that is killed after `wait`, whatever it is doing then.
fn kill_within<'a>(server: Server<'a>, wait: Duration, home: &'a Home) -> Server<'a> {
    let (_open, never) = mpsc::channel::<()>();
    let _timeout = never.recv_timeout(wait);
    server.kill9();
    home.serve()
}

/// Sends the requests on a thread, two at a time; returns when they are through or `limit` is over:
/// how long that took, and where the requests come back.
fn send_all(
    server: &Server<'_>,
    key: &str,
    mut requests: Vec<Request>,
    limit: Duration,
) -> (Duration, mpsc::Receiver<Vec<Request>>) {
    let (give_back, finished) = mpsc::channel();
    let (through, is_through) = mpsc::channel();
    let (url, key) = (server.url.clone(), key.to_owned());
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

/// I2: every id that was acknowledged is there after the crash. How many there are in all.
fn check_acknowledged(server: &Server<'_>, batch: &str, requests: &[Request]) -> u64 {
    let there = ids_of(&server.all_calls(batch));
    for request in requests.iter().filter(|r| r.answer.is_some()) {
        let lost: Vec<_> = request.ids().into_iter().filter(|id| !there.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
    there.len() as u64
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
}
