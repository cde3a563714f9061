//! Looking ahead for one call: when nothing holds it back that is known in time.

use super::gates::{Account, Days, Ruling, place_gates};
use super::lines::Lines;
use super::{BatchHead, Gate, Head, Turn, Wait};
use crate::time::Timestamp;
use crate::zone::Class;

use std::time::Duration;

/// Hours, rules, days and pauses take turns only so often before it is said that it never opens.
const ROUNDS: usize = 64;

/// What is known of the instant at which a call can be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// At this instant, if its turn has come.
    At(Timestamp),
    /// Something without a time must happen first, or it expires before.
    Nothing,
}

/// The first instant from `from` on at which neither hours nor rules, nor the trunks' pauses, the
/// caps and budgets of the day hold a call of the batch, by the gates that a turn would meet then.
/// What passes as calls end (channels, pace, concurrency) is left out.
pub(crate) fn next_opening(
    head: &Head,
    batch: &BatchHead,
    class: &Class,
    from: Timestamp,
) -> Outlook {
    let mut at = from;
    for _ in 0..ROUNDS {
        let mut opens = at;
        let mut note = |wait: Wait| opens = opens.max(wait.until);
        let hours = &batch.settings.calling_hours;
        place_gates(batch, &Ruling::new(hours, head.rules, class, at), at, &mut note);
        opens = opens.max(lines_open(head, batch, at));
        match opens {
            Timestamp::MAX => return Outlook::Nothing,
            _ if opens == at => return Outlook::At(at),
            _ => at = opens,
        }
    }
    Outlook::Nothing
}

/// When the first of the batch's numbers is open that is not at `at`.
fn lines_open(head: &Head, batch: &BatchHead, at: Timestamp) -> Timestamp {
    let turn = Turn { now: at, lead: Duration::ZERO, node_free: 1, turn_limit: 1 };
    let days = Days::new(&head.zone, at);
    let account = Account::new(head, batch, &days);
    let lines = Lines::new(head, days, &turn);
    let of_number = |id| {
        let mut opens = at;
        lines.look(id, &account, &mut |wait| {
            if !matches!(wait.gate, Gate::Channels | Gate::Pacing) {
                opens = opens.max(wait.until);
            }
        });
        opens
    };
    batch.numbers.iter().map(|id| of_number(*id)).min().unwrap_or(Timestamp::MAX)
}
