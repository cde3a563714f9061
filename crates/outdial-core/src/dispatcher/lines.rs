//! The lines of one turn: which trunk and number still have a channel and a slot.

use std::collections::BTreeMap;

use super::{Gate, Head, Line, LineLimits};
use crate::id::{PhoneId, TrunkId};
use crate::pacing::Pace;
use crate::time::Timestamp;

/// The lines of a workspace, with what a plan has taken of them so far.
pub(super) struct Lines {
    numbers: BTreeMap<PhoneId, (TrunkId, Usage)>,
    trunks: BTreeMap<TrunkId, Usage>,
    /// Bounds of a turn's slots.
    earliest: Timestamp,
    latest: Timestamp,
}

/// A channel and a slot that a call can have.
pub(super) struct Ready {
    pub(super) number: PhoneId,
    pub(super) trunk: TrunkId,
    pub(super) send_at: Timestamp,
    /// Where the rotation goes on.
    pub(super) next_turn: usize,
}

struct Usage {
    /// Free channels.
    free: u32,
    pace: Option<Pace>,
    slots: Vec<Timestamp>,
    used: bool,
    paused_until: Timestamp,
}

impl Usage {
    /// Slots behind `latest` were taken before the clock was set back; they say nothing any more.
    fn new(
        limits: &LineLimits,
        live: u32,
        (slots, latest): (&[Timestamp], Timestamp),
        paused: Option<Timestamp>,
    ) -> Self {
        Self {
            free: limits.channels.map_or(u32::MAX, |most| most.saturating_sub(live)),
            pace: limits.calls_per_second.map(Pace::new),
            slots: slots.iter().copied().filter(|s| *s <= latest).collect(),
            used: false,
            paused_until: paused.unwrap_or(Timestamp::EPOCH),
        }
    }

    /// Calls that it could take in one turn, at most.
    fn room(&self) -> u32 {
        self.pace.map_or(self.free, |pace| self.free.min(pace.per_window()))
    }

    fn next(&self, at: Timestamp) -> Timestamp {
        self.pace.map_or(at, |pace| pace.next(&self.slots, at))
    }

    fn take(&mut self, at: Timestamp) {
        self.free -= 1;
        if self.pace.is_some() {
            self.slots.push(at);
            self.used = true;
        }
    }
}

impl Lines {
    pub(super) fn new(head: &Head, earliest: Timestamp, latest: Timestamp) -> Self {
        let number = |n: &super::NumberHead| {
            (n.id, (n.trunk, Usage::new(&n.limits, n.live, (&n.slots, latest), None)))
        };
        let trunk = |t: &super::TrunkHead| {
            (t.id, Usage::new(&t.limits, t.live, (&t.slots, latest), t.paused_until))
        };
        Self {
            numbers: head.numbers.iter().map(number).collect(),
            trunks: head.trunks.iter().map(trunk).collect(),
            earliest,
            latest,
        }
    }

    /// How many calls could go out over these numbers in this turn, at most.
    pub(super) fn room(&self, numbers: &[PhoneId]) -> u32 {
        numbers.iter().fold(0, |sum: u32, id| {
            let free = self.numbers.get(id).map_or(0, |(trunk, number)| {
                let trunk = self.trunks.get(trunk).filter(|t| t.paused_until <= self.latest);
                let fits = number.next(self.earliest) <= self.latest;
                trunk.map_or(0, |t| t.room().min(number.room())) * u32::from(fits)
            });
            sum.saturating_add(free)
        })
    }

    /// A channel and the earliest slot of the next number, from `turn` on, that has both. Else:
    /// until when the number that is ready soonest waits ([`Timestamp::MAX`]: until something
    /// changes), and for what.
    pub(super) fn ready(
        &self,
        numbers: &[PhoneId],
        turn: usize,
    ) -> Result<Ready, (Timestamp, Gate)> {
        let mut soonest = (Timestamp::MAX, Gate::NoNumbers);
        for step in 0..numbers.len() {
            let index = (turn + step) % numbers.len();
            let wait = match self.slot_of(numbers[index]) {
                Ok((trunk, send_at)) if send_at <= self.latest => {
                    let next_turn = (index + 1) % numbers.len();
                    return Ok(Ready { number: numbers[index], trunk, send_at, next_turn });
                }
                // Look again when that slot is near enough to be committed.
                Ok((_, send_at)) => {
                    (send_at.before(self.latest.since(self.earliest)), Gate::Pacing)
                }
                Err(wait) => wait,
            };
            soonest = if step == 0 { wait } else { soonest.min(wait) };
        }
        Err(soonest)
    }

    /// Takes what `ready` found.
    pub(super) fn book(&mut self, ready: &Ready) {
        if let Some((_, number)) = self.numbers.get_mut(&ready.number) {
            number.take(ready.send_at);
        }
        if let Some(trunk) = self.trunks.get_mut(&ready.trunk) {
            trunk.take(ready.send_at);
        }
    }

    /// The slots of each paced line that was used, those that no longer matter left out.
    pub(super) fn used_slots(&self, now: Timestamp) -> Vec<(Line, Vec<Timestamp>)> {
        let mut used = Vec::new();
        let trunks = self.trunks.iter().map(|(id, u)| (Line::Trunk(*id), u));
        let numbers = self.numbers.iter().map(|(id, (_, u))| (Line::Number(*id), u));
        for (line, usage) in trunks.chain(numbers).filter(|(_, u)| u.used) {
            if let Some(pace) = usage.pace {
                used.push((line, pace.still_matter(&usage.slots, now)));
            }
        }
        used
    }

    /// The trunk of a number and its earliest slot; or what it waits for.
    fn slot_of(&self, id: PhoneId) -> Result<(TrunkId, Timestamp), (Timestamp, Gate)> {
        let none = (Timestamp::MAX, Gate::NoNumbers);
        let (trunk_id, number) = self.numbers.get(&id).ok_or(none)?;
        let trunk = self.trunks.get(trunk_id).ok_or(none)?;
        if trunk.free == 0 || number.free == 0 {
            return Err((Timestamp::MAX, Gate::Channels));
        }
        if trunk.paused_until > self.earliest {
            return Err((trunk.paused_until, Gate::TrunkPaused));
        }
        Ok((*trunk_id, trunk.next(self.earliest).max(number.next(self.earliest))))
    }
}
