//! SIPp as a callee: one process plays one scenario of `tests/sipp`, and its message log is the
//! evidence.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::seen::{Seen, read_log};
use crate::harness::{PATIENCE, run, wait_for};

/// Whatever becomes of the test, SIPp ends by then, in seconds.
const LIFE: &str = "300";
/// How often another port is tried when somebody else was quicker to take the first.
const TRIES: u32 = 5;

/// What a SIPp is to play.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    scenario: &'static str,
    hold_ms: u32,
    blanks: Vec<(&'static str, String)>,
    tcp: bool,
    deaf_in_pauses: bool,
    forgets: bool,
    port: Option<u16>,
}

impl Play {
    /// A file of `tests/sipp`, without its `.xml`.
    pub(crate) fn of(scenario: &'static str) -> Self {
        // Where nobody listens to the audio; PCMU.
        let blanks = vec![("rtp", free_port().to_string()), ("payload", "0".to_owned())];
        let (tcp, deaf_in_pauses, forgets) = (false, false, false);
        Self { scenario, hold_ms: 200, blanks, tcp, deaf_in_pauses, forgets, port: None }
    }

    /// How long the pauses of the scenario last that say nothing of it.
    pub(crate) fn hold(mut self, ms: u32) -> Self {
        self.hold_ms = ms;
        self
    }

    /// What stands for `@name@` in the scenario.
    pub(crate) fn fill(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.blanks.retain(|(n, _)| *n != name);
        self.blanks.push((name, text.into()));
        self
    }

    /// Over TCP instead of UDP.
    pub(crate) fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// What comes in a pause is lost.
    pub(crate) fn deaf_in_pauses(mut self) -> Self {
        self.deaf_in_pauses = true;
        self
    }

    /// Answers a BYE to a call that it knows no more, instead of keeping still.
    pub(crate) fn forgets(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// At this port, not at any.
    pub(crate) fn at(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(self) -> Sipp {
        for _ in 0..TRIES {
            if let Some(sipp) = self.try_start() {
                return sipp;
            }
        }
        panic!("SIPp does not start: {self:?}");
    }

    fn try_start(&self) -> Option<Sipp> {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        std::fs::write(file("scenario.xml"), self.text()).unwrap();
        let port = self.port.unwrap_or_else(free_port);
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(file("scenario.xml"));
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
        command.args(["-cp", &free_port().to_string(), "-nostdin", "-timeout", LIFE]);
        command.args(["-d", &self.hold_ms.to_string(), "-t", if self.tcp { "t1" } else { "u1" }]);
        command.args(["-trace_msg", "-message_file"]).arg(file("messages.log"));
        command.args(["-trace_err", "-error_file"]).arg(file("errors.log"));
        if self.deaf_in_pauses {
            command.arg("-pause_msg_ign");
        }
        if self.forgets {
            command.args(["-deadcall_wait", "0"]);
        }
        let said = File::create(file("said.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = command.current_dir(directory.path()).spawn().expect("sipp is installed");
        let mut sipp = Sipp { child, directory, port, tcp: self.tcp, scenario: self.scenario };
        sipp.is_listening().then_some(sipp)
    }

    /// The scenario with its blanks filled in.
    fn text(&self) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp");
        let file = folder.join(self.scenario).with_extension("xml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (name, value) in &self.blanks {
            text = text.replace(&format!("@{name}@"), value);
        }
        text
    }
}

/// A SIPp that plays; killed when dropped.
pub(crate) struct Sipp {
    child: Child,
    directory: TempDir,
    pub(crate) port: u16,
    pub(crate) tcp: bool,
    scenario: &'static str,
}

impl Sipp {
    /// False when it ended instead.
    fn is_listening(&mut self) -> bool {
        let (table, port) = (if self.tcp { "tcp" } else { "udp" }, self.port);
        wait_for("SIPp listens or ends", PATIENCE, || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            holds(&self.child, table, port).then_some(true)
        })
    }

    /// Every message it received and sent so far.
    pub(crate) fn log(&self) -> Vec<Seen> {
        read_log(&self.directory.path().join("messages.log"))
    }

    /// The requests of a method that it received, repetitions too.
    pub(crate) fn requests(&self, method: &str) -> Vec<Seen> {
        let mut log = self.log();
        log.retain(|m| m.received && m.method() == Some(method));
        log
    }

    /// The answers to a method that it received, repetitions too.
    pub(crate) fn answers(&self, method: &str) -> Vec<Seen> {
        let mut log = self.log();
        log.retain(|m| m.received && m.status().is_some() && m.cseq().1 == method);
        log
    }

    /// How many calls it saw: Call-IDs of INVITEs outside of a dialog.
    pub(crate) fn calls(&self) -> usize {
        super::seen::attempts(&self.log()).len()
    }

    /// Waits until it has received a request of this method.
    pub(crate) fn wait_for(&self, method: &str) -> Seen {
        wait_for(&format!("a {method}"), PATIENCE, || self.requests(method).into_iter().next())
    }

    /// Asks it to end when its calls have, and proves that each went as the scenario says.
    pub(crate) fn went_as_written(mut self) {
        let pid = self.child.id().to_string();
        assert!(run(Command::new("kill").args(["-USR1", &pid])).status.success());
        let ended = wait_for(&format!("the end of {}", self.scenario), PATIENCE, || {
            self.child.try_wait().unwrap()
        });
        assert_eq!(ended.code(), Some(0), "{}: {:?}", self.scenario, ended.signal());
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            for name in ["said.log", "errors.log", "messages.log"] {
                let text = std::fs::read_to_string(self.directory.path().join(name));
                let text: String = text.unwrap_or_default().chars().take(12_000).collect();
                eprintln!("--- {} of {} at port {}:\n{text}", name, self.scenario, self.port);
            }
        }
    }
}

/// A port of this machine that nobody listens at, for UDP and TCP; none twice.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..1_000 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
    panic!("no port is free");
}

/// Whether a process listens at this port (`tcp`) or has it (`udp`). Asked of the system: to try
/// would be to take it.
pub(crate) fn holds(process: &Child, table: &str, port: u16) -> bool {
    let files = std::fs::read_dir(format!("/proc/{}/fd", process.id())).into_iter().flatten();
    let files: Vec<_> = files.filter_map(|f| std::fs::read_link(f.ok()?.path()).ok()).collect();
    let lines = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap();
    let port = format!(":{port:04X}");
    // The local address, the remote address, the state (0A is to listen, 07 is UDP), …, the inode.
    lines.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, _, _, _, _, _, inode, ..] = words[..] else { return false };
        let socket = format!("socket:[{inode}]");
        local.ends_with(&port)
            && matches!(state, "0A" | "07")
            && files.iter().any(|f| f.as_os_str() == socket.as_str())
    })
}
