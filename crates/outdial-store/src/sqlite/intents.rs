//! `attempt_commit_intents`: from a plan to attempts, at most one per number and per turn of a
//! call (I1).
//!
//! What may have changed for one call since the plan was made is looked at here once more: whether
//! it is still pending, its number, the do-not-call list, the person's 24 h.

use std::collections::BTreeMap;

use outdial_core::batch::PauseReason;
use outdial_core::brake::BrakeState;
use outdial_core::budget::Day;
use outdial_core::call::WaitReason;
use outdial_core::id::{AttemptId, BatchId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::time::Timestamp;
use outdial_ports::failpoint;
use outdial_ports::store::{
    CommitError, CommitOutcome, Committed, DropReason, Dropped, NewIntent, NewPlan, StoreError,
};
use rusqlite::params;

use super::account::to_json;
use super::db::SqliteDb;
use super::dnc::{DO_NOT_CALL, Watch};
use super::limits::whole;
use super::rows::{Id, digits};
use super::sql;
use super::totals::Delta;
use crate::counts::{NUMBER_BUSY_WAIT, without};

/// A batch of the plan.
struct Batch {
    /// None: it is not active, or not this workspace's.
    enable_dnc: Option<bool>,
    delta: Delta,
}

/// What a plan's intents have in common, and what has come of them.
struct Commit {
    workspace: i64,
    watch: Watch,
    batches: BTreeMap<i64, Batch>,
    /// Attempts by calling number and day.
    placed: BTreeMap<(i64, Day), u32>,
}

impl SqliteDb {
    pub(super) fn attempt_commit_intents(
        &mut self,
        ws: WorkspaceId,
        version: u64,
        plan: &NewPlan,
    ) -> Result<CommitOutcome, CommitError> {
        if let Some(mark) = plan.mark
            && !self.attempt_is_known(mark.attempt, mark.token)?
        {
            return Err(CommitError::Older);
        }
        let workspace = ws.seq64();
        let expected = i64::try_from(version).unwrap_or(-1);
        if self.exec(sql!("dispatch/bump_if"), params![workspace, expected])? == 0 {
            return Err(CommitError::Stale);
        }
        // The order of phone numbers decides which of two calls to one number goes first, here as
        // on a backend where it also keeps writers from waiting for each other.
        let mut order: Vec<(usize, &NewIntent)> = plan.intents.iter().enumerate().collect();
        order.sort_by_key(|(_, new)| new.intent.callee);
        let mut commit = Commit {
            workspace,
            watch: self.dnc_watch(workspace)?,
            batches: BTreeMap::new(),
            placed: BTreeMap::new(),
        };
        let mut results = BTreeMap::new();
        for (i, new) in order {
            results.insert(i, self.intent_commit(&mut commit, new)?);
        }
        let deltas = commit.batches.into_iter().map(|(batch, b)| (batch, b.delta)).collect();
        self.totals_add_all(&deltas)?;
        for ((phone, day), placed) in commit.placed {
            self.number_add(phone, day, placed)?;
        }
        let dropped = plan.intents.iter().zip(results.values()).filter(|(_, r)| r.is_err());
        let slots = without(&plan.slots, dropped.map(|(new, _)| &new.intent));
        self.dispatch_set_slots(workspace, &slots)?;
        // One that this plan pauses is active until then.
        self.batches_set_brakes(workspace, &plan.brakes)?;
        self.batches_pause(workspace, &plan.pauses)?;

        if let Some(latest) = results.values().flatten().max() {
            let row = params![workspace, self.instance, latest.seq64()];
            self.exec(sql!("attempt/set_latest"), row)?;
        }
        failpoint("store.intents_applied");
        let mut outcome = CommitOutcome { version: version + 1, ..CommitOutcome::default() };
        for (new, result) in plan.intents.iter().zip(results.into_values()) {
            match result {
                Ok(attempt) => outcome.committed.push(Committed { attempt, intent: new.clone() }),
                Err(reason) => outcome.dropped.push(Dropped { call: new.intent.call, reason }),
            }
        }
        Ok(outcome)
    }

    /// One intent: its call live, its number locked, its attempt made; or why not.
    fn intent_commit(
        &self,
        commit: &mut Commit,
        new: &NewIntent,
    ) -> Result<Result<AttemptId, DropReason>, StoreError> {
        let intent = &new.intent;
        let (call, phone) = (intent.call.seq64(), digits(intent.callee));
        let (batch, facts) = (intent.batch.seq64(), intent.facts);
        let now = self.now();

        let Commit { workspace, watch, ref mut batches, ref mut placed } = *commit;
        let Batch { enable_dnc, delta } = match batches.entry(batch) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                let enable_dnc = self.batch_of_intent(workspace, intent.batch)?;
                unknown.insert(Batch { enable_dnc, delta: Delta::default() })
            }
        };
        let Some(enable_dnc) = *enable_dnc else { return Ok(Err(DropReason::NotPending)) };
        let as_seen = params![
            call,
            intent.call.secs(),
            batch,
            phone,
            facts.attempts,
            facts.round,
            intent.lane,
            intent.class
        ];
        if self.one(sql!("attempt/call_of_intent"), as_seen, |_| Ok(()))?.is_none() {
            return Ok(Err(DropReason::NotPending));
        }
        if self.dnc_blocks(watch, enable_dnc, intent.callee)? {
            self.call_finish_pending(call, Disposition::Skipped, DO_NOT_CALL, delta)?;
            return Ok(Err(DropReason::DoNotCall));
        }
        let key = params![workspace, phone];
        if self.one(sql!("attempt/is_busy"), key, |_| Ok(()))?.is_some() {
            self.call_put_off(call, now.after(NUMBER_BUSY_WAIT), WaitReason::NumberBusy)?;
            return Ok(Err(DropReason::NumberBusy));
        }
        if let Some(until) = self.person_waits(workspace, intent)? {
            self.call_put_off(call, until, WaitReason::AttemptsPerDay)?;
            return Ok(Err(DropReason::AttemptsPerDay));
        }
        let attempt = self.attempt_insert(workspace, new, now)?;
        self.exec(sql!("attempt/go_live"), params![call, now.as_millis()])?;
        delta.pending -= 1;
        delta.live += 1;
        *placed.entry((intent.caller.seq64(), intent.day)).or_default() += 1;
        Ok(Ok(AttemptId::of(attempt, now.as_millis())))
    }

    /// The attempt's rows. The key of `live` is what keeps two calls from one number.
    fn attempt_insert(
        &self,
        workspace: i64,
        new: &NewIntent,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let intent = &new.intent;
        let (caller, trunk) = (intent.caller.seq64(), intent.trunk.seq64());
        let attempt = self.insert(
            sql!("attempt/insert"),
            params![
                now.as_millis(),
                intent.call.seq64(),
                intent.facts.attempts + 1,
                intent.facts.round,
                self.instance,
                new.token,
                caller,
                trunk,
                intent.send_at.as_millis(),
                intent.send_by.as_millis(),
            ],
        )?;
        self.exec(
            sql!("attempt/lock_number"),
            params![
                workspace,
                digits(intent.callee),
                intent.batch.seq64(),
                attempt,
                caller,
                trunk,
                self.instance,
                whole(intent.reserve.seconds),
                whole(intent.reserve.micros),
                whole(intent.price),
                intent.day.0,
            ],
        )?;
        self.person_add(workspace, attempt, intent)?;
        Ok(attempt)
    }

    fn call_put_off(
        &self,
        call: i64,
        until: Timestamp,
        reason: WaitReason,
    ) -> Result<(), StoreError> {
        let row = params![call, until.as_millis(), reason.as_str()];
        self.exec(sql!("attempt/put_off"), row)?;
        Ok(())
    }

    /// Whether an active batch of the workspace asks for the do-not-call list.
    fn batch_of_intent(&self, workspace: i64, batch: BatchId) -> Result<Option<bool>, StoreError> {
        let key = params![batch.seq64(), batch.secs(), workspace];
        self.one(sql!("attempt/batch_of_intent"), key, |r| r.get(0))
    }

    /// What the brakes remember of active batches.
    fn batches_set_brakes(
        &self,
        workspace: i64,
        brakes: &[(BatchId, BrakeState)],
    ) -> Result<(), StoreError> {
        for (batch, state) in brakes {
            let row = params![batch.seq64(), batch.secs(), workspace, to_json(state)?];
            self.exec(sql!("batch/set_brake"), row)?;
        }
        Ok(())
    }

    fn batches_pause(
        &self,
        workspace: i64,
        pauses: &[(BatchId, PauseReason)],
    ) -> Result<(), StoreError> {
        let now = self.now().as_millis();
        for (batch, reason) in pauses {
            let row = params![batch.seq64(), batch.secs(), workspace, now, reason.as_str()];
            if self.exec(sql!("batch/pause"), row)? == 1 {
                self.tell_batch(batch.seq64())?;
            }
        }
        Ok(())
    }
}
