//! A node among others: one that the database has not heard of, whose clock or whose database's
//! clock is off, in whose name another runs, or whose calls another has taken over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::attempt::AttemptState;
use outdial_core::batch::BatchSettings;
use outdial_core::id::{AttemptId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_engine::{EngineConfig, MemoryWatermark, Ports, TaskStatus};
use outdial_ports::{Mark, Noted, Store, Watermark, WatermarkError};

use crate::carrier::Trick;
use crate::faulty::{Fault, Faulty, Peer};
use crate::world::{Running, World, node};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn runs(engine: &Running, task: &str) -> u64 {
    let found = engine.board.list().into_iter().find(|t: &TaskStatus| t.name == task);
    found.map_or(0, |t| t.runs)
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_heard_of_dials_nobody_and_goes_on_when_it_is() {
    let world = World::new().await;
    let settings = BatchSettings { concurrency: Some(2), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1200).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("it dials", secs(60), async || world.carrier.count() >= 4).await;
    let before = world.store.calls("node_beat");
    world.store.fail("node_beat", Fault::Unavailable, u32::MAX);
    world.wait("a beat fails", secs(10), async || world.store.calls("node_beat") > before).await;
    // The latest that was acknowledged is at most 5 s old.
    world.sleep(secs(15)).await;
    let silent = world.carrier.count();
    world.sleep(secs(60)).await;
    assert_eq!(world.carrier.count(), silent, "nothing leaves");
    assert_eq!(world.record(batch).await.totals.live, 0, "and what was live has ended");
    world.store.heal();
    world.wait("it dials again", secs(30), async || world.carrier.count() > silent).await;
    engine.stop().await;
    world.check(batch).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_before_a_long_stop_does_not_leave_after_it() {
    let world = World::new().await;
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    // The plan is committed, and the answer comes when the node has not been heard of for long: as
    // if the process had been stopped and went on.
    world.store.fail("attempt_commit_intents", Fault::Slow(secs(20)), 1);
    let engine = world.engine(EngineConfig { beat_ms: 3_600_000, ..EngineConfig::default() });
    world.sleep(secs(40)).await;
    assert_eq!(world.carrier.count(), 0);
    for call in world.calls(batch).await {
        assert_eq!(call.attempts.len(), 1);
        let attempt = &call.attempts[0];
        assert_eq!(attempt.state, AttemptState::NotSent);
        assert_eq!(attempt.reason.as_deref(), Some("unheard"));
        assert_eq!(call.facts.charged, 0);
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_process_in_its_name_ends_it() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::TalksUntilHungUp);
    let settings = BatchSettings { concurrency: Some(1), ..BatchSettings::default() };
    world.batch(settings, 1000..1010).await;
    let config = EngineConfig { drain_limit_ms: 8_000, ..EngineConfig::default() };
    let engine = world.engine(config);
    world.wait("on the phone", secs(5), async || world.carrier.live() == 1).await;
    let next = world.inline.another_process(&*world.entropy);
    next.node_join(node()).await.unwrap();
    world.wait("it ends by itself", secs(30), async || engine.is_over()).await;
    assert_eq!(world.carrier.count(), 1, "nothing more left");
    assert_eq!(world.carrier.live(), 0, "what was live is hung up at the end");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_another_node_took_over_is_hung_up_and_ends_as_told_there() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::TalksUntilHungUp);
    let settings = BatchSettings { concurrency: Some(1), ..BatchSettings::default() };
    let batch = world.batch(settings, [1000]).await;
    // Its answer cannot be recorded before the other has taken it over.
    world.store.fail("attempt_record", Fault::Unavailable, 2);
    let engine = world.engine(EngineConfig::default());
    world.wait("placed", secs(5), async || world.carrier.count() == 1).await;
    let other = world.inline.another_process(&*world.entropy);
    let orphans = other.attempt_list_orphaned(10).await.unwrap();
    assert_eq!(orphans.len(), 1);
    world.wait("hung up", secs(60), async || world.carrier.live() == 0).await;
    world.wait("it knows", secs(5), async || runs(&engine, "taken_over") == 1).await;
    let call = world.call(batch, 1000).await;
    assert!(!call.attempts[0].state.is_over(), "its end is the other's to record");

    // The other finds it and tells.
    engine.stop().await;
    let engine = world.engine_on(Arc::new(Faulty::new(other)), EngineConfig::default());
    world.completed(batch, secs(60)).await;
    engine.stop().await;
    assert_eq!(world.disposition(batch, 1000).await, Some(Disposition::Unknown));
    assert_eq!(world.carrier.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_others_dialed_is_noted() {
    let world = World::new().await;
    let first = world.batch(BatchSettings::default(), 1000..1003).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(first, secs(60)).await;
    engine.stop().await;
    let Noted::Mark(latest) = world.watermark.latest(world.workspace).await.unwrap() else {
        panic!("it dialed")
    };
    // A node that keeps marks of its own, and has noted nothing.
    let store = world.inline.another_process(&*world.entropy);
    store.node_join(node()).await.unwrap();
    let mut ports = world.ports();
    let marks = Arc::new(outdial_engine::MemoryWatermark::default());
    (ports.store, ports.watermark) = (Arc::new(Faulty::new(store)), Arc::clone(&marks) as _);
    let noted = async || marks.latest(world.workspace).await.unwrap();
    // Everybody rests, so that it dials nobody itself.
    let settings = BatchSettings { concurrency: Some(0), ..BatchSettings::default() };
    world.batch(settings, 1010..1011).await;
    let engine = world.engine_with(ports, EngineConfig::default());
    world.wait("noted", secs(20), async || noted().await != Noted::Nothing).await;
    let Noted::Mark(mark) = noted().await else { panic!("a mark") };
    assert!(mark.attempt.seq() >= latest.attempt.seq());
    assert!(world.inline.attempt_is_known(mark.attempt, mark.token).await.unwrap());
    assert_ne!(mark, Mark { token: [0; 16], ..mark });
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_tells_why_it_does_not_dial() {
    let world = World::new().await;
    let engine = world.engine(EngineConfig::default());
    world.sleep(secs(6)).await;
    let nodes = world.inline.node_list().await.unwrap();
    assert!(nodes.len() == 1 && nodes[0].is_alive && nodes[0].beat.not_dialing.is_none());
    world.clock.jump(3_600_000);
    world.sleep(secs(11)).await;
    let nodes = world.inline.node_list().await.unwrap();
    let why = nodes[0].beat.not_dialing.as_deref();
    assert!(why.is_some_and(|w| w.contains("clock jumped")), "{why:?}");
    engine.stop().await;
    let nodes = world.inline.node_list().await.unwrap();
    assert!(!nodes[0].has_left, "that is said when the rest of the process has ended too");
}

/// F10 of the faults: what ends meanwhile is recorded when the database is back.
#[tokio::test(start_paused = true)]
async fn five_minutes_without_a_database() {
    let world = World::new().await;
    let settings = BatchSettings { concurrency: Some(5), ..BatchSettings::default() };
    let batch = world.batch(settings, 1000..1020).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("on the phone", secs(10), async || world.carrier.live() == 5).await;
    let placed = world.carrier.count();
    let all = [
        "attempt_fetch",
        "attempt_finish",
        "attempt_record",
        "attempt_commit_intents",
        "attempt_list_orphaned",
        "dispatch_head",
        "dispatch_workspaces",
        "live_list_recalled",
        "node_beat",
    ];
    for operation in all {
        world.store.fail(operation, Fault::Unavailable, u32::MAX);
    }
    world.wait("they end all the same", secs(200), async || world.carrier.live() == 0).await;
    world.sleep(secs(300)).await;
    assert_eq!(world.carrier.count(), placed, "nobody was called meanwhile");
    assert_eq!(world.record(batch).await.totals.live, 5, "nothing could be recorded");

    world.store.heal();
    world.completed(batch, secs(300)).await;
    engine.stop().await;
    assert_eq!(world.carrier.count(), 20);
    for call in world.calls(batch).await {
        assert_eq!(call.disposition, Some(Disposition::Completed), "no result was lost");
    }
}

/// What was noted here is gone.
#[derive(Default)]
struct Gone(MemoryWatermark);

#[async_trait]
impl Watermark for Gone {
    async fn latest(&self, ws: WorkspaceId) -> Result<Noted, WatermarkError> {
        Ok(match self.0.latest(ws).await? {
            Noted::Nothing => Noted::Lost,
            noted => noted,
        })
    }

    async fn is_accepted(&self, ws: WorkspaceId) -> Result<bool, WatermarkError> {
        self.0.is_accepted(ws).await
    }

    async fn note(&self, ws: WorkspaceId, mark: Mark) -> Result<(), WatermarkError> {
        self.0.note(ws, mark).await
    }
}

async fn not_dialing(world: &World) -> Option<String> {
    let mut nodes = world.inline.node_list().await.unwrap().into_iter();
    nodes.find(|node| node.is_alive).expect("it is heard of").beat.not_dialing
}

fn peer(silent: Duration, not_dialing: Option<&str>) -> Peer {
    Peer { silent, not_dialing: not_dialing.map(str::to_owned) }
}

#[tokio::test(start_paused = true)]
async fn one_without_notes_dials_when_another_does_and_then_by_its_own() {
    let world = World::new().await;
    let marks = Arc::new(Gone::default());
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let ports = Ports { watermark: Arc::clone(&marks) as _, ..world.ports() };
    let engine = world.engine_with(ports, EngineConfig::default());
    world.sleep(secs(60)).await;
    assert_eq!(world.carrier.count(), 0, "nobody knows the database");
    let why = not_dialing(&world).await;
    assert!(why.as_ref().is_some_and(|w| w.contains("older copy")), "{why:?}");
    for idle in [peer(secs(0), Some("an older copy")), peer(secs(40), None)] {
        world.store.join_peer(idle);
        world.sleep(secs(60)).await;
        assert_eq!(world.carrier.count(), 0, "who does not dial, or is gone, tells nothing");
    }
    world.store.join_peer(peer(secs(1), None));
    world.completed(batch, secs(60)).await;
    assert_eq!(world.carrier.count(), 10);
    let noted = marks.latest(world.workspace).await.unwrap();
    assert!(matches!(noted, Noted::Mark(_)), "{noted:?}");
    world.sleep(secs(11)).await;
    assert_eq!(not_dialing(&world).await, None);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_knows_better_believes_nobody() {
    let world = World::new().await;
    let mark = Mark { attempt: AttemptId::from_parts(1_772_000_000, 1), token: [9; 16] };
    world.watermark.note(world.workspace, mark).await.unwrap();
    world.batch(BatchSettings::default(), 1000..1010).await;
    world.store.join_peer(peer(secs(0), None));
    let engine = world.engine(EngineConfig::default());
    world.sleep(secs(60)).await;
    assert_eq!(world.carrier.count(), 0);
    let why = not_dialing(&world).await;
    assert!(why.as_ref().is_some_and(|w| w.contains("older copy")), "{why:?}");
    engine.stop().await;
}

/// A failover that lost the latest commits, after which others dialed on.
#[tokio::test(start_paused = true)]
async fn what_others_dialed_since_does_not_take_the_place_of_what_is_lost() {
    let (world, other) = (World::new().await, World::new().await);
    let resting = BatchSettings { concurrency: Some(0), ..BatchSettings::default() };
    for world in [&world, &other] {
        world.batch(resting.clone(), 2000..2001).await;
    }
    let batch = world.batch(BatchSettings::default(), 1000..1010).await;
    let engine = world.engine(EngineConfig::default());
    world.completed(batch, secs(60)).await;
    let latest = world.watermark.latest(world.workspace).await.unwrap();

    let batch = other.batch(BatchSettings::default(), 1000..1030).await;
    let third = other.inline.another_process(&*other.entropy);
    let dialing = other.engine_on(Arc::new(Faulty::new(third)), EngineConfig::default());
    other.completed(batch, secs(60)).await;
    dialing.stop().await;
    other.inline.node_join(node()).await.unwrap();
    let Noted::Mark(ours) = latest else { panic!("it dialed") };
    let theirs = other.inline.attempt_latest_of_others(world.workspace).await.unwrap().unwrap();
    assert!(theirs.attempt.seq() > ours.attempt.seq(), "it looks later");

    world.store.put_back(&other.inline);
    world.sleep(secs(30)).await;
    assert_eq!(world.watermark.latest(world.workspace).await.unwrap(), latest);
    assert_eq!(world.carrier.count(), 10);
    assert!(not_dialing(&other).await.is_some_and(|why| why.contains("older copy")));
    engine.stop().await;
}

/// The database was gone to all of them, and one is back first.
#[tokio::test(start_paused = true)]
async fn one_that_is_back_first_gives_the_others_time_before_it_takes_their_calls_over() {
    let world = World::new().await;
    world.carrier.trick(1000, Trick::TalksUntilHungUp);
    let batch = world.batch(BatchSettings::default(), [1000]).await;
    let engine = world.engine(EngineConfig::default());
    world.wait("on the phone", secs(5), async || world.carrier.live() == 1).await;
    engine.kill().await;
    let store = Arc::new(Faulty::new(world.inline.another_process(&*world.entropy)));
    store.join_peer(peer(secs(40), None));
    let engine = world.engine_on(store, EngineConfig::default());
    let is_over = async || world.call(batch, 1000).await.attempts[0].state.is_over();
    world.sleep(secs(29)).await;
    assert!(!is_over().await, "its owner may be heard of yet");
    world.wait("resolved", secs(10), is_over).await;
    engine.stop().await;
}
