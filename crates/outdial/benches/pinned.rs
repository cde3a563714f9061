//! What an old transaction costs: somebody's report holds a snapshot for minutes, so nothing that
//! was deleted or changed since can be removed, while hundreds of rows change each second. How long
//! does a turn of the dispatcher take, from the reading of its view to the commit of its plan?
//!
//! Goal: 99 of 100 turns under 100 ms (F50), and no growth from minute to minute.
//!
//! `cargo xtask bench pinned [MINUTES] [CALLS_PER_SECOND] [WAITING]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "support/instantly.rs"]
mod instantly;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/timed.rs"]
mod timed;
#[path = "support/workspace.rs"]
mod workspace;

use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use instantly::Instantly;
use machine::{RealClock, Weyl, now};
use outdial_engine::{Engine, EngineConfig, MemoryJournal, MemoryWatermark, Ports};
use postgres::Postgres;
use timed::{TURN, Timed, Took};
use tokio::sync::Notify;
use workspace::Workspace;

/// How long it is watched without the old transaction, and then between two lines.
const BEFORE: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_secs(20);
/// A call goes through three changes here: committed, answered, ended.
const CHANGES: [&str; 3] = ["attempt_commit_intents", "attempt_finish", "attempt_record"];
const GOAL: Duration = Duration::from_millis(100);

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let mut number =
        |default: u64| args.next().map_or(default, |a| a.parse().expect("arguments are numbers"));
    let (minutes, calls_per_second, waiting) = (number(5), number(190), number(300_000));
    let pace = u32::try_from(calls_per_second).expect("a pace");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(Duration::from_secs(60 * minutes), pace, waiting));
}

async fn run(pinned: Duration, calls_per_second: u32, waiting: u64) {
    let postgres = Postgres::start(&[]);
    let inner = workspace::connect(&postgres.url()).await;
    let workspace = Workspace::make(&*inner).await;
    let number = workspace.number(vec![]).await;
    workspace.pace(number, f64::from(calls_per_second)).await;
    workspace.batch(number, waiting, true).await;
    workspace::join(&*inner).await;
    let store = Arc::new(Timed::new(inner));
    let carrier = Arc::new(Instantly::spread());
    let ports = Ports {
        store: store.clone(),
        carrier: carrier.clone(),
        clock: Arc::new(RealClock::new()),
        entropy: Arc::new(Weyl::default()),
        watermark: Arc::new(MemoryWatermark::default()),
        journal: Arc::new(MemoryJournal::default()),
    };
    let engine = Engine::new(EngineConfig::default(), ports, Arc::new(Notify::new()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(engine.run(async {
        let _dropped = stopped.await;
    }));
    carrier.wait_for(u64::from(calls_per_second)).await;
    store.take();

    println!(
        "{calls_per_second} calls a second at most, {waiting} waiting; a turn in milliseconds"
    );
    println!(
        "{:>6} {:>10} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9} {:>10} {:>9}",
        "pinned",
        "changes/s",
        "p50",
        "p95",
        "p99",
        "max",
        "head p99",
        "commit",
        "candidates",
        "finish"
    );
    watch(&store, BEFORE, Duration::ZERO).await;
    let pin = pin(&postgres);
    let start = now();
    let mut worst = Duration::ZERO;
    while start.elapsed() < pinned {
        worst = worst.max(watch(&store, EVERY, start.elapsed() + EVERY).await);
    }
    let dead = postgres.psql(
        "SELECT string_agg(relname || ' ' || n_dead_tup, ', ' ORDER BY n_dead_tup DESC) \
         FROM (SELECT * FROM pg_stat_user_tables ORDER BY n_dead_tup DESC LIMIT 5) AS t",
    );
    println!("rows that nobody sees and nobody can remove: {dead}");
    unpin(pin);
    drop(stop);
    running.await.expect("the engine ends");
    println!("worst p99 of a turn: {:.1} ms (goal {})", ms(worst), GOAL.as_millis());
}

/// One line of figures; the 99th percentile of a turn.
async fn watch(store: &Timed, lasts: Duration, pinned: Duration) -> Duration {
    let start = now();
    tokio::time::sleep(lasts).await;
    let mut took = store.take();
    let calls = took.get(CHANGES[1]).map_or(0, Vec::len);
    let changes = (calls * CHANGES.len()) as f64 / start.elapsed().as_secs_f64();
    let p99 = percentile(&mut took, TURN, 99);
    println!(
        "{:>5}s {changes:>10.0} {:>7.1} {:>7.1} {:>7.1} {:>7.1} {:>9.1} {:>9.1} {:>10.1} {:>9.1}",
        pinned.as_secs(),
        ms(percentile(&mut took, TURN, 50)),
        ms(percentile(&mut took, TURN, 95)),
        ms(p99),
        ms(percentile(&mut took, TURN, 100)),
        ms(percentile(&mut took, "dispatch_head", 99)),
        ms(percentile(&mut took, CHANGES[0], 99)),
        ms(percentile(&mut took, "dispatch_candidates", 99)),
        ms(percentile(&mut took, CHANGES[1], 99)),
    );
    p99
}

fn percentile(took: &mut Took, operation: &str, percent: usize) -> Duration {
    let Some(all) = took.get_mut(operation).filter(|all| !all.is_empty()) else {
        return Duration::ZERO;
    };
    all.sort();
    all[(all.len() * percent / 100).min(all.len() - 1)]
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

/// A transaction that has read and goes on.
fn pin(postgres: &Postgres) -> Child {
    let mut psql = postgres.psql_command("postgres");
    let child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql");
    let mut says = child.stdin.as_ref().expect("its input");
    let script = "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM attempt;\n";
    says.write_all(script.as_bytes()).expect("it reads");
    child
}

fn unpin(mut pin: Child) {
    drop(pin.stdin.take());
    pin.wait().expect("it ends");
}
