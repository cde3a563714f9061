//! I4: no call leaves later than 2 s after its batch was stopped or deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::id::BatchId;
use outdial_core::time::Timestamp;

use super::{Placed, Violation};

/// How long after the answer a call may still leave.
const GRACE: Duration = Duration::from_secs(2);

/// The batches that may not be dialed.
#[derive(Debug, Default)]
pub struct Stops(BTreeMap<BatchId, Timestamp>);

impl Stops {
    /// A stop or delete was answered. Once more changes nothing.
    pub fn halted(&mut self, batch: BatchId, at: Timestamp) {
        self.0.entry(batch).or_insert(at);
    }

    /// A start took effect.
    pub fn started(&mut self, batch: BatchId) {
        self.0.remove(&batch);
    }

    /// A call leaves.
    pub fn placed(&self, call: &Placed) -> Result<(), Violation> {
        match self.0.get(&call.batch) {
            Some(&at) if call.at > at.after(GRACE) => Err(Violation::new(
                "I4",
                format!(
                    "attempt {} of batch {} left {:?} after its stop or delete was answered",
                    call.attempt,
                    call.batch,
                    call.at.since(at)
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    #[test]
    fn a_call_long_after_the_stop() {
        let mut stops = Stops::default();
        let batch = placed(1, 0).batch;
        stops.halted(batch, at(1_000));
        stops.halted(batch, at(2_500));
        stops.placed(&placed(1, 3_000)).unwrap();
        assert!(stops.placed(&placed(1, 3_001)).is_err());
        stops.started(batch);
        stops.placed(&placed(1, 9_000)).unwrap();
    }
}
