//! Events: facts as they are written, numbered, read and forgotten.
//!
//! Whoever changes what is told writes the fact in the same transaction, behind a row that it has
//! written or locked, and only ever inserts. Numbering takes facts away as they are committed, in
//! whatever order that is: a fact that appears below one that is numbered is found by the next
//! run.
//!
//! Never here: a position or a sequence that rests on the lock alone. Their unique indexes refuse
//! a second one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use outdial_core::batch::{BatchState, PauseReason};
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_ports::store::{
    BatchRecord, DELIVERY_KEPT_MS, EVENT_KEPT_MS, EventBacklog, EventKind, EventPage, EventRecord,
    StoreError,
};
use tokio_postgres::Row;

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::shared::Numbered;
use super::tx::PgTx;
use crate::events::{
    AttemptOf, BatchData, CallOf, Draft, Endpoint, Endpoints, Fact, data, drafts, kind_number,
    kind_of, kinds_of, pairs,
};

impl PgTx<'_> {
    /// Calls have just finished.
    pub(super) async fn tell_finished(&self, calls: &[i64]) -> Result<(), StoreError> {
        if !calls.is_empty() {
            self.exec(pg!("outbox/finished"), params![calls, self.now()]).await?;
        }
        Ok(())
    }

    /// Tells something else, in words.
    pub(super) async fn tell(
        &self,
        kind: EventKind,
        batch: Option<i64>,
        subject: Option<i64>,
        facts: &str,
    ) -> Result<(), StoreError> {
        self.tell_all(vec![(kind, batch, subject, facts.to_owned())]).await
    }

    async fn tell_all(
        &self,
        told: Vec<(EventKind, Option<i64>, Option<i64>, String)>,
    ) -> Result<(), StoreError> {
        if told.is_empty() {
            return Ok(());
        }
        let kinds: Vec<i64> = told.iter().map(|t| kind_number(t.0)).collect();
        let batches: Vec<Option<i64>> = told.iter().map(|t| t.1).collect();
        let subjects: Vec<Option<i64>> = told.iter().map(|t| t.2).collect();
        let facts: Vec<String> = told.into_iter().map(|t| t.3).collect();
        self.exec(pg!("outbox/told"), params![self.now(), kinds, batches, subjects, facts]).await?;
        Ok(())
    }

    /// Batches have just become active, paused or completed.
    pub(super) async fn tell_batches(&self, batches: &[i64]) -> Result<(), StoreError> {
        if batches.is_empty() {
            return Ok(());
        }
        let told = self.all(pg!("outbox/batches"), params![batches], batch_told).await?;
        self.tell_all(told.into_iter().flatten().collect()).await
    }

    pub(super) async fn event_number(&self, limit: u32) -> Result<u32, StoreError> {
        if !self.any(pg!("event/hold"), params![]).await? {
            return Ok(0);
        }
        let facts = self.facts_take(limit).await?;
        if facts.is_empty() {
            return Ok(0);
        }
        let workspaces: Vec<i64> =
            facts.iter().filter_map(|f| f.workspace).collect::<BTreeSet<_>>().into_iter().collect();
        let positions: BTreeMap<i64, i64> = self
            .all(pg!("event/latest"), params![&workspaces[..]], |r| Ok((r.int(0)?, r.int(1)?)))
            .await?
            .into_iter()
            .collect();
        let mut endpoints = Endpoints::new();
        self.all(pg!("webhook/endpoints"), params![&workspaces[..]], |r| {
            let endpoint = Endpoint { webhook: r.int(1)?, events: kinds_of(r.text_opt(2)?) };
            endpoints.entry(r.int(0)?).or_default().push(endpoint);
            Ok(())
        })
        .await?;
        let told = self.facts_in_words(facts).await?;
        let (webhooks, batches): (Vec<i64>, Vec<i64>) =
            pairs(&told, &endpoints).into_iter().unzip();
        let sequences: BTreeMap<(i64, i64), i64> = if webhooks.is_empty() {
            BTreeMap::new()
        } else {
            self.all(pg!("delivery/sequences"), params![webhooks, batches], |r| {
                Ok(((r.int(0)?, r.int(1)?), r.int(2)?))
            })
            .await?
            .into_iter()
            .collect()
        };
        let drafts = drafts(told, &endpoints, positions, sequences);
        self.events_insert(&drafts).await?;
        Ok(u32::try_from(drafts.len()).unwrap_or(u32::MAX))
    }

    /// Takes facts that are committed by now.
    ///
    /// Below the floor none is left: of a row that was seen, and of the transactions that had begun
    /// to write by then, it is known that all are over, and after that nothing was found up to that
    /// row. Whoever inserts a fact has written or locked something before, so it is among those.
    async fn facts_take(&self, limit: u32) -> Result<Vec<Fact>, StoreError> {
        let Numbered { floor, seen } = self.numbered();
        let is_over = match seen {
            Some((_, begun)) => self.any(pg!("fold/are_over"), params![begun]).await?,
            None => false,
        };
        let facts = self.all(pg!("outbox/take"), params![floor, limit], fact).await?;
        let first = facts.first().map(|f| f.seq);
        match seen {
            Some((upto, _)) if is_over && first.is_none_or(|seq| seq > upto) => {
                self.set_numbered(Numbered { floor: upto, seen: None });
            }
            _ => {}
        }
        if let (None, Some(last)) = (self.numbered().seen, facts.last()) {
            let begun = self.one(pg!("outbox/begun"), params![], |r| r.int(0)).await?;
            let seen = begun.map(|begun: i64| (last.seq, begun));
            self.set_numbered(Numbered { seen, ..self.numbered() });
        }
        Ok(facts)
    }

    fn numbered(&self) -> Numbered {
        *self.shared().numbered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_numbered(&self, to: Numbered) {
        *self.shared().numbered.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Facts with the data of their events.
    async fn facts_in_words(&self, facts: Vec<Fact>) -> Result<Vec<(Fact, String)>, StoreError> {
        let of_calls: Vec<&Fact> = facts.iter().filter(|f| f.is_of_call()).collect();
        let column = |of: fn(&Fact) -> Option<i64>| of_calls.iter().map(|f| of(f)).collect();
        let (calls, numbers): (Vec<Option<i64>>, Vec<Option<i64>>) =
            (column(|f| f.subject), column(|f| f.attempts));
        let (rounds, attempts): (Vec<Option<i64>>, Vec<Option<i64>>) =
            (column(|f| f.round), column(|f| f.attempt));
        let mut found: BTreeMap<i64, CallOf> = BTreeMap::new();
        if !of_calls.is_empty() {
            let row = params![calls, numbers, rounds, attempts];
            for (place, call) in self.all(pg!("event/calls"), row, call_told).await? {
                let fact = of_calls.get(place).ok_or_else(|| corrupt("place of a fact"))?;
                found.insert(fact.seq, call);
            }
        }
        let mut told = Vec::with_capacity(facts.len());
        for fact in facts {
            if fact.workspace.is_none() {
                tracing::error!(fact = fact.seq, "a fact of no workspace is told to nobody");
            }
            let data = data(&fact, found.get(&fact.seq))?;
            told.push((fact, data));
        }
        Ok(told)
    }

    async fn events_insert(&self, drafts: &[Draft]) -> Result<(), StoreError> {
        let column = |of: fn(&Draft) -> i64| drafts.iter().map(of).collect::<Vec<i64>>();
        let batches: Vec<Option<i64>> = drafts.iter().map(|d| d.batch).collect();
        let data: Vec<&str> = drafts.iter().map(|d| &*d.data).collect();
        let is_sent: Vec<bool> = drafts.iter().map(|d| !d.to.is_empty()).collect();
        let row = params![
            self.now(),
            column(|d| d.at.as_millis()),
            column(|d| d.workspace),
            column(|d| d.position),
            column(|d| kind_number(d.kind)),
            batches,
            data,
            is_sent,
        ];
        let events: BTreeMap<(i64, i64), i64> = self
            .all(pg!("event/insert"), row, |r| Ok(((r.int(1)?, r.int(2)?), r.int(0)?)))
            .await?
            .into_iter()
            .collect();
        let mut rows = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for draft in drafts {
            let event = events.get(&(draft.workspace, draft.position));
            let event = *event.ok_or_else(|| corrupt("lack of an event"))?;
            for (webhook, sequence) in &draft.to {
                rows.0.push(*webhook);
                rows.1.push(event);
                rows.2.push(draft.batch.unwrap_or(0));
                rows.3.push(*sequence);
            }
        }
        if !rows.0.is_empty() {
            let row = params![self.now(), rows.0, rows.1, rows.2, rows.3];
            self.exec(pg!("delivery/insert"), row).await?;
        }
        Ok(())
    }

    pub(super) async fn event_list(
        &self,
        ws: WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<EventPage, StoreError> {
        let workspace = ws.seq64();
        let pruned: Option<u64> =
            self.one(pg!("event/pruned"), params![workspace], |r| r.int(0)).await?;
        let latest = self.one(pg!("event/latest"), params![vec![workspace]], |r| r.int(1)).await?;
        let key = params![workspace, i64::try_from(after).unwrap_or(i64::MAX), limit];
        Ok(EventPage {
            events: self.all(pg!("event/list"), key, event).await?,
            oldest: pruned.unwrap_or(0) + 1,
            latest: latest.unwrap_or(0),
        })
    }

    pub(super) async fn event_backlog(&self) -> Result<EventBacklog, StoreError> {
        let floor = self.numbered().floor;
        let due = self.one(pg!("delivery/oldest_due"), params![], |r| r.time_opt(0)).await?;
        Ok(EventBacklog {
            oldest_fact: self.one(pg!("outbox/oldest"), params![floor], |r| r.time(0)).await?,
            oldest_due: due.flatten().filter(|at| *at <= self.now()),
        })
    }

    pub(super) async fn event_prune(&self, limit: u32) -> Result<u32, StoreError> {
        let now = self.now().as_millis();
        let mut left = u64::from(limit);
        for (text, bound) in [
            (pg!("delivery/drop_over"), now),
            (pg!("delivery/drop_nobodys"), now - DELIVERY_KEPT_MS),
        ] {
            let events: Vec<i64> = self.all(text, params![bound, left], |r| r.int(0)).await?;
            left = left.saturating_sub(u64::try_from(events.len()).unwrap_or(u64::MAX));
            if !events.is_empty() {
                self.exec(pg!("event/lock"), params![events.clone()]).await?;
                self.exec(pg!("event/alone"), params![events]).await?;
            }
        }
        let row = params![now - EVENT_KEPT_MS, left];
        let gone: Option<u64> = self.one(pg!("event/drop_old"), row, |r| r.int(0)).await?;
        left = left.saturating_sub(gone.unwrap_or(0));
        Ok(limit - u32::try_from(left).unwrap_or(limit))
    }

    pub(super) async fn batch_list_active(
        &self,
        ws: WorkspaceId,
    ) -> Result<Vec<BatchRecord>, StoreError> {
        let seqs: Vec<i64> =
            self.all(pg!("batch/active"), params![ws.seq64()], |r| r.int(0)).await?;
        let mut batches = self.batch_records(seqs).await?;
        batches.reverse();
        Ok(batches)
    }
}

/// From nine columns.
pub(super) fn event(r: &Row) -> Result<EventRecord, StoreError> {
    Ok(EventRecord {
        id: r.id(0)?,
        at: r.time(1)?,
        workspace: r.id(2)?,
        position: r.int(4)?,
        kind: kind(r, 5)?,
        batch: r.id_opt(6)?,
        data: r.text(8)?,
    })
}

pub(super) fn kind(r: &Row, i: usize) -> Result<EventKind, StoreError> {
    kind_of(r.int(i)?).ok_or_else(|| corrupt("kind of an event"))
}

type Told = (EventKind, Option<i64>, Option<i64>, String);

/// None: nobody is told of such a state.
fn batch_told(r: &Row) -> Result<Option<Told>, StoreError> {
    let state = r.word(3, BatchState::parse)?;
    let kind = match state {
        BatchState::Active => EventKind::BatchActive,
        BatchState::Completed => EventKind::BatchCompleted,
        BatchState::Paused => EventKind::BatchPaused,
        BatchState::Pending | BatchState::Importing | BatchState::Stopped | BatchState::Deleted => {
            return Ok(None);
        }
    };
    let name = r.text(2)?;
    let reason = r.word_opt(4, PauseReason::parse)?.map(PauseReason::as_str);
    let mut totals = [0; 6];
    for (i, total) in totals.iter_mut().enumerate() {
        *total = r.int(5 + i)?;
    }
    let batch = r.id::<BatchId>(0)?;
    let told = BatchData { batch, name: &name, status: state.as_str(), reason, totals };
    Ok(Some((kind, Some(batch.seq64()), None, told.text()?)))
}

fn call_told(r: &Row) -> Result<(usize, CallOf), StoreError> {
    let attempt = match r.int_opt::<i64>(8)? {
        Some(number) => Some(AttemptOf {
            number,
            token: r.exact(9)?,
            sent_at: r.time(10)?,
            answered_at: r.time_opt(11)?,
            ended_at: r.time_opt(12)?,
            disposition: r.text_opt(13)?,
            reason: r.text_opt(14)?,
            sip_status: r.int_opt(15)?,
        }),
        None => None,
    };
    let call = CallOf {
        call: r.id(1)?,
        batch: r.id(3)?,
        phone: r.phone(5)?,
        fields: r.text(6)?,
        attempts: r.int(7)?,
        attempt,
    };
    // `WITH ORDINALITY` counts from 1.
    Ok((r.int::<usize>(0)?.saturating_sub(1), call))
}

fn fact(r: &Row) -> Result<Fact, StoreError> {
    Ok(Fact {
        seq: r.int(0)?,
        kind: kind(r, 1)?,
        at: r.time(2)?,
        batch: r.int_opt(3)?,
        workspace: r.int_opt(4)?,
        subject: r.int_opt(5)?,
        attempt: r.int_opt(6)?,
        attempts: r.int_opt(7)?,
        round: r.int_opt(8)?,
        disposition: r.text_opt(9)?,
        reason: r.text_opt(10)?,
        facts: r.text_opt(11)?,
    })
}
