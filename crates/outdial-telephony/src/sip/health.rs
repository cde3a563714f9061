//! How a trunk is: OPTIONS, its registration, and for TCP and TLS the connection that stands before
//! it is needed. It must never call anybody.

use std::sync::Arc;
use std::time::Duration;

use outdial_ports::store::{Transport, TrunkState};

use super::ask::{Question, ask_with_credentials};
use super::logins::Headers;
use super::message::{Method, RequestBuilder, Response, SipUri, name_addr};
use super::register::keep_registered;
use super::transport::Flow;
use super::trunk::{Trunk, Unreachable};
use super::{Context, Open};

/// Silences in a row after which a trunk that answered before is down.
const SILENCES: u32 = 3;
/// How often it is looked at whether a connection stands.
const LOOK: Duration = Duration::from_secs(5);

/// Keeps an eye on a trunk, until it is aborted.
pub(crate) async fn watch(ctx: Arc<Context>, trunk: Arc<Trunk>) {
    let options = watch_options(&ctx, &trunk);
    let registration = keep_registered(&ctx, &trunk);
    let connection = keep_connected(&ctx, &trunk);
    tokio::join!(options, registration, connection);
}

/// One look at a trunk: where it is, and what it answers to OPTIONS.
pub(crate) struct Look {
    pub(crate) flow: Flow,
    /// None: silence.
    pub(crate) answer: Option<Response>,
}

/// Asks a trunk once.
pub(crate) async fn look(ctx: &Context, trunk: &Trunk) -> Result<Look, Unreachable> {
    let (open, flow) = reach(ctx, trunk).await?;
    let bad =
        |why: super::message::Unfit| Unreachable { reason: "bad_trunk", detail: why.to_string() };
    let (uri, us) = (trunk.uri().map_err(bad)?, trunk.us().map_err(bad)?);
    let person = Person { uri: &uri, from: &us, to: &uri, tag: ctx.random_hex() };
    let call_id = ctx.random_hex();
    let build = |cseq, branch: &str, proof: &Headers| {
        person
            .start(ctx, trunk, &flow, &Method::Options, cseq, branch, &call_id, proof)?
            .header("Accept", "application/sdp")
            .build()
            .ok()
    };
    let question = Question {
        method: Method::Options,
        uri: &uri,
        cseq: 1,
        credentials: trunk.credentials(),
        patience: ctx.timers.t1.saturating_mul(16),
    };
    let answer = ask_with_credentials(ctx, &open.endpoint, &flow, &question, build).await;
    Ok(Look { flow, answer })
}

/// What a registrar knows of us (RFC 3261 section 10.2.3): a REGISTER that changes nothing. None:
/// silence.
pub(crate) async fn bindings(
    ctx: &Context,
    trunk: &Trunk,
) -> Result<Option<Response>, Unreachable> {
    let (open, flow) = reach(ctx, trunk).await?;
    let bad =
        |why: super::message::Unfit| Unreachable { reason: "bad_trunk", detail: why.to_string() };
    let registrar = SipUri::new(None, trunk.domain(), None).map_err(bad)?;
    let us = trunk.us().map_err(bad)?;
    let person = Person { uri: &registrar, from: &us, to: &us, tag: ctx.random_hex() };
    let call_id = ctx.random_hex();
    let build = |cseq, branch: &str, proof: &Headers| {
        person
            .start(ctx, trunk, &flow, &Method::Register, cseq, branch, &call_id, proof)?
            .build()
            .ok()
    };
    let question = Question {
        method: Method::Register,
        uri: &registrar,
        cseq: 1,
        credentials: trunk.credentials(),
        patience: ctx.timers.t1.saturating_mul(16),
    };
    Ok(ask_with_credentials(ctx, &open.endpoint, &flow, &question, build).await)
}

async fn watch_options(ctx: &Context, trunk: &Trunk) {
    let Some(every) = trunk.spec.keep_alive else { return };
    let (mut has_answered, mut silences) = (false, 0_u32);
    loop {
        let (says, mute) = match look(ctx, trunk).await {
            Ok(Look { answer: Some(answer), .. }) => (Ok(answer.status), None),
            Ok(Look { answer: None, flow }) => {
                (Err("does not answer OPTIONS".to_owned()), Some(flow))
            }
            Err(why) => (Err(format!("cannot be reached: {}", why.detail)), None),
        };
        let is_registered = trunk.is_ready();
        match says {
            Ok(status) => {
                (has_answered, silences) = (true, 0);
                if is_registered {
                    let detail = format!("answered OPTIONS with {status}");
                    trunk.set_health(ctx.clock.now(), TrunkState::Up, detail);
                }
            }
            Err(detail) => {
                silences = silences.saturating_add(1);
                let is_down = has_answered && silences >= SILENCES;
                // A connection over which nothing comes back any more is worth nothing. But some
                // never answer this, and calls are on it.
                if is_down && let (Some(flow), Ok(open)) = (mute, ctx.open()) {
                    open.endpoint.transports.close(&flow);
                }
                let was = trunk.health().state;
                let state = if is_down { TrunkState::Down } else { was };
                trunk.set_health(ctx.clock.now(), state, detail);
            }
        }
        pause(ctx, every).await;
    }
}

async fn keep_connected(ctx: &Context, trunk: &Trunk) {
    if trunk.spec.transport == Transport::Udp {
        return;
    }
    loop {
        // Whoever needs the way says why there is none.
        let _ = reach(ctx, trunk).await;
        pause(ctx, LOOK).await;
    }
}

/// Who asks whom for what, outside of calls.
pub(super) struct Person<'a> {
    pub(super) uri: &'a SipUri,
    pub(super) from: &'a SipUri,
    pub(super) to: &'a SipUri,
    pub(super) tag: String,
}

impl Person<'_> {
    #[expect(clippy::too_many_arguments, reason = "each is a header")]
    pub(super) fn start(
        &self,
        ctx: &Context,
        trunk: &Trunk,
        flow: &Flow,
        method: &Method,
        cseq: u32,
        branch: &str,
        call_id: &str,
        proof: &Headers,
    ) -> Option<RequestBuilder> {
        let routes = trunk.routes().ok()?;
        let request = RequestBuilder::new(method, self.uri)
            .header("Via", format_args!("{};branch={branch};rport", flow.via()))
            .header("Max-Forwards", 70)
            .headers("Route", routes.iter().map(|route| name_addr(route, None)))
            .header("From", name_addr(self.from, Some(&self.tag)))
            .header("To", name_addr(self.to, None))
            .header("Call-ID", call_id)
            .header("CSeq", format_args!("{cseq} {method}"))
            .header("User-Agent", &ctx.config.user_agent);
        Some(proof.iter().fold(request, |request, (name, value)| request.header(name, value)))
    }
}

pub(super) async fn reach(ctx: &Context, trunk: &Trunk) -> Result<(Arc<Open>, Flow), Unreachable> {
    let by = ctx.clock.monotonic().after(ctx.timers.t1.saturating_mul(20));
    let open = ctx.opened(by).await?;
    let flow = trunk.reach(ctx, &trunk.first_hop(), trunk.spec.transport, by).await?;
    Ok((open, flow))
}

/// Up to a tenth shorter, so that trunks do not ask in step.
pub(super) async fn pause(ctx: &Context, wait: Duration) {
    let part = u32::try_from(ctx.entropy.next_u64() % 100).unwrap_or(0);
    let wait = wait.saturating_sub(wait / 1000 * part);
    ctx.clock.sleep_until(ctx.clock.monotonic().after(wait)).await;
}
