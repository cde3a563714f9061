//! Workspaces and their settings.

use outdial_core::id::{UserId, WorkspaceId};
use outdial_core::settings::WorkspaceSettings;
use outdial_ports::store::{NewWorkspace, StoreError, WorkspaceCreated, WorkspaceRecord};

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;

impl PgTx<'_> {
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.secret_fetch().await.map(|_| ())
    }

    pub(super) async fn secret_fetch(&self) -> Result<[u8; 32], StoreError> {
        let secret = self.one(pg!("meta/secret"), params![], |r| r.exact(0)).await?;
        secret.ok_or_else(|| corrupt("lack of a secret"))
    }

    pub(super) async fn workspace_create(
        &self,
        new: &NewWorkspace,
    ) -> Result<WorkspaceCreated, StoreError> {
        let now = self.now().as_millis();
        let settings = to_json(&new.settings)?;
        let row = params![now, new.name, settings, new.settings.do_not_call];
        let ws = self.insert(pg!("workspace/insert"), row).await?;
        let user = self.insert(pg!("workspace/insert_user"), params![now, ws]).await?;
        self.exec(pg!("dispatch/init"), params![ws]).await?;
        let workspace = WorkspaceId::of(ws, now);
        let key = self.key_create(workspace, &new.key).await?.id;
        Ok(WorkspaceCreated { workspace, user: UserId::of(user, now), key })
    }

    pub(super) async fn workspace_list(&self) -> Result<Vec<WorkspaceRecord>, StoreError> {
        self.all(pg!("workspace/list"), params![], |r| {
            Ok(WorkspaceRecord { id: r.id(0)?, user: r.id(2)?, name: r.text(4)? })
        })
        .await
    }

    pub(super) async fn settings_fetch(
        &self,
        ws: WorkspaceId,
    ) -> Result<WorkspaceSettings, StoreError> {
        self.one(pg!("workspace/settings"), params![ws.seq64(), ws.secs()], |r| r.json(0))
            .await?
            .ok_or_else(|| no_workspace(ws))
    }

    pub(super) async fn settings_update(
        &self,
        ws: WorkspaceId,
        was: Option<&WorkspaceSettings>,
        settings: &WorkspaceSettings,
    ) -> Result<bool, StoreError> {
        // Whoever changes settings holds this, so what is read stays.
        self.dispatch_hold(ws).await?;
        let before = self.settings_fetch(ws).await?;
        if was.is_some_and(|was| *was != before) {
            return Ok(false);
        }
        self.dispatch_bump(ws.seq64()).await?;
        let json = to_json(settings)?;
        let key = params![ws.seq64(), ws.secs(), json, settings.do_not_call];
        if self.exec(pg!("workspace/set_settings"), key).await? == 0 {
            return Err(no_workspace(ws));
        }
        let per_person = |s: &WorkspaceSettings| (s.attempts_24h, s.calling_rules);
        if per_person(&before) != per_person(settings) {
            // Whether a person must still rest is looked at when an attempt is committed.
            self.exec(pg!("limits/end_rests"), params![ws.seq64(), self.now()]).await?;
        }
        Ok(true)
    }

    /// Until this transaction ends nobody else changes what plans of the workspace rest on.
    pub(super) async fn dispatch_hold(&self, ws: WorkspaceId) -> Result<(), StoreError> {
        self.exec(pg!("dispatch/hold"), params![vec![ws.seq64()]]).await?;
        Ok(())
    }
}

/// What is stored as JSON can always be written as JSON.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Internal(e.to_string()))
}

fn no_workspace(ws: WorkspaceId) -> StoreError {
    StoreError::Internal(format!("no workspace {ws}"))
}
