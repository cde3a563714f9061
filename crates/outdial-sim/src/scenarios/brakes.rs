//! Brakes.

use crate::run_unaimed;

/// The checker told by the wall clock what had ended since a batch was slowed down, and the clock
/// had been set back in between.
#[test]
fn a_clock_that_is_set_back_around_a_brake() {
    for seed in [1_000_282, 1_000_375, 1_002_416] {
        if let Err(failure) = run_unaimed(seed, crate::STEPS) {
            panic!("{}\n{failure}", crate::tail(&failure.trace, 40));
        }
    }
}
