//! TCP and TLS: connections, made by us or by peers. A message is written whole or the connection
//! is closed; it must never be written in part and the next after it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outdial_ports::store::Transport;
use outdial_ports::{Clock, Monotonic};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio_rustls::TlsAcceptor;

use super::counters::Count;
use super::reading::Reading;
use super::{PATIENCE, Peer, Sent, Shared, TransportError, lock, raised, tls};
use crate::sip::message::MAX_MESSAGE;

/// How long a peer may not confirm what was written.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNHEARD: Duration = Duration::from_secs(20);

/// TCP, or TLS over it.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}
pub(super) type AnyWire = Box<dyn Wire>;

/// A connection that stands.
pub(crate) struct Connection {
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    /// Our address, with the port at which peers can reach us.
    pub(super) local: SocketAddr,
    /// The peer made it.
    pub(super) inbound: bool,
    pub(super) writer: Mutex<WriteHalf<AnyWire>>,
    pub(super) closed: watch::Sender<bool>,
    /// When somebody wanted it last.
    pub(super) wanted: std::sync::Mutex<Monotonic>,
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Writes a message whole before `by`, or closes.
    pub(super) async fn write(&self, bytes: &[u8], by: Monotonic, clock: &dyn Clock) -> Sent {
        if bytes.len() > MAX_MESSAGE {
            return Sent::Nothing("too large".to_owned());
        }
        let mut writer = tokio::select! {
            biased;
            () = clock.sleep_until(by) => return Sent::Nothing("late".to_owned()),
            writer = self.writer.lock() => writer,
        };
        if self.is_closed() {
            return Sent::Nothing("the connection is closed".to_owned());
        }
        if clock.monotonic() >= by {
            return Sent::Nothing("late".to_owned());
        }
        let mut unfinished = Unfinished { connection: self, whole: false };
        // TLS takes octets before it knows whether they can leave.
        let tls = self.transport == Transport::Tls;
        let mut taken = 0;
        let why = loop {
            let wrote = tokio::select! {
                biased;
                () = clock.sleep_until(by) => break "late".to_owned(),
                wrote = writer.write(&bytes[taken..]) => wrote,
            };
            match wrote {
                Ok(0) => break "the connection takes nothing".to_owned(),
                Ok(more) => taken += more,
                Err(error) => break error.to_string(),
            }
            if taken < bytes.len() {
                continue;
            }
            let flushed = tokio::select! {
                biased;
                () = clock.sleep_until(by) => break "late".to_owned(),
                flushed = writer.flush() => flushed,
            };
            match flushed {
                Ok(()) => {
                    unfinished.whole = true;
                    return Sent::Whole;
                }
                Err(error) => break error.to_string(),
            }
        };
        if taken == 0 && !tls { Sent::Nothing(why) } else { Sent::Partly(why) }
    }
}

/// Closes the connection unless the message is whole, also when its writer is dropped half-way.
struct Unfinished<'a> {
    connection: &'a Connection,
    whole: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.connection.close();
        }
    }
}

/// Makes a connection.
pub(super) async fn dial(
    peer: &Peer,
    listening: Option<u16>,
    shared: &Arc<Shared>,
) -> Result<Arc<Connection>, TransportError> {
    let failed = |error: io::Error| TransportError::Connect(error.to_string());
    let stream = TcpStream::connect(peer.addr).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    // Else what is written into a connection that is dead unnoticed counts as sent for minutes.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNHEARD)).map_err(failed)?;
    let mut local = canonical(stream.local_addr().map_err(failed)?);
    local.set_port(listening.unwrap_or(local.port()));
    let wire: AnyWire = if peer.transport == Transport::Tls {
        let connector = shared.tls.connector(peer).await?;
        let name = tls::server_name(peer)?;
        let handshake = connector.connect(name, stream).await;
        Box::new(handshake.map_err(|error| {
            shared.counters.count(Count::TlsFailed);
            TransportError::Connect(format!("TLS: {error}"))
        })?)
    } else {
        Box::new(stream)
    };
    Ok(stand(wire, peer.transport, peer.addr, local, false, shared).0)
}

/// Puts a connection to work: from here on it is read.
fn stand(
    wire: AnyWire,
    transport: Transport,
    peer: SocketAddr,
    local: SocketAddr,
    inbound: bool,
    shared: &Arc<Shared>,
) -> (Arc<Connection>, tokio::task::JoinHandle<()>) {
    let (reader, writer) = tokio::io::split(wire);
    let closed = watch::channel(false).0;
    let writer = Mutex::new(writer);
    let wanted = std::sync::Mutex::new(shared.clock.monotonic());
    let made = Connection { transport, peer, local, inbound, writer, closed, wanted };
    let connection = Arc::new(made);
    let reading = Reading::new(Arc::clone(&connection), Arc::clone(shared));
    (connection, tokio::spawn(reading.run(reader)))
}

/// Takes connections of peers, until the sockets close.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    port: u16,
    shared: Arc<Shared>,
) {
    let mut closing = shared.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            () = raised(&mut closing) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let from = canonical(from);
                let serve = serve(stream, from, tls.clone(), port, Arc::clone(&shared));
                match room_for(&shared, from) {
                    Some(seat) => drop(tokio::spawn(async move {
                        serve.await;
                        drop(seat);
                    })),
                    None => shared.counters.count(Count::ConnectionRefused),
                }
            }
            // No file descriptors left: they do not come back faster by asking.
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                let later = shared.clock.monotonic().after(Duration::from_millis(100));
                shared.clock.sleep_until(later).await;
            }
        }
    }
}

/// A peer's connection counts while this lives.
struct Seat {
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.shared.inbound).remove(&self.id);
    }
}

fn room_for(shared: &Arc<Shared>, from: SocketAddr) -> Option<Seat> {
    let trusted = lock(&shared.gate).trusts(shared.clock.monotonic(), from.ip());
    let bounds = shared.config.bounds;
    let mut inbound = lock(&shared.inbound);
    let of_source = inbound.values().filter(|ip| **ip == from.ip()).count();
    // Strangers cannot take the place of those that are trusted.
    let most = if trusted { bounds.connections * 2 } else { bounds.connections };
    let full = inbound.len() >= most || (!trusted && of_source >= bounds.connections_per_source);
    if full {
        return None;
    }
    let id = shared.next_connection.fetch_add(1, Ordering::Relaxed);
    inbound.insert(id, from.ip());
    Some(Seat { id, shared: Arc::clone(shared) })
}

async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<TlsAcceptor>,
    port: u16,
    shared: Arc<Shared>,
) {
    let Ok(mut local) = stream.local_addr().map(canonical) else { return };
    local.set_port(port);
    // Without it a message waits for the one before it; it still arrives.
    let _ = stream.set_nodelay(true);
    let (wire, transport): (AnyWire, _) = match tls {
        None => (Box::new(stream), Transport::Tcp),
        Some(acceptor) => {
            let by = shared.clock.monotonic().after(PATIENCE);
            let handshake = tokio::select! {
                biased;
                handshake = acceptor.accept(stream) => handshake.ok(),
                () = shared.clock.sleep_until(by) => None,
            };
            match handshake {
                Some(stream) => (Box::new(stream), Transport::Tls),
                None => return shared.counters.count(Count::TlsFailed),
            }
        }
    };
    let (_connection, reading) = stand(wire, transport, from, local, true, &shared);
    let _ = reading.await;
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
