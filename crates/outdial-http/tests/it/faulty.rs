//! A store that fails as it is told to, in front of a real one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use outdial_core::attempt::{AttemptEnd, AttemptProgress};
use outdial_core::call::CallNext;
use outdial_core::dispatcher::{Ask, Bucket, Candidate, Group, Head};
use outdial_core::id::{
    AgentId, AttemptId, BatchId, CallId, DeliveryId, DncId, KeyId, PhoneId, RequestId, TrunkId,
    WebhookId, WorkspaceId,
};
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    AgentError, AgentRecord, AgentSpec, Backlog, BatchCreateError, BatchList, BatchListQuery,
    BatchPatch, BatchRecord, BatchStart, BatchStartError, BatchUpdateError, CallCanceled, CallList,
    CallQuery, CallView, ChunkAdd, ChunkError, CommitError, CommitOutcome, DeliveryJob,
    DeliveryList, DeliveryNext, DeliveryQuery, DeliveryTry, DncAddError, DncDeleteError, DncList,
    DncListQuery, DncRecord, EventBacklog, EventPage, FinishResult, IngestContext, KeyError,
    KeyRecord, KeyRotation, NewBatch, NewDnc, NewKey, NewPhone, NewPlan, NewWebhook, NewWorkspace,
    NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding, OpenAttempt, PhoneError,
    PhonePatch, PhoneRecord, Principal, Replay, RequestBegin, RequestLookup, Secret, Settle,
    StoreError, StoredAnswer, StoredChunk, TrunkError, TrunkHealth, TrunkRecord, TrunkSpec,
    WebhookError, WebhookPatch, WebhookRecord, WorkspaceCreated, WorkspaceRecord,
};
use outdial_ports::{Mark, Store};
use tokio::sync::Notify;

/// How it fails.
#[derive(Default)]
pub(crate) struct Faults {
    /// Chunks that are not stored, by number, with the reason.
    pub(crate) chunks: Mutex<BTreeMap<u32, StoreError>>,
    /// So many chunks are stored and the answer is lost.
    pub(crate) lose_answers: AtomicU32,
    /// No request can be begun.
    pub(crate) begin: Mutex<Option<StoreError>>,
    /// Requests wait until `release` when they were begun.
    pub(crate) hold_begun: AtomicBool,
    /// Chunks wait until `release`.
    pub(crate) hold: AtomicBool,
    /// Whoever asks what calls wait for waits until `release`.
    pub(crate) hold_groups: AtomicBool,
    /// Something waits.
    pub(crate) held: Notify,
    /// Lets what waits go on.
    pub(crate) release: Notify,
    /// Before so many edits somebody else's edit of another field goes through.
    pub(crate) rivals: AtomicU32,
    /// How many chunks came through.
    pub(crate) added: AtomicU32,
}

impl Faults {
    /// Which of the rivals' edits goes first, if one does.
    fn rival(&self) -> Option<u32> {
        let less = |left: u32| left.checked_sub(1);
        let left = self.rivals.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).ok()?;
        Some(left - 1)
    }
}

/// The store.
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) faults: Arc<Faults>,
}

#[async_trait]
impl Store for Faulty {
    async fn request_begin(&self, r: &RequestBegin) -> Result<RequestLookup, StoreError> {
        let fault = self.faults.begin.lock().unwrap().clone();
        if let Some(e) = fault {
            return Err(e);
        }
        let released = self.faults.release.notified();
        let begun = self.inner.request_begin(r).await;
        if self.faults.hold_begun.load(Ordering::Acquire) {
            self.faults.held.notify_one();
            released.await;
        }
        begun
    }

    async fn call_add_chunk(&self, chunk: ChunkAdd) -> Result<StoredChunk, ChunkError> {
        let released = self.faults.release.notified();
        if self.faults.hold.load(Ordering::Acquire) {
            self.faults.held.notify_one();
            released.await;
        }
        let fault = self.faults.chunks.lock().unwrap().get(&chunk.chunk_num).cloned();
        if let Some(e) = fault {
            return Err(e.into());
        }
        let stored = self.inner.call_add_chunk(chunk).await?;
        self.faults.added.fetch_add(1, Ordering::AcqRel);
        let lose = |left: u32| left.checked_sub(1);
        let order = Ordering::AcqRel;
        match self.faults.lose_answers.fetch_update(order, Ordering::Acquire, lose) {
            Ok(_) => Err(StoreError::OutcomeUnknown("cut".to_owned()).into()),
            Err(_) => Ok(stored),
        }
    }

    async fn key_authenticate(&self, hash: [u8; 32]) -> Result<Option<Principal>, StoreError> {
        self.inner.key_authenticate(hash).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn secret_fetch(&self) -> Result<[u8; 32], StoreError> {
        self.inner.secret_fetch().await
    }

    async fn node_join(&self, spec: NodeSpec) -> Result<(), NodeJoinError> {
        self.inner.node_join(spec).await
    }

    async fn node_beat(&self, beat: NodeBeat) -> Result<NodeStanding, StoreError> {
        self.inner.node_beat(beat).await
    }

    async fn node_leave(&self) -> Result<(), StoreError> {
        self.inner.node_leave().await
    }

    async fn node_list(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.inner.node_list().await
    }

    async fn workspace_create(&self, new: NewWorkspace) -> Result<WorkspaceCreated, StoreError> {
        self.inner.workspace_create(new).await
    }

    async fn workspace_list(&self) -> Result<Vec<WorkspaceRecord>, StoreError> {
        self.inner.workspace_list().await
    }

    async fn settings_fetch(&self, ws: WorkspaceId) -> Result<WorkspaceSettings, StoreError> {
        self.inner.settings_fetch(ws).await
    }

    async fn settings_update(
        &self,
        ws: WorkspaceId,
        was: Option<WorkspaceSettings>,
        settings: WorkspaceSettings,
    ) -> Result<bool, StoreError> {
        if let Some(n) = self.faults.rival() {
            let mut theirs = self.inner.settings_fetch(ws).await?;
            theirs.concurrency = Some(100 + n);
            assert!(self.inner.settings_update(ws, None, theirs).await?);
        }
        self.inner.settings_update(ws, was, settings).await
    }

    async fn key_create(&self, ws: WorkspaceId, key: NewKey) -> Result<KeyRecord, StoreError> {
        self.inner.key_create(ws, key).await
    }

    async fn key_list(&self, ws: WorkspaceId) -> Result<Vec<KeyRecord>, StoreError> {
        self.inner.key_list(ws).await
    }

    async fn key_revoke(&self, ws: WorkspaceId, key: KeyId) -> Result<bool, StoreError> {
        self.inner.key_revoke(ws, key).await
    }
    async fn key_rotate(
        &self,
        ws: WorkspaceId,
        key: KeyId,
        rotation: KeyRotation,
    ) -> Result<KeyRecord, KeyError> {
        self.inner.key_rotate(ws, key, rotation).await
    }
    async fn key_touch(&self, keys: Vec<KeyId>) -> Result<u32, StoreError> {
        self.inner.key_touch(keys).await
    }

    async fn agent_create(&self, ws: WorkspaceId, a: AgentSpec) -> Result<AgentRecord, StoreError> {
        self.inner.agent_create(ws, a).await
    }

    async fn agent_list(&self, ws: WorkspaceId) -> Result<Vec<AgentRecord>, StoreError> {
        self.inner.agent_list(ws).await
    }

    async fn agent_fetch(
        &self,
        ws: WorkspaceId,
        id: AgentId,
    ) -> Result<Option<AgentRecord>, StoreError> {
        self.inner.agent_fetch(ws, id).await
    }

    async fn agent_update(
        &self,
        ws: WorkspaceId,
        id: AgentId,
        version: Option<u32>,
        a: AgentSpec,
    ) -> Result<AgentRecord, AgentError> {
        if let Some(n) = self.faults.rival() {
            let mut theirs = self.inner.agent_fetch(ws, id).await?.unwrap().spec;
            theirs.name = format!("rival {n}");
            self.inner.agent_update(ws, id, None, theirs).await?;
        }
        self.inner.agent_update(ws, id, version, a).await
    }

    async fn agent_delete(&self, ws: WorkspaceId, id: AgentId) -> Result<(), AgentError> {
        self.inner.agent_delete(ws, id).await
    }

    async fn phone_create(
        &self,
        ws: WorkspaceId,
        phone: NewPhone,
    ) -> Result<PhoneRecord, PhoneError> {
        self.inner.phone_create(ws, phone).await
    }

    async fn phone_list(&self, ws: WorkspaceId) -> Result<Vec<PhoneRecord>, StoreError> {
        self.inner.phone_list(ws).await
    }

    async fn phone_update(
        &self,
        ws: WorkspaceId,
        id: PhoneId,
        patch: PhonePatch,
    ) -> Result<PhoneRecord, PhoneError> {
        self.inner.phone_update(ws, id, patch).await
    }

    async fn phone_delete(&self, ws: WorkspaceId, id: PhoneId) -> Result<(), PhoneError> {
        self.inner.phone_delete(ws, id).await
    }

    async fn trunk_create(
        &self,
        ws: WorkspaceId,
        spec: TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError> {
        self.inner.trunk_create(ws, spec).await
    }

    async fn trunk_list(&self, ws: WorkspaceId) -> Result<Vec<TrunkRecord>, StoreError> {
        self.inner.trunk_list(ws).await
    }

    async fn trunk_list_all(&self) -> Result<Vec<TrunkRecord>, StoreError> {
        self.inner.trunk_list_all().await
    }

    async fn trunk_update(
        &self,
        ws: WorkspaceId,
        id: TrunkId,
        updated_at: Option<Timestamp>,
        spec: TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError> {
        if let Some(n) = self.faults.rival() {
            let all = self.inner.trunk_list(ws).await?;
            let mut theirs = all.into_iter().find(|t| t.id == id).unwrap().spec.unwrap();
            theirs.name = format!("rival {n}");
            self.inner.trunk_update(ws, id, None, theirs).await?;
        }
        self.inner.trunk_update(ws, id, updated_at, spec).await
    }

    async fn trunk_delete(&self, ws: WorkspaceId, id: TrunkId) -> Result<(), TrunkError> {
        self.inner.trunk_delete(ws, id).await
    }

    async fn trunk_report(
        &self,
        found: Vec<(TrunkId, Timestamp, TrunkHealth)>,
    ) -> Result<(), StoreError> {
        self.inner.trunk_report(found).await
    }

    async fn batch_create(&self, new: NewBatch) -> Result<BatchId, BatchCreateError> {
        self.inner.batch_create(new).await
    }

    async fn batch_fetch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError> {
        self.inner.batch_fetch(id).await
    }

    async fn batch_list(
        &self,
        ws: WorkspaceId,
        query: BatchListQuery,
    ) -> Result<BatchList, StoreError> {
        self.inner.batch_list(ws, query).await
    }

    async fn batch_ingest_context(
        &self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<Option<IngestContext>, StoreError> {
        self.inner.batch_ingest_context(ws, id).await
    }

    async fn batch_start(
        &self,
        ws: WorkspaceId,
        id: BatchId,
        start: BatchStart,
    ) -> Result<BatchRecord, BatchStartError> {
        self.inner.batch_start(ws, id, start).await
    }

    async fn batch_stop(&self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError> {
        self.inner.batch_stop(ws, id).await
    }

    async fn batch_delete(&self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError> {
        self.inner.batch_delete(ws, id).await
    }

    async fn batch_update(
        &self,
        ws: WorkspaceId,
        id: BatchId,
        patch: BatchPatch,
    ) -> Result<BatchRecord, BatchUpdateError> {
        if let Some(n) = self.faults.rival() {
            let mut theirs = self.inner.batch_fetch(id).await?.unwrap().settings;
            theirs.concurrency = Some(100 + n);
            let theirs = BatchPatch { settings: Some(theirs), ..BatchPatch::default() };
            self.inner.batch_update(ws, id, theirs).await?;
        }
        self.inner.batch_update(ws, id, patch).await
    }

    async fn batch_expire_due(&self, limit: u32) -> Result<u32, StoreError> {
        self.inner.batch_expire_due(limit).await
    }

    async fn batch_close_due(&self, limit: u32) -> Result<Vec<BatchId>, StoreError> {
        self.inner.batch_close_due(limit).await
    }

    async fn request_lookup(&self, r: &RequestBegin) -> Result<RequestLookup, StoreError> {
        self.inner.request_lookup(r).await
    }

    async fn request_finish(
        &self,
        request: RequestId,
        answer: StoredAnswer,
        is_final: bool,
    ) -> Result<(), StoreError> {
        self.inner.request_finish(request, answer, is_final).await
    }

    async fn request_close(&self, request: RequestId) -> Result<(), StoreError> {
        self.inner.request_close(request).await
    }

    async fn request_prune(&self, limit: u32) -> Result<u32, StoreError> {
        self.inner.request_prune(limit).await
    }

    async fn import_begin(
        &self,
        request: RequestId,
        new: NewBatch,
    ) -> Result<BatchId, outdial_ports::store::ImportError> {
        self.inner.import_begin(request, new).await
    }

    async fn import_finish(
        &self,
        end: outdial_ports::store::ImportFinish,
    ) -> Result<(), outdial_ports::store::ImportError> {
        self.inner.import_finish(end).await
    }

    async fn import_prune(&self, limit: u32) -> Result<u32, StoreError> {
        self.inner.import_prune(limit).await
    }

    async fn call_export(
        &self,
        batch: BatchId,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallView>, StoreError> {
        self.inner.call_export(batch, after, limit).await
    }

    async fn call_list(&self, batch: BatchId, query: CallQuery) -> Result<CallList, StoreError> {
        self.inner.call_list(batch, query).await
    }

    async fn call_fetch(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(BatchRecord, CallView)>, StoreError> {
        self.inner.call_fetch(ws, id).await
    }

    async fn call_cancel(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<CallCanceled>, StoreError> {
        self.inner.call_cancel(ws, id).await
    }
    async fn call_give_up(
        &self,
        ws: WorkspaceId,
        id: CallId,
        reason: &'static str,
    ) -> Result<bool, StoreError> {
        self.inner.call_give_up(ws, id, reason).await
    }

    async fn dnc_add(&self, ws: WorkspaceId, new: NewDnc) -> Result<DncRecord, DncAddError> {
        self.inner.dnc_add(ws, new).await
    }

    async fn dnc_list(&self, ws: WorkspaceId, query: DncListQuery) -> Result<DncList, StoreError> {
        self.inner.dnc_list(ws, query).await
    }

    async fn dnc_delete(&self, ws: WorkspaceId, id: DncId) -> Result<(), DncDeleteError> {
        self.inner.dnc_delete(ws, id).await
    }

    async fn dispatch_workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        self.inner.dispatch_workspaces().await
    }

    async fn dispatch_head(
        &self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Head, StoreError> {
        self.inner.dispatch_head(ws, also).await
    }

    async fn dispatch_groups(
        &self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Vec<Group>, StoreError> {
        let released = self.faults.release.notified();
        if self.faults.hold_groups.load(Ordering::Acquire) {
            self.faults.held.notify_one();
            released.await;
        }
        self.inner.dispatch_groups(ws, also).await
    }

    async fn dispatch_waiting(&self, batches: Vec<BatchId>) -> Result<Vec<Bucket>, StoreError> {
        self.inner.dispatch_waiting(batches).await
    }

    async fn dispatch_candidates(&self, asks: &[Ask]) -> Result<Vec<Candidate>, StoreError> {
        self.inner.dispatch_candidates(asks).await
    }

    async fn attempt_commit_intents(
        &self,
        ws: WorkspaceId,
        version: u64,
        plan: NewPlan,
    ) -> Result<CommitOutcome, CommitError> {
        self.inner.attempt_commit_intents(ws, version, plan).await
    }

    async fn attempt_record(
        &self,
        attempt: AttemptId,
        progress: AttemptProgress,
        dialog: Option<String>,
    ) -> Result<bool, StoreError> {
        self.inner.attempt_record(attempt, progress, dialog).await
    }

    async fn attempt_is_known(
        &self,
        attempt: AttemptId,
        token: [u8; 16],
    ) -> Result<bool, StoreError> {
        self.inner.attempt_is_known(attempt, token).await
    }

    async fn attempt_latest_of_others(&self, ws: WorkspaceId) -> Result<Option<Mark>, StoreError> {
        self.inner.attempt_latest_of_others(ws).await
    }

    async fn attempt_is_any(&self) -> Result<bool, StoreError> {
        self.inner.attempt_is_any().await
    }

    async fn attempt_fetch(&self, attempt: AttemptId) -> Result<Option<OpenAttempt>, StoreError> {
        self.inner.attempt_fetch(attempt).await
    }

    async fn attempt_finish(
        &self,
        attempt: AttemptId,
        end: AttemptEnd,
        next: CallNext,
        settle: Settle,
    ) -> Result<FinishResult, StoreError> {
        self.inner.attempt_finish(attempt, end, next, settle).await
    }

    async fn attempt_list_orphaned(&self, limit: u32) -> Result<Vec<OpenAttempt>, StoreError> {
        self.inner.attempt_list_orphaned(limit).await
    }

    async fn live_list_recalled(&self) -> Result<Vec<AttemptId>, StoreError> {
        self.inner.live_list_recalled().await
    }

    async fn limits_prune(&self, limit: u32) -> Result<u32, StoreError> {
        self.inner.limits_prune(limit).await
    }

    async fn event_number(&self, limit: u32) -> Result<u32, StoreError> {
        self.inner.event_number(limit).await
    }

    async fn event_list(
        &self,
        ws: WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<EventPage, StoreError> {
        self.inner.event_list(ws, after, limit).await
    }

    async fn batch_backlog(&self) -> Result<Backlog, StoreError> {
        self.inner.batch_backlog().await
    }

    async fn event_backlog(&self) -> Result<EventBacklog, StoreError> {
        self.inner.event_backlog().await
    }

    async fn event_prune(&self, limit: u32) -> Result<u32, StoreError> {
        self.inner.event_prune(limit).await
    }

    async fn batch_list_active(&self, ws: WorkspaceId) -> Result<Vec<BatchRecord>, StoreError> {
        self.inner.batch_list_active(ws).await
    }

    async fn webhook_create(
        &self,
        ws: WorkspaceId,
        new: NewWebhook,
    ) -> Result<WebhookRecord, WebhookError> {
        self.inner.webhook_create(ws, new).await
    }

    async fn webhook_list(&self, ws: WorkspaceId) -> Result<Vec<WebhookRecord>, StoreError> {
        self.inner.webhook_list(ws).await
    }

    async fn webhook_fetch(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
    ) -> Result<Option<WebhookRecord>, StoreError> {
        self.inner.webhook_fetch(ws, id).await
    }

    async fn webhook_update(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
        patch: WebhookPatch,
    ) -> Result<WebhookRecord, WebhookError> {
        self.inner.webhook_update(ws, id, patch).await
    }

    async fn webhook_rotate(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
        secret: Secret,
        old_until: Timestamp,
    ) -> Result<WebhookRecord, WebhookError> {
        self.inner.webhook_rotate(ws, id, secret, old_until).await
    }

    async fn webhook_delete(&self, ws: WorkspaceId, id: WebhookId) -> Result<bool, StoreError> {
        self.inner.webhook_delete(ws, id).await
    }

    async fn webhook_disable(&self, id: WebhookId, reason: String) -> Result<bool, StoreError> {
        self.inner.webhook_disable(id, reason).await
    }

    async fn delivery_claim(
        &self,
        limit_per_endpoint: u32,
        limit: u32,
        busy: &[WebhookId],
    ) -> Result<Vec<DeliveryJob>, StoreError> {
        self.inner.delivery_claim(limit_per_endpoint, limit, busy).await
    }

    async fn delivery_record(
        &self,
        delivery: DeliveryId,
        tried: DeliveryTry,
        next: DeliveryNext,
    ) -> Result<bool, StoreError> {
        self.inner.delivery_record(delivery, tried, next).await
    }

    async fn delivery_list(
        &self,
        ws: WorkspaceId,
        webhook: WebhookId,
        query: DeliveryQuery,
    ) -> Result<Option<DeliveryList>, StoreError> {
        self.inner.delivery_list(ws, webhook, query).await
    }

    async fn delivery_replay(
        &self,
        ws: WorkspaceId,
        webhook: WebhookId,
        what: Replay,
    ) -> Result<Option<u32>, StoreError> {
        self.inner.delivery_replay(ws, webhook, what).await
    }
}
