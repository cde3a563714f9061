//! What the transactions of a process have in common.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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
    /// Ends of calls since this process began.
    ends: AtomicU64,
    /// No row of `batch_delta` up to here counts any more, as far as this process knows.
    folded: AtomicI64,
    pub(super) numbered: Mutex<Numbered>,
}

/// How far this process knows the facts to be numbered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbered {
    /// No row of the outbox up to here is there, or ever will be.
    pub(super) floor: i64,
    /// A row that was there; once all transactions below this number are over, no row appears
    /// below it.
    pub(super) seen: Option<(i64, i64)>,
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
            ends: AtomicU64::new(0),
            folded: AtomicI64::new(0),
            numbered: Mutex::default(),
        }
    }

    /// Longest time that a statement may take.
    pub(super) fn may_take(&self, kind: Kind) -> Duration {
        match kind {
            Kind::SlowRead | Kind::SlowWrite => SLOW_STATEMENT.max(self.statement),
            Kind::Read | Kind::EngineRead | Kind::Write | Kind::BigWrite => self.statement,
        }
    }

    /// A call has ended; whether it is time to fold.
    pub(super) fn has_ended(&self) -> bool {
        (self.ends.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(super::fold::EVERY)
    }

    pub(super) fn folded(&self) -> i64 {
        self.folded.load(Ordering::Relaxed)
    }

    pub(super) fn set_folded(&self, upto: i64) {
        self.folded.fetch_max(upto, Ordering::Relaxed);
    }

    /// A number by chance, good for spreading and for nothing secret (SplitMix64).
    pub(super) fn random(&self) -> u64 {
        let mut x = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}
