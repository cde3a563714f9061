//! Imports: a file's rows on their way into a batch that nobody sees before it is whole.
//!
//! Rows go in by `call_add_chunk`, as those of a request do. The batch is in state `importing`
//! until `import_finish`, and lives as long as the lease of its request.

use outdial_core::id::{BatchId, RequestId};
use thiserror::Error;

use super::{BatchCreateError, StoreError, StoredAnswer};

/// The end of an import.
#[derive(Clone, Debug)]
pub struct ImportFinish {
    /// Which batch.
    pub batch: BatchId,
    /// The request that brought it.
    pub request: RequestId,
    /// How many calls it must hold.
    pub calls: u64,
    /// The answer to the request, final from then on.
    pub answer: StoredAnswer,
}

/// Why an import was not begun or not finished.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImportError {
    /// It was dropped, another import of the same request took its place, or the request is
    /// answered already.
    #[error("the import was dropped")]
    Gone,
    /// Its batch cannot be made.
    #[error(transparent)]
    Batch(BatchCreateError),
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BatchCreateError> for ImportError {
    fn from(e: BatchCreateError) -> Self {
        match e {
            BatchCreateError::Store(e) => Self::Store(e),
            other => Self::Batch(other),
        }
    }
}
