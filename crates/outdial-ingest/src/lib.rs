//! Bytes to contact records and row errors, without I/O.
//!
//! [`BodyParser`] takes the body of `addCallsToBatch` or `start-calling` in pieces of any size and
//! yields a [`Body`]: the records of `call_data` as the text that was sent, and the other members.
//! [`validate_all`] then judges every record. Nothing here reads a socket, a file or a clock, knows
//! HTTP, or stores anything; nothing changes a byte of a record.
//!
//! [`CsvReader`] and [`read_table`] do the same for the rows of CSV, `.xlsx` and `.xls` files.
//!
//! Memory: the records' text (in blocks that are never moved), 16 bytes for each record here and 16
//! for its verdict, whatever the input: too large or too deep records are counted, not kept.
#![forbid(unsafe_code)]

mod arena;
mod body;
mod error;
mod frame;
mod parser;
mod syntax;
mod table;
mod validate;

pub use body::{Body, CallDataFault, RecordText, Records};
pub use error::{BodyError, BodyErrorKind, Position};
pub use parser::{BodyParser, Limits};
pub use table::{
    COLUMNS_MAX, CheckedRows, CsvReader, FirstSeen, RowFault, Rows, TableError, TableKind,
    TableLimits, read_table,
};
pub use validate::{Validation, validate_all};
