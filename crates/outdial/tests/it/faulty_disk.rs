//! A disk that has no room, or that does not keep what it was given: nothing acknowledged is lost,
//! nothing is stored by half, nobody is called twice.
//!
//! The binary runs with `tests/shim/diskfault.c` between it and the system; a C compiler (`cc`) is
//! needed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Home, Server, lines_in, records, run};

static SHIM: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("diskfault.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shim/diskfault.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", source, "-ldl", "-o"]);
    let made = run(compiler.arg(&library));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (dir, library)
});

/// The disk under some files of a home.
pub(crate) struct Disk {
    control: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Disk {
    /// Under the home's files whose paths begin so; with a `$` at its end it is a whole path.
    pub(crate) fn under(home: &Home, paths: &[&str]) -> Self {
        let control = tempfile::tempdir().unwrap();
        let base = home.path("").canonicalize().unwrap();
        let paths: Vec<_> = paths.iter().map(|p| base.join(p).display().to_string()).collect();
        let environment = vec![
            ("LD_PRELOAD", SHIM.1.display().to_string()),
            ("DISKFAULT_PATHS", paths.join(":")),
            ("DISKFAULT_CONTROL", control.path().display().to_string()),
        ];
        Self { control, environment }
    }

    /// A server that stands on it.
    pub(crate) fn serve<'a>(&self, home: &'a Home) -> Server<'a> {
        self.try_serve(home).expect("it serves")
    }

    /// As `serve`; none when it refuses to.
    pub(crate) fn try_serve<'a>(&self, home: &'a Home) -> Option<Server<'a>> {
        let more: Vec<_> = self.environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        Some(home.try_serve_with(&more)?.0)
    }

    /// From now on it does this; see the shim.
    pub(crate) fn begin(&self, fault: &str, how: &str) {
        // Moved there whole: the shim may look at any moment.
        let (half, whole) = (self.control.path().join("half"), self.control.path().join(fault));
        fs::write(&half, how).unwrap();
        fs::rename(half, whole).unwrap();
    }

    /// No longer.
    pub(crate) fn end(&self, fault: &str) {
        fs::remove_file(self.control.path().join(fault)).unwrap();
    }

    /// The faults so far, and the syncs after a failed one.
    pub(crate) fn log(&self) -> Vec<String> {
        lines_in(&self.control.path().join("log"))
    }
}

/// `count` records of people who answer.
pub(crate) fn talkers(first: u64, count: u64) -> Vec<Value> {
    let mut all = records(first, count * 2);
    all.retain(|r| &r["phoneNumber"].as_str().unwrap()[9..] < "70");
    all.truncate(usize::try_from(count).unwrap());
    all
}

/// The body of a request that brings these records.
pub(crate) fn list(batch: &str, call_data: &[Value]) -> Vec<u8> {
    json!({ "batchId": batch, "call_data": call_data }).to_string().into_bytes()
}

/// Adds a list under a key.
pub(crate) fn add(
    server: &Server<'_>,
    key: &str,
    list: &[u8],
) -> Result<crate::harness::Answer, reqwest::Error> {
    let headers = [("idempotency-key", key)];
    server.try_send("POST", "/api/call/addCallsToBatch", &headers, list.to_vec())
}

/// Ids in the order of an answer.
pub(crate) fn ids(answer: &Value) -> Vec<String> {
    let ids = answer["data"]["callIds"].as_array().unwrap();
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// A batch that is not called before it is started.
pub(crate) fn stopped_batch(server: &Server<'_>, home: &Home, number: &str) -> String {
    let batch = server.make_batch(number, &json!({}));
    let both = json!({ "batchId": batch, "userId": home.user });
    server.post("/api/call/stop-calling", &both).expect(200);
    batch
}

/// The pages of the database are whole, as SQLite sees it. To be asked when nobody serves it.
pub(crate) fn assert_whole(home: &Home) {
    let output = run(home.outdial().args(["doctor", "--json"]));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut findings = lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let integrity = findings.find(|f| f["check"] == "integrity");
    let integrity = integrity.unwrap_or_else(|| panic!("not looked at: {lines}"));
    assert_eq!(integrity["ok"], true, "{integrity}");
}
