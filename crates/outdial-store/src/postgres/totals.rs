//! The totals of batches, written as deltas into one of several rows of each: transactions that
//! count in the same batch mostly do not wait for each other.

use std::collections::BTreeMap;

use outdial_core::batch::BatchTotals;
use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use tokio_postgres::Row;

use super::params::params;
use super::pg;
use super::rows::RowExt;
use super::tx::PgTx;
pub(super) use crate::common::Delta;

impl PgTx<'_> {
    /// Adds it.
    pub(super) async fn totals_add(&self, batch: i64, delta: Delta) -> Result<(), StoreError> {
        self.totals_add_all(&BTreeMap::from([(batch, delta)])).await
    }

    /// Adds one for each batch.
    pub(super) async fn totals_add_all(
        &self,
        deltas: &BTreeMap<i64, Delta>,
    ) -> Result<(), StoreError> {
        let changes = deltas.iter().filter(|(_, d)| **d != Delta::default());
        self.totals_write(changes, Timestamp::from_millis(0)).await
    }

    /// Adds what a chunk did, and that calls were added now.
    pub(super) async fn totals_added(&self, batch: i64, delta: Delta) -> Result<(), StoreError> {
        self.totals_write([(&batch, &delta)].into_iter(), self.now()).await
    }

    async fn totals_write<'a>(
        &self,
        deltas: impl Iterator<Item = (&'a i64, &'a Delta)>,
        added_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut columns: [Vec<i64>; 6] = Default::default();
        for (batch, d) in deltas {
            let row = [*batch, d.pending, d.live, d.finished, d.picked, d.completed];
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let [batches, pending, live, finished, picked, completed] = columns;
        if batches.is_empty() {
            return Ok(());
        }
        self.exec(
            pg!("batch/add_totals"),
            params![self.shard(), added_at, batches, pending, live, finished, picked, completed,],
        )
        .await?;
        Ok(())
    }
}

/// From six columns beginning with `i`.
pub(super) fn totals(row: &Row, i: usize) -> Result<BatchTotals, StoreError> {
    Ok(BatchTotals {
        total: row.int(i)?,
        pending: row.int(i + 1)?,
        live: row.int(i + 2)?,
        finished: row.int(i + 3)?,
        picked: row.int(i + 4)?,
        completed: row.int(i + 5)?,
    })
}
