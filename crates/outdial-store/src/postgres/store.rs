//! The port, on the operations of [`PgTx`].

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
    KeyRecord, KeyRotation, NewBatch, NewDnc, NewKey, NewPhone, NewPlan, NewWebhook, NewWorkspace,
    NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding, OpenAttempt, PhoneError,
    PhonePatch, PhoneRecord, Principal, Replay, RequestBegin, RequestLookup, Secret, Settle,
    StoreError, StoredAnswer, StoredChunk, TrunkError, TrunkHealth, TrunkRecord, TrunkSpec,
    WebhookError, WebhookPatch, WebhookRecord, WorkspaceCreated, WorkspaceRecord,
};
use outdial_ports::{Mark, Store};

use super::pool::Pool;
use super::shared::Shared;
use super::tx::{Kind, PgTx};
use crate::common::is_read_off;

/// How often an operation is run that keeps meeting others.
const RUNS: u32 = 6;
/// Longest pause before an operation is run again, of the first time; each is twice as long.
const PAUSE_MS: u64 = 10;

/// A database, and this process at it.
pub struct PostgresStore {
    pool: Pool,
    shared: Shared,
}

impl PostgresStore {
    pub(super) fn new(pool: Pool, shared: Shared) -> Self {
        Self { pool, shared }
    }

    /// What its transactions have in common.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A transaction on a connection that is good: one that was kept may have died unheard.
    pub(super) async fn begin(&self, kind: Kind) -> Result<PgTx<'_>, StoreError> {
        let conn = self.pool.take(kind, true).await?;
        let is_kept = conn.is_kept();
        match PgTx::begin(&self.shared, conn, kind).await {
            Err(StoreError::Unavailable(why)) if is_kept => {
                tracing::debug!(why, "a connection that was kept is of no use");
                self.pool.forget_idle();
                let conn = self.pool.take(kind, false).await?;
                PgTx::begin(&self.shared, conn, kind).await
            }
            begun => begun,
        }
    }

    /// Waits a little, longer each time; refuses after the last.
    async fn give_way(&self, runs: &mut u32) -> Result<(), StoreError> {
        *runs += 1;
        if *runs >= RUNS {
            let why = "the operation kept meeting others at the same rows".to_owned();
            return Err(StoreError::Unavailable(why));
        }
        let most = PAUSE_MS << *runs;
        tokio::time::sleep(Duration::from_millis(self.shared.random() % most)).await;
        Ok(())
    }
}

/// Puts the port on the operations: each is the method of [`PgTx`] that has its name, run as its
/// kind says, and again where it met another. A line: kind [if so => other kind]
/// name(argument: type => how it is handed on) -> answer, error [, then what follows].
macro_rules! operations {
    ($(
        $kind:ident $([$cond:expr => $other:ident])?
        $name:ident($($arg:ident: $type:ty => $pass:expr),*) -> $ok:ty, $err:ty
        $(, then $after:ident)?;
    )*) => {
        #[async_trait]
        impl Store for PostgresStore {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$ok, $err> {
                let kind = Kind::$kind;
                $(let kind = if $cond { Kind::$other } else { kind };)?
                let mut runs = 0;
                loop {
                    let tx = self.begin(kind).await?;
                    let done = tx.$name($($pass),*).await;
                    if let Some(done) = tx.end(done).await {
                        $(self.$after().await;)?
                        return done;
                    }
                    self.give_way(&mut runs).await?;
                }
            })*
        }
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
    SlowWrite settings_update(
        ws: WorkspaceId => ws,
        was: Option<WorkspaceSettings> => was.as_ref(),
        settings: WorkspaceSettings => &settings
    ) -> bool, StoreError;
    Write key_create(ws: WorkspaceId => ws, key: NewKey => &key) -> KeyRecord, StoreError;
    Read key_list(ws: WorkspaceId => ws) -> Vec<KeyRecord>, StoreError;
    Write key_revoke(ws: WorkspaceId => ws, key: KeyId => key) -> bool, StoreError;
    SlowWrite key_rotate(
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
    SlowWrite batch_update(ws: WorkspaceId => ws, id: BatchId => id, patch: BatchPatch => &patch)
        -> BatchRecord, BatchUpdateError;
    Write batch_expire_due(limit: u32 => limit) -> u32, StoreError;
    Write batch_close_due(limit: u32 => limit) -> Vec<BatchId>, StoreError;

    Read request_lookup(r: &RequestBegin => r) -> RequestLookup, StoreError;
    Write request_begin(r: &RequestBegin => r) -> RequestLookup, StoreError;
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
    EngineRead dispatch_candidates(asks: &[Ask] => asks)
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
    ) -> FinishResult, StoreError, then fold_sometimes;
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
        busy: &[WebhookId] => busy
    ) -> Vec<DeliveryJob>, StoreError;
    Write delivery_record(
        delivery: DeliveryId => delivery, tried: DeliveryTry => &tried, next: DeliveryNext => next
    ) -> bool, StoreError;
    SlowRead delivery_list(
        ws: WorkspaceId => ws, webhook: WebhookId => webhook, query: DeliveryQuery => &query
    ) -> Option<DeliveryList>, StoreError;
    SlowWrite delivery_replay(
        ws: WorkspaceId => ws, webhook: WebhookId => webhook, what: Replay => what
    ) -> Option<u32>, StoreError;
}
