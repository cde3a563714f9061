//! What there is to do, for those who watch.

use std::collections::BTreeMap;

use outdial_core::batch::BatchState;
use outdial_core::time::Timestamp;
use outdial_ports::store::{BACKLOG_BATCHES, Backlog, StoreError, Waiting};
use rusqlite::params;

use super::db::SqliteDb;
use super::{rows::RowExt, sql};
use crate::backlog::waiting_of;

impl SqliteDb {
    pub(super) fn batch_backlog(&mut self) -> Result<Backlog, StoreError> {
        let live = self.one(sql!("backlog/live"), [], |r| r.int(0))?.unwrap_or(0);
        let batches = self.all(sql!("backlog/waiting"), params![], |r| {
            Ok((r.get::<_, i64>(0)?, r.word(1, BatchState::parse)?, r.int::<u64>(2)?))
        })?;
        let mut oldest: BTreeMap<i64, Timestamp> = BTreeMap::new();
        let most = usize::try_from(BACKLOG_BATCHES).unwrap_or(usize::MAX);
        for &(batch, ..) in batches.iter().take(most) {
            let groups = self.pending_groups(batch, None)?;
            if let Some(due) = groups.into_iter().map(|(_, due)| due).min() {
                oldest.insert(batch, due);
            }
        }
        let waiting: Vec<Waiting> = waiting_of(
            batches.into_iter().map(|(batch, state, n)| (state, n, oldest.get(&batch).copied())),
        );
        Ok(Backlog { live, waiting })
    }
}
