//! Events: facts as they are written, numbered, read and forgotten.
//!
//! Whoever changes what is told writes the fact in the same transaction; nothing here looks for
//! facts that nobody wrote.

use std::collections::BTreeMap;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    BatchRecord, DELIVERY_KEPT_MS, EVENT_KEPT_MS, EventBacklog, EventKind, EventPage, EventRecord,
    StoreError,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::error::corrupt;
use super::rows::{Id, RowExt};
use super::sql;
use crate::events::{
    AttemptOf, BatchData, CallOf, Draft, Endpoint, Endpoints, Fact, data, drafts, kind_number,
    kind_of, kinds_of, pairs,
};

/// A delivery to forget: itself, its endpoint, its event, its batch, its sequence.
type Gone = (i64, i64, i64, i64, i64);

impl SqliteDb {
    /// An attempt is over: told if it was sent, or may have been.
    pub(super) fn tell_attempt(
        &self,
        (batch, call, attempt): (i64, i64, i64),
        end: &AttemptEnd,
    ) -> Result<(), StoreError> {
        if end.state != AttemptState::NotSent {
            let row = params![end.ended_at.as_millis(), batch, call, attempt];
            self.exec(sql!("outbox/attempted"), row)?;
        }
        Ok(())
    }

    /// A call has just finished.
    pub(super) fn tell_finished(&self, call: i64) -> Result<(), StoreError> {
        self.exec(sql!("outbox/finished"), params![call, self.now().as_millis()])?;
        Ok(())
    }

    /// Tells something else, in words.
    pub(super) fn tell(
        &self,
        kind: EventKind,
        batch: Option<i64>,
        subject: Option<i64>,
        facts: &str,
    ) -> Result<(), StoreError> {
        let row = params![kind_number(kind), self.now().as_millis(), batch, subject, facts];
        self.exec(sql!("outbox/told"), row)?;
        Ok(())
    }

    /// A batch has just become active, paused or completed.
    pub(super) fn tell_batch(&self, batch: i64) -> Result<(), StoreError> {
        let told = self.one(sql!("outbox/batch"), [batch], |r| {
            let state = r.word(3, BatchState::parse)?;
            let (name, reason): (String, _) = (r.get(2)?, r.word_opt(4, PauseReason::parse)?);
            let mut totals = [0; 6];
            for (i, total) in totals.iter_mut().enumerate() {
                *total = r.get(5 + i)?;
            }
            Ok((r.id::<BatchId>(0)?, name, state, reason, totals))
        })?;
        let (id, name, state, reason, totals) = told.ok_or_else(|| corrupt("lack of a batch"))?;
        let kind = match state {
            BatchState::Active => EventKind::BatchActive,
            BatchState::Completed => EventKind::BatchCompleted,
            BatchState::Paused => EventKind::BatchPaused,
            BatchState::Pending
            | BatchState::Importing
            | BatchState::Stopped
            | BatchState::Deleted => return Ok(()),
        };
        let reason = reason.map(PauseReason::as_str);
        let told = BatchData { batch: id, name: &name, status: state.as_str(), reason, totals };
        self.tell(kind, Some(batch), None, &told.text()?)
    }

    pub(super) fn event_number(&mut self, limit: u32) -> Result<u32, StoreError> {
        let facts = self.all(sql!("outbox/take"), [limit], fact)?;
        let Some(last) = facts.last().map(|f| f.seq) else { return Ok(0) };
        self.exec(sql!("outbox/drop"), [last])?;
        let mut told = Vec::with_capacity(facts.len());
        let (mut positions, mut endpoints) = (BTreeMap::new(), Endpoints::new());
        for fact in facts {
            let Some(workspace) = fact.workspace else {
                tracing::error!(fact = fact.seq, "a fact of no workspace is told to nobody");
                continue;
            };
            if let std::collections::btree_map::Entry::Vacant(unknown) = positions.entry(workspace)
            {
                unknown.insert(self.event_latest(workspace)?);
                endpoints.insert(workspace, self.endpoints(workspace)?);
            }
            let call = if fact.is_of_call() { self.call_told(&fact)? } else { None };
            let data = data(&fact, call.as_ref())?;
            told.push((fact, data));
        }
        let mut sequences = BTreeMap::new();
        for (webhook, batch) in pairs(&told, &endpoints) {
            let key = params![webhook, batch];
            let last = self.one(sql!("delivery/sequence"), key, |r| r.get(0))?;
            sequences.insert((webhook, batch), last.unwrap_or(0));
        }
        let drafts = drafts(told, &endpoints, positions, sequences);
        for draft in &drafts {
            self.event_insert(draft)?;
        }
        Ok(u32::try_from(drafts.len()).unwrap_or(u32::MAX))
    }

    fn event_insert(&self, draft: &Draft) -> Result<(), StoreError> {
        let now = self.now().as_millis();
        let row = params![
            draft.at.as_millis(),
            draft.workspace,
            draft.position,
            kind_number(draft.kind),
            draft.batch,
            draft.data,
            now,
            !draft.to.is_empty(),
        ];
        let event = self.insert(sql!("event/insert"), row)?;
        for (webhook, sequence) in &draft.to {
            let batch = draft.batch.unwrap_or(0);
            self.exec(sql!("delivery/insert"), params![now, webhook, event, batch, sequence])?;
        }
        Ok(())
    }

    fn call_told(&self, fact: &Fact) -> Result<Option<CallOf>, StoreError> {
        let key = params![fact.subject, fact.attempts, fact.round, fact.attempt];
        self.one(sql!("event/call"), key, |r| {
            let number: Option<i64> = r.get(7)?;
            let attempt = match number {
                Some(number) => Some(AttemptOf {
                    number,
                    token: r.get(8)?,
                    sent_at: r.time(9)?,
                    answered_at: r.time_opt(10)?,
                    ended_at: r.time_opt(11)?,
                    disposition: r.get(12)?,
                    reason: r.get(13)?,
                    sip_status: r.get(14)?,
                }),
                None => None,
            };
            Ok(CallOf {
                call: r.id(0)?,
                batch: r.id(2)?,
                phone: r.phone(4)?,
                fields: r.get(5)?,
                attempts: r.get(6)?,
                attempt,
            })
        })
    }

    fn endpoints(&self, workspace: i64) -> Result<Vec<Endpoint>, StoreError> {
        self.all(sql!("webhook/endpoints"), [workspace], |r| {
            Ok(Endpoint { webhook: r.get(0)?, events: kinds_of(r.get(1)?) })
        })
    }

    fn event_latest(&self, workspace: i64) -> Result<i64, StoreError> {
        Ok(self.one(sql!("event/latest"), [workspace], |r| r.get(0))?.unwrap_or(0))
    }

    pub(super) fn event_list(
        &mut self,
        ws: WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<EventPage, StoreError> {
        let workspace = ws.seq64();
        let pruned: Option<u64> = self.one(sql!("event/pruned"), [workspace], |r| r.int(0))?;
        let latest = self.event_latest(workspace)?;
        let key = params![workspace, i64::try_from(after).unwrap_or(i64::MAX), limit];
        Ok(EventPage {
            events: self.all(sql!("event/list"), key, event)?,
            oldest: pruned.unwrap_or(0) + 1,
            latest: latest.unsigned_abs(),
        })
    }

    pub(super) fn event_backlog(&mut self) -> Result<EventBacklog, StoreError> {
        let oldest_due = self.one(sql!("delivery/oldest_due"), [], |r| r.time_opt(0))?.flatten();
        Ok(EventBacklog {
            oldest_fact: self.one(sql!("outbox/oldest"), [], |r| r.time(0))?,
            oldest_due: oldest_due.filter(|at| *at <= self.now()),
        })
    }

    pub(super) fn event_prune(&mut self, limit: u32) -> Result<u32, StoreError> {
        let now = self.now().as_millis();
        let mut left = limit;
        let read = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?));
        for (text, bound) in
            [(sql!("delivery/over"), now), (sql!("delivery/nobodys"), now - DELIVERY_KEPT_MS)]
        {
            let gone: Vec<Gone> = self.all(text, params![bound, left], read)?;
            left = left.saturating_sub(u32::try_from(gone.len()).unwrap_or(u32::MAX));
            for (delivery, webhook, event, batch, sequence) in gone {
                self.exec(sql!("delivery/drop_tries"), [delivery])?;
                self.exec(sql!("delivery/drop"), [delivery])?;
                let row = params![webhook, batch, sequence];
                self.exec(sql!("delivery/set_pruned"), row)?;
                self.exec(sql!("event/alone"), [event])?;
            }
        }
        let key = params![now - EVENT_KEPT_MS, left];
        let old: Vec<(i64, i64, i64)> =
            self.all(sql!("event/old"), key, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        left = left.saturating_sub(u32::try_from(old.len()).unwrap_or(u32::MAX));
        for (event, workspace, position) in old {
            self.exec(sql!("event/drop"), [event])?;
            self.exec(sql!("event/set_pruned"), params![workspace, position])?;
        }
        Ok(limit - left)
    }

    pub(super) fn batch_list_active(
        &mut self,
        ws: WorkspaceId,
    ) -> Result<Vec<BatchRecord>, StoreError> {
        let ids: Vec<BatchId> = self.all(sql!("batch/active"), [ws.seq64()], |r| r.id(0))?;
        let mut batches = Vec::with_capacity(ids.len());
        for id in ids {
            batches.extend(self.batch_fetch(id)?);
        }
        Ok(batches)
    }
}

/// From nine columns.
pub(super) fn event(r: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord {
        id: r.id(0)?,
        at: r.time(1)?,
        workspace: r.id(2)?,
        position: r.int(4)?,
        kind: kind(r, 5)?,
        batch: r.id_opt(6)?,
        data: r.get(8)?,
    })
}

pub(super) fn kind(r: &Row<'_>, i: usize) -> rusqlite::Result<EventKind> {
    let number: i64 = r.get(i)?;
    kind_of(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(i, number))
}

fn fact(r: &Row<'_>) -> rusqlite::Result<Fact> {
    let at: Timestamp = r.time(2)?;
    Ok(Fact {
        seq: r.get(0)?,
        kind: kind(r, 1)?,
        at,
        batch: r.get(3)?,
        workspace: r.get(4)?,
        subject: r.get(5)?,
        attempt: r.get(6)?,
        attempts: r.get(7)?,
        round: r.get(8)?,
        disposition: r.get(9)?,
        reason: r.get(10)?,
        facts: r.get(11)?,
    })
}
