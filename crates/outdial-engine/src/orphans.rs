//! Calls of processes that are gone. On simulated numbers they died with their process; on a real
//! trunk they go on: the carrier takes them over, and what becomes of them is recorded
//! (`semantics.md` 3.5). Nothing is ever placed here.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState, CallEvent};
use outdial_core::id::AttemptId;
use outdial_core::outcome::{CallEnd, Disposition, hung_up_unanswered, outcome_of};
use outdial_core::time::Timestamp;
use outdial_ports::OrphanCall;
use outdial_ports::store::{Integration, OpenAttempt, StoreError};
use tokio::task::JoinSet;

use crate::context::{Context, locked};
use crate::finish::{self, Finished, Keeping};

/// Nothing comes of an INVITE later than this after it should have been answered or canceled: the
/// time of a transaction (64 × T1, RFC 3261 section 17.1.1.2).
const SETTLED: Duration = Duration::from_secs(32);
/// Between two tries to record an end.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Those that are being looked after.
#[derive(Default)]
pub(crate) struct Orphans(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    attempts: BTreeSet<AttemptId>,
    tasks: JoinSet<()>,
}

impl Orphans {
    /// How many.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(locked(&self.0).attempts.len()).unwrap_or(u32::MAX)
    }

    /// Gives them up; the next process finds them again.
    pub(crate) fn abandon(&self) {
        locked(&self.0).tasks.abort_all();
    }

    /// Looks after one, unless that is being done.
    fn watch(&self, ctx: &Arc<Context>, open: OpenAttempt) -> bool {
        let mut watched = locked(&self.0);
        while watched.tasks.try_join_next().is_some() {}
        let is_new = watched.attempts.insert(open.attempt);
        if is_new {
            let guard = Entered { ctx: Arc::clone(ctx), attempt: open.attempt };
            watched.tasks.spawn(async move { take_over(&guard.ctx, &open).await });
        }
        is_new
    }
}

/// Among those that are looked after, until it is dropped.
struct Entered {
    ctx: Arc<Context>,
    attempt: AttemptId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        locked(&self.ctx.orphans.0).attempts.remove(&self.attempt);
    }
}

/// Ends an attempt that no process runs, or has somebody see to it. How many were ended.
pub(crate) async fn resolve(ctx: &Arc<Context>, open: OpenAttempt) -> Result<u32, StoreError> {
    let kept = ctx.journal.kept(open.attempt).filter(|kept| kept.token == open.token);
    if let Some(kept) = kept {
        return record_kept(ctx, &kept.end, &open).await;
    }
    match open.integration {
        Integration::Simulated => finish::resolve(ctx, &open).await.map(|_| 1),
        Integration::Sip => {
            let (attempt, was) = (open.attempt, open.state.as_str());
            if ctx.orphans.watch(ctx, open) {
                tracing::info!(%attempt, was, "taken over from a process that is gone");
            }
            Ok(0)
        }
    }
}

/// It was over before its process was gone, which could not record that: that is what became of it.
async fn record_kept(
    ctx: &Context,
    end: &AttemptEnd,
    open: &OpenAttempt,
) -> Result<u32, StoreError> {
    finish::finish_once(ctx, open.attempt, end, None).await?;
    ctx.journal.forget(open.attempt);
    let disposition = end.outcome.disposition.as_str();
    tracing::info!(attempt = %open.attempt, disposition, "its end stood in the journal");
    Ok(1)
}

/// Follows one to its end, and records that.
async fn take_over(ctx: &Arc<Context>, open: &OpenAttempt) {
    let mut call = ctx.carrier.take_over(OrphanCall {
        attempt: open.attempt,
        token: open.token,
        trunk: open.trunk,
        caller: open.caller,
        callee: open.callee,
        state: open.state,
        dialog: open.dialog.clone(),
        give_up_at: ctx.clock.monotonic().after(patience(open, ctx)),
    });
    let end = loop {
        match poll_fn(|cx| call.events.as_mut().poll_next(cx)).await {
            Some(CallEvent::Ended(end)) => break end,
            Some(CallEvent::Ringing | CallEvent::Answered) => {}
            None => break CallEnd::Lost,
        }
    };
    let end = ended(open, &end, ctx.clock.now());
    let (disposition, reason) = (end.outcome.disposition.as_str(), end.outcome.reason);
    let mut keeping = Keeping::new(open.attempt, open.token, &end);
    loop {
        let recording = finish::finish_once(ctx, open.attempt, &end, None);
        match keeping.meanwhile(ctx, recording).await {
            Ok(Finished::Applied(_)) => {
                tracing::info!(attempt = %open.attempt, disposition, reason,
                    "what became of a call of a process that is gone");
                break ctx.signals.nudge_all();
            }
            Ok(Finished::WasOver | Finished::TakenOver) => break,
            Err(error) => {
                tracing::warn!(attempt = %open.attempt, %error, "its end waits to be recorded");
                keeping.keep(ctx).await;
                ctx.sleep(TRY_AGAIN).await;
            }
        }
    }
    keeping.over(ctx);
}

/// How long something may still come of it.
fn patience(open: &OpenAttempt, ctx: &Context) -> Duration {
    let limit = match open.answered_at {
        // Its longest time was reserved, whole seconds.
        Some(at) => at.after(Duration::from_secs(open.reserve.seconds)),
        None => open.send_by.after(open.ring_timeout.unwrap_or(ctx.config.ring_limit())),
    };
    limit.after(SETTLED).since(ctx.clock.now())
}

fn ended(open: &OpenAttempt, end: &CallEnd, now: Timestamp) -> AttemptEnd {
    let outcome = match end {
        // It rang, its process died, and the next one took it back: nothing speaks against trying
        // again, as after a drain.
        CallEnd::Canceled => hung_up_unanswered(),
        _ => outcome_of(end),
    };
    let state = match outcome.disposition {
        Disposition::Unknown => AttemptState::Unknown,
        _ => AttemptState::Ended,
    };
    let sip_status = match end {
        CallEnd::Refused { status, .. } => Some(*status),
        CallEnd::CutOff | CallEnd::AnsweredThenDropped => Some(200),
        CallEnd::Canceled => Some(487),
        _ => None,
    };
    AttemptEnd {
        state,
        outcome,
        sip_status,
        sent_at: open.sent_at,
        ringing_at: open.ringing_at,
        answered_at: open.answered_at,
        ended_at: now,
    }
}
