//! Budgets.

/// Two calls whose ends a stalled process heard late took more than was reserved for them, while a
/// plan that counted on their reserves was on its way; it was committed.
#[test]
fn ends_beyond_their_reserve_while_a_plan_is_on_its_way() {
    if let Err(failure) = crate::run(1_006_328, crate::STEPS) {
        panic!("{}\n{failure}", crate::tail(&failure.trace, 40));
    }
}
