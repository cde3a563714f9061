//! The documented requests, sent with `curl` as they are printed (ids replaced), get the documented
//! answers, field for field. The snapshots show whole answers; ids and times are replaced.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE, Server, stdout_of};

/// Sends a request with curl; status and body, with ids and times replaced.
fn curl(server: &Server<'_>, key: Option<&str>, args: &[&str]) -> (Value, Value) {
    let mut command = Command::new("curl");
    command.args(["-sS", "-w", "\n%{http_code}"]);
    if let Some(key) = key {
        command.args(["-H", &format!("x-api-key: {key}")]);
    }
    let (path, rest) = args.split_last().unwrap();
    command.args(rest).arg(format!("{}{path}", server.url));
    let output = stdout_of(&mut command);
    let (body, status) = output.rsplit_once('\n').unwrap();
    let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {output}"));
    let shown = json!({ "http": status.parse::<u16>().unwrap(), "body": redacted(&body) });
    (shown, body)
}

/// The same with ids and times replaced by words.
fn redacted(value: &Value) -> Value {
    let is_hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    match value {
        Value::String(s) if s.len() == 24 && is_hex(s) => json!("[id]"),
        Value::String(s) if s.len() == 36 && is_hex(&s.replace('-', "")) => json!("[uuid]"),
        Value::String(s) if s.len() == 24 && s.ends_with('Z') && &s[10..11] == "T" => {
            json!("[time]")
        }
        Value::Array(values) => values.iter().map(redacted).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), redacted(v))).collect(),
        other => other.clone(),
    }
}

const POST: [&str; 4] = ["-X", "POST", "-H", "Content-Type: application/json"];

/// POST with a body.
fn post(server: &Server<'_>, key: Option<&str>, path: &str, body: &str) -> (Value, Value) {
    curl(server, key, &[&POST[..], &["-d", body, path]].concat())
}

/// A server with the documents' calling number; `number` is its id.
fn start(home: &Home) -> (Server<'_>, String) {
    let server = home.serve();
    let number = server.make_number();
    (server, number)
}

fn home() -> Home {
    Home::new(&[("OUTDIAL_SIMULATED_SPEED", "100")])
}

#[test]
fn create_batch_and_add_calls_as_printed() {
    let home = home();
    let (server, number) = start(&home);
    let key = Some(home.key.as_str());
    let (shown, created) = post(
        &server,
        key,
        "/api/call/createBatch",
        &format!(
            r#"{{ "batchName": "API Campaign May 2025", "callingNumbers": ["{number}"], "retry": 3,
                  "delay": 60, "timezone": "America/New_York",
                  "callingHour": {{"start": "09:00", "end": "17:00"}},
                  "allowedDays": [1,2,3,4,5] }}"#
        ),
    );
    insta::assert_json_snapshot!("create_batch_201", shown);

    let batch = created["data"].as_str().unwrap();
    let printed = format!(
        r#"{{ "batchId": "{batch}",
              "call_data": [
    {{ "phoneNumber": "12125551001", "name": "Sarah Johnson", "account_id": "ACC-1001",
       "custom_field_1": "value1", "priority": "high" }},
    {{ "phoneNumber": "13105552002", "name": "Michael Chen", "account_id": "ACC-1002",
       "category": "support" }} ] }}"#
    );
    let (shown, added) = post(&server, key, "/api/call/addCallsToBatch", &printed);
    insta::assert_json_snapshot!("add_calls_200", shown);
    let ids = added["data"]["callIds"].as_array().unwrap();
    assert_ne!(ids[0], ids[1]);

    let (shown, _) = post(&server, None, "/api/call/addCallsToBatch", &printed);
    insta::assert_json_snapshot!("add_calls_403_no_key", shown);
    let (shown, _) = post(&server, key, "/api/call/addCallsToBatch", r#"{"call_data": [{}]}"#);
    insta::assert_json_snapshot!("add_calls_400_no_batch", shown);
    let empty = format!(r#"{{"batchId": "{batch}", "call_data": []}}"#);
    let (shown, _) = post(&server, key, "/api/call/addCallsToBatch", &empty);
    insta::assert_json_snapshot!("add_calls_400_empty", shown);
    let bad = format!(
        r#"{{"batchId": "{batch}", "call_data": [
             {{"phoneNumber": "12125551001"}}, {{"name": "No Number"}}]}}"#
    );
    let (shown, _) = post(&server, key, "/api/call/addCallsToBatch", &bad);
    insta::assert_json_snapshot!("add_calls_400_records", shown);
    let nobody = printed.replace(batch, "64e5f12345abcdef98765432");
    let (shown, _) = post(&server, key, "/api/call/addCallsToBatch", &nobody);
    insta::assert_json_snapshot!("add_calls_404", shown);
    let (shown, _) = post(&server, key, "/api/call/createBatch", r#"{"batchName": "x"}"#);
    insta::assert_json_snapshot!("create_batch_400", shown);
    let (shown, _) = post(&server, None, "/api/call/createBatch", "{}");
    insta::assert_json_snapshot!("create_batch_403", shown);
}

#[test]
fn lists_and_details_as_printed() {
    let home = home();
    let (server, number) = start(&home);
    let key = Some(home.key.as_str());
    let list = format!("/api/call/batches/{}?page=1&limit=10", home.user);
    let (shown, _) = curl(&server, key, &[&list]);
    insta::assert_json_snapshot!("batches_404_none", shown);

    let batch = server.make_batch(&number, &json!({ "batchName": "Marketing Campaign May 2025" }));
    let call = format!(
        r#"{{ "batchId": "{batch}", "call_data": [ {{ "phoneNumber": "12125551234",
              "name": "Emily Davis", "account_id": "ACC-5678", "priority": "high" }} ] }}"#
    );
    post(&server, key, "/api/call/addCallsToBatch", &call);
    server.wait_completed(&batch, PATIENCE);

    let (shown, _) = curl(&server, key, &[&list]);
    insta::assert_json_snapshot!("batches_200", shown);
    let details = format!("/api/call/batch-details/{batch}");
    let filter = [
        "-G",
        "--data-urlencode",
        r#"filter={"callStatus":"completed"}"#,
        "--data-urlencode",
        "sortBy=createdAt",
        "--data-urlencode",
        "sortOrder=desc",
        "--data-urlencode",
        "search=emily",
        &details,
    ];
    let (mut shown, body) = curl(&server, key, &filter);
    let duration = &mut shown["body"]["data"]["data"][0]["phoneLogs"][0]["callDuration"];
    assert!(duration.take().as_u64().unwrap() >= 1, "{body}");
    insta::assert_json_snapshot!("batch_details_200", shown);

    for (name, path) in [
        ("batch_details_400_limit", format!("{details}?limit=0")),
        ("batch_details_400_filter", format!("{details}?filter=x")),
        ("batch_details_400_id", "/api/call/batch-details/xyz".to_owned()),
        ("batch_details_404", "/api/call/batch-details/64e5f12345abcdef98765432".to_owned()),
    ] {
        let (shown, _) = curl(&server, key, &[&path]);
        insta::assert_json_snapshot!(name, shown);
    }
    let (shown, _) = curl(&server, None, &[&details]);
    insta::assert_json_snapshot!("batch_details_401", shown);
}

#[test]
fn start_stop_and_delete_as_printed() {
    let home = home();
    let (server, number) = start(&home);
    let key = Some(home.key.as_str());
    let batch = server.make_batch(&number, &json!({}));
    let body = format!(r#"{{"batchId": "{batch}", "userId": "{}"}}"#, home.user);
    for (name, path) in [
        ("start_calling_200", "/api/call/start-calling"),
        ("stop_calling_200", "/api/call/stop-calling"),
    ] {
        let (shown, _) = post(&server, key, path, &body);
        insta::assert_json_snapshot!(name, shown);
    }
    let (shown, _) = post(&server, None, "/api/call/stop-calling", &body);
    insta::assert_json_snapshot!("stop_calling_401", shown);
    let (shown, _) = post(&server, key, "/api/call/stop-calling", "{}");
    insta::assert_json_snapshot!("stop_calling_400", shown);

    let delete = format!("/api/call/delete-batch/{batch}");
    for name in ["delete_batch_200", "delete_batch_404_already"] {
        let (shown, _) = curl(&server, key, &["-X", "DELETE", &delete]);
        insta::assert_json_snapshot!(name, shown);
    }
}

#[test]
fn numbers_as_printed() {
    let home = home();
    let server = home.serve();
    let key = Some(home.key.as_str());
    let body = format!(
        r#"{{"userId": "{}", "phoneNumber": "+12125551234", "integration": "simulated"}}"#,
        home.user
    );
    let (shown, added) = post(&server, key, "/api/call/add-phone", &body);
    insta::assert_json_snapshot!("add_phone_201", shown);
    let id = added["data"]["_id"].as_str().unwrap();
    // A number without an agent may be in a batch, but nobody can be called with it.
    let batch = server.make_batch(id, &json!({}));
    let call =
        format!(r#"{{"batchId": "{batch}", "call_data": [{{"phoneNumber": "12125551001"}}]}}"#);
    let (shown, _) = post(&server, key, "/api/call/addCallsToBatch", &call);
    insta::assert_json_snapshot!("add_calls_404_no_agent", shown);

    let delete = format!("/api/call/delete-phone/{id}");
    for name in ["delete_phone_200", "delete_phone_404"] {
        let (shown, _) = curl(&server, key, &["-X", "DELETE", &delete]);
        insta::assert_json_snapshot!(name, shown);
    }
}
