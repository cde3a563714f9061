//! Days of the year on which a place is not called.

use jiff::Span;
use jiff::civil::{Date, Weekday};
use serde::Deserialize;

/// A holiday, as a file of rules says it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Holiday {
    name: String,
    day: Day,
    weekend: Weekend,
}

/// Which day of a year it is.
#[derive(Clone, Copy, Debug)]
enum Day {
    /// Month and day of the month.
    Fixed(i8, i8),
    /// Days after Easter Sunday of the western churches.
    Easter(i32),
    /// The nth such weekday of a month (−1: the last), and so many days more.
    Nth { month: i8, weekday: Weekday, nth: i8, plus: i32 },
}

/// Which day is kept in lieu of a fixed one that falls on a weekend. The day itself is kept too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Weekend {
    /// None.
    #[default]
    None,
    /// Of a Saturday or Sunday, the Monday after it.
    Monday,
    /// Of a Sunday, the Monday after it.
    SundayToMonday,
    /// Of a Saturday or Sunday, the second day after it: two holidays in a row move together.
    TwoDaysOn,
}

impl Holiday {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is kept on `date`.
    pub fn falls_on(&self, date: Date) -> bool {
        // A day in lieu may lie in the year after.
        [date.year(), date.year() - 1].into_iter().any(|year| {
            self.in_year(year).is_some_and(|day| day == date || self.in_lieu_of(day) == Some(date))
        })
    }

    fn in_year(&self, year: i16) -> Option<Date> {
        match self.day {
            Day::Fixed(month, day) => Date::new(year, month, day).ok(),
            Day::Easter(days) => shifted(easter(year)?, days),
            Day::Nth { month, weekday, nth, plus } => {
                let first = Date::new(year, month, 1).ok()?;
                shifted(first.nth_weekday_of_month(nth, weekday).ok()?, plus)
            }
        }
    }

    fn in_lieu_of(&self, day: Date) -> Option<Date> {
        let days = match (self.weekend, day.weekday()) {
            (Weekend::Monday, Weekday::Saturday) => 2,
            (Weekend::Monday | Weekend::SundayToMonday, Weekday::Sunday) => 1,
            (Weekend::TwoDaysOn, Weekday::Saturday | Weekday::Sunday) => 2,
            _ => return None,
        };
        shifted(day, days)
    }
}

fn shifted(date: Date, days: i32) -> Option<Date> {
    date.checked_add(Span::new().try_days(days).ok()?).ok()
}

/// Easter Sunday of the Gregorian calendar, as Butcher computes it.
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// The form in a file: `date` (`12-25`, with `weekend`), or `easter`, or `month`, `weekday`, `nth`
/// and `plus`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    name: String,
    date: Option<String>,
    #[serde(default)]
    weekend: Weekend,
    easter: Option<i32>,
    month: Option<i8>,
    weekday: Option<String>,
    nth: Option<i8>,
    plus: Option<i32>,
}

impl TryFrom<Stored> for Holiday {
    type Error = String;
    fn try_from(s: Stored) -> Result<Self, String> {
        let bad = |what: &str| format!("holiday `{}`: {what}", s.name);
        let day = match (&s.date, s.easter, s.month, &s.weekday, s.nth) {
            (Some(date), None, None, None, None) if s.plus.is_none() => {
                let (month, day) = month_and_day(date).ok_or_else(|| bad("not a date"))?;
                Day::Fixed(month, day)
            }
            (None, Some(days), None, None, None) if s.plus.is_none() && days.abs() < 200 => {
                Day::Easter(days)
            }
            (None, None, Some(month), Some(weekday), Some(nth)) => {
                let weekday = weekday_of(weekday).ok_or_else(|| bad("not a weekday"))?;
                let plus = s.plus.unwrap_or(0);
                if !(1..=12).contains(&month) || !matches!(nth, -1 | 1..=4) || plus.abs() > 6 {
                    return Err(bad("no such day in every year"));
                }
                Day::Nth { month, weekday, nth, plus }
            }
            _ => return Err(bad("say `date`, or `easter`, or `month`, `weekday` and `nth`")),
        };
        if s.weekend != Weekend::None && !matches!(day, Day::Fixed(..)) {
            return Err(bad("only a date falls on a weekend"));
        }
        Ok(Self { name: s.name, day, weekend: s.weekend })
    }
}

/// `12-25`; a day that every year has.
fn month_and_day(text: &str) -> Option<(i8, i8)> {
    let (month, day) = text.split_once('-').filter(|_| text.len() == 5)?;
    let date = Date::new(2001, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some((date.month(), date.day()))
}

/// `mon` … `sun`.
pub(super) fn weekday_of(text: &str) -> Option<Weekday> {
    Some(match text {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holiday(json: &str) -> Holiday {
        serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"))
    }

    /// Every day of a year on which it is kept.
    fn days(json: &str, year: i16) -> Vec<String> {
        let holiday = holiday(json);
        let mut date = Date::new(year, 1, 1).unwrap();
        let mut days = Vec::new();
        while date.year() == year {
            if holiday.falls_on(date) {
                days.push(date.to_string());
            }
            date = date.tomorrow().unwrap();
        }
        days
    }

    #[test]
    fn easter_against_known_dates() {
        for date in [
            "1818-03-22",
            "1943-04-25",
            "1961-04-02",
            "1990-04-15",
            "1999-04-04",
            "2000-04-23",
            "2008-03-23",
            "2011-04-24",
            "2016-03-27",
            "2019-04-21",
            "2023-04-09",
            "2024-03-31",
            "2025-04-20",
            "2026-04-05",
            "2027-03-28",
            "2030-04-21",
            "2035-03-25",
            "2038-04-25",
        ] {
            let date: Date = date.parse().unwrap();
            assert_eq!(easter(date.year()), Some(date));
        }
        assert_eq!(days(r#"{"name":"Good Friday","easter":-2}"#, 2026), ["2026-04-03"]);
        assert_eq!(days(r#"{"name":"Easter Monday","easter":1}"#, 2024), ["2024-04-01"]);
    }

    #[test]
    fn weekdays_of_months_against_known_dates() {
        let table = [
            (r#"{"name":"Thanksgiving","month":11,"weekday":"thu","nth":4}"#, 2026, "2026-11-26"),
            (r#"{"name":"Memorial","month":5,"weekday":"mon","nth":-1}"#, 2027, "2027-05-31"),
            (r#"{"name":"Labor","month":9,"weekday":"mon","nth":1}"#, 2025, "2025-09-01"),
            // The Tuesday after the first Monday: never the 1st.
            (r#"{"name":"E","month":11,"weekday":"mon","nth":1,"plus":1}"#, 2022, "2022-11-08"),
            (r#"{"name":"E","month":11,"weekday":"mon","nth":1,"plus":1}"#, 2026, "2026-11-03"),
        ];
        for (json, year, day) in table {
            assert_eq!(days(json, year), [day], "{json}");
        }
    }

    #[test]
    fn days_in_lieu() {
        let on = |weekend: &str, date: &str, year| {
            days(&format!(r#"{{"name":"x","date":"{date}","weekend":"{weekend}"}}"#), year)
        };
        // Christmas 2021 was a Saturday, 2022 a Sunday, 2026 a Friday.
        assert_eq!(on("none", "12-25", 2021), ["2021-12-25"]);
        assert_eq!(on("monday", "12-25", 2021), ["2021-12-25", "2021-12-27"]);
        assert_eq!(on("sunday-to-monday", "12-25", 2021), ["2021-12-25"]);
        assert_eq!(on("sunday-to-monday", "12-25", 2022), ["2022-12-25", "2022-12-26"]);
        assert_eq!(on("two-days-on", "12-25", 2022), ["2022-12-25", "2022-12-27"]);
        assert_eq!(on("two-days-on", "12-26", 2021), ["2021-12-26", "2021-12-28"]);
        assert_eq!(on("two-days-on", "12-26", 2026), ["2026-12-26", "2026-12-28"]);
        assert_eq!(on("monday", "12-31", 2023), ["2023-01-02", "2023-12-31"]);
        assert_eq!(on("monday", "12-31", 2024), ["2024-01-01", "2024-12-31"]);
    }

    #[test]
    fn what_is_no_holiday_is_refused() {
        for bad in [
            r#"{"name":"x"}"#,
            r#"{"name":"x","date":"02-29"}"#,
            r#"{"name":"x","date":"1-1"}"#,
            r#"{"name":"x","date":"12-25","easter":1}"#,
            r#"{"name":"x","easter":1,"weekend":"monday"}"#,
            r#"{"name":"x","month":11,"weekday":"thu"}"#,
            r#"{"name":"x","month":11,"weekday":"thu","nth":5}"#,
            r#"{"name":"x","month":11,"weekday":"thursday","nth":4}"#,
            r#"{"name":"x","date":"12-25","colour":"red"}"#,
        ] {
            assert!(serde_json::from_str::<Holiday>(bad).is_err(), "{bad}");
        }
    }
}
