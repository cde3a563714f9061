//! Housekeeping: the loops beside dispatch. Each activation is idempotent, takes nothing, and does
//! bounded work; two of them at once do no harm.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::id::AttemptId;
use outdial_core::outcome::{CallEnd, outcome_of};
use outdial_core::time::Timestamp;
use outdial_ports::Monotonic;
use outdial_ports::store::{NODE_TRUST, StoreError};
use tokio::task::JoinSet;

use crate::config::EngineConfig;
use crate::context::{Context, Looked, Unconfirmed, locked};
use crate::tasks::{Activity, Run, guarded, keep_running};
use crate::{finish, heartbeat, journal, orphans, trunks};

/// Most attempts that one activation resolves.
const RESOLVE: u32 = 500;
/// Most batches that one activation closes.
const CLOSE: u32 = 100;
/// Most calls that one activation expires.
const EXPIRE: u32 = 1_000;
/// Most rows that one activation forgets.
const PRUNE: u32 = 1_000;
/// How rarely a commit whose answer was lost is looked for in the end. Until then, after a quarter
/// of the time that has passed: one that waits for a standby may take effect at any time.
const LOOK_FOR_EVERY: Duration = Duration::from_secs(15 * 60);
/// For so long after its batch was deleted, or its call forgotten.
const DOUBT: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts all of them; they stop when the result is dropped.
pub(crate) fn start(ctx: &Arc<Context>) -> JoinSet<()> {
    let EngineConfig { resolve_ms, supervise_ms, close_ms, prune_ms, .. } = ctx.config;
    let all = u32::MAX;
    let activities = [
        work("resolve_orphans", resolve_ms, RESOLVE, |ctx| Box::pin(resolve_orphans(ctx))),
        work("settle_journal", resolve_ms, all, |ctx| Box::pin(journal::settle(ctx))),
        work("exchange_trunks", supervise_ms, all, |ctx| Box::pin(trunks::exchange(ctx))),
        work("tie_loose_ends", supervise_ms, all, |ctx| Box::pin(tie_loose_ends(ctx, false))),
        Activity {
            hinted: true,
            ..work("recall", ctx.config.recall_ms, all, |ctx| Box::pin(recall(ctx)))
        },
        work("expire_batches", close_ms, EXPIRE, |ctx| Box::pin(expire_batches(ctx))),
        work("close_batches", close_ms, CLOSE, |ctx| Box::pin(close_batches(ctx))),
        work("prune_requests", prune_ms, PRUNE, |ctx| Box::pin(prune_requests(ctx))),
        work("prune_imports", close_ms, PRUNE, |ctx| Box::pin(prune_imports(ctx))),
        work("prune_limits", prune_ms, PRUNE, |ctx| Box::pin(prune_limits(ctx))),
        work("prune_events", prune_ms, PRUNE, |ctx| Box::pin(prune_events(ctx))),
    ];
    let mut loops = JoinSet::new();
    loops.spawn(heartbeat::keep_beating(Arc::clone(ctx)));
    for activity in activities {
        loops.spawn(keep_running(Arc::clone(ctx), activity));
    }
    loops
}

/// Work that is run by its period alone.
fn work(name: &'static str, period_ms: u64, limit: u32, run: fn(Arc<Context>) -> Run) -> Activity {
    Activity { name, period: Duration::from_millis(period_ms), limit, hinted: false, run }
}

/// Ends attempts of processes that are gone, or sees to it. A process that may itself be gone to
/// the others takes nothing over.
async fn resolve_orphans(ctx: Arc<Context>) -> Result<u32, StoreError> {
    if !ctx.is_heard() || !may_take_over(&ctx).await? {
        return Ok(0);
    }
    let (mut resolved, mut failed) = (0, None);
    let most = RESOLVE.saturating_add(ctx.orphans.count());
    for open in ctx.store.attempt_list_orphaned(most).await? {
        let attempt = open.attempt;
        // One that cannot be resolved must not hold up those behind it.
        match orphans::resolve(&ctx, open).await {
            Ok(ended) => resolved += ended,
            Err(error) => {
                tracing::error!(%attempt, %error, "not resolved");
                failed.get_or_insert(error);
            }
        }
    }
    if resolved > 0 {
        ctx.signals.nudge_all();
    }
    failed.map_or(Ok(resolved), Err)
}

/// Not while the others may be silent for a reason that they shared with this node, and live: their
/// calls would be cut for nothing.
async fn may_take_over(ctx: &Context) -> Result<bool, StoreError> {
    let now = ctx.clock.monotonic();
    let (may_judge, knows_time) = {
        let standing = locked(&ctx.standing);
        (standing.may_judge(now), standing.knows_time(now))
    };
    if may_judge {
        return Ok(true);
    }
    if !knows_time || !ctx.clocks_agree() {
        return Ok(false);
    }
    let nodes = ctx.store.node_list().await?;
    let latest = nodes.iter().map(|node| node.beat_at).max();
    // One that is about to be taken for dead is silent as well.
    let is_silent = |beat_at: Timestamp| latest.is_some_and(|at| beat_at.after(NODE_TRUST) <= at);
    Ok(!nodes.iter().any(|node| !node.has_left && (!node.is_alive || is_silent(node.beat_at))))
}

/// One last look at loose ends, before the process goes.
pub(crate) async fn give_back_unsent(ctx: &Arc<Context>) {
    let result = guarded(tie_loose_ends(Arc::clone(ctx), true)).await;
    if let Err(error) = result {
        tracing::warn!(%error, "loose ends are left; the next start resolves them as unknown");
    }
}

/// Ends attempts of this process that no runner runs; of those in doubt, the ones that are due, or
/// all of them.
async fn tie_loose_ends(ctx: Arc<Context>, all: bool) -> Result<u32, StoreError> {
    let began = ctx.clock.monotonic();
    let (unconfirmed, broken): (Vec<_>, Vec<AttemptId>) = {
        let ends = locked(&ctx.loose_ends);
        let due = ends.unconfirmed.iter().filter(|(_, looked)| all || looked.next <= began);
        let unconfirmed = due.map(|(doubt, looked)| (*doubt, looked.since));
        (unconfirmed.collect(), ends.broken.iter().copied().collect())
    };
    let mut tied = 0;
    for attempt in broken {
        if let Some(open) = ctx.store.attempt_fetch(attempt).await?.filter(|o| !o.state.is_over()) {
            orphans::resolve(&ctx, open).await?;
        }
        locked(&ctx.loose_ends).broken.remove(&attempt);
        tied += 1;
    }
    for (doubt, since) in unconfirmed {
        let is_settled = match committed_after_all(&ctx, &doubt).await? {
            Seen::Open(attempt) => give_back(&ctx, &doubt, attempt).await.map(|()| true)?,
            Seen::Never => true,
            Seen::NotYet => false,
            Seen::NoCall => began >= since.after(DOUBT),
        };
        let unconfirmed = &mut locked(&ctx.loose_ends).unconfirmed;
        if is_settled {
            unconfirmed.remove(&doubt);
            tied += 1;
        } else {
            unconfirmed.insert(doubt, Looked { since, next: look_again(since, began) });
        }
    }
    if tied > 0 {
        ctx.signals.nudge_all();
    }
    Ok(tied)
}

/// When to look for a commit again.
fn look_again(since: Monotonic, now: Monotonic) -> Monotonic {
    now.after((now.since(since) / 4).min(LOOK_FOR_EVERY))
}

/// The answer to the commit of an intent was lost, and it took effect. It was not sent, so its call
/// is given back.
async fn give_back(
    ctx: &Context,
    doubt: &Unconfirmed,
    attempt: AttemptId,
) -> Result<(), StoreError> {
    let end = AttemptEnd {
        state: AttemptState::NotSent,
        outcome: outcome_of(&CallEnd::NotSent { reason: "commit_unknown" }),
        sip_status: None,
        sent_at: None,
        ringing_at: None,
        answered_at: None,
        ended_at: ctx.clock.now(),
    };
    finish::finish_once(ctx, attempt, &end, None).await?;
    tracing::info!(%attempt, call = %doubt.call, "given back unsent");
    Ok(())
}

/// What there is of an intent whose commit was not answered.
enum Seen {
    /// Its attempt, not over.
    Open(AttemptId),
    /// Nothing; it may still take effect.
    NotYet,
    /// Nothing, and another has its place; or it is over.
    Never,
    /// Its call is not shown.
    NoCall,
}

async fn committed_after_all(ctx: &Context, doubt: &Unconfirmed) -> Result<Seen, StoreError> {
    if let Some((_, call)) = ctx.store.call_fetch(doubt.workspace, doubt.call).await? {
        let there = call.attempts.into_iter().find(|a| a.number >= doubt.number);
        return Ok(match there {
            Some(a) if a.token == doubt.token && !a.state.is_over() => Seen::Open(a.id),
            Some(_) => Seen::Never,
            None => Seen::NotYet,
        });
    }
    // The calls of a deleted batch are not shown, but those on the phone are recalled.
    for attempt in ctx.store.live_list_recalled().await? {
        let open = ctx.store.attempt_fetch(attempt).await?;
        if open.is_some_and(|o| o.token == doubt.token) {
            return Ok(Seen::Open(attempt));
        }
    }
    Ok(Seen::NoCall)
}

/// Takes calls back that are no longer wanted.
async fn recall(ctx: Arc<Context>) -> Result<u32, StoreError> {
    let attempts = ctx.store.live_list_recalled().await?;
    Ok(ctx.live.recall(&attempts))
}

/// Finishes the calls of batches whose time is over.
async fn expire_batches(ctx: Arc<Context>) -> Result<u32, StoreError> {
    let expired = ctx.store.batch_expire_due(EXPIRE).await?;
    if expired > 0 {
        ctx.facts.notify_one();
        tracing::info!(expired, "calls of batches whose time is over");
    }
    Ok(expired)
}

/// Closes batches that are done.
async fn close_batches(ctx: Arc<Context>) -> Result<u32, StoreError> {
    let closed = ctx.store.batch_close_due(CLOSE).await?;
    if !closed.is_empty() {
        ctx.facts.notify_one();
    }
    for batch in &closed {
        tracing::info!(%batch, "nothing left to call");
    }
    Ok(u32::try_from(closed.len()).unwrap_or(u32::MAX))
}

/// Forgets requests that nobody may repeat any more. Not by a clock that jumped lately: what is
/// forgotten too early is gone when the clock is set back.
async fn prune_requests(ctx: Arc<Context>) -> Result<u32, StoreError> {
    if !ctx.clocks_agree() {
        return Ok(0);
    }
    ctx.store.request_prune(PRUNE).await
}

/// Takes imports away whose upload broke.
async fn prune_imports(ctx: Arc<Context>) -> Result<u32, StoreError> {
    ctx.store.import_prune(PRUNE).await
}

/// Forgets what limits no longer count. Not by a clock that jumped lately, as above.
async fn prune_limits(ctx: Arc<Context>) -> Result<u32, StoreError> {
    if !ctx.clocks_agree() {
        return Ok(0);
    }
    ctx.store.limits_prune(PRUNE).await
}

/// Forgets events and deliveries that are over. Not by a clock that jumped lately, as above.
async fn prune_events(ctx: Arc<Context>) -> Result<u32, StoreError> {
    if !ctx.clocks_agree() {
        return Ok(0);
    }
    ctx.store.event_prune(PRUNE).await
}
