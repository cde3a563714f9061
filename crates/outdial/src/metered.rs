//! The store, with a clock beside it: how long each operation takes, and what calls end as. Changes
//! no answer.

use std::sync::Arc;

use async_trait::async_trait;
use metrics::{counter, histogram};
use outdial_core::attempt::{AttemptEnd, AttemptProgress};
use outdial_core::call::CallNext;
use outdial_core::dispatcher::{Ask, Bucket, Candidate, Group, Head};
use outdial_core::id::{
    AgentId, AttemptId, BatchId, CallId, DeliveryId, DncId, KeyId, PhoneId, RequestId, TrunkId,
    WebhookId, WorkspaceId,
};
use outdial_core::outcome::Disposition;
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    AgentError, AgentRecord, AgentSpec, Backlog, BatchCreateError, BatchList, BatchListQuery,
    BatchPatch, BatchRecord, BatchStart, BatchStartError, BatchUpdateError, CallCanceled, CallList,
    CallQuery, CallView, ChunkAdd, ChunkError, CommitError, CommitOutcome, DeliveryJob,
    DeliveryList, DeliveryNext, DeliveryQuery, DeliveryTry, DncAddError, DncDeleteError, DncList,
    DncListQuery, DncRecord, DropReason, EventBacklog, EventPage, FinishResult, ImportError,
    ImportFinish, IngestContext, KeyError, KeyRecord, KeyRotation, NewBatch, NewDnc, NewKey,
    NewPhone, NewPlan, NewWebhook, NewWorkspace, NodeBeat, NodeJoinError, NodeRecord, NodeSpec,
    NodeStanding, OpenAttempt, PhoneError, PhonePatch, PhoneRecord, Principal, Replay,
    RequestBegin, RequestLookup, Secret, Settle, StoreError, StoredAnswer, StoredChunk, TrunkError,
    TrunkHealth, TrunkRecord, TrunkSpec, WebhookError, WebhookPatch, WebhookRecord,
    WorkspaceCreated, WorkspaceRecord,
};
use outdial_ports::{Clock, Mark, Store};
use tracing::Instrument;

use crate::metrics::{CALLS, STORE};

/// A store whose operations are timed.
pub(crate) struct Metered {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Metered {
    /// This one.
    pub(crate) fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock }
    }

    /// Times what `work` does; its name is an operation's.
    async fn timed<T, E>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let began = self.clock.monotonic();
        let answer = work.await;
        let took = self.clock.monotonic().since(began);
        let result = if answer.is_ok() { "ok" } else { "error" };
        histogram!(STORE, "operation" => name, "result" => result).record(took);
        answer
    }
}

/// Calls that finished so.
fn finished(disposition: Disposition, calls: u64) {
    counter!(CALLS, "disposition" => disposition.as_str()).increment(calls);
}

macro_rules! metered {
    (
        plain { $($name:ident($($arg:ident: $type:ty),*) -> $ok:ty, $err:ty;)* }
        looked_at { $($looked_at:tt)* }
    ) => {
        #[async_trait]
        impl Store for Metered {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$ok, $err> {
                self.timed(stringify!($name), self.inner.$name($($arg),*)).await
            })*
            $($looked_at)*
        }
    };
}

metered! {
plain {
        ping() -> (), StoreError;
        secret_fetch() -> [u8; 32], StoreError;
        node_join(spec: NodeSpec) -> (), NodeJoinError;
        node_beat(beat: NodeBeat) -> NodeStanding, StoreError;
        node_leave() -> (), StoreError;
        node_list() -> Vec<NodeRecord>, StoreError;
        workspace_create(new: NewWorkspace) -> WorkspaceCreated, StoreError;
        workspace_list() -> Vec<WorkspaceRecord>, StoreError;
        settings_fetch(ws: WorkspaceId) -> WorkspaceSettings, StoreError;
        settings_update(
            ws: WorkspaceId, was: Option<WorkspaceSettings>, settings: WorkspaceSettings
        )
            -> bool, StoreError;
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
        trunk_update(ws: WorkspaceId, id: TrunkId, updated_at: Option<Timestamp>, spec: TrunkSpec)
            -> TrunkRecord, TrunkError;
        trunk_delete(ws: WorkspaceId, id: TrunkId) -> (), TrunkError;
        trunk_report(found: Vec<(TrunkId, Timestamp, TrunkHealth)>) -> (), StoreError;
        batch_create(new: NewBatch) -> BatchId, BatchCreateError;
        batch_fetch(id: BatchId) -> Option<BatchRecord>, StoreError;
        batch_list(ws: WorkspaceId, query: BatchListQuery) -> BatchList, StoreError;
        batch_ingest_context(ws: WorkspaceId, id: BatchId) -> Option<IngestContext>, StoreError;
        batch_start(ws: WorkspaceId, id: BatchId, start: BatchStart)
            -> BatchRecord, BatchStartError;
        batch_stop(ws: WorkspaceId, id: BatchId) -> bool, StoreError;
        batch_delete(ws: WorkspaceId, id: BatchId) -> bool, StoreError;
        batch_update(ws: WorkspaceId, id: BatchId, patch: BatchPatch)
            -> BatchRecord, BatchUpdateError;
        batch_close_due(limit: u32) -> Vec<BatchId>, StoreError;
        request_lookup(r: &RequestBegin) -> RequestLookup, StoreError;
        request_begin(r: &RequestBegin) -> RequestLookup, StoreError;
        request_finish(request: RequestId, answer: StoredAnswer, is_final: bool) -> (), StoreError;
        request_close(request: RequestId) -> (), StoreError;
        request_prune(limit: u32) -> u32, StoreError;
        import_begin(request: RequestId, new: NewBatch) -> BatchId, ImportError;
        import_finish(end: ImportFinish) -> (), ImportError;
        import_prune(limit: u32) -> u32, StoreError;
        call_list(batch: BatchId, query: CallQuery) -> CallList, StoreError;
        call_export(batch: BatchId, after: Option<CallId>, limit: u32) -> Vec<CallView>, StoreError;
        call_fetch(ws: WorkspaceId, id: CallId) -> Option<(BatchRecord, CallView)>, StoreError;
        dnc_add(ws: WorkspaceId, new: NewDnc) -> DncRecord, DncAddError;
        dnc_list(ws: WorkspaceId, query: DncListQuery) -> DncList, StoreError;
        dnc_delete(ws: WorkspaceId, id: DncId) -> (), DncDeleteError;
        dispatch_workspaces() -> Vec<WorkspaceId>, StoreError;
        dispatch_head(ws: WorkspaceId, also: Option<BatchId>) -> Head, StoreError;
        dispatch_groups(ws: WorkspaceId, also: Option<BatchId>) -> Vec<Group>, StoreError;
        dispatch_waiting(batches: Vec<BatchId>) -> Vec<Bucket>, StoreError;
        dispatch_candidates(asks: &[Ask]) -> Vec<Candidate>, StoreError;
        attempt_is_known(attempt: AttemptId, token: [u8; 16]) -> bool, StoreError;
        attempt_latest_of_others(ws: WorkspaceId) -> Option<Mark>, StoreError;
        attempt_is_any() -> bool, StoreError;
        attempt_record(attempt: AttemptId, progress: AttemptProgress, dialog: Option<String>)
            -> bool, StoreError;
        attempt_fetch(attempt: AttemptId) -> Option<OpenAttempt>, StoreError;
        attempt_list_orphaned(limit: u32) -> Vec<OpenAttempt>, StoreError;
        live_list_recalled() -> Vec<AttemptId>, StoreError;
        limits_prune(limit: u32) -> u32, StoreError;
        batch_backlog() -> Backlog, StoreError;
        event_number(limit: u32) -> u32, StoreError;
        event_list(ws: WorkspaceId, after: u64, limit: u32) -> EventPage, StoreError;
        event_backlog() -> EventBacklog, StoreError;
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
        delivery_replay(ws: WorkspaceId, webhook: WebhookId, what: Replay)
            -> Option<u32>, StoreError;
}
looked_at {
    async fn call_add_chunk(&self, chunk: ChunkAdd) -> Result<StoredChunk, ChunkError> {
        let span = tracing::debug_span!(target: "outdial::span", "chunk",
            batch = %chunk.batch, records = chunk.records.len());
        let work = self.inner.call_add_chunk(chunk).instrument(span);
        let stored = self.timed("call_add_chunk", work).await?;
        finished(Disposition::Skipped, u64::from(stored.do_not_call));
        Ok(stored)
    }

    async fn call_cancel(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<CallCanceled>, StoreError> {
        let answer = self.timed("call_cancel", self.inner.call_cancel(ws, id)).await?;
        if let Some(CallCanceled::Canceled) = answer {
            finished(Disposition::Canceled, 1);
        }
        Ok(answer)
    }

    async fn call_give_up(
        &self,
        ws: WorkspaceId,
        id: CallId,
        reason: &'static str,
    ) -> Result<bool, StoreError> {
        let done = self.timed("call_give_up", self.inner.call_give_up(ws, id, reason)).await?;
        finished(Disposition::Failed, u64::from(done));
        Ok(done)
    }

    async fn batch_expire_due(&self, limit: u32) -> Result<u32, StoreError> {
        let expired = self.timed("batch_expire_due", self.inner.batch_expire_due(limit)).await?;
        finished(Disposition::Expired, u64::from(expired));
        Ok(expired)
    }

    async fn attempt_commit_intents(
        &self,
        ws: WorkspaceId,
        version: u64,
        plan: NewPlan,
    ) -> Result<CommitOutcome, CommitError> {
        let work = self.inner.attempt_commit_intents(ws, version, plan);
        let outcome = self.timed("attempt_commit_intents", work).await?;
        let listed = outcome.dropped.iter().filter(|d| d.reason == DropReason::DoNotCall).count();
        finished(Disposition::Skipped, u64::try_from(listed).unwrap_or(u64::MAX));
        Ok(outcome)
    }

    async fn attempt_finish(
        &self,
        attempt: AttemptId,
        end: AttemptEnd,
        next: CallNext,
        settle: Settle,
    ) -> Result<FinishResult, StoreError> {
        let work = self.inner.attempt_finish(attempt, end, next, settle);
        let result = self.timed("attempt_finish", work).await?;
        if let (FinishResult::Applied, CallNext::Finished(disposition)) = (result, next) {
            finished(disposition, 1);
        }
        Ok(result)
    }
}
}

#[cfg(test)]
mod tests {
    /// An operation that is forgotten here would not be the store's.
    #[test]
    fn every_operation_is_handed_on() {
        let port = include_str!("../../outdial-ports/src/store.rs");
        let here = include_str!("metered.rs");
        let operations = port.split("async fn ").skip(1).map(|o| o.split('(').next().unwrap());
        let missing: Vec<_> = operations.filter(|o| !here.contains(&format!(" {o}("))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
