//! The ports that sound comes in at: even ones, each of one call at a time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use outdial_ports::Clock;
use thiserror::Error;
use tokio::net::UdpSocket;

use super::session::RtpSession;
use super::source::Source;

/// How often the OS is asked for a port until an even one is free.
const TRIES: u32 = 64;

/// Why there is no port.
#[derive(Debug, Error)]
pub(crate) enum RtpError {
    /// There is no even port in the range.
    #[error("no even port between {} and {}", .0.start(), .0.end())]
    Range(RangeInclusive<u16>),
    /// Every port of the range is taken.
    #[error("every RTP port is taken")]
    Full,
    /// The address cannot be used.
    #[error("no RTP port: {0}")]
    Io(#[from] io::Error),
}

/// Hands out ports.
pub(crate) struct RtpPorts {
    ip: IpAddr,
    /// The first and the last even one.
    range: Option<(u16, u16)>,
    /// Where to go on, so that a port rests before it is used again; 0: wherever the OS says.
    next: Mutex<u16>,
    clock: Arc<dyn Clock>,
}

impl RtpPorts {
    /// Even ports of `ip` in `range`; none: the OS chooses.
    pub(crate) fn new(
        ip: IpAddr,
        range: Option<RangeInclusive<u16>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, RtpError> {
        let even = |range: RangeInclusive<u16>| {
            let (first, last) = (range.start().next_multiple_of(2).max(2), range.end() & !1);
            if first <= last { Ok((first, last)) } else { Err(RtpError::Range(range)) }
        };
        let range = match range {
            // Above it there is no even one.
            Some(range) if *range.start() == u16::MAX => return Err(RtpError::Range(range)),
            range => range.map(even).transpose()?,
        };
        let next = Mutex::new(range.map_or(0, |(first, _)| first));
        Ok(Arc::new(Self { ip, range, next, clock }))
    }

    /// A port, bound. Must be called within a tokio runtime.
    pub(crate) fn open(&self) -> Result<RtpPort, RtpError> {
        let socket = match self.range {
            Some((first, last)) => self.next_of(first, last)?,
            None => self.any()?,
        };
        Ok(RtpPort { socket, clock: Arc::clone(&self.clock) })
    }

    fn next_of(&self, first: u16, last: u16) -> Result<UdpSocket, RtpError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..=(last - first) / 2 {
            let port = *next;
            *next = if port >= last { first } else { port + 2 };
            match bind(self.ip, port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                other => return Ok(other?),
            }
        }
        Err(RtpError::Full)
    }

    /// The next one after the last; where somebody has it, wherever the OS finds one. To ask the OS
    /// for each would cost many times as much once most are taken, and let none rest.
    fn any(&self) -> Result<UdpSocket, RtpError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TRIES {
            let port = *next;
            *next = port.checked_add(2).unwrap_or(0);
            if port > 0
                && let Ok(socket) = bind(self.ip, port)
            {
                return Ok(socket);
            }
            *next = bind(self.ip, 0)?.local_addr()?.port() & !1;
        }
        Err(RtpError::Full)
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(SocketAddr::new(ip, port))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// A port of one call, bound.
pub(crate) struct RtpPort {
    pub(super) socket: UdpSocket,
    pub(super) clock: Arc<dyn Clock>,
}

impl RtpPort {
    /// Its number.
    pub(crate) fn port(&self) -> u16 {
        self.local().port()
    }

    /// Where it is bound.
    pub(crate) fn local(&self) -> SocketAddr {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.socket.local_addr().unwrap_or(nowhere)
    }

    /// Begins to take in packets, and to send `source` once it is known where to. `chance` is a
    /// uniformly distributed number.
    pub(crate) fn start(self, source: Source, chance: u64) -> RtpSession {
        RtpSession::start(self, source, chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::tests::clock;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn the_os_gives_even_ones() {
        let ports = RtpPorts::new(HOST, None, clock()).unwrap();
        let all: Vec<_> = (0..20).map(|_| ports.open().unwrap()).collect();
        assert!(all.iter().all(|port| port.port() % 2 == 0 && port.port() != 0));
    }

    #[tokio::test]
    async fn a_range_is_used_up_and_used_again() {
        let free = RtpPorts::new(HOST, None, clock()).unwrap();
        // Somewhere a few neighbours are free.
        for _ in 0..50 {
            let base = free.open().unwrap().port();
            let Some(end) = base.checked_add(5) else { continue };
            let ports = RtpPorts::new(HOST, Some(base - 1..=end), clock()).unwrap();
            let mut all: Vec<_> = (0..3).filter_map(|_| ports.open().ok()).collect();
            if all.len() < 3 {
                continue;
            }
            assert!(matches!(ports.open(), Err(RtpError::Full)));
            let given_back = all.remove(1).port();
            assert_eq!(ports.open().unwrap().port(), given_back);
            return;
        }
        panic!("never three neighbours free");
    }

    #[test]
    fn a_range_without_an_even_port_is_none() {
        for (first, last) in [(5_001, 5_001), (5_003, 5_001), (u16::MAX, u16::MAX), (0, 1)] {
            let made = RtpPorts::new(HOST, Some(first..=last), clock());
            assert!(matches!(made, Err(RtpError::Range(_))), "{first} to {last}");
        }
    }
}
