//! A carrier whose calls are answered and over at once, so that what is measured is all but them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_ports::{CallControl, CallOrder, Carrier, PlacedCall};
use tokio::sync::Notify;

/// The carrier.
#[derive(Default)]
pub(crate) struct Instantly {
    placed: AtomicU64,
    more: Notify,
}

impl Instantly {
    /// How many calls were placed.
    pub(crate) fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// Waits until that many were placed.
    pub(crate) async fn wait_for(&self, count: u64) {
        loop {
            let more = self.more.notified();
            if self.placed() >= count {
                return;
            }
            more.await;
        }
    }
}

impl Carrier for Instantly {
    fn place(&self, _: CallOrder) -> PlacedCall {
        self.placed.fetch_add(1, Ordering::Relaxed);
        self.more.notify_waiters();
        PlacedCall { events: Box::pin(Over(Some(CallEnd::TalkOver))), control: Arc::new(Nothing) }
    }
}

struct Nothing;

impl CallControl for Nothing {
    fn cancel(&self) {}
}

struct Over(Option<CallEnd>);

impl Stream for Over {
    type Item = CallEvent;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        Poll::Ready(self.0.take().map(CallEvent::Ended))
    }
}
