//! Operations that are not there yet.

use outdial_core::dispatcher::Bucket;
use outdial_core::id::{BatchId, CallId, DncId, WorkspaceId};
use outdial_ports::store::{
    BatchPatch, BatchRecord, BatchUpdateError, CallCanceled, DncAddError, DncDeleteError, DncList,
    DncListQuery, DncRecord, NewDnc, StoreError,
};

use super::db::SqliteDb;

fn missing() -> StoreError {
    StoreError::Internal("not implemented".to_owned())
}

#[allow(clippy::unused_self)]
impl SqliteDb {
    pub(super) fn batch_update(
        &mut self,
        _: WorkspaceId,
        _: BatchId,
        _: &BatchPatch,
    ) -> Result<BatchRecord, BatchUpdateError> {
        Err(missing().into())
    }
    pub(super) fn batch_expire_due(&mut self, _: u32) -> Result<u32, StoreError> {
        Err(missing())
    }
    pub(super) fn call_cancel(
        &mut self,
        _: WorkspaceId,
        _: CallId,
    ) -> Result<Option<CallCanceled>, StoreError> {
        Err(missing())
    }
    pub(super) fn dnc_add(&mut self, _: WorkspaceId, _: &NewDnc) -> Result<DncRecord, DncAddError> {
        Err(missing().into())
    }
    pub(super) fn dnc_list(
        &mut self,
        _: WorkspaceId,
        _: &DncListQuery,
    ) -> Result<DncList, StoreError> {
        Err(missing())
    }
    pub(super) fn dnc_delete(&mut self, _: WorkspaceId, _: DncId) -> Result<(), DncDeleteError> {
        Err(missing().into())
    }
    pub(super) fn dispatch_waiting(&mut self, _: &[BatchId]) -> Result<Vec<Bucket>, StoreError> {
        Err(missing())
    }
    pub(super) fn limits_prune(&mut self, _: u32) -> Result<u32, StoreError> {
        Err(missing())
    }
}
