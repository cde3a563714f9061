//! Imports: batches that nobody sees before they are whole, and their removal when nobody is at
//! work on them any more.
//!
//! An import is alive while its request is: the lease of the request, which each chunk extends, is
//! the import's too. Locks go dispatch, request, batch.

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::{BatchId, RequestId};
use outdial_ports::failpoint;
use outdial_ports::store::{ImportError, ImportFinish, NewBatch, StoreError};

use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;

impl PgTx<'_> {
    pub(super) async fn import_begin(
        &self,
        request: RequestId,
        new: &NewBatch,
    ) -> Result<BatchId, ImportError> {
        self.import_hold_request(request).await?;
        let row = params![request.seq64(), self.now()];
        self.exec(pg!("import/drop_of_request"), row).await?;
        self.exec(pg!("import/forget_chunks"), params![request.seq64()]).await?;
        let batch = self.batch_create(new).await?;
        self.exec(pg!("import/set_importing"), params![batch.seq64()]).await?;
        self.exec(pg!("import/insert"), params![batch.seq64(), request.seq64()]).await?;
        Ok(batch)
    }

    pub(super) async fn import_finish(&self, end: &ImportFinish) -> Result<(), ImportError> {
        let (batch, request) = (end.batch.seq64(), end.request.seq64());
        let workspace: Option<i64> =
            self.one(pg!("import/owner"), params![batch, request], |r| r.int(0)).await?;
        self.dispatch_bump(workspace.ok_or(ImportError::Gone)?).await?;
        self.import_hold_request(end.request).await?;
        let has_number = self.one(pg!("import/hold"), params![batch], |r| r.flag(0)).await?;
        let has_number = has_number.ok_or(ImportError::Gone)?;
        let (total, finished): (u64, u64) = self
            .one(pg!("import/totals"), params![batch], |r| Ok((r.int(0)?, r.int(1)?)))
            .await?
            .unwrap_or((0, 0));
        if total != end.calls {
            let why = format!("an import has {total} calls instead of {}", end.calls);
            return Err(StoreError::Internal(why).into());
        }
        let (state, reason) = if has_number {
            (BatchState::Pending, None)
        } else {
            (BatchState::Paused, Some(PauseReason::NoNumbers))
        };
        self.batch_set_state(batch, state, reason).await?;
        if finished > 0 {
            // Nothing was told of what nobody could see.
            self.exec(pg!("import/tell_finished"), params![batch, self.now()]).await?;
        }
        self.exec(pg!("import/delete"), params![batch]).await?;
        self.request_finish(end.request, &end.answer, true).await?;
        failpoint("store.import_finished");
        Ok(())
    }

    /// At most `limit` calls of one import; how many. The batch goes with the last of them.
    pub(super) async fn import_prune(&self, limit: u32) -> Result<u32, StoreError> {
        self.exec(pg!("import/drop_stale"), params![self.now()]).await?;
        let dropped: Option<i64> = self.one(pg!("import/dropped"), &[], |r| r.int(0)).await?;
        let Some(batch) = dropped else { return Ok(0) };
        let calls: Vec<i64> =
            self.all(pg!("import/calls"), params![batch, limit], |r| r.int(0)).await?;
        self.exec(pg!("import/prune_fields"), params![&calls[..]]).await?;
        self.exec(pg!("import/prune_calls"), params![&calls[..]]).await?;
        let calls = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        if calls < limit {
            self.exec(pg!("import/delete"), params![batch]).await?;
            self.exec(pg!("import/prune_call_run"), params![batch]).await?;
            self.exec(pg!("import/prune_batch_number"), params![batch]).await?;
            self.exec(pg!("import/prune_batch_total"), params![batch]).await?;
            self.exec(pg!("import/prune_batch_delta"), params![batch]).await?;
            self.exec(pg!("import/prune_batch"), params![batch]).await?;
        }
        Ok(calls.max(1))
    }

    async fn import_hold_request(&self, request: RequestId) -> Result<(), ImportError> {
        let key = params![request.seq64(), request.secs()];
        let held = self.one(pg!("import/hold_request"), key, |_| Ok(())).await?;
        held.ok_or(ImportError::Gone)
    }
}
