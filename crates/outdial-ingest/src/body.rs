//! A body that was read: its records as they were sent, and its other members.

use outdial_core::contact::FaultCode;
use thiserror::Error;

use crate::arena::{Arena, Span};
use crate::error::Position;
use crate::frame::Shape;

/// One request's body. Well-formed JSON, but for records that are refused.
#[derive(Debug)]
pub struct Body {
    pub(crate) members: Vec<(String, Box<str>)>,
    pub(crate) records: Records,
    pub(crate) call_data: CallData,
}

/// Under which names the records came.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallData {
    pub(crate) seen: Vec<&'static str>,
    /// How many of them are `null`.
    pub(crate) nulls: usize,
    pub(crate) not_an_array: Option<(&'static str, Shape, Position)>,
}

impl CallData {
    /// What came is no array: a value of this shape that starts with `first`.
    pub(crate) fn no_array(&mut self, name: &'static str, first: u8, shape: Shape, at: Position) {
        // Of all that JSON knows only `null` starts like this, and anything else is refused.
        self.nulls += usize::from(first == b'n');
        self.not_an_array = Some((name, shape, at));
    }
}

/// Why a body has no records to speak of.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallDataFault {
    /// Neither `call_data` nor `callData`.
    #[error("`call_data` is required: an array of records, each with a `phoneNumber`")]
    Missing,
    /// An array without records.
    #[error("`{0}` is empty; send at least one record")]
    Empty(&'static str),
    /// Both spellings.
    #[error("`call_data` and `callData` mean the same; send only one of them")]
    Both,
    /// No array.
    #[error("`{name}` must be an array of records, not {found}, at {at}")]
    NotAnArray {
        /// Under which name.
        name: &'static str,
        /// What it is instead.
        found: &'static str,
        /// Where.
        at: Position,
    },
}

impl Body {
    /// The JSON text of a member other than the records.
    pub fn member(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(key, _)| key == name).map(|(_, raw)| raw.as_ref())
    }

    /// All members other than the records, in the order sent: name and JSON text.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(key, raw)| (key.as_str(), raw.as_ref()))
    }

    /// The body says `call_data` or `callData`, whatever its value, unless it is `null`.
    pub fn has_call_data(&self) -> bool {
        self.call_data.seen.len() > self.call_data.nulls
    }

    /// The records, of which there is at least one.
    pub fn records(&self) -> Result<&Records, CallDataFault> {
        if self.call_data.seen.len() > 1 {
            return Err(CallDataFault::Both);
        }
        if let Some((name, shape, at)) = self.call_data.not_an_array {
            return Err(CallDataFault::NotAnArray { name, found: shape_name(shape), at });
        }
        match self.call_data.seen.first() {
            None => Err(CallDataFault::Missing),
            Some(name) if self.records.is_empty() => Err(CallDataFault::Empty(name)),
            Some(_) => Ok(&self.records),
        }
    }
}

/// For people: what a value is.
pub(crate) const fn shape_name(shape: Shape) -> &'static str {
    match shape {
        Shape::Object => "an object",
        Shape::Array => "an array",
        Shape::String => "a string",
        Shape::Scalar => "a number, `true`, `false` or `null`",
    }
}

/// One record as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordText<'a> {
    /// Its JSON text: a well-formed object.
    Kept(&'a str),
    /// It was not kept: no object, too large or too deep.
    Refused(FaultCode),
}

/// The records of a request, by position.
#[derive(Debug, Default)]
pub struct Records {
    arena: Arena,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Kept(Span),
    Refused(FaultCode),
}

impl Records {
    /// How many, refused ones too.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The record at this position.
    pub fn get(&self, index: usize) -> Option<RecordText<'_>> {
        self.slots.get(index).map(|slot| self.show(*slot))
    }

    /// The JSON text of the record at this position; none: there is none, or it was refused.
    pub fn text(&self, index: usize) -> Option<&str> {
        match self.get(index)? {
            RecordText::Kept(text) => Some(text),
            RecordText::Refused(_) => None,
        }
    }

    /// All of them, in the order sent.
    pub fn iter(&self) -> impl Iterator<Item = RecordText<'_>> {
        self.slots.iter().map(|slot| self.show(*slot))
    }

    pub(crate) fn arena(&mut self) -> &mut Arena {
        &mut self.arena
    }

    /// Keeps the arena's open text as the next record.
    pub(crate) fn keep_open(&mut self) {
        let span = self.arena.close();
        self.slots.push(Slot::Kept(span));
    }

    /// Forgets the arena's open text; the next record is refused.
    pub(crate) fn refuse_open(&mut self, code: FaultCode) {
        self.arena.discard();
        self.slots.push(Slot::Refused(code));
    }

    fn show(&self, slot: Slot) -> RecordText<'_> {
        match slot {
            // Checked to be UTF-8 before it was kept; checking again costs less than keeping a
            // second form of it.
            Slot::Kept(span) => match std::str::from_utf8(self.arena.text(span)) {
                Ok(text) => RecordText::Kept(text),
                Err(_) => RecordText::Refused(FaultCode::InvalidText),
            },
            Slot::Refused(code) => RecordText::Refused(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_costs_sixteen_bytes() {
        assert_eq!(size_of::<Slot>(), 16);
    }
}
