//! Calls as they are shown, with their histories.

use std::collections::BTreeMap;

use futures_util::future::try_join;
use outdial_core::attempt::AttemptState;
use outdial_core::call::{CallFacts, CallState, WaitReason};
use outdial_core::dispatcher::GroupKey;
use outdial_core::id::{BatchId, CallId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_ports::store::{AttemptView, BatchRecord, CallView, StoreError, WaitingCall};
use tokio_postgres::Row;

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;
use crate::common::attempt_state_of;

impl PgTx<'_> {
    pub(super) async fn call_fetch(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(BatchRecord, CallView)>, StoreError> {
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        let Some(batch) = self.one(pg!("call/owner"), key, |r| r.id::<BatchId>(0)).await? else {
            return Ok(None);
        };
        let Some(batch) = self.batch_fetch(batch).await? else { return Ok(None) };
        let call = self.call_views(&[id.seq64()]).await?.pop().ok_or_else(|| corrupt("call"))?;
        Ok(Some((batch, call)))
    }

    /// These calls, in this order.
    pub(super) async fn call_views(&self, seqs: &[i64]) -> Result<Vec<CallView>, StoreError> {
        let (views, attempts) = try_join(
            self.all(pg!("call/view"), params![seqs], |r| Ok((r.int::<i64>(0)?, call_view(r)?))),
            self.all(pg!("call/attempts"), params![seqs], |r| {
                Ok((r.int::<i64>(18)?, attempt_view(r)?))
            }),
        )
        .await?;
        let mut views: BTreeMap<i64, CallView> = views.into_iter().collect();
        for (call, attempt) in attempts {
            if let Some(view) = views.get_mut(&call) {
                view.attempts.push(attempt);
            }
        }
        seqs.iter().map(|seq| views.remove(seq).ok_or_else(|| corrupt("lack of a call"))).collect()
    }
}

fn call_view(r: &Row) -> Result<CallView, StoreError> {
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
            is_retry: r.flag(20)?,
        }),
        CallState::Live | CallState::Finished => None,
    };
    Ok(CallView {
        id: r.id(0)?,
        batch: r.id(2)?,
        phone: r.phone(4)?,
        fields: r.text(5)?,
        class: r.text(6)?,
        state,
        group,
        held: state == CallState::Pending && r.flag(8)?,
        facts: CallFacts {
            round: r.int(9)?,
            charged: r.int(10)?,
            uncharged: r.int(11)?,
            attempts: r.int(12)?,
        },
        disposition: r.word_opt(13, Disposition::parse)?,
        disposition_reason: r.text_opt(14)?,
        waiting,
        created_at: r.time(1)?,
        updated_at: r.time(17)?,
        attempts: Vec::new(),
    })
}

fn attempt_view(r: &Row) -> Result<AttemptView, StoreError> {
    Ok(AttemptView {
        id: r.id(0)?,
        number: r.int(2)?,
        round: r.int(3)?,
        state: attempt_state(r, 4)?,
        token: r.exact(5)?,
        caller: r.id(6)?,
        send_at: r.time(8)?,
        sent_at: r.time_opt(9)?,
        ringing_at: r.time_opt(10)?,
        answered_at: r.time_opt(11)?,
        ended_at: r.time_opt(12)?,
        disposition: r.word_opt(13, Disposition::parse)?,
        fault: r.text_opt(14)?,
        reason: r.text_opt(15)?,
        sip_status: r.int_opt(16)?,
        charged: r.flag(17)?,
    })
}

/// `call.state`.
pub(super) fn call_state(r: &Row, i: usize) -> Result<CallState, StoreError> {
    match r.int::<i64>(i)? {
        0 => Ok(CallState::Pending),
        1 => Ok(CallState::Live),
        2 => Ok(CallState::Finished),
        _ => Err(corrupt("state of a call")),
    }
}

/// `attempt.state`.
pub(super) fn attempt_state(r: &Row, i: usize) -> Result<AttemptState, StoreError> {
    attempt_state_of(r.int(i)?).ok_or_else(|| corrupt("state of an attempt"))
}
