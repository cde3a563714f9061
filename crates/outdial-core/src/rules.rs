//! Calling rules: what the law of the called party's place says about hours, days, holidays and
//! attempts (`semantics.md` 2.3).
//!
//! Rules are data, a file per place under `data/calling-rules`, each with citation and version;
//! nothing here knows a place by name. What is not known of a person closes: at an unknown place
//! the rules allow nothing.

mod book;
mod holiday;

pub use book::{Citation, Evidence, Rule, all};
pub use holiday::Holiday;

use crate::hours::{Allowed, CallingHours, Gate, common, span, whole_day};
use crate::settings::CallingRules;
use crate::time::Timestamp;
use crate::zone::{Class, Zone};

/// Whether a call may be placed at an instant, as the batch's hours and the calling rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Both together: the batch's hours in every zone of the class, and the rules.
    pub allowed: Allowed,
    /// The batch's hours alone.
    pub hours: Allowed,
    /// The rules alone; open for ever where they are switched off or say nothing.
    pub rules: Allowed,
}

/// What the batch's hours and, unless they are off, the rules of every place of the class say at
/// `at`. The only answer to "may it be dialed now" that there is.
pub fn verdict(hours: &CallingHours, rules: CallingRules, class: &Class, at: Timestamp) -> Verdict {
    let by_hours = hours.allowed(class, at);
    let open = |rules| Verdict { allowed: by_hours, hours: by_hours, rules };
    if rules == CallingRules::Off {
        return open(Allowed::Open { until: Timestamp::MAX });
    }
    if class.places().is_empty() {
        let closed = Allowed::Closed { opens: None };
        return Verdict { allowed: closed, hours: by_hours, rules: closed };
    }
    let sources = sources(class);
    let mut gates = gates(&sources, class);
    if gates.is_empty() {
        return open(Allowed::Open { until: Timestamp::MAX });
    }
    let by_rules = common(&gates, at);
    let allowed = if hours.is_always() {
        by_rules
    } else {
        gates.extend(hours.gates(class));
        common(&gates, at)
    };
    Verdict { allowed, hours: by_hours, rules: by_rules }
}

/// Most attempts at one person in 24 h that the rules of the class's places allow; none: they say
/// nothing about that.
pub fn attempts_24h(rules: CallingRules, class: &Class) -> Option<u32> {
    match rules {
        CallingRules::Off => None,
        CallingRules::On => sources(class).iter().filter_map(|rule| rule.attempts_24h()).min(),
    }
}

/// The rules that hold for somebody of this class, sorted by place; none: the place is unknown.
pub fn sources(class: &Class) -> Vec<&'static Rule> {
    book::at(class.places())
}

/// Those rules of the class that forbid, within 14 days from `at`, what the hours allow.
pub fn narrowing(hours: &CallingHours, class: &Class, at: Timestamp) -> Vec<&'static Rule> {
    let mut rules = sources(class);
    rules.retain(|rule| rule.restricts_hours() && narrows(rule, hours, class, at));
    rules
}

fn narrows(rule: &'static Rule, hours: &CallingHours, class: &Class, from: Timestamp) -> bool {
    let one = [rule];
    let gates = gates(&one, class);
    let end = from.after(std::time::Duration::from_secs(14 * 86_400));
    let mut at = from;
    while at < end {
        let until = match hours.allowed(class, at) {
            Allowed::Open { until } => until.min(end),
            Allowed::Closed { opens: Some(opens) } => {
                at = opens;
                continue;
            }
            Allowed::Closed { opens: None } => return false,
        };
        match common(&gates, at) {
            Allowed::Open { until: allowed } if allowed >= until => at = until,
            _ => return true,
        }
    }
    false
}

/// The rules together in every zone where they are read; none where no rule restricts hours.
fn gates<'a>(rules: &'a [&'static Rule], class: &'a Class) -> Vec<Gate<'a>> {
    if !rules.iter().any(|rule| rule.restricts_hours()) {
        return Vec::new();
    }
    let gate = |zone: &'a Zone| Gate {
        tz: zone.tz(),
        windows: Box::new(move |date| {
            // On the local clock the windows of all rules are cut to one list, which is cheaper
            // than to do so with instants, and the same: both edges keep their order.
            let day = rules.iter().fold(book::Day::Whole, |day, rule| day.and(rule.day(date)));
            match day {
                book::Day::Whole => whole_day(zone.tz(), date).into_iter().collect(),
                book::Day::Windows(windows) => windows
                    .into_iter()
                    .filter_map(|(start, end)| span(zone.tz(), start.on(date)?, end.on(date)?))
                    .collect(),
            }
        }),
    };
    class.rule_zones().iter().map(gate).collect()
}
