//! Stop, delete, drain.

use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::{BatchSettings, BatchState};
use outdial_core::outcome::Disposition;
use outdial_engine::{Drained, EngineConfig};
use outdial_ports::store::PhonePatch;
use outdial_ports::{Clock, Store};

use crate::carrier::Trick;
use crate::world::World;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn stop_places_nothing_more_and_lets_calls_end() {
    let world = World::new().await;
    let settings = BatchSettings { concurrency: Some(5), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1040).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("begun", secs(60), async || world.carrier.count() >= 12).await;
    assert!(world.inline.batch_stop(world.workspace, batch).await.unwrap());
    let stopped = world.clock.monotonic();
    world.sleep(secs(30)).await;
    let late = world.carrier.placed().into_iter().filter(|p| p.at.since(stopped) > secs(2)).count();
    assert_eq!(late, 0);
    assert!(world.carrier.cancels().is_empty(), "ringing calls ring on");
    let record = world.record(batch).await;
    assert_eq!((record.state, record.totals.live), (BatchState::Stopped, 0));
    assert_eq!(record.totals.completed as usize, world.carrier.count());
    world.check(batch).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn delete_takes_back_what_rings_and_lets_talk_end() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::RingsUntilCancelled);
    world.carrier.trick(1001, Trick::TalksUntilHungUp);
    let settings = BatchSettings { concurrency: Some(2), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("both are on the phone", secs(5), async || world.carrier.live() == 2).await;
    let ringing = world.carrier.placed()[0].order.attempt;
    assert!(world.inline.batch_delete(world.workspace, batch).await.unwrap());
    world.wait("recalled", secs(2), async || world.carrier.cancels() == [ringing]).await;
    world.sleep(secs(30)).await;
    assert_eq!(world.carrier.cancels(), [ringing], "once, and never the one that talks");
    assert_eq!(world.carrier.count(), 2, "nothing more is placed");
    assert_eq!(world.carrier.live(), 1);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn drain_gives_back_what_has_not_left_and_lets_calls_end() {
    let world = World::new().await;
    // Slots are spread, so that some are committed and have not left.
    let patch = PhonePatch { calls_per_second: Some(Some(0.9)), ..PhonePatch::default() };
    world.inline.phone_update(world.workspace, world.phone, patch).await.unwrap();
    let batch = world.batch(BatchSettings::default(), 1000..1040).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("begun", secs(60), async || world.carrier.count() >= 3).await;
    world
        .wait("one is committed and has not left", secs(5), async || {
            world.record(batch).await.totals.live as usize > world.carrier.live()
        })
        .await;
    let placed = world.carrier.count();
    let drained = engine.stop().await;
    assert_eq!(drained, Drained { still_live: 0 });
    assert_eq!(world.carrier.count(), placed, "nothing left any more");
    assert!(world.carrier.cancels().is_empty(), "calls ended by themselves");
    assert_eq!(world.carrier.left_with(), [0], "the trunks are left once, after the last call");
    let record = world.record(batch).await;
    assert_eq!((record.state, record.totals.live), (BatchState::Active, 0));
    assert_eq!(record.totals.completed as usize, placed);
    world.check(batch).await;
    let reasons: Vec<_> = world
        .calls(batch)
        .await
        .into_iter()
        .flat_map(|c| c.attempts)
        .filter(|a| a.state == AttemptState::NotSent)
        .map(|a| a.reason.unwrap_or_default())
        .collect();
    assert_eq!(reasons, ["draining"]);

    // Another process goes on.
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(120)).await;
    assert_eq!(world.carrier.count(), 40);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_limit() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::NeverEnds);
    world.carrier.trick(1001, Trick::TalksUntilHungUp);
    let batch = world.batch(BatchSettings::default(), [1000, 1001]).await;
    let engine = world.engine(EngineConfig { drain_limit_ms: 20_000, ..EngineConfig::default() });
    world.wait("both talk", secs(5), async || world.carrier.live() == 2).await;
    let began = world.clock.monotonic();
    let drained = engine.stop().await;
    assert_eq!(drained, Drained { still_live: 1 });
    let took = world.clock.monotonic().since(began);
    assert_eq!(took, secs(20));
    // The one that could be ended was, and is recorded.
    assert_eq!(world.disposition(batch, 1001).await, Some(Disposition::Completed));
    assert_eq!(world.disposition(batch, 1000).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_drain_with_nothing_live_is_over_at_once() {
    let world = World::new().await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(secs(5)).await;
    let began = world.clock.monotonic();
    assert_eq!(engine.stop().await, Drained { still_live: 0 });
    assert_eq!(world.clock.monotonic(), began);
}
