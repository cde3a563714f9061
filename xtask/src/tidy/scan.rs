//! Splits Rust source into what is code, what is comment, and what is literal.
//!
//! It knows strings (plain, byte, C, raw), characters against lifetimes, and nested comments; it
//! is no parser and needs none. Every view has the lines and columns of the source, with blanks
//! for what it leaves out.

/// A source file taken apart.
pub(super) struct Scanned {
    /// Code alone; comments and the insides of literals are blank.
    pub(super) code: String,
    /// Comments alone.
    pub(super) comments: String,
    /// For each line, from 0: the line on which the string begins that reaches into this one.
    pub(super) string_from: Vec<Option<usize>>,
}

/// Takes a source file apart.
pub(super) fn scan(source: &str) -> Scanned {
    let mut scanner = Scanner::new(source);
    while scanner.at < scanner.chars.len() {
        scanner.step();
    }
    Scanned {
        code: scanner.code.into_iter().collect(),
        comments: scanner.comments.into_iter().collect(),
        string_from: scanner.string_from,
    }
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    line: usize,
    code: Vec<char>,
    comments: Vec<char>,
    string_from: Vec<Option<usize>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Scanner {
    fn new(source: &str) -> Self {
        let chars: Vec<char> = source.chars().collect();
        let (code, comments) = (Vec::with_capacity(chars.len()), Vec::with_capacity(chars.len()));
        Self { chars, at: 0, line: 0, code, comments, string_from: vec![None] }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Moves one character into the view that it belongs to.
    fn take(&mut self, kind: Kind) {
        let Some(c) = self.peek(0) else { return };
        self.at += 1;
        let blank = if c == '\n' { '\n' } else { ' ' };
        self.code.push(if matches!(kind, Kind::Code) { c } else { blank });
        self.comments.push(if matches!(kind, Kind::Comment) { c } else { blank });
        if c == '\n' {
            self.line += 1;
            self.string_from.push(None);
        }
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => self.line_comment(),
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.string(),
            (Some('\''), _) => self.quote(),
            (Some(c), _) if c == '_' || c.is_alphanumeric() => self.word(),
            _ => self.take(Kind::Code),
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take(Kind::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0usize;
        while self.at < self.chars.len() {
            let pair = (self.peek(0), self.peek(1));
            match pair {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.take(Kind::Comment);
                    continue;
                }
            }
            self.take(Kind::Comment);
            self.take(Kind::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    /// A word of code, unless it is the prefix of a literal: `r"`, `br#"`, `b'`.
    fn word(&mut self) {
        let mut end = 0;
        while self.peek(end).is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            end += 1;
        }
        let word: String = self.chars[self.at..self.at + end].iter().collect();
        for _ in 0..end {
            self.take(Kind::Code);
        }
        if matches!(word.as_str(), "r" | "br" | "cr") {
            let mut hashes = 0;
            while self.peek(hashes) == Some('#') {
                hashes += 1;
            }
            // Otherwise it is a raw identifier, `r#type`.
            if self.peek(hashes) == Some('"') {
                self.raw_string(hashes);
            }
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let from = self.line;
        for _ in 0..=hashes {
            self.take(Kind::Literal);
        }
        while self.at < self.chars.len() {
            let ends = self.peek(0) == Some('"') && (1..=hashes).all(|n| self.peek(n) == Some('#'));
            if ends {
                for _ in 0..=hashes {
                    self.take(Kind::Literal);
                }
                return;
            }
            self.take_string(from);
        }
    }

    fn string(&mut self) {
        let from = self.line;
        self.take(Kind::Literal);
        while let Some(c) = self.peek(0) {
            self.take_string(from);
            match c {
                '"' => return,
                '\\' => self.take_string(from),
                _ => {}
            }
        }
    }

    fn take_string(&mut self, from: usize) {
        self.take(Kind::Literal);
        if self.line > from {
            self.string_from[self.line] = Some(from);
        }
    }

    /// A character literal, or the mark of a lifetime or label.
    fn quote(&mut self) {
        let literal = match self.peek(1) {
            Some('\\') => true,
            Some(_) => self.peek(2) == Some('\''),
            None => false,
        };
        if !literal {
            self.take(Kind::Code);
            return;
        }
        self.take(Kind::Literal);
        while let Some(c) = self.peek(0) {
            self.take(Kind::Literal);
            match c {
                '\'' => return,
                '\\' => self.take(Kind::Literal),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> String {
        scan(source).code
    }

    #[test]
    fn literals_and_comments_are_blank() {
        for (source, wanted) in [
            (r#"a("{", '{', b'}')"#, r#"a(   ,    , b   )"#),
            ("x // {\ny", "x     \ny"),
            ("/* { /* } */ { */ y", "                  y"),
            (r##"r#"{"{"# }"##, r##"r        }"##),
            (r#"b"\"{" }"#, r#"b      }"#),
            (r#""\\" }"#, r#"     }"#),
            ("r#type {", "r#type {"),
            ("&'a str {", "&'a str {"),
            ("'l: loop {", "'l: loop {"),
            (r"'\'' {", r"     {"),
            (r"'\u{7f}' {", r"         {"),
            ("'é' {", "    {"),
            (r#"c"{" }"#, r#"c    }"#),
        ] {
            assert_eq!(code(source), wanted, "{source}");
        }
    }

    #[test]
    fn every_view_keeps_lines_and_columns() {
        let source = "fn a() {} // é\nlet s = \"x\ny\";\n/* z\n*/ b";
        let scanned = scan(source);
        for view in [&scanned.code, &scanned.comments] {
            let lengths = |s: &str| s.split('\n').map(|l| l.chars().count()).collect::<Vec<_>>();
            assert_eq!(lengths(view), lengths(source));
        }
        assert!(scanned.comments.contains("// é"));
        assert!(!scanned.comments.contains("fn"));
    }

    #[test]
    fn a_line_knows_the_string_that_reaches_into_it() {
        let scanned = scan("a\nlet s = r\"x\ny\nz\";\nb");
        assert_eq!(scanned.string_from, [None, None, Some(1), Some(1), None]);
    }

    #[test]
    fn an_open_end_is_no_trouble() {
        for source in ["\"abc", "r#\"abc", "'", "/* abc", "'\\", "//"] {
            assert_eq!(code(source).chars().count(), source.chars().count(), "{source}");
        }
    }
}
