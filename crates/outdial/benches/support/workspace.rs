//! A workspace that calls at any hour, and the people it calls.

use std::path::Path;
use std::sync::Arc;

use outdial_core::batch::BatchSettings;
use outdial_core::id::{BatchId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use outdial_ports::Store;
use outdial_ports::store::{
    AgentRecord, AgentSpec, ChunkAdd, ChunkLane, ChunkRecord, Integration, NewBatch, NewKey,
    NewPhone, NewWorkspace, NodeSpec, PhonePatch, RequestBegin, RequestLookup, Scope,
};
use outdial_store::postgres::{PgConfig, PostgresStore};
use outdial_store::{OpenMode, SqliteStore};

use crate::machine::{RealClock, Weyl};

/// A new database, or the one that is there.
#[allow(dead_code, reason = "not every benchmark needs it")]
pub(crate) fn open(path: &Path, clock: &Arc<RealClock>) -> Arc<SqliteStore> {
    let opened = SqliteStore::open(path, OpenMode::Serve, clock.clone(), &Weyl::default());
    Arc::new(opened.expect("a database"))
}

/// An empty database of PostgreSQL, or one of ours.
#[allow(dead_code, reason = "not every benchmark needs it")]
pub(crate) async fn connect(url: &str) -> Arc<dyn Store> {
    let config = PgConfig { migrate_if_empty: true, ..PgConfig::at(url) };
    PostgresStore::connect(config).await.expect("a database")
}

/// This process is a node of the database: only such may commit calls.
#[allow(dead_code, reason = "not every benchmark needs it")]
pub(crate) async fn join(store: &dyn Store) {
    let word = |text: &str| text.to_owned();
    let spec = NodeSpec {
        id: [7; 16],
        name: word("bench"),
        host: word("bench"),
        role: word("all"),
        address: String::new(),
        version: word("bench"),
    };
    store.node_join(spec).await.expect("a node");
}

/// The workspace, with an agent and without a number.
pub(crate) struct Workspace<'a> {
    store: &'a dyn Store,
    pub(crate) id: WorkspaceId,
    agent: AgentRecord,
}

impl<'a> Workspace<'a> {
    /// Makes one.
    pub(crate) async fn make(store: &'a dyn Store) -> Self {
        let key = NewKey {
            hash: [7; 32],
            hint: "hint".into(),
            name: "key".into(),
            scopes: vec![Scope::Admin],
            expires_at: None,
        };
        let calling_rules = CallingRules::Off;
        let settings = WorkspaceSettings { calling_rules, ..WorkspaceSettings::default() };
        let new = NewWorkspace { name: "Bench".into(), key, settings };
        let id = store.workspace_create(new).await.expect("a workspace").workspace;
        let spec = AgentSpec {
            name: "Agent".into(),
            languages: vec!["en-US".into()],
            variables: vec![],
            connection: "{}".into(),
        };
        let agent = store.agent_create(id, spec).await.expect("an agent");
        Self { store, id, agent }
    }

    /// Makes a calling number; over SIP if there are trunks.
    pub(crate) async fn number(&self, trunks: Vec<TrunkId>) -> PhoneId {
        let is_simulated = trunks.is_empty();
        let phone = NewPhone {
            number: PhoneNumber::from_digits(12_025_550_143),
            integration: if is_simulated { Integration::Simulated } else { Integration::Sip },
            trunks,
            agent: Some(self.agent.id),
        };
        self.store.phone_create(self.id, phone).await.expect("a number").id
    }

    /// So many calls a second go out over a number at most.
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) async fn pace(&self, number: PhoneId, calls_per_second: f64) {
        let patch =
            PhonePatch { calls_per_second: Some(Some(calls_per_second)), ..PhonePatch::default() };
        self.store.phone_update(self.id, number, patch).await.expect("the number");
    }

    /// Makes a batch that calls so many people; not before somebody starts it, unless
    /// `auto_start`.
    pub(crate) async fn batch(&self, number: PhoneId, calls: u64, auto_start: bool) -> BatchId {
        let batch = NewBatch {
            workspace: self.id,
            name: "Bench".into(),
            settings: BatchSettings::default(),
            numbers: vec![number],
        };
        let batch = self.store.batch_create(batch).await.expect("a batch");
        self.add(batch, calls, auto_start).await;
        let made = self.store.batch_fetch(batch).await.expect("a batch").expect("the batch");
        assert_eq!(made.totals.pending, calls);
        batch
    }

    async fn add(&self, batch: BatchId, calls: u64, auto_start: bool) {
        let begin = RequestBegin {
            workspace: self.id,
            scope: "bench".into(),
            key: Some(batch.to_string()),
            body_sha256: [0; 32],
            context: String::new(),
        };
        let begun = self.store.request_begin(&begin).await.expect("a request");
        let RequestLookup::Begun(progress) = begun else { panic!("the request is new") };
        for (chunk_num, first) in (1..).zip((0..calls).step_by(1000)) {
            let records = (first..calls.min(first + 1000)).map(record).collect();
            let chunk = ChunkAdd {
                request: progress.request,
                chunk_num,
                batch,
                agent: (self.agent.id, self.agent.version),
                lane: ChunkLane::Current,
                auto_start,
                records,
            };
            self.store.call_add_chunk(chunk).await.expect("a chunk");
        }
    }
}

fn record(n: u64) -> ChunkRecord {
    ChunkRecord {
        phone: PhoneNumber::from_digits(13_105_500_000 + n),
        class: "America/Los_Angeles".into(),
        fields: format!(r#"{{"phoneNumber":"{}","name":"N {n}"}}"#, 13_105_500_000 + n).into(),
        blocked: None,
    }
}
