//! The lines of one turn: which trunk and number still have a channel and a slot, and what keeps a
//! batch from using them.

use super::gates::{Account, Days, Note, Purse};
use super::{Gate, Head, Line, LineLimits, TrunkHead, Wait, earliest, latest};
use crate::budget::{Day, Spend};
use crate::id::{PhoneId, TrunkId};
use crate::pacing::Pace;
use crate::time::Timestamp;
use crate::trunk_health::is_paused;

use std::collections::BTreeMap;

/// The lines of a workspace, with what a plan has taken of them so far.
pub(super) struct Lines<'a> {
    head: &'a Head,
    /// As in the head.
    numbers: Vec<NumberUse>,
    trunks: Vec<Usage>,
    days: Days,
    /// Bounds of a turn's slots.
    earliest: Timestamp,
    latest: Timestamp,
}

/// A channel and a slot that a call can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) number: PhoneId,
    pub(super) trunk: TrunkId,
    pub(super) send_at: Timestamp,
    pub(super) day: Day,
    pub(super) reserve: Spend,
    pub(super) price: u64,
    /// How long the call may last at most, whole seconds.
    pub(super) max_call_s: u32,
    /// Where the rotation goes on.
    pub(super) next_turn: usize,
    /// Places of number, trunk and day in the tables of this turn.
    at: (usize, usize, usize),
}

struct NumberUse {
    /// In the order of preference.
    trunks: Vec<usize>,
    usage: Usage,
    /// Attempts of both days, and most of them.
    placed: [u32; 2],
    per_day: u32,
}

/// How far ahead the slots of each line are believed to be. A clock that is set back leaves slots
/// behind that lie too far ahead: their calls have left, or leave within the horizon of the turn
/// that sees it first. They count as of its end, once: else they would move on with the clock.
#[derive(Debug, Default)]
pub(super) struct Ceilings {
    /// The last slot of the line, and what is believed of it.
    of: BTreeMap<Line, (Timestamp, Timestamp)>,
}

impl Ceilings {
    /// Looks at the lines in a turn whose slots end at `latest`.
    pub(super) fn look(&mut self, head: &Head, latest: Timestamp) {
        let trunks = head.trunks.iter().map(|t| (Line::Trunk(t.id), &t.slots));
        let numbers = head.numbers.iter().map(|n| (Line::Number(n.id), &n.slots));
        for (line, slots) in trunks.chain(numbers) {
            match slots.last().filter(|last| **last > latest) {
                None => {
                    self.of.remove(&line);
                }
                Some(last) if self.of.get(&line).is_some_and(|known| known.0 == *last) => {}
                Some(last) => {
                    self.of.insert(line, (*last, latest));
                }
            }
        }
    }

    /// The slots of a line, none of them later than is believed.
    fn clamp(&self, line: Line, slots: &[Timestamp]) -> Vec<Timestamp> {
        let most = self.of.get(&line).map_or(Timestamp::MAX, |(_, most)| *most);
        slots.iter().map(|slot| (*slot).min(most)).collect()
    }
}

struct Usage {
    /// Free channels.
    free: u32,
    pace: Option<Pace>,
    slots: Vec<Timestamp>,
    used: bool,
}

impl Usage {
    fn new(limits: &LineLimits, live: u32, slots: impl FnOnce() -> Vec<Timestamp>) -> Self {
        let pace = limits.calls_per_second.map(Pace::new);
        Self {
            free: limits.channels.map_or(u32::MAX, |most| most.saturating_sub(live)),
            pace,
            slots: pace.map_or_else(Vec::new, |_| slots()),
            used: false,
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

impl<'a> Lines<'a> {
    pub(super) fn new(head: &'a Head, days: Days, ceilings: &Ceilings, turn: &super::Turn) -> Self {
        let (earliest, latest) = (earliest(turn), latest(turn));
        let numbers = head.numbers.iter().map(|n| NumberUse {
            trunks: n
                .trunks
                .iter()
                .filter_map(|id| head.trunks.binary_search_by_key(id, |t| t.id).ok())
                .collect(),
            usage: Usage::new(&n.limits, n.live, || ceilings.clamp(Line::Number(n.id), &n.slots)),
            placed: match n.limits.calls_per_day {
                Some(_) => days.both(&n.placed_by_day),
                None => [0; 2],
            },
            per_day: n.limits.calls_per_day.unwrap_or(u32::MAX),
        });
        let trunks = head
            .trunks
            .iter()
            .map(|t| Usage::new(&t.limits, t.live, || ceilings.clamp(Line::Trunk(t.id), &t.slots)));
        Self { numbers: numbers.collect(), trunks: trunks.collect(), head, days, earliest, latest }
    }

    pub(super) fn days(&self) -> &Days {
        &self.days
    }

    /// How many calls of a batch could go out in this turn, at most.
    pub(super) fn room(&self, account: &Account<'_>) -> u32 {
        let room = |id: &PhoneId, tried: u32| {
            let ready = self.look(*id, account, tried, &mut |_| {})?;
            let (number, trunk, day) = ready.at;
            let number = &self.numbers[number];
            let today = number.per_day - number.placed[day];
            Some(self.trunks[trunk].room().min(number.usage.room()).min(today))
        };
        account.batch.numbers.iter().fold(0, |sum: u32, id| {
            // Over whichever of its trunks has most: who has been refused by one takes another.
            let trunks = self.usable(*id, account).map_or(0, |(n, _)| self.numbers[n].trunks.len());
            let most = (0..u32::try_from(trunks).unwrap_or(u32::MAX)).filter_map(|n| room(id, n));
            sum.saturating_add(most.max().unwrap_or(0))
        })
    }

    /// A channel and the earliest slot of the next of the batch's numbers, from `turn` on, that has
    /// both, for a call that so many trunks could not place. Else what the number waits for that is
    /// ready soonest.
    pub(super) fn ready(
        &self,
        account: &Account<'_>,
        turn: usize,
        tried: u32,
    ) -> Result<Ready, Wait> {
        let numbers = &account.batch.numbers;
        let mut soonest: Option<Wait> = None;
        for step in 0..numbers.len() {
            let index = (turn + step) % numbers.len();
            let mut last: Option<Wait> = None;
            let mut note = |wait: Wait| {
                if last.is_none_or(|l| wait.until > l.until) {
                    last = Some(wait);
                }
            };
            if let Some(ready) = self.look(numbers[index], account, tried, &mut note) {
                return Ok(Ready { next_turn: (index + 1) % numbers.len(), ..ready });
            }
            if let Some(wait) = last.filter(|l| soonest.is_none_or(|s| l.until < s.until)) {
                soonest = Some(wait);
            }
        }
        Err(soonest.unwrap_or(NO_NUMBERS))
    }

    /// Every gate at the batch's numbers, each with the soonest of its instants; none if one of the
    /// numbers is ready.
    pub(super) fn gates(&self, account: &Account<'_>, note: Note<'_>) -> bool {
        let mut all: Vec<Wait> = Vec::new();
        let mut gather = |wait: Wait| match all.iter_mut().find(|w| w.gate == wait.gate) {
            Some(known) => known.until = known.until.min(wait.until),
            None => all.push(wait),
        };
        let numbers = &account.batch.numbers;
        if numbers.iter().any(|id| self.look(*id, account, 0, &mut gather).is_some()) {
            return true;
        }
        if numbers.is_empty() {
            all.push(NO_NUMBERS);
        }
        all.into_iter().for_each(note);
        false
    }

    /// What keeps one of the batch's numbers from taking a call of it that so many trunks could not
    /// place; every gate is told of.
    pub(super) fn look(
        &self,
        id: PhoneId,
        account: &Account<'_>,
        tried: u32,
        note: Note<'_>,
    ) -> Option<Ready> {
        let usable = self.usable(id, account);
        let Some((number_at, price)) = usable else {
            note(self.unusable(id));
            return None;
        };
        let trunk_at = self.trunk_of(number_at, tried);
        let head = &self.head.trunks[trunk_at];
        let (number, trunk) = (&self.numbers[number_at], &self.trunks[trunk_at]);
        let mut open = true;
        let mut closed = |gate, until| {
            open = false;
            note(Wait { gate, until });
        };
        if trunk.free == 0 || number.usage.free == 0 {
            closed(Gate::Channels, Timestamp::MAX);
        }
        if head.is_down {
            closed(Gate::TrunkDown, Timestamp::MAX);
        }
        if let Some(until) = head.paused_until
            && until > self.earliest
            && is_paused(until, self.head.clock)
        {
            closed(Gate::TrunkPaused, until);
        }
        let send_at = trunk.next(self.earliest).max(number.usage.next(self.earliest));
        if send_at > self.latest {
            closed(Gate::Pacing, send_at);
        }
        // Of a slot that is too far away nothing is said about its day: it is looked at again.
        let day = self.days.index(send_at.min(self.latest));
        if number.placed[day] >= number.per_day {
            closed(Gate::CallsPerDay, self.days.end(day));
        }
        let max_call_s = max_call_s(account, head);
        let reserve = Spend::of(u64::from(max_call_s), price);
        match account.purse(reserve, day, &self.days) {
            Purse::Fits => {}
            Purse::Until(until) => closed(Gate::Budget, until),
            Purse::Empty => closed(Gate::Budget, Timestamp::MAX),
        }
        open.then(|| Ready {
            number: id,
            trunk: head.id,
            send_at,
            day: self.days.day(day),
            reserve,
            price,
            max_call_s,
            next_turn: 0,
            at: (number_at, trunk_at, day),
        })
    }

    /// Takes what `ready` found.
    pub(super) fn book(&mut self, ready: &Ready, account: &mut Account<'_>) {
        let (number, trunk, day) = ready.at;
        self.numbers[number].usage.take(ready.send_at);
        self.numbers[number].placed[day] = self.numbers[number].placed[day].saturating_add(1);
        self.trunks[trunk].take(ready.send_at);
        account.take(ready.reserve, day);
    }

    /// None of the batch's numbers can ever take a call within its budget, and one could but for
    /// that.
    pub(super) fn all_beyond_budget(&self, account: &Account<'_>) -> bool {
        let day = self.days.index(self.earliest);
        let mut usable = account.batch.numbers.iter().filter_map(|id| self.usable(*id, account));
        let empty = |(number, price): (usize, u64)| {
            let mut trunks = self.numbers[number].trunks.iter();
            trunks.all(|at| {
                let most = max_call_s(account, &self.head.trunks[*at]);
                let reserve = Spend::of(u64::from(most), price);
                account.purse(reserve, day, &self.days) == Purse::Empty
            })
        };
        usable.next().is_some_and(empty) && usable.all(empty)
    }

    /// The slots of each paced line that was used, those that no longer matter left out.
    pub(super) fn used_slots(&self, now: Timestamp) -> Vec<(Line, Vec<Timestamp>)> {
        let heads = self.head.trunks.iter().map(|t| Line::Trunk(t.id));
        let trunks = heads.zip(&self.trunks);
        let heads = self.head.numbers.iter().map(|n| Line::Number(n.id));
        let numbers = heads.zip(self.numbers.iter().map(|n| &n.usage));
        let used = trunks.chain(numbers).filter(|(_, usage)| usage.used);
        used.filter_map(|(line, u)| Some((line, u.pace?.still_matter(&u.slots, now)))).collect()
    }

    /// The trunk for a call that so many trunks could not place: the next of the number's that is
    /// in order, else the one that will be soonest. A call that none has refused waits for the
    /// first of them even when it is merely busy: failover is only from definite failures
    /// (`semantics.md` 3.8). One that was refused waits for no busy one, and keeps nobody behind it
    /// waiting.
    fn trunk_of(&self, number: usize, tried: u32) -> usize {
        let trunks = &self.numbers[number].trunks;
        let first = usize::try_from(tried).unwrap_or(0) % trunks.len().max(1);
        let opens = |at: &usize| {
            let trunk = &self.head.trunks[*at];
            let at_last = match trunk.is_down {
                true => Timestamp::MAX,
                false => trunk.paused_until.unwrap_or(self.earliest).max(self.earliest),
            };
            (at_last, tried > 0 && self.trunks[*at].free == 0)
        };
        let from_first = trunks.iter().cycle().skip(first).take(trunks.len());
        // The first of equals.
        *from_first.min_by_key(|at| opens(at)).expect("a usable number has a trunk")
    }

    /// Places of the number, and its price; none: no call can go out over it.
    fn usable(&self, id: PhoneId, account: &Account<'_>) -> Option<(usize, u64)> {
        let number = self.head.numbers.binary_search_by_key(&id, |n| n.id).ok()?;
        let price = match self.head.numbers[number].price {
            Some(price) => price,
            None if account.counts_money() => return None,
            None => 0,
        };
        (!self.numbers[number].trunks.is_empty()).then_some((number, price))
    }

    fn unusable(&self, id: PhoneId) -> Wait {
        let number = self.head.numbers.binary_search_by_key(&id, |n| n.id).ok();
        match number.is_some_and(|at| !self.numbers[at].trunks.is_empty()) {
            true => Wait { gate: Gate::NoPrice, until: Timestamp::MAX },
            false => NO_NUMBERS,
        }
    }
}

/// How long a call over the trunk may last.
fn max_call_s(account: &Account<'_>, trunk: &TrunkHead) -> u32 {
    let by_batch = account.batch.settings.max_call_s;
    trunk.max_call_s.map_or(by_batch, |by_trunk| by_trunk.min(by_batch))
}

const NO_NUMBERS: Wait = Wait { gate: Gate::NoNumbers, until: Timestamp::MAX };
