//! The binary as its users meet it: started, spoken to over HTTP and the command line, killed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod cli;
mod contract;
mod demo;
mod drain;
mod harness;
mod kill;
mod memory;
