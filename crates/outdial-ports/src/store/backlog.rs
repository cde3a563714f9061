//! How much there is to do, over all workspaces: what those who run Outdial watch.

use outdial_core::batch::BatchState;
use outdial_core::time::Timestamp;

/// Batches in which the oldest call that is due is looked for.
pub const BACKLOG_BATCHES: u32 = 1_000;

/// Calls on the phone, and calls that wait. Read without looking at each call that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Calls that are live, of whatever batch.
    pub live: u64,
    /// What waits, by the state of its batch; states in which something waits.
    pub waiting: Vec<Waiting>,
}

/// What waits in batches of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The state.
    pub state: BatchState,
    /// Batches in which something waits.
    pub batches: u64,
    /// Calls.
    pub calls: u64,
    /// When the earliest of them was due, or will be; of the `BACKLOG_BATCHES` oldest batches.
    pub oldest_due: Option<Timestamp>,
}
