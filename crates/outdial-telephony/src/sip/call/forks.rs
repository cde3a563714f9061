//! 2xx beyond all measure: each gets its ACK and its BYE, but not all at once, and not all are
//! remembered.

use std::time::Duration;

use outdial_ports::Monotonic;

use super::Call;
use super::leg::Leg;

/// The most dialogs of one INVITE that are remembered (forks).
const LEGS: usize = 8;
/// What a trickle lets through in a second.
const A_SECOND: u32 = 16;

/// So many in a second and no more.
#[derive(Debug, Default)]
pub(crate) struct Trickle {
    since: Monotonic,
    taken: u32,
}

impl Trickle {
    /// Whether there is room for one more.
    pub(crate) fn take(&mut self, now: Monotonic) -> bool {
        if now >= self.since.after(Duration::from_secs(1)) {
            *self = Self { since: now, taken: 0 };
        }
        self.taken = self.taken.saturating_add(1);
        self.taken <= A_SECOND
    }
}

impl Call {
    /// Whether one more leg can be remembered; those at their end make room.
    pub(super) fn has_room(&mut self) -> bool {
        let is_done = |leg: &Leg| leg.is_gone() && leg.is_quiet() && leg.session.is_none();
        if self.legs.len() >= LEGS
            && let Some(at) = self.legs.iter().position(is_done)
        {
            self.legs.remove(at);
        }
        self.legs.len() < LEGS
    }

    /// Ends a leg that is not remembered. If there were too many just now it is left alone: without
    /// its ACK the 2xx comes again.
    pub(super) fn end_unremembered(&mut self, now: Monotonic, mut leg: Leg) {
        if !self.more_forks.take(now) {
            return self.ignore();
        }
        leg.hang_up(&mut desk!(self, now), now);
    }
}
