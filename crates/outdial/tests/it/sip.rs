//! Calls over SIP trunks to peers that are not ours: SIPp, baresip, Kamailio.
//!
//! Each test runs several cases at once against one server: a case is a callee of its own, a trunk
//! that leads there, a calling number and a batch. What became of a call is read over the API, and
//! what was sent from the callee's own log.

mod any_moment;
mod audio;
mod auth;
mod bench;
mod certificate;
mod dialogs;
mod failover;
mod health;
mod injection;
mod kill;
mod outcomes;
mod peers;
mod races;
mod seen;
mod sipp;
mod steady;
mod streams;

pub(crate) use sipp::free_port;
