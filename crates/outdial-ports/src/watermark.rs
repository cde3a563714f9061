//! What a node remembers outside the database, so that a database which does not know what was
//! dialed is not believed (`semantics.md` 4, restored backups; `docs/adr/0001`).

use async_trait::async_trait;
use outdial_core::id::{AttemptId, WorkspaceId};
use thiserror::Error;

/// The mark could not be kept or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the state directory: {0}")]
pub struct WatermarkError(pub String);

/// An attempt by which the database is recognised that calls were placed from. Its token is drawn
/// by chance: a copy that does not hold the attempt never comes to hold it by growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which.
    pub attempt: AttemptId,
    /// Its unguessable name.
    pub token: [u8; 16],
}

/// What a node knows of what left it in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Nothing left: any database will do.
    Nothing,
    /// One of the latest plan of which something may have left. A database without it is an older
    /// copy, or has gone another way since.
    Mark(Mark),
    /// Calls left, and it is not known which: no database can be recognised.
    Lost,
}

/// The latest mark of each workspace.
#[async_trait]
pub trait Watermark: Send + Sync {
    /// What is noted. An error: nothing can be noted now, and nothing should be committed that
    /// would have to be.
    async fn latest(&self, ws: WorkspaceId) -> Result<Noted, WatermarkError>;
    /// The operator accepts a database that does not hold what is noted latest. Asked only about
    /// such a one, and may be slow.
    async fn is_accepted(&self, ws: WorkspaceId) -> Result<bool, WatermarkError>;
    /// Notes a mark of a plan that was acknowledged; durable when it returns. Nothing that was
    /// committed with it may leave before.
    async fn note(&self, ws: WorkspaceId, mark: Mark) -> Result<(), WatermarkError>;
}
