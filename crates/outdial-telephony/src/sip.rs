//! SIP trunks: calls over the telephone network (RFC 3261).
//!
//! It must never send a second INVITE for an attempt, anything after its slot, or anything of a
//! contact's that was not checked; and it must never say of a call that may have left that it did
//! not.

pub(crate) mod ask;
pub(crate) mod call;
mod context;
pub(crate) mod digest;
pub(crate) mod dns;
pub(crate) mod ending;
pub(crate) mod endpoint;
pub(crate) mod examine;
pub(crate) mod health;
pub(crate) mod ids;
pub(crate) mod line;
pub(crate) mod logins;
pub(crate) mod message;
pub(crate) mod orphan;
pub(crate) mod redirect;
pub(crate) mod register;
pub(crate) mod sdp;
pub(crate) mod setup;
pub(crate) mod transaction;
pub(crate) mod transport;
pub(crate) mod trunk;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::id::TrunkId;
use outdial_core::time::Timestamp;
use outdial_ports::store::{TrunkHealth, TrunkRecord};
use outdial_ports::{CallOrder, Carrier, Clock, Entropy, Leaving, OrphanCall, PlacedCall};
use thiserror::Error;

use crate::rtp::{SoundError, Source, read_sound};
pub(crate) use context::{Context, Open};
pub use examine::Finding;
pub use transport::TlsListen;
use trunk::Trunk;

/// How SIP is set up.
#[derive(Clone, Debug)]
pub struct SipConfig {
    /// Where UDP and TCP are received. Port 0: the system chooses.
    pub listen: SocketAddr,
    /// Where TLS connections of peers are taken; none: only ours are used.
    pub tls: Option<TlsListen>,
    /// Our address as the trunks see it, behind a network address translation; none: as it is.
    pub public_address: Option<IpAddr>,
    /// Certificates to trust beside the machine's own, PEM.
    pub extra_ca: Option<PathBuf>,
    /// The ports of media; none: the system chooses.
    pub rtp_ports: Option<RangeInclusive<u16>>,
    /// What callees hear, over and over: a WAV file of 8 kHz; none: silence.
    pub sound: Option<PathBuf>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// After how many seconds a session is to be refreshed (RFC 4028); 0: sessions have no timer.
    pub session_expires: u32,
    /// The estimate of the round trip from which all timers follow (RFC 3261 17.1.1.1).
    pub t1: Duration,
}

impl Default for SipConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 5060)),
            tls: None,
            public_address: None,
            extra_ca: None,
            rtp_ports: None,
            sound: None,
            user_agent: concat!("Outdial/", env!("CARGO_PKG_VERSION")).to_owned(),
            session_expires: 1800,
            t1: Duration::from_millis(500),
        }
    }
}

/// Why there is no SIP carrier.
#[derive(Debug, Error)]
pub enum SipError {
    /// The file cannot be played.
    #[error("the sound {0} cannot be played: {1}")]
    Sound(PathBuf, String),
}

/// The carrier of SIP trunks. Its sockets open with the first trunk. All of it must be called
/// within a tokio runtime.
pub struct SipCarrier(Arc<Context>);

impl SipCarrier {
    /// A carrier whose names are keyed by the database's `secret`.
    pub fn new(
        config: SipConfig,
        secret: &[u8; 32],
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, SipError> {
        let source = match &config.sound {
            None => Source::Silence,
            Some(path) => {
                let unread = |error: SoundError| SipError::Sound(path.clone(), error.to_string());
                Source::Again(read_sound(path).map_err(unread)?)
            }
        };
        Ok(Self(Arc::new(Context::new(config, source, secret, clock, entropy))))
    }

    /// What was counted, by words; empty while no socket is open.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.0.open().map(|open| open.endpoint.transports.counters().all()).unwrap_or_default()
    }

    /// Where UDP is received; none while no socket is open.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.0.open().ok().map(|open| open.endpoint.transports.udp_addr())
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0
    }
}

impl Drop for SipCarrier {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Carrier for SipCarrier {
    fn place(&self, order: CallOrder) -> PlacedCall {
        line::place(&self.0, order)
    }

    fn take_over(&self, orphan: OrphanCall) -> PlacedCall {
        Context::start(&self.0);
        orphan::take_over(&self.0, orphan)
    }

    fn set_trunks(&self, trunks: Vec<TrunkRecord>) {
        let told: Vec<_> = trunks.iter().filter_map(Trunk::of).collect();
        if !told.is_empty() {
            Context::start(&self.0);
        }
        self.0.set_trunks(told);
    }

    fn trunk_health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
        self.0.health()
    }

    fn leave(&self) -> Leaving<'_> {
        Box::pin(self.0.leave())
    }
}
