//! What the messages of a call are made of: the order, its trunk, and the way that was found.
//! Nothing of a contact but the number goes into them.

use std::net::SocketAddr;

use outdial_ports::CallOrder;
use outdial_ports::store::Transport;

use super::Context;
use super::call::CallSetup;
use super::message::{SipUri, Unfit};
use super::redirect::transport_to;
use super::transport::Flow;
use super::trunk::{Place, Trunk};

/// Where an INVITE goes.
pub(crate) struct Route {
    /// The request line.
    pub(crate) target: SipUri,
    /// Whom the message is handed to.
    pub(crate) place: Place,
    /// How.
    pub(crate) transport: Transport,
    /// The trunk sent us there.
    pub(crate) is_sent_on: bool,
}

impl Route {
    /// As the trunk is set up, or where it sent us for that callee.
    pub(crate) fn of(
        trunk: &Trunk,
        order: &CallOrder,
        sent_on: Option<SipUri>,
    ) -> Result<Self, Unfit> {
        let Some(target) = sent_on else {
            let (target, place) = (trunk.callee(order.callee)?, trunk.first_hop());
            let transport = trunk.spec.transport;
            return Ok(Self { target, place, transport, is_sent_on: false });
        };
        let of_trunk = trunk.spec.transport;
        let transport = transport_to(of_trunk, &target).ok_or(Unfit("no such transport"))?;
        let (place, transport) = match trunk.spec.proxy {
            Some(_) => (trunk.first_hop(), of_trunk),
            None => (Place::of(&target), transport),
        };
        Ok(Self { target, place, transport, is_sent_on: true })
    }
}

/// All that the messages of a call are made of.
pub(crate) fn setup(
    ctx: &Context,
    trunk: &Trunk,
    order: &CallOrder,
    target: SipUri,
    flow: &Flow,
    local_media: SocketAddr,
) -> Result<CallSetup, Unfit> {
    let call_id = ctx.ids.call_id(order.attempt, &order.token);
    Ok(CallSetup {
        ids: ctx.ids.clone(),
        from_tag: ctx.ids.from_tag(&call_id),
        via: flow.via(),
        contact: trunk.contact(&trunk.number(order.caller), flow)?,
        target,
        routes: trunk.routes()?,
        from: trunk.caller(order.caller)?,
        to: trunk.to(order.callee)?,
        asserted: trunk.asserted(order.caller)?,
        transport: flow.transport(),
        reliable: flow.is_reliable(),
        peer: flow.peer(),
        local_media,
        session_id: ctx.ids.session_id(&call_id),
        credentials: trunk.credentials(),
        is_elsewhere: false,
        callee: order.callee,
        send_by: order.send_by.min(order.open_until),
        open_until: order.open_until,
        ring_limit: trunk.ring_limit().unwrap_or(order.ring_limit),
        talk_limit: order.talk_limit,
        timers: ctx.timers,
        session_expires: match ctx.config.session_expires {
            0 => 0,
            seconds => seconds.max(trunk.min_se()),
        },
        min_se: trunk.min_se(),
        user_agent: ctx.config.user_agent.clone(),
        call_id,
    })
}
