//! Background work.

use outdial_core::time::Timestamp;
use outdial_ports::TaskReport;
use serde::Serialize;
use utoipa::ToSchema;

/// One kind of background work of the node that answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    /// Which.
    pub(crate) name: &'static str,
    /// `ok`; `failing`: its last run broke off, and the next tries again. The log says why.
    pub(crate) state: &'static str,
    /// When it last ended.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) last_run_at: Timestamp,
    /// How often it ended since the process began.
    pub(crate) runs: u64,
    /// How often it broke off.
    pub(crate) failures: u64,
}

impl From<TaskReport> for Task {
    fn from(task: TaskReport) -> Self {
        Self {
            name: task.name,
            state: if task.is_failing { "failing" } else { "ok" },
            last_run_at: task.last_run,
            runs: task.runs,
            failures: task.failures,
        }
    }
}

/// Background work of one node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskList {
    /// The node that answers, as in `GET /api/system/nodes`; absent: it does none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_id: Option<String>,
    /// What has run at least once, by name.
    pub(crate) tasks: Vec<Task>,
}
