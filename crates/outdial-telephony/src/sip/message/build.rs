//! Messages are written here, and nowhere else. Whatever is handed over, a message has the lines
//! it was given and no more: control characters are refused, not escaped.

use std::fmt::{Display, Write};

use bytes::{BufMut, Bytes, BytesMut};
use rsipstack::sip as rsip;
use thiserror::Error;

use super::{MAX_MESSAGE, Method, Request, SipUri, grammar};

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Unfit(pub(crate) &'static str);

/// A request in the making. Headers stand in the order in which they are given; `Content-Length`
/// comes by itself.
#[derive(Clone, Debug)]
pub(crate) struct RequestBuilder(Lines);

impl RequestBuilder {
    /// A request to `uri`.
    pub(crate) fn new(method: &Method, uri: &SipUri) -> Self {
        let mut lines = Lines::default();
        if !grammar::is_token(method.as_str()) {
            lines.fault = Some(Unfit("a method that is none"));
        }
        lines.push(format_args!("{method} {uri} SIP/2.0"));
        Self(lines)
    }

    /// One header line.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Display) -> Self {
        self.0.header(name, value);
        self
    }

    /// A header line for each value.
    #[must_use]
    pub(crate) fn headers(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = impl Display>,
    ) -> Self {
        values.into_iter().for_each(|value| self.0.header(name, value));
        self
    }

    /// The body, and what it is.
    #[must_use]
    pub(crate) fn body(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.0.body(content_type, body);
        self
    }

    /// The request as it is sent.
    pub(crate) fn build(self) -> Result<Bytes, Unfit> {
        self.0.build()
    }
}

/// An answer in the making.
#[derive(Clone, Debug)]
pub(crate) struct ResponseBuilder {
    status: u16,
    to_tag: Option<String>,
    copied: Lines,
    to: (String, bool),
    lines: Lines,
}

impl ResponseBuilder {
    /// An answer to `request`, with what RFC 3261 section 8.2.6 copies: `Via`, `From`, `To`,
    /// `Call-ID`, `CSeq`, `Timestamp` into a 100, and `Record-Route` where a dialog may begin.
    pub(crate) fn to(request: &Request, status: u16) -> Self {
        let head = &request.head;
        let mut copied = Lines::default();
        head.vias().iter().for_each(|via| copied.header("Via", via));
        copied.header("From", head.from.text());
        copied.header("Call-ID", &head.call_id);
        copied.header("CSeq", format_args!("{} {}", head.cseq, head.method));
        if status == 100 {
            head.all("Timestamp").iter().for_each(|value| copied.header("Timestamp", value));
        }
        if (101..300).contains(&status) {
            head.all("Record-Route").iter().for_each(|value| copied.header("Record-Route", value));
        }
        if !(100..700).contains(&status) {
            copied.fault = Some(Unfit("a status that is none"));
        }
        let to = (head.to.text().to_owned(), head.to.tag.is_some());
        Self { status, to_tag: None, copied, to, lines: Lines::default() }
    }

    /// Our tag, if the request's `To` has none.
    #[must_use]
    #[expect(clippy::wrong_self_convention, reason = "the tag of `To`")]
    pub(crate) fn to_tag(mut self, tag: &str) -> Self {
        if !grammar::is_token(tag) {
            self.lines.fault = Some(Unfit("a tag that is none"));
        }
        self.to_tag = Some(tag.to_owned());
        self
    }

    /// One header line.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Display) -> Self {
        self.lines.header(name, value);
        self
    }

    /// The body, and what it is.
    #[must_use]
    pub(crate) fn body(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.lines.body(content_type, body);
        self
    }

    /// The answer as it is sent.
    pub(crate) fn build(self) -> Result<Bytes, Unfit> {
        let reason = phrase(self.status);
        let mut all = Lines::default();
        all.push(format_args!("SIP/2.0 {} {reason}", self.status));
        all.text.push_str(&self.copied.text);
        match self.to_tag.filter(|_| !self.to.1) {
            Some(tag) => all.header("To", format_args!("{};tag={tag}", self.to.0)),
            None => all.header("To", &self.to.0),
        }
        all.text.push_str(&self.lines.text);
        all.fault = all.fault.or(self.copied.fault).or(self.lines.fault);
        all.body = self.lines.body;
        all.build()
    }
}

/// The usual phrase of a status.
fn phrase(status: u16) -> String {
    match rsip::StatusCode::try_from((status, "")) {
        Ok(code) if !code.text().is_empty() => code.text().to_owned(),
        _ => "Answer".to_owned(),
    }
}

#[derive(Clone, Debug, Default)]
struct Lines {
    text: String,
    body: Bytes,
    fault: Option<Unfit>,
}

impl Lines {
    fn push(&mut self, line: impl Display) {
        let begin = self.text.len();
        let written = write!(self.text, "{line}");
        // A tab is a space: it ends no line.
        let is_control = |c: char| c.is_control() && c != '\t';
        if written.is_err() || self.text[begin..].chars().any(is_control) {
            self.text.truncate(begin);
            self.fault = Some(Unfit("a control character in a header"));
            return;
        }
        self.text.push_str("\r\n");
    }

    fn header(&mut self, name: &'static str, value: impl Display) {
        if !grammar::is_token(name) {
            self.fault = Some(Unfit("a name of a header that is none"));
            return;
        }
        self.push(format_args!("{name}: {value}"));
    }

    fn body(&mut self, content_type: &'static str, body: Bytes) {
        self.header("Content-Type", content_type);
        self.body = body;
    }

    fn build(mut self) -> Result<Bytes, Unfit> {
        self.header("Content-Length", self.body.len());
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let length = self.text.len() + 2 + self.body.len();
        if length > MAX_MESSAGE {
            return Err(Unfit("longer than a message may be"));
        }
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_slice(self.text.as_bytes());
        bytes.put_slice(b"\r\n");
        bytes.put_slice(&self.body);
        Ok(bytes.freeze())
    }
}
