//! Budgets of a batch, in minutes of talk and in money: reserved before the dial, settled at the
//! end by use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::{AttemptEnd, AttemptState};
use crate::outcome::Disposition;
use crate::time::Timestamp;
use crate::zone::Zone;

/// A calendar day of the workspace's zone: days since 1970-01-01.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Day(pub i32);

impl Day {
    /// The day that `at` falls on in `zone`.
    pub fn of(zone: &Zone, at: Timestamp) -> Self {
        let date = zone.tz().to_datetime(at.to_jiff()).date();
        let days = jiff::civil::date(1970, 1, 1).until(date).map_or(0, |span| span.get_days());
        Self(days)
    }

    /// The first instant of the next day in `zone`.
    pub fn ends(self, zone: &Zone) -> Timestamp {
        let next = jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(i64::from(self.0) + 1))
            .and_then(|date| date.to_zoned(zone.tz().clone()));
        next.map_or(Timestamp::MAX, |at| Timestamp::from_jiff(at.timestamp()))
    }
}

/// What a batch may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Seconds of talk; none: as many as it takes.
    pub seconds: Option<u64>,
    /// Money, in millionths; none: as much as it takes.
    pub micros: Option<u64>,
    /// Every calendar day of the workspace's zone anew; else once for the batch.
    pub per_day: bool,
}

/// What was, or will be, used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// Seconds of talk.
    pub seconds: u64,
    /// Money, in millionths.
    pub micros: u64,
}

impl Spend {
    /// Nothing.
    pub const NONE: Self = Self { seconds: 0, micros: 0 };

    /// `seconds` of talk at `price` millionths a minute; fractions of a millionth count as one.
    pub fn of(seconds: u64, price: u64) -> Self {
        Self { seconds, micros: seconds.saturating_mul(price).div_ceil(60) }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            seconds: self.seconds.saturating_add(other.seconds),
            micros: self.micros.saturating_add(other.micros),
        }
    }
}

impl Budget {
    /// Whether `more` fits beside `spent`.
    pub fn fits(&self, spent: Spend, more: Spend) -> bool {
        let sum = spent.plus(more);
        self.seconds.is_none_or(|most| sum.seconds <= most)
            && self.micros.is_none_or(|most| sum.micros <= most)
    }
}

/// What an attempt used of what was reserved for it: the talk in whole seconds, rounded up, at the
/// price that was reserved with. `unknown` counts in full, what was not sent not at all.
pub fn used(end: &AttemptEnd, reserved: Spend, price: u64) -> Spend {
    if end.state == AttemptState::NotSent {
        return Spend::NONE;
    }
    if end.state == AttemptState::Unknown || end.outcome.disposition == Disposition::Unknown {
        return reserved;
    }
    let talk = end.talk();
    let seconds = talk.as_secs() + u64::from(talk > Duration::from_secs(talk.as_secs()));
    Spend::of(seconds, price)
}
