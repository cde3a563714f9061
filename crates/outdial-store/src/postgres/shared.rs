//! What the transactions of a process have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outdial_ports::Clock;

use super::class::Classes;
use super::tx::Kind;

/// Longest statement of a transaction that may read or write a whole batch.
const SLOW_STATEMENT: Duration = Duration::from_secs(120);

/// What the transactions of a process have in common.
pub(super) struct Shared {
    /// Names this process: what it committed is its own.
    pub(super) instance: i64,
    /// In the place of the database's, in tests.
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) classes: Classes,
    /// Longest wait for a connection that is there to begin or undo a transaction.
    pub(super) begin_within: Duration,
    statement: Duration,
    random: AtomicU64,
}

impl Shared {
    /// Of a process that is called so; `seed` is random.
    pub(super) fn new(
        instance: i64,
        seed: u64,
        clock: Option<Arc<dyn Clock>>,
        statement: Duration,
        begin_within: Duration,
    ) -> Self {
        Self {
            instance,
            clock,
            classes: Classes::default(),
            begin_within,
            statement,
            random: AtomicU64::new(seed),
        }
    }

    /// Longest time that a statement may take.
    pub(super) fn may_take(&self, kind: Kind) -> Duration {
        match kind {
            Kind::SlowRead | Kind::SlowWrite => SLOW_STATEMENT.max(self.statement),
            Kind::Read | Kind::EngineRead | Kind::Write | Kind::BigWrite => self.statement,
        }
    }

    /// A number by chance, good for spreading and for nothing secret (SplitMix64).
    pub(super) fn random(&self) -> u64 {
        let mut x = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}
