//! SIPp, as the callee and as the other caller: the scenarios that it brings along.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::Placed;
use crate::machine::{cpu_time, now};

/// What the sockets of either may hold, octets.
const BUFFER: &str = "4194304";
/// A process that is up or gone is seen within this.
const LOOK: Duration = Duration::from_millis(10);
/// How long one may take to come up or to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one is started until it finds its ports free.
const TRIES: u32 = 5;
/// Calls that the caller may have live at once.
const LIVE: &str = "10000";

/// SIPp as callee: 180, 200, and an answer to the BYE.
pub(crate) struct Callee {
    child: Child,
    folder: TempDir,
    pub(crate) addr: SocketAddr,
}

/// What a callee saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Calls that came.
    pub(crate) calls: u64,
    /// What it sent again, for want of an answer.
    pub(crate) repeats: u64,
}

impl Callee {
    /// Starts it, and waits until it listens.
    pub(crate) async fn start() -> Self {
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let addr = free_addr();
            let child = sipp(folder.path(), addr, &["-sn", "uas"]).spawn();
            let mut callee = Self { child: child.expect("sipp is installed"), folder, addr };
            if callee.listens().await {
                return callee;
            }
        }
        panic!("SIPp does not start");
    }

    /// CPU time that it used so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_time(&self.child.id().to_string())
    }

    /// Ends it; what it saw.
    pub(crate) async fn end(mut self) -> Seen {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.expect("kill").success(), "SIPp ended by itself");
        wait(&mut self.child, PATIENCE).await;
        let table = Table::read(&self.folder.path().join("stats.csv"));
        Seen { calls: table.last("IncomingCall(C)"), repeats: table.last("Retransmissions(C)") }
    }

    /// False when it ended instead.
    async fn listens(&mut self) -> bool {
        let place = format!("0100007F:{:04X}", self.addr.port());
        let until = now() + PATIENCE;
        while now() < until && self.child.try_wait().expect("a child").is_none() {
            // Asked of the system: to try would be to take it.
            let sockets = std::fs::read_to_string("/proc/net/udp").expect("/proc");
            if sockets.lines().any(|line| line.split_whitespace().nth(1) == Some(&place)) {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Has SIPp call `callee` so many times at so many a second; cut off after `limit`. Its time is
/// with its own start, and what it says of set-up is in whole milliseconds.
pub(crate) async fn call(callee: SocketAddr, rate: u64, calls: u64, limit: Duration) -> Placed {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (to, rate, calls) = (callee.to_string(), rate.to_string(), calls.to_string());
    let what = ["-sn", "uac", &to, "-r", &rate, "-m", &calls, "-l", LIVE];
    let times = ["-trace_rtt", "-rtt_freq", "500"];
    let begun = now();
    let mut command = sipp(folder.path(), free_addr(), &what);
    let mut child = command.args(times).spawn().expect("sipp is installed");
    let cpu = wait(&mut child, limit).await;
    let took = begun.elapsed();
    let table = Table::read(&folder.path().join("stats.csv"));
    let good = table.last("SuccessfulCall(C)");
    let set_up_ms = set_up_times(folder.path());
    Placed { good, took, cpu, set_up_ms, bad: BTreeMap::new() }
}

/// Waits for the end, and makes one after `limit`; the CPU time that it used in all.
async fn wait(child: &mut Child, limit: Duration) -> Duration {
    let (process, until) = (child.id().to_string(), now() + limit);
    // Until it is waited for, one that is gone still tells what it used.
    while now() < until && !is_gone(&process) {
        tokio::time::sleep(LOOK).await;
    }
    let cpu = cpu_time(&process);
    let _gone = child.kill();
    let _gone = child.wait();
    cpu
}

fn is_gone(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// SIPp on the loopback, with a line of statistics a second.
fn sipp(folder: &Path, addr: SocketAddr, what: &[&str]) -> Command {
    let mut command = Command::new("sipp");
    command.args(what);
    command.args(["-i", "127.0.0.1", "-p", &addr.port().to_string()]);
    command.args(["-mi", "127.0.0.1", "-mp", &free_addr().port().to_string()]);
    command.args(["-cp", &free_addr().port().to_string(), "-nostdin", "-buff_size", BUFFER]);
    command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(folder.join("stats.csv"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let said = File::create(folder.join("said.log")).expect("a file");
    command.stderr(said).current_dir(folder);
    command
}

/// A port that nobody has at this moment.
fn free_addr() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.local_addr().expect("its address")
}

/// SIPp writes a column per kind of time: when, how long, which.
fn set_up_times(folder: &Path) -> Vec<f64> {
    let files = std::fs::read_dir(folder).expect("the folder").flatten().map(|file| file.path());
    let is_it = |path: &PathBuf| path.to_string_lossy().ends_with("_rtt.csv");
    let text = files.filter(is_it).filter_map(|path| std::fs::read_to_string(path).ok());
    let text: String = text.collect();
    text.lines().filter_map(|line| line.split(';').nth(1)?.parse().ok()).collect()
}

/// Columns with names, separated by semicolons.
struct Table(String);

impl Table {
    fn read(path: &Path) -> Self {
        Self(std::fs::read_to_string(path).expect("SIPp's statistics"))
    }

    /// Of a column, the last value.
    fn last(&self, column: &str) -> u64 {
        let names = self.0.lines().next().unwrap_or_default().split(';');
        let values = self.0.lines().last().unwrap_or_default().split(';');
        let value = names.zip(values).find(|(name, _)| *name == column).map(|(_, value)| value);
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {column}"))
    }
}
