//! Where one request ends and the next begins, read strictly from the bytes of a connection.
//!
//! Requests that two readers could cut differently are refused here (RFC 9112 section 6.3, request
//! smuggling), as are heads without end. Only looks: the bytes go on to the HTTP library, which
//! makes sense of them. Never holds more than one line.

use axum::http::StatusCode;

/// Longest line of a chunk's size, or of all trailers together, in bytes.
const CHUNK_LINE_MAX: usize = 4096;
/// A chunk's size has at most so many digits: more would not fit.
const CHUNK_DIGITS_MAX: u32 = 15;
/// Empty lines that may stand before a request.
const EMPTY_LINES_MAX: u32 = 4;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    /// All of it, in bytes.
    pub(super) bytes: usize,
    /// Its fields.
    pub(super) fields: usize,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// How the request is answered.
    pub(super) status: StatusCode,
    /// For people; nothing of what was sent.
    pub(super) why: &'static str,
}

const fn bad(why: &'static str) -> Fault {
    Fault { status: StatusCode::BAD_REQUEST, why }
}

const fn too_large(why: &'static str) -> Fault {
    Fault { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why }
}

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Framing {
    limits: HeadLimits,
    place: Place,
    line: Vec<u8>,
    head: Head,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a request; so many empty lines came.
    Between(u32),
    /// In its first line.
    Start,
    /// In its fields.
    Fields,
    /// In a body with so many bytes to come.
    Body(u64),
    /// In the line of a chunk's size.
    ChunkSize,
    /// In a chunk with so many bytes to come.
    Chunk(u64),
    /// In the line break after a chunk.
    ChunkEnd,
    /// In what follows the last chunk.
    Trailers,
}

/// What is known of the head that is being read.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    fields: usize,
    is_1_1: bool,
    hosts: u32,
    length: Option<u64>,
    is_chunked: bool,
}

impl Framing {
    /// At the beginning of a connection.
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self { limits, place: Place::Between(0), line: Vec::new(), head: Head::default() }
    }

    /// Some, but not all, of a head has come.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Start | Place::Fields)
    }

    /// A request has begun to come, and has not come whole.
    pub(super) fn is_in_request(&self) -> bool {
        !matches!(self.place, Place::Between(_))
    }

    /// Looks at what came next.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::Body(left) => {
                    let (rest, left) = skip(bytes, left);
                    self.place = if left == 0 { Place::Between(0) } else { Place::Body(left) };
                    rest
                }
                Place::Chunk(left) => {
                    let (rest, left) = skip(bytes, left);
                    self.place = if left == 0 { Place::ChunkEnd } else { Place::Chunk(left) };
                    rest
                }
                _ => self.feed_line(bytes)?,
            };
        }
        Ok(())
    }

    /// Takes bytes to the end of the line; returns the rest.
    fn feed_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        if matches!(self.place, Place::Between(_)) && bytes[0] != b'\r' && self.line.is_empty() {
            self.head = Head::default();
            self.place = Place::Start;
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        self.count(part.len())?;
        self.line.extend_from_slice(part);
        if end.is_none() {
            return Ok(rest);
        }
        let mut line = std::mem::take(&mut self.line);
        let done = match line.strip_suffix(b"\r\n") {
            Some(text) if !text.contains(&b'\r') => self.line_is(text),
            _ => Err(bad("a line of the request does not end with CR LF")),
        };
        // Its memory serves the next line.
        line.clear();
        self.line = line;
        done.map(|()| rest)
    }

    fn count(&mut self, more: usize) -> Result<(), Fault> {
        self.head.bytes += more;
        match self.place {
            Place::Start | Place::Fields if self.head.bytes > self.limits.bytes => {
                Err(too_large("the head of the request is too large"))
            }
            Place::Between(_) if self.line.len() + more > 2 => Err(bad("what came is no request")),
            Place::ChunkEnd if self.line.len() + more > 2 => Err(bad("a chunk is too long")),
            Place::ChunkSize | Place::Trailers if self.head.bytes > CHUNK_LINE_MAX => {
                Err(bad("a chunk's size, or what follows the body, is too long"))
            }
            _ => Ok(()),
        }
    }

    fn line_is(&mut self, line: &[u8]) -> Result<(), Fault> {
        match self.place {
            Place::Between(n) if n >= EMPTY_LINES_MAX => Err(bad("what came is no request")),
            Place::Between(n) => {
                self.place = Place::Between(n + 1);
                Ok(())
            }
            Place::Start => {
                self.head.is_1_1 = line.ends_with(b" HTTP/1.1");
                self.place = Place::Fields;
                Ok(())
            }
            Place::Fields if line.is_empty() => self.end_of_head(),
            Place::Fields => self.field(line),
            Place::ChunkSize => {
                self.head.bytes = 0;
                self.place = match chunk_size(line)? {
                    0 => Place::Trailers,
                    size => Place::Chunk(size),
                };
                Ok(())
            }
            Place::ChunkEnd => {
                self.head.bytes = 0;
                self.place = Place::ChunkSize;
                Ok(())
            }
            Place::Trailers if line.is_empty() => {
                self.place = Place::Between(0);
                Ok(())
            }
            Place::Trailers => name_and_value(line).map(|_| ()),
            Place::Body(_) | Place::Chunk(_) => Ok(()),
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.head.fields += 1;
        if self.head.fields > self.limits.fields {
            return Err(too_large("the request has too many header fields"));
        }
        let (name, value) = name_and_value(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            self.head.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.head.length.replace(decimal(value)?).is_some() {
                return Err(bad("Content-Length is there more than once"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if std::mem::replace(&mut self.head.is_chunked, true) {
                return Err(bad("Transfer-Encoding is there more than once"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(bad("Transfer-Encoding: only chunked is understood"));
            }
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Fault> {
        let head = &self.head;
        if head.is_1_1 && head.hosts != 1 {
            return Err(bad("the request must have one Host header"));
        }
        if head.is_chunked && head.length.is_some() {
            return Err(bad("Content-Length and Transfer-Encoding do not go together"));
        }
        if head.is_chunked && !head.is_1_1 {
            return Err(bad("Transfer-Encoding needs HTTP/1.1"));
        }
        self.place = match (head.is_chunked, head.length) {
            (true, _) => Place::ChunkSize,
            (false, None | Some(0)) => Place::Between(0),
            (false, Some(length)) => Place::Body(length),
        };
        self.head.bytes = 0;
        Ok(())
    }
}

/// The rest of `bytes` after `left` of them, and how many are then still to come.
fn skip(bytes: &[u8], left: u64) -> (&[u8], u64) {
    let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (&bytes[now..], left - now as u64)
}

/// A field line. White space before the colon, or at the beginning of the line (obs-fold), is read
/// in more than one way.
fn name_and_value(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let colon = line.iter().position(|b| *b == b':').unwrap_or(0);
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err(bad("a header line has no name, or white space before its colon"));
    }
    let value = &value[1..];
    if value.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
        return Err(bad("a header's value has a control character"));
    }
    Ok((name, value.trim_ascii()))
}

/// RFC 9110 section 5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn decimal(value: &[u8]) -> Result<u64, Fault> {
    let wrong = bad("Content-Length is not a number");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).ok_or(wrong)
}

/// Of the line of a chunk's size; extensions are passed over.
fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let wrong = bad("a chunk's size is not a hexadecimal number");
    let digits = line.split(|b| *b == b';').next().unwrap_or_default();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    if !is_number || digits.len() > CHUNK_DIGITS_MAX as usize {
        return Err(wrong);
    }
    let text = std::str::from_utf8(digits).map_err(|_| wrong)?;
    u64::from_str_radix(text, 16).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 300, fields: 5 };

    /// The fault, the same however the bytes are cut; and whether a head is open at the end.
    fn read(bytes: &[u8]) -> Result<bool, u16> {
        let mut whole = Framing::new(LIMITS);
        let result = whole.feed(bytes).map(|()| whole.is_in_head()).map_err(|f| f.status.as_u16());
        let mut single = Framing::new(LIMITS);
        let by_bytes = bytes
            .iter()
            .try_for_each(|b| single.feed(&[*b]))
            .map(|()| single.is_in_head())
            .map_err(|f| f.status.as_u16());
        assert_eq!(result, by_bytes, "{}", String::from_utf8_lossy(bytes));
        if result.is_ok() {
            assert_eq!(whole.place, single.place);
        }
        result
    }

    fn with(fields: &str, rest: &str) -> Result<bool, u16> {
        read(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n{rest}").as_bytes())
    }

    #[test]
    fn requests_follow_each_other() {
        let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(read(get.repeat(20).as_bytes()), Ok(false));
        assert_eq!(read(b"GET / HTTP/1.0\r\n\r\n"), Ok(false));
        assert_eq!(read(b"\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n"), Ok(true));
        assert_eq!(read(b"G"), Ok(true));
        assert_eq!(with("Content-Length: 5\r\n", &format!("12345{get}")), Ok(false));
        // What looks like a bad head is a body, and the other way round.
        assert_eq!(with("Content-Length: 9\r\n", "X : y\r\n\r\n"), Ok(false));
        assert_eq!(with("Content-Length: 8\r\n", "X : y\r\n\r\nG"), Err(400));
        let chunks = "5\r\nX : y\r\n1a;ext=\"v\"\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n";
        for trailers in ["\r\n", "Check: sum\r\n\r\n"] {
            let rest = format!("{chunks}{trailers}{get}G");
            assert_eq!(with("Transfer-Encoding: chunked\r\n", &rest), Ok(true));
        }
    }

    #[test]
    fn what_two_readers_could_cut_differently() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length : 5\r\n",
            " Content-Length: 5\r\n",
            "X: a\r\n b\r\n",
            "X: a\r\n\tTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding\r\n",
            "Host: y\r\n",
            "X: a\nY: b\r\n",
            "X: a\rY: b\r\n",
            "X: a\0\r\n",
            "X\0: a\r\n",
            ": a\r\n",
        ] {
            assert_eq!(with(fields, ""), Err(400), "{fields:?}");
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), Err(400), "no host");
        assert_eq!(read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(400));
        assert_eq!(read(b"\r\n\r\n\r\n\r\n\r\n"), Err(400));
        for rest in [
            "0x5\r\n",
            "5 \r\n",
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "5\nabcde",
            "1000000000000000\r\n",
            "2\r\nabc\r\n",
            "2\r\nab\n0\r\n\r\n",
            "0\r\nX : y\r\n",
            "0\r\n folded\r\n",
            &format!("5;{}\r\n", "x".repeat(5000)),
            &format!("0\r\n{}", "x: y\r\n".repeat(1000)),
        ] {
            assert_eq!(with(chunked, rest), Err(400), "{rest:?}");
        }
    }

    #[test]
    fn heads_have_an_end() {
        assert_eq!(with(&"a: b\r\n".repeat(4), ""), Ok(false));
        assert_eq!(with(&"a: b\r\n".repeat(5), ""), Err(431));
        assert_eq!(with(&format!("a: {}\r\n", "x".repeat(300)), ""), Err(431));
        assert_eq!(read(&[b'x'; 301]), Err(431));
        // The limit is of one head.
        let get = "GET / HTTP/1.1\r\nhost: x\r\na: b\r\n\r\n";
        assert_eq!(read(get.repeat(100).as_bytes()), Ok(false));
    }
}
