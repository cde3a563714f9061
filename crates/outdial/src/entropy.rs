//! Chance from the operating system: secrets, tokens, jitter.

use outdial_ports::Entropy;

/// The operating system's random number generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // There is no going on without: a guessable key would be worse than none.
        getrandom::fill(bytes).expect("the operating system gives random numbers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_whole_buffer_differently_each_time() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        OsEntropy.fill(&mut one);
        OsEntropy.fill(&mut other);
        assert_ne!(one, other);
        assert!(one[16..].iter().any(|b| *b != 0));
    }
}
