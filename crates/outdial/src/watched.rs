//! What is told of this process to those who run it.

use std::sync::Arc;

use anyhow::Result;
use outdial_engine::{TaskBoard, TaskResult};
use outdial_http::Monitoring;
use outdial_ports::{Clock, Store, TaskReport, Tasks};

use crate::config::Config;
use crate::metrics::{self, Page};
use crate::state::NodeId;

/// Starts measuring; the background work is added when it is known.
pub(crate) fn monitoring(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<Monitoring> {
    let page = Page::new(metrics::start()?, store.clone(), clock.clone());
    tokio::spawn(page.clone().keep_small());
    Ok(Monitoring {
        meters: Some(page),
        metrics_token: config.monitoring.metrics_token.as_ref().map(|t| t.expose().to_owned()),
        tasks: None,
    })
}

/// The background work of this process.
pub(crate) struct Duties {
    /// Which node it is.
    pub(crate) node: NodeId,
    /// Its engine's.
    pub(crate) board: Arc<TaskBoard>,
}

impl Tasks for Duties {
    fn node(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.node))
    }

    fn list(&self) -> Vec<TaskReport> {
        let report = |task: outdial_engine::TaskStatus| TaskReport {
            name: task.name,
            last_run: task.last_run,
            is_failing: matches!(task.last_result, TaskResult::Failed { .. }),
            runs: task.runs,
            failures: task.failures,
        };
        self.board.list().into_iter().map(report).collect()
    }
}
