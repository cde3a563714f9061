//! A watermark in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use outdial_core::id::WorkspaceId;
use outdial_ports::{Standing, Watermark, WatermarkError};

use crate::context::locked;

/// For a database that lives no longer than whoever holds this: trials, tests and the simulator.
/// It must never stand beside a database that can be restored.
#[derive(Debug, Default)]
pub struct MemoryWatermark(Mutex<Marks>);

#[derive(Debug, Default)]
struct Marks {
    seen: BTreeMap<WorkspaceId, u64>,
    older: BTreeSet<WorkspaceId>,
}

#[async_trait]
impl Watermark for MemoryWatermark {
    async fn compare(&self, ws: WorkspaceId, version: u64) -> Result<Standing, WatermarkError> {
        let mut marks = locked(&self.0);
        let seen = marks.seen.get(&ws).copied().unwrap_or(0);
        if version < seen {
            marks.older.insert(ws);
        }
        Ok(match marks.older.contains(&ws) {
            true => Standing::Older { seen },
            false => Standing::Current,
        })
    }

    async fn note(&self, ws: WorkspaceId, version: u64) -> Result<(), WatermarkError> {
        let mut marks = locked(&self.0);
        let seen = marks.seen.entry(ws).or_default();
        *seen = version.max(*seen);
        Ok(())
    }
}
