//! What becomes of numbers that a chunk adds and its batch has already (`semantics.md` 1.3).

use std::collections::BTreeMap;

use outdial_core::call::CallState;
use outdial_core::id::CallId;
use outdial_core::outcome::Disposition;
use outdial_ports::store::StoreError;
use tokio_postgres::Row;

use super::call::call_state;
use super::chunk::{Chunk, Done, Item};
use super::params::params;
use super::pg;
use super::rows::RowExt;
use super::tx::PgTx;
use crate::common::DO_NOT_CALL;

/// A call that was there before.
pub(super) struct Existing {
    pub(super) seq: i64,
    pub(super) id: CallId,
    pub(super) phone: i64,
    pub(super) state: CallState,
    pub(super) was_completed: bool,
    /// Skipped because its number was listed.
    pub(super) was_listed: bool,
    pub(super) picked: bool,
}

/// Columns of calls that are written alike, a row per call.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) seqs: Vec<i64>,
    pub(super) classes: Vec<i64>,
    pub(super) dispositions: Vec<Option<&'static str>>,
    pub(super) reasons: Vec<Option<&'static str>>,
    pub(super) fields: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    pub(super) fn push(
        &mut self,
        seq: i64,
        item: &Item<'a>,
        blocked: (Option<&'static str>, Option<&'static str>),
    ) {
        self.seqs.push(seq);
        self.classes.push(item.class);
        self.dispositions.push(blocked.0);
        self.reasons.push(blocked.1);
        self.fields.push(&item.record.fields);
    }
}

impl PgTx<'_> {
    /// Numbers that the batch has already; they stay as they are until the end.
    pub(super) async fn chunk_find(
        &self,
        chunk: &Chunk,
        items: &[Item<'_>],
        block: i64,
    ) -> Result<Vec<Existing>, StoreError> {
        let phones: Vec<i64> = items.iter().map(|i| i.phone).collect();
        self.all(pg!("call/existing"), params![chunk.batch, phones, block], existing).await
    }

    /// What the rules say of numbers that were there.
    pub(super) async fn chunk_existing(
        &self,
        chunk: &Chunk,
        items: &[Item<'_>],
        old: &BTreeMap<i64, Existing>,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let mut fields = Columns::default();
        let (mut deferred, mut pending, mut reopened) =
            (Columns::default(), Columns::default(), Columns::default());
        let mut touched = Vec::new();
        for item in items {
            let Some(e) = old.get(&item.phone) else { continue };
            done.updated += 1;
            let block = item.blocked();
            if e.state == CallState::Live {
                // The new fields wait until it is over. Whether it is listed is looked up then.
                done.deferred += 1;
                let (disposition, reason) = item.record.blocked.unzip();
                deferred.push(e.seq, item, (disposition.map(Disposition::as_str), reason));
                continue;
            }
            fields.push(e.seq, item, block);
            if item.listed && e.was_listed {
                touched.push(e.seq);
                continue;
            }
            if e.state == CallState::Pending {
                pending.push(e.seq, item, block);
            } else {
                reopened.push(e.seq, item, block);
                done.delta.finished -= 1;
                done.delta.pending += 1;
                done.delta.picked -= i64::from(e.picked);
                done.delta.completed -= i64::from(e.was_completed);
            }
            if block.0.is_some() {
                done.delta.pending -= 1;
                done.delta.finished += 1;
                done.finished.push(e.seq);
                // A pending call that a person answered in this round keeps its `picked`.
            }
        }
        if !fields.seqs.is_empty() {
            self.exec(pg!("call/set_fields"), params![fields.seqs, fields.fields]).await?;
        }
        if !touched.is_empty() {
            self.exec(pg!("call/touch"), params![touched, self.now()]).await?;
        }
        self.chunk_rewrite(pg!("call/update_pending"), chunk, chunk.moves_to, &pending).await?;
        self.chunk_rewrite(pg!("call/reopen"), chunk, Some(chunk.lane), &reopened).await?;
        self.chunk_defer(chunk, &deferred).await
    }

    async fn chunk_rewrite(
        &self,
        text: &str,
        chunk: &Chunk,
        lane: Option<u32>,
        rows: &Columns<'_>,
    ) -> Result<(), StoreError> {
        if rows.seqs.is_empty() {
            return Ok(());
        }
        let row = params![
            lane,
            chunk.agent,
            chunk.agent_version,
            self.now(),
            &rows.seqs[..],
            &rows.classes[..],
            &rows.dispositions[..],
            &rows.reasons[..],
        ];
        self.exec(text, row).await?;
        Ok(())
    }

    async fn chunk_defer(&self, chunk: &Chunk, rows: &Columns<'_>) -> Result<(), StoreError> {
        if rows.seqs.is_empty() {
            return Ok(());
        }
        let row = params![
            chunk.moves_to,
            chunk.agent,
            chunk.agent_version,
            &rows.seqs[..],
            &rows.classes[..],
            &rows.dispositions[..],
            &rows.reasons[..],
            &rows.fields[..],
        ];
        self.exec(pg!("call/defer"), row).await?;
        Ok(())
    }
}

fn existing(r: &Row) -> Result<Existing, StoreError> {
    let state = call_state(r, 3)?;
    let disposition = r.word_opt(4, Disposition::parse)?;
    let reason: Option<&str> = r.col(5)?;
    let finished = state == CallState::Finished;
    Ok(Existing {
        seq: r.int(0)?,
        id: r.id(0)?,
        phone: r.int(2)?,
        state,
        was_completed: finished && disposition == Some(Disposition::Completed),
        // One whose call was cut short because of the list is `canceled`.
        was_listed: finished
            && disposition == Some(Disposition::Skipped)
            && reason == Some(DO_NOT_CALL),
        picked: r.flag(6)?,
    })
}
