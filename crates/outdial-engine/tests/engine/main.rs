//! The engine on the real store and a scripted carrier, under paused time in one thread.
//!
//! `OUTDIAL_TEST_LOG=debug cargo test -p outdial-engine --test engine NAME -- --nocapture` shows
//! what a run logs.
#![expect(clippy::unwrap_used, reason = "the world of these tests is built outside of #[test]")]

mod carrier;
mod faulty;
mod world;

mod breakdowns;
mod crashes;
mod dialing;
mod edits;
mod limits;
mod marks;
mod nodes;
mod stopping;
mod trunks;
mod wishes;
