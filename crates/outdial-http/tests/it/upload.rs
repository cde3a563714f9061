//! `POST /api/call/upload`, `GET /api/call/export/csv`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use outdial_http::HttpConfig;
use outdial_ports::store::{BatchListQuery, Scope, StoreError};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::faulty::{Faults, Faulty};
use crate::support::{Answer, Req, World};

const PATH: &str = "/api/call/upload";
const CSV: &str = "phoneNumber,name\r\n12125551001,Sarah\r\n13105552002,Michael\r\n";

/// A form: parts in this order.
struct Form {
    parts: Vec<(String, Option<String>, Vec<u8>)>,
}

impl Form {
    fn new(world: &World, phone: &str, csv: impl Into<Vec<u8>>) -> Self {
        Self { parts: Vec::new() }
            .file("contacts.csv", csv)
            .set("userId", &world.own.user.to_string())
            .set("batchName", "Marketing Campaign May 2025")
            .set("callingNumbers", &format!("[\"{phone}\"]"))
    }
    fn set(mut self, name: &str, value: &str) -> Self {
        self.parts.retain(|(n, ..)| n != name);
        self.parts.push((name.to_owned(), None, value.into()));
        self
    }
    fn without(mut self, name: &str) -> Self {
        self.parts.retain(|(n, ..)| n != name);
        self
    }
    fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.parts.retain(|(n, ..)| n != "file");
        self.parts.push(("file".to_owned(), Some(name.to_owned()), bytes.into()));
        self
    }
    fn reversed(mut self) -> Self {
        self.parts.reverse();
        self
    }
    fn bytes(&self, boundary: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, filename, body) in &self.parts {
            let filename =
                filename.as_ref().map_or(String::new(), |f| format!("; filename=\"{f}\""));
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n"
            );
            bytes.extend(head.as_bytes());
            bytes.extend(body);
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("--{boundary}--\r\n").as_bytes());
        bytes
    }
    fn request<'a>(&self, world: &'a World, boundary: &str) -> Req<'a> {
        let kind = format!("multipart/form-data; boundary={boundary}");
        world.post(PATH, self.bytes(boundary)).header("content-type", &kind)
    }
    async fn send(&self, world: &World) -> Answer {
        self.request(world, "XyZ").send().await
    }
}

async fn number(world: &World, variables: &str) -> String {
    let agent = world.agent(variables).await;
    world.phone("12125551234", Some(&agent)).await
}

async fn batches(world: &World) -> u64 {
    let all = BatchListQuery { page: 1, limit: 100, search: None };
    world.store.batch_list(world.own.workspace, all).await.unwrap().total
}

#[tokio::test]
async fn a_file_makes_a_batch() {
    let world = World::new().await;
    let phone = number(&world, "[]").await;
    let csv = "\u{feff}phoneNumber;name;note\n12125551001;Sarah;\"a;b\"\n+1 310 555 2002;Michael;\n\
        12125551001;Other;late\n";
    let form = Form::new(&world, &phone, csv)
        .set("batchType", "outbound")
        .set("enableDNC", "true")
        .set("type", "false")
        .set("retry", "3")
        .set("delay", "60")
        .set("timezone", "America/New_York")
        .set("callingHour", r#"{"start":"09:00","end":"17:00"}"#)
        .set("allowedDays", "[1,2,3,4,5]");
    let answer = form.send(&world).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["success"], true);
    assert_eq!(body["batch"]["batchName"], "Marketing Campaign May 2025");
    assert_eq!(body["batch"]["callingNumbers"], serde_json::json!([phone]));
    assert_eq!((&body["batch"]["totalCalls"], &body["duplicateCount"]), (&2.into(), &1.into()));
    let batch = body["batch"]["_id"].as_str().unwrap();
    let records = world.records(batch).await;
    assert_eq!((&records[0]["name"], &records[0]["note"]), (&"Sarah".into(), &"a;b".into()));
    assert_eq!(records[1]["phoneNumber"], "13105552002");
    assert_eq!(records[1].get("note"), None, "an empty cell is no field");
    let shown = world.get(&format!("/api/call/batch/{batch}")).send().await.json();
    assert_eq!(shown["data"]["queue_status"], "pending", "{shown}");
    let text = shown["data"].to_string();
    for part in ["\"retry\":3", "\"delay\":60", "\"enableDNC\":true", "America/New_York"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // It is started as any other.
    let start = format!(r#"{{"batchId":"{batch}","userId":"{}"}}"#, world.own.user);
    assert_eq!(world.post("/api/call/start-calling", start).send().await.status, 200);
    // The plain answer is the documented one.
    let plain = Form::new(&world, &phone, CSV).reversed().send(&world).await.json();
    let mut keys: Vec<&String> = plain.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["batch", "success"]);
}

#[tokio::test]
async fn invalid_rows() {
    let world = World::new().await;
    let variables = r#"[{"key":"name","type":"string","required":true},
        {"key":"age","type":"number"}]"#;
    let phone = number(&world, variables).await;
    let csv = "phoneNumber,name,age\n12125551001,Sarah,12.5\nnobody,Michael,\n,,x\n";
    let form = Form::new(&world, &phone, csv);
    let answer = form.send(&world).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!((&body["success"], &body["invalidCount"]), (&false.into(), &2.into()));
    let rows: Vec<(u64, &str, &str)> = body["invalidRows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            assert!(!r["message"].as_str().unwrap().is_empty());
            let text = |name: &str| r[name].as_str().unwrap();
            (r["row"].as_u64().unwrap(), text("field"), text("code"))
        })
        .collect();
    let mut expected = vec![
        (3, "phoneNumber", "invalid_phone_number"),
        (4, "phoneNumber", "missing_phone_number"),
        (4, "name", "missing_variable"),
        (4, "age", "invalid_type"),
    ];
    let mut sorted = rows.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    assert!(rows.is_sorted_by_key(|r| r.0));
    assert_eq!(batches(&world).await, 0);

    let answer = form.set("type", "true").send(&world).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!((&body["batch"]["totalCalls"], &body["invalidCount"]), (&1.into(), &2.into()));
    assert_eq!(body["invalidRows"].as_array().unwrap().len(), 4);
    // A number of the agent is its text in a table.
    let batch = body["batch"]["_id"].as_str().unwrap();
    assert_eq!(world.records(batch).await.len(), 1);
    // No valid row is refused either way.
    let none = Form::new(&world, &phone, "phoneNumber,name\nx,y\n").set("type", "true");
    assert_eq!(none.send(&world).await.status, 422);
    // All of them are told, however many.
    let many: String = (0..25_000).map(|n| format!("x{n},y\n")).collect();
    let form = Form::new(&world, &phone, format!("phoneNumber,name\n{many}"));
    let body = form.send(&world).await.json();
    assert_eq!(body["invalidCount"], 25_000);
    let rows = body["invalidRows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[24_999]["row"]), (25_000, &25_001.into()));
}

#[tokio::test]
async fn every_refusal() {
    let world = World::new().await;
    let phone = number(&world, r#"[{"key":"name","type":"string","required":true}]"#).await;
    let stranger = world.stranger().await;
    let unbound = world.phone("12125551235", None).await;
    let form = || Form::new(&world, &phone, CSV);
    let with_file = |name: &str, text: &str| form().file(name, text.as_bytes().to_vec());
    let nobody = "64e5f12345abcdef12345678";
    let cases: Vec<(Form, u16, &str)> = vec![
        (form().without("file"), 400, "file"),
        (with_file("contacts.csv", ""), 400, "empty"),
        (with_file("contacts.csv", "phoneNumber,name\n"), 400, "no row"),
        (with_file("contacts.csv", "name\nx\n"), 400, "phoneNumber"),
        (with_file("contacts.csv", "phoneNumber\n12125551001\n"), 400, "name"),
        (with_file("contacts.txt", CSV), 400, ".csv"),
        (with_file("contacts", CSV), 400, ".csv"),
        (with_file("", CSV), 400, "file"),
        (with_file("contacts.xlsx", CSV), 400, "file"),
        (with_file("contacts.xls", CSV), 400, "file"),
        (form().without("userId"), 400, "userId"),
        (form().set("userId", "x"), 400, "userId"),
        (form().set("userId", nobody), 404, "user"),
        (form().set("userId", &stranger.user.to_string()), 404, "user"),
        (form().without("batchName"), 400, "batchName"),
        (form().set("batchName", " "), 400, "batchName"),
        (form().without("callingNumbers"), 400, "callingNumbers"),
        (form().set("callingNumbers", "[]"), 400, "callingNumbers"),
        (form().set("callingNumbers", "x"), 400, "callingNumbers"),
        (form().set("callingNumbers", "[\"x\"]"), 400, "callingNumbers"),
        (form().set("callingNumbers", &format!("[\"{nobody}\"]")), 404, "number"),
        (form().set("callingNumbers", &format!("[\"{unbound}\"]")), 404, "agent"),
        (form().set("batchType", "inbound"), 400, "batchType"),
        (form().set("type", "maybe"), 400, "type"),
        (form().set("retry", "many"), 400, "retry"),
        (form().set("retry", "99"), 400, "retry"),
        (form().set("delay", "-1"), 400, "delay"),
        (form().set("timezone", "Mars/Olympus"), 400, "timezone"),
        (form().set("callingHour", r#"{"start":"9"}"#), 400, "callingHour"),
        (form().set("allowedDays", "[8]"), 400, "allowedDays"),
        (form().set("enableDNC", "perhaps"), 400, "enableDNC"),
    ];
    for (form, status, word) in cases {
        let answer = form.send(&world).await;
        let text = answer.text().to_owned();
        assert_eq!(answer.status, status, "{word}: {text}");
        let body = answer.json();
        assert_eq!((&body["status"], &body["code"]), (&false.into(), &status.into()), "{text}");
        assert!(body["errorMessage"].as_str().unwrap().contains(word), "{word}: {text}");
    }
    assert_eq!(batches(&world).await, 0);
}

#[tokio::test]
async fn forms_that_are_none_and_callers_that_may_not() {
    let world = World::new().await;
    let phone = number(&world, "[]").await;
    let stranger = world.stranger().await;
    let form = || Form::new(&world, &phone, CSV);
    let twice = {
        let mut form = form();
        form.parts.push(("batchName".to_owned(), None, b"again".to_vec()));
        form
    };
    assert_eq!(twice.send(&world).await.status, 400);
    // Not a form at all, a form without its boundary, one that is cut off.
    assert_eq!(world.post(PATH, "{}").send().await.status, 415);
    let request = || form().request(&world, "XyZ");
    assert_eq!(world.post(PATH, form().bytes("a")).untyped().send().await.status, 415);
    let bytes = form().bytes("XyZ");
    let kind = "multipart/form-data; boundary=XyZ";
    for cut in [0, 1, 10, bytes.len() / 2, bytes.len() - 5] {
        let answer = world.post(PATH, &bytes[..cut]).header("content-type", kind).send().await;
        assert_eq!(answer.status, 400, "{cut}: {}", answer.text());
    }
    // Credentials.
    assert_eq!(request().anonymous().send().await.status, 401);
    let reader = world.limited(&[Scope::CallsRead]).await;
    assert_eq!(request().by(&reader).send().await.status, 403);
    // Another workspace's number.
    let foreign = form().set("userId", &stranger.user.to_string());
    let answer = foreign.request(&world, "XyZ").by(&stranger).send().await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(batches(&world).await, 0);
}

#[tokio::test]
async fn limits() {
    let config = HttpConfig {
        upload_max_bytes: 2000,
        upload_rows_max: 10,
        body_max_bytes: 1000,
        uploads_at_once: 1,
        ..HttpConfig::default()
    };
    let world = World::with(config, |store| store).await;
    let phone = number(&world, "[]").await;
    let rows = |n: u64| -> String { (0..n).map(|n| format!("{}\n", 12_125_551_000 + n)).collect() };
    let form = |n: u64| Form::new(&world, &phone, format!("phoneNumber\n{}", rows(n)));
    assert_eq!(form(10).send(&world).await.status, 200);
    assert_eq!(form(11).send(&world).await.status, 413, "rows");
    assert_eq!(form(300).send(&world).await.status, 413, "bytes of the body");
    let chunked = Form::new(&world, &phone, "x".repeat(2001)).send(&world).await;
    assert_eq!(chunked.status, 413, "bytes of the file");
    let small = form(1).set("note", &"x".repeat(1100)).send(&world).await;
    assert_eq!(small.status, 413, "{}", small.text());
    assert_eq!(form(9).send(&world).await.status, 200, "the room was given back each time");
}

#[tokio::test]
async fn the_same_form_with_the_same_key() {
    let world = World::new().await;
    let phone = number(&world, "[]").await;
    let form = Form::new(&world, &phone, CSV);
    let keyed = |form: &Form, boundary: &str| {
        form.request(&world, boundary).header("idempotency-key", "k1")
    };
    let first = keyed(&form, "XyZ").send().await;
    assert_eq!(first.status, 200);
    // Its parts are what counts: neither their order nor the boundary.
    let form = form.reversed();
    let again = keyed(&form, "other").send().await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(keyed(&form.set("retry", "1"), "XyZ").send().await.status, 422, "another body");
    assert_eq!(batches(&world).await, 1);
    // Without a key the same form, answered, is a new request.
    let form = Form::new(&world, &phone, CSV);
    assert_eq!(form.send(&world).await.status, 200);
    assert_eq!(form.send(&world).await.status, 200);
    assert_eq!(batches(&world).await, 3);
    // A refusal leaves no trace of its key.
    let bad = Form::new(&world, &phone, "phoneNumber\nx\n");
    let request = |form: &Form| form.request(&world, "b").header("idempotency-key", "k2");
    assert_eq!(request(&bad).send().await.status, 422);
    assert_eq!(request(&Form::new(&world, &phone, CSV)).send().await.status, 200);
}

#[tokio::test]
async fn a_chunk_that_fails_leaves_nothing() {
    let faults = Arc::new(Faults::default());
    let given = faults.clone();
    let world =
        World::with(HttpConfig::default(), |inner| Arc::new(Faulty { inner, faults: given })).await;
    let phone = number(&world, "[]").await;
    let rows: String = (0..5000).map(|n| format!("{}\n", 12_125_550_000_u64 + n)).collect();
    let form = Form::new(&world, &phone, format!("phoneNumber\n{rows}"));
    let request = || form.request(&world, "b").header("idempotency-key", "k");
    let gone = StoreError::Unavailable("gone".to_owned());
    faults.chunks.lock().unwrap().insert(3, gone);
    let refused = request().send().await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(batches(&world).await, 0);
    faults.chunks.lock().unwrap().clear();
    // The answer to a chunk that is lost is asked for again.
    faults.lose_answers.store(1, Ordering::Release);
    while world.store.import_prune(1000).await.unwrap() > 0 {}
    let done = request().send().await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["batch"]["totalCalls"], 5000);
    assert_eq!(batches(&world).await, 1);
}

/// The rows of an export, split at what needs no quotes here.
async fn export(world: &World, batch: &str) -> Vec<Vec<String>> {
    let path = format!("/api/call/export/csv?batchId={batch}");
    let answer = read_chunked(world, world.get(&path)).await;
    let text = String::from_utf8(answer).unwrap();
    text.split_terminator("\r\n").map(|row| row.split(',').map(str::to_owned).collect()).collect()
}

/// Sends and takes a chunked answer apart.
async fn read_chunked(world: &World, request: Req<'_>) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(&request.bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("text/csv"), "{head}");
    assert!(head.contains("attachment; filename="), "{head}");
    let (mut rest, mut body) = (&answer[end + 4..], Vec::new());
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").expect("a chunk");
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

#[tokio::test]
async fn an_export_is_what_came_in() {
    let world = World::new().await;
    let phone = number(&world, "[]").await;
    let mut rows = String::from("phoneNumber,name,attempts\n");
    for n in 0..1203_u64 {
        rows.push_str(&format!("{},N{n},{n}\n", 12_125_550_000 + n));
    }
    rows.push_str("13105552002,=1+1,\n");
    let made = Form::new(&world, &phone, rows).send(&world).await.json();
    let batch = made["batch"]["_id"].as_str().unwrap();
    let sheet = export(&world, batch).await;
    let head = [
        "_id",
        "phoneNumber",
        "callStatus",
        "reason",
        "attempts",
        "callDuration",
        "lastCallAt",
        "createdAt",
        "appliedTimezone",
        "name",
        "variables.attempts",
    ];
    assert_eq!(sheet[0], head);
    assert_eq!(sheet.len(), 1 + 1204);
    for (n, row) in sheet[1..1204].iter().enumerate() {
        let expected = [(12_125_550_000 + n as u64).to_string(), "pending".to_owned()];
        assert_eq!((&row[1..3], &row[9]), (&expected[..], &format!("N{n}")));
    }
    assert_eq!(sheet[1204][9], "'=1+1");
    // Nobody else's.
    let stranger = world.stranger().await;
    let path = format!("/api/call/export/csv?batchId={batch}");
    assert_eq!(world.get(&path).by(&stranger).send().await.status, 404);
    assert_eq!(world.get("/api/call/export/csv").send().await.status, 400);
    assert_eq!(world.get("/api/call/export/csv?batchId=x").send().await.status, 400);
    let gone: Value = world.delete(&format!("/api/call/delete-batch/{batch}")).send().await.json();
    assert_eq!(gone["success"], true);
    assert_eq!(world.get(&path).send().await.status, 404);
}
