//! Calling numbers.

use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{AgentId, PhoneId, WorkspaceId};
use outdial_ports::store::{
    Integration, NewPhone, PhoneError, PhonePatch, PhoneRecord, StoreError,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::limits::whole;
use super::rows::{Id, RowExt, digits};
use super::sql;

impl SqliteDb {
    pub(super) fn phone_create(
        &mut self,
        ws: WorkspaceId,
        new: &NewPhone,
    ) -> Result<PhoneRecord, PhoneError> {
        let now = self.now();
        self.agent_must_exist(ws, new.agent)?;
        let trunks = match new.integration {
            Integration::Simulated if new.trunks.is_empty() => vec![self.trunk_simulated(ws)?],
            _ => new.trunks.clone(),
        };
        self.trunks_must_fit(ws, new.integration, &trunks)?;
        let row = params![
            now.as_millis(),
            ws.seq64(),
            digits(new.number),
            new.integration.as_str(),
            new.agent.map(|a| a.seq64()),
        ];
        let seq: i64 =
            self.one(sql!("phone/insert"), row, |r| r.get(0))?.ok_or(PhoneError::Duplicate)?;
        let id = PhoneId::of(seq, now.as_millis());
        self.phone_set_trunks(id, &trunks)?;
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

    pub(super) fn phone_list(&mut self, ws: WorkspaceId) -> Result<Vec<PhoneRecord>, StoreError> {
        let phones = self.all(sql!("phone/list"), [ws.seq64()], phone_record)?;
        phones.into_iter().map(|p| self.with_trunks(p)).collect()
    }

    /// One that is not deleted, of whatever workspace.
    pub(super) fn phone_fetch(&self, id: PhoneId) -> Result<Option<PhoneRecord>, StoreError> {
        let phone = self.one(sql!("phone/fetch"), params![id.seq64(), id.secs()], phone_record)?;
        phone.map(|p| self.with_trunks(p)).transpose()
    }

    pub(super) fn phone_update(
        &mut self,
        ws: WorkspaceId,
        id: PhoneId,
        patch: &PhonePatch,
    ) -> Result<PhoneRecord, PhoneError> {
        let mut phone = self.phone_own(ws, id)?;
        if let Some(agent) = patch.agent {
            self.agent_must_exist(ws, agent)?;
            phone.agent = agent;
        }
        if let Some(trunks) = &patch.trunks {
            self.trunks_must_fit(ws, phone.integration, trunks)?;
            self.phone_set_trunks(id, trunks)?;
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
        self.exec(
            sql!("phone/update"),
            params![
                id.seq64(),
                agent,
                limits.calls_per_second,
                limits.channels,
                limits.calls_per_day,
                phone.price.map(whole)
            ],
        )?;
        self.dispatch_bump(ws.seq64())?;
        Ok(phone)
    }

    pub(super) fn phone_delete(&mut self, ws: WorkspaceId, id: PhoneId) -> Result<(), PhoneError> {
        self.phone_own(ws, id)?;
        let now = self.now().as_millis();
        self.exec(sql!("phone/delete"), params![id.seq64(), now])?;
        self.phone_set_trunks(id, &[])?;
        let batches: Vec<i64> = self.all(sql!("batch/of_number"), [id.seq64()], |r| r.get(0))?;
        self.exec(sql!("batch/drop_number"), [id.seq64()])?;
        for batch in batches {
            if self.one(sql!("batch/has_number"), [batch], |_| Ok(()))?.is_none() {
                let row = params![batch, now];
                if self.exec(sql!("batch/pause_without_numbers"), row)? == 1 {
                    self.tell_batch(batch)?;
                }
            }
        }
        self.dispatch_bump(ws.seq64())?;
        Ok(())
    }

    fn phone_own(&self, ws: WorkspaceId, id: PhoneId) -> Result<PhoneRecord, PhoneError> {
        self.phone_fetch(id)?.filter(|p| p.workspace == ws).ok_or(PhoneError::NotFound)
    }

    fn agent_must_exist(
        &mut self,
        ws: WorkspaceId,
        agent: Option<AgentId>,
    ) -> Result<(), PhoneError> {
        match agent {
            Some(id) if self.agent_fetch(ws, id)?.is_none() => Err(PhoneError::NoSuchAgent),
            _ => Ok(()),
        }
    }

    fn with_trunks(&self, mut phone: PhoneRecord) -> Result<PhoneRecord, StoreError> {
        phone.trunks = self.phone_trunks(phone.id)?;
        Ok(phone)
    }
}

/// A number without its trunks.
fn phone_record(r: &Row<'_>) -> rusqlite::Result<PhoneRecord> {
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
pub(super) fn number_limits(r: &Row<'_>, i: usize) -> rusqlite::Result<LineLimits> {
    let calls_per_day: Option<u32> = r.get(i + 2)?;
    Ok(LineLimits { calls_per_day, ..limits(r, i)? })
}

/// What a minute costs.
pub(super) fn price(r: &Row<'_>, i: usize) -> rusqlite::Result<Option<u64>> {
    let price: Option<i64> = r.get(i)?;
    Ok(price.map(i64::unsigned_abs))
}

/// From two columns beginning with `i`.
pub(super) fn limits(r: &Row<'_>, i: usize) -> rusqlite::Result<LineLimits> {
    let channels: Option<i64> = r.get(i + 1)?;
    Ok(LineLimits {
        calls_per_second: r.get(i)?,
        channels: channels.map(|c| u32::try_from(c).unwrap_or(u32::MAX)),
        calls_per_day: None,
    })
}
