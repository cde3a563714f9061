//! Answers to keyless requests, until their clients have them.
//!
//! A keyless request whose answer was written is over: the same bytes sent again are a new request.
//! One whose connection broke before is not: they are a repeat. So the hand-over of the answer to
//! the connection is noted, at once in memory and soon in the store.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use outdial_core::id::{RequestId, WorkspaceId};
use outdial_ports::Store;
use outdial_ports::store::StoreError;

/// Most bytes of an answer that are handed to the connection at a time.
const SLICE_MAX_BYTES: usize = 64 << 10;

/// What makes two keyless requests the same: whose, method and path, the body's SHA-256.
pub(crate) type Identity = (WorkspaceId, String, [u8; 32]);

/// Requests that are over, and that the store may not know of yet.
pub(crate) struct Deliveries {
    store: Arc<dyn Store>,
    over: Mutex<BTreeMap<Identity, RequestId>>,
}

impl Deliveries {
    /// None yet.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, over: Mutex::default() }
    }

    /// Makes sure that the store knows of a request with this identity that is over, so that a
    /// lookup that follows does not find it.
    pub(crate) async fn settle(&self, identity: &Identity) -> Result<(), StoreError> {
        let Some(request) = self.locked().get(identity).copied() else { return Ok(()) };
        self.store.request_close(request).await?;
        let mut over = self.locked();
        if over.get(identity) == Some(&request) {
            over.remove(identity);
        }
        Ok(())
    }

    /// An answer of `bytes` that ends the request when all of it is handed to the connection.
    pub(crate) fn body(
        self: &Arc<Self>,
        bytes: Bytes,
        identity: Identity,
        request: RequestId,
    ) -> Body {
        let deliveries = self.clone();
        let over = Box::new(move || deliveries.hand_over(identity, request));
        Body::new(Delivered { rest: bytes, over: Some(over) })
    }

    fn hand_over(self: &Arc<Self>, identity: Identity, request: RequestId) {
        self.locked().insert(identity.clone(), request);
        let deliveries = self.clone();
        tokio::spawn(async move {
            if let Err(e) = deliveries.settle(&identity).await {
                // The next request with these bytes tries again; a restart before that makes it a
                // repeat, which is the harmless side.
                tracing::warn!(%request, error = %e, "a delivered request could not be closed");
            }
        });
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<Identity, RequestId>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer in slices. The connection asks for the next one only while little of what it has waits
/// to be written; so the last one is asked for when all but the end of the answer is on its way.
struct Delivered {
    rest: Bytes,
    /// What to do when the last slice is taken.
    over: Option<Box<dyn FnOnce() + Send>>,
}

impl http_body::Body for Delivered {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let len = self.rest.len().min(SLICE_MAX_BYTES);
        let slice = self.rest.split_to(len);
        if self.rest.is_empty()
            && let Some(over) = self.over.take()
        {
            over();
        }
        Poll::Ready((!slice.is_empty()).then(|| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.over.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_delivered_with_its_last_slice() {
        for len in [0, 1, SLICE_MAX_BYTES, SLICE_MAX_BYTES + 1, 10 * SLICE_MAX_BYTES] {
            let sent: Bytes = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let told = Arc::new(AtomicBool::new(false));
            let tell = told.clone();
            let over = Box::new(move || tell.store(true, Ordering::Release));
            let mut body = Delivered { rest: sent.clone(), over: Some(over) };
            let mut got = Vec::new();
            while let Some(frame) = body.frame().await {
                let slice = frame.unwrap().into_data().unwrap();
                assert!((1..=SLICE_MAX_BYTES).contains(&slice.len()));
                got.extend_from_slice(&slice);
                assert_eq!(
                    told.load(Ordering::Acquire),
                    got.len() == len,
                    "{} of {len}",
                    got.len()
                );
            }
            assert!(told.load(Ordering::Acquire) && got == sent, "{len}");
        }
    }
}
