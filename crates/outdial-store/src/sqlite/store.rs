//! The port, on whatever runs the operations.

use std::future::Future;

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

use super::call::is_read_off;
use super::db::SqliteDb;
use super::inline::SqliteInline;
use super::threads::SqliteStore;

/// What an operation asks of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads a little.
    Read,
    /// Reads what a call hangs on; must not wait behind reads that people ask for, such as those
    /// that explain a batch.
    EngineRead,
    /// May read a whole batch; nobody else should wait for it.
    SlowRead,
    /// Writes a little.
    Write,
    /// Writes a chunk.
    BigWrite,
}

impl Kind {
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Write | Self::BigWrite)
    }
}

/// Runs an operation in its own transaction, and answers when that is committed.
pub(super) trait Run: Send + Sync {
    fn run<T, E>(
        &self,
        kind: Kind,
        op: impl FnMut(&mut SqliteDb) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static;
}

/// Puts the port on a backend: an operation is the method of [`SqliteDb`] that has its name, run as
/// its kind says. A line: kind [if so => other kind] name(argument: type [= owned form] => how it
/// is handed on) -> answer, error.
macro_rules! store_for {
    ($backend:ty: $(
        $kind:ident $([$cond:expr => $other:ident])?
        $name:ident($($arg:ident: $type:ty $(= $own:expr)? => $pass:expr),*)
            -> $ok:ty, $err:ty;
    )*) => {
        #[async_trait]
        impl Store for $backend {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$ok, $err> {
                $($(let $arg = $own;)?)*
                let kind = Kind::$kind;
                $(let kind = if $cond { Kind::$other } else { kind };)?
                self.run(kind, move |db| db.$name($($pass),*)).await
            })*
        }
    };
}

macro_rules! operations {
    ($($operations:tt)*) => {
        store_for! { SqliteInline: $($operations)* }
        store_for! { SqliteStore: $($operations)* }
    };
}

operations! {
    Read ping() -> (), StoreError;
    Read secret_fetch() -> [u8; 32], StoreError;

    Write node_join(spec: NodeSpec => &spec) -> (), NodeJoinError;
    Write node_beat(beat: NodeBeat => &beat) -> NodeStanding, StoreError;
    Write node_leave() -> (), StoreError;
    Write node_list() -> Vec<NodeRecord>, StoreError;

    Write workspace_create(new: NewWorkspace => &new) -> WorkspaceCreated, StoreError;
    Read workspace_list() -> Vec<WorkspaceRecord>, StoreError;
    Read settings_fetch(ws: WorkspaceId => ws) -> WorkspaceSettings, StoreError;
    Write settings_update(
        ws: WorkspaceId => ws,
        was: Option<WorkspaceSettings> => was.as_ref(),
        settings: WorkspaceSettings => &settings
    ) -> bool, StoreError;
    Write key_create(ws: WorkspaceId => ws, key: NewKey => &key) -> KeyRecord, StoreError;
    Read key_list(ws: WorkspaceId => ws) -> Vec<KeyRecord>, StoreError;
    Write key_revoke(ws: WorkspaceId => ws, key: KeyId => key) -> bool, StoreError;
    Write key_rotate(
        ws: WorkspaceId => ws,
        key: KeyId => key,
        rotation: KeyRotation => &rotation
    ) -> KeyRecord, KeyError;
    Write key_touch(keys: Vec<KeyId> => &keys) -> u32, StoreError;
    Read key_authenticate(hash: [u8; 32] => &hash) -> Option<Principal>, StoreError;

    Write agent_create(ws: WorkspaceId => ws, a: AgentSpec => &a) -> AgentRecord, StoreError;
    Read agent_list(ws: WorkspaceId => ws) -> Vec<AgentRecord>, StoreError;
    Read agent_fetch(ws: WorkspaceId => ws, id: AgentId => id)
        -> Option<AgentRecord>, StoreError;
    Write agent_update(
        ws: WorkspaceId => ws,
        id: AgentId => id,
        version: Option<u32> => version,
        a: AgentSpec => &a
    ) -> AgentRecord, AgentError;
    Write agent_delete(ws: WorkspaceId => ws, id: AgentId => id) -> (), AgentError;

    Write phone_create(ws: WorkspaceId => ws, phone: NewPhone => &phone)
        -> PhoneRecord, PhoneError;
    Read phone_list(ws: WorkspaceId => ws) -> Vec<PhoneRecord>, StoreError;
    Write phone_update(ws: WorkspaceId => ws, id: PhoneId => id, patch: PhonePatch => &patch)
        -> PhoneRecord, PhoneError;
    Write phone_delete(ws: WorkspaceId => ws, id: PhoneId => id) -> (), PhoneError;

    Write trunk_create(ws: WorkspaceId => ws, spec: TrunkSpec => &spec)
        -> TrunkRecord, TrunkError;
    Read trunk_list(ws: WorkspaceId => ws) -> Vec<TrunkRecord>, StoreError;
    EngineRead trunk_list_all() -> Vec<TrunkRecord>, StoreError;
    Write trunk_update(
        ws: WorkspaceId => ws,
        id: TrunkId => id,
        updated_at: Option<Timestamp> => updated_at,
        spec: TrunkSpec => &spec
    ) -> TrunkRecord, TrunkError;
    Write trunk_delete(ws: WorkspaceId => ws, id: TrunkId => id) -> (), TrunkError;
    Write trunk_report(found: Vec<(TrunkId, Timestamp, TrunkHealth)> => &found)
        -> (), StoreError;

    Write batch_create(new: NewBatch => &new) -> BatchId, BatchCreateError;
    Read batch_fetch(id: BatchId => id) -> Option<BatchRecord>, StoreError;
    Read batch_list(ws: WorkspaceId => ws, query: BatchListQuery => &query)
        -> BatchList, StoreError;
    Read batch_ingest_context(ws: WorkspaceId => ws, id: BatchId => id)
        -> Option<IngestContext>, StoreError;
    Write batch_start(ws: WorkspaceId => ws, id: BatchId => id, start: BatchStart => &start)
        -> BatchRecord, BatchStartError;
    Write batch_stop(ws: WorkspaceId => ws, id: BatchId => id) -> bool, StoreError;
    Write batch_delete(ws: WorkspaceId => ws, id: BatchId => id) -> bool, StoreError;
    Write batch_update(ws: WorkspaceId => ws, id: BatchId => id, patch: BatchPatch => &patch)
        -> BatchRecord, BatchUpdateError;
    Write batch_expire_due(limit: u32 => limit) -> u32, StoreError;
    Write batch_close_due(limit: u32 => limit) -> Vec<BatchId>, StoreError;

    Read request_lookup(r: &RequestBegin = r.clone() => &r) -> RequestLookup, StoreError;
    Write request_begin(r: &RequestBegin = r.clone() => &r) -> RequestLookup, StoreError;
    BigWrite call_add_chunk(chunk: ChunkAdd => &chunk) -> StoredChunk, ChunkError;
    Write request_finish(
        request: RequestId => request, answer: StoredAnswer => &answer, is_final: bool => is_final
    ) -> (), StoreError;
    Write request_close(request: RequestId => request) -> (), StoreError;
    Write request_prune(limit: u32 => limit) -> u32, StoreError;
    Write import_begin(request: RequestId => request, new: NewBatch => &new)
        -> BatchId, outdial_ports::store::ImportError;
    BigWrite import_finish(end: outdial_ports::store::ImportFinish => &end)
        -> (), outdial_ports::store::ImportError;
    BigWrite import_prune(limit: u32 => limit) -> u32, StoreError;
    SlowRead call_export(
        batch: BatchId => batch, after: Option<CallId> => after, limit: u32 => limit
    ) -> Vec<CallView>, StoreError;

    SlowRead [is_read_off(&query) => Read]
    call_list(batch: BatchId => batch, query: CallQuery => &query) -> CallList, StoreError;
    Read call_fetch(ws: WorkspaceId => ws, id: CallId => id)
        -> Option<(BatchRecord, CallView)>, StoreError;
    Write call_cancel(ws: WorkspaceId => ws, id: CallId => id)
        -> Option<CallCanceled>, StoreError;
    Write call_give_up(ws: WorkspaceId => ws, id: CallId => id, reason: &'static str => reason)
        -> bool, StoreError;

    Write dnc_add(ws: WorkspaceId => ws, new: NewDnc => &new) -> DncRecord, DncAddError;
    Read dnc_list(ws: WorkspaceId => ws, query: DncListQuery => &query) -> DncList, StoreError;
    Write dnc_delete(ws: WorkspaceId => ws, id: DncId => id) -> (), DncDeleteError;

    Read batch_backlog() -> Backlog, StoreError;
    EngineRead dispatch_workspaces() -> Vec<WorkspaceId>, StoreError;
    EngineRead [also.is_some() => Read]
    dispatch_head(ws: WorkspaceId => ws, also: Option<BatchId> => also)
        -> Head, StoreError;
    EngineRead [also.is_some() => Read]
    dispatch_groups(ws: WorkspaceId => ws, also: Option<BatchId> => also)
        -> Vec<Group>, StoreError;
    SlowRead dispatch_waiting(batches: Vec<BatchId> => &batches) -> Vec<Bucket>, StoreError;
    EngineRead dispatch_candidates(asks: &[Ask] = asks.to_vec() => &asks)
        -> Vec<Candidate>, StoreError;
    Write attempt_commit_intents(
        ws: WorkspaceId => ws, version: u64 => version, plan: NewPlan => &plan
    ) -> CommitOutcome, CommitError;
    Write attempt_record(
        attempt: AttemptId => attempt,
        progress: AttemptProgress => progress,
        dialog: Option<String> => dialog.as_deref()
    ) -> bool, StoreError;
    EngineRead attempt_is_known(attempt: AttemptId => attempt, token: [u8; 16] => token)
        -> bool, StoreError;
    EngineRead attempt_latest_of_others(ws: WorkspaceId => ws) -> Option<Mark>, StoreError;
    Read attempt_is_any() -> bool, StoreError;
    EngineRead attempt_fetch(attempt: AttemptId => attempt) -> Option<OpenAttempt>, StoreError;
    Write attempt_finish(
        attempt: AttemptId => attempt,
        end: AttemptEnd => &end,
        next: CallNext => next,
        settle: Settle => &settle
    ) -> FinishResult, StoreError;
    Write attempt_list_orphaned(limit: u32 => limit) -> Vec<OpenAttempt>, StoreError;
    EngineRead live_list_recalled() -> Vec<AttemptId>, StoreError;
    Write limits_prune(limit: u32 => limit) -> u32, StoreError;

    BigWrite event_number(limit: u32 => limit) -> u32, StoreError;
    Read event_list(ws: WorkspaceId => ws, after: u64 => after, limit: u32 => limit)
        -> EventPage, StoreError;
    Read event_backlog() -> EventBacklog, StoreError;
    Write event_prune(limit: u32 => limit) -> u32, StoreError;
    Read batch_list_active(ws: WorkspaceId => ws) -> Vec<BatchRecord>, StoreError;

    Write webhook_create(ws: WorkspaceId => ws, new: NewWebhook => &new)
        -> WebhookRecord, WebhookError;
    Read webhook_list(ws: WorkspaceId => ws) -> Vec<WebhookRecord>, StoreError;
    Read webhook_fetch(ws: WorkspaceId => ws, id: WebhookId => id)
        -> Option<WebhookRecord>, StoreError;
    Write webhook_update(ws: WorkspaceId => ws, id: WebhookId => id, patch: WebhookPatch => &patch)
        -> WebhookRecord, WebhookError;
    Write webhook_rotate(
        ws: WorkspaceId => ws, id: WebhookId => id, secret: Secret => &secret,
        old_until: Timestamp => old_until
    ) -> WebhookRecord, WebhookError;
    Write webhook_delete(ws: WorkspaceId => ws, id: WebhookId => id) -> bool, StoreError;
    Write webhook_disable(id: WebhookId => id, reason: String => &reason) -> bool, StoreError;
    Write delivery_claim(
        limit_per_endpoint: u32 => limit_per_endpoint,
        limit: u32 => limit,
        busy: &[WebhookId] = busy.to_vec() => &busy
    ) -> Vec<DeliveryJob>, StoreError;
    Write delivery_record(
        delivery: DeliveryId => delivery, tried: DeliveryTry => &tried, next: DeliveryNext => next
    ) -> bool, StoreError;
    SlowRead delivery_list(
        ws: WorkspaceId => ws, webhook: WebhookId => webhook, query: DeliveryQuery => &query
    ) -> Option<DeliveryList>, StoreError;
    Write delivery_replay(
        ws: WorkspaceId => ws, webhook: WebhookId => webhook, what: Replay => what
    ) -> Option<u32>, StoreError;
}
