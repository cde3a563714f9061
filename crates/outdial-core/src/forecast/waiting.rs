//! The calls of a forecast's world: those that wait, by group, in the order in which they are due.
//!
//! Some forty bytes a call, whatever it goes through.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::call::{CallFacts, WaitReason};
use crate::dispatcher::{Ask, Bucket, Candidate, Group, GroupKey};
use crate::id::{BatchId, CallId};
use crate::phone::PhoneNumber;
use crate::time::Timestamp;
use crate::zone::Class;

const DAY: Duration = Duration::from_secs(86_400);

/// One call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// When it is due, while it waits.
    not_before: Timestamp,
    /// Its two queues are `2 * base` (first tries) and `2 * base + 1` (retries).
    base: u32,
    /// Its latest charged attempt among the recent ones, and one; 0: none.
    recent: u32,
    attempts: u16,
    charged: u8,
    uncharged: u8,
    is_retry: bool,
    is_live: bool,
    /// Why it is not due yet.
    waits_for: WaitReason,
}

/// The calls of one group.
struct Queue {
    key: GroupKey,
    zones: Arc<Class>,
    /// Due, in the order (`not_before`, call).
    due: VecDeque<u32>,
    /// Due later.
    later: BinaryHeap<Reverse<(Timestamp, u32)>>,
}

/// All calls, and those that wait.
#[derive(Default)]
pub(super) struct Waiting {
    calls: Vec<Call>,
    queues: Vec<Queue>,
    bases: BTreeMap<(BatchId, u32, u32), u32>,
    recent: Recent,
}

impl Queue {
    fn len(&self) -> usize {
        self.due.len() + self.later.len()
    }
}

impl Waiting {
    /// Adds the calls of a bucket.
    pub(super) fn add(&mut self, bucket: &Bucket, now: Timestamp) {
        let base = self.base(bucket.group, &bucket.zones);
        let queue = &mut self.queues[queue_index(base, bucket.group.is_retry)];
        let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        let call = Call {
            not_before: bucket.not_before,
            base,
            recent: 0,
            attempts: u16::from(small(bucket.charged)) + u16::from(small(bucket.uncharged)),
            charged: small(bucket.charged),
            uncharged: small(bucket.uncharged),
            is_retry: bucket.group.is_retry,
            is_live: false,
            waits_for: bucket.reason,
        };
        for _ in 0..bucket.count {
            let Ok(index) = u32::try_from(self.calls.len()) else { return };
            self.calls.push(call);
            match bucket.not_before <= now {
                true => queue.due.push_back(index),
                false => queue.later.push(Reverse((bucket.not_before, index))),
            }
        }
    }

    /// Adds a call that is on the phone.
    pub(super) fn add_live(&mut self, key: GroupKey, zones: &Arc<Class>) -> u32 {
        let base = self.base(key, zones);
        let index = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.calls.push(Call {
            not_before: Timestamp::EPOCH,
            base,
            recent: 0,
            attempts: 0,
            charged: 0,
            uncharged: 0,
            is_retry: key.is_retry,
            is_live: true,
            waits_for: WaitReason::Due,
        });
        index
    }

    /// Groups in which calls wait, as the dispatcher is given them at `now`.
    pub(super) fn groups(&mut self, now: Timestamp, groups: &mut Vec<Group>) {
        groups.clear();
        for queue in &mut self.queues {
            while let Some(Reverse((at, call))) = queue.later.peek().copied() {
                if at > now {
                    break;
                }
                queue.later.pop();
                queue.due.push_back(call);
            }
            let first = queue.due.front().map(|i| self.calls[*i as usize].not_before);
            let next = first.or_else(|| queue.later.peek().map(|Reverse((at, _))| *at));
            if let Some(next_due) = next {
                groups.push(Group { key: queue.key, zones: queue.zones.clone(), next_due });
            }
        }
    }

    /// What is asked for. Calls that a plan took are no longer here, so it is read from the front.
    pub(super) fn candidates(&self, asks: &[Ask], candidates: &mut Vec<Candidate>) {
        candidates.clear();
        for ask in asks {
            let group = ask.group;
            let base = self.bases.get(&(group.batch, group.lane, group.class));
            let Some(base) = base else { continue };
            let queue = &self.queues[queue_index(*base, group.is_retry)];
            candidates.extend(queue.due.iter().take(ask.limit as usize).map(|&index| Candidate {
                group,
                call: CallId::from_parts(0, u64::from(index)),
                // Everybody is somebody else.
                callee: PhoneNumber::from_digits(u64::from(index) + 1),
                not_before: self.calls[index as usize].not_before,
                facts: self.facts(index),
            }));
        }
    }

    pub(super) fn facts(&self, call: u32) -> CallFacts {
        let c = &self.calls[call as usize];
        CallFacts {
            round: 1,
            charged: c.charged.into(),
            uncharged: c.uncharged.into(),
            attempts: c.attempts.into(),
        }
    }

    /// The group of a call, but for being a retry or not.
    pub(super) fn group(&self, call: u32) -> (GroupKey, &Arc<Class>) {
        let queue = &self.queues[queue_index(self.calls[call as usize].base, false)];
        (queue.key, &queue.zones)
    }

    /// Takes calls that a plan places out of their queues.
    pub(super) fn take(&mut self, calls: &[u32]) {
        for &call in calls {
            self.calls[call as usize].is_live = true;
        }
        for &call in calls {
            let c = &self.calls[call as usize];
            let due = &mut self.queues[queue_index(c.base, c.is_retry)].due;
            if due.front() == Some(&call) {
                due.pop_front();
            } else if let Some(at) = due.iter().position(|i| *i == call) {
                due.remove(at);
            }
        }
    }

    /// A call that was taken waits again.
    pub(super) fn put_back(
        &mut self,
        call: u32,
        (not_before, waits_for): (Timestamp, WaitReason),
        is_retry: bool,
    ) {
        let c = &mut self.calls[call as usize];
        (c.is_live, c.is_retry) = (false, is_retry);
        (c.not_before, c.waits_for) = (not_before, waits_for);
        let queue = &mut self.queues[queue_index(c.base, is_retry)];
        queue.later.push(Reverse((not_before, call)));
    }

    /// The call's next attempt counts as a retry.
    pub(super) fn is_retry(&self, call: u32) -> bool {
        self.calls[call as usize].is_retry
    }

    /// Notes the end of an attempt that left at `sent_at`. `counts`: among those in 24 h.
    pub(super) fn note(&mut self, call: u32, sent_at: Timestamp, charged: bool, counts: bool) {
        let c = &mut self.calls[call as usize];
        c.attempts = c.attempts.saturating_add(1);
        if charged {
            c.charged = c.charged.saturating_add(1);
        } else {
            c.uncharged = c.uncharged.saturating_add(1);
        }
        if charged && counts {
            c.recent = self.recent.push(sent_at, c.recent);
        }
    }

    /// Until when a person was called too often to be called at `at`; none: may be called.
    pub(super) fn too_often_until(&self, call: u32, at: Timestamp, cap: u32) -> Option<Timestamp> {
        self.recent.until(self.calls[call as usize].recent, at, cap)
    }

    /// Forgets attempts that no 24 h from `now` on hold.
    pub(super) fn forget_before(&mut self, now: Timestamp) {
        self.recent.forget(now.before(DAY));
    }

    /// Removes every call of a batch that waits; how many.
    pub(super) fn drain(&mut self, batch: BatchId) -> u64 {
        let mut count = 0;
        for queue in self.queues.iter_mut().filter(|q| q.key.batch == batch) {
            count += queue.len() as u64;
            queue.due.clear();
            queue.later.clear();
        }
        count
    }

    /// The first group of a batch in which a call waits.
    pub(super) fn first_group(&self, batch: BatchId) -> Option<(GroupKey, Arc<Class>)> {
        let first = self.queues.iter().find(|q| q.key.batch == batch && q.len() > 0);
        first.map(|q| (q.key, q.zones.clone()))
    }

    /// The calls of a batch that wait: their group, and until when each, and for what.
    pub(super) fn left(
        &self,
        batch: BatchId,
    ) -> impl Iterator<Item = (GroupKey, &Arc<Class>, Timestamp, WaitReason)> {
        self.queues.iter().filter(move |q| q.key.batch == batch).flat_map(|q| {
            let later = q.later.iter().map(|Reverse((_, call))| call);
            q.due.iter().chain(later).map(|&call| {
                let c = &self.calls[call as usize];
                (q.key, &q.zones, c.not_before, c.waits_for)
            })
        })
    }

    fn base(&mut self, key: GroupKey, zones: &Arc<Class>) -> u32 {
        let next = u32::try_from(self.queues.len() / 2).unwrap_or(u32::MAX);
        let base = *self.bases.entry((key.batch, key.lane, key.class)).or_insert(next);
        if base == next {
            for is_retry in [false, true] {
                self.queues.push(Queue {
                    key: GroupKey { is_retry, ..key },
                    zones: zones.clone(),
                    due: VecDeque::new(),
                    later: BinaryHeap::new(),
                });
            }
        }
        base
    }
}

fn queue_index(base: u32, is_retry: bool) -> usize {
    base as usize * 2 + usize::from(is_retry)
}

/// The charged attempts of the last 24 h, each with the one before it of the same call.
#[derive(Default)]
struct Recent {
    attempts: VecDeque<(Timestamp, u32)>,
    /// How many were forgotten.
    forgotten: u32,
}

impl Recent {
    /// Keeps an attempt; `before`: what this returned for the call's latest one, else 0.
    fn push(&mut self, at: Timestamp, before: u32) -> u32 {
        self.attempts.push_back((at, before));
        let kept = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        self.forgotten.saturating_add(kept)
    }

    fn until(&self, mut latest: u32, at: Timestamp, cap: u32) -> Option<Timestamp> {
        for _ in 1..cap {
            latest = self.get(latest, at)?.1;
        }
        let (oldest, _) = self.get(latest, at)?;
        Some(oldest.after(DAY))
    }

    /// An attempt, if it is within the 24 h before `at`.
    fn get(&self, number: u32, at: Timestamp) -> Option<(Timestamp, u32)> {
        let index = number.checked_sub(self.forgotten)?.checked_sub(1)?;
        let found = self.attempts.get(index as usize).copied();
        found.filter(|(sent, _)| *sent > at.before(DAY))
    }

    fn forget(&mut self, before: Timestamp) {
        while self.attempts.front().is_some_and(|(at, _)| *at <= before) {
            self.attempts.pop_front();
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_no_larger_than_promised() {
        assert!(size_of::<Call>() <= 32, "{}", size_of::<Call>());
    }

    #[test]
    fn attempts_of_24_h_are_counted_by_call() {
        let at = |h: i64| Timestamp::from_millis(h * 3_600_000);
        let (mut recent, mut a, mut b) = (Recent::default(), 0, 0);
        for hour in [0, 10, 20] {
            a = recent.push(at(hour), a);
            b = recent.push(at(hour + 1), b);
        }
        assert_eq!(recent.until(a, at(21), 4), None);
        assert_eq!(recent.until(a, at(21), 3), Some(at(24)));
        assert_eq!(recent.until(a, at(21), 2), Some(at(34)));
        assert_eq!(recent.until(b, at(22), 3), Some(at(25)));
        assert_eq!(recent.until(a, at(24), 3), None, "the first is 24 h old");
        recent.forget(at(1));
        assert_eq!(recent.until(b, at(24), 2), Some(at(35)));
        assert_eq!(recent.until(a, at(24), 3), None);
        assert_eq!(recent.until(0, at(24), 1), None);
    }
}
