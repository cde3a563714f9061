//! The second opinion: hours and rules by looking at the clocks on the wall, minute by minute.
//!
//! It shares nothing with the core: another copy of the time zone database, another calendar, the
//! rules written down a second time, Easter by another algorithm. Slow, and meant to be obvious.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta};
use chrono::{TimeZone, Weekday};
use chrono_tz::Tz;
use outdial_core::hours::CallingHours;
use outdial_core::zone::{Class, Zone};

const MINUTE: i64 = 60_000;

/// A batch's hours: minutes of the day, days with Sunday as bit 0.
#[derive(Clone, Debug)]
pub(crate) struct Hours {
    pub(crate) window: Option<(u16, u16)>,
    pub(crate) days: u8,
}

impl Hours {
    /// The same for the machine.
    pub(crate) fn machine(&self) -> CallingHours {
        let text = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        let window = self.window.map(|(start, end)| (text(start), text(end)));
        let window = window.as_ref().map(|(start, end)| (start.as_str(), end.as_str()));
        let days: Vec<i64> = (0..7).filter(|day| self.days >> day & 1 == 1).collect();
        CallingHours::new(window, Some(&days)).unwrap()
    }

    fn on(&self, date: NaiveDate) -> Windows {
        let day = date.weekday().num_days_from_sunday();
        if self.days >> day & 1 == 0 {
            return Windows::Only(Vec::new());
        }
        match self.window {
            None => Windows::Whole,
            Some((start, end)) if end > start => Windows::Only(vec![(start, end)]),
            Some((start, end)) => Windows::Only(vec![(start, end + 1440)]),
        }
    }

    fn always(&self) -> bool {
        self.window.is_none() && self.days == 0b111_1111
    }
}

/// What is allowed on the day that bears a date; minutes from its midnight.
enum Windows {
    Whole,
    Only(Vec<(u16, u16)>),
}

/// Which of two instants at which the clocks show the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pick {
    First,
    Last,
}

type Edges = BTreeMap<(String, NaiveDateTime, Pick), i64>;

/// What is allowed to somebody of a class.
pub(crate) struct Reference {
    zones: Vec<Tz>,
    rule_zones: Vec<Tz>,
    /// None: the place is unknown.
    rules: Option<Vec<String>>,
    hours: Hours,
    edges: RefCell<Edges>,
}

impl Reference {
    pub(crate) fn new(class: &str, hours: &Hours) -> Self {
        let lists: Vec<&str> = class.split(';').collect();
        let tz = |list: &str| list.split(',').map(|zone| zone.parse().unwrap()).collect();
        let zones: Vec<Tz> = tz(lists[0]);
        let rule_zones = lists.get(2).map_or(zones.clone(), |list| tz(list));
        let rules = lists.get(1).map(|places| places.split(',').flat_map(rules_at).collect());
        Self { zones, rule_zones, rules, hours: hours.clone(), edges: RefCell::default() }
    }

    /// What the hours and what the rules allow at an instant.
    pub(crate) fn at(&self, ms: i64) -> (bool, bool) {
        let hours = |tz: &Tz| self.inside(*tz, ms, &|date| self.hours.on(date));
        let by_hours = self.hours.always() || self.zones.iter().all(hours);
        let rule = |tz: &Tz, rule: &str| self.inside(*tz, ms, &|date| rule_on(rule, date));
        let by_rules = self.rules.as_ref().is_some_and(|rules| {
            self.rule_zones.iter().all(|tz| rules.iter().all(|name| rule(tz, name)))
        });
        (by_hours, by_rules)
    }

    fn inside(&self, tz: Tz, ms: i64, windows: &dyn Fn(NaiveDate) -> Windows) -> bool {
        let today = wall(tz, ms).date();
        (0..4).any(|back| {
            let date = today + TimeDelta::days(1) - TimeDelta::days(back);
            let next = date + TimeDelta::days(1);
            match windows(date) {
                Windows::Whole => {
                    let open = self.edge(tz, midnight(date), Pick::First);
                    (open..self.edge(tz, midnight(next), Pick::First)).contains(&ms)
                }
                Windows::Only(all) => all.iter().any(|(start, end)| {
                    let at = |minutes: u16| midnight(date) + TimeDelta::minutes(minutes.into());
                    let open = self.edge(tz, at(*start), Pick::Last);
                    (open..self.edge(tz, at(*end), Pick::First)).contains(&ms)
                }),
            }
        })
    }

    fn edge(&self, tz: Tz, shows: NaiveDateTime, pick: Pick) -> i64 {
        let key = (tz.name().to_owned(), shows, pick);
        if let Some(edge) = self.edges.borrow().get(&key) {
            return *edge;
        }
        let edge = walked(tz, shows, pick);
        self.edges.borrow_mut().insert(key, edge);
        edge
    }
}

/// The instant at which the clocks show `shows`; if they never do, the first at which they show
/// more. Walks all hours in which they might, and each minute of those where something happens.
fn walked(tz: Tz, shows: NaiveDateTime, pick: Pick) -> i64 {
    let near = shows.and_utc().timestamp_millis();
    let mut seen = Vec::new();
    let mut skipped = None;
    for hour in -16..15 {
        let (from, to) = (near + hour * 60 * MINUTE, near + (hour + 1) * 60 * MINUTE);
        let (early, late) = (wall(tz, from), wall(tz, to));
        let steady = late - early == TimeDelta::hours(1);
        if steady && !(early..late).contains(&shows) {
            continue;
        }
        for minute in 0..60 {
            let at = from + minute * MINUTE;
            if wall(tz, at) == shows {
                seen.push(at);
            } else if wall(tz, at - MINUTE) < shows && wall(tz, at) > shows {
                skipped = skipped.or(Some(at));
            }
        }
        // The change may come with the hour's last minute.
        if wall(tz, to - MINUTE) < shows && late > shows {
            skipped = skipped.or(Some(to));
        }
    }
    let found = match pick {
        Pick::First => seen.first().copied(),
        Pick::Last => seen.last().copied(),
    };
    found.or(skipped).unwrap_or_else(|| panic!("{tz} never comes to {shows}"))
}

fn wall(tz: Tz, ms: i64) -> NaiveDateTime {
    let utc = DateTime::from_timestamp_millis(ms).unwrap();
    utc.with_timezone(&tz).naive_local()
}

fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::MIN)
}

/// Whether both copies of the database agree about the clocks of a class, hour by hour.
pub(crate) fn agree(class: &Class, from: i64, to: i64) -> bool {
    let same = |zone: &Zone, ms: i64| {
        let tz: Tz = zone.name().parse().unwrap();
        let utc = DateTime::from_timestamp_millis(ms).unwrap().naive_utc();
        let ours = zone.tz().to_offset(jiff::Timestamp::from_millisecond(ms).unwrap());
        tz.offset_from_utc_datetime(&utc).fix().local_minus_utc() == ours.seconds()
    };
    let hours = || (from..to).step_by(usize::try_from(60 * MINUTE).unwrap());
    class.zones().iter().chain(class.rule_zones()).all(|zone| hours().all(|ms| same(zone, ms)))
}

/// Every zone that both know under the same name.
pub(crate) fn zones() -> Vec<String> {
    let names = chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name());
    names
        .filter(|name| name.parse::<Zone>().is_ok_and(|z| z.name() == *name))
        .map(str::to_owned)
        .collect()
}

/// States of the US with a rule of their own.
const STATES: [&str; 9] =
    ["US-FL", "US-KY", "US-MD", "US-ME", "US-OK", "US-PA", "US-TX", "US-WA", "US-WY"];

/// The rules that hold at a place.
fn rules_at(place: &str) -> Vec<String> {
    let country = match place.get(..2).unwrap() {
        known @ ("US" | "CA" | "AU" | "GB" | "IN") => known,
        _ => "ZZ",
    };
    let mut rules = vec![country.to_owned()];
    match place {
        "US" => rules.extend(STATES.map(str::to_owned)),
        state if STATES.contains(&state) => rules.push(state.to_owned()),
        _ => {}
    }
    rules
}

fn rule_on(rule: &str, date: NaiveDate) -> Windows {
    use Weekday::{Sat, Sun};
    let day = date.weekday();
    let none = || Windows::Only(Vec::new());
    let from_to = |from: u16, to: u16| Windows::Only(vec![(from * 60, to * 60)]);
    match (rule, day) {
        ("US", _) => from_to(8, 21),
        ("US-FL" | "US-OK" | "US-WA" | "US-MD" | "US-WY", _) => from_to(8, 20),
        ("US-TX", Sun) => from_to(12, 21),
        ("US-TX", _) => from_to(9, 21),
        ("US-KY", _) => from_to(10, 21),
        ("US-ME", Sat | Sun) => none(),
        ("US-ME", _) => from_to(9, 17),
        ("US-PA", _) if pennsylvanian_holiday(date) => none(),
        ("US-PA", _) if date < NaiveDate::from_ymd_opt(2026, 10, 18).unwrap() => Windows::Whole,
        ("US-PA", Sun) => none(),
        ("US-PA", _) => from_to(0, 24),
        ("CA", Sat | Sun) => from_to(10, 18),
        ("CA", _) => Windows::Only(vec![(540, 1290)]),
        ("IN", _) => from_to(10, 21),
        ("AU", _) if australian_holiday(date) => none(),
        ("AU", Sun) => none(),
        ("AU", Sat) => from_to(9, 17),
        ("AU", _) => from_to(9, 20),
        ("GB", _) => Windows::Whole,
        ("ZZ", Sun) => none(),
        ("ZZ", _) => from_to(9, 20),
        _ => panic!("{rule} is not written down here"),
    }
}

fn pennsylvanian_holiday(date: NaiveDate) -> bool {
    use Weekday::{Mon, Thu, Tue};
    let (month, day, weekday) = (date.month(), date.day(), date.weekday());
    let yesterday = date - TimeDelta::days(1);
    let fixed = |d: NaiveDate| {
        matches!((d.month(), d.day()), (1, 1) | (6, 14) | (7, 4) | (11, 11) | (12, 25))
    };
    fixed(date)
        || (weekday == Mon && fixed(yesterday))
        || date == easter(date.year()) - Days::new(2)
        || match (month, weekday) {
            (1 | 2, Mon) => (15..=21).contains(&day),
            (5, Mon) => day >= 25,
            (9, Mon) => day <= 7,
            (10, Mon) => (8..=14).contains(&day),
            (11, Tue) => (2..=8).contains(&day),
            (11, Thu) => (22..=28).contains(&day),
            _ => false,
        }
}

fn australian_holiday(date: NaiveDate) -> bool {
    use Weekday::{Mon, Tue};
    let easter = easter(date.year());
    let (month, day, weekday) = (date.month(), date.day(), date.weekday());
    matches!((month, day), (1, 1) | (1, 26) | (4, 25) | (12, 25) | (12, 26))
        || date == easter - Days::new(2)
        || date == easter + Days::new(1)
        || (weekday == Mon && matches!((month, day), (1, 2 | 3 | 27 | 28)))
        // Of Christmas and Boxing Day on a weekend, two days on.
        || (matches!(weekday, Mon | Tue) && matches!((month, day), (12, 27 | 28)))
}

/// Knuth's algorithm E, from the golden number and the age of the moon.
fn easter(year: i32) -> NaiveDate {
    let golden = year % 19 + 1;
    let century = year / 100 + 1;
    let no_leap = 3 * century / 4 - 12;
    let moon = (8 * century + 5) / 25 - 5;
    let sunday = 5 * year / 4 - no_leap - 10;
    let mut epact = (11 * golden + 20 + moon - no_leap).rem_euclid(30);
    if (epact == 25 && golden > 11) || epact == 24 {
        epact += 1;
    }
    let mut full = 44 - epact;
    if full < 21 {
        full += 30;
    }
    let day = full + 7 - (sunday + full) % 7;
    let march = NaiveDate::from_ymd_opt(year, 3, 1).unwrap();
    march + TimeDelta::days(i64::from(day) - 1)
}
