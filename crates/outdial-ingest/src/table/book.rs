//! A table in a file that can be read more than once: workbooks, and CSV too.

use std::io::{Read, Seek, SeekFrom};

use outdial_core::contact::{FaultCode, RECORD_MAX_BYTES};
use outdial_core::variables::VariableSchema;

use super::package::broken;
use super::rows::{Gatherer, Rows, too_large};
use super::{COLUMNS_MAX, CsvReader, TableError, TableKind, TableLimits, xls, xlsx};

const PIECE_BYTES: usize = 64 << 10;

/// Takes portions of rows; `false`: no more are wanted.
pub(super) type Sink<'a> = dyn FnMut(Rows) -> bool + 'a;

/// Reads a whole file and hands on its rows, portion by portion. `sink` says whether to go on. It
/// blocks; run it where that is no harm. An error of the disk is [`TableError::Broken`].
pub fn read_table(
    kind: TableKind,
    mut source: impl Read + Seek,
    schema: VariableSchema,
    limits: TableLimits,
    mut sink: impl FnMut(Rows) -> bool,
) -> Result<(), TableError> {
    let mut gatherer = match kind {
        TableKind::Csv => return read_csv(source, schema, limits, &mut sink),
        TableKind::Xlsx | TableKind::Xls => Gatherer::new(schema, limits),
    };
    check_kind(kind, &mut source)?;
    let mut wanted = true;
    let mut watched = |rows| {
        wanted = sink(rows);
        wanted
    };
    match kind {
        TableKind::Xls => xls::read(source, &limits, &mut gatherer, &mut watched)?,
        _ => xlsx::read(source, &limits, &mut gatherer, &mut watched)?,
    }
    if !wanted {
        return Ok(());
    }
    if gatherer.columns().is_none() {
        return Err(TableError::Empty);
    }
    if let Some(rows) = gatherer.take() {
        sink(rows);
    }
    Ok(())
}

fn read_csv(
    mut source: impl Read,
    schema: VariableSchema,
    limits: TableLimits,
    sink: &mut Sink<'_>,
) -> Result<(), TableError> {
    let mut csv = CsvReader::new(schema, limits);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let read = source.read(&mut buffer).map_err(|error| broken(&error))?;
        if read == 0 {
            break;
        }
        let mut piece = &buffer[..read];
        while !piece.is_empty() {
            piece = &piece[csv.feed(piece)?..];
            if csv.take_full().is_some_and(|rows| !sink(rows)) {
                return Ok(());
            }
        }
    }
    if let Some(rows) = csv.finish()? {
        sink(rows);
    }
    Ok(())
}

/// Refuses what is another kind of file by its first bytes.
fn check_kind(kind: TableKind, source: &mut (impl Read + Seek)) -> Result<(), TableError> {
    let mut first = Vec::new();
    source.by_ref().take(4).read_to_end(&mut first).map_err(|error| broken(&error))?;
    source.seek(SeekFrom::Start(0)).map_err(|error| broken(&error))?;
    let found = match first.as_slice() {
        [] => return Err(TableError::Empty),
        [b'P', b'K', 3, 4] => TableKind::Xlsx,
        [0xD0, 0xCF, 0x11, 0xE0] => TableKind::Xls,
        _ => TableKind::Csv,
    };
    let (wanted, found) = match (kind, found) {
        (TableKind::Xlsx, TableKind::Xls) => {
            ("an .xlsx workbook", "an .xls workbook, or one with a password")
        }
        (TableKind::Xls, TableKind::Xlsx) => ("an .xls workbook", "an .xlsx workbook"),
        (TableKind::Xlsx, TableKind::Csv) => ("an .xlsx workbook", "some other file"),
        (TableKind::Xls, TableKind::Csv) => ("an .xls workbook", "some other file"),
        _ => return Ok(()),
    };
    Err(TableError::WrongKind { found, wanted })
}

/// One row of a sheet, cell by cell.
#[derive(Debug, Default)]
pub(super) struct BookRow {
    /// Its number in the sheet, from 1.
    number: u32,
    /// That of the header; 0: it was not seen.
    header: u32,
    names: Vec<String>,
    text: String,
    /// Where in `text` each cell's stands.
    cells: Vec<(usize, usize)>,
    /// Up to the last one with something in it.
    filled: usize,
    overlong: bool,
    fault: Option<(usize, String)>,
}

impl BookRow {
    /// The row with this number in the sheet, from 1, begins.
    pub(super) fn start(&mut self, number: u32) {
        self.number = number;
        self.text.clear();
        self.cells.clear();
        (self.filled, self.overlong, self.fault) = (0, false, None);
    }

    /// A cell's text. `column` counts from 0.
    pub(super) fn put(&mut self, column: usize, text: &str) {
        if text.bytes().any(|b| b != b' ') {
            self.filled = self.filled.max(column + 1);
        }
        // One more than there are, to be seen as too many.
        let kept = if self.header == 0 { COLUMNS_MAX } else { self.names.len() };
        if column > kept {
            return;
        }
        if self.text.len() + text.len() > RECORD_MAX_BYTES {
            self.overlong = true;
            return;
        }
        let start = self.text.len();
        self.text.push_str(text);
        if self.cells.len() <= column {
            self.cells.resize(column + 1, (0, 0));
        }
        self.cells[column] = (start, self.text.len());
    }

    /// A cell that has no text; `what` it does instead, for people.
    pub(super) fn fault(&mut self, column: usize, what: &str) {
        self.filled = self.filled.max(column + 1);
        self.fault.get_or_insert_with(|| (column, format!("the cell {what}")));
    }

    /// The row is whole. Whether more are wanted.
    pub(super) fn hand_on(
        &mut self,
        gatherer: &mut Gatherer,
        sink: &mut Sink<'_>,
    ) -> Result<bool, TableError> {
        let cells = self.cells.iter().map(|(start, end)| &self.text[*start..*end]);
        if self.header == 0 {
            if self.filled == 0 {
                return Ok(true);
            } else if self.filled > COLUMNS_MAX {
                return Err(TableError::TooManyColumns(self.filled));
            } else if let Some((column, _)) = &self.fault {
                let why = "its cell holds an error";
                return Err(TableError::BadColumnName { column: column + 1, why });
            } else if self.overlong {
                return Err(TableError::HeaderTooLong { max: RECORD_MAX_BYTES });
            }
            gatherer.header(cells.clone())?;
            self.names = cells.map(|name| name.trim().to_owned()).collect();
            self.names.truncate(gatherer.columns().unwrap_or_default());
            self.header = self.number;
            return Ok(true);
        }
        if self.filled == 0 {
            return Ok(true);
        }
        // Rows that the sheet left out are blank.
        let expected = self.header.saturating_add(gatherer.row());
        gatherer.blank(self.number.saturating_sub(expected))?;
        let columns = self.names.len();
        if self.overlong {
            gatherer.refuse(None, FaultCode::RecordTooLarge.as_str(), too_large())?;
        } else if self.filled > columns {
            let message = format!("the row has {} cells, the first row {columns}", self.filled);
            gatherer.refuse(None, "wrong_cell_count", message)?;
        } else if let Some((column, message)) = self.fault.take() {
            let field = self.names.get(column).map(String::as_str);
            gatherer.refuse(field, "invalid_cell", message)?;
        } else {
            gatherer.cells(cells)?;
        }
        match gatherer.is_full().then(|| gatherer.take()).flatten() {
            Some(rows) => Ok(sink(rows)),
            None => Ok(true),
        }
    }
}
