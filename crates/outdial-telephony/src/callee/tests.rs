//! Callees over real sockets on the loopback, called by a caller that does what it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use outdial_core::time::Timestamp;
use outdial_ports::Monotonic;
use outdial_ports::store::{Secret, Transport};
use tokio::sync::mpsc;

use super::*;
use crate::sip::digest::{Challenges, Credentials};
use crate::sip::message::{Method, RequestBuilder, Response, SipMessage, SipUri, name_addr};
use crate::sip::sdp;
use crate::sip::transport::{Flow, Peer, Received, TransportConfig, Transports};

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
fn clock() -> Arc<dyn Clock> {
    Arc::new(RealClock(tokio::time::Instant::now()))
}

/// Different each time.
struct Counting(std::sync::atomic::AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    }
}

async fn callee(change: impl FnOnce(&mut CalleeConfig)) -> Callee {
    let mut config = CalleeConfig::new("127.0.0.1:0".parse().unwrap());
    config.speed = 100.0;
    change(&mut config);
    Callee::open(config, clock(), Arc::new(Counting(1.into()))).await.unwrap()
}

/// A caller that says what it is told to say.
struct Caller {
    transports: Transports,
    received: mpsc::Receiver<Received>,
    flow: Flow,
    media: SocketAddr,
}

impl Caller {
    async fn new(addr: SocketAddr, transport: Transport) -> Self {
        let config = TransportConfig::new("127.0.0.1:0".parse().unwrap());
        let clock = clock();
        let (transports, received) = Transports::open(config, Arc::clone(&clock)).await.unwrap();
        let peer = Peer { transport, addr, host: None, verify: false };
        let by = clock.monotonic().after(Duration::from_secs(10));
        let flow = transports.connect(&peer, by).await.unwrap();
        Self { transports, received, flow, media: "127.0.0.1:9".parse().unwrap() }
    }

    async fn of(callee: &Callee) -> Self {
        Self::new(callee.udp_addr(), Transport::Udp).await
    }

    /// Sends a request; `to_tag` within a dialog. An INVITE has an offer.
    async fn ask(
        &self,
        method: &Method,
        number: u64,
        cseq: u32,
        to_tag: Option<&str>,
        extra: &[(&'static str, String)],
    ) {
        let peer = self.flow.peer();
        let digits = number.to_string();
        let uri = SipUri::new(Some(&digits), &peer.ip().to_string(), Some(peer.port())).unwrap();
        let from = SipUri::new(Some("12125550000"), "127.0.0.1", None).unwrap();
        // An ACK of a refusal and a CANCEL belong to the transaction of the INVITE.
        let branch = match (method, to_tag) {
            (Method::Invite | Method::Cancel, None) => format!("z9hG4bK{number}i{cseq}"),
            _ => format!("z9hG4bK{number}{method}{cseq}"),
        };
        let mut builder = RequestBuilder::new(method, &uri)
            .header("Via", format_args!("{};branch={branch};rport", self.flow.via()))
            .header("Max-Forwards", 70)
            .header("From", name_addr(&from, Some("caller")))
            .header("To", name_addr(&uri, to_tag))
            .header("Call-ID", format_args!("call-{number}"))
            .header("CSeq", format_args!("{cseq} {method}"))
            .header("Contact", format_args!("<sip:o@{}>", self.flow.contact()));
        for (name, value) in extra {
            builder = builder.header(name, value);
        }
        if *method == Method::Invite {
            builder = builder.body(sdp::CONTENT_TYPE, sdp::offer(1, 1, self.media));
        }
        self.send(builder.build().unwrap()).await;
    }

    async fn send(&self, bytes: Bytes) {
        let sent = self.transports.send(&self.flow, bytes, None).await;
        assert_eq!(sent, crate::sip::transport::Sent::Whole);
    }

    async fn next(&mut self) -> SipMessage {
        let got = tokio::time::timeout(Duration::from_secs(10), self.received.recv());
        got.await.expect("a message in time").expect("the socket is open").message
    }

    /// The next answer with that status to that method; repetitions of others are passed over.
    async fn answer(&mut self, status: u16, method: &Method) -> Response {
        let mut others = Vec::new();
        for _ in 0..50 {
            match self.next().await {
                SipMessage::Response(r) if r.status == status && r.head.method == *method => {
                    return r;
                }
                other => others.push(other),
            }
        }
        panic!("no {status} {method}, but {others:?}");
    }

    /// Takes the BYE of the callee, and answers it.
    async fn bye(&mut self) {
        loop {
            if let SipMessage::Request(request) = self.next().await {
                assert_eq!(request.method, Method::Bye);
                let ok = crate::sip::message::ResponseBuilder::to(&request, 200).build().unwrap();
                return self.send(ok).await;
            }
        }
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        // tidy: sleeps because it polls until a deadline
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn number(ending: u64) -> u64 {
    12_125_551_000 + ending
}

fn tag_of(response: &Response) -> String {
    response.head.to.tag.clone().unwrap()
}

fn certificate(dir: &std::path::Path) -> TlsListen {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificates, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&certificates, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    TlsListen { listen: "127.0.0.1:0".parse().unwrap(), certificates, key }
}

#[tokio::test]
async fn a_call_over_each_transport() {
    let dir = tempfile::tempdir().unwrap();
    let callee = callee(|c| c.tls = Some(certificate(dir.path()))).await;
    let ways = [
        (Transport::Udp, callee.udp_addr()),
        (Transport::Tcp, callee.tcp_addr()),
        (Transport::Tls, callee.tls_addr().unwrap()),
    ];
    for (nth, (transport, addr)) in (0..).zip(ways) {
        let mut caller = Caller::new(addr, transport).await;
        let number = number(nth);
        caller.ask(&Method::Invite, number, 1, None, &[]).await;
        caller.answer(100, &Method::Invite).await;
        caller.answer(180, &Method::Invite).await;
        let answer = caller.answer(200, &Method::Invite).await;
        assert!(sdp::read_answer(&answer.body).is_some());
        let tag = tag_of(&answer);
        until("it talks", || callee.unended() == [format!("call-{number}")]).await;
        caller.ask(&Method::Ack, number, 1, Some(&tag), &[]).await;
        caller.bye().await;
        until("it is over", || callee.live() == 0).await;
        let seen = callee.invites();
        let last = seen.last().unwrap();
        assert_eq!((last.to, last.from), (Some(number), Some(12_125_550_000)));
        assert_eq!((last.transport, last.cseq, last.again), (transport, 1, false));
    }
    let methods: Vec<_> = callee.log().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["INVITE", "ACK", "INVITE", "ACK", "INVITE", "ACK"]);
}

#[tokio::test]
async fn endings_over_the_wire() {
    let callee = callee(|_| {}).await;
    for (ending, status) in [(80, 486), (85, 603), (93, 503), (95, 503), (96, 404)] {
        let mut caller = Caller::of(&callee).await;
        caller.ask(&Method::Invite, number(ending), 1, None, &[]).await;
        caller.answer(status, &Method::Invite).await;
    }
    let mut caller = Caller::of(&callee).await;
    caller.ask(&Method::Invite, number(70), 1, None, &[]).await;
    caller.answer(180, &Method::Invite).await;
    caller.ask(&Method::Cancel, number(70), 1, None, &[]).await;
    caller.answer(200, &Method::Cancel).await;
    caller.answer(487, &Method::Invite).await;
    assert_eq!(callee.live(), 0);

    // The answer crosses the CANCEL.
    caller.ask(&Method::Invite, number(98), 1, None, &[]).await;
    caller.answer(180, &Method::Invite).await;
    caller.ask(&Method::Cancel, number(98), 1, None, &[]).await;
    let tag = tag_of(&caller.answer(200, &Method::Invite).await);
    caller.ask(&Method::Ack, number(98), 1, Some(&tag), &[]).await;
    caller.ask(&Method::Bye, number(98), 2, Some(&tag), &[]).await;
    caller.answer(200, &Method::Bye).await;
    until("it is over", || callee.live() == 0).await;
}

#[tokio::test]
async fn the_third_call_is_answered() {
    let callee = callee(|_| {}).await;
    let mut caller = Caller::of(&callee).await;
    for cseq in [1, 2] {
        caller.ask(&Method::Invite, number(99), cseq, None, &[]).await;
        caller.answer(180, &Method::Invite).await;
        caller.ask(&Method::Cancel, number(99), cseq, None, &[]).await;
        caller.answer(487, &Method::Invite).await;
    }
    caller.ask(&Method::Invite, number(99), 3, None, &[]).await;
    caller.answer(200, &Method::Invite).await;
}

#[tokio::test]
async fn only_who_knows_the_password_may_call() {
    let who = |password: &str| Credentials {
        username: "trunk".into(),
        password: Secret(password.into()),
    };
    for (is_proxy, schemes, one_use) in [
        (false, vec![DigestScheme::Md5], false),
        (true, vec![DigestScheme::Md5, DigestScheme::Sha256], true),
    ] {
        let login = Login {
            username: "trunk".into(),
            password: Secret("secret".into()),
            realm: "here".into(),
            schemes,
            is_proxy,
            one_use,
        };
        let callee = callee(|c| c.login = Some(login)).await;
        let mut caller = Caller::of(&callee).await;
        let ask = if is_proxy { 407 } else { 401 };
        let uri = format!("sip:{}@{}", number(80), callee.udp_addr());
        caller.ask(&Method::Invite, number(80), 1, None, &[]).await;
        let refused = caller.answer(ask, &Method::Invite).await;
        let challenges = Challenges::of(&refused).unwrap();
        assert!(!challenges.is_stale());
        let with = |password: &str, nc| {
            challenges.authorize(&who(password), &Method::Invite, &uri, nc, "c")
        };
        caller.ask(&Method::Invite, number(80), 2, None, &with("wrong", 1)).await;
        caller.answer(403, &Method::Invite).await;
        caller.ask(&Method::Invite, number(80), 3, None, &with("secret", 1)).await;
        caller.answer(486, &Method::Invite).await;
        // The same nonce once more.
        caller.ask(&Method::Invite, number(80), 4, None, &with("secret", 2)).await;
        if one_use {
            let refused = caller.answer(ask, &Method::Invite).await;
            assert!(Challenges::of(&refused).unwrap().is_stale());
        } else {
            caller.answer(486, &Method::Invite).await;
        }
        let authorized: Vec<_> = callee.invites().iter().map(|seen| seen.authorized).collect();
        assert_eq!(authorized, [false, true, true, true]);
        // Calls are counted when they are let in.
        until("nothing is left", || callee.live() == 0).await;
    }
}

#[tokio::test]
async fn registrations_and_questions() {
    let callee = callee(|_| {}).await;
    let mut caller = Caller::of(&callee).await;
    let expires = [("Expires", "60".to_owned())];
    caller.ask(&Method::Register, 1, 1, None, &expires).await;
    let granted = caller.answer(200, &Method::Register).await;
    assert_eq!(granted.head.expires(), Some(60));
    assert_eq!(granted.head.contact().unwrap().param("expires"), Some("60"));
    caller.ask(&Method::Options, 1, 2, None, &[]).await;
    caller.answer(200, &Method::Options).await;
    caller.ask(&Method::Bye, 1, 3, Some("nobody"), &[]).await;
    caller.answer(481, &Method::Bye).await;
    caller.ask(&Method::Cancel, 1, 4, None, &[]).await;
    caller.answer(481, &Method::Cancel).await;
    caller.ask(&Method::Other("FROBNICATE".into()), 1, 5, None, &[]).await;
    caller.answer(501, &Method::Other("FROBNICATE".into())).await;
    caller.ask(&Method::Subscribe, 1, 6, None, &[]).await;
    caller.answer(405, &Method::Subscribe).await;
    // Deaf: not even written down.
    callee.set_deaf(true);
    let before = callee.log().len();
    caller.ask(&Method::Options, 1, 7, None, &[]).await;
    // tidy: sleeps because nothing is to happen, and nothing tells so
    tokio::time::sleep(Duration::from_millis(50)).await;
    callee.set_deaf(false);
    caller.ask(&Method::Options, 1, 8, None, &[]).await;
    assert_eq!(caller.answer(200, &Method::Options).await.head.cseq, 8);
    assert_eq!(callee.log().len(), before + 1);
}

#[tokio::test]
async fn sent_on_refused_and_scripted() {
    let elsewhere: SocketAddr = "127.0.0.1:5999".parse().unwrap();
    let moved = callee(|c| c.redirect = Some(elsewhere)).await;
    let mut caller = Caller::of(&moved).await;
    caller.ask(&Method::Invite, number(3), 1, None, &[]).await;
    let there = caller.answer(302, &Method::Invite).await.head.contact().unwrap().uri;
    assert_eq!(there.digits(), Some(number(3).to_string()));
    assert_eq!((there.host(), there.port()), ("127.0.0.1", Some(5_999)));

    let full = callee(|c| c.max_calls = 0).await;
    let mut caller = Caller::of(&full).await;
    caller.ask(&Method::Invite, number(3), 1, None, &[]).await;
    caller.answer(503, &Method::Invite).await;

    let busy_once: ScriptOf = Arc::new(|callee, before| {
        let like = PhoneNumber::from_digits(if before == 0 { 80 } else { 96 });
        (callee.digits() % 100 == 3).then(|| Script::of(like, 0, 0))
    });
    let scripted = callee(|c| c.scripts = Some(busy_once)).await;
    let mut caller = Caller::of(&scripted).await;
    caller.ask(&Method::Invite, number(3), 1, None, &[]).await;
    caller.answer(486, &Method::Invite).await;
    caller.ask(&Method::Invite, number(3), 2, None, &[]).await;
    caller.answer(404, &Method::Invite).await;
    caller.ask(&Method::Invite, number(85), 1, None, &[]).await;
    caller.answer(603, &Method::Invite).await;
}

#[tokio::test]
async fn a_tone_can_be_heard() {
    let callee = callee(|c| {
        c.tone = true;
        c.speed = 10.0;
    })
    .await;
    let mut caller = Caller::of(&callee).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    caller.media = socket.local_addr().unwrap();
    caller.ask(&Method::Invite, number(0), 1, None, &[]).await;
    let tag = tag_of(&caller.answer(200, &Method::Invite).await);
    caller.ask(&Method::Ack, number(0), 1, Some(&tag), &[]).await;
    let mut heard = BTreeMap::<u8, usize>::new();
    let mut packet = [0; 300];
    for _ in 0..5 {
        let got = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut packet));
        let length = got.await.expect("sound in time").unwrap();
        assert_eq!((length, packet[0], packet[1] & 0x7f), (172, 0x80, 0));
        packet[12..length].iter().for_each(|byte| *heard.entry(*byte).or_default() += 1);
    }
    assert!(heard.len() > 20, "{heard:?}");
    caller.bye().await;
}

#[tokio::test]
async fn who_is_dropped_is_gone() {
    let gone = callee(|_| {}).await;
    let addr = gone.udp_addr();
    let mut caller = Caller::of(&gone).await;
    caller.ask(&Method::Invite, number(70), 1, None, &[]).await;
    caller.answer(180, &Method::Invite).await;
    drop(gone);
    let is_free = async {
        while tokio::net::UdpSocket::bind(addr).await.is_err() {
            // tidy: sleeps because it polls until a deadline
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_free).await.expect("given back");
    for speed in [0.0, f64::NAN, f64::INFINITY, -1.0] {
        let config = CalleeConfig { speed, ..CalleeConfig::new("127.0.0.1:0".parse().unwrap()) };
        let made = Callee::open(config, clock(), Arc::new(Counting(1.into()))).await;
        assert!(matches!(made, Err(CalleeError::Speed(_))));
    }
}
