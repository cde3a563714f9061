//! The do-not-call list.

use outdial_core::time::Timestamp;
use outdial_ports::store::DncRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::call::uuid;
use super::page::Pagination;

/// A number to list.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddDnc {
    /// In international form; a leading `+` is optional. String or integer.
    #[schema(value_type = String)]
    pub(crate) phone_number: Option<Value>,
    /// The batch in which the wish was uttered.
    #[schema(value_type = String)]
    pub(crate) batch_id: Option<String>,
    /// The phone log in which it was uttered: one of this number, in this batch.
    #[serde(rename = "requestUUID")]
    #[schema(value_type = String)]
    pub(crate) request_uuid: Option<String>,
    /// `customer_request`, `complaint`, or free text of at most 200 characters.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// The caller's own user; not needed.
    pub(crate) user_id: Option<String>,
}

/// The switch.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct EnableDnc {
    /// On: the list is checked before each call.
    #[schema(value_type = bool)]
    pub(crate) enable: Option<bool>,
}

/// An entry of the list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dnc {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// E.164 without `+`.
    pub(crate) phone_number: String,
    /// `customer_request`, `complaint`, free text.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// The organization: the workspace.
    pub(crate) org_id: String,
    /// The batch in which the wish was uttered.
    pub(crate) batch_id: String,
    /// The phone log in which it was uttered.
    #[serde(rename = "requestUUID")]
    pub(crate) request_uuid: String,
    /// Where the call's recording is.
    pub(crate) call_recording: Option<String>,
    /// What was said.
    pub(crate) transcription: Option<String>,
    /// When it was listed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
}

impl From<DncRecord> for Dnc {
    fn from(record: DncRecord) -> Self {
        Self {
            id: record.id.to_string(),
            phone_number: record.phone.to_string(),
            kind: record.kind,
            org_id: record.workspace.to_string(),
            batch_id: record.batch.to_string(),
            request_uuid: uuid(record.token),
            call_recording: record.recording,
            transcription: record.transcript,
            created_at: record.created_at,
        }
    }
}

/// A page of the list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DncEntries {
    /// Newest first.
    pub(crate) dnc_list: Vec<Dnc>,
    /// Where it stands.
    pub(crate) pagination: Pagination,
}
