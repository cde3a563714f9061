//! This process among the nodes that share a database: who it is, and that it is the only one.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use outdial_core::time::Timestamp;
use outdial_ports::store::{NODE_LEASE, NodeJoinError, NodeRecord, NodeSpec};
use outdial_ports::{Clock, Store};

use crate::config::{Config, Role};
use crate::state::NodeId;
use crate::term::hint;

/// How often one that may be dead is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longer than a dead one is taken for alive.
const DEAD_BY: Duration = NODE_LEASE.saturating_add(Duration::from_secs(10));

/// Who this process is.
pub(crate) fn spec(config: &Config, id: NodeId, url: &str) -> NodeSpec {
    let machine = machine_name();
    NodeSpec {
        id,
        name: config.server.node_name.clone().unwrap_or_else(|| machine.clone()),
        host: format!("{machine} {}", boot_id()).trim_end().to_owned(),
        role: config.server.role.as_str().to_owned(),
        address: url.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Joins. One of the same identity that was heard of lately on another machine may be dead: it is
/// waited for until that is certain. One that goes on is not: then this process must not run.
pub(crate) async fn join(store: &dyn Store, clock: &dyn Clock, spec: &NodeSpec) -> Result<()> {
    let deadline = clock.monotonic().after(DEAD_BY);
    let mut first_beat: Option<Timestamp> = None;
    loop {
        let (name, host, beat_at) = match store.node_join(spec.clone()).await {
            Ok(()) => return Ok(()),
            Err(NodeJoinError::Running { name, host, beat_at }) => (name, host, beat_at),
            Err(NodeJoinError::Store(error)) => return Err(error.into()),
        };
        let host = host.split_whitespace().next().unwrap_or_default();
        if first_beat.is_none() {
            hint(format_args!(
                "outdial: this node, as {name}, was heard of on {host} less than {} s ago: waiting \
                 until it is certain that nobody runs there",
                NODE_LEASE.as_secs()
            ));
        }
        if *first_beat.get_or_insert(beat_at) != beat_at || clock.monotonic() >= deadline {
            bail!(
                "this node runs on {host} already, as {name}: two processes must not be one node. \
                 Stop that one, or give this one a state directory of its own (--state-dir), not a \
                 copy"
            );
        }
        clock.sleep_until(clock.monotonic().after(LOOK_EVERY)).await;
    }
}

/// Why a process must end that is not this node any more.
pub(crate) fn taken_over() -> anyhow::Error {
    anyhow!(
        "another process runs as this node, or the database does not know it any more: this one \
         must not go on"
    )
}

/// None that serves the API was there before it.
pub(crate) fn is_first(nodes: &[NodeRecord], id: NodeId) -> bool {
    let joined = |node: &&NodeRecord| (node.started_at, node.spec.id);
    let serves = |node: &&NodeRecord| node.is_alive && node.spec.role != Role::Dialer.as_str();
    nodes.iter().filter(serves).min_by_key(joined).is_none_or(|first| first.spec.id == id)
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name: String = name.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Tells two lives of a machine, and two machines of one name, apart. Linux has it; where there is
/// none, the name has to do.
fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_called_as_its_machine_or_as_the_operator_says() {
        let mut config = Config::default();
        let ours = spec(&config, [7; 16], "http://127.0.0.1:1");
        assert!(!ours.name.is_empty() && ours.host.starts_with(&ours.name), "{ours:?}");
        assert_eq!(ours.role, "all");
        config.server.node_name = Some("north".to_owned());
        let named = spec(&config, [7; 16], "http://127.0.0.1:1");
        assert_eq!((named.name.as_str(), named.host), ("north", ours.host));
    }
}
