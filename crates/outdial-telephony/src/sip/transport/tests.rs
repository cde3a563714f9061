//! Two ends of our own on the loopback, and peers that misbehave.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::time::Timestamp;
use outdial_ports::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::*;

struct TestClock(std::time::Instant);

#[async_trait::async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(self.monotonic().0)
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed())
    }
    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until((self.0 + at.0).into()).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
fn clock() -> Arc<dyn Clock> {
    Arc::new(TestClock(std::time::Instant::now()))
}

struct End {
    transports: Transports,
    received: mpsc::Receiver<Received>,
    clock: Arc<dyn Clock>,
}

impl End {
    async fn open(change: impl FnOnce(&mut TransportConfig)) -> Self {
        let mut config = TransportConfig::new("127.0.0.1:0".parse().unwrap());
        change(&mut config);
        let clock = clock();
        let (transports, received) =
            Transports::open(config, Arc::clone(&clock)).await.expect("the loopback has ports");
        Self { transports, received, clock }
    }

    fn peer(&self, transport: Transport) -> Peer {
        let addr = match transport {
            Transport::Udp => self.transports.udp_addr(),
            Transport::Tcp => self.transports.tcp_addr(),
            Transport::Tls => self.transports.tls_addr().unwrap(),
        };
        Peer { transport, addr, host: Some("localhost".to_owned()), verify: true }
    }

    fn soon(&self) -> Monotonic {
        self.clock.monotonic().after(Duration::from_secs(5))
    }

    async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(Duration::from_secs(5), self.received.recv());
        next.await.expect("a message in time").expect("the sockets are open")
    }

    async fn until(&self, what: Count, at_least: u64) {
        let by = self.soon();
        while self.transports.counters().get(what) < at_least {
            assert!(self.clock.monotonic() < by, "{:?}", self.transports.counters().all());
            tokio::task::yield_now().await;
        }
    }
}

fn options(via: &str, call_id: &str) -> Bytes {
    Bytes::from(format!(
        "OPTIONS sip:a@example.com SIP/2.0\r\nVia: {via};branch=z9hG4bK1;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn answer(received: &Received) -> Bytes {
    let SipMessage::Request(request) = &received.message else { panic!("a request came") };
    message::ResponseBuilder::to(request, 200).to_tag("x").build().unwrap()
}

/// A certificate for `localhost`, which is its own root.
fn with_certificate(dir: &std::path::Path) -> TlsListen {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificates, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&certificates, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    TlsListen { listen: "127.0.0.1:0".parse().unwrap(), certificates, key }
}

#[tokio::test]
async fn there_and_back_over_each() {
    let dir = tempfile::tempdir().unwrap();
    let tls = with_certificate(dir.path());
    let ca = tls.certificates.clone();
    let mut far = End::open(|config| config.tls = Some(tls)).await;
    let mut near = End::open(|config| config.extra_ca = Some(ca)).await;
    for transport in Transport::ALL {
        let flow = near.transports.connect(&far.peer(transport), near.soon()).await.unwrap();
        assert_eq!(flow.transport(), transport);
        let call_id = transport.as_str();
        let request = options(&flow.via(), call_id);
        assert_eq!(near.transports.send(&flow, request, None).await, Sent::Whole);
        let came = far.next().await;
        assert_eq!(came.message.head().call_id, call_id);
        assert_eq!(came.flow.transport(), transport);
        assert_eq!(far.transports.send(&came.flow, answer(&came), None).await, Sent::Whole);
        let back = near.next().await;
        assert_eq!(back.message.head().call_id, call_id);
        assert_eq!(back.from, flow.peer());
        // Streams: the connection that stands is used again.
        let again = near.transports.connect(&far.peer(transport), near.soon()).await.unwrap();
        assert_eq!(format!("{again:?}"), format!("{flow:?}"));
    }
    assert_eq!(far.transports.counters().get(Count::Received), 3);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tls = with_certificate(dir.path());
    let ca = tls.certificates.clone();
    let far = End::open(|config| config.tls = Some(tls)).await;
    let near = End::open(|config| config.extra_ca = Some(ca)).await;
    let mut peer = Peer { host: Some("elsewhere.example".to_owned()), ..far.peer(Transport::Tls) };
    let refused = near.transports.connect(&peer, near.soon()).await;
    assert!(matches!(refused, Err(TransportError::Connect(_))), "{refused:?}");
    assert_eq!(near.transports.counters().get(Count::TlsFailed), 1);
    peer.verify = false;
    near.transports.connect(&peer, near.soon()).await.unwrap();
}

#[tokio::test]
async fn nothing_leaves_late() {
    let mut far = End::open(|_| {}).await;
    let near = End::open(|_| {}).await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let flow = near.transports.connect(&far.peer(transport), near.soon()).await.unwrap();
        let late = Some(near.clock.monotonic());
        let sent = near.transports.send(&flow, options(&flow.via(), "late"), late).await;
        assert_eq!(sent, Sent::Nothing("late".to_owned()));
        let sent = near.transports.send(&flow, options(&flow.via(), "in-time"), None).await;
        assert_eq!(sent, Sent::Whole, "{transport:?}");
        assert_eq!(far.next().await.message.head().call_id, "in-time");
    }
}

#[tokio::test]
async fn a_write_that_is_not_taken_whole_closes_the_connection() {
    // A peer that never reads.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = End::open(|_| {}).await;
    let addr = listener.local_addr().unwrap();
    let peer = Peer { transport: Transport::Tcp, addr, host: None, verify: true };
    let flow = near.transports.connect(&peer, near.soon()).await.unwrap();
    let _deaf = listener.accept().await.unwrap();
    let large = Bytes::from(vec![b'x'; 60_000]);
    let mut sent = Sent::Whole;
    for _ in 0..1000 {
        let by = near.clock.monotonic().after(Duration::from_millis(200));
        sent = near.transports.send(&flow, large.clone(), Some(by)).await;
        if sent != Sent::Whole {
            break;
        }
    }
    assert!(matches!(&sent, Sent::Partly(why) | Sent::Nothing(why) if why == "late"), "{sent:?}");
    assert!(flow.is_closed());
    let after = near.transports.send(&flow, large, None).await;
    assert_eq!(after, Sent::Nothing("the connection is closed".to_owned()));
    let again = near.transports.connect(&peer, near.soon()).await.unwrap();
    assert!(!again.is_closed());
}

#[tokio::test]
async fn no_connection_is_said_in_time() {
    let near = End::open(|_| {}).await;
    let addr = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap()
    };
    let peer = Peer { transport: Transport::Tcp, addr, host: None, verify: true };
    let refused = near.transports.connect(&peer, near.soon()).await;
    assert!(matches!(refused, Err(TransportError::Connect(_))), "{refused:?}");
    // A peer that accepts and then says nothing of TLS.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = mute.local_addr().unwrap();
    let peer = Peer { transport: Transport::Tls, addr, host: None, verify: false };
    let by = near.clock.monotonic().after(Duration::from_millis(100));
    let late = near.transports.connect(&peer, by).await;
    assert!(matches!(late, Err(TransportError::Late)), "{late:?}");
}

#[tokio::test]
async fn strangers_get_a_trickle_and_noise_is_counted() {
    let strangers = Rate { burst: 10, per_second: 1 };
    let mut far = End::open(|config| config.bounds.strangers = strangers).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = far.transports.udp_addr();
    for n in 0..8_u8 {
        stranger.send_to(&[n; 100], to).await.unwrap();
    }
    stranger.send_to(b"\r\n\r\n", to).await.unwrap();
    far.until(Count::Malformed, 8).await;
    for _ in 0..50 {
        stranger.send_to(&options("SIP/2.0/UDP 127.0.0.1:9", "noise"), to).await.unwrap();
    }
    far.until(Count::RateLimited, 45).await;
    assert!(far.transports.counters().get(Count::Received) <= 5);
    far.transports.trust("127.0.0.1".parse().unwrap());
    for _ in 0..50 {
        stranger.send_to(&options("SIP/2.0/UDP 127.0.0.1:9", "call"), to).await.unwrap();
    }
    let mut calls = 0;
    while calls < 50 {
        calls += usize::from(far.next().await.message.head().call_id == "call");
    }
}

#[tokio::test]
async fn a_queue_that_is_full_loses_datagrams_and_counts_them() {
    let far = End::open(|config| config.bounds.queue = 2).await;
    let near = End::open(|_| {}).await;
    far.transports.trust("127.0.0.1".parse().unwrap());
    let flow = near.transports.connect(&far.peer(Transport::Udp), near.soon()).await.unwrap();
    for _ in 0..10 {
        near.transports.send(&flow, options(&flow.via(), "x"), None).await;
    }
    far.until(Count::QueueFull, 8).await;
    assert_eq!(far.transports.counters().get(Count::Received), 2);
}

#[tokio::test]
async fn streams_that_cannot_be_followed_are_closed_and_pings_answered() {
    let mut far = End::open(|config| config.bounds.connections_per_source = 2).await;
    let to = far.transports.tcp_addr();
    let mut good = TcpStream::connect(to).await.unwrap();
    good.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    good.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    let mut bad = TcpStream::connect(to).await.unwrap();
    bad.write_all(b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999\r\n\r\n").await.unwrap();
    assert_eq!(bad.read(&mut pong).await.unwrap(), 0, "closed");
    far.until(Count::BadFraming, 1).await;
    // A message in pieces, on the connection that is still good.
    for piece in options("SIP/2.0/TCP 127.0.0.1:9", "pieces").chunks(7) {
        good.write_all(piece).await.unwrap();
        good.flush().await.unwrap();
    }
    assert_eq!(far.next().await.message.head().call_id, "pieces");
}

#[tokio::test]
async fn connections_of_a_source_are_bounded() {
    let far = End::open(|config| config.bounds.connections_per_source = 2).await;
    let to = far.transports.tcp_addr();
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = TcpStream::connect(to).await.unwrap();
        connection.write_all(b"\r\n\r\n").await.unwrap();
        connection.read_u16().await.unwrap();
        held.push(connection);
    }
    let mut third = TcpStream::connect(to).await.unwrap();
    assert_eq!(third.read(&mut [0; 2]).await.unwrap(), 0, "closed");
    assert_eq!(far.transports.counters().get(Count::ConnectionRefused), 1);
}

#[tokio::test]
async fn with_the_last_handle_everything_closes() {
    let far = End::open(|_| {}).await;
    let to = far.transports.tcp_addr();
    let mut connection = TcpStream::connect(to).await.unwrap();
    connection.write_all(b"\r\n\r\n").await.unwrap();
    connection.read_u16().await.unwrap();
    let mut received = far.received;
    drop(far.transports);
    assert_eq!(connection.read(&mut [0; 2]).await.unwrap(), 0, "closed");
    let end = tokio::time::timeout(Duration::from_secs(5), received.recv()).await.unwrap();
    assert!(end.is_none());
}

#[tokio::test]
async fn says_the_address_by_which_a_peer_is_reached() {
    let mut far = End::open(|_| {}).await;
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let mut config = TransportConfig::new(listen.parse().unwrap());
        config.public_address = Some("192.0.2.1".parse().unwrap());
        let opened = Transports::open(config, clock()).await;
        // A machine without IPv6 has nothing to show.
        let Ok((near, mut received)) = opened else { continue };
        let port = near.udp_addr().port();
        let flow = near.connect(&far.peer(Transport::Udp), far.soon()).await.unwrap();
        assert_eq!(flow.via(), format!("SIP/2.0/UDP 127.0.0.1:{port}"));
        assert_eq!(near.send(&flow, options(&flow.via(), "x"), None).await, Sent::Whole);
        let came = far.next().await;
        assert_eq!(came.from, SocketAddr::new("127.0.0.1".parse().unwrap(), port));
        far.transports.send(&came.flow, answer(&came), None).await;
        assert_eq!(received.recv().await.unwrap().from, far.transports.udp_addr());
        let flow = near.connect(&far.peer(Transport::Tcp), far.soon()).await.unwrap();
        assert_eq!(flow.contact(), format!("127.0.0.1:{port};transport=tcp"));
    }
    let mut config = TransportConfig::new("0.0.0.0:5060".parse().unwrap());
    let local = "10.0.0.1:5060".parse().unwrap();
    let elsewhere = "198.51.100.1".parse().unwrap();
    assert_eq!(config.advertised(local, elsewhere), local);
    config.public_address = Some("192.0.2.1".parse().unwrap());
    assert_eq!(config.advertised(local, elsewhere), "192.0.2.1:5060".parse().unwrap());
}

/// A server of its own on the loopback, that says nothing.
async fn mute(ip: &str) -> (TcpListener, Peer) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, Peer { transport: Transport::Tcp, addr, host: None, verify: true })
}

/// The far end of a connection.
async fn ends(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

#[tokio::test]
async fn connections_that_we_made_are_bounded_and_those_with_calls_stay() {
    for per_host in [true, false] {
        let near = End::open(|config| {
            let bounds = &mut config.bounds;
            (bounds.made_per_host, bounds.made) = if per_host { (2, 100) } else { (100, 2) };
        })
        .await;
        let ips = if per_host {
            ["127.0.0.1"; 4]
        } else {
            ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
        };
        let mut all = Vec::new();
        for ip in ips {
            all.push(mute(ip).await);
        }
        let connect = async |n: usize| near.transports.connect(&all[n].1, near.soon()).await;
        let held = connect(0).await.unwrap();
        drop(connect(1).await.unwrap());
        let mut idle = ends(&all[1].0).await;
        // The one without a call makes room, also though it was wanted later.
        let also_held = connect(2).await.unwrap();
        assert_eq!(idle.read(&mut [0; 2]).await.unwrap(), 0, "closed");
        assert!(!held.is_closed() && !also_held.is_closed());
        let full = connect(3).await;
        assert!(matches!(full, Err(TransportError::Connect(_))), "{full:?}");
        assert_eq!(near.transports.counters().get(Count::ConnectionsFull), 1);
        assert!(connect(0).await.is_ok(), "what stands is used");
        drop(held);
        connect(3).await.unwrap();
        assert!(!also_held.is_closed());
        assert_eq!(near.transports.counters().get(Count::ConnectionIdle), 2);
    }
}

#[tokio::test]
async fn the_one_that_was_wanted_longest_ago_goes_first() {
    let near = End::open(|config| config.bounds.made = 2).await;
    let (first, second, third) =
        (mute("127.0.0.1").await, mute("127.0.0.1").await, mute("127.0.0.1").await);
    for peer in [&first.1, &second.1, &first.1, &third.1] {
        near.transports.connect(peer, near.soon()).await.unwrap();
    }
    let (mut of_first, mut of_second) = (ends(&first.0).await, ends(&second.0).await);
    assert_eq!(of_second.read(&mut [0; 2]).await.unwrap(), 0, "closed");
    let flow = near.transports.connect(&first.1, near.soon()).await.unwrap();
    near.transports.send(&flow, options("SIP/2.0/TCP h", "x"), None).await;
    assert!(of_first.read(&mut [0; 2]).await.unwrap() > 0, "it stands");
}

#[tokio::test]
async fn a_connection_that_nobody_wants_is_closed_after_a_while() {
    let near = End::open(|config| config.bounds.idle = Duration::from_millis(50)).await;
    let (listener, peer) = mute("127.0.0.1").await;
    let (other, held) = mute("127.0.0.1").await;
    let held = near.transports.connect(&held, near.soon()).await.unwrap();
    let _held_there = ends(&other).await;
    drop(near.transports.connect(&peer, near.soon()).await.unwrap());
    let mut idle = ends(&listener).await;
    let read = tokio::time::timeout(Duration::from_secs(5), idle.read(&mut [0; 2])).await;
    assert_eq!(read.expect("in time").unwrap(), 0, "closed");
    assert!(!held.is_closed());
    let again = near.transports.connect(&peer, near.soon()).await.unwrap();
    assert!(!again.is_closed(), "it is made again");
}
