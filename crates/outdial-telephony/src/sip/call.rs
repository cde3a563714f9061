//! The machine of one outgoing call: its INVITE, its dialogs, their end (RFC 3261). Sans-I/O: time
//! and messages come in, messages to send and what there is to tell go out.
//!
//! It must never send a second INVITE but with the credentials that were asked for, never a CANCEL
//! before a provisional answer, never leave a 2xx without its ACK or a dialog that nobody wants
//! without its BYE; and it must never say of a call that may stand that it is over.
//!
//! ```text
//! Waiting ─Go─▶ Calling ─2xx──▶ Talking ─BYE, talk limit, session timer─▶ Ending
//!    │             └─refused, canceled, Timer B, 2xx that nobody wants──▶ Ending
//!    └─Cancel───────────────────────────────────────────────────────────▶ Ending
//! Ending ─no dialog stands: Tell(Ended)─▶ Lingering ─nothing to repeat─▶ Over
//! ```
//! An answered call that we hang up ends when the BYE is answered, whatever with. A BYE that is not
//! answered proves nothing: whenever Timer F has passed another one is sent, until the session has
//! expired (the talk limit, if the peer keeps no session timer), and for `128*T1` at least. Only
//! then the call counts as over.

mod ask;
mod dialog;
mod interface;
mod invite;
mod leg;
mod session;

/// What a part of the call works with, while it holds the part itself.
macro_rules! desk {
    ($call:ident, $now:expr) => {
        $crate::sip::call::Desk {
            now: $now,
            setup: &$call.setup,
            logins: &mut $call.logins,
            out: &mut $call.out,
        }
    };
}

mod calling;
mod forks;
mod peer;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_ports::Monotonic;
use outdial_ports::store::Transport;

pub(crate) use calling::LAST_CSEQ;
pub(crate) use dialog::Dialog;
pub(crate) use forks::Trickle;
pub(crate) use interface::{CallSetup, Hop, Input, Kind, Output, Sending};
pub(crate) use invite::cancel_of;

use crate::sip::logins::Logins;
use crate::sip::message::{Method, Response, SipUri};
use crate::sip::sdp::Remote;
use invite::{Cancel, Invite};
use leg::Leg;
use peer::Served;

/// What we can be asked for within a call.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Calling,
    Talking,
    /// The end is decided, and waits until no dialog stands.
    Ending,
    /// The end was told.
    Lingering,
    Over,
}

/// One outgoing call.
pub(crate) struct Call {
    setup: CallSetup,
    stage: Stage,
    invite: Option<Invite>,
    cancel: Option<Cancel>,
    ring_until: Option<Monotonic>,
    is_ringing: bool,
    early: Vec<(String, Remote)>,
    /// What 2xx made. At most one has a session: the call.
    legs: Vec<Leg>,
    /// Tells the legs apart, also those that are not remembered.
    next_leg: u32,
    more_forks: Trickle,
    /// Tags of the peer whose BYE came before the 2xx that it ends.
    overtaken: Vec<String>,
    served: Vec<Served>,
    logins: Logins,
    end: Option<CallEnd>,
    /// What comes before this is still ended.
    linger_until: Option<Monotonic>,
    ignored: u32,
    /// What the last step sent past the peer.
    past: Vec<(Kind, Bytes)>,
    out: Vec<Output>,
}

impl Call {
    /// A call that waits for `Go`.
    pub(crate) fn new(setup: CallSetup) -> Self {
        Self {
            setup,
            stage: Stage::Waiting,
            invite: None,
            cancel: None,
            ring_until: None,
            is_ringing: false,
            early: Vec::new(),
            legs: Vec::new(),
            next_leg: 0,
            more_forks: Trickle::default(),
            overtaken: Vec::new(),
            served: Vec::new(),
            logins: Logins::default(),
            end: None,
            linger_until: None,
            ignored: 0,
            past: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Takes note of `input` at `now`.
    #[must_use]
    pub(crate) fn handle(&mut self, now: Monotonic, input: Input) -> Vec<Output> {
        if self.stage == Stage::Over {
            return Vec::new();
        }
        if !matches!(input, Input::Sent(..)) {
            self.past.clear();
        }
        match input {
            Input::Go => self.go(now),
            Input::Sent(Kind::Invite, sending) => self.on_sent(now, sending),
            Input::Sent(what, Sending::Nothing) => self.send_to_peer(what),
            Input::Sent(..) => {}
            Input::Response(response) => self.on_response(now, &response),
            Input::Request { request, from } if request.head.call_id == self.setup.call_id => {
                self.on_request(now, &request, from);
            }
            Input::Request { .. } => self.ignore(),
            Input::Tick => self.on_tick(now),
            Input::Cancel => self.take_back(now),
            Input::Stored => {
                for leg in self.legs.iter_mut().filter(|leg| leg.session.is_some()) {
                    leg.acknowledge(&mut desk!(self, now));
                }
            }
        }
        self.settle();
        let past = self.out.iter().filter_map(|output| match output {
            Output::Send { to: Hop::Next(_), bytes, what, .. } => Some((*what, bytes.clone())),
            _ => None,
        });
        self.past.extend(past);
        std::mem::take(&mut self.out)
    }

    /// When to tick at the latest. None: only other things matter.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        let is_calling = self.stage == Stage::Calling;
        let invite = self.invite.as_ref().and_then(Invite::deadline);
        let cancel = self.cancel.as_ref().and_then(|cancel| cancel.deadline(is_calling));
        let ring_until = self.ring_until.filter(|_| is_calling);
        let linger_until = self.linger_until.filter(|_| self.stage == Stage::Lingering);
        let legs = self.legs.iter().filter_map(Leg::deadline);
        let served = self.served.iter().filter_map(Served::deadline);
        let own = [invite, cancel, ring_until, linger_until];
        own.into_iter().flatten().chain(legs).chain(served).min()
    }

    /// `Output::Over` was given.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Its end is decided: nobody is to be heard any more.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending | Stage::Lingering | Stage::Over)
    }

    /// Messages that were none of this call's.
    pub(crate) fn ignored(&self) -> u32 {
        self.ignored
    }

    fn ignore(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }

    /// The next hop of a message of that kind cannot be reached.
    fn send_to_peer(&mut self, what: Kind) {
        if let Some(at) = self.past.iter().position(|(kind, _)| *kind == what) {
            let (_, bytes) = self.past.remove(at);
            self.out.push(Output::Send { to: Hop::Peer, bytes, what, by: None });
        }
    }

    fn on_response(&mut self, now: Monotonic, response: &Response) {
        let head = &response.head;
        // More than one Via: it is not for us (RFC 3261 section 8.1.3.3).
        let is_ours = head.call_id == self.setup.call_id
            && head.from.tag.as_ref() == Some(&self.setup.from_tag)
            && head.vias().len() == 1;
        let is_known = is_ours
            && match head.method {
                Method::Invite => {
                    self.on_invite_answer(now, response) || self.on_refresh_answer(now, response)
                }
                Method::Cancel => self.on_cancel_answer(now, response),
                Method::Bye => {
                    let mut desk = desk!(self, now);
                    self.legs.iter_mut().any(|leg| leg.on_bye_answer(&mut desk, response))
                }
                _ => self.on_refresh_answer(now, response),
            };
        if !is_known {
            self.ignore();
        }
    }

    fn on_cancel_answer(&mut self, now: Monotonic, response: &Response) -> bool {
        let (Some(cancel), Some(invite)) = (&mut self.cancel, &self.invite) else { return false };
        let is_it = invite::branch(&self.setup, invite.cseq) == response.head.via.branch;
        if is_it && cancel.is_sent() {
            cancel.on_response(now, response.status);
        }
        is_it
    }

    fn on_refresh_answer(&mut self, now: Monotonic, response: &Response) -> bool {
        let mut desk = desk!(self, now);
        let answers = self.legs.iter_mut().map(|leg| leg.on_refresh_answer(&mut desk, response));
        match answers.flatten().next() {
            Some(true) => self.end_talk(now),
            Some(false) => {}
            None => return false,
        }
        true
    }

    fn on_tick(&mut self, now: Monotonic) {
        if self.stage == Stage::Lingering && self.linger_until.is_some_and(|until| now >= until) {
            (self.linger_until, self.invite) = (None, None);
        }
        self.on_calling_tick(now);
        let mut must_end = false;
        for leg in &mut self.legs {
            leg.on_tick(&mut desk!(self, now));
            must_end |= leg.on_session_tick(&mut desk!(self, now));
        }
        if must_end {
            self.end_talk(now);
        }
        self.on_served_tick(now);
    }

    /// Hangs up the call that stands.
    fn end_talk(&mut self, now: Monotonic) {
        let at_least = now.after(self.setup.timers.t1_64() * 2);
        for leg in &mut self.legs {
            if let Some(session) = &leg.session {
                let expires_at = session.expires_at().unwrap_or(session.talk_until);
                leg.hang_up(&mut desk!(self, now), expires_at.max(at_least));
            }
        }
        self.is_talked_out();
    }

    /// The call was answered and is at its end.
    fn is_talked_out(&mut self) {
        if self.stage == Stage::Talking {
            self.decide(CallEnd::TalkOver);
        }
    }

    fn decide(&mut self, end: CallEnd) {
        (self.stage, self.end) = (Stage::Ending, Some(end));
    }

    /// Tells the end when nothing stands any more, and is over when nothing is left to repeat.
    fn settle(&mut self) {
        if self.stage == Stage::Ending
            && self.legs.iter().all(Leg::is_gone)
            && let Some(end) = self.end.take()
        {
            self.out.push(Output::Tell(CallEvent::Ended(end)));
            self.stage = Stage::Lingering;
        }
        if self.stage == Stage::Lingering && self.is_quiet() {
            self.out.push(Output::Over);
            self.stage = Stage::Over;
        }
    }

    fn is_quiet(&self) -> bool {
        // After giving up, the transaction of the INVITE may have no timer of its own.
        self.linger_until.is_none()
            && self.invite.as_ref().is_none_or(Invite::is_over)
            && self.cancel.as_ref().is_none_or(Cancel::is_over)
            && self.legs.iter().all(Leg::is_quiet)
            && self.served.is_empty()
    }
}

/// What a part of the call works with.
struct Desk<'a> {
    now: Monotonic,
    setup: &'a CallSetup,
    logins: &'a mut Logins,
    out: &'a mut Vec<Output>,
}

impl Desk<'_> {
    fn send(&mut self, to: Hop, bytes: Bytes, what: Kind) {
        self.send_by(to, bytes, what, None);
    }

    fn send_by(&mut self, to: Hop, bytes: Bytes, what: Kind, by: Option<Monotonic>) {
        self.out.push(Output::Send { to, bytes, what, by });
    }
}

/// Where a request goes whose next hop is `uri`: to the peer, if that is the same.
fn hop_to(setup: &CallSetup, uri: &SipUri) -> Hop {
    let is_secure = uri.is_sips() || setup.transport == Transport::Tls;
    let port = uri.port().unwrap_or(if is_secure { 5061 } else { 5060 });
    let address = uri.host().parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
    let first = setup.routes.first().unwrap_or(&setup.target);
    let is_name = uri.host().eq_ignore_ascii_case(first.host()) && uri.port() == first.port();
    if !uri.is_sip() || is_name || address == Ok(setup.peer) {
        return Hop::Peer;
    }
    Hop::Next(uri.clone())
}

#[cfg(test)]
mod tests;
