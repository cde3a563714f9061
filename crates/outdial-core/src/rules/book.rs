//! The files of the calling rules, read once.
//!
//! A file is embedded because it lies in the folder (`build.rs`); nothing here names a place. The
//! rules of a part of a country hold on top of the country's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::holiday::{Holiday, weekday_of};
use crate::hours::ClockTime;
use crate::time::Timestamp;
use crate::zone::Place;

/// Name and text of every file in the folder, sorted.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/calling_rules.rs"));

/// The file for countries that have none (`ZZ`: ISO 3166 leaves it to its users).
const ANY_OTHER: &str = "ZZ";

static BOOK: LazyLock<Book> =
    LazyLock::new(|| Book::parse(FILES).expect("a test reads every file in the folder"));

/// What the law of one place says, as far as a dialer can keep it.
#[derive(Debug)]
pub struct Rule {
    place: Place,
    name: String,
    version: Date,
    citations: Vec<Citation>,
    /// By the day they start to hold, the earliest first.
    periods: Vec<Period>,
    holidays: Vec<Holiday>,
    attempts_24h: Option<u32>,
}

/// Where a rule is written, and how we know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Citation {
    /// The law or decision, `47 CFR 64.1200(c)(1)`.
    pub text: String,
    /// What it says that is kept here.
    pub about: String,
    /// Where it was read.
    pub source: String,
    /// What kind of source that is.
    pub evidence: Evidence,
}

/// How a rule is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The text of the law was read.
    Law,
    /// What the authority itself publishes about it.
    Authority,
    /// Guides by others.
    Guides,
    /// A decision of this project.
    Decision,
}

#[derive(Debug)]
struct Period {
    /// The first day it holds; none: always.
    from: Option<Date>,
    /// Windows of each day, Monday first, in minutes since midnight.
    week: [Vec<(ClockTime, ClockTime)>; 7],
}

/// What rules say of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Day {
    /// Nothing.
    Whole,
    /// Calls only in these windows, sorted and apart; none: no calls.
    Windows(Vec<(ClockTime, ClockTime)>),
}

impl Rule {
    /// The place.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What people call the place.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day on which the file was last brought up to date.
    pub fn version(&self) -> Date {
        self.version
    }

    /// Where it is written; at least one.
    pub fn citations(&self) -> &[Citation] {
        &self.citations
    }

    /// Most attempts at one person in 24 hours; none: it says nothing about that.
    pub fn attempts_24h(&self) -> Option<u32> {
        self.attempts_24h
    }

    /// The days on which nobody is called.
    pub fn holidays(&self) -> &[Holiday] {
        &self.holidays
    }

    /// The windows of the weekdays that hold at `at`, for people: `Mon–Fri 09:00–17:00`.
    pub fn hours_at(&self, at: Timestamp) -> String {
        let date = TimeZone::UTC.to_datetime(at.to_jiff()).date();
        let mut text = match self.period(date) {
            Some(period) => shown(&period.week),
            None => "any hour".to_owned(),
        };
        if !self.holidays.is_empty() {
            text.push_str(", not on holidays");
        }
        text
    }

    /// Some hour or day is forbidden.
    pub fn restricts_hours(&self) -> bool {
        !(self.periods.is_empty() && self.holidays.is_empty())
    }

    pub(super) fn day(&self, date: Date) -> Day {
        if self.holidays.iter().any(|holiday| holiday.falls_on(date)) {
            return Day::Windows(Vec::new());
        }
        match self.period(date) {
            Some(period) => {
                let day = date.weekday().to_monday_zero_offset();
                Day::Windows(period.week[usize::from(day.unsigned_abs())].clone())
            }
            None => Day::Whole,
        }
    }

    fn period(&self, date: Date) -> Option<&Period> {
        self.periods.iter().rev().find(|period| period.from.is_none_or(|from| from <= date))
    }
}

impl Day {
    /// What both allow.
    pub(super) fn and(self, other: Day) -> Day {
        let (ours, theirs) = match (self, other) {
            (Day::Whole, day) | (day, Day::Whole) => return day,
            (Day::Windows(ours), Day::Windows(theirs)) => (ours, theirs),
        };
        let mut both = Vec::new();
        for (a, b) in &ours {
            for (c, d) in &theirs {
                let (start, end) = (*a.max(c), *b.min(d));
                if start < end {
                    both.push((start, end));
                }
            }
        }
        Day::Windows(both)
    }
}

/// Every rule there is, by place, sorted.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    BOOK.rules.values()
}

/// The rules that hold for somebody who may be at any of these places, sorted by place. A country
/// stands for every part of it; one without a file has the rule for any other place.
pub(super) fn at(places: &[Place]) -> Vec<&'static Rule> {
    let mut found: BTreeMap<Place, &Rule> = BTreeMap::new();
    for place in places {
        let country = BOOK.rules.get(&place.country()).unwrap_or(&BOOK.any_other);
        found.insert(country.place, country);
        for (part, rule) in BOOK.rules.range(*place..) {
            if part.country() != place.country() || !(place.is_country() || part == place) {
                break;
            }
            found.insert(*part, rule);
        }
    }
    found.into_values().collect()
}

struct Book {
    rules: BTreeMap<Place, Rule>,
    any_other: Rule,
}

impl Book {
    fn parse(files: &[(&str, &str)]) -> Result<Self, String> {
        let mut rules = BTreeMap::new();
        for (name, text) in files {
            let bad = |e: &dyn fmt::Display| format!("{name}.json: {e}");
            let stored: Stored = serde_json::from_str(text).map_err(|e| bad(&e))?;
            let rule = Rule::try_from(stored).map_err(|e| bad(&e))?;
            if rule.place.as_str() != *name {
                return Err(bad(&format_args!("it is about {}", rule.place)));
            }
            rules.insert(rule.place, rule);
        }
        let any_other = rules
            .iter()
            .find(|(place, _)| place.as_str() == ANY_OTHER)
            .map(|(place, _)| *place)
            .and_then(|place| rules.remove(&place))
            .ok_or_else(|| format!("{ANY_OTHER}.json is missing"))?;
        Ok(Self { rules, any_other })
    }
}

/// The form of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    place: String,
    name: String,
    version: String,
    citations: Vec<Citation>,
    periods: Vec<StoredPeriod>,
    #[serde(default)]
    holidays: Vec<Holiday>,
    #[serde(rename = "attempts24h")]
    attempts_24h: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPeriod {
    from: Option<String>,
    /// Day → windows; a day that is not there has none.
    hours: BTreeMap<String, Vec<String>>,
}

impl TryFrom<Stored> for Rule {
    type Error = String;
    fn try_from(s: Stored) -> Result<Self, String> {
        let date = |text: &str| text.parse::<Date>().map_err(|e| format!("`{text}`: {e}"));
        let mut periods = Vec::new();
        for period in &s.periods {
            let from = period.from.as_deref().map(date).transpose()?;
            periods.push(Period { from, week: week(&period.hours)? });
        }
        if !periods.is_sorted_by(|a, b| a.from < b.from) {
            return Err("each period must start later than the one before it".to_owned());
        }
        if s.citations.is_empty() {
            return Err("it cites nothing".to_owned());
        }
        if s.attempts_24h == Some(0) {
            return Err("no attempt at all is not a rule about attempts".to_owned());
        }
        Ok(Self {
            place: s.place.parse().map_err(|e| format!("{e}"))?,
            name: s.name,
            version: date(&s.version)?,
            citations: s.citations,
            periods,
            holidays: s.holidays,
            attempts_24h: s.attempts_24h,
        })
    }
}

fn week(hours: &BTreeMap<String, Vec<String>>) -> Result<[Vec<(ClockTime, ClockTime)>; 7], String> {
    let mut week: [Vec<(ClockTime, ClockTime)>; 7] = Default::default();
    for (day, windows) in hours {
        let weekday: Weekday = weekday_of(day).ok_or_else(|| format!("`{day}` is no weekday"))?;
        let slot = &mut week[usize::from(weekday.to_monday_zero_offset().unsigned_abs())];
        for text in windows {
            let (start, end) =
                text.split_once('-').ok_or_else(|| format!("`{text}`: HH:MM-HH:MM"))?;
            let clock = |text: &str| ClockTime::parse(text).map_err(|e| e.to_string());
            slot.push((clock(start)?, clock(end)?));
        }
        if !slot.iter().all(|(start, end)| start < end) || !slot.is_sorted_by(|a, b| a.1 < b.0) {
            return Err(format!("the windows of {day} must be in order, apart, and not empty"));
        }
    }
    Ok(week)
}

/// `Mon–Fri 09:00–20:00, Sat 09:00–17:00`.
fn shown(week: &[Vec<(ClockTime, ClockTime)>; 7]) -> String {
    const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let mut parts = Vec::new();
    let mut first = 0;
    while first < week.len() {
        let same = week[first..].iter().take_while(|day| **day == week[first]).count();
        let last = first + same - 1;
        if !week[first].is_empty() {
            let days = match same {
                1 => NAMES[first].to_owned(),
                _ => format!("{}–{}", NAMES[first], NAMES[last]),
            };
            let windows: Vec<String> =
                week[first].iter().map(|(start, end)| format!("{start}–{end}")).collect();
            parts.push(format!("{days} {}", windows.join(" and ")));
        }
        first = last + 1;
    }
    if parts.is_empty() { "never".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names(places: &str) -> Vec<String> {
        let places: Vec<Place> = places.split(',').map(|p| p.parse().unwrap()).collect();
        at(&places).iter().map(|rule| rule.place.to_string()).collect()
    }

    fn hours(place: &str, date: &str) -> String {
        let places: Place = place.parse().unwrap();
        let rules = at(&[places]);
        rules
            .iter()
            .find(|r| r.place == places)
            .unwrap()
            .hours_at(format!("{date}T12:00:00Z").parse().unwrap())
    }

    #[test]
    fn adding_a_place_is_adding_a_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/calling-rules");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut book: BTreeSet<String> = all().map(|rule| rule.place.to_string()).collect();
        book.insert(ANY_OTHER.to_owned());
        assert_eq!(files, book);
        assert!(book.len() >= 15);
    }

    #[test]
    fn every_file_says_what_it_must() {
        for rule in all().chain([&BOOK.any_other]) {
            assert!(rule.version > Date::constant(2026, 1, 1), "{}", rule.place);
            assert!(!rule.name.is_empty());
            for citation in &rule.citations {
                for text in [&citation.text, &citation.about, &citation.source] {
                    assert!(!text.trim().is_empty(), "{}", rule.place);
                }
            }
            if rule.place.is_country() {
                continue;
            }
            let country = rule.place.country();
            assert!(BOOK.rules.contains_key(&country), "{} without {country}", rule.place);
        }
    }

    #[test]
    fn parts_hold_on_top_of_their_country() {
        assert_eq!(names("US-FL"), ["US", "US-FL"]);
        assert_eq!(names("US-NY"), ["US"]);
        assert_eq!(names("US-MD,US-ME"), ["US", "US-MD", "US-ME"]);
        let anywhere = names("US");
        assert_eq!(anywhere.len(), all().filter(|r| r.place.country().as_str() == "US").count());
        assert!(anywhere.len() > 9, "{anywhere:?}");
        assert_eq!(names("CA-ON,GB"), ["CA", "GB"]);
        assert_eq!(names("DE,FR"), ["ZZ"]);
        assert!(at(&[]).is_empty());
    }

    #[test]
    fn hours_for_people() {
        assert_eq!(hours("US", "2026-01-01"), "Mon–Sun 08:00–21:00");
        assert_eq!(hours("CA", "2026-01-01"), "Mon–Fri 09:00–21:30, Sat–Sun 10:00–18:00");
        assert_eq!(
            hours("AU", "2026-01-01"),
            "Mon–Fri 09:00–20:00, Sat 09:00–17:00, not on holidays"
        );
        assert_eq!(hours("US-PA", "2026-10-17"), "any hour, not on holidays");
        assert_eq!(hours("US-PA", "2026-10-18"), "Mon–Sat 00:00–24:00, not on holidays");
        assert_eq!(hours("GB", "2026-10-18"), "any hour");
    }

    #[test]
    fn days_have_what_all_allow() {
        let t = |text: &str| ClockTime::parse(text).unwrap();
        let windows =
            |of: &[(&str, &str)]| Day::Windows(of.iter().map(|(a, b)| (t(a), t(b))).collect());
        let split = windows(&[("08:00", "12:00"), ("14:00", "20:00")]);
        assert_eq!(split.clone().and(Day::Whole), split);
        assert_eq!(Day::Whole.and(Day::Whole), Day::Whole);
        assert_eq!(
            split.clone().and(windows(&[("09:00", "15:00")])),
            windows(&[("09:00", "12:00"), ("14:00", "15:00")])
        );
        assert_eq!(split.and(windows(&[("12:00", "14:00")])), windows(&[]));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let good = r#"{"place":"XX","name":"x","version":"2026-01-01","citations":[
            {"text":"a","about":"b","source":"c","evidence":"law"}],
            "periods":[{"hours":{"mon":["08:00-12:00","13:00-20:00"]}}]}"#;
        let any = good.replace("XX", "ZZ");
        let parse = |text: &str| Book::parse(&[("XX", text), ("ZZ", &any)]).err();
        assert_eq!(parse(good), None);
        assert!(Book::parse(&[("XX", good)]).is_err());
        assert!(Book::parse(&[("XY", good), ("ZZ", &any)]).is_err());
        for (from, to) in [
            ("13:00-20:00", "11:00-20:00"),
            ("13:00-20:00", "20:00-13:00"),
            ("13:00-20:00", "13:00–20:00"),
            ("mon", "monday"),
            ("law", "hearsay"),
            (r#""name""#, r#""title""#),
            (r#""periods""#, r#""colour":1,"periods""#),
            ("2026-01-01", "2026-13-01"),
            (r#"{"hours""#, r#"{"form":"2026-01-01","hours""#),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            assert!(parse(&bad).is_some_and(|e| e.starts_with("XX.json")), "{to}");
        }
    }
}
