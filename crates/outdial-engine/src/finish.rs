//! The end of an attempt: what it means for its call and its trunk, recorded.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::call::CallNext;
use outdial_core::id::AttemptId;
use outdial_core::outcome::{CallEnd, outcome_of};
use outdial_core::retry::{RetryPolicy, next_step};
use outdial_core::time::Timestamp;
use outdial_core::{brake, budget};
use outdial_ports::KeptEnd;
use outdial_ports::store::{FinishResult, OpenAttempt, Settle, StoreError};

use crate::context::Context;
use crate::journal;
use crate::runner::Start;

/// Between two tries to record an end: doubles up to the second.
const TRY_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// An end that the database has not taken by then is kept in the journal.
const LONG: Duration = Duration::from_secs(1);

/// What recording an end did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// Recorded; the call goes on like this.
    Applied(CallNext),
    /// It was over before: a late or duplicate result, counted by nobody.
    WasOver,
    /// Another process has taken it over, and records its end.
    TakenOver,
}

/// Records the end of a live attempt. Does not return before that is done: while this process
/// lives, no result is lost; and what it could not record by its end, the next one finds in the
/// journal.
pub(crate) async fn finish(ctx: &Arc<Context>, start: Start, end: AttemptEnd) {
    let attempt = start.committed.attempt;
    let intent = &start.committed.intent.intent;
    let pause = ctx.observe_trunk(intent.trunk, start.now(ctx), intent.callee, &end.outcome);
    let (mut wait, mut tries) = (TRY_AGAIN.0, 1_u32);
    let mut keeping = Keeping::new(attempt, start.committed.intent.token, &end);
    let finished = loop {
        match keeping.meanwhile(ctx, finish_once(ctx, attempt, &end, pause)).await {
            Ok(finished) => break finished,
            Err(error) => {
                if tries == 1 {
                    tracing::warn!(%attempt, %error, "the end of an attempt waits to be recorded");
                }
                tries += 1;
                keeping.keep(ctx).await;
                ctx.sleep(wait + ctx.jitter(wait / 4)).await;
                wait = (wait * 2).min(TRY_AGAIN.1);
            }
        }
    };
    keeping.over(ctx);
    if tries > 1 {
        tracing::info!(%attempt, tries, "the end of an attempt is recorded at last");
    }
    let (disposition, reason) = (end.outcome.disposition.as_str(), end.outcome.reason);
    tracing::Span::current().record("disposition", disposition);
    let again_at = match finished {
        Finished::Applied(CallNext::Pending { not_before, .. }) => Some(not_before),
        Finished::Applied(CallNext::Finished(_)) | Finished::WasOver | Finished::TakenOver => None,
    };
    let was_over = !matches!(finished, Finished::Applied(_));
    tracing::debug!(%attempt, call = %intent.call, disposition, reason, was_over,
        again_at = again_at.map(tracing::field::display), "over");
    // Before whoever waits for it is told.
    drop(start.permit);
    ctx.signals.call_ended(start.workspace, again_at.is_some());
    ctx.facts.notify_one();
}

/// The journal's part in recording one end.
pub(crate) struct Keeping {
    /// Still to be kept.
    end: Option<KeptEnd>,
    attempt: AttemptId,
}

impl Keeping {
    pub(crate) fn new(attempt: AttemptId, token: [u8; 16], end: &AttemptEnd) -> Self {
        Self { end: Some(KeptEnd { attempt, token, end: end.clone() }), attempt }
    }

    /// Waits for `recording`; the end is kept as soon as that takes long.
    pub(crate) async fn meanwhile<T>(
        &mut self,
        ctx: &Context,
        recording: impl Future<Output = T>,
    ) -> T {
        let long = async {
            if self.end.is_none() {
                return;
            }
            ctx.sleep(LONG).await;
            self.keep(ctx).await;
        };
        tokio::pin!(recording, long);
        tokio::select! {
            biased;
            recorded = &mut recording => return recorded,
            () = &mut long => {}
        }
        recording.await
    }

    /// Keeps it, unless that was done or tried.
    pub(crate) async fn keep(&mut self, ctx: &Context) {
        if let Some(end) = self.end.take() {
            journal::keep(ctx, end).await;
        }
    }

    /// It is recorded.
    pub(crate) fn over(&self, ctx: &Context) {
        if self.end.is_none() {
            ctx.journal.forget(self.attempt);
        }
    }
}

/// One try to record an end.
pub(crate) async fn finish_once(
    ctx: &Context,
    attempt: AttemptId,
    end: &AttemptEnd,
    pause: Option<Timestamp>,
) -> Result<Finished, StoreError> {
    match ctx.store.attempt_fetch(attempt).await? {
        Some(open) if !open.state.is_over() => finish_open(ctx, &open, end.clone(), pause).await,
        Some(_) | None => Ok(Finished::WasOver),
    }
}

/// Ends an attempt on a simulated number whose process is gone, or its runner: the call died with
/// them, so there is nothing to wait for, and nobody can know what became of it.
pub(crate) async fn resolve(ctx: &Context, open: &OpenAttempt) -> Result<Finished, StoreError> {
    let end = AttemptEnd {
        state: AttemptState::Unknown,
        outcome: outcome_of(&CallEnd::Lost),
        sip_status: None,
        sent_at: open.sent_at,
        ringing_at: open.ringing_at,
        answered_at: open.answered_at,
        ended_at: ctx.clock.now(),
    };
    let finished = finish_open(ctx, open, end, None).await?;
    tracing::info!(attempt = %open.attempt, call = %open.call, was = open.state.as_str(),
        "resolved as unknown");
    Ok(finished)
}

async fn finish_open(
    ctx: &Context,
    open: &OpenAttempt,
    end: AttemptEnd,
    pause: Option<Timestamp>,
) -> Result<Finished, StoreError> {
    let policy = RetryPolicy::of(&open.settings, open.batch_deleted, open.trunks);
    let random = ctx.entropy.next_u64();
    let next = next_step(&open.facts, &policy, &end.outcome, end.ended_at, random);
    let settle = Settle {
        used: budget::used(&end, open.reserve, open.price),
        pulse: brake::pulse_of(&end),
        trunk_paused_until: pause,
    };
    Ok(match ctx.store.attempt_finish(open.attempt, end, next, settle).await? {
        FinishResult::Applied => Finished::Applied(next),
        FinishResult::AlreadyOver => Finished::WasOver,
        FinishResult::TakenOver => {
            ctx.was_taken_over(open.attempt);
            Finished::TakenOver
        }
    })
}
