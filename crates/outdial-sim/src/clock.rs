//! Virtual time: tokio's paused clock, which jumps to the next timer as soon as nothing is left to
//! do. The wall clock is the start of the world and what has passed since.

use std::time::Duration;

use async_trait::async_trait;
use outdial_core::time::Timestamp;
use outdial_ports::{Clock, Monotonic};
use tokio::time::Instant;

/// The clock of a world; everybody in it reads this one.
pub(crate) struct SimClock {
    start: Timestamp,
    origin: Instant,
}

impl SimClock {
    /// A clock that shows `start` now. Needs a runtime whose time is paused.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn new(start: Timestamp) -> Self {
        Self { start, origin: Instant::now() }
    }

    /// What has passed since the world began.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().duration_since(self.origin)
    }

    /// Lets time pass.
    pub(crate) async fn sleep(&self, d: Duration) {
        self.sleep_until(Monotonic(self.elapsed()).after(d)).await;
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.start.after(self.elapsed())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.elapsed())
    }

    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until(self.origin + at.0).await;
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
    }
}
