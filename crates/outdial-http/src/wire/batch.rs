//! Batches.

use outdial_core::batch::BatchState;
use outdial_core::time::Timestamp;
use outdial_ports::store::BatchRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::page::Pagination;

/// A batch in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Batch {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Display name.
    pub(crate) batch_name: String,
    /// All its call records.
    pub(crate) total_calls: u64,
    /// Those that a person answered.
    pub(crate) calls_picked: u64,
    /// Those that ended as `completed`.
    pub(crate) calls_completed: u64,
    /// `pending`, `importing`, `active`, `paused`, `stopped` or `completed`.
    #[serde(rename = "queue_status")]
    pub(crate) queue_status: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    /// Why it is paused, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pause_reason: Option<&'static str>,
}

impl From<&BatchRecord> for Batch {
    fn from(b: &BatchRecord) -> Self {
        Self {
            id: b.id.to_string(),
            batch_name: b.name.clone(),
            total_calls: b.totals.total,
            calls_picked: b.totals.picked,
            calls_completed: b.totals.completed,
            queue_status: b.state.as_str(),
            created_at: b.created_at,
            updated_at: b.updated_at,
            pause_reason: pause_reason(b),
        }
    }
}

/// Why a batch is paused, if it is.
pub(crate) fn pause_reason(b: &BatchRecord) -> Option<&'static str> {
    b.pause_reason.filter(|_| b.state == BatchState::Paused).map(|r| r.as_str())
}

/// A page of batches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Batches {
    /// Newest first.
    pub(crate) batches: Vec<Batch>,
    /// Where it stands.
    pub(crate) pagination: Pagination,
}

/// A batch to start. Only described here: the body is read as a stream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema; routes::calling reads the body")]
pub(crate) struct StartCalling {
    /// Which.
    #[schema(value_type = String)]
    pub(crate) batch_id: Option<String>,
    /// The caller's own user.
    #[schema(value_type = String)]
    pub(crate) user_id: Option<String>,
    /// Call over these instead of the batch's numbers, from now on.
    pub(crate) calling_numbers: Option<Vec<String>>,
    /// Call these instead of the batch's own records.
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) call_data: Option<Vec<Value>>,
    /// The caller's tracking id; comes back in the answer.
    pub(crate) uuid: Option<String>,
}

/// A batch to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StopCalling {
    /// Which.
    #[schema(value_type = String)]
    pub(crate) batch_id: Option<String>,
    /// The caller's own user.
    #[schema(value_type = String)]
    pub(crate) user_id: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchMoved {
    /// Which.
    pub(crate) batch_id: String,
    /// `started` or `stopped`.
    pub(crate) status: &'static str,
}
