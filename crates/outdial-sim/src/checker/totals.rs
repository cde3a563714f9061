//! I3: the totals of a batch are what a slow recount of its calls gives, and add up.

use std::collections::BTreeSet;

use outdial_core::batch::BatchTotals;
use outdial_core::call::CallState;
use outdial_core::outcome::Disposition;
use outdial_ports::store::CallView;

use super::Violation;

/// Recounts a batch.
pub fn recount(totals: &BatchTotals, calls: &[CallView]) -> Result<(), Violation> {
    let wrong = |what: String| Err(Violation::new("I3", what));
    let count = |of: &dyn Fn(&CallView) -> bool| calls.iter().filter(|c| of(c)).count() as u64;
    let found = BatchTotals {
        total: calls.len() as u64,
        pending: count(&|c| c.state == CallState::Pending),
        live: count(&|c| c.state == CallState::Live),
        finished: count(&|c| c.state == CallState::Finished),
        picked: count(&was_picked),
        completed: count(&|c| {
            c.state == CallState::Finished && c.disposition == Some(Disposition::Completed)
        }),
    };
    let BatchTotals { total, pending, live, finished, .. } = *totals;
    if total != pending + live + finished {
        return wrong(format!("{total} calls are not {pending} + {live} + {finished}"));
    }
    if found != *totals {
        return wrong(format!("the totals say {totals:?}, a recount {found:?}"));
    }
    let numbers: BTreeSet<_> = calls.iter().map(|c| c.phone).collect();
    if numbers.len() != calls.len() {
        return wrong("a number stands twice in a batch".to_owned());
    }
    Ok(())
}

/// A person answered in the latest round.
fn was_picked(call: &CallView) -> bool {
    let round = call.facts.round;
    call.attempts.iter().any(|a| a.round == round && a.disposition == Some(Disposition::Completed))
}

#[cfg(test)]
mod tests {
    use outdial_core::call::CallFacts;
    use outdial_core::id::{BatchId, CallId};
    use outdial_core::phone::PhoneNumber;
    use outdial_core::time::Timestamp;

    use super::*;

    fn call(n: u64, state: CallState) -> CallView {
        CallView {
            id: CallId::from_parts(1, n),
            batch: BatchId::from_parts(1, 1),
            phone: PhoneNumber::from_digits(n),
            fields: "{}".to_owned(),
            class: "UTC".to_owned(),
            state,
            held: false,
            group: None,
            facts: CallFacts::default(),
            disposition: (state == CallState::Finished).then_some(Disposition::Busy),
            disposition_reason: None,
            waiting: None,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn totals_that_are_off() {
        let calls = [call(1, CallState::Pending), call(2, CallState::Live)];
        let good = BatchTotals { total: 2, pending: 1, live: 1, ..BatchTotals::default() };
        recount(&good, &calls).unwrap();
        for bad in [
            BatchTotals { pending: 2, ..good },
            BatchTotals { total: 3, finished: 1, ..good },
            BatchTotals { picked: 1, ..good },
            BatchTotals { completed: 1, ..good },
        ] {
            assert!(recount(&bad, &calls).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_twice() {
        let calls = [call(1, CallState::Finished), call(1, CallState::Finished)];
        let totals = BatchTotals { total: 2, finished: 2, ..BatchTotals::default() };
        assert!(recount(&totals, &calls).unwrap_err().what.contains("twice"));
    }
}
