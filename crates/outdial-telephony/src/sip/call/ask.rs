//! A request of ours within a dialog: BYE, UPDATE, re-INVITE. Keeps what was sent and sends it
//! again as the transaction says; what an answer means is its owner's matter.

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::dialog::Dialog;
use super::{Desk, Hop, Kind};
use crate::sip::message::{Method, Response};
use crate::sip::transaction::{ClientInvite, ClientRequest, TxAction};

pub(super) struct Ask {
    pub(super) method: Method,
    /// How often it was sent anew with credentials or other changes.
    pub(super) tries: u32,
    cseq: u32,
    branch: String,
    bytes: Bytes,
    hop: Hop,
    tx: Tx,
    is_answered: bool,
    /// The ACK of its answer, if it is a re-INVITE.
    ack: Option<Bytes>,
}

enum Tx {
    Invite(ClientInvite),
    Other(ClientRequest),
}

impl Ask {
    /// Sends `bytes`, which are this request.
    pub(super) fn send(
        desk: &mut Desk<'_>,
        (method, cseq, branch): (&Method, u32, String),
        hop: Hop,
        bytes: Bytes,
        tries: u32,
    ) -> Self {
        let (timers, reliable) = (&desk.setup.timers, desk.setup.reliable);
        let tx = match method {
            Method::Invite => Tx::Invite(ClientInvite::new(timers, reliable, desk.now)),
            _ => Tx::Other(ClientRequest::new(timers, reliable, desk.now)),
        };
        let kind = if *method == Method::Bye { Kind::Bye } else { Kind::Request };
        desk.send(hop.clone(), bytes.clone(), kind);
        let (is_answered, ack, method) = (false, None, method.clone());
        Self { method, tries, cseq, branch, bytes, hop, tx, is_answered, ack }
    }

    /// Whether an answer is one to this.
    pub(super) fn is_of(&self, response: &Response) -> bool {
        let head = &response.head;
        head.method == self.method && head.cseq == self.cseq && head.via.branch == self.branch
    }

    /// An answer came. True: it is the final one, for the first time.
    pub(super) fn on_response(
        &mut self,
        desk: &mut Desk<'_>,
        dialog: &Dialog,
        response: &Response,
    ) -> bool {
        let status = response.status;
        let actions = match &mut self.tx {
            Tx::Invite(tx) => tx.on_response(desk.now, status),
            Tx::Other(tx) => tx.on_response(desk.now, status),
        };
        let is_news = status >= 200 && actions.contains(&TxAction::PassUp) && !self.is_answered;
        self.is_answered |= is_news;
        let is_2xx = (200..300).contains(&status);
        let wants_ack = actions.contains(&TxAction::Ack)
            || (is_2xx && self.method == Method::Invite && actions.contains(&TxAction::PassUp));
        if wants_ack {
            if self.ack.is_none() {
                // The ACK of a 2xx is a transaction of its own; that of a refusal is not.
                let setup = desk.setup;
                let own = setup.ids.branch(&dialog.call_id, &Method::Ack, self.cseq, 0);
                let branch = if is_2xx { &own } else { &self.branch };
                let ack = dialog.request(&Method::Ack, self.cseq, &setup.via, branch);
                self.ack = ack.build().ok();
            }
            if let Some(ack) = &self.ack {
                desk.send(self.hop.clone(), ack.clone(), Kind::Ack);
            }
        }
        is_news
    }

    /// Time has passed. True: there will be no final answer.
    pub(super) fn on_tick(&mut self, desk: &mut Desk<'_>) -> bool {
        let actions = match &mut self.tx {
            Tx::Invite(tx) => tx.on_tick(desk.now),
            Tx::Other(tx) => tx.on_tick(desk.now),
        };
        if actions.contains(&TxAction::Resend) {
            desk.send(self.hop.clone(), self.bytes.clone(), Kind::Resend);
        }
        actions.contains(&TxAction::TimedOut)
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match &self.tx {
            Tx::Invite(tx) => tx.deadline(),
            Tx::Other(tx) => tx.deadline(),
        }
    }

    /// It waits for its final answer.
    pub(super) fn is_pending(&self) -> bool {
        !self.is_answered && !self.is_over()
    }

    pub(super) fn is_over(&self) -> bool {
        match &self.tx {
            Tx::Invite(tx) => tx.is_over(),
            Tx::Other(tx) => tx.is_over(),
        }
    }
}
