//! What the caller asks for once its INVITE is here: to take it back, to end it, to change it.

use bytes::Bytes;
use outdial_core::simulated::Fate;
use outdial_ports::Monotonic;

use super::{Duration, Final, Output, Play, Standing, built, sdp};
use crate::sip::message::{Method, Request, ResponseBuilder};
use crate::sip::transaction::{ServerInvite, ServerRequest, TxAction};

/// The most transactions within a dialog that are remembered at once.
const MAX_SERVED: usize = 32;
/// What we answer within a dialog.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE";

/// A request within the dialog.
pub(super) struct Served {
    branch: String,
    cseq: u32,
    tx: Serving,
    last: Bytes,
}

enum Serving {
    Invite(ServerInvite),
    Other(ServerRequest),
}

impl Play {
    pub(super) fn served_deadlines(&self) -> impl Iterator<Item = Monotonic> {
        self.served.iter().filter_map(|s| match &s.tx {
            Serving::Invite(tx) => tx.deadline(),
            Serving::Other(tx) => tx.deadline(),
        })
    }

    pub(super) fn tick_served(&mut self, now: Monotonic) -> Vec<Output> {
        let mut out = Vec::new();
        for served in &mut self.served {
            let actions = match &mut served.tx {
                Serving::Invite(tx) => tx.on_tick(now),
                Serving::Other(tx) => tx.on_tick(now),
            };
            if actions.contains(&TxAction::Resend) {
                out.push(Output::ToCaller(served.last.clone()));
            }
        }
        self.served.retain(|s| match &s.tx {
            Serving::Invite(tx) => !tx.is_over(),
            Serving::Other(tx) => !tx.is_over(),
        });
        out
    }

    pub(super) fn request(&mut self, now: Monotonic, request: &Request) -> Vec<Output> {
        if self.is_silent() {
            return Vec::new();
        }
        let is_ours = request.head.via.branch == self.part.invite.head.via.branch;
        match &request.method {
            Method::Invite if is_ours => match self.tx.on_retransmission().is_empty() {
                true => Vec::new(),
                false => vec![Output::ToCaller(self.last.clone())],
            },
            Method::Ack => {
                self.acknowledged(now, request);
                Vec::new()
            }
            Method::Cancel => self.cancel(now, request),
            _ => self.within(now, request),
        }
    }

    fn acknowledged(&mut self, now: Monotonic, ack: &Request) {
        if ack.head.cseq == self.part.invite.head.cseq {
            // Whether it is news is told by `is_unacknowledged`.
            let _ = self.tx.on_ack(now);
        }
        for served in self.served.iter_mut().filter(|s| s.cseq == ack.head.cseq) {
            if let Serving::Invite(tx) = &mut served.tx {
                let _ = tx.on_ack(now);
            }
        }
    }

    fn cancel(&mut self, now: Monotonic, cancel: &Request) -> Vec<Output> {
        let out = self.serve(now, cancel, self.respond(cancel, 200), 200);
        let Some(script) = self.script().filter(|_| self.standing == Standing::Calling) else {
            return out;
        };
        let crossed = script.fate == Fate::AnswersCancel;
        let end = if crossed {
            // Nobody who was cancelled talks for long.
            Final::Answer { talk: self.hurried(Duration::from_secs(10)) }
        } else {
            Final::Refuse { status: 487, headers: Vec::new() }
        };
        let at = now.after(self.hurried(script.round_trip));
        let is_first = !matches!(&self.decided, Some((before, _)) if *before <= at);
        if is_first {
            self.decided = Some((at, end));
        }
        out
    }

    /// A request within the dialog.
    fn within(&mut self, now: Monotonic, request: &Request) -> Vec<Output> {
        let head = &request.head;
        if let Some(before) = self.served.iter().find(|s| s.branch == head.via.branch) {
            let actions = match &before.tx {
                Serving::Invite(tx) => tx.on_retransmission(),
                Serving::Other(tx) => tx.on_retransmission(),
            };
            let again = actions.contains(&TxAction::Resend);
            return again.then(|| Output::Back(before.last.clone())).into_iter().collect();
        }
        let is_dialogs = head.to.tag.as_ref() == Some(&self.part.tag)
            && head.from.tag == self.part.invite.head.from.tag;
        if !is_dialogs || self.standing == Standing::Over {
            return self.serve(now, request, self.respond(request, 481), 481);
        }
        if !self.dialog.is_next(head.cseq) {
            return self.serve(now, request, self.respond(request, 500), 500);
        }
        match &request.method {
            Method::Bye => {
                self.until = None;
                let mut out = self.serve(now, request, self.respond(request, 200), 200);
                if self.standing == Standing::Calling {
                    let headers = Vec::new();
                    out.extend(self.finish(now, Final::Refuse { status: 487, headers }));
                }
                out.extend(self.stands(Standing::Over));
                out
            }
            Method::Invite | Method::Update => self.change(now, request),
            Method::Options | Method::Info => {
                self.serve(now, request, self.respond(request, 200), 200)
            }
            _ => {
                let builder = self.respond(request, 405).header("Allow", ALLOW);
                self.serve(now, request, builder, 405)
            }
        }
    }

    /// A re-INVITE or an UPDATE: the session goes on, perhaps elsewhere, perhaps on hold.
    fn change(&mut self, now: Monotonic, request: &Request) -> Vec<Output> {
        let is_invite = request.method == Method::Invite;
        let (body, remote) = if request.body.is_empty() {
            let offer = || sdp::offer(self.part.session, self.version, self.part.local);
            (is_invite.then(offer), None)
        } else {
            let version = self.version + 1;
            match sdp::answer(&request.body, self.part.session, version, self.part.local) {
                Some((body, remote)) => (Some(body), Some(remote)),
                None => return self.serve(now, request, self.respond(request, 488), 488),
            }
        };
        self.version += u64::from(remote.is_some());
        self.dialog.retarget(request);
        let mut builder = self.timed(self.respond(request, 200), request);
        if let Some(body) = body {
            builder = builder.body(sdp::CONTENT_TYPE, body);
        }
        let mut out = self.serve(now, request, builder, 200);
        out.extend(remote.map(Output::Media));
        out
    }

    /// Answers a request that is not the INVITE.
    fn serve(
        &mut self,
        now: Monotonic,
        request: &Request,
        builder: ResponseBuilder,
        status: u16,
    ) -> Vec<Output> {
        let last = built(builder);
        let tx = if request.method == Method::Invite {
            let mut tx = ServerInvite::new(&self.part.timers, self.part.is_reliable);
            let _ = tx.on_answer(now, status);
            Serving::Invite(tx)
        } else {
            let mut tx = ServerRequest::new(&self.part.timers, self.part.is_reliable);
            let _ = tx.on_answer(now, status);
            Serving::Other(tx)
        };
        // A CANCEL shares its branch with the INVITE, and is as well answered anew.
        if request.method != Method::Cancel && self.served.len() < MAX_SERVED {
            let (branch, cseq) = (request.head.via.branch.clone(), request.head.cseq);
            self.served.push(Served { branch, cseq, tx, last: last.clone() });
        }
        vec![Output::Back(last)]
    }
}
