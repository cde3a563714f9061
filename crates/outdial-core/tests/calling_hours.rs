//! Calling hours and rules against a slow, obvious reference on another reader's time zones.
//!
//! The reference has its own copy of the time zone database (`chrono-tz`), its own calendar
//! (`chrono`), and no arithmetic on zones at all: it looks at what the clocks on the wall show.
//! The two copies are of different years; an instant near which they disagree about the clocks is
//! left out, and the spans of the named tests are such that both agree.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod reference;

use outdial_core::hours::{Allowed, CallingHours};
use outdial_core::rules::{Verdict, attempts_24h, narrowing, sources, verdict};
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_core::zone::Class;
use proptest::prelude::*;
use reference::{Hours, Reference, agree};

const MINUTE: i64 = 60_000;
const DAY: i64 = 1440 * MINUTE;

fn t(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn class(text: &str) -> Class {
    text.parse().unwrap()
}

fn open(allowed: Allowed) -> bool {
    matches!(allowed, Allowed::Open { .. })
}

/// Through some days, in steps of five minutes, for all edges lie on these: the machine says what
/// the reference says, also about its edges.
fn walk(class_text: &str, hours: &Hours, from: &str, days: i64) -> usize {
    walk_by(5, class_text, hours, from, days)
}

fn walk_by(step: usize, class_text: &str, hours: &Hours, from: &str, days: i64) -> usize {
    let machine = class(class_text);
    let reference = Reference::new(class_text, hours);
    let start = t(from).as_millis();
    assert!(agree(&machine, start - 3 * DAY, start + (days + 3) * DAY), "{class_text}");
    let mut edges = 0;
    let mut before: Option<Verdict> = None;
    for minute in (0..days * 1440).step_by(step) {
        let at = Timestamp::from_millis(start + minute * MINUTE);
        let said = verdict(&hours.machine(), CallingRules::On, &machine, at);
        let (by_hours, by_rules) = reference.at(at.as_millis());
        assert_eq!(open(said.hours), by_hours, "{class_text} {hours:?}: hours at {at}");
        assert_eq!(open(said.rules), by_rules, "{class_text} {hours:?}: rules at {at}");
        assert_eq!(open(said.allowed), by_hours && by_rules, "{class_text}: both at {at}");
        // What was said of the future a minute ago has come true.
        for (was, is) in before
            .iter()
            .flat_map(|b| [(b.allowed, said.allowed), (b.hours, said.hours), (b.rules, said.rules)])
        {
            match (was, open(is)) {
                (Allowed::Open { until }, still) => assert_eq!(until > at, still, "until {at}"),
                (Allowed::Closed { opens: Some(opens) }, now) => {
                    assert_eq!(opens <= at, now, "{class_text}: opens {at}");
                }
                (Allowed::Closed { opens: None }, now) => assert!(!now, "{at}"),
            }
            edges += usize::from(open(was) != open(is));
        }
        before = Some(said);
    }
    edges
}

fn hours(start: u16, end: u16, days: u8) -> Hours {
    Hours { window: Some((start, end)), days }
}

const ALL: u8 = 0b111_1111;

#[test]
fn new_york_skips_and_repeats_an_hour() {
    for (start, end) in [(150, 300), (90, 300), (30, 90), (1320, 120), (60, 120)] {
        let zone = "America/New_York;GB";
        assert!(walk(zone, &hours(start, end, ALL), "2024-03-09T00:00:00Z", 3) > 1);
        assert!(walk(zone, &hours(start, end, ALL), "2024-11-02T00:00:00Z", 3) > 1);
    }
    // With the rules of New York: 8 to 21.
    assert!(walk("America/New_York;US-NY", &hours(0, 1440, ALL), "2024-03-09T00:00:00Z", 3) > 4);
    assert!(walk("America/New_York;US-NY", &hours(540, 600, ALL), "2024-11-02T00:00:00Z", 3) > 4);
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    for (start, end) in [(130, 180), (110, 125), (90, 600), (1410, 130)] {
        let zone = "Australia/Lord_Howe;AU";
        assert!(walk(zone, &hours(start, end, ALL), "2024-04-05T00:00:00Z", 4) > 0);
        assert!(walk(zone, &hours(start, end, ALL), "2024-10-04T00:00:00Z", 4) > 0);
    }
}

#[test]
fn casablanca_changes_for_ramadan() {
    // Back an hour on 2024-03-10 and on again on 2024-04-14.
    for (start, end) in [(150, 300), (100, 170), (540, 1020)] {
        let zone = "Africa/Casablanca;GB";
        assert!(walk(zone, &hours(start, end, ALL), "2024-03-09T00:00:00Z", 3) > 2);
        assert!(walk(zone, &hours(start, end, ALL), "2024-04-13T00:00:00Z", 3) > 2);
        walk("Africa/Casablanca;MA", &hours(start, end, 1), "2024-04-13T00:00:00Z", 3);
    }
}

#[test]
fn apia_left_out_a_day() {
    // 2011-12-30, a Friday, was skipped.
    for days in [ALL, 1 << 5, 1 << 4, 1 << 6] {
        walk("Pacific/Apia;GB", &hours(540, 1020, days), "2011-12-28T00:00:00Z", 5);
        walk("Pacific/Apia;GB", &hours(1320, 120, days), "2011-12-28T00:00:00Z", 5);
        walk("Pacific/Apia;WS", &hours(0, 1440, days), "2011-12-28T00:00:00Z", 5);
        walk("Pacific/Apia;WS", &Hours { window: None, days }, "2011-12-28T00:00:00Z", 5);
    }
}

#[test]
fn asuncion_changes_at_midnight() {
    // Forward at 00:00 on 2023-10-01, back at 00:00 on 2024-03-24, so that a day begins twice.
    for (start, end) in [(0, 60), (30, 90), (1380, 1440), (1350, 30), (540, 1020)] {
        let zone = "America/Asuncion;GB";
        assert!(walk(zone, &hours(start, end, ALL), "2023-09-30T00:00:00Z", 3) > 2);
        assert!(walk(zone, &hours(start, end, ALL), "2024-03-22T12:00:00Z", 3) > 2);
        walk("America/Asuncion;PY", &hours(start, end, ALL), "2024-03-22T12:00:00Z", 3);
    }
    // Whole days: each instant belongs to the date it bears.
    for day in 0..7 {
        let day = Hours { window: None, days: 1 << day };
        walk("America/Asuncion;GB", &day, "2024-03-22T12:00:00Z", 3);
    }
}

#[test]
fn zones_without_surprises() {
    assert!(walk("Asia/Kathmandu;NP", &hours(540, 1200, ALL), "2025-01-01T00:00:00Z", 8) > 10);
    assert!(walk("America/Phoenix;US-AZ", &hours(420, 540, ALL), "2025-03-08T00:00:00Z", 4) > 6);
    assert!(walk("America/St_Johns;CA-NL", &hours(480, 1320, ALL), "2025-03-07T00:00:00Z", 5) > 8);
    // Until 2011 the clocks there changed at a minute past midnight.
    let night = hours(1380, 61, ALL);
    assert!(walk_by(1, "America/St_Johns;GB", &night, "2006-10-28T12:00:00Z", 2) > 1);
}

#[test]
fn several_zones_and_places() {
    let day = hours(540, 1020, ALL);
    let coast_to_coast = "America/Los_Angeles,America/New_York;US";
    assert!(walk(coast_to_coast, &day, "2026-10-14T00:00:00Z", 9) > 10);
    // The batch's zone says when to call; the number's zones where the rules are read.
    let apart = "Europe/Berlin;US-FL,US-TX;America/Chicago,America/New_York";
    assert!(walk(apart, &hours(840, 1200, ALL), "2026-03-06T00:00:00Z", 5) > 8);
    let seas = "Asia/Kolkata;AU,IN;Asia/Kolkata,Australia/Perth";
    assert!(walk(seas, &hours(0, 1440, ALL), "2025-12-23T00:00:00Z", 9) > 4);
}

#[test]
fn rules_of_places_and_their_holidays() {
    let always = Hours { window: None, days: ALL };
    // Sundays in Pennsylvania from 2026-10-18; Election Day, Thanksgiving; Good Friday 2027.
    let pennsylvania = "America/New_York;US-PA";
    assert!(walk(pennsylvania, &always, "2026-10-09T00:00:00Z", 14) > 20);
    assert!(walk(pennsylvania, &always, "2026-11-01T00:00:00Z", 28) > 30);
    assert!(walk(pennsylvania, &always, "2027-03-24T00:00:00Z", 6) > 6);
    // Christmas on a Saturday and the days in lieu; Easter; Anzac Day.
    let sydney = "Australia/Sydney;AU";
    assert!(walk(sydney, &always, "2021-12-22T00:00:00Z", 14) > 10);
    assert!(walk(sydney, &always, "2024-03-27T00:00:00Z", 8) > 6);
    for (place, from, days) in [
        ("America/New_York;US-ME", "2026-07-01T00:00:00Z", 8),
        ("America/Chicago;US-TX", "2026-07-01T00:00:00Z", 8),
        ("America/Toronto;CA-ON", "2026-07-01T00:00:00Z", 8),
        ("Asia/Kolkata;IN", "2026-07-01T00:00:00Z", 8),
        ("Europe/Berlin;DE", "2026-03-25T00:00:00Z", 8),
        ("Europe/London;GB", "2026-03-25T00:00:00Z", 8),
        ("Europe/London", "2026-03-25T00:00:00Z", 2),
    ] {
        walk(place, &always, from, days);
    }
}

#[test]
fn what_opens_and_closes_when() {
    let always = CallingHours::always();
    let at = |class_text: &str, rules, at: &str| verdict(&always, rules, &class(class_text), t(at));
    let until = |text| Allowed::Open { until: t(text) };
    let opens = |text| Allowed::Closed { opens: Some(t(text)) };
    // 2026-11-25 is the eve of Thanksgiving; New York is at −5.
    let eve = "2026-11-25T18:00:00Z";
    let florida = at("America/New_York;US-FL", CallingRules::On, eve);
    assert_eq!(florida.rules, until("2026-11-26T01:00:00Z"));
    let rest = at("America/New_York;US-NY", CallingRules::On, eve);
    assert_eq!(rest.allowed, until("2026-11-26T02:00:00Z"));
    let pennsylvania = at("America/New_York;US-PA", CallingRules::On, "2026-11-26T18:00:00Z");
    assert_eq!(pennsylvania.rules, opens("2026-11-27T13:00:00Z"));
    let maine = at("America/New_York;US-ME", CallingRules::On, "2026-11-27T22:00:00Z");
    assert_eq!(maine.rules, opens("2026-11-30T14:00:00Z"));
    // No rule about hours, or none that counts: for ever.
    assert_eq!(at("Europe/London;GB", CallingRules::On, eve).rules, until("9999-12-30T22:00:00Z"));
    let off = at("America/New_York;US-PA", CallingRules::Off, "2026-11-26T18:00:00Z");
    assert_eq!(off.allowed, Allowed::Open { until: Timestamp::MAX });
    // Whoever may be anywhere is never called; switched off, the hours alone speak.
    let unknown = at("Europe/London", CallingRules::On, eve);
    let never = Allowed::Closed { opens: None };
    assert_eq!((unknown.allowed, unknown.rules), (never, never));
    assert!(open(unknown.hours));
    assert!(open(at("Europe/London", CallingRules::Off, eve).allowed));
}

#[test]
fn attempts_in_24_hours() {
    let attempts = |class_text: &str, rules| attempts_24h(rules, &class(class_text));
    for (class_text, wanted) in [
        ("America/New_York;US-FL", Some(3)),
        ("America/New_York;US-NY", None),
        ("America/New_York;US", Some(3)),
        ("America/New_York;US-NY,US-OK", Some(3)),
        ("Europe/Berlin;DE", None),
        ("Europe/Berlin", None),
    ] {
        assert_eq!(attempts(class_text, CallingRules::On), wanted, "{class_text}");
        assert_eq!(attempts(class_text, CallingRules::Off), None, "{class_text}");
    }
}

#[test]
fn rules_say_where_they_come_from_and_what_they_narrow() {
    let places = |rules: Vec<&outdial_core::rules::Rule>| {
        rules.iter().map(|rule| rule.place().to_string()).collect::<Vec<_>>().join(" ")
    };
    let florida = class("America/New_York;US-FL");
    assert_eq!(places(sources(&florida)), "US US-FL");
    assert!(sources(&florida)[1].citations()[0].text.contains("501.616"));
    let at = t("2026-11-23T12:00:00Z");
    let narrowed = |start: &str, end: &str, days: Option<&[i64]>, class_text: &str| {
        let hours = CallingHours::new(Some((start, end)), days).unwrap();
        places(narrowing(&hours, &class(class_text), at))
    };
    let weekdays: Option<&[i64]> = Some(&[1, 2, 3, 4, 5]);
    assert_eq!(narrowed("09:00", "17:00", None, "America/New_York;US-FL"), "");
    assert_eq!(narrowed("09:00", "20:30", None, "America/New_York;US-FL"), "US-FL");
    assert_eq!(narrowed("07:00", "17:00", None, "America/New_York;US-FL"), "US US-FL");
    assert_eq!(narrowed("09:00", "17:00", None, "America/New_York;US-ME"), "US-ME");
    assert_eq!(narrowed("09:00", "17:00", weekdays, "America/New_York;US-ME"), "");
    // Thanksgiving is a weekday within 14 days.
    assert_eq!(narrowed("09:00", "17:00", weekdays, "America/New_York;US-PA"), "US-PA");
    let from_berlin = "Europe/Berlin;US-NY;America/New_York";
    assert_eq!(narrowed("09:00", "17:00", None, from_berlin), "US");
    assert_eq!(narrowed("14:00", "20:00", None, from_berlin), "");
}

const ZONES: [&str; 10] = [
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "America/Asuncion",
    "Asia/Kathmandu",
    "America/Phoenix",
    "America/St_Johns",
    "America/Havana",
    "Europe/Dublin",
];
const PLACES: [&str; 12] =
    ["US", "US-FL", "US-PA", "US-ME", "US-TX", "CA", "CA-QC", "AU", "GB", "IN", "DE", "US-NY"];

fn any_zone() -> impl Strategy<Value = String> {
    let listed = proptest::sample::select(&ZONES[..]).prop_map(str::to_owned);
    prop_oneof![listed, proptest::sample::select(reference::zones())]
}

fn any_list<T: std::fmt::Debug>(
    of: impl Strategy<Value = T>,
    at_least: usize,
) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(of, at_least..=3)
}

fn any_hours() -> impl Strategy<Value = Hours> {
    let window = (0u16..1440, 1u16..=1440).prop_filter("it opens", |(start, end)| start != end);
    (proptest::option::weighted(0.9, window), 1u8..128)
        .prop_map(|(window, days)| Hours { window, days })
}

/// 1990 to 2035, in milliseconds.
fn any_instant() -> impl Strategy<Value = i64> {
    631_152_000_000i64..2_082_758_400_000
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_reference(
        zones in any_list(any_zone(), 1),
        places in any_list(proptest::sample::select(&PLACES[..]), 0),
        rule_zones in any_list(any_zone(), 0),
        hours in any_hours(),
        ms in any_instant(),
    ) {
        let mut text = zones.join(",");
        if !places.is_empty() {
            text = format!("{text};{}", places.join(","));
            if !rule_zones.is_empty() {
                text = format!("{text};{}", rule_zones.join(","));
            }
        }
        let machine = class(&text);
        prop_assert_eq!(machine.to_string().parse::<Class>().unwrap(), class(&text));
        prop_assume!(agree(&machine, ms - 3 * DAY, ms + 3 * DAY));
        let reference = Reference::new(&text, &hours);
        let at = Timestamp::from_millis(ms);
        let said = verdict(&hours.machine(), CallingRules::On, &machine, at);
        let (by_hours, by_rules) = reference.at(ms);
        prop_assert_eq!(open(said.hours), by_hours, "hours of {}", &text);
        prop_assert_eq!(open(said.rules), by_rules, "rules of {}", &text);
        prop_assert_eq!(open(said.allowed), by_hours && by_rules, "{}", &text);
        // What it says of the future is so when the future comes, and not a moment earlier.
        let edge = match said.allowed {
            Allowed::Open { until } => until,
            Allowed::Closed { opens: Some(opens) } => opens,
            Allowed::Closed { opens: None } => {
                // Every third hour of the days ahead, the reference is closed too.
                for step in 0..8 * 13 {
                    let later = ms + step * DAY / 8;
                    if agree(&machine, later - 3 * DAY, later + 3 * DAY) {
                        let (hours, rules) = reference.at(later);
                        prop_assert!(!(hours && rules), "{} is open at {}", &text, later);
                    }
                }
                return Ok(());
            }
        };
        let edge = edge.as_millis();
        let seen = edge < ms + 13 * DAY && agree(&machine, edge - 3 * DAY, edge + 3 * DAY);
        if seen {
            let both = |at| { let (hours, rules) = reference.at(at); hours && rules };
            let now = by_hours && by_rules;
            prop_assert_eq!(both(edge), !now, "{} at its edge {}", &text, edge);
            prop_assert_eq!(both(edge - 1), now, "{} just before {}", &text, edge);
            // In between nothing changes; quarters of an hour would show it.
            let step = ((edge - ms) / 40).max(15 * MINUTE);
            let mut at = ms;
            while at < edge {
                prop_assert_eq!(both(at), now, "{} at {} on the way to {}", &text, at, edge);
                at += step;
            }
        }
    }
}
