//! The binary as its users meet it: started, spoken to over HTTP and the command line, killed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod chance;
mod cli;
mod cluster;
mod contract;
#[path = "../../benches/support/crowd.rs"]
mod crowd;
mod crowd_of_idlers;
mod demo;
mod disk_full;
mod drain;
mod drain_full;
mod event_stream;
mod evidence;
mod failed_sync;
mod faulty_disk;
mod harness;
mod kill;
#[cfg(feature = "failpoints")]
mod kill_points;
mod memory;
mod on_postgres;
#[cfg(feature = "failpoints")]
mod poison;
#[path = "../../benches/support/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "it is a test's of outdial-core")]
#[path = "../../../outdial-core/tests/reference/mod.rs"]
mod reference;
mod restore;
mod simulate;
mod sip;
mod storm;
#[path = "../../benches/support/thirty_zones.rs"]
mod thirty_zones;
mod torn;
mod upload;
mod uploading;
mod watched;
mod webhooks;
