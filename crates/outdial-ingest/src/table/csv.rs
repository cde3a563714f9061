//! CSV as it comes off the wire: which delimiter, which rows.
//!
//! The delimiter is the one of `,` `;` tab `|` with which the first row names `phoneNumber`; a
//! first line `sep=;`, as Excel writes it, decides without looking. What counts is the header
//! alone: a guess at the rows would read one file differently from the next.

use outdial_core::contact::{FaultCode, RECORD_MAX_BYTES};
use outdial_core::variables::VariableSchema;

use super::columns::PHONE;
use super::rows::{Gatherer, Rows, too_large};
use super::scan::Scanner;
use super::{COLUMNS_MAX, TableError, TableLimits};

/// In the order in which they are preferred, all else being equal.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Longest header.
const HEADER_MAX_BYTES: usize = 64 * 1024;
/// A header is read up to so many cells.
const HEADER_CELLS: usize = COLUMNS_MAX + 1;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// `sep=;` and its line end.
const SEP_LINE_BYTES: usize = 7;

/// Reads CSV in pieces of any size. After an error it is of no more use.
#[derive(Debug)]
pub struct CsvReader {
    gatherer: Gatherer,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The first row is not whole.
    Header(Head),
    Rows(Scanner),
}

/// The start of a file whose delimiter is not known.
#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    tries: Vec<Try>,
}

/// The first row that is not blank, read with one delimiter.
#[derive(Debug)]
struct Try {
    scanner: Scanner,
    /// How much of the head was read.
    end: usize,
    whole: bool,
}

impl Try {
    fn cells(&self) -> Result<Vec<String>, TableError> {
        let row = self.scanner.row();
        let cells = row.texts().ok_or(TableError::HeaderNotUtf8)?;
        Ok(cells.map(ToOwned::to_owned).collect())
    }

    fn names_phone(&self) -> bool {
        self.whole && self.scanner.row().kept().any(|cell| cell.trim_ascii() == PHONE.as_bytes())
    }
}

impl CsvReader {
    /// For contacts of an agent with these variables.
    pub fn new(schema: VariableSchema, limits: TableLimits) -> Self {
        Self { gatherer: Gatherer::new(schema, limits), state: State::Header(Head::default()) }
    }

    /// Takes the next bytes of the file, up to where a portion of rows is full. Returns how many it
    /// took; take the portion before the rest is fed.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, TableError> {
        match &mut self.state {
            State::Rows(_) => self.rows(input),
            State::Header(head) => {
                let room = (HEADER_MAX_BYTES + SEP_LINE_BYTES).saturating_sub(head.bytes.len());
                let took = input.len().min(room);
                head.bytes.extend_from_slice(&input[..took]);
                if head.read(took == 0)? {
                    self.begin()?;
                }
                Ok(took)
            }
        }
    }

    /// The rows so far, if they are a full portion.
    pub fn take_full(&mut self) -> Option<Rows> {
        self.gatherer.is_full().then(|| self.gatherer.take()).flatten()
    }

    /// The file is over. The last rows.
    pub fn finish(&mut self) -> Result<Option<Rows>, TableError> {
        if let State::Header(head) = &mut self.state {
            head.finish()?;
            self.begin()?;
        }
        if let State::Rows(scanner) = &mut self.state {
            match scanner.finish() {
                Err(_) => {
                    let row = self.gatherer.row().saturating_add(1);
                    return Err(TableError::UnclosedQuote { row });
                }
                Ok(true) => push_row(scanner, &mut self.gatherer)?,
                Ok(false) => {}
            }
        }
        Ok(self.gatherer.take())
    }

    /// The header is whole: from here on there are rows, the first in what was read with it.
    fn begin(&mut self) -> Result<(), TableError> {
        let State::Header(head) = &mut self.state else { return Ok(()) };
        let chosen = head.choose()?;
        self.gatherer.header(chosen.cells()?.iter().map(String::as_str))?;
        let Try { mut scanner, end, .. } = chosen;
        scanner.next_row();
        // One more, to see that a row has too many.
        scanner.keep_cells(self.gatherer.columns().unwrap_or_default() + 1);
        let bytes = std::mem::take(&mut head.bytes);
        self.state = State::Rows(scanner);
        let mut rest = &bytes[end..];
        // Less than 64 KiB make no portion full, but for very many fields of very little text.
        while !rest.is_empty() {
            rest = &rest[self.rows_of_any_portion(rest)?..];
        }
        Ok(())
    }

    fn rows_of_any_portion(&mut self, input: &[u8]) -> Result<usize, TableError> {
        let State::Rows(scanner) = &mut self.state else { return Ok(input.len()) };
        let (took, whole) = scanner.scan(input);
        if whole {
            push_row(scanner, &mut self.gatherer)?;
        }
        Ok(took)
    }

    fn rows(&mut self, input: &[u8]) -> Result<usize, TableError> {
        let mut at = 0;
        while at < input.len() && !self.gatherer.is_full() {
            at += self.rows_of_any_portion(&input[at..])?;
        }
        Ok(at)
    }
}

impl Head {
    /// Reads on. Whether the first row is whole, and the delimiter known.
    fn read(&mut self, full: bool) -> Result<bool, TableError> {
        if self.tries.is_empty() && (self.bytes.len() >= SEP_LINE_BYTES + 3 || full) {
            self.start()?;
        }
        for one in &mut self.tries {
            while !one.whole && one.end < self.bytes.len() {
                let (took, whole) = one.scanner.scan(&self.bytes[one.end..]);
                one.end += took;
                // Blank lines above the header count for nothing.
                if whole && one.scanner.row().cells == 0 {
                    one.scanner.next_row();
                } else {
                    one.whole = whole;
                }
            }
        }
        let known = self.tries.iter().any(Try::names_phone)
            || (!self.tries.is_empty() && self.tries.iter().all(|one| one.whole));
        match known || !full {
            true => Ok(known),
            false => Err(TableError::HeaderTooLong { max: HEADER_MAX_BYTES }),
        }
    }

    /// The file is over, and has no second row.
    fn finish(&mut self) -> Result<(), TableError> {
        if self.tries.is_empty() {
            self.start()?;
        }
        if self.read(false)? {
            return Ok(());
        }
        let mut unclosed = 0;
        for one in self.tries.iter_mut().filter(|one| !one.whole) {
            match one.scanner.finish() {
                Ok(row) => one.whole = row && one.scanner.row().cells > 0,
                Err(_) => unclosed += 1,
            }
        }
        // What no delimiter makes a header of may be one whose quote is not closed.
        match self.tries.iter().any(|one| one.whole) {
            _ if unclosed > 0 && !self.tries.iter().any(Try::names_phone) => {
                Err(TableError::UnclosedQuote { row: 1 })
            }
            true => Ok(()),
            false => Err(TableError::Empty),
        }
    }

    /// Looks at the first bytes.
    fn start(&mut self) -> Result<(), TableError> {
        check_kind(&self.bytes)?;
        let mark = if self.bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let (delimiters, end) = match self.bytes[mark..] {
            [b's', b'e', b'p', b'=', delimiter, b'\r' | b'\n', ..] => (vec![delimiter], mark + 5),
            _ => (DELIMITERS.to_vec(), mark),
        };
        let scanner = |delimiter| Scanner::new(delimiter, HEADER_CELLS, RECORD_MAX_BYTES);
        let one = |delimiter| Try { scanner: scanner(delimiter), end, whole: false };
        self.tries = delimiters.into_iter().map(one).collect();
        Ok(())
    }

    /// The reading of the first row that names `phoneNumber`, and is the first to be whole.
    fn choose(&mut self) -> Result<Try, TableError> {
        let tries = std::mem::take(&mut self.tries);
        let mut best: Option<Try> = None;
        for one in tries.into_iter().filter(|one| one.whole) {
            let rank = |t: &Try| {
                let width = t.scanner.row().width;
                (!t.names_phone(), if t.names_phone() { t.end } else { 0 }, usize::MAX - width)
            };
            if best.as_ref().is_none_or(|best| rank(&one) < rank(best)) {
                best = Some(one);
            }
        }
        let best = best.ok_or(TableError::Empty)?;
        let row = best.scanner.row();
        if row.text().contains(&0) {
            return Err(TableError::Utf16);
        } else if row.cells > COLUMNS_MAX {
            return Err(TableError::TooManyColumns(row.cells));
        } else if row.overlong {
            return Err(TableError::HeaderTooLong { max: HEADER_MAX_BYTES });
        }
        Ok(best)
    }
}

/// What the first bytes say of a file that calls itself CSV.
fn check_kind(bytes: &[u8]) -> Result<(), TableError> {
    let wanted = "a CSV file";
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, ..] | [_, 0, ..] => Err(TableError::Utf16),
        [b'P', b'K', 3, 4, ..] => {
            Err(TableError::WrongKind { found: "an .xlsx workbook or a ZIP archive", wanted })
        }
        [0xD0, 0xCF, 0x11, 0xE0, ..] => {
            Err(TableError::WrongKind { found: "an .xls workbook", wanted })
        }
        [0x1F, 0x8B, ..] => Err(TableError::WrongKind { found: "a gzip archive", wanted }),
        _ => Ok(()),
    }
}

/// Hands on the row that the scanner has whole.
fn push_row(scanner: &mut Scanner, gatherer: &mut Gatherer) -> Result<(), TableError> {
    let columns = gatherer.columns().unwrap_or_default();
    let row = scanner.row();
    // Blank rows are for the eye; a broken one is none.
    if row.cells == 0 && !row.bad_quote {
        gatherer.blank(1)?;
    } else if row.overlong {
        gatherer.refuse(None, FaultCode::RecordTooLarge.as_str(), too_large())?;
    } else if row.bad_quote {
        let message =
            "something follows a closing quote; a quote inside of quotes is written twice";
        gatherer.refuse(None, "invalid_quotes", message.to_owned())?;
    } else if row.cells > columns || row.width < columns {
        let found = if row.cells > columns { row.cells } else { row.width };
        let message = format!(
            "the row has {found} cells, the first row {columns}; is a delimiter or a quote missing?"
        );
        gatherer.refuse(None, "wrong_cell_count", message)?;
    } else if let Some(cells) = row.texts() {
        gatherer.cells(cells)?;
    } else {
        let message = "the row is not valid UTF-8; save the file as \"CSV UTF-8\"";
        gatherer.refuse(None, FaultCode::InvalidText.as_str(), message.to_owned())?;
    }
    scanner.next_row();
    Ok(())
}
