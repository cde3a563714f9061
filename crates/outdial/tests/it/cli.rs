//! The command line.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{
    Home, PATIENCE, Server, lines_in, lines_of, outdial, records, run, stderr_of, stdout_of,
};
use crate::harness::{try_send, wait_for};

fn json_of(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_workspace_is_one_line_of_json_and_its_key_is_good() {
    let home = Home::new(&[]);
    let server = home.serve();
    // While it is being served, too.
    let line = stdout_of(home.outdial().args(["workspace", "create", "Second", "--json"]));
    let made = json_of(&line);
    let keys: Vec<&String> = made.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["apiKey", "userId", "workspaceId"]);
    let key = made["apiKey"].as_str().unwrap();
    let me = try_send(&server.url, key, "GET", "/api/me", &[], Vec::new()).unwrap().expect(200);
    assert_eq!(me["data"]["workspaceId"], made["workspaceId"]);
    assert_eq!(me["data"]["userId"], made["userId"]);
    assert_ne!(me["data"]["workspaceId"], json!(home.workspace));
    // Two workspaces: which one is meant has to be said.
    let error = stderr_of(home.outdial().args(["key", "list"]));
    assert!(error.contains("--workspace") && error.contains("Second"), "{error}");
}

#[test]
fn keys_are_made_listed_and_revoked_while_served() {
    let home = Home::new(&[]);
    let server = home.serve();
    let create = ["key", "create", "--name", "reader", "--scopes", "calls:read", "--json"];
    let made = json_of(&stdout_of(home.outdial().args(create)));
    let (id, key) = (made["_id"].as_str().unwrap(), made["apiKey"].as_str().unwrap());
    let me = |key: &str| try_send(&server.url, key, "GET", "/api/me", &[], Vec::new()).unwrap();
    assert_eq!(me(key).expect(200)["data"]["scopes"], json!(["calls:read"]));

    let listed = stdout_of(home.outdial().args(["key", "list", "--json"]));
    let listed: Vec<Value> = listed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1]["_id"], made["_id"]);
    assert!(!listed.iter().any(|k| k.to_string().contains(key)), "a list shows no secret");

    stdout_of(home.outdial().args(["key", "revoke", id]));
    me(key).expect(401);
    me(&home.key).expect(200);
    let error = stderr_of(home.outdial().args(["key", "revoke", id]));
    assert!(error.contains(id), "{error}");
    assert!(stdout_of(home.outdial().args(["key", "list"])).contains("revoked"));
}

#[test]
fn keys_are_rotated_while_served() {
    let home = Home::new(&[]);
    let server = home.serve();
    let me = |key: &Value| {
        let key = key["apiKey"].as_str().unwrap();
        try_send(&server.url, key, "GET", "/api/me", &[], Vec::new()).unwrap()
    };
    let create =
        ["key", "create", "--name", "CI", "--expires-at", "2999-01-01T00:00:00Z", "--json"];
    let old = json_of(&stdout_of(home.outdial().args(create)));
    assert_eq!(old["expiresAt"], "2999-01-01T00:00:00.000Z");
    let id = old["_id"].as_str().unwrap();
    let new = json_of(&stdout_of(home.outdial().args(["key", "rotate", id, "--json"])));
    assert_eq!((&new["replaces"], &new["name"]), (&old["_id"], &old["name"]));
    assert!(new["expiresAt"].as_str().unwrap() > "2998");
    me(&old).expect(200);
    me(&new).expect(200);
    let error = stderr_of(home.outdial().args(["key", "rotate", id]));
    assert!(error.contains(new["_id"].as_str().unwrap()), "{error}");
    let next = new["_id"].as_str().unwrap();
    let at_once = ["key", "rotate", next, "--old-key-hours", "0", "--json"];
    let newest = json_of(&stdout_of(home.outdial().args(at_once)));
    me(&old).expect(401);
    me(&new).expect(401);
    me(&newest).expect(200);
    let past = ["key", "create", "--expires-at", "2001-01-01T00:00:00Z"];
    assert!(stderr_of(home.outdial().args(past)).contains("past"));
}

#[test]
fn a_batch_is_made_filled_and_watched() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let server = home.serve();
    let number = server.make_number();
    let created = batch(&home, &server, &["create", "--name", "From a file", "--numbers", &number]);
    let id = created.trim();
    let list = home.write(
        "list.csv",
        "phoneNumber,name,note\n12125550100,\"Ann \"\"A\"\" Lee\",é\n12125550181,Bo,\n",
    );
    let list = list.to_str().unwrap();
    let added = batch(&home, &server, &["add", id, list, "--idempotency-key", "one", "--json"]);
    let added = json_of(&added);
    assert_eq!(added["added"], 2);
    let again = batch(&home, &server, &["add", id, list, "--idempotency-key", "one", "--json"]);
    assert_eq!(json_of(&again), added, "the same key, the same answer");
    let done = json_of(&batch(&home, &server, &["watch", id, "--json"]));
    let wanted = json!({
        "batchId": id, "status": "completed", "total": 2,
        "dispositions": { "completed": 1, "busy": 1 },
    });
    assert_eq!(done, wanted);
    let calls = server.all_calls(id);
    let ann = calls.iter().find(|c| c["phoneNumber"] == "12125550100").unwrap();
    assert_eq!((&ann["name"], &ann["note"]), (&json!("Ann \"A\" Lee"), &json!("é")));
}

#[test]
fn bad_records_are_shown_with_their_rows() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let server = home.serve();
    let number = server.make_number();
    let id = server.make_batch(&number, &json!({}));
    let list = home.write("list.csv", "phoneNumber,name\n12125550100,Ann\n12,Bo\n12125550101,\n");
    let add = ["batch", "add", &id, list.to_str().unwrap(), "--url", &server.url];
    let error = stderr_of(home.outdial().env("OUTDIAL_API_KEY", &home.key).args(add));
    assert!(error.contains("row 3") && error.contains("invalid_phone_number"), "{error}");
    assert!(error.contains("row 4") && error.contains("missing_variable"), "{error}");
    assert_eq!(server.details(&id, &[])["total"], 0);

    let text = batch(&home, &server, &["add", &id, list.to_str().unwrap(), "--skip-invalid"]);
    assert!(text.contains("1 of 3"), "{text}");
    server.wait_completed(&id, PATIENCE);
}

#[test]
fn workbooks_and_lines_go_in_and_calls_come_out() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let server = home.serve();
    let number = server.make_number();
    let id = server.make_batch(&number, &json!({}));
    let book =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../outdial-ingest/tests/fixtures/contacts.xlsx");
    let text = batch(&home, &server, &["add", &id, book]);
    assert!(text.contains("3 of 3"), "{text}");
    let lines = "{\"phoneNumber\":\"12125550100\",\"name\":\"=Ann\"}\n\n\
        {\"phoneNumber\":12125550101,\"name\":\"Bo\"}\n";
    let list = home.write("more.ndjson", lines);
    let text = batch(&home, &server, &["add", &id, list.to_str().unwrap()]);
    assert!(text.contains("2 of 2"), "{text}");
    server.wait_completed(&id, PATIENCE);

    let out = list.with_file_name("calls.csv");
    let said = batch(&home, &server, &["export", &id, "--output", out.to_str().unwrap()]);
    assert!(said.contains("5 calls"), "{said}");
    let mut reader = csv::Reader::from_path(&out).unwrap();
    let at = reader.headers().unwrap().iter().position(|h| h == "phoneNumber").unwrap();
    let phones: Vec<String> = reader.records().map(|row| row.unwrap()[at].to_owned()).collect();
    let digits = ["12125551001", "13105552002", "13105552003", "12125550100", "12125550101"];
    assert_eq!(phones, digits);
    // Standard output is the file and nothing else.
    let printed = batch(&home, &server, &["export", &id]);
    assert_eq!(printed.trim_end(), std::fs::read_to_string(&out).unwrap().trim_end());
}

#[test]
fn a_client_without_key_or_server_says_what_to_do() {
    let error = stderr_of(outdial().args(["batch", "watch", "0"]));
    assert!(error.contains("OUTDIAL_API_KEY"), "{error}");
    let nobody = ["batch", "watch", "64e5f12345abcdef98765432", "--url", "http://127.0.0.1:1"];
    let error = stderr_of(outdial().env("OUTDIAL_API_KEY", "od_x").args(nobody));
    assert!(error.contains("is the server running"), "{error}");
}

#[test]
fn a_new_database_gets_a_workspace_whose_key_is_printed_once() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::at(directory);
    let (server, said) = home.serve_and_listen();
    let key = said.iter().find_map(|line| line.trim().strip_prefix("API key")).unwrap().trim();
    try_send(&server.url, key, "GET", "/api/me", &[], Vec::new()).unwrap().expect(200);
    server.kill9();
    let (_server, said) = home.serve_and_listen();
    assert!(!said.iter().any(|line| line.contains("API key")), "{said:?}");
}

#[test]
fn a_tool_makes_no_database() {
    let home = Home::at(tempfile::tempdir().unwrap());
    let list = || stderr_of(home.outdial().args(["key", "list"]));
    let error = list();
    assert!(error.contains("there is no database at") && error.contains("outdial.db"), "{error}");
    assert!(error.contains("outdial workspace create"), "{error}");
    assert!(!home.path("outdial.db").exists());
    home.write("outdial.db", "");
    assert!(list().contains("there is no database at"));
    stdout_of(home.outdial().args(["workspace", "create", "First"]));
    assert_eq!(stdout_of(home.outdial().args(["key", "list"])).lines().count(), 1);
}

#[test]
fn watching_a_paused_batch_says_why_it_is_paused() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    let server = home.serve();
    let number = server.make_number();
    // One call goes out, the other has hours to wait.
    let slow = br#"{"callsPerSecond":0.0001}"#.to_vec();
    server.try_send("PATCH", &format!("/api/phones/{number}"), &[], slow).unwrap().expect(200);
    let id = server.make_batch(&number, &json!({}));
    let body = json!({ "batchId": id, "call_data": records(12_125_550_000, 2) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    let gone = format!("/api/call/delete-phone/{number}");
    server.try_send("DELETE", &gone, &[], Vec::new()).unwrap().expect(200);
    let mut watch = home
        .outdial()
        .env("OUTDIAL_API_KEY", &home.key)
        .args(["batch", "watch", &id, "--url", &server.url])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines_of(watch.stderr.take().unwrap());
    wait_for("the reason of the pause", PATIENCE, || {
        lines.try_iter().any(|line| line.contains("/2 paused (no_numbers)")).then_some(())
    });
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn a_file_is_served_once() {
    let home = Home::new(&[]);
    let server = home.serve();
    for second in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
        let error = stderr_of(home.outdial().args(second));
        assert!(error.contains("served") || error.contains("in use"), "{error}");
    }
    server.get("/api/me").expect(200);
    server.kill9();
    stdout_of(home.outdial().args(["migrate"]));
}

#[test]
fn one_process_takes_lists_and_another_dials() {
    let mut home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    home.set("OUTDIAL_SERVER_ROLE", "api");
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    let body = json!({ "batchId": batch, "call_data": records(12_125_550_000, 3) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    assert_eq!(server.details(&batch, &[])["batchStatus"], "active");
    server.terminate();
    assert!(server.wait().success());
    assert!(lines_in(&home.carrier_log()).is_empty(), "the API placed a call");

    home.set("OUTDIAL_SERVER_ROLE", "dialer");
    let server = home.serve();
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.get("/api/me").status, 404);
    wait_for("three calls", PATIENCE, || (lines_in(&home.carrier_log()).len() == 3).then_some(()));
}

#[test]
fn logs_are_json_lines_without_numbers_and_keys() {
    let mut home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")]);
    home.set("OUTDIAL_LOG_FORMAT", "json");
    home.set("OUTDIAL_LOG_FILTER", "debug");
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    // One that talks, one that fails, one that is refused.
    let numbers = ["12125550100", "12125550196", "121"];
    let call_data: Vec<Value> =
        numbers.iter().map(|n| json!({ "phoneNumber": n, "name": "Ann Lee" })).collect();
    let body = json!({ "batchId": batch, "call_data": call_data, "onInvalid": "skip" });
    assert_eq!(server.post("/api/call/addCallsToBatch", &body).body["data"]["added"], 2);
    server.wait_completed(&batch, PATIENCE);
    server.terminate();
    assert!(server.wait().success());

    let lines = lines_in(&home.path("server.log"));
    assert!(!lines.is_empty());
    for line in lines {
        let fields: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(fields["timestamp"].is_string() && fields["level"].is_string(), "{line}");
        for secret in ["12125550100", "12125550196", "12025550143", "Ann Lee", &home.key] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[test]
fn settings_that_nobody_knows_are_refused() {
    let home = Home::new(&[]);
    let file = home.write("outdial.toml", "[server]\nlisten = \"127.0.0.1:0\"\nport = 8080\n");
    let error = stderr_of(home.outdial().args(["serve", "--config", file.to_str().unwrap()]));
    assert!(error.contains("port") && error.contains("outdial.toml"), "{error}");
    let error = stderr_of(home.outdial().arg("serve").env("OUTDIAL_SERVER_PORT", "8080"));
    assert!(error.contains("OUTDIAL_SERVER_PORT"), "{error}");
    let url = "mysql://me:secret@localhost/x";
    let error = stderr_of(outdial().arg("serve").env("OUTDIAL_DATABASE_URL", url));
    assert!(error.contains("OUTDIAL_DATABASE_URL") && error.lines().count() == 1, "{error}");
    assert!(error.contains("`postgres://`") && !error.contains("secret"), "{error}");
}

#[test]
fn a_database_that_is_not_there_is_told_without_its_password() {
    // Nobody listens on the port once it is given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://me:secret@127.0.0.1:{port}/outdial");
    for told in [
        stderr_of(outdial().args(["serve", "--database-url", &url])),
        stderr_of(outdial().arg("serve").env("OUTDIAL_DATABASE_URL", &url)),
    ] {
        assert!(told.contains("not available") && told.contains("127.0.0.1"), "{told}");
        assert!(!told.contains("secret") && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn the_documents_are_printed() {
    let openapi = stdout_of(outdial().arg("openapi"));
    let openapi: Value = serde_json::from_str(&openapi).unwrap();
    assert!(openapi["paths"]["/api/call/addCallsToBatch"]["post"].is_object());
    let config = stdout_of(outdial().arg("config"));
    let home = Home::new(&[]);
    let file = home.write("outdial.toml", &config);
    let file = file.to_str().unwrap();
    assert!(run(home.outdial().args(["key", "list", "--config", file])).status.success());
}

/// `outdial batch …` against a server; its standard output.
fn batch(home: &Home, server: &Server<'_>, args: &[&str]) -> String {
    let mut command = home.outdial();
    command.env("OUTDIAL_API_KEY", &home.key).arg("batch").args(args);
    stdout_of(command.args(["--url", &server.url]))
}
