//! The supervisor: every workspace with an active batch has its dispatch running, once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use outdial_core::id::WorkspaceId;
use tokio::sync::{Notify, mpsc};
use tokio::task::{Id, JoinError, JoinSet};

use crate::context::Context;
use crate::dispatch::dispatch;
use crate::runner::Start;
use crate::tasks::{guarded, note};

/// Workspaces are not looked for more often than this, whatever the hints.
const GAP: Duration = Duration::from_millis(10);

/// Runs until a drain begins, and then until every dispatch has ended.
pub(crate) async fn supervise(
    ctx: Arc<Context>,
    wake: Arc<Notify>,
    start: mpsc::UnboundedSender<Start>,
) {
    let period = Duration::from_millis(ctx.config.supervise_ms);
    let mut desks = Desks::default();
    while !ctx.draining.is_set() {
        desks.start_missing(&ctx, &start).await;
        let began = ctx.clock.monotonic();
        let mut next = began.after(period);
        loop {
            tokio::select! {
                biased;
                () = ctx.draining.wait() => break,
                // Not started again before the next look: what breaks down may do so at once.
                Some(ended) = desks.tasks.join_next_with_id() => desks.ended(&ctx, ended),
                () = wake.notified() => {
                    ctx.signals.nudge_all();
                    ctx.changed.notify_one();
                    ctx.facts.notify_one();
                    next = next.min(began.after(GAP));
                }
                () = ctx.clock.sleep_until(next) => break,
            }
        }
    }
    while let Some(ended) = desks.tasks.join_next_with_id().await {
        desks.ended(&ctx, ended);
    }
}

/// The running dispatches.
#[derive(Default)]
struct Desks {
    tasks: JoinSet<()>,
    running: BTreeSet<WorkspaceId>,
    /// Looked up by id only, never walked through.
    whose: HashMap<Id, WorkspaceId>,
}

impl Desks {
    async fn start_missing(&mut self, ctx: &Arc<Context>, start: &mpsc::UnboundedSender<Start>) {
        let store = Arc::clone(&ctx.store);
        let listed = guarded(async move { store.dispatch_workspaces().await }).await;
        let mut started = 0;
        for &ws in listed.as_deref().unwrap_or_default() {
            if self.running.insert(ws) {
                let task = self.tasks.spawn(dispatch(Arc::clone(ctx), ws, start.clone()));
                self.whose.insert(task.id(), ws);
                started += 1;
            }
        }
        note(ctx, "supervise", listed.map(|_| started));
    }

    fn ended(&mut self, ctx: &Context, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(workspace) = self.whose.remove(&id) else { return };
        self.running.remove(&workspace);
        ctx.signals.close(workspace);
        if let Err(error) = ended {
            tracing::error!(%workspace, %error, "the dispatch of a workspace broke down");
        }
    }
}
