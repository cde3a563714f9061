//! Input that nobody should send: a 4xx that says where, nothing stored by half, and the server
//! answers the next request.

use std::fmt::Write as _;
use std::time::Duration;

use outdial_http::HttpConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{World, eventually, exchange, read_answer};

const ADD: &str = "/api/call/addCallsToBatch";

/// Sends a body, expects `status` and `part` in the message, and that nothing came of it.
async fn refused(world: &World, batch: &str, body: &str, status: u16, part: &str) {
    let shown: String = body.chars().take(200).collect();
    let answer = world.post(ADD, body).send().await;
    assert_eq!(answer.status, status, "{shown}: {}", answer.text());
    let text = answer.text();
    answer.refusal(status);
    assert!(text.contains(part), "{part} in {text} for {shown}");
    assert_eq!(world.total(batch).await, 0, "{shown}");
}

#[tokio::test]
async fn bodies_that_are_no_request() {
    let world = World::new().await;
    let batch = world.batch().await;
    let one = r#"[{"phoneNumber":"12125551001"}]"#;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, part) in [
        (String::new(), "empty"),
        ("  \n".to_owned(), "empty"),
        ("hello".to_owned(), "line 1, column 1"),
        ("\"x\"".to_owned(), "object"),
        ("[]".to_owned(), "object"),
        ("null".to_owned(), "object"),
        ("{}".to_owned(), "batchId"),
        (format!(r#"{{"call_data":{one}}}"#), "batchId"),
        (format!(r#"{{"batchId":5,"call_data":{one}}}"#), "batchId"),
        (format!(r#"{{"batchId":"x","call_data":{one}}}"#), "batchId"),
        (format!(r#"{{"batchId":"{batch}"}}"#), "call_data"),
        (format!(r#"{{"batchId":"{batch}","call_data":[]}}"#), "empty"),
        (format!(r#"{{"batchId":"{batch}","call_data":{{}}}}"#), "array"),
        (format!(r#"{{"batchId":"{batch}","call_data":"12125551001"}}"#), "array"),
        (format!(r#"{{"batchId":"{batch}","call_data":null}}"#), "array"),
        (format!(r#"{{"batchId":"{batch}","call_data":{one},"onInvalid":"maybe"}}"#), "onInvalid"),
        (format!(r#"{{"batchId":"{batch}","call_data":{one}"#), "cut off"),
        (format!(r#"{{"batchId":"{batch}","call_data":{one}}} x"#), "follows"),
        (format!("{{\"batchId\":\"{batch}\",\n\"call_data\":[,{one}]}}"), "line 2, column 14"),
        (format!(r#"{{"batchId":"{batch}","batchId":"{batch}","call_data":{one}}}"#), "twice"),
        (format!("\u{feff}{{\"batchId\":\"{batch}\",\"call_data\":{one}}}"), "byte order mark"),
        (format!(r#"{{"batchId":{deep},"call_data":{one}}}"#), ""),
        (deep.clone(), "object"),
    ] {
        refused(&world, &batch, &body, 400, part).await;
    }
    // And what is right still goes.
    assert_eq!(world.add(&batch, &[&one[1..one.len() - 1]]).send().await.status, 200);
}

#[tokio::test]
async fn records_that_are_not_valid() {
    let world = World::new().await;
    let batch = world.batch().await;
    let phone = r#""phoneNumber":"12125551001""#;
    let long = "x".repeat(1 << 20);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let wide = (0..256).fold(String::new(), |mut text, i| {
        write!(text, r#","k{i}":1"#).unwrap();
        text
    });
    for (record, code) in [
        ("5".to_owned(), "not_an_object"),
        ("null".to_owned(), "not_an_object"),
        ("[]".to_owned(), "not_an_object"),
        ("\"12125551001\"".to_owned(), "not_an_object"),
        ("{}".to_owned(), "missing_phone_number"),
        (r#"{"phoneNumber":""}"#.to_owned(), "missing_phone_number"),
        (r#"{"phoneNumber":"1212555"}"#.to_owned(), "invalid_phone_number"),
        (r#"{"phoneNumber":true}"#.to_owned(), "invalid_phone_number"),
        (r#"{"phoneNumber":"442079460000"}"#.to_owned(), "country_not_allowed"),
        (r#"{"phoneNumber":"19002345678"}"#.to_owned(), "forbidden_number_type"),
        (format!(r#"{{{phone},"timezone":"Mars/Olympus"}}"#), "invalid_timezone"),
        (format!(r#"{{{phone},"timezone":5}}"#), "invalid_timezone"),
        (format!(r#"{{{phone},"note":"{long}"}}"#), "record_too_large"),
        (format!(r#"{{{phone},"note":{deep}}}"#), "too_deep"),
        (format!(r#"{{{phone}{wide}}}"#), "too_many_fields"),
        (format!(r#"{{{phone},"note":"a\u0000b"}}"#), "invalid_text"),
        (format!(r#"{{{phone},"note":"\ud83d"}}"#), "invalid_text"),
        (format!(r#"{{{phone},"n":1e999999}}"#), "number_out_of_range"),
        (format!(r#"{{{phone},{phone}}}"#), "duplicate_key"),
    ] {
        let body = format!(r#"{{"batchId":"{batch}","call_data":[{{{phone}}},{record}]}}"#);
        refused(&world, &batch, &body, 400, &format!("\"code\":\"{code}\"")).await;
        refused(&world, &batch, &body, 400, "\"index\":1,").await;
    }
}

#[tokio::test]
async fn raw_bytes_that_are_no_text() {
    let world = World::new().await;
    let batch = world.batch().await;
    let with = |bytes: &[u8]| {
        let mut body =
            format!(r#"{{"batchId":"{batch}","call_data":[{{"phoneNumber":""#).into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\"}]}");
        body
    };
    for bytes in [&b"\0"[..], b"\xff", b"\xed\xa0\x80", b"\n"] {
        let answer = world.post(ADD, with(bytes)).send().await;
        answer.refusal(400);
    }
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    world.post(ADD, utf16).send().await.refusal(400);
    assert_eq!(world.total(&batch).await, 0);
}

#[tokio::test]
async fn long_integers_and_everything_else_come_back_as_they_were_sent() {
    let world = World::new().await;
    let batch = world.batch().await;
    let long = "1234567890123456789012345678901234567890";
    let free = format!(
        r#""z":{long},"a":-0.10e+2,"\u00e4":"\ud83d\ude00 ä 😀","o":{{ "k" : [1 , 2.0] }},"t":null"#
    );
    let record = format!(r#"{{"phoneNumber":12125551001,{free},"_id":"mine","callStatus":"x"}}"#);
    assert_eq!(world.add(&batch, &[&record]).send().await.status, 200);
    let path = format!("/api/call/batch-details/{batch}");
    let text = world.get(&path).send().await.text();
    assert!(
        text.contains(&format!(r#""phoneNumber":"12125551001",{free},"phoneLogs":[]"#)),
        "{text}"
    );
    assert!(text.contains(r#""variables":{"_id":"mine","callStatus":"x"}"#), "{text}");
}

#[tokio::test]
async fn content_types_and_encodings() {
    let world = World::new().await;
    let batch = world.batch().await;
    let record = r#"{"phoneNumber":"12125551001"}"#;
    let add = || world.add(&batch, &[record]);
    for bad in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"] {
        add().header("content-type", bad).send().await.refusal(415);
        world.post("/api/agents", "{}").header("content-type", bad).send().await.refusal(415);
    }
    add().untyped().send().await.refusal(415);
    for bad in ["br", "zstd", "deflate", "gzip, gzip", "identity, br"] {
        add().header("content-encoding", bad).send().await.refusal(415);
    }
    assert_eq!(world.total(&batch).await, 0);
    let good = add().header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(good.header("content-encoding", "identity").send().await.status, 200);
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let config =
        HttpConfig { ingest_body_max_bytes: 2000, ingest_records_max: 10, ..HttpConfig::default() };
    let world = World::with(config, |store| store).await;
    let batch = world.batch().await;
    let record = r#"{"phoneNumber":"12125551001"}"#;
    let records = |n: usize| vec![record; n].join(",");
    let eleven = world.add_body(&batch, &records(11), "").send().await;
    assert!(eleven.refusal(413).contains("10 records"));
    assert!(world.add_body(&batch, &records(80), "").send().await.refusal(413).contains("2000"));
    // The size is refused before the body is sent.
    let head = format!(
        "POST {ADD} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-type: application/json\r\n\
         content-length: 2001\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        world.own.key
    );
    exchange(world.addr, head.as_bytes()).await.unwrap().refusal(413);
    // Without a declared length, when it is reached.
    let text = format!(r#"{{"batchId":"{batch}","call_data":[{}]}}"#, records(80));
    let chunked = format!(
        "POST {ADD} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
        world.own.key,
        text.len()
    );
    exchange(world.addr, chunked.as_bytes()).await.unwrap().refusal(413);
    let small = "x".repeat((1 << 20) + 1);
    world.post("/api/agents", small).send().await.refusal(413);
    assert_eq!(world.add_body(&batch, &records(10), "").send().await.status, 200);
}

#[tokio::test]
async fn all_bodies_together_stay_within_their_budget() {
    let config = HttpConfig { ingest_budget_bytes: 1000, ..HttpConfig::default() };
    let world = World::with(config, |store| store).await;
    let batch = world.batch().await;
    let request = world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).bytes();
    let end = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    // One request holds most of the budget for as long as its body takes.
    let head = String::from_utf8(request[..end].to_vec()).unwrap();
    let length = format!("content-length: {}", request.len() - end);
    let head = head.replace(&length, "content-length: 950");
    let slow = async || {
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"{").await.unwrap();
        stream
    };
    eventually(async || {
        let holding = slow().await;
        let answer = exchange(world.addr, &request).await.unwrap();
        drop(holding);
        answer.status == 503 && answer.header("retry-after").is_some()
    })
    .await;
    eventually(async || exchange(world.addr, &request).await.unwrap().status == 200).await;
}

#[tokio::test]
async fn a_body_that_stops_half_way() {
    let config = HttpConfig { body_idle_timeout_ms: 200, ..HttpConfig::default() };
    let world = World::with(config, |store| store).await;
    let batch = world.batch().await;
    let request = world.add(&batch, &[r#"{"phoneNumber":"12125551001"}"#]).bytes();
    // The client ends its side in the middle, and still listens.
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(&request[..request.len() - 10]).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_answer(&mut stream).await.expect("an answer");
    assert!(answer.refusal(400).contains("stopped after"));
    // The client goes silent in the middle.
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(&request[..request.len() - 10]).await.unwrap();
    let answer = read_answer(&mut stream).await.expect("an answer");
    assert!(answer.refusal(408).contains("bytes"));
    // The client hangs up in the middle.
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(&request[..request.len() - 10]).await.unwrap();
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), async {
        assert_eq!(world.total(&batch).await, 0);
        assert_eq!(exchange(world.addr, &request).await.unwrap().status, 200);
    })
    .await
    .expect("the next request is answered");
    assert_eq!(world.total(&batch).await, 1);
}

#[tokio::test]
async fn a_body_that_drips() {
    let config = HttpConfig {
        ingest_budget_bytes: 1000,
        body_min_rate_bytes_per_s: 10,
        ..HttpConfig::default()
    };
    let world = World::with(config, |store| store).await;
    let batch = world.batch().await;
    let record = r#"{"phoneNumber":"12125551001"}"#;
    let mut text = format!(r#"{{"batchId":"{batch}","call_data":[{record}]}}"#);
    text.push_str(&" ".repeat(900 - text.len()));
    let request = || world.post(ADD, text.clone()).header("expect", "100-continue").bytes();
    let end = request().len() - text.len();
    // Sends the head, and goes on when the server asks for the body.
    let asked = async || {
        let mut stream = TcpStream::connect(world.addr).await.unwrap();
        stream.write_all(&request()[..end]).await.unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    };
    let mut stream = asked().await;
    world.clock.advance(Duration::from_secs(31));
    stream.write_all(&text.as_bytes()[..300]).await.unwrap();
    let answer = read_answer(&mut stream).await.expect("an answer");
    assert!(answer.refusal(408).contains("10 bytes a second"));
    // Its part of the budget is free again; and a body that is just fast enough is taken.
    let mut stream = asked().await;
    world.clock.advance(Duration::from_secs(31));
    stream.write_all(&text.as_bytes()[..320]).await.unwrap();
    stream.write_all(&text.as_bytes()[320..]).await.unwrap();
    let answer = read_answer(&mut stream).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn calling_numbers_that_are_no_number() {
    let world = World::new().await;
    let add = |number: &str| {
        let user = world.own.user;
        let rest = r#""integration":"simulated""#;
        let body = format!(r#"{{"userId":"{user}","phoneNumber":{number},{rest}}}"#);
        world.post("/api/call/add-phone", body)
    };
    for bad in [
        "1212555123.4",
        "12125551234.0",
        "-12125551234",
        "1.2125551234e10",
        "121255512340000000000000",
        "true",
        "[]",
        "\"\"",
        "null",
    ] {
        assert!(add(bad).send().await.refusal(400).contains("phoneNumber"), "{bad}");
    }
    assert_eq!(add("12125551234").send().await.status, 201);
}
