//! A way to a peer, and what we call ourselves on it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use outdial_ports::store::Transport;

use super::stream::Connection;
use super::udp::UdpEnd;

/// A way to a peer: our UDP socket and its address, or a connection.
#[derive(Clone)]
pub(crate) struct Flow {
    link: Link,
    peer: SocketAddr,
    /// What we call ourselves.
    local: SocketAddr,
}

#[derive(Clone)]
pub(super) enum Link {
    Udp(Arc<UdpEnd>),
    Stream(Arc<Connection>),
}

impl Flow {
    pub(super) fn new(link: Link, peer: SocketAddr, local: SocketAddr) -> Self {
        Self { link, peer, local }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The beginning of a `Via`: `SIP/2.0/UDP host:port`.
    pub(crate) fn via(&self) -> String {
        let protocol = match self.transport() {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        };
        format!("SIP/2.0/{protocol} {}", self.local)
    }

    /// The end of a contact's URI: `host:port`, with its transport unless that is UDP.
    pub(crate) fn contact(&self) -> String {
        match self.transport() {
            Transport::Udp => self.local.to_string(),
            other => format!("{};transport={}", self.local, other.as_str()),
        }
    }

    /// Our address, as the peer should know it.
    pub(crate) fn local_ip(&self) -> IpAddr {
        self.local.ip()
    }

    /// The transport delivers or says that it did not.
    pub(crate) fn is_reliable(&self) -> bool {
        matches!(self.link, Link::Stream(_))
    }

    /// How messages travel.
    pub(crate) fn transport(&self) -> Transport {
        match &self.link {
            Link::Udp(_) => Transport::Udp,
            Link::Stream(connection) => connection.transport,
        }
    }

    /// Whom it leads to.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection is gone; over UDP never.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&self.link, Link::Stream(connection) if connection.is_closed())
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flow({} {} -> {})", self.transport().as_str(), self.local, self.peer)
    }
}
