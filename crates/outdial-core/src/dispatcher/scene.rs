//! What one turn looks at: every group judged, and put to its batch. The same judgement, told in
//! full, is the explanation.

use std::collections::BTreeMap;

use super::gates::{Account, Days, Opening, Ruling, common_gates, group_gates, in_lane};
use super::lines::Lines;
use super::waits::Waits;
use super::{
    BatchHead, Dispatcher, Gate, Group, GroupKey, Head, Turn, Wait, batch, earliest, latest,
};
use crate::batch::PauseReason;
use crate::id::BatchId;
use crate::time::Timestamp;

/// A group that may be dialed now.
#[derive(Debug)]
pub(super) struct OpenGroup {
    pub(super) key: GroupKey,
    pub(super) next_due: Timestamp,
    pub(super) opening: Opening,
}

/// A batch with groups in its lane.
pub(super) struct Stage<'a> {
    pub(super) account: Account<'a>,
    /// The groups that may be dialed now, the class that closes first before the others.
    pub(super) open: Vec<OpenGroup>,
    /// Others wait for their time, so something is pending for certain.
    pub(super) waiting: bool,
    pub(super) pause: Option<PauseReason>,
}

/// What one turn looks at.
pub(super) struct Scene<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) batches: BTreeMap<BatchId, Stage<'a>>,
}

impl Dispatcher {
    /// Every gate that holds each group now, with the instant at which it opens
    /// ([`Timestamp::MAX`]: when something changes). Nothing holds a group whose list is empty but
    /// the calls before its own.
    ///
    /// Whether the batch is active, and whether the group is in its lane, is not asked.
    pub fn explain(
        &mut self,
        head: &Head,
        groups: &[Group],
        turn: &Turn,
    ) -> BTreeMap<GroupKey, Vec<Wait>> {
        let at = earliest(turn);
        let lines = self.lines(head, turn);
        let mut of_batch: BTreeMap<BatchId, Vec<Wait>> = BTreeMap::new();
        let mut explained = BTreeMap::new();
        for group in groups {
            let Some(batch) = batch(head, group.key.batch) else { continue };
            let mut waits = Vec::new();
            let ruling = self.ruling(head, batch, group, at);
            group_gates(batch, group, ruling, None, (turn.now, at), &mut |w| waits.push(w));
            let shared = of_batch.entry(batch.id).or_insert_with(|| {
                let mut all = Vec::new();
                let mut note = |wait| all.push(wait);
                let account = Account::new(head, batch, lines.days());
                account.count_gates(&mut note);
                lines.gates(&account, &mut note);
                common_gates(head, turn, &mut note);
                all
            });
            waits.extend_from_slice(shared);
            explained.insert(group.key, waits);
        }
        explained
    }

    /// Judges the groups; when those that are closed may open is told to `waits`.
    pub(super) fn scene<'a>(
        &mut self,
        head: &'a Head,
        groups: &[Group],
        turn: &Turn,
        waits: &mut Waits,
    ) -> Scene<'a> {
        let at = earliest(turn);
        let lines = self.lines(head, turn);
        let mut batches: BTreeMap<BatchId, Stage<'a>> = BTreeMap::new();
        for group in groups {
            let Some(batch) = batch(head, group.key.batch) else { continue };
            if self.exhausted.contains(&group.key) || !in_lane(batch, &group.key) {
                continue;
            }
            let ruling = self.ruling(head, batch, group, at);
            let mut last: Option<Wait> = None;
            let times = (turn.now, at);
            let opening = group_gates(batch, group, ruling, head.attempts_24h, times, &mut |w| {
                last = last.filter(|l| l.until >= w.until).or(Some(w));
            });
            let stage = batches.entry(batch.id).or_insert_with(|| {
                let account = Account::new(head, batch, lines.days());
                let pause = account.pause(&lines);
                Stage { account, open: Vec::new(), waiting: false, pause }
            });
            match (opening, last) {
                (Some(opening), _) => {
                    let (key, next_due) = (group.key, group.next_due);
                    stage.open.push(OpenGroup { key, next_due, opening });
                }
                (None, Some(wait)) if wait.gate == Gate::Expired => {}
                (None, wait) => {
                    stage.waiting = true;
                    wait.into_iter().for_each(|wait| waits.add(wait));
                }
            }
        }
        for stage in batches.values_mut() {
            stage.open.sort_by_key(|open| (open.opening.until, open.next_due, open.key));
        }
        Scene { lines, batches }
    }

    fn lines<'a>(&mut self, head: &'a Head, turn: &Turn) -> Lines<'a> {
        self.ceilings.look(head, latest(turn));
        let days = self.days(head, earliest(turn));
        Lines::new(head, days, &self.ceilings, turn)
    }

    fn ruling(&mut self, head: &Head, batch: &BatchHead, group: &Group, at: Timestamp) -> &Ruling {
        let (hours, rules) = (&batch.settings.calling_hours, head.rules);
        let new = || Ruling::new(hours, rules, &group.zones, at);
        let ruling = self.rulings.entry((batch.id, group.key.class)).or_insert_with(new);
        if !ruling.holds(hours, rules, at) {
            *ruling = new();
        }
        ruling
    }

    fn days(&mut self, head: &Head, at: Timestamp) -> Days {
        match &self.days {
            Some(days) if days.hold(&head.zone, at) => days.clone(),
            _ => self.days.insert(Days::new(&head.zone, at)).clone(),
        }
    }
}
