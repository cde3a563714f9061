//! The store: what Outdial remembers.
//!
//! Every operation is one whole transaction in domain words, noun first. No begin or commit, no SQL
//! text, no row type and no pool crosses this line. Leases and everything that is due go by the
//! store's own clock. An operation that returned `Ok` is durable.
//!
//! Order of locks everywhere: batch before calls.

mod account;
mod attempt;
mod backlog;
mod batch;
mod call;
mod dnc;
mod event;
mod import;
mod key;
mod node;
mod request;
mod trunk;
mod webhook;

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
use thiserror::Error;

use crate::watermark::Mark;

pub use account::{
    AgentError, AgentRecord, AgentSpec, Integration, NewPhone, NewWorkspace, PhoneError,
    PhonePatch, PhoneRecord, WorkspaceCreated, WorkspaceRecord,
};
pub use attempt::{
    CommitError, CommitOutcome, Committed, DropReason, Dropped, FinishResult, NewIntent, NewPlan,
    OpenAttempt, Settle,
};
pub use backlog::{BACKLOG_BATCHES, Backlog, Waiting};
pub use batch::{
    AgentVersion, BatchCreateError, BatchList, BatchListQuery, BatchPatch, BatchRecord, BatchStart,
    BatchStartError, BatchUpdateError, IngestContext, NewBatch,
};
pub use call::{
    AttemptView, CallCanceled, CallList, CallQuery, CallSort, CallView, FilterField, WaitingCall,
};
pub use dnc::{DncAddError, DncDeleteError, DncList, DncListQuery, DncRecord, NewDnc};
pub use event::{EVENT_KEPT_MS, EventBacklog, EventKind, EventPage, EventRecord};
pub use import::{ImportError, ImportFinish};
pub use key::{KEY_USE_EVERY, KeyError, KeyRecord, KeyRotation, NewKey, Principal, Scope, Scopes};
pub use node::{
    NODE_LEASE, NODE_TRUST, NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding,
};
pub use request::{
    ChunkAdd, ChunkError, ChunkLane, ChunkRecord, RequestBegin, RequestLookup, RequestProgress,
    StoredAnswer, StoredChunk,
};
pub use trunk::{
    CallerIdIn, Secret, SipSpec, Transport, TrunkError, TrunkHealth, TrunkRecord, TrunkSpec,
    TrunkState,
};
pub use webhook::{
    DELIVERY_KEPT_MS, DELIVERY_LEASE_MS, DeliveryJob, DeliveryList, DeliveryNext, DeliveryQuery,
    DeliveryRecord, DeliveryState, DeliveryTry, NewWebhook, Replay, WEBHOOKS_MAX, WebhookError,
    WebhookPatch, WebhookRecord, WebhookSpec,
};

/// What can go wrong in any operation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The database cannot be reached now; nothing was changed.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The disk is full; nothing was changed.
    #[error("the disk is full")]
    Full,
    /// The answer to COMMIT was lost: it may or may not have been applied.
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(String),
    /// A defect, ours or of the data; nothing was changed.
    #[error("internal store error: {0}")]
    Internal(String),
}

/// The store. Ids of another workspace are treated like ids that nobody has, but where an operation
/// says otherwise.
#[async_trait]
pub trait Store: Send + Sync {
    /// The database answers.
    async fn ping(&self) -> Result<(), StoreError>;
    /// 32 random bytes made with the database: the key of its keyed hashes.
    async fn secret_fetch(&self) -> Result<[u8; 32], StoreError>;

    // Nodes.

    /// Joins as this node: from then on what this process commits is its own. Earlier processes of
    /// the same node on the same host have left.
    async fn node_join(&self, spec: NodeSpec) -> Result<(), NodeJoinError>;
    /// Is heard of. A node that was gone to the others is back; what they took over stays theirs.
    async fn node_beat(&self, beat: NodeBeat) -> Result<NodeStanding, StoreError>;
    /// Leaves: what this process has not ended is taken over at once.
    async fn node_leave(&self) -> Result<(), StoreError>;
    /// Nodes that are alive, and those gone that were heard of within a day; by name. Forgets the
    /// others.
    async fn node_list(&self) -> Result<Vec<NodeRecord>, StoreError>;

    // Workspaces, keys, settings.

    /// Makes a workspace with its user and first key.
    async fn workspace_create(&self, new: NewWorkspace) -> Result<WorkspaceCreated, StoreError>;
    /// All of them, oldest first.
    async fn workspace_list(&self) -> Result<Vec<WorkspaceRecord>, StoreError>;
    /// The workspace's settings.
    async fn settings_fetch(&self, ws: WorkspaceId) -> Result<WorkspaceSettings, StoreError>;
    /// Replaces the settings, if they are still what they were (`was`; none: whatever they are);
    /// false: they are not. Bumps the dispatch version. Where they say otherwise how often a
    /// person may be called, or whether the calling rules apply, calls that wait with
    /// `WaitReason::AttemptsPerDay` are due at once: their commit looks at it again.
    async fn settings_update(
        &self,
        ws: WorkspaceId,
        was: Option<WorkspaceSettings>,
        settings: WorkspaceSettings,
    ) -> Result<bool, StoreError>;
    /// Adds a key.
    async fn key_create(&self, ws: WorkspaceId, key: NewKey) -> Result<KeyRecord, StoreError>;
    /// All keys, revoked ones too, oldest first.
    async fn key_list(&self, ws: WorkspaceId) -> Result<Vec<KeyRecord>, StoreError>;
    /// Revokes a key; false: there is none, or it was revoked before. Bumps the dispatch version.
    async fn key_revoke(&self, ws: WorkspaceId, key: KeyId) -> Result<bool, StoreError>;
    /// Makes the successor of a good key, which stays good for `old_for` and no longer; what it is
    /// the successor of is revoked, so that two of a line are good at most. Bumps the dispatch
    /// version.
    async fn key_rotate(
        &self,
        ws: WorkspaceId,
        key: KeyId,
        rotation: KeyRotation,
    ) -> Result<KeyRecord, KeyError>;
    /// These keys are in use; answers of how many that is written down. It is not for those where
    /// it was within [`KEY_USE_EVERY`], nor for one that somebody else is changing: never waits.
    async fn key_touch(&self, keys: Vec<KeyId>) -> Result<u32, StoreError>;
    /// Whose key has this keyed hash, if it is neither revoked nor expired.
    async fn key_authenticate(&self, hash: [u8; 32]) -> Result<Option<Principal>, StoreError>;

    // Agents and calling numbers.

    /// Makes an agent, version 1.
    async fn agent_create(&self, ws: WorkspaceId, a: AgentSpec) -> Result<AgentRecord, StoreError>;
    /// All, oldest first.
    async fn agent_list(&self, ws: WorkspaceId) -> Result<Vec<AgentRecord>, StoreError>;
    /// One.
    async fn agent_fetch(
        &self,
        ws: WorkspaceId,
        id: AgentId,
    ) -> Result<Option<AgentRecord>, StoreError>;
    /// Replaces it, if it still has this version (none: whichever); the version grows by one, and
    /// calls that were checked against an earlier version keep that one.
    async fn agent_update(
        &self,
        ws: WorkspaceId,
        id: AgentId,
        version: Option<u32>,
        a: AgentSpec,
    ) -> Result<AgentRecord, AgentError>;
    /// Deletes it; refused while a calling number is bound to it.
    async fn agent_delete(&self, ws: WorkspaceId, id: AgentId) -> Result<(), AgentError>;
    /// Adds a calling number. A simulated one goes to the workspace's simulated trunk, which is
    /// made with the first (unlimited CPS, 500 channels).
    async fn phone_create(
        &self,
        ws: WorkspaceId,
        phone: NewPhone,
    ) -> Result<PhoneRecord, PhoneError>;
    /// All that are not deleted, oldest first.
    async fn phone_list(&self, ws: WorkspaceId) -> Result<Vec<PhoneRecord>, StoreError>;
    /// Binds an agent, changes limits; bumps the dispatch version.
    async fn phone_update(
        &self,
        ws: WorkspaceId,
        id: PhoneId,
        patch: PhonePatch,
    ) -> Result<PhoneRecord, PhoneError>;
    /// Deletes it and takes it out of every batch; a batch that is left without numbers and was
    /// active or pending with calls becomes paused, reason `no_numbers`. Bumps the version.
    async fn phone_delete(&self, ws: WorkspaceId, id: PhoneId) -> Result<(), PhoneError>;

    // Trunks.

    /// Makes a SIP trunk.
    async fn trunk_create(
        &self,
        ws: WorkspaceId,
        spec: TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError>;
    /// All of a workspace that are not deleted, oldest first; the simulated one too.
    async fn trunk_list(&self, ws: WorkspaceId) -> Result<Vec<TrunkRecord>, StoreError>;
    /// Every trunk that is not deleted, by id: what a carrier must know.
    async fn trunk_list_all(&self) -> Result<Vec<TrunkRecord>, StoreError>;
    /// Replaces its settings, if it was changed last at `updated_at` (none: whenever); bumps the
    /// dispatch version. Live calls go on as they were placed. What is known of its health begins
    /// anew.
    async fn trunk_update(
        &self,
        ws: WorkspaceId,
        id: TrunkId,
        updated_at: Option<Timestamp>,
        spec: TrunkSpec,
    ) -> Result<TrunkRecord, TrunkError>;
    /// Deletes it; refused while a calling number goes out over it. Bumps the version.
    async fn trunk_delete(&self, ws: WorkspaceId, id: TrunkId) -> Result<(), TrunkError>;
    /// Remembers how trunks are; bumps the version where one begins or ceases to be usable. Of one
    /// that is gone, or was changed meanwhile (`updated_at`), nothing.
    async fn trunk_report(
        &self,
        found: Vec<(TrunkId, Timestamp, TrunkHealth)>,
    ) -> Result<(), StoreError>;

    // Batches.

    /// Makes a batch, state `pending`.
    async fn batch_create(&self, new: NewBatch) -> Result<BatchId, BatchCreateError>;
    /// One that is not deleted, of whatever workspace: the caller compares the owner.
    async fn batch_fetch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError>;
    /// Those of a workspace that are neither deleted nor importing, newest first.
    async fn batch_list(
        &self,
        ws: WorkspaceId,
        query: BatchListQuery,
    ) -> Result<BatchList, StoreError>;
    /// What ingest has to know of a batch of this workspace that is not deleted.
    async fn batch_ingest_context(
        &self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<Option<IngestContext>, StoreError>;
    /// Starts it: `active`. What is counted for the brakes, and what they remember, begins anew if
    /// a brake had paused it; not if a budget had. Without `call_data_lane` all its calls may be
    /// placed; with it only calls of that lane, the others are *held* until the next start without.
    /// Bumps the version.
    async fn batch_start(
        &self,
        ws: WorkspaceId,
        id: BatchId,
        start: BatchStart,
    ) -> Result<BatchRecord, BatchStartError>;
    /// Stops it: `stopped`. Idempotent; false: no such batch. Bumps the version.
    async fn batch_stop(&self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError>;
    /// Deletes it; false: no such batch. Its live calls show up in `live_list_recalled`. Bumps the
    /// version.
    async fn batch_delete(&self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError>;
    /// Changes name, settings, numbers; bumps the version, so that what was planned before does not
    /// commit. Live calls go on; their retries follow the settings as they are then. Those that
    /// wait follow too: a retry that the batch no longer allows (`charged` above `retry`) finishes
    /// as its latest charged attempt did; one with `WaitReason::RetryDelay` waits longer or
    /// shorter by what `delay` changed, due at once if that is over, and at least
    /// `retry::UNKNOWN_REST` after an attempt that ended as unknown. A batch paused for want of
    /// numbers that gets some becomes active.
    async fn batch_update(
        &self,
        ws: WorkspaceId,
        id: BatchId,
        patch: BatchPatch,
    ) -> Result<BatchRecord, BatchUpdateError>;
    /// Finishes pending calls of batches whose `expires_at` is over as `expired`; at most `limit`;
    /// how many. Calls on the phone are finished so when their attempt ends and they would be
    /// pending again.
    async fn batch_expire_due(&self, limit: u32) -> Result<u32, StoreError>;
    /// Sets `completed` on active batches with nothing pending and nothing live, and `paused`
    /// (`calls_held`) on those where only held calls are pending. One that is paused for want of
    /// numbers is completed too when nothing is left. At most `limit`; returns which.
    async fn batch_close_due(&self, limit: u32) -> Result<Vec<BatchId>, StoreError>;

    // Ingest.

    /// Looks a request up by its key, or a keyless one by its body. Changes nothing.
    async fn request_lookup(&self, r: &RequestBegin) -> Result<RequestLookup, StoreError>;
    /// Takes the request, after validation: makes its row, or takes over a lapsed lease. The
    /// result is as of `request_lookup`, but `Fresh` is never returned.
    async fn request_begin(&self, r: &RequestBegin) -> Result<RequestLookup, StoreError>;
    /// Stores one chunk whole or not at all, with its row (request, chunk number), and starts the
    /// batch as of `BatchState::after_add`, or pauses it (`no_numbers`) if it would be active
    /// without a calling number. Calls that wait already may get another lane or class, which bumps
    /// no version: a commit looks at each call once more. Extends the request's lease. A chunk that
    /// has a row already is not applied again; its stored result is returned.
    async fn call_add_chunk(&self, chunk: ChunkAdd) -> Result<StoredChunk, ChunkError>;
    /// Ends this owner's work on a request: gives the lease back and keeps the answer. `is_final`:
    /// every chunk is committed, every later repeat gets this answer byte for byte.
    async fn request_finish(
        &self,
        request: RequestId,
        answer: StoredAnswer,
        is_final: bool,
    ) -> Result<(), StoreError>;
    /// The answer of a keyless request was written to its client: the same bytes sent again are a
    /// new request. One with a key that has neither a chunk nor a final answer was refused: it is
    /// forgotten, so that a refusal leaves no trace of the key.
    async fn request_close(&self, request: RequestId) -> Result<(), StoreError>;
    /// Forgets requests that are older than they must be kept; at most `limit`, and fewer when they
    /// have many chunks; how many. One that this process has begun and not finished stays, whatever
    /// the clock says.
    async fn request_prune(&self, limit: u32) -> Result<u32, StoreError>;
    /// Makes a batch in state `importing`, which no other operation shows: `call_add_chunk`
    /// (without `auto_start`) fills it. An earlier import of the same request is dropped, with the
    /// rows of its chunks.
    async fn import_begin(&self, request: RequestId, new: NewBatch)
    -> Result<BatchId, ImportError>;
    /// Makes an import visible, all at once: `pending`, or `paused` (`no_numbers`) if it has no
    /// calling number any more; and keeps the final answer to its request. Bumps the version.
    async fn import_finish(&self, end: ImportFinish) -> Result<(), ImportError>;
    /// Drops imports whose request is not in work any more, and takes away at most `limit` calls of
    /// one that was dropped; 0: there is nothing to take away.
    async fn import_prune(&self, limit: u32) -> Result<u32, StoreError>;

    // Calls.

    /// A page of a batch's calls with their histories.
    async fn call_list(&self, batch: BatchId, query: CallQuery) -> Result<CallList, StoreError>;
    /// The next calls of a batch after this one, in the order in which they were added, with their
    /// histories; at most `limit`. Costs no more at the end of a large batch than at its beginning.
    async fn call_export(
        &self,
        batch: BatchId,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallView>, StoreError>;
    /// One call with its history.
    async fn call_fetch(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(BatchRecord, CallView)>, StoreError>;

    /// Takes one call back: a pending one is finished as `canceled`; one whose call is not over
    /// shows up in `live_list_recalled` and is not tried again; a finished one stays as it is.
    /// None: no such call in this workspace. Does not bump the version: a commit looks at each
    /// call once more.
    async fn call_cancel(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<CallCanceled>, StoreError>;
    /// Gives one call up, because it cannot be decided: a pending one is finished as `failed` with
    /// this reason. False: it is not pending, or there is no such call in this workspace. Does not
    /// bump the version.
    async fn call_give_up(
        &self,
        ws: WorkspaceId,
        id: CallId,
        reason: &'static str,
    ) -> Result<bool, StoreError>;

    // Do-not-call: a number is checked if the workspace's `do_not_call` is on, or the batch says
    // `enable_dnc`. A checked number that is listed is not dialed, by whatever batch.

    /// Lists a number. Checked pending calls to it finish as `skipped`, reason `do_not_call`, in
    /// the same transaction; checked live ones show up in `live_list_recalled` and are not tried
    /// again. Bumps the version.
    async fn dnc_add(&self, ws: WorkspaceId, new: NewDnc) -> Result<DncRecord, DncAddError>;
    /// A page of the list, newest first.
    async fn dnc_list(&self, ws: WorkspaceId, query: DncListQuery) -> Result<DncList, StoreError>;
    /// Takes a number off the list; calls that were skipped stay so. Bumps the version.
    async fn dnc_delete(&self, ws: WorkspaceId, id: DncId) -> Result<(), DncDeleteError>;

    // Dispatch.

    /// Workspaces with an active batch, by id.
    async fn dispatch_workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError>;
    /// What a turn rests on. Batches without pending calls may be missing. `also` is included
    /// whatever its state, for those who explain and forecast.
    async fn dispatch_head(
        &self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Head, StoreError>;
    /// The groups of the workspace's active batches, and of `also` in all its lanes, with their
    /// next due instants. Costs as much as there are groups, not calls.
    async fn dispatch_groups(
        &self,
        ws: WorkspaceId,
        also: Option<BatchId>,
    ) -> Result<Vec<Group>, StoreError>;
    /// The pending calls of these batches, all lanes, counted by what they have in common. May read
    /// all of them; for reports and forecasts.
    async fn dispatch_waiting(&self, batches: Vec<BatchId>) -> Result<Vec<Bucket>, StoreError>;
    /// Due candidates of the groups asked for, each group in the order (`not_before`, call).
    async fn dispatch_candidates(&self, asks: &[Ask]) -> Result<Vec<Candidate>, StoreError>;
    /// Commits a plan if `version` still stands, and bumps it. A database that does not hold the
    /// plan's mark refuses it whatever the version. Each intent that goes through has its call
    /// live, its number locked in the workspace, and its attempt in state `intent`, owned by this
    /// process, with its reserve and its day's count booked. A candidate that fails drops
    /// out with its reason, and its slot is not kept: one that is not pending any more, or not as
    /// its intent says (lane, class, facts); one whose number is on the phone gets `not_before` a
    /// little later with `WaitReason::NumberBusy`; one whose number is listed (`dnc_add`) finishes
    /// as `skipped`; one who was called as often in 24 h as `Intent::attempts_24h` allows waits
    /// until that is over, with `WaitReason::AttemptsPerDay` (24 h and a slot, counted by the
    /// starts of slots). Of active batches it is kept what the brakes are to remember; those of
    /// `pauses` become paused.
    async fn attempt_commit_intents(
        &self,
        ws: WorkspaceId,
        version: u64,
        plan: NewPlan,
    ) -> Result<CommitOutcome, CommitError>;
    /// Whether the database holds the attempt with this token.
    async fn attempt_is_known(
        &self,
        attempt: AttemptId,
        token: [u8; 16],
    ) -> Result<bool, StoreError>;
    /// The latest attempt of a workspace that another process committed: whoever notes it
    /// recognises the database by what others dialed too.
    async fn attempt_latest_of_others(&self, ws: WorkspaceId) -> Result<Option<Mark>, StoreError>;
    /// Whether it holds any attempt at all.
    async fn attempt_is_any(&self) -> Result<bool, StoreError>;
    /// Remembers how far a live attempt is, and with `Answered` what another process needs to end
    /// its call; only forward. False: it is further already, or over, or taken over.
    async fn attempt_record(
        &self,
        attempt: AttemptId,
        progress: AttemptProgress,
        dialog: Option<String>,
    ) -> Result<bool, StoreError>;
    /// What must be known to decide what comes after an attempt.
    async fn attempt_fetch(&self, attempt: AttemptId) -> Result<Option<OpenAttempt>, StoreError>;
    /// Ends an attempt, conditional on its not being over: writes its outcome, deletes the live row
    /// and with it the reserve, books use and pulse as `settle` says, counts it as the outcome
    /// says, moves the call to `next`, applies deferred fields. A call that would be pending again
    /// finishes instead: as `skipped` if its number is listed, as `canceled` if it was taken back,
    /// as `expired` if its batch has. One that finishes as `canceled` says as its
    /// `disposition_reason` if its number is listed or it was taken back. An attempt that was not
    /// charged does not count among the person's 24 h; one that was not sent not in its number's
    /// day either. One that used more than it had reserved of a budget bumps the version.
    async fn attempt_finish(
        &self,
        attempt: AttemptId,
        end: AttemptEnd,
        next: CallNext,
        settle: Settle,
    ) -> Result<FinishResult, StoreError>;
    /// Attempts that are not over and belong to a process that is gone, or were taken over by this
    /// one before; at most `limit`. This process takes them over: while it is alive no other is
    /// given them, and their owner's records change nothing, should it come back.
    async fn attempt_list_orphaned(&self, limit: u32) -> Result<Vec<OpenAttempt>, StoreError>;
    /// Live attempts of this process that are no longer wanted: their batch is deleted, they were
    /// taken back (`call_cancel`), or their number is checked and listed (`dnc_add`).
    async fn live_list_recalled(&self) -> Result<Vec<AttemptId>, StoreError>;
    /// Forgets what limits no longer need: attempts at persons older than 48 h, days and pulses
    /// long past, at most `limit` rows; and pauses of trunks that end later than any can
    /// ([`outdial_core::trunk_health::PAUSE_MAX`]). How many rows.
    async fn limits_prune(&self, limit: u32) -> Result<u32, StoreError>;

    /// What there is to do, of all workspaces. Costs what its batches cost, not their calls.
    async fn batch_backlog(&self) -> Result<Backlog, StoreError>;

    // Events. Every fact that is one (`EventKind`) leaves a row in its own transaction: the end of
    // an attempt that was sent or is unknown, a call that finishes on whatever way, a batch that
    // becomes active, completed or paused, a number that is listed, an endpoint that is disabled.
    // Stopping and deleting a batch are none.

    /// Makes events of committed facts: positions of their workspaces, their data, and a delivery
    /// for each endpoint that is not disabled and wants them. At most `limit`; how many. One at a
    /// time; while another numbers it does nothing. A fact that is committed after a later one was
    /// numbered gets its number too.
    async fn event_number(&self, limit: u32) -> Result<u32, StoreError>;
    /// Events of a workspace after this position, at most `limit`.
    async fn event_list(
        &self,
        ws: WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<EventPage, StoreError>;
    /// What waits, of all workspaces.
    async fn event_backlog(&self) -> Result<EventBacklog, StoreError>;
    /// Forgets deliveries that are over long enough (`DELIVERY_KEPT_MS`, `EVENT_KEPT_MS`), events
    /// that can be read no longer and have no delivery, deliveries of deleted endpoints and those
    /// waiting for one that was disabled so long ago. At most `limit` rows; how many.
    async fn event_prune(&self, limit: u32) -> Result<u32, StoreError>;
    /// Those batches of a workspace that are active, by id.
    async fn batch_list_active(&self, ws: WorkspaceId) -> Result<Vec<BatchRecord>, StoreError>;

    // Webhooks.

    /// Makes an endpoint: it gets what is numbered from then on.
    async fn webhook_create(
        &self,
        ws: WorkspaceId,
        new: NewWebhook,
    ) -> Result<WebhookRecord, WebhookError>;
    /// All that are not deleted, oldest first.
    async fn webhook_list(&self, ws: WorkspaceId) -> Result<Vec<WebhookRecord>, StoreError>;
    /// One.
    async fn webhook_fetch(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
    ) -> Result<Option<WebhookRecord>, StoreError>;
    /// Changes it.
    async fn webhook_update(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
        patch: WebhookPatch,
    ) -> Result<WebhookRecord, WebhookError>;
    /// Gives it another secret; the one it had is good until `old_until`, any earlier one no more.
    async fn webhook_rotate(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
        secret: Secret,
        old_until: Timestamp,
    ) -> Result<WebhookRecord, WebhookError>;
    /// Deletes it with its deliveries; false: no such endpoint.
    async fn webhook_delete(&self, ws: WorkspaceId, id: WebhookId) -> Result<bool, StoreError>;
    /// Disables it for this reason, with an event about it; what waits for it stays. False: it is
    /// disabled, or gone.
    async fn webhook_disable(&self, id: WebhookId, reason: String) -> Result<bool, StoreError>;
    /// Deliveries that are due, of endpoints that are neither disabled nor `busy`: of each at most
    /// `limit_per_endpoint`, the one that is due longest first; at most `limit` in all. They are
    /// this process's own for [`DELIVERY_LEASE_MS`], or until it is gone.
    async fn delivery_claim(
        &self,
        limit_per_endpoint: u32,
        limit: u32,
        busy: &[WebhookId],
    ) -> Result<Vec<DeliveryJob>, StoreError>;
    /// Remembers a try. False, and nothing: the delivery is over, gone, or another's; but one that
    /// arrived has arrived, whosever it is. Keeps the endpoint's `failing_since`.
    async fn delivery_record(
        &self,
        delivery: DeliveryId,
        tried: DeliveryTry,
        next: DeliveryNext,
    ) -> Result<bool, StoreError>;
    /// A page of an endpoint's deliveries; none: no such endpoint.
    async fn delivery_list(
        &self,
        ws: WorkspaceId,
        webhook: WebhookId,
        query: DeliveryQuery,
    ) -> Result<Option<DeliveryList>, StoreError>;
    /// Makes deliveries that are over due again, with the event and the sequence they had; how
    /// many. None: no such endpoint.
    async fn delivery_replay(
        &self,
        ws: WorkspaceId,
        webhook: WebhookId,
        what: Replay,
    ) -> Result<Option<u32>, StoreError>;
}
