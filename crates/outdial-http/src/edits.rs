//! Edits of what several clients, over several nodes, may edit at once: read, merged, and written
//! only if nobody has changed it meanwhile. Never overwrites what it has not read.
//!
//! Edits of one thing by clients of one node wait for each other, so that only other nodes can be
//! faster.

use std::fmt::Display;

use axum::http::StatusCode;
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{ApiError, ApiResult};

/// How often one edit is tried. Each failure means that another node's edit went through.
const TRIES_MAX: u32 = 5;
/// Seconds after which a client may try again.
const RETRY_S: u32 = 1;
/// Things whose hashes agree in so many values wait for each other too.
const LANES: usize = 64;

/// The edits that are under way on this node.
#[derive(Debug)]
pub(crate) struct Edits([Mutex<()>; LANES]);

impl Edits {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Waits until no other client of this node edits the same; `what` it is, for people.
    pub(crate) async fn begin(&self, what: &'static str, id: impl Display) -> Edit<'_> {
        let hash = crc32fast::hash(id.to_string().as_bytes()) as usize;
        Edit { what, tries: 0, _alone: self.0[hash % LANES].lock().await }
    }
}

/// One edit; dropped, the next one begins.
#[derive(Debug)]
pub(crate) struct Edit<'a> {
    what: &'static str,
    tries: u32,
    _alone: MutexGuard<'a, ()>,
}

impl Edit<'_> {
    /// Another node was first: an error once that has happened too often.
    pub(crate) fn again(&mut self) -> ApiResult<()> {
        self.tries += 1;
        if self.tries < TRIES_MAX {
            return Ok(());
        }
        let text =
            format!("others keep changing the {}: nothing was changed, try again", self.what);
        Err(ApiError::new(StatusCode::CONFLICT, text).retry_after(RETRY_S))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn five_tries() {
        let edits = Edits::new();
        let mut edit = edits.begin("batch", 1).await;
        let refused = (1..=5).map(|_| edit.again().err().map(|e| e.status().as_u16()));
        assert_eq!(refused.collect::<Vec<_>>(), [None, None, None, None, Some(409)]);
    }

    #[tokio::test]
    async fn one_at_a_time() {
        let edits = Edits::new();
        let first = edits.begin("batch", 1).await;
        let second = edits.begin("batch", 1);
        tokio::pin!(second);
        assert!(futures_is_pending(second.as_mut()).await);
        drop(first);
        second.await;
    }

    async fn futures_is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending()))
            .await
    }
}
