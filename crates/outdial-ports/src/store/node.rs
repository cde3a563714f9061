//! Nodes: the processes that share a database.
//!
//! A process that dials joins, and beats. It is alive to the others while its latest beat is not
//! older than [`NODE_LEASE`] by the database's clock; the attempts of one that is not are taken
//! over. It stops dialing by its own monotonic clock long before that ([`NODE_TRUST`]).

use std::time::Duration;

use outdial_core::time::Timestamp;
use thiserror::Error;

use super::StoreError;

/// A node that has not been heard of for so long is gone to the others.
pub const NODE_LEASE: Duration = Duration::from_secs(30);
/// A node that has not been heard for so long, by its own monotonic clock from the moment at which
/// it began its latest acknowledged beat, neither plans nor sends.
pub const NODE_TRUST: Duration = Duration::from_secs(15);

/// Who joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Kept in the node's state directory: the same in every life of it.
    pub id: [u8; 16],
    /// As people call it.
    pub name: String,
    /// The machine since it was started. Two processes with one `id` on one such host cannot run at
    /// once, for they lock their state directory: the earlier is dead for certain.
    pub host: String,
    /// `all`, `api` or `dialer`.
    pub role: String,
    /// Where its API listens.
    pub address: String,
    /// Of the program.
    pub version: String,
}

/// Why a node cannot join.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeJoinError {
    /// One with its id is alive on another host. It may be a dead one that was heard of lately:
    /// then it is gone [`NODE_LEASE`] after `beat_at`.
    #[error("node {name} runs on {host} already")]
    Running {
        /// As people call it.
        name: String,
        /// Where.
        host: String,
        /// When it was heard of last, by the database's clock.
        beat_at: Timestamp,
    },
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a node tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeBeat {
    /// Its wall clock as it asked.
    pub wall: Timestamp,
    /// Calls that it has on the phone.
    pub live: u32,
    /// Why it does not dial; none: it does.
    pub not_dialing: Option<String>,
}

/// What a beat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStanding {
    /// The database's clock.
    pub clock: Timestamp,
    /// False: another process has joined as this node, or this one never has. It must stop.
    pub is_joined: bool,
    /// How many nodes dial: those that say so and were heard of within [`NODE_TRUST`].
    pub dialing: u32,
}

/// A node as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// As it joined.
    pub spec: NodeSpec,
    /// When.
    pub started_at: Timestamp,
    /// When it was heard of last.
    pub beat_at: Timestamp,
    /// It is heard of, and has not left.
    pub is_alive: bool,
    /// It has left, or another process runs as this node.
    pub has_left: bool,
    /// As it told.
    pub beat: NodeBeat,
    /// Its wall clock less the database's, in milliseconds, as of its latest beat.
    pub clock_apart_ms: i64,
}
