//! Named points at which a test can make a process fail.
//!
//! Without the feature `failpoints` they are nothing; no release has it. Names are
//! `room.step`, in the order in which a call travels; `docs/reliability.md` lists them.

/// Every point there is, in the order of a call's way through the rooms.
pub const FAILPOINTS: [&str; 16] = [
    "http.request_begun",
    "store.chunk_applied",
    "store.committed",
    "http.chunk_stored",
    "http.chunks_stored",
    "http.answer_kept",
    "engine.planned",
    "store.intents_applied",
    "engine.committed",
    "engine.noted",
    "engine.placing",
    "engine.placed",
    "engine.answer_recorded",
    "engine.over",
    "store.end_applied",
    "engine.recorded",
];

/// Passes the point called `name`, which is one of [`FAILPOINTS`].
#[inline]
pub fn failpoint(name: &'static str) {
    debug_assert!(FAILPOINTS.contains(&name), "{name} is not listed");
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name);
}
