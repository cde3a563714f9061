//! Section 3.5: what is unknown is not redialed in its round, unless the batch says so, and then
//! at least 60 s after it was resolved.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::id::{AttemptId, CallId};
use outdial_core::time::Timestamp;

use super::Violation;

/// How long after it was resolved.
const REST: Duration = Duration::from_secs(60);

/// Rounds of calls with an attempt of which nobody knows what came of it.
#[derive(Debug, Default)]
pub struct Unknowns(BTreeMap<(CallId, u32), (Timestamp, bool)>);

impl Unknowns {
    /// An attempt in this round of a call ended so; `again`: its batch has such calls redialed.
    pub fn ended(&mut self, of: (CallId, u32), at: Timestamp, again: bool) {
        self.0.insert(of, (at, again));
    }

    /// Another was committed.
    pub fn committed(
        &self,
        of: (CallId, u32),
        attempt: AttemptId,
        at: Timestamp,
    ) -> Result<(), Violation> {
        match self.0.get(&of) {
            Some((resolved, false)) => {
                let what = format!("{attempt} redials {of:?}, which is unknown since {resolved}");
                Err(Violation::new("I1", what))
            }
            // A clock that was set back says nothing.
            Some((resolved, true)) if at >= *resolved && at < resolved.after(REST) => {
                let what =
                    format!("{attempt} redials {of:?} already {:?} after", at.since(*resolved));
                Err(Violation::new("I1", what))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    #[test]
    fn what_is_unknown_is_left_alone() {
        let mut unknowns = Unknowns::default();
        let call = placed(1, 0);
        unknowns.ended((call.call, 1), at(0), false);
        assert!(unknowns.committed((call.call, 1), call.attempt, at(99_000)).is_err());
        unknowns.committed((call.call, 2), call.attempt, at(1)).unwrap();
        unknowns.ended((call.call, 2), at(0), true);
        assert!(unknowns.committed((call.call, 2), call.attempt, at(59_999)).is_err());
        unknowns.committed((call.call, 2), call.attempt, at(60_000)).unwrap();
    }
}
