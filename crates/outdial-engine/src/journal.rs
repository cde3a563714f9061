//! A journal in memory, and how the engine settles one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use outdial_core::id::AttemptId;
use outdial_ports::store::StoreError;
use outdial_ports::{Journal, JournalError, KeptEnd};

use crate::context::{Context, locked};

/// Most ends that one activation asks the database about.
const LOOK_AT: usize = 200;

/// For tests and the simulator, which outlive what they call a process.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<BTreeMap<AttemptId, KeptEnd>>);

#[async_trait]
impl Journal for MemoryJournal {
    async fn keep(&self, kept: KeptEnd) -> Result<(), JournalError> {
        locked(&self.0).insert(kept.attempt, kept);
        Ok(())
    }

    fn kept(&self, attempt: AttemptId) -> Option<KeptEnd> {
        locked(&self.0).get(&attempt).cloned()
    }

    fn list(&self, after: Option<AttemptId>, limit: usize) -> Vec<AttemptId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        locked(&self.0).range((from, Bound::Unbounded)).take(limit).map(|(id, _)| *id).collect()
    }

    fn forget(&self, attempt: AttemptId) {
        locked(&self.0).remove(&attempt);
    }
}

/// Keeps an end that the database does not take. Without room for it the process alone knows it.
pub(crate) async fn keep(ctx: &Context, kept: KeptEnd) {
    let attempt = kept.attempt;
    match ctx.journal.keep(kept).await {
        Ok(()) => tracing::debug!(%attempt, "its end is kept in the journal"),
        Err(error) => {
            tracing::warn!(%attempt, %error, "its end is kept nowhere but in this process");
        }
    }
}

/// Forgets what is over in the database: this process, the one before it, or whoever took the
/// attempt over has seen to that. What is open there is ended when its turn comes: by its runner,
/// or as an orphan (`orphans::resolve`).
pub(crate) async fn settle(ctx: Arc<Context>) -> Result<u32, StoreError> {
    let (mut after, mut settled) = (None, 0);
    loop {
        let page = ctx.journal.list(after, LOOK_AT);
        let Some(last) = page.last() else { return Ok(settled) };
        after = Some(*last);
        for attempt in page {
            if ctx.live.is_live(attempt) {
                continue;
            }
            let open = ctx.store.attempt_fetch(attempt).await?;
            let token = ctx.journal.kept(attempt).map(|kept| kept.token);
            if open.is_none_or(|open| open.state.is_over() || Some(open.token) != token) {
                ctx.journal.forget(attempt);
                settled += 1;
            }
        }
    }
}
