//! The real router behind a real listener, with the real store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod bad_input;
mod calling;
mod dial;
mod dnc;
mod documented;
mod faulty;
mod forecast;
mod ingest;
mod isolation;
mod live_edits;
mod nodes;
mod openapi;
mod ours;
mod repeats;
mod support;
mod trunks;
mod why;
