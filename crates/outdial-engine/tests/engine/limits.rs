//! Limits hold, and a node that does not know the time does not dial.

use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::settings::WorkspaceSettings;
use outdial_engine::EngineConfig;
use outdial_ports::store::PhonePatch;
use outdial_ports::{Clock, Store};

use crate::carrier::Trick;
use crate::faulty::Fault;
use crate::world::{World, settings as defaults};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn no_sliding_second_holds_more_than_cps() {
    let world = World::new().await;
    let patch = PhonePatch { calls_per_second: Some(Some(7.0)), ..PhonePatch::default() };
    world.inline.phone_update(world.workspace, world.phone, patch).await.unwrap();
    let batch = world.batch(BatchSettings::default(), 1000..1060).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    engine.stop().await;

    let sent: Vec<Duration> = world.carrier.placed().iter().map(|p| p.at.0).collect();
    assert_eq!(sent.len(), 60);
    let most = sent
        .iter()
        .map(|from| sent.iter().filter(|at| (*from..*from + secs(1)).contains(*at)).count())
        .max();
    assert_eq!(most, Some(7));
    // 60 at 7 in 1.1 s: the ninth window.
    let took = *sent.last().unwrap() - sent[0];
    assert!(took <= Duration::from_millis(8 * 1_100 + 200), "it dawdles: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn concurrency_of_channel_batch_workspace_and_node() {
    for limit in ["channels", "batch", "workspace", "node"] {
        let world = World::new().await;
        let mut settings = BatchSettings::default();
        let mut config = EngineConfig::default();
        match limit {
            "channels" => {
                let patch = PhonePatch { channels: Some(Some(4)), ..PhonePatch::default() };
                world.inline.phone_update(world.workspace, world.phone, patch).await.unwrap();
            }
            "batch" => settings.concurrency = Some(4),
            "workspace" => {
                let all = WorkspaceSettings { concurrency: Some(4), ..defaults() };
                world.inline.settings_update(world.workspace, None, all).await.unwrap();
            }
            _ => config.node_calls = 4,
        }
        let batch = world.batch(settings, 1000..1040).await;
        let engine = world.engine(config);
        world.completed(batch, secs(300)).await;
        assert_eq!(world.carrier.most_at_once(), 4, "{limit}");
        // Ten rounds of some nine seconds, not ten polls more.
        assert!(world.clock.monotonic().0 < secs(120), "{limit}: {:?}", world.clock.monotonic());
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_takes_no_more_than_its_limit() {
    let world = World::new().await;
    let batch = world.batch(BatchSettings::default(), 1000..1050).await;
    let engine = world.engine(EngineConfig { turn_limit: 8, ..EngineConfig::default() });
    world.wait("all placed", secs(2), async || world.carrier.count() == 50).await;
    assert!(world.store.calls("attempt_commit_intents") >= 7);
    world.completed(batch, secs(60)).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_dialing_while_the_database_is_slow_to_tell_the_time() {
    let world = World::new().await;
    world.store.fail("dispatch_head", Fault::Slow(Duration::from_millis(51)), u32::MAX);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(secs(30)).await;
    assert_eq!(world.carrier.count(), 0);
    assert_eq!(world.store.calls("attempt_commit_intents"), 0);

    world.store.fail("dispatch_head", Fault::Slow(Duration::from_millis(40)), u32::MAX);
    world.completed(batch, secs(60)).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_wall_clock_stops_dialing_for_a_minute() {
    for by in [3_600_000, -3_600_000] {
        let world = World::new().await;
        let settings = BatchSettings { concurrency: Some(2), ..BatchSettings::default() };
        let batch = world.batch(settings, 1000..1030).await;
        let engine = world.engine(EngineConfig::default());
        world.wait("begun", secs(30), async || world.carrier.count() >= 5).await;
        world.clock.jump(by);
        let jumped = world.clock.monotonic();
        world.sleep(secs(55)).await;
        let during = world.carrier.placed();
        let late: Vec<_> = during.iter().filter(|p| p.at.since(jumped) > secs(1)).collect();
        assert!(late.is_empty(), "{late:?}");
        world.completed(batch, secs(2 * 3600)).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_given_by_a_clock_that_was_ahead_ends_when_it_is_set_back() {
    let world = World::new().await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(secs(1)).await;
    world.clock.jump(DAY_MS);
    // Seen within a minute, and then a minute of rest.
    world.sleep(secs(130)).await;
    // 503 with `Retry-After`.
    world.batch(BatchSettings::default(), [1095]).await;
    let paused = async || {
        let head = world.inline.dispatch_head(world.workspace, None).await.unwrap();
        head.trunks[0].paused_until.is_some()
    };
    world.wait("the trunk is paused", secs(30), paused).await;
    world.clock.jump(-DAY_MS);
    let batch = world.batch(BatchSettings::default(), [1001]).await;
    world.completed(batch, secs(180)).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_for_a_while_makes_nobody_be_called_too_often() {
    // Beyond the 24 h for long enough to be believed; beyond everything for less.
    for (ahead, lasts) in [(30 * HOUR_MS, secs(300)), (10 * DAY_MS, secs(50))] {
        let world = World::new().await;
        let once = WorkspaceSettings { attempts_24h: Some(1), ..defaults() };
        world.inline.settings_update(world.workspace, None, once).await.unwrap();
        let first = world.batch(BatchSettings::default(), [1001]).await;
        let engine = world.engine(EngineConfig { prune_ms: 1_000, ..EngineConfig::default() });
        world.completed(first, secs(60)).await;
        world.clock.jump(ahead);
        world.sleep(lasts).await;
        world.clock.jump(-ahead);
        world.batch(BatchSettings::default(), [1001, 1002]).await;
        world.sleep(secs(300)).await;
        let placed = world.carrier.placed();
        let callees: Vec<u64> = placed.iter().map(|p| p.order.callee.digits() % 10_000).collect();
        assert_eq!(callees, [1001, 1002], "{ahead}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_drops_out_at_the_commit_costs_no_second() {
    let world = World::new().await;
    let once = WorkspaceSettings { attempts_24h: Some(1), ..defaults() };
    world.inline.settings_update(world.workspace, None, once).await.unwrap();
    let first = world.batch(BatchSettings::default(), 1000..1020).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(first, secs(60)).await;
    // One at a time, and twenty of them were called already.
    let settings = BatchSettings { concurrency: Some(1), ..BatchSettings::default() };
    world.batch(settings, (1000..1020).chain([1030])).await;
    world.wait("the last is called", secs(3), async || world.carrier.count() == 21).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_added_right_after_a_look_at_the_groups_is_seen_soon() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::TalksUntilHungUp);
    world.batch(BatchSettings::default(), [1000]).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("the first is called", secs(2), async || world.carrier.count() == 1).await;
    world.sleep(Duration::from_millis(300)).await;
    world.wake.notify_one();
    world.sleep(Duration::from_millis(30)).await;
    world.batch(BatchSettings::default(), [1001]).await;
    world.wake.notify_one();
    let soon = Duration::from_millis(250);
    world.wait("the second is called", soon, async || world.carrier.count() == 2).await;
    engine.stop().await;
}
