//! Nodes: servers with a database in common, each with its own way to it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::proxy::Proxy;
use crate::harness::{Home, PATIENCE, Server, stdout_of, wait_for};
use crate::postgres::Postgres;
use crate::sip::free_port;

/// A node's home, and what stands between it and the database.
pub(crate) struct Node {
    pub(crate) home: Home,
    pub(crate) proxy: Proxy,
    /// Where it speaks SIP, in each of its lives.
    pub(crate) sip_port: u16,
}

/// So many nodes of a new database, which has one workspace.
pub(crate) fn nodes(postgres: &Postgres, count: usize, more: &[(&str, &str)]) -> Vec<Node> {
    let mut nodes: Vec<Node> = (1..=count).map(|n| node(postgres, n, more)).collect();
    let create = ["workspace", "create", "Test", "--json", "--calling-rules", "off"];
    let line = stdout_of(nodes[0].home.outdial().args(create));
    let made: Value = serde_json::from_str(&line).unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    for Node { home, .. } in &mut nodes {
        (home.key, home.user) = (text("apiKey"), text("userId"));
        home.workspace = text("workspaceId");
    }
    nodes
}

fn node(postgres: &Postgres, number: usize, more: &[(&str, &str)]) -> Node {
    let proxy = Proxy::to(postgres.port());
    let mut home = Home::at(tempfile::tempdir().unwrap());
    let sip_port = free_port();
    let state = home.path("state").display().to_string();
    let carrier = home.carrier_log().display().to_string();
    let (url, sip) = (postgres.url_over(proxy.port()), format!("127.0.0.1:{sip_port}"));
    let name = format!("node-{number}");
    for (name, value) in [
        ("OUTDIAL_DATABASE_URL", url.as_str()),
        ("OUTDIAL_DATABASE_STATE_DIR", &state),
        ("OUTDIAL_SERVER_NODE_NAME", &name),
        ("OUTDIAL_SIMULATED_LOG", &carrier),
        ("OUTDIAL_SIP_LISTEN", &sip),
        ("OUTDIAL_SIP_RTP_PORTS", "0"),
    ] {
        home.set(name, value);
    }
    for (name, value) in more {
        home.set(name, value);
    }
    Node { home, proxy, sip_port }
}

/// SIGKILL; returns when nothing of it is left.
pub(crate) fn kill(server: &mut Server<'_>) {
    signal(server, Signal::KILL);
    wait_for("it is gone", PATIENCE, || server.is_gone().then_some(()));
}

/// Stops a process where it is.
pub(crate) fn freeze(server: &Server<'_>) {
    signal(server, Signal::STOP);
}

/// It goes on, and does not know that it was stopped.
pub(crate) fn thaw(server: &Server<'_>) {
    signal(server, Signal::CONT);
}

fn signal(server: &Server<'_>, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The nodes as one of them sees them: name and state.
pub(crate) fn states(server: &Server<'_>) -> Vec<(String, String)> {
    let data = server.get("/api/system/nodes").expect(200);
    let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let nodes = data["data"]["nodes"].as_array().unwrap();
    nodes.iter().map(|n| (text(n, "name"), text(n, "state"))).collect()
}

/// Waits until `server` sees a node in a state.
pub(crate) fn wait_state(server: &Server<'_>, name: &str, state: &str, limit: Duration) {
    wait_for(&format!("{name} is {state}"), limit, || {
        states(server).contains(&(name.to_owned(), state.to_owned())).then_some(())
    });
}

/// A trunk to a port of this machine, a number over it, an agent: the number's id.
pub(crate) fn make_sip_number(
    server: &Server<'_>,
    user: &str,
    port: u16,
    limits: &Value,
) -> String {
    let mut trunk = json!({
        "name": "Phones", "host": "127.0.0.1", "port": port, "keepAliveSeconds": 0,
        "ringTimeoutMs": 5_000,
    });
    trunk.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    let trunk = server.post("/api/trunks", &trunk).expect(201)["data"]["_id"].clone();
    let agent = json!({
        "name": "Caller", "languages": ["en-US"],
        "connection": { "type": "announcement", "text": "Hello" },
    });
    let agent = server.post("/api/agents", &agent).expect(201)["data"]["_id"].clone();
    let phone = json!({
        "userId": user, "phoneNumber": "12025550143", "integration": "sip", "trunkId": trunk,
        "agentId": agent,
    });
    let phone = server.post("/api/call/add-phone", &phone).expect(201);
    phone["data"]["_id"].as_str().unwrap().to_owned()
}
