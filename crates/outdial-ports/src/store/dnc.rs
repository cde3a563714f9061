//! The do-not-call list of a workspace.

use outdial_core::id::{BatchId, DncId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use thiserror::Error;

use super::StoreError;

/// A number to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDnc {
    /// The number.
    pub phone: PhoneNumber,
    /// The batch in which the wish was uttered.
    pub batch: BatchId,
    /// The attempt's name (`requestUUID`); it must be one of this number in this batch.
    pub token: [u8; 16],
    /// `customer_request`, `complaint`, free text.
    pub kind: Option<String>,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DncRecord {
    /// Which.
    pub id: DncId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// The number.
    pub phone: PhoneNumber,
    /// `customer_request`, `complaint`, free text.
    pub kind: Option<String>,
    /// The batch in which the wish was uttered.
    pub batch: BatchId,
    /// The attempt's name.
    pub token: [u8; 16],
    /// The call's recording.
    pub recording: Option<String>,
    /// What was said.
    pub transcript: Option<String>,
    /// When it was listed.
    pub created_at: Timestamp,
}

/// Why a number was not listed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DncAddError {
    /// It is listed.
    #[error("the number is listed already")]
    AlreadyListed,
    /// No such batch in this workspace.
    #[error("no such batch")]
    NoBatch,
    /// No attempt of this name at this number in this batch.
    #[error("no such phone log")]
    NoPhoneLog,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an entry was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DncDeleteError {
    /// Nobody has it.
    #[error("no such entry")]
    NotFound,
    /// Another workspace has it.
    #[error("the entry belongs to another organization")]
    Foreign,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which page of the list.
#[derive(Clone, Debug)]
pub struct DncListQuery {
    /// From 1.
    pub page: u32,
    /// 1–100.
    pub limit: u32,
    /// Part of the number, the kind or the `requestUUID` as it is shown, case-insensitive.
    pub search: Option<String>,
}

/// A page of the list.
#[derive(Clone, Debug)]
pub struct DncList {
    /// The page.
    pub entries: Vec<DncRecord>,
    /// How many match.
    pub total: u64,
}
