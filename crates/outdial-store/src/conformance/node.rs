//! Nodes: who is there, and what each dialed last.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::store::{NODE_LEASE, NodeBeat, NodeRecord, NodeSpec};
use outdial_ports::{Mark, Store};

use super::Factory;
use super::world::World;

fn spec(version: &str) -> NodeSpec {
    NodeSpec {
        id: [7; 16],
        name: "north".to_owned(),
        host: "machine boot".to_owned(),
        role: "all".to_owned(),
        address: "http://10.0.0.1:8080".to_owned(),
        version: version.to_owned(),
    }
}

/// This node in its lives that are listed, the earliest first.
async fn listed(store: &dyn Store) -> Vec<NodeRecord> {
    let mut nodes = store.node_list().await.unwrap();
    nodes.retain(|n| n.spec.id == spec("").id);
    nodes.sort_by_key(|n| n.started_at);
    nodes
}

pub(super) async fn joining_and_leaving(f: &dyn Factory) {
    let w = World::new(f).await;
    w.store.node_join(spec("1")).await.unwrap();
    w.advance_s(3);
    let told = NodeBeat {
        wall: w.now().after(Duration::from_millis(1_500)),
        live: 12,
        not_dialing: Some("it rests".to_owned()),
    };
    let standing = w.store.node_beat(told.clone()).await.unwrap();
    assert_eq!((standing.clock, standing.is_joined), (w.now(), true));
    assert_eq!(standing.dialing, 0, "it says that it does not");
    let nodes = listed(&*w.store).await;
    let [node] = &nodes[..] else { panic!("{nodes:?}") };
    assert_eq!((&node.spec, &node.beat), (&spec("1"), &told));
    assert_eq!((node.beat_at, node.clock_apart_ms), (w.now(), 1_500));
    assert!(node.started_at <= node.beat_at && node.is_alive && !node.has_left);

    // It is not heard of for a while, and then is.
    w.clock.advance(NODE_LEASE.saturating_sub(Duration::from_millis(1)));
    assert!(listed(&*w.store).await[0].is_alive);
    w.clock.advance(Duration::from_millis(1));
    let gone = &listed(&*w.store).await[0];
    assert!(!gone.is_alive && !gone.has_left);
    let quiet = NodeBeat { wall: w.now(), ..NodeBeat::default() };
    let standing = w.store.node_beat(quiet.clone()).await.unwrap();
    assert_eq!((standing.is_joined, standing.dialing), (true, 1));
    let back = &listed(&*w.store).await[0];
    assert!(back.is_alive);
    assert_eq!((&back.beat, back.clock_apart_ms), (&quiet, 0));

    w.store.node_leave().await.unwrap();
    let left = &listed(&*w.store).await[0];
    assert!(left.has_left && !left.is_alive);
    let standing = w.store.node_beat(quiet).await.unwrap();
    assert_eq!((standing.is_joined, standing.dialing), (false, 0), "it has left");
    w.advance_s(24 * 3_600);
    assert!(listed(&*w.store).await.is_empty(), "forgotten");
}

pub(super) async fn another_life(f: &dyn Factory) {
    let w = World::new(f).await;
    w.store.node_join(spec("1")).await.unwrap();
    w.advance_s(1);
    let next: Arc<dyn Store> = w.db.process();
    next.node_join(spec("2")).await.unwrap();
    let beat = NodeBeat { wall: w.now(), ..NodeBeat::default() };
    assert!(!w.store.node_beat(beat.clone()).await.unwrap().is_joined, "it is another's name");
    assert!(next.node_beat(beat).await.unwrap().is_joined);
    let nodes = listed(&*next).await;
    let lives: Vec<_> =
        nodes.iter().map(|n| (n.spec.version.as_str(), n.is_alive, n.has_left)).collect();
    assert_eq!(lives, [("1", false, true), ("2", true, false)]);
    // Joining again changes nothing but what is told.
    next.node_join(spec("3")).await.unwrap();
    assert_eq!(listed(&*next).await.len(), 2);
    assert_eq!(listed(&*next).await[1].spec, spec("3"));
    assert!(listed(&*next).await[1].started_at > Timestamp::EPOCH);
}

pub(super) async fn what_others_dialed(f: &dyn Factory) {
    let mut w = World::new(f).await;
    w.store.node_join(spec("1")).await.unwrap();
    let batch = w.batch().await;
    w.add_numbers(batch, &[49_301, 49_302]).await;
    let first = w.dial_all().await;
    let mark = |c: &outdial_ports::store::Committed| {
        Some(Mark { attempt: c.attempt, token: c.intent.token })
    };
    assert_eq!(w.store.attempt_latest_of_others(w.ws).await.unwrap(), None, "those are its own");

    let old = std::mem::replace(&mut w.store, w.db.process());
    w.store.node_join(spec("2")).await.unwrap();
    let latest = first.iter().max_by_key(|c| c.attempt.seq()).and_then(mark);
    assert_eq!(w.store.attempt_latest_of_others(w.ws).await.unwrap(), latest);
    w.add_numbers(batch, &[49_303]).await;
    let second = w.dial_all().await;
    assert_eq!(second.len(), 1);
    assert_eq!(w.store.attempt_latest_of_others(w.ws).await.unwrap(), latest);
    assert_eq!(old.attempt_latest_of_others(w.ws).await.unwrap(), mark(&second[0]));

    // The next life sees the later of both; other workspaces see none of it.
    let third = w.db.process();
    third.node_join(spec("3")).await.unwrap();
    assert_eq!(third.attempt_latest_of_others(w.ws).await.unwrap(), mark(&second[0]));
    let other = super::world::workspace(&*third, "second", 2).await.workspace;
    assert_eq!(third.attempt_latest_of_others(other).await.unwrap(), None);
}
