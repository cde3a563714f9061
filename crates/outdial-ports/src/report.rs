//! What a process tells of itself to those who run it. Never a contact, a number or a secret.

use async_trait::async_trait;
use outdial_core::time::Timestamp;

use crate::store::StoreError;

/// How one kind of background work is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskReport {
    /// Which.
    pub name: &'static str,
    /// When it last ended.
    pub last_run: Timestamp,
    /// It then broke off; the next run tries again.
    pub is_failing: bool,
    /// How often it ended.
    pub runs: u64,
    /// How often it broke off.
    pub failures: u64,
}

/// The background work of this process.
pub trait Tasks: Send + Sync {
    /// Which node this is: its id, 32 hex digits.
    fn node(&self) -> String;
    /// What has run at least once, by name.
    fn list(&self) -> Vec<TaskReport>;
}

/// What this process measures.
#[async_trait]
pub trait Meters: Send + Sync {
    /// All of it, in the text format of Prometheus.
    async fn render(&self) -> Result<String, StoreError>;
}
