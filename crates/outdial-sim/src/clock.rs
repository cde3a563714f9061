//! Virtual time: tokio's paused clock, which jumps to the next timer as soon as nothing is left to
//! do. The wall clock is the start of the world, what has passed since, and how far it was set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::time::Timestamp;
use outdial_ports::{Clock, Monotonic};
use tokio::time::Instant;

use crate::store::Life;

/// The clock of a world; the database reads this one.
pub(crate) struct SimClock {
    start: Timestamp,
    origin: Instant,
    /// How far the wall clock was set, in milliseconds.
    set_by: AtomicI64,
}

impl SimClock {
    /// A clock that shows `start` now. Needs a runtime whose time is paused.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn new(start: Timestamp) -> Self {
        Self { start, origin: Instant::now(), set_by: AtomicI64::new(0) }
    }

    /// What has passed since the world began.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().duration_since(self.origin)
    }

    /// What the wall clock would show if nobody had ever set it: time that only passes.
    pub(crate) fn real(&self) -> Timestamp {
        self.start.after(self.elapsed())
    }

    /// Sets the wall clock; so many milliseconds ahead, or back.
    pub(crate) fn set(&self, by_ms: i64) {
        self.set_by.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Lets time pass.
    pub(crate) async fn sleep(&self, d: Duration) {
        self.sleep_until(Monotonic(self.elapsed()).after(d)).await;
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.real().as_millis() + self.set_by.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.elapsed())
    }

    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until(self.origin + at.0).await;
    }
}

/// The clock as one process has it: while that is stalled, the clock goes on, and nobody wakes.
pub(crate) struct ProcessClock {
    /// The world's.
    pub clock: Arc<SimClock>,
    /// The process's.
    pub life: Arc<Life>,
    /// Sabotage: the process does not see that its wall clock was set.
    pub blind: bool,
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        if self.blind { self.clock.real() } else { self.clock.now() }
    }

    fn monotonic(&self) -> Monotonic {
        self.clock.monotonic()
    }

    async fn sleep_until(&self, at: Monotonic) {
        self.clock.sleep_until(at).await;
        self.life.awake(&self.clock).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn days_pass_at_once_and_by_the_millisecond() {
        let start = Timestamp::from_millis(1_770_000_000_000);
        let clock = SimClock::new(start);
        clock.sleep(Duration::from_secs(3 * 86_400)).await;
        assert_eq!(clock.now().since(start), Duration::from_secs(3 * 86_400));
        clock.sleep(Duration::from_millis(7)).await;
        assert_eq!(clock.monotonic().0, Duration::from_millis(3 * 86_400_000 + 7));
        clock.set(-3_600_000);
        assert_eq!(clock.real().since(clock.now()), Duration::from_secs(3_600));
        assert_eq!(clock.monotonic().0, Duration::from_millis(3 * 86_400_000 + 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_process_wakes_late() {
        let clock = Arc::new(SimClock::new(Timestamp::EPOCH));
        let life = Arc::new(Life::default());
        let own = ProcessClock { clock: Arc::clone(&clock), life: Arc::clone(&life), blind: false };
        life.stall(Duration::from_secs(5));
        own.sleep_until(Monotonic(Duration::from_secs(1))).await;
        assert_eq!(clock.elapsed(), Duration::from_secs(5));
    }
}
