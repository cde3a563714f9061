//! Calls as they are shown: pages of a batch, one with its history.

use outdial_core::attempt::AttemptState;
use outdial_core::call::{CallFacts, CallState, WaitReason};
use outdial_core::dispatcher::GroupKey;
use outdial_core::id::{BatchId, CallId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_ports::store::{
    AttemptView, BatchRecord, CallList, CallQuery, CallSort, CallView, StoreError, WaitingCall,
};
use rusqlite::types::Type;
use rusqlite::{Error, Row, params};

use super::account::to_json;
use super::batch::offset;
use super::db::SqliteDb;
use super::error::corrupt;
use super::rows::{Id, RowExt};
use super::sql;
use super::text::Matcher;
use crate::common::attempt_state_of;
pub(super) use crate::common::{attempt_state_number, is_read_off};

impl SqliteDb {
    pub(super) fn call_list(
        &mut self,
        batch: BatchId,
        query: &CallQuery,
    ) -> Result<CallList, StoreError> {
        let key = params![batch.seq64(), batch.secs()];
        let all: i64 = self.one(sql!("call/count_all"), key, |r| r.get(0))?.unwrap_or(0);
        if all == 0 {
            return Ok(CallList { calls: Vec::new(), total: 0 });
        }
        let (seqs, total) = match (Matcher::of(query), &query.sort) {
            (None, CallSort::CreatedAt) => (self.page_by_age(batch.seq64(), query, all)?, all),
            (None, CallSort::PhoneNumber) => (self.page_by_phone(batch.seq64(), query)?, all),
            (None, sort) => (self.page_by_sort(batch.seq64(), query, sort_key(sort))?, all),
            (Some(matcher), _) => self.page_by_scan(batch.seq64(), query, &matcher, all)?,
        };
        let calls = seqs.into_iter().map(|seq| self.call_view(seq)).collect::<Result<_, _>>()?;
        Ok(CallList { calls, total: total.unsigned_abs() })
    }

    pub(super) fn call_fetch(
        &mut self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(BatchRecord, CallView)>, StoreError> {
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        let Some(batch) = self.one(sql!("call/owner"), key, |r| r.id::<BatchId>(0))? else {
            return Ok(None);
        };
        let Some(batch) = self.batch_fetch(batch)? else { return Ok(None) };
        Ok(Some((batch, self.call_view(id.seq64())?)))
    }

    /// A page in the order of `seq`, which is that of creation: read off the batch's runs, at the
    /// same cost for every page.
    fn page_by_age(
        &self,
        batch: i64,
        query: &CallQuery,
        total: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let from = offset(query.page, query.limit);
        let to = (from + i64::from(query.limit)).min(total);
        let mut seqs = Vec::new();
        let mut run: Option<(i64, i64, i64)> = None;
        for place in from..to {
            let place = if query.descending { total - 1 - place } else { place };
            let (before, first, count) = match run {
                Some((before, first, count)) if (before..before + count).contains(&place) => {
                    (before, first, count)
                }
                _ => self
                    .one(sql!("call/run_at"), params![batch, place], |r| {
                        Ok((r.get(0)?, r.get(1)?, r.get(2)?))
                    })?
                    .ok_or_else(|| corrupt("gap in the runs of a batch"))?,
            };
            run = Some((before, first, count));
            seqs.push(first + (place - before));
        }
        Ok(seqs)
    }

    /// A page in the order of the numbers, read off their index.
    fn page_by_phone(&self, batch: i64, query: &CallQuery) -> Result<Vec<i64>, StoreError> {
        let text = if query.descending {
            sql!("call/page_phone_desc")
        } else {
            sql!("call/page_phone_asc")
        };
        let page = params![batch, query.limit, offset(query.page, query.limit)];
        self.all(text, page, |r| r.get(0))
    }

    /// A page of all in an order that must be made: reads the whole batch, in that of the table.
    fn page_by_sort(
        &self,
        batch: i64,
        query: &CallQuery,
        (key, field): (i64, &str),
    ) -> Result<Vec<i64>, StoreError> {
        let text =
            if query.descending { sql!("call/page_all_desc") } else { sql!("call/page_all_asc") };
        let from = offset(query.page, query.limit);
        self.all(text, params![batch, key, field, query.limit, from], |r| r.get(0))
    }

    /// A page of those that match, and how many they are: reads the whole batch likewise.
    fn page_by_scan(
        &self,
        batch: i64,
        query: &CallQuery,
        matcher: &Matcher,
        all: i64,
    ) -> Result<(Vec<i64>, i64), StoreError> {
        let matcher = to_json(matcher)?;
        let (key, field) = sort_key(&query.sort);
        let text = if query.descending { sql!("call/page_desc") } else { sql!("call/page_asc") };
        let from = offset(query.page, query.limit);
        let mut rows: Vec<(i64, i64)> = Vec::new();
        if from < all {
            let page = params![batch, matcher, key, field, query.limit, from];
            rows = self.all(text, page, |r| Ok((r.get(0)?, r.get(1)?)))?;
        }
        let total = match rows.first() {
            Some((_, total)) => *total,
            None if from == 0 => 0,
            // Behind the last page; no row tells.
            None => {
                let counted = self.one(sql!("call/count"), params![batch, matcher], |r| r.get(0));
                counted?.unwrap_or(0)
            }
        };
        Ok((rows.into_iter().map(|(seq, _)| seq).collect(), total))
    }

    pub(super) fn call_view(&self, seq: i64) -> Result<CallView, StoreError> {
        let mut view = self
            .one(sql!("call/view"), [seq], call_view)?
            .ok_or_else(|| corrupt("gap in the runs of a batch"))?;
        view.attempts = self.all(sql!("call/attempts"), [seq], attempt_view)?;
        Ok(view)
    }
}

/// As the statements of pages name it.
fn sort_key(sort: &CallSort) -> (i64, &str) {
    match sort {
        CallSort::CreatedAt => (0, ""),
        CallSort::UpdatedAt => (1, ""),
        CallSort::PhoneNumber => (2, ""),
        CallSort::CallStatus => (3, ""),
        CallSort::Contact(field) => (4, field.as_str()),
    }
}

fn call_view(r: &Row<'_>) -> rusqlite::Result<CallView> {
    let state = call_state(r, 7)?;
    let waiting = if state == CallState::Pending {
        let reason = r.word_opt(16, WaitReason::parse)?.unwrap_or(WaitReason::Due);
        Some(WaitingCall { not_before: r.time(15)?, reason })
    } else {
        None
    };
    let group = match state {
        CallState::Pending => Some(GroupKey {
            batch: r.id(2)?,
            lane: r.int(18)?,
            class: r.int(19)?,
            is_retry: r.get(20)?,
        }),
        CallState::Live | CallState::Finished => None,
    };
    Ok(CallView {
        id: r.id(0)?,
        batch: r.id(2)?,
        phone: r.phone(4)?,
        fields: r.get(5)?,
        class: r.get(6)?,
        state,
        group,
        held: state == CallState::Pending && r.get(8)?,
        facts: CallFacts {
            round: r.int(9)?,
            charged: r.int(10)?,
            uncharged: r.int(11)?,
            attempts: r.int(12)?,
        },
        disposition: r.word_opt(13, Disposition::parse)?,
        disposition_reason: r.get(14)?,
        waiting,
        created_at: r.time(1)?,
        updated_at: r.time(17)?,
        attempts: Vec::new(),
    })
}

fn attempt_view(r: &Row<'_>) -> rusqlite::Result<AttemptView> {
    let sip_status: Option<u16> = r.get(16)?;
    Ok(AttemptView {
        id: r.id(0)?,
        number: r.int(2)?,
        round: r.int(3)?,
        state: attempt_state(r, 4)?,
        token: r.get(5)?,
        caller: r.id(6)?,
        send_at: r.time(8)?,
        sent_at: r.time_opt(9)?,
        ringing_at: r.time_opt(10)?,
        answered_at: r.time_opt(11)?,
        ended_at: r.time_opt(12)?,
        disposition: r.word_opt(13, Disposition::parse)?,
        fault: r.get(14)?,
        reason: r.get(15)?,
        sip_status,
        charged: r.get(17)?,
    })
}

/// `call.state`.
pub(super) fn call_state(r: &Row<'_>, i: usize) -> rusqlite::Result<CallState> {
    match r.get::<_, i64>(i)? {
        0 => Ok(CallState::Pending),
        1 => Ok(CallState::Live),
        2 => Ok(CallState::Finished),
        other => Err(unexpected(i, other)),
    }
}

/// `attempt.state`: the place in [`AttemptState::ALL`].
pub(super) fn attempt_state(r: &Row<'_>, i: usize) -> rusqlite::Result<AttemptState> {
    let number: i64 = r.get(i)?;
    attempt_state_of(number).ok_or_else(|| unexpected(i, number))
}

fn unexpected(i: usize, state: i64) -> Error {
    Error::FromSqlConversionFailure(i, Type::Integer, format!("unexpected state {state}").into())
}
