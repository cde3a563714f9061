//! What the peer asks of us within a call: BYE, re-INVITE, UPDATE and the rest (RFC 3261 sections
//! 12.2.2, 14.2 and 15.1.2, RFC 3311, RFC 4028). Whoever does not know the tags of a dialog gets
//! 481 and changes nothing.

use std::net::SocketAddr;

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::leg::Leg;
use super::session::{MIN_SE, Session, Timer};
use super::{ALLOW, Call, Hop, Kind, Output, Stage};
use crate::sip::message::{Method, Refresher, Request, ResponseBuilder};
use crate::sip::sdp;
use crate::sip::transaction::{ServerInvite, ServerRequest, Timers, TxAction};

/// The most requests of the peer whose answers are kept.
const SERVED: usize = 16;

/// A request of the peer that was answered.
pub(super) struct Served {
    method: Method,
    cseq: u32,
    branch: String,
    from: SocketAddr,
    answer: Bytes,
    tx: Tx,
    /// An INVITE that offered nothing: the offer was ours, the ACK brings the answer.
    is_offerless: bool,
    /// Of which leg it is.
    remote_tag: Option<String>,
}

enum Tx {
    Invite(ServerInvite),
    Other(ServerRequest),
}

impl Served {
    fn is_of(&self, request: &Request, method: &Method) -> bool {
        self.method == *method && self.branch == request.head.via.branch
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match &self.tx {
            Tx::Invite(tx) => tx.deadline(),
            Tx::Other(tx) => tx.deadline(),
        }
    }

    fn on_retransmission(&self) -> bool {
        let actions = match &self.tx {
            Tx::Invite(tx) => tx.on_retransmission(),
            Tx::Other(tx) => tx.on_retransmission(),
        };
        actions.contains(&TxAction::Resend)
    }

    fn is_over(&self) -> bool {
        match &self.tx {
            Tx::Invite(tx) => tx.is_over(),
            Tx::Other(tx) => tx.is_over(),
        }
    }
}

/// An answer in the making.
struct Answer {
    status: u16,
    body: Option<Bytes>,
    /// The session timer that the peer is told.
    timer: Option<Timer>,
    is_offerless: bool,
}

impl Answer {
    fn plain(status: u16) -> Self {
        Self { status, body: None, timer: None, is_offerless: false }
    }
}

impl Call {
    /// A request of the peer with our Call-ID.
    pub(super) fn on_request(&mut self, now: Monotonic, request: &Request, from: SocketAddr) {
        if request.method == Method::Ack {
            return self.on_ack(now, request);
        }
        if let Some(seen) = self.served.iter().find(|seen| seen.is_of(request, &request.method)) {
            if seen.on_retransmission() {
                let (to, bytes) = (Hop::Back(seen.from), seen.answer.clone());
                self.out.push(Output::Send { to, bytes, what: Kind::Answer, by: None });
            }
            return;
        }
        let answer = self.answer_to(now, request);
        self.send_answer(now, request, from, &answer);
        // What the answer leads to comes after it.
        if request.method == Method::Bye && answer.status == 200 {
            self.is_ended_by_peer(now, request);
        }
    }

    fn answer_to(&mut self, now: Monotonic, request: &Request) -> Answer {
        let head = &request.head;
        if request.method == Method::Cancel {
            // Every INVITE of the peer is answered at once: there is nothing to cancel.
            let known = self.served.iter().any(|seen| seen.is_of(request, &Method::Invite));
            return Answer::plain(if known { 200 } else { 481 });
        }
        if head.to.tag.as_deref() != Some(self.setup.from_tag.as_str()) {
            return Answer::plain(481);
        }
        let tag = head.from.tag.as_deref();
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.is_of(tag) && !leg.is_gone()) else {
            return self.answer_to_early(now, request);
        };
        if leg.remote_cseq.is_some_and(|highest| head.cseq <= highest) {
            return Answer::plain(500);
        }
        leg.remote_cseq = Some(head.cseq);
        if head.requires().iter().any(|extension| !extension.eq_ignore_ascii_case("timer")) {
            return Answer::plain(420);
        }
        match request.method {
            Method::Bye | Method::Options | Method::Info => Answer::plain(200),
            Method::Invite | Method::Update => self.answer_to_change(now, request),
            Method::Other(_) => Answer::plain(501),
            _ => Answer::plain(405),
        }
    }

    /// While nobody has answered there are only early dialogs, and our offer stands (RFC 3311
    /// section 5.2).
    fn answer_to_early(&mut self, now: Monotonic, request: &Request) -> Answer {
        let tag = request.head.from.tag.as_deref();
        let is_early = self.stage == Stage::Calling && tag.is_some();
        Answer::plain(match request.method {
            Method::Options | Method::Info if is_early => 200,
            Method::Bye if is_early && self.is_overtaken_by_bye(now, tag.unwrap_or_default()) => {
                200
            }
            Method::Update if is_early && request.body.is_empty() => 200,
            Method::Update if is_early => 491,
            _ => 481,
        })
    }

    /// A re-INVITE or UPDATE: other media, another place, or only that the call still stands.
    fn answer_to_change(&mut self, now: Monotonic, request: &Request) -> Answer {
        let head = &request.head;
        let is_invite = request.method == Method::Invite;
        // Only one at a time (RFC 3261 section 14.2).
        let is_unsettled = self.served.iter().any(|seen| match &seen.tx {
            Tx::Invite(tx) => tx.is_unacknowledged(),
            Tx::Other(_) => false,
        });
        let (id, local) = (self.setup.session_id, self.setup.local_media);
        let tag = head.from.tag.as_deref();
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.is_of(tag)) else {
            return Answer::plain(481);
        };
        let Some(session) = &mut leg.session else { return Answer::plain(481) };
        if session.is_refreshing() {
            return Answer::plain(491);
        }
        if is_unsettled {
            return Answer::plain(500);
        }
        if head.session_expires().is_some_and(|(seconds, _)| seconds < MIN_SE) {
            return Answer::plain(422);
        }
        let is_offerless = request.body.is_empty();
        let body = if is_offerless {
            is_invite.then(|| session.sdp.clone())
        } else {
            let answered = head
                .content_type_is_sdp()
                .then(|| sdp::answer(&request.body, id, session.version + 1, local));
            let Some((body, remote)) = answered.flatten() else { return Answer::plain(488) };
            session.version += 1;
            session.sdp = body.clone();
            self.out.push(Output::Media { remote, early: false });
            Some(body)
        };
        session.timer = timer_by(now, request, session);
        let timer = session.timer;
        leg.retarget(&mut desk!(self, now), head.contact().map(|contact| contact.uri));
        Answer { status: 200, body, timer, is_offerless }
    }

    fn send_answer(
        &mut self,
        now: Monotonic,
        request: &Request,
        from: SocketAddr,
        answer: &Answer,
    ) {
        let setup = &self.setup;
        let mut response = ResponseBuilder::to(request, answer.status)
            .to_tag(&setup.from_tag)
            .header("Allow", ALLOW)
            .header("Supported", "timer")
            .header("User-Agent", &setup.user_agent);
        if matches!(request.method, Method::Invite | Method::Update) && answer.status == 200 {
            response = response.header("Contact", format_args!("<{}>", setup.contact));
        }
        if let Some(timer) = answer.timer {
            let refresher = if timer.is_ours { "uas" } else { "uac" };
            let value = format!("{};refresher={refresher}", timer.seconds);
            response = response.header("Session-Expires", value);
            if !timer.is_ours {
                response = response.header("Require", "timer");
            }
        }
        response = match answer.status {
            420 => response.header("Unsupported", unsupported(request)),
            422 => response.header("Min-SE", MIN_SE),
            500 => response.header("Retry-After", 2),
            _ => response,
        };
        if let Some(body) = &answer.body {
            response = response.body(sdp::CONTENT_TYPE, body.clone());
        }
        let Ok(bytes) = response.build() else { return self.ignore() };
        let tx = Tx::answered(&setup.timers, setup.reliable, now, request, answer.status);
        let (to, what) = (Hop::Back(from), Kind::Answer);
        self.out.push(Output::Send { to, bytes: bytes.clone(), what, by: None });
        self.served.push(Served {
            method: request.method.clone(),
            cseq: request.head.cseq,
            branch: request.head.via.branch.clone(),
            from,
            answer: bytes,
            tx,
            is_offerless: answer.is_offerless,
            remote_tag: request.head.from.tag.clone(),
        });
        self.served.retain(|served| !served.is_over());
        if self.served.len() > SERVED {
            self.served.remove(0);
        }
    }

    fn is_ended_by_peer(&mut self, now: Monotonic, request: &Request) {
        let tag = request.head.from.tag.as_deref();
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.is_of(tag)) {
            let was_main = leg.session.is_some();
            leg.is_ended_by_peer(&mut desk!(self, now));
            if was_main {
                self.is_talked_out();
            }
        }
    }

    /// An ACK: of a 2xx it is a transaction of its own, so its `CSeq` tells whose it is.
    fn on_ack(&mut self, now: Monotonic, ack: &Request) {
        let head = &ack.head;
        let of =
            |served: &&mut Served| served.cseq == head.cseq && served.remote_tag == head.from.tag;
        let mut offered = false;
        for served in self.served.iter_mut().filter(of) {
            if let Tx::Invite(tx) = &mut served.tx {
                offered |= tx.on_ack(now).contains(&TxAction::PassUp) && served.is_offerless;
            }
        }
        let is_ours = |leg: &Leg| leg.is_of(head.from.tag.as_deref()) && leg.session.is_some();
        if offered
            && self.legs.iter().any(is_ours)
            && let Some(remote) = sdp::read_answer(&ack.body)
        {
            self.out.push(Output::Media { remote, early: false });
        }
        self.served.retain(|served| !served.is_over());
    }

    /// Time has passed, as far as our answers go.
    pub(super) fn on_served_tick(&mut self, now: Monotonic) {
        let mut is_deaf = false;
        for served in &mut self.served {
            let actions = match &mut served.tx {
                Tx::Invite(tx) => tx.on_tick(now),
                Tx::Other(tx) => tx.on_tick(now),
            };
            if actions.contains(&TxAction::Resend) {
                let (to, bytes) = (Hop::Back(served.from), served.answer.clone());
                self.out.push(Output::Send { to, bytes, what: Kind::Answer, by: None });
            }
            is_deaf |= actions.contains(&TxAction::TimedOut) && served.is_2xx();
        }
        self.served.retain(|served| !served.is_over());
        if is_deaf && self.stage == Stage::Talking {
            // Our 2xx was never acknowledged (RFC 3261 section 13.3.1.4).
            self.end_talk(now);
        }
    }
}

impl Served {
    fn is_2xx(&self) -> bool {
        self.answer.starts_with(b"SIP/2.0 2")
    }
}

impl Tx {
    fn answered(
        timers: &Timers,
        reliable: bool,
        now: Monotonic,
        request: &Request,
        status: u16,
    ) -> Self {
        if request.method == Method::Invite {
            let mut tx = ServerInvite::new(timers, reliable);
            tx.on_answer(now, status);
            return Self::Invite(tx);
        }
        let mut tx = ServerRequest::new(timers, reliable);
        tx.on_answer(now, status);
        Self::Other(tx)
    }
}

/// The session timer after a change that the peer asked for. A peer that does not speak of it, but
/// could, is told that the one that runs goes on.
fn timer_by(now: Monotonic, request: &Request, session: &Session) -> Option<Timer> {
    let head = &request.head;
    match head.session_expires() {
        Some((seconds, refresher)) => {
            Some(Timer::start(now, seconds, refresher == Some(Refresher::Uas)))
        }
        None if head.supports("timer") => {
            session.timer.map(|timer| Timer::start(now, timer.seconds, timer.is_ours))
        }
        None => None,
    }
}

fn unsupported(request: &Request) -> String {
    let mut all = request.head.requires();
    all.retain(|extension| !extension.eq_ignore_ascii_case("timer"));
    all.join(", ")
}
