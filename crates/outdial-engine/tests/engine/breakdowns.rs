//! The store, a runner or a loop breaks down: nothing is placed twice, no result is lost.

use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::outcome::Disposition;
use outdial_core::settings::WorkspaceSettings;
use outdial_engine::{EngineConfig, TaskResult};
use outdial_ports::Store;

use crate::carrier::Trick;
use crate::faulty::Fault;
use crate::world::{World, settings};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_comes_back_too_late_is_not_sent() {
    let world = World::new().await;
    world.store.fail("attempt_commit_intents", Fault::Slow(Duration::from_millis(400)), 1);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 10);
    for call in world.calls(batch).await {
        let states: Vec<_> = call.attempts.iter().map(|a| a.state).collect();
        assert_eq!(states, [AttemptState::NotSent, AttemptState::Ended]);
        assert_eq!(call.attempts[0].reason.as_deref(), Some("late"));
        assert_eq!((call.facts.charged, call.facts.uncharged), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn lead_grows_with_the_latency_of_commits() {
    let world = World::new().await;
    world.store.fail("attempt_commit_intents", Fault::Slow(Duration::from_millis(45)), u32::MAX);
    let settings = BatchSettings { concurrency: Some(5), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1060).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(300)).await;
    engine.stop().await;
    let not_sent = |c: &outdial_ports::store::CallView| c.attempts.len() > 1;
    let late = world.calls(batch).await.into_iter().filter(not_sent).count();
    assert_eq!(late, 0, "45 ms fit into a slot of 100 ms");
}

#[tokio::test(start_paused = true)]
async fn a_stale_plan_places_nothing_and_is_made_again() {
    let world = World::new().await;
    // While the commit is on its way, somebody changes the settings.
    world.store.fail("attempt_commit_intents", Fault::Slow(Duration::from_millis(20)), 1);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world
        .wait("a commit is on its way", secs(2), async || {
            world.store.calls("attempt_commit_intents") == 1
        })
        .await;
    let settings = WorkspaceSettings { concurrency: Some(3), ..settings() };
    world.inline.settings_update(world.workspace, None, settings).await.unwrap();
    world.completed(batch, secs(120)).await;
    engine.stop().await;
    assert_eq!(world.carrier.most_at_once(), 3, "the plan for ten was not committed");
    for call in world.calls(batch).await {
        assert_eq!(call.attempts.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_to_the_commit_nothing_is_sent_and_the_calls_are_given_back() {
    for (fault, attempts) in [(Fault::AnswerLost, 2), (Fault::NeverArrived, 1)] {
        let world = World::new().await;
        world.store.fail("attempt_commit_intents", fault, 1);
        let batch = world.batch(BatchSettings::default(), 1000..1010).await;
        let engine = world.engine(EngineConfig::default());
        world.completed(batch, secs(60)).await;
        engine.stop().await;
        assert_eq!(world.carrier.count(), 10, "{fault:?}");
        for call in world.calls(batch).await {
            assert_eq!(call.attempts.len(), attempts, "{fault:?}: {:#?}", call.attempts);
            if attempts == 2 {
                assert_eq!(call.attempts[0].state, AttemptState::NotSent);
                assert_eq!(call.attempts[0].reason.as_deref(), Some("commit_unknown"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_the_calls_of_a_batch_deleted_meanwhile_are_given_back_too() {
    let world = World::new().await;
    world.store.fail("attempt_commit_intents", Fault::AnswerLost, 1);
    world.store.fail("call_fetch", Fault::Unavailable, u32::MAX);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    let looked = async || world.store.calls("call_fetch") > 0;
    world.wait("looked up", secs(5), looked).await;
    assert!(world.inline.batch_delete(world.workspace, batch).await.unwrap());
    assert_eq!(world.inline.live_list_recalled().await.unwrap().len(), 10);
    world.store.heal();
    let free = async || world.inline.live_list_recalled().await.unwrap().is_empty();
    world.wait("given back", secs(20), free).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 0, "none was sent");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_takes_effect_minutes_after_its_answer_was_lost_is_given_back() {
    let (world, before) = (World::new().await, World::new().await);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    assert_eq!(before.batch(BatchSettings::default(), 1000..1010).await, batch, "the same ids");
    before.inline.node_join(crate::world::node()).await.unwrap();
    world.store.fail("attempt_commit_intents", Fault::AnswerLost, 1);
    let engine = world.engine(EngineConfig::default());
    let committed = async || world.store.calls("attempt_commit_intents") == 1;
    world.wait("committed", secs(5), committed).await;
    // Nobody sees it yet, and it holds up those behind it.
    world.store.put_back(&before.inline);
    world.store.fail("attempt_commit_intents", Fault::Unavailable, u32::MAX);
    world.sleep(secs(300)).await;
    world.store.put_back(&world.inline);
    world.store.heal();
    world.completed(batch, secs(180)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 10);
    for call in world.calls(batch).await {
        let states: Vec<_> = call.attempts.iter().map(|a| a.state).collect();
        assert_eq!(states, [AttemptState::NotSent, AttemptState::Ended]);
    }
}

#[tokio::test(start_paused = true)]
async fn results_survive_a_store_that_is_away() {
    for operation in ["attempt_finish", "attempt_fetch"] {
        let world = World::new().await;
        let settings = BatchSettings { concurrency: Some(10), ..BatchSettings::default() };
        let batch = world.batch(settings, 1000..1020).await;
        let engine = world.engine(EngineConfig::default());
        world.wait("begun", secs(5), async || world.carrier.count() == 10).await;
        world.store.fail(operation, Fault::Unavailable, u32::MAX);
        world.sleep(secs(60)).await;
        assert_eq!((world.carrier.live(), world.carrier.count()), (0, 10), "no channel is free");
        world.store.heal();
        world.completed(batch, secs(60)).await;
        engine.stop().await;
        for call in world.calls(batch).await {
            assert_eq!(call.disposition, Some(Disposition::Completed));
            let [attempt] = &call.attempts[..] else { panic!("{:#?}", call.attempts) };
            let took = attempt.ended_at.unwrap().since(attempt.sent_at.unwrap());
            assert!(took < secs(13), "it ended then, not when it was recorded: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_whose_recording_was_not_acknowledged_is_recorded_once() {
    let world = World::new().await;
    world.store.fail("attempt_finish", Fault::AnswerLost, 5);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    let record = world.completed(batch, secs(60)).await;
    assert_eq!((record.totals.completed, record.totals.picked), (10, 10));
    assert_eq!(world.carrier.count(), 10);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn everything_away_for_a_while() {
    let world = World::new().await;
    let settings = BatchSettings { concurrency: Some(10), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1040).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("begun", secs(5), async || world.carrier.count() == 10).await;
    let all = [
        "dispatch_workspaces",
        "dispatch_head",
        "dispatch_groups",
        "dispatch_candidates",
        "attempt_commit_intents",
        "attempt_record",
        "attempt_fetch",
        "attempt_finish",
        "attempt_list_orphaned",
        "live_list_recalled",
        "batch_expire_due",
        "batch_close_due",
        "request_prune",
        "limits_prune",
    ];
    for operation in all {
        world.store.fail(operation, Fault::Unavailable, u32::MAX);
    }
    world.sleep(secs(120)).await;
    let failing = engine.board.list();
    assert!(failing.iter().any(|t| matches!(t.last_result, TaskResult::Failed { .. })));
    world.store.heal();
    world.completed(batch, secs(120)).await;
    world.sleep(secs(60)).await;
    let healed = engine.board.list();
    let well = healed.iter().all(|t| matches!(t.last_result, TaskResult::Done { .. }));
    assert!(well && healed.len() >= 9, "{healed:#?}");
    engine.stop().await;
    assert_eq!(world.carrier.count(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_panics_takes_nobody_with_it() {
    let world = World::new().await;
    world.carrier.trick(1003, Trick::PlacePanics);
    world.carrier.trick(1007, Trick::PlacePanics);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    let record = world.completed(batch, secs(60)).await;
    assert_eq!(record.totals.completed, 8);
    assert_eq!(world.disposition(batch, 1003).await, Some(Disposition::Unknown));
    let call = world.call(batch, 1007).await;
    assert_eq!(call.attempts.len(), 1, "{:#?}", call.attempts);
    assert_eq!(call.attempts[0].state, AttemptState::Unknown);
    assert!(call.attempts[0].charged);
    assert_eq!(engine.stop().await.still_live, 0);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_panics_with_a_call_hangs_it_up() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::BreaksItsRunner);
    let batch = world.batch(BatchSettings::default(), [1000, 1001]).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    let attempt = world.call(batch, 1000).await.attempts[0].id;
    assert_eq!(world.carrier.cancels(), [attempt], "nobody else would have ended it");
    assert_eq!(world.disposition(batch, 1000).await, Some(Disposition::Unknown));
    assert_eq!(world.disposition(batch, 1001).await, Some(Disposition::Completed));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_panics_while_it_records_is_resolved() {
    let world = World::new().await;
    world.store.fail("attempt_finish", Fault::Panic, 2);
    let batch = world.batch(BatchSettings::default(), 1000..1003).await;
    let engine = world.engine(EngineConfig::default());
    let record = world.completed(batch, secs(60)).await;
    assert_eq!(record.totals.completed, 1);
    assert_eq!(world.carrier.count(), 3);
    assert_eq!(engine.stop().await.still_live, 0);
}

#[tokio::test(start_paused = true)]
async fn loops_that_panic_go_on() {
    let world = World::new().await;
    for operation in [
        "dispatch_workspaces",
        "dispatch_head",
        "dispatch_groups",
        "dispatch_candidates",
        "batch_close_due",
        "live_list_recalled",
        "attempt_list_orphaned",
        "request_prune",
    ] {
        world.store.fail(operation, Fault::Panic, 2);
    }
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    assert_eq!(world.carrier.count(), 10);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_that_panics_in_its_commit_leaves_no_attempt_behind() {
    let world = World::new().await;
    world.store.fail("attempt_commit_intents", Fault::Panic, 1);
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    assert_eq!(world.carrier.count(), 10);
    engine.stop().await;
}
