//! The ways of a call: its peer, other hops, back to whoever asked. It must never send an INVITE
//! twice because a connection broke.

use std::time::Duration;

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::Dialing;
use crate::sip::call::{Hop, Kind, Sending};
use crate::sip::transport::{Flow, Sent};
use crate::sip::trunk::Place;

/// How long a way may take to be found within a call that stands.
const PATIENCE: Duration = Duration::from_secs(5);
/// Hops that cannot be reached that are kept.
const DEAD_ENDS: usize = 8;
/// Ways past the peer that are kept.
const NEXTS: usize = 4;

impl Dialing {
    pub(super) async fn send(
        &mut self,
        to: Hop,
        bytes: Bytes,
        what: Kind,
        by: Option<Monotonic>,
    ) -> Sending {
        let flow = match to {
            Hop::Peer => self.flow.clone(),
            Hop::Back(from) => match self.backs.iter().find(|(addr, _)| *addr == from) {
                Some((_, flow)) => flow.clone(),
                None => self.flow.clone(),
            },
            Hop::Next(uri) => match self.reach_next(Place::of(&uri)).await {
                Some(flow) => flow,
                None => return Sending::Nothing,
            },
        };
        let sent = self.open.endpoint.transports.send(&flow, bytes.clone(), by).await;
        match &sent {
            Sent::Whole => return Sending::Whole,
            Sent::Nothing(why) | Sent::Partly(why) => {
                tracing::debug!(attempt = %self.order.attempt, ?what, why, "not sent whole");
            }
        }
        let is_first = what == Kind::Invite;
        match sent {
            Sent::Partly(_) if is_first => Sending::Partly,
            _ if is_first || !flow.is_closed() => Sending::Nothing,
            // A connection broke. Whatever is not an INVITE may be sent twice.
            _ => Box::pin(self.send_anew(bytes, by)).await,
        }
    }

    /// Over a connection of its own, which replaces the one that broke.
    async fn send_anew(&mut self, bytes: Bytes, by: Option<Monotonic>) -> Sending {
        let place = self.place.clone();
        let Some(flow) = self.reach(&place).await else { return Sending::Nothing };
        self.flow = flow;
        match self.open.endpoint.transports.send(&self.flow, bytes, by).await {
            Sent::Whole => Sending::Whole,
            Sent::Nothing(_) => Sending::Nothing,
            Sent::Partly(_) => Sending::Partly,
        }
    }

    async fn reach_next(&mut self, place: Place) -> Option<Flow> {
        if self.dead_ends.contains(&place) {
            return None;
        }
        self.nexts.retain(|(_, flow)| !flow.is_closed());
        if let Some((_, flow)) = self.nexts.iter().find(|(of, _)| *of == place) {
            return Some(flow.clone());
        }
        let flow = Box::pin(self.reach(&place)).await;
        match &flow {
            Some(flow) => {
                self.nexts.push_back((place, flow.clone()));
                if self.nexts.len() > NEXTS {
                    self.nexts.pop_front();
                }
            }
            None if self.dead_ends.len() < DEAD_ENDS => self.dead_ends.push(place),
            None => {}
        }
        flow
    }

    async fn reach(&self, place: &Place) -> Option<Flow> {
        let by = self.ctx.clock.monotonic().after(PATIENCE);
        let transport = self.flow.transport();
        match self.trunk.reach(&self.ctx, place, transport, by).await {
            Ok(flow) => Some(flow),
            Err(why) => {
                tracing::debug!(attempt = %self.order.attempt, reason = why.reason,
                    detail = why.detail, "a hop of a call cannot be reached");
                None
            }
        }
    }
}
