//! The real router behind a real listener, with the real store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod bad_input;
mod calling;
mod compressed;
mod connections;
mod described;
mod dial;
mod dnc;
mod documented;
mod faulty;
mod forecast;
mod ingest;
mod isolation;
mod keys;
mod live_edits;
mod nodes;
mod openapi;
mod ours;
mod rates;
mod repeats;
mod support;
mod trunks;
mod two_workspaces;
mod upload;
mod why;
