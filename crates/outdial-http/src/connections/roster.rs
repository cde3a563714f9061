//! Who is connected: how many in all, how many from one address, and who waits with nothing asked.
//!
//! When there is no more room, the one that has waited longest makes it: whoever opens connections
//! and says nothing keeps nobody else out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Everybody.
#[derive(Debug)]
pub(super) struct Roster {
    most: usize,
    most_per_address: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: usize,
    by_address: BTreeMap<IpAddr, usize>,
    /// In the order in which they began to wait.
    waiting: BTreeMap<u64, Waiting>,
    last: u64,
}

#[derive(Debug)]
struct Waiting {
    address: Option<IpAddr>,
    close: Arc<Notify>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// All that may be open are open and at work.
    Full,
    /// All that one address may have are open and at work.
    TooManyFromAddress,
}

impl Roster {
    /// Nobody yet.
    pub(super) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, inner: Mutex::default() })
    }

    /// Lets one in; it waits at first. No address: it counts for none.
    pub(super) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Arc<Slot>, Refused> {
        let mut inner = self.locked();
        let theirs = address.and_then(|a| inner.by_address.get(&a)).copied().unwrap_or(0);
        if theirs >= self.most_per_address && !inner.close_first(|w| w.address == address) {
            return Err(Refused::TooManyFromAddress);
        }
        if inner.open >= self.most && !inner.close_first(|_| true) {
            return Err(Refused::Full);
        }
        inner.open += 1;
        if let Some(address) = address {
            *inner.by_address.entry(address).or_default() += 1;
        }
        let slot = Slot {
            roster: self.clone(),
            address,
            close: Arc::new(Notify::new()),
            waits_since: AtomicU64::new(0),
        };
        inner.wait(&slot);
        Ok(Arc::new(slot))
    }

    /// Asks the one that has waited longest to go; false: nobody waits.
    pub(super) fn make_room(&self) -> bool {
        self.locked().close_first(|_| true)
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait(&mut self, slot: &Slot) {
        self.last += 1;
        let waiting = Waiting { address: slot.address, close: slot.close.clone() };
        self.waiting.insert(self.last, waiting);
        slot.waits_since.store(self.last, Ordering::Release);
    }

    fn close_first(&mut self, which: impl Fn(&Waiting) -> bool) -> bool {
        let first = self.waiting.iter().find(|(_, w)| which(w)).map(|(since, _)| *since);
        let Some(closed) = first.and_then(|since| self.waiting.remove(&since)) else {
            return false;
        };
        closed.close.notify_one();
        true
    }
}

/// One that was let in; dropped, it has gone.
#[derive(Debug)]
pub(super) struct Slot {
    roster: Arc<Roster>,
    address: Option<IpAddr>,
    close: Arc<Notify>,
    /// Its place in the order of those that wait; 0: it does not. Changed under the roster's lock.
    waits_since: AtomicU64,
}

impl Slot {
    /// It has asked for something.
    pub(super) fn works(&self) {
        let mut inner = self.roster.locked();
        inner.waiting.remove(&self.waits_since.swap(0, Ordering::AcqRel));
    }

    /// It has its answer, and may ask for more.
    pub(super) fn waits(&self) {
        let mut inner = self.roster.locked();
        inner.waiting.remove(&self.waits_since.load(Ordering::Acquire));
        inner.wait(self);
    }

    /// Returns when its place is needed.
    pub(super) async fn asked_to_go(&self) {
        self.close.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.roster.locked();
        inner.open -= 1;
        inner.waiting.remove(&self.waits_since.load(Ordering::Acquire));
        let Some(address) = self.address else { return };
        if let Some(theirs) = inner.by_address.get_mut(&address) {
            *theirs -= 1;
            if *theirs == 0 {
                inner.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn must_go(slot: &Slot) -> bool {
        pin!(slot.asked_to_go()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn who_waits_longest_makes_room() {
        let roster = Roster::new(3, 9);
        let [a, b, c] = [(); 3].map(|()| roster.admit(None).unwrap());
        a.works();
        a.waits();
        c.works();
        let d = roster.admit(None).unwrap();
        assert!(must_go(&b) && ![&a, &c, &d].map(|s| must_go(s)).contains(&true));
        drop(b);
        a.works();
        d.works();
        assert_eq!(roster.admit(None).unwrap_err(), Refused::Full);
        assert!(!roster.make_room());
        d.waits();
        assert!(roster.make_room() && must_go(&d) && !roster.make_room());
        drop((a, c, d));
        let inner = roster.locked();
        assert!(inner.open == 0 && inner.waiting.is_empty() && inner.by_address.is_empty());
    }

    #[test]
    fn an_address_has_its_share() {
        let [one, two] = [1, 2].map(|n| Some(IpAddr::from([192, 0, 2, n])));
        let roster = Roster::new(100, 2);
        let a = roster.admit(one).unwrap();
        let b = roster.admit(one).unwrap();
        a.works();
        b.works();
        assert_eq!(roster.admit(one).unwrap_err(), Refused::TooManyFromAddress);
        let others = [two, two, None, None, None].map(|who| roster.admit(who).unwrap());
        b.waits();
        let c = roster.admit(one).unwrap();
        assert!(must_go(&b) && !others.iter().any(|s| must_go(s)));
        drop((b, c));
        assert_eq!(roster.locked().by_address[&one.unwrap()], 1);
    }
}
