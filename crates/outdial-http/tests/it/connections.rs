//! Connections that no client of good will makes: each is ended, with a reason where one can be
//! told, and nobody else waits for it.

use std::time::Duration;

use outdial_http::{ConnectionConfig, HttpConfig, Networks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{World, eventually, exchange, read_answer};

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

async fn world(connections: ConnectionConfig) -> World {
    World::with(HttpConfig { connections, ..HttpConfig::default() }, |store| store).await
}

async fn open(world: &World, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(world.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Everything until the server ends the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = async {
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            bytes.extend_from_slice(&part[..n]);
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("the end of the connection");
    bytes
}

fn count(bytes: &[u8], what: &str) -> usize {
    String::from_utf8_lossy(bytes).matches(what).count()
}

#[tokio::test]
async fn shapes_that_two_readers_understand_differently() {
    let world = World::new().await;
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = "POST /healthz HTTP/1.1\r\nhost: x\r\n";
    let many = "a: b\r\n".repeat(101);
    let large = format!("a: {}\r\n", "x".repeat(70_000));
    let chunked = "transfer-encoding: chunked\r\n";
    for (status, head) in [
        (400, format!("{post}content-length: 5\r\n{chunked}\r\n0\r\n\r\n{smuggled}")),
        (400, format!("{post}{chunked}content-length: 5\r\n\r\n0\r\n\r\n{smuggled}")),
        (400, format!("{post}content-length: 0\r\ncontent-length: 36\r\n\r\n{smuggled}")),
        (400, format!("{post}content-length: 0\r\ncontent-length: 0\r\n\r\n{smuggled}")),
        (400, format!("{post}content-length: 0, 0\r\n\r\n{smuggled}")),
        (400, format!("{post}content-length: +0\r\n\r\n{smuggled}")),
        (400, format!("{post}content-length : 0\r\n\r\n{smuggled}")),
        (400, format!("{post}x: y\r\n content-length: 36\r\n\r\n{smuggled}")),
        (400, format!("{post} content-length: 36\r\n\r\n{smuggled}")),
        (400, format!("{post}transfer-encoding : chunked\r\n\r\n0\r\n\r\n")),
        (400, format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n")),
        (400, format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        (400, format!("{post}{chunked}{chunked}\r\n0\r\n\r\n")),
        (400, format!("{post}transfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n")),
        (400, format!("POST /healthz HTTP/1.0\r\n{chunked}\r\n0\r\n\r\n{smuggled}")),
        (400, format!("{post}x: y\ncontent-length: 36\r\n\r\n{smuggled}")),
        (400, format!("{post}x: y\rcontent-length: 36\r\n\r\n{smuggled}")),
        (400, format!("{post}x: y\0\r\n\r\n")),
        (400, format!("{post}host: y\r\n\r\n")),
        (400, "GET /healthz HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET /healthz HTTP/3.7\r\nhost: x\r\n\r\n".to_owned()),
        (400, "GET  /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        (400, "G\u{1}T /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        (400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (400, "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\n".to_owned()),
        (431, format!("{post}{many}\r\n")),
        (431, format!("{post}{large}\r\n")),
        (431, format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000))),
    ] {
        let shown: String = head.chars().take(90).collect();
        let answer = exchange(world.addr, head.as_bytes()).await;
        // One answer alone: what follows is not read as a request.
        let answer = answer.unwrap_or_else(|| panic!("no answer to {shown:?}"));
        answer.refusal(status);
        assert_eq!(answer.header("connection"), Some("close"), "{shown:?}");
        assert!(answer.header("x-request-id").is_some(), "{shown:?}");
    }
    // In the body: the request that it belongs to is refused.
    for chunks in ["5\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n"]
    {
        let key = &world.own.key;
        let json = "content-type: application/json\r\n";
        let head = format!(
            "POST /api/agents HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n{json}{chunked}\r\n"
        );
        let mut stream = open(&world, head.as_bytes()).await;
        stream.write_all(format!("{chunks}{smuggled}").as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{answer}");
        assert_eq!(count(answer.as_bytes(), "alive"), 0, "{chunks:?}");
    }
}

#[tokio::test]
async fn requests_one_behind_the_other() {
    let world = World::new().await;
    let get = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let key = &world.own.key;
    let post = |body: &str| {
        format!(
            "POST /api/agents HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\
             content-type: application/json\r\n{body}"
        )
    };
    // All at once, bodies of both kinds between them, the last one ends it.
    let text = format!(
        "{get}{get}{}{}\r\n{}",
        post("content-length: 5\r\n\r\n{\"a\":"),
        get,
        post("transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    );
    let mut stream = open(&world, text.as_bytes()).await;
    let bytes = rest(&mut stream).await;
    assert_eq!(count(&bytes, "HTTP/1.1 "), 5, "{}", String::from_utf8_lossy(&bytes));
    assert_eq!((count(&bytes, "alive"), count(&bytes, "HTTP/1.1 400")), (3, 2));
    assert_eq!(count(&bytes, "\r\nx-request-id: "), 5);
}

#[tokio::test]
async fn heads_come_in_time_and_connections_are_not_kept_for_ever() {
    let limits = ConnectionConfig { head_timeout_ms: 300, ..ConnectionConfig::default() };
    let world = world(ConnectionConfig { keep_alive_ms: 400, ..limits }).await;
    // Nothing at all: nobody to tell.
    assert!(rest(&mut open(&world, b"").await).await.is_empty());
    // Half a head.
    let mut stream = open(&world, b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    read_answer(&mut stream).await.expect("an answer").refusal(408);
    // One that drips: each byte is progress, and the head is late all the same.
    let mut stream = open(&world, b"GET /healthz HTTP/1.1\r\na: ").await;
    let (mut read, mut write) = stream.split();
    let drip = async {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        while write.write_all(b"x").await.is_ok() {
            every.tick().await;
        }
    };
    let listen = async {
        let mut bytes = [0; 12];
        read.read_exact(&mut bytes).await.unwrap();
        bytes
    };
    let heard = async {
        tokio::select! {
            () = drip => panic!("it was cut without a word"),
            heard = listen => heard,
        }
    };
    assert_eq!(&tokio::time::timeout(DEADLINE, heard).await.unwrap(), b"HTTP/1.1 408");
    // After an answer it is kept for a while; a late second head is told.
    let get = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let bytes = rest(&mut open(&world, get).await).await;
    assert_eq!(count(&bytes, "HTTP/1.1 "), 1);
    let mut stream = open(&world, &[&get[..], b"GET /"].concat()).await;
    let bytes = rest(&mut stream).await;
    assert_eq!((count(&bytes, "HTTP/1.1 200"), count(&bytes, "HTTP/1.1 408")), (1, 1));
}

#[tokio::test]
async fn who_does_not_read_is_cut() {
    let world =
        world(ConnectionConfig { write_timeout_ms: 300, ..ConnectionConfig::default() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(world.addr).await.unwrap();
    // Far more than the buffers between us hold.
    let asked = 1000;
    let get = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(asked);
    stream.write_all(get.as_bytes()).await.unwrap();
    let whole = world.get("/openapi.json").anonymous().send().await.body.len();
    assert!(whole * asked > 40 << 20, "{whole}");
    // While it does not read, the server gives it up: nothing can be written to it any more.
    let cut = async {
        eventually(async || stream.try_write(b"\r\n").is_err()).await;
    };
    tokio::time::timeout(DEADLINE, cut).await.expect("it is cut");
    // It was slow, not the others.
    assert_eq!(world.get("/healthz").anonymous().send().await.status, 200);
}

#[tokio::test]
async fn whoever_waits_makes_room_for_who_asks() {
    let limits = ConnectionConfig { connections_max: 3, ..ConnectionConfig::default() };
    let world = world(limits).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(open(&world, b"").await);
    }
    for _ in 0..20 {
        assert_eq!(world.get("/api/me").send().await.status, 200);
    }
    assert!(rest(&mut idle[0]).await.is_empty(), "the oldest has made room");
    // Those that are at work do not make room.
    let request = world.post("/api/agents", "{}").header("expect", "100-continue").bytes();
    let mut working = Vec::new();
    for _ in 0..3 {
        let mut stream = open(&world, &request[..request.len() - 2]).await;
        // Asked for its body, it is at work.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        working.push(stream);
    }
    let refused = async || {
        let answer = exchange(world.addr, &world.get("/healthz").anonymous().bytes()).await;
        answer.is_some_and(|a| a.status == 503 && a.header("retry-after").is_some())
    };
    eventually(refused).await;
    drop(working);
    eventually(async || {
        let answer = exchange(world.addr, &world.get("/healthz").anonymous().bytes()).await;
        answer.is_some_and(|a| a.status == 200)
    })
    .await;
}

#[tokio::test]
async fn an_address_has_its_share() {
    let limits = ConnectionConfig {
        connections_per_address_max: 2,
        unlimited_addresses: Networks::default(),
        ..ConnectionConfig::default()
    };
    let world = world(limits).await;
    let request = world.post("/api/agents", "{}").bytes();
    let _working = [
        open(&world, &request[..request.len() - 1]).await,
        open(&world, &request[..request.len() - 1]).await,
    ];
    let get = world.get("/healthz").anonymous().bytes();
    eventually(async || {
        let answer = exchange(world.addr, &get).await;
        answer.is_some_and(|a| a.status == 429 && a.header("retry-after").is_some())
    })
    .await;
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let world = World::new().await;
    let id = |answer: &crate::support::Answer| {
        let ids = answer.headers.iter().filter(|(name, _)| name == "x-request-id");
        let ids: Vec<String> = ids.map(|(_, value)| value.clone()).collect();
        assert_eq!(ids.len(), 1, "{}", answer.status);
        ids[0].clone()
    };
    for (status, request) in [
        (200, world.get("/healthz").anonymous()),
        (200, world.get("/api/me")),
        (401, world.get("/api/me").anonymous()),
        (404, world.get("/nowhere")),
        (405, world.delete("/healthz")),
        (413, world.post("/api/agents", vec![b' '; (1 << 20) + 1])),
        (415, world.post("/api/agents", "{}").header("content-encoding", "br")),
    ] {
        let answer = request.header("x-request-id", "mine-1").send().await;
        assert_eq!((answer.status, id(&answer).as_str()), (status, "mine-1"));
    }
    let first = id(&world.get("/healthz").send().await);
    let second = id(&world.get("/healthz").header("x-request-id", "not sane").send().await);
    assert!(first != second && first.len() == second.len() && !first.contains("sane"));
}
