//! The calls of a batch in the order in which they were added, by a cursor.

use outdial_core::id::{BatchId, CallId};
use outdial_ports::store::{CallView, StoreError};
use rusqlite::params;

use super::db::SqliteDb;
use super::rows::Id;
use super::sql;

impl SqliteDb {
    pub(super) fn call_export(
        &mut self,
        batch: BatchId,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallView>, StoreError> {
        let after = after.map_or(0, |call| call.seq64());
        let runs: Vec<(i64, i64)> =
            self.all(sql!("call/runs_after"), params![batch.seq64(), after + 1, limit], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?;
        let mut calls = Vec::new();
        let seqs = runs.iter().flat_map(|(first, count)| *first..first + count);
        for seq in seqs.filter(|seq| *seq > after).take(limit as usize) {
            calls.push(self.call_view(seq)?);
        }
        Ok(calls)
    }
}
