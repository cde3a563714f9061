//! The world of a forecast: what a store and the carriers would make of plans and of time.
//!
//! It decides nothing: which call goes out is the dispatcher's, what an end means is that of
//! `outcome`, `retry`, `budget` and `brake`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::assume::{Assumptions, mix};
use super::tally::{Never, Tally};
use super::waiting::Waiting;
use super::{Attempt, Input};
use crate::attempt::{AttemptEnd, AttemptState};
use crate::batch::PauseReason;
use crate::brake::{Brake, BrakeState, Pulse, look, pulse_of};
use crate::budget::{Day, Spend, used};
use crate::call::{CallNext, WaitReason};
use crate::dispatcher::{BatchHead, GroupKey, Head, Intent, Line, Plan};
use crate::hours::{Allowed, CallingHours};
use crate::id::{BatchId, PhoneId, TrunkId};
use crate::outcome::{CallEnd, Disposition, outcome_of};
use crate::retry::{RetryPolicy, next_step};
use crate::rules::verdict;
use crate::time::Timestamp;
use crate::zone::Class;

/// Days of use that are kept beside the current one.
const DAYS_KEPT: i32 = 3;
/// The pulse of a window is kept in so many parts.
const WINDOW_PARTS: u32 = 60;

/// A call on the phone.
struct Live {
    ends_at: Timestamp,
    /// Tells calls that end together apart.
    order: u64,
    /// None: of a batch that is not part of the forecast.
    call: Option<(u32, BatchId)>,
    number: Option<PhoneId>,
    trunk: Option<TrunkId>,
    end: CallEnd,
    sent_at: Timestamp,
    answered_at: Option<Timestamp>,
    day: Day,
    reserve: Spend,
    price: u64,
    /// Somebody counts attempts in 24 h.
    counts: bool,
}

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Live {}
impl PartialOrd for Live {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Live {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.ends_at, self.order).cmp(&(other.ends_at, other.order))
    }
}

/// What is known of a batch beside its head.
struct Batch {
    /// Calls that wait and may be placed; those of other lanes are not among them.
    pending: u64,
    live: u32,
    paused: Option<PauseReason>,
    policy: RetryPolicy,
    expires_at: Option<Timestamp>,
    lane: Option<u32>,
    window: Window,
}

/// The pulse within a sliding window.
struct Window {
    part: Duration,
    parts: VecDeque<(Timestamp, Pulse)>,
    sum: Pulse,
}

/// Everything.
pub(super) struct World<'a> {
    pub(super) head: Head,
    pub(super) waiting: Waiting,
    pub(super) tally: Tally,
    asked: BatchId,
    assume: Assumptions,
    live: BinaryHeap<Reverse<Live>>,
    started: u64,
    batches: BTreeMap<BatchId, Batch>,
    on_attempt: &'a mut dyn FnMut(&Attempt<'_>),
}

impl<'a> World<'a> {
    pub(super) fn new(input: Input, on_attempt: &'a mut dyn FnMut(&Attempt<'_>)) -> Self {
        let Input { mut head, waiting: buckets, batch: asked, .. } = input;
        let now = head.clock;
        if input.assumes_start {
            for batch in head.batches.iter_mut().filter(|b| b.id == asked) {
                batch.lane = None;
                // Who starts what a brake paused has it forget; other pauses are not the brake's.
                let pulses = (&batch.pulse, &batch.pulse_ever);
                let canary = batch.settings.canary;
                let said = look(&head.brakes, canary, &batch.brake, pulses).0;
                if matches!(said, Brake::Pause(_)) {
                    (batch.pulse, batch.pulse_ever) = (Pulse::default(), Pulse::default());
                    batch.brake = BrakeState::default();
                }
            }
        }
        let part = Duration::from_secs(head.brakes.window_s.into()) / WINDOW_PARTS;
        let batches = head.batches.iter().map(|b| (b.id, Batch::new(b, now, part))).collect();
        let mut world = Self {
            head,
            waiting: Waiting::default(),
            tally: Tally::default(),
            asked,
            assume: input.assume,
            live: BinaryHeap::new(),
            started: 0,
            batches,
            on_attempt,
        };
        for bucket in &buckets {
            let key = bucket.group;
            let Some(batch) = world.batches.get_mut(&key.batch) else { continue };
            let hours = world.head.batches.iter().find(|b| b.id == key.batch);
            let hours = hours.map(|b| &b.settings.calling_hours);
            if hours.is_some_and(|h| never_opens(h, &world.head, &bucket.zones)) {
                // Looked at again and again it would only take time.
                if key.batch == asked {
                    world.tally.calls += bucket.count;
                    world.tally.never(Never::NoCommonHours, bucket.count);
                }
                continue;
            }
            if batch.lane.is_none_or(|lane| lane == key.lane) {
                batch.pending += bucket.count;
            }
            if key.batch == asked {
                world.tally.calls += bucket.count;
            }
            world.waiting.add(bucket, now);
        }
        world.seat_live();
        world
    }

    /// The next instant at which something happens by itself.
    pub(super) fn next_event(&self) -> Option<Timestamp> {
        let end = self.live.peek().map(|Reverse(live)| live.ends_at);
        let expiries = self.batches.values().filter(|b| b.pending > 0).filter_map(|b| b.expires_at);
        end.into_iter().chain(expiries).min()
    }

    /// Nothing of the batch that was asked about can go out any more, and none of it is live.
    pub(super) fn is_over(&self) -> bool {
        self.batches
            .get(&self.asked)
            .is_none_or(|b| b.live == 0 && (b.pending == 0 || b.paused.is_some()))
    }

    /// Why the batch that was asked about is paused.
    pub(super) fn paused(&self) -> Option<PauseReason> {
        self.batches.get(&self.asked).and_then(|b| b.paused)
    }

    /// Lets time pass until `now`.
    pub(super) fn pass(&mut self, now: Timestamp) {
        self.head.clock = now;
        while self.live.peek().is_some_and(|Reverse(live)| live.ends_at <= now) {
            if let Some(Reverse(live)) = self.live.pop() {
                self.end(&live);
            }
        }
        self.waiting.forget_before(now);
        self.expire(now);
        for batch in &mut self.head.batches {
            if let Some(known) = self.batches.get_mut(&batch.id) {
                batch.pulse = known.window.at(now, self.head.brakes.window_s);
            }
        }
        let batches = &self.batches;
        self.head.batches.retain(|b| {
            let known = batches.get(&b.id);
            known.is_some_and(|k| k.paused.is_none() && (k.pending > 0 || k.live > 0))
        });
    }

    /// Does what the store does with a plan. True: some of it fell out.
    pub(super) fn commit(&mut self, plan: Plan) -> bool {
        let calls: Vec<u32> = plan.intents.iter().map(call_index).collect();
        self.waiting.take(&calls);
        let mut dropped = false;
        for (intent, call) in plan.intents.iter().zip(calls) {
            let cap = intent.attempts_24h;
            let until = cap.and_then(|cap| self.waiting.too_often_until(call, intent.send_at, cap));
            match until {
                None => self.place(intent, call),
                Some(until) => {
                    dropped = true;
                    let wait = (until, WaitReason::AttemptsPerDay);
                    self.waiting.put_back(call, wait, self.waiting.is_retry(call));
                }
            }
        }
        for (line, slots) in plan.slots {
            match line {
                Line::Trunk(id) => {
                    let trunk = self.head.trunks.iter_mut().find(|t| t.id == id);
                    trunk.into_iter().for_each(|t| t.slots.clone_from(&slots));
                }
                Line::Number(id) => {
                    let number = self.head.numbers.iter_mut().find(|n| n.id == id);
                    number.into_iter().for_each(|n| n.slots.clone_from(&slots));
                }
            }
        }
        for (id, reason) in plan.pauses {
            if let Some(batch) = self.batches.get_mut(&id) {
                batch.paused = Some(reason);
            }
        }
        for (id, brake) in plan.brakes {
            batch_of(&mut self.head, id).into_iter().for_each(|b| b.brake = brake);
        }
        dropped
    }

    fn place(&mut self, intent: &Intent, call: u32) {
        let fate = self.assume.draw(call, intent.facts.attempts + 1);
        let answered_at = fate.talk.map(|_| intent.send_at.after(fate.ring));
        let longest = Duration::from_secs(intent.max_call_s.into());
        let talk = fate.talk.unwrap_or_default().min(longest);
        let live = Live {
            ends_at: intent.send_at.after(fate.ring).after(talk),
            order: self.started,
            call: Some((call, intent.batch)),
            number: Some(intent.caller),
            trunk: Some(intent.trunk),
            end: fate.end,
            sent_at: intent.send_at,
            answered_at,
            day: intent.day,
            reserve: intent.reserve,
            price: intent.price,
            counts: intent.attempts_24h.is_some(),
        };
        let (key, class) = self.waiting.group(call);
        (self.on_attempt)(&Attempt {
            call,
            batch: key.batch,
            class,
            at: intent.send_at,
            number: intent.facts.attempts + 1,
        });
        self.begin(live);
        let head = &mut self.head;
        if let Some(number) = head.numbers.iter_mut().find(|n| n.id == intent.caller) {
            let placed = &mut number.placed_by_day;
            match placed.iter_mut().find(|(day, _)| *day == intent.day) {
                Some((_, count)) => *count += 1,
                None => placed.push((intent.day, 1)),
            }
            placed.retain(|(day, _)| day.0 + DAYS_KEPT >= intent.day.0);
        }
        if let Some(batch) = batch_of(head, intent.batch) {
            book(batch, intent.day, |spent| *spent = spent.plus(intent.reserve));
        }
        if let Some(batch) = self.batches.get_mut(&intent.batch) {
            batch.pending = batch.pending.saturating_sub(1);
        }
        if intent.batch == self.asked {
            self.tally.attempt(intent.send_at);
            let live = self.batches.get(&self.asked).map_or(0, |b| b.live);
            self.tally.peak_batch = self.tally.peak_batch.max(live);
        }
        self.tally.peak_workspace = self.tally.peak_workspace.max(self.head.live);
    }

    /// Counts a call as live everywhere.
    fn begin(&mut self, live: Live) {
        self.started += 1;
        self.shift_live(&live, |n| *n = n.saturating_add(1));
        self.live.push(Reverse(live));
    }

    fn shift_live(&mut self, live: &Live, by: impl Fn(&mut u32)) {
        by(&mut self.head.live);
        if let Some(id) = live.number {
            self.head.numbers.iter_mut().filter(|n| n.id == id).for_each(|n| by(&mut n.live));
        }
        if let Some(id) = live.trunk {
            self.head.trunks.iter_mut().filter(|t| t.id == id).for_each(|t| by(&mut t.live));
        }
        if let Some((_, id)) = live.call {
            batch_of(&mut self.head, id).into_iter().for_each(|b| by(&mut b.live));
            self.batches.get_mut(&id).into_iter().for_each(|b| by(&mut b.live));
        }
    }

    /// Does what the store does with the end of an attempt.
    fn end(&mut self, live: &Live) {
        self.shift_live(live, |n| *n = n.saturating_sub(1));
        let Some((call, id)) = live.call else { return };
        let end = AttemptEnd {
            state: AttemptState::Ended,
            outcome: outcome_of(&live.end),
            sip_status: None,
            sent_at: Some(live.sent_at),
            ringing_at: None,
            answered_at: live.answered_at,
            ended_at: live.ends_at,
        };
        let used = used(&end, live.reserve, live.price);
        if let Some(batch) = batch_of(&mut self.head, id) {
            book(batch, live.day, |spent| *spent = less(*spent, live.reserve).plus(used));
            batch.pulse_ever = batch.pulse_ever.plus(pulse_of(&end));
        }
        let facts = self.waiting.facts(call);
        let outcome = end.outcome;
        self.waiting.note(call, live.sent_at, outcome.charged, live.counts);
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.window.add(live.ends_at, pulse_of(&end));
        let random = mix(u64::from(call) << 32 | u64::from(facts.attempts));
        let mut next = next_step(&facts, &batch.policy, &outcome, live.ends_at, random);
        let is_expired = batch.expires_at.is_some_and(|at| at <= live.ends_at);
        if is_expired && matches!(next, CallNext::Pending { .. }) {
            next = CallNext::Finished(Disposition::Expired);
        }
        match next {
            CallNext::Pending { not_before, reason, is_retry } => {
                batch.pending += 1;
                self.waiting.put_back(call, (not_before, reason), is_retry);
            }
            CallNext::Finished(disposition) if id == self.asked => {
                self.tally.finish(live.ends_at, disposition);
            }
            CallNext::Finished(_) => {}
        }
        if id == self.asked && outcome.picked {
            self.tally.answer(live.sent_at);
        }
    }

    /// Finishes what still waits in batches whose time is over.
    fn expire(&mut self, now: Timestamp) {
        for (id, batch) in &mut self.batches {
            let Some(at) = batch.expires_at.filter(|at| *at <= now && batch.pending > 0) else {
                continue;
            };
            batch.pending = 0;
            let expired = self.waiting.drain(*id);
            if *id == self.asked {
                self.tally.expire(at, expired);
            }
        }
    }

    /// Puts the calls that are live at the start on their lines, as far as the counts tell which:
    /// they end one after the other within the mean length of an attempt.
    fn seat_live(&mut self) {
        let now = self.head.clock;
        let mut numbers: Vec<(PhoneId, TrunkId, u32)> = self
            .head
            .numbers
            .iter()
            .filter_map(|n| Some((n.id, *n.trunks.first()?, n.live)))
            .collect();
        let mut seats = Vec::new();
        let fallback = Arc::new(Class::new([self.head.zone.clone()]));
        for batch in &self.head.batches {
            for _ in 0..batch.live {
                let mut free = numbers.iter_mut().filter(|n| n.2 > 0);
                let own = free.find(|n| batch.numbers.contains(&n.0));
                let line = own.map(|n| {
                    n.2 -= 1;
                    (n.0, n.1)
                });
                seats.push((Some(batch.id), line));
            }
        }
        for (number, trunk, live) in numbers {
            seats.extend((0..live).map(|_| (None, Some((number, trunk)))));
        }
        let others = (self.head.live as usize).saturating_sub(seats.len());
        seats.extend((0..others).map(|_| (None, None)));
        // Counted anew, one by one.
        self.head.live = 0;
        self.head.numbers.iter_mut().for_each(|n| n.live = 0);
        self.head.trunks.iter_mut().for_each(|t| t.live = 0);
        self.head.batches.iter_mut().for_each(|b| b.live = 0);
        let count = u32::try_from(seats.len()).unwrap_or(u32::MAX).max(1);
        let mean = self.assume.mean_length();
        for (nth, (batch, line)) in (1u32..).zip(seats) {
            let call = batch.map(|id| (self.live_call(id, &fallback), id));
            let fate = self.assume.draw(call.map_or(nth, |(call, _)| call), 1);
            let ends_at = now.after(mean.mul_f64(f64::from(nth) / f64::from(count)));
            self.begin(Live {
                ends_at,
                order: self.started,
                call,
                number: line.map(|l| l.0),
                trunk: line.map(|l| l.1),
                end: fate.end,
                sent_at: now,
                answered_at: fate.talk.map(|_| now),
                day: Day::of(&self.head.zone, now),
                // Nobody says what was reserved; it stays used.
                reserve: Spend::NONE,
                price: 0,
                counts: false,
            });
            if batch == Some(self.asked) {
                self.tally.calls += 1;
            }
        }
        self.tally.peak_workspace = self.head.live;
        self.tally.peak_batch = self.batches.get(&self.asked).map_or(0, |b| b.live);
    }

    /// A call of a batch that is on the phone at the start: of the batch's first group, as nobody
    /// says which.
    fn live_call(&mut self, batch: BatchId, fallback: &Arc<Class>) -> u32 {
        let (key, zones) = self.waiting.first_group(batch).unwrap_or_else(|| {
            let lane = self.batches.get(&batch).and_then(|b| b.lane).unwrap_or(0);
            (GroupKey { batch, lane, class: u32::MAX, is_retry: false }, fallback.clone())
        });
        self.waiting.add_live(key, &zones)
    }

    /// Counts the calls of the batch that was asked about and still wait; `why` says what for.
    pub(super) fn count_left(
        &mut self,
        mut why: impl FnMut(&Head, &GroupKey, &Class, (Timestamp, WaitReason)) -> Never,
    ) {
        for (key, zones, not_before, reason) in self.waiting.left(self.asked) {
            self.tally.never(why(&self.head, &key, zones, (not_before, reason)), 1);
        }
        let live = self.batches.get(&self.asked).map_or(0, |b| b.live);
        self.tally.never(Never::OnThePhone, live.into());
    }
}

impl Batch {
    fn new(head: &BatchHead, now: Timestamp, part: Duration) -> Self {
        Self {
            pending: 0,
            live: 0,
            paused: None,
            policy: RetryPolicy::of(&head.settings, false, 1),
            expires_at: head.settings.expires_at,
            lane: head.lane,
            window: Window { part, parts: [(now, head.pulse)].into(), sum: head.pulse },
        }
    }
}

impl Window {
    fn add(&mut self, at: Timestamp, pulse: Pulse) {
        self.sum = self.sum.plus(pulse);
        match self.parts.back_mut() {
            Some((since, sum)) if at.since(*since) < self.part => *sum = sum.plus(pulse),
            _ => self.parts.push_back((at, pulse)),
        }
    }

    fn at(&mut self, now: Timestamp, window_s: u32) -> Pulse {
        let oldest = now.before(Duration::from_secs(window_s.into()));
        while self.parts.front().is_some_and(|(since, _)| *since < oldest) {
            if let Some((_, gone)) = self.parts.pop_front() {
                self.sum = self.sum.minus(gone);
            }
        }
        self.sum
    }
}

/// Hours and rules have no instant in common within 14 days.
fn never_opens(hours: &CallingHours, head: &Head, class: &Class) -> bool {
    let said = verdict(hours, head.rules, class, head.clock);
    said.allowed == (Allowed::Closed { opens: None })
}

fn call_index(intent: &Intent) -> u32 {
    u32::try_from(intent.call.seq()).expect("candidates carry indexes of 32 bits")
}

fn batch_of(head: &mut Head, id: BatchId) -> Option<&mut BatchHead> {
    head.batches.binary_search_by_key(&id, |b| b.id).ok().map(|i| &mut head.batches[i])
}

/// Changes what a batch has spent, of a day and in all.
fn book(batch: &mut BatchHead, day: Day, change: impl Fn(&mut Spend)) {
    change(&mut batch.spent);
    let days = &mut batch.spent_by_day;
    match days.iter_mut().find(|(d, _)| *d == day) {
        Some((_, spent)) => change(spent),
        None => {
            let mut spent = Spend::NONE;
            change(&mut spent);
            days.push((day, spent));
        }
    }
    days.retain(|(d, _)| d.0 + DAYS_KEPT >= day.0);
}

fn less(a: Spend, b: Spend) -> Spend {
    Spend {
        seconds: a.seconds.saturating_sub(b.seconds),
        micros: a.micros.saturating_sub(b.micros),
    }
}
