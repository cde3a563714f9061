//! The calling rules of places, read off their files a second time and in the slowest way there is:
//! day by day, on what the clocks of the place show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Weekday, date};
use serde_json::Value;

use super::Violation;

/// Where the files are.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../outdial-core/data/calling-rules");
/// The file of countries that have none.
const ELSEWHERE: &str = "ZZ";
/// No world is in another year.
const YEARS: [i16; 4] = [2025, 2026, 2027, 2028];
/// Easter Sunday of each, from a calendar.
const EASTER: [(i8, i8); 4] = [(4, 20), (4, 5), (3, 28), (4, 16)];
const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// All files.
#[derive(Debug)]
pub(super) struct Laws(BTreeMap<String, Law>);

#[derive(Debug)]
struct Law {
    periods: Vec<Period>,
    holidays: BTreeSet<Date>,
    attempts: Option<u32>,
}

#[derive(Debug)]
struct Period {
    from: Date,
    /// By day of the week, Monday first, in minutes of the day; none: always.
    hours: Option<[Vec<(i64, i64)>; 7]>,
}

impl Laws {
    /// They are read once.
    pub(super) fn get() -> Result<&'static Self, Violation> {
        static LAWS: OnceLock<Result<Laws, String>> = OnceLock::new();
        let laws = LAWS.get_or_init(|| read(Path::new(FILES)));
        laws.as_ref().map_err(|e| Violation::new("harness", format!("calling rules: {e}")))
    }

    /// Whether somebody at `place`, whose clock shows `local`, may be called.
    pub(super) fn is_open(&self, place: &str, local: DateTime) -> bool {
        self.of(place).all(|law| law.is_open(local))
    }

    /// How often in 24 h somebody at `place` may be called.
    pub(super) fn attempts(&self, place: &str) -> Option<u32> {
        self.of(place).filter_map(|law| law.attempts).min()
    }

    /// The laws of a place: its own, the country's, and where only the country is known those of
    /// all its parts.
    fn of(&self, place: &str) -> impl Iterator<Item = &Law> {
        let country = place.get(..2).unwrap_or("").to_owned();
        let own = place.to_owned();
        let parts = self.0.iter().filter(move |(name, _)| {
            name.len() > 2 && (**name == own || (own.len() == 2 && name.starts_with(&own)))
        });
        let national = self.0.get(&country).or_else(|| self.0.get(ELSEWHERE));
        parts.map(|(_, law)| law).chain(national)
    }
}

impl Law {
    fn is_open(&self, local: DateTime) -> bool {
        let today = local.date();
        let in_force = self.periods.iter().filter(|p| p.from <= today).max_by_key(|p| p.from);
        if self.holidays.contains(&today) {
            return false;
        }
        let Some(period) = in_force else { return true };
        let Some(hours) = &period.hours else { return true };
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let day = usize::from(today.weekday().to_monday_zero_offset().unsigned_abs());
        hours[day].iter().any(|(from, to)| (*from..*to).contains(&minute))
    }
}

fn read(folder: &Path) -> Result<Laws, String> {
    let mut laws = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let file: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let law = law(&file).ok_or_else(|| format!("{} is not understood", path.display()))?;
        laws.insert(file["place"].as_str().unwrap_or_default().to_owned(), law);
    }
    match laws.contains_key(ELSEWHERE) {
        true => Ok(Laws(laws)),
        false => Err(format!("no file for {ELSEWHERE}")),
    }
}

fn law(file: &Value) -> Option<Law> {
    let periods = file["periods"].as_array()?.iter().map(period).collect::<Option<Vec<_>>>()?;
    let attempts = file["attempts24h"].as_u64().and_then(|n| u32::try_from(n).ok());
    let mut holidays = BTreeSet::new();
    for holiday in file["holidays"].as_array().into_iter().flatten() {
        for (year, easter) in YEARS.into_iter().zip(EASTER) {
            holidays.extend(days(holiday, year, easter)?);
        }
    }
    Some(Law { periods, holidays, attempts })
}

fn period(value: &Value) -> Option<Period> {
    let from = match &value["from"] {
        Value::Null => Date::MIN,
        from => from.as_str()?.parse().ok()?,
    };
    let hours = match &value["hours"] {
        Value::Null => None,
        hours => {
            let mut week: [Vec<(i64, i64)>; 7] = Default::default();
            for (name, windows) in hours.as_object()? {
                let day = WEEK.iter().position(|d| d == name)?;
                for window in windows.as_array()? {
                    let (start, end) = window.as_str()?.split_once('-')?;
                    week[day].push((minutes(start)?, minutes(end)?));
                }
            }
            Some(week)
        }
    };
    Some(Period { from, hours })
}

fn minutes(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    Some(hour.parse::<i64>().ok()? * 60 + minute.parse::<i64>().ok()?)
}

/// The days of a year on which a holiday is kept: its own, and the one in lieu of it.
fn days(holiday: &Value, year: i16, easter: (i8, i8)) -> Option<Vec<Date>> {
    if let Some(after) = holiday["easter"].as_i64() {
        return Some(vec![date(year, easter.0, easter.1) + after.days()]);
    }
    if let Some(month) = holiday["month"].as_i64() {
        let weekday = WEEK.iter().position(|d| holiday["weekday"] == *d)?;
        let month = i8::try_from(month).ok()?;
        let all: Vec<Date> = (0..31)
            .map(|n| date(year, month, 1) + n.days())
            .filter(|d| d.month() == month)
            .filter(|d| d.weekday().to_monday_zero_offset().unsigned_abs() as usize == weekday)
            .collect();
        let nth = match holiday["nth"].as_i64()? {
            -1 => *all.last()?,
            n => *all.get(usize::try_from(n - 1).ok()?)?,
        };
        return Some(vec![nth + holiday["plus"].as_i64().unwrap_or(0).days()]);
    }
    let (month, day) = holiday["date"].as_str()?.split_once('-')?;
    let own = date(year, month.parse().ok()?, day.parse().ok()?);
    let later = match (holiday["weekend"].as_str(), own.weekday()) {
        (Some("monday"), Weekday::Saturday) => 2,
        (Some("monday" | "sunday-to-monday"), Weekday::Sunday) => 1,
        (Some("two-days-on"), Weekday::Saturday | Weekday::Sunday) => 2,
        (None | Some("monday" | "sunday-to-monday" | "two-days-on"), _) => 0,
        (Some(_), _) => return None,
    };
    Some(vec![own, own + later.days()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(place: &str, local: &str) -> bool {
        Laws::get().unwrap().is_open(place, local.parse().unwrap())
    }

    #[test]
    fn hours_days_and_holidays_of_places() {
        // 2026-06-14 is a Sunday.
        for (place, local, wanted) in [
            ("US", "2026-06-14T12:00:00", false),
            ("US", "2026-06-16T12:00:00", true),
            ("US", "2026-06-16T17:00:00", false),
            ("US-NY", "2026-06-14T07:59:59", false),
            ("US-NY", "2026-06-14T08:00:00", true),
            ("US-NY", "2026-06-14T20:59:59", true),
            ("US-FL", "2026-06-14T20:00:00", false),
            ("US-TX", "2026-06-14T11:59:59", false),
            ("US-PA", "2026-06-21T12:00:00", true),
            ("US-PA", "2026-05-25T12:00:00", false),
            ("US-PA", "2026-11-03T12:00:00", false),
            ("US-PA", "2026-10-18T12:00:00", false),
            ("AU", "2026-06-14T12:00:00", false),
            ("AU-NSW", "2026-04-03T12:00:00", false),
            ("AU-NSW", "2026-04-06T12:00:00", false),
            ("AU-NSW", "2026-04-07T12:00:00", true),
            ("AU", "2027-12-28T12:00:00", false),
            ("GB", "2026-06-14T03:00:00", true),
            ("DE", "2026-06-14T12:00:00", false),
            ("DE", "2026-06-15T12:00:00", true),
        ] {
            assert_eq!(open(place, local), wanted, "{place} {local}");
        }
        assert_eq!(Laws::get().unwrap().attempts("US-FL"), Some(3));
        assert_eq!(Laws::get().unwrap().attempts("US-NY"), None);
        assert_eq!(Laws::get().unwrap().attempts("US"), Some(3));
    }
}
