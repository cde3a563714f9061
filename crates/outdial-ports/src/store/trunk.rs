//! Trunks: the lines to a carrier.

use std::fmt;
use std::time::Duration;

use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{TrunkId, WorkspaceId};
use outdial_core::time::Timestamp;
use thiserror::Error;

use super::{Integration, StoreError};

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How SIP messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `udp`.
    Udp,
    /// `tcp`.
    Tcp,
    /// `tls`.
    Tls,
}

impl Transport {
    /// Every one.
    pub const ALL: [Transport; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The reverse of [`Transport::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == word)
    }
}

/// Which header says who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallerIdIn {
    /// The `From` alone.
    #[default]
    From,
    /// The `From`, and `P-Asserted-Identity` (RFC 3325).
    PAssertedIdentity,
}

impl CallerIdIn {
    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::PAssertedIdentity => "pAssertedIdentity",
        }
    }

    /// The reverse of [`CallerIdIn::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::From, Self::PAssertedIdentity].into_iter().find(|c| c.as_str() == word)
    }
}

/// How a SIP trunk is reached and talked to. Checked by the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipSpec {
    /// A name or an address.
    pub host: String,
    /// None: by DNS SRV (RFC 3263), or 5060, with TLS 5061.
    pub port: Option<u16>,
    /// How.
    pub transport: Transport,
    /// For digest authentication and registration.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The domain of `From`; none: `host`.
    pub from_domain: Option<String>,
    /// Every request goes here first (`host[:port]`, loose routing): an outbound proxy.
    pub proxy: Option<String>,
    /// Registers with the trunk (RFC 3261 section 10), and does not dial before that.
    pub register: bool,
    /// Between two OPTIONS that ask whether it is there; none: it is not asked.
    pub keep_alive: Option<Duration>,
    /// Who calls.
    pub caller_id: CallerIdIn,
    /// A `+` stands before the numbers (E.164).
    pub plus: bool,
    /// With TLS: the certificate must be valid for `host`. Off only for trials.
    pub verify_tls: bool,
}

/// A trunk's own settings.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkSpec {
    /// Display name, unique in its workspace.
    pub name: String,
    /// How it is reached.
    pub sip: SipSpec,
    /// Calls per second and channels.
    pub limits: LineLimits,
    /// How long it may ring; none: as the server is configured.
    pub ring_timeout: Option<Duration>,
    /// How long a call may last, whole seconds; none: as the batch says.
    pub max_call_s: Option<u32>,
}

/// How a trunk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrunkState {
    /// Nobody looked, or it never answered OPTIONS: calls go out.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It answered before and does not any more, or refuses to register us: no call goes out.
    Down,
}

impl TrunkState {
    /// Every one.
    pub const ALL: [TrunkState; 3] = [Self::Unknown, Self::Up, Self::Down];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// The reverse of [`TrunkState::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// What is known of a trunk's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkHealth {
    /// How it is.
    pub state: TrunkState,
    /// In words: what it answered last, or what keeps it from answering. No secret, no number.
    pub detail: Option<String>,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
}

/// A stored trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkRecord {
    /// Which.
    pub id: TrunkId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Its kind.
    pub integration: Integration,
    /// Its settings; none of the simulated one.
    pub spec: Option<TrunkSpec>,
    /// Calls per second and channels.
    pub limits: LineLimits,
    /// No call goes out before this instant (503).
    pub paused_until: Option<Timestamp>,
    /// How it is.
    pub health: TrunkHealth,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Why a trunk was not made or changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrunkError {
    /// No such SIP trunk in this workspace.
    #[error("no such trunk")]
    NotFound,
    /// Another trunk of the workspace has this name.
    #[error("the workspace has a trunk of this name already")]
    Duplicate,
    /// Calling numbers go out over it.
    #[error("a calling number goes out over this trunk")]
    InUse,
    /// It is not as the caller has seen it: look again.
    #[error("somebody else has changed the trunk")]
    Changed,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}
