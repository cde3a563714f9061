//! One process of the world: a real engine on its own hold of the database and its own carrier. It
//! can be ended politely, or by a crash.

use std::sync::{Arc, Mutex};

use outdial_engine::{
    Engine, EngineConfig, MemoryJournal, MemoryWatermark, Ports, TaskBoard, TaskResult,
};
use outdial_ports::Store;
use outdial_ports::store::NodeSpec;
use outdial_store::SqliteInline;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::carrier::SimCarrier;
use crate::checker::{Cap, Violation};
use crate::clock::{ProcessClock, SimClock};
use crate::rng::{Rng, SimEntropy};
use crate::sabotage::{Sabotage, Saboteur};
use crate::store::{Latency, Life, SimStore};
use crate::watch::Watch;
use crate::weather::{Weather, is_meant};

/// What every process of a world is made of.
pub(crate) struct Parts {
    /// Virtual time.
    pub clock: Arc<SimClock>,
    /// Who sees everything.
    pub watch: Arc<Watch>,
    /// How long the store takes.
    pub latency: Latency,
    /// Settings of the engine.
    pub config: EngineConfig,
    /// Whether the store and the carrier work.
    pub weather: Arc<Weather>,
    /// Which safeguard is switched off.
    pub sabotage: Option<Sabotage>,
    /// What outlives every process beside the database.
    pub watermark: Arc<MemoryWatermark>,
    /// As above.
    pub journal: Arc<MemoryJournal>,
}

impl Parts {
    /// Sets the wall clock; so many milliseconds ahead, or back.
    pub(crate) fn set_clock(&self, by_ms: i64) {
        self.watch.note("world", &format!("sets the clock by {by_ms} ms"));
        self.clock.set(by_ms);
        self.watch.look(|seen, now| {
            seen.checkers.clocks.set(now, by_ms);
            seen.checkers.pace.clock_set(now);
            Ok(())
        });
    }
}

/// What the engine's board says of work that panicked.
const BROKE_DOWN: &str = "it panicked";

/// A running process.
pub(crate) struct Process {
    /// Counts from 1.
    pub number: u32,
    /// The store as the users of this process have it.
    pub store: Arc<dyn Store>,
    /// Tells the engine that something changed.
    pub wake: Arc<Notify>,
    /// Whether it lives and is awake.
    pub life: Arc<Life>,
    carrier: Arc<SimCarrier>,
    board: Arc<TaskBoard>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Process {
    /// Starts one.
    pub(crate) fn start(parts: &Parts, number: u32, db: &SqliteInline, rng: Rng) -> Self {
        Self::start_on(parts, number, (db, false), rng)
    }

    /// Starts one on an older copy of the database: nobody may be dialed by it.
    pub(crate) fn start_on_copy(parts: &Parts, number: u32, db: &SqliteInline, rng: Rng) -> Self {
        parts.watch.look(|seen, _| {
            seen.checkers.copies.started(number);
            Ok(())
        });
        Self::start_on(parts, number, (db, true), rng)
    }

    fn start_on(
        parts: &Parts,
        number: u32,
        (db, is_copy): (&SqliteInline, bool),
        mut rng: Rng,
    ) -> Self {
        let (clock, watch) = (Arc::clone(&parts.clock), Arc::clone(&parts.watch));
        let life = Arc::new(Life::default());
        let entropy = Arc::new(SimEntropy::new(rng.fork()));
        let db = db.another_process(entropy.as_ref());
        let mut inner: Arc<dyn Store> = Arc::new(db.clone());
        if let Some(rule) = parts.sabotage.filter(|rule| rule.is_below()) {
            inner = Arc::new(Saboteur::new(rule, inner, Arc::clone(&clock)));
        }
        let mut line = |may_panic| SimStore {
            inner: Arc::clone(&inner),
            process: number,
            life: Arc::clone(&life),
            watch: Arc::clone(&watch),
            clock: Arc::clone(&clock),
            latency: parts.latency,
            is_copy,
            weather: Arc::clone(&parts.weather),
            may_panic,
            rng: Mutex::new(rng.fork()),
        };
        let store: Arc<dyn Store> = Arc::new(line(false));
        let mut engines: Arc<dyn Store> = Arc::new(line(true));
        if let Some(rule) = parts.sabotage.filter(|rule| !rule.is_below()) {
            engines = Arc::new(Saboteur::new(rule, engines, Arc::clone(&clock)));
        }
        let carrier = Arc::new(SimCarrier::new(
            number,
            Arc::clone(&life),
            Arc::clone(&watch),
            Arc::clone(&clock),
            Arc::clone(&parts.weather),
            rng.fork(),
        ));
        let wake = Arc::new(Notify::new());
        let ports = Ports {
            store: engines,
            carrier: Arc::clone(&carrier) as _,
            clock: Arc::new(ProcessClock {
                clock,
                life: Arc::clone(&life),
                blind: parts.sabotage == Some(Sabotage::BlindToJumps),
            }),
            entropy,
            watermark: Arc::clone(&parts.watermark) as _,
            journal: Arc::clone(&parts.journal) as _,
        };
        let engine = Engine::new(parts.config.clone(), ports, Arc::clone(&wake));
        let board = engine.board();
        let (stop, stopped) = oneshot::channel::<()>();
        watch.note("world", &format!("process {number} starts"));
        watch.look(|seen, now| {
            seen.checkers.clocks.started(number, now);
            let limit = Some(parts.config.node_calls);
            seen.checkers.pace.set_cap(Cap::Process(number), now, limit);
            Ok(())
        });
        let task = run(engine, stopped, number, (db, watch));
        Self { number, store, wake, life, carrier, board, stop, task }
    }

    /// Crashes: from this moment on nothing that belongs to it does anything.
    pub(crate) async fn crash(self, watch: &Watch) {
        self.life.end();
        let dropped = self.carrier.die();
        watch.note("world", &format!("process {} crashes with {dropped} calls", self.number));
        watch.count("crashed");
        if dropped > 0 {
            watch.count("crashed with live calls");
        }
        self.task.abort();
        // Either way it is gone: this waits until everything it held is dropped.
        let _ = self.task.await;
    }

    /// Ends politely; what is still live after that dies with it.
    pub(crate) async fn drain(self, watch: &Watch) -> Result<(), Violation> {
        watch.note("world", &format!("process {} is to stop", self.number));
        watch.count("drained");
        let _ = self.stop.send(());
        let ended = self.task.await;
        self.life.end();
        self.carrier.die();
        ended.map_err(|e| Violation::new("engine", format!("it broke down: {e}")))
    }

    /// No background work has failed without a reason; with `strict`, none at all: whatever failed
    /// has run again since.
    pub(crate) fn check(&self, broke_down: bool, strict: bool) -> Result<(), Violation> {
        if self.task.is_finished() {
            return Err(Violation::new("engine", "it ended by itself"));
        }
        for task in self.board.list() {
            if let TaskResult::Failed { error } = task.last_result
                && (strict || !(is_meant(&error) || (broke_down && error == BROKE_DOWN)))
            {
                return Err(Violation::new("engine", format!("{} failed: {error}", task.name)));
            }
        }
        Ok(())
    }
}

/// Every process is the same node in another life.
fn node(number: u32) -> NodeSpec {
    NodeSpec {
        id: [1; 16],
        name: "node".to_owned(),
        host: "host".to_owned(),
        role: "all".to_owned(),
        address: String::new(),
        version: number.to_string(),
    }
}

/// The engine, until it is told to stop.
fn run(
    engine: Engine,
    stopped: oneshot::Receiver<()>,
    number: u32,
    (db, told): (SqliteInline, Arc<Watch>),
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let shutdown = async move {
            // An error: nobody can ask any more, so nobody has.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        db.node_join(node(number)).await.expect("a database in memory takes it");
        let drained = engine.run(shutdown).await;
        told.note("world", &format!("process {number} drained: {drained:?}"));
    })
}
