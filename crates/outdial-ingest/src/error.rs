//! Why a body cannot be read, and where.

use std::fmt;

use thiserror::Error;

/// A place in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: u64,
    /// From 1.
    pub line: u64,
    /// In bytes, from 1.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {} (byte {})", self.line, self.column, self.offset)
    }
}

/// The body as a whole cannot be read: what, where, and in which record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct BodyError {
    /// What.
    pub kind: BodyErrorKind,
    /// Where.
    pub at: Position,
    /// In the record at this position of the list, from 0; none: outside of records.
    pub record: Option<u32>,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at {}", self.kind, self.at)?;
        if let Some(index) = self.record {
            write!(f, ", in record {index} (counted from 0)")?;
        }
        Ok(())
    }
}

/// What is wrong with a body as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyErrorKind {
    /// Nothing but white space.
    #[error("the body is empty; send a JSON object")]
    Empty,
    /// It starts with a byte order mark.
    #[error("the body starts with a byte order mark; send JSON as UTF-8 without one")]
    ByteOrderMark,
    /// UTF-16 or UTF-32.
    #[error("the body is UTF-16 or UTF-32; send JSON as UTF-8")]
    NotUtf8Encoding,
    /// A byte that UTF-8 does not have there.
    #[error("the body is not valid UTF-8")]
    InvalidUtf8,
    /// JSON, but no object.
    #[error("the body must be a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// No JSON.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// It stops half-way.
    #[error("the body ends in the middle of the JSON object; it may have been cut off")]
    Truncated,
    /// Something follows the object.
    #[error("the body must be one JSON object; something follows it")]
    TrailingData,
    /// The same member twice.
    #[error("the member `{0}` stands in the body twice")]
    DuplicateMember(String),
    /// A member other than the records is too large.
    #[error("the member `{name}` is longer than {max} bytes")]
    MemberTooLarge {
        /// Which.
        name: String,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// The name of a member is too long.
    #[error("the name of a member of the body is longer than {max} bytes")]
    NameTooLong {
        /// How long it may be, in bytes.
        max: usize,
    },
    /// More members than a request can mean.
    #[error("the body has more than {max} members")]
    TooManyMembers {
        /// How many it may have.
        max: usize,
    },
    /// More records than one request may have: 413.
    #[error("the request has more than {max} records; send several requests")]
    TooManyRecords {
        /// How many it may have.
        max: u32,
    },
}

impl BodyErrorKind {
    /// The request is well-formed as far as it was read, but larger than a setting allows: 413.
    pub const fn is_too_many_records(&self) -> bool {
        matches!(self, Self::TooManyRecords { .. })
    }
}
