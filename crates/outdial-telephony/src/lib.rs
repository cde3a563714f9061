//! Carriers: what places a call and tells what became of it.
//!
//! A carrier runs the timers of a call and reports; it never decides whom to call, when, or what an
//! end means, and knows no store and no HTTP.
#![forbid(unsafe_code)]

pub mod callee;
pub mod route;
mod rtp;
pub mod simulated;
pub mod sip;
