//! What most cases begin with: a workspace with an agent, a number, and a batch; and the moves of
//! ingest and engine in short.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::batch::{BatchSettings, BatchTotals};
use outdial_core::budget::{Day, Spend};
use outdial_core::call::{CallNext, WaitReason};
use outdial_core::dispatcher::{Ask, BatchHead, Candidate, Group, Head, Intent};
use outdial_core::id::{AgentId, BatchId, CallId, PhoneId, RequestId, TrunkId, WorkspaceId};
use outdial_core::outcome::{Disposition, Fault, Outcome, RetryClass};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_core::variables::{Variable, VariableType};
use outdial_core::zone::Zone;
use outdial_ports::store::{
    AgentSpec, CallQuery, CallSort, CallView, ChunkAdd, ChunkLane, ChunkRecord, CommitError,
    CommitOutcome, Committed, DncAddError, DncRecord, FinishResult, Integration, NewBatch, NewDnc,
    NewIntent, NewKey, NewPhone, NewPlan, NewWorkspace, NodeBeat, PhoneRecord, RequestBegin,
    RequestLookup, Scope, Settle, StoredChunk, WorkspaceCreated,
};
use outdial_ports::{Clock, Store};

use super::{Database, Factory, TestClock};

pub(crate) const BERLIN: &str = "Europe/Berlin";
/// What a minute costs, and what an intent of a world reserves: 600 s of it.
pub(crate) const PRICE: u64 = 30_000;
pub(crate) const RESERVE: Spend = Spend { seconds: 600, micros: 300_000 };
pub(crate) const NEW_YORK: &str = "America/New_York";

pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) db: Box<dyn Database>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ws: WorkspaceId,
    pub(crate) agent: AgentId,
    pub(crate) phone: PhoneId,
    pub(crate) trunk: TrunkId,
    /// Makes keys, bodies and tokens differ.
    next: AtomicU64,
}

impl World {
    pub(crate) async fn new(factory: &dyn Factory) -> Self {
        let clock = Arc::new(TestClock::default());
        let db = factory.empty(Arc::clone(&clock));
        let store = db.process();
        let made = workspace(&*store, "first", 1).await;
        let agent = store.agent_create(made.workspace, agent_spec("Ada")).await.unwrap().id;
        let phone = phone(&*store, made.workspace, 4_930_111, Some(agent)).await;
        Self {
            clock,
            db,
            store,
            ws: made.workspace,
            agent,
            phone: phone.id,
            trunk: phone.trunks[0],
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) async fn batch(&self) -> BatchId {
        self.batch_with(BatchSettings::default()).await
    }

    pub(crate) async fn batch_with(&self, settings: BatchSettings) -> BatchId {
        let new = NewBatch {
            workspace: self.ws,
            name: format!("batch {}", self.next()),
            settings,
            numbers: vec![self.phone],
        };
        self.store.batch_create(new).await.unwrap()
    }

    /// A request that nobody else makes.
    pub(crate) async fn request(&self) -> RequestId {
        let begin = RequestBegin {
            workspace: self.ws,
            scope: "POST /api/call/addCallsToBatch".to_owned(),
            key: None,
            body_sha256: bytes(self.next()),
            context: String::new(),
        };
        match self.store.request_begin(&begin).await.unwrap() {
            RequestLookup::Begun(progress) => progress.request,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn chunk(&self, batch: BatchId, records: Vec<ChunkRecord>) -> ChunkAdd {
        ChunkAdd {
            request: self.request().await,
            chunk_num: 1,
            batch,
            agent: (self.agent, 1),
            lane: ChunkLane::Current,
            auto_start: true,
            records,
        }
    }

    /// Adds these records as a request of their own.
    pub(crate) async fn add(&self, batch: BatchId, records: Vec<ChunkRecord>) -> StoredChunk {
        let chunk = self.chunk(batch, records).await;
        let stored = self.store.call_add_chunk(chunk).await.unwrap();
        self.totals(batch).await;
        stored
    }

    /// As `add`, one record per number.
    pub(crate) async fn add_numbers(&self, batch: BatchId, numbers: &[u64]) -> Vec<CallId> {
        self.add(batch, numbers.iter().map(|n| record(*n)).collect()).await.calls
    }

    /// The totals, after a look at I3.
    pub(crate) async fn totals(&self, batch: BatchId) -> BatchTotals {
        let t = self.store.batch_fetch(batch).await.unwrap().unwrap().totals;
        assert_eq!(t.total, t.pending + t.live + t.finished, "I3: {t:?}");
        t
    }

    pub(crate) async fn call(&self, id: CallId) -> CallView {
        self.store.call_fetch(self.ws, id).await.unwrap().unwrap().1
    }

    pub(crate) async fn groups(&self) -> Vec<Group> {
        self.store.dispatch_groups(self.ws, None).await.unwrap()
    }

    /// Every call of the workspace that is due.
    pub(crate) async fn due(&self) -> Vec<Candidate> {
        let asks: Vec<Ask> = self
            .groups()
            .await
            .into_iter()
            .map(|g| Ask { group: g.key, limit: 1000, after: None })
            .collect();
        self.store.dispatch_candidates(&asks).await.unwrap()
    }

    pub(crate) fn intent(&self, c: &Candidate) -> NewIntent {
        let intent = Intent {
            call: c.call,
            batch: c.group.batch,
            callee: c.callee,
            facts: c.facts,
            lane: c.group.lane,
            class: c.group.class,
            caller: self.phone,
            trunk: self.trunk,
            send_at: self.now(),
            send_by: self.now().after(Duration::from_millis(100)),
            open_until: Timestamp::MAX,
            max_call_s: 600,
            day: self.today(),
            reserve: RESERVE,
            price: PRICE,
            attempts_24h: None,
        };
        NewIntent { intent, token: bytes(self.next()) }
    }

    /// The day of the clock, in the workspace's zone.
    pub(crate) fn today(&self) -> Day {
        Day::of(&Zone::utc(), self.now())
    }

    pub(crate) async fn head(&self) -> Head {
        self.store.dispatch_head(self.ws, None).await.unwrap()
    }

    /// What a head says of a batch, whatever its state.
    pub(crate) async fn batch_head(&self, batch: BatchId) -> BatchHead {
        let head = self.store.dispatch_head(self.ws, Some(batch)).await.unwrap();
        head.batches.into_iter().find(|b| b.id == batch).unwrap()
    }

    /// Other settings of the workspace.
    pub(crate) async fn configure(&self, change: impl FnOnce(&mut WorkspaceSettings)) {
        let mut settings = self.store.settings_fetch(self.ws).await.unwrap();
        change(&mut settings);
        self.store.settings_update(self.ws, None, settings).await.unwrap();
    }

    /// Lists the number of an attempt.
    pub(crate) async fn list(&self, c: &Committed) -> Result<DncRecord, DncAddError> {
        let intent = &c.intent;
        let (phone, batch) = (intent.intent.callee, intent.intent.batch);
        let kind = Some("complaint".to_owned());
        self.store.dnc_add(self.ws, NewDnc { phone, batch, token: intent.token, kind }).await
    }

    /// The dispatch versions of these workspaces.
    pub(crate) async fn versions(&self, of: [WorkspaceId; 2]) -> [u64; 2] {
        let mut versions = [0; 2];
        for (version, ws) in versions.iter_mut().zip(of) {
            *version = self.store.dispatch_head(ws, None).await.unwrap().version;
        }
        versions
    }

    /// The version that stands, as a node reads it that is alive: its clock may have been moved by
    /// hours.
    pub(crate) async fn version(&self) -> u64 {
        let beat = NodeBeat { wall: self.now(), ..NodeBeat::default() };
        self.store.node_beat(beat).await.unwrap();
        self.store.dispatch_head(self.ws, None).await.unwrap().version
    }

    /// Commits these intents on the version that stands.
    pub(crate) async fn commit(&self, intents: Vec<NewIntent>) -> CommitOutcome {
        let version = self.version().await;
        self.try_commit(version, intents).await.unwrap()
    }

    pub(crate) async fn try_commit(
        &self,
        version: u64,
        intents: Vec<NewIntent>,
    ) -> Result<CommitOutcome, CommitError> {
        let plan = NewPlan { intents, ..NewPlan::default() };
        self.store.attempt_commit_intents(self.ws, version, plan).await
    }

    /// Makes every due call live.
    pub(crate) async fn dial_all(&self) -> Vec<Committed> {
        let due = self.due().await;
        self.commit(due.iter().map(|c| self.intent(c)).collect()).await.committed
    }

    /// Ends an attempt.
    pub(crate) async fn finish(&self, c: &Committed, outcome: Outcome, next: CallNext) {
        let end = self.end(AttemptState::Ended, outcome);
        let done =
            self.store.attempt_finish(c.attempt, end, next, Settle::default()).await.unwrap();
        assert_eq!(done, FinishResult::Applied);
        self.totals(c.intent.intent.batch).await;
    }

    /// Ends an attempt that is tried again at once, if nothing else is against it.
    pub(crate) async fn again(&self, c: &Committed, state: AttemptState, outcome: Outcome) {
        let end = self.end(state, outcome);
        let next =
            CallNext::Pending { not_before: self.now(), reason: WaitReason::Due, is_retry: true };
        let done = self.store.attempt_finish(c.attempt, end, next, Settle::default()).await;
        assert_eq!(done, Ok(FinishResult::Applied));
        self.totals(c.intent.intent.batch).await;
    }

    /// Ends an attempt for good, and settles it so.
    pub(crate) async fn settle(&self, c: &Committed, settle: Settle) {
        let end = self.end(AttemptState::Ended, completed());
        let next = CallNext::Finished(Disposition::Completed);
        self.store.attempt_finish(c.attempt, end, next, settle).await.unwrap();
        self.totals(c.intent.intent.batch).await;
    }

    /// Ends an attempt as `completed`.
    pub(crate) async fn complete(&self, c: &Committed) {
        self.finish(c, completed(), CallNext::Finished(Disposition::Completed)).await;
    }

    /// Ends an attempt that is to be retried in a minute.
    pub(crate) async fn retry_later(&self, c: &Committed) {
        let next = CallNext::Pending {
            not_before: self.now().after(Duration::from_secs(60)),
            reason: WaitReason::RetryDelay,
            is_retry: true,
        };
        self.finish(c, no_answer(), next).await;
    }

    pub(crate) fn end(&self, state: AttemptState, outcome: Outcome) -> AttemptEnd {
        AttemptEnd {
            state,
            outcome,
            sip_status: None,
            sent_at: None,
            ringing_at: None,
            answered_at: None,
            ended_at: self.now(),
        }
    }
}

pub(crate) fn record(phone: u64) -> ChunkRecord {
    record_with(phone, &format!(r#"{{"phoneNumber":"{phone}"}}"#), BERLIN)
}

pub(crate) fn record_with(phone: u64, fields: &str, class: &str) -> ChunkRecord {
    ChunkRecord {
        phone: PhoneNumber::from_digits(phone),
        class: Arc::from(class),
        fields: fields.into(),
        blocked: None,
    }
}

pub(crate) fn completed() -> Outcome {
    Outcome {
        disposition: Disposition::Completed,
        fault: Fault::None,
        retry: RetryClass::Never,
        reason: "talk_over",
        charged: true,
        picked: true,
    }
}

pub(crate) fn no_answer() -> Outcome {
    Outcome {
        disposition: Disposition::NoAnswer,
        fault: Fault::Callee,
        retry: RetryClass::Policy,
        reason: "ring_timeout",
        charged: true,
        picked: false,
    }
}

/// `n` spread over so many bytes.
pub(crate) fn bytes<const N: usize>(n: u64) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

pub(crate) fn new_key(n: u64) -> NewKey {
    NewKey {
        hash: bytes(n),
        hint: "abcd".to_owned(),
        name: format!("key {n}"),
        scopes: Scope::ALL.to_vec(),
        expires_at: None,
    }
}

pub(crate) async fn workspace(store: &dyn Store, name: &str, key: u64) -> WorkspaceCreated {
    let settings = WorkspaceSettings { concurrency: Some(7), ..WorkspaceSettings::default() };
    let new = NewWorkspace { name: name.to_owned(), key: new_key(key), settings };
    store.workspace_create(new).await.unwrap()
}

pub(crate) fn agent_spec(name: &str) -> AgentSpec {
    AgentSpec {
        name: name.to_owned(),
        languages: vec!["en-US".to_owned()],
        variables: vec![Variable {
            key: "name".to_owned(),
            kind: VariableType::String,
            required: true,
            default: None,
            description: None,
        }],
        connection: r#"{"type":"announcement","text":"Hello"}"#.to_owned(),
    }
}

pub(crate) async fn phone(
    store: &dyn Store,
    ws: WorkspaceId,
    number: u64,
    agent: Option<AgentId>,
) -> PhoneRecord {
    let new = NewPhone {
        number: PhoneNumber::from_digits(number),
        integration: Integration::Simulated,
        trunks: Vec::new(),
        agent,
    };
    store.phone_create(ws, new).await.unwrap()
}

pub(crate) fn query() -> CallQuery {
    CallQuery {
        page: 1,
        limit: 10,
        filter: Vec::new(),
        sort: CallSort::CreatedAt,
        descending: false,
        search: None,
    }
}
