//! Token buckets: how often somebody may do something, and when to come again.
//!
//! Knows no clock: every question brings the time. Never holds more entries than it was told to.

use std::collections::BTreeMap;
use std::time::Duration;

/// So many a second on average, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds for which one of them counts.
    each_ns: u64,
    /// Nanoseconds by which somebody may be ahead.
    ahead_ns: u64,
}

impl Rate {
    /// `per_second` on average, at least `burst` at once after a pause. None: no limit (0).
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let each_ns = 1_000_000_000u64.checked_div(u64::from(per_second))?;
        Some(Self { each_ns, ahead_ns: each_ns.saturating_mul(u64::from(burst.max(1)) - 1) })
    }
}

/// A bucket: full at first, and again after a pause.
///
/// Only one instant is kept: when it would be full, were nothing more taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Takes one, or says how long it is until there is one. `now` never goes back.
    pub fn take(&mut self, now: Duration, rate: Rate) -> Result<(), Duration> {
        let now = nanos(now);
        let ahead = self.full_at_ns.saturating_sub(now);
        if ahead > rate.ahead_ns {
            return Err(Duration::from_nanos(ahead - rate.ahead_ns));
        }
        self.full_at_ns = now.saturating_add(ahead).saturating_add(rate.each_ns);
        Ok(())
    }

    /// How long it is until one could be taken; none is taken. Zero: at once.
    pub fn wait(&self, now: Duration, rate: Rate) -> Duration {
        let ahead = self.full_at_ns.saturating_sub(nanos(now));
        Duration::from_nanos(ahead.saturating_sub(rate.ahead_ns))
    }

    fn is_full(&self, now: Duration) -> bool {
        self.full_at_ns <= nanos(now)
    }
}

/// A bucket for everybody who comes, as long as they are not too many.
#[derive(Clone, Debug)]
pub struct Buckets<K> {
    rate: Rate,
    most: usize,
    known: BTreeMap<K, Bucket>,
}

impl<K: Ord> Buckets<K> {
    /// At most `most` of them are remembered.
    pub fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most: most.max(2), known: BTreeMap::new() }
    }

    /// Takes one of `who`'s, or says how long it is until there is one.
    pub fn take(&mut self, who: K, now: Duration) -> Result<(), Duration> {
        if self.known.len() >= self.most && !self.known.contains_key(&who) {
            self.make_room(now);
        }
        self.known.entry(who).or_default().take(now, self.rate)
    }

    /// How long it is until `who` could take one; none is taken. Zero: at once.
    pub fn wait(&self, who: &K, now: Duration) -> Duration {
        self.known.get(who).map_or(Duration::ZERO, |bucket| bucket.wait(now, self.rate))
    }

    /// Whether `who` came lately enough to be remembered.
    pub fn knows(&self, who: &K) -> bool {
        self.known.contains_key(who)
    }

    /// Forgets `who`.
    pub fn forget(&mut self, who: &K) {
        self.known.remove(who);
    }

    /// A full bucket is as good as none. When few are full, all are forgotten: whoever can come as
    /// so many gains a burst by it, and each look for room must make some.
    fn make_room(&mut self, now: Duration) {
        self.known.retain(|_, bucket| !bucket.is_full(now));
        if self.known.len() > self.most / 2 {
            self.known.clear();
        }
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate::new(10, 3).unwrap();
        let mut bucket = Bucket::default();
        let start = Duration::from_secs(5);
        for _ in 0..3 {
            assert_eq!(bucket.take(start, rate), Ok(()));
        }
        assert_eq!(bucket.take(start, rate), Err(100 * MS));
        assert_eq!(bucket.wait(start + 60 * MS, rate), 40 * MS);
        assert_eq!(bucket.take(start + 99 * MS, rate), Err(MS));
        assert_eq!(bucket.take(start + 100 * MS, rate), Ok(()));
        assert_eq!(bucket.take(start + 100 * MS, rate), Err(100 * MS));
        // After a pause it is full, and not fuller.
        let later = start + Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(bucket.take(later, rate), Ok(()));
        }
        assert!(bucket.take(later, rate).is_err());
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Rate::new(0, 10), None);
        let rate = Rate::new(1, 0).unwrap();
        assert_eq!(Bucket::default().take(Duration::ZERO, rate), Ok(()));
    }

    #[test]
    fn one_does_not_pay_for_another() {
        let mut buckets = Buckets::new(Rate::new(1, 1).unwrap(), 10);
        assert!(buckets.take("a", Duration::ZERO).is_ok());
        assert!(buckets.take("a", Duration::ZERO).is_err());
        assert!(buckets.take("b", Duration::ZERO).is_ok());
        assert!(buckets.knows(&"b") && !buckets.knows(&"c"));
        assert_eq!(buckets.wait(&"a", Duration::ZERO), Duration::from_secs(1));
        assert_eq!(buckets.wait(&"c", Duration::ZERO), Duration::ZERO);
        buckets.forget(&"a");
        assert!(buckets.take("a", Duration::ZERO).is_ok());
    }

    #[test]
    fn however_many_come_few_are_remembered() {
        let mut buckets = Buckets::new(Rate::new(1, 1).unwrap(), 100);
        for who in 0..10_000 {
            assert!(buckets.take(who, Duration::ZERO).is_ok());
            assert!(buckets.known.len() <= 100);
        }
        // Those who still wait are remembered, and those who do not make room.
        let mut buckets = Buckets::new(Rate::new(1, 1).unwrap(), 100);
        let later = Duration::from_secs(10);
        (0..60).for_each(|who| buckets.take(who, Duration::ZERO).unwrap());
        (60..100).for_each(|who| buckets.take(who, later).unwrap());
        assert!(buckets.take(100, later).is_ok());
        assert!(buckets.take(99, later).is_err() && buckets.take(0, later).is_ok());
    }

    proptest! {
        /// In no span of time more than the burst and what the rate gives; and whoever waits as
        /// long as it was told gets one.
        #[test]
        fn never_more_than_the_rate(
            per_second in 1u32..2_000, burst in 1u32..50,
            gaps in prop::collection::vec(0u64..200, 1..300),
        ) {
            let rate = Rate::new(per_second, burst).unwrap();
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                match bucket.take(now, rate) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        prop_assert_eq!(bucket.wait(now, rate), wait);
                        prop_assert!(bucket.clone().take(now + wait, rate).is_ok());
                    }
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let span = (*to - *from).as_secs_f64();
                    // An interval of whole nanoseconds is shorter by less than one.
                    let most = f64::from(burst) + span * f64::from(per_second) * 1.001;
                    prop_assert!((j - i + 1) as f64 <= most + 1e-6);
                }
            }
        }
    }
}
