//! Clocks that are set.

use std::time::Duration;

use super::{kept, world};

/// A process that had not placed a call yet had never compared its clocks, and dialed at once on
/// a clock that had been set an hour ahead since it was started.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_before_the_first_call() {
    for seed in 1..=12 {
        let mut watch = None;
        let world = world(seed, &mut watch).await;
        world.pass(Duration::from_secs(3)).await;
        world.set_clock_by(3_600_000);
        kept(world.users_act(25).await, watch.as_ref());
    }
}

/// The clock was set more than a day (a week, where it had a key) ahead while a request was being
/// worked on, and housekeeping forgot it: its next chunk was refused.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_while_people_are_added() {
    const DAY_MS: i64 = 86_400_000;
    for seed in 1..=6 {
        let mut watch = None;
        let world = world(seed, &mut watch).await;
        let two_prunings = Duration::from_secs(130);
        let added = world.add_while_clock_is_set(8 * DAY_MS, two_prunings).await;
        kept(added, watch.as_ref());
    }
}
