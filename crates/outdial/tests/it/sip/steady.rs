//! A callee that does as RFC 3261 says whatever comes when: a CANCEL for another transaction, two
//! requests at once, silence where an ACK should be. SIPp gives a call up at the first message that
//! its scenario does not foresee.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::seen::Seen;
use crate::harness::monotonic;

/// RFC 3261's timers, without their bound: who is cut off waits for the next process.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// How often it looks whether something is due.
const TICK: Duration = Duration::from_millis(10);

/// One that listens; gone when dropped.
pub(crate) struct Steady {
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<Seen>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Steady {
    /// Who rings for how long before an answer; none: until it is canceled.
    pub(crate) fn start(rings: fn(&str) -> Option<Duration>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TICK)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (log, is_over) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicBool>::default());
        let mut desk = Desk { socket, port, rings, log: log.clone(), calls: BTreeMap::new() };
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                desk.turn();
            }
        });
        Self { port, log, is_over, thread: Some(thread) }
    }

    /// Every message that it received and sent so far.
    pub(crate) fn log(&self) -> Vec<Seen> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

struct Desk {
    socket: UdpSocket,
    port: u16,
    rings: fn(&str) -> Option<Duration>,
    log: Arc<Mutex<Vec<Seen>>>,
    calls: BTreeMap<String, Call>,
}

/// An INVITE, and how far it is.
struct Call {
    invite: Seen,
    from: SocketAddr,
    /// What was said last.
    said: String,
    /// When it answers.
    answers_at: Option<Duration>,
    /// When the final answer goes out again, and how long it waits after that; none: it was
    /// acknowledged, or there is none yet.
    again: Option<(Duration, Duration)>,
    is_final: bool,
}

impl Desk {
    fn turn(&mut self) {
        let mut buffer = [0; 8_192];
        if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            let seen = Seen { at: monotonic(), received: true, text };
            self.note(seen.clone());
            self.take(&seen, from);
        }
        let now = monotonic();
        let mut out = Vec::new();
        for call in self.calls.values_mut() {
            if !call.is_final && call.answers_at.is_some_and(|at| at <= now) {
                let body = sdp();
                call.end(answer(&call.invite, "200 OK", self.port, &body), now);
                out.push((call.said.clone(), call.from));
            } else if let Some((at, wait)) = call.again.filter(|(at, _)| *at <= now) {
                call.again = Some((at + wait, (wait * 2).min(T2)));
                out.push((call.said.clone(), call.from));
            }
        }
        out.into_iter().for_each(|(text, to)| self.say(text, to));
    }

    fn take(&mut self, seen: &Seen, from: SocketAddr) {
        let id = seen.header("Call-ID").to_owned();
        let reply = |status: &str| answer(seen, status, self.port, "");
        let call = self.calls.get_mut(&id);
        let reply = match (seen.method().unwrap_or_default(), call) {
            ("INVITE", None) => {
                let said = reply("180 Ringing");
                let rings = (self.rings)(&seen.number("To"));
                let answers_at = rings.map(|rings| monotonic() + rings);
                let call = Call {
                    invite: seen.clone(),
                    from,
                    said: said.clone(),
                    answers_at,
                    again: None,
                    is_final: false,
                };
                self.calls.insert(id, call);
                said
            }
            ("INVITE", Some(call)) if call.invite.branch() == seen.branch() => call.said.clone(),
            ("CANCEL", Some(call)) if call.invite.branch() == seen.branch() => {
                let ended = answer(&call.invite, "487 Request Terminated", self.port, "");
                if !call.is_final {
                    call.end(ended.clone(), monotonic());
                    self.say(ended, from);
                }
                reply("200 OK")
            }
            ("ACK", Some(call)) => {
                call.again = None;
                return;
            }
            ("BYE", Some(call)) if seen.tag("To") == tag(&call.invite) => {
                call.again = None;
                reply("200 OK")
            }
            ("ACK", None) | ("", _) => return,
            _ => reply("481 Call/Transaction Does Not Exist"),
        };
        self.say(reply, from);
    }

    fn say(&self, text: String, to: SocketAddr) {
        // Nobody may be there at the moment.
        let _refused = self.socket.send_to(text.as_bytes(), to);
        self.note(Seen { at: monotonic(), received: false, text });
    }

    fn note(&self, seen: Seen) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

impl Call {
    /// A final answer.
    fn end(&mut self, said: String, now: Duration) {
        self.said = said;
        self.is_final = true;
        self.again = Some((now + T1, T1 * 2));
    }
}

/// Our tag in the dialog of an INVITE.
fn tag(invite: &Seen) -> String {
    format!("callee-{}", invite.branch())
}

fn answer(request: &Seen, status: &str, port: u16, body: &str) -> String {
    let vias: String = request.all("Via").iter().map(|via| format!("Via: {via}\r\n")).collect();
    let to = match request.tag("To") {
        "" => format!("{};tag={}", request.header("To"), tag(request)),
        _ => request.header("To").to_owned(),
    };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:callee@127.0.0.1:{port}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        request.header("From"),
        request.header("Call-ID"),
        request.header("CSeq"),
        body.len(),
    )
}

/// Where nobody listens.
fn sdp() -> String {
    "v=0\r\no=callee 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
     m=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        .to_owned()
}
