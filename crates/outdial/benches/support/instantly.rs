//! A carrier whose calls are answered and over at once, or within a second, so that what is
//! measured is all but them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_ports::{CallControl, CallOrder, Carrier, PlacedCall};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

/// The carrier.
#[derive(Default)]
pub(crate) struct Instantly {
    placed: AtomicU64,
    more: Notify,
    /// Calls last up to a second, each as long as its place in the row says.
    is_spread: bool,
}

impl Instantly {
    /// One whose calls do not all end at the same moment.
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) fn spread() -> Self {
        Self { is_spread: true, ..Self::default() }
    }

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
        let place = self.placed.fetch_add(1, Ordering::Relaxed);
        self.more.notify_waiters();
        let lasts = Duration::from_millis(place * 377 % 1_000);
        let wait = self.is_spread.then(|| Box::pin(sleep(lasts)));
        let answered = self.is_spread.then_some(CallEvent::Answered);
        let events = Box::pin(Over { answered, wait, end: Some(CallEnd::TalkOver) });
        PlacedCall { events, control: Arc::new(Nothing) }
    }
}

struct Nothing;

impl CallControl for Nothing {
    fn cancel(&self) {}
}

struct Over {
    answered: Option<CallEvent>,
    wait: Option<Pin<Box<Sleep>>>,
    end: Option<CallEnd>,
}

impl Stream for Over {
    type Item = CallEvent;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        if let Some(answered) = self.answered.take() {
            return Poll::Ready(Some(answered));
        }
        if self.wait.as_mut().is_some_and(|wait| wait.as_mut().poll(cx).is_pending()) {
            return Poll::Pending;
        }
        self.wait = None;
        Poll::Ready(self.end.take().map(CallEvent::Ended))
    }
}
