//! A client that uploads files of any size, piece by piece.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Answer, Home, Server};

const BOUNDARY: &str = "oUtDiAl";
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(1200);

/// What comes before the file, and after it.
fn form(user: &str, number: &str) -> (Vec<u8>, Vec<u8>) {
    let mut head = String::new();
    let numbers = format!("[\"{number}\"]");
    for (name, value) in [("userId", user), ("batchName", "File"), ("callingNumbers", &numbers)] {
        head.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    head.push_str(&format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n"
    ));
    (head.into_bytes(), format!("\r\n--{BOUNDARY}--\r\n").into_bytes())
}

/// Sends a file of `bytes` bytes, in pieces of an iterator; none: the connection broke.
pub(crate) fn upload(
    server: &Server<'_>,
    home: &Home,
    number: &str,
    key: &str,
    (bytes, pieces): (u64, impl Iterator<Item = Vec<u8>>),
) -> Option<Answer> {
    let (before, after) = form(&home.user, number);
    let length = before.len() as u64 + bytes + after.len() as u64;
    let host = server.url.strip_prefix("http://").unwrap();
    let head = format!(
        "POST /api/call/upload HTTP/1.1\r\nhost: {host}\r\nx-api-key: {}\r\nidempotency-key: \
         {key}\r\ncontent-type: multipart/form-data; boundary={BOUNDARY}\r\ncontent-length: \
         {length}\r\nconnection: close\r\n\r\n",
        home.key
    );
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let send = || -> std::io::Result<()> {
        stream.write_all(head.as_bytes())?;
        stream.write_all(&before)?;
        for piece in pieces {
            stream.write_all(&piece)?;
        }
        stream.write_all(&after)
    };
    // A server that refuses early has answered nevertheless.
    let _refused = send();
    let mut answer = Vec::new();
    let _broken = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let status = std::str::from_utf8(&answer[..end]).ok()?.split(' ').nth(1)?.parse().ok()?;
    let body = serde_json::from_slice(&answer[end + 4..]).unwrap_or(Value::Null);
    Some(Answer { status, body })
}

/// A file of `count` contacts, numbers from `first` on.
pub(crate) fn rows(first: u64, count: u64) -> Vec<u8> {
    let rows = (first..first + count).map(|n| format!("{n},N {n}\r\n"));
    let mut text = String::from("phoneNumber,name\r\n");
    text.extend(rows);
    text.into_bytes()
}
