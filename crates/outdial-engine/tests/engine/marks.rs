//! What is noted outside the database holds calls back that the database would place again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::id::WorkspaceId;
use outdial_engine::{EngineConfig, MemoryWatermark, Ports};
use outdial_ports::{Standing, Store, Watermark, WatermarkError};

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn an_older_copy_is_not_dialed_however_much_it_grows() {
    let world = World::new().await;
    world.watermark.note(world.workspace, 1_000).await.unwrap();
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(Duration::from_secs(5)).await;
    while world.inline.dispatch_head(world.workspace, None).await.unwrap().version <= 1_000 {
        world.inline.batch_stop(world.workspace, batch).await.unwrap();
        world.inline.batch_start(world.workspace, batch, Default::default()).await.unwrap();
    }
    world.sleep(Duration::from_secs(10)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 0);
}

/// Notes nothing while it is broken.
#[derive(Default)]
struct Breakable {
    inner: MemoryWatermark,
    broken: AtomicBool,
}

#[async_trait]
impl Watermark for Breakable {
    async fn compare(&self, ws: WorkspaceId, version: u64) -> Result<Standing, WatermarkError> {
        self.inner.compare(ws, version).await
    }

    async fn note(&self, ws: WorkspaceId, version: u64) -> Result<(), WatermarkError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(WatermarkError("no space".to_owned())),
            false => self.inner.note(ws, version).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_noted_does_not_leave_and_is_given_back() {
    let world = World::new().await;
    let marks = Arc::new(Breakable::default());
    marks.broken.store(true, Ordering::SeqCst);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let ports = Ports { watermark: Arc::clone(&marks) as _, ..world.ports() };
    let engine = world.engine_with(ports, EngineConfig::default());
    world.sleep(Duration::from_secs(20)).await;
    assert_eq!(world.carrier.count(), 0, "nothing leaves that is not noted");
    marks.broken.store(false, Ordering::SeqCst);
    world.completed(batch, Duration::from_secs(60)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 10);
    for call in world.calls(batch).await {
        let (last, earlier) = call.attempts.split_last().unwrap();
        assert_eq!(last.state, AttemptState::Ended);
        assert!(!earlier.is_empty() && earlier.iter().all(|a| a.state == AttemptState::NotSent));
    }
}
