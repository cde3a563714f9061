//! The connections that we made: one for each peer, a bounded number of them, and none for ever.
//! It must never close one that a call or a request still holds.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use outdial_ports::Monotonic;
use outdial_ports::store::Transport;
use tokio::sync::Mutex;

use super::counters::Count;
use super::stream::{Connection, dial};
use super::{PATIENCE, Peer, Shared, TransportError, lock};

/// Who holds a connection that nobody needs: its slot and the task that reads it.
const NOBODY: usize = 2;

/// What makes a connection fit for a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PoolKey(Transport, SocketAddr, Option<String>, bool);

impl PoolKey {
    pub(super) fn of(peer: &Peer) -> Self {
        match peer.transport {
            Transport::Tls => Self(Transport::Tls, peer.addr, peer.host.clone(), peer.verify),
            other => Self(other, peer.addr, None, false),
        }
    }

    fn ip(&self) -> IpAddr {
        self.1.ip()
    }
}

impl Connection {
    /// Somebody wants it, and holds it. False: it is closed.
    fn want(&self, now: Monotonic) -> bool {
        let mut wanted = lock(&self.wanted);
        *wanted = now;
        !self.is_closed()
    }

    /// Nobody holds it but its slot and its reader. `self`: by one of these.
    pub(super) fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) <= NOBODY
    }

    /// When it was wanted last.
    pub(super) fn wanted_at(&self) -> Monotonic {
        *lock(&self.wanted)
    }

    /// Closes it, if nobody holds it and nobody wanted it since `since`.
    pub(super) fn retire(self: &Arc<Self>, since: Monotonic) -> bool {
        let wanted = lock(&self.wanted);
        let may = self.is_idle() && *wanted <= since && !self.is_closed();
        if may {
            self.close();
        }
        may
    }
}

/// The connection to a peer, or the place where it is made: by one at a time.
#[derive(Default)]
pub(super) struct Slot {
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Slot {
    /// A connection stands or is being made.
    fn is_in_use(&self) -> bool {
        match self.connection.try_lock() {
            Ok(connection) => connection.as_ref().is_some_and(|c| !c.is_closed()),
            Err(_) => true,
        }
    }

    /// When its connection was wanted last, if nobody holds it.
    fn idle_since(&self) -> Option<Monotonic> {
        let connection = self.connection.try_lock().ok()?;
        let connection = connection.as_ref().filter(|c| c.is_idle())?;
        Some(connection.wanted_at())
    }

    /// Closes its connection, if nobody wanted it after `since`.
    fn retire(&self, since: Monotonic) -> bool {
        let connection = self.connection.try_lock();
        connection.is_ok_and(|c| c.as_ref().is_some_and(|c| c.retire(since)))
    }

    /// The connection to that peer.
    pub(super) async fn connection(
        &self,
        peer: &Peer,
        listening: Option<u16>,
        shared: &Arc<Shared>,
    ) -> Result<Arc<Connection>, TransportError> {
        let mut slot = self.connection.lock().await;
        if let Some(standing) = slot.as_ref().map(Arc::clone)
            && standing.want(shared.clock.monotonic())
        {
            return Ok(standing);
        }
        let by = shared.clock.monotonic().after(PATIENCE);
        let made = tokio::select! {
            biased;
            made = dial(peer, listening, shared) => made?,
            () = shared.clock.sleep_until(by) => return Err(TransportError::Late),
        };
        *slot = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Shared {
    /// The place in the pool for connections of this kind. If there are too many, those that nobody
    /// holds make room, the one that was wanted longest ago first.
    pub(super) fn slot(&self, key: PoolKey) -> Result<Arc<Slot>, TransportError> {
        let mut pool = lock(&self.pool);
        if let Some(slot) = pool.get(&key) {
            return Ok(Arc::clone(slot));
        }
        pool.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_in_use());
        let bounds = self.config.bounds;
        let is_near = |other: &PoolKey| other.ip() == key.ip();
        for (is_of_host, most) in [(true, bounds.made_per_host), (false, bounds.made)] {
            let counts = |other: &PoolKey| !is_of_host || is_near(other);
            while pool.keys().filter(|other| counts(other)).count() >= most {
                let idle = pool.iter().filter(|(other, slot)| {
                    // Whoever has the slot is about to have its connection.
                    counts(other) && Arc::strong_count(slot) == 1
                });
                let idle = idle.filter_map(|(other, slot)| Some((slot.idle_since()?, other)));
                let oldest = idle.min().map(|(since, other)| (since, other.clone()));
                let closed = oldest.filter(|(since, other)| pool[other].retire(*since));
                let Some((_, other)) = closed else {
                    self.counters.count(Count::ConnectionsFull);
                    let why = "there are too many connections, and calls on all of them";
                    return Err(TransportError::Connect(why.to_owned()));
                };
                self.counters.count(Count::ConnectionIdle);
                pool.remove(&other);
            }
        }
        Ok(Arc::clone(pool.entry(key).or_default()))
    }
}
