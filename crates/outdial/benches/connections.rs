//! What a crowd costs a client that works: its p99 alone, and among 2,000 connections that ask for
//! nothing or never finish asking.
//!
//! Both in the same rounds on the same server, so that a busy machine is busy for both; what counts
//! is the ratio.
//!
//! `cargo xtask bench connections [CONNECTIONS] [REQUESTS] [ROUNDS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "support/arguments.rs"]
mod arguments;
#[path = "support/crowd.rs"]
mod crowd;
#[allow(dead_code, reason = "the harness of the tests; a benchmark needs a part of it")]
#[path = "../tests/it/harness.rs"]
mod harness;
#[path = "support/median.rs"]
mod median;

use crowd::{Crowd, p99, worked};
use harness::Home;
use median::median;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() {
    let (_, mut args) = arguments::arguments();
    let mut number = |default: usize| {
        args.next().map_or(default, |a| a.parse().expect("CONNECTIONS, REQUESTS, ROUNDS: numbers"))
    };
    let (count, requests, rounds) = (number(2_000), number(2_000), number(5));
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("files");
    // None of them is ended while it is measured, and the client may ask as often as it can.
    let home = Home::new(&[
        ("OUTDIAL_SERVER_HEAD_TIMEOUT_MS", "600000"),
        ("OUTDIAL_SERVER_BODY_MIN_RATE_BYTES_PER_S", "0"),
        ("OUTDIAL_SERVER_KEY_REQUESTS_PER_S", "0"),
    ]);
    let server = home.serve();
    let to = server.url.trim_start_matches("http://").parse().expect("an address");
    println!("{requests} requests, one after the other; p99 in milliseconds; {rounds} rounds");
    println!("{:>5} {:>9} {:>9} {:>9} {:>6}", "round", "alone", "among", "open", "ratio");
    worked(to, &home.key, requests);
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let alone = p99(&mut worked(to, &home.key, requests));
        let crowd = Crowd::open(to, &home.key, count);
        let among = p99(&mut worked(to, &home.key, requests));
        let open = crowd.open_still();
        drop(crowd);
        ratios.push(among / alone);
        println!("{round:>5} {alone:>9.2} {among:>9.2} {open:>9} {:>6.2}", among / alone);
    }
    println!("median ratio: {:.2}", median(&mut ratios));
}
