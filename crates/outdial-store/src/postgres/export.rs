//! The calls of a batch in the order in which they were added, by a cursor.

use outdial_core::id::{BatchId, CallId};
use outdial_ports::store::{CallView, StoreError};

use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;

impl PgTx<'_> {
    pub(super) async fn call_export(
        &self,
        batch: BatchId,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallView>, StoreError> {
        let page = params![batch.seq64(), after.map_or(0, |call| call.seq64()), limit];
        let seqs: Vec<i64> = self.all(pg!("call/after"), page, |r| r.int(0)).await?;
        self.call_views(&seqs).await
    }
}
