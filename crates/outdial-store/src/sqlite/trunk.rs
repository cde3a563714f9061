//! Trunks, and which calling numbers go out over them.
//!
//! Whether a trunk is well is found out by others; here it is only remembered.

use std::time::Duration;

use outdial_core::dispatcher::TrunkHead;
use outdial_core::id::{PhoneId, TrunkId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    CallerIdIn, Integration, PhoneError, Secret, SipSpec, StoreError, Transport, TrunkError,
    TrunkHealth, TrunkRecord, TrunkSpec, TrunkState,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::phone::limits;
use super::rows::{Id, RowExt, millis};
use super::sql;

impl SqliteDb {
    pub(super) fn trunk_create(
        &mut self,
        ws: WorkspaceId,
        spec: &TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError> {
        self.trunk_name_must_be_free(ws, &spec.name, None)?;
        let now = self.now().as_millis();
        let seq = self.insert(
            sql!("trunk/insert"),
            params![
                now,
                ws.seq64(),
                spec.name,
                spec.limits.calls_per_second,
                spec.limits.channels,
                spec.ring_timeout.map(millis),
                spec.max_call_s,
            ],
        )?;
        self.trunk_set_sip(seq, &spec.sip)?;
        self.trunk_own(ws, TrunkId::of(seq, now))
    }

    pub(super) fn trunk_list(&mut self, ws: WorkspaceId) -> Result<Vec<TrunkRecord>, StoreError> {
        self.all(sql!("trunk/list"), [ws.seq64()], trunk_record)
    }

    pub(super) fn trunk_list_all(&mut self) -> Result<Vec<TrunkRecord>, StoreError> {
        let mut trunks = self.all(sql!("trunk/list_all"), [], trunk_record)?;
        // The order of ids is that of `seq` only while the clock does not go back.
        trunks.sort_by_key(|t| t.id);
        Ok(trunks)
    }

    pub(super) fn trunk_update(
        &mut self,
        ws: WorkspaceId,
        id: TrunkId,
        updated_at: Option<Timestamp>,
        spec: &TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError> {
        let old = self.trunk_own(ws, id)?;
        if updated_at.is_some_and(|seen| seen != old.updated_at) {
            return Err(TrunkError::Changed);
        }
        self.trunk_name_must_be_free(ws, &spec.name, Some(id))?;
        // What was found of the trunk as it was must not pass for this one, so no two of its
        // changes bear the same instant.
        let updated_at = self.now().max(old.updated_at.after(Duration::from_millis(1)));
        self.exec(
            sql!("trunk/update"),
            params![
                id.seq64(),
                updated_at.as_millis(),
                spec.name,
                spec.limits.calls_per_second,
                spec.limits.channels,
                spec.ring_timeout.map(millis),
                spec.max_call_s,
            ],
        )?;
        self.trunk_set_sip(id.seq64(), &spec.sip)?;
        self.dispatch_bump(ws.seq64())?;
        self.trunk_own(ws, id)
    }

    pub(super) fn trunk_delete(&mut self, ws: WorkspaceId, id: TrunkId) -> Result<(), TrunkError> {
        self.trunk_own(ws, id)?;
        if self.one(sql!("trunk/has_number"), [id.seq64()], |_| Ok(()))?.is_some() {
            return Err(TrunkError::InUse);
        }
        self.exec(sql!("trunk/delete"), params![id.seq64(), self.now().as_millis()])?;
        // The password goes with it.
        self.exec(sql!("trunk/delete_sip"), [id.seq64()])?;
        self.dispatch_bump(ws.seq64())?;
        Ok(())
    }

    pub(super) fn trunk_report(
        &mut self,
        found: &[(TrunkId, Timestamp, TrunkHealth)],
    ) -> Result<(), StoreError> {
        for (id, updated_at, health) in found {
            let known = self.trunk_fetch(*id)?.filter(|t| t.updated_at == *updated_at);
            let Some(trunk) = known.filter(|t| t.health != *health) else { continue };
            let since = health.since.map(Timestamp::as_millis);
            let row = params![id.seq64(), health.state.as_str(), health.detail, since];
            self.exec(sql!("trunk/set_health"), row)?;
            let is_down = |state| state == TrunkState::Down;
            if is_down(trunk.health.state) != is_down(health.state) {
                self.dispatch_bump(trunk.workspace.seq64())?;
            }
        }
        Ok(())
    }

    /// The trunk of a workspace's simulated numbers, made if it is not there.
    pub(super) fn trunk_simulated(&self, ws: WorkspaceId) -> Result<TrunkId, StoreError> {
        let found = self.one(sql!("trunk/simulated"), [ws.seq64()], |r| r.id(0))?;
        if let Some(trunk) = found {
            return Ok(trunk);
        }
        let now = self.now().as_millis();
        let seq = self.insert(sql!("trunk/insert_simulated"), params![now, ws.seq64()])?;
        Ok(TrunkId::of(seq, now))
    }

    /// There is at least one, and each is the workspace's and of this kind.
    pub(super) fn trunks_must_fit(
        &self,
        ws: WorkspaceId,
        integration: Integration,
        trunks: &[TrunkId],
    ) -> Result<(), PhoneError> {
        let fits = |t: &TrunkRecord| t.workspace == ws && t.integration == integration;
        for id in trunks {
            self.trunk_fetch(*id)?.filter(fits).ok_or(PhoneError::NoSuchTrunk)?;
        }
        if trunks.is_empty() { Err(PhoneError::NoSuchTrunk) } else { Ok(()) }
    }

    /// Over which trunks a number goes out, in the order of preference.
    pub(super) fn phone_trunks(&self, phone: PhoneId) -> Result<Vec<TrunkId>, StoreError> {
        self.all(sql!("phone/trunks"), [phone.seq64()], |r| r.id(0))
    }

    /// Lets a number go out over these, in this order, and no others.
    pub(super) fn phone_set_trunks(
        &self,
        phone: PhoneId,
        trunks: &[TrunkId],
    ) -> Result<(), StoreError> {
        self.exec(sql!("phone/drop_trunks"), [phone.seq64()])?;
        for (pos, trunk) in (0_i64..).zip(trunks) {
            self.exec(sql!("phone/add_trunk"), params![phone.seq64(), pos, trunk.seq64()])?;
        }
        Ok(())
    }

    /// The trunks of all the workspace's numbers, without what is live: by number in the order of
    /// preference.
    pub(super) fn dispatch_trunks(&self, ws: i64) -> Result<Vec<(i64, TrunkHead)>, StoreError> {
        let mut rows = self.all(sql!("dispatch/trunks"), [ws], |r| {
            Ok(((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?), trunk_head(r)?))
        })?;
        rows.sort_by_key(|(place, _)| *place);
        Ok(rows.into_iter().map(|((phone, _), trunk)| (phone, trunk)).collect())
    }

    /// One that is not deleted, of whatever workspace and kind.
    fn trunk_fetch(&self, id: TrunkId) -> Result<Option<TrunkRecord>, StoreError> {
        self.one(sql!("trunk/fetch"), params![id.seq64(), id.secs()], trunk_record)
    }

    /// A SIP trunk of the workspace.
    fn trunk_own(&self, ws: WorkspaceId, id: TrunkId) -> Result<TrunkRecord, TrunkError> {
        let own = |t: &TrunkRecord| t.workspace == ws && t.integration == Integration::Sip;
        self.trunk_fetch(id)?.filter(own).ok_or(TrunkError::NotFound)
    }

    fn trunk_name_must_be_free(
        &self,
        ws: WorkspaceId,
        name: &str,
        except: Option<TrunkId>,
    ) -> Result<(), TrunkError> {
        let key = params![ws.seq64(), name, except.map(|t| t.seq64())];
        match self.one(sql!("trunk/named"), key, |_| Ok(()))? {
            Some(()) => Err(TrunkError::Duplicate),
            None => Ok(()),
        }
    }

    fn trunk_set_sip(&self, trunk: i64, sip: &SipSpec) -> Result<(), StoreError> {
        self.exec(
            sql!("trunk/set_sip"),
            params![
                trunk,
                sip.host,
                sip.port,
                sip.transport.as_str(),
                sip.username,
                sip.password.as_ref().map(|p| &p.0),
                sip.from_domain,
                sip.proxy,
                sip.register,
                sip.keep_alive.map(millis),
                sip.caller_id.as_str(),
                sip.plus,
                sip.verify_tls,
            ],
        )?;
        Ok(())
    }
}

fn trunk_record(r: &Row<'_>) -> rusqlite::Result<TrunkRecord> {
    let limits = limits(r, 5)?;
    let spec = match r.get::<_, Option<String>>(12)? {
        None => None,
        Some(name) => Some(TrunkSpec {
            name,
            sip: sip_spec(r)?,
            limits,
            ring_timeout: r.duration_opt(13)?,
            max_call_s: r.get(14)?,
        }),
    };
    Ok(TrunkRecord {
        id: r.id(0)?,
        created_at: r.time(1)?,
        workspace: r.id(2)?,
        integration: r.word(4, Integration::parse)?,
        spec,
        limits,
        paused_until: r.time_opt(7)?,
        health: TrunkHealth {
            state: r.word(8, TrunkState::parse)?,
            detail: r.get(9)?,
            since: r.time_opt(10)?,
        },
        updated_at: r.time(11)?,
    })
}

/// From the twelve columns beginning with `host`.
fn sip_spec(r: &Row<'_>) -> rusqlite::Result<SipSpec> {
    Ok(SipSpec {
        host: r.get(15)?,
        port: r.get(16)?,
        transport: r.word(17, Transport::parse)?,
        username: r.get(18)?,
        password: r.get::<_, Option<String>>(19)?.map(Secret),
        from_domain: r.get(20)?,
        proxy: r.get(21)?,
        register: r.get(22)?,
        keep_alive: r.duration_opt(23)?,
        caller_id: r.word(24, CallerIdIn::parse)?,
        plus: r.get(25)?,
        verify_tls: r.get(26)?,
    })
}

/// From the columns behind (number, place).
fn trunk_head(r: &Row<'_>) -> rusqlite::Result<TrunkHead> {
    Ok(TrunkHead {
        id: r.id(2)?,
        limits: limits(r, 4)?,
        live: 0,
        slots: Vec::new(),
        paused_until: r.time_opt(6)?,
        is_down: r.get(7)?,
        max_call_s: r.get(8)?,
    })
}
