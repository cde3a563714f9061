//! Finds where a JSON value ends, byte by byte and without recursion, in pieces of any size.
//!
//! Counts brackets and knows strings; whether what lies between is JSON, serde_json judges later.

use memchr::memchr2;

use crate::error::Position;

/// Offset and line of the next byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) offset: u64,
    line: u64,
    line_start: u64,
}

impl Cursor {
    pub(crate) const START: Cursor = Cursor { offset: 0, line: 1, line_start: 0 };

    /// The byte at the cursor was a line feed; call before moving on.
    pub(crate) fn line_feed(&mut self) {
        self.line += 1;
        self.line_start = self.offset + 1;
    }

    pub(crate) fn position(self) -> Position {
        Position { offset: self.offset, line: self.line, column: self.offset - self.line_start + 1 }
    }

    /// The cursor after `text`, read from here.
    pub(crate) fn after(mut self, text: &[u8]) -> Self {
        for i in memchr::memchr_iter(b'\n', text) {
            self.line += 1;
            self.line_start = self.offset + i as u64 + 1;
        }
        self.offset += text.len() as u64;
        self
    }
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    String,
    /// Number, `true`, `false`, `null`, or nothing that JSON knows.
    Scalar,
}

impl Shape {
    /// None: no value starts with this byte.
    pub(crate) fn of(first: u8) -> Option<Self> {
        match first {
            b'{' => Some(Self::Object),
            b'[' => Some(Self::Array),
            b'"' => Some(Self::String),
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => Some(Self::Scalar),
            _ => None,
        }
    }
}

/// A value on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    shape: Shape,
    depth: u32,
    deepest: u32,
    in_string: bool,
    escaped: bool,
}

impl Frame {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, depth: 0, deepest: 0, in_string: false, escaped: false }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The deepest level met; a value that is no container has none.
    pub(crate) fn deepest(&self) -> u32 {
        self.deepest
    }

    /// Reads on. Returns how many of `bytes` belong to the value, and whether it ends with them.
    pub(crate) fn scan(&mut self, bytes: &[u8], cursor: &mut Cursor) -> (usize, bool) {
        let start = cursor.offset;
        let (used, complete) = match self.shape {
            Shape::Scalar => {
                let end = bytes.iter().position(|b| ends_scalar(*b));
                (end.unwrap_or(bytes.len()), end.is_some())
            }
            _ => self.scan_nested(bytes, start, cursor),
        };
        cursor.offset = start + used as u64;
        (used, complete)
    }

    fn scan_nested(&mut self, bytes: &[u8], start: u64, cursor: &mut Cursor) -> (usize, bool) {
        let mut i = 0;
        while i < bytes.len() {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                    i += 1;
                    continue;
                }
                let Some(step) = memchr2(b'"', b'\\', &bytes[i..]) else {
                    return (bytes.len(), false);
                };
                i += step + 1;
                if bytes[i - 1] == b'\\' {
                    self.escaped = true;
                    continue;
                }
                self.in_string = false;
                if self.depth == 0 {
                    return (i, true);
                }
                continue;
            }
            match bytes[i] {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    self.deepest = self.deepest.max(self.depth);
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (i + 1, true);
                    }
                }
                b'\n' => {
                    cursor.offset = start + i as u64;
                    cursor.line_feed();
                }
                _ => {}
            }
            i += 1;
        }
        (i, false)
    }
}

pub(crate) const fn is_white(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

const fn ends_scalar(b: u8) -> bool {
    is_white(b) || matches!(b, b',' | b':' | b'"' | b'{' | b'}' | b'[' | b']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(text: &str, step: usize) -> (usize, u32, Position) {
        let bytes = text.as_bytes();
        let mut frame = Frame::new(Shape::of(bytes[0]).unwrap());
        let mut cursor = Cursor::START;
        let mut at = 0;
        loop {
            let end = (at + step).min(bytes.len());
            let (used, complete) = frame.scan(&bytes[at..end], &mut cursor);
            at += used;
            if complete || at == bytes.len() {
                return (at, frame.deepest(), cursor.position());
            }
        }
    }

    #[test]
    fn values_end_where_they_end() {
        let table = [
            (r#"{"a":"}\"]","b":[1,{}]} x"#, 23, 3),
            (r#""a\\" x"#, 5, 0),
            (r#""a\"" x"#, 5, 0),
            ("-1.5e3,", 6, 0),
            ("null]", 4, 0),
            ("[[[]],[]],", 9, 3),
        ];
        for (text, end, deepest) in table {
            for step in 1..text.len() + 1 {
                let got = framed(text, step);
                assert_eq!((got.0, got.1), (end, deepest), "{text} by {step}");
            }
        }
    }

    #[test]
    fn lines_are_counted() {
        let text = "{\n\"a\": \"x\",\n \"b\":1}";
        for step in 1..text.len() + 1 {
            let (_, _, at) = framed(text, step);
            assert_eq!((at.offset, at.line, at.column), (19, 3, 8), "by {step}");
        }
        assert_eq!(Cursor::START.after(text.as_bytes()).position().line, 3);
    }
}
