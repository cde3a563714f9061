//! A call and the far end of it, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_ports::Monotonic;
use outdial_ports::store::{Secret, Transport};

use crate::sip::call::{Call, CallSetup, Hop, Input, Kind, Output};
use crate::sip::digest::Credentials;
use crate::sip::ids::Ids;
use crate::sip::message::{Method, Request, Response, ResponseBuilder, SipMessage, SipUri, parse};
use crate::sip::sdp;

/// The tag of the callee that answers.
pub(super) const BOB: &str = "bob";

pub(super) fn at(ms: u64) -> Monotonic {
    Monotonic(Duration::from_millis(ms))
}

pub(super) fn uri(text: &str) -> SipUri {
    SipUri::parse(text).unwrap_or_else(|| panic!("{text}"))
}

pub(super) fn gateway() -> SocketAddr {
    "192.0.2.9:5060".parse().unwrap()
}

pub(super) fn setup() -> CallSetup {
    CallSetup {
        ids: Ids::new(b"a secret"),
        call_id: "c0ffee".into(),
        from_tag: "ours".into(),
        via: "SIP/2.0/UDP 192.0.2.1:5060".into(),
        contact: uri("sip:12125550000@192.0.2.1:5060"),
        target: uri("sip:+12125551234@trunk.example"),
        routes: Vec::new(),
        from: uri("sip:+12125550000@us.example"),
        to: uri("sip:+12125551234@trunk.example"),
        asserted: None,
        transport: Transport::Udp,
        reliable: false,
        peer: gateway(),
        local_media: "192.0.2.1:40000".parse().unwrap(),
        session_id: 7,
        credentials: Some(Credentials { username: "u".into(), password: Secret("p".into()) }),
        is_elsewhere: false,
        callee: PhoneNumber::from_digits(12_125_551_234),
        send_by: at(100),
        open_until: at(3_600_000),
        ring_limit: Duration::from_secs(45),
        talk_limit: Duration::from_secs(600),
        timers: Default::default(),
        session_expires: 1800,
        min_se: 0,
        user_agent: "Outdial".into(),
    }
}

/// Media of the callee.
pub(super) fn media(port: u16) -> Bytes {
    sdp::offer(9, u64::from(port), SocketAddr::new(gateway().ip(), port))
}

/// A message that the call sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) ms: u128,
    pub(super) to: Hop,
    pub(super) what: Kind,
    pub(super) by: Option<Monotonic>,
    pub(super) bytes: Bytes,
    pub(super) message: SipMessage,
}

impl Sent {
    pub(super) fn method(&self) -> Option<&Method> {
        match &self.message {
            SipMessage::Request(request) => Some(&request.method),
            SipMessage::Response(_) => None,
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match &self.message {
            SipMessage::Request(_) => None,
            SipMessage::Response(response) => Some(response.status),
        }
    }

    pub(super) fn request(&self) -> &Request {
        match &self.message {
            SipMessage::Request(request) => request,
            SipMessage::Response(_) => panic!("a request is wanted: {self:?}"),
        }
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

pub(super) struct World {
    pub(super) call: Call,
    pub(super) now: Monotonic,
    pub(super) sent: Vec<Sent>,
    pub(super) told: Vec<(u128, CallEvent)>,
    pub(super) media: Vec<(u16, bool)>,
    pub(super) dialogs: Vec<String>,
    pub(super) redirect: Option<SipUri>,
    pub(super) least_interval: Option<u32>,
    pub(super) overs: u32,
    asked: u32,
}

impl World {
    /// A call whose slot begins at once.
    pub(super) fn begin(setup: CallSetup) -> Self {
        let mut world = Self::waiting(setup);
        world.put(Input::Go);
        world
    }

    pub(super) fn waiting(setup: CallSetup) -> Self {
        Self {
            call: Call::new(setup),
            now: at(0),
            sent: Vec::new(),
            told: Vec::new(),
            media: Vec::new(),
            dialogs: Vec::new(),
            redirect: None,
            least_interval: None,
            overs: 0,
            asked: 0,
        }
    }

    /// A call that was answered at 2 s, whose answer is stored.
    pub(super) fn talking(setup: CallSetup, headers: &str) -> Self {
        let mut world = Self::begin(setup);
        world.until(1000);
        world.answer(180, BOB, "", None);
        world.until(2000);
        world.answer(200, BOB, &format!("{CONTACT}{headers}"), Some(media(9000)));
        world.put(Input::Stored);
        world
    }

    pub(super) fn put(&mut self, input: Input) {
        let ms = self.now.0.as_millis();
        for output in self.call.handle(self.now, input) {
            assert_eq!(self.overs, 0, "after the end: {output:?}");
            match output {
                Output::Send { to, bytes, what, by } => {
                    let message = parse(&bytes).unwrap();
                    self.sent.push(Sent { ms, to, what, by, bytes, message });
                }
                Output::Tell(event) => {
                    assert_eq!(self.end(), None, "told after the end: {event:?}");
                    self.told.push((ms, event));
                }
                Output::Media { remote, early } => self.media.push((remote.addr.port(), early)),
                Output::Dialog(text) => self.dialogs.push(text),
                Output::Redirect(uri) => self.redirect = Some(uri),
                Output::LeastInterval(seconds) => self.least_interval = Some(seconds),
                Output::Over => self.overs += 1,
            }
        }
        assert_eq!(self.overs == 1, self.call.is_over());
    }

    /// Time passes; every deadline is kept.
    pub(super) fn until(&mut self, ms: u64) {
        let mut ticks = 0;
        while let Some(next) = self.call.deadline().filter(|next| *next <= at(ms)) {
            self.now = self.now.max(next);
            self.put(Input::Tick);
            ticks += 1;
            assert!(ticks < 10_000, "ticks for ever");
        }
        self.now = self.now.max(at(ms));
    }

    /// The last INVITE that was sent first.
    pub(super) fn invite(&self) -> Request {
        let invite = self.sent.iter().rfind(|sent| sent.what == Kind::Invite);
        invite.unwrap().request().clone()
    }

    /// The far end answers the INVITE.
    pub(super) fn answer(&mut self, status: u16, tag: &str, headers: &str, body: Option<Bytes>) {
        let invite = self.invite();
        self.answer_to(&invite, status, tag, headers, body);
    }

    /// The far end answers a request.
    pub(super) fn answer_to(
        &mut self,
        request: &Request,
        status: u16,
        tag: &str,
        headers: &str,
        body: Option<Bytes>,
    ) {
        let response = response(request, status, tag, headers, body);
        self.put(Input::Response(response));
    }

    /// The far end answers the last request of that method.
    pub(super) fn answer_last(&mut self, method: &Method, status: u16, headers: &str) {
        let asked = self.sent.iter().rfind(|sent| sent.method() == Some(method));
        let request = asked.unwrap().request().clone();
        self.answer_to(&request, status, BOB, headers, None);
    }

    /// The far end asks; gives the status of the answer.
    pub(super) fn ask(
        &mut self,
        method: &str,
        cseq: u32,
        headers: &str,
        body: &[u8],
    ) -> Option<u16> {
        self.ask_as((BOB, "ours"), method, cseq, headers, body)
    }

    pub(super) fn ask_as(
        &mut self,
        (from, to): (&str, &str),
        method: &str,
        cseq: u32,
        headers: &str,
        body: &[u8],
    ) -> Option<u16> {
        self.asked += 1;
        let branch = format!("z9hG4bKpeer{}", self.asked);
        self.ask_on(&branch, (from, to), method, cseq, headers, body)
    }

    pub(super) fn ask_on(
        &mut self,
        branch: &str,
        (from, to): (&str, &str),
        method: &str,
        cseq: u32,
        headers: &str,
        body: &[u8],
    ) -> Option<u16> {
        let before = self.sent.len();
        let length = body.len();
        let mut text = format!(
            "{method} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch={branch}\r\n\
             From: <sip:b@h>;tag={from}\r\nTo: <sip:a@h>;tag={to}\r\nCall-ID: c0ffee\r\n\
             CSeq: {cseq} {method}\r\n{headers}Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        text.extend_from_slice(body);
        let Ok(SipMessage::Request(request)) = parse(&text) else { panic!("{method}") };
        self.put(Input::Request { request, from: gateway() });
        self.sent[before..].iter().find_map(Sent::status)
    }

    pub(super) fn events(&self) -> Vec<CallEvent> {
        self.told.iter().map(|(_, event)| *event).collect()
    }

    pub(super) fn end(&self) -> Option<CallEnd> {
        match self.told.last() {
            Some((_, CallEvent::Ended(end))) => Some(*end),
            _ => None,
        }
    }

    pub(super) fn end_ms(&self) -> u128 {
        assert!(self.end().is_some(), "{:?}", self.told);
        self.told[self.told.len() - 1].0
    }

    /// When each message of that kind was sent.
    pub(super) fn times(&self, what: Kind) -> Vec<u128> {
        self.sent.iter().filter(|sent| sent.what == what).map(|sent| sent.ms).collect()
    }

    pub(super) fn count(&self, what: Kind) -> usize {
        self.times(what).len()
    }

    pub(super) fn last(&self, what: Kind) -> &Sent {
        self.sent.iter().rfind(|sent| sent.what == what).unwrap()
    }

    /// Everything that lingers passes; the call is over exactly once.
    pub(super) fn finish(&mut self) {
        self.until(u64::try_from(self.now.0.as_millis()).unwrap() + 3_000_000);
        assert_eq!(self.overs, 1, "{:?}", self.told);
        assert_eq!(self.call.deadline(), None);
    }
}

/// The contact that the callee gives.
pub(super) const CONTACT: &str = "Contact: <sip:gw@192.0.2.9:5060>\r\n";

pub(super) fn response(
    request: &Request,
    status: u16,
    tag: &str,
    headers: &str,
    body: Option<Bytes>,
) -> Response {
    let mut builder = ResponseBuilder::to(request, status);
    if status > 100 {
        builder = builder.to_tag(tag);
    }
    if let Some(body) = body {
        builder = builder.body(sdp::CONTENT_TYPE, body);
    }
    let bytes = builder.build().unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let text = text.replacen("\r\nContent-", &format!("\r\n{headers}Content-"), 1);
    match parse(text.as_bytes()).unwrap() {
        SipMessage::Response(response) => response,
        SipMessage::Request(_) => panic!("an answer"),
    }
}
