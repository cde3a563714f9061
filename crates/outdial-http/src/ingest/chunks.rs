//! Chunks on their way to the store: several at once, each whole or not at all, none twice.

use std::sync::Arc;

use outdial_ports::failpoint;
use outdial_ports::store::{ChunkAdd, ChunkError, RequestProgress, StoreError, StoredChunk};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::answer::Stored;
use crate::app::App;
use crate::grant::{GONE, Grant};

/// Records that are on their way to the store at once, in bytes of their fields; one chunk always
/// may be. Keeps the memory of a request near the size of its body.
const IN_FLIGHT_MAX_BYTES: usize = 24 << 20;
/// After so many failures in a row the rest is not tried: each may wait for a timeout.
const FAILURES_MAX: u32 = 8;

/// Where the chunks come from. Built one by one, as the store takes them.
pub(crate) trait Source: Send + Sync + 'static {
    /// How many chunks, empty ones too.
    fn count(&self) -> u32;
    /// Chunk `n` from 1; none: it has no record to store.
    fn chunk(&self, n: u32) -> Option<ChunkAdd>;
    /// Whether the answer names the calls.
    fn keeps_ids(&self) -> bool {
        true
    }
    /// After so many failures in a row the rest is not tried.
    fn failures_max(&self) -> u32 {
        FAILURES_MAX
    }
}

/// Stores every chunk that `progress` does not have yet.
pub(crate) async fn store(
    app: &Arc<App>,
    source: &Arc<dyn Source>,
    progress: RequestProgress,
    mut grant: Grant,
) -> Stored {
    let mut stored = Stored { committed: progress.chunks, ..Stored::default() };
    let mut flight = Flight { tasks: JoinSet::new(), bytes: 0, failures: 0, last: String::new() };
    for n in 1..=source.count() {
        if stored.committed.contains_key(&n) {
            continue;
        }
        // A chunk with nothing in it cannot fail.
        let Some(chunk) = source.chunk(n) else { continue };
        let bytes = chunk.records.iter().map(|r| r.fields.len()).sum();
        while flight.is_full(bytes, app.config.ingest_chunks_in_flight) {
            flight.land(&mut stored).await;
        }
        if flight.failures < source.failures_max() {
            match grant.is_good(app).await {
                Ok(true) => (),
                Ok(false) => {
                    stored.key_gone = true;
                    flight.gives_up(GONE);
                }
                // Nobody can tell whether it may be stored.
                Err(e) => {
                    stored.store_error = Some(e.clone());
                    stored.failed.insert(n, flight.failed(n, &e.into()));
                    continue;
                }
            }
        }
        if flight.failures >= source.failures_max() {
            stored.failed.insert(n, flight.last.clone());
            continue;
        }
        flight.bytes += bytes;
        // Until it lands, nothing of it is known.
        stored.failed.insert(n, "outcome unknown".to_owned());
        let (app, source) = (app.clone(), source.clone());
        let adding = async move {
            let mut added = add(&app, source.as_ref(), chunk).await;
            if let Ok(chunk) = &mut added
                && !source.keeps_ids()
            {
                chunk.calls = Vec::new();
            }
            (n, bytes, added)
        };
        flight.tasks.spawn(adding.in_current_span());
    }
    while flight.land(&mut stored).await {}
    stored
}

type Landed = (u32, usize, Result<StoredChunk, ChunkError>);

struct Flight {
    tasks: JoinSet<Landed>,
    bytes: usize,
    failures: u32,
    last: String,
}

impl Flight {
    fn is_full(&self, more: usize, most: u32) -> bool {
        !self.tasks.is_empty()
            && (self.tasks.len() >= most.max(1) as usize || self.bytes + more > IN_FLIGHT_MAX_BYTES)
    }

    /// Waits for one chunk; false: there is none.
    async fn land(&mut self, stored: &mut Stored) -> bool {
        let (n, bytes, result) = match self.tasks.join_next().await {
            None => return false,
            Some(Ok(landed)) => landed,
            Some(Err(e)) => {
                tracing::error!(error = %e, "a chunk's task ended without a result");
                return true;
            }
        };
        self.bytes -= bytes;
        match result {
            Ok(chunk) => {
                failpoint("http.chunk_stored");
                self.failures = 0;
                stored.failed.remove(&n);
                stored.committed.insert(n, chunk);
            }
            Err(e) => {
                stored.failed.insert(n, self.failed(n, &e));
                if let ChunkError::Store(e) = &e {
                    stored.store_error = Some(e.clone());
                }
                if e == ChunkError::BatchGone {
                    self.gives_up(outer(&e));
                    stored.batch_gone = true;
                }
            }
        }
        true
    }

    /// A chunk failed; what the client is told.
    fn failed(&mut self, n: u32, e: &ChunkError) -> String {
        tracing::error!(chunk = n, error = %e, "a chunk was not stored");
        self.failures += 1;
        self.last = outer(e).to_owned();
        self.last.clone()
    }

    /// The rest is not tried.
    fn gives_up(&mut self, why: &str) {
        self.failures = FAILURES_MAX;
        self.last = why.to_owned();
    }
}

/// One chunk. When the answer to its commit was lost, the store is asked once more: a chunk that
/// has a row is not applied again, and its stored result comes back.
async fn add(app: &App, source: &dyn Source, chunk: ChunkAdd) -> Result<StoredChunk, ChunkError> {
    let n = chunk.chunk_num;
    let lost = match app.store.call_add_chunk(chunk).await {
        Err(e @ ChunkError::Store(StoreError::OutcomeUnknown(_))) => e,
        other => return other,
    };
    let Some(again) = source.chunk(n) else { return Err(lost) };
    app.store.call_add_chunk(again).await.map_err(|_| lost)
}

/// What the client is told.
fn outer(e: &ChunkError) -> &'static str {
    match e {
        ChunkError::BatchGone => "The batch was deleted",
        ChunkError::Store(StoreError::Unavailable(_)) => "Database connection error",
        ChunkError::Store(StoreError::Full) => "The disk of the database is full",
        ChunkError::Store(StoreError::OutcomeUnknown(_)) => "outcome unknown",
        ChunkError::Store(StoreError::Internal(_)) => "Internal error",
    }
}
