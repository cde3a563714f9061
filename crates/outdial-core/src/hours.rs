//! Calling hours: at which instants a call may be placed.
//!
//! Hours are read in the zone of the called person. A day's window is a half-open interval of
//! *instants*; how its edges become instants where daylight saving skips or repeats an hour stands
//! at [`CallingHours::allowed`]. Whoever dials asks here, and nowhere else.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::time::Timestamp;
use crate::zone::{Class, Zone};

/// How far ahead an opening is looked for: none within this counts as never.
const HORIZON_DAYS: i32 = 14;
const MINUTES_OF_DAY: u16 = 24 * 60;
const EVERY_DAY: u8 = 0b111_1111;

/// A time of day in whole minutes, `00:00`–`24:00`; on the wire `HH:MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockTime(u16);

/// When a batch's calls may be placed, read in the zone of each called person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallingHours {
    /// Start and end of a day's window; none: the whole day.
    window: Option<(ClockTime, ClockTime)>,
    /// Bit n set: day n is allowed, 0 = Sunday … 6 = Saturday; the day a window starts on.
    days: u8,
}

/// Why calling hours were refused; the text says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HoursError {
    /// Not a time of day.
    #[error("`{0}` is not a time of day; write HH:MM from 00:00 to 23:59 (an end also 24:00)")]
    NotATime(String),
    /// A window of no length.
    #[error("start and end are the same: the window would never open")]
    Empty,
    /// No day allowed.
    #[error("no day would be allowed; leave allowedDays out to allow every day")]
    NoDays,
    /// Not a day.
    #[error("{0} is not a day; days are 0 (Sunday) to 6 (Saturday)")]
    NotADay(i64),
}

/// Whether a call may be placed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Yes, at every instant before `until`.
    Open {
        /// The first instant at which it is not allowed any more, as far as 14 days ahead.
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
    pub const fn always() -> Self {
        Self { window: None, days: EVERY_DAY }
    }

    /// From the API's `callingHour {start, end}` and `allowedDays`. A window without days: every
    /// day. Days without a window: the whole day.
    ///
    /// # Errors
    /// Anything that is not a time or a day, and what would never open.
    pub fn new(window: Option<(&str, &str)>, days: Option<&[i64]>) -> Result<Self, HoursError> {
        let window = match window {
            None => None,
            Some((start_text, end_text)) => {
                let (start, end) = (ClockTime::parse(start_text)?, ClockTime::parse(end_text)?);
                if start.0 == MINUTES_OF_DAY {
                    return Err(HoursError::NotATime(start_text.to_owned()));
                }
                if start == end {
                    return Err(HoursError::Empty);
                }
                Some((start, end))
            }
        };
        let mut bits = 0;
        for &day in days.unwrap_or(&[0, 1, 2, 3, 4, 5, 6]) {
            let n = u8::try_from(day).ok().filter(|n| *n < 7).ok_or(HoursError::NotADay(day))?;
            bits |= 1 << n;
        }
        if bits == 0 {
            return Err(HoursError::NoDays);
        }
        Ok(Self { window, days: bits })
    }

    /// Nothing is restricted.
    pub fn is_always(&self) -> bool {
        self.window.is_none() && self.days == EVERY_DAY
    }

    /// Start and end of a day's window; none: the whole day.
    pub fn window(&self) -> Option<(ClockTime, ClockTime)> {
        self.window
    }

    /// The allowed days, 0 = Sunday; none: every day.
    pub fn days(&self) -> Option<Vec<u8>> {
        (self.days != EVERY_DAY).then(|| (0..7).filter(|n| self.days >> n & 1 == 1).collect())
    }

    /// Whether a call may be placed at `now` to somebody who may be in any of the class's zones:
    /// only if it may in all of them.
    ///
    /// `start > end` crosses midnight and belongs to the day it starts on. An edge in an hour that
    /// daylight saving skips is the first instant after it. An edge in an hour that comes twice:
    /// a start is the later, an end the earlier instant. Without a window a day runs from
    /// its first midnight to the next day's first.
    pub fn allowed(&self, class: &Class, now: Timestamp) -> Allowed {
        if self.is_always() {
            return Allowed::Open { until: Timestamp::MAX };
        }
        common(&self.gates(class), now)
    }

    /// These hours in every zone of the class; none where nothing is restricted.
    pub(crate) fn gates<'a>(&'a self, class: &'a Class) -> Vec<Gate<'a>> {
        if self.is_always() {
            return Vec::new();
        }
        let gate = |zone: &'a Zone| Gate {
            tz: zone.tz(),
            windows: Box::new(move |date| self.window_of(zone.tz(), date).into_iter().collect()),
        };
        class.zones().iter().map(gate).collect()
    }

    /// The window that starts on `date`, if that day is allowed and the window is not empty.
    fn window_of(&self, tz: &TimeZone, date: Date) -> Option<Span> {
        let day = date.weekday().to_sunday_zero_offset();
        if self.days >> day & 1 == 0 {
            return None;
        }
        match self.window {
            None => whole_day(tz, date),
            Some((start, end)) => {
                let end_date = if end <= start { date.tomorrow().ok()? } else { date };
                span(tz, start.on(date)?, end.on(end_date)?)
            }
        }
    }
}

/// Instants from the first until before the second.
pub(crate) type Span = (Timestamp, Timestamp);

/// Something that allows calls at some hours of the days of one zone.
pub(crate) struct Gate<'a> {
    /// The zone.
    pub(crate) tz: &'a TimeZone,
    /// The windows that start on a date, in order, apart, none of them empty.
    pub(crate) windows: Box<dyn Fn(Date) -> Vec<Span> + 'a>,
}

impl Gate<'_> {
    /// The span of allowed instants that holds `at`, or else the next one; windows that touch are
    /// one span.
    fn span_at(&self, at: Timestamp) -> Option<Span> {
        let today = self.tz.to_datetime(at.to_jiff()).date();
        let mut span: Option<Span> = None;
        // From two days back: where a day is skipped, yesterday's window is that of the day before.
        for offset in -2..=HORIZON_DAYS + 1 {
            let Ok(date) = today.checked_add(jiff::Span::new().days(offset)) else { continue };
            for (open, close) in (self.windows)(date) {
                match &mut span {
                    None if close > at => span = Some((open, close)),
                    Some((_, end)) if open <= *end => *end = close.max(*end),
                    Some(_) => return span,
                    None => {}
                }
            }
        }
        span
    }
}

/// What all gates together say at `now`; without any, everything is allowed.
pub(crate) fn common(gates: &[Gate<'_>], now: Timestamp) -> Allowed {
    let horizon = now.after(std::time::Duration::from_secs(86_400 * HORIZON_DAYS as u64));
    let mut at = now;
    while at <= horizon {
        let mut until = Timestamp::MAX;
        let mut opens = at;
        for gate in gates {
            match gate.span_at(at) {
                Some((open, close)) => {
                    opens = opens.max(open);
                    until = until.min(close);
                }
                None => return Allowed::Closed { opens: None },
            }
        }
        if opens == at {
            return match at == now {
                true => Allowed::Open { until },
                false => Allowed::Closed { opens: Some(at) },
            };
        }
        at = opens;
    }
    Allowed::Closed { opens: None }
}

/// The window between two local times, if it is not empty: the later instant of a start that comes
/// twice, the earlier of an end.
pub(crate) fn span(tz: &TimeZone, start: DateTime, end: DateTime) -> Option<Span> {
    let (open, close) = (edge(tz, start, Fold::Later)?, edge(tz, end, Fold::Earlier)?);
    (open < close).then_some((open, close))
}

/// From the first midnight of a date to the next date's first; none where the day was skipped.
pub(crate) fn whole_day(tz: &TimeZone, date: Date) -> Option<Span> {
    let next = date.tomorrow().ok()?;
    let (open, close) =
        (edge(tz, midnight(date), Fold::Earlier)?, edge(tz, midnight(next), Fold::Earlier)?);
    (open < close).then_some((open, close))
}

#[derive(Clone, Copy)]
enum Fold {
    Earlier,
    Later,
}

fn midnight(date: Date) -> DateTime {
    date.to_datetime(Time::midnight())
}

/// The instant of a local time; see [`CallingHours::allowed`].
fn edge(tz: &TimeZone, local: DateTime, fold: Fold) -> Option<Timestamp> {
    let offset = tz.to_ambiguous_timestamp(local).offset();
    let instant = match (offset, fold) {
        (AmbiguousOffset::Unambiguous { offset }, _) => offset.to_timestamp(local),
        (AmbiguousOffset::Fold { before, .. }, Fold::Earlier) => before.to_timestamp(local),
        (AmbiguousOffset::Fold { after, .. }, Fold::Later) => after.to_timestamp(local),
        (AmbiguousOffset::Gap { before, after }, _) => {
            // Read with the offset that holds after the gap, the time lies before the transition.
            let early = after.to_timestamp(local).ok()?;
            match tz.following(early).next() {
                Some(transition) => Ok(transition.timestamp()),
                None => before.to_timestamp(local),
            }
        }
    };
    instant.ok().map(Timestamp::from_jiff)
}

impl ClockTime {
    /// From `HH:MM`, two digits each.
    ///
    /// # Errors
    /// Everything else.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let bad = || HoursError::NotATime(text.chars().take(32).collect());
        let b = text.as_bytes();
        let digits = [0, 1, 3, 4].iter().all(|&i| b.get(i).is_some_and(u8::is_ascii_digit));
        if b.len() != 5 || b[2] != b':' || !digits {
            return Err(bad());
        }
        let two = |i: usize| u16::from(b[i] - b'0') * 10 + u16::from(b[i + 1] - b'0');
        let (h, m) = (two(0), two(3));
        if m > 59 || h * 60 + m > MINUTES_OF_DAY {
            return Err(bad());
        }
        Ok(Self(h * 60 + m))
    }

    /// This time on a date; `24:00` is the next day's midnight.
    pub(crate) fn on(self, date: Date) -> Option<DateTime> {
        if self.0 == MINUTES_OF_DAY {
            return date.tomorrow().ok().map(midnight);
        }
        let (h, m) = (i8::try_from(self.0 / 60).ok()?, i8::try_from(self.0 % 60).ok()?);
        Time::new(h, m, 0, 0).ok().map(|t| date.to_datetime(t))
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// The stored form: `{"window":["09:00","17:00"],"days":[1,2,3,4,5]}`, each part absent when it
/// does not restrict.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    days: Option<Vec<i64>>,
}

impl Serialize for CallingHours {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Stored {
            window: self.window.map(|(a, b)| (a.to_string(), b.to_string())),
            days: self.days().map(|d| d.into_iter().map(i64::from).collect()),
        }
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for CallingHours {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(d)?;
        let window = stored.window.as_ref().map(|(a, b)| (a.as_str(), b.as_str()));
        Self::new(window, stored.days.as_deref()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(start: &str, end: &str) -> CallingHours {
        CallingHours::new(Some((start, end)), None).unwrap()
    }

    fn t(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(h: &CallingHours, zone: &str, date: &str) -> Option<(String, String)> {
        let zone: Zone = zone.parse().unwrap();
        let (open, close) = h.window_of(zone.tz(), date.parse().unwrap())?;
        Some((open.to_string(), close.to_string()))
    }

    #[test]
    fn refuses_what_never_opens_and_what_is_no_time() {
        let err = |s, e| CallingHours::new(Some((s, e)), None).unwrap_err();
        assert_eq!(err("09:00", "09:00"), HoursError::Empty);
        for bad in ["9:00", "09:60", "24:01", "25:00", "0900", "", "09:00:00", "-1:00", "０9:00"] {
            assert!(matches!(err(bad, "17:00"), HoursError::NotATime(_)), "{bad}");
            assert!(matches!(err("07:00", bad), HoursError::NotATime(_)), "{bad}");
        }
        assert!(matches!(err("24:00", "01:00"), HoursError::NotATime(_)));
        assert_eq!(CallingHours::new(None, Some(&[])), Err(HoursError::NoDays));
        assert_eq!(CallingHours::new(None, Some(&[7])), Err(HoursError::NotADay(7)));
        assert!(CallingHours::new(Some(("00:00", "24:00")), None).is_ok());
    }

    #[test]
    fn edges_where_daylight_saving_skips_or_repeats() {
        // zone, date, start, end, open, close; transitions from the IANA database.
        let table = [
            // New York skips 02:00–03:00 on 2026-03-08, repeats 01:00–02:00 on 2026-11-01.
            ("America/New_York", "2026-03-08", "02:30", "05:00", "07:00", "09:00"),
            ("America/New_York", "2026-11-01", "01:30", "05:00", "06:30", "10:00"),
            ("America/New_York", "2026-11-01", "00:30", "01:30", "04:30", "05:30"),
            // Lord Howe skips 02:00–02:30 on 2026-10-04 (half an hour).
            ("Australia/Lord_Howe", "2026-10-04", "02:10", "03:00", "15:30", "16:00"),
            // Kathmandu lies at +05:45.
            ("Asia/Kathmandu", "2026-05-05", "09:00", "17:00", "03:15", "11:15"),
        ];
        for (zone, date, start, end, open, close) in table {
            let got = window(&hours(start, end), zone, date).unwrap();
            assert_eq!((&got.0[11..16], &got.1[11..16]), (open, close), "{zone} {date}");
        }
    }

    #[test]
    fn a_day_that_was_skipped_has_no_window() {
        // Samoa left out 2011-12-30.
        let h = hours("09:00", "17:00");
        assert_eq!(window(&h, "Pacific/Apia", "2011-12-30"), None);
        assert!(window(&h, "Pacific/Apia", "2011-12-29").is_some());
        assert!(window(&h, "Pacific/Apia", "2011-12-31").is_some());
    }

    #[test]
    fn crossing_midnight_belongs_to_the_day_it_starts_on() {
        // Fridays 22:00–02:00, in UTC; 2026-11-20 is a Friday.
        let h = CallingHours::new(Some(("22:00", "02:00")), Some(&[5])).unwrap();
        let class = Class::new([Zone::utc()]);
        let open = |at: &str| matches!(h.allowed(&class, t(at)), Allowed::Open { .. });
        assert!(open("2026-11-20T22:00:00Z") && open("2026-11-21T01:59:59.999Z"));
        assert!(!open("2026-11-21T02:00:00Z") && !open("2026-11-20T01:00:00Z"));
        assert_eq!(
            h.allowed(&class, t("2026-11-21T02:00:00Z")),
            Allowed::Closed { opens: Some(t("2026-11-27T22:00:00Z")) }
        );
    }

    #[test]
    fn several_zones_only_when_all_allow() {
        let class: Class = "America/New_York,America/Los_Angeles".parse().unwrap();
        let h = hours("09:00", "17:00");
        // 2026-11-23: New York 14:00–22:00 UTC, Los Angeles 17:00–01:00 UTC.
        assert_eq!(
            h.allowed(&class, t("2026-11-23T15:00:00Z")),
            Allowed::Closed { opens: Some(t("2026-11-23T17:00:00Z")) }
        );
        assert_eq!(
            h.allowed(&class, t("2026-11-23T17:00:00Z")),
            Allowed::Open { until: t("2026-11-23T22:00:00Z") }
        );
        let apart: Class = "America/New_York,Asia/Kathmandu".parse().unwrap();
        assert_eq!(
            hours("09:00", "12:00").allowed(&apart, t("2026-11-23T17:00:00Z")),
            Allowed::Closed { opens: None }
        );
    }

    #[test]
    fn stored_form_round_trips() {
        let h = CallingHours::new(Some(("09:00", "24:00")), Some(&[1, 2, 3])).unwrap();
        let json = serde_json::to_string(&h).unwrap();
        assert_eq!(json, r#"{"window":["09:00","24:00"],"days":[1,2,3]}"#);
        assert_eq!(serde_json::from_str::<CallingHours>(&json).unwrap(), h);
        assert_eq!(serde_json::to_string(&CallingHours::always()).unwrap(), "{}");
    }

    /// The slow, obvious reference: an instant is allowed if the window of today's or yesterday's
    /// date, walked minute by minute on the local clock, holds it. It says nothing about instants
    /// within a day of a change of offset, where "walked" has no single meaning.
    fn obviously(h: &CallingHours, zone: &Zone, at: Timestamp) -> Option<bool> {
        let day = std::time::Duration::from_secs(2 * 86_400);
        let offset = |x: Timestamp| zone.tz().to_offset(x.to_jiff());
        if offset(at.before(day)) != offset(at) || offset(at.after(day)) != offset(at) {
            return None;
        }
        let local = zone.tz().to_datetime(at.to_jiff());
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        let (start, end) = match h.window {
            None => (0, 1440),
            Some((s, e)) => (i32::from(s.0), i32::from(e.0)),
        };
        let allowed = |d: Date| h.days >> d.weekday().to_sunday_zero_offset() & 1 == 1;
        let today = local.date();
        let yesterday = today.yesterday().unwrap();
        Some(if start < end {
            allowed(today) && (start..end).contains(&minute)
        } else {
            (allowed(today) && minute >= start) || (allowed(yesterday) && minute < end)
        })
    }

    const ZONES: [&str; 9] = [
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Pacific/Apia",
        "America/Asuncion",
        "Asia/Kathmandu",
        "America/Phoenix",
        "America/St_Johns",
        "America/Havana",
    ];

    proptest! {
        #[test]
        fn agrees_with_the_reference(
            start in 0u16..1440, end in 0u16..=1440, days in 1u8..128, zone in 0..ZONES.len(),
            ms in 1_262_304_000_000i64..2_208_988_800_000,
        ) {
            prop_assume!(start != end);
            let h = CallingHours { window: Some((ClockTime(start), ClockTime(end))), days };
            let zone: Zone = ZONES[zone].parse().unwrap();
            let at = Timestamp::from_millis(ms);
            let class = Class::new([zone.clone()]);
            let got = h.allowed(&class, at);
            if let Some(want) = obviously(&h, &zone, at) {
                prop_assert_eq!(matches!(got, Allowed::Open { .. }), want);
            }
            // What it says of the future holds when the future comes.
            match got {
                Allowed::Open { until } => {
                    let last = Timestamp::from_millis(until.as_millis() - 1);
                    prop_assert_eq!(h.allowed(&class, last), Allowed::Open { until });
                }
                Allowed::Closed { opens: Some(opens) } => {
                    let open = matches!(h.allowed(&class, opens), Allowed::Open { .. });
                    prop_assert!(open, "said to open at {}", opens);
                    let eve = Timestamp::from_millis(opens.as_millis() - 1);
                    let shut = matches!(h.allowed(&class, eve), Allowed::Closed { .. });
                    prop_assert!(shut, "opens before {}", opens);
                }
                Allowed::Closed { opens: None } => {
                    // A weekly window opens within 14 days, unless each falls into a gap.
                    prop_assert!(obviously(&h, &zone, at) != Some(true));
                }
            }
        }
    }
}
