//! Sound of a call: one port and one task each, RTP with G.711 (RFC 3550, RFC 3551).
//!
//! A packet goes out every 20 ms by an absolute schedule, so that nothing drifts. Packets go where
//! the session description says, and from the first good one that comes in to where that came
//! from. Nothing that comes in is trusted: what is not RTP of the agreed kind, or comes from
//! elsewhere, is dropped and counted. Sound must never hold up the signalling of a call.

mod g711;
mod packet;
mod ports;
mod reception;
mod session;
mod source;

pub(crate) use ports::{RtpError, RtpPort, RtpPorts};
pub(crate) use session::RtpSession;
#[cfg(test)]
pub(crate) use session::RtpStats;
pub(crate) use source::{SoundError, Source, read_sound};

#[cfg(test)]
mod tests;
