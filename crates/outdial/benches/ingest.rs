//! How fast lists come in: records per second over HTTP, beside the rate at which the database
//! engine itself takes the same rows into the same tables with the same chunks in a bare loop.
//!
//! Both run in the same rounds, one after the other, so that a busy machine is busy for both; what
//! counts is the ratio. Goals: 0.75 for one request, 0.9 for four at once.
//!
//! `cargo xtask bench ingest [RECORDS] [ROUNDS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[allow(dead_code, reason = "the harness of the tests; a benchmark needs a part of it")]
#[path = "../tests/it/harness.rs"]
mod harness;
#[path = "support/median.rs"]
mod median;

use harness::{Home, Server, monotonic, records, try_send};
use median::median;
use outdial_store::bench_support::bare_insert_loop;
use serde_json::json;

const CHUNK: usize = 1000;
const FIRST_NUMBER: u64 = 13_105_500_000;
const AT_ONCE: u64 = 4;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let count: u64 = args.next().map_or(100_000, |a| a.parse().expect("RECORDS is a number"));
    let rounds: usize = args.next().map_or(5, |a| a.parse().expect("ROUNDS is a number"));
    println!("{count} records a request, chunks of {CHUNK}, {rounds} rounds; records per second");
    println!(
        "{:>5} {:>10} {:>10} {:>6} {:>10} {:>10} {:>6}",
        "round", "bare", "one", "ratio", "bare x4", "four", "ratio"
    );
    let (mut one_ratios, mut four_ratios) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let bare = bare_rate(count, 1);
        let one = http_rate(count, 1);
        let bare_four = bare_rate(count, AT_ONCE);
        let four = http_rate(count, AT_ONCE);
        one_ratios.push(one / bare);
        four_ratios.push(four / bare_four);
        println!(
            "{round:>5} {bare:>10.0} {one:>10.0} {:>6.2} {bare_four:>10.0} {four:>10.0} {:>6.2}",
            one / bare,
            four / bare_four
        );
    }
    println!("median ratio, one request: {:.2} (goal 0.75)", median(&mut one_ratios));
    println!("median ratio, four at once: {:.2} (goal 0.9)", median(&mut four_ratios));
}

/// The bare loop on a new database: the rows of `lists` lists, one after the other.
fn bare_rate(count: u64, lists: u64) -> f64 {
    let home = Home::new(&[]);
    let texts: Vec<String> = records(FIRST_NUMBER, count).iter().map(ToString::to_string).collect();
    let rows: Vec<(u64, &str)> = (FIRST_NUMBER..).zip(texts.iter().map(String::as_str)).collect();
    let start = monotonic();
    for list in 1..=lists {
        let batch = i64::try_from(list).expect("a few lists");
        bare_insert_loop(&home.path("outdial.db"), batch, &rows, CHUNK).expect("the bare loop");
    }
    (count * lists) as f64 / (monotonic() - start).as_secs_f64()
}

/// Requests to a new server, all at once, each with its own batch, which is stopped: what is
/// measured is taking lists in, not calling them.
fn http_rate(count: u64, requests: u64) -> f64 {
    let home = Home::new(&[]);
    let server = home.serve();
    let number = server.make_number();
    let list = records(FIRST_NUMBER, count);
    let bodies: Vec<Vec<u8>> =
        (0..requests).map(|_| body(&home, &server, &number, &json!(list))).collect();
    let start = monotonic();
    std::thread::scope(|scope| {
        for body in bodies {
            scope.spawn(|| {
                let path = "/api/call/addCallsToBatch";
                let answer = try_send(&server.url, &home.key, "POST", path, &[], body);
                let data = answer.expect("an answer").expect(200);
                assert_eq!(data["data"]["added"], count);
            });
        }
    });
    (count * requests) as f64 / (monotonic() - start).as_secs_f64()
}

fn body(home: &Home, server: &Server<'_>, number: &str, list: &serde_json::Value) -> Vec<u8> {
    let batch = server.make_batch(number, &json!({}));
    let stop = json!({ "batchId": batch, "userId": home.user });
    server.post("/api/call/stop-calling", &stop).expect(200);
    json!({ "batchId": batch, "call_data": list }).to_string().into_bytes()
}
