//! Trunks: what passes between store and carrier, failover, and calls of a process that is gone.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::outcome::{CallEnd, Disposition};
use outdial_engine::EngineConfig;
use outdial_ports::Store;
use outdial_ports::store::{TrunkHealth, TrunkState};

use crate::carrier::Trick;
use crate::faulty::Faulty;
use crate::world::{World, sip_trunk};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn the_carrier_knows_its_trunks_before_the_first_call_and_when_they_change() {
    let mut world = World::new().await;
    let [trunk, _] = world.over_sip(2).await[..] else { panic!() };
    let batch = world.batch(BatchSettings::default(), [1000]).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("a call", secs(5), async || world.carrier.count() == 1).await;
    assert_eq!(world.carrier.trunks().len(), 1, "told once");
    assert_eq!(world.carrier.trunks()[0].len(), 3, "the simulated one, too");
    world.completed(batch, secs(60)).await;
    // Its use changes nothing of what the carrier is told.
    assert_eq!(world.carrier.trunks().len(), 1);

    let renamed = sip_trunk("another name");
    world.inline.trunk_update(world.workspace, trunk, None, renamed.clone()).await.unwrap();
    world.wait("told", secs(3), async || world.carrier.trunks().len() == 2).await;
    let changed = world.carrier.trunks()[1].iter().any(|t| t.spec.as_ref() == Some(&renamed));
    assert!(changed);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_carrier_finds_is_stored_and_no_call_goes_over_a_trunk_that_is_down() {
    let mut world = World::new().await;
    let [first, second] = world.over_sip(2).await[..] else { panic!() };
    let engine = world.engine(EngineConfig::default());
    world.wait("told", secs(3), async || world.carrier.trunks().len() == 1).await;
    let told = world.carrier.trunks()[0].clone();
    let health = |state, detail: &str| TrunkHealth {
        state,
        detail: Some(detail.to_owned()),
        since: Some(told[1].updated_at),
    };
    let updated = |id| told.iter().find(|t| t.id == id).unwrap().updated_at;
    let of = |trunk, state| (trunk, updated(trunk), health(state, "in words"));
    world.carrier.finds(vec![of(first, TrunkState::Down), of(second, TrunkState::Up)]);
    let stored = async || {
        let trunks = world.inline.trunk_list(world.workspace).await.unwrap();
        trunks.into_iter().map(|t| t.health.state).collect::<Vec<_>>()
    };
    let down = vec![TrunkState::Unknown, TrunkState::Down, TrunkState::Up];
    world.wait("stored", secs(3), async || stored().await == down).await;

    let batch = world.batch(BatchSettings::default(), 1000..1005).await;
    world.completed(batch, secs(60)).await;
    assert!(world.carrier.placed().iter().all(|p| p.order.trunk == second));

    world.carrier.finds(vec![of(first, TrunkState::Down), of(second, TrunkState::Down)]);
    let down = vec![TrunkState::Unknown, TrunkState::Down, TrunkState::Down];
    world.wait("stored", secs(3), async || stored().await == down).await;
    let batch = world.batch(BatchSettings::default(), 1005..1008).await;
    world.sleep(secs(20)).await;
    assert_eq!(world.carrier.count(), 5, "nothing goes out");
    world.carrier.finds(vec![of(first, TrunkState::Up), of(second, TrunkState::Down)]);
    world.completed(batch, secs(60)).await;
    assert!(world.carrier.placed()[5..].iter().all(|p| p.order.trunk == first));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_one_trunk_refuses_the_next_one_takes_at_once() {
    let mut world = World::new().await;
    let [first, second] = world.over_sip(2).await[..] else { panic!() };
    world.carrier.refuse(first, true);
    let batch = world.batch(BatchSettings::default(), [1000]).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    engine.stop().await;
    let placed = world.carrier.placed();
    let trunks: Vec<_> = placed.iter().map(|p| p.order.trunk).collect();
    assert_eq!(trunks, [first, second]);
    assert!(placed[1].at.since(placed[0].at) < secs(1), "at once");
    let call = world.call(batch, 1000).await;
    assert_eq!(call.disposition, Some(Disposition::Completed));
    let charged: Vec<bool> = call.attempts.iter().map(|a| a.charged).collect();
    assert_eq!(charged, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_told_to_the_carrier_when_it_is_stored() {
    let mut world = World::new().await;
    world.over_sip(1).await;
    world.carrier.trick(1000, Trick::TalksUntilHungUp);
    let batch = world.batch(BatchSettings::default(), [1000]).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("stored", secs(5), async || world.carrier.stored().len() == 1).await;
    let attempt = world.call(batch, 1000).await.attempts[0].id;
    let open = world.inline.attempt_fetch(attempt).await.unwrap().unwrap();
    assert_eq!(open.dialog, Some(format!("the dialog of {attempt}")));
    assert_eq!(world.carrier.stored(), [attempt]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_dead_process_are_taken_over_and_never_placed_again() {
    let mut world = World::new().await;
    world.over_sip(1).await;
    let fates = [
        (1001, Trick::TalksUntilHungUp, Some(CallEnd::CutOff)),
        (1002, Trick::TalksUntilHungUp, None),
        (1003, Trick::RingsUntilCancelled, Some(CallEnd::AnsweredThenDropped)),
        (1004, Trick::RingsUntilCancelled, Some(CallEnd::Canceled)),
        (1005, Trick::RingsUntilCancelled, None),
    ];
    for (callee, trick, fate) in fates {
        world.carrier.trick(callee, trick);
        fate.into_iter().for_each(|end| world.carrier.fate(callee, end));
    }
    let settings = BatchSettings { max_call_s: 100, ..BatchSettings::default() };
    let batch = world.batch(settings, 1001..1006).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("answered", secs(5), async || world.carrier.stored().len() == 2).await;
    world.sleep(secs(1)).await;
    engine.kill().await;
    world.carrier.forget_live();
    let crashed = world.clock_now();

    let another = Faulty::new(world.inline.another_process(&*world.entropy));
    let engine = world.engine_on(Arc::new(another), EngineConfig::default());
    world.wait("taken over", secs(10), async || world.carrier.taken_over().len() == 5).await;
    for orphan in world.carrier.taken_over() {
        let answered = orphan.callee.digits() % 10_000 <= 1002;
        assert_eq!(orphan.dialog.is_some(), answered);
        let state = if answered { AttemptState::Answered } else { AttemptState::Ringing };
        assert_eq!(orphan.state, state);
    }
    world.completed(batch, secs(300)).await;
    assert_eq!(world.carrier.taken_over().len(), 5, "each once");
    assert_eq!(world.carrier.count(), 5, "nothing is placed again");
    engine.stop().await;

    let came = |callee| {
        let world = &world;
        async move {
            let call = world.call(batch, callee).await;
            let [attempt] = &call.attempts[..] else { panic!("{call:?}") };
            let after = attempt.ended_at.unwrap().since(crashed);
            (call.disposition.unwrap(), attempt.reason.clone().unwrap(), after.as_secs())
        }
    };
    let (disposition, reason, after) = came(1001).await;
    assert_eq!((disposition, &*reason), (Disposition::Completed, "cut_off"));
    assert!(after <= 6, "{after}");
    // Until its session can be over: the longest talk, and the time of a transaction.
    let (disposition, reason, after) = came(1002).await;
    assert_eq!((disposition, &*reason), (Disposition::Unknown, "lost"));
    assert!((120..=140).contains(&after), "{after}");
    let (disposition, reason, _) = came(1003).await;
    assert_eq!((disposition, &*reason), (Disposition::Canceled, "answered_then_dropped"));
    let (disposition, reason, _) = came(1004).await;
    assert_eq!((disposition, &*reason), (Disposition::Canceled, "draining"));
    // Until it cannot ring any more, and the time of a transaction.
    let (disposition, _, after) = came(1005).await;
    assert_eq!(disposition, Disposition::Unknown);
    assert!((70..=85).contains(&after), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_trunk_that_is_made_while_it_runs_is_told_before_its_first_call() {
    let mut world = World::new().await;
    let engine = world.engine(EngineConfig::default());
    world.wait("told", secs(3), async || world.carrier.trunks().len() == 1).await;
    let [trunk] = world.over_sip(1).await[..] else { panic!() };
    let batch = world.batch(BatchSettings::default(), [1000]).await;
    world.wake.notify_one();
    world.completed(batch, secs(60)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 1);
    assert!(world.carrier.trunks()[1].iter().any(|t| t.id == trunk));
    assert!(world.carrier.knew_every_trunk());
}
