//! A watermark in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use outdial_core::id::WorkspaceId;
use outdial_ports::{Mark, Noted, Watermark, WatermarkError};

use crate::context::locked;

/// For a database that lives no longer than whoever holds this: trials, tests and the simulator.
/// It must never stand beside a database that can be restored.
#[derive(Debug, Default)]
pub struct MemoryWatermark(Mutex<Marks>);

#[derive(Debug, Default)]
struct Marks {
    latest: BTreeMap<WorkspaceId, Mark>,
    accepted: BTreeSet<WorkspaceId>,
}

impl MemoryWatermark {
    /// Accepts a database that does not hold what is noted now.
    pub fn accept(&self, ws: WorkspaceId) {
        locked(&self.0).accepted.insert(ws);
    }
}

#[async_trait]
impl Watermark for MemoryWatermark {
    async fn latest(&self, ws: WorkspaceId) -> Result<Noted, WatermarkError> {
        Ok(locked(&self.0).latest.get(&ws).copied().map_or(Noted::Nothing, Noted::Mark))
    }

    async fn is_accepted(&self, ws: WorkspaceId) -> Result<bool, WatermarkError> {
        Ok(locked(&self.0).accepted.contains(&ws))
    }

    async fn note(&self, ws: WorkspaceId, mark: Mark) -> Result<(), WatermarkError> {
        let mut marks = locked(&self.0);
        marks.latest.insert(ws, mark);
        marks.accepted.remove(&ws);
        Ok(())
    }
}
