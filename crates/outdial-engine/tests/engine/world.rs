//! A world for the engine: a clock, chance, a store with faults, a carrier, and a workspace.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::attempt::AttemptState;
use outdial_core::batch::{BatchSettings, BatchState};
use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{AgentId, BatchId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use outdial_core::time::Timestamp;
use outdial_engine::{
    Drained, Engine, EngineConfig, MemoryJournal, MemoryWatermark, Ports, TaskBoard,
};
use outdial_ports::store::{
    AgentSpec, BatchRecord, CallQuery, CallSort, CallView, CallerIdIn, ChunkAdd, ChunkLane,
    ChunkRecord, Integration, NewBatch, NewKey, NewPhone, NewWorkspace, NodeSpec, RequestBegin,
    RequestLookup, SipSpec, Transport, TrunkSpec,
};
use outdial_ports::{Clock, Entropy, Monotonic, Store};
use outdial_store::SqliteInline;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::carrier::TestCarrier;
use crate::faulty::Faulty;

/// Tokio's paused clock; the wall can be set.
pub(crate) struct TestClock {
    start: tokio::time::Instant,
    wall_ms: AtomicI64,
}

impl TestClock {
    /// Somebody sets the wall clock.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.monotonic().0.as_millis()).unwrap();
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst) + passed)
    }
    #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
    fn monotonic(&self) -> Monotonic {
        Monotonic(tokio::time::Instant::now() - self.start)
    }
    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until(self.start + at.0).await;
    }
}

/// SplitMix64 from a seed.
pub(crate) struct Seeded(AtomicU64);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            part.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..part.len()]);
        }
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) entropy: Arc<Seeded>,
    pub(crate) inline: SqliteInline,
    pub(crate) store: Arc<Faulty>,
    pub(crate) carrier: Arc<TestCarrier>,
    pub(crate) watermark: Arc<MemoryWatermark>,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) phone: PhoneId,
    agent: AgentId,
    requests: Mutex<u8>,
}

/// An engine at work.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
    pub(crate) board: Arc<TaskBoard>,
}

impl Running {
    /// Drains it.
    pub(crate) async fn stop(self) -> Drained {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it does not panic")
    }

    /// It has ended, though nobody asked it to.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Kills it.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Settings of the workspace, without calling rules: nobody knows where its people are.
pub(crate) fn settings() -> WorkspaceSettings {
    WorkspaceSettings { calling_rules: CallingRules::Off, ..WorkspaceSettings::default() }
}

/// The node whose engines these are.
pub(crate) fn node() -> NodeSpec {
    NodeSpec {
        id: [1; 16],
        name: "n".into(),
        host: "h".into(),
        role: "all".into(),
        address: String::new(),
        version: "1".into(),
    }
}

/// A trunk without limits.
pub(crate) fn sip_trunk(name: &str) -> TrunkSpec {
    let sip = SipSpec {
        host: "sip.example.com".into(),
        port: None,
        transport: Transport::Udp,
        username: None,
        password: None,
        from_domain: None,
        proxy: None,
        register: false,
        keep_alive: None,
        caller_id: CallerIdIn::From,
        plus: true,
        verify_tls: true,
    };
    let limits = LineLimits::default();
    TrunkSpec { name: name.into(), sip, limits, ring_timeout: None, max_call_s: None }
}

impl World {
    /// Monday, 2 March 2026, 15:00 UTC.
    pub(crate) const START: i64 = 1_772_463_600_000;

    #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
    pub(crate) async fn new() -> Self {
        if let Ok(filter) = std::env::var("OUTDIAL_TEST_LOG") {
            let _ = tracing_subscriber::fmt().with_env_filter(filter).without_time().try_init();
        }
        let start = tokio::time::Instant::now();
        let clock = Arc::new(TestClock { start, wall_ms: AtomicI64::new(Self::START) });
        let entropy = Arc::new(Seeded(AtomicU64::new(7)));
        let inline = SqliteInline::in_memory(Arc::clone(&clock) as _, &*entropy).unwrap();
        let key = NewKey {
            hash: [1; 32],
            hint: "1".into(),
            name: "key".into(),
            scopes: Vec::new(),
            expires_at: None,
        };
        let settings = settings();
        let new = NewWorkspace { name: "w".into(), key, settings };
        let workspace = inline.workspace_create(new).await.unwrap().workspace;
        let spec = AgentSpec {
            name: "a".into(),
            languages: vec!["en-US".into()],
            variables: Vec::new(),
            connection: r#"{"type":"announcement","text":"hello"}"#.into(),
        };
        let agent = inline.agent_create(workspace, spec).await.unwrap().id;
        let phone = NewPhone {
            number: PhoneNumber::from_digits(12_125_550_000),
            integration: Integration::Simulated,
            trunks: Vec::new(),
            agent: Some(agent),
        };
        let phone = inline.phone_create(workspace, phone).await.unwrap().id;
        Self {
            store: Arc::new(Faulty::new(inline.clone())),
            carrier: Arc::new(TestCarrier::new(Arc::clone(&clock), Arc::clone(&entropy) as _)),
            watermark: Arc::default(),
            journal: Arc::default(),
            wake: Arc::new(Notify::new()),
            requests: Mutex::new(0),
            clock,
            entropy,
            inline,
            workspace,
            phone,
            agent,
        }
    }

    /// Makes SIP trunks without limits, and the calling number one that goes out over them.
    pub(crate) async fn over_sip(&mut self, count: usize) -> Vec<TrunkId> {
        let mut trunks = Vec::new();
        for n in 0..count {
            let spec = sip_trunk(&format!("carrier {n}"));
            trunks.push(self.inline.trunk_create(self.workspace, spec).await.unwrap().id);
        }
        let phone = NewPhone {
            number: PhoneNumber::from_digits(12_125_550_001),
            integration: Integration::Sip,
            trunks: trunks.clone(),
            agent: Some(self.agent),
        };
        self.phone = self.inline.phone_create(self.workspace, phone).await.unwrap().id;
        trunks
    }

    /// An active batch with calls to these numbers (their last four digits).
    pub(crate) async fn batch(
        &self,
        settings: BatchSettings,
        callees: impl IntoIterator<Item = u64>,
    ) -> BatchId {
        let new = NewBatch {
            workspace: self.workspace,
            name: "b".into(),
            settings,
            numbers: vec![self.phone],
        };
        let batch = self.inline.batch_create(new).await.unwrap();
        self.add(batch, callees).await;
        batch
    }

    /// Adds calls to a batch.
    pub(crate) async fn add(&self, batch: BatchId, callees: impl IntoIterator<Item = u64>) {
        let number = {
            let mut requests = self.requests.lock().unwrap();
            *requests += 1;
            *requests
        };
        let begin = RequestBegin {
            workspace: self.workspace,
            scope: "POST /api/call/addCallsToBatch".into(),
            key: Some(number.to_string()),
            body_sha256: [number; 32],
            context: "{}".into(),
        };
        let RequestLookup::Begun(progress) = self.inline.request_begin(&begin).await.unwrap()
        else {
            panic!("the request is new")
        };
        let record = |callee: u64| ChunkRecord {
            phone: PhoneNumber::from_digits(12_125_550_000 + callee),
            class: "UTC".into(),
            fields: format!(r#"{{"phoneNumber":"1212555{callee:04}"}}"#).into(),
            blocked: None,
        };
        let chunk = ChunkAdd {
            request: progress.request,
            chunk_num: 1,
            batch,
            agent: (self.agent, 1),
            lane: ChunkLane::Current,
            auto_start: true,
            records: callees.into_iter().map(record).collect(),
        };
        self.inline.call_add_chunk(chunk).await.unwrap();
    }

    /// Starts an engine.
    pub(crate) fn engine(&self, config: EngineConfig) -> Running {
        self.engine_on(Arc::clone(&self.store), config)
    }

    /// Starts an engine on another handle of the store.
    pub(crate) fn engine_on(&self, store: Arc<Faulty>, config: EngineConfig) -> Running {
        let ports = Ports { store, ..self.ports() };
        self.engine_with(ports, config)
    }

    /// What this world's engines stand on.
    pub(crate) fn ports(&self) -> Ports {
        Ports {
            store: Arc::clone(&self.store) as _,
            carrier: Arc::clone(&self.carrier) as _,
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::clone(&self.entropy) as _,
            watermark: Arc::clone(&self.watermark) as _,
            journal: Arc::clone(&self.journal) as _,
        }
    }

    /// Starts an engine on these.
    pub(crate) fn engine_with(&self, ports: Ports, config: EngineConfig) -> Running {
        let (stop, stopped) = oneshot::channel();
        let (engine, store) =
            (Engine::new(config, ports.clone(), Arc::clone(&self.wake)), ports.store);
        let board = engine.board();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(async move {
            store.node_join(node()).await.expect("it joins");
            engine.run(shutdown).await
        });
        Running { stop, task, board }
    }

    /// What its wall clock says.
    pub(crate) fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets virtual time pass.
    pub(crate) async fn sleep(&self, d: Duration) {
        // tidy: sleeps because virtual time passes only so; nothing is left to luck
        tokio::time::sleep(d).await;
    }

    /// Waits until `is_so`, looked at often; panics after `limit`.
    pub(crate) async fn wait(&self, what: &str, limit: Duration, is_so: impl AsyncFn() -> bool) {
        let until = self.clock.monotonic().after(limit);
        let often = (limit / 5_000).max(Duration::from_millis(10));
        while !is_so().await {
            assert!(self.clock.monotonic() < until, "not within {limit:?}: {what}");
            self.sleep(often).await;
        }
    }

    /// Waits until a batch is completed, and checks what must hold of it.
    pub(crate) async fn completed(&self, batch: BatchId, limit: Duration) -> BatchRecord {
        self.wait("the batch is completed", limit, async || {
            self.record(batch).await.state == BatchState::Completed
        })
        .await;
        let record = self.record(batch).await;
        let t = record.totals;
        assert_eq!((t.pending, t.live, t.finished), (0, 0, t.total), "I3");
        self.check(batch).await;
        record
    }

    pub(crate) async fn record(&self, batch: BatchId) -> BatchRecord {
        self.inline.batch_fetch(batch).await.unwrap().unwrap()
    }

    /// The first hundred calls of a batch, by phone number.
    pub(crate) async fn calls(&self, batch: BatchId) -> Vec<CallView> {
        let query = CallQuery {
            page: 1,
            limit: 100,
            filter: Vec::new(),
            sort: CallSort::PhoneNumber,
            descending: false,
            search: None,
        };
        self.inline.call_list(batch, query).await.unwrap().calls
    }

    /// The call to a number.
    pub(crate) async fn call(&self, batch: BatchId, callee: u64) -> CallView {
        let all = self.calls(batch).await;
        all.into_iter().find(|c| c.phone.digits() % 10_000 == callee).unwrap()
    }

    /// The disposition of the call to a number.
    pub(crate) async fn disposition(&self, batch: BatchId, callee: u64) -> Option<Disposition> {
        self.call(batch, callee).await.disposition
    }

    /// I1 and I6 as the rows have them: what was placed is what is recorded as sent.
    pub(crate) async fn check(&self, batch: BatchId) {
        self.carrier.check();
        let placed = self.carrier.placed();
        for call in self.calls(batch).await {
            for (i, attempt) in call.attempts.iter().enumerate() {
                assert_eq!(attempt.number as usize, i + 1, "attempts are numbered from 1");
                let count = placed.iter().filter(|p| p.order.attempt == attempt.id).count();
                match attempt.state {
                    AttemptState::NotSent => assert_eq!(count, 0, "{attempt:?}"),
                    AttemptState::Ended => assert_eq!(count, 1, "{attempt:?}"),
                    _ => assert!(count <= 1, "{attempt:?}"),
                }
                if let (Some(sent), Some(ended)) = (attempt.sent_at, attempt.ended_at) {
                    assert!(attempt.send_at <= sent && sent <= ended, "{attempt:?}");
                    let late = sent >= attempt.send_at.after(Duration::from_millis(100));
                    assert!(!late, "{attempt:?}");
                }
            }
        }
    }
}
