//! Sabotage: each rule of `semantics.md` section 3 switched off, one at a time, by a store that
//! lies to the engine or does what it must not. The product's code stays as it is. A checker that
//! nothing can trip proves nothing, so a test per rule shows that the simulator finds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::attempt::{AttemptEnd, AttemptProgress, AttemptState};
use outdial_core::call::{CallNext, WaitReason};
use outdial_core::dispatcher::{Ask, Bucket, Candidate, Group, Head};
use outdial_core::id::{
    AgentId, AttemptId, BatchId, CallId, DeliveryId, DncId, KeyId, PhoneId, RequestId, TrunkId,
    WebhookId, WorkspaceId,
};
use outdial_core::outcome::{CallEnd, Disposition, outcome_of};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    AgentError, AgentRecord, AgentSpec, Backlog, BatchCreateError, BatchList, BatchListQuery,
    BatchPatch, BatchRecord, BatchStart, BatchStartError, BatchUpdateError, CallCanceled, CallList,
    CallQuery, CallView, ChunkAdd, ChunkError, CommitError, CommitOutcome, Committed, DeliveryJob,
    DeliveryList, DeliveryNext, DeliveryQuery, DeliveryTry, DncAddError, DncDeleteError, DncList,
    DncListQuery, DncRecord, DropReason, EventBacklog, EventPage, FinishResult, IngestContext,
    KeyError, KeyRecord, KeyRotation, NewBatch, NewDnc, NewIntent, NewKey, NewPhone, NewPlan,
    NewWebhook, NewWorkspace, NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding,
    OpenAttempt, PhoneError, PhonePatch, PhoneRecord, Principal, Replay, RequestBegin,
    RequestLookup, Secret, Settle, StoreError, StoredAnswer, StoredChunk, TrunkError, TrunkHealth,
    TrunkRecord, TrunkSpec, WebhookError, WebhookPatch, WebhookRecord, WorkspaceCreated,
    WorkspaceRecord,
};
use outdial_ports::{Clock, Mark, Store};

use crate::clock::SimClock;
use crate::weather::MEANT;
use crate::world::{Aim, Target};

/// A call is taken for over after this, whatever the carrier says.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How late a call may leave whose slot has no end.
const NO_END: Duration = Duration::from_secs(3_600);
/// How late one may leave that only hours would stop.
const LITTLE: Duration = Duration::from_millis(500);

/// A safeguard that is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// What was perhaps not committed is sent.
    SendsUnacknowledged,
    /// An `unknown` is redialed at once.
    RedialsUnknown,
    /// A slot has no end: a process that was stalled sends what it had in hand.
    NoSlotEnd,
    /// Another call to a number that is on the phone goes through.
    NumberNotLocked,
    /// The next attempt of a call goes out under the name of its first.
    AttemptReused,
    /// Hours are looked at when a call is planned, and not again.
    HoursOnlyAtDecision,
    /// A plan is committed though what it rests on has changed.
    StalePlan,
    /// A channel is taken for free a while after its call began.
    ChannelFreedByTimeout,
    /// Half of a chunk is stored, and the whole refused.
    HalfAChunk,
    /// The process does not see that its wall clock was set.
    BlindToJumps,
    /// A database is dialed from that does not know what was dialed.
    TrustsCopies,
}

impl Sabotage {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::SendsUnacknowledged,
        Self::RedialsUnknown,
        Self::NoSlotEnd,
        Self::NumberNotLocked,
        Self::AttemptReused,
        Self::HoursOnlyAtDecision,
        Self::StalePlan,
        Self::ChannelFreedByTimeout,
        Self::HalfAChunk,
        Self::BlindToJumps,
        Self::TrustsCopies,
    ];

    /// What to aim at, so that it shows.
    pub(crate) fn aim(self) -> Aim {
        match self {
            Self::SendsUnacknowledged => Aim::At(Target::Commits),
            Self::StalePlan => Aim::At(Target::Plans),
            Self::TrustsCopies => Aim::At(Target::Copies),
            _ => Aim::Usual,
        }
    }

    /// The store itself is at fault, and nobody is told; else the engine is lied to.
    pub(crate) fn is_below(self) -> bool {
        matches!(self, Self::NumberNotLocked | Self::HalfAChunk)
    }
}

/// A store that breaks one rule.
pub(crate) struct Saboteur {
    rule: Sabotage,
    inner: Arc<dyn Store>,
    clock: Arc<SimClock>,
    known: Mutex<Known>,
}

/// What it remembers of what went through.
#[derive(Default)]
struct Known {
    first: BTreeMap<CallId, AttemptId>,
    live: BTreeMap<AttemptId, Live>,
    unreal: u64,
}

struct Live {
    workspace: WorkspaceId,
    batch: BatchId,
    caller: PhoneId,
    trunk: TrunkId,
    callee: PhoneNumber,
    since: Duration,
}

impl Saboteur {
    /// Breaks `rule` on the way to `inner`.
    pub(crate) fn new(rule: Sabotage, inner: Arc<dyn Store>, clock: Arc<SimClock>) -> Self {
        Self { rule, inner, clock, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the engine is told of a commit.
    fn told(&self, ws: WorkspaceId, mut outcome: CommitOutcome) -> CommitOutcome {
        let since = self.clock.elapsed();
        let mut known = self.known();
        for Committed { attempt, intent } in &mut outcome.committed {
            let NewIntent { intent, .. } = intent;
            let live = Live {
                workspace: ws,
                batch: intent.batch,
                caller: intent.caller,
                trunk: intent.trunk,
                callee: intent.callee,
                since,
            };
            known.live.insert(*attempt, live);
            let first = *known.first.entry(intent.call).or_insert(*attempt);
            match self.rule {
                Sabotage::AttemptReused => *attempt = first,
                Sabotage::NoSlotEnd => intent.send_by = intent.send_by.after(NO_END),
                Sabotage::HoursOnlyAtDecision => {
                    intent.open_until = Timestamp::MAX;
                    intent.send_by = intent.send_by.after(LITTLE);
                }
                _ => {}
            }
        }
        outcome
    }

    /// As if everything had gone through.
    fn pretended(&self, version: u64, intents: Vec<NewIntent>) -> CommitOutcome {
        let mut known = self.known();
        let committed = intents.into_iter().map(|intent| {
            known.unreal += 1;
            let attempt = AttemptId::from_parts(1, (1 << 40) + known.unreal);
            Committed { attempt, intent }
        });
        let committed = committed.collect();
        CommitOutcome { version, committed, dropped: Vec::new() }
    }

    /// Gives a number up that is on the phone, so that the next one goes through.
    async fn unlock(&self, ws: WorkspaceId, callee: PhoneNumber) -> Result<(), StoreError> {
        let busy = {
            let known = self.known();
            let mut live = known.live.iter();
            live.find(|(_, l)| (l.workspace, l.callee) == (ws, callee)).map(|(id, _)| *id)
        };
        let Some(attempt) = busy else { return Ok(()) };
        let end = AttemptEnd {
            state: AttemptState::NotSent,
            outcome: outcome_of(&CallEnd::NotSent { reason: "late" }),
            sip_status: None,
            sent_at: None,
            ringing_at: None,
            answered_at: None,
            ended_at: self.clock.now(),
        };
        let next = CallNext::Finished(Disposition::Canceled);
        self.inner.attempt_finish(attempt, end, next, Settle::default()).await?;
        Ok(())
    }

    /// What the database's clock would show if nobody had ever set it.
    fn unset(&self, clock: Timestamp) -> Timestamp {
        let set_by = self.clock.now().as_millis() - self.clock.real().as_millis();
        Timestamp::from_millis(clock.as_millis() - set_by)
    }

    /// Leaves out what has been live for a while.
    fn fewer(&self, head: &mut Head) {
        let elapsed = self.clock.elapsed();
        let known = self.known();
        let old = known.live.values().filter(|l| l.workspace == head.workspace);
        for live in old.filter(|l| elapsed > l.since + TIMEOUT) {
            head.live = head.live.saturating_sub(1);
            for batch in head.batches.iter_mut().filter(|b| b.id == live.batch) {
                batch.live = batch.live.saturating_sub(1);
            }
            for number in head.numbers.iter_mut().filter(|n| n.id == live.caller) {
                number.live = number.live.saturating_sub(1);
            }
            for trunk in head.trunks.iter_mut().filter(|t| t.id == live.trunk) {
                trunk.live = trunk.live.saturating_sub(1);
            }
        }
    }
}

/// The store: the plain operations are handed on.
macro_rules! store {
    (
        plain { $($name:ident($($arg:ident: $type:ty),*) -> $ok:ty, $err:ty;)* }
        bent { $($bent:tt)* }
    ) => {
        #[async_trait]
        impl Store for Saboteur {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$ok, $err> {
                self.inner.$name($($arg),*).await
            })*
            $($bent)*
        }
    };
}

store! {
    plain {
        ping() -> (), StoreError;
        secret_fetch() -> [u8; 32], StoreError;
        node_join(spec: NodeSpec) -> (), NodeJoinError;
        node_leave() -> (), StoreError;
        node_list() -> Vec<NodeRecord>, StoreError;
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
        delivery_replay(ws: WorkspaceId, webhook: WebhookId, what: Replay)
            -> Option<u32>, StoreError;
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
        batch_start(ws: WorkspaceId, id: BatchId, start: BatchStart)
            -> BatchRecord, BatchStartError;
        batch_stop(ws: WorkspaceId, id: BatchId) -> bool, StoreError;
        batch_delete(ws: WorkspaceId, id: BatchId) -> bool, StoreError;
        batch_update(ws: WorkspaceId, id: BatchId, patch: BatchPatch)
            -> BatchRecord, BatchUpdateError;
        batch_expire_due(limit: u32) -> u32, StoreError;
        batch_close_due(limit: u32) -> Vec<BatchId>, StoreError;
        request_lookup(r: &RequestBegin) -> RequestLookup, StoreError;
        request_begin(r: &RequestBegin) -> RequestLookup, StoreError;
        request_finish(request: RequestId, answer: StoredAnswer, is_final: bool)
            -> (), StoreError;
        request_close(request: RequestId) -> (), StoreError;
        request_prune(limit: u32) -> u32, StoreError;
        import_begin(request: RequestId, new: NewBatch)
            -> BatchId, outdial_ports::store::ImportError;
        import_finish(end: outdial_ports::store::ImportFinish)
            -> (), outdial_ports::store::ImportError;
        import_prune(limit: u32) -> u32, StoreError;
        call_export(batch: BatchId, after: Option<CallId>, limit: u32)
            -> Vec<CallView>, StoreError;
        call_list(batch: BatchId, query: CallQuery) -> CallList, StoreError;
        call_fetch(ws: WorkspaceId, id: CallId) -> Option<(BatchRecord, CallView)>, StoreError;
        call_cancel(ws: WorkspaceId, id: CallId) -> Option<CallCanceled>, StoreError;
        call_give_up(ws: WorkspaceId, id: CallId, reason: &'static str) -> bool, StoreError;
        dnc_add(ws: WorkspaceId, new: NewDnc) -> DncRecord, DncAddError;
        dnc_list(ws: WorkspaceId, query: DncListQuery) -> DncList, StoreError;
        dnc_delete(ws: WorkspaceId, id: DncId) -> (), DncDeleteError;
        dispatch_workspaces() -> Vec<WorkspaceId>, StoreError;
        dispatch_groups(ws: WorkspaceId, also: Option<BatchId>) -> Vec<Group>, StoreError;
        dispatch_waiting(batches: Vec<BatchId>) -> Vec<Bucket>, StoreError;
        dispatch_candidates(asks: &[Ask]) -> Vec<Candidate>, StoreError;
        attempt_record(attempt: AttemptId, progress: AttemptProgress, dialog: Option<String>)
            -> bool, StoreError;
        attempt_latest_of_others(ws: WorkspaceId) -> Option<Mark>, StoreError;
        attempt_is_any() -> bool, StoreError;
        attempt_fetch(attempt: AttemptId) -> Option<OpenAttempt>, StoreError;
        attempt_list_orphaned(limit: u32) -> Vec<OpenAttempt>, StoreError;
        live_list_recalled() -> Vec<AttemptId>, StoreError;
        limits_prune(limit: u32) -> u32, StoreError;
    }
    bent {
        async fn dispatch_head(
            &self,
            ws: WorkspaceId,
            also: Option<BatchId>,
        ) -> Result<Head, StoreError> {
            let mut head = self.inner.dispatch_head(ws, also).await?;
            if self.rule == Sabotage::ChannelFreedByTimeout {
                self.fewer(&mut head);
            }
            if self.rule == Sabotage::BlindToJumps {
                head.clock = self.unset(head.clock);
            }
            Ok(head)
        }
        async fn node_beat(&self, beat: NodeBeat) -> Result<NodeStanding, StoreError> {
            let mut standing = self.inner.node_beat(beat).await?;
            if self.rule == Sabotage::BlindToJumps {
                standing.clock = self.unset(standing.clock);
            }
            Ok(standing)
        }
        async fn call_add_chunk(&self, mut chunk: ChunkAdd) -> Result<StoredChunk, ChunkError> {
            // Only now and then, as a crash would.
            let halved = self.rule == Sabotage::HalfAChunk && chunk.records.len() % 5 == 4;
            if halved {
                chunk.records.truncate(chunk.records.len() / 2);
                self.inner.call_add_chunk(chunk).await?;
                return Err(StoreError::Unavailable(MEANT.to_owned()).into());
            }
            self.inner.call_add_chunk(chunk).await
        }
        async fn attempt_commit_intents(
            &self,
            ws: WorkspaceId,
            version: u64,
            mut plan: NewPlan,
        ) -> Result<CommitOutcome, CommitError> {
            let intents = plan.intents.clone();
            if self.rule == Sabotage::TrustsCopies {
                plan.mark = None;
            }
            let again = plan.clone();
            let mut done = self.inner.attempt_commit_intents(ws, version, plan).await;
            if self.rule == Sabotage::StalePlan && done == Err(CommitError::Stale) {
                let version = self.inner.dispatch_head(ws, None).await?.version;
                done = self.inner.attempt_commit_intents(ws, version, again).await;
            }
            match done {
                Err(CommitError::Store(StoreError::OutcomeUnknown(_)))
                    if self.rule == Sabotage::SendsUnacknowledged =>
                {
                    Ok(self.pretended(version, intents))
                }
                Err(error) => Err(error),
                Ok(outcome) => {
                    if self.rule == Sabotage::NumberNotLocked {
                        for dropped in &outcome.dropped {
                            let mut new = intents.iter().map(|new| &new.intent);
                            if dropped.reason == DropReason::NumberBusy
                                && let Some(intent) = new.find(|i| i.call == dropped.call)
                            {
                                self.unlock(ws, intent.callee).await?;
                            }
                        }
                    }
                    Ok(self.told(ws, outcome))
                }
            }
        }
        async fn attempt_is_known(
            &self,
            attempt: AttemptId,
            token: [u8; 16],
        ) -> Result<bool, StoreError> {
            let is_known = self.inner.attempt_is_known(attempt, token).await?;
            Ok(is_known || self.rule == Sabotage::TrustsCopies)
        }
        async fn attempt_finish(
            &self,
            attempt: AttemptId,
            end: AttemptEnd,
            mut next: CallNext,
            settle: Settle,
        ) -> Result<FinishResult, StoreError> {
            if self.rule == Sabotage::RedialsUnknown
                && next == CallNext::Finished(Disposition::Unknown)
            {
                let not_before = self.clock.now();
                next = CallNext::Pending { not_before, reason: WaitReason::Due, is_retry: true };
            }
            let done = self.inner.attempt_finish(attempt, end, next, settle).await;
            if done.is_ok() {
                self.known().live.remove(&attempt);
            }
            done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{STEPS, run_sabotaged};

    /// It is found in three of the first seeds as one of these promises.
    fn is_found(rule: Sabotage, promises: &[&str]) {
        let broken = (1..=60).filter_map(|seed| run_sabotaged(seed, STEPS, rule).err());
        let meant = broken.filter(|failure| promises.contains(&failure.violation.promise));
        let found: Vec<_> = meant.take(3).map(|failure| failure.violation).collect();
        assert!(found.len() == 3, "{rule:?}: {found:?}");
    }

    #[test]
    fn sending_what_was_perhaps_not_committed() {
        is_found(Sabotage::SendsUnacknowledged, &["I1"]);
    }

    #[test]
    fn redialing_what_is_unknown() {
        is_found(Sabotage::RedialsUnknown, &["I1"]);
    }

    #[test]
    fn a_slot_without_an_end() {
        is_found(Sabotage::NoSlotEnd, &["I1", "I5"]);
    }

    /// The model knows that the number is on the phone before the second call leaves.
    #[test]
    fn a_number_that_is_not_locked() {
        is_found(Sabotage::NumberNotLocked, &["I1", "I5", "model"]);
    }

    #[test]
    fn a_name_used_again() {
        is_found(Sabotage::AttemptReused, &["I1"]);
    }

    #[test]
    fn hours_looked_at_once() {
        is_found(Sabotage::HoursOnlyAtDecision, &["I4"]);
    }

    /// Whatever changed: hours, limits, budgets, numbers.
    #[test]
    fn a_stale_plan() {
        is_found(Sabotage::StalePlan, &["I4", "I5", "budget", "daily cap", "24 h cap", "model"]);
    }

    #[test]
    fn a_channel_that_is_free_too_early() {
        is_found(Sabotage::ChannelFreedByTimeout, &["I5"]);
    }

    #[test]
    fn half_a_chunk() {
        is_found(Sabotage::HalfAChunk, &["model", "I3"]);
    }

    #[test]
    fn a_copy_that_is_trusted() {
        is_found(Sabotage::TrustsCopies, &["older copy"]);
    }

    #[test]
    fn a_clock_that_nobody_compares() {
        is_found(Sabotage::BlindToJumps, &["clock"]);
    }
}
