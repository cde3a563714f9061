//! A connection's bytes, with the limits of time and shape that are on them.
//!
//! Reading: a head must come in time, and must be one that nobody could read differently. What
//! comes in a body is its reader's business (`crate::body`). Writing: a client must take what it
//! asked for.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use outdial_ports::{Clock, Monotonic};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::framing::{Fault, Framing, HeadLimits};
use super::link::{Ending, Link, own_fault};
use super::pace::Pace;
use crate::config::ConnectionConfig;

/// What is waited for, and since which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The first request of the connection, from its beginning.
    First,
    /// The rest of a head.
    Head(u64),
    /// Another request.
    Another(u64),
}

/// A stream of bytes with limits.
pub(super) struct Socket<S> {
    stream: S,
    link: Arc<Link>,
    clock: Arc<dyn Clock>,
    framing: Framing,
    head_timeout: Duration,
    keep_alive: Duration,
    waiting: Option<(Wait, Pin<Box<Sleep>>)>,
    write_timeout: Duration,
    stalled: Option<(Monotonic, Pin<Box<Sleep>>)>,
    pace: Pace,
    /// It has been said what the library would have answered.
    refused: bool,
}

impl<S> Socket<S> {
    pub(super) fn new(
        stream: S,
        link: Arc<Link>,
        clock: Arc<dyn Clock>,
        config: &ConnectionConfig,
    ) -> Self {
        let limits = HeadLimits { bytes: config.head_max_bytes, fields: config.head_fields_max };
        Self {
            stream,
            link,
            clock,
            framing: Framing::new(limits),
            head_timeout: Duration::from_millis(config.head_timeout_ms),
            keep_alive: Duration::from_millis(config.keep_alive_ms),
            waiting: None,
            write_timeout: Duration::from_millis(config.write_timeout_ms),
            stalled: None,
            pace: Pace::new(config.answer_min_rate_bytes_per_s),
            refused: false,
        }
    }

    /// The bytes without limits; and whether the client has more to say than was read.
    pub(super) fn into_stream(self) -> (S, bool) {
        let has_more = self.framing.is_in_request() || self.link.ending().is_some();
        (self.stream, has_more)
    }

    /// Nothing has come: has it been waited for long enough?
    fn poll_waited(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.link.waits() {
            self.waiting = None;
            return Poll::Pending;
        }
        let requests = self.link.requests();
        let (wait, limit) = match (requests, self.framing.is_in_head()) {
            (0, _) => (Wait::First, self.head_timeout),
            (_, true) => (Wait::Head(requests), self.head_timeout),
            (_, false) => (Wait::Another(requests), self.keep_alive),
        };
        let sleep = match &mut self.waiting {
            Some((of, sleep)) if *of == wait => sleep,
            other => {
                // A limit, not a pause.
                let sleep = Box::pin(tokio::time::sleep(limit));
                &mut other.insert((wait, sleep)).1
            }
        };
        ready!(sleep.as_mut().poll(cx));
        let late = Fault {
            status: StatusCode::REQUEST_TIMEOUT,
            why: "the head of the request took too long",
        };
        self.link.end(if self.framing.is_in_head() { Ending::Fault(late) } else { Ending::Idle });
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// What the HTTP library writes while nothing is asked is its refusal of a head; ours says why,
    /// and is written when the library is done.
    fn is_refusal(&mut self, bytes: &[u8]) -> bool {
        if !self.link.waits() {
            return false;
        }
        if !std::mem::replace(&mut self.refused, true) {
            self.link.end(Ending::Fault(own_fault(bytes)));
        }
        true
    }

    /// Whether the client takes what is written, and fast enough.
    fn judge_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let now = self.clock.monotonic();
        let in_time = match &written {
            Poll::Ready(Ok(n)) => {
                let since = self.stalled.take().map_or(now, |(since, _)| since);
                self.pace.note(now.0.saturating_sub(since.0), *n as u64).is_ok()
            }
            Poll::Ready(Err(_)) => true,
            Poll::Pending => {
                let limit = self.write_timeout;
                let (_, sleep) =
                    self.stalled.get_or_insert_with(|| (now, Box::pin(tokio::time::sleep(limit))));
                sleep.as_mut().poll(cx).is_pending()
            }
        };
        if in_time {
            return written;
        }
        self.link.end(Ending::SlowReader);
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Pending => return self.poll_waited(cx),
        }
        if let Err(fault) = self.framing.feed(&buf.filled()[before..]) {
            // Nobody gets to read it.
            buf.set_filled(before);
            self.link.end(Ending::Fault(fault));
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal(slices.first().map_or(&[], |slice| slice)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The HTTP library flushes when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.link.flushed() {
            // It may not be read again before something comes, and that may be never.
            let _armed = self.poll_waited(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
