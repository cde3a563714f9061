//! Live edits: a batch changed while it runs, one whose time is over, a call taken back.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::call::CallState;
use outdial_core::id::{BatchId, CallId, PhoneId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::retry::UNKNOWN_REST;
use outdial_ports::store::{
    BatchPatch, BatchRecord, BatchUpdateError, CallCanceled, PhoneRecord, StoreError,
};
use rusqlite::params;

use super::account::to_json;
use super::batch::agents_differ;
use super::call::call_state;
use super::db::SqliteDb;
use super::rows::Id;
use super::sql;
use super::totals::Delta;

pub(super) use crate::common::{CANCEL_REQUESTED, EXPIRES_AT};

impl SqliteDb {
    pub(super) fn batch_update(
        &mut self,
        ws: WorkspaceId,
        id: BatchId,
        patch: &BatchPatch,
    ) -> Result<BatchRecord, BatchUpdateError> {
        let batch = self.batch_own(ws, id)?.ok_or(BatchUpdateError::NotFound)?;
        if patch.was.as_ref().is_some_and(|was| *was != batch.settings) {
            return Err(BatchUpdateError::Changed);
        }
        let seq = id.seq64();
        let mut got_numbers = false;
        if let Some(numbers) = &patch.numbers {
            let phones = self.phones_of(ws, numbers)?;
            if agents_differ(&phones) {
                return Err(BatchUpdateError::AgentsDiffer);
            }
            self.batch_set_numbers(seq, numbers)?;
            got_numbers = self.exec(sql!("batch/got_numbers"), [seq])? == 1;
        }
        let name = patch.name.as_ref().unwrap_or(&batch.name);
        let settings = patch.settings.as_ref().unwrap_or(&batch.settings);
        let row = params![
            seq,
            self.now().as_millis(),
            name,
            to_json(settings)?,
            settings.enable_dnc,
            settings.expires_at.map(outdial_core::time::Timestamp::as_millis),
        ];
        self.exec(sql!("batch/set_settings"), row)?;
        self.retries_follow(seq, &batch.settings, settings)?;
        if got_numbers {
            self.tell_batch(seq)?;
        }
        self.dispatch_bump(ws.seq64())?;
        self.batch_fetch(id)?.ok_or(BatchUpdateError::NotFound)
    }

    /// What waits for a retry goes by the batch's settings as they are.
    fn retries_follow(
        &self,
        batch: i64,
        old: &BatchSettings,
        new: &BatchSettings,
    ) -> Result<(), StoreError> {
        let delay = |s: &BatchSettings| Duration::from_secs(u64::from(s.delay_s));
        let longer = millis(delay(new)) - millis(delay(old));
        let fewer = new.retry < old.retry;
        if !fewer && longer == 0 {
            return Ok(());
        }
        let rest = |s: &BatchSettings| delay(s).max(UNKNOWN_REST);
        let longer_unknown = millis(rest(new)) - millis(rest(old));
        let now = self.now().as_millis();
        let mut delta = Delta::default();
        for ((lane, class, is_retry), _) in self.pending_groups(batch, None)? {
            if is_retry == 0 {
                continue;
            }
            if fewer {
                let row = params![batch, lane, class, is_retry, new.retry, now];
                let done: Vec<(i64, bool)> =
                    self.all(sql!("call/give_up_retries"), row, |r| Ok((r.get(0)?, r.get(1)?)))?;
                for (call, completed) in done {
                    self.tell_finished(call)?;
                    delta.pending -= 1;
                    delta.finished += 1;
                    delta.completed += i64::from(completed);
                }
            }
            if longer != 0 {
                let row = params![batch, lane, class, is_retry, longer, longer_unknown, now];
                self.exec(sql!("call/shift_retries"), row)?;
            }
        }
        self.totals_add(batch, delta)
    }

    fn phones_of(
        &self,
        ws: WorkspaceId,
        numbers: &[PhoneId],
    ) -> Result<Vec<PhoneRecord>, BatchUpdateError> {
        if numbers.is_empty() {
            let why = "a batch is not left without numbers by a patch".to_owned();
            return Err(StoreError::Internal(why).into());
        }
        let mut phones = Vec::with_capacity(numbers.len());
        for &id in numbers {
            let phone = self.phone_fetch(id)?.filter(|p| p.workspace == ws);
            phones.push(phone.ok_or(BatchUpdateError::UnknownNumber(id))?);
        }
        Ok(phones)
    }

    pub(super) fn batch_expire_due(&mut self, limit: u32) -> Result<u32, StoreError> {
        let now = self.now().as_millis();
        let batches: Vec<(i64, i64)> =
            self.all(sql!("batch/expiring"), params![now, limit], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let mut left = limit;
        let mut deltas = BTreeMap::<i64, Delta>::new();
        for (batch, workspace) in batches {
            let mut calls: Vec<(i64, i64)> =
                self.all(sql!("batch/some_pending"), params![batch, left], |r| {
                    Ok((r.get(1)?, r.get(0)?))
                })?;
            if calls.is_empty() {
                break;
            }
            // In the order of phone numbers, like everybody who writes several.
            calls.sort_unstable();
            let delta = deltas.entry(batch).or_default();
            for (_, call) in &calls {
                self.call_finish_pending(*call, Disposition::Expired, EXPIRES_AT, delta)?;
            }
            left = left.saturating_sub(u32::try_from(calls.len()).unwrap_or(u32::MAX));
            self.dispatch_bump(workspace)?;
        }
        self.totals_add_all(&deltas)?;
        Ok(limit - left)
    }

    pub(super) fn call_cancel(
        &mut self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<CallCanceled>, StoreError> {
        let (workspace, call) = (ws.seq64(), id.seq64());
        let Some((state, phone, batch)) = self.call_own(ws, id)? else { return Ok(None) };
        let canceled = match state {
            CallState::Pending => {
                let mut delta = Delta::default();
                self.call_finish_pending(
                    call,
                    Disposition::Canceled,
                    CANCEL_REQUESTED,
                    &mut delta,
                )?;
                self.totals_add(batch, delta)?;
                CallCanceled::Canceled
            }
            CallState::Live => {
                self.exec(sql!("attempt/cancel"), params![workspace, phone])?;
                CallCanceled::Recalled
            }
            CallState::Finished => return Ok(Some(CallCanceled::WasFinished)),
        };
        Ok(Some(canceled))
    }

    pub(super) fn call_give_up(
        &mut self,
        ws: WorkspaceId,
        id: CallId,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let Some((CallState::Pending, _, batch)) = self.call_own(ws, id)? else {
            return Ok(false);
        };
        let mut delta = Delta::default();
        self.call_finish_pending(id.seq64(), Disposition::Failed, reason, &mut delta)?;
        self.totals_add(batch, delta)?;
        Ok(true)
    }

    /// State, number and batch of a call that may be shown to this workspace.
    fn call_own(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(CallState, i64, i64)>, StoreError> {
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        if self.one(sql!("call/owner"), key, |_| Ok(()))?.is_none() {
            return Ok(None);
        }
        self.one(sql!("call/state"), [id.seq64()], |r| {
            Ok((call_state(r, 0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?))
        })
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
