//! Finds the cells and rows of CSV, in pieces of any size and in bounded memory.
//!
//! RFC 4180 and what people's programs make of it: any one delimiter; rows end with LF, CRLF or CR;
//! a cell in double quotes may hold delimiters, line ends and doubled quotes, and may have spaces
//! around it; a quote in the middle of a cell is a quote. What follows a closing quote and is no
//! delimiter marks the row as badly quoted: nobody can tell what was meant.

use memchr::{memchr, memchr3};

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a cell, after so many spaces.
    CellStart(usize),
    /// In a cell without quotes.
    Plain,
    /// Inside of quotes.
    Quoted,
    /// After a quote inside of quotes: a doubled one, or the end.
    Quote,
    /// After the closing quote and spaces.
    Closed,
}

/// The row being read, and where in it the reader is.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    delimiter: u8,
    state: State,
    /// The last row ended with CR: an LF belongs to it.
    after_cr: bool,
    /// All cells of the row, one after the other, without their quotes.
    text: Vec<u8>,
    /// Where each cell ends in `text`; only of the first `cells_kept`.
    ends: Vec<usize>,
    /// Cells so far, those that are not kept too.
    cells: usize,
    cells_kept: usize,
    /// The last cell that has something in it, counted from 1.
    last_filled: usize,
    /// The cell being read has something in it but spaces.
    filled: bool,
    text_max: usize,
    overlong: bool,
    bad_quote: bool,
}

/// One whole row.
pub(super) struct ScannedRow<'a> {
    text: &'a [u8],
    ends: &'a [usize],
    /// Up to the last one with something in it; 0: the row is blank.
    pub(super) cells: usize,
    /// Up to the last one, whatever is in it.
    pub(super) width: usize,
    /// Its text is longer than allowed, and was not kept whole.
    pub(super) overlong: bool,
    /// Something follows a closing quote.
    pub(super) bad_quote: bool,
}

impl ScannedRow<'_> {
    /// The cells that were kept, quotes undone.
    pub(super) fn kept(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, end)| &self.text[start..*end])
    }

    /// The cells that were kept, if each of them is UTF-8.
    pub(super) fn texts(&self) -> Option<impl Iterator<Item = &str>> {
        let text = std::str::from_utf8(self.text).ok()?;
        // Two halves of a character may be valid only together.
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let whole = self.ends.iter().all(|end| text.is_char_boundary(*end));
        whole.then(|| starts.zip(self.ends).map(|(start, end)| &text[start..*end]))
    }

    /// All their text.
    pub(super) fn text(&self) -> &[u8] {
        self.text
    }
}

impl Scanner {
    /// For rows whose first `cells_kept` cells matter, of at most `text_max` bytes together.
    pub(super) fn new(delimiter: u8, cells_kept: usize, text_max: usize) -> Self {
        Self {
            delimiter,
            state: State::CellStart(0),
            after_cr: false,
            text: Vec::new(),
            ends: Vec::new(),
            cells: 0,
            cells_kept,
            last_filled: 0,
            filled: false,
            text_max,
            overlong: false,
            bad_quote: false,
        }
    }

    /// Reads on to the end of the row. Returns how many bytes it took, and whether the row is
    /// whole: then look at [`Scanner::row`] and call [`Scanner::next_row`].
    pub(super) fn scan(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        if self.after_cr && !input.is_empty() {
            self.after_cr = false;
            at = usize::from(input[0] == b'\n');
        }
        while let Some(&b) = input.get(at) {
            match self.state {
                State::Plain => {
                    let rest = &input[at..];
                    let len = memchr3(self.delimiter, b'\n', b'\r', rest).unwrap_or(rest.len());
                    self.keep(&rest[..len]);
                    at += len;
                    if let Some(&end) = input.get(at) {
                        at += 1;
                        if self.end_cell(end) {
                            return (at, true);
                        }
                    }
                }
                State::Quoted => {
                    let rest = &input[at..];
                    let len = memchr(b'"', rest).unwrap_or(rest.len());
                    self.keep(&rest[..len]);
                    at += len;
                    if at < input.len() {
                        self.state = State::Quote;
                        at += 1;
                    }
                }
                State::Quote | State::Closed if self.ends_cell(b) => {
                    at += 1;
                    if self.end_cell(b) {
                        return (at, true);
                    }
                }
                _ => at += usize::from(self.beside_quotes(b)),
            }
        }
        (at, false)
    }

    /// A byte where quotes open or have closed. Whether it is done with.
    fn beside_quotes(&mut self, b: u8) -> bool {
        match (self.state, b) {
            (State::CellStart(_), b'"') => self.state = State::Quoted,
            // A tab may be the delimiter, spaces cannot.
            (State::CellStart(spaces), b' ') => self.state = State::CellStart(spaces + 1),
            (State::CellStart(spaces), _) => {
                for _ in 0..spaces.min(self.text_max + 1) {
                    self.keep(b" ");
                }
                self.state = State::Plain;
                return false;
            }
            (State::Quote, b'"') => {
                self.keep(b"\"");
                self.state = State::Quoted;
            }
            (State::Quote | State::Closed, b' ') => self.state = State::Closed,
            _ => {
                self.bad_quote = true;
                self.state = State::Plain;
                return false;
            }
        }
        true
    }

    /// The input is over. Whether there is one more row.
    pub(super) fn finish(&mut self) -> Result<bool, Unclosed> {
        match self.state {
            State::Quoted => return Err(Unclosed),
            State::CellStart(0) if self.cells == 0 => return Ok(false),
            _ => {}
        }
        self.end_cell(b'\n');
        Ok(true)
    }

    /// The row that is whole.
    pub(super) fn row(&self) -> ScannedRow<'_> {
        ScannedRow {
            text: &self.text,
            ends: &self.ends,
            cells: self.last_filled,
            width: self.cells,
            overlong: self.overlong,
            bad_quote: self.bad_quote,
        }
    }

    /// Forgets the row that is whole.
    pub(super) fn next_row(&mut self) {
        self.text.clear();
        self.ends.clear();
        (self.cells, self.last_filled) = (0, 0);
        (self.overlong, self.bad_quote) = (false, false);
    }

    /// From the next row on, so many cells matter.
    pub(super) fn keep_cells(&mut self, cells: usize) {
        self.cells_kept = cells;
    }

    fn ends_cell(&self, b: u8) -> bool {
        b == self.delimiter || b == b'\n' || b == b'\r'
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.filled {
            self.filled = bytes.iter().any(|b| *b != b' ');
        }
        if self.cells >= self.cells_kept {
            return;
        }
        let room = self.text_max - self.text.len();
        self.overlong |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether the row ends too.
    fn end_cell(&mut self, end: u8) -> bool {
        if self.cells < self.cells_kept {
            self.ends.push(self.text.len());
        }
        self.cells += 1;
        if std::mem::take(&mut self.filled) {
            self.last_filled = self.cells;
        }
        self.state = State::CellStart(0);
        self.after_cr = end == b'\r';
        end != self.delimiter
    }
}

/// The input is over inside of quotes.
#[derive(Debug)]
pub(super) struct Unclosed;
