//! A PostgreSQL of one's own: in a temporary directory, on a port of its own, with its real
//! durability, and gone with who started it.
#![allow(dead_code, reason = "tests and benchmarks each need a part of it")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Where Debian and its kin put the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// How long a start or an end may take, recovery included.
const PATIENCE: Duration = Duration::from_secs(60);
/// The role that owns everything; nobody else can come in: it listens on the loopback alone.
const ROLE: &str = "outdial";

/// A server, and its data. Dropped, both are gone.
pub(crate) struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    /// Who runs it, where we are root: it refuses to be root's.
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    port: u16,
    process: Option<Child>,
}

impl Postgres {
    /// Starts a new one; `settings` are lines of its configuration, `name=value`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let user = is_root().then(|| account("postgres"));
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).expect("a directory of the server's user");
        }
        let settings = settings.iter().map(|s| (*s).to_owned()).collect();
        let port = free_port();
        let mut server =
            Self { folder, programs: newest_programs(), user, settings, port, process: None };
        let data = server.data();
        let mut initdb = server.command("initdb");
        initdb.arg("--pgdata").arg(data).args(["--username", ROLE, "--auth", "trust"]);
        initdb.args([
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]);
        let made = initdb.output().expect("initdb can be started");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.begin();
        server
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The database that is always there, as it is reached over this port of ours.
    pub(crate) fn url_over(&self, port: u16) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// The same without anything between.
    pub(crate) fn url(&self) -> String {
        self.url_over(self.port)
    }

    /// Another database of it.
    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// As after a power cut, as far as a process can be: nobody is asked, nothing is written.
    pub(crate) fn stop_immediately(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        signal(&process, Signal::QUIT);
        process.wait().expect("it ends");
    }

    /// Starts it again on its data; returns when it takes connections.
    pub(crate) fn begin(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let log = fs::File::options().create(true).append(true).open(self.log()).expect("a log");
        let data = self.data();
        let mut command = self.command("postgres");
        command.arg("-D").arg(data).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.arg("-k").arg(self.folder.path());
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.process = Some(process.expect("postgres can be started"));
        let start = now();
        while !self.is_ready() {
            assert!(start.elapsed() < PATIENCE, "not ready: {}", self.last_words());
            let ended = self.process.as_mut().and_then(|p| p.try_wait().expect("a child"));
            assert!(ended.is_none(), "it ended: {}", self.last_words());
            #[expect(clippy::disallowed_methods, reason = "a real server starts in real time")]
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets a script of SQL run and returns what it prints, columns parted by `|`.
    pub(crate) fn psql(&self, script: &str) -> String {
        self.psql_on("postgres", script)
    }

    /// The same on another database of it.
    pub(crate) fn psql_on(&self, database: &str, script: &str) -> String {
        let mut psql = self.psql_command(database);
        let done = psql.args(["-c", script]).output().expect("psql can be started");
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// `psql` on a database.
    pub(crate) fn psql_command(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url_of(database)]);
        psql
    }

    /// The ids of its processes.
    pub(crate) fn processes(&self) -> Vec<String> {
        let Some(process) = &self.process else { return Vec::new() };
        let id = process.id().to_string();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        children.split_whitespace().map(str::to_owned).chain([id]).collect()
    }

    /// Where the server may read and write files that are named in SQL.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn is_ready(&self) -> bool {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["-q", "-U", ROLE, "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        ready.status().is_ok_and(|status| status.success())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// A program of its version, as its user; it is told to end at once when we are gone.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if let Some((uid, gid)) = self.user {
            command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string()]);
            command.arg("--clear-groups");
        }
        command.arg(self.programs.join(program)).current_dir(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- postgres.log, its end:\n{}", self.last_words());
        }
        self.stop_immediately();
    }
}

/// The directory of the newest version that is installed.
fn newest_programs() -> PathBuf {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten().map(|e| e.path());
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter(|path| path.join("bin/postgres").exists()).max_by_key(number);
    newest.unwrap_or_else(|| panic!("no PostgreSQL in {VERSIONS}: install it")).join("bin")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// User and group of an account, from the list of accounts.
fn account(name: &str) -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").expect("the list of accounts");
    let mut fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.find(|f| f[0] == name).unwrap_or_else(|| panic!("no account {name}"));
    let id = |text: &str| text.parse().expect("an id is a number");
    (id(found[2]), id(found[3]))
}

/// A port that is free.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "somebody was quicker");
    port
}

fn signal(process: &Child, signal: Signal) {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process id");
    // It may have ended by itself.
    let _gone = kill_process(pid, signal);
}

#[expect(clippy::disallowed_methods, reason = "a real server starts in real time")]
fn now() -> Instant {
    Instant::now()
}
