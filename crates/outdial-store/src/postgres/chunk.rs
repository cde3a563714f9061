//! `call_add_chunk`: the hot path of ingest, and the rules of adding a number that is there
//! already (`semantics.md` 1.3). Set-wise: as many statements for a thousand records as for one.
//!
//! Chunks of one batch, also of one request, run beside each other. What keeps them apart:
//! - The chunk's own row is claimed first, so that the same chunk sent twice is applied once.
//! - All records are inserted first, by number, and only those that were there are looked at: a
//!   number that another chunk is adding is waited for, and no two chunks wait for each other.
//! - The batch's row is held together with other chunks, and written only if its state changes or a
//!   greater lane is used. Whoever changes its state first takes the dispatch row.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{try_join, try_join4};
use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::CallId;
use outdial_core::outcome::Disposition;
use outdial_ports::failpoint;
use outdial_ports::store::{ChunkAdd, ChunkError, ChunkLane, ChunkRecord, StoreError, StoredChunk};

use super::chunk_old::Columns;
use super::dnc::Watch;
use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt, digits};
use super::totals::Delta;
use super::tx::PgTx;
use crate::common::blocked;

/// Sequence numbers of a block, which is as long as the identity of `call` grows: not fewer than a
/// chunk has records.
const BLOCK: usize = 1000;

/// What the records of a chunk have in common.
pub(super) struct Chunk {
    pub(super) batch: i64,
    /// Lane of a new or re-opened call.
    pub(super) lane: u32,
    /// Lane that a pending call moves to, if it moves.
    pub(super) moves_to: Option<u32>,
    pub(super) agent: i64,
    pub(super) agent_version: u32,
}

/// A record as it is stored.
pub(super) struct Item<'a> {
    pub(super) record: &'a ChunkRecord,
    pub(super) phone: i64,
    pub(super) class: i64,
    pub(super) listed: bool,
}

impl Item<'_> {
    /// Why it is finished at once, as two columns.
    pub(super) fn blocked(&self) -> (Option<&'static str>, Option<&'static str>) {
        let (disposition, reason) = blocked(self.record, self.listed).unzip();
        (disposition.map(Disposition::as_str), reason)
    }
}

/// The batch as the chunk found it.
struct Found {
    workspace: i64,
    state: BatchState,
    reason: Option<PauseReason>,
    lane: Option<u32>,
    enable_dnc: bool,
    next_lane: i64,
    watch: Watch,
    /// The first of the sequence numbers that are this chunk's.
    block: i64,
}

/// What has come of the chunk so far.
#[derive(Default)]
pub(super) struct Done {
    pub(super) calls: Vec<CallId>,
    pub(super) updated: u32,
    pub(super) deferred: u32,
    pub(super) delta: Delta,
    /// Calls that it has finished.
    pub(super) finished: Vec<i64>,
}

impl PgTx<'_> {
    pub(super) async fn call_add_chunk(&self, add: &ChunkAdd) -> Result<StoredChunk, ChunkError> {
        if add.records.len() > BLOCK {
            return Err(StoreError::Internal("a chunk is too long".to_owned()).into());
        }
        let key = params![add.request.seq64(), add.request.secs(), add.chunk_num];
        let (claimed, found) =
            try_join(self.exec(pg!("request/claim_chunk"), key), self.chunk_batch(add)).await?;
        if claimed == 0 {
            let stored = self.chunk_fetch(add.request, add.chunk_num).await?;
            let why = || StoreError::Internal(format!("no request {}", add.request));
            return Ok(stored.ok_or_else(why)?);
        }
        let found =
            found.filter(|f| f.state != BatchState::Deleted).ok_or(ChunkError::BatchGone)?;
        let block = found.block;
        let moves_to = match add.lane {
            ChunkLane::Current => None,
            ChunkLane::Lane(lane) => Some(lane),
        };
        let chunk = Chunk {
            batch: add.batch.seq64(),
            lane: moves_to.or(found.lane).unwrap_or(0),
            moves_to,
            agent: add.agent.0.seq64(),
            agent_version: add.agent.1,
        };
        let (state, reason, has_changed) = self.chunk_starts(add, &found).await?;
        if i64::from(chunk.lane) >= found.next_lane {
            let row = params![chunk.batch, i64::from(chunk.lane) + 1];
            self.exec(pg!("batch/raise_lane"), row).await?;
        }
        let items = self.chunk_items(&found, &add.records).await?;
        let done = self.chunk_apply(&chunk, &items, block).await?;
        let listed = items.iter().filter(|i| i.listed).count();
        let stored = StoredChunk {
            calls: done.calls,
            updated: done.updated,
            deferred: done.deferred,
            do_not_call: u32::try_from(listed).unwrap_or(u32::MAX),
            batch_state: state,
            pause_reason: reason,
        };
        let added = items.len() - usize::try_from(done.updated).unwrap_or(usize::MAX);
        try_join4(
            self.chunk_run(chunk.batch, block, &stored.calls, added),
            self.chunk_store(add.request, add.chunk_num, &stored),
            self.request_extend(add.request),
            self.totals_added(chunk.batch, done.delta),
        )
        .await?;
        if has_changed {
            self.tell_batches(&[chunk.batch]).await?;
        }
        failpoint("store.chunk_applied");
        Ok(stored)
    }

    async fn chunk_batch(&self, add: &ChunkAdd) -> Result<Option<Found>, StoreError> {
        self.one(pg!("batch/for_chunk"), params![add.batch.seq64(), add.batch.secs()], |r| {
            Ok(Found {
                workspace: r.int(0)?,
                state: r.word(1, BatchState::parse)?,
                reason: r.word_opt(2, PauseReason::parse)?,
                lane: r.int_opt(3)?,
                enable_dnc: r.flag(4)?,
                next_lane: r.int(5)?,
                watch: Watch { switch: r.flag(6)?, any: r.flag(7)? },
                block: r.int(8)?,
            })
        })
        .await
    }

    /// The batch's state after the chunk, and whether this chunk has written it because it is
    /// another. Without a calling number it has nothing to be active with.
    async fn chunk_starts(
        &self,
        add: &ChunkAdd,
        found: &Found,
    ) -> Result<(BatchState, Option<PauseReason>, bool), StoreError> {
        let (state, reason) = (found.state, found.reason);
        if !add.auto_start || (state == BatchState::Active) || state.after_add(reason) == state {
            return Ok((state, reason, false));
        }
        // It looks as if this chunk starts it: from here on nobody else does.
        self.batch_hold_dispatch(&[found.workspace]).await?;
        let stands = self
            .one(pg!("batch/stands"), params![add.batch.seq64()], |r| {
                let reason = r.word_opt(1, PauseReason::parse)?;
                Ok((r.word(0, BatchState::parse)?, reason, r.flag(2)?))
            })
            .await?;
        let (state, reason, has_number) = stands.ok_or_else(|| corrupt("lack of a batch"))?;
        let after = match state.after_add(reason) {
            BatchState::Active if state != BatchState::Active && has_number => {
                (BatchState::Active, None)
            }
            BatchState::Active if state != BatchState::Active => {
                (BatchState::Paused, Some(PauseReason::NoNumbers))
            }
            _ => (state, reason),
        };
        if after != (state, reason) {
            // A plan stands although a call of its is another now: its commit looks at each once
            // more. But of this batch it did not know.
            self.dispatch_bump(found.workspace).await?;
            self.batch_set_state(add.batch.seq64(), after.0, after.1).await?;
        }
        Ok((after.0, after.1, after != (state, reason)))
    }

    async fn chunk_items<'a>(
        &self,
        found: &Found,
        records: &'a [ChunkRecord],
    ) -> Result<Vec<Item<'a>>, StoreError> {
        let mut texts = BTreeSet::new();
        let mut last = None;
        for record in records {
            // Neighbours mostly share one.
            if last.is_none_or(|l| !std::sync::Arc::ptr_eq(l, &record.class)) {
                texts.insert(&record.class);
            }
            last = Some(&record.class);
        }
        let classes = self.classes_intern(texts).await?;
        let listed = if found.watch.checks(found.enable_dnc) {
            let phones: Vec<i64> = records.iter().map(|r| digits(r.phone)).collect();
            self.dnc_listed(found.workspace, &phones).await?
        } else {
            BTreeSet::new()
        };
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            let phone = digits(record.phone);
            let class = *classes.get(&record.class).ok_or_else(|| corrupt("lack of a class"))?;
            items.push(Item { record, phone, class, listed: listed.contains(&phone) });
        }
        Ok(items)
    }

    async fn chunk_apply(
        &self,
        chunk: &Chunk,
        items: &[Item<'_>],
        block: i64,
    ) -> Result<Done, StoreError> {
        let mut done = Done::default();
        if items.is_empty() {
            return Ok(done);
        }
        let inserted = self.chunk_insert(chunk, items, block).await?;
        let mut old = BTreeMap::new();
        if inserted < items.len() {
            for e in self.chunk_find(chunk, items, block).await? {
                old.insert(e.phone, e);
            }
            if old.len() + inserted != items.len() {
                return Err(corrupt("number of calls"));
            }
        }
        let mut new = (Vec::with_capacity(inserted), Vec::with_capacity(inserted));
        let created_at = self.now().as_millis();
        for (seq, item) in (block..).zip(items) {
            if let Some(e) = old.get(&item.phone) {
                done.calls.push(e.id);
                continue;
            }
            done.calls.push(CallId::of(seq, created_at));
            new.0.push(seq);
            new.1.push(&*item.record.fields);
            match item.blocked() {
                (None, _) => done.delta.pending += 1,
                (Some(_), _) => {
                    done.delta.finished += 1;
                    done.finished.push(seq);
                }
            }
        }
        if !new.0.is_empty() {
            self.exec(pg!("call/insert_fields"), params![new.0, new.1]).await?;
        }
        if !old.is_empty() {
            self.chunk_existing(chunk, items, &old, &mut done).await?;
        }
        self.tell_finished(&done.finished).await?;
        Ok(done)
    }

    /// Inserts those that are not there yet, by number; how many. Sequence numbers go by position.
    async fn chunk_insert(
        &self,
        chunk: &Chunk,
        items: &[Item<'_>],
        block: i64,
    ) -> Result<usize, StoreError> {
        let mut order: Vec<(i64, &Item<'_>)> = (block..).zip(items).collect();
        order.sort_unstable_by_key(|(_, item)| item.phone);
        let mut rows = Columns::default();
        let mut phones = Vec::with_capacity(order.len());
        for (seq, item) in order {
            rows.push(seq, item, item.blocked());
            phones.push(item.phone);
        }
        if rows.dispositions.iter().all(Option::is_none) {
            // What is shorter than the others is filled up with NULL.
            rows.dispositions.clear();
            rows.reasons.clear();
        }
        let row = params![
            chunk.batch,
            chunk.lane,
            self.now(),
            chunk.agent,
            chunk.agent_version,
            rows.seqs,
            phones,
            rows.classes,
            rows.dispositions,
            rows.reasons,
        ];
        let inserted = self.exec(pg!("call/insert"), row).await?;
        Ok(usize::try_from(inserted).unwrap_or(usize::MAX))
    }

    /// Remembers which sequence numbers are the batch's; see `call_run` in the schema.
    async fn chunk_run(
        &self,
        batch: i64,
        block: i64,
        calls: &[CallId],
        added: usize,
    ) -> Result<(), StoreError> {
        if added == 0 {
            return Ok(());
        }
        let end = block + i64::try_from(BLOCK).unwrap_or(i64::MAX);
        let mine = || calls.iter().map(|c| c.seq64()).filter(|seq| (block..end).contains(seq));
        // By position, so the first is the least.
        let (Some(first), Some(last)) = (mine().next(), mine().next_back()) else {
            return Err(corrupt("number of new calls"));
        };
        let row = params![batch, first, last - first + 1, added];
        self.exec(pg!("call/insert_run"), row).await?;
        Ok(())
    }
}
