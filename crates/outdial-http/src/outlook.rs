//! What pending calls wait for, in the dispatcher's own words: it is asked, never second-guessed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use outdial_core::call::CallState;
use outdial_core::dispatcher::{Bucket, Dispatcher, GroupKey, Head, Turn, Wait};
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_core::why::{self, Standing};
use outdial_core::zone::Class;
use outdial_ports::Noted;
use outdial_ports::store::{BatchRecord, CallView, StoreError};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::wire::batch_details::Waiting;
use crate::wire::call::WhyNotYet;

/// Every gate that holds a call back, and when it can be placed; nothing for one that is not
/// pending.
pub(crate) async fn of_call(
    app: &App,
    batch: &BatchRecord,
    call: &CallView,
) -> ApiResult<(Vec<WhyNotYet>, Option<Timestamp>)> {
    let Some(waiting) = call.waiting.filter(|_| call.state == CallState::Pending) else {
        return Ok((Vec::new(), None));
    };
    let Explained { older, head, gates } = explained(app, batch.workspace, batch.id).await?;
    let gates = call.group.and_then(|group| gates.get(&group));
    let standing = Standing {
        older,
        state: batch.state,
        pause: batch.pause_reason,
        held: call.held,
        waiting: Some((waiting.not_before, waiting.reason)),
        gates: gates.map_or(&[], Vec::as_slice),
    };
    let shown = |r: why::Reason| WhyNotYet { reason: r.word, until: r.until };
    let reasons = why::reasons(&standing, head.clock).into_iter().map(shown).collect();
    let class: Class = call.class.parse().map_err(|e| {
        ApiError::internal(format!("the class of call {} cannot be read: {e}", call.id))
    })?;
    let own = head.batches.iter().find(|b| b.id == batch.id);
    let next = own.and_then(|own| why::next_attempt_at(own, &head, &class, &standing, head.clock));
    Ok((reasons, next))
}

/// A batch's pending calls, counted by what they wait for; and the view that says so.
pub(crate) async fn waiting(app: &App, batch: &BatchRecord) -> ApiResult<(Head, Vec<Waiting>)> {
    let explained = explained(app, batch.workspace, batch.id).await?;
    let buckets = app.store.dispatch_waiting(vec![batch.id]).await?;
    let mut counted: BTreeMap<&'static str, Waiting> = BTreeMap::new();
    for bucket in &buckets {
        let reason = dominant(batch, bucket, &explained);
        let none = Waiting { reason: reason.word, calls: 0, until: reason.until };
        let entry = counted.entry(reason.word).or_insert(none);
        entry.calls += bucket.count;
        entry.until = entry.until.zip(reason.until).map(|(a, b)| a.min(b));
    }
    Ok((explained.head, counted.into_values().collect()))
}

fn dominant(batch: &BatchRecord, bucket: &Bucket, explained: &Explained) -> why::Reason {
    let standing = Standing {
        older: explained.older,
        state: batch.state,
        pause: batch.pause_reason,
        held: batch.lane.is_some_and(|lane| lane != bucket.group.lane),
        waiting: Some((bucket.earliest, bucket.reason)),
        gates: explained.gates.get(&bucket.group).map_or(&[], Vec::as_slice),
    };
    why::dominant(&standing, explained.head.clock)
}

/// A view of a workspace, and what it means.
struct Explained {
    /// The database is refused as an older copy.
    older: bool,
    head: Head,
    gates: BTreeMap<GroupKey, Vec<Wait>>,
}

/// The gates of every group of the workspace. This process's own capacity is none of them: it is
/// not asked to dial.
async fn explained(app: &App, workspace: WorkspaceId, also: BatchId) -> ApiResult<Explained> {
    let head = app.store.dispatch_head(workspace, Some(also)).await?;
    let groups = app.store.dispatch_groups(workspace, Some(also)).await?;
    let turn =
        Turn { now: head.clock, lead: Duration::ZERO, node_free: u32::MAX, turn_limit: u32::MAX };
    // A defect of a decision is told, not died of.
    let explain = AssertUnwindSafe(|| Dispatcher::new().explain(&head, &groups, &turn));
    let gates = catch_unwind(explain)
        .map_err(|_| ApiError::internal(format!("explaining workspace {workspace} panics")))?;
    let older = is_older(app, workspace).await?;
    Ok(Explained { older, head, gates })
}

/// Whether the dispatcher refuses the database. Not by marks that cannot be read: then nothing
/// leaves either, but no copy is at fault, and the log says so.
async fn is_older(app: &App, workspace: WorkspaceId) -> Result<bool, StoreError> {
    let Some(watermark) = &app.watermark else { return Ok(false) };
    let is_known = match watermark.latest(workspace).await {
        Ok(Noted::Nothing) | Err(_) => true,
        Ok(Noted::Mark(mark)) => app.store.attempt_is_known(mark.attempt, mark.token).await?,
        Ok(Noted::Lost) => false,
    };
    Ok(!is_known && !watermark.is_accepted(workspace).await.unwrap_or(false))
}
