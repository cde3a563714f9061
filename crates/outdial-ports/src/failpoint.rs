//! Named points at which a test can make a process fail.
//!
//! Without the feature `failpoints` they are nothing; no release has it. Names are
//! `room.step`, in the order in which a call travels; `docs/reliability.md` lists them.

/// Every point there is, in the order of a call's way through the rooms.
pub const FAILPOINTS: [&str; 18] = [
    "http.request_begun",
    "store.chunk_applied",
    "store.committed",
    "http.chunk_stored",
    "http.chunks_stored",
    "http.answer_kept",
    "engine.deciding",
    "engine.planned",
    "store.import_finished",
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

/// Passes a point that is about somebody, once for each: there a test can make the process panic
/// for one of them only.
#[inline]
pub fn failpoint_of(name: &'static str, whom: impl FnOnce() -> String) {
    debug_assert!(FAILPOINTS.contains(&name), "{name} is not listed");
    #[cfg(feature = "failpoints")]
    {
        let wanted = || -> Option<String> {
            fail::fail_point!(name, |wanted| wanted);
            None
        };
        if let Some(wanted) = wanted() {
            assert!(wanted != whom(), "{name} panics because a test wants it to");
        }
    }
    #[cfg(not(feature = "failpoints"))]
    drop(whom);
}
