//! How much is taken in from whom: a source that sends what belongs to no call gets a trickle
//! through, before anything is parsed; whom we talk to is not slowed. It must never grow without
//! bound, whatever addresses are made up.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use outdial_ports::Monotonic;

/// Sources whose rate is kept apart; the rest share one bucket.
const SOURCES: usize = 4096;
/// Sources that are trusted at most.
const TRUSTED: usize = 4096;
/// Between two looks for sources that have been silent.
const SWEEP: Duration = Duration::from_millis(100);
/// How long a source stays trusted.
const TRUST: Duration = Duration::from_secs(3600);

/// What a source without a call may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Messages at once.
    pub burst: u32,
    /// Messages per second.
    pub per_second: u32,
}

/// Who may send how much.
#[derive(Debug)]
pub(crate) struct Gate {
    rate: Rate,
    trusted: BTreeMap<IpAddr, Monotonic>,
    buckets: BTreeMap<IpAddr, Bucket>,
    /// When `buckets` was last looked through.
    swept_at: Monotonic,
    rest: Bucket,
}

impl Gate {
    /// Nobody is known.
    pub(crate) fn new(rate: Rate) -> Self {
        let rest = Bucket::full(rate, Monotonic::default());
        let (trusted, buckets) = (BTreeMap::new(), BTreeMap::new());
        Self { rate, trusted, buckets, swept_at: Monotonic::default(), rest }
    }

    /// Messages from there belong to a call, or answer us.
    pub(crate) fn trust(&mut self, now: Monotonic, ip: IpAddr) {
        if self.trusted.len() >= TRUSTED && !self.trusted.contains_key(&ip) {
            self.trusted.retain(|_, until| *until > now);
            if self.trusted.len() >= TRUSTED {
                return;
            }
        }
        self.trusted.insert(ip, now.after(TRUST));
    }

    /// Whether it is trusted.
    pub(crate) fn trusts(&self, now: Monotonic, ip: IpAddr) -> bool {
        self.trusted.get(&ip).is_some_and(|until| *until > now)
    }

    /// Whether a message from there is taken in.
    pub(crate) fn admits(&mut self, now: Monotonic, ip: IpAddr) -> bool {
        if self.trusts(now, ip) {
            return true;
        }
        let rate = self.rate;
        let network = network_of(ip);
        if self.buckets.len() >= SOURCES && !self.buckets.contains_key(&network) {
            // Not for each of a flood of made-up addresses.
            if now >= self.swept_at.after(SWEEP) {
                self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
                self.swept_at = now;
            }
            if self.buckets.len() >= SOURCES {
                return self.rest.take(rate, now);
            }
        }
        self.buckets.entry(network).or_insert_with(|| Bucket::full(rate, now)).take(rate, now)
    }
}

/// Who has one address of IPv6 has 2^64 of them.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// A token bucket; tokens in thousandths.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u64,
    at: Monotonic,
}

impl Bucket {
    fn full(rate: Rate, at: Monotonic) -> Self {
        Self { tokens: u64::from(rate.burst) * 1000, at }
    }

    fn filled(self, rate: Rate, now: Monotonic) -> u64 {
        let waited = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let more = waited.saturating_mul(u64::from(rate.per_second));
        self.tokens.saturating_add(more).min(u64::from(rate.burst) * 1000)
    }

    fn is_full(self, rate: Rate, now: Monotonic) -> bool {
        self.filled(rate, now) >= u64::from(rate.burst) * 1000
    }

    fn take(&mut self, rate: Rate, now: Monotonic) -> bool {
        let tokens = self.filled(rate, now);
        // Time is moved on only with what it brought, so that frequent questions lose nothing.
        *self = Self { tokens, at: now.max(self.at) };
        match tokens.checked_sub(1000) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, per_second: 10 };

    fn at(ms: u64) -> Monotonic {
        Monotonic(Duration::from_millis(ms))
    }

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_stranger_gets_a_trickle_and_a_peer_everything() {
        let mut gate = Gate::new(RATE);
        let admitted = (0..100).filter(|_| gate.admits(at(0), v4(1))).count();
        assert_eq!(admitted, 3);
        assert!(gate.admits(at(0), v4(2)), "another source is not slowed");
        assert!(!gate.admits(at(50), v4(1)));
        assert!(gate.admits(at(100), v4(1)));
        gate.trust(at(100), v4(1));
        assert!((0..100).all(|_| gate.admits(at(100), v4(1))));
        let later = at(100).after(TRUST);
        assert_eq!((0..100).filter(|_| gate.admits(later, v4(1))).count(), 3);
    }

    #[test]
    fn one_network_of_ipv6_is_one_source() {
        let mut gate = Gate::new(RATE);
        let of = |n: u128| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into());
        assert_eq!((0..100).filter(|n| gate.admits(at(0), of(*n))).count(), 3);
    }

    #[test]
    fn made_up_addresses_fill_no_memory() {
        let mut gate = Gate::new(RATE);
        for n in 0..20_000 {
            gate.admits(at(0), v4(n));
            gate.trust(at(0), v4(n));
        }
        assert!(gate.buckets.len() <= SOURCES && gate.trusted.len() <= TRUSTED);
        // And later there is room again.
        assert!(gate.admits(at(10_000), v4(1_000_000)));
    }
}
