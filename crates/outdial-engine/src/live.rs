//! The live calls of this process: one runner each, and who looks after the runners.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use outdial_core::id::{AttemptId, WorkspaceId};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

use crate::context::{Context, locked};
use crate::measure::LIVE_HERE;
use crate::runner::{self, Start};

/// The live calls of this process, and how to reach their runners.
#[derive(Default)]
pub(crate) struct LiveCalls(Mutex<Live>);

#[derive(Default)]
struct Live {
    calls: BTreeMap<AttemptId, Handle>,
    /// How many of them are whose.
    counts: BTreeMap<WorkspaceId, u32>,
    /// Recalled between their commit and the start of their runner, as of the last recall.
    early: BTreeSet<AttemptId>,
}

struct Handle {
    workspace: WorkspaceId,
    mailbox: mpsc::UnboundedSender<Request>,
    recalled: bool,
}

/// What is asked of a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Take the call back unless it is answered.
    Recall,
    /// End the call, answered or not: this process is about to go, or another has taken it over.
    HangUp,
}

impl LiveCalls {
    /// Enters a call; it is taken out when the result is dropped.
    pub(crate) fn enter(ctx: &Arc<Context>, workspace: WorkspaceId, attempt: AttemptId) -> Entry {
        let (mailbox, requests) = mpsc::unbounded_channel();
        let mut live = locked(&ctx.live.0);
        let recalled = live.early.contains(&attempt);
        if recalled {
            // It is read before the slot is waited for.
            let _ = mailbox.send(Request::Recall);
        }
        live.calls.insert(attempt, Handle { workspace, mailbox, recalled });
        *live.counts.entry(workspace).or_default() += 1;
        drop(live);
        Entry { ctx: Arc::clone(ctx), attempt, requests }
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        locked(&self.0).calls.len()
    }

    /// How many of this workspace.
    pub(crate) fn count_of(&self, workspace: WorkspaceId) -> u32 {
        locked(&self.0).counts.get(&workspace).copied().unwrap_or_default()
    }

    /// It is live here.
    pub(crate) fn is_live(&self, attempt: AttemptId) -> bool {
        locked(&self.0).calls.contains_key(&attempt)
    }

    /// Recalls these; how many of them were live here and not recalled before.
    pub(crate) fn recall(&self, attempts: &[AttemptId]) -> u32 {
        let mut live = locked(&self.0);
        live.early.clear();
        let mut recalled = 0;
        for attempt in attempts {
            match live.calls.get_mut(attempt) {
                Some(handle) if handle.recalled => {}
                Some(handle) => {
                    handle.recalled = true;
                    recalled += u32::from(handle.mailbox.send(Request::Recall).is_ok());
                }
                None => drop(live.early.insert(*attempt)),
            }
        }
        recalled
    }

    /// Ends one, if it is live here.
    pub(crate) fn hang_up(&self, attempt: AttemptId) {
        if let Some(handle) = locked(&self.0).calls.get(&attempt) {
            let _ = handle.mailbox.send(Request::HangUp);
        }
    }

    /// Ends them all.
    pub(crate) fn hang_up_all(&self) {
        for handle in locked(&self.0).calls.values() {
            // A runner that is already recording the end does not listen any more.
            let _ = handle.mailbox.send(Request::HangUp);
        }
    }
}

/// A call's entry among the live ones.
pub(crate) struct Entry {
    ctx: Arc<Context>,
    attempt: AttemptId,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut live = locked(&self.ctx.live.0);
        let Some(handle) = live.calls.remove(&self.attempt) else { return };
        let count = live.counts.entry(handle.workspace).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            live.counts.remove(&handle.workspace);
        }
    }
}

/// Starts a runner for everything that `started` brings, and looks after them: one that breaks down
/// takes nobody with it, and its attempt is ended as unknown. Returns when nothing more can come
/// and all are done.
pub(crate) async fn nurse(ctx: Arc<Context>, mut started: mpsc::UnboundedReceiver<Start>) {
    let mut runners = JoinSet::new();
    // Looked up by id only, never walked through.
    let mut attempts: HashMap<Id, AttemptId> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            Some(start) = started.recv() => {
                let attempt = start.committed.attempt;
                let entry = LiveCalls::enter(&ctx, start.workspace, attempt);
                let task = runners.spawn(runner::run(Arc::clone(&ctx), start, entry));
                attempts.insert(task.id(), attempt);
            }
            Some(ended) = runners.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(|e| e.id(), |(id, ())| *id);
                let attempt = attempts.remove(&id);
                if let (Err(error), Some(attempt)) = (ended, attempt) {
                    tracing::error!(%attempt, %error, "a runner broke down");
                    locked(&ctx.loose_ends).broken.insert(attempt);
                }
            }
            else => break,
        }
        let live = u32::try_from(runners.len()).unwrap_or(u32::MAX);
        metrics::gauge!(LIVE_HERE).set(live);
    }
}
