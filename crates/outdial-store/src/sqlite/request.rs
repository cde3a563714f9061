//! Ingest requests: what makes a repeat a repeat.
//!
//! A lease says that somebody is at work, and keeps a repeat from doing the same at the same time.
//! Correctness does not rest on it: a chunk's row is unique, and never applied twice.

use std::collections::BTreeMap;

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::RequestId;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    RequestBegin, RequestLookup, RequestProgress, StoreError, StoredAnswer, StoredChunk,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::error::corrupt;
use super::rows::{Id, RowExt};
use super::sql;
use crate::common::{
    KEPT_WITH_KEY, KEPT_WITHOUT_KEY, LEASE, PRUNED_CHUNKS, RETRY_AFTER_MAX_S, SPARE,
};
use crate::runs::{pack, unpack};

struct RequestRow {
    id: RequestId,
    body_sha256: [u8; 32],
    context: String,
    owner: Option<i64>,
    lease_until: Timestamp,
    is_final: bool,
    answer: Option<StoredAnswer>,
}

impl SqliteDb {
    pub(super) fn request_lookup(&mut self, r: &RequestBegin) -> Result<RequestLookup, StoreError> {
        let Some(row) = self.request_find(r)? else { return Ok(RequestLookup::Fresh) };
        if row.body_sha256 != r.body_sha256 {
            return Ok(RequestLookup::BodyDiffers);
        }
        if row.is_final {
            let answer = row.answer.ok_or_else(|| corrupt("request without an answer"))?;
            return Ok(RequestLookup::Answered { request: row.id, answer });
        }
        let now = self.now();
        if row.owner == Some(self.instance) && row.lease_until > now {
            let left = row.lease_until.since(now).as_secs().clamp(1, RETRY_AFTER_MAX_S);
            return Ok(RequestLookup::Busy { retry_after_s: u32::try_from(left).unwrap_or(1) });
        }
        let chunks = self
            .all(sql!("request/chunks"), [row.id.seq64()], stored_chunk)?
            .into_iter()
            .collect::<BTreeMap<_, _>>();
        Ok(RequestLookup::Begun(RequestProgress { request: row.id, context: row.context, chunks }))
    }

    pub(super) fn request_begin(&mut self, r: &RequestBegin) -> Result<RequestLookup, StoreError> {
        let now = self.now();
        let lease_until = now.after(LEASE).as_millis();
        match self.request_lookup(r)? {
            RequestLookup::Fresh => {
                let kept = if r.key.is_some() { KEPT_WITH_KEY } else { KEPT_WITHOUT_KEY };
                let seq = self.insert(
                    sql!("request/insert"),
                    params![
                        now.as_millis(),
                        r.workspace.seq64(),
                        r.scope,
                        r.key,
                        r.body_sha256,
                        r.context,
                        self.instance,
                        lease_until,
                        now.after(kept).as_millis(),
                    ],
                )?;
                Ok(RequestLookup::Begun(RequestProgress {
                    request: RequestId::of(seq, now.as_millis()),
                    context: r.context.clone(),
                    chunks: BTreeMap::new(),
                }))
            }
            RequestLookup::Begun(progress) => {
                let seq = progress.request.seq64();
                self.exec(sql!("request/take"), params![seq, self.instance, lease_until])?;
                Ok(RequestLookup::Begun(progress))
            }
            other => Ok(other),
        }
    }

    pub(super) fn request_finish(
        &mut self,
        request: RequestId,
        answer: &StoredAnswer,
        is_final: bool,
    ) -> Result<(), StoreError> {
        let now = self.now();
        self.exec(
            sql!("request/finish"),
            params![
                request.seq64(),
                request.secs(),
                is_final,
                answer.status,
                &answer.body[..],
                now.after(KEPT_WITHOUT_KEY).as_millis(),
                now.after(KEPT_WITH_KEY).as_millis(),
            ],
        )?;
        Ok(())
    }

    pub(super) fn request_close(&mut self, request: RequestId) -> Result<(), StoreError> {
        // It counts no more, and nothing is to be spared.
        let over = self.now().before(SPARE).as_millis();
        self.exec(sql!("request/close"), params![request.seq64(), request.secs(), over])?;
        self.exec(sql!("request/forget"), params![request.seq64(), request.secs()])?;
        Ok(())
    }

    pub(super) fn request_prune(&mut self, limit: u32) -> Result<u32, StoreError> {
        let due = self.requests_to_prune(limit)?;
        for request in &due {
            self.exec(sql!("request/prune"), [request])?;
        }
        Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
    }

    /// As many as may be forgotten in one transaction. Each goes whole: one that had lost some of
    /// its chunks would store them again.
    fn requests_to_prune(&self, limit: u32) -> Result<Vec<i64>, StoreError> {
        let over = self.now().before(SPARE).as_millis();
        let mut statement = self.prepare(sql!("request/prunable"))?;
        let mut run = || {
            let mut rows = statement.query(params![over, self.instance, limit])?;
            let (mut due, mut chunks) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                chunks += row.get::<_, i64>(1)?;
                if chunks > PRUNED_CHUNKS && !due.is_empty() {
                    break;
                }
                due.push(row.get(0)?);
            }
            Ok(due)
        };
        run().map_err(|e| self.fail(&e))
    }

    /// The stored result of a chunk, if it was committed before.
    pub(super) fn chunk_fetch(
        &self,
        request: RequestId,
        chunk_num: u32,
    ) -> Result<Option<StoredChunk>, StoreError> {
        let key = params![request.seq64(), chunk_num];
        Ok(self.one(sql!("request/chunk"), key, stored_chunk)?.map(|(_, chunk)| chunk))
    }

    /// Remembers a chunk with its transaction, and extends the lease of the request.
    pub(super) fn chunk_store(
        &self,
        request: RequestId,
        chunk_num: u32,
        chunk: &StoredChunk,
    ) -> Result<(), StoreError> {
        let lease_until = self.now().after(LEASE).as_millis();
        let lease = params![request.seq64(), request.secs(), lease_until, self.instance];
        if self.exec(sql!("request/extend"), lease)? == 0 {
            return Err(StoreError::Internal(format!("no request {request}")));
        }
        self.exec(
            sql!("request/insert_chunk"),
            params![
                request.seq64(),
                chunk_num,
                chunk.updated,
                chunk.deferred,
                chunk.do_not_call,
                chunk.batch_state.as_str(),
                chunk.pause_reason.map(PauseReason::as_str),
                pack(&chunk.calls),
            ],
        )?;
        Ok(())
    }

    fn request_find(&self, r: &RequestBegin) -> Result<Option<RequestRow>, StoreError> {
        let ws = r.workspace.seq64();
        match &r.key {
            Some(key) => self.one(sql!("request/by_key"), params![ws, r.scope, key], request_row),
            None => {
                let now = self.now().as_millis();
                let body = params![ws, r.scope, r.body_sha256, now, self.instance];
                self.one(sql!("request/by_body"), body, request_row)
            }
        }
    }
}

fn request_row(r: &Row<'_>) -> rusqlite::Result<RequestRow> {
    let status: Option<u16> = r.get(7)?;
    let body: Option<Vec<u8>> = r.get(8)?;
    Ok(RequestRow {
        id: r.id(0)?,
        body_sha256: r.get(2)?,
        context: r.get(3)?,
        owner: r.get(4)?,
        lease_until: r.time(5)?,
        is_final: r.get(6)?,
        answer: status.zip(body).map(|(status, body)| StoredAnswer { status, body: body.into() }),
    })
}

fn stored_chunk(r: &Row<'_>) -> rusqlite::Result<(u32, StoredChunk)> {
    let chunk = StoredChunk {
        updated: r.int(1)?,
        deferred: r.int(2)?,
        do_not_call: r.int(3)?,
        batch_state: r.word(4, BatchState::parse)?,
        pause_reason: r.word_opt(5, PauseReason::parse)?,
        calls: unpack(r.get_ref(6)?.as_blob()?),
    };
    Ok((r.int(0)?, chunk))
}
