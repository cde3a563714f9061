//! What there is to do, for those who watch.

use outdial_core::batch::BatchState;
use outdial_ports::store::{BACKLOG_BATCHES, Backlog, StoreError};

use super::params::params;
use super::pg;
use super::rows::RowExt;
use super::tx::PgTx;
use crate::backlog::waiting_of;

impl PgTx<'_> {
    pub(super) async fn batch_backlog(&self) -> Result<Backlog, StoreError> {
        let live = self.one(pg!("backlog/live"), params![], |r| r.int(0)).await?.unwrap_or(0);
        let rows = self
            .all(pg!("backlog/waiting"), params![i64::from(BACKLOG_BATCHES)], |r| {
                Ok((r.word(0, BatchState::parse)?, r.int(1)?, r.time_opt(2)?))
            })
            .await?;
        Ok(Backlog { live, waiting: waiting_of(rows) })
    }
}
