//! Found bugs, each as a scenario with a name: a world and what is done in it. They stay.

mod brakes;
mod budgets;
mod clock;
mod drain;
mod expiry;

use std::sync::Arc;

use crate::checker::Violation;
use crate::watch::Watch;
use crate::world::{Aim, World};

/// A world in which nothing has happened yet.
async fn world(seed: u64, watch: &mut Option<Arc<Watch>>) -> World {
    World::new(seed, (None, Aim::Off), watch).await.expect("a new world has broken no promise")
}

/// No promise was broken; else the trace is shown.
fn kept(result: Result<World, Violation>, watch: Option<&Arc<Watch>>) {
    if let Err(violation) = result {
        let trace = watch.map(|w| w.summary().0).unwrap_or_default();
        panic!("{}\n{violation}", crate::tail(&trace, 40));
    }
}
