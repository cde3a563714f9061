//! What is counted of the packets that come in (RFC 3550 appendix A).

use std::time::Duration;

use super::packet::Header;

/// Counts the packets of one call. A sender that begins anew (another SSRC) is counted on from
/// where it begins.
#[derive(Debug, Default)]
pub(super) struct Reception {
    received: u64,
    /// Of senders that were there before.
    lost_before: u64,
    sender: Option<Sender>,
}

#[derive(Debug)]
struct Sender {
    ssrc: u32,
    /// The sequence number that came first, and the highest, without the wrap at 2^16.
    first: u64,
    highest: u64,
    received: u64,
    /// Between arrival and timestamp, in samples.
    transit: u32,
    /// Times 16, in samples (RFC 3550 appendix A.8).
    jitter: u64,
}

impl Reception {
    /// A packet came `at`, counted from any start.
    pub(super) fn take(&mut self, header: Header, at: Duration) {
        self.received += 1;
        let samples = at.as_micros() * 8 / 1_000;
        let arrival = u32::try_from(samples & u128::from(u32::MAX)).expect("it is masked");
        let transit = arrival.wrapping_sub(header.timestamp);
        let sequence = u64::from(header.sequence);
        match self.sender.as_mut().filter(|s| s.ssrc == header.ssrc) {
            Some(sender) => sender.take(sequence, transit),
            None => {
                self.lost_before += self.sender.take().map_or(0, |s| s.lost());
                // Far from zero, so that what comes out of order at the start is not below it.
                let first = sequence + (1 << 16);
                let (highest, received, jitter) = (first, 1, 0);
                let ssrc = header.ssrc;
                self.sender = Some(Sender { ssrc, first, highest, received, transit, jitter });
            }
        }
    }

    /// How many came.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// How many are missing, by their numbers.
    pub(super) fn lost(&self) -> u64 {
        self.lost_before + self.sender.as_ref().map_or(0, Sender::lost)
    }

    /// How unevenly they come, in samples.
    pub(super) fn jitter(&self) -> u64 {
        self.sender.as_ref().map_or(0, |s| s.jitter / 16)
    }
}

impl Sender {
    fn take(&mut self, sequence: u64, transit: u32) {
        self.received += 1;
        // The number nearest to the highest that ends in these 16 bits.
        let ahead = sequence.wrapping_sub(self.highest) & 0xffff;
        let whole =
            if ahead < 0x8000 { self.highest + ahead } else { self.highest + ahead - 0x1_0000 };
        self.highest = self.highest.max(whole);
        self.first = self.first.min(whole);
        let change = transit.wrapping_sub(self.transit);
        let change = u64::from(change.min(change.wrapping_neg()));
        self.transit = transit;
        self.jitter = (self.jitter + change).saturating_sub((self.jitter + 8) / 16);
    }

    fn lost(&self) -> u64 {
        (self.highest - self.first + 1).saturating_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(reception: &mut Reception, ssrc: u32, sequence: u16, at_ms: u64) {
        let timestamp = u32::from(sequence) * 160;
        let header = Header { marker: false, payload_type: 0, sequence, timestamp, ssrc };
        reception.take(header, Duration::from_millis(at_ms));
    }

    #[test]
    fn counts_what_is_missing() {
        let mut all = Reception::default();
        assert_eq!((all.received(), all.lost()), (0, 0));
        for sequence in [10, 11, 13, 12, 16] {
            take(&mut all, 1, sequence, 0);
        }
        assert_eq!((all.received(), all.lost()), (5, 2));
        // One that came before the first, and one that comes twice.
        take(&mut all, 1, 9, 0);
        take(&mut all, 1, 16, 0);
        assert_eq!((all.received(), all.lost()), (7, 1));
        // Another sender.
        take(&mut all, 2, 60_000, 0);
        take(&mut all, 2, 60_002, 0);
        assert_eq!((all.received(), all.lost()), (9, 2));
    }

    #[test]
    fn numbers_wrap() {
        let mut all = Reception::default();
        for i in 0..200_000_u32 {
            take(&mut all, 1, u16::try_from(i & 0xffff).unwrap(), 0);
        }
        assert_eq!((all.received(), all.lost()), (200_000, 0));
    }

    #[test]
    fn jitter_is_nothing_when_even_and_something_when_not() {
        let mut even = Reception::default();
        let mut uneven = Reception::default();
        for i in 0..500_u16 {
            take(&mut even, 1, i, u64::from(i) * 20);
            // Every other packet comes 10 ms late: transit changes by 80 samples each time.
            take(&mut uneven, 1, i, u64::from(i) * 20 + u64::from(i % 2) * 10);
        }
        assert_eq!(even.jitter(), 0);
        assert!((75..=80).contains(&uneven.jitter()), "{}", uneven.jitter());
    }
}
