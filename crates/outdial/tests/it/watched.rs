//! What those who run it look at: metrics, traces, background work, the reference page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::harness::{Home, PATIENCE, records, try_send, wait_for};

const TOKEN: &str = "a-token-of-metrics";
/// Answered, each of them.
const FIRST: u64 = 12_125_551_001;

#[test]
fn metrics_count_what_happened_and_traces_show_its_way_and_neither_says_a_number() {
    let (endpoint, taken) = receiver();
    let home = Home::new(&[
        ("OUTDIAL_SIMULATED_SPEED", "200"),
        ("OUTDIAL_MONITORING_METRICS_TOKEN", TOKEN),
        ("OUTDIAL_MONITORING_TRACES_ENDPOINT", &endpoint),
    ]);
    let server = home.serve();
    let batch = server.make_batch(&server.make_number(), &json!({}));
    let calls = records(FIRST, 5);
    let body = json!({ "batchId": batch, "call_data": calls });
    server.post("/api/call/addCallsToBatch", &body).expect(200);
    server.wait_completed(&batch, PATIENCE);

    // Only for who has the token; a key of the API is none.
    assert_eq!(server.get("/metrics").status, 401);
    let bearer = format!("Bearer {TOKEN}");
    let ask = || {
        let headers = [("authorization", bearer.as_str())];
        let answer = try_send(&server.url, "", "GET", "/metrics", &headers, Vec::new()).unwrap();
        assert_eq!(answer.status, 200);
        answer.body.as_str().unwrap().to_owned()
    };
    let text = ask();
    let value = |line: &str| {
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {line} in {text}")).parse::<f64>().unwrap()
    };
    assert!((value("outdial_calls_finished_total{disposition=\"completed\"}") - 5.0).abs() < 0.1);
    for name in ["outdial_dispatch_delay_seconds_count", "outdial_invite_delay_seconds_count"] {
        assert!((value(name) - 5.0).abs() < 0.1, "{name}");
    }
    assert!(value("outdial_live_calls") < 5.5);
    assert!(value("outdial_waiting_calls{state=\"stopped\"}") < 0.1);
    assert!(value("outdial_dispatch_turn_seconds_count") > 0.5);
    assert!(text.contains("operation=\"call_add_chunk\"") && text.contains("outdial_trunks{"));
    nothing_personal(&home, &text);

    // Every task of the engine, and that none of them fails.
    let tasks = server.get("/api/system/tasks").expect(200);
    let tasks = tasks["data"]["tasks"].as_array().unwrap();
    assert!(tasks.iter().any(|t| t["name"] == "dispatch"), "{tasks:?}");
    assert!(tasks.iter().all(|t| t["state"] == "ok"), "{tasks:?}");

    // The page and all that it loads come from the binary.
    let page = server.get("/docs/").body;
    let page = page.as_str().unwrap().to_owned();
    let loads =
        page.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let loads: Vec<_> = loads.map(|name| name.trim_start_matches("./").to_owned()).collect();
    assert!(loads.len() > 2, "{page}");
    for name in loads {
        assert_eq!(server.get(&format!("/docs/{name}")).status, 200, "{name}");
    }
    assert_eq!(server.get("/docs/nothing.js").status, 404);

    server.terminate();
    assert!(server.wait().success());
    let spans = || String::from_utf8_lossy(&taken.lock().unwrap()).into_owned();
    for name in ["request", "/api/call/addCallsToBatch", "chunk", "turn", "attempt", "completed"] {
        wait_for(name, PATIENCE, || spans().contains(name).then_some(()));
    }
    nothing_personal(&home, &spans());
}

/// No number, no name, no secret.
fn nothing_personal(home: &Home, text: &str) {
    for number in FIRST..FIRST + 5 {
        assert!(!text.contains(&number.to_string()));
    }
    assert!(!text.contains(TOKEN) && !text.contains(&home.key) && !text.contains("N 1212"));
}

/// Takes what is posted; where it is, and all bodies one after the other.
fn receiver() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let taken = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || take(stream, &kept));
        }
    });
    (endpoint, taken)
}

/// Answers requests of one connection.
fn take(stream: TcpStream, kept: &Mutex<Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        kept.lock().unwrap().extend(body);
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
