//! F46: fifty clients at once start, stop, edit, cancel, add and delete while calls run. Every
//! answer is one that the documents know, no change is lost, the numbers add up at every moment,
//! and nobody is called later than two seconds after a stop or a delete was answered.
//!
//! `OUTDIAL_STORM_SEED` repeats what is asked, though not when.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::evidence::{ids_of, placed};
use crate::faulty_disk::{ids, talkers};
use crate::harness::{Home, PATIENCE, Server, lines_in, monotonic, try_send, wait_for};

/// The last of them is deleted half-way.
const BATCHES: usize = 3;
const CLIENTS: usize = 50;
const LASTS: Duration = Duration::from_secs(8);
const FIRST: u64 = 12_125_000_000;
/// Numbers that a batch may have.
const NUMBERS: u64 = 100_000;
const FILLED: u64 = 150;
/// Fields with one client each, who alone changes it: what it was told last must stand.
const FIELDS: [(&str, u64); 4] =
    [("concurrency", 30), ("weight", 100), ("maxCallSeconds", 500), ("delay", 3000)];

/// What the clients share.
struct Storm<'a> {
    server: &'a Server<'a>,
    home: &'a Home,
    batches: Vec<String>,
    is_over: AtomicBool,
    /// By batch.
    acknowledged: Vec<Mutex<BTreeSet<String>>>,
    /// Answers by what was asked and their status.
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

/// Ends the storm when whoever holds it panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn fifty_clients_at_once_lose_nothing_and_what_is_stopped_stays_silent() {
    let seed = std::env::var("OUTDIAL_STORM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OUTDIAL_STORM_SEED={seed}");
    // One key for all of them: how often that may ask is not what is looked at here.
    let unlimited = ("OUTDIAL_SERVER_KEY_REQUESTS_PER_S", "0");
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "10"), unlimited]);
    let server = home.serve();
    let storm = Storm::new(&server, &home);

    let told = std::thread::scope(|scope| {
        let storm = &storm;
        // The storm is over as soon as anybody breaks down; else nobody would ever be told.
        let _over = Over(&storm.is_over);
        scope.spawn(|| storm.observe());
        for client in 0..CLIENTS {
            let chance = Chance(seed.wrapping_add(client as u64));
            scope.spawn(move || storm.meddle(client, chance));
        }
        let fields: Vec<_> = (0..BATCHES - 1)
            .flat_map(|batch| FIELDS.map(|field| (batch, field)))
            .map(|(batch, field)| scope.spawn(move || storm.edit(batch, field)))
            .collect();
        storm.delete_half_way();
        fields.into_iter().map(|f| f.join().unwrap()).collect::<Vec<_>>()
    });
    println!("{:?}", storm.answers.lock().unwrap());

    storm.stop_for_good();
    for (batch, field, last) in told {
        let data = storm.shown(batch);
        assert_eq!(data[field], last, "lost: {data}");
    }
    storm.everything_ends();
}

impl<'a> Storm<'a> {
    fn new(server: &'a Server<'a>, home: &'a Home) -> Self {
        let number = server.make_number();
        let more = json!({ "retry": 1, "delay": 1, "concurrency": 20 });
        let batches: Vec<_> = (0..BATCHES).map(|_| server.make_batch(&number, &more)).collect();
        let storm = Self {
            server,
            home,
            acknowledged: batches.iter().map(|_| Mutex::default()).collect(),
            batches,
            is_over: AtomicBool::new(false),
            answers: Mutex::default(),
        };
        for batch in 0..BATCHES {
            storm.add(batch, 0, FILLED);
        }
        storm
    }

    /// Asks, and counts the answer, which must be a documented one.
    fn ask(&self, what: &'static str, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        let answer = try_send(&self.server.url, &self.home.key, method, path, &[], body).unwrap();
        let documented = [200, 400, 404, 409, 422, 429];
        assert!(documented.contains(&answer.status), "{what} {path}: {answer:?}");
        let mut answers = self.answers.lock().unwrap();
        *answers.entry((what, answer.status)).or_default() += 1;
        drop(answers);
        let status = answer.status;
        let mut body = answer.body;
        body["is200"] = json!(status == 200);
        body
    }

    fn both(&self, batch: usize) -> Value {
        json!({ "batchId": self.batches[batch], "userId": self.home.user })
    }

    fn add(&self, batch: usize, from: u64, count: u64) {
        let call_data = talkers(FIRST + batch as u64 * NUMBERS + from, count);
        let body = json!({ "batchId": self.batches[batch], "call_data": call_data });
        let answer = self.ask("add", "POST", "/api/call/addCallsToBatch", Some(&body));
        if answer["is200"] == true {
            self.acknowledged[batch].lock().unwrap().extend(ids(&answer));
        }
    }

    /// One of the fifty.
    fn meddle(&self, client: usize, mut chance: Chance) {
        let _over = Over(&self.is_over);
        while !self.is_over.load(Ordering::Relaxed) {
            let batch = (chance.below(BATCHES as u64)) as usize;
            let path = format!("/api/call/batch/{}", self.batches[batch]);
            match chance.below(10) {
                0..=2 => {
                    self.ask("start", "POST", "/api/call/start-calling", Some(&self.both(batch)));
                }
                3 | 4 => {
                    self.ask("stop", "POST", "/api/call/stop-calling", Some(&self.both(batch)));
                }
                // New ones and old ones; those that are finished are called again.
                5 | 6 => {
                    let from = client as u64 * 200 + chance.below(2) * 100 + chance.below(60);
                    self.add(batch, from, 5);
                }
                7 => {
                    let patch = json!({ "batchName": format!("by {client}") });
                    self.ask("edit", "PATCH", &path, Some(&patch));
                }
                8 => {
                    let known = self.acknowledged[batch].lock().unwrap();
                    let nth = chance.below(known.len() as u64) as usize;
                    let call = known.iter().nth(nth).cloned();
                    drop(known);
                    let body = json!({ "callId": call });
                    self.ask("cancel", "POST", "/api/call/cancel-call", Some(&body));
                }
                _ => {
                    self.ask("get", "GET", &path, None);
                }
            }
        }
    }

    /// Changes a field again and again; what it was told last.
    fn edit(&self, batch: usize, (field, from): (&'static str, u64)) -> (usize, &'static str, u64) {
        let _over = Over(&self.is_over);
        let path = format!("/api/call/batch/{}", self.batches[batch]);
        let mut last = 0;
        for value in (from..from + 10).cycle() {
            let answer = self.ask("own edit", "PATCH", &path, Some(&json!({ field: value })));
            assert_eq!(answer["data"][field], value, "told something else: {answer}");
            last = value;
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
        }
        (batch, field, last)
    }

    /// The numbers of a batch add up, whenever they are looked at.
    fn observe(&self) {
        let _over = Over(&self.is_over);
        while !self.is_over.load(Ordering::Relaxed) {
            for batch in 0..BATCHES - 1 {
                let data = self.shown(batch);
                let n = |key: &str| data[key].as_u64().unwrap();
                let parts = n("callsPending") + n("callsLive") + n("callsFinished");
                assert_eq!(n("totalCalls"), parts, "{data}");
                let state = data["queue_status"].as_str().unwrap();
                assert!(["active", "stopped", "completed"].contains(&state), "{data}");
            }
        }
    }

    fn shown(&self, batch: usize) -> Value {
        let path = format!("/api/call/batch/{}", self.batches[batch]);
        self.server.get(&path).expect(200)["data"].clone()
    }

    /// Several at once delete the last batch; one of them did.
    fn delete_half_way(&self) {
        let began = monotonic();
        let until = |at: Duration| {
            let is_time = || (monotonic() >= at).then_some(());
            wait_for("its time", PATIENCE, is_time);
        };
        until(began + LASTS / 2);
        wait_for("its first call", PATIENCE, || (self.placed_of(BATCHES - 1) > 0).then_some(()));
        let path = format!("/api/call/delete-batch/{}", self.batches[BATCHES - 1]);
        let deleted = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..4).map(|_| scope.spawn(|| self.ask("delete", "DELETE", &path, None))).collect();
            let won = |answer: Value| answer["is200"] == true;
            all.into_iter().map(|d| won(d.join().unwrap())).collect::<Vec<_>>()
        });
        assert_eq!(deleted.iter().filter(|d| **d).count(), 1, "deleted once");
        let (since, own) = (monotonic(), BATCHES - 1);
        until(since + Duration::from_secs(2));
        let then = self.placed_of(own);
        until(began + LASTS);
        self.is_over.store(true, Ordering::Relaxed);
        assert_eq!(self.placed_of(own), then, "somebody of a deleted batch was called");
    }

    /// Lines in the carrier's log that are of a batch.
    fn placed_of(&self, batch: usize) -> usize {
        let from = FIRST + batch as u64 * NUMBERS;
        let of = |line: &String| {
            let number: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
            (from..from + NUMBERS).contains(&number)
        };
        lines_in(&self.home.carrier_log()).iter().filter(|line| of(line)).count()
    }

    /// Stops what is left while calls run; two seconds later nobody is called any more.
    fn stop_for_good(&self) {
        let log = || lines_in(&self.home.carrier_log()).len();
        for batch in 0..BATCHES - 1 {
            self.add(batch, 50_000, 300);
            self.ask("start", "POST", "/api/call/start-calling", Some(&self.both(batch)));
        }
        let before = log();
        wait_for("calls run", PATIENCE, || (log() > before).then_some(()));
        for batch in 0..BATCHES - 1 {
            self.ask("stop", "POST", "/api/call/stop-calling", Some(&self.both(batch)));
        }
        let since = monotonic();
        let until = |s| {
            let at = since + Duration::from_secs(s);
            wait_for("its time", PATIENCE, || (monotonic() >= at).then_some(()));
        };
        until(2);
        let then = log();
        until(4);
        assert_eq!(log(), then, "somebody was called after a stop");
        for batch in 0..BATCHES - 1 {
            let data = self.shown(batch);
            assert_eq!(data["queue_status"], "stopped", "{data}");
            assert_ne!(data["callsPending"], 0, "nothing was left to stop: {data}");
        }
    }

    /// Started again, everybody's call ends; nothing that was acknowledged is missing, no attempt
    /// was placed twice, none beside another.
    fn everything_ends(&self) {
        for batch in 0..BATCHES - 1 {
            let path = format!("/api/call/batch/{}", self.batches[batch]);
            let fast = json!({ "concurrency": null, "delay": 0 });
            self.ask("edit", "PATCH", &path, Some(&fast));
            self.ask("start", "POST", "/api/call/start-calling", Some(&self.both(batch)));
        }
        let placed_tokens = |number: &str, placed: &BTreeMap<String, Vec<String>>| {
            placed.get(number).cloned().unwrap_or_default()
        };
        for batch in 0..BATCHES - 1 {
            let id = &self.batches[batch];
            self.server.wait_completed(id, PATIENCE);
            let calls = self.server.all_calls(id);
            let there = ids_of(&calls);
            let acknowledged = self.acknowledged[batch].lock().unwrap();
            assert_eq!(there, *acknowledged, "acknowledged is not what is there");
            let placed = placed(self.home);
            for call in &calls {
                let number = call["phoneNumber"].as_str().unwrap();
                let path = format!("/api/call/call-details/{}", call["_id"].as_str().unwrap());
                let details = self.server.get(&path).expect(200);
                let history = details["data"]["phoneLogs"].to_string().replace('-', "");
                for token in placed_tokens(number, &placed) {
                    assert!(history.contains(&token), "placed, but not in its history: {details}");
                }
                let attempts = details["data"]["attempts"].as_array().unwrap();
                for pair in attempts.windows(2) {
                    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or("").to_owned();
                    let (over, next) = (text(&pair[0], "endedAt"), text(&pair[1], "sendAt"));
                    assert!(over <= next, "one beside the other: {details}");
                }
            }
        }
    }
}
