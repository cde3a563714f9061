//! I4: no call to a number on the do-not-call list, and none that was taken back, leaves later than
//! 2 s after the answer; what rings by then is cancelled.

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::id::{AttemptId, BatchId, CallId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;

use super::{Placed, Violation};

/// How long after the answer a call may still leave, or ring.
const GRACE: Duration = Duration::from_secs(2);

/// Who is not to be called, and since when that was answered.
#[derive(Debug, Default)]
pub struct Wishes {
    listed: BTreeMap<(WorkspaceId, PhoneNumber), Timestamp>,
    /// Workspaces that check the list, since when.
    switches: BTreeMap<WorkspaceId, Timestamp>,
    /// Batches that check it by themselves, since when.
    batches: BTreeMap<BatchId, Timestamp>,
    taken_back: BTreeMap<CallId, Timestamp>,
}

impl Wishes {
    /// A number was listed.
    pub fn listed(&mut self, ws: WorkspaceId, phone: PhoneNumber, at: Timestamp) {
        self.listed.entry((ws, phone)).or_insert(at);
    }

    /// It was taken off.
    pub fn unlisted(&mut self, ws: WorkspaceId, phone: PhoneNumber) {
        self.listed.remove(&(ws, phone));
    }

    /// A workspace checks the list.
    pub fn switched_on(&mut self, ws: WorkspaceId, at: Timestamp) {
        self.switches.entry(ws).or_insert(at);
    }

    /// It does not.
    pub fn switched_off(&mut self, ws: WorkspaceId) {
        self.switches.remove(&ws);
    }

    /// Whether a batch checks the list by itself.
    pub fn batch_checked(&mut self, batch: BatchId, on: bool, at: Timestamp) {
        if on {
            self.batches.entry(batch).or_insert(at);
        } else {
            self.batches.remove(&batch);
        }
    }

    /// A call was taken back.
    pub fn taken_back(&mut self, call: CallId, at: Timestamp) {
        self.taken_back.entry(call).or_insert(at);
    }

    /// It was added again, and waits.
    pub fn wanted_again(&mut self, call: CallId) {
        self.taken_back.remove(&call);
    }

    /// Since when this call should not be: its number is listed and checked.
    pub fn listed_since(&self, call: &Placed) -> Option<Timestamp> {
        let listed = *self.listed.get(&(call.workspace, call.callee))?;
        let switch = self.switches.get(&call.workspace);
        let checked = *switch.into_iter().chain(self.batches.get(&call.batch)).min()?;
        Some(listed.max(checked))
    }

    /// A call leaves.
    pub fn placed(&self, call: &Placed) -> Result<(), Violation> {
        let back = self.taken_back.get(&call.call).copied();
        let since = [(self.listed_since(call), "was listed"), (back, "was taken back")];
        for (since, why) in since {
            if let Some(since) = since.filter(|s| call.at > s.after(GRACE)) {
                let after = call.at.since(since);
                let (attempt, to) = (call.attempt, call.callee);
                let what = format!("attempt {attempt} to {to} left {after:?} after it {why}");
                return Err(Violation::new("I4", what));
            }
        }
        Ok(())
    }
}

/// Calls that are to be cancelled unless they are answered.
#[derive(Debug, Default)]
pub struct Recalls {
    /// On the phone, not answered, not cancelled.
    ringing: BTreeMap<AttemptId, Placed>,
    due: BTreeMap<AttemptId, (Timestamp, bool)>,
    /// Nobody could cancel anything until then.
    excused_until: Option<Timestamp>,
}

impl Recalls {
    /// A call leaves; `listed` since when it should not have.
    pub fn placed(&mut self, call: &Placed, listed: Option<Timestamp>) {
        self.ringing.insert(call.attempt, call.clone());
        if let Some(since) = listed {
            self.due.insert(call.attempt, (since.max(call.at).after(GRACE), true));
        }
    }

    /// These are no longer wanted, whatever the list says.
    pub fn wanted(&mut self, now: Timestamp, which: impl Fn(&Placed) -> bool) {
        self.claim(now, false, which);
    }

    /// Takes note of what the list says about all that ring.
    pub fn compare(&mut self, now: Timestamp, wishes: &Wishes) {
        let ringing = &self.ringing;
        let listed =
            |id: &AttemptId| ringing.get(id).is_some_and(|c| wishes.listed_since(c).is_some());
        self.due.retain(|id, (_, by_list)| !*by_list || listed(id));
        self.claim(now, true, |call| wishes.listed_since(call).is_some());
    }

    fn claim(&mut self, now: Timestamp, by_list: bool, which: impl Fn(&Placed) -> bool) {
        for (id, _) in self.ringing.iter().filter(|(_, call)| which(call)) {
            let due = self.due.entry(*id).or_insert((now.after(GRACE), by_list));
            due.1 &= by_list;
        }
    }

    /// It was answered, or cancelled, or is over.
    pub fn settled(&mut self, attempt: AttemptId) {
        self.ringing.remove(&attempt);
        self.due.remove(&attempt);
    }

    /// The process can look at nothing, or do nothing, until then.
    pub fn excuse(&mut self, until: Timestamp) {
        self.excused_until = self.excused_until.max(Some(until));
    }

    /// None rings too long.
    pub fn check(&self, now: Timestamp) -> Result<(), Violation> {
        if self.excused_until.is_some_and(|until| now <= until) {
            return Ok(());
        }
        match self.due.iter().find(|(_, (due, _))| now > *due) {
            None => Ok(()),
            Some((attempt, (due, _))) => {
                let what = format!("attempt {attempt} was to be cancelled by {due}, now {now}");
                Err(Violation::new("I4", what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    fn listed() -> Wishes {
        let mut wishes = Wishes::default();
        let call = placed(1, 0);
        wishes.switched_on(call.workspace, at(-9_000));
        wishes.listed(call.workspace, call.callee, at(1_000));
        wishes
    }

    #[test]
    fn a_call_to_a_listed_number() {
        let mut wishes = listed();
        wishes.placed(&placed(1, 3_000)).unwrap();
        assert!(wishes.placed(&placed(1, 3_001)).unwrap_err().what.contains("listed"));
        wishes.placed(&placed(2, 3_001)).unwrap();
        wishes.unlisted(placed(1, 0).workspace, placed(1, 0).callee);
        wishes.placed(&placed(1, 3_001)).unwrap();
    }

    #[test]
    fn a_list_that_nobody_checks_binds_nobody() {
        let mut wishes = listed();
        let call = placed(1, 9_000);
        wishes.switched_off(call.workspace);
        wishes.placed(&call).unwrap();
        wishes.batch_checked(call.batch, true, at(7_500));
        wishes.placed(&call).unwrap();
        assert!(wishes.placed(&placed(1, 9_501)).is_err());
        wishes.batch_checked(call.batch, false, at(9_000));
        wishes.placed(&placed(1, 9_501)).unwrap();
    }

    #[test]
    fn a_call_that_was_taken_back() {
        let mut wishes = Wishes::default();
        wishes.taken_back(placed(1, 0).call, at(0));
        assert!(wishes.placed(&placed(1, 2_001)).unwrap_err().what.contains("taken back"));
        wishes.wanted_again(placed(1, 0).call);
        wishes.placed(&placed(1, 2_001)).unwrap();
    }

    #[test]
    fn what_goes_on_ringing() {
        let mut recalls = Recalls::default();
        for n in 1..=2 {
            recalls.placed(&placed(n, 0), None);
        }
        recalls.compare(at(1_000), &listed());
        recalls.check(at(3_000)).unwrap();
        assert!(recalls.check(at(3_001)).is_err());
        recalls.compare(at(3_001), &Wishes::default());
        recalls.check(at(9_001)).unwrap();
        recalls.wanted(at(10_000), |call| call.attempt == placed(2, 0).attempt);
        assert!(recalls.check(at(12_001)).is_err());
        recalls.settled(placed(2, 0).attempt);
        recalls.check(at(12_001)).unwrap();
        recalls.placed(&placed(1, 20_000), Some(at(19_000)));
        assert!(recalls.check(at(22_001)).is_err());
    }
}
