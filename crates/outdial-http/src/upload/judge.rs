//! The rows of a file, judged: the good ones are laid down in a temporary file as the store takes
//! them, the faults of the others in another. Memory holds one portion, and eight bytes and some
//! for each number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use outdial_core::contact::{Checker, ClassId};
use outdial_core::outcome::Disposition;
use outdial_core::variables::VariableSchema;
use outdial_ingest::{
    CheckedRows, FirstSeen, RowFault, Rows, TableError, TableKind, TableLimits, read_table,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::records::{Class, Records};
use super::spool::failed;
use crate::error::{ApiError, ApiResult};
use crate::ingest::{Terms, Warning, closed, warnings};

/// Of a workbook: bytes of memory for the texts that its cells share.
const SHARED_BYTES: u64 = 128 << 20;
/// Bytes that are written at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Most faults of one portion that are told: it has at most 10,000 rows, and ten of each are kept.
const FAULTS_OF_PORTION: usize = 100_000;
/// The list of faults may take so many bytes, or as many as the largest file.
const FAULTS_BYTES: u64 = 64 << 20;
/// Rows with faults that an answer of success shows.
const SHOWN: usize = 100;
/// The records of a file may take so many times the room of the largest file: names of columns
/// stand in each.
const EXPANSION_MAX: u64 = 4;

/// One fault of one row.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct InvalidRow {
    /// The row; the header is row 1.
    row: u32,
    /// The column; absent: the row as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// A stable word.
    code: &'static str,
    /// What is wrong, and what would be right.
    message: String,
}

impl From<RowFault> for InvalidRow {
    fn from(fault: RowFault) -> Self {
        let RowFault { row, field, code, message } = fault;
        Self { row, field, code, message }
    }
}

/// How a file is to be judged.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// What kind of file.
    pub(super) kind: TableKind,
    /// Import the valid rows, ignore the others.
    pub(super) ignore_invalid: bool,
    /// Most rows.
    pub(super) rows_max: u32,
    /// Most bytes of a file.
    pub(super) bytes_max: u64,
    /// Where temporary files are.
    pub(super) spool_dir: PathBuf,
}

/// A file whose rows are judged.
pub(super) struct JudgedFile {
    /// The good ones.
    pub(super) records: Records,
    /// How many rows have faults.
    pub(super) invalid: u64,
    /// The first of their faults.
    pub(super) shown: Vec<InvalidRow>,
    /// How many good rows have the number of an earlier one.
    pub(super) duplicates: u64,
    /// What to look at though it is stored.
    pub(super) warnings: Vec<Warning>,
    /// The file again, to be judged by other terms.
    pub(super) file: File,
}

/// What came of a file.
pub(super) enum Verdict {
    /// It can be imported.
    Good(Box<JudgedFile>),
    /// It has rows with faults and is not to be imported: the answer, 422.
    Invalid(File),
}

/// Judges every row. Blocks, for as long as some microseconds a row take.
pub(super) fn judge(file: File, terms: &Terms, rule: &Rule) -> ApiResult<Verdict> {
    let mut judging = Judging::new(terms, rule)?;
    let schema = judging.checker.rules().schema.clone();
    let limits =
        TableLimits { rows: rule.rows_max, shared_bytes: SHARED_BYTES, ..TableLimits::default() };
    read(&file, rule.kind, (schema, limits), &mut |rows| judging.portion(rows))?;
    judging.finish(file, terms)
}

/// Reads a table portion by portion.
fn read(
    mut file: &File,
    kind: TableKind,
    (schema, limits): (VariableSchema, TableLimits),
    portion: &mut dyn FnMut(&Rows) -> ApiResult<()>,
) -> ApiResult<()> {
    file.rewind().map_err(|e| failed(&e))?;
    let mut done = Ok(());
    let read = read_table(kind, file, schema, limits, |rows| {
        done = portion(&rows);
        done.is_ok()
    });
    done?;
    read.map_err(|e| unreadable(&e))
}

/// A file that is no table: 400; one that is too large: 413.
fn unreadable(e: &TableError) -> ApiError {
    let text = format!("file: {e}");
    if e.is_too_large() {
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text);
    }
    ApiError::bad(text)
}

struct Judging<'a> {
    rule: &'a Rule,
    checker: Checker,
    seen: FirstSeen,
    records: BufWriter<File>,
    /// Where each chunk begins.
    chunks: Vec<u64>,
    bytes: u64,
    kept: u64,
    /// How many of a class.
    classes: BTreeMap<ClassId, u64>,
    /// Its place among those of the temporary file.
    places: BTreeMap<ClassId, u32>,
    faults: BufWriter<File>,
    shown: Vec<InvalidRow>,
    /// Bytes of `faults`.
    told: u64,
    /// Some faults found no room.
    cut: bool,
    invalid: u64,
    duplicates: u64,
}

impl<'a> Judging<'a> {
    fn new(terms: &Terms, rule: &'a Rule) -> ApiResult<Self> {
        Ok(Self {
            rule,
            checker: Checker::new(terms.rules()?),
            seen: FirstSeen::default(),
            records: temporary(&rule.spool_dir)?,
            chunks: Vec::new(),
            bytes: 0,
            kept: 0,
            classes: BTreeMap::new(),
            places: BTreeMap::new(),
            faults: temporary(&rule.spool_dir)?,
            shown: Vec::new(),
            told: 0,
            cut: false,
            invalid: 0,
            duplicates: 0,
        })
    }

    fn portion(&mut self, rows: &Rows) -> ApiResult<()> {
        let mut checked = rows.check(&mut self.checker, FAULTS_OF_PORTION);
        self.invalid += u64::from(checked.rejected);
        self.duplicates += u64::from(self.seen.drop_repeats(&mut checked.validation));
        self.tell(std::mem::take(&mut checked.faults)).map_err(|e| failed(&e))?;
        if self.invalid > 0 && !self.rule.ignore_invalid {
            // Nothing of it will be stored.
            return Ok(());
        }
        self.keep(rows, &checked).map_err(|e| failed(&e))?;
        if self.bytes > self.rule.bytes_max.saturating_mul(EXPANSION_MAX) {
            let text = "file: as contacts its rows take four times the largest file's room; give \
                the columns shorter names, or split it";
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok(())
    }

    fn keep(&mut self, rows: &Rows, checked: &CheckedRows) -> io::Result<()> {
        for (index, contact) in checked.validation.contacts.iter().enumerate() {
            let Some((contact, text)) = contact.as_ref().zip(rows.records().text(index)) else {
                continue;
            };
            if self.kept.is_multiple_of(super::records::CHUNK) {
                self.chunks.push(self.bytes);
            }
            let next = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            let place = *self.places.entry(contact.class).or_insert(next);
            *self.classes.entry(contact.class).or_default() += 1;
            self.bytes += super::records::write(
                &mut self.records,
                contact.phone.digits(),
                place,
                text.as_bytes(),
            )?;
            self.kept += 1;
        }
        Ok(())
    }

    /// What is wrong, as it stands in the answer.
    fn tell(&mut self, faults: Vec<RowFault>) -> io::Result<()> {
        let most = self.rule.bytes_max.max(FAULTS_BYTES);
        for fault in faults {
            let fault = InvalidRow::from(fault);
            let text = serde_json::to_vec(&fault)?;
            self.cut |= self.told + text.len() as u64 > most;
            if self.cut {
                break;
            }
            if self.told > 0 {
                self.faults.write_all(b",")?;
            }
            self.told += text.len() as u64 + 1;
            self.faults.write_all(&text)?;
            if self.shown.len() < SHOWN {
                self.shown.push(fault);
            }
        }
        Ok(())
    }

    fn finish(self, file: File, terms: &Terms) -> ApiResult<Verdict> {
        if self.invalid > 0 && (!self.rule.ignore_invalid || self.kept == 0) {
            return refusal(self.faults, self.invalid, self.cut, &self.rule.spool_dir)
                .map(Verdict::Invalid)
                .map_err(|e| failed(&e));
        }
        if self.kept == 0 {
            return Err(ApiError::bad("file: it has no row below its header"));
        }
        let closed = closed(&self.checker, terms);
        let warnings = warnings(&self.classes, &closed, &self.checker, terms);
        let mut classes: Vec<Class> = Vec::new();
        let mut by_place: Vec<(u32, ClassId)> =
            self.places.iter().map(|(class, place)| (*place, *class)).collect();
        by_place.sort_unstable_by_key(|(place, _)| *place);
        for (_, class) in by_place {
            let never = closed.get(&class).map(|never| (Disposition::Skipped, never.as_str()));
            classes.push((self.checker.class_text(class).clone(), never));
        }
        let records = self.records.into_inner().map_err(|e| failed(e.error()))?;
        Ok(Verdict::Good(Box::new(JudgedFile {
            records: Records::new(records, self.chunks, self.bytes, self.kept, classes),
            invalid: self.invalid,
            shown: self.shown,
            duplicates: self.duplicates,
            warnings,
            file,
        })))
    }
}

/// The answer to a file with invalid rows. It may hold millions of them.
fn refusal(faults: BufWriter<File>, invalid: u64, cut: bool, dir: &Path) -> io::Result<File> {
    let mut faults = faults.into_inner().map_err(io::IntoInnerError::into_error)?;
    faults.rewind()?;
    let mut answer = tempfile::tempfile_in(dir)?;
    let rows = if invalid == 1 { "1 row is".to_owned() } else { format!("{invalid} rows are") };
    let more = if cut { "; too many to list them all" } else { "" };
    write!(
        answer,
        "{{\"success\":false,\"message\":\"{rows} not valid, nothing was imported{more}\",\
         \"invalidRows\":["
    )?;
    io::copy(&mut faults, &mut answer)?;
    write!(answer, "],\"invalidCount\":{invalid}}}")?;
    answer.rewind()?;
    Ok(answer)
}

fn temporary(dir: &Path) -> ApiResult<BufWriter<File>> {
    let file = tempfile::tempfile_in(dir).map_err(|e| failed(&e))?;
    Ok(BufWriter::with_capacity(PIECE_BYTES, file))
}
