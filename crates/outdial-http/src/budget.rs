//! One allowance of bytes for all bodies that are being taken in together.
//!
//! Never waits: a request that does not fit is told to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The allowance.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    left: Arc<AtomicU64>,
}

/// A part of it; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    /// An allowance of `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { left: Arc::new(AtomicU64::new(bytes)) }
    }

    /// A share of `bytes`, if there is as much.
    pub(crate) fn take(&self, bytes: u64) -> Option<Share> {
        let mut share = Share { budget: self.clone(), bytes: 0 };
        share.grow_to(bytes).then_some(share)
    }
}

impl Share {
    /// Grows to `bytes`, never shrinks; false: there is not as much, nothing changed.
    #[must_use]
    pub(crate) fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let took = self
            .budget
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(more));
        if took.is_ok() {
            self.bytes += more;
        }
        took.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_it_and_come_back() {
        let budget = Budget::new(100);
        let mut first = budget.take(60).unwrap();
        assert!(budget.take(41).is_none());
        let second = budget.take(40).unwrap();
        assert!(!first.grow_to(61));
        drop(second);
        assert!(first.grow_to(100) && first.grow_to(5));
        drop(first);
        assert!(budget.take(100).is_some());
    }
}
