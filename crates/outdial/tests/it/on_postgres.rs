//! One node, or one of each role, on a PostgreSQL: the same journey as on a file, an installation
//! that moves from a file to a server, and what the commands say. Several nodes that dial at once
//! are `cluster`'s.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::evidence::{check_dialed, ids_of};
use crate::harness::{Home, PATIENCE, Server, lines_of, monotonic, run, stderr_of, stdout_of};
use crate::kill::contacts;
use crate::postgres::Postgres;

const LIMIT: Duration = Duration::from_secs(120);
const FAST: (&str, &str) = ("OUTDIAL_SIMULATED_SPEED", "50");

fn add(server: &Server<'_>, batch: &str, first: u64, count: u64) {
    let body = json!({ "batchId": batch, "call_data": contacts(first, count) });
    let answer = server.post("/api/call/addCallsToBatch", &body).expect(200);
    assert_eq!(answer["data"]["added"], count);
}

/// What the API tells of one node, by its role.
fn node(server: &Server<'_>, role: &str) -> Value {
    let data = server.get("/api/system/nodes").expect(200);
    let nodes = data["data"]["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["role"] == role).cloned().unwrap_or_default()
}

#[test]
fn the_whole_journey_and_a_second_life() {
    let postgres = Postgres::start(&[]);
    let home = Home::on_postgres(&postgres.url(), &[FAST]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    add(&server, &batch, 12_125_550_000, 100);
    server.wait_completed(&batch, LIMIT);
    check_dialed(&server, &batch, &home, 100, 0);
    let first = node(&server, "all");
    assert_eq!(first["state"], "alive", "{first}");
    server.terminate();
    assert!(server.wait().success());

    let server = home.serve();
    let second = node(&server, "all");
    assert_eq!(second["_id"], first["_id"], "the same node in another life");
    assert_eq!(server.all_calls(&batch).len(), 100);
    // It recognises its database, and goes on.
    add(&server, &batch, 13_105_550_000, 20);
    server.wait_completed(&batch, LIMIT);
    check_dialed(&server, &batch, &home, 120, 0);
}

#[test]
fn one_takes_lists_and_another_dials() {
    let postgres = Postgres::start(&[]);
    let url = postgres.url();
    let mut home = Home::on_postgres(&url, &[FAST]);
    home.set("OUTDIAL_SERVER_ROLE", "api");
    let api = home.serve();
    let dialing = home.path("dialer.state").display().to_string();
    let dialer_is = [
        ("OUTDIAL_SERVER_ROLE", "dialer"),
        ("OUTDIAL_DATABASE_STATE_DIR", dialing.as_str()),
        ("OUTDIAL_SERVER_NODE_NAME", "south"),
    ];
    let number = api.make_number();
    let batch = api.make_batch(&number, &json!({}));
    add(&api, &batch, 12_125_550_000, 50);
    assert_eq!(api.count(&batch, &["pending"]), 50, "nobody dials yet");

    let (dialer, _) = home.serve_with(&dialer_is);
    api.wait_completed(&batch, LIMIT);
    check_dialed(&api, &batch, &home, 50, 0);
    assert_eq!(dialer.get("/api/me").status, 404, "it does not serve the API");
    assert_eq!(dialer.get("/readyz").status, 200);
    let south = node(&api, "dialer");
    assert_eq!((&south["name"], &south["state"]), (&json!("south"), &json!("alive")));
    assert_eq!(node(&api, "api")["state"], "alive");

    // Of two with one state directory the second refuses.
    assert!(home.try_serve_with(&dialer_is).is_none());
    let said = fs::read_to_string(home.path("server.log")).unwrap();
    assert!(said.contains("--state-dir"), "{said}");
    dialer.terminate();
    assert!(dialer.wait().success());
    assert_eq!(node(&api, "dialer")["state"], "left");
}

/// The same node on two machines: a state directory that was copied.
#[test]
fn of_two_machines_with_one_identity_the_second_waits_and_refuses() {
    let postgres = Postgres::start(&[]);
    let home = Home::on_postgres(&postgres.url(), &[]);
    let server = home.serve();
    let first = node(&server, "all");
    let (state, copy) = (home.path("outdial.db.state"), home.path("copy.state"));
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&state).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let refused = stderr_of(&mut elsewhere(&home, &copy));
    assert!(refused.contains("two processes must not be one node"), "{refused}");
    assert!(refused.contains(first["host"].as_str().unwrap()), "{refused}");
    let still = node(&server, "all");
    let same = |field: &str| assert_eq!(still[field], first[field], "{still}");
    ["_id", "host", "startedAt", "state"].into_iter().for_each(same);

    // It is dead, but nobody there knows it for certain yet.
    server.kill9();
    let mut second = elsewhere(&home, &copy);
    let mut second = second.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = lines_of(second.stdout.take().unwrap());
    let started = monotonic();
    let line = lines.recv_timeout(PATIENCE).expect("it serves in the end");
    let waited = monotonic() - started;
    second.kill().unwrap();
    second.wait().unwrap();
    assert!(line.starts_with("listening on"), "{line}");
    assert!(waited > Duration::from_secs(15), "the first may have been alive after {waited:?}");
}

/// A server on a machine of another name, with this state directory.
fn elsewhere(home: &Home, state: &Path) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let serve = "hostname elsewhere && exec \"$0\" serve --listen 127.0.0.1:0";
    let ours = home.outdial();
    command.args(["--uts", "sh", "-c", serve]).arg(ours.get_program());
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("OUTDIAL_DATABASE_STATE_DIR", state);
    command
}

#[test]
fn an_installation_moves_to_a_server() {
    let mut home = Home::new(&[FAST]);
    let file = format!("sqlite:{}", home.path("outdial.db").display());
    let server = home.serve();
    let number = server.make_number();
    let done = server.make_batch(&number, &json!({}));
    add(&server, &done, 12_125_550_000, 100);
    server.wait_completed(&done, LIMIT);
    let waiting = server.make_batch(&number, &json!({}));
    server
        .post("/api/call/stop-calling", &json!({ "batchId": waiting, "userId": home.user }))
        .expect(200);
    let odd = json!({ "phoneNumber": "13105550001", "name": "Zoë \\N\t\"x\"\n", "long": 1e300 });
    let body = json!({ "batchId": waiting, "call_data": [odd] });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    add(&server, &waiting, 13_105_552_000, 1_200);

    let postgres = Postgres::start(&[]);
    let url = postgres.url();
    let copy = |home: &Home| {
        let mut command = home.outdial();
        command.args(["copy", "--from", &file, "--to", &url]);
        command
    };
    let refused = stderr_of(&mut copy(&home));
    assert!(refused.contains("being served"), "{refused}");
    let before = [server.all_calls(&done), server.all_calls(&waiting)];
    let settings = server.get("/api/settings").expect(200);
    server.terminate();
    assert!(server.wait().success());

    cut_short(&home, &file, &url);
    let said = stdout_of(&mut copy(&home));
    assert!(said.contains("are the same"), "{said}");
    let again = stderr_of(&mut copy(&home));
    assert!(again.contains("not empty"), "{again}");

    // Its state directory goes along: nothing needs to be accepted.
    home.move_to(&url);
    let server = home.serve();
    assert_eq!([server.all_calls(&done), server.all_calls(&waiting)], before);
    assert_eq!(server.get("/api/settings").expect(200), settings);
    let both = json!({ "batchId": waiting, "userId": home.user });
    server.post("/api/call/start-calling", &both).expect(200);
    add(&server, &waiting, 14_155_550_000, 100);
    server.wait_completed(&waiting, LIMIT);
    check_dialed(&server, &waiting, &home, 1_301, 0);
    assert_eq!(ids_of(&server.all_calls(&waiting)).len(), 1_301, "no id came again");
}

/// A copy that is killed once it has begun leaves nothing that could be served.
fn cut_short(home: &Home, file: &str, url: &str) {
    let mut command = home.outdial();
    command.args(["copy", "--from", file, "--to", url]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first tables have been written.
    let found = lines.find(|line| line.as_ref().unwrap().contains("rows"));
    assert!(found.is_some(), "it was over before");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut list = home.outdial();
    list.args(["key", "list", "--database-url", url]);
    let refused = stderr_of(&mut list);
    assert!(refused.contains("workspace"), "{refused}");
}

#[test]
fn commands_on_a_server() {
    let postgres = Postgres::start(&[]);
    let url = postgres.url();
    let mut home = Home::at(tempfile::tempdir().unwrap());
    home.move_to(&url);
    let refused = stderr_of(home.outdial().args(["key", "list"]));
    assert!(refused.contains("outdial migrate"), "{refused}");
    let migrated = stdout_of(home.outdial().arg("migrate"));
    assert!(!migrated.is_empty());
    let again = stdout_of(home.outdial().arg("migrate"));
    assert_ne!(migrated, again, "there is nothing to do any more");

    let home = Home::on_postgres(&url, &[]);
    let made = stdout_of(home.outdial().args(["key", "create", "--name", "second"]));
    assert!(made.contains("od_"), "{made}");
    assert!(stdout_of(home.outdial().args(["key", "list"])).contains("second"));
    let server = home.serve();
    let nodes_run = stdout_of(home.outdial().arg("migrate"));
    assert_eq!(nodes_run, again);
    let found = stdout_of(home.outdial().args(["doctor", "--json"]));
    let finding = |what: &str| {
        let lines = found.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.into_iter().find(|line| line["check"] == what).unwrap_or_else(|| panic!("{found}"))
    };
    for what in ["database", "server", "durable", "distance", "apart", "nodes", "restore"] {
        assert_eq!(finding(what)["ok"], true, "{found}");
    }
    assert!(finding("server")["text"].as_str().unwrap().contains("PostgreSQL"), "{found}");
    assert!(finding("nodes")["text"].as_str().unwrap().contains("alive"), "{found}");
    drop(server);
}

#[test]
fn a_server_that_would_lose_what_it_acknowledged_is_found_out() {
    let server = Postgres::start(&["fsync=off", "synchronous_commit=off"]);
    let home = Home::on_postgres(&server.url(), &[]);
    let output = run(home.outdial().arg("doctor"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("fsync and synchronous_commit off"), "{text}");
}

#[test]
fn a_server_that_cannot_be_reached_says_so_without_the_password() {
    let mut home = Home::at(tempfile::tempdir().unwrap());
    home.move_to("postgres://me:hunter2@127.0.0.1:1/db");
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["key", "list"], &["migrate"]] {
        let said = stderr_of(home.outdial().args(command));
        assert!(said.contains("postgres://me@127.0.0.1:1/db"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// NUL and half of a surrogate pair, wherever a client may write text: PostgreSQL takes neither,
/// and a file would. Both answer alike, and nobody with a 500.
#[test]
fn text_that_no_database_can_keep_is_answered_alike_on_both() {
    let postgres = Postgres::start(&[]);
    let homes = [Home::new(&[FAST]), Home::on_postgres(&postgres.url(), &[FAST])];
    let answers = homes.each_ref().map(|home| odd_texts(&home.serve(), home));
    assert_eq!(answers[0], answers[1]);
    for (what, status) in &answers[0] {
        assert!(*status < 500, "{what}: {status}");
        // What only looks for it finds nothing.
        assert!(*status >= 400 || what.starts_with("GET"), "{what}: {status}");
    }
}

/// What was sent, and the status of the answer.
fn odd_texts(server: &Server<'_>, home: &Home) -> Vec<(String, u16)> {
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    let user = &home.user;
    let person = json!({ "phoneNumber": "12125550100", "note": "ODD" });
    let posts = [
        ("/api/call/createBatch", json!({ "batchName": "ODD", "callingNumbers": [number] })),
        (
            "/api/agents",
            json!({
                "name": "ODD", "languages": ["en-US"],
                "connection": { "type": "announcement", "text": "Hello" },
            }),
        ),
        (
            "/api/agents",
            json!({
                "name": "A", "languages": ["ODD"],
                "connection": { "type": "announcement", "text": "Hello" },
            }),
        ),
        ("/api/keys", json!({ "name": "ODD", "scopes": ["calls:read"] })),
        ("/api/trunks", json!({ "name": "ODD", "host": "127.0.0.1" })),
        ("/api/trunks", json!({ "name": "T", "host": "ODD" })),
        (
            "/api/trunks",
            json!({
                "name": "T", "host": "127.0.0.1", "username": "ODD", "password": "secret",
            }),
        ),
        ("/api/call/addCallsToBatch", json!({ "batchId": batch, "call_data": [person] })),
        ("/api/call/addCallsToBatch", json!({ "batchId": "ODD", "call_data": [] })),
    ];
    let mut answers = Vec::new();
    for (path, body) in posts {
        for odd in ["a\\u0000b", "a\\ud83d"] {
            let body = body.to_string().replace("ODD", odd).into_bytes();
            let answer = server.try_send("POST", path, &[], body).unwrap();
            answers.push((format!("{path} {odd}"), answer.status));
        }
    }
    for (path, id, query) in [
        ("/api/call/batches", user, "search=%00"),
        ("/api/call/batches", user, "search=%ED%A0%BD"),
        ("/api/call/batch-details", &batch, "search=a%00"),
        ("/api/call/batch-details", &batch, "status=a%00"),
    ] {
        let status = server.get(&format!("{path}/{id}?{query}")).status;
        answers.push((format!("GET {path} {query}"), status));
    }
    answers
}
