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

    /// An answer of `bytes` that ends the request when it is handed to the connection.
    pub(crate) fn body(
        self: &Arc<Self>,
        bytes: Bytes,
        identity: Identity,
        request: RequestId,
    ) -> Body {
        let pending = Some((identity, request));
        Body::new(Delivered { bytes: Some(bytes), pending, deliveries: self.clone() })
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

/// One frame, whose taking is noted.
struct Delivered {
    bytes: Option<Bytes>,
    pending: Option<(Identity, RequestId)>,
    deliveries: Arc<Deliveries>,
}

impl http_body::Body for Delivered {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some((identity, request)) = self.pending.take() {
            self.deliveries.hand_over(identity, request);
        }
        Poll::Ready(self.bytes.take().map(|b| Ok(Frame::data(b))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |b| b.len() as u64))
    }
}
