//! F17: what a disk may do to the files of a process that was killed. A write-ahead log that ends
//! too early or wrongly is read up to its last good commit, nothing is invented, and nobody is
//! called a second time: the marks beside the database tell that it forgot calls. A database whose
//! own bytes changed is served or refused, without a panic.
//!
//! `OUTDIAL_TORN_SEED` repeats a run.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::evidence::placed;
use crate::faulty_disk::{add, list, stopped_batch, talkers};
use crate::harness::{Home, PATIENCE, Server, lines_in, records, run, wait_for};

const LOGS: usize = 20;
const FILES: usize = 10;
const DIALED_FROM: u64 = 12_125_550_000;
const DIALED: u64 = 1000;
const STORED_FROM: u64 = 13_105_500_000;
/// Records of a request, each of which is one chunk.
const EACH: u64 = 50;
/// Bytes of log in use when the process is killed: much to harm, and not about to begin anew.
const LOG: std::ops::Range<usize> = 1 << 20..3 << 20;
/// What a server says of a database that forgot calls, as it starts.
const OLDER: &str = "an older copy";
/// What its dispatcher says, each time that it would have had somebody to dial.
const NOT_DIALING: &str = "not dialing: the database is older";

#[expect(clippy::print_stdout, reason = "the seed, to repeat a failure")]
fn seed() -> Chance {
    let seed = std::env::var("OUTDIAL_TORN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("OUTDIAL_TORN_SEED={seed}");
    Chance(seed)
}

/// A process that was killed while it took in one batch and dialed another.
struct Killed {
    home: Home,
    stored: String,
    dialed: String,
    /// Requests sent into `stored`, one after the other.
    requests: u64,
}

fn killed() -> Killed {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "20")]);
    let server = home.serve();
    let number = server.make_number();
    let stored = stopped_batch(&server, &home, &number);
    let dialed = server.make_batch(&number, &json!({ "concurrency": 30 }));
    add(&server, "dialed", &list(&dialed, &talkers(DIALED_FROM, DIALED))).unwrap().expect(200);
    let mut requests = 0;
    let is_under_way = || lines_in(&home.carrier_log()).len() >= 40;
    let has_log = || LOG.contains(&in_use(&fs::read(home.path("outdial.db-wal")).unwrap()));
    while requests < 20 || !is_under_way() || !has_log() {
        let records = records(STORED_FROM + requests * EACH, EACH);
        add(&server, &requests.to_string(), &list(&stored, &records)).unwrap().expect(200);
        requests += 1;
    }
    assert!(server.count(&dialed, &["pending"]) > 0, "dialing is over");
    server.kill9();
    Killed { home, stored, dialed, requests }
}

impl Killed {
    /// A home with copies of everything that a machine would have.
    fn copy(&self) -> Home {
        let mut copy = Home::at(tempfile::tempdir().unwrap());
        (copy.key, copy.user) = (self.home.key.clone(), self.home.user.clone());
        for file in fs::read_dir(self.home.path("")).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            // The index of the log is memory of the processes, and made anew from the log.
            if file.path().is_file() && !name.ends_with("-shm") && name != "server.log" {
                fs::copy(file.path(), copy.path(&name)).unwrap();
            }
        }
        let state = "outdial.db.state";
        fs::create_dir(copy.path(state)).unwrap();
        for file in fs::read_dir(self.home.path(state)).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), copy.path(state).join(file.file_name())).unwrap();
        }
        copy.set("OUTDIAL_SIMULATED_SPEED", "1000");
        copy.set("OUTDIAL_SIMULATED_LOG", &copy.carrier_log().display().to_string());
        copy.set("OUTDIAL_ENGINE_DRAIN_LIMIT_MS", "2000");
        copy
    }
}

#[test]
fn a_torn_log_is_read_up_to_its_last_good_commit() {
    let mut chance = seed();
    let killed = killed();
    let (mut kept, mut older) = (BTreeSet::new(), 0);
    for case in 0..LOGS {
        let copy = killed.copy();
        let told = harm_log(&copy, &mut chance, case);
        let Some((server, _)) = copy.try_serve_with(&[]) else {
            assert_refused(&copy, &told);
            continue;
        };
        let there = check_prefix(&killed, &server, &told);
        kept.insert(there);
        check_nobody_again(&killed, &copy, &server, &told);
        drop(server);
        older += u32::from(log_of(&copy).contains(OLDER));
        assert!(!log_of(&copy).contains("panicked"), "{told}: {}", log_of(&copy));
    }
    println!("of {} lists there were {kept:?}; {older} copies are not dialed", killed.requests);
    // Else the harm hit nothing.
    assert!(kept.len() >= 3, "all copies were alike: {kept:?}");
    assert!(older > 0, "no copy had forgotten a call");
    assert!(kept.iter().any(|n| *n < killed.requests), "nothing was torn off: {kept:?}");
}

/// Bytes of a log from its beginning that belong to it: what comes after is left from before it
/// began anew, and has other salts (https://sqlite.org/fileformat2.html#the_write_ahead_log).
fn in_use(log: &[u8]) -> usize {
    let Some((header, frames)) = log.split_at_checked(32) else { return 0 };
    let page = u32::from_be_bytes(header[8..12].try_into().unwrap());
    let frame = 24 + usize::try_from(page).unwrap();
    let own = frames.chunks_exact(frame).take_while(|f| f[8..16] == header[16..24]);
    32 + own.count() * frame
}

/// Cuts the log somewhere, or flips two bits of it.
fn harm_log(copy: &Home, chance: &mut Chance, case: usize) -> String {
    let path = copy.path("outdial.db-wal");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(in_use(&bytes));
    // It may have grown between the look and the kill; what counts is that there is much of it.
    assert!(bytes.len() >= LOG.start, "there is no log to harm: {}", bytes.len());
    let mut somewhere = || usize::try_from(chance.below(bytes.len() as u64)).unwrap();
    let told = if case.is_multiple_of(2) {
        let at = somewhere();
        bytes.truncate(at);
        format!("case {case}: cut at {at}")
    } else {
        let flips = [somewhere(), somewhere()];
        for at in flips {
            bytes[at] ^= 1 << chance.below(8);
        }
        format!("case {case}: flipped a bit at {flips:?}")
    };
    fs::write(&path, bytes).unwrap();
    told
}

/// Requests are there whole, and none without those before it: how many.
fn check_prefix(killed: &Killed, server: &Server<'_>, told: &str) -> u64 {
    let both = [&killed.stored, &killed.dialed];
    if both.iter().any(|b| server.get(&format!("/api/call/batch/{b}")).status != 200) {
        // Torn off from before they were made.
        return 0;
    }
    let number = |call: &Value| call["phoneNumber"].as_str().unwrap().parse::<u64>().unwrap();
    let there: Vec<u64> = server.all_calls(&killed.stored).iter().map(number).collect();
    let (count, there) = (there.len() as u64, there.into_iter().collect::<BTreeSet<_>>());
    assert_eq!(there.len() as u64, count, "{told}: a number twice");
    assert!(count.is_multiple_of(EACH), "{told}: half a chunk, {count}");
    assert!(there.into_iter().eq(STORED_FROM..STORED_FROM + count), "{told}: not a prefix");
    let dialed = server.all_calls(&killed.dialed);
    assert!([0, DIALED].contains(&(dialed.len() as u64)), "{told}: half a list");
    assert!(count <= killed.requests * EACH, "{told}: invented");
    count / EACH
}

/// It goes on dialing, or its dispatcher refuses to because it sees that it is an older copy, and
/// nobody at all is called; nobody who was called before is called again.
fn check_nobody_again(killed: &Killed, copy: &Home, server: &Server<'_>, told: &str) {
    wait_for(&format!("{told}: dials, or says why not"), PATIENCE, || {
        let refuses = log_of(copy).contains(NOT_DIALING);
        let details = format!("/api/call/batch/{}", killed.dialed);
        let done = || {
            let answer = server.get(&details);
            // Torn off, or done.
            answer.status == 404
                || ["completed", "pending"]
                    .contains(&answer.body["data"]["queue_status"].as_str().unwrap_or_default())
        };
        (refuses || done()).then_some(())
    });
    if log_of(copy).contains(OLDER) {
        let (before, now) = [&killed.home, copy].map(|h| lines_in(&h.carrier_log()).len()).into();
        assert_eq!(now, before, "{told}: an older copy was dialed");
    }
    for (number, tokens) in placed(copy) {
        assert_eq!(tokens.len(), 1, "{told}: {number} was called again");
    }
}

fn assert_refused(copy: &Home, told: &str) {
    let log = log_of(copy);
    assert!(!log.contains("panicked"), "{told}: {log}");
    assert!(log.contains("outdial.db"), "{told}: it does not say what is wrong: {log}");
}

fn log_of(copy: &Home) -> String {
    fs::read_to_string(copy.path("server.log")).unwrap_or_default()
}

#[test]
fn a_harmed_file_is_served_or_refused_without_a_panic() {
    let mut chance = seed();
    let killed = killed();
    // Brought into the file, so that there is something to harm.
    let server = killed.home.serve();
    server.terminate();
    assert!(server.wait().success());
    let (mut refused, mut found) = (0, 0);
    for case in 0..FILES {
        let copy = killed.copy();
        let path = copy.path("outdial.db");
        let mut bytes = fs::read(&path).unwrap();
        // The first page with its schema, then anywhere.
        let within = if case < 2 { 4096 } else { bytes.len() as u64 };
        let flips: Vec<u64> = (0..16).map(|_| chance.below(within)).collect();
        for at in &flips {
            bytes[usize::try_from(*at).unwrap()] ^= 1 << chance.below(8);
        }
        fs::write(&path, bytes).unwrap();
        let told = format!("case {case}: flipped a bit at {flips:?}");
        let doctor = run(copy.outdial().args(["doctor", "--json"]));
        let said = String::from_utf8_lossy(&doctor.stderr);
        assert!(!said.contains("panicked"), "{told}: {said}");
        found += u32::from(!doctor.status.success());
        // It must not dial: a number may be another one.
        match copy.try_serve_with(&[("OUTDIAL_SERVER_ROLE", "api")]) {
            None => {
                assert_refused(&copy, &told);
                refused += 1;
            }
            Some((server, _)) => {
                for batch in [&killed.stored, &killed.dialed] {
                    let path = format!("/api/call/batch-details/{batch}?limit=100");
                    let answer = server.get(&path);
                    assert!((200..600).contains(&answer.status), "{told}: {answer:?}");
                }
                let new = list(&killed.stored, &records(STORED_FROM + 100_000, 100));
                let _whatever = add(&server, "new", &new).unwrap();
                server.terminate();
                server.wait_at_most(Duration::from_secs(20));
                assert!(!log_of(&copy).contains("panicked"), "{told}: {}", log_of(&copy));
            }
        }
    }
    println!("{refused} of {FILES} are refused; doctor finds something in {found}");
    assert!(refused < FILES, "none was harmed lightly");
    assert!(found > 0, "doctor finds nothing");
}
