//! The store with faults on order: the real one, but an operation may be slow, fail, lose its
//! answer, or panic.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

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
    KeyRecord, KeyRotation, NODE_LEASE, NewBatch, NewDnc, NewKey, NewPhone, NewPlan, NewWebhook,
    NewWorkspace, NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding, OpenAttempt,
    PhoneError, PhonePatch, PhoneRecord, Principal, Replay, RequestBegin, RequestLookup, Secret,
    Settle, StoreError, StoredAnswer, StoredChunk, TrunkError, TrunkHealth, TrunkRecord, TrunkSpec,
    WebhookError, WebhookPatch, WebhookRecord, WorkspaceCreated, WorkspaceRecord,
};
use outdial_ports::{Mark, Store};
use outdial_store::SqliteInline;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Applied after so long.
    Slow(Duration),
    /// Not applied, and it says so.
    Unavailable,
    /// Applied, but the answer is lost.
    AnswerLost,
    /// Neither applied nor answered.
    NeverArrived,
    /// Not applied; a defect.
    Panic,
}

/// The store with faults.
pub(crate) struct Faulty {
    inner: Mutex<SqliteInline>,
    /// By operation: what goes wrong, and how many times more.
    faults: Mutex<BTreeMap<&'static str, (Fault, u32)>>,
    calls: Mutex<BTreeMap<&'static str, u32>>,
    peer: Mutex<Option<Peer>>,
}

/// Another node, for a store that has no more than one.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// It was heard of so long before this one.
    pub(crate) silent: Duration,
    pub(crate) not_dialing: Option<String>,
}

impl Faulty {
    pub(crate) fn new(inner: SqliteInline) -> Self {
        Self {
            inner: Mutex::new(inner),
            faults: Mutex::default(),
            calls: Mutex::default(),
            peer: Mutex::default(),
        }
    }

    /// Another database is put in the place of this one.
    pub(crate) fn put_back(&self, other: &SqliteInline) {
        *self.inner.lock().unwrap() = other.clone();
    }

    /// There is another node.
    pub(crate) fn join_peer(&self, peer: Peer) {
        *self.peer.lock().unwrap() = Some(peer);
    }

    fn peer(&self, nodes: &[NodeRecord]) -> Option<NodeRecord> {
        let peer = self.peer.lock().unwrap().clone()?;
        let ours = nodes.iter().max_by_key(|node| node.beat_at)?;
        let beat = NodeBeat { not_dialing: peer.not_dialing, ..ours.beat.clone() };
        let (beat_at, is_alive) = (ours.beat_at.before(peer.silent), peer.silent < NODE_LEASE);
        Some(NodeRecord { beat, beat_at, is_alive, has_left: false, ..ours.clone() })
    }

    fn inner(&self) -> SqliteInline {
        self.inner.lock().unwrap().clone()
    }

    /// From now on `operation` goes wrong like this, so many times.
    pub(crate) fn fail(&self, operation: &'static str, fault: Fault, times: u32) {
        self.faults.lock().unwrap().insert(operation, (fault, times));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// How often an operation was asked for.
    pub(crate) fn calls(&self, operation: &str) -> u32 {
        self.calls.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    fn next_fault(&self, operation: &'static str) -> Option<Fault> {
        *self.calls.lock().unwrap().entry(operation).or_default() += 1;
        let mut faults = self.faults.lock().unwrap();
        let (fault, times) = faults.get_mut(operation)?;
        let fault = *fault;
        *times -= 1;
        if *times == 0 {
            faults.remove(operation);
        }
        Some(fault)
    }

    async fn before(&self, operation: &'static str) -> Result<bool, StoreError> {
        let fault = self.next_fault(operation);
        match fault {
            // tidy: sleeps because slowness is the fault; time is virtual
            Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
            Some(Fault::Unavailable) => return Err(StoreError::Unavailable(operation.to_owned())),
            Some(Fault::NeverArrived) => {
                return Err(StoreError::OutcomeUnknown(operation.to_owned()));
            }
            Some(Fault::Panic) => panic!("{operation} panics because a test wants it to"),
            Some(Fault::AnswerLost) | None => {}
        }
        Ok(fault == Some(Fault::AnswerLost))
    }
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $ok:ty, $err:ty;)*) => {
        #[async_trait]
        impl Store for Faulty {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$ok, $err> {
                let answer_lost = self.before(stringify!($name)).await?;
                let answer = self.inner().$name($($arg),*).await;
                match answer_lost {
                    true => Err(StoreError::OutcomeUnknown(stringify!($name).to_owned()).into()),
                    false => answer,
                }
            })*

            async fn node_list(&self) -> Result<Vec<NodeRecord>, StoreError> {
                self.before("node_list").await?;
                let mut nodes = self.inner().node_list().await?;
                nodes.extend(self.peer(&nodes));
                Ok(nodes)
            }
        }
    };
}

forward! {
    ping() -> (), StoreError;
    secret_fetch() -> [u8; 32], StoreError;
    node_join(spec: NodeSpec) -> (), NodeJoinError;
    node_beat(beat: NodeBeat) -> NodeStanding, StoreError;
    node_leave() -> (), StoreError;
    workspace_create(new: NewWorkspace) -> WorkspaceCreated, StoreError;
    workspace_list() -> Vec<WorkspaceRecord>, StoreError;
    settings_fetch(ws: WorkspaceId) -> WorkspaceSettings, StoreError;
    settings_update(
        ws: WorkspaceId, was: Option<WorkspaceSettings>, settings: WorkspaceSettings
    ) -> bool, StoreError;
    key_create(ws: WorkspaceId, key: NewKey) -> KeyRecord, StoreError;
    key_list(ws: WorkspaceId) -> Vec<KeyRecord>, StoreError;
    key_revoke(ws: WorkspaceId, key: KeyId) -> bool, StoreError;
    key_rotate(ws: WorkspaceId, key: KeyId, rotation: KeyRotation) -> KeyRecord, KeyError;
    key_touch(keys: Vec<KeyId>) -> u32, StoreError;
    key_authenticate(hash: [u8; 32]) -> Option<Principal>, StoreError;
    agent_create(ws: WorkspaceId, a: AgentSpec) -> AgentRecord, StoreError;
    agent_list(ws: WorkspaceId) -> Vec<AgentRecord>, StoreError;
    agent_fetch(ws: WorkspaceId, id: AgentId) -> Option<AgentRecord>, StoreError;
    agent_update(ws: WorkspaceId, id: AgentId, version: Option<u32>, a: AgentSpec)
        -> AgentRecord, AgentError;
    agent_delete(ws: WorkspaceId, id: AgentId) -> (), AgentError;
    phone_create(ws: WorkspaceId, phone: NewPhone) -> PhoneRecord, PhoneError;
    phone_list(ws: WorkspaceId) -> Vec<PhoneRecord>, StoreError;
    phone_update(ws: WorkspaceId, id: PhoneId, patch: PhonePatch) -> PhoneRecord, PhoneError;
    phone_delete(ws: WorkspaceId, id: PhoneId) -> (), PhoneError;
    trunk_create(ws: WorkspaceId, spec: TrunkSpec) -> TrunkRecord, TrunkError;
    trunk_list(ws: WorkspaceId) -> Vec<TrunkRecord>, StoreError;
    trunk_list_all() -> Vec<TrunkRecord>, StoreError;
    trunk_update(
        ws: WorkspaceId, id: TrunkId, updated_at: Option<Timestamp>, spec: TrunkSpec
    ) -> TrunkRecord, TrunkError;
    trunk_delete(ws: WorkspaceId, id: TrunkId) -> (), TrunkError;
    trunk_report(found: Vec<(TrunkId, Timestamp, TrunkHealth)>) -> (), StoreError;
    batch_create(new: NewBatch) -> BatchId, BatchCreateError;
    batch_fetch(id: BatchId) -> Option<BatchRecord>, StoreError;
    batch_list(ws: WorkspaceId, query: BatchListQuery) -> BatchList, StoreError;
    batch_ingest_context(ws: WorkspaceId, id: BatchId) -> Option<IngestContext>, StoreError;
    batch_start(ws: WorkspaceId, id: BatchId, start: BatchStart) -> BatchRecord, BatchStartError;
    batch_stop(ws: WorkspaceId, id: BatchId) -> bool, StoreError;
    batch_delete(ws: WorkspaceId, id: BatchId) -> bool, StoreError;
    batch_update(ws: WorkspaceId, id: BatchId, patch: BatchPatch)
        -> BatchRecord, BatchUpdateError;
    batch_expire_due(limit: u32) -> u32, StoreError;
    batch_close_due(limit: u32) -> Vec<BatchId>, StoreError;
    request_lookup(r: &RequestBegin) -> RequestLookup, StoreError;
    request_begin(r: &RequestBegin) -> RequestLookup, StoreError;
    call_add_chunk(chunk: ChunkAdd) -> StoredChunk, ChunkError;
    request_finish(request: RequestId, answer: StoredAnswer, is_final: bool) -> (), StoreError;
    request_close(request: RequestId) -> (), StoreError;
    request_prune(limit: u32) -> u32, StoreError;
    import_begin(request: RequestId, new: NewBatch)
        -> BatchId, outdial_ports::store::ImportError;
    import_finish(end: outdial_ports::store::ImportFinish) -> (), outdial_ports::store::ImportError;
    import_prune(limit: u32) -> u32, StoreError;
    call_export(batch: BatchId, after: Option<CallId>, limit: u32)
        -> Vec<CallView>, StoreError;
    call_list(batch: BatchId, query: CallQuery) -> CallList, StoreError;
    call_fetch(ws: WorkspaceId, id: CallId) -> Option<(BatchRecord, CallView)>, StoreError;
    dispatch_workspaces() -> Vec<WorkspaceId>, StoreError;
    call_cancel(ws: WorkspaceId, id: CallId) -> Option<CallCanceled>, StoreError;
    call_give_up(ws: WorkspaceId, id: CallId, reason: &'static str) -> bool, StoreError;
    dnc_add(ws: WorkspaceId, new: NewDnc) -> DncRecord, DncAddError;
    dnc_list(ws: WorkspaceId, query: DncListQuery) -> DncList, StoreError;
    dnc_delete(ws: WorkspaceId, id: DncId) -> (), DncDeleteError;
    dispatch_head(ws: WorkspaceId, also: Option<BatchId>) -> Head, StoreError;
    dispatch_groups(ws: WorkspaceId, also: Option<BatchId>) -> Vec<Group>, StoreError;
    dispatch_waiting(batches: Vec<BatchId>) -> Vec<Bucket>, StoreError;
    dispatch_candidates(asks: &[Ask]) -> Vec<Candidate>, StoreError;
    attempt_commit_intents(ws: WorkspaceId, version: u64, plan: NewPlan)
        -> CommitOutcome, CommitError;
    attempt_record(attempt: AttemptId, progress: AttemptProgress, dialog: Option<String>)
        -> bool, StoreError;
    attempt_is_known(attempt: AttemptId, token: [u8; 16]) -> bool, StoreError;
    attempt_latest_of_others(ws: WorkspaceId) -> Option<Mark>, StoreError;
    attempt_is_any() -> bool, StoreError;
    attempt_fetch(attempt: AttemptId) -> Option<OpenAttempt>, StoreError;
    attempt_finish(
        attempt: AttemptId, end: AttemptEnd, next: CallNext, settle: Settle
    ) -> FinishResult, StoreError;
    attempt_list_orphaned(limit: u32) -> Vec<OpenAttempt>, StoreError;
    live_list_recalled() -> Vec<AttemptId>, StoreError;
    limits_prune(limit: u32) -> u32, StoreError;
    event_number(limit: u32) -> u32, StoreError;
    event_list(ws: WorkspaceId, after: u64, limit: u32) -> EventPage, StoreError;
    event_backlog() -> EventBacklog, StoreError;
    batch_backlog() -> Backlog, StoreError;
    event_prune(limit: u32) -> u32, StoreError;
    batch_list_active(ws: WorkspaceId) -> Vec<BatchRecord>, StoreError;
    webhook_create(ws: WorkspaceId, new: NewWebhook) -> WebhookRecord, WebhookError;
    webhook_list(ws: WorkspaceId) -> Vec<WebhookRecord>, StoreError;
    webhook_fetch(ws: WorkspaceId, id: WebhookId) -> Option<WebhookRecord>, StoreError;
    webhook_update(ws: WorkspaceId, id: WebhookId, patch: WebhookPatch)
        -> WebhookRecord, WebhookError;
    webhook_rotate(ws: WorkspaceId, id: WebhookId, secret: Secret, old_until: Timestamp)
        -> WebhookRecord, WebhookError;
    webhook_delete(ws: WorkspaceId, id: WebhookId) -> bool, StoreError;
    webhook_disable(id: WebhookId, reason: String) -> bool, StoreError;
    delivery_claim(limit_per_endpoint: u32, limit: u32, busy: &[WebhookId])
        -> Vec<DeliveryJob>, StoreError;
    delivery_record(delivery: DeliveryId, tried: DeliveryTry, next: DeliveryNext)
        -> bool, StoreError;
    delivery_list(ws: WorkspaceId, webhook: WebhookId, query: DeliveryQuery)
        -> Option<DeliveryList>, StoreError;
    delivery_replay(ws: WorkspaceId, webhook: WebhookId, what: Replay) -> Option<u32>, StoreError;
}
