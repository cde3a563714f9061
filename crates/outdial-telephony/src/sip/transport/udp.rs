//! UDP: one socket for everything.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outdial_ports::{Clock, Monotonic};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::counters::Count;
use super::flow::{Flow, Link};
use super::{Received, Sent, Shared, TransportError, lock, raised};
use crate::sip::message::MAX_MESSAGE;

/// What the system is asked to hold of what was not read or sent yet, octets.
const BUFFER: usize = 4 * 1024 * 1024;
/// How long it is remembered by which of our addresses a peer is reached.
const ROUTE_AGE: Duration = Duration::from_secs(30);
/// For how many peers.
const ROUTES: usize = 1024;

/// Opens a socket with large buffers.
fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The system may allow less; that is no reason not to call.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    UdpSocket::from_std(socket.into())
}

/// What to do where the system holds less than it was asked to. None: nothing.
fn advice(sysctl: &str, granted: usize) -> Option<String> {
    // Linux tells twice of what it grants.
    let granted = if cfg!(target_os = "linux") { granted / 2 } else { granted };
    (granted < BUFFER).then(|| {
        format!("{granted} octets instead of {BUFFER}: set {sysctl}={BUFFER} where calls are many")
    })
}

/// Says once how much less the system holds than it was asked to.
pub(super) fn tell_of_buffers(socket: &UdpSocket) {
    let socket = socket2::SockRef::from(socket);
    let received = socket.recv_buffer_size().ok();
    let sent = socket.send_buffer_size().ok();
    for (buffer, sysctl, granted) in
        [("receive", "net.core.rmem_max", received), ("send", "net.core.wmem_max", sent)]
    {
        if let Some(advice) = granted.and_then(|granted| advice(sysctl, granted)) {
            tracing::warn!(buffer, advice, "the system grants less for SIP over UDP than asked");
        }
    }
}

/// UDP and TCP on one port.
pub(super) async fn bind_with_tcp(
    listen: SocketAddr,
) -> Result<(UdpSocket, TcpListener), TransportError> {
    let mut tries = if listen.port() == 0 { 16 } else { 1 };
    loop {
        tries -= 1;
        let udp = bind(listen).map_err(|e| TransportError::Listen(listen, "udp", e))?;
        let port = udp.local_addr().map_or(listen.port(), |addr| addr.port());
        match TcpListener::bind(SocketAddr::new(listen.ip(), port)).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(_) if tries > 0 => {}
            Err(error) => return Err(TransportError::Listen(listen, "tcp", error)),
        }
    }
}

/// The socket, and which of our addresses leads where.
pub(crate) struct UdpEnd {
    socket: UdpSocket,
    /// As bound.
    pub(super) local: SocketAddr,
    public: Option<IpAddr>,
    clock: Arc<dyn Clock>,
    routes: Mutex<BTreeMap<IpAddr, (IpAddr, Monotonic)>>,
}

impl UdpEnd {
    pub(super) fn new(
        socket: UdpSocket,
        local: SocketAddr,
        public: Option<IpAddr>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { socket, local, public, clock, routes: Mutex::default() }
    }

    /// Our address on the way to a peer. Asks the system's routes; nothing is sent.
    pub(super) fn local_for(&self, peer: IpAddr) -> io::Result<SocketAddr> {
        if !self.local.ip().is_unspecified() {
            return Ok(self.local);
        }
        let now = self.clock.monotonic();
        if let Some((ip, until)) = lock(&self.routes).get(&peer)
            && *until > now
        {
            return Ok(SocketAddr::new(*ip, self.local.port()));
        }
        let any: IpAddr = match peer {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let probe = std::net::UdpSocket::bind((any, 0))?;
        probe.connect((peer, 9))?;
        let ip = probe.local_addr()?.ip();
        let mut routes = lock(&self.routes);
        if routes.len() >= ROUTES {
            routes.clear();
        }
        routes.insert(peer, (ip, now.after(ROUTE_AGE)));
        Ok(SocketAddr::new(ip, self.local.port()))
    }

    /// Sends; a datagram leaves whole or not at all.
    pub(super) async fn send(&self, bytes: &[u8], to: SocketAddr, by: Monotonic) -> Sent {
        if bytes.len() > MAX_MESSAGE {
            return Sent::Nothing("too large".to_owned());
        }
        let to = self.on_wire(to);
        loop {
            if self.clock.monotonic() >= by {
                return Sent::Nothing("late".to_owned());
            }
            match self.socket.try_send_to(bytes, to) {
                Ok(_) => return Sent::Whole,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Sent::Nothing(error.to_string()),
            }
            tokio::select! {
                ready = self.socket.writable() => if let Err(error) = ready {
                    return Sent::Nothing(error.to_string());
                },
                () = self.clock.sleep_until(by) => {}
            }
        }
    }

    /// A socket of IPv6 knows addresses of IPv4 by another name.
    fn on_wire(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.local.is_ipv6() => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
            }
            _ => to,
        }
    }
}

/// Takes in what comes, until the sockets close.
pub(super) async fn receive(udp: Arc<UdpEnd>, shared: Arc<Shared>) {
    let mut closing = shared.closing.subscribe();
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let received = tokio::select! {
            biased;
            () = raised(&mut closing) => return,
            received = udp.socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((length, from)) => {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                take(&udp, &shared, &buffer[..length], from);
            }
            // An answer of the network to something that was sent before; it says nothing of what
            // comes. Should it repeat itself without end, others must still get their turn.
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be received");
                tokio::task::yield_now().await;
            }
        }
    }
}

fn take(udp: &Arc<UdpEnd>, shared: &Shared, datagram: &[u8], from: SocketAddr) {
    if from.port() == 0 || !shared.admits(from.ip()) {
        return;
    }
    // Peers keep the way through their network open with next to nothing.
    if datagram.len() <= 4 {
        shared.counters.count(Count::KeepAlive);
        return;
    }
    let Some((message, back)) = shared.read(datagram, from) else { return };
    let Ok(local) = udp.local_for(from.ip()) else { return };
    let local = match udp.public {
        Some(public) if !from.ip().is_loopback() => SocketAddr::new(public, local.port()),
        _ => local,
    };
    let flow = Flow::new(Link::Udp(Arc::clone(udp)), back, local);
    let what = match shared.queue.try_send(Received { message, from, flow }) {
        Ok(()) => Count::Received,
        Err(_) => Count::QueueFull,
    };
    shared.counters.count(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_granted_and_what_to_set() {
        let told = |granted| if cfg!(target_os = "linux") { granted * 2 } else { granted };
        assert_eq!(advice("net.core.rmem_max", told(BUFFER)), None);
        let less = advice("net.core.rmem_max", told(212_992)).unwrap();
        assert!(less.starts_with("212992 octets instead of 4194304"), "{less}");
        assert!(less.contains("net.core.rmem_max=4194304"), "{less}");
    }
}
