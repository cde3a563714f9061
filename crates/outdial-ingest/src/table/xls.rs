//! `.xls`: the first worksheet of a workbook of Excel 97 to 2003 (BIFF8), row by row.
//!
//! The whole file is in memory, and is small: its size is bounded first, and so is the memory for
//! the texts that cells share. Nothing is allocated by what the file says of itself. What cells
//! become is as with `.xlsx`. Layouts: [MS-XLS], [MS-CFB].

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use super::biff::{Record, Records, cut_off, f64_at, rk_at, u16_at, u32_at};
use super::book::{BookRow, Sink};
use super::number::Format;
use super::package::broken;
use super::rows::Gatherer;
use super::strings::Strings;
use super::{FORMATS_MAX, TableError, TableLimits};

/// Types of records.
mod kind {
    pub(super) const FORMULA: u16 = 0x0006;
    pub(super) const EOF: u16 = 0x000A;
    pub(super) const DATE_MODE: u16 = 0x0022;
    pub(super) const FILE_PASS: u16 = 0x002F;
    pub(super) const BOUND_SHEET: u16 = 0x0085;
    pub(super) const MUL_RK: u16 = 0x00BD;
    pub(super) const RICH_STRING: u16 = 0x00D6;
    pub(super) const XF: u16 = 0x00E0;
    pub(super) const SHARED_STRINGS: u16 = 0x00FC;
    pub(super) const LABEL_SHARED: u16 = 0x00FD;
    pub(super) const NUMBER: u16 = 0x0203;
    pub(super) const LABEL: u16 = 0x0204;
    pub(super) const BOOL_OR_ERROR: u16 = 0x0205;
    pub(super) const STRING: u16 = 0x0207;
    pub(super) const RK: u16 = 0x027E;
    pub(super) const FORMAT: u16 = 0x041E;
    pub(super) const BEGIN: u16 = 0x0809;
}

/// Of Excel 97 and later, in the record that begins a stream.
const BIFF8: u16 = 0x0600;

/// Reads the first worksheet.
pub(super) fn read(
    mut source: impl Read + Seek,
    limits: &TableLimits,
    gatherer: &mut Gatherer,
    sink: &mut Sink<'_>,
) -> Result<(), TableError> {
    let max = limits.xls_bytes;
    if source.seek(SeekFrom::End(0)).map_err(|error| broken(&error))? > max {
        return Err(TableError::TooLarge { what: "the .xls workbook", max });
    }
    source.seek(SeekFrom::Start(0)).map_err(|error| broken(&error))?;
    let mut file = cfb::CompoundFile::open(source).map_err(|error| broken(&error))?;
    if file.is_stream("EncryptedPackage") {
        return Err(TableError::Encrypted);
    }
    let mut stream = Vec::new();
    let no_book = |_| broken(&"it has no workbook of Excel 97 or later in it");
    let book = file.open_stream("Workbook").map_err(no_book)?;
    book.take(max).read_to_end(&mut stream).map_err(|error| broken(&error))?;
    let book = Workbook::read(&stream, limits.shared_bytes)?;
    let sheet = stream.get(book.sheet.ok_or(TableError::NoSheet)?..).ok_or_else(cut_off)?;
    let mut reader = Sheet { book: &book, row: BookRow::default(), at: None, formula: None };
    reader.read(sheet, gatherer, sink)
}

/// What stands before the sheets.
#[derive(Default)]
struct Workbook {
    /// Where the first worksheet begins.
    sheet: Option<usize>,
    strings: Strings,
    formats: Vec<Format>,
    from_1904: bool,
}

impl Workbook {
    fn read(stream: &[u8], shared_max: u64) -> Result<Self, TableError> {
        let mut book = Self::default();
        let mut codes: BTreeMap<u16, Format> = BTreeMap::new();
        let mut styles = Vec::new();
        let mut records = Records(stream);
        while let Some(record) = records.next()? {
            let data = record.data;
            match record.kind {
                kind::BEGIN if u16_at(data, 0) != Some(BIFF8) => {
                    return Err(broken(&"it is older than Excel 97"));
                }
                kind::FILE_PASS => return Err(TableError::Encrypted),
                kind::DATE_MODE => book.from_1904 = u16_at(data, 0) == Some(1),
                // Sheets of charts and macros have other types.
                kind::BOUND_SHEET if book.sheet.is_none() && data.get(5) == Some(&0) => {
                    book.sheet = u32_at(data, 0).and_then(|at| usize::try_from(at).ok());
                }
                kind::FORMAT => {
                    let mut text = record.pieces(2);
                    let code = text.string().ok_or_else(cut_off)?;
                    codes.extend(u16_at(data, 0).map(|id| (id, Format::of_code(&code))));
                }
                kind::XF if styles.len() < FORMATS_MAX => {
                    styles.push(u16_at(data, 2).unwrap_or_default());
                }
                kind::SHARED_STRINGS => {
                    let mut text = record.pieces(8);
                    while !text.is_over() {
                        book.strings.push(&text.string().ok_or_else(cut_off)?, shared_max)?;
                    }
                }
                kind::EOF => break,
                _ => {}
            }
        }
        let format = |id| codes.get(id).copied().unwrap_or_else(|| Format::builtin((*id).into()));
        book.formats = styles.iter().map(format).collect();
        Ok(book)
    }
}

struct Sheet<'a> {
    book: &'a Workbook,
    row: BookRow,
    /// The row being read, from 0.
    at: Option<u16>,
    /// Column of a formula whose text follows.
    formula: Option<usize>,
}

impl Sheet<'_> {
    fn read(
        &mut self,
        stream: &[u8],
        gatherer: &mut Gatherer,
        sink: &mut Sink<'_>,
    ) -> Result<(), TableError> {
        let (mut records, mut depth) = (Records(stream), 0_u32);
        while let Some(record) = records.next()? {
            match record.kind {
                kind::BEGIN => depth += 1,
                kind::EOF if depth <= 1 => {
                    if self.at.is_some() {
                        self.row.hand_on(gatherer, sink)?;
                    }
                    return Ok(());
                }
                kind::EOF => depth -= 1,
                kind::STRING if depth == 1 => {
                    if let Some(column) = self.formula.take() {
                        let mut text = record.pieces(0);
                        self.row.put(column, &text.string().ok_or_else(cut_off)?);
                    }
                }
                kind::FORMULA
                | kind::MUL_RK
                | kind::RICH_STRING
                | kind::LABEL_SHARED
                | kind::NUMBER
                | kind::LABEL
                | kind::BOOL_OR_ERROR
                | kind::RK
                    if depth == 1 =>
                {
                    if !self.go_to(u16_at(record.data, 0), gatherer, sink)? {
                        return Ok(());
                    }
                    self.cell(&record).ok_or_else(cut_off)?;
                }
                _ => {}
            }
        }
        Err(cut_off())
    }

    /// The next cell is in this row. Whether more rows are wanted.
    fn go_to(
        &mut self,
        row: Option<u16>,
        gatherer: &mut Gatherer,
        sink: &mut Sink<'_>,
    ) -> Result<bool, TableError> {
        let row = row.ok_or_else(cut_off)?;
        if self.at == Some(row) {
            return Ok(true);
        }
        if self.at.is_some_and(|at| at > row) {
            return Err(broken(&"its rows are not in order; open it and save it again"));
        }
        let wanted = self.at.is_none() || self.row.hand_on(gatherer, sink)?;
        self.at = Some(row);
        self.row.start(u32::from(row) + 1);
        Ok(wanted)
    }

    fn cell(&mut self, record: &Record<'_>) -> Option<()> {
        let data = record.data;
        let column = usize::from(u16_at(data, 2)?);
        let style = u16_at(data, 4)?;
        self.formula = None;
        match record.kind {
            kind::LABEL_SHARED => {
                let index = usize::try_from(u32_at(data, 6)?).ok()?;
                let book = self.book;
                self.row.put(column, book.strings.get(index)?);
            }
            kind::LABEL | kind::RICH_STRING => {
                let mut text = record.pieces(6);
                self.row.put(column, &text.string()?);
            }
            kind::NUMBER => self.number(column, style, f64_at(data, 6)?),
            kind::RK => self.number(column, style, rk_at(data, 6)?),
            kind::MUL_RK => {
                // Pairs of style and number, and the last column.
                for (column, at) in (column..).zip((4..data.len().saturating_sub(2)).step_by(6)) {
                    self.number(column, u16_at(data, at)?, rk_at(data, at + 2)?);
                }
            }
            kind::BOOL_OR_ERROR => self.boolean(column, *data.get(6)?, *data.get(7)? != 0),
            _ => match (u16_at(data, 12)?, *data.get(6)?) {
                (0xFFFF, 0) => self.formula = Some(column),
                (0xFFFF, 1) => self.boolean(column, *data.get(8)?, false),
                (0xFFFF, 2) => self.boolean(column, *data.get(8)?, true),
                (0xFFFF, _) => {}
                _ => self.number(column, style, f64_at(data, 6)?),
            },
        }
        Some(())
    }

    fn number(&mut self, column: usize, style: u16, value: f64) {
        let format = self.book.formats.get(usize::from(style)).copied();
        match value.is_finite() {
            true => {
                let format = format.unwrap_or(Format::Number);
                self.row.put(column, &format.value(value, self.book.from_1904));
            }
            false => self.row.fault(column, "is said to hold a number, and does not"),
        }
    }

    fn boolean(&mut self, column: usize, value: u8, is_error: bool) {
        match (is_error, value) {
            (false, 0) => self.row.put(column, "false"),
            (false, _) => self.row.put(column, "true"),
            (true, code) => {
                let shown = match code {
                    0x00 => "#NULL!",
                    0x07 => "#DIV/0!",
                    0x0F => "#VALUE!",
                    0x17 => "#REF!",
                    0x1D => "#NAME?",
                    0x24 => "#NUM!",
                    _ => "#N/A",
                };
                self.row.fault(column, &format!("holds the error {shown}"));
            }
        }
    }
}
