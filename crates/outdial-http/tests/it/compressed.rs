//! Bodies that come compressed: the same request as if they did not, and no bomb goes off.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use outdial_http::HttpConfig;

use crate::support::World;

const ADD: &str = "/api/call/addCallsToBatch";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_body_is_the_same_request() {
    let world = World::new().await;
    let batch = world.batch().await;
    let records: Vec<String> =
        (0..500).map(|i| format!(r#"{{"phoneNumber":"1212555{:04}"}}"#, 1000 + i)).collect();
    let body = format!(r#"{{"batchId":"{batch}","call_data":[{}]}}"#, records.join(","));
    let send = async |body: Vec<u8>, encoding: &str| {
        let request = world.post(ADD, body).header("idempotency-key", "k");
        request.header("content-encoding", encoding).send().await
    };
    let first = send(gzip(body.as_bytes()), "gzip").await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(world.total(&batch).await, 500);
    // The key stands for the decoded body, however it came.
    let halves = body.split_at(body.len() / 2);
    let members = [gzip(halves.0.as_bytes()), gzip(halves.1.as_bytes())].concat();
    for (body, encoding) in [
        (body.clone().into_bytes(), "identity"),
        (members, "x-gzip"),
        (gzip(body.as_bytes()), "GZIP"),
    ] {
        assert_eq!(send(body, encoding).await.body, first.body);
    }
    send(gzip(format!("{body} ").as_bytes()), "gzip").await.refusal(422);
    // The small bodies too.
    let agent = gzip(br#"{"name":"A","languages":["en-US"],"variables":[]}"#);
    let made = world.post("/api/agents", agent).header("content-encoding", "gzip").send().await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test]
async fn limits_are_of_the_decoded_size() {
    let config = HttpConfig {
        ingest_body_max_bytes: 3 << 20,
        body_expansion_max: 50,
        ..HttpConfig::default()
    };
    let world = World::with(config, |store| store).await;
    let batch = world.batch().await;
    let send = async |path: &str, body: Vec<u8>| {
        world.post(path, body).header("content-encoding", "gzip").send().await
    };
    let spaces = |n: usize| gzip(&vec![b' '; n]);
    // Too many times larger.
    assert!(send(ADD, spaces(2 << 20)).await.refusal(413).contains("50 times"));
    // Too large.
    let mut noise = 1u32;
    let mut next = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b' ' + u8::try_from(noise >> 27).unwrap()
    };
    let large: Vec<u8> = (0..(3 << 20) + 1).map(|_| next()).collect();
    assert!(send(ADD, gzip(&large)).await.refusal(413).contains("3145728"));
    let small = gzip(&large[..(1 << 20) + 1]);
    assert!(send("/api/agents", small).await.refusal(413).contains("1048576"));
    // A gigabyte of nothing, in a megabyte.
    let bomb = spaces(64 << 20).repeat(16);
    send(ADD, bomb).await.refusal(413);
    // Damaged, cut off, not gzip at all, something behind it.
    let body = format!(r#"{{"batchId":"{batch}","call_data":[{{"phoneNumber":"12125551001"}}]}}"#);
    let whole = gzip(body.as_bytes());
    let damaged = [&whole[..20], b"xx", &whole[22..]].concat();
    let behind = [&whole[..], b"xx"].concat();
    for bad in [whole[..whole.len() - 1].to_vec(), damaged, body.clone().into_bytes(), behind] {
        assert!(send(ADD, bad).await.refusal(400).contains("gzip"));
    }
    assert_eq!(world.total(&batch).await, 0);
    assert_eq!(send(ADD, whole).await.status, 200);
}
