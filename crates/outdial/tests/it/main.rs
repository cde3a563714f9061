//! The binary as its users meet it: started, spoken to over HTTP and the command line, killed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod cli;
mod contract;
mod demo;
mod drain;
mod evidence;
mod harness;
mod kill;
#[cfg(feature = "failpoints")]
mod kill_points;
mod memory;
#[allow(dead_code, reason = "it is a test's of outdial-core")]
#[path = "../../../outdial-core/tests/reference/mod.rs"]
mod reference;
mod restore;
mod simulate;
#[path = "../../benches/support/thirty_zones.rs"]
mod thirty_zones;
