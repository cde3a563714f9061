//! Numbering: makes events of the facts that were committed. Decides nothing and sends nothing; the
//! store numbers, one process at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::context::Context;
use crate::tasks::{guarded, note};

/// Most facts of one activation: one transaction.
const NUMBER: u32 = 500;
/// Facts are gathered for so long, that calls in a row are numbered together.
const GAP: Duration = Duration::from_millis(50);

/// Numbers for ever; `told` wakes whoever follows events, only as a hint.
pub(crate) async fn keep_numbering(ctx: Arc<Context>, told: Arc<Notify>) {
    let period = Duration::from_millis(ctx.config.supervise_ms);
    loop {
        let store = Arc::clone(&ctx.store);
        let result = guarded(async move { store.event_number(NUMBER).await }).await;
        let numbered = result.as_ref().copied().unwrap_or(0);
        note(&ctx, "number_events", result);
        if numbered > 0 {
            ctx.numbered.notify_one();
            told.notify_waiters();
        }
        if numbered >= NUMBER {
            continue;
        }
        let ended = ctx.clock.monotonic();
        tokio::select! {
            biased;
            () = ctx.clock.sleep_until(ended.after(period)) => {}
            () = async {
                ctx.facts.notified().await;
                ctx.clock.sleep_until(ended.after(GAP)).await;
            } => {}
        }
    }
}
