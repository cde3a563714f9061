//! How fast lists come in: records per second over HTTP, beside the rate at which the database
//! engine itself takes the same rows into the same tables with the same chunks in a bare loop.
//!
//! Both run in the same rounds, one after the other, so that a busy machine is busy for both; what
//! counts is the ratio. Goals: 0.75 for one request, 0.9 for four at once; on PostgreSQL, where
//! four bare loops run at once, too, 0.8 for four. There the engine's bulk load (COPY, in the same
//! chunks) stands beside them.
//!
//! `cargo xtask bench ingest [--database postgres] [RECORDS] [ROUNDS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "support/arguments.rs"]
mod arguments;
#[allow(dead_code, reason = "the harness of the tests; a benchmark needs a part of it")]
#[path = "../tests/it/harness.rs"]
mod harness;
#[path = "support/median.rs"]
mod median;
#[path = "support/postgres.rs"]
mod postgres;

use std::future::Future;

use harness::{Home, Server, monotonic, records, stdout_of, try_send};
use median::median;
use outdial_store::bench_support::bare_insert_loop;
use outdial_store::bench_support::postgres::{bare_upsert_loop, copy_loop};
use postgres::Postgres;
use serde_json::{Value, json};

const CHUNK: usize = 1000;
const FIRST_NUMBER: u64 = 13_105_500_000;
const AT_ONCE: u64 = 4;

fn main() {
    let (is_postgres, mut args) = arguments::arguments();
    let count: u64 = args.next().map_or(100_000, |a| a.parse().expect("RECORDS is a number"));
    let rounds: usize = args.next().map_or(5, |a| a.parse().expect("ROUNDS is a number"));
    println!("{count} records a request, chunks of {CHUNK}, {rounds} rounds; records per second");
    let head = ["round", "bare", "one", "ratio", "bare x4", "four", "ratio", "COPY", "COPY x4"];
    let [round, bare, one, ratio, bare_four, four, ratio_four, copy, copy_four] = head;
    println!(
        "{round:>5} {bare:>9} {one:>9} {ratio:>6} {bare_four:>9} {four:>9} {ratio_four:>6} \
         {copy:>9} {copy_four:>9}"
    );
    let (mut one_ratios, mut four_ratios) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let bare = bare_rate(is_postgres, count, 1);
        let one = http_rate(is_postgres, count, 1);
        let bare_four = bare_rate(is_postgres, count, AT_ONCE);
        let four = http_rate(is_postgres, count, AT_ONCE);
        let copies = [1, AT_ONCE].map(|lists| match is_postgres {
            true => format!("{:.0}", postgres_rate(count, lists, Loop::Copy)),
            false => "-".to_owned(),
        });
        one_ratios.push(one / bare);
        four_ratios.push(four / bare_four);
        println!(
            "{round:>5} {bare:>9.0} {one:>9.0} {:>6.2} {bare_four:>9.0} {four:>9.0} {:>6.2} \
             {:>9} {:>9}",
            one / bare,
            four / bare_four,
            copies[0],
            copies[1],
        );
    }
    let goal = if is_postgres { 0.8 } else { 0.9 };
    println!("median ratio, one request: {:.2} (goal 0.75)", median(&mut one_ratios));
    println!("median ratio, four at once: {:.2} (goal {goal})", median(&mut four_ratios));
}

/// The bare loop on a new database: the rows of `lists` lists.
fn bare_rate(is_postgres: bool, count: u64, lists: u64) -> f64 {
    if is_postgres {
        return postgres_rate(count, lists, Loop::Upsert);
    }
    let home = Home::new(&[]);
    let texts = texts(count);
    let rows = rows(&texts);
    let start = monotonic();
    for list in 1..=lists {
        let batch = i64::try_from(list).expect("a few lists");
        bare_insert_loop(&home.path("outdial.db"), batch, &rows, CHUNK).expect("the bare loop");
    }
    (count * lists) as f64 / (monotonic() - start).as_secs_f64()
}

/// Which loop.
#[derive(Clone, Copy)]
enum Loop {
    Upsert,
    Copy,
}

/// The bare loop on a new database of PostgreSQL: the rows of `lists` lists, all at once.
fn postgres_rate(count: u64, lists: u64, which: Loop) -> f64 {
    let postgres = server();
    let _home = home(&postgres);
    let (url, texts) = (postgres.url(), texts(count));
    let rows = rows(&texts);
    let start = monotonic();
    std::thread::scope(|scope| {
        for list in 1..=lists {
            let (url, rows) = (&url, &rows);
            let batch = i64::try_from(list).expect("a few lists");
            scope.spawn(move || match which {
                Loop::Upsert => block_on(bare_upsert_loop(url, batch, rows, CHUNK)),
                Loop::Copy => block_on(copy_loop(url, batch, rows, CHUNK)),
            });
        }
    });
    (count * lists) as f64 / (monotonic() - start).as_secs_f64()
}

fn block_on<E: std::fmt::Debug>(future: impl Future<Output = Result<(), E>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future).expect("the bare loop");
}

fn texts(count: u64) -> Vec<String> {
    records(FIRST_NUMBER, count).iter().map(ToString::to_string).collect()
}

fn rows(texts: &[String]) -> Vec<(u64, &str)> {
    (FIRST_NUMBER..).zip(texts.iter().map(String::as_str)).collect()
}

fn server() -> Postgres {
    Postgres::start(&["max_wal_size=4GB"])
}

/// A workspace in a new database of PostgreSQL.
fn home(postgres: &Postgres) -> Home {
    let mut home = Home::at(tempfile::tempdir().expect("a directory"));
    home.set("OUTDIAL_DATABASE_URL", &postgres.url());
    home.set("OUTDIAL_DATABASE_STATE_DIR", &home.path("state").display().to_string());
    let line = stdout_of(home.outdial().args(["workspace", "create", "Bench", "--json"]));
    let made: Value = serde_json::from_str(&line).expect("JSON");
    let text = |key: &str| made[key].as_str().expect("a text").to_owned();
    (home.key, home.user) = (text("apiKey"), text("userId"));
    home.workspace = text("workspaceId");
    home
}

/// Requests to a new server, all at once, each with its own batch, which is stopped: what is
/// measured is taking lists in, not calling them.
fn http_rate(is_postgres: bool, count: u64, requests: u64) -> f64 {
    let postgres = is_postgres.then(server);
    let home = postgres.as_ref().map_or_else(|| Home::new(&[]), home);
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
