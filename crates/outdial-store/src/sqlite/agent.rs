//! Agents and the versions of their variables.

use outdial_core::id::{AgentId, WorkspaceId};
use outdial_ports::store::{AgentError, AgentRecord, AgentSpec, StoreError};
use rusqlite::{Row, params};

use super::account::to_json;
use super::db::SqliteDb;
use super::rows::{Id, RowExt};
use super::sql;

impl SqliteDb {
    pub(super) fn agent_create(
        &mut self,
        ws: WorkspaceId,
        spec: &AgentSpec,
    ) -> Result<AgentRecord, StoreError> {
        let now = self.now();
        let languages = to_json(&spec.languages)?;
        let seq = self.insert(
            sql!("agent/insert"),
            params![now.as_millis(), ws.seq64(), spec.name, languages, spec.connection],
        )?;
        let variables = to_json(&spec.variables)?;
        self.exec(sql!("agent/insert_version"), params![seq, 1, variables])?;
        Ok(AgentRecord {
            id: AgentId::of(seq, now.as_millis()),
            version: 1,
            spec: spec.clone(),
            created_at: now,
            updated_at: now,
        })
    }

    pub(super) fn agent_list(&mut self, ws: WorkspaceId) -> Result<Vec<AgentRecord>, StoreError> {
        self.all(sql!("agent/list"), [ws.seq64()], agent_record)
    }

    pub(super) fn agent_fetch(
        &mut self,
        ws: WorkspaceId,
        id: AgentId,
    ) -> Result<Option<AgentRecord>, StoreError> {
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        self.one(sql!("agent/fetch"), key, agent_record)
    }

    pub(super) fn agent_update(
        &mut self,
        ws: WorkspaceId,
        id: AgentId,
        version: Option<u32>,
        spec: &AgentSpec,
    ) -> Result<AgentRecord, AgentError> {
        let old = self.agent_fetch(ws, id)?.ok_or(AgentError::NotFound)?;
        if version.is_some_and(|seen| seen != old.version) {
            return Err(AgentError::Changed);
        }
        let now = self.now();
        let languages = to_json(&spec.languages)?;
        let row = params![id.seq64(), now.as_millis(), spec.name, languages, spec.connection];
        let version = self
            .one(sql!("agent/update"), row, |r| r.int::<u32>(0))?
            .ok_or(AgentError::NotFound)?;
        let variables = to_json(&spec.variables)?;
        self.exec(sql!("agent/insert_version"), params![id.seq64(), version, variables])?;
        Ok(AgentRecord { version, spec: spec.clone(), updated_at: now, ..old })
    }

    pub(super) fn agent_delete(&mut self, ws: WorkspaceId, id: AgentId) -> Result<(), AgentError> {
        self.agent_fetch(ws, id)?.ok_or(AgentError::NotFound)?;
        let bound =
            self.one(sql!("agent/is_bound"), params![ws.seq64(), id.seq64()], |_| Ok(()))?;
        if bound.is_some() {
            return Err(AgentError::InUse);
        }
        self.exec(sql!("agent/delete"), params![id.seq64(), self.now().as_millis()])?;
        Ok(())
    }
}

fn agent_record(r: &Row<'_>) -> rusqlite::Result<AgentRecord> {
    Ok(AgentRecord {
        id: r.id(0)?,
        created_at: r.time(1)?,
        updated_at: r.time(2)?,
        version: r.int(3)?,
        spec: AgentSpec {
            name: r.get(4)?,
            languages: r.json(5)?,
            connection: r.get(6)?,
            variables: r.json(7)?,
        },
    })
}
