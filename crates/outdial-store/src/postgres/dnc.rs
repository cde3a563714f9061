//! The do-not-call list, and what being on it does to calls that wait.
//!
//! A number is looked up where it matters: when it is added, when its attempt is committed, when
//! its attempt ends, and in what is recalled. Nothing here looks at calls of other numbers.

use std::collections::{BTreeMap, BTreeSet};

use outdial_core::id::{BatchId, DncId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_ports::store::{
    DncAddError, DncDeleteError, DncList, DncListQuery, DncRecord, EventKind, NewDnc, StoreError,
};
use tokio_postgres::Row;

use super::params::params;
use super::pg;
use super::rows::{Id, RowExt, digits};
use super::totals::Delta;
use super::tx::PgTx;
use crate::common::{DO_NOT_CALL, offset};
use crate::events::dnc_data;
use crate::text::contains;

/// What has to be looked up in a workspace's list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// Every number is checked, whatever its batch says.
    pub(super) switch: bool,
    /// Anything is on the list.
    pub(super) any: bool,
}

impl Watch {
    /// A number of a batch that says `enable_dnc` has to be looked up.
    pub(super) fn checks(self, enable_dnc: bool) -> bool {
        self.any && (self.switch || enable_dnc)
    }
}

impl PgTx<'_> {
    pub(super) async fn dnc_add(
        &self,
        ws: WorkspaceId,
        new: &NewDnc,
    ) -> Result<DncRecord, DncAddError> {
        let workspace = ws.seq64();
        self.dispatch_bump(workspace).await?;
        let batch = self.batch_own(ws, new.batch).await?.ok_or(DncAddError::NoBatch)?;
        let phone = digits(new.phone);
        let name = params![batch.id.seq64(), phone, new.token];
        if self.one(pg!("dnc/attempt_of"), name, |_| Ok(())).await?.is_none() {
            return Err(DncAddError::NoPhoneLog);
        }
        let now = self.now();
        let row = params![now, workspace, phone, batch.id.seq64(), new.token, new.kind];
        let seq: i64 = self
            .one(pg!("dnc/insert"), row, |r| r.int(0))
            .await?
            .ok_or(DncAddError::AlreadyListed)?;
        let id = DncId::of(seq, now.as_millis());
        let told = dnc_data(id, new.phone, new.kind.as_deref(), batch.id, &new.token)?;
        self.tell(EventKind::DncAdded, Some(batch.id.seq64()), None, &told).await?;
        // All that are not over are held: an attempt that ends at the same moment sees the entry,
        // or has left its call pending by now. A chunk that is not committed yet is not seen; the
        // commit of an intent looks at the list once more.
        let unfinished =
            self.all(pg!("dnc/hold_unfinished"), params![workspace, phone], |r| r.int(0)).await?;
        let deltas =
            self.call_finish_pending(&unfinished, Disposition::Skipped, DO_NOT_CALL).await?;
        self.totals_add_all(&deltas).await?;
        Ok(DncRecord {
            id,
            workspace: ws,
            phone: new.phone,
            kind: new.kind.clone(),
            batch: batch.id,
            token: new.token,
            recording: None,
            transcript: None,
            created_at: now,
        })
    }

    pub(super) async fn dnc_list(
        &self,
        ws: WorkspaceId,
        query: &DncListQuery,
    ) -> Result<DncList, StoreError> {
        let workspace = ws.seq64();
        let from = offset(query.page, query.limit);
        let (page, total): (Vec<i64>, u64) = match query.search.as_deref() {
            None | Some("") => {
                let count = self.one(pg!("dnc/count"), params![workspace], |r| r.int(0)).await?;
                let key = params![workspace, query.limit, from];
                (self.all(pg!("dnc/page"), key, |r| r.int(0)).await?, count.unwrap_or(0))
            }
            Some(search) => {
                let found = self.dnc_search(workspace, search).await?;
                let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
                let skipped = usize::try_from(from).unwrap_or(usize::MAX);
                let taken = usize::try_from(query.limit).unwrap_or(usize::MAX);
                (found.into_iter().skip(skipped).take(taken).collect(), total)
            }
        };
        let entries = self.all(pg!("dnc/list"), params![page], dnc_record).await?;
        Ok(DncList { entries, total })
    }

    /// Entries that have it somewhere, newest first.
    async fn dnc_search(&self, workspace: i64, search: &str) -> Result<Vec<i64>, StoreError> {
        let needle = search.to_lowercase();
        let mut found = Vec::new();
        // No text that is stored has a NUL, and the server does not take one.
        if needle.contains('\0') {
            return Ok(found);
        }
        self.each(pg!("dnc/search"), params![workspace, needle], |r| {
            let unsure: Option<&str> = r.col(1)?;
            if unsure.is_none_or(|kind| contains(kind, &needle)) {
                found.push(r.int(0)?);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    pub(super) async fn dnc_delete(
        &self,
        ws: WorkspaceId,
        id: DncId,
    ) -> Result<(), DncDeleteError> {
        let key = params![id.seq64(), id.secs()];
        let owner: Option<i64> = self.one(pg!("dnc/owner"), key, |r| r.int(0)).await?;
        match owner {
            None => Err(DncDeleteError::NotFound),
            Some(owner) if owner != ws.seq64() => Err(DncDeleteError::Foreign),
            Some(owner) => {
                self.dispatch_bump(owner).await?;
                match self.exec(pg!("dnc/delete"), params![id.seq64()]).await? {
                    0 => Err(DncDeleteError::NotFound),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Those of these numbers that are listed.
    pub(super) async fn dnc_listed(
        &self,
        workspace: i64,
        phones: &[i64],
    ) -> Result<BTreeSet<i64>, StoreError> {
        let rows = self.all(pg!("dnc/listed"), params![workspace, phones], |r| r.int(0)).await?;
        Ok(rows.into_iter().collect())
    }

    /// Finishes those of these calls that are pending, and will not be placed: what that adds to
    /// the totals of their batches.
    pub(super) async fn call_finish_pending(
        &self,
        calls: &[i64],
        disposition: Disposition,
        reason: &str,
    ) -> Result<BTreeMap<i64, Delta>, StoreError> {
        if calls.is_empty() {
            return Ok(BTreeMap::new());
        }
        let row = params![calls, disposition.as_str(), reason, self.now()];
        let counts = self
            .all(pg!("call/finish_pending"), row, |r| {
                let count: i64 = r.int(1)?;
                Ok((r.int(0)?, Delta { pending: -count, finished: count, ..Delta::default() }))
            })
            .await?;
        Ok(counts.into_iter().collect())
    }
}

fn dnc_record(r: &Row) -> Result<DncRecord, StoreError> {
    Ok(DncRecord {
        id: r.id(0)?,
        created_at: r.time(1)?,
        workspace: r.id(2)?,
        phone: r.phone(4)?,
        kind: r.text_opt(5)?,
        batch: r.id::<BatchId>(6)?,
        token: r.exact(8)?,
        recording: r.text_opt(9)?,
        transcript: r.text_opt(10)?,
    })
}
