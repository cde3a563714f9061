//! The clocks of the machine: where `outdial_ports::Clock` meets the operating system. The only
//! place in Outdial that asks what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use outdial_core::time::Timestamp;
use outdial_ports::{Clock, Monotonic};

/// The clocks of the machine; the monotonic one counts from when this was made.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Begins to count.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        // A machine set to before 1970 is at the epoch: wrong either way, and nothing dials there.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn monotonic(&self) -> Monotonic {
        Monotonic(Instant::now().saturating_duration_since(self.start))
    }

    async fn sleep_until(&self, at: Monotonic) {
        // Without a representable end it is for ever.
        match self.start.checked_add(at.0) {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn sleeps_until_the_monotonic_clock_is_there() {
        let clock = SystemClock::new();
        let at = clock.monotonic().after(Duration::from_millis(20));
        clock.sleep_until(at).await;
        assert!(clock.monotonic() >= at);
        clock.sleep_until(Monotonic::default()).await;
    }

    #[test]
    fn knows_roughly_what_year_it_is() {
        assert!(SystemClock::new().now() > "2025-01-01T00:00:00Z".parse().unwrap());
    }
}
