//! What a node remembers outside the database, so that a database which is older than what was
//! dialed is not believed (`semantics.md` 4, restored backups).

use async_trait::async_trait;
use outdial_core::id::WorkspaceId;
use thiserror::Error;

/// The mark could not be kept or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the state directory: {0}")]
pub struct WatermarkError(pub String);

/// How a database stands to what this node saw of it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is what this node knows, or goes beyond it.
    Current,
    /// It is an older copy: nobody may be dialed until the operator says so.
    Older {
        /// The highest dispatch version that this node saw acknowledged.
        seen: u64,
    },
}

/// The highest dispatch version of each workspace that this node saw acknowledged.
#[async_trait]
pub trait Watermark: Send + Sync {
    /// Compares what the database says with what was noted. Once `Older`, it stays so, whatever the
    /// version grows to and through restarts, until the operator accepts the copy.
    async fn compare(&self, ws: WorkspaceId, version: u64) -> Result<Standing, WatermarkError>;
    /// Notes an acknowledged version; durable when it returns. Nothing that was committed with it
    /// may leave before.
    async fn note(&self, ws: WorkspaceId, version: u64) -> Result<(), WatermarkError>;
}
