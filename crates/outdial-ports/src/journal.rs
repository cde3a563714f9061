//! Where a node keeps how calls ended while its database does not take it: what is known must not
//! become `unknown` because a process ended before it could be written.

use async_trait::async_trait;
use outdial_core::attempt::AttemptEnd;
use outdial_core::id::AttemptId;
use thiserror::Error;

/// The end could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the journal: {0}")]
pub struct JournalError(pub String);

/// How an attempt of this node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEnd {
    /// Which.
    pub attempt: AttemptId,
    /// Its unguessable name: without it, it is another one of another copy of the database.
    pub token: [u8; 16],
    /// How it ended.
    pub end: AttemptEnd,
}

/// Ends that the database does not hold yet, as far as is known. Written only when it does not
/// take them at once.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Keeps one; durable when it returns.
    async fn keep(&self, kept: KeptEnd) -> Result<(), JournalError>;
    /// The end that is kept of an attempt, also by a process before this one.
    fn kept(&self, attempt: AttemptId) -> Option<KeptEnd>;
    /// The first so many of which an end is kept, behind `after`.
    fn list(&self, after: Option<AttemptId>, limit: usize) -> Vec<AttemptId>;
    /// It is over in the database. One that is forgotten may be there again after a crash.
    fn forget(&self, attempt: AttemptId);
}
