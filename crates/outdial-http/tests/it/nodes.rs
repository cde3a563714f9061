//! Who the nodes are.

use std::time::Duration;

use outdial_ports::store::{NODE_LEASE, NodeBeat, NodeSpec, Scope};
use serde_json::json;

use crate::support::World;

#[tokio::test]
async fn the_nodes_and_how_they_are_doing() {
    let world = World::new().await;
    let path = "/api/system/nodes";
    assert_eq!(world.get(path).send().await.json()["data"], json!({"nodes": []}));
    let spec = NodeSpec {
        id: [0xab; 16],
        name: "north".to_owned(),
        host: "web1 6d6e8f0c".to_owned(),
        role: "all".to_owned(),
        address: "http://127.0.0.1:8080".to_owned(),
        version: "0.1.0".to_owned(),
    };
    world.store.node_join(spec).await.unwrap();
    let wall = outdial_core::time::Timestamp::from_millis(1_747_319_401_250);
    let not_dialing = Some("its clock jumped".to_owned());
    let beat = NodeBeat { wall, live: 3, not_dialing };
    world.clock.advance(Duration::from_secs(1));
    assert!(world.store.node_beat(beat).await.unwrap().is_joined);
    let node = async || world.get(path).send().await.json()["data"]["nodes"][0].clone();
    let shown = node().await;
    assert_eq!(
        shown,
        json!({
            "_id": "abababababababababababababababab", "name": "north", "host": "web1",
            "role": "all", "address": "http://127.0.0.1:8080", "version": "0.1.0",
            "startedAt": "2025-05-15T14:30:00.000Z", "lastSeenAt": "2025-05-15T14:30:01.000Z",
            "state": "alive", "clockApartMs": 250, "liveCalls": 3,
            "notDialing": "its clock jumped",
        })
    );
    world.clock.advance(NODE_LEASE + Duration::from_secs(1));
    assert_eq!(node().await["state"], "gone");
    world.store.node_leave().await.unwrap();
    assert_eq!(node().await["state"], "left");

    let reader = world.limited(&[Scope::CallsRead, Scope::CallsWrite]).await;
    world.get(path).by(&reader).send().await.refusal(403);
}
