//! What users do: batches of all sorts, numbers added and added again, stops, starts, deletes,
//! limits turned up and down, wishes not to be called. All drawn from the seed.

/// The store must take it.
macro_rules! must {
    ($what:literal, $answer:expr) => {
        $answer.map_err(|e| $crate::client::refused($what)(&e))?
    };
}

mod adding;
mod draw;
mod edits;

use std::sync::Arc;

use outdial_core::batch::{BatchSettings, BatchState};
use outdial_core::dispatcher::Line;
use outdial_core::id::{AgentId, BatchId, DncId, PhoneId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::WorkspaceSettings;
use outdial_ports::store::{
    AgentSpec, BatchPatch, BatchStart, ChunkAdd, Integration, NewBatch, NewKey, NewPhone,
    NewWorkspace, PhonePatch, RequestBegin, Scope,
};
use outdial_ports::{Clock, Store};
use tokio::sync::Notify;

use crate::checker::Violation;
use crate::process::{Parts, Process};
use crate::rng::Rng;
use crate::watch::Caller;
use crate::weather::{FAULT, is_meant};
pub(crate) use draw::pause;

/// Channels of the trunk of simulated numbers.
const TRUNK_CHANNELS: u32 = 500;
/// Batches of a workspace that are not deleted, at most.
const BATCHES: usize = 4;

/// All users of a world.
pub(crate) struct Client {
    rng: Rng,
    tenants: Vec<Tenant>,
    requests: u64,
    last_chunk: Option<(RequestBegin, ChunkAdd)>,
    /// Everybody who is added is of this class.
    all_of: Option<Arc<str>>,
    /// Hurries the process.
    wake: Option<Arc<Notify>>,
}

/// A workspace.
struct Tenant {
    id: WorkspaceId,
    agent: AgentId,
    phones: Vec<PhoneId>,
    /// Whom its users call.
    people: Vec<PhoneNumber>,
    batches: Vec<BatchId>,
    settings: WorkspaceSettings,
    /// Whom its users have listed.
    listed: Vec<(DncId, PhoneNumber)>,
}

/// The store refused what it has to take, unless that is meant.
fn refused(what: &str) -> impl FnOnce(&dyn std::fmt::Display) -> Violation + '_ {
    move |error| {
        let text = format!("{what}: {error}");
        Violation::new(if is_meant(&text) { FAULT } else { "store" }, text)
    }
}

impl Client {
    /// Makes workspaces with their calling numbers.
    pub(crate) async fn new(
        mut rng: Rng,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<Self, Violation> {
        let mut client = Self {
            rng: rng.fork(),
            tenants: Vec::new(),
            requests: 0,
            last_chunk: None,
            all_of: None,
            wake: None,
        };
        for n in 0..rng.range(1..=2) {
            let tenant = client.tenant(n, parts, store).await?;
            client.tenants.push(tenant);
        }
        Ok(client)
    }

    async fn tenant(
        &mut self,
        n: u64,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<Tenant, Violation> {
        let key = NewKey {
            hash: [n as u8; 32],
            hint: String::new(),
            name: String::new(),
            scopes: Scope::ALL.to_vec(),
            expires_at: None,
        };
        let settings = draw::tenant(&mut self.rng, parts.clock.now());
        parts.watch.note("client", &format!("tenant {n}: {settings:?}"));
        let new = NewWorkspace { name: format!("tenant {n}"), key, settings: settings.clone() };
        let id = must!("workspace_create", store.workspace_create(new).await).workspace;
        parts.watch.look(|seen, now| {
            if settings.do_not_call {
                seen.checkers.wishes.switched_on(id, now);
            }
            seen.settings_changed(id, settings.clone(), now);
            Ok(())
        });
        let spec = AgentSpec {
            name: "agent".to_owned(),
            languages: vec!["en-US".to_owned()],
            variables: Vec::new(),
            connection: "{}".to_owned(),
        };
        let agent = must!("agent_create", store.agent_create(id, spec).await).id;
        let mut phones = Vec::new();
        for line in 0..self.rng.range(1..=3) {
            let number = PhoneNumber::from_digits(13_105_550_100 + 10 * n + line);
            let integration = Integration::Simulated;
            let new = NewPhone { number, integration, trunks: Vec::new(), agent: Some(agent) };
            let phone = must!("phone_create", store.phone_create(id, new).await);
            phones.push(phone.id);
            parts.watch.look(|seen, now| {
                let mut limits = phone.limits;
                seen.checkers.pace.set_line(Line::Number(phone.id), now, limits);
                seen.model.phones.insert(phone.id, (limits, phone.price));
                limits.channels = Some(TRUNK_CHANNELS);
                seen.checkers.pace.set_line(Line::Trunk(phone.trunks[0]), now, limits);
                let caller = Caller { workspace: id, phone: phone.id, trunk: phone.trunks[0] };
                seen.callers.insert(number, caller);
                Ok(())
            });
        }
        let count = self.rng.range(20..=80);
        let people = (0..count).map(|i| draw::person(&mut self.rng, i)).collect();
        let (batches, listed) = (Vec::new(), Vec::new());
        Ok(Tenant { id, agent, phones, people, batches, settings, listed })
    }

    /// Does something, or is told that it cannot be done now.
    pub(crate) async fn act(&mut self, process: &Process, parts: &Parts) -> Result<(), Violation> {
        self.look_around(parts);
        self.wake = Some(Arc::clone(&process.wake));
        match self.do_something(process, parts).await {
            Err(told) if told.promise == FAULT => {
                parts.watch.note("client", &told.what);
                parts.watch.count("client told of a fault");
                Ok(())
            }
            done => done,
        }
    }

    /// What was done although its answer was lost is seen here.
    fn look_around(&mut self, parts: &Parts) {
        parts.watch.look(|seen, _| {
            for tenant in &mut self.tenants {
                let batches = seen.model.batches.iter();
                let there = batches
                    .filter(|(_, b)| b.workspace == tenant.id && b.state != BatchState::Deleted);
                tenant.batches = there.map(|(id, _)| *id).collect();
                if let Some(settings) = seen.model.settings.get(&tenant.id) {
                    tenant.settings = settings.clone();
                }
                let listed = seen.model.listed.iter().filter(|((ws, _), _)| *ws == tenant.id);
                tenant.listed = listed.map(|((_, phone), id)| (*id, *phone)).collect();
            }
            Ok(())
        });
    }

    async fn do_something(&mut self, process: &Process, parts: &Parts) -> Result<(), Violation> {
        let tenant = self.rng.range(0..=self.tenants.len() as u64 - 1) as usize;
        let store = Arc::clone(&process.store);
        let dice = self.rng.range(0..=99);
        let batches = &self.tenants[tenant].batches;
        if batches.is_empty() || (dice < 12 && batches.len() < BATCHES) {
            self.create(tenant, parts, &*store).await?;
        } else {
            let batch = *self.rng.pick(&self.tenants[tenant].batches.clone());
            match dice {
                0..=35 => self.add_some(tenant, batch, parts, &*store).await?,
                36..=41 => self.stop(tenant, batch, parts, &*store).await?,
                42..=53 => self.start(tenant, batch, None, parts, &*store).await?,
                54..=58 => self.start_with_data(tenant, batch, parts, &*store).await?,
                59..=61 => self.delete(tenant, batch, parts, &*store).await?,
                62..=65 => self.repeat(&*store).await?,
                66..=73 => self.edit(tenant, batch, parts, &*store).await?,
                74..=80 => self.wish(tenant, batch, &*store).await?,
                81..=84 => self.take_back(tenant, batch, &*store).await?,
                _ => self.change_limits(tenant, parts, &*store).await?,
            }
        }
        // A hint may be lost; polling is the truth.
        if self.rng.percent(70) {
            process.wake.notify_one();
        }
        Ok(())
    }

    /// Adds people to a batch and hurries the process.
    pub(crate) async fn rush(
        &mut self,
        batch: BatchId,
        class: &str,
        process: &Process,
        parts: &Parts,
    ) -> Result<(), Violation> {
        self.look_around(parts);
        let tenant = self.tenants.iter().position(|t| t.batches.contains(&batch));
        let Some(tenant) = tenant else { return Ok(()) };
        let people = self.some_people(tenant);
        self.all_of = Some(Arc::from(class));
        let done = self.add(tenant, batch, None, &people, parts, &*process.store).await;
        self.all_of = None;
        process.wake.notify_one();
        match done {
            Err(told) if told.promise == FAULT => Ok(()),
            done => done,
        }
    }

    /// Lifts all limits and starts everything that is not done: from here on all must end.
    pub(crate) async fn heal(&mut self, process: &Process, parts: &Parts) -> Result<(), Violation> {
        let store = Arc::clone(&process.store);
        self.look_around(parts);
        for tenant in 0..self.tenants.len() {
            let (ws, settings) = (self.tenants[tenant].id, &self.tenants[tenant].settings);
            let settings = draw::healed(settings);
            must!("settings_update", store.settings_update(ws, None, settings).await);
            for phone in self.tenants[tenant].phones.clone() {
                let patch = PhonePatch {
                    agent: None,
                    trunks: None,
                    calls_per_second: Some(None),
                    channels: Some(None),
                    calls_per_day: Some(None),
                    price: Some(Some(0)),
                };
                must!("phone_update", store.phone_update(ws, phone, patch).await);
            }
            for batch in self.tenants[tenant].batches.clone() {
                let Some(shown) = must!("batch_fetch", store.batch_fetch(batch).await) else {
                    return Err(Violation::new("store", format!("batch {batch} is not shown")));
                };
                let settings = BatchSettings { budget: None, canary: None, ..shown.settings };
                let patch = BatchPatch { settings: Some(settings), ..BatchPatch::default() };
                must!("batch_update", store.batch_update(ws, batch, patch).await);
                if shown.state != BatchState::Completed {
                    self.start(tenant, batch, None, parts, &*store).await?;
                }
            }
        }
        process.wake.notify_one();
        Ok(())
    }

    async fn create(
        &mut self,
        tenant: usize,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let workspace = self.tenants[tenant].id;
        let numbers = draw::numbers(&mut self.rng, &self.tenants[tenant].phones);
        let settings = draw::settings(&mut self.rng, parts.clock.now());
        let text = format!("{settings:?}");
        let new = NewBatch { workspace, name: "batch".to_owned(), settings, numbers };
        let batch = must!("batch_create", store.batch_create(new).await);
        parts.watch.note("client", &format!("makes batch {}: {text}", batch.seq()));
        self.tenants[tenant].batches.push(batch);
        Ok(())
    }

    async fn start(
        &mut self,
        tenant: usize,
        batch: BatchId,
        lane: Option<u32>,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        parts.watch.note("client", &format!("starts batch {}, lane {lane:?}", batch.seq()));
        let start = BatchStart { numbers: None, call_data_lane: lane };
        must!("batch_start", store.batch_start(self.tenants[tenant].id, batch, start).await);
        Ok(())
    }

    async fn start_with_data(
        &mut self,
        tenant: usize,
        batch: BatchId,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let ws = self.tenants[tenant].id;
        let context = must!("batch_ingest_context", store.batch_ingest_context(ws, batch).await);
        let Some(lane) = context.map(|c| c.free_lane) else {
            return Err(Violation::new("store", format!("batch {batch} is not shown")));
        };
        parts.watch.count("started with callData");
        let people = self.some_people(tenant);
        self.add(tenant, batch, Some(lane), &people, parts, store).await?;
        self.start(tenant, batch, Some(lane), parts, store).await
    }

    async fn stop(
        &mut self,
        tenant: usize,
        batch: BatchId,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        parts.watch.note("client", &format!("stops batch {}", batch.seq()));
        let found = must!("batch_stop", store.batch_stop(self.tenants[tenant].id, batch).await);
        self.must_be_there(found, batch)
    }

    async fn delete(
        &mut self,
        tenant: usize,
        batch: BatchId,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        parts.watch.note("client", &format!("deletes batch {}", batch.seq()));
        parts.watch.count("deleted");
        let found = must!("batch_delete", store.batch_delete(self.tenants[tenant].id, batch).await);
        self.must_be_there(found, batch)?;
        self.tenants[tenant].batches.retain(|b| *b != batch);
        Ok(())
    }

    fn must_be_there(&self, found: bool, batch: BatchId) -> Result<(), Violation> {
        match found {
            true => Ok(()),
            false => Err(Violation::new("store", format!("batch {batch} is not found"))),
        }
    }
}
