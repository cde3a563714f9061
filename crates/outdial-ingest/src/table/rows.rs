//! Rows that became records, a portion at a time, and how they are judged.

use std::collections::HashSet;
use std::sync::Arc;

use outdial_core::contact::{CheckedContact, Checker, FaultCode, RECORD_MAX_BYTES, RecordFault};
use outdial_core::variables::{VariableSchema, VariableType};

use super::columns::{Columns, PHONE};
use super::{TableError, TableLimits};
use crate::body::Records;
use crate::validate::{Validation, validate_keeping};

/// A portion is full with so many rows …
pub(super) const PORTION_ROWS: usize = 10_000;
/// … or so many bytes of records.
const PORTION_BYTES: usize = 4 << 20;
/// Most faults of one row that are kept.
const FAULTS_OF_ROW: usize = 10;

/// What is wrong with a row. The codes are those of `addCallsToBatch` and three of tables alone:
/// `wrong_cell_count`, `invalid_quotes` and `invalid_cell`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The row, the header being 1.
    pub row: u32,
    /// The column; none: the row as a whole.
    pub field: Option<String>,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// A portion of a table's rows, in order.
#[derive(Debug)]
pub struct Rows {
    columns: Arc<Columns>,
    records: Records,
    /// Of each record.
    numbers: Vec<u32>,
    /// Rows that became no record.
    refused: Vec<RowFault>,
    bytes: usize,
}

/// What came of a portion.
#[derive(Clone, Debug)]
pub struct CheckedRows {
    /// Of the records, by position. Its `faults` are those of [`CheckedRows::faults`] that concern
    /// records.
    pub validation: Validation,
    /// Of all rows, by row; the first of each kind are kept, as many as were asked for.
    pub faults: Vec<RowFault>,
    /// How many faults there are, those not kept too.
    pub fault_count: u64,
    /// How many rows have faults.
    pub rejected: u32,
}

impl Rows {
    /// The rows that became records, as `addCallsToBatch` would be sent them.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Which row the record at this position was, the header being 1.
    pub fn row(&self, index: usize) -> Option<u32> {
        self.numbers.get(index).copied()
    }

    /// How many rows, those that became no record too. Blank rows are none.
    pub fn len(&self) -> usize {
        self.numbers.len() + self.refused.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Judges every row; at most `faults_kept` faults are kept, the first, and of one row the first
    /// ten, so that one row's do not push out those of the others. Takes some microseconds
    /// a row and several processors: run it where it blocks nobody.
    pub fn check(&self, checker: &mut Checker, faults_kept: usize) -> CheckedRows {
        let validation = validate_keeping(&self.records, checker, faults_kept, FAULTS_OF_ROW);
        let of_records = validation.faults.kept().iter().map(|fault| self.row_fault(fault));
        let mut faults: Vec<RowFault> = of_records.chain(self.refused.iter().cloned()).collect();
        faults.sort_by_key(|fault| fault.row);
        faults.truncate(faults_kept);
        let refused = u32::try_from(self.refused.len()).unwrap_or(u32::MAX);
        CheckedRows {
            faults,
            fault_count: validation.faults.count() + u64::from(refused),
            rejected: validation.rejected + refused,
            validation,
        }
    }

    /// A record's fault in the words of tables.
    fn row_fault(&self, fault: &RecordFault) -> RowFault {
        let index = usize::try_from(fault.index).unwrap_or(usize::MAX);
        let field = fault.field.as_deref();
        let kind = field.and_then(|name| self.columns.kind(name));
        let phone = fault.phone_number.as_deref().unwrap_or_default();
        let message = match fault.code {
            FaultCode::MissingPhoneNumber => {
                "the cell is empty; write digits with the country code, like 12125551234".to_owned()
            }
            FaultCode::InvalidPhoneNumber if field == Some(PHONE) && is_scientific(phone) => {
                "a spreadsheet has made a number of it, and its digits may be lost; format the \
                 column as text and fill it in again"
                    .to_owned()
            }
            FaultCode::MissingVariable => "the agent requires it, and the cell is empty".to_owned(),
            FaultCode::InvalidType => format!("must be {}", wanted(kind)),
            FaultCode::NumberOutOfRange => {
                fault.code.advice().replace("; send longer ones as strings", "")
            }
            _ => fault.message.clone(),
        };
        RowFault {
            row: self.row(index).unwrap_or_default(),
            field: fault.field.clone(),
            code: fault.code.as_str(),
            message,
        }
    }
}

/// What a cell of this type looks like.
fn wanted(kind: Option<VariableType>) -> &'static str {
    match kind {
        Some(VariableType::Number) => "a number, like 12.5",
        Some(VariableType::Boolean) => "true or false",
        Some(VariableType::Date) => {
            "an ISO 8601 date or date-time, like 2025-05-15 or 2025-05-15T14:30:00Z"
        }
        Some(VariableType::Phone) => "a phone number with its country code, like 12125551234",
        Some(VariableType::String) | None => "text",
    }
}

/// `1.21256E+10`.
fn is_scientific(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.contains(['e', 'E'])
        && text.bytes().all(|b| b.is_ascii_digit() || b"eE+-.,".contains(&b))
}

/// Keeps the first of all rows with the same number, over the portions of one table. Eight bytes
/// and some for each number.
#[derive(Debug, Default)]
pub struct FirstSeen(HashSet<u64>);

impl FirstSeen {
    /// Drops contacts whose number an earlier good row has. Returns how many.
    pub fn drop_repeats(&mut self, validation: &mut Validation) -> u32 {
        let mut dropped = 0;
        for slot in &mut validation.contacts {
            let again = |contact: &CheckedContact| !self.0.insert(contact.phone.digits());
            if slot.as_ref().is_some_and(again) {
                *slot = None;
                dropped += 1;
            }
        }
        dropped
    }
}

/// Makes portions out of rows, whatever they were read from.
#[derive(Debug)]
pub(super) struct Gatherer {
    schema: VariableSchema,
    limits: TableLimits,
    /// None: the header was not seen.
    columns: Option<Arc<Columns>>,
    /// Of the row that was read last; 0: none was.
    row: u32,
    /// Rows that are not blank.
    count: u32,
    open: Option<Rows>,
    json: Vec<u8>,
}

impl Gatherer {
    pub(super) fn new(schema: VariableSchema, limits: TableLimits) -> Self {
        Self { schema, limits, columns: None, row: 0, count: 0, open: None, json: Vec::new() }
    }

    /// Number of the row that was read last, the header being 1.
    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// Columns of the table; none: the header was not seen.
    pub(super) fn columns(&self) -> Option<usize> {
        self.columns.as_ref().map(|columns| columns.len())
    }

    /// The header. Rows count from here.
    pub(super) fn header<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), TableError> {
        self.columns = Some(Arc::new(Columns::read(names, &self.schema)?));
        self.row = 1;
        Ok(())
    }

    /// So many rows without anything in them.
    pub(super) fn blank(&mut self, rows: u32) -> Result<(), TableError> {
        self.row = self.row.checked_add(rows).ok_or_else(|| self.too_many())?;
        Ok(())
    }

    /// The next row, as text.
    pub(super) fn cells<'a>(
        &mut self,
        cells: impl Iterator<Item = &'a str>,
    ) -> Result<(), TableError> {
        let row = self.begin()?;
        let columns = self.columns.clone().expect("the header comes first");
        let mut json = std::mem::take(&mut self.json);
        if columns.write(cells, &mut json) {
            let rows = self.open();
            rows.records.arena().push(&json);
            rows.records.keep_open();
            rows.numbers.push(row);
            rows.bytes += json.len();
        } else {
            self.push_fault(row, None, FaultCode::RecordTooLarge.as_str(), too_large());
        }
        self.json = json;
        Ok(())
    }

    /// The next row, which cannot become a record.
    pub(super) fn refuse(
        &mut self,
        field: Option<&str>,
        code: &'static str,
        message: String,
    ) -> Result<(), TableError> {
        let row = self.begin()?;
        self.push_fault(row, field, code, message);
        Ok(())
    }

    /// A portion is ready.
    pub(super) fn is_full(&self) -> bool {
        let full = |rows: &Rows| rows.len() >= PORTION_ROWS || rows.bytes >= PORTION_BYTES;
        self.open.as_ref().is_some_and(full)
    }

    /// What was gathered.
    pub(super) fn take(&mut self) -> Option<Rows> {
        self.open.take()
    }

    fn begin(&mut self) -> Result<u32, TableError> {
        if self.count >= self.limits.rows {
            return Err(self.too_many());
        }
        self.count += 1;
        self.blank(1)?;
        Ok(self.row)
    }

    fn too_many(&self) -> TableError {
        TableError::TooManyRows { max: self.limits.rows }
    }

    fn push_fault(&mut self, row: u32, field: Option<&str>, code: &'static str, message: String) {
        let field = field.map(ToOwned::to_owned);
        let rows = self.open();
        rows.bytes += message.len();
        rows.refused.push(RowFault { row, field, code, message });
    }

    fn open(&mut self) -> &mut Rows {
        let columns = self.columns.as_ref().expect("the header comes first");
        self.open.get_or_insert_with(|| Rows {
            columns: Arc::clone(columns),
            records: Records::default(),
            numbers: Vec::new(),
            refused: Vec::new(),
            bytes: 0,
        })
    }
}

/// Of a row that makes too long a record.
pub(super) fn too_large() -> String {
    format!("a row may have at most {RECORD_MAX_BYTES} bytes (64 KiB); is a quote not closed?")
}
