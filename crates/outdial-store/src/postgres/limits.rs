//! What limits, budgets and brakes count: attempts by numbers and days, use by batches and days,
//! and how attempts ended.
//!
//! Counts only; which day, how much is reserved and what is too much is said by the core.

use outdial_core::brake::Pulse;
use outdial_core::budget::Spend;
use outdial_core::trunk_health::PAUSE_MAX;
use outdial_ports::store::StoreError;
use tokio_postgres::Row;

use super::params::params;
use super::pg;
use super::rows::RowExt;
use super::tx::PgTx;
use crate::counts::Forgotten;

impl PgTx<'_> {
    /// One of a number's attempts of a day was not sent.
    pub(super) async fn number_give_back(&self, phone: i64, day: i64) -> Result<(), StoreError> {
        self.exec(pg!("limits/number_give_back"), params![phone, day]).await?;
        Ok(())
    }

    /// The batch's pulse begins anew, and what the brakes remember of it.
    pub(super) async fn pulse_clear(&self, batch: i64) -> Result<(), StoreError> {
        // The totals first: nobody folds the batch meanwhile.
        self.exec(pg!("limits/pulse_open"), params![batch]).await?;
        self.exec(pg!("limits/pulse_clear"), params![batch]).await?;
        self.exec(pg!("limits/pulse_drop"), params![batch]).await?;
        Ok(())
    }

    pub(super) async fn limits_prune(&self, limit: u32) -> Result<u32, StoreError> {
        let now = self.now();
        let bounds = Forgotten::at(now);
        // Left of a clock that was ahead; else it would hold once that time comes.
        self.exec(pg!("limits/unpause"), params![now.after(PAUSE_MAX)]).await?;
        let mut left = u64::from(limit);
        let row = params![bounds.person, left];
        left = left.saturating_sub(self.exec(pg!("limits/person_prune"), row).await?);
        for (text, bound) in
            [(pg!("limits/pulse_prune"), bounds.minute), (pg!("limits/use_prune"), bounds.day)]
        {
            let gone = self.one(text, params![bound, left], |r| r.int::<u64>(0)).await?;
            left = left.saturating_sub(gone.unwrap_or(0));
        }
        let row = params![bounds.day, left];
        left = left.saturating_sub(self.exec(pg!("limits/number_prune"), row).await?);
        Ok(limit - u32::try_from(left).unwrap_or(limit))
    }
}

/// From six columns beginning with `i`.
pub(super) fn pulse(r: &Row, i: usize) -> Result<Pulse, StoreError> {
    Ok(Pulse {
        ended: r.int(i)?,
        failed: r.int(i + 1)?,
        answered: r.int(i + 2)?,
        short: r.int(i + 3)?,
        voicemail: r.int(i + 4)?,
        talk_ms: r.int(i + 5)?,
    })
}

/// From two columns beginning with `i`.
pub(super) fn spend(r: &Row, i: usize) -> Result<Spend, StoreError> {
    Ok(Spend { seconds: r.int(i)?, micros: r.int(i + 1)? })
}
