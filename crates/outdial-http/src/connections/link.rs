//! What a connection's socket and its requests know of each other.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::framing::Fault;
use super::roster::Slot;

/// Nothing is asked.
const WAITS: u8 = 0;
/// A request is being worked on.
const WORKS: u8 = 1;
/// Its answer is made, and maybe not yet written.
const ANSWERED: u8 = 2;

/// Why we end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// What came is no request that could be taken.
    Fault(Fault),
    /// Nothing came for too long.
    Idle,
    /// The client does not take its answer.
    SlowReader,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    phase: AtomicU8,
    requests: AtomicU64,
    ending: Mutex<Option<Ending>>,
    slot: Arc<Slot>,
}

impl Link {
    pub(super) fn new(slot: Arc<Slot>) -> Arc<Self> {
        let (phase, requests) = (AtomicU8::new(WAITS), AtomicU64::new(0));
        Arc::new(Self { phase, requests, ending: Mutex::default(), slot })
    }

    /// Nothing is asked.
    pub(super) fn waits(&self) -> bool {
        self.phase.load(Ordering::Acquire) == WAITS
    }

    /// Requests that came over it.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Acquire)
    }

    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.phase.store(WORKS, Ordering::Release);
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.slot.works();
        Exchange(self.clone())
    }

    /// All that was to be written is; true: so that nothing is asked any more.
    pub(super) fn flushed(&self) -> bool {
        let (now, then) = (Ordering::AcqRel, Ordering::Acquire);
        let is_over = self.phase.compare_exchange(ANSWERED, WAITS, now, then).is_ok();
        if is_over {
            self.slot.waits();
        }
        is_over
    }

    /// The first reason counts.
    pub(super) fn end(&self, ending: Ending) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ending);
    }

    /// Why it ends, if we end it.
    pub(super) fn ending(&self) -> Option<Ending> {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request and its answer; dropped when the answer is made.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Link>);

impl Exchange {
    /// The answer's body; with it ends the exchange.
    pub(super) fn body(self, body: Body) -> Answering {
        Answering { body, _exchange: self }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.phase.store(ANSWERED, Ordering::Release);
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answering {
    body: Body,
    _exchange: Exchange,
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the HTTP library would have answered by itself: the status of its first line.
pub(super) fn own_fault(written: &[u8]) -> Fault {
    let status = written.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
    let (status, why) = match status {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too large")
        }
        Some(StatusCode::URI_TOO_LONG) => (StatusCode::URI_TOO_LONG, "the path is too long"),
        _ => (StatusCode::BAD_REQUEST, "what came is not a request of HTTP/1.1"),
    };
    Fault { status, why }
}
