//! Chance from a seed: the same seed draws the same numbers on every machine and in every version
//! of whatever library, which is why this is written out here.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use outdial_ports::Entropy;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to shake a dialer.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own, so that one part of the world that draws more does not change what
    /// the others draw.
    #[must_use]
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    /// A uniformly distributed number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of a range, both ends included.
    pub(crate) fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let width = u128::from(range.end() - range.start()) + 1;
        range.start() + ((u128::from(self.draw()) * width) >> 64) as u64
    }

    /// True so often in a hundred.
    pub(crate) fn percent(&mut self, often: u64) -> bool {
        self.range(0..=99) < often
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let last = of.len().checked_sub(1).expect("every caller offers something");
        &of[self.range(0..=last as u64) as usize]
    }
}

/// The port of chance.
pub(crate) struct SimEntropy(Mutex<Rng>);

impl SimEntropy {
    /// Draws from this stream.
    pub(crate) fn new(rng: Rng) -> Self {
        Self(Mutex::new(rng))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&rng.draw().to_le_bytes()[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence() {
        let mut rng = Rng::new(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| rng.draw()).collect();
        assert_eq!(
            got,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn ranges_hold_both_ends_and_nothing_else() {
        let mut rng = Rng::new(7);
        let got: std::collections::BTreeSet<u64> = (0..1000).map(|_| rng.range(3..=6)).collect();
        assert_eq!(got.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(rng.range(9..=9), 9);
        assert!(rng.range(0..=u64::MAX) != rng.range(0..=u64::MAX));
    }
}
