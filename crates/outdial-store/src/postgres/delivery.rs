//! Deliveries of events to webhook endpoints: claimed, tried, shown, done again.

use std::collections::BTreeMap;

use outdial_core::id::{BatchId, DeliveryId, WebhookId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    DELIVERY_LEASE_MS, DeliveryJob, DeliveryList, DeliveryNext, DeliveryQuery, DeliveryRecord,
    DeliveryState, DeliveryTry, NODE_LEASE, Replay, StoreError, WebhookRecord,
};
use tokio_postgres::Row;

use super::error::corrupt;
use super::event::{event, kind};
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;
use crate::common::offset;
use crate::events::{after_try, delivery_number, delivery_of, storable};

impl PgTx<'_> {
    pub(super) async fn delivery_claim(
        &self,
        limit_per_endpoint: u32,
        limit: u32,
        busy: &[WebhookId],
    ) -> Result<Vec<DeliveryJob>, StoreError> {
        let (me, now) = (self.instance(), self.now());
        self.exec(pg!("delivery/of_the_gone"), params![me, now, now.before(NODE_LEASE)]).await?;
        let busy: Vec<i64> = busy.iter().map(|id| id.seq64()).collect();
        let until = now.as_millis() + DELIVERY_LEASE_MS;
        let row = params![me, now, until, limit_per_endpoint, limit, busy];
        let claimed: Vec<(i64, i64)> =
            self.all(pg!("delivery/claim"), row, |r| Ok((r.int(0)?, r.int(1)?))).await?;
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let mut webhooks: Vec<i64> = claimed.iter().map(|c| c.1).collect();
        webhooks.sort_unstable();
        webhooks.dedup();
        let webhooks: BTreeMap<i64, WebhookRecord> =
            self.webhooks(webhooks).await?.into_iter().map(|w| (w.id.seq64(), w)).collect();
        let seqs: Vec<i64> = claimed.into_iter().map(|c| c.0).collect();
        let jobs = self.all(pg!("delivery/jobs"), params![seqs], |r| job(r, &webhooks)).await?;
        // One whose endpoint was deleted at this moment is left to be forgotten.
        Ok(jobs.into_iter().flatten().collect())
    }

    pub(super) async fn delivery_record(
        &self,
        delivery: DeliveryId,
        tried: &DeliveryTry,
        next: DeliveryNext,
    ) -> Result<bool, StoreError> {
        let (state, next_at, keep_until) = after_try(next, self.now());
        let row = params![
            delivery.seq64(),
            delivery.secs(),
            delivery_number(state),
            next_at.map(Timestamp::as_millis),
            keep_until.map(Timestamp::as_millis),
            self.instance(),
            tried.at,
            tried.took_ms,
            tried.status.map(i64::from),
            storable(tried.error.as_deref()),
            storable(tried.answer.as_deref()),
        ];
        let webhook: Option<i64> = self.one(pg!("delivery/record"), row, |r| r.int(0)).await?;
        let Some(webhook) = webhook else { return Ok(false) };
        if state == DeliveryState::Delivered {
            self.exec(pg!("webhook/succeeded"), params![webhook]).await?;
        } else {
            self.exec(pg!("webhook/failed"), params![webhook, tried.at]).await?;
        }
        Ok(true)
    }

    pub(super) async fn delivery_list(
        &self,
        ws: WorkspaceId,
        webhook: WebhookId,
        query: &DeliveryQuery,
    ) -> Result<Option<DeliveryList>, StoreError> {
        if self.webhook_fetch(ws, webhook).await?.is_none() {
            return Ok(None);
        }
        let (seq, state) = (webhook.seq64(), query.state.map(delivery_number));
        let total = self.one(pg!("delivery/count"), params![seq, state], |r| r.int(0)).await?;
        let key = params![seq, state, query.limit, offset(query.page, query.limit)];
        let mut deliveries = self.all(pg!("delivery/list"), key, shown).await?;
        let seqs: Vec<i64> = deliveries.iter().map(|d| d.id.seq64()).collect();
        let mut tries: BTreeMap<i64, Vec<DeliveryTry>> = BTreeMap::new();
        self.all(pg!("delivery/tries"), params![seqs], |r| {
            tries.entry(r.int(5)?).or_default().push(one_try(r)?);
            Ok(())
        })
        .await?;
        for delivery in &mut deliveries {
            delivery.tries = tries.remove(&delivery.id.seq64()).unwrap_or_default();
        }
        Ok(Some(DeliveryList { deliveries, total: total.unwrap_or(0) }))
    }

    pub(super) async fn delivery_replay(
        &self,
        ws: WorkspaceId,
        webhook: WebhookId,
        what: Replay,
    ) -> Result<Option<u32>, StoreError> {
        if self.webhook_fetch(ws, webhook).await?.is_none() {
            return Ok(None);
        }
        let one = if let Replay::One(id) = what { Some((id.seq64(), id.secs())) } else { None };
        let since = if let Replay::Since(at) = what { Some(at.as_millis()) } else { None };
        let (one, second) = one.unzip();
        let failed = what == Replay::Failed;
        let row = params![webhook.seq64(), one, second, since, failed, self.now()];
        let count = self.exec(pg!("delivery/replay"), row).await?;
        Ok(Some(u32::try_from(count).unwrap_or(u32::MAX)))
    }
}

fn job(
    r: &Row,
    webhooks: &BTreeMap<i64, WebhookRecord>,
) -> Result<Option<DeliveryJob>, StoreError> {
    let Some(webhook) = webhooks.get(&r.int(14)?) else { return Ok(None) };
    Ok(Some(DeliveryJob {
        event: event(r)?,
        webhook: webhook.clone(),
        delivery: r.id(9)?,
        sequence: r.int(11)?,
        tries: r.int(12)?,
        first_at: r.time(13)?,
    }))
}

/// A delivery without its tries.
fn shown(r: &Row) -> Result<DeliveryRecord, StoreError> {
    let state = delivery_of(r.int(8)?).ok_or_else(|| corrupt("state of a delivery"))?;
    Ok(DeliveryRecord {
        id: r.id(0)?,
        created_at: r.time(1)?,
        event: r.id(2)?,
        kind: kind(r, 4)?,
        batch: r.id_opt::<BatchId>(5)?,
        sequence: r.int(7)?,
        state,
        next_at: if state == DeliveryState::Pending { r.time_opt(9)? } else { None },
        tries: Vec::new(),
    })
}

fn one_try(r: &Row) -> Result<DeliveryTry, StoreError> {
    let status: Option<i64> = r.int_opt(2)?;
    Ok(DeliveryTry {
        at: r.time(0)?,
        took_ms: r.int(1)?,
        status: status.and_then(|s| u16::try_from(s).ok()),
        error: r.text_opt(3)?,
        answer: r.text_opt(4)?,
    })
}
