//! The domain of Outdial: decisions as pure functions of events and time.
//!
//! Nothing here reads a clock, draws a random number, touches a file, a socket or a database, or
//! waits. Time and chance are arguments; what should happen is returned. `clippy.toml` at the root
//! of the workspace forbids the alternatives.
#![forbid(unsafe_code)]

pub mod attempt;
pub mod batch;
pub mod brake;
pub mod budget;
pub mod call;
pub mod contact;
pub mod dispatcher;
pub mod forecast;
pub mod hours;
pub mod id;
pub mod outcome;
pub mod pacing;
pub mod phone;
pub mod phone_places;
pub mod phone_zones;
pub mod rate;
pub mod retry;
pub mod rules;
pub mod settings;
pub mod simulated;
pub mod time;
pub mod trunk_health;
pub mod variables;
pub mod webhook;
pub mod why;
pub mod zone;
