//! A user agent that knows nothing of ours: text and sockets. It answers what the test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::world::SOON;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

enum Link {
    Udp(UdpSocket, Option<SocketAddr>),
    Stream(Listener, Option<Connection>),
}

struct Listener {
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

struct Connection {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
}

/// The far end.
pub(crate) struct Stranger {
    link: Link,
    pub(crate) addr: SocketAddr,
    name: &'static str,
    cseq: u32,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) text: String,
}

impl Message {
    pub(crate) fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The method of a request, the status of an answer.
    pub(crate) fn is(&self, word: &str) -> bool {
        let mut words = self.start().split(' ');
        match words.next() {
            Some("SIP/2.0") => words.next() == Some(word),
            first => first == Some(word),
        }
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let values = head.lines().filter_map(|line| line.split_once(':'));
        values.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    pub(crate) fn branch(&self) -> &str {
        param(self.get("Via"), "branch")
    }

    pub(crate) fn cseq(&self) -> u32 {
        self.get("CSeq").split(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn tag_of_from(&self) -> &str {
        param(self.get("From"), "tag")
    }

    pub(crate) fn tag_of_to(&self) -> &str {
        param(self.get("To"), "tag")
    }

    /// The URI between the brackets of a header.
    pub(crate) fn uri(&self, name: &str) -> &str {
        self.get(name).split(['<', '>']).nth(1).unwrap_or_default()
    }
}

fn param<'a>(value: &'a str, name: &str) -> &'a str {
    let params = value.split(';').filter_map(|p| p.split_once('='));
    params.into_iter().find(|(n, _)| n.trim() == name).map_or("", |(_, v)| v.trim())
}

/// A session description of an address where nobody listens.
pub(crate) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
    t=0 0\r\nm=audio 40000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n";

impl Stranger {
    pub(crate) async fn udp() -> Self {
        Self::udp_at("127.0.0.1").await
    }

    /// At another address of the loopback: another host.
    pub(crate) async fn udp_at(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        let addr = socket.local_addr().unwrap();
        Self { link: Link::Udp(socket, None), addr, name: "UDP", cseq: 100 }
    }

    pub(crate) async fn stream(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let name = if tls.is_some() { "TLS" } else { "TCP" };
        let tls = tls.map(tokio_rustls::TlsAcceptor::from);
        let link = Link::Stream(Listener { listener, tls }, None);
        Self { link, addr, name, cseq: 100 }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Message {
        self.next_within(SOON).await
    }

    /// The next message, which may take that long.
    pub(crate) async fn next_within(&mut self, time: Duration) -> Message {
        let next = tokio::time::timeout(time, self.read());
        next.await.expect("a message in time")
    }

    /// The next message that is none of `but`.
    pub(crate) async fn next_but(&mut self, but: &[&str]) -> Message {
        loop {
            let message = self.next().await;
            if !but.iter().any(|word| message.is(word)) {
                return message;
            }
        }
    }

    /// The next answer to that method.
    pub(crate) async fn next_of(&mut self, method: &str) -> Message {
        loop {
            let message = self.next().await;
            let is_answer = message.start().starts_with("SIP/2.0 ");
            if is_answer && message.get("CSeq").ends_with(method) {
                return message;
            }
        }
    }

    /// The ACK of the request asked last.
    pub(crate) async fn ack(&mut self, invite: &Message, tag: &str) {
        self.cseq -= 1;
        self.ask("ACK", invite, tag, "").await;
    }

    /// The next, which must be this.
    pub(crate) async fn expect(&mut self, word: &str) -> Message {
        let message = self.next().await;
        assert!(message.is(word), "{word} was awaited:\n{}", message.text);
        message
    }

    /// What comes in that time.
    pub(crate) async fn all_within(&mut self, time: Duration) -> Vec<Message> {
        let mut all = Vec::new();
        let _ = tokio::time::timeout(time, async {
            loop {
                let message = self.read().await;
                all.push(message);
            }
        })
        .await;
        all
    }

    pub(crate) async fn send(&mut self, text: &str) {
        match &mut self.link {
            Link::Udp(socket, to) => {
                socket.send_to(text.as_bytes(), to.expect("somebody to talk to")).await.unwrap();
            }
            Link::Stream(_, connection) => {
                let wire = &mut connection.as_mut().expect("somebody is there").wire;
                wire.write_all(text.as_bytes()).await.unwrap();
                wire.flush().await.unwrap();
            }
        }
    }

    /// From now on messages go there.
    pub(crate) fn talk_to(&mut self, addr: SocketAddr) {
        if let Link::Udp(_, to) = &mut self.link {
            *to = Some(addr);
        }
    }

    /// Closes the connection; another one is taken.
    pub(crate) fn disconnect(&mut self) {
        if let Link::Stream(_, connection) = &mut self.link {
            *connection = None;
        }
    }

    pub(crate) async fn answer(&mut self, request: &Message, status: u16, tag: &str) {
        self.answer_with(request, status, tag, "", "").await;
    }

    /// A 200 with a session description.
    pub(crate) async fn accept(&mut self, invite: &Message, tag: &str) {
        self.answer_with(invite, 200, tag, "", SDP).await;
    }

    pub(crate) async fn answer_with(
        &mut self,
        request: &Message,
        status: u16,
        tag: &str,
        headers: &str,
        body: &str,
    ) {
        let text = self.answer_text(request, status, tag, headers, body);
        self.send(&text).await;
    }

    pub(crate) fn answer_text(
        &self,
        request: &Message,
        status: u16,
        tag: &str,
        headers: &str,
        body: &str,
    ) -> String {
        let vias: String = request.all("Via").iter().map(|via| format!("Via: {via}\r\n")).collect();
        let mut to = request.get("To").to_owned();
        if !to.contains(";tag=") && !tag.is_empty() {
            to.push_str(&format!(";tag={tag}"));
        }
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "SIP/2.0 {status} Whatever\r\n{vias}From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:callee@{}{}>\r\n{headers}{kind}Content-Length: {}\r\n\r\n{body}",
            request.get("From"),
            request.get("Call-ID"),
            request.get("CSeq"),
            self.addr,
            self.transport(),
            body.len(),
        )
    }

    fn transport(&self) -> String {
        match self.name {
            "UDP" => String::new(),
            other => format!(";transport={}", other.to_lowercase()),
        }
    }

    /// A request within the dialog that `invite` made with our `tag`.
    pub(crate) async fn ask(&mut self, method: &str, invite: &Message, tag: &str, body: &str) {
        self.cseq += 1;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bKs{}\r\nMax-Forwards: 70\r\n\
             From: {};tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n\
             Contact: <sip:callee@{}{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            invite.uri("Contact"),
            self.name,
            self.addr,
            self.cseq,
            invite.get("To"),
            invite.get("From"),
            invite.get("Call-ID"),
            self.cseq,
            self.addr,
            self.transport(),
            body.len(),
        );
        self.send(&text).await;
    }

    async fn read(&mut self) -> Message {
        loop {
            match &mut self.link {
                Link::Udp(socket, to) => {
                    let mut buffer = vec![0; 65_536];
                    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                    *to = Some(from);
                    let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                    return Message { text };
                }
                Link::Stream(Listener { listener, tls }, none @ None) => {
                    let (stream, _) = listener.accept().await.unwrap();
                    let wire: Box<dyn Wire> = match tls {
                        Some(tls) => Box::new(tls.accept(stream).await.unwrap()),
                        None => Box::new(stream),
                    };
                    *none = Some(Connection { wire, buffer: Vec::new() });
                }
                Link::Stream(_, Some(Connection { wire, buffer })) => {
                    if let Some(message) = whole(buffer) {
                        return message;
                    }
                    assert!(wire.read_buf(buffer).await.unwrap() > 0, "the connection is closed");
                }
            }
        }
    }
}

/// Cuts a message off a stream.
fn whole(buffer: &mut Vec<u8>) -> Option<Message> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8(buffer[..head].to_vec()).unwrap();
    let body: usize = Message { text }.get("Content-Length").parse().unwrap();
    if buffer.len() < head + body {
        return None;
    }
    let text = String::from_utf8(buffer.drain(..head + body).collect()).unwrap();
    Some(Message { text })
}
