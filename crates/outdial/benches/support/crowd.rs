//! Many connections that ask for nothing, or never finish asking; and one client that works.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::monotonic;

/// How often each that drips sends one more byte.
const DRIP_EVERY: Duration = Duration::from_millis(500);

/// Who behaves how: a third says nothing, a third never ends a head, a third never ends a body.
pub(crate) struct Crowd {
    connections: Arc<Mutex<Vec<TcpStream>>>,
    stop: Arc<AtomicBool>,
    dripping: Option<std::thread::JoinHandle<()>>,
}

impl Crowd {
    /// Opens `count` connections; `key` for those that begin a body.
    pub(crate) fn open(to: SocketAddr, key: &str, count: usize) -> Self {
        let body = format!(
            "POST /api/agents HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: 100000\r\n\r\n{{"
        );
        let connections = (0..count)
            .map(|i| {
                let mut stream = TcpStream::connect(to).expect("a connection");
                let begin = match i % 3 {
                    0 => "",
                    1 => "GET /healthz HTTP/1.1\r\nhost: x\r\na: ",
                    _ => &body,
                };
                stream.set_nonblocking(true).expect("a socket");
                // One that is ended already is looked at later.
                let _ended = stream.write(begin.as_bytes());
                stream
            })
            .collect();
        let connections = Arc::new(Mutex::new(connections));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, stopped) = (connections.clone(), stop.clone());
        let dripping = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                for (i, stream) in lock(&theirs).iter_mut().enumerate() {
                    if i % 3 != 0 {
                        let _ended = stream.write(b" ");
                    }
                }
                std::thread::park_timeout(DRIP_EVERY);
            }
        });
        Self { connections, stop, dripping: Some(dripping) }
    }

    /// How many the server has not ended.
    pub(crate) fn open_still(&self) -> usize {
        let mut part = [0; 4096];
        lock(&self.connections)
            .iter_mut()
            .filter_map(|stream| match stream.read(&mut part) {
                Ok(0) => None,
                Ok(_) => Some(()),
                Err(e) => (e.kind() == ErrorKind::WouldBlock).then_some(()),
            })
            .count()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(dripping) = self.dripping.take() {
            dripping.thread().unpark();
            let _panicked = dripping.join();
        }
    }
}

fn lock(connections: &Mutex<Vec<TcpStream>>) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
    connections.lock().expect("nobody panics with it")
}

/// How long each of `count` requests took, in milliseconds, one after the other over one
/// connection, and every tenth over a connection of its own.
pub(crate) fn worked(to: SocketAddr, key: &str, count: usize) -> Vec<f64> {
    let mut kept = connect(to);
    let mut times = Vec::with_capacity(count);
    for i in 0..count {
        let began = monotonic();
        if i % 10 == 0 {
            ask(&mut connect(to), key);
        } else {
            ask(&mut kept, key);
        }
        times.push((monotonic() - began).as_secs_f64() * 1000.0);
    }
    times
}

/// The time that only one of a hundred is above.
pub(crate) fn p99(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    stream
}

/// One request whose answer comes from the database.
fn ask(stream: &mut TcpStream, key: &str) {
    let request = format!("GET /api/me HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let n = stream.read(&mut part).expect("an answer");
        assert!(n > 0, "the end after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..n]);
        if is_whole(&answer) {
            break;
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| answer.len() >= end + 4 + n)
}
