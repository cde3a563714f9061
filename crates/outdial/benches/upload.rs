//! How fast a file comes in: contacts per second from a CSV upload, beside addCallsToBatch with the
//! same contacts. Both run in the same rounds, one after the other; what counts is the ratio. Goal:
//! 0.8.
//!
//! `cargo xtask bench upload [--database postgres] [CONTACTS] [ROUNDS]`
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
#[allow(clippy::unwrap_used, reason = "it is a test's")]
#[path = "../tests/it/uploading.rs"]
mod uploading;

use harness::{Home, monotonic, records, stdout_of, try_send};
use median::median;
use postgres::Postgres;
use serde_json::{Value, json};
use uploading::{rows, upload};

const FIRST_NUMBER: u64 = 13_105_500_000;

fn main() {
    let (is_postgres, mut args) = arguments::arguments();
    let count: u64 = args.next().map_or(1_000_000, |a| a.parse().expect("CONTACTS is a number"));
    let rounds: usize = args.next().map_or(3, |a| a.parse().expect("ROUNDS is a number"));
    println!("{count} contacts, {rounds} rounds; contacts per second");
    println!("{:>5} {:>9} {:>9} {:>6} {:>12}", "round", "add", "upload", "ratio", "upload VmHWM");
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let (add, _) = rate(is_postgres, count, Way::Add);
        let (file, peak_kib) = rate(is_postgres, count, Way::Upload);
        let ratio = file / add;
        ratios.push(ratio);
        println!("{round:>5} {add:>9.0} {file:>9.0} {ratio:>6.2} {:>8} MiB", peak_kib / 1024);
    }
    println!("median ratio {:.2}, goal 0.8", median(&mut ratios));
}

#[derive(Clone, Copy)]
enum Way {
    Add,
    Upload,
}

/// Contacts per second, and the most memory that the process had, in KiB.
fn rate(is_postgres: bool, count: u64, way: Way) -> (f64, u64) {
    let postgres = is_postgres.then(server);
    let home = postgres.as_ref().map_or_else(|| Home::new(&[]), home);
    let server = home.serve();
    let number = server.make_number();
    let seconds = match way {
        Way::Add => {
            let batch = server.make_batch(&number, &json!({}));
            let stop = json!({ "batchId": batch, "userId": home.user });
            server.post("/api/call/stop-calling", &stop).expect(200);
            let body = json!({ "batchId": batch, "call_data": records(FIRST_NUMBER, count) });
            let (body, path) = (body.to_string().into_bytes(), "/api/call/addCallsToBatch");
            let start = monotonic();
            let answer = try_send(&server.url, &home.key, "POST", path, &[], body);
            let taken = monotonic() - start;
            assert_eq!(answer.expect("an answer").expect(200)["data"]["added"], count);
            taken
        }
        Way::Upload => {
            let file = rows(FIRST_NUMBER, count);
            let pieces = file.chunks(1 << 20).map(<[u8]>::to_vec);
            let start = monotonic();
            let answer = upload(&server, &home, &number, "bench", (file.len() as u64, pieces));
            let taken = monotonic() - start;
            let made = answer.expect("an answer").expect(200);
            assert_eq!(made["batch"]["totalCalls"], count);
            taken
        }
    };
    (count as f64 / seconds.as_secs_f64(), server.memory_kib("VmHWM:"))
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
