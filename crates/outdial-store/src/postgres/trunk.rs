//! Trunks, and which calling numbers go out over them.
//!
//! Whether a trunk is well is found out by others; here it is only remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outdial_core::dispatcher::TrunkHead;
use outdial_core::id::{PhoneId, TrunkId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    CallerIdIn, Integration, PhoneError, Secret, SipSpec, StoreError, Transport, TrunkError,
    TrunkHealth, TrunkRecord, TrunkSpec, TrunkState,
};
use tokio_postgres::Row;

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::phone::limits;
use super::rows::{Id, RowExt, millis};
use super::tx::PgTx;

impl PgTx<'_> {
    pub(super) async fn trunk_create(
        &self,
        ws: WorkspaceId,
        spec: &TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError> {
        // Nobody gives another trunk the name meanwhile.
        self.dispatch_hold(ws).await?;
        let now = self.now();
        let row = params![
            now,
            ws.seq64(),
            spec.name,
            spec.limits.calls_per_second,
            spec.limits.channels,
            spec.ring_timeout.map(millis),
            spec.max_call_s,
        ];
        let seq = self
            .one(pg!("trunk/insert"), row, |r| r.int::<i64>(0))
            .await?
            .ok_or(TrunkError::Duplicate)?;
        self.trunk_set_sip(seq, &spec.sip).await?;
        self.trunk_own(ws, TrunkId::of(seq, now.as_millis())).await
    }

    pub(super) async fn trunk_list(&self, ws: WorkspaceId) -> Result<Vec<TrunkRecord>, StoreError> {
        self.all(pg!("trunk/list"), params![ws.seq64()], trunk_record).await
    }

    pub(super) async fn trunk_list_all(&self) -> Result<Vec<TrunkRecord>, StoreError> {
        let mut trunks = self.all(pg!("trunk/list_all"), params![], trunk_record).await?;
        // The order of ids is that of `seq` only while the clock does not go back.
        trunks.sort_by_key(|t| t.id);
        Ok(trunks)
    }

    pub(super) async fn trunk_update(
        &self,
        ws: WorkspaceId,
        id: TrunkId,
        updated_at: Option<Timestamp>,
        spec: &TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError> {
        self.dispatch_bump(ws.seq64()).await?;
        self.trunk_hold(id).await?;
        let old = self.trunk_own(ws, id).await?;
        if updated_at.is_some_and(|seen| seen != old.updated_at) {
            return Err(TrunkError::Changed);
        }
        let name = params![ws.seq64(), spec.name, id.seq64()];
        if self.any(pg!("trunk/named"), name).await? {
            return Err(TrunkError::Duplicate);
        }
        // What was found of the trunk as it was must not pass for this one, so no two of its
        // changes bear the same instant.
        let updated_at = self.now().max(old.updated_at.after(Duration::from_millis(1)));
        let row = params![
            id.seq64(),
            updated_at,
            spec.name,
            spec.limits.calls_per_second,
            spec.limits.channels,
            spec.ring_timeout.map(millis),
            spec.max_call_s,
        ];
        self.exec(pg!("trunk/update"), row).await?;
        self.trunk_set_sip(id.seq64(), &spec.sip).await?;
        self.trunk_own(ws, id).await
    }

    pub(super) async fn trunk_delete(
        &self,
        ws: WorkspaceId,
        id: TrunkId,
    ) -> Result<(), TrunkError> {
        self.dispatch_bump(ws.seq64()).await?;
        // A number that takes it at this moment is waited for, and found below.
        self.trunk_hold(id).await?;
        self.trunk_own(ws, id).await?;
        if self.any(pg!("trunk/has_number"), params![id.seq64()]).await? {
            return Err(TrunkError::InUse);
        }
        self.exec(pg!("trunk/delete"), params![id.seq64(), self.now()]).await?;
        // The password goes with it.
        self.exec(pg!("trunk/delete_sip"), params![id.seq64()]).await?;
        Ok(())
    }

    pub(super) async fn trunk_report(
        &self,
        found: &[(TrunkId, Timestamp, TrunkHealth)],
    ) -> Result<(), StoreError> {
        // Most reports bring nothing, and hold nobody up.
        let mut differing = Vec::new();
        let mut workspaces = BTreeSet::new();
        for (id, updated_at, health) in found {
            if let Some(trunk) = self.trunk_otherwise(*id, *updated_at, health).await? {
                workspaces.insert(trunk.workspace.seq64());
                differing.push((*id, *updated_at, health));
            }
        }
        if differing.is_empty() {
            return Ok(());
        }
        let held: Vec<i64> = workspaces.into_iter().collect();
        self.exec(pg!("dispatch/hold"), params![held]).await?;
        differing.sort_by_key(|(id, ..)| *id);
        for (id, updated_at, health) in differing {
            self.trunk_hold(id).await?;
            let Some(trunk) = self.trunk_otherwise(id, updated_at, health).await? else { continue };
            let row = params![id.seq64(), health.state.as_str(), health.detail, health.since];
            self.exec(pg!("trunk/set_health"), row).await?;
            let is_down = |state| state == TrunkState::Down;
            if is_down(trunk.health.state) != is_down(health.state) {
                self.dispatch_bump(trunk.workspace.seq64()).await?;
            }
        }
        Ok(())
    }

    /// The trunk, if it is the one that was looked at, and not known to be so.
    async fn trunk_otherwise(
        &self,
        id: TrunkId,
        updated_at: Timestamp,
        health: &TrunkHealth,
    ) -> Result<Option<TrunkRecord>, StoreError> {
        let trunk = self.trunk_fetch(id).await?;
        Ok(trunk.filter(|t| t.updated_at == updated_at && t.health != *health))
    }

    /// The trunk of a workspace's simulated numbers, made if it is not there.
    pub(super) async fn trunk_simulated(&self, ws: WorkspaceId) -> Result<TrunkId, StoreError> {
        // The second look finds what another transaction made before the insertion.
        for _ in 0..2 {
            let found = self.one(pg!("trunk/simulated"), params![ws.seq64()], |r| r.id(0)).await?;
            if let Some(trunk) = found {
                return Ok(trunk);
            }
            let row = params![self.now(), ws.seq64()];
            let made = self.one(pg!("trunk/insert_simulated"), row, |r| r.int(0)).await?;
            if let Some(seq) = made {
                return Ok(TrunkId::of(seq, self.now().as_millis()));
            }
        }
        Err(corrupt("lack of a simulated trunk"))
    }

    /// There is at least one, and each is the workspace's and of this kind; and will be until this
    /// transaction ends.
    pub(super) async fn trunks_must_fit(
        &self,
        ws: WorkspaceId,
        integration: Integration,
        trunks: &[TrunkId],
    ) -> Result<(), PhoneError> {
        let seqs: BTreeSet<i64> = trunks.iter().map(TrunkId::seq64).collect();
        let key = params![seqs.into_iter().collect::<Vec<i64>>(), ws.seq64(), integration.as_str()];
        self.exec(pg!("trunk/share"), key).await?;
        let fits = |t: &TrunkRecord| t.workspace == ws && t.integration == integration;
        for id in trunks {
            self.trunk_fetch(*id).await?.filter(fits).ok_or(PhoneError::NoSuchTrunk)?;
        }
        if trunks.is_empty() { Err(PhoneError::NoSuchTrunk) } else { Ok(()) }
    }

    /// Over which trunks these numbers go out, in the order of preference.
    pub(super) async fn phone_trunks(
        &self,
        phones: &[i64],
    ) -> Result<BTreeMap<i64, Vec<TrunkId>>, StoreError> {
        let mut trunks: BTreeMap<i64, Vec<TrunkId>> = BTreeMap::new();
        let rows = self
            .all(pg!("phone/trunks"), params![phones], |r| Ok((r.int::<i64>(0)?, r.id(1)?)))
            .await?;
        for (phone, trunk) in rows {
            trunks.entry(phone).or_default().push(trunk);
        }
        Ok(trunks)
    }

    /// Lets a number go out over these, in this order, and no others.
    pub(super) async fn phone_set_trunks(
        &self,
        phone: PhoneId,
        trunks: &[TrunkId],
    ) -> Result<(), StoreError> {
        self.exec(pg!("phone/drop_trunks"), params![phone.seq64()]).await?;
        let seqs: Vec<i64> = trunks.iter().map(TrunkId::seq64).collect();
        self.exec(pg!("phone/add_trunk"), params![phone.seq64(), seqs]).await?;
        Ok(())
    }

    /// The trunks of all the workspace's numbers, without what is live: by number in the order of
    /// preference.
    pub(super) async fn dispatch_trunks(
        &self,
        ws: i64,
    ) -> Result<Vec<(i64, TrunkHead)>, StoreError> {
        self.all(pg!("dispatch/trunks"), params![ws], |r| Ok((r.int(0)?, trunk_head(r)?))).await
    }

    /// One that is not deleted, of whatever workspace and kind.
    async fn trunk_fetch(&self, id: TrunkId) -> Result<Option<TrunkRecord>, StoreError> {
        self.one(pg!("trunk/fetch"), params![id.seq64(), id.secs()], trunk_record).await
    }

    /// Until this transaction ends nobody else changes it or binds a number to it.
    async fn trunk_hold(&self, id: TrunkId) -> Result<(), StoreError> {
        self.exec(pg!("trunk/hold"), params![id.seq64(), id.secs()]).await?;
        Ok(())
    }

    /// A SIP trunk of the workspace.
    async fn trunk_own(&self, ws: WorkspaceId, id: TrunkId) -> Result<TrunkRecord, TrunkError> {
        let own = |t: &TrunkRecord| t.workspace == ws && t.integration == Integration::Sip;
        self.trunk_fetch(id).await?.filter(own).ok_or(TrunkError::NotFound)
    }

    async fn trunk_set_sip(&self, trunk: i64, sip: &SipSpec) -> Result<(), StoreError> {
        let row = params![
            trunk,
            sip.host,
            sip.port,
            sip.transport.as_str(),
            sip.username,
            sip.password.as_ref().map(|p| p.0.as_str()),
            sip.from_domain,
            sip.proxy,
            sip.register,
            sip.keep_alive.map(millis),
            sip.caller_id.as_str(),
            sip.plus,
            sip.verify_tls,
        ];
        self.exec(pg!("trunk/set_sip"), row).await?;
        Ok(())
    }
}

fn trunk_record(r: &Row) -> Result<TrunkRecord, StoreError> {
    let limits = limits(r, 5)?;
    let spec = match r.text_opt(12)? {
        None => None,
        Some(name) => Some(TrunkSpec {
            name,
            sip: sip_spec(r)?,
            limits,
            ring_timeout: r.duration_opt(13)?,
            max_call_s: r.int_opt(14)?,
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
            detail: r.text_opt(9)?,
            since: r.time_opt(10)?,
        },
        updated_at: r.time(11)?,
    })
}

/// From the twelve columns beginning with `host`.
fn sip_spec(r: &Row) -> Result<SipSpec, StoreError> {
    Ok(SipSpec {
        host: r.text(15)?,
        port: r.int_opt(16)?,
        transport: r.word(17, Transport::parse)?,
        username: r.text_opt(18)?,
        password: r.text_opt(19)?.map(Secret),
        from_domain: r.text_opt(20)?,
        proxy: r.text_opt(21)?,
        register: r.flag(22)?,
        keep_alive: r.duration_opt(23)?,
        caller_id: r.word(24, CallerIdIn::parse)?,
        plus: r.flag(25)?,
        verify_tls: r.flag(26)?,
    })
}

/// From the columns behind (number, place).
fn trunk_head(r: &Row) -> Result<TrunkHead, StoreError> {
    Ok(TrunkHead {
        id: r.id(2)?,
        limits: limits(r, 4)?,
        live: 0,
        slots: Vec::new(),
        paused_until: r.time_opt(6)?,
        is_down: r.flag(7)?,
        max_call_s: r.int_opt(8)?,
    })
}
