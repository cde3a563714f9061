//! The dialog of a call that came to us, and our BYE in it.

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::{Output, Part};
use crate::sip::message::{Method, Request, RequestBuilder, Response, SipUri, name_addr};
use crate::sip::transaction::{ClientRequest, Timers, TxAction};

/// What both ends know of each other.
pub(super) struct Dialog {
    call_id: String,
    /// `From` and `To` of our own requests.
    local: String,
    remote: String,
    target: SipUri,
    routes: Vec<SipUri>,
    via: String,
    tag: String,
    remote_cseq: u32,
    timers: Timers,
    is_reliable: bool,
    bye: Option<(ClientRequest, Bytes)>,
}

impl Dialog {
    pub(super) fn new(part: &Part) -> Self {
        let head = &part.invite.head;
        let contact = head.contact().map(|contact| contact.uri);
        Self {
            call_id: head.call_id.clone(),
            local: name_addr(&head.to.uri, Some(&part.tag)),
            remote: name_addr(&head.from.uri, head.from.tag.as_deref()),
            // Without a contact there is nowhere else.
            target: contact.unwrap_or_else(|| head.from.uri.clone()),
            routes: head.record_route().unwrap_or_default(),
            via: part.via.clone(),
            tag: part.tag.clone(),
            remote_cseq: head.cseq,
            timers: part.timers,
            is_reliable: part.is_reliable,
            bye: None,
        }
    }

    /// Requests within a dialog are numbered upwards.
    pub(super) fn is_next(&mut self, cseq: u32) -> bool {
        let is_next = cseq > self.remote_cseq;
        self.remote_cseq = self.remote_cseq.max(cseq);
        is_next
    }

    /// The caller may move.
    pub(super) fn retarget(&mut self, request: &Request) {
        if let Some(contact) = request.head.contact() {
            self.target = contact.uri;
        }
    }

    fn next_hop(&self) -> SipUri {
        self.routes.first().unwrap_or(&self.target).clone()
    }

    /// Our BYE. None: there is one already, or it cannot be written.
    pub(super) fn bye(&mut self, now: Monotonic) -> Option<Output> {
        if self.bye.is_some() {
            return None;
        }
        let routes = self.routes.iter().map(|route| name_addr(route, None));
        let bytes = RequestBuilder::new(&Method::Bye, &self.target)
            .header("Via", format_args!("{};branch=z9hG4bK{};rport", self.via, self.tag))
            .header("Max-Forwards", 70)
            .headers("Route", routes)
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.call_id)
            .header("CSeq", "1 BYE")
            .build()
            .ok()?;
        let tx = ClientRequest::new(&self.timers, self.is_reliable, now);
        self.bye = Some((tx, bytes.clone()));
        Some(Output::Next(self.next_hop(), bytes))
    }

    pub(super) fn response(&mut self, now: Monotonic, response: &Response) -> Vec<Output> {
        if let Some((tx, _)) = &mut self.bye
            && response.head.method == Method::Bye
        {
            // The call is over for us, whatever the answer is.
            let _ = tx.on_response(now, response.status);
        }
        Vec::new()
    }

    pub(super) fn tick(&mut self, now: Monotonic) -> Option<Output> {
        let (tx, bytes) = self.bye.as_mut()?;
        let again = tx.on_tick(now).contains(&TxAction::Resend);
        let bytes = bytes.clone();
        again.then(|| Output::Next(self.next_hop(), bytes))
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.bye.as_ref().and_then(|(tx, _)| tx.deadline())
    }
}
