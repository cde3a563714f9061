//! Agents and the versions of their variables.

use outdial_core::id::{AgentId, WorkspaceId};
use outdial_ports::store::{AgentError, AgentRecord, AgentSpec, StoreError};
use tokio_postgres::Row;

use super::account::to_json;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;

impl PgTx<'_> {
    pub(super) async fn agent_create(
        &self,
        ws: WorkspaceId,
        spec: &AgentSpec,
    ) -> Result<AgentRecord, StoreError> {
        let now = self.now();
        let languages = to_json(&spec.languages)?;
        let row = params![now, ws.seq64(), spec.name, languages, spec.connection];
        let seq = self.insert(pg!("agent/insert"), row).await?;
        let variables = to_json(&spec.variables)?;
        self.exec(pg!("agent/insert_version"), params![seq, 1_i64, variables]).await?;
        Ok(AgentRecord {
            id: AgentId::of(seq, now.as_millis()),
            version: 1,
            spec: spec.clone(),
            created_at: now,
            updated_at: now,
        })
    }

    pub(super) async fn agent_list(&self, ws: WorkspaceId) -> Result<Vec<AgentRecord>, StoreError> {
        self.all(pg!("agent/list"), params![ws.seq64()], agent_record).await
    }

    pub(super) async fn agent_fetch(
        &self,
        ws: WorkspaceId,
        id: AgentId,
    ) -> Result<Option<AgentRecord>, StoreError> {
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        self.one(pg!("agent/fetch"), key, agent_record).await
    }

    pub(super) async fn agent_update(
        &self,
        ws: WorkspaceId,
        id: AgentId,
        version: Option<u32>,
        spec: &AgentSpec,
    ) -> Result<AgentRecord, AgentError> {
        self.agent_hold(ws, id).await?;
        let old = self.agent_fetch(ws, id).await?.ok_or(AgentError::NotFound)?;
        if version.is_some_and(|seen| seen != old.version) {
            return Err(AgentError::Changed);
        }
        let now = self.now();
        let languages = to_json(&spec.languages)?;
        let row = params![id.seq64(), now, spec.name, languages, spec.connection];
        let version = self
            .one(pg!("agent/update"), row, |r| r.int::<u32>(0))
            .await?
            .ok_or(AgentError::NotFound)?;
        let variables = to_json(&spec.variables)?;
        self.exec(pg!("agent/insert_version"), params![id.seq64(), version, variables]).await?;
        Ok(AgentRecord { version, spec: spec.clone(), updated_at: now, ..old })
    }

    pub(super) async fn agent_delete(
        &self,
        ws: WorkspaceId,
        id: AgentId,
    ) -> Result<(), AgentError> {
        // Whoever binds it at this moment has it shared: either is seen below, or finds it gone.
        self.agent_hold(ws, id).await?;
        if self.any(pg!("agent/is_bound"), params![ws.seq64(), id.seq64()]).await? {
            return Err(AgentError::InUse);
        }
        self.exec(pg!("agent/delete"), params![id.seq64(), self.now()]).await?;
        Ok(())
    }

    /// Until this transaction ends nobody else changes, deletes or binds it.
    async fn agent_hold(&self, ws: WorkspaceId, id: AgentId) -> Result<(), AgentError> {
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        match self.any(pg!("agent/hold"), key).await? {
            true => Ok(()),
            false => Err(AgentError::NotFound),
        }
    }
}

fn agent_record(r: &Row) -> Result<AgentRecord, StoreError> {
    Ok(AgentRecord {
        id: r.id(0)?,
        created_at: r.time(1)?,
        updated_at: r.time(2)?,
        version: r.int(3)?,
        spec: AgentSpec {
            name: r.text(4)?,
            languages: r.json(5)?,
            connection: r.text(6)?,
            variables: r.json(7)?,
        },
    })
}
