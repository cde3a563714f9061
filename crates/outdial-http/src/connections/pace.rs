//! How fast the other side takes or gives, counted only while we wait for it.

use std::time::Duration;

/// So long may be waited in all before it is looked how much came of it.
const WINDOW: Duration = Duration::from_secs(30);

/// One direction of one connection, or one body.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    least_bytes_per_s: u64,
    waited: Duration,
    moved: u64,
}

/// Too little moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSlow {
    /// Bytes.
    pub(crate) moved: u64,
    /// In this time.
    pub(crate) waited: Duration,
}

impl Pace {
    /// At least so many bytes per second of waiting; 0: any.
    pub(crate) fn new(least_bytes_per_s: u64) -> Self {
        Self { least_bytes_per_s, waited: Duration::ZERO, moved: 0 }
    }

    /// It was waited for so long, then `bytes` moved. Looked at window by window: who was fast once
    /// may not be slow for ever.
    pub(crate) fn note(&mut self, waited: Duration, bytes: u64) -> Result<(), TooSlow> {
        self.waited += waited;
        self.moved += bytes;
        if self.waited <= WINDOW {
            return Ok(());
        }
        let (waited, moved) = (self.waited, self.moved);
        (self.waited, self.moved) = (Duration::ZERO, 0);
        let least = u128::from(self.least_bytes_per_s) * waited.as_millis() / 1000;
        if u128::from(moved) >= least { Ok(()) } else { Err(TooSlow { moved, waited }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_waiting() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(10);
        for _ in 0..1000 {
            assert_eq!(pace.note(second, 10), Ok(()));
        }
        // Fast at first does not help for ever; and nobody is slow while nobody waits for him.
        let mut pace = Pace::new(10);
        assert_eq!(pace.note(second, 1 << 30), Ok(()));
        let slow = (0..100).find_map(|_| pace.note(second, 9).err());
        assert_eq!(slow, Some(TooSlow { moved: 31 * 9, waited: 31 * second }));
        let mut pace = Pace::new(10);
        assert!((0..100_000).all(|_| pace.note(Duration::ZERO, 1).is_ok()));
        let mut pace = Pace::new(0);
        assert!((0..100).all(|_| pace.note(second, 0).is_ok()));
    }
}
