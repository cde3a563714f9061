//! `multipart/form-data` (RFC 7578), piece by piece: bytes in, parts out.
//!
//! Holds a part's head and the length of a delimiter, never a part; knows nothing of what the parts
//! mean.

use axum::http::{HeaderMap, header};
use memchr::memmem;
use thiserror::Error;

/// Longest head of a part, in bytes.
const HEAD_MAX_BYTES: usize = 8 * 1024;
/// Longest text before the first part, in bytes; and of blanks after a delimiter.
const PREAMBLE_MAX_BYTES: usize = 8 * 1024;
/// Most parts.
const PARTS_MAX: u32 = 100;
/// Longest boundary, as RFC 2046 has it.
const BOUNDARY_MAX_BYTES: usize = 70;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum MultipartError {
    /// It does not begin with its boundary.
    #[error("the body does not begin with the boundary that Content-Type names")]
    NoBoundary,
    /// A delimiter is followed by something else.
    #[error("a boundary is not followed by the end of its line")]
    BadDelimiter,
    /// The head of a part is too long, or has no end.
    #[error("the headers of a part are longer than 8192 bytes")]
    HeadTooLong,
    /// The head of a part cannot be read.
    #[error("a part needs the header Content-Disposition: form-data; name=\"…\" in UTF-8")]
    BadHead,
    /// `Content-Transfer-Encoding`.
    #[error("send parts without Content-Transfer-Encoding")]
    Encoded,
    /// More than any form has.
    #[error("the body has more than 100 parts")]
    TooManyParts,
    /// It ends before the last boundary.
    #[error("the body ends before its last boundary")]
    CutOff,
}

/// The head of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartHead {
    /// Its name.
    pub(crate) name: String,
    /// The name of the file that it is, if it is one.
    pub(crate) filename: Option<String>,
}

/// What comes out of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A part begins.
    Begin(PartHead),
    /// Some of it.
    Data(Vec<u8>),
    /// It is over.
    End,
}

enum State {
    Preamble,
    AfterDelimiter,
    Head,
    Data,
    Over,
}

/// Takes a body apart.
pub(crate) struct Multipart {
    finder: memmem::Finder<'static>,
    state: State,
    /// What was not understood yet.
    held: Vec<u8>,
    parts: u32,
    skipped: usize,
}

/// The boundary of a form; none: it is another content type, or names none that could be.
pub(crate) fn boundary(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let fits = (1..=BOUNDARY_MAX_BYTES).contains(&boundary.len());
    (fits && boundary.bytes().all(is_good) && !boundary.ends_with(' ')).then_some(boundary)
}

impl Multipart {
    /// For bodies with this boundary.
    pub(crate) fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        Self {
            finder: memmem::Finder::new(&delimiter).into_owned(),
            state: State::Preamble,
            // The first delimiter may stand at the very beginning.
            held: b"\r\n".to_vec(),
            parts: 0,
            skipped: 0,
        }
    }

    /// The next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, MultipartError> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let (mut at, mut events) = (0, Vec::new());
        while let Some(used) = self.step(&held[at..], &mut events)? {
            at += used;
        }
        if matches!(self.state, State::Over) {
            // What comes after the last boundary says nothing.
            return Ok(events);
        }
        at += self.hand_on(&held[at..], &mut events)?;
        held.drain(..at);
        self.held = held;
        Ok(events)
    }

    /// The end of the bytes.
    pub(crate) fn finish(self) -> Result<(), MultipartError> {
        match self.state {
            State::Over => Ok(()),
            State::Preamble => Err(MultipartError::NoBoundary),
            _ => Err(MultipartError::CutOff),
        }
    }

    /// As far as the next mark; how many bytes. None: there is no mark in them.
    fn step(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<Option<usize>, MultipartError> {
        match self.state {
            State::Over => Ok(None),
            State::Preamble | State::Data => {
                let Some(found) = self.finder.find(bytes) else { return Ok(None) };
                if matches!(self.state, State::Data) {
                    data(&bytes[..found], events);
                    events.push(Event::End);
                }
                self.state = State::AfterDelimiter;
                Ok(Some(found + self.finder.needle().len()))
            }
            State::AfterDelimiter => self.after_delimiter(bytes),
            State::Head => self.head(bytes, events),
        }
    }

    fn after_delimiter(&mut self, bytes: &[u8]) -> Result<Option<usize>, MultipartError> {
        if bytes.starts_with(b"--") {
            self.state = State::Over;
            return Ok(Some(bytes.len()));
        }
        let blanks = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match &bytes[blanks..] {
            [b'\r', b'\n', ..] => {
                self.state = State::Head;
                Ok(Some(blanks + 2))
            }
            [] | [b'\r'] if blanks <= PREAMBLE_MAX_BYTES => Ok(None),
            [b'-'] if blanks == 0 => Ok(None),
            _ => Err(MultipartError::BadDelimiter),
        }
    }

    fn head(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<Option<usize>, MultipartError> {
        let window = &bytes[..bytes.len().min(HEAD_MAX_BYTES)];
        if window.starts_with(b"\r\n") {
            return Err(MultipartError::BadHead);
        }
        let Some(end) = memmem::find(window, b"\r\n\r\n") else {
            let is_full = window.len() == HEAD_MAX_BYTES;
            return if is_full { Err(MultipartError::HeadTooLong) } else { Ok(None) };
        };
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(MultipartError::TooManyParts);
        }
        events.push(Event::Begin(part_head(&window[..end])?));
        self.state = State::Data;
        // The delimiter's own CRLF may be the last of these.
        Ok(Some(end + 4))
    }

    /// Without a mark: all but what may be the beginning of one; how many bytes.
    fn hand_on(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<usize, MultipartError> {
        let sure = bytes.len().saturating_sub(self.finder.needle().len() - 1);
        match self.state {
            State::Data => data(&bytes[..sure], events),
            State::Preamble => {
                self.skipped += sure;
                if self.skipped > PREAMBLE_MAX_BYTES {
                    return Err(MultipartError::NoBoundary);
                }
            }
            _ => return Ok(0),
        }
        Ok(sure)
    }
}

fn data(bytes: &[u8], events: &mut Vec<Event>) {
    if !bytes.is_empty() {
        events.push(Event::Data(bytes.to_vec()));
    }
}

fn part_head(bytes: &[u8]) -> Result<PartHead, MultipartError> {
    let text = std::str::from_utf8(bytes).map_err(|_| MultipartError::BadHead)?;
    let mut head = None;
    for line in text.split("\r\n") {
        let (key, value) = line.split_once(':').ok_or(MultipartError::BadHead)?;
        let value = value.trim();
        if key.eq_ignore_ascii_case("content-disposition") {
            let (kind, parameters) = value.split_once(';').ok_or(MultipartError::BadHead)?;
            if !kind.trim().eq_ignore_ascii_case("form-data") || head.is_some() {
                return Err(MultipartError::BadHead);
            }
            let name = parameter(parameters, "name").ok_or(MultipartError::BadHead)?;
            let filename = parameter(parameters, "filename*")
                .and_then(|f| f.rsplit('\'').next().map(str::to_owned))
                .or_else(|| parameter(parameters, "filename"));
            head = Some(PartHead { name, filename });
        } else if key.eq_ignore_ascii_case("content-transfer-encoding")
            && !["7bit", "8bit", "binary"].iter().any(|ok| value.eq_ignore_ascii_case(ok))
        {
            return Err(MultipartError::Encoded);
        }
    }
    head.ok_or(MultipartError::BadHead)
}

/// The value of a parameter in `; a=b; c="d"`. In quotation marks only `\"` is an escape: browsers
/// send file names with backslashes as they are.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim().trim_start_matches(';').trim();
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if key.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next;
    }
    None
}

fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' if characters.next_if(|(_, next)| *next == '"').is_some() => value.push('"'),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--B \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n--B\r\n\
        content-disposition: FORM-DATA; filename=\"x\\y \\\"z.csv\"; name=file\r\nContent-Type: \
        text/csv\r\n\r\n\r\n--Bé\r\n--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n\
        --B--\r\nepilogue --B";

    fn parse(body: &[u8], piece: usize) -> Result<Vec<(PartHead, Vec<u8>)>, MultipartError> {
        let mut multipart = Multipart::new("B");
        let mut parts: Vec<(PartHead, Vec<u8>)> = Vec::new();
        let mut open = false;
        for bytes in body.chunks(piece) {
            for event in multipart.feed(bytes)? {
                match event {
                    Event::Begin(head) => {
                        assert!(!open);
                        open = true;
                        parts.push((head, Vec::new()));
                    }
                    Event::Data(data) => parts.last_mut().unwrap().1.extend(data),
                    Event::End => open = false,
                }
            }
        }
        multipart.finish().map(|()| parts)
    }

    fn head(name: &str, filename: Option<&str>) -> PartHead {
        PartHead { name: name.to_owned(), filename: filename.map(str::to_owned) }
    }

    #[test]
    fn parts_in_pieces_of_any_size() {
        for piece in 1..BODY.len() {
            let parts = parse(BODY.replace("--Bé", "--C\r\n-").as_bytes(), piece).unwrap();
            assert_eq!(parts[0], (head("a", None), b"1\r\n2".to_vec()), "{piece}");
            let file = (head("file", Some("x\\y \"z.csv")), b"\r\n--C\r\n-".to_vec());
            assert_eq!(parts[1], file, "{piece}");
            assert_eq!(parts[2], (head("", None), Vec::new()), "{piece}");
            assert_eq!(parts.len(), 3);
        }
    }

    #[test]
    fn broken_bodies() {
        let part = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n";
        let cases = [
            (String::new(), MultipartError::NoBoundary),
            ("no boundary".to_owned(), MultipartError::NoBoundary),
            ("x".repeat(100_000), MultipartError::NoBoundary),
            (part.to_owned(), MultipartError::CutOff),
            (format!("{part}--B"), MultipartError::CutOff),
            (BODY.to_owned(), MultipartError::BadDelimiter),
            ("--B\r\n\r\nx".to_owned(), MultipartError::BadHead),
            ("--B\r\nContent-Type: text/csv\r\n\r\nx".to_owned(), MultipartError::BadHead),
            (format!("--B\r\n{}", "x".repeat(9000)), MultipartError::HeadTooLong),
            (
                "--B\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: \
                 base64\r\n\r\nx"
                    .to_owned(),
                MultipartError::Encoded,
            ),
            (part.repeat(101), MultipartError::TooManyParts),
        ];
        for (body, expected) in cases {
            for piece in [1, 7, body.len().max(1)] {
                assert_eq!(parse(body.as_bytes(), piece), Err(expected), "{body:.60}");
            }
        }
    }

    #[test]
    fn boundaries() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            boundary(&headers)
        };
        assert_eq!(of("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        let quoted = "Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a b\"";
        assert_eq!(of(quoted).as_deref(), Some("a b"));
        assert_eq!(of("multipart/mixed; boundary=abc"), None);
        assert_eq!(of("multipart/form-data"), None);
        assert_eq!(of(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }
}
