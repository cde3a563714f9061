//! A world of one server: its store in a temporary directory, its clock at a fixed instant.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::id::{UserId, WorkspaceId};
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_http::{App, HttpConfig, keys};
use outdial_ports::store::{NewKey, NewWorkspace, Scope};
use outdial_ports::{Clock, Entropy, Mark, Monotonic, Noted, Store, Watermark, WatermarkError};
use outdial_store::{OpenMode, SqliteStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// When it is, until somebody moves it: a Thursday morning in New York.
const START: &str = "2025-05-15T14:30:00.000Z";
/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A clock that stands still.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance(&self, d: Duration) {
        self.0.fetch_add(i64::try_from(d.as_millis()).unwrap(), Ordering::AcqRel);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire))
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.now().since(Timestamp::EPOCH))
    }
    async fn sleep_until(&self, _: Monotonic) {
        std::future::pending::<()>().await;
    }
}

/// The same chance every time.
pub(crate) struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let [low, mid, high, ..] = self.0.fetch_add(1, Ordering::AcqRel).to_le_bytes();
            *byte = low ^ mid.wrapping_mul(31) ^ high.wrapping_mul(73);
        }
    }
}

/// What is noted, and whether the operator accepts a database without it.
type TestMark = (Result<Noted, ()>, bool);

/// Marks by workspace.
#[derive(Default)]
pub(crate) struct TestWatermark(Mutex<BTreeMap<WorkspaceId, TestMark>>);

impl TestWatermark {
    pub(crate) fn set(&self, ws: WorkspaceId, noted: Result<Noted, ()>, is_accepted: bool) {
        self.0.lock().unwrap().insert(ws, (noted, is_accepted));
    }
}

#[async_trait]
impl Watermark for TestWatermark {
    async fn latest(&self, ws: WorkspaceId) -> Result<Noted, WatermarkError> {
        let noted = self.0.lock().unwrap().get(&ws).map_or(Ok(Noted::Nothing), |known| known.0);
        noted.map_err(|()| WatermarkError("no room".to_owned()))
    }
    async fn is_accepted(&self, ws: WorkspaceId) -> Result<bool, WatermarkError> {
        Ok(self.0.lock().unwrap().get(&ws).is_some_and(|known| known.1))
    }
    async fn note(&self, _: WorkspaceId, _: Mark) -> Result<(), WatermarkError> {
        unreachable!("the API notes nothing")
    }
}

/// A workspace and its key.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) workspace: WorkspaceId,
    pub(crate) user: UserId,
    pub(crate) key: String,
}

/// A server with a tenant.
pub(crate) struct World {
    pub(crate) addr: SocketAddr,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) watermark: Arc<TestWatermark>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) own: Tenant,
    entropy: Arc<TestEntropy>,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(HttpConfig::default(), |store| store).await
    }

    /// `wrap` may put something between the server and its store.
    pub(crate) async fn with(
        config: HttpConfig,
        wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start: Timestamp = START.parse().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(start.as_millis())));
        let entropy = Arc::new(TestEntropy(AtomicU64::new(0)));
        let path = dir.path().join("test.db");
        let store = SqliteStore::open(&path, OpenMode::Serve, clock.clone(), entropy.as_ref());
        let store: Arc<dyn Store> = Arc::new(store.unwrap());
        let secret = store.secret_fetch().await.unwrap();
        let wake = Arc::new(Notify::new());
        let wrapped = wrap(store.clone());
        let watermark = Arc::<TestWatermark>::default();
        let marks = Some(watermark.clone() as Arc<dyn Watermark>);
        let (c, e) = (clock.clone(), entropy.clone());
        let app = App::new(wrapped, c, e, marks, wake.clone(), secret, config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (router, never) = (outdial_http::router(app.clone()), std::future::pending());
        tokio::spawn(outdial_http::serve(listener, router, app, never, Duration::MAX));
        let own = tenant(store.as_ref(), entropy.as_ref(), &Scope::ALL).await;
        Self { addr, store, clock, watermark, wake, own, entropy, _dir: dir }
    }

    /// Another workspace.
    pub(crate) async fn stranger(&self) -> Tenant {
        tenant(self.store.as_ref(), self.entropy.as_ref(), &Scope::ALL).await
    }

    /// Another workspace whose key has these scopes.
    pub(crate) async fn limited(&self, scopes: &[Scope]) -> Tenant {
        tenant(self.store.as_ref(), self.entropy.as_ref(), scopes).await
    }

    pub(crate) fn get(&self, path: &str) -> Req<'_> {
        Req::new(self, "GET", path)
    }
    pub(crate) fn delete(&self, path: &str) -> Req<'_> {
        Req::new(self, "DELETE", path)
    }
    pub(crate) fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Req<'_> {
        Req::new(self, "POST", path).body(body)
    }
    pub(crate) fn patch(&self, path: &str, body: impl Into<Vec<u8>>) -> Req<'_> {
        Req::new(self, "PATCH", path).body(body)
    }

    /// An agent without variables, bound to a simulated number, and a batch over it.
    pub(crate) async fn batch(&self) -> String {
        let agent = self.agent("[]").await;
        let phone = self.phone("12125551234", Some(&agent)).await;
        self.batch_over(&phone, "").await
    }

    pub(crate) async fn agent(&self, variables: &str) -> String {
        let body =
            format!(r#"{{"name":"Reminder","languages":["en-US"],"variables":{variables}}}"#);
        self.post("/api/agents", body).send().await.made_id()
    }

    pub(crate) async fn phone(&self, number: &str, agent: Option<&str>) -> String {
        let agent = agent.map_or(String::new(), |a| format!(r#","agentId":"{a}""#));
        let user = self.own.user;
        let body = format!(
            r#"{{"userId":"{user}","phoneNumber":"{number}","integration":"simulated"{agent}}}"#
        );
        self.post("/api/call/add-phone", body).send().await.made_id()
    }

    /// `more`: further fields, each with its comma in front.
    pub(crate) async fn batch_over(&self, phone: &str, more: &str) -> String {
        let body = format!(r#"{{"batchName":"May","callingNumbers":["{phone}"]{more}}}"#);
        let answer = self.post("/api/call/createBatch", body).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["data"].as_str().unwrap().to_owned()
    }

    /// `addCallsToBatch` with these records (JSON texts).
    pub(crate) fn add(&self, batch: &str, records: &[&str]) -> Req<'_> {
        self.add_body(batch, &records.join(","), "")
    }

    pub(crate) fn add_body(&self, batch: &str, records: &str, more: &str) -> Req<'_> {
        let body = format!(r#"{{"batchId":"{batch}","call_data":[{records}]{more}}}"#);
        self.post("/api/call/addCallsToBatch", body)
    }

    /// The batch's records, in the order of creation.
    pub(crate) async fn records(&self, batch: &str) -> Vec<Value> {
        let path = format!("/api/call/batch-details/{batch}?limit=100");
        let answer = self.get(&path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["data"]["data"].as_array().unwrap().clone()
    }

    /// How many records the batch has.
    pub(crate) async fn total(&self, batch: &str) -> u64 {
        let path = format!("/api/call/batch-details/{batch}?limit=1");
        self.get(&path).send().await.json()["data"]["total"].as_u64().unwrap()
    }
}

async fn tenant(store: &dyn Store, entropy: &dyn Entropy, scopes: &[Scope]) -> Tenant {
    let secret = store.secret_fetch().await.unwrap();
    let key = keys::mint(entropy);
    let new = NewWorkspace {
        name: "test".to_owned(),
        key: NewKey {
            hash: keys::hash(&secret, &key),
            hint: keys::hint(&key),
            name: "test".to_owned(),
            scopes: scopes.to_vec(),
            expires_at: None,
        },
        settings: WorkspaceSettings::default(),
    };
    let made = store.workspace_create(new).await.unwrap();
    Tenant { workspace: made.workspace, user: made.user, key }
}

/// A request to be sent.
pub(crate) struct Req<'a> {
    world: &'a World,
    head: String,
    body: Option<Vec<u8>>,
    key: Option<String>,
    json: bool,
}

impl<'a> Req<'a> {
    fn new(world: &'a World, method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
        Self { world, head, body: None, key: Some(world.own.key.clone()), json: true }
    }
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }
    /// As another caller.
    pub(crate) fn by(mut self, tenant: &Tenant) -> Self {
        self.key = Some(tenant.key.clone());
        self
    }
    /// Without credentials of its own.
    pub(crate) fn anonymous(mut self) -> Self {
        self.key = None;
        self
    }
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.json &= name != "content-type";
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }
    /// Without `Content-Type`.
    pub(crate) fn untyped(mut self) -> Self {
        self.json = false;
        self
    }
    /// The request as bytes.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        if let Some(key) = self.key.take() {
            self = self.header("x-api-key", &key);
        }
        let body = self.body.take();
        if let Some(body) = &body {
            if self.json {
                self = self.header("content-type", "application/json");
            }
            self = self.header("content-length", &body.len().to_string());
        }
        self.head.push_str("connection: close\r\n\r\n");
        let mut bytes = self.head.into_bytes();
        bytes.extend(body.unwrap_or_default());
        bytes
    }
    pub(crate) async fn send(self) -> Answer {
        let addr = self.world.addr;
        exchange(addr, &self.bytes()).await.expect("an answer")
    }
}

/// Sends bytes and reads the whole answer, if one comes.
pub(crate) async fn exchange(addr: SocketAddr, request: &[u8]) -> Option<Answer> {
    let work = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(request).await;
        read_answer(&mut stream).await
    };
    tokio::time::timeout(DEADLINE, work).await.expect("an answer in time")
}

/// Reads to the end of the connection.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(n) => bytes.extend_from_slice(&part[..n]),
        }
    }
    Answer::parse(&bytes)
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
            .collect();
        let answer = Self { status, headers, body: bytes[end + 4..].to_vec() };
        let length: usize = answer.header("content-length").expect("a length").parse().unwrap();
        assert_eq!(answer.body.len(), length, "a whole body");
        Some(answer)
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
    /// `_id` of a made object.
    pub(crate) fn made_id(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.text());
        self.json()["data"]["_id"].as_str().unwrap().to_owned()
    }
    /// `errorMessage` of a refusal with this status, in the documented envelope.
    pub(crate) fn refusal(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let json = self.json();
        assert_eq!(json["status"], false, "{json}");
        assert_eq!(json["code"], status, "{json}");
        let text = json["errorMessage"].as_str().unwrap().to_owned();
        assert!(!text.is_empty());
        text
    }
    /// As a snapshot shows it: status, what matters of the headers, the body as it was sent.
    pub(crate) fn shown(&self) -> String {
        let mut text = format!("{}\n", self.status);
        for name in ["content-type", "retry-after"] {
            if let Some(value) = self.header(name) {
                writeln!(text, "{name}: {value}").unwrap();
            }
        }
        write!(text, "\n{}", self.text()).unwrap();
        text
    }
}

/// Waits until `check` holds.
pub(crate) async fn eventually(mut check: impl AsyncFnMut() -> bool) {
    let work = async {
        while !check().await {
            // tidy: sleeps because it polls, with a deadline around it.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, work).await.expect("in time");
}
