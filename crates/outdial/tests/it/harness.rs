//! A real server in a process of its own, and a blocking way to speak to it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything that ought to be quick may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);

/// The binary under test, with nothing of the tester's own settings.
pub(crate) fn outdial() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outdial"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OUTDIAL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn stdout_of(command: &mut Command) -> String {
    let output = run(command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a command that must fail.
pub(crate) fn stderr_of(command: &mut Command) -> String {
    let output = run(command);
    assert!(!output.status.success(), "{command:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// Looks every 20 ms until `probe` has found what it looks for.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let mut ticks = RUNTIME.block_on(async { tokio::time::interval(Duration::from_millis(20)) });
    let mut waited = Duration::ZERO;
    let start = monotonic();
    while waited < limit {
        if let Some(found) = probe() {
            return found;
        }
        RUNTIME.block_on(ticks.tick());
        waited = monotonic() - start;
    }
    panic!("{what}: not within {limit:?}");
}

/// Time since the first call.
#[expect(clippy::disallowed_methods, reason = "tests of a real process run in real time")]
pub(crate) fn monotonic() -> Duration {
    static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

/// Where a server lives: its files, its workspace, its settings. Outlives its processes.
pub(crate) struct Home {
    directory: TempDir,
    environment: Vec<(String, String)>,
    pub(crate) key: String,
    pub(crate) user: String,
    pub(crate) workspace: String,
}

impl Home {
    /// A new database with one workspace; its servers get `environment`.
    pub(crate) fn new(environment: &[(&str, &str)]) -> Self {
        let mut home = Self::at(tempfile::tempdir().unwrap());
        home.settle(environment);
        home
    }

    /// As `new`, in an empty PostgreSQL database.
    pub(crate) fn on_postgres(url: &str, environment: &[(&str, &str)]) -> Self {
        let mut home = Self::at(tempfile::tempdir().unwrap());
        home.move_to(url);
        home.settle(environment);
        home
    }

    /// Another database for the servers and commands to come; the state directory stands beside.
    pub(crate) fn move_to(&mut self, url: &str) {
        self.set("OUTDIAL_DATABASE_URL", url);
        let state = self.path("outdial.db.state").display().to_string();
        self.set("OUTDIAL_DATABASE_STATE_DIR", &state);
    }

    /// Makes the workspace.
    fn settle(&mut self, environment: &[(&str, &str)]) {
        // Tests run at any hour of the day.
        let anytime = ["--calling-rules", "off"];
        let line =
            stdout_of(self.outdial().args(["workspace", "create", "Test", "--json"]).args(anytime));
        let made: Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        (self.key, self.user) = (text("apiKey"), text("userId"));
        self.workspace = text("workspaceId");
        environment.iter().for_each(|(name, value)| self.set(name, value));
        let log = self.carrier_log().display().to_string();
        self.set("OUTDIAL_SIMULATED_LOG", &log);
    }

    /// An empty directory: no database yet.
    pub(crate) fn at(directory: TempDir) -> Self {
        let (key, user, workspace) = (String::new(), String::new(), String::new());
        Self { directory, environment: Vec::new(), key, user, workspace }
    }

    /// A setting for the servers and commands to come.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The binary, with this home's database and settings.
    pub(crate) fn outdial(&self) -> Command {
        let mut command = outdial();
        let url = format!("sqlite:{}", self.path("outdial.db").display());
        command.env("OUTDIAL_DATABASE_URL", url);
        command.envs(self.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        command
    }

    /// Where the simulated carrier writes what it was asked to place, over all lives.
    pub(crate) fn carrier_log(&self) -> PathBuf {
        self.path("carrier.log")
    }

    /// A file of this home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of this home.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a server and waits until it says where it listens.
    pub(crate) fn serve(&self) -> Server<'_> {
        self.serve_and_listen().0
    }

    /// As `serve`; also everything that it said before.
    pub(crate) fn serve_and_listen(&self) -> (Server<'_>, Vec<String>) {
        self.serve_with(&[])
    }

    /// As `serve_and_listen`, with more in the environment of this one life.
    pub(crate) fn serve_with(&self, more: &[(&str, &str)]) -> (Server<'_>, Vec<String>) {
        self.try_serve_with(more).expect("a server says that it listens")
    }

    /// As `serve_with`; none when it refuses to serve, and says why in `server.log`.
    pub(crate) fn try_serve_with(
        &self,
        more: &[(&str, &str)],
    ) -> Option<(Server<'_>, Vec<String>)> {
        let log = std::fs::File::options().create(true).append(true).open(self.path("server.log"));
        let mut child = self
            .outdial()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let mut server = Server { home: self, child, url: String::new() };
        let said = server.wait_ready(&lines)?;
        Some((server, said))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("server.log")).unwrap_or_default();
            let from = log.char_indices().rev().nth(8000).map_or(0, |(i, _)| i);
            eprintln!("--- server.log, its end:\n{}", &log[from..]);
        }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server<'a> {
    home: &'a Home,
    child: Child,
    pub(crate) url: String,
}

impl Server<'_> {
    fn wait_ready(&mut self, lines: &Receiver<String>) -> Option<Vec<String>> {
        let start = monotonic();
        let mut said = Vec::new();
        loop {
            let left = PATIENCE.checked_sub(monotonic() - start).expect("a server is ready sooner");
            let line = match lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = self.child.wait().unwrap();
                    assert!(!ended.success(), "neither served nor refused");
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => panic!("neither served nor refused in time"),
            };
            if let Some(url) = line.strip_prefix("listening on ") {
                url.clone_into(&mut self.url);
                return Some(said);
            }
            said.push(line);
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It has ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(run(Command::new("kill").args(["-TERM", &pid])).status.success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    /// As `wait`, with less patience.
    pub(crate) fn wait_at_most(mut self, limit: Duration) -> ExitStatus {
        wait_for("the end of the server", limit, || self.child.try_wait().unwrap())
    }

    /// Kilobytes of a line of /proc/PID/status.
    pub(crate) fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }

    /// GET with this home's key.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_send("GET", path, &[], Vec::new()).unwrap()
    }

    /// GET with a query.
    pub(crate) fn query(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        let base = format!("{}{path}", self.url);
        let url = reqwest::Url::parse_with_params(&base, query).unwrap();
        self.try_send("GET", &url.as_str()[self.url.len()..], &[], Vec::new()).unwrap()
    }

    /// POST of JSON with this home's key.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_send("POST", path, &[], body.to_string().into_bytes()).unwrap()
    }

    /// Any request; an error when the server went away in the middle.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        try_send(&self.url, &self.home.key, method, path, headers, body)
    }

    /// An agent that asks for a `name`, a simulated number that leads to it: the number's id.
    pub(crate) fn make_number(&self) -> String {
        let variables = json!([{ "key": "name", "type": "string", "required": true }]);
        let agent = json!({
            "name": "Caller", "languages": ["en-US"], "variables": variables,
            "connection": { "type": "announcement", "text": "Hello {{name}}" },
        });
        let agent = self.post("/api/agents", &agent).expect(201)["data"]["_id"].clone();
        let phone = json!({
            "userId": self.home.user, "phoneNumber": "12025550143", "integration": "simulated",
            "agentId": agent,
        });
        let phone = self.post("/api/call/add-phone", &phone).expect(201);
        phone["data"]["_id"].as_str().unwrap().to_owned()
    }

    /// A batch with `number`; `more` are further fields of the request.
    pub(crate) fn make_batch(&self, number: &str, more: &Value) -> String {
        let mut body = json!({ "batchName": "Test", "callingNumbers": [number] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.post("/api/call/createBatch", &body).expect(201);
        answer["data"].as_str().unwrap().to_owned()
    }

    /// One page of a batch's calls: `data` of the answer.
    pub(crate) fn details(&self, batch: &str, query: &[(&str, &str)]) -> Value {
        let path = format!("/api/call/batch-details/{batch}");
        self.query(&path, query).expect(200)["data"].clone()
    }

    /// Every call of a batch.
    pub(crate) fn all_calls(&self, batch: &str) -> Vec<Value> {
        let mut calls = Vec::new();
        for page in 1.. {
            let query = [("limit", "100"), ("page", &page.to_string())];
            let mut data = self.details(batch, &query);
            calls.append(data["data"].as_array_mut().unwrap());
            if page >= data["totalPages"].as_u64().unwrap() {
                break;
            }
        }
        calls
    }

    /// How many of a batch's calls have one of these states or dispositions.
    pub(crate) fn count(&self, batch: &str, call_status: &[&str]) -> u64 {
        let filter = json!({ "callStatus": call_status }).to_string();
        let data = self.details(batch, &[("limit", "1"), ("filter", &filter)]);
        data["total"].as_u64().unwrap()
    }

    /// Waits until a batch is completed.
    pub(crate) fn wait_completed(&self, batch: &str, limit: Duration) {
        wait_for("the batch is completed", limit, || {
            let data = self.details(batch, &[("limit", "1")]);
            (data["batchStatus"] == "completed").then_some(())
        });
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A request with a key, to whatever server is at `url`.
pub(crate) fn try_send(
    url: &str,
    key: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer, reqwest::Error> {
    let method = method.parse().unwrap();
    let mut request = HTTP.request(method, format!("{url}{path}")).header("x-api-key", key);
    if !body.is_empty() {
        request = request.header("content-type", "application/json").body(body);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    RUNTIME.block_on(async {
        let response = request.timeout(PATIENCE * 2).send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) })
    })
}

/// Lines of a stream, read on a thread of its own so that nobody has to wait for them.
pub(crate) fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// `call_data` of `count` records, numbers from `first` on.
pub(crate) fn records(first: u64, count: u64) -> Vec<Value> {
    (first..first + count)
        .map(|number| json!({ "phoneNumber": number.to_string(), "name": format!("N {number}") }))
        .collect()
}

/// The file's lines, none when there is no file yet.
pub(crate) fn lines_in(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
