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

#[path = "support/median.rs"]
mod median;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_core::Stream;
use median::median;
use outdial_core::attempt::CallEvent;
use outdial_core::batch::BatchSettings;
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use outdial_core::time::Timestamp;
use outdial_engine::{Engine, EngineConfig, MemoryWatermark, Ports};
use outdial_ports::store::{
    AgentRecord, AgentSpec, ChunkAdd, ChunkLane, ChunkRecord, Integration, NewBatch, NewKey,
    NewPhone, NewWorkspace, RequestBegin, RequestLookup, Scope,
};
use outdial_ports::{
    CallControl, CallOrder, Carrier, Clock, Entropy, Monotonic, PlacedCall, Store,
};
use outdial_store::{OpenMode, SqliteStore};
use tokio::sync::Notify;

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
    let clock = Arc::new(RealClock(now()));
    let store = open(&folder.path().join("bench.db"), &clock);
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
    let (start, cpu, from) = (now(), cpu_time(), carrier.placed());
    carrier.wait_for((from + ATTEMPTS).min(calls)).await;
    let placed = (carrier.placed() - from) as f64;
    let (took, used) = (start.elapsed().as_secs_f64(), cpu_time() - cpu);
    drop(stop);
    running.await.expect("the engine ends");
    (placed / took, used.as_secs_f64() * 1e6 / placed)
}

fn open(path: &Path, clock: &Arc<RealClock>) -> Arc<SqliteStore> {
    let opened = SqliteStore::open(path, OpenMode::Serve, clock.clone(), &Weyl::default());
    Arc::new(opened.expect("a database"))
}

/// A batch with `calls` that is active, and one with `others` that nobody started.
async fn fill(store: &dyn Store, calls: u64, others: u64) {
    let key = NewKey {
        hash: [7; 32],
        hint: "hint".into(),
        name: "key".into(),
        scopes: vec![Scope::Admin],
    };
    // At any hour of the day.
    let calling_rules = CallingRules::Off;
    let settings = WorkspaceSettings { calling_rules, ..WorkspaceSettings::default() };
    let made = store.workspace_create(NewWorkspace { name: "Bench".into(), key, settings }).await;
    let ws = made.expect("a workspace").workspace;
    let spec = AgentSpec {
        name: "Agent".into(),
        languages: vec!["en-US".into()],
        variables: vec![],
        connection: "{}".into(),
    };
    let agent = store.agent_create(ws, spec).await.expect("an agent");
    let phone = NewPhone {
        number: PhoneNumber::from_digits(12_025_550_143),
        integration: Integration::Simulated,
        agent: Some(agent.id),
    };
    let phone = store.phone_create(ws, phone).await.expect("a number");
    for (count, auto_start) in [(others, false), (calls, true)] {
        let batch = NewBatch {
            workspace: ws,
            name: "Bench".into(),
            settings: BatchSettings::default(),
            numbers: vec![phone.id],
        };
        let batch = store.batch_create(batch).await.expect("a batch");
        add(store, ws, (batch, auto_start), &agent, count).await;
        assert_eq!(total(store, batch).await, count);
    }
}

async fn add(
    store: &dyn Store,
    workspace: WorkspaceId,
    (batch, auto_start): (BatchId, bool),
    agent: &AgentRecord,
    calls: u64,
) {
    let begin = RequestBegin {
        workspace,
        scope: "bench".into(),
        key: Some(batch.to_string()),
        body_sha256: [0; 32],
        context: String::new(),
    };
    let RequestLookup::Begun(progress) = store.request_begin(&begin).await.expect("a request")
    else {
        panic!("the request is new")
    };
    for (chunk_num, first) in (1..).zip((0..calls).step_by(1000)) {
        let records = (first..calls.min(first + 1000)).map(record).collect();
        let chunk = ChunkAdd {
            request: progress.request,
            chunk_num,
            batch,
            agent: (agent.id, agent.version),
            lane: ChunkLane::Current,
            auto_start,
            records,
        };
        store.call_add_chunk(chunk).await.expect("a chunk");
    }
}

async fn total(store: &dyn Store, batch: BatchId) -> u64 {
    store.batch_fetch(batch).await.expect("a batch").expect("the batch").totals.pending
}

fn record(n: u64) -> ChunkRecord {
    ChunkRecord {
        phone: PhoneNumber::from_digits(13_105_500_000 + n),
        class: "America/Los_Angeles".into(),
        fields: format!(r#"{{"phoneNumber":"{}","name":"N {n}"}}"#, 13_105_500_000 + n).into(),
        blocked: None,
    }
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

struct RealClock(Instant);

#[async_trait]
impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "a benchmark runs on the real clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = since.expect("after 1970").as_millis();
        Timestamp::from_millis(i64::try_from(ms).expect("before the end of time"))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed())
    }

    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until((self.0 + at.0).into()).await;
    }
}

/// Distinct bytes; nothing here needs chance.
#[derive(Default)]
struct Weyl(AtomicU64);

impl Entropy for Weyl {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let n = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).to_le_bytes();
            part.copy_from_slice(&n[..part.len()]);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark runs on the real clock")]
fn now() -> Instant {
    Instant::now()
}

/// CPU time of this process, all threads: the first field of /proc/PID/task/TID/schedstat, in
/// nanoseconds (Documentation/scheduler/sched-stats.rst of the kernel).
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    let nanos = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(nanos).sum())
}
