//! The body of `addCallsToBatch` and `start-calling`, in pieces of any size.
//!
//! A state machine over bytes for the outer object and the array of records; each value in them is
//! framed ([`crate::frame`]), and judged by serde_json when it is whole. Never recurses, never
//! keeps what is over a limit.

use outdial_core::contact::{DEPTH_MAX, FaultCode, RECORD_MAX_BYTES};

use crate::body::{Body, CallData, Records, shape_name};
use crate::error::{BodyError, BodyErrorKind, Position};
use crate::frame::{Cursor, Frame, Shape, is_white};
use crate::syntax::{error_offset, json_error, no_value, syntax};

/// Most members of a body; the documented requests have five.
const MEMBERS_MAX: usize = 256;
/// Longest name of a member, in bytes, quotes and escapes included.
const NAME_MAX_BYTES: usize = 1024;
/// The names of the array of records.
const CALL_DATA: [&str; 2] = ["call_data", "callData"];

/// What one body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most records.
    pub max_records: u32,
    /// Longest member other than the records, in bytes.
    pub max_member_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_records: 1_000_000, max_member_bytes: 64 * 1024 }
    }
}

/// Reads one body. Feed it the decoded bytes as they come, then finish.
#[derive(Debug)]
pub struct BodyParser {
    limits: Limits,
    state: State,
    cursor: Cursor,
    value: Option<Value>,
    /// Name of the member whose value is next.
    name: String,
    members: Vec<(String, Box<str>)>,
    call_data: CallData,
    records: Records,
    failed: Option<BodyError>,
}

/// What may come next, outside of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `{`
    Start,
    /// The rest of a byte order mark: how many of its bytes came.
    Mark(u8),
    /// A name, or `}`.
    FirstName,
    /// A name.
    Name,
    /// `:`
    Colon,
    /// The value of a member.
    Member,
    /// `,` or `}`.
    AfterMember,
    /// A record, or `]`.
    FirstRecord,
    /// A record.
    Record,
    /// `,` or `]`.
    AfterRecord,
    /// White space.
    Done,
}

/// A value whose end has not come yet.
#[derive(Clone, Copy, Debug)]
struct Value {
    role: Role,
    frame: Frame,
    start: Cursor,
    /// Its text is in the arena; false: it was over its limit.
    kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Name,
    Member,
    /// The value of `call_data`, but no array.
    NoArray,
    Record,
}

impl BodyParser {
    /// For one body.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            cursor: Cursor::START,
            value: None,
            name: String::new(),
            members: Vec::new(),
            call_data: CallData::default(),
            records: Records::default(),
            failed: None,
        }
    }

    /// Takes the next bytes. After an error every further call returns the same error.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.advance(bytes);
        if let Err(error) = &result {
            // Nothing will be asked of the records any more; they can be large.
            self.records = Records::default();
            self.failed = Some(error.clone());
        }
        result
    }

    /// No more bytes will come.
    pub fn finish(self) -> Result<Body, BodyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.state {
            State::Done => {
                let Self { members, call_data, records, .. } = self;
                Ok(Body { members, records, call_data })
            }
            State::Start => Err(self.error_here(BodyErrorKind::Empty)),
            _ => Err(self.error_here(BodyErrorKind::Truncated)),
        }
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let mut rest = bytes;
        while let Some(&b) = rest.first() {
            if let Some(mut value) = self.value {
                let (used, complete) = value.frame.scan(rest, &mut self.cursor);
                self.take(&mut value, &rest[..used])?;
                rest = &rest[used..];
                self.value = Some(value);
                if complete {
                    self.value = None;
                    self.close(&value)?;
                }
                continue;
            }
            if is_white(b) && !matches!(self.state, State::Mark(_)) {
                if b == b'\n' {
                    self.cursor.line_feed();
                }
            } else if !self.step(b)? {
                // A value starts with this byte.
                continue;
            }
            self.cursor.offset += 1;
            rest = &rest[1..];
        }
        Ok(())
    }

    /// One byte outside of values. False: it is the first of a value, and not taken yet.
    fn step(&mut self, b: u8) -> Result<bool, BodyError> {
        self.state = match (self.state, b) {
            (State::Start, b'{') => State::FirstName,
            (State::FirstName | State::Name, b'"') => {
                self.open(Role::Name, Shape::String);
                return Ok(false);
            }
            (State::FirstName | State::AfterMember, b'}') => State::Done,
            (State::AfterMember, b',') => State::Name,
            (State::Colon, b':') => State::Member,
            (State::Member, _) => return self.start_member(b),
            (State::FirstRecord | State::AfterRecord, b']') => State::AfterMember,
            (State::AfterRecord, b',') => State::Record,
            (State::FirstRecord | State::Record, _) => return self.start_record(b),
            (State::Start, 0xEF) if self.cursor.offset == 0 => State::Mark(1),
            (State::Mark(1), 0xBB) => State::Mark(2),
            _ => return Err(self.unexpected(b)),
        };
        Ok(true)
    }

    fn start_member(&mut self, b: u8) -> Result<bool, BodyError> {
        let Some(shape) = Shape::of(b) else { return Err(self.unexpected(b)) };
        let Some(name) = CALL_DATA.into_iter().find(|name| *name == self.name) else {
            self.open(Role::Member, shape);
            return Ok(false);
        };
        self.call_data.seen.push(name);
        if shape == Shape::Array {
            self.state = State::FirstRecord;
            return Ok(true);
        }
        self.call_data.no_array(name, b, shape, self.cursor.position());
        self.open(Role::NoArray, shape);
        Ok(false)
    }

    fn start_record(&mut self, b: u8) -> Result<bool, BodyError> {
        let Some(shape) = Shape::of(b) else { return Err(self.unexpected(b)) };
        let max = self.limits.max_records;
        if self.records.len() >= max as usize {
            return Err(self.error_here(BodyErrorKind::TooManyRecords { max }));
        }
        self.open(Role::Record, shape);
        Ok(false)
    }

    fn open(&mut self, role: Role, shape: Shape) {
        let frame = Frame::new(shape);
        self.value = Some(Value { role, frame, start: self.cursor, kept: true });
    }

    /// Keeps the next bytes of a value, unless it is too long to be kept.
    fn take(&mut self, value: &mut Value, bytes: &[u8]) -> Result<(), BodyError> {
        if !value.kept {
            return Ok(());
        }
        let max = match value.role {
            Role::Name => NAME_MAX_BYTES,
            Role::Member => self.limits.max_member_bytes,
            Role::NoArray | Role::Record => RECORD_MAX_BYTES,
        };
        let arena = self.records.arena();
        if arena.open_text().len() + bytes.len() <= max {
            arena.push(bytes);
            return Ok(());
        }
        arena.discard();
        value.kept = false;
        let kind = match value.role {
            Role::Name => BodyErrorKind::NameTooLong { max },
            Role::Member => BodyErrorKind::MemberTooLarge { name: self.shown_name(), max },
            Role::NoArray | Role::Record => return Ok(()),
        };
        Err(self.error(kind, value.start.position()))
    }

    /// A value is whole: its last byte was taken.
    fn close(&mut self, value: &Value) -> Result<(), BodyError> {
        if value.kept {
            self.judge(value)?;
        }
        match value.role {
            Role::Name => {
                self.close_name(value)?;
                self.state = State::Colon;
            }
            Role::Member => {
                let text = String::from_utf8_lossy(self.records.arena().open_text());
                let text = text.into_owned().into_boxed_str();
                self.records.arena().discard();
                self.members.push((std::mem::take(&mut self.name), text));
                self.state = State::AfterMember;
            }
            Role::NoArray => {
                self.records.arena().discard();
                self.state = State::AfterMember;
            }
            Role::Record => {
                match self.refusal(value) {
                    Some(code) => self.records.refuse_open(code),
                    None => self.records.keep_open(),
                }
                self.state = State::AfterRecord;
            }
        }
        Ok(())
    }

    /// Why a whole record is not kept. By what it is, never by how its bytes came.
    fn refusal(&self, value: &Value) -> Option<FaultCode> {
        let len = self.cursor.offset - value.start.offset;
        if value.frame.shape() != Shape::Object {
            Some(FaultCode::NotAnObject)
        } else if len > RECORD_MAX_BYTES as u64 {
            Some(FaultCode::RecordTooLarge)
        } else if value.frame.deepest() > DEPTH_MAX {
            Some(FaultCode::TooDeep)
        } else {
            None
        }
    }

    fn close_name(&mut self, value: &Value) -> Result<(), BodyError> {
        let text = self.records.arena().open_text();
        let name: String = match serde_json::from_slice(text) {
            Ok(name) => name,
            Err(error) => {
                let at = value.start.after(&text[..error_offset(text, &error)]);
                return Err(self.error(syntax(&error, &[]), at.position()));
            }
        };
        self.records.arena().discard();
        self.name = name;
        let known = self.members.iter().any(|(key, _)| *key == self.name)
            || self.call_data.seen.contains(&self.name.as_str());
        if known {
            let kind = BodyErrorKind::DuplicateMember(self.shown_name());
            return Err(self.error(kind, value.start.position()));
        }
        let max = MEMBERS_MAX;
        if self.members.len() + self.call_data.seen.len() >= max {
            return Err(self.error(BodyErrorKind::TooManyMembers { max }, value.start.position()));
        }
        Ok(())
    }

    /// Whether the kept text of a whole value is UTF-8 and JSON.
    fn judge(&mut self, value: &Value) -> Result<(), BodyError> {
        let bytes = self.records.arena().open_text();
        let (kind, offset) = match std::str::from_utf8(bytes) {
            Err(error) => (BodyErrorKind::InvalidUtf8, error.valid_up_to()),
            Ok(text) => match json_error(text) {
                None => return Ok(()),
                Some(_) if value.frame.shape() == Shape::Scalar => (no_value(text), 0),
                Some(error) => {
                    let offset = error_offset(bytes, &error);
                    (syntax(&error, &bytes[offset..]), offset)
                }
            },
        };
        let at = value.start.after(&bytes[..offset]).position();
        let mut error = self.error(kind, at);
        error.record = self.record_of(value.role);
        Err(error)
    }

    fn unexpected(&self, b: u8) -> BodyError {
        let wanted = match self.state {
            State::Start | State::Mark(_) => return self.no_object(b),
            State::Done => return self.error_here(BodyErrorKind::TrailingData),
            State::FirstName | State::Name | State::Colon if b == 0 && self.cursor.offset < 4 => {
                return self.error_here(BodyErrorKind::NotUtf8Encoding);
            }
            State::FirstName => "a name in double quotes, or `}`",
            State::Name => "a name in double quotes",
            State::Colon => "`:`",
            State::Member => "a value",
            State::AfterMember => "`,` or `}`",
            State::FirstRecord => "a record, or `]`",
            State::Record => "a record",
            State::AfterRecord => "`,` or `]`",
        };
        let found = match b {
            0x21..=0x7E => format!("`{}`", char::from(b)),
            _ => format!("byte 0x{b:02X}"),
        };
        self.error_here(BodyErrorKind::Syntax(format!("expected {wanted}, found {found}")))
    }

    /// A first byte that is not `{`.
    fn no_object(&self, b: u8) -> BodyError {
        let kind = match (self.state, b, Shape::of(b)) {
            (State::Mark(2), 0xBF, _) => BodyErrorKind::ByteOrderMark,
            (State::Mark(_), ..) => BodyErrorKind::InvalidUtf8,
            (_, 0 | 0xFE | 0xFF, _) if self.cursor.offset == 0 => BodyErrorKind::NotUtf8Encoding,
            (_, b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'[' | b'"', Some(shape)) => {
                BodyErrorKind::NotAnObject(shape_name(shape))
            }
            _ => BodyErrorKind::Syntax("expected `{`".to_owned()),
        };
        self.error_here(kind)
    }

    fn error_here(&self, kind: BodyErrorKind) -> BodyError {
        self.error(kind, self.cursor.position())
    }

    fn error(&self, kind: BodyErrorKind, at: Position) -> BodyError {
        let record = self.value.and_then(|value| self.record_of(value.role));
        BodyError { kind, at, record }
    }

    /// The position of the record that is being read, if one is.
    fn record_of(&self, role: Role) -> Option<u32> {
        let index = u32::try_from(self.records.len()).ok();
        index.filter(|_| role == Role::Record)
    }

    /// The name of the current member, as far as an answer should repeat it.
    fn shown_name(&self) -> String {
        self.name.chars().take(64).collect()
    }
}

impl Default for BodyParser {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}
