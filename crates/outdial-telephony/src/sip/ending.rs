//! How dialogs end that no call of this process runs: ACK, and BYE until an answer comes. It must
//! never show a trunk's credentials to anybody but the trunk.

use std::net::IpAddr;
use std::sync::Arc;

use outdial_core::outcome::CallEnd;
use outdial_ports::Monotonic;

use super::ask::{Sending, ask};
use super::call::Dialog;
use super::digest::Credentials;
use super::endpoint::{Claim, Stray};
use super::logins::{Learned, Logins};
use super::message::{Method, Response};
use super::redirect::trunks_at;
use super::transport::{Count, Flow, Peer};
use super::trunk::{Place, Trunk};
use super::{Context, Open};

/// BYEs with credentials that follow their challenge at once.
const AT_ONCE: u32 = 4;

/// What a challenge to a BYE is answered with.
#[derive(Default)]
pub(crate) struct Keys {
    /// The first is shown; the next when it is refused.
    all: Vec<Credentials>,
    /// Who is shown them; none: whoever stands at the end of the dialog.
    only_to: Option<Vec<IpAddr>>,
}

impl Keys {
    /// For a call over that trunk.
    pub(crate) fn of(trunk: Option<&Trunk>, dialog: &Dialog) -> Self {
        let trunk = trunk.filter(|_| !dialog.is_elsewhere);
        Self { all: trunk.and_then(Trunk::credentials).into_iter().collect(), only_to: None }
    }

    /// For a call of which only the messages are known, whose peer is at `ip`.
    async fn of_stray(ctx: &Context, open: &Open, dialog: &Dialog, ip: IpAddr) -> Self {
        let by = ctx.clock.monotonic().after(ctx.timers.t1.saturating_mul(10));
        let (mut all, mut own) = (Vec::new(), Vec::new());
        for (trunk, addresses) in trunks_at(ctx, open, dialog, ip, by).await {
            all.extend(trunk.credentials());
            own.extend(addresses);
        }
        Self { all, only_to: Some(own) }
    }

    fn may_be_shown_to(&self, flow: &Flow) -> bool {
        let ip = flow.peer().ip().to_canonical();
        self.only_to.as_ref().is_none_or(|own| own.contains(&ip))
    }
}

/// ACKs and ends a 2xx of a call that nobody runs.
pub(crate) async fn end_stray(ctx: Arc<Context>, open: Arc<Open>, stray: Stray) {
    let Stray { response, flow } = stray;
    let Some(dialog) = dialog_of(&response, &flow) else { return };
    let ip = flow.peer().ip();
    let claim = open.endpoint.claim(&dialog.call_id, &dialog.remote_tag);
    if matches!(claim, Claim::Late) {
        // Without its ACK it comes again.
        return open.endpoint.count(Count::MailboxFull);
    }
    send_ack(&ctx, &open, None, &dialog, Some(flow)).await;
    // A repetition wants its ACK and nothing else.
    if matches!(claim, Claim::Known) {
        return;
    }
    let keys = Keys::of_stray(&ctx, &open, &dialog, ip).await;
    let wait = ctx.timers.t1_64();
    let wait = if matches!(claim, Claim::First) { wait.saturating_mul(4) } else { wait };
    let by = ctx.clock.monotonic().after(wait);
    end_dialog(&ctx, &open, (None, keys), &dialog, by).await;
    // Not before: until then the callee may be on the line.
    open.endpoint.remember(&dialog.call_id, CallEnd::AnsweredThenDropped);
}

/// A 2xx to an INVITE.
pub(crate) fn is_answer(response: &Response) -> bool {
    response.head.method == Method::Invite && (200..=299).contains(&response.status)
}

/// The dialog that it makes.
pub(crate) fn dialog_of(response: &Response, flow: &Flow) -> Option<Dialog> {
    Dialog::of_answer(response, flow.transport(), flow.peer())
}

/// The ACK of a 2xx, to where the dialog says; else to where the 2xx came from.
pub(crate) async fn send_ack(
    ctx: &Context,
    open: &Open,
    trunk: Option<&Trunk>,
    dialog: &Dialog,
    back: Option<Flow>,
) {
    let by = ctx.clock.monotonic().after(ctx.timers.t1_64());
    let Some(flow) = way(ctx, open, trunk, dialog, by).await.or(back) else { return };
    let branch = ctx.ids.branch(&dialog.call_id, &Method::Ack, dialog.cseq, 0);
    if let Some(ack) = dialog.ack(&flow.via(), &branch, &[]) {
        open.endpoint.transports.send(&flow, ack, Some(by)).await;
    }
}

/// BYE in a dialog, again whenever Timer F has passed, until `by`. True: an answer came.
pub(crate) async fn end_dialog(
    ctx: &Context,
    open: &Open,
    (trunk, mut keys): (Option<&Trunk>, Keys),
    dialog: &Dialog,
    by: Monotonic,
) -> bool {
    let mut logins = Logins::default();
    let mut at_once = 0;
    for nth in 0.. {
        let began = ctx.clock.monotonic();
        if began >= by {
            return false;
        }
        let cseq = dialog.orphan_cseq(nth);
        if let Some(flow) = way(ctx, open, trunk, dialog, by).await {
            let may_be_shown = keys.may_be_shown_to(&flow);
            let who = keys.all.first().filter(|_| may_be_shown);
            let (uri, cnonce) = (dialog.request_uri(), ctx.ids.cnonce(&dialog.call_id, cseq));
            let proof = logins.headers(who, &Method::Bye, uri.as_str(), &cnonce);
            // Not one that another fork of the call has.
            let branch = ctx.random_branch();
            let Some(bytes) = dialog.bye(&flow.via(), &branch, cseq, &proof) else { return false };
            let sending = Sending { method: &Method::Bye, flow: &flow, branch: &branch, bytes };
            match ask(&open.endpoint, sending, &ctx.timers, by).await {
                Some(answer) if matches!(answer.status, 401 | 407) => {
                    let is_shown = who.is_some();
                    if is_shown && can_go_on(&mut logins, &mut keys, &answer) && at_once < AT_ONCE {
                        at_once += 1;
                        continue;
                    }
                }
                Some(_) => return true,
                None => {}
            }
        }
        // Not more often than Timer F, whatever the network says at once.
        let next = began.after(ctx.timers.t1_64()).min(by);
        ctx.clock.sleep_until(next).await;
    }
    false
}

/// Whether a challenge can be answered: as it was not yet, or with the next credentials.
fn can_go_on(logins: &mut Logins, keys: &mut Keys, answer: &Response) -> bool {
    match logins.learn(answer) {
        Learned::Fresh => true,
        Learned::Beyond => false,
        Learned::Again if keys.all.len() > 1 => {
            keys.all.remove(0);
            *logins = Logins::default();
            logins.learn(answer) == Learned::Fresh
        }
        Learned::Again => false,
    }
}

/// The way to the next hop of a dialog; else to where its INVITE went.
async fn way(
    ctx: &Context,
    open: &Open,
    trunk: Option<&Trunk>,
    dialog: &Dialog,
    by: Monotonic,
) -> Option<Flow> {
    let soon = ctx.clock.monotonic().after(ctx.timers.t1.saturating_mul(10)).min(by);
    let hop = Place::of(dialog.next_hop());
    let (host, verify) = match trunk {
        Some(trunk) => (trunk.first_hop().host, trunk.spec.verify_tls),
        None => (dialog.peer.ip().to_string(), true),
    };
    let located =
        open.resolver.locate(&hop.host, hop.port, dialog.transport, ctx.entropy.next_u64());
    let located = tokio::select! {
        biased;
        located = located => located.unwrap_or_default(),
        () = ctx.clock.sleep_until(soon) => Vec::new(),
    };
    let of_hop = located.into_iter().map(|addr| {
        let host = if addr == dialog.peer { host.clone() } else { hop.host.clone() };
        (host, addr)
    });
    for (host, addr) in of_hop.chain([(host.clone(), dialog.peer)]).collect::<Vec<_>>() {
        let peer = Peer { transport: dialog.transport, addr, host: Some(host), verify };
        if let Ok(flow) = open.endpoint.transports.connect(&peer, soon).await {
            return Some(flow);
        }
    }
    None
}
