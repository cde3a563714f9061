//! Who is not to be called any more is not called: do-not-call, cancel-call, expiry.

use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::call::CallState;
use outdial_core::id::BatchId;
use outdial_core::outcome::Disposition;
use outdial_engine::EngineConfig;
use outdial_ports::store::{CallCanceled, NewDnc, PhonePatch};
use outdial_ports::{Clock, Store};

use crate::carrier::Trick;
use crate::world::World;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A recall that waits for its period comes too late for these tests.
fn hinted() -> EngineConfig {
    EngineConfig { recall_ms: 3_600_000, ..EngineConfig::default() }
}

/// Lists a number that was called in this batch.
async fn list(world: &World, batch: BatchId, callee: u64) {
    let call = world.call(batch, callee).await;
    let new = NewDnc { phone: call.phone, batch, token: call.attempts[0].token, kind: None };
    world.inline.dnc_add(world.workspace, new).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn do_not_call_takes_back_what_rings_in_every_batch_at_once() {
    let world = World::new().await;
    for callee in [1000, 1001] {
        world.carrier.trick(callee, Trick::RingsUntilCancelled);
    }
    let settings = BatchSettings { retry: 3, delay_s: 1, ..BatchSettings::default() };
    let batch = world.batch(settings.clone(), [1000, 1001]).await;
    let engine = world.engine(hinted());
    world.wait("both ring", secs(5), async || world.carrier.live() == 2).await;
    // The other batch wants the same person.
    let other = world.batch(settings, [1000]).await;
    list(&world, batch, 1000).await;
    world.wake.notify_one();
    world
        .wait("cancelled", Duration::from_millis(100), async || !world.carrier.cancels().is_empty())
        .await;
    world.completed(other, secs(5)).await;
    assert_eq!(world.disposition(other, 1000).await, Some(Disposition::Skipped));
    world.sleep(secs(30)).await;
    assert_eq!(world.carrier.cancels().len(), 1, "the one that is not listed rings on");
    assert_eq!(world.call(batch, 1000).await.state, CallState::Finished);
    assert_eq!(world.carrier.count(), 2);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_not_left_does_not_leave() {
    for listed in [true, false] {
        let world = World::new().await;
        // Slots are spread, so that some are committed and have not left.
        let patch = PhonePatch { calls_per_second: Some(Some(0.9)), ..PhonePatch::default() };
        world.inline.phone_update(world.workspace, world.phone, patch).await.unwrap();
        let batch = world.batch(BatchSettings::default(), 1000..1020).await;
        let engine = world.engine(hinted());
        world.wait("begun", secs(5), async || world.carrier.count() == 2).await;
        let waiting = async || {
            let calls = world.calls(batch).await;
            calls.into_iter().find(|c| {
                c.attempts.iter().any(|a| a.state == AttemptState::Intent)
                    && c.attempts.iter().all(|a| a.send_at > world.clock.now())
            })
        };
        let often = Duration::from_millis(1);
        let until = world.clock.monotonic().after(secs(20));
        let call = loop {
            if let Some(call) = waiting().await {
                break call;
            }
            assert!(world.clock.monotonic() < until, "none is committed ahead");
            world.sleep(often).await;
        };
        let callee = call.phone.digits() % 10_000;
        if listed {
            list(&world, batch, callee).await;
        } else {
            let canceled = world.inline.call_cancel(world.workspace, call.id).await.unwrap();
            assert_eq!(canceled, Some(CallCanceled::Recalled));
        }
        world.wake.notify_one();
        world.completed(batch, secs(120)).await;
        let placed = world.carrier.placed();
        let left = placed.iter().find(|p| p.order.callee == call.phone);
        assert!(left.is_none(), "{listed} {left:?}");
        assert_eq!(placed.len(), 19);
        let wanted = if listed { Disposition::Skipped } else { Disposition::Canceled };
        assert_eq!(world.disposition(batch, callee).await, Some(wanted));
        let state = world.call(batch, callee).await.attempts[0].state;
        assert_eq!(state, AttemptState::NotSent);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancel_call_lets_talk_end_and_tries_nobody_again() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::TalksUntilHungUp);
    world.carrier.trick(1001, Trick::RingsUntilCancelled);
    let settings = BatchSettings { retry: 3, delay_s: 1, ..BatchSettings::default() };
    let batch = world.batch(settings, [1000, 1001, 1085]).await;
    let engine = world.engine(EngineConfig::default());
    world
        .wait("both are on the phone", secs(5), async || {
            world.call(batch, 1000).await.attempts.iter().any(|a| a.answered_at.is_some())
        })
        .await;
    for callee in [1000, 1001] {
        let id = world.call(batch, callee).await.id;
        let canceled = world.inline.call_cancel(world.workspace, id).await.unwrap();
        assert_eq!(canceled, Some(CallCanceled::Recalled));
    }
    let ringing = world.call(batch, 1001).await.attempts[0].id;
    world.wait("recalled", secs(2), async || world.carrier.cancels() == [ringing]).await;
    world.sleep(secs(30)).await;
    assert_eq!(world.carrier.live(), 1, "who talks may go on");
    assert_eq!(world.disposition(batch, 1001).await, Some(Disposition::Canceled));
    assert_eq!(world.carrier.count(), 3);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_expires() {
    let world = World::new().await;
    let settings = BatchSettings {
        concurrency: Some(2),
        expires_at: Some(world.clock.now().after(secs(15))),
        retry: 5,
        delay_s: 1,
        ..BatchSettings::default()
    };
    let batch = world.batch(settings, (1000..1010).chain(1070..1075)).await;
    let engine = world.engine(EngineConfig::default());
    let began = world.clock.now();
    world.completed(batch, secs(90)).await;
    let calls = world.calls(batch).await;
    let expired = calls.iter().filter(|c| c.disposition == Some(Disposition::Expired)).count();
    assert!(expired >= 5, "{expired}");
    let late = began.after(secs(15));
    let sent = calls.iter().flat_map(|c| &c.attempts).filter_map(|a| a.sent_at);
    assert!(sent.max().is_some_and(|at| at < late), "one left after the end");
    engine.stop().await;
}
