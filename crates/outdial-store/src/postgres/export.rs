//! The calls of a batch in the order in which they were added, by a cursor.

use outdial_core::id::{BatchId, CallId};
use outdial_ports::store::{CallView, StoreError};

use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;

/// Runs that are looked up at once; a run has up to a chunk's calls.
const RUNS: u32 = 8;

impl PgTx<'_> {
    pub(super) async fn call_export(
        &self,
        batch: BatchId,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallView>, StoreError> {
        let mut from = after.map_or(0, |call| call.seq64()) + 1;
        let wanted = limit as usize;
        let mut seqs: Vec<i64> = Vec::new();
        loop {
            let key = params![batch.seq64(), from, RUNS];
            let runs: Vec<(i64, i64)> =
                self.all(pg!("call/runs_after"), key, |r| Ok((r.int(0)?, r.int(1)?))).await?;
            for (first, span) in &runs {
                let left = i64::try_from(wanted - seqs.len()).unwrap_or(i64::MAX);
                let range = params![from.max(*first), first + span, left];
                seqs.extend(self.all(pg!("call/in_range"), range, |r| r.int::<i64>(0)).await?);
                from = first + span;
                if seqs.len() == wanted {
                    break;
                }
            }
            if runs.is_empty() || seqs.len() == wanted {
                break;
            }
        }
        self.call_views(&seqs).await
    }
}
