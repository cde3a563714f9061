//! A database that was put back to an older state does not know of calls that were placed since.
//! Nobody is dialed until the operator accepts that.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    Home, PATIENCE, Server, lines_in, records, run, stderr_of, stdout_of, wait_for,
};

const FIRST: u64 = 12_125_550_000;
/// What a server says when somebody is to be called from an older copy.
const OLDER: &str = "not dialing: the database is older";
/// And when its marks are gone.
const LOST: &str = "not dialing: what was noted";

/// A home from which numbers were dialed, and the way back to an older state.
struct Dialed {
    home: Home,
    batch: String,
}

impl Dialed {
    /// `FIRST` and nineteen more were called; the database of then is `backup.db`.
    fn new() -> Self {
        let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
        let server = home.serve();
        let number = server.make_number();
        let batch = server.make_batch(&number, &json!({ "concurrency": 5 }));
        drop(server);
        let dialed = Self { home, batch };
        dialed.dial(FIRST, 20);
        dialed.copy("outdial.db", "backup.db");
        dialed
    }

    /// Calls these in a life of a server, which ends well.
    fn dial(&self, first: u64, count: u64) {
        let before = self.placed();
        let server = self.home.serve();
        self.add(&server, first, count);
        self.stop_completed(server);
        assert_eq!(self.placed(), before + usize::try_from(count).unwrap());
    }

    fn add(&self, server: &Server<'_>, first: u64, count: u64) {
        let body = json!({ "batchId": self.batch, "call_data": records(first, count) });
        server.post("/api/call/addCallsToBatch", &body).expect(200);
    }

    fn stop_completed(&self, server: Server<'_>) {
        server.wait_completed(&self.batch, PATIENCE);
        server.terminate();
        assert!(server.wait().success());
    }

    /// Waits until a server says this once more than `before`.
    fn wait_said(&self, what: &str, before: usize) {
        wait_for(what, PATIENCE, || (self.said(what) > before).then_some(()));
    }

    /// How often servers have said this.
    fn said(&self, what: &str) -> usize {
        let log = fs::read_to_string(self.home.path("server.log")).unwrap();
        log.matches(what).count()
    }

    fn placed(&self) -> usize {
        lines_in(&self.home.carrier_log()).len()
    }

    /// A database that was served and stopped is one file. What a killed server or a command left
    /// beside one that is replaced goes with it.
    fn copy(&self, from: &str, to: &str) {
        let beside = ["-wal", "-shm"].map(|end| self.home.path(&format!("outdial.db{end}")));
        for file in beside.iter().filter(|file| file.exists()) {
            assert_ne!(from, "outdial.db", "it is more than one file");
            fs::remove_file(file).unwrap();
        }
        fs::copy(self.home.path(from), self.home.path(to)).unwrap();
    }

    /// What doctor finds of restored copies; everything else must be well.
    fn doctor(&self, flags: &[&str]) -> (bool, String) {
        let mut command = self.home.outdial();
        command.args(["doctor", "--json"]).args(flags);
        let output = run(&mut command);
        let lines = String::from_utf8(output.stdout).unwrap();
        let findings: Vec<Value> =
            lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let restore = findings.iter().find(|f| f["check"] == "restore").expect("a finding");
        let is_well = restore["ok"].as_bool().unwrap();
        assert_eq!(output.status.success(), is_well, "{lines}");
        (is_well, restore["text"].as_str().unwrap().to_owned())
    }

    fn accept(&self) {
        let (is_well, text) = self.doctor(&["--accept-restore"]);
        assert!(is_well && text.contains("dialed again from now on"), "{text}");
    }
}

#[test]
fn an_older_copy_is_not_dialed_until_it_is_accepted() {
    let d = Dialed::new();
    // Twenty more are called, of whom the backup knows nothing.
    d.dial(FIRST + 100, 20);
    d.copy("outdial.db", "newer.db");
    assert!(d.doctor(&[]).0);
    d.copy("backup.db", "outdial.db");

    let server = d.home.serve();
    assert_eq!(d.said("the database is an older copy"), 1, "it says so at once");
    // Changes that make the version of the copy grow beyond that of the other.
    for _ in 0..100 {
        let both = json!({ "batchId": d.batch, "userId": d.home.user });
        server.post("/api/call/stop-calling", &both).expect(200);
        server.post("/api/call/start-calling", &both).expect(200);
    }
    d.add(&server, FIRST + 100, 20);
    d.wait_said(OLDER, 0);
    let (is_well, text) = d.doctor(&[]);
    assert!(!is_well && text.contains("an older copy") && text.contains("--accept-restore"));
    assert!(text.contains(&d.home.workspace), "{text}");
    let waiting = || {
        let answer = server.get(&format!("/api/call/batch/{}", d.batch)).expect(200);
        answer["data"]["waiting"].clone()
    };
    assert_eq!(waiting(), json!([{ "reason": "database_older", "calls": 20 }]));
    assert_eq!(server.count(&d.batch, &["pending"]), 20, "not dialed");
    server.kill9();
    let so_far = d.said(OLDER);
    let server = d.home.serve();
    d.wait_said(OLDER, so_far);
    assert_eq!(server.count(&d.batch, &["pending"]), 20, "not dialed after a restart either");
    assert_eq!(d.placed(), 40);

    // Accepted while it is being served.
    d.accept();
    d.stop_completed(server);
    assert_eq!(d.placed(), 60);
    assert!(d.doctor(&[]).0);

    // Now the other one is the copy that does not know of calls.
    d.copy("newer.db", "outdial.db");
    let so_far = d.said(OLDER);
    let server = d.home.serve();
    d.add(&server, FIRST + 200, 5);
    d.wait_said(OLDER, so_far);
    assert_eq!(server.count(&d.batch, &["pending"]), 5);
    assert_eq!(d.placed(), 60);
    drop(server);
    d.accept();
    d.stop_completed(d.home.serve());
    assert_eq!(d.placed(), 65);
}

/// What no number that counts plans could tell.
#[test]
fn a_copy_that_is_one_plan_old_and_has_changed_is_refused_and_the_newer_one_is_not() {
    let d = Dialed::new();
    d.dial(FIRST + 100, 1);
    d.copy("outdial.db", "newer.db");
    d.copy("backup.db", "outdial.db");
    // Before any server looks.
    for _ in 0..5 {
        let made = stdout_of(d.home.outdial().args(["key", "create", "--json"]));
        let made: Value = serde_json::from_str(&made).unwrap();
        stdout_of(d.home.outdial().args(["key", "revoke", made["_id"].as_str().unwrap()]));
    }
    let server = d.home.serve();
    d.add(&server, FIRST + 100, 1);
    d.wait_said(OLDER, 0);
    assert_eq!(server.count(&d.batch, &["pending"]), 1);
    server.kill9();
    assert_eq!(d.placed(), 21);

    // The newer file is recognised without a word of the operator.
    d.copy("newer.db", "outdial.db");
    let so_far = d.said(OLDER);
    let (is_well, text) = d.doctor(&[]);
    assert!(is_well, "{text}");
    d.dial(FIRST + 200, 5);
    assert_eq!(d.said(OLDER), so_far);
}

#[test]
fn without_its_state_directory_a_database_that_dialed_is_not_dialed_until_accepted() {
    let d = Dialed::new();
    let state = d.home.path("outdial.db.state");
    fs::remove_dir_all(&state).unwrap();
    let (is_well, text) = d.doctor(&[]);
    assert!(!is_well && text.contains("is gone") && text.contains(&d.home.workspace), "{text}");
    assert!(!state.exists(), "doctor changes nothing");
    let server = d.home.serve();
    assert_eq!(d.said("what was noted of calls of workspace"), 1, "it says so at once");
    d.add(&server, FIRST + 100, 5);
    d.wait_said(LOST, 0);
    assert_eq!(server.count(&d.batch, &["pending"]), 5);
    server.kill9();
    assert!(!d.doctor(&[]).0, "it stays so");
    let so_far = d.said(LOST);
    let server = d.home.serve();
    d.wait_said(LOST, so_far);
    assert_eq!(d.placed(), 20);
    d.accept();
    d.stop_completed(server);
    assert_eq!(d.placed(), 25);
    assert!(d.doctor(&[]).0);

    // Accepted before any server has seen it.
    fs::remove_dir_all(&state).unwrap();
    d.accept();
    let so_far = d.said(LOST);
    d.dial(FIRST + 200, 5);
    assert_eq!(d.said(LOST), so_far);
}

#[test]
fn copies_of_a_database_are_not_served_beside_each_other_from_one_state_directory() {
    let mut d = Dialed::new();
    let state = d.home.path("state").display().to_string();
    d.home.set("OUTDIAL_DATABASE_STATE_DIR", &state);
    d.accept();
    d.dial(FIRST + 100, 1);
    let mut other = Home::at(tempfile::tempdir().unwrap());
    other.set("OUTDIAL_DATABASE_STATE_DIR", &state);
    fs::copy(d.home.path("outdial.db"), other.path("outdial.db")).unwrap();
    let server = d.home.serve();
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let refused = stderr_of(other.outdial().args(listen));
    assert!(refused.contains(&state) && refused.contains("stop that first"), "{refused}");
    server.kill9();
    other.serve().kill9();
}

/// Attempts are committed, and nothing was ever noted: nothing left, so this is no older copy.
#[cfg(feature = "failpoints")]
#[test]
fn a_kill_before_the_first_mark_is_no_false_alarm() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let kill = [("OUTDIALTEST_KILL_AT", "engine.committed:1")];
    let (mut server, _) = home.serve_with(&kill);
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "redialUnknown": false }));
    let body = json!({ "batchId": batch, "call_data": records(FIRST, 5) }).to_string();
    let path = "/api/call/addCallsToBatch";
    let _killed_or_not = server.try_send("POST", path, &[], body.into_bytes());
    wait_for("the kill", PATIENCE, || server.is_gone().then_some(()));
    drop(server);
    let d = Dialed { home, batch };
    assert_eq!(d.placed(), 0);
    assert!(d.doctor(&[]).0);
    let server = d.home.serve();
    d.add(&server, FIRST + 100, 5);
    d.stop_completed(server);
    assert!(d.placed() >= 5, "{}", d.placed());
    assert_eq!((d.said(OLDER), d.said(LOST), d.said("older copy")), (0, 0, 0));
}

#[test]
fn doctor_makes_no_database() {
    let home = Home::at(tempfile::tempdir().unwrap());
    let output = run(home.outdial().arg("doctor"));
    assert!(!output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("FAIL  database") && said.contains("outdial serve"), "{said}");
    assert!(!home.path("outdial.db").exists());
}
