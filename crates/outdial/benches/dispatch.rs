//! How fast calls go out, and what one costs, with more and more calls waiting.
//!
//! The real engine on the real store in a file, with a carrier whose calls are over at once, so
//! that what is measured is the way of a call from waiting to its recorded end. The cost of one
//! must not grow with the number that waits; each figure stands beside its ratio to the one with
//! the fewest waiting, measured in the same run. The database is equally large each time: what
//! does not wait in the batch that is called lies in one that is not.
//!
//! `cargo xtask bench dispatch [WAITING,…] [ROUNDS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "support/machine.rs"]
mod machine;
#[path = "support/median.rs"]
mod median;
#[path = "support/workspace.rs"]
mod workspace;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_core::Stream;
use machine::{RealClock, Weyl, cpu_time, now};
use median::median;
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_engine::{Engine, EngineConfig, MemoryWatermark, Ports};
use outdial_ports::{CallControl, CallOrder, Carrier, PlacedCall, Store};
use tokio::sync::Notify;
use workspace::Workspace;

/// Attempts that are timed at a stretch.
const ATTEMPTS: u64 = 700;
/// Attempts that go before, while caches fill.
const WARM_UP: u64 = 100;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
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
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (rate, cost) = runtime.block_on(measure(n, largest));
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

/// Fills a new database with `waiting` calls, lets the engine run, and returns attempts
/// per second and CPU microseconds for one.
async fn measure(waiting: u64, largest: u64) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Arc::new(RealClock::new());
    let store = workspace::open(&folder.path().join("bench.db"), &clock);
    let calls = waiting.max(ATTEMPTS + WARM_UP);
    fill(&*store, calls, largest.saturating_sub(calls)).await;
    let carrier = Arc::new(Instantly::default());
    let (clock, entropy) = (clock.clone(), Arc::new(Weyl::default()));
    let config = EngineConfig::default();
    let wake = Arc::new(Notify::new());
    let watermark = Arc::new(MemoryWatermark::default());
    let ports = Ports { store, carrier: carrier.clone(), clock, entropy, watermark };
    let engine = Engine::new(config, ports, wake);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(engine.run(async {
        let _dropped = stopped.await;
    }));
    carrier.wait_for(WARM_UP).await;
    let (start, cpu, from) = (now(), cpu_time("self"), carrier.placed());
    carrier.wait_for((from + ATTEMPTS).min(calls)).await;
    let placed = (carrier.placed() - from) as f64;
    let (took, used) = (start.elapsed().as_secs_f64(), cpu_time("self") - cpu);
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

/// A carrier whose calls are answered and over at once.
#[derive(Default)]
struct Instantly {
    placed: AtomicU64,
    more: Notify,
}

impl Instantly {
    fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    async fn wait_for(&self, count: u64) {
        loop {
            let more = self.more.notified();
            if self.placed() >= count {
                return;
            }
            more.await;
        }
    }
}

impl Carrier for Instantly {
    fn place(&self, _: CallOrder) -> PlacedCall {
        self.placed.fetch_add(1, Ordering::Relaxed);
        self.more.notify_waiters();
        PlacedCall { events: Box::pin(Over(Some(CallEnd::TalkOver))), control: Arc::new(Nothing) }
    }
}

struct Nothing;

impl CallControl for Nothing {
    fn cancel(&self) {}
}

struct Over(Option<CallEnd>);

impl Stream for Over {
    type Item = CallEvent;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        Poll::Ready(self.0.take().map(CallEvent::Ended))
    }
}
