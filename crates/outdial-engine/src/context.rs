//! What the loops of one engine share. Holds no decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_core::id::{AttemptId, CallId, TrunkId, WorkspaceId};
use outdial_core::outcome::Outcome;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_core::trunk_health::TrunkHealth;
use outdial_ports::{Carrier, Clock, Entropy, Journal, Monotonic, Store, Watermark};
use tokio::sync::{Notify, Semaphore};

use crate::Ports;
use crate::clock_guard::{ClockGuard, Trust};
use crate::config::EngineConfig;
use crate::copies::Copies;
use crate::live::LiveCalls;
use crate::orphans::Orphans;
use crate::standing::{Obstacle, Standing};
use crate::tasks::{TaskBoard, TaskResult};
use crate::timebase::TimeBase;
use crate::trunks::Told;

/// Shared by all loops.
pub(crate) struct Context {
    pub(crate) config: EngineConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) carrier: Arc<dyn Carrier>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) watermark: Arc<dyn Watermark>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) board: Arc<TaskBoard>,
    /// Nothing new leaves any more.
    pub(crate) draining: Flag,
    /// Another process runs as this node.
    pub(crate) replaced: Flag,
    /// What this node and the database know of each other.
    pub(crate) standing: Mutex<Standing>,
    /// One permit for each call that this process may still take on.
    pub(crate) capacity: Arc<Semaphore>,
    pub(crate) live: LiveCalls,
    pub(crate) signals: Signals,
    /// Somebody hinted that anything changed; `recall` listens.
    pub(crate) changed: Notify,
    /// Something happened that an event tells of; numbering listens.
    pub(crate) facts: Notify,
    /// Events were numbered; the webhook sender listens.
    pub(crate) numbered: Notify,
    /// What must be looked up or ended although no runner does; see `housekeeping`.
    pub(crate) loose_ends: Mutex<LooseEnds>,
    /// What comparing the database with the marks came to.
    pub(crate) copies: Mutex<Copies>,
    /// Calls of processes that are gone.
    pub(crate) orphans: Orphans,
    /// What was told of trunks.
    pub(crate) told: Mutex<Told>,
    trunks: Mutex<BTreeMap<TrunkId, TrunkWatch>>,
    clocks: Mutex<ClockGuard>,
}

/// What is remembered of a trunk.
#[derive(Default)]
struct TrunkWatch {
    health: TrunkHealth,
    warned: Seldom,
}

/// Attempts that no runner runs although they may be open in this process's name.
#[derive(Default)]
pub(crate) struct LooseEnds {
    /// The answer to their commit was lost; they were not sent.
    pub(crate) unconfirmed: BTreeMap<Unconfirmed, Looked>,
    /// Their runner broke down.
    pub(crate) broken: BTreeSet<AttemptId>,
}

/// An intent of which nobody knows whether it was committed. It is never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unconfirmed {
    pub(crate) workspace: WorkspaceId,
    pub(crate) call: CallId,
    pub(crate) token: [u8; 16],
    /// Which attempt of its call it would be.
    pub(crate) number: u32,
}

/// Since when an intent is in doubt, and when it is looked for next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) since: Monotonic,
    pub(crate) next: Monotonic,
}

impl Context {
    pub(crate) fn new(config: EngineConfig, ports: Ports) -> Self {
        let Ports { store, carrier, clock, entropy, watermark, journal } = ports;
        let node_calls = usize::try_from(config.node_calls).unwrap_or(usize::MAX);
        Self {
            config,
            store,
            carrier,
            clock,
            entropy,
            watermark,
            journal,
            board: Arc::default(),
            draining: Flag::default(),
            replaced: Flag::default(),
            standing: Mutex::default(),
            capacity: Arc::new(Semaphore::new(node_calls.min(Semaphore::MAX_PERMITS))),
            live: LiveCalls::default(),
            signals: Signals::default(),
            changed: Notify::new(),
            facts: Notify::new(),
            numbered: Notify::new(),
            loose_ends: Mutex::default(),
            copies: Mutex::default(),
            orphans: Orphans::default(),
            told: Mutex::default(),
            trunks: Mutex::default(),
            clocks: Mutex::default(),
        }
    }

    /// Waits so long.
    pub(crate) async fn sleep(&self, d: Duration) {
        self.clock.sleep_until(self.clock.monotonic().after(d)).await;
    }

    /// A duration below `most`, by chance; in milliseconds, at least one.
    pub(crate) fn jitter(&self, most: Duration) -> Duration {
        let ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(1 + self.entropy.next_u64() % ms)
    }

    /// Compares the clocks.
    pub(crate) fn compare_clocks(&self) -> Trust {
        // One behind the other: what passes between them is far less than a jump.
        let (wall, at) = (self.clock.now(), self.clock.monotonic());
        locked(&self.clocks).observe(wall, at)
    }

    /// No clock has jumped lately. Noisy about one that has just done so.
    pub(crate) fn clocks_agree(&self) -> bool {
        let trust = self.compare_clocks();
        if let Trust::Jumped(by_ms) = trust {
            tracing::error!(by_ms, "the wall clock jumped: not dialing for 60 s");
        }
        trust == Trust::Agreed
    }

    /// What speaks against dialing by this reading of the database's clock.
    pub(crate) fn obstacle(&self, read: &TimeBase) -> Option<Obstacle> {
        let (wall, now) = (self.clock.now(), self.clock.monotonic());
        locked(&self.standing).observe(read, wall, now)
    }

    /// When this node ceases to be trusted, unless the database hears of it again: from then on
    /// others may take its calls over, and nothing may leave.
    pub(crate) fn heard_until(&self) -> Monotonic {
        locked(&self.standing).heard_until()
    }

    /// The database has heard of this node lately.
    pub(crate) fn is_heard(&self) -> bool {
        self.clock.monotonic() < self.heard_until()
    }

    /// Another process took this attempt over; whatever is known of it here counts for nothing.
    pub(crate) fn was_taken_over(&self, attempt: AttemptId) {
        tracing::warn!(%attempt, "another node has taken this call over, and tells its end");
        let now = self.clock.now();
        self.board.note("taken_over", now, TaskResult::Done { items: 1 });
    }

    /// Tells the trunk's health of an outcome; until when to pause the trunk, if that is new.
    pub(crate) fn observe_trunk(
        &self,
        trunk: TrunkId,
        now: Timestamp,
        callee: PhoneNumber,
        outcome: &Outcome,
    ) -> Option<Timestamp> {
        let random = self.entropy.next_u64();
        let at = self.clock.monotonic();
        let mut trunks = locked(&self.trunks);
        let watch = trunks.entry(trunk).or_default();
        let until = watch.health.observe(now, callee, outcome, random)?;
        let reason = outcome.reason;
        match watch.warned.is_due(at) {
            true => tracing::warn!(%trunk, %until, reason, "the trunk is paused"),
            false => tracing::debug!(%trunk, %until, reason, "the trunk is paused again"),
        }
        Some(until)
    }
}

/// Locks. A panic of another holder left the value whole: no critical section here can break off
/// half-way.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that becomes true once. Wakes in the order of waiting, so that runs can be repeated
/// (`tokio::sync::watch` wakes in a random one).
#[derive(Default)]
pub(crate) struct Flag {
    set: AtomicBool,
    wake: Notify,
}

impl Flag {
    pub(crate) fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait(&self) {
        let woken = self.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        if !self.is_set() {
            woken.await;
        }
    }
}

/// How the rest of the engine nudges the dispatch of a workspace.
#[derive(Default)]
pub(crate) struct Signals(Mutex<BTreeMap<WorkspaceId, Arc<Signal>>>);

/// The nudge of one workspace's dispatch.
#[derive(Default)]
pub(crate) struct Signal {
    look: Notify,
    groups_changed: AtomicBool,
}

impl Signal {
    /// Ready when somebody nudged, also before this was called.
    pub(crate) async fn nudged(&self) {
        self.look.notified().await;
    }

    /// Waiting calls may be others than they were; asking forgets it.
    pub(crate) fn take_groups_changed(&self) -> bool {
        self.groups_changed.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn nudge(&self, groups_changed: bool) {
        self.groups_changed.fetch_or(groups_changed, Ordering::SeqCst);
        self.look.notify_one();
    }
}

impl Signals {
    /// The workspace's, made if need be.
    pub(crate) fn open(&self, ws: WorkspaceId) -> Arc<Signal> {
        Arc::clone(locked(&self.0).entry(ws).or_default())
    }

    /// Nobody listens any more.
    pub(crate) fn close(&self, ws: WorkspaceId) {
        locked(&self.0).remove(&ws);
    }

    /// A call of the workspace ended. `groups_changed`: it waits again.
    pub(crate) fn call_ended(&self, ws: WorkspaceId, groups_changed: bool) {
        if let Some(signal) = locked(&self.0).get(&ws) {
            signal.nudge(groups_changed);
        }
    }

    /// Anything may have changed anywhere.
    pub(crate) fn nudge_all(&self) {
        for signal in locked(&self.0).values() {
            signal.nudge(true);
        }
    }
}

/// Lets something through only now and then: a warning that would come with every turn.
#[derive(Default)]
pub(crate) struct Seldom(Option<Monotonic>);

impl Seldom {
    const GAP: Duration = Duration::from_secs(10);

    pub(crate) fn is_due(&mut self, now: Monotonic) -> bool {
        let due = self.0.is_none_or(|last| now >= last.after(Self::GAP));
        if due {
            self.0 = Some(now);
        }
        due
    }
}
