//! Live edits: a batch changed while it runs, one whose time is over, a call taken back.

use std::collections::BTreeSet;
use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::call::CallState;
use outdial_core::id::{BatchId, CallId, PhoneId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::retry::UNKNOWN_REST;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    BatchPatch, BatchRecord, BatchUpdateError, CallCanceled, PhoneRecord, StoreError,
};

use super::account::to_json;
use super::call::call_state;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt, millis};
use super::totals::Delta;
use super::tx::PgTx;
use crate::common::{CANCEL_REQUESTED, EXPIRES_AT, agents_differ};

impl PgTx<'_> {
    pub(super) async fn batch_update(
        &self,
        ws: WorkspaceId,
        id: BatchId,
        patch: &BatchPatch,
    ) -> Result<BatchRecord, BatchUpdateError> {
        self.dispatch_bump(ws.seq64()).await?;
        let batch = self.batch_own(ws, id).await?.ok_or(BatchUpdateError::NotFound)?;
        if patch.was.as_ref().is_some_and(|was| *was != batch.settings) {
            return Err(BatchUpdateError::Changed);
        }
        let seq = id.seq64();
        let mut got_numbers = false;
        if let Some(numbers) = &patch.numbers {
            let phones = self.phones_of(ws, numbers).await?;
            if agents_differ(&phones) {
                return Err(BatchUpdateError::AgentsDiffer);
            }
            self.batch_set_numbers(seq, numbers).await?;
            got_numbers = self.exec(pg!("batch/got_numbers"), params![seq]).await? == 1;
        }
        let name = patch.name.as_ref().unwrap_or(&batch.name);
        let settings = patch.settings.as_ref().unwrap_or(&batch.settings);
        let row = params![
            seq,
            self.now(),
            name,
            to_json(settings)?,
            settings.enable_dnc,
            settings.expires_at.map(Timestamp::as_millis),
        ];
        self.exec(pg!("batch/set_settings"), row).await?;
        self.retries_follow(seq, &batch.settings, settings).await?;
        if got_numbers {
            self.tell_batches(&[seq]).await?;
        }
        self.batch_fetch(id).await?.ok_or(BatchUpdateError::NotFound)
    }

    /// What waits for a retry goes by the batch's settings as they are.
    async fn retries_follow(
        &self,
        batch: i64,
        old: &BatchSettings,
        new: &BatchSettings,
    ) -> Result<(), StoreError> {
        let delay = |s: &BatchSettings| Duration::from_secs(u64::from(s.delay_s));
        let longer = millis(delay(new)) - millis(delay(old));
        let rest = |s: &BatchSettings| delay(s).max(UNKNOWN_REST);
        let longer_unknown = millis(rest(new)) - millis(rest(old));
        let now = self.now();
        if new.retry < old.retry {
            let row = params![batch, u32::from(new.retry), now];
            let counted = self
                .one(pg!("call/give_up_retries"), row, |r| Ok((r.int::<i64>(0)?, r.int(1)?)))
                .await?;
            let (finished, completed) = counted.unwrap_or((0, 0));
            let delta = Delta { pending: -finished, finished, completed, ..Delta::default() };
            self.totals_add(batch, delta).await?;
        }
        if longer != 0 {
            let row = params![batch, longer, longer_unknown, now];
            self.exec(pg!("call/shift_retries"), row).await?;
        }
        Ok(())
    }

    async fn phones_of(
        &self,
        ws: WorkspaceId,
        numbers: &[PhoneId],
    ) -> Result<Vec<PhoneRecord>, BatchUpdateError> {
        if numbers.is_empty() {
            let why = "a batch is not left without numbers by a patch".to_owned();
            return Err(StoreError::Internal(why).into());
        }
        let mut phones = Vec::with_capacity(numbers.len());
        for (id, phone) in self.batch_hold_numbers(numbers).await? {
            let phone = phone.filter(|p| p.workspace == ws);
            phones.push(phone.ok_or(BatchUpdateError::UnknownNumber(id))?);
        }
        Ok(phones)
    }

    pub(super) async fn batch_expire_due(&self, limit: u32) -> Result<u32, StoreError> {
        let seen = self.batches_expiring(limit, None).await?;
        if seen.is_empty() {
            return Ok(0);
        }
        let workspaces = Vec::from_iter(seen.iter().map(|b| b.1).collect::<BTreeSet<_>>());
        self.batch_hold_dispatch(&workspaces).await?;
        // Looked at again: when a batch expires is not changed any more.
        let mut left = limit;
        let mut calls: Vec<i64> = Vec::new();
        let mut bumped = BTreeSet::new();
        for (batch, workspace) in self.batches_expiring(limit, Some(workspaces)).await? {
            let some: Vec<i64> =
                self.all(pg!("batch/some_pending"), params![batch, left], |r| r.int(0)).await?;
            if some.is_empty() {
                continue;
            }
            left = left.saturating_sub(u32::try_from(some.len()).unwrap_or(u32::MAX));
            calls.extend(some);
            bumped.insert(workspace);
            if left == 0 {
                break;
            }
        }
        for workspace in bumped {
            self.dispatch_bump(workspace).await?;
        }
        let deltas = self.call_finish_pending(&calls, Disposition::Expired, EXPIRES_AT).await?;
        self.totals_add_all(&deltas).await?;
        let finished: i64 = deltas.values().map(|d| d.finished).sum();
        Ok(u32::try_from(finished).unwrap_or(u32::MAX))
    }

    async fn batches_expiring(
        &self,
        limit: u32,
        of: Option<Vec<i64>>,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let key = params![self.now(), limit, of];
        self.all(pg!("batch/expiring"), key, |r| Ok((r.int(0)?, r.int(1)?))).await
    }

    pub(super) async fn call_cancel(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<CallCanceled>, StoreError> {
        let Some((state, phone, batch)) = self.call_hold(ws, id).await? else { return Ok(None) };
        match state {
            CallState::Pending => {
                let why = (Disposition::Canceled, CANCEL_REQUESTED);
                let deltas = self.call_finish_pending(&[id.seq64()], why.0, why.1).await?;
                self.totals_add_all(&deltas).await?;
                Ok(Some(CallCanceled::Canceled))
            }
            CallState::Live => {
                let key = params![ws.seq64(), phone, batch];
                self.exec(pg!("attempt/cancel"), key).await?;
                Ok(Some(CallCanceled::Recalled))
            }
            CallState::Finished => Ok(Some(CallCanceled::WasFinished)),
        }
    }

    pub(super) async fn call_give_up(
        &self,
        ws: WorkspaceId,
        id: CallId,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let Some((CallState::Pending, ..)) = self.call_hold(ws, id).await? else {
            return Ok(false);
        };
        let deltas = self.call_finish_pending(&[id.seq64()], Disposition::Failed, reason).await?;
        self.totals_add_all(&deltas).await?;
        Ok(true)
    }

    /// State, number and batch of a call that may be shown to this workspace; it stays so.
    async fn call_hold(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(CallState, i64, i64)>, StoreError> {
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        self.one(pg!("call/hold"), key, |r| Ok((call_state(r, 0)?, r.int(1)?, r.int(2)?))).await
    }
}
