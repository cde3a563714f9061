//! Nodes: the processes that share the database.

use outdial_core::time::Timestamp;
use outdial_ports::store::NodeRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// A node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    /// The same in every life of it; kept in its state directory.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// `server.node_name`.
    pub(crate) name: String,
    /// The machine.
    pub(crate) host: String,
    /// `all`, `api` or `dialer`.
    pub(crate) role: String,
    /// Where its API listens.
    pub(crate) address: String,
    /// Of Outdial.
    pub(crate) version: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: Timestamp,
    /// When it was heard of last, by the database's clock.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) last_seen_at: Timestamp,
    /// `alive`; `gone`: it was not heard of for 30 s, and what it had under way is resolved by
    /// others; `left`: it has ended.
    pub(crate) state: &'static str,
    /// Its wall clock less the database's, in milliseconds.
    pub(crate) clock_apart_ms: i64,
    /// Calls that it had on the phone when it was heard of last.
    pub(crate) live_calls: u32,
    /// Why it does not dial; absent: it does, or is not there to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_dialing: Option<String>,
}

impl From<NodeRecord> for Node {
    fn from(node: NodeRecord) -> Self {
        let id = u128::from_be_bytes(node.spec.id);
        // What follows the name tells two lives of a machine apart, and nobody wants to read it.
        let host = node.spec.host.split_whitespace().next().unwrap_or_default().to_owned();
        Self {
            id: format!("{id:032x}"),
            name: node.spec.name,
            host,
            role: node.spec.role,
            address: node.spec.address,
            version: node.spec.version,
            started_at: node.started_at,
            last_seen_at: node.beat_at,
            state: match (node.has_left, node.is_alive) {
                (true, _) => "left",
                (false, true) => "alive",
                (false, false) => "gone",
            },
            clock_apart_ms: node.clock_apart_ms,
            live_calls: node.beat.live,
            not_dialing: node.beat.not_dialing,
        }
    }
}

/// Nodes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nodes {
    /// By name: all that are alive, and those heard of within a day.
    pub(crate) nodes: Vec<Node>,
}
