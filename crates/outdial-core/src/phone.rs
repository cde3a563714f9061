//! Phone numbers.

use std::fmt;

/// A phone number in E.164 without `+`, at most 15 digits (ITU-T E.164 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(u64);

impl PhoneNumber {
    /// From digits that the store holds, or that [`parse`] normalised.
    pub const fn from_digits(digits: u64) -> Self {
        Self(digits)
    }

    /// The digits as an integer.
    pub const fn digits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
