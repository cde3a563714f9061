//! What is noted outside the database holds calls back that the database would place again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::id::{AttemptId, BatchId, WorkspaceId};
use outdial_engine::{EngineConfig, MemoryWatermark, Ports};
use outdial_ports::{Mark, Noted, Store, Watermark, WatermarkError};

use crate::faulty::Fault;
use crate::world::{Running, World, node};

/// Of a call that left, of which the world's database knows nothing.
fn foreign() -> Mark {
    Mark { attempt: AttemptId::from_parts(1_772_000_000, 1), token: [9; 16] }
}

#[tokio::test(start_paused = true)]
async fn a_database_without_the_mark_is_not_dialed_however_it_grows_until_it_is_accepted() {
    let world = World::new().await;
    world.watermark.note(world.workspace, foreign()).await.unwrap();
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(Duration::from_secs(5)).await;
    for _ in 0..100 {
        world.inline.batch_stop(world.workspace, batch).await.unwrap();
        world.inline.batch_start(world.workspace, batch, Default::default()).await.unwrap();
    }
    world.sleep(Duration::from_secs(10)).await;
    assert_eq!(world.carrier.count(), 0);
    engine.stop().await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(Duration::from_secs(10)).await;
    assert_eq!(world.carrier.count(), 0, "nor after a restart");

    world.watermark.accept(world.workspace);
    world.completed(batch, Duration::from_secs(60)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 10);
    let noted = world.watermark.latest(world.workspace).await.unwrap();
    let Noted::Mark(mark) = noted else { panic!("{noted:?}") };
    assert!(world.inline.attempt_is_known(mark.attempt, mark.token).await.unwrap());
}

/// A world that has called ten people, and a copy of its database from before.
async fn dialed_and_copy(engine: &EngineConfig) -> (World, World, BatchId, Running) {
    let (world, copy) = (World::new().await, World::new().await);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    assert_eq!(copy.batch(BatchSettings::default(), 1000..1010).await, batch, "the same ids");
    // It knows this node: one that does not would end the engine.
    copy.inline.node_join(node()).await.unwrap();
    let engine = world.engine(engine.clone());
    world.completed(batch, Duration::from_secs(60)).await;
    assert_eq!(world.carrier.count(), 10);
    (world, copy, batch, engine)
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_put_back_under_the_engine_is_not_dialed_and_the_newer_one_is() {
    let (world, copy, batch, engine) = dialed_and_copy(&EngineConfig::default()).await;
    world.store.put_back(&copy.inline);
    world.sleep(Duration::from_secs(20)).await;
    assert_eq!(world.carrier.count(), 10, "it would have called the same people");
    let pending = copy.calls(batch).await;
    assert!(pending.iter().all(|c| c.attempts.is_empty()), "{pending:?}");

    world.store.put_back(&world.inline);
    world.add(batch, 1010..1020).await;
    world.completed(batch, Duration::from_secs(60)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_plan_whose_mark_is_not_held_when_it_is_committed_is_refused() {
    let (world, copy, batch, engine) = dialed_and_copy(&EngineConfig::default()).await;
    // The copy takes its place after the database was recognised, and before the commit.
    world.add(batch, 1010..1020).await;
    let asked = world.store.calls("dispatch_candidates");
    let committed = world.store.calls("attempt_commit_intents");
    world.store.fail("dispatch_candidates", Fault::Slow(Duration::from_millis(200)), 1);
    while world.store.calls("dispatch_candidates") == asked {
        world.sleep(Duration::from_millis(10)).await;
    }
    world.store.put_back(&copy.inline);
    world.sleep(Duration::from_secs(20)).await;
    engine.stop().await;
    assert_eq!(world.store.calls("attempt_commit_intents"), committed + 1, "it was tried");
    assert_eq!(world.carrier.count(), 10);
    let pending = copy.calls(batch).await;
    assert_eq!(pending.len(), 10);
    assert!(pending.iter().all(|c| c.attempts.is_empty() && c.waiting.is_some()), "{pending:?}");
}

/// Notes nothing while it is broken.
#[derive(Default)]
struct Breakable {
    inner: MemoryWatermark,
    broken: AtomicBool,
}

#[async_trait]
impl Watermark for Breakable {
    async fn latest(&self, ws: WorkspaceId) -> Result<Noted, WatermarkError> {
        self.inner.latest(ws).await
    }

    async fn is_accepted(&self, ws: WorkspaceId) -> Result<bool, WatermarkError> {
        self.inner.is_accepted(ws).await
    }

    async fn note(&self, ws: WorkspaceId, mark: Mark) -> Result<(), WatermarkError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(WatermarkError("no space".to_owned())),
            false => self.inner.note(ws, mark).await,
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
