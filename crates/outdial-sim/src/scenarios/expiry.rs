//! Batches that expire while somebody of them is about to be called.

use std::time::Duration;

use super::{kept, world};
use crate::sabotage::Sabotage;
use crate::world::{Aim, World};

/// The model judged at the commit whether a batch had expired, by a clock that had been set since
/// the plan was made. What is committed late may be; it does not leave.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_while_a_plan_is_on_its_way() {
    let mut struck = 0;
    for seed in 1..=12 {
        let mut watch = None;
        let world = world(seed, &mut watch).await;
        kept(world.set_clock_as_plan_is_held().await, watch.as_ref());
        let (trace, counts, _) = watch.expect("a world has one").summary();
        if counts.contains_key("clock set as a plan is held") && trace.contains(" commit attempt ")
        {
            struck += 1;
            assert!(!trace.contains(" leaves to "), "{trace}");
        }
    }
    assert!(struck >= 3, "{struck}");
}

/// Expiry is judged again when a call leaves: who looks at the time only when planning is found.
#[tokio::test(start_paused = true)]
async fn a_process_that_is_stalled_as_a_batch_expires() {
    let mut found = Vec::new();
    for seed in 1..=40 {
        // Planning begins within half a second.
        let ahead = Duration::from_millis(700);
        let mut watch = None;
        let honest = world(seed, &mut watch).await;
        kept(honest.stall_as_batch_expires(ahead).await, watch.as_ref());
        let of = (Some(Sabotage::HoursOnlyAtDecision), Aim::Off);
        let bad = World::new(seed, of, &mut None).await.expect("nothing has happened yet");
        found.extend(bad.stall_as_batch_expires(ahead).await.err());
    }
    let meant = found.iter().filter(|v| v.promise == "I4" && v.what.contains("expired"));
    assert!(meant.count() >= 5, "{found:?}");
}
