//! When a turn is to be followed by the next, and why not sooner.

use super::gates::workspace_room;
use super::{Gate, HORIZON, Head, Turn, Wait, lead};
use crate::time::Timestamp;

use std::time::Duration;

/// The soonest of what a turn waits for.
pub(super) struct Waits {
    now: Timestamp,
    lead: Duration,
    soonest: Option<(Timestamp, Gate)>,
}

impl Waits {
    pub(super) fn new(turn: &Turn) -> Self {
        Self { now: turn.now, lead: lead(turn), soonest: None }
    }

    /// A gate opens: to be looked at again so early that the first slot behind it can be committed
    /// in time. [`Timestamp::MAX`]: something must change first (a call must end); whoever runs the
    /// turns is woken by that, and looks again after a while in any case.
    pub(super) fn add(&mut self, wait: Wait) {
        let at = match wait.gate {
            _ if wait.until == Timestamp::MAX => Timestamp::MAX,
            // Calls that are not due yet cannot be read.
            Gate::NotBefore => wait.until,
            Gate::Pacing => wait.until.before(HORIZON.saturating_sub(self.lead)),
            _ => wait.until.before(self.lead),
        };
        self.at(at, wait.gate);
    }

    /// More is due than this turn took.
    pub(super) fn now(&mut self, gate: Gate) {
        self.at(self.now, gate);
    }

    /// The turn has no room left.
    pub(super) fn note_full(&mut self, head: &Head, turn: &Turn) {
        if workspace_room(head) <= turn.node_free.min(turn.turn_limit) {
            self.at(Timestamp::MAX, Gate::WorkspaceConcurrency);
        } else if turn.node_free < turn.turn_limit {
            self.at(Timestamp::MAX, Gate::NodeCapacity);
        } else {
            self.at(self.now, Gate::TurnLimit);
        }
    }

    pub(super) fn soonest(&self) -> Option<(Timestamp, Gate)> {
        self.soonest
    }

    fn at(&mut self, at: Timestamp, gate: Gate) {
        let wait = (at.max(self.now), gate);
        self.soonest = Some(self.soonest.map_or(wait, |s| s.min(wait)));
    }
}
