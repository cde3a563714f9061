//! Calls of processes that are gone: ends those that were answered, cancels those that ring, and
//! waits for what still comes of the others. It must never place a call.

use std::sync::Arc;

use outdial_core::attempt::{AttemptState, CallEvent};
use outdial_core::outcome::CallEnd;
use outdial_ports::{CallControl, CallOrder, Monotonic, OrphanCall, PlacedCall};
use tokio::sync::mpsc;

use super::ask::{Sending, ask};
use super::call::{Dialog, LAST_CSEQ, cancel_of};
use super::ending::{Keys, dialog_of, end_dialog, end_stray, is_answer, send_ack};
use super::endpoint::{Mail, Stray, refusal};
use super::line::Events;
use super::message::{Method, Request, ResponseBuilder, SipMessage};
use super::setup::setup;
use super::transport::Flow;
use super::trunk::Trunk;
use super::{Context, Open};

/// `CSeq` that an INVITE may have had. A CANCEL of one that was never sent is answered with 481 and
/// does nothing.
const CSEQS: std::ops::RangeInclusive<u32> = 1..=LAST_CSEQ;

/// Sees to a call of a process that is gone; returns at once.
pub(crate) fn take_over(ctx: &Arc<Context>, orphan: OrphanCall) -> PlacedCall {
    let (tell, events) = mpsc::unbounded_channel();
    let ctx = Arc::clone(ctx);
    tokio::spawn(async move {
        let end = see_to(&ctx, &orphan).await.unwrap_or(CallEnd::Lost);
        let _ = tell.send(CallEvent::Ended(end));
    });
    PlacedCall { events: Box::pin(Events(events)), control: Arc::new(NoControl) }
}

/// It is on its way to its end already.
struct NoControl;

impl CallControl for NoControl {
    fn cancel(&self) {}
}

/// None: it cannot be known.
async fn see_to(ctx: &Arc<Context>, orphan: &OrphanCall) -> Option<CallEnd> {
    let give_up_at = orphan.give_up_at;
    // That the sockets cannot be opened now says nothing of the call.
    let open = ctx.opened_at_last(give_up_at).await?;
    let trunk = ctx.trunk_by(orphan.trunk, give_up_at).await;
    let call_id = ctx.ids.call_id(orphan.attempt, &orphan.token);
    let (_seat, mailbox) = open.endpoint.enter(&call_id);
    if let Some(end) = open.endpoint.end_of(&call_id) {
        return Some(end);
    }
    let dialog = orphan.dialog.as_deref().and_then(Dialog::parse);
    // A dialog that is not of this attempt would end somebody else's call.
    let dialog = dialog.filter(|dialog| dialog.call_id == call_id);
    let mut orphaned = Orphaned { ctx, open, trunk, orphan, mailbox, is_canceled: false };
    match dialog {
        Some(dialog) => {
            // The answer was stored before it was acknowledged: nobody knows whether it was.
            let trunk = orphaned.trunk.as_deref();
            send_ack(ctx, &orphaned.open, trunk, &dialog, None).await;
            orphaned.hang_up(dialog, CallEnd::CutOff).await
        }
        None => {
            if orphan.state == AttemptState::Ringing {
                orphaned.cancel(None).await;
            }
            orphaned.wait(&call_id).await
        }
    }
}

struct Orphaned<'a> {
    ctx: &'a Arc<Context>,
    open: Arc<Open>,
    trunk: Option<Arc<Trunk>>,
    orphan: &'a OrphanCall,
    mailbox: mpsc::Receiver<Box<Mail>>,
    is_canceled: bool,
}

impl Orphaned<'_> {
    /// Waits for what still comes. An answer that came before may be in other hands.
    async fn wait(&mut self, call_id: &str) -> Option<CallEnd> {
        let open = Arc::clone(&self.open);
        let mut elsewhere = std::pin::pin!(open.endpoint.ended(call_id));
        loop {
            let mail = tokio::select! {
                biased;
                () = self.ctx.clock.sleep_until(self.orphan.give_up_at) => return None,
                end = &mut elsewhere => return Some(end),
                mail = self.mailbox.recv() => mail?,
            };
            match mail.message {
                SipMessage::Request(request) => {
                    if self.answer(&request, mail.flow) {
                        return Some(CallEnd::CutOff);
                    }
                }
                SipMessage::Response(response) if response.head.method == Method::Invite => {
                    match response.status {
                        // It rings, and nobody is there any more to talk.
                        ..=199 => self.cancel(Some(mail.flow)).await,
                        200..=299 => {
                            let dialog = dialog_of(&response, &mail.flow)?;
                            let trunk = self.trunk.as_deref();
                            send_ack(self.ctx, &self.open, trunk, &dialog, Some(mail.flow)).await;
                            return self.hang_up(dialog, CallEnd::AnsweredThenDropped).await;
                        }
                        _ => {
                            self.open.endpoint.acknowledge(&response, mail.flow);
                            if let Some(end) = refusal(&response) {
                                return Some(end);
                            }
                        }
                    }
                }
                SipMessage::Response(_) => {}
            }
        }
    }

    /// A request of the peer. True: it ended the call. Who does not know our tag ends nothing.
    fn answer(&self, request: &Request, flow: Flow) -> bool {
        let head = &request.head;
        let is_ours = |tag: &str| self.ctx.ids.is_ours(&head.call_id, tag);
        let is_bye = request.method == Method::Bye && head.to.tag.as_deref().is_some_and(is_ours);
        if request.method != Method::Ack {
            let answer = ResponseBuilder::to(request, if is_bye { 200 } else { 481 });
            if let Ok(answer) = answer.build() {
                self.open.endpoint.reply(flow, answer);
            }
        }
        is_bye
    }

    /// Takes back an INVITE that was answered provisionally, by whoever is at the end of `flow`;
    /// only the process that sent it knew more of it than that and what the trunk's settings say.
    async fn cancel(&mut self, flow: Option<Flow>) {
        let Some(trunk) = self.trunk.clone().filter(|_| !self.is_canceled) else { return };
        let by = self.soon();
        let flow = match flow {
            Some(flow) => flow,
            None => {
                let transport = trunk.spec.transport;
                match trunk.reach(self.ctx, &trunk.first_hop(), transport, by).await {
                    Ok(flow) => flow,
                    Err(_) => return,
                }
            }
        };
        self.is_canceled = true;
        let order = CallOrder {
            attempt: self.orphan.attempt,
            token: self.orphan.token,
            trunk: self.orphan.trunk,
            caller: self.orphan.caller,
            callee: self.orphan.callee,
            charged_before: 0,
            send_by: by,
            open_until: by,
            ring_limit: std::time::Duration::ZERO,
            talk_limit: std::time::Duration::ZERO,
        };
        let Ok(target) = trunk.callee(order.callee) else { return };
        let media = std::net::SocketAddr::new(flow.local_ip(), 0);
        let Ok(setup) = setup(self.ctx, &trunk, &order, target, &flow, media) else { return };
        for cseq in CSEQS {
            let Some(bytes) = cancel_of(&setup, cseq) else { continue };
            let branch = setup.ids.branch(&setup.call_id, &Method::Invite, cseq, 0);
            let (end, flow) = (Arc::clone(&self.open.endpoint), flow.clone());
            let timers = self.ctx.timers;
            let by = self.orphan.give_up_at;
            tokio::spawn(async move {
                let (method, flow, branch) = (&Method::Cancel, &flow, branch.as_str());
                ask(&end, Sending { method, flow, branch, bytes }, &timers, by).await
            });
        }
    }

    /// BYE until an answer proves that the call is over.
    async fn hang_up(&mut self, dialog: Dialog, end: CallEnd) -> Option<CallEnd> {
        let ctx = Arc::clone(self.ctx);
        let (open, trunk) = (Arc::clone(&self.open), self.trunk.clone());
        let give_up_at = self.orphan.give_up_at.max(self.soon());
        let keys = Keys::of(trunk.as_deref(), &dialog);
        let bye = end_dialog(&ctx, &open, (trunk.as_deref(), keys), &dialog, give_up_at);
        let mut bye = std::pin::pin!(bye);
        loop {
            let mail = tokio::select! {
                biased;
                is_over = &mut bye => return is_over.then_some(end),
                mail = self.mailbox.recv() => mail?,
            };
            match mail.message {
                SipMessage::Request(request) => {
                    let tag = request.head.from.tag.as_deref().unwrap_or_default();
                    if self.answer(&request, mail.flow) && tag == dialog.remote_tag {
                        return Some(end);
                    }
                }
                SipMessage::Response(response) if is_answer(&response) => {
                    if response.head.to.tag.as_deref().unwrap_or_default() == dialog.remote_tag {
                        // The peer never saw our ACK.
                        send_ack(&ctx, &open, trunk.as_deref(), &dialog, Some(mail.flow)).await;
                    } else {
                        // Somebody else has answered as well.
                        let stray = Stray { response, flow: mail.flow };
                        tokio::spawn(end_stray(Arc::clone(&ctx), Arc::clone(&open), stray));
                    }
                }
                SipMessage::Response(_) => {}
            }
        }
    }

    fn soon(&self) -> Monotonic {
        self.ctx.clock.monotonic().after(self.ctx.timers.t1_64())
    }
}
