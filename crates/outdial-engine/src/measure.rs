//! Names of what the engine measures. Without a recorder, measuring does nothing.

/// Seconds from reading a workspace's view to the commit of its plan.
pub const TURN: &str = "outdial_dispatch_turn_seconds";
/// Seconds from when a call was due to the commit of its attempt.
pub const CALL_DELAY: &str = "outdial_dispatch_delay_seconds";
/// Seconds from when a call was due to when it was handed to its carrier.
pub const INVITE_DELAY: &str = "outdial_invite_delay_seconds";
/// Calls on the phone at this process.
pub const LIVE_HERE: &str = "outdial_node_live_calls";

/// Of our spans; the log leaves it out.
pub(crate) const SPANS: &str = "outdial::span";
