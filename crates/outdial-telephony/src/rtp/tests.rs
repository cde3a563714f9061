//! Sound over real sockets on the loopback; never over any other network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::time::Timestamp;
use outdial_ports::{Clock, Monotonic};
use tokio::net::UdpSocket;

use super::packet::{self, Header};
use super::*;
use crate::sip::sdp::{Codec, Direction, Remote};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The machine's clock as a port.
struct RealClock(tokio::time::Instant);

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(self.monotonic().0)
    }
    #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
    fn monotonic(&self) -> Monotonic {
        Monotonic(tokio::time::Instant::now() - self.0)
    }
    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until(self.0 + at.0).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(RealClock(tokio::time::Instant::now()))
}

fn port() -> RtpPort {
    RtpPorts::new(HOST, None, clock()).unwrap().open().unwrap()
}

fn remote(addr: SocketAddr) -> Remote {
    Remote { addr, codec: Codec::Pcmu, dtmf: Some(101), direction: Direction::SendRecv }
}

async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

async fn receive(socket: &UdpSocket) -> (Header, Vec<u8>) {
    let mut buffer = [0; 2_000];
    let got = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer));
    let length = got.await.expect("a packet in time").unwrap();
    let (header, payload) = packet::read(&buffer[..length]).unwrap();
    (header, payload.to_vec())
}

/// Waits until the counts are as wanted.
async fn until(session: &RtpSession, is_so: impl Fn(RtpStats) -> bool) -> RtpStats {
    for _ in 0..1_000 {
        if is_so(session.stats()) {
            return session.stats();
        }
        // tidy: sleeps because it polls until a deadline
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", session.stats());
}

fn sound(kind: u8, sequence: u16) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 160;
    let header = Header { marker: false, payload_type: kind, sequence, timestamp, ssrc: 5 };
    [&header.write()[..], &[0xff; 160]].concat()
}

#[tokio::test]
async fn two_of_us_hear_each_other() {
    let (one, two) = (port(), port());
    let at = |p: &RtpPort| SocketAddr::new(HOST, p.port());
    let (one_at, two_at) = (at(&one), at(&two));
    let one = one.start(Source::tone(), 0x1111_2222_3333_4444);
    let two = two.start(Source::Silence, 0x5555_6666_7777_8888);
    one.set_remote(remote(two_at));
    two.set_remote(remote(one_at));
    let heard = until(&one, |s| s.received >= 25).await;
    assert_eq!((heard.lost, heard.dropped), (0, 0));
    let heard = until(&two, |s| s.received >= 25 && s.sent >= 25).await;
    assert_eq!((heard.lost, heard.dropped), (0, 0));
}

#[tokio::test]
async fn nothing_leaves_before_it_is_known_where_to_nor_on_hold() {
    let ours = port();
    let ours_at = SocketAddr::new(HOST, ours.port());
    let session = ours.start(Source::Silence, 1);
    let (socket, addr) = peer().await;
    // It comes before the description: it moves nothing.
    socket.send_to(&sound(0, 1), ours_at).await.unwrap();
    let stats = until(&session, |s| s.dropped == 1).await;
    assert_eq!((stats.sent, stats.received), (0, 0));

    session.set_remote(remote(addr));
    let (first, payload) = receive(&socket).await;
    assert!(first.marker && payload == [0xff; 160]);
    session.set_remote(Remote { direction: Direction::RecvOnly, ..remote(addr) });
    socket.send_to(&sound(0, 2), ours_at).await.unwrap();
    let held = until(&session, |s| s.received == 1).await;
    // Five frames later nothing has left.
    // tidy: sleeps because nothing is to happen, and nothing tells so
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(session.stats().sent, held.sent);
    session.set_remote(remote(addr));
    until(&session, |s| s.sent > held.sent).await;
}

#[tokio::test]
async fn packets_go_where_they_come_from() {
    let ours = port();
    let ours_at = SocketAddr::new(HOST, ours.port());
    let session = ours.start(Source::Silence, 1);
    let ((said, said_at), (real, _), (stranger, _)) = (peer().await, peer().await, peer().await);
    session.set_remote(remote(said_at));
    let _ = receive(&said).await;

    // Not RTP, or not as agreed: no reason to go there.
    for bad in [&b"junk"[..], &sound(18, 1), &[0; 1_600]] {
        stranger.send_to(bad, ours_at).await.unwrap();
    }
    until(&session, |s| s.dropped == 3).await;
    real.send_to(&sound(101, 7), ours_at).await.unwrap();
    let _ = receive(&real).await;
    // From then on nobody else can draw it away.
    stranger.send_to(&sound(0, 8), ours_at).await.unwrap();
    until(&session, |s| s.dropped == 4).await;
    let before = session.stats().sent;
    until(&session, |s| s.sent > before + 2).await;
    let mut buffer = [0; 8];
    assert!(stranger.try_recv(&mut buffer).is_err());
    // But the address that was agreed on: whoever was quicker was not the far end.
    while said.try_recv(&mut buffer).is_ok() {}
    said.send_to(&sound(0, 9), ours_at).await.unwrap();
    let _ = receive(&said).await;
    // Another description begins anew.
    let (moved, moved_at) = peer().await;
    session.set_remote(remote(moved_at));
    let _ = receive(&moved).await;
    assert_eq!(session.stats().received, 2);
}

#[tokio::test]
async fn a_port_rests_after_its_call() {
    let ours = port();
    let number = ours.port();
    let ours_at = SocketAddr::new(HOST, number);
    let session = ours.start(Source::Silence, 1);
    let (socket, addr) = peer().await;
    session.set_remote(remote(addr));
    let _ = receive(&socket).await;
    drop(session);
    socket.send_to(&sound(0, 1), ours_at).await.unwrap();
    assert!(UdpSocket::bind(ours_at).await.is_err());
    let is_free = async {
        while UdpSocket::bind(ours_at).await.is_err() {
            // tidy: sleeps because it polls until a deadline
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_free).await.expect("given back");
}
