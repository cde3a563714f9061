//! `attempt_commit_intents`: from a plan to attempts, at most one per number and per turn of a
//! call (I1).

use std::collections::BTreeMap;
use std::time::Duration;

use outdial_core::call::WaitReason;
use outdial_core::id::{AttemptId, WorkspaceId};
use outdial_ports::store::{
    CommitError, CommitOutcome, Committed, DropReason, Dropped, NewIntent, NewPlan, StoreError,
};
use rusqlite::params;

use super::db::SqliteDb;
use super::rows::{Id, digits};
use super::sql;
use super::totals::Delta;

/// How long a call waits whose number is on the phone for another batch.
const NUMBER_BUSY_WAIT: Duration = Duration::from_secs(5);

impl SqliteDb {
    pub(super) fn attempt_commit_intents(
        &mut self,
        ws: WorkspaceId,
        version: u64,
        plan: &NewPlan,
    ) -> Result<CommitOutcome, CommitError> {
        let (intents, slots) = (&plan.intents, &plan.slots);
        let seq = ws.seq64();
        let expected = i64::try_from(version).unwrap_or(-1);
        if self.exec(sql!("dispatch/bump_if"), params![seq, expected])? == 0 {
            return Err(CommitError::Stale);
        }
        // The order of phone numbers decides which of two calls to one number goes first, here as
        // on a backend where it also keeps writers from waiting for each other.
        let mut order: Vec<usize> = (0..intents.len()).collect();
        order.sort_by_key(|i| intents.get(*i).map(|n| n.intent.callee));
        let mut active = BTreeMap::new();
        let mut live = BTreeMap::<i64, Delta>::new();
        let mut results = BTreeMap::new();
        for i in order {
            let Some(new) = intents.get(i) else { continue };
            let batch = new.intent.batch.seq64();
            let is_active = match active.get(&batch) {
                Some(known) => *known,
                None => self.batch_is_active(ws, new)?,
            };
            active.insert(batch, is_active);
            let result =
                if is_active { self.intent_commit(ws, new)? } else { Err(DropReason::NotPending) };
            if result.is_ok() {
                let delta = live.entry(batch).or_default();
                delta.pending -= 1;
                delta.live += 1;
            }
            results.insert(i, result);
        }
        self.totals_add_all(&live)?;
        self.dispatch_set_slots(seq, slots)?;

        let mut outcome = CommitOutcome { version: version + 1, ..CommitOutcome::default() };
        for (new, result) in intents.iter().zip(results.into_values()) {
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
        ws: WorkspaceId,
        new: &NewIntent,
    ) -> Result<Result<AttemptId, DropReason>, StoreError> {
        let intent = &new.intent;
        let (call, phone) = (intent.call.seq64(), digits(intent.callee));
        let (batch, facts) = (intent.batch.seq64(), intent.facts);
        let (caller, trunk) = (intent.caller.seq64(), intent.trunk.seq64());
        let now = self.now();

        let as_seen = params![call, intent.call.secs(), batch, phone, facts.attempts, facts.round];
        if self.one(sql!("attempt/call_of_intent"), as_seen, |_| Ok(()))?.is_none() {
            return Ok(Err(DropReason::NotPending));
        }
        let row = params![ws.seq64(), phone, batch, caller, trunk, self.instance];
        if self.exec(sql!("attempt/lock_number"), row)? == 0 {
            let later = now.after(NUMBER_BUSY_WAIT).as_millis();
            let row = params![call, later, WaitReason::NumberBusy.as_str()];
            self.exec(sql!("attempt/put_off"), row)?;
            return Ok(Err(DropReason::NumberBusy));
        }
        let attempt = self.insert(
            sql!("attempt/insert"),
            params![
                now.as_millis(),
                call,
                facts.attempts + 1,
                facts.round,
                self.instance,
                new.token,
                caller,
                trunk,
                intent.send_at.as_millis(),
                intent.send_by.as_millis(),
            ],
        )?;
        self.exec(sql!("attempt/name_number"), params![ws.seq64(), phone, attempt])?;
        self.exec(sql!("attempt/go_live"), params![call, now.as_millis()])?;
        Ok(Ok(AttemptId::of(attempt, now.as_millis())))
    }

    fn batch_is_active(&self, ws: WorkspaceId, new: &NewIntent) -> Result<bool, StoreError> {
        let batch = new.intent.batch;
        let key = params![batch.seq64(), batch.secs(), ws.seq64()];
        Ok(self.one(sql!("attempt/batch_of_intent"), key, |_| Ok(()))?.is_some())
    }
}
