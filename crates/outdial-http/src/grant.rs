//! That a caller may still do what it is doing: a request may outlive its key.
//!
//! Remembers keyed hashes only, and never takes a key for good because the store did not answer.

use std::time::Duration;

use axum::http::StatusCode;
use outdial_ports::Monotonic;
use outdial_ports::store::StoreError;

use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// How often the store is asked again. A key that is revoked, or expires, is good no longer than
/// this and what is under way takes.
const AGAIN: Duration = Duration::from_millis(500);

/// The credentials of a request that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    hashes: Vec<[u8; 32]>,
    refused: StatusCode,
    asked: Monotonic,
}

impl Grant {
    /// Let in just now, for keys with these keyed hashes.
    pub(crate) fn new(app: &App, hashes: Vec<[u8; 32]>, refused: StatusCode) -> Self {
        Self { hashes, refused, asked: app.clock.monotonic() }
    }

    /// Whether the keys are still good; asks the store if that was a while ago. For everything that
    /// goes on after its request was let in: before each page, chunk or round of events.
    pub(crate) async fn is_good(&mut self, app: &App) -> Result<bool, StoreError> {
        let now = app.clock.monotonic();
        if now.since(self.asked) < AGAIN {
            return Ok(true);
        }
        for hash in &self.hashes {
            if app.store.key_authenticate(*hash).await?.is_none() {
                return Ok(false);
            }
        }
        self.asked = now;
        Ok(true)
    }

    /// The same, for a request whose body has come: that may have taken long, and nothing is to be
    /// done any more for a key that was revoked meanwhile.
    pub(crate) async fn confirm(mut self, app: &App) -> ApiResult<()> {
        if self.is_good(app).await? { Ok(()) } else { Err(self.refusal()) }
    }

    /// What is answered when they are not.
    pub(crate) fn refusal(&self) -> ApiError {
        ApiError::new(self.refused, GONE)
    }
}

/// What the client is told, whole or chunk by chunk.
pub(crate) const GONE: &str = "the API key is no longer good";
