//! SIP on the loopback: the carrier against user agents.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod flood;
mod restart;
mod stranger;
mod table;
mod trunks;
mod world;
