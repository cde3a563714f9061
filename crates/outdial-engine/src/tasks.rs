//! Background work: idempotent activations without input, run by a period, and how they are doing.
//!
//! An activation does bounded work and retries nothing: the next one is the retry. A panic inside
//! ends the activation, never the loop.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use tokio::task::JoinSet;

use crate::context::{Context, locked};

/// What broke down is started again after this.
pub(crate) const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Hints do not run anything more often than this.
const HINT_GAP: Duration = Duration::from_millis(20);

/// How one kind of background work is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Which.
    pub name: &'static str,
    /// When it last ended.
    pub last_run: Timestamp,
    /// How it then ended.
    pub last_result: TaskResult,
    /// How often it ended.
    pub runs: u64,
    /// How often it failed.
    pub failures: u64,
}

/// How an activation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskResult {
    /// As meant.
    Done {
        /// How many things it dealt with.
        items: u32,
    },
    /// It broke off; the next one tries again.
    Failed {
        /// Why.
        error: String,
    },
}

/// How all background work is doing.
#[derive(Debug, Default)]
pub struct TaskBoard(Mutex<BTreeMap<&'static str, TaskStatus>>);

impl TaskBoard {
    /// What has run at least once, by name.
    pub fn list(&self) -> Vec<TaskStatus> {
        locked(&self.0).values().cloned().collect()
    }

    /// Takes note; true: a failure that follows no failure.
    pub(crate) fn note(&self, name: &'static str, at: Timestamp, result: TaskResult) -> bool {
        let mut board = locked(&self.0);
        let failed = matches!(result, TaskResult::Failed { .. });
        let status = board.entry(name).or_insert_with(|| TaskStatus {
            name,
            last_run: at,
            last_result: TaskResult::Done { items: 0 },
            runs: 0,
            failures: 0,
        });
        let is_news = failed && !matches!(status.last_result, TaskResult::Failed { .. });
        status.last_run = at;
        status.last_result = result;
        status.runs += 1;
        status.failures += u64::from(failed);
        is_news
    }
}

/// Why an activation broke off.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The store said so.
    Store(StoreError),
    /// A defect; the panic hook has told where.
    Panicked,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Panicked => f.write_str("it panicked"),
        }
    }
}

/// Runs `work` as a task of its own, so that a panic stays in it. Dropped, it stops the work.
pub(crate) async fn guarded<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, Broken> {
    let mut alone = JoinSet::new();
    alone.spawn(work);
    match alone.join_next().await {
        Some(Ok(result)) => result.map_err(Broken::Store),
        Some(Err(_)) | None => Err(Broken::Panicked),
    }
}

/// What an activation returns: how many things it dealt with.
pub(crate) type Run = Pin<Box<dyn Future<Output = Result<u32, StoreError>> + Send>>;

/// One kind of background work.
#[derive(Clone, Copy)]
pub(crate) struct Activity {
    pub(crate) name: &'static str,
    pub(crate) period: Duration,
    /// Having dealt with so many things it may have left some: it is run again at once.
    pub(crate) limit: u32,
    /// A hint that anything changed runs it at once.
    pub(crate) hinted: bool,
    pub(crate) run: fn(Arc<Context>) -> Run,
}

/// Runs an activity by its period, for ever.
pub(crate) async fn keep_running(ctx: Arc<Context>, activity: Activity) {
    let Activity { name, period, limit, hinted, run } = activity;
    loop {
        let result = guarded(run(Arc::clone(&ctx))).await;
        let more = matches!(result, Ok(items) if items >= limit);
        note(&ctx, name, result);
        if more {
            continue;
        }
        let ended = ctx.clock.monotonic();
        tokio::select! {
            biased;
            () = ctx.clock.sleep_until(ended.after(period)) => {}
            () = async {
                ctx.changed.notified().await;
                ctx.clock.sleep_until(ended.after(HINT_GAP)).await;
            }, if hinted => {}
        }
    }
}

/// Puts a result on the board; a failure is logged when it is new.
pub(crate) fn note(ctx: &Context, name: &'static str, result: Result<u32, Broken>) {
    let result = match result {
        Ok(items) => TaskResult::Done { items },
        Err(broken) => TaskResult::Failed { error: broken.to_string() },
    };
    let failure = match &result {
        TaskResult::Failed { error } => Some(error.clone()),
        TaskResult::Done { .. } => None,
    };
    let is_news = ctx.board.note(name, ctx.clock.now(), result);
    if let Some(error) = failure.filter(|_| is_news) {
        tracing::warn!(task = name, %error, "failed; goes on trying");
    }
}
