//! Who is sent to now: a queue per endpoint, so that a slow or dead receiver delays nobody else.
//!
//! Without I/O. An endpoint is *quick* until it failed or was slow; then it is *careful*: one
//! delivery at a time, a growing rest after each failure, and all careful ones together take at
//! most half of the room, until it answers quickly again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use outdial_core::id::WebhookId;
use outdial_core::webhook::rest_after;
use outdial_ports::Monotonic;
use outdial_ports::store::{DELIVERY_LEASE_MS, DeliveryJob};

/// An answer that takes longer is slow.
const SLOW: Duration = Duration::from_secs(2);
/// So many times what may be in flight is claimed of a quick endpoint at once.
const CLAIM_AHEAD: usize = 2;
/// An endpoint that nothing was due for is forgotten.
const FORGET: Duration = Duration::from_secs(3_600);

/// Deliveries on their way, by endpoint.
pub(crate) struct Desk {
    endpoints: BTreeMap<WebhookId, Endpoint>,
    /// Most deliveries here at once, waiting ones too.
    most: usize,
    /// Most in flight to one endpoint.
    per_endpoint: usize,
}

struct Endpoint {
    /// Claimed, and when.
    queue: VecDeque<(DeliveryJob, Monotonic)>,
    in_flight: usize,
    mood: Mood,
    seen: Monotonic,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Quick,
    Careful { failures: u32, rest_until: Monotonic },
}

/// What to claim (`Store::delivery_claim`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) per_endpoint: u32,
    pub(crate) limit: u32,
    pub(crate) busy: Vec<WebhookId>,
}

impl Endpoint {
    fn here(&self) -> usize {
        self.in_flight + self.queue.len()
    }

    fn is_quick(&self) -> bool {
        self.mood == Mood::Quick
    }

    fn is_rested(&self, now: Monotonic) -> bool {
        match self.mood {
            Mood::Quick => true,
            Mood::Careful { rest_until, .. } => now >= rest_until,
        }
    }
}

impl Desk {
    pub(crate) fn new(most: usize, per_endpoint: usize) -> Self {
        Self { endpoints: BTreeMap::new(), most, per_endpoint }
    }

    fn room(&self) -> usize {
        self.most.saturating_sub(self.endpoints.values().map(Endpoint::here).sum())
    }

    /// What to claim of endpoints that are quick, or not known.
    pub(crate) fn ask_quick(&self) -> Option<Ask> {
        let is_busy = |e: &Endpoint| !e.is_quick() || e.here() >= self.per_endpoint;
        let busy = self.endpoints.iter().filter(|(_, e)| is_busy(e)).map(|(id, _)| *id);
        self.ask(self.per_endpoint * CLAIM_AHEAD, self.room(), busy.collect())
    }

    /// What to claim of careful endpoints, when one of them is ready for more.
    pub(crate) fn ask_careful(&self, now: Monotonic) -> Option<Ask> {
        let is_ready = |e: &Endpoint| !e.is_quick() && e.here() == 0 && e.is_rested(now);
        if !self.endpoints.values().any(is_ready) {
            return None;
        }
        let careful = self.endpoints.values().filter(|e| !e.is_quick());
        let taken: usize = careful.map(Endpoint::here).sum();
        let room = self.room().min((self.most / 2).max(1).saturating_sub(taken));
        let busy = self.endpoints.iter().filter(|(_, e)| !is_ready(e)).map(|(id, _)| *id);
        self.ask(1, room, busy.collect())
    }

    fn ask(&self, per_endpoint: usize, room: usize, busy: Vec<WebhookId>) -> Option<Ask> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (room > 0).then(|| Ask { per_endpoint: count(per_endpoint), limit: count(room), busy })
    }

    /// These were claimed.
    pub(crate) fn take(&mut self, jobs: Vec<DeliveryJob>, now: Monotonic) {
        for job in jobs {
            let endpoint = self.endpoints.entry(job.webhook.id).or_insert_with(|| Endpoint {
                queue: VecDeque::new(),
                in_flight: 0,
                mood: Mood::Quick,
                seen: now,
            });
            endpoint.seen = now;
            endpoint.queue.push_back((job, now));
        }
    }

    /// Those that are to leave now, and how long each has waited here. What has waited for half of
    /// its lease is let go: it may soon be another's.
    pub(crate) fn start(&mut self, now: Monotonic) -> Vec<(DeliveryJob, Duration)> {
        let lease = Duration::from_millis(DELIVERY_LEASE_MS.unsigned_abs() / 2);
        let mut leaving = Vec::new();
        for endpoint in self.endpoints.values_mut() {
            let most = if endpoint.is_quick() { self.per_endpoint } else { 1 };
            endpoint.queue.retain(|(_, claimed)| now < claimed.after(lease));
            while endpoint.in_flight < most && endpoint.is_rested(now) {
                let Some((job, claimed)) = endpoint.queue.pop_front() else { break };
                endpoint.in_flight += 1;
                leaving.push((job, now.since(claimed)));
            }
        }
        leaving
    }

    /// A delivery to this endpoint is over: it took so long, and arrived or not.
    pub(crate) fn ended(
        &mut self,
        id: WebhookId,
        arrived: bool,
        took: Duration,
        now: Monotonic,
        random: u64,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.in_flight = endpoint.in_flight.saturating_sub(1);
        let earlier = match endpoint.mood {
            Mood::Quick => 0,
            Mood::Careful { failures, .. } => failures,
        };
        endpoint.mood = match arrived {
            true if took < SLOW => Mood::Quick,
            true => Mood::Careful { failures: 0, rest_until: now },
            false => {
                let failures = earlier.saturating_add(1);
                Mood::Careful { failures, rest_until: now.after(rest_after(failures, random)) }
            }
        };
    }

    /// The endpoint gets nothing any more: neither does it what was claimed for it.
    pub(crate) fn drop_queue(&mut self, id: WebhookId) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.queue.clear();
        }
    }

    /// When a resting endpoint may be asked again.
    pub(crate) fn next_rested(&self, now: Monotonic) -> Option<Monotonic> {
        let rests = self.endpoints.values().filter_map(|e| match e.mood {
            Mood::Careful { rest_until, .. } if e.in_flight == 0 => Some(rest_until),
            _ => None,
        });
        rests.filter(|until| *until > now).min()
    }

    /// Forgets endpoints that nothing was due for lately.
    pub(crate) fn forget(&mut self, now: Monotonic) {
        self.endpoints.retain(|_, e| e.here() > 0 || now < e.seen.after(FORGET));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{id, job};
    use super::*;

    const fn at(ms: u64) -> Monotonic {
        Monotonic(Duration::from_millis(ms))
    }

    /// As many jobs as the desk asks for of quick ones, if endless ones wait at these endpoints.
    fn fill(desk: &mut Desk, endpoints: &[u64], now: Monotonic) -> usize {
        let Some(ask) = desk.ask_quick() else { return 0 };
        let free = endpoints.iter().filter(|n| !ask.busy.contains(&id(**n)));
        let each = free.flat_map(|n| (0..ask.per_endpoint).map(|_| job(*n, 1)));
        let jobs: Vec<_> = each.take(usize::try_from(ask.limit).unwrap()).collect();
        let taken = jobs.len();
        desk.take(jobs, now);
        taken
    }

    fn fail(desk: &mut Desk, endpoint: u64, now: Monotonic) {
        desk.ended(id(endpoint), false, Duration::from_millis(1), now, 200);
    }

    #[test]
    fn an_endpoint_has_so_many_in_flight_and_all_together_so_many() {
        let mut desk = Desk::new(20, 4);
        assert_eq!(fill(&mut desk, &[1], at(0)), 8);
        assert_eq!(desk.start(at(0)).len(), 4);
        assert!(desk.start(at(0)).is_empty());
        assert!(desk.ask_quick().unwrap().busy.contains(&id(1)));
        assert_eq!(fill(&mut desk, &[2, 3], at(0)), 12, "the room is full");
        assert_eq!(desk.ask_quick(), None);
        desk.ended(id(1), true, Duration::ZERO, at(5), 0);
        assert_eq!(desk.start(at(5)).iter().filter(|(j, _)| j.webhook.id == id(1)).count(), 1);
    }

    #[test]
    fn one_that_fails_is_asked_one_by_one_after_rests_until_it_answers() {
        let mut desk = Desk::new(20, 4);
        desk.take(vec![job(1, 1), job(1, 2)], at(0));
        assert_eq!(desk.start(at(0)).len(), 2);
        fail(&mut desk, 1, at(0));
        fail(&mut desk, 1, at(0));
        assert_eq!(desk.next_rested(at(0)), Some(at(1000)));
        assert_eq!(desk.ask_careful(at(999)), None);
        let ask = desk.ask_careful(at(1000)).unwrap();
        assert_eq!((ask.per_endpoint, ask.limit), (1, 10));
        assert!(ask.busy.is_empty());
        desk.take(vec![job(1, 3)], at(1000));
        assert_eq!(desk.start(at(1000)).len(), 1);
        assert_eq!(desk.ask_careful(at(1000)), None);
        desk.ended(id(1), true, Duration::from_millis(5), at(1005), 0);
        assert!(desk.ask_quick().unwrap().busy.is_empty());
        assert_eq!(desk.ask_careful(at(1005)), None);
    }

    #[test]
    fn slow_ones_leave_half_of_the_room() {
        let mut desk = Desk::new(8, 1);
        let slow = [1, 2, 3, 4, 5, 6];
        for n in slow {
            desk.take(vec![job(n, 1)], at(0));
        }
        assert_eq!(desk.start(at(0)).len(), 6);
        for n in slow {
            desk.ended(id(n), true, Duration::from_secs(9), at(9_000), 0);
        }
        let ask = desk.ask_careful(at(9_000)).unwrap();
        assert_eq!((ask.limit, ask.per_endpoint), (4, 1));
        desk.take(slow[..4].iter().map(|n| job(*n, 2)).collect(), at(9_000));
        assert_eq!(desk.start(at(9_000)).len(), 4);
        assert_eq!(desk.ask_careful(at(9_000)), None, "careful ones have their half");
        let ask = desk.ask_quick().unwrap();
        assert_eq!((ask.limit, ask.busy.len()), (4, 6));
    }

    #[test]
    fn what_waited_too_long_is_let_go() {
        let mut desk = Desk::new(8, 1);
        desk.take(vec![job(1, 1), job(1, 2)], at(0));
        assert_eq!(desk.start(at(0)).len(), 1);
        desk.ended(id(1), true, Duration::ZERO, at(30_000), 0);
        assert!(desk.start(at(30_000)).is_empty());
        assert_eq!(desk.room(), 8);
        desk.forget(at(3_599_999));
        assert_eq!(desk.endpoints.len(), 1);
        desk.forget(at(3_600_000));
        assert!(desk.endpoints.is_empty());
    }

    #[test]
    fn one_that_was_disabled_gets_nothing_more() {
        let mut desk = Desk::new(8, 1);
        desk.take(vec![job(1, 1), job(1, 2)], at(0));
        assert_eq!(desk.start(at(0)).len(), 1);
        desk.drop_queue(id(1));
        desk.ended(id(1), true, Duration::ZERO, at(1), 0);
        assert!(desk.start(at(1)).is_empty());
    }
}
