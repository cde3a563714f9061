//! Deliveries of events to webhook endpoints: claimed, tried, shown, done again.

use outdial_core::id::{BatchId, DeliveryId, EventId, WebhookId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    DELIVERY_LEASE_MS, DeliveryJob, DeliveryList, DeliveryNext, DeliveryQuery, DeliveryRecord,
    DeliveryState, DeliveryTry, EventKind, EventRecord, Replay, StoreError,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::error::corrupt;
use super::event::{event, kind};
use super::rows::{Id, RowExt};
use super::sql;
use crate::common::offset;
use crate::events::{after_try, delivery_number, delivery_of, storable};

/// A delivery without its endpoint.
struct Job {
    event: EventRecord,
    delivery: DeliveryId,
    sequence: u64,
    tries: u32,
    first_at: Timestamp,
}

/// A delivery without its tries.
struct Shown {
    id: DeliveryId,
    event: EventId,
    kind: EventKind,
    batch: Option<BatchId>,
    sequence: u64,
    state: DeliveryState,
    next_at: Timestamp,
    created_at: Timestamp,
}

impl SqliteDb {
    pub(super) fn delivery_claim(
        &mut self,
        limit_per_endpoint: u32,
        limit: u32,
        busy: &[WebhookId],
    ) -> Result<Vec<DeliveryJob>, StoreError> {
        let (me, now) = (self.instance, self.now().as_millis());
        self.exec(sql!("delivery/of_the_gone"), params![me, now])?;
        let mut jobs = Vec::new();
        for webhook in self.all(sql!("delivery/waiting"), [now], |r| r.get::<_, i64>(0))? {
            if busy.iter().any(|id| id.seq64() == webhook) {
                continue;
            }
            let room = limit.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
            if room == 0 {
                break;
            }
            let record = self.webhook_by_seq(webhook)?;
            let key = params![webhook, now, room.min(limit_per_endpoint)];
            for seq in self.all(sql!("delivery/due"), key, |r| r.get::<_, i64>(0))? {
                let row = params![seq, me, now + DELIVERY_LEASE_MS];
                self.exec(sql!("delivery/claim"), row)?;
                let job = self.one(sql!("delivery/job"), [seq], job)?;
                let job = job.ok_or_else(|| corrupt("lack of an event"))?;
                jobs.push(DeliveryJob {
                    delivery: job.delivery,
                    webhook: record.clone(),
                    event: job.event,
                    sequence: job.sequence,
                    tries: job.tries,
                    first_at: job.first_at,
                });
            }
        }
        Ok(jobs)
    }

    pub(super) fn delivery_record(
        &mut self,
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
            self.instance,
        ];
        let webhook: Option<i64> = self.one(sql!("delivery/record"), row, |r| r.get(0))?;
        let Some(webhook) = webhook else { return Ok(false) };
        let row = params![
            delivery.seq64(),
            tried.at.as_millis(),
            tried.took_ms,
            tried.status,
            storable(tried.error.as_deref()),
            storable(tried.answer.as_deref()),
        ];
        self.exec(sql!("delivery/insert_try"), row)?;
        if state == DeliveryState::Delivered {
            self.exec(sql!("webhook/succeeded"), [webhook])?;
        } else {
            self.exec(sql!("webhook/failed"), params![webhook, tried.at.as_millis()])?;
        }
        Ok(true)
    }

    pub(super) fn delivery_list(
        &mut self,
        ws: WorkspaceId,
        webhook: WebhookId,
        query: &DeliveryQuery,
    ) -> Result<Option<DeliveryList>, StoreError> {
        if self.webhook_fetch(ws, webhook)?.is_none() {
            return Ok(None);
        }
        let (seq, state) = (webhook.seq64(), query.state.map(delivery_number));
        let total = self.one(sql!("delivery/count"), params![seq, state], |r| r.int(0))?;
        let key = params![seq, state, query.limit, offset(query.page, query.limit)];
        let mut deliveries = Vec::new();
        for d in self.all(sql!("delivery/list"), key, shown)? {
            let tries = self.all(sql!("delivery/tries"), [d.id.seq64()], one_try)?;
            let is_pending = d.state == DeliveryState::Pending;
            deliveries.push(DeliveryRecord {
                id: d.id,
                event: d.event,
                kind: d.kind,
                batch: d.batch,
                sequence: d.sequence,
                state: d.state,
                created_at: d.created_at,
                next_at: is_pending.then_some(d.next_at),
                tries,
            });
        }
        Ok(Some(DeliveryList { deliveries, total: total.unwrap_or(0) }))
    }

    pub(super) fn delivery_replay(
        &mut self,
        ws: WorkspaceId,
        webhook: WebhookId,
        what: Replay,
    ) -> Result<Option<u32>, StoreError> {
        if self.webhook_fetch(ws, webhook)?.is_none() {
            return Ok(None);
        }
        let one = if let Replay::One(id) = what { Some((id.seq64(), id.secs())) } else { None };
        let since = if let Replay::Since(at) = what { Some(at.as_millis()) } else { None };
        let (one, second) = one.unzip();
        let (failed, now) = (what == Replay::Failed, self.now().as_millis());
        let row = params![webhook.seq64(), one, second, since, failed, now];
        let count = self.exec(sql!("delivery/replay"), row)?;
        Ok(Some(u32::try_from(count).unwrap_or(u32::MAX)))
    }
}

fn job(r: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        event: event(r)?,
        delivery: r.id(9)?,
        sequence: r.int(11)?,
        tries: r.int(12)?,
        first_at: r.time(13)?,
    })
}

fn shown(r: &Row<'_>) -> rusqlite::Result<Shown> {
    let state: i64 = r.get(8)?;
    Ok(Shown {
        id: r.id(0)?,
        created_at: r.time(1)?,
        event: r.id(2)?,
        kind: kind(r, 4)?,
        batch: r.id_opt(5)?,
        sequence: r.int(7)?,
        state: delivery_of(state).ok_or(rusqlite::Error::IntegralValueOutOfRange(8, state))?,
        next_at: r.time(9)?,
    })
}

fn one_try(r: &Row<'_>) -> rusqlite::Result<DeliveryTry> {
    let status: Option<i64> = r.get(2)?;
    Ok(DeliveryTry {
        at: r.time(0)?,
        took_ms: r.int(1)?,
        status: status.and_then(|s| u16::try_from(s).ok()),
        error: r.get(3)?,
        answer: r.get(4)?,
    })
}
