//! Time and chance, as far as the edges hand them to the core.

use std::time::Duration;

use async_trait::async_trait;
use outdial_core::time::Timestamp;

/// A reading of a monotonic clock: time since an arbitrary start of this process. Wall clocks jump;
/// what must not happen late is measured on this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// `d` later.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d))
    }

    /// How long after `earlier`; zero if it is not after it.
    pub fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The clocks of this process.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// The monotonic clock.
    fn monotonic(&self) -> Monotonic;
    /// Returns when the monotonic clock has reached `at`.
    async fn sleep_until(&self, at: Monotonic);
}

/// Chance.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`, unpredictably in production, from a seed in tests.
    fn fill(&self, bytes: &mut [u8]);

    /// A uniformly distributed number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
