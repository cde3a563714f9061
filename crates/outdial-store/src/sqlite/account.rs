//! Workspaces and their settings.

use outdial_core::id::{UserId, WorkspaceId};
use outdial_core::settings::WorkspaceSettings;
use outdial_ports::store::{NewWorkspace, StoreError, WorkspaceCreated, WorkspaceRecord};
use rusqlite::params;

use super::db::SqliteDb;
use super::error::corrupt;
use super::rows::{Id, RowExt};
use super::sql;

impl SqliteDb {
    pub(super) fn ping(&mut self) -> Result<(), StoreError> {
        self.secret_fetch().map(|_| ())
    }

    pub(super) fn secret_fetch(&mut self) -> Result<[u8; 32], StoreError> {
        self.one(sql!("meta/secret"), [], |r| r.get(0))?.ok_or_else(|| corrupt("lack of a secret"))
    }

    pub(super) fn workspace_create(
        &mut self,
        new: &NewWorkspace,
    ) -> Result<WorkspaceCreated, StoreError> {
        let now = self.now().as_millis();
        let settings = to_json(&new.settings)?;
        let ws = self.insert(
            sql!("workspace/insert"),
            params![now, new.name, settings, new.settings.do_not_call],
        )?;
        let user = self.insert(sql!("workspace/insert_user"), params![now, ws])?;
        self.exec(sql!("dispatch/init"), [ws])?;
        let workspace = WorkspaceId::of(ws, now);
        let key = self.key_create(workspace, &new.key)?.id;
        Ok(WorkspaceCreated { workspace, user: UserId::of(user, now), key })
    }

    pub(super) fn workspace_list(&mut self) -> Result<Vec<WorkspaceRecord>, StoreError> {
        self.all(sql!("workspace/list"), [], |r| {
            Ok(WorkspaceRecord { id: r.id(0)?, user: r.id(2)?, name: r.get(4)? })
        })
    }

    pub(super) fn settings_fetch(
        &mut self,
        ws: WorkspaceId,
    ) -> Result<WorkspaceSettings, StoreError> {
        self.one(sql!("workspace/settings"), params![ws.seq64(), ws.secs()], |r| r.json(0))?
            .ok_or_else(|| no_workspace(ws))
    }

    pub(super) fn settings_update(
        &mut self,
        ws: WorkspaceId,
        was: Option<&WorkspaceSettings>,
        settings: &WorkspaceSettings,
    ) -> Result<bool, StoreError> {
        let before = self.settings_fetch(ws)?;
        if was.is_some_and(|was| *was != before) {
            return Ok(false);
        }
        let json = to_json(settings)?;
        let key = params![ws.seq64(), ws.secs(), json, settings.do_not_call];
        if self.exec(sql!("workspace/set_settings"), key)? == 0 {
            return Err(no_workspace(ws));
        }
        let per_person = |s: &WorkspaceSettings| (s.attempts_24h, s.calling_rules);
        if per_person(&before) != per_person(settings) {
            // Whether a person must still rest is looked at when an attempt is committed.
            self.exec(sql!("limits/end_rests"), params![ws.seq64(), self.now().as_millis()])?;
        }
        self.dispatch_bump(ws.seq64())?;
        Ok(true)
    }
}

/// What is stored as JSON can always be written as JSON.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Internal(e.to_string()))
}

fn no_workspace(ws: WorkspaceId) -> StoreError {
    StoreError::Internal(format!("no workspace {ws}"))
}
