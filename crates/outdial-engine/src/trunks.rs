//! The trunks between store and carrier: what the operator says of them, to the carrier; what the
//! carrier finds of their health, to the store.

use std::sync::Arc;

use outdial_core::id::TrunkId;
use outdial_core::time::Timestamp;
use outdial_ports::store::{StoreError, TrunkHealth, TrunkRecord};

use crate::context::{Context, locked};

/// What was told last, each way.
#[derive(Default)]
pub(crate) struct Told {
    trunks: Option<Vec<TrunkRecord>>,
    health: Vec<(TrunkId, Timestamp, TrunkHealth)>,
}

/// Sees to it that the carrier knows these trunks.
pub(crate) async fn make_known(
    ctx: &Arc<Context>,
    mut trunks: impl Iterator<Item = TrunkId>,
) -> Result<(), StoreError> {
    let is_known = {
        let told = locked(&ctx.told);
        let known = told.trunks.as_deref().unwrap_or_default();
        trunks.all(|trunk| known.iter().any(|t| t.id == trunk))
    };
    match is_known {
        true => Ok(()),
        false => exchange(Arc::clone(ctx)).await.map(|_| ()),
    }
}

/// Tells each side what has changed on the other; how much that was.
pub(crate) async fn exchange(ctx: Arc<Context>) -> Result<u32, StoreError> {
    let mut trunks = ctx.store.trunk_list_all().await?;
    for trunk in &mut trunks {
        // Not said by the operator: nothing to act upon.
        (trunk.paused_until, trunk.health) = (None, TrunkHealth::default());
    }
    let is_new = locked(&ctx.told).trunks.as_ref() != Some(&trunks);
    if is_new {
        tracing::debug!(trunks = trunks.len(), "trunks are told to the carrier");
        ctx.carrier.set_trunks(trunks.clone());
        locked(&ctx.told).trunks = Some(trunks);
    }
    let found = ctx.carrier.trunk_health();
    let news: Vec<_> = {
        let told = locked(&ctx.told);
        found.iter().filter(|health| !told.health.contains(health)).cloned().collect()
    };
    if !news.is_empty() {
        for (trunk, _, health) in &news {
            tracing::info!(%trunk, state = health.state.as_str(), detail = health.detail,
                "a trunk");
        }
        ctx.store.trunk_report(news.clone()).await?;
    }
    locked(&ctx.told).health = found;
    Ok(u32::from(is_new) + u32::try_from(news.len()).unwrap_or(u32::MAX))
}
