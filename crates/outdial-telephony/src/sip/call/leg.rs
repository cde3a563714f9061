//! A dialog that a 2xx made, and what we do in it: the ACK, requests of ours, the BYE until it is
//! proved that nobody is on the line. The first leg of a call that was wanted has a session; every
//! other one is hung up at once.

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::ask::Ask;
use super::dialog::{Dialog, with};
use super::session::Session;
use super::{Desk, Hop, Kind, Output, hop_to};
use crate::sip::logins::{Headers, Learned};
use crate::sip::message::{Method, Response, SipUri};
use crate::sip::sdp;

/// Attempts to send a request within a dialog that the peer wants otherwise (credentials).
pub(super) const TRIES: u32 = 2;

pub(super) struct Leg {
    pub(super) dialog: Dialog,
    /// The highest `CSeq` of the peer's requests.
    pub(super) remote_cseq: Option<u32>,
    pub(super) session: Option<Session>,
    /// Tells the requests of this leg from those of the others.
    nth: u32,
    /// The `CSeq` of our last request.
    cseq: u32,
    ack: Option<Bytes>,
    is_acknowledged: bool,
    /// When the ACK leaves at the latest.
    ack_by: Option<Monotonic>,
    hangup: Option<Hangup>,
    is_gone: bool,
}

/// A BYE, and another one whenever Timer F has passed: that nothing answers does not prove that
/// nobody is on the line.
struct Hangup {
    ask: Option<Ask>,
    /// When another one is sent after one that was refused unheard, for credentials.
    again_at: Option<Monotonic>,
    /// Then even a peer that never answers has given the call up.
    give_up_at: Monotonic,
}

impl Leg {
    /// The nth leg of a call, by its 2xx. `credentials`: what the INVITE bore.
    pub(super) fn new(
        desk: &Desk<'_>,
        answer: &Response,
        nth: u32,
        credentials: &Headers,
    ) -> Option<Self> {
        let setup = desk.setup;
        let mut dialog = Dialog::of_answer(answer, setup.transport, setup.peer)?;
        // What the peer made of our own words is not ours.
        (dialog.local, dialog.remote) = (setup.from.clone(), setup.to.clone());
        dialog.is_elsewhere = setup.is_elsewhere;
        let branch = setup.ids.branch(&dialog.call_id, &Method::Ack, dialog.cseq, nth);
        let ack = dialog.ack(&setup.via, &branch, credentials);
        Some(Self {
            cseq: dialog.cseq,
            dialog,
            remote_cseq: None,
            session: None,
            nth,
            ack,
            is_acknowledged: false,
            ack_by: None,
            hangup: None,
            is_gone: false,
        })
    }

    /// Whether an answer to the INVITE, or a request with that tag of the peer's, is of this leg.
    pub(super) fn is_of(&self, remote_tag: Option<&str>) -> bool {
        self.dialog.remote_tag == remote_tag.unwrap_or_default()
    }

    /// The 2xx will be acknowledged at `by`, unless [`Leg::acknowledge`] comes before.
    pub(super) fn acknowledge_by(&mut self, by: Monotonic) {
        self.ack_by = Some(by);
    }

    /// Sends the ACK, if it was not sent.
    pub(super) fn acknowledge(&mut self, desk: &mut Desk<'_>) {
        if !self.is_acknowledged {
            (self.is_acknowledged, self.ack_by) = (true, None);
            self.send_ack(desk);
        }
    }

    /// The 2xx came again: the ACK was lost.
    pub(super) fn acknowledge_again(&self, desk: &mut Desk<'_>) {
        if self.is_acknowledged {
            self.send_ack(desk);
        }
    }

    fn send_ack(&self, desk: &mut Desk<'_>) {
        if let Some(ack) = &self.ack {
            desk.send(self.hop(desk), ack.clone(), Kind::Ack);
        }
    }

    /// Ends it: BYE until an answer comes, at most until `give_up_at`.
    pub(super) fn hang_up(&mut self, desk: &mut Desk<'_>, give_up_at: Monotonic) {
        if self.is_gone || self.hangup.is_some() {
            return;
        }
        self.acknowledge(desk);
        self.session = None;
        let ask = self.ask(desk, &Method::Bye, None, 0);
        self.hangup = Some(Hangup { ask, again_at: None, give_up_at });
    }

    /// The peer ended it.
    pub(super) fn is_ended_by_peer(&mut self, desk: &mut Desk<'_>) {
        self.acknowledge(desk);
        (self.is_gone, self.hangup, self.session) = (true, None, None);
    }

    /// Nobody is on the line any more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Nothing is left to be sent.
    pub(super) fn is_quiet(&self) -> bool {
        let ask = self.hangup.as_ref().and_then(|hangup| hangup.ask.as_ref());
        self.is_gone && ask.is_none_or(Ask::is_over)
    }

    /// An answer to a BYE. True: it is one of this leg.
    pub(super) fn on_bye_answer(&mut self, desk: &mut Desk<'_>, response: &Response) -> bool {
        let Some(Hangup { ask: Some(ask), .. }) = &mut self.hangup else { return false };
        if !ask.is_of(response) {
            return false;
        }
        if !ask.on_response(desk, &self.dialog, response) {
            return true;
        }
        let tries = ask.tries;
        if tries < TRIES && can_answer(desk, response) {
            let again = self.ask(desk, &Method::Bye, None, tries + 1);
            if let Some(hangup) = &mut self.hangup {
                hangup.ask = again;
            }
        } else if matches!(response.status, 401 | 407) {
            // It was not even looked at.
            let again_at = desk.now.after(desk.setup.timers.t1_64());
            if let Some(hangup) = &mut self.hangup {
                hangup.again_at = Some(again_at);
            }
        } else {
            // Whatever it says (481 as well), the peer has no such call any more.
            self.is_gone = true;
        }
        true
    }

    /// Time has passed, as far as the ACK and the BYE go.
    pub(super) fn on_tick(&mut self, desk: &mut Desk<'_>) {
        if self.ack_by.is_some_and(|by| desk.now >= by) {
            self.acknowledge(desk);
        }
        let Some(hangup) = &mut self.hangup else { return };
        let timed_out = hangup.ask.as_mut().is_some_and(|ask| ask.on_tick(desk));
        let is_due = hangup.again_at.is_some_and(|at| desk.now >= at);
        if self.is_gone {
            return;
        }
        if desk.now >= hangup.give_up_at {
            (self.is_gone, hangup.ask) = (true, None);
        } else if timed_out || is_due {
            let again = self.ask(desk, &Method::Bye, None, 0);
            if let Some(hangup) = &mut self.hangup {
                (hangup.ask, hangup.again_at) = (again, None);
            }
        }
    }

    /// When to tick at the latest.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let hangup = self.hangup.as_ref();
        let ask = hangup.and_then(|h| h.ask.as_ref()).and_then(Ask::deadline);
        let standing = hangup.filter(|_| !self.is_gone);
        let (again_at, give_up_at) =
            (standing.and_then(|h| h.again_at), standing.map(|h| h.give_up_at));
        let session = self.session.as_ref().and_then(Session::deadline);
        [self.ack_by, ask, again_at, give_up_at, session].into_iter().flatten().min()
    }

    /// Where requests of this leg go.
    pub(super) fn hop(&self, desk: &Desk<'_>) -> Hop {
        hop_to(desk.setup, self.dialog.next_hop())
    }

    /// The peer says where it is now (RFC 3261 section 12.2).
    pub(super) fn retarget(&mut self, desk: &mut Desk<'_>, target: Option<SipUri>) {
        let Some(target) = target.filter(SipUri::is_sip) else { return };
        if target != self.dialog.target {
            self.dialog.target = target;
            desk.out.push(Output::Dialog(self.dialog.to_text()));
        }
    }

    /// Sends a request within the dialog. `session`: the interval in seconds that it asks for, and
    /// our media, if it is a refresh. None: it cannot be written.
    pub(super) fn ask(
        &mut self,
        desk: &mut Desk<'_>,
        method: &Method,
        session: Option<(u32, Bytes)>,
        tries: u32,
    ) -> Option<Ask> {
        self.cseq = self.cseq.saturating_add(1);
        let (setup, cseq) = (desk.setup, self.cseq);
        let call_id = &self.dialog.call_id;
        let branch = setup.ids.branch(call_id, method, cseq, self.nth);
        let mut request = self.dialog.request(method, cseq, &setup.via, &branch);
        if let Some((seconds, _)) = &session {
            request = request
                .header("Contact", format_args!("<{}>", setup.contact))
                .header("Allow", super::ALLOW)
                .header("Supported", "timer")
                .header("Session-Expires", format_args!("{seconds};refresher=uac"));
        }
        let uri = self.dialog.request_uri().as_str();
        let cnonce = setup.ids.cnonce(call_id, cseq);
        let who = setup.credentials.as_ref();
        let credentials = desk.logins.headers(who, method, uri, &cnonce);
        request = with(request, &credentials).header("User-Agent", &setup.user_agent);
        if let Some((_, body)) = session.filter(|_| *method == Method::Invite) {
            request = request.body(sdp::CONTENT_TYPE, body);
        }
        let bytes = request.build().ok()?;
        let hop = self.hop(desk);
        Some(Ask::send(desk, (method, cseq, branch), hop, bytes, tries))
    }
}

/// Whether a refusal asks for credentials that we have.
pub(super) fn can_answer(desk: &mut Desk<'_>, response: &Response) -> bool {
    matches!(response.status, 401 | 407)
        && desk.setup.credentials.is_some()
        && desk.logins.learn(response) != Learned::Beyond
}
