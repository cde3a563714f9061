//! Gates: what holds calls back, judged here and nowhere else. Planning, and explaining why a call
//! was not placed yet, ask the same functions; the one takes the gate that opens last, the other
//! all of them.
//!
//! From the outside in: the group (due, expiry, rules, hours), its batch (concurrency, brake,
//! canary), its calling numbers (`lines`: price, channels, trunk, pace, cap of the day, budget),
//! and the workspace and the node, which hold every group alike.

use super::lines::Lines;
use super::{BatchHead, Gate, Group, GroupKey, Head, Turn, Wait};
use crate::batch::PauseReason;
use crate::brake::{Brake, BrakeState, SLOW_CONCURRENCY, look};
use crate::budget::{Budget, Day, Spend};
use crate::contact::Never;
use crate::hours::{Allowed, CallingHours};
use crate::rules::{Verdict, attempts_24h, verdict};
use crate::settings::CallingRules;
use crate::time::Timestamp;
use crate::zone::{Class, Zone};

use std::time::Duration;

/// Where closed gates are told of.
pub(super) type Note<'n> = &'n mut dyn FnMut(Wait);

/// A verdict with no edge in sight is asked for again after this.
const AGAIN: Duration = Duration::from_secs(3600);

/// The two calendar days on which slots of one turn can fall: that of the earliest slot, and the
/// next.
#[derive(Clone, Debug)]
pub(super) struct Days {
    zone: Zone,
    from: Timestamp,
    today: Day,
    /// End of `today`.
    ends: Timestamp,
}

impl Days {
    pub(super) fn new(zone: &Zone, from: Timestamp) -> Self {
        let today = Day::of(zone, from);
        Self { zone: zone.clone(), from, today, ends: today.ends(zone) }
    }

    /// They would be the same, made for `from`.
    pub(super) fn hold(&self, zone: &Zone, from: Timestamp) -> bool {
        self.from <= from && from < self.ends && self.zone == *zone
    }

    /// 0: the first, 1: the second.
    pub(super) fn index(&self, at: Timestamp) -> usize {
        usize::from(at >= self.ends)
    }

    pub(super) fn day(&self, index: usize) -> Day {
        Day(self.today.0 + i32::from(index > 0))
    }

    pub(super) fn end(&self, index: usize) -> Timestamp {
        if index == 0 { self.ends } else { self.day(index).ends(&self.zone) }
    }

    /// What a list by day says of both.
    pub(super) fn both<T: Copy + Default>(&self, by_day: &[(Day, T)]) -> [T; 2] {
        [0, 1].map(|index| {
            let day = self.day(index);
            by_day.iter().find(|(d, _)| *d == day).map_or_else(T::default, |(_, t)| *t)
        })
    }
}

/// A group that may be dialed now: until when, what ends that, and how often its people may be
/// called in 24 h.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) until: Timestamp,
    pub(super) ends_by: Gate,
    pub(super) attempts_24h: Option<u32>,
}

/// What hours and rules say; the same until their next edge.
#[derive(Debug)]
pub(super) struct Ruling {
    hours: CallingHours,
    rules: CallingRules,
    from: Timestamp,
    to: Timestamp,
    verdict: Verdict,
    /// Nothing ever opens.
    never: Option<Never>,
    attempts_24h: Option<u32>,
}

impl Ruling {
    pub(super) fn new(
        hours: &CallingHours,
        rules: CallingRules,
        class: &Class,
        at: Timestamp,
    ) -> Self {
        let verdict = verdict(hours, rules, class, at);
        let edge = |allowed| match allowed {
            Allowed::Open { until } => until,
            Allowed::Closed { opens } => opens.unwrap_or(at.after(AGAIN)),
        };
        let to = edge(verdict.allowed).min(edge(verdict.hours)).min(edge(verdict.rules));
        let attempts_24h = attempts_24h(rules, class);
        let never = Never::of_verdict(&verdict, class, rules);
        Self { hours: hours.clone(), rules, from: at, to, verdict, never, attempts_24h }
    }

    /// It is what asking anew would give.
    pub(super) fn holds(&self, hours: &CallingHours, rules: CallingRules, at: Timestamp) -> bool {
        self.from <= at && at < self.to && self.rules == rules && self.hours == *hours
    }
}

/// The gates of a group of an active batch at the instant `at` of its slot; open only if none was
/// told of.
pub(super) fn group_gates(
    batch: &BatchHead,
    group: &Group,
    ruling: &Ruling,
    workspace_attempts: Option<u32>,
    (now, at): (Timestamp, Timestamp),
    note: Note<'_>,
) -> Option<Opening> {
    let mut open = true;
    if group.next_due > now {
        open = false;
        note(Wait { gate: Gate::NotBefore, until: group.next_due });
    }
    let mut told = |wait| {
        open = false;
        note(wait);
    };
    let end = place_gates(batch, ruling, at, &mut told);
    let attempts = [workspace_attempts, ruling.attempts_24h].into_iter().flatten().min();
    let (until, ends_by) = end?;
    open.then_some(Opening { until, ends_by, attempts_24h: attempts })
}

/// Expiry, rules and hours at the instant `at`: until when all of them are open, and which of them
/// closes then.
pub(super) fn place_gates(
    batch: &BatchHead,
    ruling: &Ruling,
    at: Timestamp,
    note: Note<'_>,
) -> Option<(Timestamp, Gate)> {
    let expires = batch.settings.expires_at.unwrap_or(Timestamp::MAX);
    if expires <= at {
        note(Wait { gate: Gate::Expired, until: Timestamp::MAX });
    }
    let said = &ruling.verdict;
    // Rules and hours would each blame the other.
    if let Some(never) = ruling.never {
        let gate = match never {
            Never::NoCommonHours => Gate::NoCommonHours,
            Never::PlaceUnknown => Gate::PlaceUnknown,
        };
        note(Wait { gate, until: Timestamp::MAX });
        return None;
    }
    for (gate, allowed) in [(Gate::Rules, said.rules), (Gate::Hours, said.hours)] {
        if let Allowed::Closed { opens } = allowed {
            note(Wait { gate, until: opens.unwrap_or(Timestamp::MAX) });
        }
    }
    match said.allowed {
        Allowed::Open { until } if until <= expires => {
            let by_rules = said.rules == Allowed::Open { until };
            Some((until, if by_rules { Gate::Rules } else { Gate::Hours }))
        }
        Allowed::Open { .. } => Some((expires, Gate::Expired)),
        Allowed::Closed { .. } => None,
    }
}

/// One batch in one turn: what it may still do, with what the plan has taken of it.
#[derive(Debug)]
pub(super) struct Account<'a> {
    pub(super) batch: &'a BatchHead,
    brake: Brake,
    /// What the brakes are to remember of it.
    pub(super) remembers: BrakeState,
    planned: u32,
    /// Used and reserved on both days, without this plan's.
    spent: [Spend; 2],
    /// This plan's.
    reserved: [Spend; 2],
}

/// What a budget says to one more call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purse {
    /// There is room for its reserve.
    Fits,
    /// Not before this instant, at which the day's account begins anew.
    Until(Timestamp),
    /// Not unless a live call gives back, or somebody raises it.
    Empty,
}

impl<'a> Account<'a> {
    pub(super) fn new(head: &Head, batch: &'a BatchHead, days: &Days) -> Self {
        let pulses = (&batch.pulse, &batch.pulse_ever);
        let (brake, remembers) = look(&head.brakes, batch.settings.canary, &batch.brake, pulses);
        let spent = match batch.settings.budget {
            Some(budget) if budget.per_day => days.both(&batch.spent_by_day),
            _ => [batch.spent; 2],
        };
        Self { batch, brake, remembers, planned: 0, spent, reserved: [Spend::NONE; 2] }
    }

    /// Calls that it may still start, by the limits that count its calls.
    pub(super) fn room(&self) -> u32 {
        self.rooms().into_iter().map(|(_, room)| room).min().unwrap_or(u32::MAX)
    }

    /// Which of those limits are reached; true: none.
    pub(super) fn count_gates(&self, note: Note<'_>) -> bool {
        for (gate, _) in self.rooms().into_iter().filter(|(_, room)| *room == 0) {
            note(Wait { gate, until: Timestamp::MAX });
        }
        self.room() > 0
    }

    /// What one more call that reserves `reserve` on the day of this index would find.
    pub(super) fn purse(&self, reserve: Spend, index: usize, days: &Days) -> Purse {
        let Some(budget) = &self.batch.settings.budget else { return Purse::Fits };
        if budget.fits(self.used(budget, index), reserve) {
            return Purse::Fits;
        }
        match budget.per_day && budget.fits(Spend::NONE, reserve) {
            true => Purse::Until(days.end(index)),
            false => Purse::Empty,
        }
    }

    /// Its budget counts money, so that a number without a price cannot be used.
    pub(super) fn counts_money(&self) -> bool {
        self.batch.settings.budget.is_some_and(|b| b.micros.is_some())
    }

    /// Why it is to be paused: a brake says so; or its budget has no room for a call over any of
    /// its numbers, and nothing live could give back.
    pub(super) fn pause(&self, lines: &Lines<'_>) -> Option<PauseReason> {
        if let Brake::Pause(reason) = self.brake {
            return Some(reason);
        }
        let spent = self.calls() == 0
            && self.batch.settings.budget.is_some()
            && lines.all_beyond_budget(self);
        spent.then_some(PauseReason::Budget)
    }

    pub(super) fn take(&mut self, reserve: Spend, index: usize) {
        self.planned += 1;
        self.reserved[index] = self.reserved[index].plus(reserve);
    }

    /// Live calls, and those planned.
    fn calls(&self) -> u32 {
        self.batch.live.saturating_add(self.planned)
    }

    fn used(&self, budget: &Budget, index: usize) -> Spend {
        match budget.per_day {
            true => self.spent[index].plus(self.reserved[index]),
            false => self.spent[index].plus(self.reserved[0]).plus(self.reserved[1]),
        }
    }

    /// The limits that count its calls, and how many more each of them allows.
    fn rooms(&self) -> [(Gate, u32); 3] {
        let settings = &self.batch.settings;
        let beside = |most: u64, had: u64| {
            u32::try_from(most.saturating_sub(had.saturating_add(u64::from(self.calls()))))
                .unwrap_or(u32::MAX)
        };
        let brake = match self.brake {
            Brake::Free => u32::MAX,
            Brake::Slow(_) => beside(u64::from(SLOW_CONCURRENCY), 0),
            Brake::Pause(_) => 0,
        };
        let ended = self.batch.pulse_ever.ended;
        let canary = settings.canary.map(u64::from);
        let canary = canary.filter(|n| ended < *n && !self.remembers.canary_passed);
        [
            (Gate::Brake, brake),
            (Gate::Canary, canary.map_or(u32::MAX, |n| beside(n, ended))),
            (
                Gate::BatchConcurrency,
                settings.concurrency.map_or(u32::MAX, |most| beside(u64::from(most), 0)),
            ),
        ]
    }
}

/// The gates of the workspace and of this node, which hold every group alike; true: open.
pub(super) fn common_gates(head: &Head, turn: &Turn, note: Note<'_>) -> bool {
    let rooms =
        [(Gate::WorkspaceConcurrency, workspace_room(head)), (Gate::NodeCapacity, turn.node_free)];
    for (gate, _) in rooms.into_iter().filter(|(_, room)| *room == 0) {
        note(Wait { gate, until: Timestamp::MAX });
    }
    rooms.into_iter().all(|(_, room)| room > 0)
}

/// Calls that the workspace may still start.
pub(super) fn workspace_room(head: &Head) -> u32 {
    head.concurrency.map_or(u32::MAX, |most| most.saturating_sub(head.live))
}

/// Whether the batch places calls of this group's lane.
pub(super) fn in_lane(batch: &BatchHead, key: &GroupKey) -> bool {
    batch.lane.is_none_or(|lane| lane == key.lane)
}
