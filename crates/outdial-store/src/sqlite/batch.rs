//! Batches: their lives but for what ingest and attempts do to them.

use std::collections::BTreeSet;

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::{BatchId, PhoneId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    AgentVersion, BatchCreateError, BatchList, BatchListQuery, BatchRecord, BatchStart,
    BatchStartError, IngestContext, NewBatch, StoreError,
};
use rusqlite::{Row, params};

use super::account::to_json;
use super::db::SqliteDb;
use super::error::corrupt;
use super::rows::{Id, RowExt};
use super::sql;
use super::totals::totals;
use crate::common::is_brake;
pub(super) use crate::common::{agents_differ, offset};

impl SqliteDb {
    pub(super) fn batch_create(&mut self, new: &NewBatch) -> Result<BatchId, BatchCreateError> {
        let mut phones = Vec::with_capacity(new.numbers.len());
        for &id in &new.numbers {
            let phone = self.phone_fetch(id)?.ok_or(BatchCreateError::UnknownNumber(id))?;
            if phone.workspace != new.workspace {
                return Err(BatchCreateError::ForeignNumber(id));
            }
            phones.push(phone);
        }
        if agents_differ(&phones) {
            return Err(BatchCreateError::AgentsDiffer);
        }
        let now = self.now().as_millis();
        let settings = to_json(&new.settings)?;
        let seq = self.insert(
            sql!("batch/insert"),
            params![
                now,
                new.workspace.seq64(),
                new.name,
                settings,
                new.settings.enable_dnc,
                new.settings.expires_at.map(Timestamp::as_millis),
            ],
        )?;
        self.exec(sql!("batch/insert_total"), [seq])?;
        self.batch_set_numbers(seq, &new.numbers)?;
        Ok(BatchId::of(seq, now))
    }

    pub(super) fn batch_fetch(&mut self, id: BatchId) -> Result<Option<BatchRecord>, StoreError> {
        Ok(self.batch_with_lane(id)?.map(|(batch, _)| batch))
    }

    pub(super) fn batch_list(
        &mut self,
        ws: WorkspaceId,
        query: &BatchListQuery,
    ) -> Result<BatchList, StoreError> {
        let (any, total) = self
            .one(sql!("batch/count"), params![ws.seq64(), query.search], |r| {
                Ok((r.get::<_, i64>(0)? > 0, r.int(1)?))
            })?
            .unwrap_or((false, 0));
        let page = params![ws.seq64(), query.search, query.limit, offset(query.page, query.limit)];
        let rows = self.all(sql!("batch/list"), page, batch_record)?;
        let mut batches = Vec::with_capacity(rows.len());
        for (mut batch, _) in rows {
            batch.numbers = self.batch_numbers(batch.id.seq64())?;
            batches.push(batch);
        }
        Ok(BatchList { batches, total, any })
    }

    pub(super) fn batch_ingest_context(
        &mut self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<Option<IngestContext>, StoreError> {
        let found = self.batch_with_lane(id)?.filter(|(batch, _)| batch.workspace == ws);
        let Some((batch, free_lane)) = found else { return Ok(None) };
        let mut numbers = Vec::with_capacity(batch.numbers.len());
        for &id in &batch.numbers {
            numbers.push(self.phone_fetch(id)?.ok_or_else(|| corrupt("calling number"))?);
        }
        let mut agents = Vec::new();
        for id in numbers.iter().filter_map(|n| n.agent).collect::<BTreeSet<_>>() {
            let agent = self.agent_fetch(ws, id)?.ok_or_else(|| corrupt("agent"))?;
            agents.push(AgentVersion {
                agent: id,
                version: agent.version,
                variables: agent.spec.variables,
            });
        }
        let settings = self.settings_fetch(ws)?;
        Ok(Some(IngestContext { batch, numbers, agents, settings, free_lane }))
    }

    pub(super) fn batch_start(
        &mut self,
        ws: WorkspaceId,
        id: BatchId,
        start: &BatchStart,
    ) -> Result<BatchRecord, BatchStartError> {
        let batch = self.batch_own(ws, id)?.ok_or(BatchStartError::NotFound)?;
        let seq = id.seq64();
        let numbers = start.numbers.as_ref().unwrap_or(&batch.numbers);
        if numbers.is_empty() {
            return Err(BatchStartError::NoNumbers);
        }
        if start.numbers.is_some() {
            let mut phones = Vec::with_capacity(numbers.len());
            for &id in numbers {
                let phone = self.phone_fetch(id)?.filter(|p| p.workspace == ws);
                phones.push(phone.ok_or(BatchStartError::UnknownNumber(id))?);
            }
            if agents_differ(&phones) {
                return Err(BatchStartError::AgentsDiffer);
            }
            self.batch_set_numbers(seq, numbers)?;
        }
        self.batch_release_brake(&batch)?;
        let now = self.now().as_millis();
        self.exec(sql!("batch/set_started"), params![seq, now, start.call_data_lane])?;
        if batch.state != BatchState::Active {
            self.tell_batch(seq)?;
        }
        self.dispatch_bump(ws.seq64())?;
        self.batch_fetch(id)?.ok_or(BatchStartError::NotFound)
    }

    pub(super) fn batch_stop(&mut self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError> {
        let Some(batch) = self.batch_own(ws, id)? else { return Ok(false) };
        if batch.state != BatchState::Stopped {
            self.batch_release_brake(&batch)?;
            self.batch_set_state(id.seq64(), BatchState::Stopped, None)?;
            self.dispatch_bump(ws.seq64())?;
        }
        Ok(true)
    }

    pub(super) fn batch_delete(
        &mut self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<bool, StoreError> {
        if self.batch_own(ws, id)?.is_none() {
            return Ok(false);
        }
        self.batch_set_state(id.seq64(), BatchState::Deleted, None)?;
        self.dispatch_bump(ws.seq64())?;
        Ok(true)
    }

    pub(super) fn batch_close_due(&mut self, limit: u32) -> Result<Vec<BatchId>, StoreError> {
        let due = self.all(sql!("batch/closable"), [limit], |r| {
            let reason = r.word_opt(3, PauseReason::parse)?;
            Ok((r.id::<BatchId>(0)?, r.get::<_, i64>(2)?, reason, r.get::<_, bool>(4)?))
        })?;
        let mut closed = Vec::with_capacity(due.len());
        for (batch, ws, was, held) in due {
            if is_brake(was) {
                self.pulse_clear(batch.seq64())?;
            }
            let (state, reason) = if held {
                (BatchState::Paused, Some(PauseReason::CallsHeld))
            } else {
                (BatchState::Completed, None)
            };
            self.batch_set_state(batch.seq64(), state, reason)?;
            self.tell_batch(batch.seq64())?;
            self.dispatch_bump(ws)?;
            closed.push(batch);
        }
        Ok(closed)
    }

    /// One that leaves the pause of a brake is not judged by what was before.
    fn batch_release_brake(&self, batch: &BatchRecord) -> Result<(), StoreError> {
        if is_brake(batch.pause_reason) { self.pulse_clear(batch.id.seq64()) } else { Ok(()) }
    }

    /// A batch that this workspace may see.
    pub(super) fn batch_own(
        &mut self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<Option<BatchRecord>, StoreError> {
        let found = self.batch_fetch(id)?;
        Ok(found.filter(|b| b.workspace == ws && b.state != BatchState::Importing))
    }

    fn batch_with_lane(&self, id: BatchId) -> Result<Option<(BatchRecord, u32)>, StoreError> {
        let found = self.one(sql!("batch/fetch"), params![id.seq64(), id.secs()], batch_record)?;
        let Some((mut batch, free_lane)) = found else { return Ok(None) };
        batch.numbers = self.batch_numbers(id.seq64())?;
        Ok(Some((batch, free_lane)))
    }

    fn batch_numbers(&self, batch: i64) -> Result<Vec<PhoneId>, StoreError> {
        self.all(sql!("batch/numbers"), [batch], |r| r.id(0))
    }

    pub(super) fn batch_set_numbers(
        &self,
        batch: i64,
        numbers: &[PhoneId],
    ) -> Result<(), StoreError> {
        self.exec(sql!("batch/delete_numbers"), [batch])?;
        for (pos, id) in (0_i64..).zip(numbers) {
            self.exec(sql!("batch/insert_number"), params![batch, pos, id.seq64()])?;
        }
        Ok(())
    }

    fn batch_set_state(
        &self,
        batch: i64,
        state: BatchState,
        reason: Option<PauseReason>,
    ) -> Result<(), StoreError> {
        let now = self.now().as_millis();
        let reason = reason.map(PauseReason::as_str);
        self.exec(sql!("batch/set_state"), params![batch, now, state.as_str(), reason])?;
        Ok(())
    }
}

/// A batch without its numbers, and the lane that none of its calls has.
fn batch_record(r: &Row<'_>) -> rusqlite::Result<(BatchRecord, u32)> {
    let lane: Option<i64> = r.get(10)?;
    let batch = BatchRecord {
        id: r.id(0)?,
        workspace: r.id(2)?,
        user: r.id(4)?,
        name: r.get(6)?,
        settings: r.json(7)?,
        numbers: Vec::new(),
        state: r.word(8, BatchState::parse)?,
        pause_reason: r.word_opt(9, PauseReason::parse)?,
        lane: lane.map(|l| u32::try_from(l).unwrap_or(u32::MAX)),
        totals: totals(r, 13)?,
        created_at: r.time(1)?,
        updated_at: r.time(11)?,
    };
    Ok((batch, r.int(12)?))
}
