//! `call_add_chunk`: the hot path of ingest, and the rules of adding a number that is there
//! already (`semantics.md` 1.3).
//!
//! A record's insert is tried first; only a number that is there already is looked at. New rows
//! cost what the same inserts would cost in a bare loop.

use std::sync::Arc;

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::call::CallState;
use outdial_core::id::CallId;
use outdial_core::outcome::Disposition;
use outdial_ports::failpoint;
use outdial_ports::store::{ChunkAdd, ChunkError, ChunkLane, ChunkRecord, StoreError, StoredChunk};
use rusqlite::params;

use super::call::call_state;
use super::db::SqliteDb;
use super::dnc::{DO_NOT_CALL, Watch};
use super::error::corrupt;
use super::rows::{Id, RowExt, digits};
use super::sql;
use super::totals::Delta;
use crate::common::blocked;

/// What the records of a chunk have in common.
struct Chunk {
    batch: i64,
    /// Lane of a new or re-opened call.
    lane: u32,
    /// Lane that a pending call moves to, if it moves.
    moves_to: Option<u32>,
    agent: i64,
    agent_version: u32,
    now: i64,
    watch: Watch,
    enable_dnc: bool,
}

/// A call that was there before.
struct Existing {
    seq: i64,
    id: CallId,
    state: CallState,
    was_completed: bool,
    /// Skipped because its number was listed.
    was_listed: bool,
    picked: bool,
}

/// What has come of the chunk so far.
#[derive(Default)]
struct Done {
    calls: Vec<CallId>,
    updated: u32,
    deferred: u32,
    do_not_call: u32,
    delta: Delta,
    /// Runs of new rows: first and count.
    runs: Vec<(i64, i64)>,
}

impl SqliteDb {
    pub(super) fn call_add_chunk(&mut self, add: &ChunkAdd) -> Result<StoredChunk, ChunkError> {
        if let Some(stored) = self.chunk_fetch(add.request, add.chunk_num)? {
            return Ok(stored);
        }
        let (workspace, state, reason, current_lane, enable_dnc) = self
            .one(sql!("batch/lock"), params![add.batch.seq64(), add.batch.secs()], |r| {
                let lane: Option<u32> = r.get(3)?;
                let state = r.word(1, BatchState::parse)?;
                let reason = r.word_opt(2, PauseReason::parse)?;
                Ok((r.get::<_, i64>(0)?, state, reason, lane, r.get::<_, bool>(4)?))
            })?
            .filter(|(_, state, ..)| *state != BatchState::Deleted)
            .ok_or(ChunkError::BatchGone)?;
        let moves_to = match add.lane {
            ChunkLane::Current => None,
            ChunkLane::Lane(lane) => Some(lane),
        };
        let chunk = Chunk {
            batch: add.batch.seq64(),
            lane: moves_to.or(current_lane).unwrap_or(0),
            moves_to,
            agent: add.agent.0.seq64(),
            agent_version: add.agent.1,
            now: self.now().as_millis(),
            watch: self.dnc_watch(workspace)?,
            enable_dnc,
        };
        let done = self.chunk_apply(&chunk, &add.records)?;
        self.totals_add(chunk.batch, done.delta)?;
        self.runs_add(chunk.batch, &done.runs)?;

        let (after, reason) = self.chunk_starts(add, state, reason)?;
        let next_lane = i64::from(chunk.lane) + 1;
        let row = params![
            chunk.batch,
            chunk.now,
            after.as_str(),
            reason.map(PauseReason::as_str),
            next_lane
        ];
        self.exec(sql!("batch/after_chunk"), row)?;
        // A plan stands although a call of its is another now: its commit looks at each once more.
        if after != state {
            self.dispatch_bump(workspace)?;
            self.tell_batch(chunk.batch)?;
        }
        let stored = StoredChunk {
            calls: done.calls,
            updated: done.updated,
            deferred: done.deferred,
            do_not_call: done.do_not_call,
            batch_state: after,
            pause_reason: reason,
        };
        self.chunk_store(add.request, add.chunk_num, &stored)?;
        failpoint("store.chunk_applied");
        Ok(stored)
    }

    /// The batch's state after a chunk. Without a calling number it has nothing to be active with.
    fn chunk_starts(
        &self,
        add: &ChunkAdd,
        state: BatchState,
        reason: Option<PauseReason>,
    ) -> Result<(BatchState, Option<PauseReason>), StoreError> {
        let after = if add.auto_start { state.after_add(reason) } else { state };
        if add.auto_start && after == BatchState::Active {
            let number = self.one(sql!("batch/has_number"), [add.batch.seq64()], |_| Ok(()))?;
            return Ok(match number {
                Some(()) => (BatchState::Active, None),
                None => (BatchState::Paused, Some(PauseReason::NoNumbers)),
            });
        }
        Ok((after, reason))
    }

    fn chunk_apply(&mut self, chunk: &Chunk, records: &[ChunkRecord]) -> Result<Done, StoreError> {
        let classes = self.chunk_classes(records)?;
        let mut done = Done { calls: Vec::with_capacity(records.len()), ..Done::default() };
        let mut insert = self.prepare(sql!("call/insert"))?;
        let mut insert_fields = self.prepare(sql!("call/insert_fields"))?;
        for (record, &class) in records.iter().zip(&classes) {
            let row = params![
                chunk.batch,
                digits(record.phone),
                class,
                chunk.lane,
                chunk.now,
                chunk.agent,
                chunk.agent_version
            ];
            let listed = self.dnc_blocks(chunk.watch, chunk.enable_dnc, record.phone)?;
            done.do_not_call += u32::from(listed);
            if insert.execute(row).map_err(|e| self.fail(&e))? == 0 {
                self.chunk_existing(chunk, record, (class, listed), &mut done)?;
                continue;
            }
            let seq = self.conn.last_insert_rowid();
            insert_fields.execute(params![seq, record.fields]).map_err(|e| self.fail(&e))?;
            done.added(seq, chunk.now);
            if let Some((disposition, reason)) = blocked(record, listed) {
                self.exec(sql!("call/finish_blocked"), params![seq, disposition.as_str(), reason])?;
                self.tell_finished(seq)?;
                done.delta.pending -= 1;
                done.delta.finished += 1;
            }
        }
        Ok(done)
    }

    /// The number of each record's class. Neighbours mostly share one.
    fn chunk_classes(&mut self, records: &[ChunkRecord]) -> Result<Vec<i64>, StoreError> {
        let mut last: Option<(&Arc<str>, i64)> = None;
        let mut classes = Vec::with_capacity(records.len());
        for record in records {
            let id = match last {
                Some((text, id)) if Arc::ptr_eq(text, &record.class) => id,
                _ => self.classes.intern(&self.conn, &record.class)?,
            };
            last = Some((&record.class, id));
            classes.push(id);
        }
        Ok(classes)
    }

    /// A number that the batch has already.
    fn chunk_existing(
        &self,
        chunk: &Chunk,
        record: &ChunkRecord,
        (class, listed): (i64, bool),
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let old = self.chunk_find(chunk.batch, record)?;
        done.calls.push(old.id);
        done.updated += 1;
        if old.state == CallState::Live {
            done.deferred += 1;
            return self.chunk_defer(chunk, record, class, old.seq);
        }
        self.exec(sql!("call/set_fields"), params![old.seq, record.fields])?;
        if listed && old.was_listed {
            self.exec(sql!("call/touch"), params![old.seq, chunk.now])?;
            return Ok(());
        }
        let (agent, version) = (chunk.agent, chunk.agent_version);
        if old.state == CallState::Pending {
            let row = params![old.seq, class, chunk.moves_to, agent, version, chunk.now];
            self.exec(sql!("call/update_pending"), row)?;
        } else {
            let row = params![old.seq, class, chunk.lane, agent, version, chunk.now];
            self.exec(sql!("call/reopen"), row)?;
            done.delta.finished -= 1;
            done.delta.pending += 1;
            done.delta.picked -= i64::from(old.picked);
            done.delta.completed -= i64::from(old.was_completed);
        }
        if let Some((disposition, reason)) = blocked(record, listed) {
            let row = params![old.seq, disposition.as_str(), reason];
            self.exec(sql!("call/finish_blocked"), row)?;
            self.tell_finished(old.seq)?;
            done.delta.pending -= 1;
            done.delta.finished += 1;
            // A pending call that a person answered in this round keeps its `picked`.
        }
        Ok(())
    }

    /// It is on the phone: the new fields wait until that is over. Whether its number is listed is
    /// looked up then.
    fn chunk_defer(
        &self,
        chunk: &Chunk,
        record: &ChunkRecord,
        class: i64,
        call: i64,
    ) -> Result<(), StoreError> {
        let (disposition, reason) = record.blocked.unzip();
        let row = params![
            call,
            class,
            chunk.moves_to,
            chunk.agent,
            chunk.agent_version,
            disposition.map(Disposition::as_str),
            reason,
            record.fields
        ];
        self.exec(sql!("call/defer"), row)?;
        Ok(())
    }

    fn chunk_find(&self, batch: i64, record: &ChunkRecord) -> Result<Existing, StoreError> {
        let key = params![batch, digits(record.phone)];
        self.one(sql!("call/existing"), key, |r| {
            let state = call_state(r, 2)?;
            let disposition = r.word_opt(3, Disposition::parse)?;
            let reason = r.get_ref(4)?.as_str_or_null()?;
            let finished = state == CallState::Finished;
            Ok(Existing {
                seq: r.get(0)?,
                id: r.id(0)?,
                state,
                was_completed: finished && disposition == Some(Disposition::Completed),
                // One whose call was cut short because of the list is `canceled`.
                was_listed: finished
                    && disposition == Some(Disposition::Skipped)
                    && reason == Some(DO_NOT_CALL),
                picked: r.get(5)?,
            })
        })?
        .ok_or_else(|| corrupt("lack of a call"))
    }

    /// Remembers which sequence numbers are the batch's; see `call_run` in the schema.
    fn runs_add(&self, batch: i64, runs: &[(i64, i64)]) -> Result<(), StoreError> {
        if runs.is_empty() {
            return Ok(());
        }
        let read = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?));
        let mut last: Option<(i64, i64, i64)> = self.one(sql!("call/last_run"), [batch], read)?;
        for &(first, count) in runs {
            match last {
                Some((before, start, n)) if start + n == first => {
                    self.exec(sql!("call/extend_run"), params![batch, before, count])?;
                    last = Some((before, start, n + count));
                }
                _ => {
                    let before = last.map_or(0, |(before, _, n)| before + n);
                    self.exec(sql!("call/insert_run"), params![batch, before, first, count])?;
                    last = Some((before, first, count));
                }
            }
        }
        Ok(())
    }
}

impl Done {
    /// A new row, pending.
    fn added(&mut self, seq: i64, created_at: i64) {
        self.calls.push(CallId::of(seq, created_at));
        self.delta.pending += 1;
        match self.runs.last_mut() {
            Some((first, count)) if *first + *count == seq => *count += 1,
            _ => self.runs.push((seq, 1)),
        }
    }
}
