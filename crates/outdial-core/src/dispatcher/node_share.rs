//! How the nodes share a workspace's calls.
//!
//! Whoever has a call that ends knows first that there is room for another. Left to that, a node
//! that has many calls gets the next ones too, until it has them all: one machine would do the work
//! of all, and take every call with it when it dies. So whoever has more than its share lets the
//! others go first, and whoever has less looks often. Nothing but who comes first depends on it: a
//! slot that no other node takes is taken by the one that waited.

use std::time::Duration;

use super::{Gate, HORIZON, Turn, lead};
use crate::time::Timestamp;

/// For so long a call that ended is not replaced by a node with more than its share.
const YIELD: Duration = Duration::from_millis(100);
/// A node with less than its share looks as often as that whether a call has ended somewhere.
const LOOK: Duration = Duration::from_millis(50);

/// One node's part of the live calls of a workspace, beside an equal one of all nodes that dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeShare {
    /// It has fewer.
    Less,
    /// It has as many.
    Equal,
    /// It has more.
    More,
}

impl NodeShare {
    /// The share of a node with `own` of `all` calls, when `nodes` dial, this one included.
    #[must_use]
    pub fn of(own: u32, all: u32, nodes: u32) -> Self {
        let (own, all) = (u64::from(own) * u64::from(nodes.max(1)), u64::from(all));
        match own.cmp(&all) {
            _ if nodes <= 1 => Self::Equal,
            std::cmp::Ordering::Less => Self::Less,
            std::cmp::Ordering::Equal => Self::Equal,
            std::cmp::Ordering::Greater => Self::More,
        }
    }

    /// How long it waits after one of its calls ended before it places another.
    #[must_use]
    pub fn grace(self) -> Duration {
        if self == Self::More { YIELD } else { Duration::ZERO }
    }

    /// When a turn is to be followed by the next, where the plan says `look_again`. None: when
    /// something changed.
    #[must_use]
    pub fn look_again(
        self,
        look_again: Option<(Timestamp, Gate)>,
        turn: &Turn,
    ) -> Option<Timestamp> {
        let (at, gate) = look_again?;
        let waits_for_an_end =
            matches!(gate, Gate::Channels | Gate::BatchConcurrency | Gate::WorkspaceConcurrency);
        match self {
            // Late enough that the others come first, early enough that no slot is missed.
            Self::More if gate == Gate::Pacing => {
                let spare = HORIZON.saturating_sub(lead(turn) * 2) / 2;
                Some(at.after(spare.min(YIELD)))
            }
            Self::Less if waits_for_an_end => Some(at.min(turn.now.after(LOOK))),
            _ => Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(lead_ms: u64) -> Turn {
        let lead = Duration::from_millis(lead_ms);
        Turn { now: Timestamp::from_millis(1_000_000), lead, node_free: 9, turn_limit: 9 }
    }

    #[test]
    fn a_share_is_compared_with_an_equal_one() {
        for (own, all, nodes, share) in [
            (5, 14, 3, NodeShare::More),
            (4, 14, 3, NodeShare::Less),
            (0, 14, 3, NodeShare::Less),
            (7, 14, 2, NodeShare::Equal),
            (0, 0, 3, NodeShare::Equal),
            // Alone, or not heard of yet: nobody to share with.
            (14, 14, 1, NodeShare::Equal),
            (3, 14, 1, NodeShare::Equal),
            (14, 14, 0, NodeShare::Equal),
            (u32::MAX, u32::MAX, u32::MAX, NodeShare::More),
        ] {
            assert_eq!(NodeShare::of(own, all, nodes), share, "{own} of {all} on {nodes}");
        }
    }

    #[test]
    fn who_has_less_looks_for_calls_that_end_elsewhere() {
        let turn = turn(10);
        let never = Some((Timestamp::MAX, Gate::Channels));
        assert_eq!(NodeShare::Less.look_again(never, &turn), Some(turn.now.after(LOOK)));
        assert_eq!(NodeShare::Equal.look_again(never, &turn), Some(Timestamp::MAX));
        assert_eq!(NodeShare::More.look_again(never, &turn), Some(Timestamp::MAX));
        let full = Some((Timestamp::MAX, Gate::NodeCapacity));
        assert_eq!(NodeShare::Less.look_again(full, &turn), Some(Timestamp::MAX));
        assert_eq!(NodeShare::Less.look_again(None, &turn), None);
    }

    #[test]
    fn who_has_more_waits_but_misses_no_slot() {
        for lead_ms in [0, 10, 60, 110, 125, 150, 400] {
            let turn = turn(lead_ms);
            let lead = lead(&turn);
            // The slot for which the plan says to look again.
            let slot = turn.now.after(Duration::from_secs(1));
            let look = slot.before(HORIZON.saturating_sub(lead));
            let later = NodeShare::More.look_again(Some((look, Gate::Pacing)), &turn);
            let later = later.expect("it waits for a slot");
            assert!(later >= look && (later == look || later.after(lead) <= slot), "{lead_ms}");
            assert_eq!(NodeShare::Less.look_again(Some((look, Gate::Pacing)), &turn), Some(look));
        }
        assert!(NodeShare::More.grace() > NodeShare::Equal.grace());
    }
}
