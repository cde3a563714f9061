//! I1: at most one INVITE for each attempt; at most retry + 1 charged attempts in a round; never
//! two live calls to one number in a workspace. Counted from what left, not from what was written.

use std::collections::{BTreeMap, BTreeSet};

use outdial_core::id::{AttemptId, CallId, WorkspaceId};
use outdial_core::phone::PhoneNumber;

use super::{Over, Placed, Violation};

/// Tries of a round that reached nobody, at most (`semantics.md` 3.7).
const UNCHARGED_MAX: usize = 5;

/// What has left so far.
#[derive(Debug, Default)]
pub struct Once {
    sent: BTreeSet<AttemptId>,
    live: BTreeMap<AttemptId, Placed>,
    numbers: BTreeMap<(WorkspaceId, PhoneNumber), AttemptId>,
    rounds: BTreeMap<(CallId, u32), Tries>,
}

#[derive(Debug, Default)]
struct Tries {
    charged: u32,
    uncharged: BTreeSet<AttemptId>,
}

impl Once {
    /// A call leaves.
    pub fn placed(&mut self, call: &Placed) -> Result<(), Violation> {
        let wrong = |what| Err(Violation::new("I1", what));
        let Placed { attempt, callee, round, retry, .. } = *call;
        if !self.sent.insert(attempt) {
            return wrong(format!("attempt {attempt} to {callee} was placed twice"));
        }
        if let Some(other) = self.numbers.insert((call.workspace, callee), attempt) {
            return wrong(format!(
                "{callee} has two live calls in a workspace: attempts {other} and {attempt}"
            ));
        }
        let tries = self.rounds.entry((call.call, round)).or_default();
        if tries.charged > u32::from(retry) {
            return wrong(format!(
                "attempt {attempt} is one too many: round {round} of call {} had {} charged \
                 attempts, with retry {retry}",
                call.call, tries.charged
            ));
        }
        if tries.uncharged.len() >= UNCHARGED_MAX {
            return wrong(format!(
                "attempt {attempt} is one too many: round {round} of call {} had {} that reached \
                 nobody",
                call.call, UNCHARGED_MAX
            ));
        }
        self.live.insert(attempt, call.clone());
        Ok(())
    }

    /// A call is over.
    pub fn over(&mut self, over: Over) {
        let Some(call) = self.live.remove(&over.attempt) else { return };
        self.numbers.remove(&(call.workspace, call.callee));
        let tries = self.rounds.entry((call.call, call.round)).or_default();
        match over.charged {
            true => tries.charged += 1,
            false => _ = tries.uncharged.insert(over.attempt),
        }
    }

    /// Its process died before it could record how it ended: it counts as an attempt, whoever was
    /// reached.
    pub fn lost(&mut self, attempt: AttemptId, call: CallId, round: u32) {
        let tries = self.rounds.entry((call, round)).or_default();
        if tries.uncharged.remove(&attempt) {
            tries.charged += 1;
        }
    }

    /// It left, at some time.
    pub fn was_sent(&self, attempt: AttemptId) -> bool {
        self.sent.contains(&attempt)
    }

    /// It left and is not over.
    pub fn is_live(&self, attempt: AttemptId) -> bool {
        self.live.contains_key(&attempt)
    }

    /// How many are on the phone.
    pub fn live_count(&self) -> usize {
        self.live.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{over, placed};
    use super::*;

    fn broken(result: Result<(), Violation>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn two_invites_for_one_attempt() {
        let mut once = Once::default();
        once.placed(&placed(1, 0)).unwrap();
        once.over(over(1, true));
        assert!(broken(once.placed(&placed(1, 900))).starts_with("I1: attempt"));
    }

    #[test]
    fn two_live_calls_to_one_number() {
        let mut once = Once::default();
        once.placed(&placed(1, 0)).unwrap();
        let mut second = placed(2, 10);
        second.callee = placed(1, 0).callee;
        let mut elsewhere = second.clone();
        elsewhere.workspace = WorkspaceId::from_parts(1, 2);
        once.placed(&elsewhere).unwrap();
        second.attempt = AttemptId::from_parts(1, 3);
        assert!(broken(once.placed(&second)).contains("two live calls"));
    }

    #[test]
    fn a_number_is_free_again_when_its_call_is_over() {
        let mut once = Once::default();
        once.placed(&placed(1, 0)).unwrap();
        assert!(once.is_live(placed(1, 0).attempt));
        once.over(over(1, true));
        let mut second = placed(2, 10);
        second.callee = placed(1, 0).callee;
        once.placed(&second).unwrap();
        assert_eq!(once.live_count(), 1);
    }

    #[test]
    fn more_charged_attempts_than_retries_allow() {
        let mut once = Once::default();
        for n in 1..=3 {
            let mut call = placed(n, 0);
            (call.call, call.retry) = (CallId::from_parts(1, 1), 1);
            let result = once.placed(&call);
            if n == 3 {
                assert!(broken(result).contains("2 charged"));
                call.round = 2;
                call.attempt = AttemptId::from_parts(1, 9);
                once.over(over(3, true));
                call.callee = PhoneNumber::from_digits(1);
                once.placed(&call).unwrap();
            } else {
                result.unwrap();
                once.over(over(n, true));
            }
        }
    }

    #[test]
    fn a_sixth_try_that_reaches_nobody() {
        let mut once = Once::default();
        for n in 1..=6 {
            let mut call = placed(n, 0);
            call.call = CallId::from_parts(1, 1);
            let result = once.placed(&call);
            assert_eq!(result.is_err(), n == 6, "{n}");
            once.over(over(n, false));
        }
    }
}
