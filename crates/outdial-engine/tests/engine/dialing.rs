//! Calls are placed as they should be.

use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::hours::CallingHours;
use outdial_core::outcome::Disposition;
use outdial_core::time::Timestamp;
use outdial_engine::EngineConfig;
use outdial_ports::Clock;

use crate::world::World;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[tokio::test(start_paused = true)]
async fn every_ending_comes_to_its_end() {
    let world = World::new().await;
    let settings = BatchSettings { retry: 2, delay_s: 60, ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1100).await;
    let engine = world.engine(EngineConfig::default());
    let record = world.completed(batch, secs(600)).await;
    assert_eq!((record.totals.total, record.totals.completed), (100, 71));

    for call in world.calls(batch).await {
        let ending = call.phone.digits() % 100;
        use Disposition as D;
        let (disposition, sent) = match ending {
            0..=69 => (D::Completed, 1),
            70..=79 => (D::NoAnswer, 3),
            80..=84 => (D::Busy, 3),
            85..=89 => (D::Rejected, 1),
            90..=92 => (D::Voicemail, 1),
            93..=95 => (D::Failed, 5),
            96 => (D::InvalidNumber, 1),
            97 => (D::Unknown, 1),
            98 => (D::Canceled, 1),
            _ => (D::Completed, 3),
        };
        assert_eq!(call.disposition, Some(disposition), "{ending:02}");
        let not_sent = call.attempts.iter().filter(|a| a.state == AttemptState::NotSent).count();
        assert_eq!(call.attempts.len() - not_sent, sent, "{ending:02}: {:#?}", call.attempts);
        for pair in call.attempts.windows(2).filter(|p| p[0].charged) {
            let gap = pair[1].send_at.since(pair[0].ended_at.unwrap());
            assert!(gap >= secs(60) && gap < secs(64), "{ending:02}: retried after {gap:?}");
        }
    }
    let drained = engine.stop().await;
    assert_eq!(drained.still_live, 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let mut traces = Vec::new();
    for _ in 0..2 {
        let world = World::new().await;
        let settings = BatchSettings { retry: 1, delay_s: 5, ..BatchSettings::default() };
        let batch = world.batch(settings, 1000..1100).await;
        let engine = world.engine(EngineConfig::default());
        world.completed(batch, secs(600)).await;
        engine.stop().await;
        let placed = world.carrier.placed().into_iter();
        traces.push(
            placed
                .map(|p| (p.at, p.order.attempt, p.order.token, p.order.callee))
                .collect::<Vec<_>>(),
        );
    }
    assert!(traces[0].len() > 100);
    assert_eq!(traces[0], traces[1]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_starts_at_once_and_polling_within_a_second() {
    let world = World::new().await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(secs(3)).await;

    let at = world.clock.monotonic();
    let batch = world.batch(BatchSettings::default(), [1000]).await;
    world.wake.notify_one();
    world.wait("placed", secs(1), async || world.carrier.count() == 1).await;
    let took = world.carrier.placed()[0].at.since(at);
    assert!(took <= Duration::from_millis(100), "{took:?}");

    // Nobody gives a hint.
    let at = world.clock.monotonic();
    world.add(batch, [1001]).await;
    world.wait("placed", secs(4), async || world.carrier.count() == 2).await;
    let took = world.carrier.placed()[1].at.since(at);
    assert!(took <= Duration::from_millis(2_100), "{took:?}");
    world.completed(batch, secs(60)).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_outside_hours() {
    let world = World::new().await;
    // Opens in five minutes, for five.
    let hours = CallingHours::new(Some(("15:05", "15:10")), None).unwrap();
    let settings =
        BatchSettings { calling_hours: hours, concurrency: Some(1), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1060).await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(secs(660)).await;
    let at = |ms: i64| Timestamp::from_millis(World::START + ms);
    let sent: Vec<Timestamp> = world
        .carrier
        .placed()
        .iter()
        .map(|p| at(i64::try_from(p.at.0.as_millis()).unwrap()))
        .collect();
    assert!(sent.len() > 20 && sent.len() < 60, "{}", sent.len());
    assert!(sent[0] >= at(300_000) && sent[0] < at(300_300), "{}", sent[0]);
    assert!(*sent.last().unwrap() < at(600_000), "{:?}", sent.last());
    world.check(batch).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_number_in_two_batches_is_not_called_twice_at_once() {
    let world = World::new().await;
    let one = world.batch(BatchSettings::default(), 1000..1010).await;
    let two = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(one, secs(120)).await;
    world.completed(two, secs(120)).await;
    assert_eq!(world.carrier.count(), 20);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_carrier_says_twice_counts_once() {
    let world = World::new().await;
    for callee in [1000, 1070, 1093] {
        world.carrier.trick(callee, crate::carrier::Trick::Stutters);
    }
    world.carrier.trick(1001, crate::carrier::Trick::Vanishes);
    let batch = world.batch(BatchSettings::default(), [1000, 1001, 1070, 1093]).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(120)).await;
    assert_eq!(world.disposition(batch, 1000).await, Some(Disposition::Completed));
    assert_eq!(world.disposition(batch, 1001).await, Some(Disposition::Unknown));
    assert_eq!(world.disposition(batch, 1070).await, Some(Disposition::NoAnswer));
    engine.stop().await;
}
