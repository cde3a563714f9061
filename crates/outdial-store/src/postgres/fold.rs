//! What ends of calls add to the counts of their batch, and how it becomes part of them.
//!
//! An end inserts a row of its own, so that ends of one batch neither wait for each other nor leave
//! versions of one row behind, which everybody would have to pass while somebody holds an old
//! snapshot. Readers add up what stands in the counts and the rows behind where those were folded
//! to. Now and then a process folds: it takes the rows away and adds them to the counts.
//!
//! Never folded: up to a row that a row with a smaller number may still appear below. Numbers are
//! taken before a transaction commits, so a fold waits until all who may have taken one are over.

use std::time::Duration;

use outdial_core::attempt::AttemptEnd;
use outdial_ports::store::{Settle, StoreError};

use super::params::params;
use super::pg;
use super::rows::RowExt;
use super::store::PostgresStore;
use super::totals::Delta;
use super::tx::{Kind, PgTx};
use crate::counts::{minute_of, pulse_columns, whole};

/// After how many ends a process folds. Readers add up as many, for each process.
pub(super) const EVERY: u64 = if cfg!(test) { 2 } else { 400 };
/// Most rows that are folded at once.
const MOST: i64 = 20_000;
/// How often, and how many times, a fold looks whether the others are over.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 60;

impl PostgresStore {
    /// After the end of a call: folds, if so many have ended. What fails is folded another time.
    pub(super) async fn fold_sometimes(&self) {
        if !self.shared().has_ended() {
            return;
        }
        let after = self.shared().folded();
        let Ok(tx) = self.begin(Kind::Write).await else { return };
        let done = tx.fold(after).await;
        match tx.end(done).await {
            Some(Ok(Some(upto))) => self.shared().set_folded(upto),
            Some(Ok(None)) | None => {}
            Some(Err(error)) => tracing::debug!(%error, "counts were not folded"),
        }
    }
}

impl PgTx<'_> {
    /// Counts an end in its batch, its use on the day of its intent.
    pub(super) async fn delta_add(
        &self,
        (batch, day): (i64, i64),
        d: Delta,
        end: &AttemptEnd,
        settle: &Settle,
    ) -> Result<(), StoreError> {
        let [ended, failed, answered, short, voicemail, talk_ms] = pulse_columns(&settle.pulse);
        let row = params![
            batch,
            day,
            minute_of(end.ended_at),
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
        ];
        self.exec(pg!("fold/add"), row).await?;
        Ok(())
    }

    /// Folds what is behind `after`; up to where. Nothing: there is nothing, or somebody has been
    /// writing for too long.
    async fn fold(&self, after: i64) -> Result<Option<i64>, StoreError> {
        let seen = self
            .one(pg!("fold/seen"), params![after, MOST], |r| {
                Ok((r.int_opt::<i64>(0)?, r.int::<i64>(1)?))
            })
            .await?;
        let Some((Some(upto), begun)) = seen else { return Ok(None) };
        // This transaction has written nothing so far, or it would wait for itself.
        let mut looks = 0;
        while !self.any(pg!("fold/are_over"), params![begun]).await? {
            looks += 1;
            if looks == LOOKS {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
        self.exec(pg!("fold/open"), params![after, upto]).await?;
        self.exec(pg!("fold/hold"), params![after, upto]).await?;
        // Behind the lock: this statement sees what the one before us folded.
        self.exec(pg!("fold/fold"), params![after, upto]).await?;
        Ok(Some(upto))
    }
}
