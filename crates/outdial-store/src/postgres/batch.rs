//! Batches: their lives but for what ingest and attempts do to them.
//!
//! Whoever changes the state, the lane, the settings or the numbers of a batch bumps its
//! workspace's dispatch version first: so they come one after the other, and what is read after
//! the bump stays so.

use std::collections::BTreeSet;

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::{BatchId, PhoneId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    AgentVersion, BatchCreateError, BatchList, BatchListQuery, BatchRecord, BatchStart,
    BatchStartError, IngestContext, NewBatch, PhoneRecord, StoreError,
};
use tokio_postgres::Row;

use super::account::to_json;
use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::totals::totals;
use super::tx::PgTx;
use crate::common::{agents_differ, is_brake, offset};
use crate::text::contains;

impl PgTx<'_> {
    pub(super) async fn batch_create(&self, new: &NewBatch) -> Result<BatchId, BatchCreateError> {
        let mut phones = Vec::with_capacity(new.numbers.len());
        for (id, phone) in self.batch_hold_numbers(&new.numbers).await? {
            let phone = phone.ok_or(BatchCreateError::UnknownNumber(id))?;
            if phone.workspace != new.workspace {
                return Err(BatchCreateError::ForeignNumber(id));
            }
            phones.push(phone);
        }
        if agents_differ(&phones) {
            return Err(BatchCreateError::AgentsDiffer);
        }
        let now = self.now();
        let seq: i64 = self
            .one(
                pg!("batch/insert"),
                params![
                    now,
                    new.workspace.seq64(),
                    new.name,
                    to_json(&new.settings)?,
                    new.settings.enable_dnc,
                    new.settings.expires_at.map(Timestamp::as_millis),
                ],
                |r| r.int(0),
            )
            .await?
            .ok_or_else(|| corrupt("insert without a row"))?;
        self.exec(pg!("batch/insert_total"), params![seq]).await?;
        self.batch_set_numbers(seq, &new.numbers).await?;
        Ok(BatchId::of(seq, now.as_millis()))
    }

    pub(super) async fn batch_fetch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError> {
        Ok(self.batch_with_lane(id).await?.map(|(batch, _)| batch))
    }

    pub(super) async fn batch_list(
        &self,
        ws: WorkspaceId,
        query: &BatchListQuery,
    ) -> Result<BatchList, StoreError> {
        let workspace = ws.seq64();
        let from = offset(query.page, query.limit);
        let (page, total, any): (Vec<i64>, u64, bool) = match &query.search {
            None => {
                let count = self.one(pg!("batch/count"), params![workspace], |r| r.int(0)).await?;
                let total: u64 = count.unwrap_or(0);
                let key = params![workspace, query.limit, from];
                (self.all(pg!("batch/list"), key, |r| r.int(0)).await?, total, total > 0)
            }
            Some(search) => {
                let needle = search.to_lowercase();
                let mut found = Vec::new();
                let names = self
                    .all(pg!("batch/names"), params![workspace], |r| {
                        if contains(r.col(1)?, &needle) || contains(r.col(2)?, &needle) {
                            found.push(r.int(0)?);
                        }
                        Ok(())
                    })
                    .await?;
                let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
                let skipped = usize::try_from(from).unwrap_or(usize::MAX);
                let taken = usize::try_from(query.limit).unwrap_or(usize::MAX);
                (found.into_iter().skip(skipped).take(taken).collect(), total, !names.is_empty())
            }
        };
        Ok(BatchList { batches: self.batch_records(page).await?, total, any })
    }

    /// Those of these that are not deleted, newest first.
    pub(super) async fn batch_records(
        &self,
        seqs: Vec<i64>,
    ) -> Result<Vec<BatchRecord>, StoreError> {
        let rows = self.all(pg!("batch/fetch"), params![seqs], batch_record).await?;
        Ok(rows.into_iter().map(|(batch, _)| batch).collect())
    }

    pub(super) async fn batch_ingest_context(
        &self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<Option<IngestContext>, StoreError> {
        let found = self.batch_with_lane(id).await?.filter(|(batch, _)| batch.workspace == ws);
        let Some((batch, free_lane)) = found else { return Ok(None) };
        let mut numbers = Vec::with_capacity(batch.numbers.len());
        for &id in &batch.numbers {
            numbers.push(self.phone_fetch(id).await?.ok_or_else(|| corrupt("calling number"))?);
        }
        let mut agents = Vec::new();
        for id in numbers.iter().filter_map(|n| n.agent).collect::<BTreeSet<_>>() {
            let agent = self.agent_fetch(ws, id).await?.ok_or_else(|| corrupt("agent"))?;
            agents.push(AgentVersion {
                agent: id,
                version: agent.version,
                variables: agent.spec.variables,
            });
        }
        let settings = self.settings_fetch(ws).await?;
        Ok(Some(IngestContext { batch, numbers, agents, settings, free_lane }))
    }

    pub(super) async fn batch_start(
        &self,
        ws: WorkspaceId,
        id: BatchId,
        start: &BatchStart,
    ) -> Result<BatchRecord, BatchStartError> {
        self.dispatch_bump(ws.seq64()).await?;
        let batch = self.batch_own(ws, id).await?.ok_or(BatchStartError::NotFound)?;
        let seq = id.seq64();
        let numbers = start.numbers.as_ref().unwrap_or(&batch.numbers);
        if numbers.is_empty() {
            return Err(BatchStartError::NoNumbers);
        }
        if start.numbers.is_some() {
            let mut phones = Vec::with_capacity(numbers.len());
            for (id, phone) in self.batch_hold_numbers(numbers).await? {
                let phone = phone.filter(|p| p.workspace == ws);
                phones.push(phone.ok_or(BatchStartError::UnknownNumber(id))?);
            }
            if agents_differ(&phones) {
                return Err(BatchStartError::AgentsDiffer);
            }
            self.batch_set_numbers(seq, numbers).await?;
        }
        self.batch_release_brake(&batch).await?;
        self.exec(pg!("batch/set_started"), params![seq, self.now(), start.call_data_lane]).await?;
        if batch.state != BatchState::Active {
            self.tell_batches(&[seq]).await?;
        }
        self.batch_fetch(id).await?.ok_or(BatchStartError::NotFound)
    }

    pub(super) async fn batch_stop(
        &self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<bool, StoreError> {
        self.batch_hold_dispatch(&[ws.seq64()]).await?;
        let Some(batch) = self.batch_own(ws, id).await? else { return Ok(false) };
        if batch.state != BatchState::Stopped {
            self.dispatch_bump(ws.seq64()).await?;
            self.batch_release_brake(&batch).await?;
            self.batch_set_state(id.seq64(), BatchState::Stopped, None).await?;
        }
        Ok(true)
    }

    pub(super) async fn batch_delete(
        &self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<bool, StoreError> {
        self.batch_hold_dispatch(&[ws.seq64()]).await?;
        if self.batch_own(ws, id).await?.is_none() {
            return Ok(false);
        }
        self.dispatch_bump(ws.seq64()).await?;
        self.batch_set_state(id.seq64(), BatchState::Deleted, None).await?;
        Ok(true)
    }

    pub(super) async fn batch_close_due(&self, limit: u32) -> Result<Vec<BatchId>, StoreError> {
        let seen = self.batches_closable(limit, None).await?;
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let workspaces = seen.iter().map(|c| c.workspace).collect::<BTreeSet<_>>();
        self.batch_hold_dispatch(&Vec::from_iter(workspaces)).await?;
        let seqs: Vec<i64> = seen.iter().map(|c| c.batch.seq64()).collect();
        let held = self.all(pg!("batch/hold_to_close"), params![seqs], |r| r.int(0)).await?;
        // Looked at again: what is so from here on stays so, because only an attempt's commit and a
        // chunk make calls pending or live that were not.
        let mut closed = Vec::with_capacity(held.len());
        for c in self.batches_closable(limit, Some(held)).await? {
            self.dispatch_bump(c.workspace).await?;
            if is_brake(c.reason) {
                self.pulse_clear(c.batch.seq64()).await?;
            }
            let (state, reason) = if c.is_held {
                (BatchState::Paused, Some(PauseReason::CallsHeld))
            } else {
                (BatchState::Completed, None)
            };
            self.batch_set_state(c.batch.seq64(), state, reason).await?;
            closed.push(c.batch);
        }
        self.tell_batches(&closed.iter().map(|b| b.seq64()).collect::<Vec<_>>()).await?;
        Ok(closed)
    }

    async fn batches_closable(
        &self,
        limit: u32,
        among: Option<Vec<i64>>,
    ) -> Result<Vec<Closable>, StoreError> {
        let key = params![limit, among];
        self.all(pg!("batch/closable"), key, |r| {
            Ok(Closable {
                batch: r.id(0)?,
                workspace: r.int(2)?,
                reason: r.word_opt(3, PauseReason::parse)?,
                is_held: r.flag(4)?,
            })
        })
        .await
    }

    /// Until the end nobody else changes the state of a batch of these workspaces.
    pub(super) async fn batch_hold_dispatch(&self, workspaces: &[i64]) -> Result<(), StoreError> {
        self.all(pg!("batch/hold_dispatch"), params![workspaces], |_| Ok(())).await?;
        Ok(())
    }

    /// One that leaves the pause of a brake is not judged by what was before.
    async fn batch_release_brake(&self, batch: &BatchRecord) -> Result<(), StoreError> {
        if is_brake(batch.pause_reason) {
            self.pulse_clear(batch.id.seq64()).await?;
        }
        Ok(())
    }

    /// A batch that this workspace may see.
    pub(super) async fn batch_own(
        &self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<Option<BatchRecord>, StoreError> {
        let found = self.batch_fetch(id).await?;
        Ok(found.filter(|b| b.workspace == ws && b.state != BatchState::Importing))
    }

    async fn batch_with_lane(&self, id: BatchId) -> Result<Option<(BatchRecord, u32)>, StoreError> {
        let found = self.one(pg!("batch/fetch"), params![vec![id.seq64()]], batch_record).await?;
        Ok(found.filter(|(batch, _)| batch.id == id))
    }

    /// Numbers, each as it is and stays until the end; none: there is no such number.
    pub(super) async fn batch_hold_numbers(
        &self,
        ids: &[PhoneId],
    ) -> Result<Vec<(PhoneId, Option<PhoneRecord>)>, StoreError> {
        let seqs: Vec<i64> = ids.iter().map(|id| id.seq64()).collect();
        self.all(pg!("batch/hold_numbers"), params![seqs], |_| Ok(())).await?;
        let mut found = Vec::with_capacity(ids.len());
        for &id in ids {
            found.push((id, self.phone_fetch(id).await?));
        }
        Ok(found)
    }

    pub(super) async fn batch_set_numbers(
        &self,
        batch: i64,
        numbers: &[PhoneId],
    ) -> Result<(), StoreError> {
        let seqs: Vec<i64> = numbers.iter().map(|id| id.seq64()).collect();
        self.exec(pg!("batch/delete_numbers"), params![batch]).await?;
        self.exec(pg!("batch/insert_numbers"), params![batch, seqs]).await?;
        Ok(())
    }

    pub(super) async fn batch_set_state(
        &self,
        batch: i64,
        state: BatchState,
        reason: Option<PauseReason>,
    ) -> Result<(), StoreError> {
        let reason = reason.map(PauseReason::as_str);
        let row = params![batch, self.now(), state.as_str(), reason];
        self.exec(pg!("batch/set_state"), row).await?;
        Ok(())
    }
}

/// A batch that may be closed.
struct Closable {
    batch: BatchId,
    workspace: i64,
    reason: Option<PauseReason>,
    /// Only held calls are left.
    is_held: bool,
}

/// A batch, and the lane that none of its calls has.
fn batch_record(r: &Row) -> Result<(BatchRecord, u32), StoreError> {
    let lane: Option<i64> = r.int_opt(10)?;
    let (seqs, created): (Vec<i64>, Vec<i64>) = (r.col(19)?, r.col(20)?);
    let batch = BatchRecord {
        id: r.id(0)?,
        workspace: r.id(2)?,
        user: r.id(4)?,
        name: r.text(6)?,
        settings: r.json(7)?,
        numbers: seqs.into_iter().zip(created).map(|(s, c)| PhoneId::of(s, c)).collect(),
        state: r.word(8, BatchState::parse)?,
        pause_reason: r.word_opt(9, PauseReason::parse)?,
        lane: lane.map(|l| u32::try_from(l).unwrap_or(u32::MAX)),
        totals: totals(r, 13)?,
        created_at: r.time(1)?,
        updated_at: r.time(11)?,
    };
    Ok((batch, r.int(12)?))
}
