//! What waits in each batch, added up by state; for both backends. Pure.

use std::collections::BTreeMap;

use outdial_core::batch::BatchState;
use outdial_core::time::Timestamp;
use outdial_ports::store::Waiting;

/// Adds up batches in which something waits: state, calls, when the earliest is due, if known.
pub(crate) fn waiting_of(
    batches: impl IntoIterator<Item = (BatchState, u64, Option<Timestamp>)>,
) -> Vec<Waiting> {
    let mut by_state: BTreeMap<&'static str, Waiting> = BTreeMap::new();
    for (state, calls, due) in batches {
        let sum = by_state.entry(state.as_str()).or_insert(Waiting {
            state,
            batches: 0,
            calls: 0,
            oldest_due: None,
        });
        sum.batches += 1;
        sum.calls += calls;
        sum.oldest_due = sum.oldest_due.into_iter().chain(due).min();
    }
    by_state.into_values().collect()
}
