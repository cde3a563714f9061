//! SIP messages: read with bounds, written from checked parts.
//!
//! The lines of a message are taken apart by `rsipstack::sip`; what that lets through (unbounded
//! and repeated headers, bare line ends, broken text, lengths that lie, users with parameters) is
//! refused or read here. Nothing that comes from the network may panic here, and nothing that
//! holds a line end may ever be written into a header. No type of the parser leaves this module.

mod build;
mod grammar;
mod head;
mod uri;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use rsipstack::sip as rsip;
use thiserror::Error;

pub(crate) use build::{RequestBuilder, ResponseBuilder, Unfit};
pub(crate) use grammar::{is_token, quoted, unquoted};
pub(crate) use head::{Head, Refresher};
pub(crate) use uri::{Address, SipUri, name_addr};

/// The longest message, in bytes: what a datagram can hold.
pub(crate) const MAX_MESSAGE: usize = 65_535;
/// The most lines before the body.
pub(crate) const MAX_LINES: usize = 128;
/// The longest line, in bytes.
pub(crate) const MAX_LINE: usize = 8_192;
/// The longest header that still may go on in another line, in bytes.
const MAX_FOLDED: usize = 4_000;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Method {
    Ack,
    Bye,
    Cancel,
    Info,
    Invite,
    Message,
    Notify,
    Options,
    Prack,
    Publish,
    Refer,
    Register,
    Subscribe,
    Update,
    /// One that nobody here knows.
    Other(String),
}

impl Method {
    const KNOWN: [Method; 14] = [
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Info,
        Self::Invite,
        Self::Message,
        Self::Notify,
        Self::Options,
        Self::Prack,
        Self::Publish,
        Self::Refer,
        Self::Register,
        Self::Subscribe,
        Self::Update,
    ];

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Info => "INFO",
            Self::Invite => "INVITE",
            Self::Message => "MESSAGE",
            Self::Notify => "NOTIFY",
            Self::Options => "OPTIONS",
            Self::Prack => "PRACK",
            Self::Publish => "PUBLISH",
            Self::Refer => "REFER",
            Self::Register => "REGISTER",
            Self::Subscribe => "SUBSCRIBE",
            Self::Update => "UPDATE",
            Self::Other(word) => word,
        }
    }

    /// The reverse of [`Method::as_str`]; case matters. None: not a method at all.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let known = Self::KNOWN.into_iter().find(|m| m.as_str() == word);
        let other = || {
            let fits = word.len() <= 32 && grammar::is_token(word);
            fits.then(|| Self::Other(word.to_owned()))
        };
        known.or_else(other)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes are no message. What stands in them is told to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[error("{}", self.as_str())]
pub(crate) enum Malformed {
    /// Longer than [`MAX_MESSAGE`].
    TooLong,
    /// More than [`MAX_LINES`] lines.
    TooManyLines,
    /// A line longer than [`MAX_LINE`].
    LongLine,
    /// Not UTF-8, or with control characters.
    NotText,
    /// No empty line ends the headers.
    NoEnd,
    /// Neither a request line nor a status line.
    StartLine,
    /// Not SIP/2.0.
    Version,
    /// A status outside 100 to 699.
    Status,
    /// A header line that is none.
    Header,
    /// A header that must be there is not.
    Missing,
    /// A header that must be there once is there more often.
    Twice,
    /// No readable `Via` with a branch.
    Via,
    /// No readable `From` or `To`.
    Address,
    /// No readable `CSeq`, or one of another method.
    CSeq,
    /// `Content-Length` is no number, or says more than is there.
    ContentLength,
}

impl Malformed {
    /// The word of a counter.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::TooManyLines => "too_many_lines",
            Self::LongLine => "long_line",
            Self::NotText => "not_text",
            Self::NoEnd => "no_end",
            Self::StartLine => "start_line",
            Self::Version => "version",
            Self::Status => "status",
            Self::Header => "header",
            Self::Missing => "missing_header",
            Self::Twice => "repeated_header",
            Self::Via => "via",
            Self::Address => "address",
            Self::CSeq => "cseq",
            Self::ContentLength => "content_length",
        }
    }
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) enum SipMessage {
    /// Somebody asks.
    Request(Request),
    /// Somebody answers.
    Response(Response),
}

impl SipMessage {
    /// Its headers.
    pub(crate) fn head(&self) -> &Head {
        match self {
            Self::Request(request) => &request.head,
            Self::Response(response) => &response.head,
        }
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct Request {
    /// What it asks for.
    pub(crate) method: Method,
    /// Of whom.
    pub(crate) uri: SipUri,
    /// Its headers.
    pub(crate) head: Head,
    /// Its body, as long as `Content-Length` says.
    pub(crate) body: Bytes,
}

/// An answer.
#[derive(Clone)]
pub(crate) struct Response {
    /// 100 to 699.
    pub(crate) status: u16,
    /// Its headers.
    pub(crate) head: Head,
    /// Its body, as long as `Content-Length` says.
    pub(crate) body: Bytes,
}

/// Without numbers of people: this may stand in a log.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {} bytes of body)", self.method, self.head, self.body.len())
    }
}

/// Without numbers of people: this may stand in a log.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {} bytes of body)", self.status, self.head, self.body.len())
    }
}

impl Request {
    /// Writes into the top `Via` where the request really came from (RFC 3261 section 18.2.1,
    /// RFC 3581), so that its answers find the way back.
    pub(crate) fn set_received(&mut self, from: SocketAddr) {
        self.head.set_received(from);
    }

    /// Where answers go that are sent as datagrams (RFC 3261 section 18.2.2, RFC 3581). None: the
    /// request does not say.
    pub(crate) fn reply_to(&self) -> Option<SocketAddr> {
        let via = &self.head.via;
        let ip = via.received.or_else(|| via.host.parse::<IpAddr>().ok())?;
        let port = via.rport.flatten().or(via.port).unwrap_or(5060);
        Some(SocketAddr::new(ip, port))
    }
}

/// Reads one whole message: a datagram, or what a stream's framing cut out.
pub(crate) fn parse(bytes: &[u8]) -> Result<SipMessage, Malformed> {
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let bytes = &bytes[blank..];
    let (text, rest) = split(bytes)?;
    let mut lines = text.split("\r\n");
    let start = lines.next().ok_or(Malformed::StartLine)?;
    let start = StartLine::parse(start)?;
    check_headers(lines)?;
    let body = match content_length(text.as_bytes())? {
        Some(length) => rest.get(..length).ok_or(Malformed::ContentLength)?,
        None => rest,
    };
    let body = Bytes::copy_from_slice(body);
    let head = Head::new(headers_of(text, &start)?)?;
    match start {
        StartLine::Request { method, uri } => {
            if head.method != method {
                return Err(Malformed::CSeq);
            }
            Ok(SipMessage::Request(Request { method, uri, head, body }))
        }
        StartLine::Status { status } => Ok(SipMessage::Response(Response { status, head, body })),
    }
}

/// What `Content-Length` says, of everything up to the empty line. For the framing of streams,
/// where a message without one cannot be told from the next.
pub(crate) fn content_length(head: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut found = None;
    let mut lines = head.split(|b| *b == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = line[..colon].trim_ascii();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = line[colon + 1..].trim_ascii();
        let is_number = (1..=9).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let is_folded = lines.peek().is_some_and(|next| next.starts_with(b" "))
            || lines.peek().is_some_and(|next| next.starts_with(b"\t"));
        if !is_number || is_folded {
            return Err(Malformed::ContentLength);
        }
        let value = value.iter().fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
        if found.replace(value).is_some() {
            return Err(Malformed::Twice);
        }
    }
    Ok(found)
}

/// The lines before the body, without the empty one, and what follows.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Malformed::TooLong);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(Malformed::NoEnd)?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Malformed::NotText)?;
    let mut lines = 0;
    for line in text.split("\r\n") {
        lines += 1;
        if lines > MAX_LINES {
            return Err(Malformed::TooManyLines);
        }
        if line.len() > MAX_LINE {
            return Err(Malformed::LongLine);
        }
        // A carriage return or line feed that stands alone is one of these.
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(Malformed::NotText);
        }
    }
    Ok((text, &bytes[end + 4..]))
}

/// Every header line is a name and a colon, or goes on with the line before it; what is folded is
/// not long, of which the parser would complain line by line.
fn check_headers<'a>(lines: impl Iterator<Item = &'a str>) -> Result<(), Malformed> {
    let mut length = 0;
    for (nth, line) in lines.enumerate() {
        if line.starts_with([' ', '\t']) {
            if nth == 0 {
                return Err(Malformed::Header);
            }
            if length > MAX_FOLDED {
                return Err(Malformed::LongLine);
            }
            length += line.len();
            continue;
        }
        length = line.len();
        let (name, _) = line.split_once(':').ok_or(Malformed::Header)?;
        if !grammar::is_token(name.trim_end_matches([' ', '\t'])) {
            return Err(Malformed::Header);
        }
    }
    Ok(())
}

enum StartLine {
    Request {
        method: Method,
        uri: SipUri,
    },
    /// The phrase is for people, and of no people here.
    Status {
        status: u16,
    },
}

impl StartLine {
    fn parse(line: &str) -> Result<Self, Malformed> {
        let (first, rest) = line.split_once(' ').ok_or(Malformed::StartLine)?;
        if first.eq_ignore_ascii_case("SIP/2.0") {
            let status = rest.split(' ').next().unwrap_or_default();
            if status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Malformed::Status);
            }
            let status = status.parse().map_err(|_| Malformed::Status)?;
            if !(100..700).contains(&status) {
                return Err(Malformed::Status);
            }
            return Ok(Self::Status { status });
        }
        let method = Method::parse(first).ok_or(Malformed::StartLine)?;
        let (uri, version) = rest.split_once(' ').ok_or(Malformed::StartLine)?;
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            return Err(Malformed::Version);
        }
        let uri = SipUri::parse(uri).ok_or(Malformed::StartLine)?;
        Ok(Self::Request { method, uri })
    }
}

/// The headers, by their long names and with folded lines joined. The start line is read already,
/// and the parser knows fewer methods than there are: it gets one that it knows.
fn headers_of(text: &str, start: &StartLine) -> Result<rsip::Headers, Malformed> {
    let own = match start {
        StartLine::Request { .. } => "OPTIONS sip:localhost SIP/2.0",
        StartLine::Status { .. } => "SIP/2.0 200 OK",
    };
    let lines = text.split_once("\r\n").ok_or(Malformed::Missing)?.1;
    let bytes = [own, "\r\n", lines, "\r\n\r\n"].concat();
    match rsip::parser::parse_message(bytes.as_bytes()).map_err(|_| Malformed::Header)? {
        rsip::SipMessage::Request(request) => Ok(request.headers),
        rsip::SipMessage::Response(response) => Ok(response.headers),
    }
}

#[cfg(test)]
mod tests;
