//! How fast calls go out, and what one costs, with more and more calls waiting.
//!
//! The real engine on the real store in a file, with a carrier whose calls are over at once, so
//! that what is measured is the way of a call from waiting to its recorded end. The cost of one
//! must not grow with the number that waits; each figure stands beside its ratio to the one with
//! the fewest waiting, measured in the same run. The database is equally large each time: what
//! does not wait in the batch that is called lies in one that is not.
//!
//! On PostgreSQL the CPU is that of its processes and ours, and each round has a copy of one
//! database that was filled, vacuumed and analyzed.
//!
//! `cargo xtask bench dispatch [--database postgres] [WAITING,…] [ROUNDS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "support/arguments.rs"]
mod arguments;
#[path = "support/instantly.rs"]
mod instantly;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/median.rs"]
mod median;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/workspace.rs"]
mod workspace;

use std::sync::Arc;
use std::time::Duration;

use instantly::Instantly;
use machine::{RealClock, Weyl, cpu_time, now};
use median::median;
use outdial_engine::{Engine, EngineConfig, MemoryJournal, MemoryWatermark, Ports};
use outdial_ports::Store;
use postgres::Postgres;
use tempfile::TempDir;
use tokio::sync::Notify;
use workspace::Workspace;

/// Attempts that are timed at a stretch.
const ATTEMPTS: u64 = 700;
/// Attempts that go before, while caches fill.
const WARM_UP: u64 = 100;

fn main() {
    let (is_postgres, mut args) = arguments::arguments();
    let waiting = args.next().unwrap_or_else(|| "1000,100000,1000000".to_owned());
    let rounds: u64 = args.next().map_or(9, |a| a.parse().expect("ROUNDS is a number"));
    let waiting: Vec<u64> =
        waiting.split(',').map(|n| n.parse().expect("WAITING is a list of numbers")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    println!("{rounds} times {ATTEMPTS} attempts, medians");
    println!(
        "{:>9} {:>12} {:>8} {:>14} {:>8}",
        "waiting", "attempts/s", "ratio", "CPU µs each", "ratio"
    );
    let mut first: Option<(f64, f64)> = None;
    let largest = waiting.iter().copied().max().unwrap_or(0);
    for n in waiting {
        let calls = n.max(ATTEMPTS + WARM_UP);
        let others = largest.saturating_sub(calls);
        let database = runtime.block_on(Database::fill(is_postgres, calls, others));
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let (rate, cost) = runtime.block_on(measure(&database, round, calls));
            rates.push(rate);
            costs.push(cost);
        }
        let (rate, cost) = (median(&mut rates), median(&mut costs));
        let (base_rate, base_cost) = *first.get_or_insert((rate, cost));
        println!(
            "{n:>9} {rate:>12.0} {:>8.2} {cost:>14.0} {:>8.2}",
            rate / base_rate,
            cost / base_cost
        );
    }
}

/// A database that is full, and is copied for each round.
enum Database {
    Sqlite(TempDir),
    Postgres(Postgres),
}

impl Database {
    /// A batch with `calls` that is active, and one with `others` that nobody started.
    async fn fill(is_postgres: bool, calls: u64, others: u64) -> Self {
        let clock = Arc::new(RealClock::new());
        if !is_postgres {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = workspace::open(&folder.path().join("full.db"), &clock);
            fill(&*store, calls, others).await;
            return Self::Sqlite(folder);
        }
        let postgres = Postgres::start(&["max_wal_size=8GB"]);
        postgres.psql("CREATE DATABASE \"full\"");
        let store = workspace::connect(&postgres.url_of("full")).await;
        fill(&*store, calls, others).await;
        drop(store);
        postgres.psql_on("full", "VACUUM ANALYZE");
        postgres.psql_on("full", "CHECKPOINT");
        Self::Postgres(postgres)
    }

    /// A copy for one round.
    async fn open(&self, round: u64, clock: &Arc<RealClock>) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(folder) => {
                let [full, copy] = ["full.db", "round.db"].map(|name| folder.path().join(name));
                for end in ["-wal", "-shm"] {
                    // There are none when the file was closed well.
                    let _gone = std::fs::remove_file(folder.path().join(format!("round.db{end}")));
                }
                std::fs::copy(full, &copy).expect("a copy");
                workspace::open(&copy, clock)
            }
            Self::Postgres(postgres) => {
                if round > 0 {
                    let last = round - 1;
                    postgres.psql(&format!("DROP DATABASE round{last} WITH (FORCE)"));
                }
                // Who filled it may not have said goodbye yet.
                postgres.psql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'full'",
                );
                postgres.psql(&format!("CREATE DATABASE round{round} TEMPLATE \"full\""));
                workspace::connect(&postgres.url_of(&format!("round{round}"))).await
            }
        }
    }

    /// CPU time of the processes that work for it, ours included.
    fn cpu(&self) -> Duration {
        let of_server = match self {
            Self::Sqlite(_) => Duration::ZERO,
            Self::Postgres(postgres) => postgres.processes().iter().map(|p| cpu_time(p)).sum(),
        };
        cpu_time("self") + of_server
    }
}

/// Lets the engine run on a copy of the database; attempts per second, and CPU microseconds for
/// one.
async fn measure(database: &Database, round: u64, calls: u64) -> (f64, f64) {
    let clock = Arc::new(RealClock::new());
    let store = database.open(round, &clock).await;
    workspace::join(&*store).await;
    let carrier = Arc::new(Instantly::default());
    let entropy = Arc::new(Weyl::default());
    let config = EngineConfig::default();
    let wake = Arc::new(Notify::new());
    let watermark = Arc::new(MemoryWatermark::default());
    let journal = Arc::new(MemoryJournal::default());
    let ports = Ports { store, carrier: carrier.clone(), clock, entropy, watermark, journal };
    let engine = Engine::new(config, ports, wake);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(engine.run(async {
        let _dropped = stopped.await;
    }));
    carrier.wait_for(WARM_UP).await;
    let (start, cpu, from) = (now(), database.cpu(), carrier.placed());
    carrier.wait_for((from + ATTEMPTS).min(calls)).await;
    let placed = (carrier.placed() - from) as f64;
    let (took, used) = (start.elapsed().as_secs_f64(), database.cpu().saturating_sub(cpu));
    drop(stop);
    running.await.expect("the engine ends");
    (placed / took, used.as_secs_f64() * 1e6 / placed)
}

/// A batch with `calls` that is active, and one with `others` that nobody started.
async fn fill(store: &dyn Store, calls: u64, others: u64) {
    let workspace = Workspace::make(store).await;
    let number = workspace.number(vec![]).await;
    workspace.batch(number, others, false).await;
    workspace.batch(number, calls, true).await;
}
