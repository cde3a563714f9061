//! A database that was put back to an older state does not know of calls that were placed since.
//! Nobody is dialed until the operator accepts that.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE, lines_in, records, run, wait_for};

#[test]
fn an_older_copy_is_not_dialed_until_it_is_accepted() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 5 }));
    let add = |server: &crate::harness::Server<'_>, first| {
        let body = json!({ "batchId": batch, "call_data": records(first, 20) });
        server.post("/api/call/addCallsToBatch", &body).expect(200);
    };
    add(&server, 12_125_550_000);
    server.wait_completed(&batch, PATIENCE);
    stop_and(server, || copy(&home, "outdial.db", "backup.db"));

    // Twenty more are called, of whom the backup knows nothing.
    let server = home.serve();
    add(&server, 12_125_550_100);
    server.wait_completed(&batch, PATIENCE);
    let placed = lines_in(&home.carrier_log()).len();
    assert_eq!(placed, 40);
    stop_and(server, || copy(&home, "backup.db", "outdial.db"));

    let server = home.serve();
    // Changes that make the version of the copy grow beyond the one that was seen.
    for _ in 0..100 {
        let both = json!({ "batchId": batch, "userId": home.user });
        server.post("/api/call/stop-calling", &both).expect(200);
        server.post("/api/call/start-calling", &both).expect(200);
    }
    add(&server, 12_125_550_100);
    let log = || fs::read_to_string(home.path("server.log")).unwrap();
    wait_for("it says so", PATIENCE, || {
        log().contains("not dialing: the database is older").then_some(())
    });
    let findings = doctor(&home, &[]);
    assert!(!findings.0, "doctor is content: {findings:?}");
    let restore = findings.1.iter().find(|f| f["check"] == "restore").unwrap();
    assert!(restore["text"].as_str().unwrap().contains("--accept-restore"), "{restore}");
    assert_eq!(server.count(&batch, &["pending"]), 20, "not dialed");
    server.kill9();
    let so_far = log().matches("not dialing: the database is older").count();
    let server = home.serve();
    wait_for("it says so again", PATIENCE, || {
        (log().matches("not dialing: the database is older").count() > so_far).then_some(())
    });
    assert_eq!(server.count(&batch, &["pending"]), 20, "not dialed after a restart either");
    assert_eq!(lines_in(&home.carrier_log()).len(), placed);

    // Accepted while it is being served.
    assert!(doctor(&home, &["--accept-restore"]).0);
    server.wait_completed(&batch, PATIENCE);
    assert_eq!(lines_in(&home.carrier_log()).len(), placed + 20);
    assert!(doctor(&home, &[]).0);
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

/// Stops it gracefully, so that the file is whole, and does something.
fn stop_and(server: crate::harness::Server<'_>, then: impl FnOnce()) {
    server.terminate();
    assert!(server.wait().success());
    then();
}

/// A database at rest is one file.
fn copy(home: &Home, from: &str, to: &str) {
    for beside in ["-wal", "-shm"] {
        let _absent = fs::remove_file(home.path(&format!("outdial.db{beside}")));
    }
    fs::copy(home.path(from), home.path(to)).unwrap();
}

/// Whether all is well, and the findings.
fn doctor(home: &Home, flags: &[&str]) -> (bool, Vec<Value>) {
    let mut command = home.outdial();
    command.args(["doctor", "--json"]).args(flags);
    let output = run(&mut command);
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect())
}
