//! Contacts: one record of a list, read, and judged by the rules of its batch.
//!
//! A record's fields are kept as the JSON text that was sent; nothing here converts, reorders or
//! repairs them, and no value passes through a floating-point number. Every fault of a record is
//! found, not just the first.

mod check;
mod classes;
pub mod json;
mod outlook;
mod record;

use std::fmt;

pub use check::{
    Adopted, CandidateZones, CheckedContact, Checker, Rules, no_candidate_zones, superseded,
};
pub use classes::ClassId;
pub use outlook::Never;
pub use record::{Field, Record};

/// Longest record, in bytes as sent.
pub const RECORD_MAX_BYTES: usize = 64 * 1024;
/// Most keys of a record.
pub const FIELDS_MAX: usize = 256;
/// Deepest nesting; the record itself is level 1.
pub const DEPTH_MAX: u32 = 32;
/// Most digits of a number, those of its exponent included.
pub const NUMBER_DIGITS_MAX: usize = 64;
/// How many faults an answer shows.
pub const FAULTS_SHOWN: usize = 100;

/// Most characters of what was sent that a fault repeats.
const QUOTED_MAX_CHARS: usize = 64;

/// What can be wrong with a record: the closed list of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultCode {
    /// The record is a string, a number, an array, …
    NotAnObject,
    /// `phoneNumber` is absent, `null` or blank.
    MissingPhoneNumber,
    /// `phoneNumber` is no number that exists.
    InvalidPhoneNumber,
    /// The number's country is not among those that may be called.
    CountryNotAllowed,
    /// Premium-rate, shared-cost or satellite, and the workspace does not allow them.
    ForbiddenNumberType,
    /// A required variable is absent, `null` or blank.
    MissingVariable,
    /// A variable is of another type than the agent declares.
    InvalidType,
    /// `timezone` is no IANA zone.
    InvalidTimezone,
    /// More than [`RECORD_MAX_BYTES`].
    RecordTooLarge,
    /// More than [`FIELDS_MAX`].
    TooManyFields,
    /// Deeper than [`DEPTH_MAX`].
    TooDeep,
    /// NUL characters or lone surrogates.
    InvalidText,
    /// Beyond 1e308, or more than [`NUMBER_DIGITS_MAX`] digits.
    NumberOutOfRange,
    /// The same key twice.
    DuplicateKey,
}

impl FaultCode {
    /// Every one, in the order of the documents.
    pub const ALL: [FaultCode; 14] = [
        Self::NotAnObject,
        Self::MissingPhoneNumber,
        Self::InvalidPhoneNumber,
        Self::CountryNotAllowed,
        Self::ForbiddenNumberType,
        Self::MissingVariable,
        Self::InvalidType,
        Self::InvalidTimezone,
        Self::RecordTooLarge,
        Self::TooManyFields,
        Self::TooDeep,
        Self::InvalidText,
        Self::NumberOutOfRange,
        Self::DuplicateKey,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::MissingPhoneNumber => "missing_phone_number",
            Self::InvalidPhoneNumber => "invalid_phone_number",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::ForbiddenNumberType => "forbidden_number_type",
            Self::MissingVariable => "missing_variable",
            Self::InvalidType => "invalid_type",
            Self::InvalidTimezone => "invalid_timezone",
            Self::RecordTooLarge => "record_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::TooDeep => "too_deep",
            Self::InvalidText => "invalid_text",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::DuplicateKey => "duplicate_key",
        }
    }

    /// What would be right, for the codes that condemn a record as a whole and those of texts; the
    /// others are more exact than this ([`Checker`] writes them).
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NotAnObject => {
                "a record must be a JSON object with a `phoneNumber`, like \
                 {\"phoneNumber\": \"12125551234\"}"
            }
            Self::RecordTooLarge => "a record may have at most 65536 bytes (64 KiB)",
            Self::TooManyFields => "a record may have at most 256 keys",
            Self::TooDeep => "a record may be nested at most 32 levels deep, itself included",
            Self::InvalidText => {
                "text must not contain NUL characters (\\u0000) or lone surrogates (half of a \
                 \\ud83d\\ude00 pair); remove them"
            }
            Self::NumberOutOfRange => {
                "a number must lie within ±1e308 and have at most 64 digits; send longer ones as \
                 strings"
            }
            Self::DuplicateKey => "this key stands in the record twice; send it once",
            Self::MissingPhoneNumber => {
                "`phoneNumber` is required: digits with the country code, like \"12125551234\""
            }
            Self::InvalidPhoneNumber => {
                "`phoneNumber` must be a string or an integer: digits with the country code, like \
                 \"12125551234\""
            }
            Self::CountryNotAllowed => "write the country code first, like `12125551234`",
            Self::ForbiddenNumberType => {
                "premium-rate, shared-cost and satellite numbers are called only if the \
                 workspace's settings allow them"
            }
            Self::MissingVariable => "the agent requires this variable",
            Self::InvalidType => "the agent declares another type for this variable",
            Self::InvalidTimezone => {
                "`timezone` must be an IANA time zone like \"America/New_York\", or be left out"
            }
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One fault of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFault {
    /// Position of the record in the request, from 0.
    pub index: u32,
    /// Its `phoneNumber` as sent (at most 64 characters of it), if it has a readable one.
    pub phone_number: Option<String>,
    /// The key that is wrong; none: the record as a whole.
    pub field: Option<String>,
    /// What is wrong.
    pub code: FaultCode,
    /// What would be right, for people.
    pub message: String,
}

/// Faults of many records: all are counted, the first few are kept.
#[derive(Clone, Debug)]
pub struct Faults {
    count: u64,
    keep: usize,
    kept: Vec<RecordFault>,
}

impl Faults {
    /// Keeps at most `keep`.
    pub fn new(keep: usize) -> Self {
        Self { count: 0, keep, kept: Vec::new() }
    }

    /// Adds one; `make` runs only if it is to be kept. Records must come in the order of their
    /// indexes.
    pub fn add(&mut self, make: impl FnOnce() -> RecordFault) {
        self.count += 1;
        if self.kept.len() < self.keep {
            self.kept.push(make());
        }
    }

    /// Adds a fault that condemns record `index` as a whole.
    pub fn add_refusal(&mut self, index: u32, code: FaultCode) {
        self.add(|| RecordFault {
            index,
            phone_number: None,
            field: None,
            code,
            message: code.advice().to_owned(),
        });
    }

    /// Adds those of the records that follow.
    pub fn append(&mut self, later: Faults) {
        self.count += later.count;
        let room = self.keep.saturating_sub(self.kept.len());
        self.kept.extend(later.kept.into_iter().take(room));
    }

    /// How many there are, not just those kept.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The first of them, by index.
    pub fn kept(&self) -> &[RecordFault] {
        &self.kept
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new(FAULTS_SHOWN)
    }
}

/// At most 64 characters of what was sent.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let words: Vec<_> = FaultCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(
            words.join(" "),
            "not_an_object missing_phone_number invalid_phone_number country_not_allowed \
             forbidden_number_type missing_variable invalid_type invalid_timezone \
             record_too_large too_many_fields too_deep invalid_text number_out_of_range \
             duplicate_key"
        );
    }

    #[test]
    fn all_faults_count_and_the_first_are_kept() {
        let mut faults = Faults::new(2);
        for index in 0..5 {
            faults.add_refusal(index, FaultCode::NotAnObject);
        }
        assert_eq!(faults.count(), 5);
        let kept: Vec<_> = faults.kept().iter().map(|f| f.index).collect();
        assert_eq!(kept, [0, 1]);
    }

    #[test]
    fn what_was_sent_is_repeated_in_part() {
        assert_eq!(quoted("é"), "é");
        assert_eq!(quoted(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(quoted(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
    }
}
