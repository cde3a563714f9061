//! Imports: batches that nobody sees before they are whole, and their removal when nobody is at
//! work on them any more.
//!
//! An import is alive while its request is: the lease of the request, which each chunk extends, is
//! the import's too.

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::{BatchId, RequestId};
use outdial_ports::failpoint;
use outdial_ports::store::{ImportError, ImportFinish, NewBatch, StoreError};
use rusqlite::params;

use super::db::SqliteDb;
use super::rows::Id;
use super::sql;

impl SqliteDb {
    pub(super) fn import_begin(
        &mut self,
        request: RequestId,
        new: &NewBatch,
    ) -> Result<BatchId, ImportError> {
        let open = params![request.seq64(), request.secs()];
        self.one(sql!("import/open_request"), open, |_| Ok(()))?.ok_or(ImportError::Gone)?;
        let now = self.now().as_millis();
        self.exec(sql!("import/drop_of_request"), params![request.seq64(), now])?;
        self.exec(sql!("import/forget_chunks"), [request.seq64()])?;
        let batch = self.batch_create(new)?;
        self.exec(sql!("import/set_importing"), [batch.seq64()])?;
        self.exec(sql!("import/insert"), params![batch.seq64(), request.seq64()])?;
        Ok(batch)
    }

    pub(super) fn import_finish(&mut self, end: &ImportFinish) -> Result<(), ImportError> {
        let (batch, request) = (end.batch.seq64(), end.request.seq64());
        let (workspace, total, finished) = self
            .one(sql!("import/fetch"), params![batch, request], |r| {
                Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?))
            })?
            .ok_or(ImportError::Gone)?;
        if u64::try_from(total) != Ok(end.calls) {
            let why = format!("an import has {total} calls instead of {}", end.calls);
            return Err(StoreError::Internal(why).into());
        }
        let has_number = self.one(sql!("batch/has_number"), [batch], |_| Ok(()))?.is_some();
        let (state, reason) = if has_number {
            (BatchState::Pending, None)
        } else {
            (BatchState::Paused, Some(PauseReason::NoNumbers))
        };
        let now = self.now().as_millis();
        let row = params![batch, state.as_str(), reason.map(PauseReason::as_str), now];
        self.exec(sql!("import/set_finished"), row)?;
        if finished > 0 {
            // Nothing was told of what nobody could see.
            self.exec(sql!("import/tell_finished"), params![batch, now])?;
        }
        self.exec(sql!("import/delete"), [batch])?;
        self.dispatch_bump(workspace)?;
        self.request_finish(end.request, &end.answer, true)?;
        failpoint("store.import_finished");
        Ok(())
    }

    /// At most `limit` calls of one import; how many. The batch goes with the last of them.
    pub(super) fn import_prune(&mut self, limit: u32) -> Result<u32, StoreError> {
        let now = self.now().as_millis();
        self.exec(sql!("import/drop_stale"), params![now, self.instance])?;
        let dropped = self.one(sql!("import/dropped"), [], |r| r.get::<_, i64>(0))?;
        let Some(batch) = dropped else { return Ok(0) };
        self.exec(sql!("import/prune_fields"), params![batch, limit])?;
        let calls = self.exec(sql!("import/prune_calls"), params![batch, limit])?;
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        if calls < limit {
            self.exec(sql!("import/delete"), [batch])?;
            self.exec(sql!("import/prune_call_run"), [batch])?;
            self.exec(sql!("import/prune_batch_number"), [batch])?;
            self.exec(sql!("import/prune_batch_total"), [batch])?;
            self.exec(sql!("import/prune_batch"), [batch])?;
        }
        Ok(calls.max(1))
    }
}
