//! Settings of the engine.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the engine of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Most live calls of this process at once.
    pub node_calls: u32,
    /// Most calls that one turn of a workspace's dispatch commits.
    pub turn_limit: u32,
    /// How long a call may ring, counted from its INVITE, in milliseconds.
    pub ring_limit_ms: u64,
    /// The database hears of this process so often, in milliseconds; not more seldom than every
    /// 5 s, or a beat that is lost keeps it from dialing.
    pub beat_ms: u64,
    /// What others dialed is noted so often, in milliseconds.
    pub marks_ms: u64,
    /// How long a stop waits for live calls, in milliseconds.
    pub drain_limit_ms: u64,
    /// Workspaces with work are looked for so often, in milliseconds.
    pub supervise_ms: u64,
    /// Groups of waiting calls are read anew at least so often, in milliseconds.
    pub groups_ms: u64,
    /// Calls that are no longer wanted are looked for so often, in milliseconds.
    pub recall_ms: u64,
    /// Batches that are done or over their time are looked for so often, in milliseconds.
    pub close_ms: u64,
    /// Attempts of processes that are gone are looked for so often, in milliseconds.
    pub resolve_ms: u64,
    /// Old requests, and what limits no longer count, are forgotten so often, in milliseconds.
    pub prune_ms: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            node_calls: 2_000,
            turn_limit: 500,
            ring_limit_ms: 45_000,
            beat_ms: 5_000,
            marks_ms: 5_000,
            drain_limit_ms: 60_000,
            supervise_ms: 1_000,
            groups_ms: 2_000,
            recall_ms: 500,
            close_ms: 500,
            resolve_ms: 5_000,
            prune_ms: 60_000,
        }
    }
}

impl EngineConfig {
    pub(crate) fn ring_limit(&self) -> Duration {
        Duration::from_millis(self.ring_limit_ms)
    }

    pub(crate) fn drain_limit(&self) -> Duration {
        Duration::from_millis(self.drain_limit_ms)
    }
}
