//! Ingest requests: what makes a repeat a repeat.
//!
//! A lease says that somebody is at work, and keeps a repeat from doing the same at the same time;
//! that of a process that is gone counts no more. Correctness does not rest on it: a chunk's row is
//! unique, and never applied twice.

use std::collections::BTreeMap;

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::RequestId;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    NODE_LEASE, RequestBegin, RequestLookup, RequestProgress, StoreError, StoredAnswer, StoredChunk,
};
use tokio_postgres::Row;

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;
use crate::common::{
    KEPT_WITH_KEY, KEPT_WITHOUT_KEY, LEASE, PRUNED_CHUNKS, RETRY_AFTER_MAX_S, SPARE,
};
use crate::runs::{pack, unpack};

/// A lease that was extended less than this ago is not extended again: chunks of a request run
/// beside each other, and all would write its row.
const EXTENDED_MS: i64 = 5_000;
/// How often somebody else may be first with a request before this is a defect.
const FIRST_AT_MOST: usize = 10;

struct RequestRow {
    id: RequestId,
    body_sha256: [u8; 32],
    context: String,
    owner: Option<i64>,
    lease_until: Timestamp,
    is_final: bool,
    answer: Option<StoredAnswer>,
    /// Whoever has it is this process, or another that is alive.
    is_alive: bool,
}

impl PgTx<'_> {
    pub(super) async fn request_lookup(
        &self,
        r: &RequestBegin,
    ) -> Result<RequestLookup, StoreError> {
        match self.request_find(r).await? {
            None => Ok(RequestLookup::Fresh),
            Some(row) => self.request_stands(r, row).await,
        }
    }

    pub(super) async fn request_begin(
        &self,
        r: &RequestBegin,
    ) -> Result<RequestLookup, StoreError> {
        let now = self.now();
        let lease_until = now.after(LEASE);
        for _ in 0..FIRST_AT_MOST {
            let Some(row) = self.request_find(r).await? else {
                if let Some(begun) = self.request_insert(r).await? {
                    return Ok(RequestLookup::Begun(begun));
                }
                continue;
            };
            let (seq, owner, lease) = (row.id.seq64(), row.owner, row.lease_until);
            let progress = match self.request_stands(r, row).await? {
                RequestLookup::Begun(progress) => progress,
                other => return Ok(other),
            };
            let take = params![seq, self.instance(), lease_until, owner, lease];
            if self.exec(pg!("request/take"), take).await? == 1 {
                return Ok(RequestLookup::Begun(progress));
            }
        }
        Err(StoreError::Unavailable("a request is taken again and again".to_owned()))
    }

    /// What a request that is known means to whoever asks.
    async fn request_stands(
        &self,
        r: &RequestBegin,
        row: RequestRow,
    ) -> Result<RequestLookup, StoreError> {
        if row.body_sha256 != r.body_sha256 {
            return Ok(RequestLookup::BodyDiffers);
        }
        if row.is_final {
            let answer = row.answer.ok_or_else(|| corrupt("request without an answer"))?;
            return Ok(RequestLookup::Answered { request: row.id, answer });
        }
        let now = self.now();
        if row.is_alive && row.lease_until > now {
            let left = row.lease_until.since(now).as_secs().clamp(1, RETRY_AFTER_MAX_S);
            return Ok(RequestLookup::Busy { retry_after_s: u32::try_from(left).unwrap_or(1) });
        }
        let chunks = self.all(pg!("request/chunks"), params![row.id.seq64()], stored_chunk).await?;
        let chunks = chunks.into_iter().collect::<BTreeMap<_, _>>();
        Ok(RequestLookup::Begun(RequestProgress { request: row.id, context: row.context, chunks }))
    }

    /// Makes its row; none: somebody else has, or one of before is out of the way now.
    async fn request_insert(
        &self,
        r: &RequestBegin,
    ) -> Result<Option<RequestProgress>, StoreError> {
        let now = self.now();
        let kept = if r.key.is_some() { KEPT_WITH_KEY } else { KEPT_WITHOUT_KEY };
        let row = params![
            now,
            r.workspace.seq64(),
            r.scope,
            r.key,
            r.body_sha256,
            r.context,
            self.instance(),
            now.after(LEASE),
            now.after(kept),
        ];
        let Some(seq) = self.one(pg!("request/insert"), row, |r| r.int(0)).await? else {
            if r.key.is_none() {
                let (ws, me) = (r.workspace.seq64(), self.instance());
                let key = params![ws, r.scope, r.body_sha256, me, now.before(NODE_LEASE), now];
                self.exec(pg!("request/close_expired"), key).await?;
            }
            return Ok(None);
        };
        Ok(Some(RequestProgress {
            request: RequestId::of(seq, now.as_millis()),
            context: r.context.clone(),
            chunks: BTreeMap::new(),
        }))
    }

    pub(super) async fn request_finish(
        &self,
        request: RequestId,
        answer: &StoredAnswer,
        is_final: bool,
    ) -> Result<(), StoreError> {
        let now = self.now();
        self.exec(
            pg!("request/finish"),
            params![
                request.seq64(),
                request.secs(),
                is_final,
                answer.status,
                &answer.body[..],
                now.after(KEPT_WITHOUT_KEY),
                now.after(KEPT_WITH_KEY),
                self.instance(),
            ],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn request_close(&self, request: RequestId) -> Result<(), StoreError> {
        // It counts no more, and nothing is to be spared.
        let over = self.now().before(SPARE);
        let key = params![request.seq64(), request.secs(), over];
        self.exec(pg!("request/close"), key).await?;
        let refused = params![request.seq64(), request.secs(), self.instance()];
        if self.any(pg!("request/hold_refused"), refused).await? {
            self.exec(pg!("request/forget"), params![request.seq64()]).await?;
        }
        Ok(())
    }

    pub(super) async fn request_prune(&self, limit: u32) -> Result<u32, StoreError> {
        let now = self.now();
        let key = params![now.before(SPARE), self.instance(), now.before(NODE_LEASE), limit];
        let seen: Vec<(i64, i64)> =
            self.all(pg!("request/prunable"), key, |r| Ok((r.int(0)?, r.int(1)?))).await?;
        // Each goes whole: one that had lost some of its chunks would store them again.
        let (mut due, mut chunks) = (Vec::new(), 0);
        for (request, more) in seen {
            chunks += more;
            if chunks > PRUNED_CHUNKS && !due.is_empty() {
                break;
            }
            due.push(request);
        }
        self.exec(pg!("request/prune"), params![due]).await?;
        Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
    }

    /// The stored result of a chunk, if it was committed before.
    pub(super) async fn chunk_fetch(
        &self,
        request: RequestId,
        chunk_num: u32,
    ) -> Result<Option<StoredChunk>, StoreError> {
        let key = params![request.seq64(), chunk_num];
        Ok(self.one(pg!("request/chunk"), key, stored_chunk).await?.map(|(_, chunk)| chunk))
    }

    /// Remembers, in the row that it has claimed, what a chunk did.
    pub(super) async fn chunk_store(
        &self,
        request: RequestId,
        chunk_num: u32,
        chunk: &StoredChunk,
    ) -> Result<(), StoreError> {
        let row = params![
            request.seq64(),
            chunk_num,
            chunk.updated,
            chunk.deferred,
            chunk.do_not_call,
            chunk.batch_state.as_str(),
            chunk.pause_reason.map(PauseReason::as_str),
            pack(&chunk.calls),
        ];
        match self.exec(pg!("request/set_chunk"), row).await? {
            1 => Ok(()),
            _ => Err(corrupt("lack of a chunk")),
        }
    }

    /// Extends the lease of a request that this process has.
    pub(super) async fn request_extend(&self, request: RequestId) -> Result<(), StoreError> {
        let until = self.now().after(LEASE);
        let old = until.as_millis() - EXTENDED_MS;
        let lease = params![request.seq64(), until, self.instance(), old];
        self.exec(pg!("request/extend"), lease).await?;
        Ok(())
    }

    async fn request_find(&self, r: &RequestBegin) -> Result<Option<RequestRow>, StoreError> {
        let (ws, me, now) = (r.workspace.seq64(), self.instance(), self.now());
        let gone = now.before(NODE_LEASE);
        match &r.key {
            Some(key) => {
                let key = params![ws, r.scope, key, me, gone];
                self.one(pg!("request/by_key"), key, request_row).await
            }
            None => {
                let body = params![ws, r.scope, r.body_sha256, me, gone, now];
                self.one(pg!("request/by_body"), body, request_row).await
            }
        }
    }
}

fn request_row(r: &Row) -> Result<RequestRow, StoreError> {
    let status: Option<u16> = r.int_opt(7)?;
    let body: Option<Vec<u8>> = r.col(8)?;
    Ok(RequestRow {
        id: r.id(0)?,
        body_sha256: r.exact(2)?,
        context: r.text(3)?,
        owner: r.int_opt(4)?,
        lease_until: r.time(5)?,
        is_final: r.flag(6)?,
        answer: status.zip(body).map(|(status, body)| StoredAnswer { status, body: body.into() }),
        is_alive: r.flag(9)?,
    })
}

fn stored_chunk(r: &Row) -> Result<(u32, StoredChunk), StoreError> {
    let chunk = StoredChunk {
        updated: r.int(1)?,
        deferred: r.int(2)?,
        do_not_call: r.int(3)?,
        batch_state: r.word(4, BatchState::parse)?,
        pause_reason: r.word_opt(5, PauseReason::parse)?,
        calls: unpack(r.col(6)?),
    };
    Ok((r.int(0)?, chunk))
}
