//! Against receivers that misbehave (F35), on sockets of this machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::clock::SystemClock;

const OPEN: Reach = Reach { http: true, private: true };

fn courier(reach: Reach) -> HttpCourier {
    HttpCourier::new(reach, None, Arc::new(SystemClock::new()))
}

fn parcel(url: &str, timeout_ms: u64) -> Parcel {
    Parcel {
        url: url.to_owned(),
        headers: vec![("webhook-id", "x1".to_owned())],
        body: Bytes::from_static(b"{\"a\":1}"),
        timeout: Duration::from_millis(timeout_ms),
    }
}

async fn post(url: &str, timeout_ms: u64) -> Result<Reply, CourierErrorKind> {
    courier(OPEN).post(parcel(url, timeout_ms)).await.map_err(|e| e.kind)
}

/// One request, read to its end; none: the connection was closed.
async fn take<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while !read.ends_with(b"{\"a\":1}") {
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8(read).ok()
}

/// A receiver that answers each request with `answer`, and tells of each: the number of its
/// connection, and what came.
async fn receiver(answer: Vec<u8>) -> (SocketAddr, mpsc::UnboundedReceiver<(u32, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((mut stream, _)) = listener.accept().await else { break };
            let (tell, answer) = (tell.clone(), answer.clone());
            tokio::spawn(async move {
                while let Some(request) = take(&mut stream).await {
                    let _nobody = tell.send((number, request));
                    if stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, told)
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn posts_and_uses_the_connection_again() {
    let (address, mut told) = receiver(answer("200 OK\r\nretry-after: 7", "thanks")).await;
    let courier = courier(OPEN);
    for _ in 0..3 {
        let reply = courier.post(parcel(&format!("http://{address}/h?k=v"), 5_000)).await.unwrap();
        assert_eq!((reply.status, &*reply.body_head), (200, &b"thanks"[..]));
        assert_eq!(reply.retry_after, Some(Duration::from_secs(7)));
        let (connection, request) = told.recv().await.unwrap();
        assert_eq!(connection, 1);
        assert!(request.starts_with("POST /h?k=v HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
        assert!(request.contains("webhook-id: x1\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (closed, mut is_closed) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            take(&mut stream).await.unwrap();
            stream.write_all(&answer("200 OK", "")).await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let courier = courier(OPEN);
    for _ in 0..5 {
        assert_eq!(courier.post(parcel(&url, 5_000)).await.unwrap().status, 200);
        is_closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn redirects_are_answers() {
    let (inside, mut told) = receiver(answer("200 OK", "secret")).await;
    let head = format!("302 Found\r\nlocation: http://{inside}/");
    let (address, _told) = receiver(answer(&head, "")).await;
    assert_eq!(post(&format!("http://{address}/"), 5_000).await.unwrap().status, 302);
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn of_a_huge_answer_64_kib_are_read() {
    let (address, _told) = receiver(answer("500 Oh", &"x".repeat(10 << 20))).await;
    let reply = post(&format!("http://{address}/"), 5_000).await.unwrap();
    assert_eq!((reply.status, reply.body_head.len()), (500, REPLY_READ_MAX));
}

#[tokio::test]
async fn huge_headers_are_no_answer() {
    let head = format!("200 OK\r\nx: {}", "x".repeat(10 << 20));
    let (address, _told) = receiver(answer(&head, "")).await;
    assert_eq!(post(&format!("http://{address}/"), 5_000).await, Err(CourierErrorKind::Broken));
    let (address, _told) = receiver(b"hello\r\n\r\n".to_vec()).await;
    assert_eq!(post(&format!("http://{address}/"), 5_000).await, Err(CourierErrorKind::Broken));
}

/// Answers with `bytes`, one each 20 ms.
async fn drip(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        take(&mut stream).await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for byte in bytes {
            ticks.tick().await;
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_dripping_head_runs_into_the_limit() {
    let address = drip(answer(&format!("200 OK\r\nx: {}", "x".repeat(1_000)), "")).await;
    assert_eq!(post(&format!("http://{address}/"), 300).await, Err(CourierErrorKind::Timeout));
}

#[tokio::test]
async fn a_dripping_body_leaves_the_status() {
    let address = drip(answer("202 OK", &"x".repeat(10_000))).await;
    let reply = post(&format!("http://{address}/"), 20_000).await.unwrap();
    assert_eq!(reply.status, 202);
    assert!(reply.body_head.len() < 1_000);
}

#[tokio::test]
async fn nobody_there_or_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    assert_eq!(post(&url, 300).await, Err(CourierErrorKind::Timeout));
    drop(listener);
    assert_eq!(post(&url, 5_000).await, Err(CourierErrorKind::Connect));
}

/// A courier for which names have these addresses.
fn knowing(reach: Reach, table: &[(&'static str, &[&str])]) -> HttpCourier {
    let addresses = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect();
    let table: BTreeMap<_, _> = table.iter().map(|(n, all)| (*n, addresses(all))).collect();
    HttpCourier { resolver: Resolver::Table(table), ..courier(reach) }
}

#[tokio::test]
async fn names_that_lead_inside_are_forbidden() {
    let (address, mut told) = receiver(answer("200 OK", "")).await;
    let here = address.to_string();
    let mapped = format!("[::ffff:127.0.0.1]:{}", address.port());
    let reach = Reach { http: true, private: false };
    let courier = knowing(
        reach,
        &[
            ("here.example", &[&here]),
            ("mapped.example", &[&mapped]),
            ("meta.example", &["169.254.169.254:80"]),
            ("nat64.example", &["[64:ff9b::7f00:1]:80"]),
            ("local.example", &["[fe80::1]:80", "[fd00::1]:80", "100.64.0.1:80", &here]),
            ("empty.example", &[]),
        ],
    );
    for (url, kind) in [
        ("http://here.example/", CourierErrorKind::Forbidden),
        ("http://mapped.example/", CourierErrorKind::Forbidden),
        ("http://meta.example/latest/meta-data/", CourierErrorKind::Forbidden),
        ("http://nat64.example/", CourierErrorKind::Forbidden),
        ("http://local.example/", CourierErrorKind::Forbidden),
        ("http://127.0.0.1/", CourierErrorKind::Forbidden),
        ("http://empty.example/", CourierErrorKind::Dns),
    ] {
        let refused = courier.post(parcel(url, 5_000)).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{url}");
        assert!(!refused.text.contains("127."), "{refused}");
    }
    assert!(told.try_recv().is_err(), "nobody knocked");
    // The very same is allowed when the operator says so.
    let courier = knowing(OPEN, &[("here.example", &[&here])]);
    assert_eq!(courier.post(parcel("http://here.example/", 5_000)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_dead_address_is_passed_over() {
    let (address, _told) = receiver(answer("200 OK", "")).await;
    let here = address.to_string();
    let courier = knowing(OPEN, &[("two.example", &["127.0.0.1:1", &here])]);
    assert_eq!(courier.post(parcel("http://two.example/", 5_000)).await.unwrap().status, 200);
}

#[tokio::test]
async fn http_is_forbidden_and_a_name_that_is_none_is_told() {
    let strict = courier(Reach { http: false, private: true });
    let refused = strict.post(parcel("http://127.0.0.1/", 5_000)).await.unwrap_err();
    assert_eq!(refused.kind, CourierErrorKind::Forbidden);
    let unknown = post("http://no-such-host.invalid/", 20_000).await;
    assert!(matches!(unknown, Err(CourierErrorKind::Dns | CourierErrorKind::Timeout)));
}

/// A receiver over TLS, its certificate good for `name`; the file with that certificate.
async fn tls_receiver(name: &str) -> (SocketAddr, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            serve_one(&mut stream).await;
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    (address, file)
}

async fn serve_one<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    if take(stream).await.is_some() {
        stream.write_all(&answer("200 OK", "")).await.unwrap();
        stream.flush().await.unwrap();
    }
}

#[tokio::test]
async fn certificates_must_be_good_and_of_that_name() {
    let (address, ca) = tls_receiver("good.example").await;
    let here = address.to_string();
    let names: &[(&'static str, &[&str])] =
        &[("good.example", &[&here]), ("other.example", &[&here])];
    let port = address.port();
    let mut believing = knowing(OPEN, names);
    believing.tls = Tls::new(Some(ca.path().to_owned()));
    let good = believing.post(parcel(&format!("https://good.example:{port}/"), 5_000)).await;
    // The tables' addresses carry the port.
    assert_eq!(good.unwrap().status, 200);
    let other = believing.post(parcel("https://other.example/", 5_000)).await;
    assert_eq!(other.unwrap_err().kind, CourierErrorKind::Tls);
    // Without that authority there may be none at all on this machine, which is the same to it.
    let stranger = knowing(OPEN, names).post(parcel("https://good.example/", 5_000)).await;
    assert_eq!(stranger.unwrap_err().kind, CourierErrorKind::Tls);
    let (plain, _told) = receiver(answer("200 OK", "")).await;
    let plain = believing.post(parcel(&format!("https://{plain}/"), 5_000)).await;
    assert!(matches!(plain.unwrap_err().kind, CourierErrorKind::Tls | CourierErrorKind::Timeout));
}
