//! Ingest requests: what makes a repeat a repeat, and chunks atomic.

use std::collections::BTreeMap;

use bytes::Bytes;
use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::{AgentId, BatchId, CallId, RequestId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use thiserror::Error;

use super::StoreError;

/// A request as far as repeats are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestBegin {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Method and path, `POST /api/call/addCallsToBatch`.
    pub scope: String,
    /// The `Idempotency-Key` header; none: known by its body alone.
    pub key: Option<String>,
    /// SHA-256 of the decoded body.
    pub body_sha256: [u8; 32],
    /// What validation rested on (agent version, zones, …), as JSON of the caller's. A repeat gets
    /// it back, so that it judges the body by the same rules. Empty in a lookup.
    pub context: String,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestLookup {
    /// Nothing: it is new.
    Fresh,
    /// It was begun; this caller may go on with it. After `request_begin`: this caller has it.
    Begun(RequestProgress),
    /// It is answered for good.
    Answered {
        /// Its row: a keyless one is closed once this answer was written to the client.
        request: RequestId,
        /// The answer, byte for byte.
        answer: StoredAnswer,
    },
    /// A live owner is at work on it.
    Busy {
        /// When to ask again.
        retry_after_s: u32,
    },
    /// The key was used with another body.
    BodyDiffers,
}

/// A request in work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestProgress {
    /// Its row.
    pub request: RequestId,
    /// What validation rested on when it was first begun.
    pub context: String,
    /// Chunks that are committed, by number from 1.
    pub chunks: BTreeMap<u32, StoredChunk>,
}

/// An answer kept for repeats, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// The body; shared, not copied: it may hold a million ids.
    pub body: Bytes,
}

/// One chunk to store.
#[derive(Clone, Debug)]
pub struct ChunkAdd {
    /// The request it belongs to.
    pub request: RequestId,
    /// From 1.
    pub chunk_num: u32,
    /// Into which batch.
    pub batch: BatchId,
    /// The agent and the version of its variables that the records were checked with.
    pub agent: (AgentId, u32),
    /// Which lane they get.
    pub lane: ChunkLane,
    /// Start the batch in the same transaction (`BatchState::after_add`).
    pub auto_start: bool,
    /// At most 1000, by position, each phone number once.
    pub records: Vec<ChunkRecord>,
}

/// The lane of a chunk's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkLane {
    /// The lane that the batch is placing now, else 0.
    Current,
    /// This one: a start with `callData`.
    Lane(u32),
}

/// One record to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// Whom to call.
    pub phone: PhoneNumber,
    /// Text of its class (`outdial_core::zone::Class`); the store interns it.
    pub class: std::sync::Arc<str>,
    /// The contact record as it was sent: one JSON object.
    pub fields: Box<str>,
    /// Finished at once with this disposition and reason instead of waiting to be called.
    pub blocked: Option<(Disposition, &'static str)>,
}

/// What a committed chunk did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    /// The call of each record, by position.
    pub calls: Vec<CallId>,
    /// How many were there before (updated, re-opened or deferred).
    pub updated: u32,
    /// How many are on the phone now: their fields wait.
    pub deferred: u32,
    /// How many have a checked number on the do-not-call list: they are `skipped`; those on the
    /// phone (`deferred`) are when their attempt ends, if they would be pending again.
    pub do_not_call: u32,
    /// Where the batch stood when the chunk was first committed.
    pub batch_state: BatchState,
    /// Why it was paused, if it was.
    pub pause_reason: Option<PauseReason>,
}

/// Why a chunk was not stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// The batch was deleted meanwhile.
    #[error("the batch was deleted")]
    BatchGone,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}
