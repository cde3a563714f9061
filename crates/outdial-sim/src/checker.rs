//! The checkers: each is told what happens in the world, as far as it concerns it, and says so when
//! a promise of `semantics.md` section 8 is broken. They know nothing of how the product keeps its
//! promises, and must not use its code to judge it.

mod brakes;
mod clocks;
mod copies;
mod events;
mod hours;
mod laws;
mod often;
mod once;
mod pace;
mod spending;
mod stop;
mod totals;
mod unknowns;
mod wishes;

use std::fmt;

use outdial_core::id::{AttemptId, BatchId, CallId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;

pub use brakes::{Brakes, End, Rules};
pub use clocks::Clocks;
pub use copies::Copies;
pub use events::Events;
pub use hours::Hours;
pub use often::{Often, Try};
pub use once::Once;
pub use pace::{Cap, Pace};
pub use spending::{Most, Spending, Sum};
pub use stop::Stops;
pub use totals::recount;
pub use unknowns::Unknowns;
pub use wishes::{Recalls, Wishes};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, by its number in `semantics.md`, or a word.
    pub promise: &'static str,
    /// What happened.
    pub what: String,
}

impl Violation {
    /// `promise` is broken by `what`.
    pub fn new(promise: &'static str, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// A call left, as the carrier sees it and as its commit said.
#[derive(Clone, Debug)]
pub struct Placed {
    /// When.
    pub at: Timestamp,
    /// By which process.
    pub process: u32,
    /// Which attempt.
    pub attempt: AttemptId,
    /// At which call.
    pub call: CallId,
    /// In which of its rounds.
    pub round: u32,
    /// Retries of its batch.
    pub retry: u8,
    /// Of which batch.
    pub batch: BatchId,
    /// Of which workspace.
    pub workspace: WorkspaceId,
    /// Over which trunk.
    pub trunk: TrunkId,
    /// From which number.
    pub caller: PhoneId,
    /// To whom.
    pub callee: PhoneNumber,
}

/// A call that left is over.
#[derive(Clone, Copy, Debug)]
pub struct Over {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The callee's side was reached, or may have been.
    pub charged: bool,
}

/// All checkers that look at calls.
#[derive(Debug, Default)]
pub struct Checkers {
    /// I1.
    pub once: Once,
    /// I4, the hours.
    pub hours: Hours,
    /// I4, stop and delete.
    pub stops: Stops,
    /// I4, do-not-call and calls that are taken back.
    pub wishes: Wishes,
    /// I4, what rings then.
    pub recalls: Recalls,
    /// Budgets.
    pub spending: Spending,
    /// Daily caps, and the cap of 24 h.
    pub often: Often,
    /// Brakes and canaries.
    pub brakes: Brakes,
    /// I5.
    pub pace: Pace,
    /// Clocks that were set.
    pub clocks: Clocks,
    /// Processes on older copies of the database.
    pub copies: Copies,
    /// What was told.
    pub events: Events,
    /// What is not redialed.
    pub unknowns: Unknowns,
}

impl Checkers {
    /// A call leaves.
    pub fn placed(&mut self, call: &Placed) -> Result<(), Violation> {
        self.once.placed(call)?;
        self.clocks.placed(call)?;
        self.stops.placed(call)?;
        self.wishes.placed(call)?;
        self.recalls.placed(call, self.wishes.listed_since(call));
        self.pace.placed(call)
    }

    /// It is over.
    pub fn over(&mut self, call: Over) {
        self.once.over(call);
        self.recalls.settled(call.attempt);
        self.pace.over(call.attempt);
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    use super::*;

    pub(crate) const START: i64 = 1_772_000_000_000;

    pub(crate) fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(START + ms)
    }

    /// Attempt `n` at call `n`, to number `n`, at `ms`.
    pub(crate) fn placed(n: u64, ms: i64) -> Placed {
        Placed {
            at: at(ms),
            process: 1,
            attempt: AttemptId::from_parts(1, n),
            call: CallId::from_parts(1, n),
            round: 1,
            retry: 0,
            batch: BatchId::from_parts(1, 1),
            workspace: WorkspaceId::from_parts(1, 1),
            trunk: TrunkId::from_parts(1, 1),
            caller: PhoneId::from_parts(1, 1),
            callee: PhoneNumber::from_digits(12_125_550_000 + n),
        }
    }

    pub(crate) fn over(n: u64, charged: bool) -> Over {
        Over { attempt: AttemptId::from_parts(1, n), charged }
    }
}
