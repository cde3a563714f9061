//! Tables to contact records: CSV, `.xlsx` and `.xls` files, as people export them.
//!
//! A table is a header row and rows of cells. The header names the fields, one column is
//! `phoneNumber`; every later row that is not blank becomes one record, a JSON object as
//! `addCallsToBatch` takes it, or a [`RowFault`]. Rows are numbered as a spreadsheet shows them,
//! the header being row 1; blank rows count. An empty cell is a field that the contact does not
//! have.
//!
//! # How to use it
//!
//! ```text
//! // CSV: no I/O; pieces of any size. `feed` stops when a portion of rows is full.
//! let mut csv = CsvReader::new(schema, TableLimits::default());
//! for mut piece in pieces {
//!     while !piece.is_empty() {
//!         piece = &piece[csv.feed(piece)?..];
//!         if let Some(rows) = csv.take_full() { use_them(rows) }
//!     }
//! }
//! if let Some(rows) = csv.finish()? { use_them(rows) }      // the last portion
//!
//! // Any kind, from a spooled file, where blocking is no harm; `false` ends it early:
//! read_table(TableKind::Xlsx, file, schema, TableLimits::default(), |rows| use_them(rows))?;
//!
//! // Either way, a portion has at most 10,000 rows or some 4 MiB of text:
//! let mut checked: CheckedRows = rows.check(&mut checker, faults_to_keep);
//! seen.drop_repeats(&mut checked.validation);       // the first row with a number is kept
//! // `checked.validation.contacts[i]` belongs to `rows.records().text(i)` and `rows.row(i)`;
//! // `checked.faults` are by row; `checked.rejected` counts the rows that have some.
//! ```
//!
//! A [`TableError`] condemns the file: no header, no `phoneNumber`, a quote that is never closed,
//! too many rows, not a workbook, a bomb. Its text is for people, and
//! [`TableError::is_too_large`] says that the answer is 413, not 400. A file without a good
//! row is for the caller to refuse.
//!
//! Memory does not follow the size of the input: one portion, one row, and of a workbook its shared
//! strings, which are bounded by [`TableLimits`]. Nothing here reads a clock or knows HTTP, and
//! nothing guesses at a value: a cell is handed on as it stands, or is a fault.

mod biff;
mod book;
mod columns;
mod csv;
mod number;
mod package;
mod rows;
mod scan;
mod strings;
mod xls;
mod xlsx;

use outdial_core::contact::FIELDS_MAX;
use thiserror::Error;

pub use book::read_table;
pub use csv::CsvReader;
pub use rows::{CheckedRows, FirstSeen, RowFault, Rows};

/// Most columns of a table: a column is a key of the record.
pub const COLUMNS_MAX: usize = FIELDS_MAX;
/// Most formats of a workbook's cells; Excel itself allows 65,490.
const FORMATS_MAX: usize = 70_000;

/// What kind of file a table is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Text with delimiters.
    Csv,
    /// A workbook of Excel 2007 and later.
    Xlsx,
    /// A workbook of Excel 97.
    Xls,
}

impl TableKind {
    /// By the end of the file's name, in any case; none: no table.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "xlsx" => Some(Self::Xlsx),
            "xls" => Some(Self::Xls),
            _ => None,
        }
    }
}

/// How large a table may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// Rows below the header, blank ones aside.
    pub rows: u32,
    /// Of an `.xlsx` file: bytes of all its parts together, unpacked.
    pub unpacked_bytes: u64,
    /// Of a workbook: bytes of memory for the texts that its cells share.
    pub shared_bytes: u64,
    /// Of an `.xls` file: its size in bytes. All of it is in memory while it is read.
    pub xls_bytes: u64,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self {
            rows: 5_000_000,
            unpacked_bytes: 2 << 30,
            shared_bytes: 256 << 20,
            xls_bytes: 32 << 20,
        }
    }
}

/// A file that is no table of contacts as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// No cell with anything in it.
    #[error("the file is empty; its first row must name the columns, one of them `phoneNumber`")]
    Empty,
    /// No column `phoneNumber`.
    #[error("the first row must name a column `phoneNumber`; it names {0}")]
    NoPhoneColumn(String),
    /// A column that the agent requires.
    #[error("the agent requires `{0}`, and the file has no column of that name")]
    MissingColumn(String),
    /// Two columns of one name.
    #[error("two columns are named `{0}`")]
    DuplicateColumn(String),
    /// A column without a name, counted from 1.
    #[error("column {0} has no name in the first row; name it, or remove it")]
    NamelessColumn(usize),
    /// A name that no field can have.
    #[error("the name of column {column} is not usable: {why}")]
    BadColumnName {
        /// Counted from 1.
        column: usize,
        /// For people.
        why: &'static str,
    },
    /// More than [`COLUMNS_MAX`].
    #[error("the file has {0} columns; a contact may have at most {COLUMNS_MAX} fields")]
    TooManyColumns(usize),
    /// The first row does not end where it should.
    #[error(
        "the first row is longer than {max} bytes; it must name the columns (is a quote not \
         closed, or is this no CSV file?)"
    )]
    HeaderTooLong {
        /// How long it may be, in bytes.
        max: usize,
    },
    /// UTF-16 or UTF-32.
    #[error("the file is UTF-16 or UTF-32; save it as \"CSV UTF-8\"")]
    Utf16,
    /// Its first row is not UTF-8.
    #[error("the first row is not valid UTF-8; save the file as \"CSV UTF-8\"")]
    HeaderNotUtf8,
    /// The file ends inside of quotes.
    #[error("row {row} opens a quote (\") that is never closed; nothing after it can be read")]
    UnclosedQuote {
        /// The row that the quote is in.
        row: u32,
    },
    /// Its bytes are those of another kind of file than it is named.
    #[error("this is {found}, not {wanted}; name it by what it is")]
    WrongKind {
        /// What it looks like.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A workbook that cannot be opened without its password.
    #[error("the workbook is encrypted; save it without a password")]
    Encrypted,
    /// A workbook without a sheet of cells.
    #[error("the workbook has no worksheet")]
    NoSheet,
    /// A workbook that cannot be read.
    #[error("the workbook cannot be read: {0}")]
    Broken(String),
    /// More rows than allowed: 413.
    #[error("the file has more than {max} rows; split it")]
    TooManyRows {
        /// How many it may have.
        max: u32,
    },
    /// A part of a workbook, or all of it, is larger than allowed: 413.
    #[error("{what} is larger than {max} bytes; save the list as CSV")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it may be, in bytes.
        max: u64,
    },
}

impl TableError {
    /// The file may be well-formed, but is larger than a setting allows: 413.
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::TooManyRows { .. } | Self::TooLarge { .. })
    }
}
