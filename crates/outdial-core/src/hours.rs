//! Calling hours: on which instants a call may be placed.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::time::Timestamp;

/// A time of day in whole minutes, `00:00`–`24:00`; on the wire `HH:MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClockTime(u16);

/// When a batch's calls may be placed, read in the zone of each called person.
///
/// A day's window is a half-open interval of *instants* made from its edges; see `semantics.md`
/// section 2.2 for edges in the gaps and folds of daylight saving. Stored as JSON
/// `{"window":["09:00","17:00"],"days":[1,2,3,4,5]}`, each part absent when it does not restrict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallingHours {
    /// Start and end of a day's window; none: the whole day.
    window: Option<(ClockTime, ClockTime)>,
    /// Bit n set: day n is allowed, 0 = Sunday … 6 = Saturday; the day a window starts on.
    days: u8,
}

/// Why calling hours were refused; the text says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum HoursError {
    #[error("`{0}` is not a time of day; write HH:MM from 00:00 to 23:59 (an end also 24:00)")]
    NotATime(String),
    #[error("start and end are the same: the window would never open")]
    Empty,
    #[error("allowedDays is empty: no day would be allowed; leave it out to allow every day")]
    NoDays,
    #[error("{0} is not a day; days are 0 (Sunday) to 6 (Saturday)")]
    NotADay(i64),
}

/// Whether a call may be placed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Yes, at every instant before `until`.
    Open {
        /// The first instant at which it is not allowed any more.
        until: Timestamp,
    },
    /// No, and not before `opens`.
    Closed {
        /// The first allowed instant; none within 14 days: `None`.
        opens: Option<Timestamp>,
    },
}

impl CallingHours {
    /// No restriction.
    pub fn always() -> Self {
        Self { window: None, days: 0b111_1111 }
    }
}
