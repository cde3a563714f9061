//! When something can be placed next: so that nobody runs a process through nights in which
//! nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::hours::CallingHours;
use outdial_core::id::BatchId;
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;

use crate::checker::{Hours, Violation};
use crate::watch::Seen;

/// The grid on which the next opening is searched; no window is shorter.
const GRID: Duration = Duration::from_secs(300);
/// How well it is found.
const FINE: Duration = Duration::from_secs(15);
/// Openings are searched so far ahead.
const AHEAD: u32 = 15 * 24 * 12;
/// Nothing to do for longer than this: nobody runs a process meanwhile.
const NIGHT: Duration = Duration::from_secs(90);

/// When something can be placed.
pub(crate) enum Outlook {
    /// Soon, or a call is live.
    Now,
    /// Not for so long.
    After(Duration),
    /// Never, with these hours and rules.
    Never,
}

/// Calls of a batch at people of one class: the hours, whether the rules apply, when one is due.
type Waiting = BTreeMap<(BatchId, String), (CallingHours, CallingRules, Timestamp)>;

/// By hours and rules.
pub(crate) fn outlook(seen: &mut Seen, _: Timestamp) -> Result<Outlook, Violation> {
    let now = seen.wall;
    if seen.checkers.once.live_count() > 0 {
        return Ok(Outlook::Now);
    }
    let mut waiting = Waiting::new();
    for (id, batch) in seen.model.active() {
        let settings = seen.model.settings.get(&batch.workspace);
        let rules = settings.map_or(CallingRules::On, |s| s.calling_rules);
        for (class, due) in seen.model.waiting(id) {
            let said = (batch.settings.calling_hours.clone(), rules, due);
            let first = waiting.entry((id, class.to_owned())).or_insert(said);
            first.2 = first.2.min(due);
        }
    }
    if waiting.is_empty() {
        return Ok(Outlook::Now);
    }
    let hours = &mut seen.checkers.hours;
    for step in 0..AHEAD {
        let at = now.after(GRID * step);
        if !anybody(hours, &waiting, at, GRID)? {
            continue;
        }
        let mut opens = at.before(GRID).max(now);
        while opens < at && !anybody(hours, &waiting, opens, FINE)? {
            opens = opens.after(FINE);
        }
        let away = opens.since(now).saturating_sub(FINE);
        return Ok(if away > NIGHT { Outlook::After(away) } else { Outlook::Now });
    }
    // Held for good, by the rules or by hours that somebody has changed.
    let open = |(hours, rules, _): &(CallingHours, CallingRules, Timestamp)| {
        hours.is_always() && *rules == CallingRules::Off
    };
    match waiting.values().any(open) {
        false => Ok(Outlook::Never),
        true => Err(Violation::new("I2", format!("nobody can ever be called: {waiting:?}"))),
    }
}

/// Somebody can be called at `at`, or is due up to `slack` later.
fn anybody(
    hours: &mut Hours,
    waiting: &Waiting,
    at: Timestamp,
    slack: Duration,
) -> Result<bool, Violation> {
    for ((_, class), (window, rules, due)) in waiting {
        if *due <= at.after(slack) && hours.is_open(window, *rules, class, at)? {
            return Ok(true);
        }
    }
    Ok(false)
}
