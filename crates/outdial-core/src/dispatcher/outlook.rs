//! Looking ahead for one call: when nothing holds it back that is known in time.

use super::gates::{Account, Days, Ruling, place_gates};
use super::lines::{Ceilings, Lines};
use super::{BatchHead, Gate, HORIZON, Head, Turn, Wait};
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
/// pace, the caps and budgets of the day hold a call of the batch, by the gates that a turn would
/// meet then. What passes as calls end counts only where nothing else holds the call at `now`: its
/// channels, and `is_full`, the concurrency of its batch and workspace.
pub(crate) fn next_opening(
    head: &Head,
    batch: &BatchHead,
    class: &Class,
    (now, from): (Timestamp, Timestamp),
    is_full: bool,
) -> Outlook {
    let mut ceilings = Ceilings::default();
    ceilings.look(head, now.after(HORIZON));
    let ahead = Ahead { head, batch, class, ceilings };
    match ahead.opening(from) {
        Outlook::At(at) if at > now => Outlook::At(at),
        Outlook::At(_) if is_full => Outlook::Nothing,
        Outlook::At(at) => match ahead.lines_open(at, true) {
            Timestamp::MAX => Outlook::Nothing,
            later => ahead.opening(later),
        },
        Outlook::Nothing => Outlook::Nothing,
    }
}

/// What is looked at.
struct Ahead<'a> {
    head: &'a Head,
    batch: &'a BatchHead,
    class: &'a Class,
    ceilings: Ceilings,
}

impl Ahead<'_> {
    /// As if channels were free.
    fn opening(&self, from: Timestamp) -> Outlook {
        let (head, hours) = (self.head, &self.batch.settings.calling_hours);
        let mut at = from;
        for _ in 0..ROUNDS {
            let mut opens = at;
            let mut note = |wait: Wait| opens = opens.max(wait.until);
            let ruling = Ruling::new(hours, head.rules, self.class, at);
            place_gates(self.batch, &ruling, at, &mut note);
            opens = opens.max(self.lines_open(at, false));
            match opens {
                Timestamp::MAX => return Outlook::Nothing,
                _ if opens == at => return Outlook::At(at),
                _ => at = opens,
            }
        }
        Outlook::Nothing
    }

    /// When the first of the batch's numbers is open that is not at `at`.
    fn lines_open(&self, at: Timestamp, with_channels: bool) -> Timestamp {
        let turn = Turn { now: at, lead: Duration::ZERO, node_free: 1, turn_limit: 1 };
        let days = Days::new(&self.head.zone, at);
        let account = Account::new(self.head, self.batch, &days);
        let lines = Lines::new(self.head, days, &self.ceilings, &turn);
        let of_number = |id| {
            let mut opens = at;
            lines.look(id, &account, 0, &mut |wait| {
                if with_channels || wait.gate != Gate::Channels {
                    opens = opens.max(wait.until);
                }
            });
            opens
        };
        let numbers = self.batch.numbers.iter();
        numbers.map(|id| of_number(*id)).min().unwrap_or(Timestamp::MAX)
    }
}
