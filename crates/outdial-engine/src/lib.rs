//! The engine: the loops that turn what is stored into calls, and what came of them into outcomes.
//!
//! It carries decisions out and makes none: whom to call when is `outdial_core::dispatcher`'s,
//! whether a call may still leave `outdial_core::attempt`'s, what comes after it
//! `outdial_core::retry`'s. It knows time, chance, memory and telephones only as ports, spawns
//! nothing outside of itself and iterates over nothing unordered, so that the simulator can run it:
//! the same seed gives the same trace. It must never let a call leave whose intent's commit was not
//! acknowledged to this very process.
#![forbid(unsafe_code)]

mod clock_guard;
mod config;
mod context;
mod copies;
mod dispatch;
mod doubt;
mod events;
mod finish;
mod heartbeat;
mod housekeeping;
mod journal;
mod live;
mod measure;
mod orphans;
mod planner;
mod recognise;
mod runner;
mod standing;
mod supervisor;
mod tasks;
mod timebase;
mod trunks;
mod watermark;
mod webhooks;

use std::future::Future;
use std::sync::Arc;

use outdial_ports::{Carrier, Clock, Courier, Entropy, Journal, Monotonic, Store, Watermark};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

pub use config::EngineConfig;
pub use heartbeat::attend;
pub use journal::MemoryJournal;
pub use measure::{CALL_DELAY, INVITE_DELAY, LIVE_HERE, TURN};
pub use tasks::{TaskBoard, TaskResult, TaskStatus};
pub use watermark::MemoryWatermark;
pub use webhooks::WebhookConfig;

use context::Context;

/// The engine of one process. Made, then run once.
pub struct Engine {
    ctx: Arc<Context>,
    wake: Arc<Notify>,
    courier: Option<(Arc<dyn Courier>, WebhookConfig)>,
    told: Arc<Notify>,
}

/// What an engine stands on.
#[derive(Clone)]
pub struct Ports {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// Who places the calls.
    pub carrier: Arc<dyn Carrier>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What is remembered outside the database.
    pub watermark: Arc<dyn Watermark>,
    /// What is known of calls and not in the database yet.
    pub journal: Arc<dyn Journal>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Calls that were not over, or whose results were not recorded, when the limit was reached.
    /// The next process that opens the store resolves them.
    pub still_live: usize,
}

impl Engine {
    /// An engine on these ports. `wake` is a hint that something was added, started or changed
    /// (`notify_one`); without it, the engine finds out within a second.
    pub fn new(config: EngineConfig, ports: Ports, wake: Arc<Notify>) -> Self {
        let ctx = Context::new(config, ports);
        Self { ctx: Arc::new(ctx), wake, courier: None, told: Arc::default() }
    }

    /// Delivers events to webhook endpoints by `courier`; without it, nobody does here.
    #[must_use]
    pub fn with_courier(mut self, courier: Arc<dyn Courier>, config: WebhookConfig) -> Self {
        self.courier = Some((courier, config));
        self
    }

    /// `told` is woken (`notify_waiters`) when there are new events; only a hint.
    #[must_use]
    pub fn telling(mut self, told: Arc<Notify>) -> Self {
        self.told = told;
        self
    }

    /// How its loops are doing; outlives the run.
    pub fn board(&self) -> Arc<TaskBoard> {
        Arc::clone(&self.ctx.board)
    }

    /// Runs until `shutdown` is ready, or another process runs as this node; then drains: commits
    /// no more intents, gives back what has not left, lets live calls end. Returns after
    /// `EngineConfig::drain_limit_ms` at the latest. This process must have joined as a node, and
    /// leaves when all of it is done (`Store::node_leave`); that is not for the engine to say.
    ///
    /// Dropping the future stops everything at once and records nothing, as a crash would.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Drained {
        let Self { ctx, wake, courier, told } = self;
        tracing::info!(node_calls = ctx.config.node_calls, "the engine runs");
        // From here on a jump shows, also one before the first call.
        ctx.compare_clocks();
        heartbeat::compare(Arc::clone(&ctx)).await;
        // Nothing leaves before the database has heard of this node.
        if let Err(error) = tasks::guarded(heartbeat::beat(Arc::clone(&ctx))).await {
            tracing::warn!(%error, "the database has not heard of this node yet");
        }
        // The carrier knows its trunks before the first call; if not now, then within a second.
        if let Err(error) = tasks::guarded(trunks::exchange(Arc::clone(&ctx))).await {
            tracing::warn!(%error, "the trunks are not known yet");
        }
        let mut house = housekeeping::start(&ctx);
        house.spawn(events::keep_numbering(Arc::clone(&ctx), told));
        if let Some((courier, config)) = courier {
            let sender = webhooks::Sender { ctx: Arc::clone(&ctx), courier, config };
            house.spawn(webhooks::keep_delivering(Arc::new(sender)));
        }
        let (start, started) = mpsc::unbounded_channel();
        let mut runners = JoinSet::new();
        runners.spawn(live::nurse(Arc::clone(&ctx), started));
        let mut desk = JoinSet::new();
        desk.spawn(supervisor::supervise(Arc::clone(&ctx), Arc::clone(&wake), start.clone()));

        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = ctx.replaced.wait() => break,
                Some(ended) = desk.join_next() => {
                    tracing::error!(?ended, "the supervisor ended; it is started again");
                    ctx.sleep(tasks::RESTART_AFTER).await;
                    let again = supervisor::supervise(
                        Arc::clone(&ctx), Arc::clone(&wake), start.clone());
                    desk.spawn(again);
                }
                Some(ended) = runners.join_next() => {
                    // Nobody would run what is committed from now on.
                    tracing::error!(?ended, "the nursery of the runners ended; draining");
                    break;
                }
            }
        }
        drop(start);
        let drained = drain(&ctx, &mut desk, &mut runners).await;
        house.shutdown().await;
        ctx.orphans.abandon();
        drained
    }
}

/// Waits until nothing is live. What still is shortly before the limit is hung up, so that its end
/// is known and not to be guessed by the next process.
async fn drain(ctx: &Arc<Context>, desk: &mut JoinSet<()>, runners: &mut JoinSet<()>) -> Drained {
    ctx.draining.set();
    tracing::info!(live = ctx.live.count(), "draining");
    let limit = ctx.config.drain_limit();
    let now = ctx.clock.monotonic();
    let quiet = async {
        while desk.join_next().await.is_some() {}
        while runners.join_next().await.is_some() {}
    };
    tokio::pin!(quiet);
    let mut is_quiet = false;
    let hang_up_after = limit.saturating_sub(HANG_UP_BEFORE.min(limit / 4));
    for (until, last) in [(now.after(hang_up_after), false), (now.after(limit), true)] {
        if is_quiet {
            break;
        }
        is_quiet = until_or(ctx, until, quiet.as_mut()).await;
        if !is_quiet && !last {
            tracing::warn!(live = ctx.live.count(), "hanging up what is still live");
            ctx.live.hang_up_all();
        }
    }
    if is_quiet {
        // Committed and not sent, when a mark or a commit's answer was lost: given back now, not
        // resolved as unknown by the next process.
        let unsent = housekeeping::give_back_unsent(ctx);
        if !until_or(ctx, now.after(limit), unsent).await {
            tracing::warn!("what is unsent is left to the next process");
        }
    }
    // Should there be no time left, registrations end by themselves.
    until_or(ctx, now.after(limit), ctx.carrier.leave()).await;
    let drained = Drained { still_live: ctx.live.count() };
    tracing::info!(still_live = drained.still_live, "drained");
    drained
}

/// So long before the drain's limit live calls are hung up, or a quarter of the limit.
const HANG_UP_BEFORE: std::time::Duration = std::time::Duration::from_secs(5);

/// True: `done` was ready first.
async fn until_or(ctx: &Context, until: Monotonic, done: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = done => true,
        () = ctx.clock.sleep_until(until) => false,
    }
}
