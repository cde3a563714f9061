//! F40, F51: thousands that ask for nothing, and nobody waits for them; they are ended in time.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::crowd::{Crowd, p99, worked};
use crate::harness::{Home, PATIENCE, lines_of, wait_for};

const MANY: usize = 2_000;
/// The slowest that one of a hundred requests may be, on a machine that is busy with other tests.
const SLOWEST_MS: f64 = 2_000.0;

#[test]
fn who_works_is_served() {
    allow_files();
    let home = Home::new(&[
        ("OUTDIAL_SERVER_HEAD_TIMEOUT_MS", "8000"),
        ("OUTDIAL_SERVER_KEEP_ALIVE_MS", "8000"),
        // No byte is late, but all of them together are.
        ("OUTDIAL_SERVER_BODY_TIMEOUT_MS", "8000"),
    ]);
    let server = home.serve();
    let to = server.url.trim_start_matches("http://").parse().unwrap();
    let before = p99(&mut worked(to, &home.key, 300));
    let crowd = Crowd::open(to, &home.key, MANY);
    let open = crowd.open_still();
    let among = p99(&mut worked(to, &home.key, 300));
    println!("p99 {before:.1} ms alone, {among:.1} ms among {open}");
    assert!(open > MANY / 2, "{open} of {MANY} are open: they are not idle together");
    assert!(among < SLOWEST_MS, "{among} ms");
    // Every one of them comes to its end, whatever it drips.
    wait_for("the end of all of them", PATIENCE, || (crowd.open_still() == 0).then_some(()));
    assert_eq!(server.get("/api/me").status, 200);
}

#[test]
fn files_that_run_out_take_nobody_down() {
    let home = Home::new(&[]);
    // Enough for the server itself, not for the crowd.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 120; exec \"$0\" \"$@\""]).arg(home.outdial().get_program());
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.envs(home.outdial().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let log = std::fs::File::create(home.path("server.log")).unwrap();
    let mut child = command.stderr(log).spawn().unwrap();
    let lines = lines_of(child.stdout.take().unwrap());
    let url = wait_for("it listens", PATIENCE, || {
        let line = lines.recv_timeout(Duration::from_secs(1)).ok()?;
        line.strip_prefix("listening on http://").map(str::to_owned)
    });
    let to = url.parse().unwrap();
    let crowd = Crowd::open(to, &home.key, 300);
    // Those that say nothing make room, one for each that comes.
    let times = worked(to, &home.key, 50);
    println!("{} of 300 are open; slowest {:?}", crowd.open_still(), times.last());
    drop(crowd);
    let ended = child.try_wait().unwrap();
    worked(to, &home.key, 20);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ended.is_none(), "the server has ended: {ended:?}");
    let log = std::fs::read_to_string(home.path("server.log")).unwrap();
    assert!(log.contains("a connection cannot be accepted"), "files did not run out");
}

/// Both ends of every connection of the crowd are in files of this machine; ours need room.
fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
