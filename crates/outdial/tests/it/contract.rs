//! The documented requests, sent with `curl` as they are printed (ids replaced), get the documented
//! answers, field for field. The snapshots show whole answers; ids and times are replaced.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE, Server, lines_in, stdout_of, wait_for};

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

/// The same with ids, times and durations replaced by words.
fn redacted(value: &Value) -> Value {
    let is_hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    match value {
        Value::String(s) if s.len() == 24 && is_hex(s) => json!("[id]"),
        Value::String(s) if s.len() == 36 && is_hex(&s.replace('-', "")) => json!("[uuid]"),
        Value::String(s) if s.len() == 24 && s.ends_with('Z') && &s[10..11] == "T" => {
            json!("[time]")
        }
        Value::Array(values) => values.iter().map(redacted).collect(),
        Value::Object(fields) => {
            let field = |(k, v): (&String, &Value)| match k.ends_with("Ms") && v.is_number() {
                true => (k.clone(), json!("[ms]")),
                false => (k.clone(), redacted(v)),
            };
            fields.iter().map(field).collect()
        }
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

/// A batch with one call that is over; its phone log's `requestUUID`.
fn called(server: &Server<'_>, batch: &str) -> String {
    let call = json!({ "batchId": batch, "call_data": [
        { "phoneNumber": "12125551234", "name": "Emily Davis" } ] });
    server.post("/api/call/addCallsToBatch", &call).expect(200);
    server.wait_completed(batch, PATIENCE);
    let calls = server.all_calls(batch);
    calls[0]["phoneLogs"][0]["requestUUID"].as_str().unwrap().to_owned()
}

#[test]
fn do_not_call_as_printed() {
    let home = home();
    let (server, number) = start(&home);
    let key = Some(home.key.as_str());
    let batch = server.make_batch(&number, &json!({}));
    let log = called(&server, &batch);
    let entry = format!(
        r#"{{"phoneNumber": "12125551234", "batchId": "{batch}", "requestUUID": "{log}",
             "type": "customer_request"}}"#
    );
    for name in ["dnc_add_200", "dnc_add_400_listed"] {
        let (shown, _) = post(&server, key, "/api/dnc/add", &entry);
        insta::assert_json_snapshot!(name, shown);
    }
    let (shown, _) = post(&server, None, "/api/dnc/add", &entry);
    insta::assert_json_snapshot!("dnc_add_401", shown);
    let (shown, _) = post(&server, key, "/api/dnc/add", r#"{"phoneNumber": "12125551234"}"#);
    insta::assert_json_snapshot!("dnc_add_400_missing", shown);
    let other = entry.replace(&log, "3f2b8c1e-9a4d-4e6f-8b7a-1c2d3e4f5a6b");
    let (shown, _) = post(&server, key, "/api/dnc/add", &other);
    insta::assert_json_snapshot!("dnc_add_404_log", shown);
    let nowhere = entry.replace(&batch, "64e5f12345abcdef98765432");
    let (shown, _) = post(&server, key, "/api/dnc/add", &nowhere);
    insta::assert_json_snapshot!("dnc_add_404_batch", shown);

    let (shown, list) = curl(&server, key, &["/api/dnc/list?page=1&limit=10&search=CUSTOMER"]);
    insta::assert_json_snapshot!("dnc_list_200", shown);
    // Who is listed is not called, by this batch or any other.
    let second = server.make_batch(&number, &json!({ "batchName": "Another" }));
    for batch in [&batch, &second] {
        let again = json!({ "batchId": batch, "call_data": [
            { "phoneNumber": "12125551234", "name": "Emily Davis" } ] });
        server.post("/api/call/addCallsToBatch", &again).expect(200);
        wait_for("the listed number is skipped", PATIENCE, || {
            (server.count(batch, &["skipped"]) == 1).then_some(())
        });
    }
    assert_eq!(lines_in(&home.carrier_log()).len(), 1, "called again");

    let id = list["data"]["dncList"][0]["_id"].as_str().unwrap();
    let delete = format!("/api/dnc/delete/{id}");
    for name in ["dnc_delete_200", "dnc_delete_404"] {
        let (shown, _) = curl(&server, key, &["-X", "DELETE", &delete]);
        insta::assert_json_snapshot!(name, shown);
    }
    let (shown, _) = post(&server, key, "/api/dnc/enable-disable", r#"{"enable": true}"#);
    insta::assert_json_snapshot!("dnc_switch_200", shown);
    let (shown, _) = post(&server, key, "/api/dnc/enable-disable", r#"{"enable": "yes"}"#);
    insta::assert_json_snapshot!("dnc_switch_400", shown);
}

#[test]
fn one_batch_edited_while_it_runs() {
    let home = home();
    let (server, number) = start(&home);
    let key = Some(home.key.as_str());
    // Never open while the test runs: what waits can be seen waiting.
    let batch = server.make_batch(&number, &json!({ "callingHour": hours_of_tomorrow() }));
    let calls = json!({ "batchId": batch, "call_data": [
        { "phoneNumber": "12125551001", "name": "Ann" },
        { "phoneNumber": "12125551002", "name": "Bob" } ] });
    let added = server.post("/api/call/addCallsToBatch", &calls).expect(200);
    let path = format!("/api/call/batch/{batch}");
    let (mut shown, _) = curl(&server, key, &[&path]);
    shown["body"]["data"]["callingHour"].take();
    insta::assert_json_snapshot!("batch_200", shown);
    let call = added["data"]["callIds"][0].as_str().unwrap();
    let details = server.get(&format!("/api/call/call-details/{call}")).expect(200);
    assert_eq!(details["data"]["whyNotYet"][0]["reason"], "outside_calling_hours", "{details}");
    let cancel = format!(r#"{{"callId": "{call}"}}"#);
    let (shown, _) = post(&server, key, "/api/call/cancel-call", &cancel);
    insta::assert_json_snapshot!("cancel_call_200", shown);

    let patch = ["-X", "PATCH", "-H", "Content-Type: application/json", "-d"];
    let edit = |body: &str| curl(&server, key, &[&patch[..], &[body, &path]].concat());
    let (shown, _) = edit(r#"{"timezone": "Europe/Rome", "weight": 0}"#);
    insta::assert_json_snapshot!("batch_patch_400", shown);
    let (shown, _) = edit(r#"{"batchName": "June", "callingHour": null, "maxCallSeconds": 60}"#);
    assert_eq!(shown["http"], 200, "{shown}");
    // The change alone lets the other call go, and the batch end.
    server.wait_completed(&batch, PATIENCE);
    let (shown, _) = curl(&server, key, &[&path]);
    insta::assert_json_snapshot!("batch_200_completed", shown);
    assert_eq!(server.count(&batch, &["completed"]), 1);
    assert_eq!(server.count(&batch, &["canceled"]), 1);
}

/// An hour that begins half a day from now, in New York, where the called are.
fn hours_of_tomorrow() -> Value {
    let hour = stdout_of(Command::new("date").args(["-u", "+%H"]));
    let hour: u32 = hour.trim().parse().unwrap();
    // New York is four or five hours behind.
    let start = (hour + 24 - 5 + 12) % 24;
    json!({ "start": format!("{start:02}:00"), "end": format!("{start:02}:59") })
}
