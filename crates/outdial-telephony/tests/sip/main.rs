//! SIP on the loopback: the carrier against user agents.
#![forbid(unsafe_code)]

mod calls;
mod flood;
mod restart;
mod stranger;
mod table;
mod trunks;
mod world;
