//! The process is gone, and another one comes.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::outcome::Disposition;
use outdial_engine::EngineConfig;

use crate::faulty::Faulty;
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
