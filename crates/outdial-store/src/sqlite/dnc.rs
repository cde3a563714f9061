//! The do-not-call list, and what being on it does to calls that wait.
//!
//! A number is looked up where it matters: when it is added, when its attempt is committed, when
//! its attempt ends, and in what is recalled. Nothing here looks at calls of other numbers.

use std::collections::BTreeMap;

use outdial_core::id::{BatchId, DncId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_ports::store::{
    DncAddError, DncDeleteError, DncList, DncListQuery, DncRecord, EventKind, NewDnc, StoreError,
};
use rusqlite::{Row, params};

use super::batch::offset;
use super::db::SqliteDb;
use super::error::corrupt;
use super::rows::{Id, RowExt, digits};
use super::sql;
use super::totals::Delta;

pub(super) use crate::common::DO_NOT_CALL;
use crate::events::dnc_data;

/// What has to be looked up in a workspace's list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    workspace: i64,
    /// Every number is checked, whatever its batch says.
    switch: bool,
    /// Anything is on the list.
    any: bool,
}

impl SqliteDb {
    pub(super) fn dnc_add(
        &mut self,
        ws: WorkspaceId,
        new: &NewDnc,
    ) -> Result<DncRecord, DncAddError> {
        let batch = self.batch_own(ws, new.batch)?.ok_or(DncAddError::NoBatch)?;
        let (workspace, phone) = (ws.seq64(), digits(new.phone));
        let name = params![batch.id.seq64(), phone, new.token];
        if self.one(sql!("dnc/attempt_of"), name, |_| Ok(()))?.is_none() {
            return Err(DncAddError::NoPhoneLog);
        }
        let now = self.now();
        let row = params![now.as_millis(), workspace, phone, batch.id.seq64(), new.token, new.kind];
        let seq: i64 =
            self.one(sql!("dnc/insert"), row, |r| r.get(0))?.ok_or(DncAddError::AlreadyListed)?;
        let id = DncId::of(seq, now.as_millis());
        let told = dnc_data(id, new.phone, new.kind.as_deref(), batch.id, &new.token)?;
        self.tell(EventKind::DncAdded, Some(batch.id.seq64()), None, &told)?;
        self.dnc_skip_pending(workspace, phone)?;
        self.dispatch_bump(workspace)?;
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

    pub(super) fn dnc_list(
        &mut self,
        ws: WorkspaceId,
        query: &DncListQuery,
    ) -> Result<DncList, StoreError> {
        let search = query.search.as_deref().filter(|s| !s.is_empty());
        let counted = self.one(sql!("dnc/count"), params![ws.seq64(), search], |r| r.int(0))?;
        let page = params![ws.seq64(), search, query.limit, offset(query.page, query.limit)];
        let entries = self.all(sql!("dnc/list"), page, dnc_record)?;
        Ok(DncList { entries, total: counted.unwrap_or(0) })
    }

    pub(super) fn dnc_delete(&mut self, ws: WorkspaceId, id: DncId) -> Result<(), DncDeleteError> {
        let owner: Option<i64> =
            self.one(sql!("dnc/owner"), params![id.seq64(), id.secs()], |r| r.get(0))?;
        match owner {
            None => Err(DncDeleteError::NotFound),
            Some(owner) if owner != ws.seq64() => Err(DncDeleteError::Foreign),
            Some(owner) => {
                self.exec(sql!("dnc/delete"), [id.seq64()])?;
                self.dispatch_bump(owner)?;
                Ok(())
            }
        }
    }

    /// What has to be looked up in this workspace.
    pub(super) fn dnc_watch(&self, workspace: i64) -> Result<Watch, StoreError> {
        self.one(sql!("dnc/watch"), [workspace], |r| {
            Ok(Watch { workspace, switch: r.get(0)?, any: r.get(1)? })
        })?
        .ok_or_else(|| corrupt("lack of a workspace"))
    }

    /// The number is listed, and checked. `enable_dnc`: what its batch says.
    pub(super) fn dnc_blocks(
        &self,
        watch: Watch,
        enable_dnc: bool,
        phone: PhoneNumber,
    ) -> Result<bool, StoreError> {
        if !watch.any || !(watch.switch || enable_dnc) {
            return Ok(false);
        }
        self.dnc_is_listed(watch.workspace, digits(phone))
    }

    pub(super) fn dnc_is_listed(&self, workspace: i64, phone: i64) -> Result<bool, StoreError> {
        let found = self.one(sql!("dnc/is_listed"), params![workspace, phone], |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// Finishes checked pending calls to a number.
    fn dnc_skip_pending(&self, workspace: i64, phone: i64) -> Result<(), StoreError> {
        let pending: Vec<(i64, i64)> =
            self.all(sql!("dnc/pending"), params![workspace, phone], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?;
        let mut deltas = BTreeMap::<i64, Delta>::new();
        for (call, batch) in pending {
            let delta = deltas.entry(batch).or_default();
            self.call_finish_pending(call, Disposition::Skipped, DO_NOT_CALL, delta)?;
        }
        self.totals_add_all(&deltas)
    }

    /// Finishes a pending call that will not be placed, and counts that in its batch's `delta`.
    pub(super) fn call_finish_pending(
        &self,
        call: i64,
        disposition: Disposition,
        reason: &str,
        delta: &mut Delta,
    ) -> Result<(), StoreError> {
        let row = params![call, disposition.as_str(), reason, self.now().as_millis()];
        if self.exec(sql!("call/finish_pending"), row)? == 1 {
            delta.pending -= 1;
            delta.finished += 1;
            self.tell_finished(call)?;
        }
        Ok(())
    }
}

fn dnc_record(r: &Row<'_>) -> rusqlite::Result<DncRecord> {
    Ok(DncRecord {
        id: r.id(0)?,
        created_at: r.time(1)?,
        workspace: r.id(2)?,
        phone: r.phone(4)?,
        kind: r.get(5)?,
        batch: r.id::<BatchId>(6)?,
        token: r.get(8)?,
        recording: r.get(9)?,
        transcript: r.get(10)?,
    })
}
