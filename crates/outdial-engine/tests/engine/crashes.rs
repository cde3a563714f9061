//! The process is gone, and another one comes.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::outcome::Disposition;
use outdial_engine::EngineConfig;
use outdial_ports::Journal;

use crate::faulty::{Fault, Faulty};
use crate::world::World;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn what_was_live_in_a_crash_is_unknown_and_nobody_is_called_twice() {
    // At many moments: while intents wait for their slot, ring, and talk.
    for after_ms in [1, 5, 12, 15, 100, 500, 1_500, 4_000, 7_000] {
        let world = World::new().await;
        let settings = BatchSettings { concurrency: Some(20), ..BatchSettings::default() };
        let batch = world.batch(settings, 1000..1060).await;
        let engine = world.engine(EngineConfig::default());
        world.sleep(Duration::from_millis(after_ms)).await;
        engine.kill().await;
        let placed = world.carrier.count();
        let live = world.record(batch).await.totals.live;
        // The simulated calls die with their process.
        world.wait("dead", secs(60), async || world.carrier.live() == 0).await;

        let another = Faulty::new(world.inline.another_process(&*world.entropy));
        let engine = world.engine_on(Arc::new(another), EngineConfig::default());
        world.completed(batch, secs(300)).await;
        engine.stop().await;
        let calls = world.calls(batch).await;
        let unknown =
            calls.iter().filter(|c| c.disposition == Some(Disposition::Unknown)).count() as u64;
        assert_eq!(unknown, live, "after {after_ms} ms, {placed} were placed");
        for call in &calls {
            assert_eq!(call.attempts.len(), 1, "not redialed: {:#?}", call.attempts);
            let unknown = call.attempts[0].state == AttemptState::Unknown;
            assert_eq!(unknown, call.disposition == Some(Disposition::Unknown));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_the_database_was_away_is_known_to_the_next_process() {
    let world = World::new().await;
    let settings = BatchSettings { concurrency: Some(10), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1020).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("begun", secs(5), async || world.carrier.count() == 10).await;
    world.store.fail("attempt_finish", Fault::Unavailable, u32::MAX);
    world.wait("over", secs(60), async || world.carrier.live() == 0).await;
    let kept = || world.journal.list(None, 100).len();
    world.wait("kept", secs(5), async || kept() == 10).await;
    engine.kill().await;

    let another = Faulty::new(world.inline.another_process(&*world.entropy));
    let engine = world.engine_on(Arc::new(another), EngineConfig::default());
    world.completed(batch, secs(300)).await;
    world.wait("forgotten", secs(5), async || kept() == 0).await;
    engine.stop().await;
    for call in world.calls(batch).await {
        assert_eq!(call.disposition, Some(Disposition::Completed), "{call:#?}");
        assert_eq!(call.attempts.len(), 1);
    }
    assert_eq!(world.carrier.count(), 20, "nobody twice");
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_recording_takes_long_is_kept() {
    let world = World::new().await;
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let kept = || world.journal.list(None, 100).len();
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    assert_eq!(kept(), 0);
    world.store.fail("attempt_finish", Fault::Slow(secs(600)), u32::MAX);
    world.add(batch, 1010..1020).await;
    world.wait("kept", secs(60), async || kept() == 10).await;
    engine.kill().await;

    let another = Faulty::new(world.inline.another_process(&*world.entropy));
    let engine = world.engine_on(Arc::new(another), EngineConfig::default());
    world.completed(batch, secs(300)).await;
    engine.stop().await;
    for call in world.calls(batch).await {
        assert_eq!(call.disposition, Some(Disposition::Completed), "{call:#?}");
    }
}
