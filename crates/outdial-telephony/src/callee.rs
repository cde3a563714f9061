//! Callees over SIP: a user agent that is called and plays `outdial_core::simulated` for real, by
//! the last two digits of the number. For the demo and for tests; no telephone is touched.
//!
//! It knows nothing of the carrier that calls it: what they agree on went over the wire. It writes
//! down every request that it saw, numbers in full; that log stays in memory.

mod agent;
mod book;
mod guard;
mod play;
mod player;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use outdial_core::phone::PhoneNumber;
use outdial_core::simulated::Script;
use outdial_ports::{Clock, Entropy};
use thiserror::Error;

use crate::rtp::RtpError;
use crate::sip::TlsListen;
use crate::sip::transport::TransportError;

pub use book::Seen;
pub use guard::{DigestScheme, Login};

use agent::Agent;

/// What a number plays, other than by its last digits: the number, and how many calls to it came
/// before this one. None: by its last digits.
pub type ScriptOf = Arc<dyn Fn(PhoneNumber, u32) -> Option<Script> + Send + Sync>;

/// How callees are set up.
#[derive(Clone)]
pub struct CalleeConfig {
    /// For UDP and TCP. Port 0: the system chooses.
    pub listen: SocketAddr,
    /// For TLS.
    pub tls: Option<TlsListen>,
    /// How many times faster than real they ring, answer and talk. The timers of SIP stay real.
    pub speed: f64,
    /// Who may call; none: everybody.
    pub login: Option<Login>,
    /// Every call is sent on to the same number there (302).
    pub redirect: Option<SocketAddr>,
    /// What numbers play, other than by their last digits.
    pub scripts: Option<ScriptOf>,
    /// Rings with sound: 183 with a session description instead of 180.
    pub early_media: bool,
    /// Wants the session refreshed by the caller every so many seconds (RFC 4028).
    pub session_expires: Option<u32>,
    /// Those who talk say 440 Hz; else nothing.
    pub tone: bool,
    /// More calls at once are refused (503).
    pub max_calls: usize,
}

impl CalleeConfig {
    /// Everybody may call, in real time.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            speed: 1.0,
            login: None,
            redirect: None,
            scripts: None,
            early_media: false,
            session_expires: None,
            tone: false,
            max_calls: 10_000,
        }
    }
}

/// Why there are no callees.
#[derive(Debug, Error)]
pub enum CalleeError {
    /// The speed cannot be used.
    #[error("the speed of callees must be between 0.001 and 1000000, not {0}")]
    Speed(f64),
    /// They cannot listen.
    #[error("{0}")]
    Listen(String),
}

impl From<TransportError> for CalleeError {
    fn from(error: TransportError) -> Self {
        Self::Listen(error.to_string())
    }
}

impl From<RtpError> for CalleeError {
    fn from(error: RtpError) -> Self {
        Self::Listen(error.to_string())
    }
}

impl From<io::Error> for CalleeError {
    fn from(error: io::Error) -> Self {
        Self::Listen(error.to_string())
    }
}

/// Callees. Dropped, they are gone without a word, as after a crash.
pub struct Callee {
    agent: Arc<Agent>,
    receiving: tokio::task::JoinHandle<()>,
}

impl Callee {
    /// Begins to listen.
    pub async fn open(
        config: CalleeConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CalleeError> {
        if !(0.001..=1_000_000.0).contains(&config.speed) {
            return Err(CalleeError::Speed(config.speed));
        }
        let (agent, received) = Agent::open(config, clock, entropy).await?;
        let receiving = tokio::spawn(Arc::clone(&agent).receive(received));
        Ok(Self { agent, receiving })
    }

    /// Where they are called over UDP.
    pub fn udp_addr(&self) -> SocketAddr {
        self.agent.transports.udp_addr()
    }

    /// Where they are called over TCP.
    pub fn tcp_addr(&self) -> SocketAddr {
        self.agent.transports.tcp_addr()
    }

    /// Where they are called over TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.agent.transports.tls_addr()
    }

    /// Every request that came, in order.
    pub fn log(&self) -> Vec<Seen> {
        self.agent.book().log()
    }

    /// The INVITEs that began something: no repetitions, none within a dialog. One that was asked
    /// for credentials and the one with them are two.
    pub fn invites(&self) -> Vec<Seen> {
        let mut all = self.log();
        all.retain(|seen| seen.method == "INVITE" && !seen.again && !seen.in_dialog);
        all
    }

    /// How many calls are not over: unanswered ones, and dialogs without an end.
    pub fn live(&self) -> usize {
        self.agent.book().live()
    }

    /// The most calls that were not over at once, so far.
    pub fn most_live(&self) -> usize {
        self.agent.book().most_live()
    }

    /// The Call-IDs of calls that were answered and have not ended.
    pub fn unended(&self) -> Vec<String> {
        self.agent.book().unended()
    }

    /// Hears nothing from now on, or again: what comes is neither answered nor written down.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.agent.set_deaf(is_deaf);
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.receiving.abort();
        self.agent.close();
    }
}

#[cfg(test)]
mod tests;
