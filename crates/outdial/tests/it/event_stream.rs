//! `GET /api/events`: a client that comes again misses nothing, also when the server was killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE, Server, monotonic, try_send, wait_for};
use crate::kill::contacts;
use crate::postgres::Postgres;

/// Where the numbers called begin.
const NUMBERS: u64 = 12_125_550_000;
const LONG: Duration = Duration::from_secs(120);
/// A stream ends with its key within a second; the rest is this machine's.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// What came.
#[derive(Debug)]
struct Event {
    id: Option<u64>,
    kind: String,
    data: Value,
}

/// An open stream.
struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Opens one; `last` is what `Last-Event-ID` says.
    fn open(server: &Server<'_>, key: &str, last: Option<&str>) -> Self {
        let host = server.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        // HTTP/1.0: the body comes as it is, not in chunks.
        let head = format!("GET /api/events HTTP/1.0\r\nx-api-key: {key}\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = Self(BufReader::new(stream));
        let status = stream.line().expect("an answer");
        assert!(status.contains(" 200 "), "{status}");
        let mut is_stream = false;
        while let Some(line) = stream.line().filter(|line| !line.is_empty()) {
            is_stream |= line.eq_ignore_ascii_case("content-type: text/event-stream");
        }
        assert!(is_stream);
        stream
    }

    /// None: the stream ended.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; none: the stream ended.
    fn next(&mut self) -> Option<Event> {
        let (mut id, mut kind, mut data) = (None, None, None);
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("id", text)) => id = Some(text.parse().unwrap()),
                Some(("event", text)) => kind = Some(text.to_owned()),
                Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                _ if line.is_empty() && data.is_some() => break,
                // A block with an id alone moves the client's place, and is no event.
                _ if line.is_empty() => id = None,
                _ => assert!(line.starts_with(':'), "{line}"),
            }
        }
        Some(Event { id, kind: kind.unwrap(), data: data.unwrap() })
    }
}

fn add(server: &Server<'_>, batch: &str, first: u64, count: u64) {
    let body = json!({ "batchId": batch, "call_data": contacts(NUMBERS + first, count) });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
}

#[test]
fn a_client_that_comes_again_misses_nothing() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "50")]);
    let server = home.serve();
    let mut stream = Stream::open(&server, &home.key, None);
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({ "concurrency": 20 }));
    add(&server, &batch, 1, 60);
    let mut events: Vec<Event> = Vec::new();
    let mut progress = Vec::new();
    let mut sort = |event: Event, events: &mut Vec<Event>| match event.id {
        Some(_) => events.push(event),
        None => progress.push(event),
    };
    while events.len() < 30 {
        sort(stream.next().expect("it does not end"), &mut events);
    }
    server.kill9();
    while let Some(event) = stream.next() {
        sort(event, &mut events);
    }
    let server = home.serve();
    add(&server, &batch, 1_000, 20);
    let last = events.last().unwrap().id.unwrap().to_string();
    let mut stream = Stream::open(&server, &home.key, Some(&last));
    let is_done = |events: &[Event]| {
        let finished = events.iter().filter(|e| e.kind == "call.finished").count();
        finished == 80 && events.last().is_some_and(|e| e.kind == "batch.completed")
    };
    while !is_done(&events) {
        sort(stream.next().expect("it does not end"), &mut events);
    }
    let positions: Vec<u64> = events.iter().map(|e| e.id.unwrap()).collect();
    let expected: Vec<u64> = (positions[0]..).take(positions.len()).collect();
    assert_eq!(positions, expected, "a gap, or one twice");
    let finished: BTreeSet<&str> = events
        .iter()
        .filter(|e| e.kind == "call.finished")
        .map(|e| e.data["data"]["callId"].as_str().unwrap())
        .collect();
    let calls = server.all_calls(&batch);
    let calls: BTreeSet<&str> = calls.iter().map(|c| c["_id"].as_str().unwrap()).collect();
    assert_eq!(finished, calls);
    assert!(progress.iter().all(|p| p.kind == "progress" && p.data["batchId"] == batch.as_str()));
    let totals = &progress.first().expect("progress was told").data["totals"];
    assert!(totals["total"].as_u64().unwrap() > 0, "{totals}");
}

#[test]
fn a_place_that_there_is_not_gets_a_reset() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "50")]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    add(&server, &batch, 1, 1);
    server.wait_completed(&batch, LONG);
    let first = Stream::open(&server, &home.key, Some("0")).next().unwrap();
    assert_eq!((first.id, &*first.kind), (Some(1), "batch.active"));
    for unknown in ["999999", "nonsense", "-1"] {
        let reset = Stream::open(&server, &home.key, Some(unknown)).next().unwrap();
        assert_eq!(reset.kind, "reset", "{unknown}");
        assert_eq!(reset.id, reset.data["latest"].as_u64());
        assert_eq!(reset.data["oldest"], 1);
    }
}

fn make_key(server: &Server<'_>) -> (String, String) {
    let body = json!({ "name": "Short", "scopes": ["calls:read"] });
    let made = server.post("/api/keys", &body).expect(201)["data"].clone();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("_id"), text("apiKey"))
}

fn revoke(server: &Server<'_>, key: &str) {
    let path = format!("/api/keys/{key}");
    server.try_send("DELETE", &path, &[], Vec::new()).unwrap().expect(200);
}

/// Waits until the workspace may have one more stream.
fn wait_for_place(server: &Server<'_>, key: &str, limit: Duration) {
    wait_for("the place is free again", limit, || {
        let host = server.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let head = format!("GET /api/events HTTP/1.0\r\nx-api-key: {key}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).unwrap();
        status.contains(" 200 ").then_some(())
    });
}

#[test]
fn a_stream_ends_with_its_key_though_nobody_reads_it() {
    let home = Home::new(&[("OUTDIAL_SIMULATED_SPEED", "50")]);
    let server = home.serve();
    let number = server.make_number();
    let batch = server.make_batch(&number, &json!({}));
    // More than the sockets hold.
    let mut records = contacts(NUMBERS, 400);
    records.iter_mut().for_each(|r| r["note"] = "x".repeat(60_000).into());
    let body = json!({ "batchId": batch, "call_data": records });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    server.wait_completed(&batch, LONG);
    let (id, key) = make_key(&server);
    let mut doomed = Stream::open(&server, &key, Some("0"));
    assert!(doomed.next().is_some());
    let others: Vec<Stream> = (1..100).map(|_| Stream::open(&server, &home.key, None)).collect();
    assert_eq!(server.get("/api/events").status, 429);
    revoke(&server, &id);
    wait_for_place(&server, &home.key, ENDS_WITHIN);
    // What was under way is all that it still gets.
    let mut finished = 0;
    while let Some(event) = doomed.next() {
        finished += u32::from(event.kind == "call.finished");
    }
    assert!(finished < 400, "{finished}");
    drop(others);
}

#[test]
fn streams_end_with_the_server_and_with_their_key() {
    let home = Home::new(&[]);
    let server = home.serve();
    let (id, key) = make_key(&server);
    let mut doomed = Stream::open(&server, &key, None);
    let mut other = Stream::open(&server, &home.key, None);
    revoke(&server, &id);
    let start = monotonic();
    assert!(doomed.next().is_none(), "a revoked key's stream ends");
    let waited = monotonic() - start;
    assert!(waited < ENDS_WITHIN, "{waited:?}");
    server.terminate();
    assert!(server.wait_at_most(PATIENCE / 2).success());
    assert!(other.next().is_none());
}

#[test]
fn a_key_that_one_node_revokes_is_revoked_on_the_other() {
    let postgres = Postgres::start(&[]);
    let mut home = Home::on_postgres(&postgres.url(), &[]);
    home.set("OUTDIAL_SERVER_NODE_NAME", "first");
    let mut second = Home::at(tempfile::tempdir().unwrap());
    second.move_to(&postgres.url());
    second.set("OUTDIAL_SERVER_NODE_NAME", "second");
    let (here, there) = (home.serve(), second.serve());
    let (id, key) = make_key(&here);
    let me = || try_send(&there.url, &key, "GET", "/api/me", &[], Vec::new()).unwrap().status;
    let mut doomed = Stream::open(&there, &key, None);
    assert_eq!(me(), 200);
    revoke(&here, &id);
    let start = monotonic();
    // Nobody remembers that it was good.
    assert_eq!(me(), 401);
    assert!(doomed.next().is_none(), "its stream ends");
    let waited = monotonic() - start;
    assert!(waited < ENDS_WITHIN, "{waited:?}");
}

#[test]
fn a_workspace_has_at_most_a_hundred() {
    let home = Home::new(&[]);
    let server = home.serve();
    let mut streams: Vec<Stream> =
        (0..100).map(|_| Stream::open(&server, &home.key, None)).collect();
    let refused = server.get("/api/events");
    assert_eq!(refused.status, 429, "{}", refused.body);
    streams.pop();
    wait_for_place(&server, &home.key, PATIENCE);
}
