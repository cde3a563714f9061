//! SIP trunks: calls over the telephone network (RFC 3261).
//!
//! It must never send a second INVITE for an attempt, anything after its slot, or anything of a
//! contact's that was not checked; and it must never say of a call that may have left that it did
//! not.
#![allow(dead_code)]

pub(crate) mod digest;
pub(crate) mod ids;
pub(crate) mod message;
pub(crate) mod sdp;
pub(crate) mod transport;
