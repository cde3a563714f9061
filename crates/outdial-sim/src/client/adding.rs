//! People who are added to batches: requests of one chunk, and chunks that are sent again.

use std::time::Duration;

#[cfg(test)]
use outdial_core::batch::BatchSettings;
use outdial_core::id::BatchId;
use outdial_core::phone::PhoneNumber;
#[cfg(test)]
use outdial_core::time::Timestamp;
#[cfg(test)]
use outdial_ports::store::NewBatch;
use outdial_ports::store::{
    ChunkAdd, ChunkLane, ChunkRecord, RequestBegin, RequestLookup, StoredAnswer,
};
use outdial_ports::{Clock, Store};

use super::{Client, draw};
use crate::checker::Violation;
use crate::process::Parts;
#[cfg(test)]
use crate::process::Process;

impl Client {
    /// Some of those whom a workspace calls.
    pub(super) fn some_people(&mut self, tenant: usize) -> Vec<PhoneNumber> {
        let people = &self.tenants[tenant].people;
        let from = self.rng.range(0..=people.len() as u64 - 1) as usize;
        let count = self.rng.range(1..=24) as usize;
        people.iter().cycle().skip(from).take(count.min(people.len())).copied().collect()
    }

    /// Adds some people; now and then once more just afterwards, while the dialer has them in hand,
    /// and somewhere else.
    pub(super) async fn add_some(
        &mut self,
        tenant: usize,
        batch: BatchId,
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let people = self.some_people(tenant);
        self.add(tenant, batch, None, &people, parts, store).await?;
        while self.rng.percent(30) {
            parts.clock.sleep(Duration::from_millis(self.rng.range(0..=60))).await;
            self.add(tenant, batch, None, &people, parts, store).await?;
        }
        // Changed at once: what is being planned rests on what was.
        if self.rng.percent(35) {
            self.wake.iter().for_each(|wake| wake.notify_one());
            parts.clock.sleep(Duration::from_millis(self.rng.range(0..=60))).await;
            match self.rng.percent(50) {
                true => self.edit(tenant, batch, parts, store).await?,
                false => self.change_limits(tenant, parts, store).await?,
            }
        }
        Ok(())
    }

    pub(super) async fn add(
        &mut self,
        tenant: usize,
        batch: BatchId,
        lane: Option<u32>,
        people: &[PhoneNumber],
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<(), Violation> {
        let chunk = self.begin_add(tenant, batch, lane, people, parts, store).await?;
        self.send(chunk, store).await
    }

    /// A request to add these people, begun; its only chunk is still to be sent.
    async fn begin_add(
        &mut self,
        tenant: usize,
        batch: BatchId,
        lane: Option<u32>,
        people: &[PhoneNumber],
        parts: &Parts,
        store: &dyn Store,
    ) -> Result<ChunkAdd, Violation> {
        let shown = must!("batch_fetch", store.batch_fetch(batch).await);
        let Some(hours) = shown.map(|b| b.settings.calling_hours) else {
            return Err(Violation::new("store", format!("batch {batch} is not shown")));
        };
        let now = parts.clock.now();
        let said = (&hours, self.tenants[tenant].settings.calling_rules);
        let mut records: Vec<ChunkRecord> =
            people.iter().map(|phone| draw::record(&mut self.rng, *phone, said, now)).collect();
        for record in records.iter_mut().filter(|_| self.all_of.is_some()) {
            record.class = self.all_of.clone().unwrap_or_default();
            record.blocked = None;
        }
        self.requests += 1;
        let begin = RequestBegin {
            workspace: self.tenants[tenant].id,
            scope: "POST /api/call/addCallsToBatch".to_owned(),
            key: self.rng.percent(50).then(|| format!("key {}", self.requests)),
            body_sha256: std::array::from_fn(|i| (self.requests >> (8 * (i % 8))) as u8),
            context: "{}".to_owned(),
        };
        let RequestLookup::Begun(begun) = must!("request_begin", store.request_begin(&begin).await)
        else {
            return Err(Violation::new("I11", "a request that nobody made before is not new"));
        };
        let what = format!("adds {} to batch {}, lane {lane:?}", records.len(), batch.seq());
        parts.watch.note("client", &what);
        let chunk = ChunkAdd {
            request: begun.request,
            chunk_num: 1,
            batch,
            agent: (self.tenants[tenant].agent, 1),
            lane: lane.map_or(ChunkLane::Current, ChunkLane::Lane),
            auto_start: lane.is_none(),
            records,
        };
        self.last_chunk = Some((begin, chunk.clone()));
        Ok(chunk)
    }

    async fn send(&self, chunk: ChunkAdd, store: &dyn Store) -> Result<(), Violation> {
        let request = chunk.request;
        must!("call_add_chunk", store.call_add_chunk(chunk).await);
        let answer = StoredAnswer { status: 200, body: b"{}".to_vec().into() };
        must!("request_finish", store.request_finish(request, answer, true).await);
        Ok(())
    }

    /// A new batch is made, and people are added to it by somebody who does not get on with it
    /// before `meanwhile` is over.
    #[cfg(test)]
    pub(crate) async fn add_slowly(
        &mut self,
        process: &Process,
        parts: &Parts,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<(), Violation> {
        let store = &*process.store;
        self.create(0, parts, store).await?;
        let batch = *self.tenants[0].batches.last().expect("it was made just before");
        let people = self.some_people(0);
        let chunk = self.begin_add(0, batch, None, &people, parts, store).await?;
        meanwhile.await;
        self.send(chunk, store).await
    }

    /// A batch that is never closed and expires then, and some of its workspace's people in it.
    #[cfg(test)]
    pub(crate) async fn add_to_expiring(
        &mut self,
        expires_at: Timestamp,
        process: &Process,
        parts: &Parts,
    ) -> Result<(), Violation> {
        let (workspace, numbers) = (self.tenants[0].id, self.tenants[0].phones.clone());
        let settings = BatchSettings { expires_at: Some(expires_at), ..BatchSettings::default() };
        let new = NewBatch { workspace, name: "expiring".to_owned(), settings, numbers };
        let batch = must!("batch_create", process.store.batch_create(new).await);
        self.rush(batch, "Asia/Kolkata;IN", process, parts).await
    }

    /// The same chunk again: nothing may come of it. What may be forgotten is a new request, and
    /// nobody sends it as the old one.
    pub(super) async fn repeat(&self, store: &dyn Store) -> Result<(), Violation> {
        if let Some((begin, chunk)) = self.last_chunk.clone()
            && self.tenants.iter().any(|t| t.batches.contains(&chunk.batch))
        {
            match must!("request_lookup", store.request_lookup(&begin).await) {
                RequestLookup::Fresh => {}
                _ => drop(must!("call_add_chunk", store.call_add_chunk(chunk).await)),
            }
        }
        Ok(())
    }
}
