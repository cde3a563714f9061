//! The heartbeat of this node: the database hears of it, and so do the others; and the node learns
//! whether it is still this node, and what time it is there.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outdial_ports::store::{NodeBeat, StoreError};
use outdial_ports::{Clock, Store};
use tokio::task::JoinSet;

use crate::clock_guard::Trust;
use crate::context::{Context, locked};
use crate::copies;
use crate::tasks::{guarded, note};
use crate::timebase::TimeBase;

/// Most beats that are on their way: one that hangs must not keep the next from being heard.
const AT_ONCE: usize = 3;
/// One that failed is followed by the next after this.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Beats for ever.
pub(crate) async fn keep_beating(ctx: Arc<Context>) {
    let period = Duration::from_millis(ctx.config.beat_ms);
    let (mut beats, mut comparing) = (JoinSet::new(), JoinSet::new());
    let mut next = ctx.clock.monotonic().after(period);
    loop {
        tokio::select! {
            biased;
            Some(ended) = beats.join_next() => {
                let result = ended.unwrap_or(Err(crate::tasks::Broken::Panicked));
                if result.is_err() {
                    next = next.min(ctx.clock.monotonic().after(TRY_AGAIN));
                }
                note(&ctx, "heartbeat", result.map(|()| 1));
            }
            Some(_) = comparing.join_next() => {}
            () = ctx.clock.sleep_until(next) => {
                if beats.len() < AT_ONCE {
                    beats.spawn(guarded(beat(Arc::clone(&ctx))));
                }
                if comparing.is_empty() {
                    comparing.spawn(compare(Arc::clone(&ctx)));
                }
                next = ctx.clock.monotonic().after(period);
            }
        }
    }
}

/// Compares the database with what is noted of it, for the beats that follow. Whoever cannot ask
/// it tells nothing of it.
pub(crate) async fn compare(ctx: Arc<Context>) {
    let about = Arc::clone(&ctx);
    if let Err(error) = guarded(async move { copies::compare(&about).await }).await {
        tracing::debug!(%error, "the database was not compared with what left here");
    }
}

/// Is heard of once.
pub(crate) async fn beat(ctx: Arc<Context>) -> Result<(), StoreError> {
    let live = u32::try_from(ctx.live.count()).unwrap_or(u32::MAX);
    let not_dialing = why_not(&ctx);
    let began = ctx.clock.monotonic();
    let beat = NodeBeat { wall: ctx.clock.now(), live, not_dialing };
    let standing = ctx.store.node_beat(beat).await?;
    let answered = ctx.clock.monotonic();
    if !standing.is_joined {
        if !ctx.replaced.is_set() {
            tracing::error!("another process runs as this node, or it has been away for a day");
        }
        ctx.replaced.set();
        return Ok(());
    }
    let read = TimeBase::new(standing.clock, began, answered);
    let wall = ctx.clock.now();
    locked(&ctx.copies).heard(standing.clock);
    let mut known = locked(&ctx.standing);
    known.heard(began);
    known.dialing = standing.dialing;
    known.observe(&read, wall, answered);
    Ok(())
}

/// Why this node does not dial, in words for people.
fn why_not(ctx: &Context) -> Option<String> {
    if ctx.draining.is_set() {
        return Some("it is about to stop".to_owned());
    }
    match ctx.compare_clocks() {
        Trust::Agreed => {}
        Trust::Jumped(by_ms) => return Some(format!("its clock jumped by {by_ms} ms")),
        Trust::Resting => return Some("its clock jumped less than 60 s ago".to_owned()),
    }
    let now = ctx.clock.monotonic();
    if let Some(obstacle) = locked(&ctx.standing).obstacle(now) {
        return Some(obstacle.to_string());
    }
    locked(&ctx.copies).doubt(now, Duration::from_millis(ctx.config.beat_ms))
}

/// The heartbeat of a node that has no engine: it does not dial, or no more. Returns when `stop` is
/// ready: true; or when another process runs as this node: false. `every`: between two beats;
/// `why`: it does not dial.
pub async fn attend(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    every: Duration,
    why: &str,
    stop: impl Future<Output = ()> + Send,
) -> bool {
    tokio::pin!(stop);
    loop {
        let beat = NodeBeat { wall: clock.now(), live: 0, not_dialing: Some(why.to_owned()) };
        let wait = match store.node_beat(beat).await {
            Ok(standing) if !standing.is_joined => {
                tracing::error!("another process runs as this node, or it has been away for a day");
                return false;
            }
            Ok(_) => every,
            Err(error) => {
                tracing::warn!(%error, "the database has not heard of this node");
                TRY_AGAIN
            }
        };
        tokio::select! {
            biased;
            () = &mut stop => return true,
            () = clock.sleep_until(clock.monotonic().after(wait)) => {}
        }
    }
}
