//! Budgets, brakes, canaries and caps hold; every limit can be changed while calls run, holds
//! within a second, and cuts no live call.

use std::time::Duration;

use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::brake::BrakeSettings;
use outdial_core::budget::Budget;
use outdial_core::hours::CallingHours;
use outdial_core::id::BatchId;
use outdial_core::settings::WorkspaceSettings;
use outdial_engine::EngineConfig;
use outdial_ports::Store;
use outdial_ports::store::{BatchPatch, BatchStart, PhonePatch};

use crate::carrier::Trick;
use crate::world::{World, settings as workspace};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

async fn set(world: &World, batch: BatchId, settings: BatchSettings) {
    let patch = BatchPatch { settings: Some(settings), ..BatchPatch::default() };
    world.inline.batch_update(world.workspace, batch, patch).await.unwrap();
}

async fn paused(world: &World, batch: BatchId, why: PauseReason) {
    world
        .wait("it is paused", secs(120), async || {
            world.record(batch).await.state == BatchState::Paused
        })
        .await;
    assert_eq!(world.record(batch).await.pause_reason, Some(why));
}

async fn start(world: &World, batch: BatchId) {
    world.inline.batch_start(world.workspace, batch, BatchStart::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_pauses_and_a_larger_one_goes_on() {
    let world = World::new().await;
    let budget = Budget { seconds: Some(60), ..Budget::default() };
    let settings =
        BatchSettings { budget: Some(budget), max_call_s: 20, ..BatchSettings::default() };
    let batch = world.batch(settings.clone(), 1000..1040).await;
    let engine = world.engine(EngineConfig::default());
    paused(&world, batch, PauseReason::Budget).await;
    assert!(world.carrier.most_at_once() <= 3, "twenty seconds are reserved for each");
    let spent = async || {
        let head = world.inline.dispatch_head(world.workspace, Some(batch)).await.unwrap();
        head.batches[0].spent.seconds
    };
    assert!((41..=60).contains(&spent().await), "{}", spent().await);
    world.sleep(secs(60)).await;
    assert_eq!(world.record(batch).await.state, BatchState::Paused);
    set(&world, batch, BatchSettings { budget: None, ..settings }).await;
    start(&world, batch).await;
    world.completed(batch, secs(60)).await;
    assert_eq!(world.carrier.count(), 40);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_brake_pauses_and_a_start_goes_on() {
    let world = World::new().await;
    let brakes = BrakeSettings { min_attempts: 10, ..BrakeSettings::default() };
    let settings = WorkspaceSettings { brakes, ..workspace() };
    world.inline.settings_update(world.workspace, None, settings).await.unwrap();
    let settings = BatchSettings { concurrency: Some(4), ..BatchSettings::default() };
    // All of them are rejected.
    let numbers = (0..10).flat_map(|n| 1085 + 100 * n..1090 + 100 * n);
    let batch = world.batch(settings, numbers).await;
    let engine = world.engine(EngineConfig::default());
    paused(&world, batch, PauseReason::Failures).await;
    world.sleep(secs(60)).await;
    let count = world.carrier.count();
    assert!((20..=24).contains(&count), "{count}");
    start(&world, batch).await;
    world.wait("it goes on", secs(5), async || world.carrier.count() > count).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_goes_first() {
    let world = World::new().await;
    let settings = BatchSettings { canary: Some(5), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1040).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("the canary", secs(5), async || world.carrier.count() == 5).await;
    world.wait("all the others", secs(60), async || world.carrier.count() > 5).await;
    assert!(world.record(batch).await.totals.completed >= 5);
    world.completed(batch, secs(60)).await;
    assert_eq!(world.carrier.most_at_once(), 35);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_number_has_its_day_and_a_person_24_hours_over_all_batches() {
    let world = World::new().await;
    let settings = WorkspaceSettings { attempts_24h: Some(1), ..workspace() };
    world.inline.settings_update(world.workspace, None, settings).await.unwrap();
    let patch = PhonePatch { calls_per_day: Some(Some(12)), ..PhonePatch::default() };
    world.inline.phone_update(world.workspace, world.phone, patch).await.unwrap();
    let one = world.batch(BatchSettings::default(), 1000..1010).await;
    let two = world.batch(BatchSettings::default(), 1005..1020).await;
    let minute = 60_000;
    // Days pass: polls that find nothing are left out.
    let engine = world.engine(EngineConfig {
        supervise_ms: minute,
        groups_ms: minute,
        recall_ms: minute,
        close_ms: minute,
        resolve_ms: minute,
        ..EngineConfig::default()
    });
    world.sleep(secs(3600)).await;
    assert_eq!(world.carrier.count(), 12, "the number's day");
    world.completed(one, secs(2 * 86_400)).await;
    world.completed(two, secs(3 * 86_400)).await;
    let placed = world.carrier.placed();
    assert_eq!(placed.len(), 25);
    for (i, call) in placed.iter().enumerate() {
        let before = placed[..i].iter().rfind(|p| p.order.callee == call.order.callee);
        let gap = before.map(|p| call.at.since(p.at));
        assert!(gap.is_none_or(|gap| gap + Duration::from_millis(200) >= secs(86_400)), "{gap:?}");
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lowered_limits_hold_within_a_second_and_cut_nothing() {
    let closed = CallingHours::new(Some(("01:00", "02:00")), None).unwrap();
    for limit in ["cps", "channels", "concurrency", "workspace", "budget", "hours"] {
        let world = World::new().await;
        for callee in 1000..1500 {
            world.carrier.trick(callee, Trick::TalksUntilHungUp);
        }
        // Twenty a second, until it is turned down.
        let patch = PhonePatch { calls_per_second: Some(Some(20.0)), ..PhonePatch::default() };
        world.inline.phone_update(world.workspace, world.phone, patch).await.unwrap();
        let settings = BatchSettings::default();
        let batch = world.batch(settings.clone(), 1000..1500).await;
        let engine = world.engine(EngineConfig { drain_limit_ms: 1_000, ..Default::default() });
        world.wait("under way", secs(20), async || world.carrier.count() >= 30).await;
        let line = |cps, channels| PhonePatch {
            calls_per_second: Some(cps),
            channels: Some(channels),
            ..PhonePatch::default()
        };
        let ws = world.workspace;
        match limit {
            "cps" => drop(world.inline.phone_update(ws, world.phone, line(Some(0.1), None)).await),
            "channels" => {
                drop(world.inline.phone_update(ws, world.phone, line(Some(20.0), Some(2))).await);
            }
            "concurrency" => {
                set(&world, batch, BatchSettings { concurrency: Some(2), ..settings }).await;
            }
            "workspace" => {
                let settings = WorkspaceSettings { concurrency: Some(2), ..workspace() };
                world.inline.settings_update(ws, None, settings).await.unwrap();
            }
            "budget" => {
                let budget = Some(Budget { seconds: Some(600), ..Budget::default() });
                set(&world, batch, BatchSettings { budget, ..settings }).await;
            }
            _ => {
                let calling_hours = closed.clone();
                set(&world, batch, BatchSettings { calling_hours, ..settings }).await;
            }
        }
        world.wake.notify_one();
        world.sleep(secs(1)).await;
        let count = world.carrier.count();
        world.sleep(secs(8)).await;
        let more = world.carrier.count() - count;
        assert!(more <= usize::from(limit == "cps"), "{limit}: {more} left after a second");
        assert_eq!(world.carrier.live(), count + more, "{limit}: none is cut");
        assert!(world.carrier.cancels().is_empty(), "{limit}");
        engine.stop().await;
    }
}
