//! What users change while calls run: settings, limits, prices, whole batches; who is not to be
//! called; calls that are taken back.

use outdial_core::batch::BatchSettings;
use outdial_core::budget::Budget;
use outdial_core::hours::CallingHours;
use outdial_core::id::{BatchId, DncId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::CallingRules;
use outdial_ports::store::{
    BatchPatch, CallQuery, CallSort, CallView, DncAddError, DncDeleteError, NewDnc, PhonePatch,
};
use outdial_ports::{Clock, Store};

use super::{Client, draw, refused};
use crate::checker::Violation;
use crate::process::{Parts, Process};
use crate::weather::FAULT;

impl Client {
    /// Limits of a workspace or of a number turned up and down.
    pub(super) async fn change_limits(
        &mut self,
        tenant: usize,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let rng = &mut self.rng;
        let tenant = &mut self.tenants[tenant];
        if rng.percent(35) {
            let settings = draw::workspace(rng, &tenant.settings);
            parts.watch.note("client", &format!("settings of {}: {settings:?}", tenant.id.seq()));
            tenant.settings = settings.clone();
            must!("settings_update", store.settings_update(tenant.id, None, settings).await);
            return Ok(());
        }
        let phone = *rng.pick(&tenant.phones);
        let cps = *rng.pick(&[None, Some(0.2), Some(1.0), Some(2.5), Some(5.0), Some(20.0)]);
        let channels = rng.percent(60).then(|| rng.range(1..=8) as u32);
        let a_day = rng.percent(30).then(|| rng.range(1..=60) as u32);
        let price = rng.percent(30).then(|| *rng.pick(&[None, Some(0), Some(7), Some(50_001)]));
        let what = format!(
            "limits of {}: {cps:?} CPS, {channels:?} channels, {a_day:?} a day, price {price:?}",
            phone.seq()
        );
        parts.watch.note("client", &what);
        let patch = PhonePatch {
            agent: None,
            trunks: None,
            calls_per_second: Some(cps),
            channels: Some(channels),
            calls_per_day: Some(a_day),
            price,
        };
        must!("phone_update", store.phone_update(tenant.id, phone, patch).await);
        Ok(())
    }

    /// All batches of a workspace get hours that are closed now or a budget that is nothing, or its
    /// numbers a cap of one call a day: whatever was planned before must not leave.
    pub(crate) async fn tighten(
        &mut self,
        ws: WorkspaceId,
        process: &Process,
        parts: &Parts,
    ) -> Result<(), Violation> {
        self.look_around(parts);
        let Some(tenant) = self.tenants.iter().position(|t| t.id == ws) else { return Ok(()) };
        match self.tighten_all(tenant, parts, &*process.store).await {
            Err(told) if told.promise == FAULT => Ok(()),
            done => done,
        }
    }

    async fn tighten_all(
        &mut self,
        tenant: usize,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let tenant = &self.tenants[tenant];
        let how = self.rng.range(0..=4);
        parts.watch.note("client", &format!("tightens {} in way {how}", tenant.id.seq()));
        if how == 0 {
            for &phone in &tenant.phones {
                let patch = PhonePatch { calls_per_day: Some(Some(1)), ..PhonePatch::default() };
                must!("phone_update", store.phone_update(tenant.id, phone, patch).await);
            }
            return Ok(());
        }
        for &batch in &tenant.batches {
            let Some(shown) = must!("batch_fetch", store.batch_fetch(batch).await) else {
                return Err(Violation::new("store", format!("batch {batch} is not shown")));
            };
            let mut settings = shown.settings;
            if how == 1 {
                let seconds = u64::from(settings.max_call_s).saturating_sub(1);
                settings.budget =
                    Some(Budget { seconds: Some(seconds), micros: None, per_day: false });
            } else {
                settings.calling_hours = draw::closed(parts.clock.now());
            }
            let patch = BatchPatch { settings: Some(settings), ..BatchPatch::default() };
            must!("batch_update", store.batch_update(tenant.id, batch, patch).await);
        }
        Ok(())
    }

    /// Switches the calling rules off and gives every batch all hours: who is nobody knows where is
    /// not called by the rules, and changed hours may have left no instant for somebody.
    pub(crate) async fn at_any_hour(
        &mut self,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        parts.watch.note("client", "lifts all rules and hours");
        parts.watch.count("held for good");
        for tenant in &mut self.tenants {
            tenant.settings.calling_rules = CallingRules::Off;
            let settings = draw::healed(&tenant.settings);
            must!("settings_update", store.settings_update(tenant.id, None, settings).await);
            for &batch in &tenant.batches {
                let Some(shown) = must!("batch_fetch", store.batch_fetch(batch).await) else {
                    return Err(Violation::new("store", format!("batch {batch} is not shown")));
                };
                let settings =
                    BatchSettings { calling_hours: CallingHours::always(), ..shown.settings };
                let patch = BatchPatch { settings: Some(settings), ..BatchPatch::default() };
                must!("batch_update", store.batch_update(tenant.id, batch, patch).await);
            }
        }
        Ok(())
    }

    /// A batch is changed.
    pub(super) async fn edit(
        &mut self,
        tenant: usize,
        batch: BatchId,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let Some(shown) = must!("batch_fetch", store.batch_fetch(batch).await) else {
            return Err(Violation::new("store", format!("batch {batch} is not shown")));
        };
        let tenant = &self.tenants[tenant];
        let patch = BatchPatch {
            name: self.rng.percent(10).then(|| "renamed".to_owned()),
            settings: self
                .rng
                .percent(90)
                .then(|| draw::edited(&mut self.rng, &shown.settings, parts.clock.now())),
            was: None,
            numbers: self.rng.percent(20).then(|| draw::numbers(&mut self.rng, &tenant.phones)),
        };
        parts.watch.note("client", &format!("changes batch {}: {patch:?}", batch.seq()));
        parts.watch.count("changed");
        must!("batch_update", store.batch_update(tenant.id, batch, patch).await);
        Ok(())
    }

    /// A call is taken back.
    pub(super) async fn take_back(
        &mut self,
        tenant: usize,
        batch: BatchId,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let calls = calls(batch, store).await?;
        if calls.is_empty() {
            return Ok(());
        }
        // Rather one that is not over.
        let open: Vec<_> = calls.iter().filter(|c| c.disposition.is_none()).collect();
        let call = match open.is_empty() {
            true => self.rng.pick(&calls).id,
            false => self.rng.pick(&open).id,
        };
        let ws = self.tenants[tenant].id;
        must!("call_cancel", store.call_cancel(ws, call).await);
        Ok(())
    }

    /// Somebody who was called does not want to be called again; or a wish is taken off the list.
    pub(super) async fn wish(
        &mut self,
        tenant: usize,
        batch: BatchId,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let ws = self.tenants[tenant].id;
        if self.rng.percent(30) {
            let tenant = &mut self.tenants[tenant];
            tenant.settings.do_not_call = !tenant.settings.do_not_call;
            let settings = tenant.settings.clone();
            must!("settings_update", store.settings_update(ws, None, settings).await);
        }
        if self.rng.percent(25)
            && let Some((id, _)) = self.tenants[tenant].listed.pop()
        {
            return match store.dnc_delete(ws, id).await {
                Ok(()) => Ok(()),
                Err(DncDeleteError::NotFound) => {
                    Err(Violation::new("store", format!("entry {id} is not found")))
                }
                Err(error) => Err(refused("dnc_delete")(&error)),
            };
        }
        let calls = calls(batch, store).await?;
        let called: Vec<_> = calls.iter().filter(|c| !c.attempts.is_empty()).collect();
        if called.is_empty() {
            return Ok(());
        }
        let call = *self.rng.pick(&called);
        let token = self.rng.pick(&call.attempts).token;
        if let Some(id) = add(ws, batch, call.phone, token, store).await? {
            self.tenants[tenant].listed.push((id, call.phone));
        }
        Ok(())
    }
}

async fn add(
    ws: WorkspaceId,
    batch: BatchId,
    phone: PhoneNumber,
    token: [u8; 16],
    store: &dyn Store,
) -> Result<Option<DncId>, Violation> {
    let new = NewDnc { phone, batch, token, kind: Some("customer_request".to_owned()) };
    match store.dnc_add(ws, new).await {
        Ok(record) => Ok(Some(record.id)),
        Err(DncAddError::AlreadyListed) => Ok(None),
        Err(error) => Err(refused("dnc_add")(&error)),
    }
}

async fn calls(batch: BatchId, store: &dyn Store) -> Result<Vec<CallView>, Violation> {
    let query = CallQuery {
        page: 1,
        limit: 100,
        filter: Vec::new(),
        sort: CallSort::CreatedAt,
        descending: false,
        search: None,
    };
    Ok(must!("call_list", store.call_list(batch, query).await).calls)
}
