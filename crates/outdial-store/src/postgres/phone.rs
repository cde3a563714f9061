//! Calling numbers.

use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{AgentId, PhoneId, WorkspaceId};
use outdial_ports::store::{
    Integration, NewPhone, PhoneError, PhonePatch, PhoneRecord, StoreError,
};
use tokio_postgres::Row;

use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;

impl PgTx<'_> {
    pub(super) async fn phone_create(
        &self,
        ws: WorkspaceId,
        new: &NewPhone,
    ) -> Result<PhoneRecord, PhoneError> {
        let now = self.now();
        self.agent_must_exist(ws, new.agent).await?;
        let trunks = match new.integration {
            Integration::Simulated if new.trunks.is_empty() => {
                vec![self.trunk_simulated(ws).await?]
            }
            _ => new.trunks.clone(),
        };
        self.trunks_must_fit(ws, new.integration, &trunks).await?;
        let agent = new.agent.map(|a| a.seq64());
        let row = params![now, ws.seq64(), new.number, new.integration.as_str(), agent];
        let seq: i64 =
            self.one(pg!("phone/insert"), row, |r| r.int(0)).await?.ok_or(PhoneError::Duplicate)?;
        let id = PhoneId::of(seq, now.as_millis());
        self.phone_set_trunks(id, &trunks).await?;
        Ok(PhoneRecord {
            id,
            workspace: ws,
            number: new.number,
            integration: new.integration,
            trunks,
            agent: new.agent,
            limits: LineLimits::default(),
            price: None,
            created_at: now,
        })
    }

    pub(super) async fn phone_list(&self, ws: WorkspaceId) -> Result<Vec<PhoneRecord>, StoreError> {
        let phones = self.all(pg!("phone/list"), params![ws.seq64()], phone_record).await?;
        self.with_trunks(phones).await
    }

    /// One that is not deleted, of whatever workspace.
    pub(super) async fn phone_fetch(&self, id: PhoneId) -> Result<Option<PhoneRecord>, StoreError> {
        let key = params![id.seq64(), id.secs()];
        let phones = self.all(pg!("phone/fetch"), key, phone_record).await?;
        Ok(self.with_trunks(phones).await?.pop())
    }

    pub(super) async fn phone_update(
        &self,
        ws: WorkspaceId,
        id: PhoneId,
        patch: &PhonePatch,
    ) -> Result<PhoneRecord, PhoneError> {
        self.dispatch_bump(ws.seq64()).await?;
        let mut phone = self.phone_own(ws, id).await?;
        if let Some(agent) = patch.agent {
            self.agent_must_exist(ws, agent).await?;
            phone.agent = agent;
        }
        if let Some(trunks) = &patch.trunks {
            self.trunks_must_fit(ws, phone.integration, trunks).await?;
            self.phone_set_trunks(id, trunks).await?;
            phone.trunks.clone_from(trunks);
        }
        if let Some(calls_per_second) = patch.calls_per_second {
            phone.limits.calls_per_second = calls_per_second;
        }
        if let Some(channels) = patch.channels {
            phone.limits.channels = channels;
        }
        if let Some(calls_per_day) = patch.calls_per_day {
            phone.limits.calls_per_day = calls_per_day;
        }
        if let Some(price) = patch.price {
            phone.price = price;
        }
        let agent = phone.agent.map(|a| a.seq64());
        let limits = phone.limits;
        let row = params![
            id.seq64(),
            agent,
            limits.calls_per_second,
            limits.channels,
            limits.calls_per_day,
            phone.price,
        ];
        self.exec(pg!("phone/update"), row).await?;
        Ok(phone)
    }

    pub(super) async fn phone_delete(
        &self,
        ws: WorkspaceId,
        id: PhoneId,
    ) -> Result<(), PhoneError> {
        self.dispatch_bump(ws.seq64()).await?;
        // A batch that takes it at this moment is waited for, and found below.
        self.phone_own(ws, id).await?;
        let now = self.now();
        self.exec(pg!("phone/delete"), params![id.seq64(), now]).await?;
        self.phone_set_trunks(id, &[]).await?;
        let batches: Vec<i64> =
            self.all(pg!("batch/drop_number"), params![id.seq64()], |r| r.int(0)).await?;
        let paused: Vec<i64> = self
            .all(pg!("batch/pause_without_numbers"), params![batches, now], |r| r.int(0))
            .await?;
        self.tell_batches(&paused).await?;
        Ok(())
    }

    /// One of the workspace; until this transaction ends nobody else changes it or relies on it.
    async fn phone_own(&self, ws: WorkspaceId, id: PhoneId) -> Result<PhoneRecord, PhoneError> {
        self.exec(pg!("phone/hold"), params![id.seq64(), id.secs()]).await?;
        let phone = self.phone_fetch(id).await?;
        phone.filter(|p| p.workspace == ws).ok_or(PhoneError::NotFound)
    }

    /// It does, and will until this transaction ends.
    async fn agent_must_exist(
        &self,
        ws: WorkspaceId,
        agent: Option<AgentId>,
    ) -> Result<(), PhoneError> {
        let Some(id) = agent else { return Ok(()) };
        let key = params![id.seq64(), id.secs(), ws.seq64()];
        match self.any(pg!("agent/share"), key).await? {
            true => Ok(()),
            false => Err(PhoneError::NoSuchAgent),
        }
    }

    async fn with_trunks(
        &self,
        mut phones: Vec<PhoneRecord>,
    ) -> Result<Vec<PhoneRecord>, StoreError> {
        let seqs: Vec<i64> = phones.iter().map(|p| p.id.seq64()).collect();
        let mut trunks = self.phone_trunks(&seqs).await?;
        for phone in &mut phones {
            phone.trunks = trunks.remove(&phone.id.seq64()).unwrap_or_default();
        }
        Ok(phones)
    }
}

/// A number without its trunks.
fn phone_record(r: &Row) -> Result<PhoneRecord, StoreError> {
    Ok(PhoneRecord {
        id: r.id(0)?,
        created_at: r.time(1)?,
        workspace: r.id(2)?,
        number: r.phone(4)?,
        integration: r.word(5, Integration::parse)?,
        trunks: Vec::new(),
        agent: r.id_opt(6)?,
        limits: number_limits(r, 8)?,
        price: price(r, 11)?,
    })
}

/// From three columns beginning with `i`.
pub(super) fn number_limits(r: &Row, i: usize) -> Result<LineLimits, StoreError> {
    Ok(LineLimits { calls_per_day: r.int_opt(i + 2)?, ..limits(r, i)? })
}

/// What a minute costs.
pub(super) fn price(r: &Row, i: usize) -> Result<Option<u64>, StoreError> {
    r.int_opt(i)
}

/// From two columns beginning with `i`.
pub(super) fn limits(r: &Row, i: usize) -> Result<LineLimits, StoreError> {
    Ok(LineLimits {
        calls_per_second: r.float_opt(i)?,
        channels: r.int_opt(i + 1)?,
        calls_per_day: None,
    })
}
