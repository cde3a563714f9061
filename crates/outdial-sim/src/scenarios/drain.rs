//! Processes that end politely.

use crate::run_unaimed;

/// The store broke down under the last look at what is unsent, and took the whole engine with it.
#[test]
fn a_store_that_breaks_down_while_a_process_drains() {
    if let Err(failure) = run_unaimed(206_000, crate::STEPS) {
        panic!("{}\n{failure}", crate::tail(&failure.trace, 40));
    }
}
