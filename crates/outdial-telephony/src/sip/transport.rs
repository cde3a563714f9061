//! How SIP messages travel: UDP, TCP and TLS, in both directions, one listening port each.
//!
//! Everything is bounded: the size of a message, the queue of what was received, connections, and
//! how much a source may send that belongs to no call. It must never log what stands in a message,
//! send anything at or after its deadline, or say that nothing left when something may have.

mod counters;
mod flow;
mod framing;
mod gate;
mod pool;
mod reading;
mod stream;
mod tls;
mod udp;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use outdial_ports::store::Transport;
use outdial_ports::{Clock, Monotonic};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub(crate) use counters::{Count, Counters};
pub(crate) use flow::Flow;
pub(crate) use gate::Rate;
pub use tls::TlsListen;

use super::message::{self, SipMessage};
use flow::Link;
use gate::Gate;
use pool::{PoolKey, Slot};
use tls::Tls;
use udp::UdpEnd;

/// A request larger than this may not fit a path's packets (RFC 3261 18.1.1).
const SAFE_DATAGRAM: usize = 1300;
/// How long a send may take of which nobody says more, and how long a connection may take to be
/// made when nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to listen, and how much to take in.
#[derive(Clone, Debug)]
pub(crate) struct TransportConfig {
    /// For UDP and TCP. Port 0: the system chooses one, the same for both.
    pub listen: SocketAddr,
    /// For TLS of peers that connect to us; none: they do not.
    pub tls: Option<TlsListen>,
    /// What `Via` and `Contact` say; never towards the loopback.
    pub public_address: Option<IpAddr>,
    /// Certificates to trust beside the machine's own, PEM.
    pub extra_ca: Option<PathBuf>,
    /// How much is taken in.
    pub bounds: Bounds,
}

impl TransportConfig {
    /// Listens there, and nothing else.
    pub(crate) fn new(listen: SocketAddr) -> Self {
        let bounds = Bounds::default();
        Self { listen, tls: None, public_address: None, extra_ca: None, bounds }
    }
}

/// How much is taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Received messages that wait to be looked at.
    pub queue: usize,
    /// Connections that peers made.
    pub connections: usize,
    /// Of these, from one address.
    pub connections_per_source: usize,
    /// Connections that we made.
    pub made: usize,
    /// Of these, to one address.
    pub made_per_host: usize,
    /// How long one of these stands that nobody wants.
    pub idle: Duration,
    /// What a source may send that belongs to no call.
    pub strangers: Rate,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            queue: 8192,
            connections: 1024,
            connections_per_source: 32,
            made: 1024,
            made_per_host: 32,
            idle: Duration::from_secs(300),
            strangers: Rate { burst: 100, per_second: 25 },
        }
    }
}

/// Whom to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// How.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
    /// The name that its certificate must carry; none: its address.
    pub host: Option<String>,
    /// With TLS: its certificate must be valid.
    pub verify: bool,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The system took it whole.
    Whole,
    /// Not an octet left.
    Nothing(String),
    /// Some of it may have left; the connection is closed.
    Partly(String),
}

/// A message that came.
#[derive(Debug)]
pub(crate) struct Received {
    /// What it says; the topmost `Via` of a request has `received` and `rport`.
    pub message: SipMessage,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where its response goes.
    pub flow: Flow,
}

/// Why a message cannot travel.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    /// A socket cannot be opened.
    #[error("cannot listen on {0} over {1}: {2}")]
    Listen(SocketAddr, &'static str, #[source] io::Error),
    /// What TLS needs cannot be read.
    #[error("{0}")]
    Tls(String),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No connection in time.
    #[error("cannot connect in time")]
    Late,
}

/// The sockets of a process. Clones are the same; with the last one they close.
#[derive(Clone)]
pub(crate) struct Transports(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    udp: Arc<UdpEnd>,
    tcp: SocketAddr,
    tls: Option<SocketAddr>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transports({})", self.udp_addr())
    }
}

/// What the tasks of the sockets share. It holds no socket that listens.
pub(crate) struct Shared {
    config: TransportConfig,
    clock: Arc<dyn Clock>,
    counters: Counters,
    queue: mpsc::Sender<Received>,
    gate: Mutex<Gate>,
    pool: Mutex<BTreeMap<PoolKey, Arc<Slot>>>,
    /// Connections that peers made, and from where.
    inbound: Mutex<BTreeMap<u64, IpAddr>>,
    next_connection: AtomicU64,
    tls: Tls,
    closing: watch::Sender<bool>,
}

/// A lock whose holder never panics half-way: what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transports {
    /// Opens the sockets. What comes is in the receiver; what that cannot hold is dropped and
    /// counted.
    pub(crate) async fn open(
        config: TransportConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, mpsc::Receiver<Received>), TransportError> {
        let (queue, received) = mpsc::channel(config.bounds.queue);
        let (socket, tcp) = udp::bind_with_tcp(config.listen).await?;
        let tls_listener = match &config.tls {
            Some(tls) => {
                let failed = |error| TransportError::Listen(tls.listen, "tls", error);
                Some((TcpListener::bind(tls.listen).await.map_err(failed)?, tls.acceptor()?))
            }
            None => None,
        };
        let bound = |listener: &TcpListener| {
            listener.local_addr().map_err(|e| TransportError::Listen(config.listen, "tcp", e))
        };
        let tcp_addr = bound(&tcp)?;
        let tls_addr = tls_listener.as_ref().map(|(listener, _)| bound(listener)).transpose()?;
        let udp_addr =
            socket.local_addr().map_err(|e| TransportError::Listen(config.listen, "udp", e))?;
        udp::tell_of_buffers(&socket);
        let udp = UdpEnd::new(socket, udp_addr, config.public_address, Arc::clone(&clock));
        let udp = Arc::new(udp);
        let shared = Arc::new(Shared {
            gate: Mutex::new(Gate::new(config.bounds.strangers)),
            tls: Tls::new(config.extra_ca.clone()),
            config,
            clock,
            counters: Counters::default(),
            queue,
            pool: Mutex::default(),
            inbound: Mutex::default(),
            next_connection: AtomicU64::new(0),
            closing: watch::channel(false).0,
        });
        tokio::spawn(udp::receive(Arc::clone(&udp), Arc::clone(&shared)));
        let port = tcp_addr.port();
        tokio::spawn(stream::accept(tcp, None, port, Arc::clone(&shared)));
        if let (Some((listener, acceptor)), Some(addr)) = (tls_listener, tls_addr) {
            tokio::spawn(stream::accept(
                listener,
                Some(acceptor),
                addr.port(),
                Arc::clone(&shared),
            ));
        }
        let inner = Inner { shared, udp, tcp: tcp_addr, tls: tls_addr };
        Ok((Self(Arc::new(inner)), received))
    }

    /// A way to a peer: over UDP at once; else the connection that stands, or one that is made.
    pub(crate) async fn connect(&self, peer: &Peer, by: Monotonic) -> Result<Flow, TransportError> {
        self.trust(peer.addr.ip());
        if peer.transport == Transport::Udp {
            let local = self.0.udp.local_for(peer.addr.ip());
            let local = local.map_err(|e| TransportError::Connect(e.to_string()))?;
            let link = Link::Udp(Arc::clone(&self.0.udp));
            return Ok(Flow::new(link, peer.addr, self.advertised(local, peer.addr.ip())));
        }
        let shared = &self.0.shared;
        let slot = shared.slot(PoolKey::of(peer))?;
        let listening = match peer.transport {
            Transport::Tls => self.0.tls.map(|addr| addr.port()),
            _ => Some(self.0.tcp.port()),
        };
        let connection = tokio::select! {
            biased;
            made = slot.connection(peer, listening, shared) => made?,
            () = shared.clock.sleep_until(by) => return Err(TransportError::Late),
        };
        let local = self.advertised(connection.local, peer.addr.ip());
        Ok(Flow::new(Link::Stream(connection), peer.addr, local))
    }

    /// Sends a message; nothing leaves at or after `by`.
    pub(crate) async fn send(&self, flow: &Flow, bytes: Bytes, by: Option<Monotonic>) -> Sent {
        let shared = &self.0.shared;
        let by = by.unwrap_or_else(|| shared.clock.monotonic().after(PATIENCE));
        let sent = match flow.link() {
            Link::Udp(udp) => {
                if bytes.len() > SAFE_DATAGRAM {
                    shared.counters.count(Count::UdpOversize);
                }
                udp.send(&bytes, flow.peer(), by).await
            }
            Link::Stream(connection) => connection.write(&bytes, by, &*shared.clock).await,
        };
        shared.counters.count(match &sent {
            Sent::Whole => Count::Sent,
            Sent::Nothing(_) => Count::SendFailed,
            Sent::Partly(_) => Count::SendCut,
        });
        sent
    }

    /// Where UDP is received.
    pub(crate) fn udp_addr(&self) -> SocketAddr {
        self.0.udp.local
    }

    /// Where TCP connections are taken.
    pub(crate) fn tcp_addr(&self) -> SocketAddr {
        self.0.tcp
    }

    /// Where TLS connections are taken.
    pub(crate) fn tls_addr(&self) -> Option<SocketAddr> {
        self.0.tls
    }

    /// What comes from there belongs to a call, or answers us: it is not slowed.
    pub(crate) fn trust(&self, ip: IpAddr) {
        let shared = &self.0.shared;
        lock(&shared.gate).trust(shared.clock.monotonic(), ip.to_canonical());
    }

    /// Closes a connection that is of no use any more. Over UDP there is nothing to close.
    pub(crate) fn close(&self, flow: &Flow) {
        if let Link::Stream(connection) = flow.link() {
            connection.close();
        }
    }

    /// Takes nothing in any more, whoever still holds these.
    pub(crate) fn shut(&self) {
        self.0.shared.closing.send_replace(true);
    }

    /// What was counted.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.shared.counters
    }

    fn advertised(&self, local: SocketAddr, peer: IpAddr) -> SocketAddr {
        self.0.shared.config.advertised(local, peer)
    }
}

impl TransportConfig {
    /// What we call ourselves towards a peer.
    fn advertised(&self, local: SocketAddr, peer: IpAddr) -> SocketAddr {
        match self.public_address {
            Some(public) if !peer.to_canonical().is_loopback() => {
                SocketAddr::new(public, local.port())
            }
            _ => local,
        }
    }
}

impl Shared {
    /// Whether a message from there is taken in; counted if not.
    fn admits(&self, ip: IpAddr) -> bool {
        let admitted = lock(&self.gate).admits(self.clock.monotonic(), ip.to_canonical());
        if !admitted {
            self.counters.count(Count::RateLimited);
        }
        admitted
    }

    /// Reads a message; none: it is no SIP, and counted. Should the grammar break down over one,
    /// the next is read all the same.
    fn read(&self, bytes: &[u8], from: SocketAddr) -> Option<(SipMessage, SocketAddr)> {
        let parsed = catch_unwind(|| message::parse(bytes)).ok().and_then(Result::ok);
        let read = parsed.and_then(|mut message| {
            let back = match &mut message {
                SipMessage::Request(request) => {
                    request.set_received(from);
                    request.reply_to()?
                }
                SipMessage::Response(_) => from,
            };
            Some((message, back))
        });
        if read.is_none() {
            self.counters.count(Count::Malformed);
        }
        read
    }
}

/// Returns when a flag is raised, or can be no more.
async fn raised(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}

#[cfg(test)]
mod tests;
