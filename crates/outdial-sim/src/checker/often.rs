//! How often: attempts of a calling number in a calendar day, charged attempts at a person in any
//! 24 h over all batches of the workspace; never above the cap in force at the commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outdial_core::id::{AttemptId, PhoneId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;

use super::Violation;

const DAY: Duration = Duration::from_secs(86_400);
/// An attempt at a person is known for so long at least.
const KEPT: Duration = Duration::from_secs(2 * 86_400);

/// An intent as far as counts go.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Which.
    pub attempt: AttemptId,
    /// Start of its slot.
    pub send_at: Timestamp,
    /// The calendar day of that.
    pub day: i32,
    /// Over which number.
    pub caller: PhoneId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// To whom.
    pub callee: PhoneNumber,
}

/// All counts.
#[derive(Debug, Default)]
pub struct Often {
    days: BTreeMap<(PhoneId, i32), BTreeSet<AttemptId>>,
    people: BTreeMap<(WorkspaceId, PhoneNumber), Vec<(AttemptId, Timestamp)>>,
    /// The latest attempts at persons that count no more.
    forgotten: BTreeMap<(WorkspaceId, PhoneNumber), Timestamp>,
    tries: BTreeMap<AttemptId, Try>,
}

impl Often {
    /// An intent was committed under these caps.
    pub fn committed(
        &mut self,
        new: Try,
        a_day: Option<u32>,
        a_person: Option<u32>,
    ) -> Result<(), Violation> {
        self.tries.insert(new.attempt, new);
        let placed = self.days.entry((new.caller, new.day)).or_default();
        placed.insert(new.attempt);
        if let Some(most) = a_day.filter(|most| placed.len() > *most as usize) {
            let (n, from, day) = (placed.len(), new.caller, new.day);
            let what = format!("{n} attempts of {from} on day {day}, at most {most}");
            return Err(Violation::new("daily cap", what));
        }
        let before = self.people.entry((new.workspace, new.callee)).or_default();
        before.push((new.attempt, new.send_at));
        let recent = before.iter().filter(|(_, at)| *at > new.send_at.before(DAY)).count();
        if let Some(most) = a_person.filter(|most| recent > *most as usize) {
            let (to, at) = (new.callee, new.send_at);
            let what = format!("{recent} attempts at {to} in the 24 h to {at}, at most {most}");
            return Err(Violation::new("24 h cap", what));
        }
        Ok(())
    }

    /// An attempt's end was recorded.
    pub fn ended(&mut self, attempt: AttemptId, sent: bool, charged: bool) {
        let Some(made) = self.tries.remove(&attempt) else { return };
        if !sent && let Some(day) = self.days.get_mut(&(made.caller, made.day)) {
            day.remove(&attempt);
        }
        if !charged && let Some(person) = self.people.get_mut(&(made.workspace, made.callee)) {
            person.retain(|(id, _)| *id != attempt);
        }
    }

    /// What is older than 48 h by the database's clock may be forgotten; it shows again, and counts
    /// no more, when that clock is set back.
    pub fn pruned(&mut self, now: Timestamp) {
        for (who, person) in &mut self.people {
            let forgotten = person.iter().map(|(_, at)| *at).filter(|at| *at <= now.before(KEPT));
            if let Some(latest) = forgotten.max() {
                let before = self.forgotten.entry(*who).or_insert(latest);
                *before = latest.max(*before);
                person.retain(|(_, at)| *at > now.before(KEPT));
            }
        }
    }

    /// Attempts of a number on a day; those not sent left out.
    pub fn on_day(&self, caller: PhoneId, day: i32) -> usize {
        self.days.get(&(caller, day)).map_or(0, BTreeSet::len)
    }

    /// When nothing of the latest attempts at a person counts any more.
    pub fn rested(&self, ws: WorkspaceId, callee: PhoneNumber) -> Option<Timestamp> {
        let counted = self.people.get(&(ws, callee)).into_iter().flatten().map(|(_, at)| *at);
        let last = counted.chain(self.forgotten.get(&(ws, callee)).copied()).max()?;
        Some(last.after(DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, placed};
    use super::*;

    fn new(n: u64, ms: i64, day: i32) -> Try {
        let call = placed(n, ms);
        Try {
            attempt: call.attempt,
            send_at: call.at,
            day,
            caller: call.caller,
            workspace: call.workspace,
            callee: placed(1, 0).callee,
        }
    }

    #[test]
    fn a_number_that_calls_too_often_in_a_day() {
        let mut often = Often::default();
        often.committed(new(1, 0, 7), Some(2), None).unwrap();
        often.committed(new(2, 0, 7), Some(2), None).unwrap();
        often.committed(new(3, 0, 8), Some(2), None).unwrap();
        assert!(often.committed(new(4, 0, 7), Some(2), None).is_err());
        often.ended(new(4, 0, 7).attempt, false, false);
        often.ended(new(1, 0, 7).attempt, false, false);
        often.ended(new(2, 0, 7).attempt, true, false);
        assert_eq!(often.on_day(new(1, 0, 7).caller, 7), 1);
        often.committed(new(5, 0, 7), Some(2), None).unwrap();
    }

    #[test]
    fn a_person_who_is_called_too_often_in_24_hours() {
        let day = 86_400_000;
        let mut often = Often::default();
        often.committed(new(1, 0, 7), None, Some(1)).unwrap();
        assert!(often.committed(new(2, day - 1, 7), None, Some(1)).is_err());
        often.ended(new(2, 0, 7).attempt, true, false);
        assert_eq!(often.rested(new(1, 0, 7).workspace, new(1, 0, 7).callee), Some(at(day)));
        often.committed(new(3, day, 8), None, Some(1)).unwrap();
        often.committed(new(4, day, 8), None, Some(2)).unwrap();
    }
}
