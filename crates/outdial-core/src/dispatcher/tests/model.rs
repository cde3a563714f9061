//! A small model of what stands around the dispatcher: it commits plans, ends calls, settles
//! budgets, and counts anew from its rows before every turn, as a store does.

use super::*;
use crate::attempt::{AttemptEnd, AttemptState};
use crate::brake::{Pulse, pulse_of};
use crate::budget::{Day, Spend, used};
use crate::outcome::{CallEnd, outcome_of};

/// What an attempt that is over left behind.
struct Past {
    intent: Intent,
    at: Timestamp,
    used: Spend,
    pulse: Pulse,
}

pub(super) struct World {
    pub(super) head: Head,
    pub(super) turn: Turn,
    pub(super) groups: Vec<Group>,
    pub(super) dispatcher: Dispatcher,
    pub(super) live: Vec<Intent>,
    /// Every call that was ever placed, in order.
    pub(super) placed: Vec<Intent>,
    past: Vec<Past>,
    /// When a person last started the batch again.
    resumed: BTreeMap<BatchId, Timestamp>,
}

impl World {
    pub(super) fn new(head: Head, groups: Vec<Group>, turn: Turn) -> Self {
        Self {
            head,
            turn,
            groups,
            dispatcher: Dispatcher::new(),
            live: Vec::new(),
            placed: Vec::new(),
            past: Vec::new(),
            resumed: BTreeMap::new(),
        }
    }

    /// One turn, and its commit; `waiting` calls are due in every group.
    pub(super) fn turn(&mut self, waiting: u64) -> Plan {
        self.count();
        let plan = run(&mut self.dispatcher, &self.head, &self.groups, &self.turn, waiting);
        self.live.extend(plan.intents.iter().cloned());
        self.placed.extend(plan.intents.iter().cloned());
        for (line, slots) in &plan.slots {
            match line {
                Line::Trunk(_) => self.head.trunks[0].slots.clone_from(slots),
                Line::Number(id) => {
                    let number = self.head.numbers.iter_mut().find(|n| n.id == *id).unwrap();
                    number.slots.clone_from(slots);
                }
            }
        }
        for (id, brake) in &plan.brakes {
            self.head.batches.iter_mut().filter(|b| b.id == *id).for_each(|b| b.brake = *brake);
        }
        self.count();
        plan
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.turn.now = self.turn.now.after(Duration::from_millis(ms));
    }

    /// Ends the oldest live call after so much talk; none: it failed.
    pub(super) fn end_one(&mut self, talk_s: Option<u32>) {
        if self.live.is_empty() {
            return;
        }
        let intent = self.live.remove(0);
        let (now, refused) = (self.turn.now.max(intent.send_by), CallEnd::RingTimeout);
        let talk_s = talk_s.map(|s| s.min(intent.max_call_s));
        let end = match talk_s {
            Some(_) => CallEnd::TalkOver,
            None if intent.call.seq().is_multiple_of(2) => refused,
            None => CallEnd::Refused { status: 500, q850: None, retry_after: None },
        };
        let talk = Duration::from_secs(u64::from(talk_s.unwrap_or(0)));
        let end = AttemptEnd {
            state: AttemptState::Ended,
            outcome: outcome_of(&end),
            sip_status: None,
            sent_at: Some(intent.send_at),
            ringing_at: None,
            answered_at: talk_s.map(|_| now.before(talk)),
            ended_at: now,
        };
        let used = used(&end, intent.reserve, intent.price);
        self.past.push(Past { used, pulse: pulse_of(&end), at: now, intent });
    }

    /// A person starts the batch again.
    pub(super) fn resume(&mut self, batch: BatchId) {
        self.resumed.insert(batch, self.turn.now);
        let mut batches = self.head.batches.iter_mut();
        batches.find(|b| b.id == batch).unwrap().brake = Default::default();
    }

    /// Used and reserved by a batch; on one day, if that is asked for.
    pub(super) fn spent(&self, batch: BatchId, day: Option<Day>) -> Spend {
        let of = |i: &Intent| i.batch == batch && day.is_none_or(|d| d == i.day);
        let past = self.past.iter().filter(|p| of(&p.intent)).map(|p| p.used);
        let live = self.live.iter().filter(|i| of(i)).map(|i| i.reserve);
        past.chain(live).fold(Spend::NONE, Spend::plus)
    }

    /// Calls placed over a number on a day.
    pub(super) fn placed_on(&self, number: PhoneId, day: Day) -> u32 {
        let placed = self.placed.iter().filter(|i| i.caller == number && i.day == day);
        u32::try_from(placed.count()).unwrap()
    }

    fn count(&mut self) {
        let days: BTreeSet<Day> = self.placed.iter().map(|i| i.day).collect();
        let live = |of: &dyn Fn(&Intent) -> bool| {
            u32::try_from(self.live.iter().filter(|i| of(i)).count()).unwrap()
        };
        let mut head = self.head.clone();
        head.live = live(&|_| true);
        head.trunks[0].live = head.live;
        for n in &mut head.numbers {
            n.live = live(&|i| i.caller == n.id);
            n.placed_by_day = days.iter().map(|d| (*d, self.placed_on(n.id, *d))).collect();
        }
        let window = Duration::from_secs(u64::from(head.brakes.window_s));
        for b in &mut head.batches {
            b.live = live(&|i| i.batch == b.id);
            b.spent = self.spent(b.id, None);
            b.spent_by_day = days.iter().map(|d| (*d, self.spent(b.id, Some(*d)))).collect();
            let since = self.resumed.get(&b.id).copied().unwrap_or(Timestamp::EPOCH);
            let pulse = |from: Timestamp| {
                let past = self.past.iter().filter(|p| p.intent.batch == b.id && p.at > from);
                past.fold(Pulse::default(), |sum, p| sum.plus(p.pulse))
            };
            b.pulse_ever = pulse(since);
            b.pulse = pulse(since.max(self.turn.now.before(window)));
        }
        self.head = head;
    }
}
