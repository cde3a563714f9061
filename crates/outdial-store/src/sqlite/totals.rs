//! The totals of batches, written as deltas.

use std::collections::BTreeMap;

use outdial_core::batch::BatchTotals;
use outdial_ports::store::{Settle, StoreError};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::limits::{pulse_columns, whole};
use super::{rows::RowExt, sql};
pub(super) use crate::common::Delta;

impl SqliteDb {
    /// Adds it.
    pub(super) fn totals_add(&self, batch: i64, d: Delta) -> Result<(), StoreError> {
        if d == Delta::default() {
            return Ok(());
        }
        let total = d.pending + d.live + d.finished;
        self.exec(
            sql!("batch/add_total"),
            params![batch, total, d.pending, d.live, d.finished, d.picked, d.completed],
        )?;
        Ok(())
    }

    /// Adds it, with what an attempt used and how it ended.
    pub(super) fn totals_settle(
        &self,
        batch: i64,
        d: Delta,
        settle: &Settle,
    ) -> Result<(), StoreError> {
        let total = d.pending + d.live + d.finished;
        let [ended, failed, answered, short, voicemail, talk_ms] = pulse_columns(&settle.pulse);
        self.exec(
            sql!("batch/settle_total"),
            params![
                batch,
                total,
                d.pending,
                d.live,
                d.finished,
                d.picked,
                d.completed,
                whole(settle.used.seconds),
                whole(settle.used.micros),
                ended,
                failed,
                answered,
                short,
                voicemail,
                talk_ms,
            ],
        )?;
        Ok(())
    }

    /// Adds one for each batch, in their order.
    pub(super) fn totals_add_all(&self, deltas: &BTreeMap<i64, Delta>) -> Result<(), StoreError> {
        deltas.iter().try_for_each(|(batch, delta)| self.totals_add(*batch, *delta))
    }
}

/// From six columns beginning with `i`.
pub(super) fn totals(row: &Row<'_>, i: usize) -> rusqlite::Result<BatchTotals> {
    Ok(BatchTotals {
        total: row.int(i)?,
        pending: row.int(i + 1)?,
        live: row.int(i + 2)?,
        finished: row.int(i + 3)?,
        picked: row.int(i + 4)?,
        completed: row.int(i + 5)?,
    })
}
