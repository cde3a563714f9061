//! The stream of an `.xls` workbook: records that may be continued anywhere, and what stands in
//! them. Nothing is copied before it is asked for. Layouts: [MS-XLS].

use super::TableError;
use super::package::broken;

/// The type of a record that continues the one before it.
const CONTINUE: u16 = 0x003C;

pub(super) fn cut_off() -> TableError {
    broken(&"it is cut off or damaged")
}

/// One record and those that continue it.
pub(super) struct Record<'a> {
    pub(super) kind: u16,
    pub(super) data: &'a [u8],
    /// Those that continue it, as they stand in the stream.
    more: Records<'a>,
}

impl<'a> Record<'a> {
    /// What it holds from `at` on.
    pub(super) fn pieces(&self, at: usize) -> Pieces<'a> {
        let mut pieces = Pieces { part: self.data, more: self.more };
        pieces.skip(at);
        pieces
    }
}

/// The records of a stream.
#[derive(Clone, Copy)]
pub(super) struct Records<'a>(pub(super) &'a [u8]);

impl<'a> Records<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Record<'a>>, TableError> {
        let Some((kind, data)) = self.one()? else { return Ok(None) };
        let after = self.0;
        while u16_at(self.0, 0) == Some(CONTINUE) && self.one()?.is_some() {}
        let more = Records(&after[..after.len() - self.0.len()]);
        Ok(Some(Record { kind, data, more }))
    }

    fn one(&mut self) -> Result<Option<(u16, &'a [u8])>, TableError> {
        if self.0.len() < 4 {
            return Ok(None);
        }
        let kind = u16_at(self.0, 0).ok_or_else(cut_off)?;
        let len = usize::from(u16_at(self.0, 2).ok_or_else(cut_off)?);
        let data = self.0.get(4..4 + len).ok_or_else(cut_off)?;
        self.0 = &self.0[4 + len..];
        Ok(Some((kind, data)))
    }
}

pub(super) fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn f64_at(data: &[u8], at: usize) -> Option<f64> {
    Some(f64::from_le_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

/// A number in four bytes: a whole one of 30 bits or the upper half of a real one, perhaps in
/// hundredths.
pub(super) fn rk_at(data: &[u8], at: usize) -> Option<f64> {
    let bits = u32_at(data, at)?;
    let value = match bits & 2 != 0 {
        true => f64::from(bits.cast_signed() >> 2),
        false => f64::from_bits(u64::from(bits & !3) << 32),
    };
    Some(if bits & 1 != 0 { value / 100.0 } else { value })
}

/// What is left of a record that may be continued anywhere.
pub(super) struct Pieces<'a> {
    part: &'a [u8],
    more: Records<'a>,
}

impl Pieces<'_> {
    pub(super) fn is_over(&mut self) -> bool {
        while self.part.is_empty() {
            match self.more.one() {
                Ok(Some((_, part))) => self.part = part,
                _ => return true,
            }
        }
        false
    }

    fn skip(&mut self, mut bytes: usize) {
        while bytes > 0 && !self.is_over() {
            let here = bytes.min(self.part.len());
            self.part = &self.part[here..];
            bytes -= here;
        }
    }

    fn byte(&mut self) -> Option<u8> {
        if self.is_over() {
            return None;
        }
        let (first, rest) = self.part.split_first()?;
        self.part = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }

    /// A text with its length before it, and what may follow it: its fonts, its pronunciation.
    pub(super) fn string(&mut self) -> Option<String> {
        let mut left = usize::from(self.u16()?);
        let flags = self.byte()?;
        let fonts = if flags & 8 != 0 { usize::from(self.u16()?) } else { 0 };
        let mut extra = 0;
        if flags & 4 != 0 {
            let (low, high) = (self.u16()?, self.u16()?);
            extra = usize::try_from(u32::from(high) << 16 | u32::from(low)).ok()?;
        }
        let mut wide = flags & 1 != 0;
        let mut units: Vec<u16> = Vec::new();
        while left > 0 {
            if self.part.is_empty() {
                // The next part says again how wide its characters are.
                wide = self.byte()? & 1 != 0;
            }
            let rest = self.part;
            let width = if wide { 2 } else { 1 };
            let count = left.min(rest.len() / width);
            if count == 0 {
                return None;
            }
            match wide {
                true => units.extend(
                    rest[..count * 2].chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])),
                ),
                false => units.extend(rest[..count].iter().map(|b| u16::from(*b))),
            }
            self.part = &rest[count * width..];
            left -= count;
        }
        self.skip(fonts.checked_mul(4)?.checked_add(extra)?);
        Some(String::from_utf16_lossy(&units))
    }
}
