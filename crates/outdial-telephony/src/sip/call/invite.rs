//! The INVITE of a call, its re-sends with credentials, and its CANCEL: what is written and the
//! transactions of it. What an answer means for the call is decided in `calling`.

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::dialog::with;
use super::{ALLOW, CallSetup, Desk, Hop, Kind};
use crate::sip::logins::Headers;
use crate::sip::message::{Method, RequestBuilder, Response, Unfit, name_addr};
use crate::sip::sdp;
use crate::sip::transaction::{ClientInvite, ClientRequest, TxAction};

/// The INVITE that counts: the last one sent.
pub(super) struct Invite {
    pub(super) cseq: u32,
    /// The credentials that it bore; its ACK bears them too (RFC 3261 section 22.1).
    pub(super) credentials: Headers,
    /// It was answered provisionally.
    pub(super) is_heard: bool,
    /// Not all of it was taken by the stream: it may have left.
    pub(super) is_partly_sent: bool,
    branch: String,
    bytes: Bytes,
    tx: ClientInvite,
    ack: Option<Bytes>,
    /// Those that were refused for credentials: their refusals are still acknowledged.
    settled: Vec<Settled>,
}

struct Settled {
    branch: String,
    ack: Bytes,
    tx: ClientInvite,
}

/// What an answer to an INVITE is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The call must look at it.
    News,
    /// It was known, and is acknowledged again if need be.
    Known,
    /// It is not one to this INVITE.
    Foreign,
}

impl Invite {
    /// The text of an INVITE with that `CSeq`; the credentials that were asked for are in it.
    pub(super) fn compose(desk: &mut Desk<'_>, cseq: u32) -> Result<(Bytes, Headers), Unfit> {
        let setup = desk.setup;
        let cnonce = setup.ids.cnonce(&setup.call_id, cseq);
        let who = setup.credentials.as_ref();
        let credentials = desk.logins.headers(who, &Method::Invite, setup.target.as_str(), &cnonce);
        let branch = branch(setup, cseq);
        let to = name_addr(&setup.to, None);
        let mut invite = start(setup, &Method::Invite, cseq, &branch, &to)
            .header("Contact", format_args!("<{}>", setup.contact));
        if let Some(asserted) = &setup.asserted {
            invite = invite.header("P-Asserted-Identity", name_addr(asserted, None));
        }
        invite = with(invite, &credentials)
            .header("Allow", ALLOW)
            .header("User-Agent", &setup.user_agent);
        if setup.session_expires > 0 {
            invite = invite
                .header("Supported", "timer")
                .header("Session-Expires", setup.session_expires)
                .header("Min-SE", super::session::MIN_SE.max(setup.min_se));
        }
        let offer = sdp::offer(setup.session_id, 0, setup.local_media);
        Ok((invite.body(sdp::CONTENT_TYPE, offer).build()?, credentials))
    }

    /// Sends it; nothing of it may leave at `by` or later.
    pub(super) fn send(
        desk: &mut Desk<'_>,
        cseq: u32,
        (bytes, credentials): (Bytes, Headers),
        by: Monotonic,
    ) -> Self {
        let setup = desk.setup;
        desk.send_by(Hop::Peer, bytes.clone(), Kind::Invite, Some(by));
        Self {
            cseq,
            credentials,
            is_heard: false,
            is_partly_sent: false,
            branch: branch(setup, cseq),
            bytes,
            tx: ClientInvite::new(&setup.timers, setup.reliable, desk.now),
            ack: None,
            settled: Vec::new(),
        }
    }

    /// This one takes the place of `before`, which was refused for credentials.
    pub(super) fn follows(&mut self, before: Self) {
        self.settled = before.settled;
        if let Some(ack) = before.ack.filter(|_| !before.tx.is_over()) {
            self.settled.push(Settled { branch: before.branch, ack, tx: before.tx });
        }
    }

    /// An answer to an INVITE came. Of a 2xx the caller sends the ACK.
    pub(super) fn on_response(&mut self, desk: &mut Desk<'_>, response: &Response) -> Heard {
        let (now, status, head) = (desk.now, response.status, &response.head);
        let of = |branch: &str| branch == head.via.branch;
        if let Some(settled) = self.settled.iter_mut().find(|settled| of(&settled.branch)) {
            if settled.tx.on_response(now, status).contains(&TxAction::Ack) {
                desk.send(Hop::Peer, settled.ack.clone(), Kind::Ack);
            }
            // Whoever accepts what was refused has a dialog to be ended.
            return if (200..300).contains(&status) { Heard::News } else { Heard::Known };
        }
        if !of(&self.branch) || head.cseq != self.cseq {
            return Heard::Foreign;
        }
        let was_over = self.tx.is_over();
        let actions = self.tx.on_response(now, status);
        // A refusal that comes after Timer B is acknowledged as well, or it would come for 32 s.
        if actions.contains(&TxAction::Ack) || (was_over && status >= 300) {
            self.acknowledge(desk, response);
        }
        // A 2xx is always news, also after Timer B: nobody else acknowledges it. Likewise what
        // still rings after we gave up.
        let is_late = was_over && status < 300;
        let is_2xx = (200..300).contains(&status);
        if is_2xx || is_late || actions.contains(&TxAction::PassUp) {
            self.is_heard |= status < 300;
            return Heard::News;
        }
        Heard::Known
    }

    /// The ACK of a refusal (RFC 3261 section 17.1.1.3).
    fn acknowledge(&mut self, desk: &mut Desk<'_>, response: &Response) {
        if self.ack.is_none() {
            let to = response.head.to.text();
            let ack = start(desk.setup, &Method::Ack, self.cseq, &self.branch, to);
            self.ack = with(ack, &self.credentials).build().ok();
        }
        if let Some(ack) = &self.ack {
            desk.send(Hop::Peer, ack.clone(), Kind::Ack);
        }
    }

    /// Time has passed. True: Timer B.
    pub(super) fn on_tick(&mut self, desk: &mut Desk<'_>) -> bool {
        for settled in &mut self.settled {
            settled.tx.on_tick(desk.now);
        }
        self.settled.retain(|settled| !settled.tx.is_over());
        let actions = self.tx.on_tick(desk.now);
        if actions.contains(&TxAction::Resend) {
            desk.send(Hop::Peer, self.bytes.clone(), Kind::Resend);
        }
        actions.contains(&TxAction::TimedOut)
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let settled = self.settled.iter().filter_map(|settled| settled.tx.deadline());
        settled.chain(self.tx.deadline()).min()
    }

    /// Nothing more is to be sent for it.
    pub(super) fn is_over(&self) -> bool {
        self.tx.is_over() && self.settled.is_empty()
    }
}

/// Why a call is taken back before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It rang long enough.
    RingLimit,
    /// We were asked to.
    Asked,
    /// The callee's side hung up, and its answer never came.
    HungUp,
}

/// A CANCEL: wanted, and then sent.
pub(super) struct Cancel {
    pub(super) why: Why,
    sent: Option<Sent>,
}

struct Sent {
    bytes: Bytes,
    tx: ClientRequest,
    give_up_at: Monotonic,
}

impl Cancel {
    /// One that may not be sent yet: only what was answered provisionally can be canceled
    /// (RFC 3261 section 9.1).
    pub(super) fn wanted(why: Why) -> Self {
        Self { why, sent: None }
    }

    /// Sends it, if it was not sent.
    pub(super) fn send(&mut self, desk: &mut Desk<'_>, cseq: u32) {
        if self.sent.is_some() {
            return;
        }
        let Some(bytes) = cancel_of(desk.setup, cseq) else { return };
        desk.send(Hop::Peer, bytes.clone(), Kind::Cancel);
        let (timers, reliable) = (&desk.setup.timers, desk.setup.reliable);
        let tx = ClientRequest::new(timers, reliable, desk.now);
        self.sent = Some(Sent { bytes, tx, give_up_at: desk.now.after(timers.t1_64()) });
    }

    /// An answer to it. What matters is the INVITE's.
    pub(super) fn on_response(&mut self, now: Monotonic, status: u16) {
        if let Some(sent) = &mut self.sent {
            sent.tx.on_response(now, status);
        }
    }

    /// Time has passed. True: the INVITE should have been answered by now (RFC 3261 section 9.1).
    pub(super) fn on_tick(&mut self, desk: &mut Desk<'_>) -> bool {
        let Some(sent) = &mut self.sent else { return false };
        if sent.tx.on_tick(desk.now).contains(&TxAction::Resend) {
            desk.send(Hop::Peer, sent.bytes.clone(), Kind::Resend);
        }
        desk.now >= sent.give_up_at
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// When to tick at the latest; with `is_waiting` also for the INVITE's final answer.
    pub(super) fn deadline(&self, is_waiting: bool) -> Option<Monotonic> {
        let sent = self.sent.as_ref()?;
        sent.tx.deadline().into_iter().chain(is_waiting.then_some(sent.give_up_at)).min()
    }

    pub(super) fn is_over(&self) -> bool {
        self.sent.as_ref().is_none_or(|sent| sent.tx.is_over())
    }
}

/// The CANCEL of an INVITE with that `CSeq` that a process with the same `setup` sent. None: it
/// cannot be written.
pub(crate) fn cancel_of(setup: &CallSetup, cseq: u32) -> Option<Bytes> {
    let to = name_addr(&setup.to, None);
    start(setup, &Method::Cancel, cseq, &branch(setup, cseq), &to).build().ok()
}

/// The branch of an INVITE, and so of its CANCEL and of the ACK of its refusal.
pub(super) fn branch(setup: &CallSetup, cseq: u32) -> String {
    setup.ids.branch(&setup.call_id, &Method::Invite, cseq, 0)
}

/// What INVITE, its CANCEL and the ACK of its refusal have in common.
fn start(setup: &CallSetup, method: &Method, cseq: u32, branch: &str, to: &str) -> RequestBuilder {
    RequestBuilder::new(method, &setup.target)
        .header("Via", format_args!("{};branch={branch};rport", setup.via))
        .header("Max-Forwards", 70)
        .headers("Route", setup.routes.iter().map(|route| name_addr(route, None)))
        .header("From", name_addr(&setup.from, Some(&setup.from_tag)))
        .header("To", to)
        .header("Call-ID", &setup.call_id)
        .header("CSeq", format_args!("{cseq} {method}"))
}
