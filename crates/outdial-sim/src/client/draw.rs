//! What users choose, drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::brake::BrakeSettings;
use outdial_core::budget::{Budget, Spend};
use outdial_core::hours::{Allowed, CallingHours};
use outdial_core::id::PhoneId;
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_core::rules::verdict;
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use outdial_core::time::Timestamp;
use outdial_core::zone::{Class, Zone};
use outdial_ports::store::ChunkRecord;

use crate::rng::Rng;

/// Where people may be.
const CLASSES: [&str; 12] = [
    "America/New_York;US-NY",
    "America/New_York;US-FL",
    "America/New_York;US-PA",
    "America/Los_Angeles,America/New_York;US",
    "America/Chicago;US-TX",
    "America/Los_Angeles,America/Toronto;CA,US",
    "Asia/Kolkata;IN",
    "Australia/Lord_Howe;AU",
    "Europe/London;GB",
    "Europe/Berlin;US-ME;America/New_York",
    "Europe/Berlin;DE",
    "UTC",
];
/// Whose calendars count.
const ZONES: [&str; 10] = [
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Kiritimati",
    "UTC",
];
/// Minutes.
const DAY: u64 = 24 * 60;

/// Settings of a batch.
pub(super) fn settings(rng: &mut Rng, now: Timestamp) -> BatchSettings {
    let max_call_s = *rng.pick(&[2, 5, 30, 600]);
    BatchSettings {
        retry: rng.range(0..=3) as u8,
        delay_s: *rng.pick(&[0, 1, 5, 30, 120]),
        timezone: None,
        calling_hours: if rng.percent(40) { CallingHours::always() } else { hours(rng, now) },
        redial_unknown: rng.percent(30),
        retry_voicemail: rng.percent(30),
        concurrency: if rng.percent(30) { Some(rng.range(1..=6) as u32) } else { None },
        weight: rng.range(1..=5) as u32,
        max_call_s,
        enable_dnc: rng.percent(40),
        budget: rng.percent(35).then(|| budget(rng, u64::from(max_call_s))),
        canary: rng.percent(20).then(|| rng.range(1..=6) as u32),
        expires_at: rng.percent(12).then(|| expiry(rng, now)),
    }
}

/// What a user makes of the settings of a batch: one or two of them other ones.
pub(super) fn edited(rng: &mut Rng, old: &BatchSettings, now: Timestamp) -> BatchSettings {
    let drawn = settings(rng, now);
    let mut new = old.clone();
    for _ in 0..rng.range(1..=2) {
        match rng.range(0..=8) {
            0 => new.calling_hours = drawn.calling_hours.clone(),
            1 => new.concurrency = drawn.concurrency,
            2 => new.weight = drawn.weight,
            3 => (new.budget, new.max_call_s) = (drawn.budget, drawn.max_call_s),
            4 => (new.retry, new.delay_s) = (drawn.retry, drawn.delay_s),
            5 => new.enable_dnc = drawn.enable_dnc,
            6 => new.canary = drawn.canary,
            7 => new.expires_at = drawn.expires_at,
            _ => new.budget = drawn.budget,
        }
    }
    new
}

/// Enough for a few of the longest calls; sometimes not for one.
fn budget(rng: &mut Rng, longest: u64) -> Budget {
    let seconds = longest * rng.range(1..=8) - u64::from(rng.percent(20));
    let of_money = rng.percent(40);
    Budget {
        seconds: (!of_money || rng.percent(20)).then_some(seconds),
        micros: of_money.then(|| Spend::of(seconds, 50_001).micros),
        per_day: rng.percent(60),
    }
}

/// From just over to ten minutes ahead.
fn expiry(rng: &mut Rng, now: Timestamp) -> Timestamp {
    now.after(Duration::from_secs(rng.range(0..=600)))
}

/// Some of the calling numbers.
pub(super) fn numbers(rng: &mut Rng, all: &[PhoneId]) -> Vec<PhoneId> {
    let mut numbers = all.to_vec();
    numbers.rotate_left(rng.range(0..=all.len() as u64 - 1) as usize);
    numbers.truncate(rng.range(1..=all.len() as u64) as usize);
    numbers
}

/// Settings with which a workspace begins. Its day often ends within the run.
pub(super) fn tenant(rng: &mut Rng, now: Timestamp) -> WorkspaceSettings {
    let to_midnight = |name: &&&str| {
        let zone: Zone = name.parse().expect("these zones exist");
        let seconds = i64::from(zone.tz().to_offset(now.to_jiff()).seconds());
        (-(now.as_seconds() as i64 + seconds)).rem_euclid(60 * DAY as i64)
    };
    let nearest = *ZONES.iter().min_by_key(to_midnight).expect("there are some");
    let zone = if rng.percent(60) { nearest } else { *rng.pick(&ZONES) };
    let first = WorkspaceSettings {
        timezone: zone.to_owned(),
        calling_rules: if rng.percent(35) { CallingRules::On } else { CallingRules::Off },
        ..WorkspaceSettings::default()
    };
    if rng.percent(50) { workspace(rng, &first) } else { first }
}

/// What an administrator makes of the settings; the calendar stays.
pub(super) fn workspace(rng: &mut Rng, old: &WorkspaceSettings) -> WorkspaceSettings {
    let mut new = old.clone();
    new.concurrency = if rng.percent(40) { Some(rng.range(1..=12) as u32) } else { None };
    new.do_not_call = rng.percent(60);
    new.attempts_24h = if rng.percent(30) { Some(rng.range(1..=3) as u32) } else { None };
    if rng.percent(10) {
        new.calling_rules = match old.calling_rules {
            CallingRules::On => CallingRules::Off,
            CallingRules::Off => CallingRules::On,
        };
    }
    if rng.percent(60) {
        let percent = |rng: &mut Rng| rng.percent(60).then(|| rng.range(5..=70) as u8);
        new.brakes = BrakeSettings {
            window_s: *rng.pick(&[60, 300, 600]),
            min_attempts: rng.range(1..=6) as u32,
            failed_percent: percent(rng),
            short_percent: percent(rng),
            voicemail_percent: percent(rng),
        };
    }
    new
}

/// The same with nothing in the way that does not open by itself.
pub(super) fn healed(old: &WorkspaceSettings) -> WorkspaceSettings {
    let off = BrakeSettings {
        failed_percent: None,
        short_percent: None,
        voicemail_percent: None,
        ..BrakeSettings::default()
    };
    WorkspaceSettings { concurrency: None, brakes: off, ..old.clone() }
}

/// Person `i`; half of them answer, the others are spread over the rest of the table.
pub(super) fn person(rng: &mut Rng, i: u64) -> PhoneNumber {
    let ending = match rng.percent(50) {
        true => rng.range(0..=69),
        false => *rng.pick(&[70, 75, 80, 84, 85, 90, 92, 93, 94, 95, 96, 97, 98, 99, 99]),
    };
    PhoneNumber::from_digits(12_125_500_000 + 100 * i + ending)
}

/// What ingest would make of a person: whoever can never be called is finished at once.
pub(super) fn record(
    rng: &mut Rng,
    phone: PhoneNumber,
    (hours, rules): (&CallingHours, CallingRules),
    now: Timestamp,
) -> ChunkRecord {
    let text = *rng.pick(&CLASSES);
    let class: Class = text.parse().expect("these zones exist");
    let never = verdict(hours, rules, &class, now).allowed == Allowed::Closed { opens: None };
    ChunkRecord {
        phone,
        class: Arc::from(text),
        fields: format!("{{\"phoneNumber\":\"{phone}\"}}").into(),
        blocked: never.then_some((Disposition::Skipped, "no_common_hours")),
    }
}

/// Hours with an edge near `now` in one of the zones, so that windows open and close in the run.
fn hours(rng: &mut Rng, now: Timestamp) -> CallingHours {
    let class: Class = rng.pick(&CLASSES).parse().expect("these zones exist");
    let zone = &class.zones()[0];
    let seconds = i64::from(zone.tz().to_offset(now.to_jiff()).seconds());
    let local = (now.as_seconds() as i64 + seconds).div_euclid(60);
    let today = (local.div_euclid(DAY as i64) + 4).rem_euclid(7);
    let minute = local.rem_euclid(DAY as i64) as u64 + DAY;
    let length = *rng.pick(&[10, 20, 60, 240, 720]);
    // From a window that has just closed to one that opens in a quarter of an hour.
    let start = minute + 15 - rng.range(0..=length + 15);
    let text = |m: u64| format!("{:02}:{:02}", m % DAY / 60, m % 60);
    let days: Option<Vec<i64>> = match rng.range(0..=3) {
        0 => Some(vec![today, (today + 1) % 7]),
        1 => Some(vec![(today + 6) % 7, today]),
        _ => None,
    };
    let window = (text(start), text(start + length));
    CallingHours::new(Some((&window.0, &window.1)), days.as_deref())
        .expect("no window of these is empty")
}

/// Hours that are closed everywhere for a day or more.
pub(super) fn closed(now: Timestamp) -> CallingHours {
    let today = (now.as_seconds() as i64).div_euclid(86_400) + 4;
    CallingHours::new(None, Some(&[(today + 3).rem_euclid(7)])).expect("this is a day")
}

/// How long users wait before the next thing they do.
pub(crate) fn pause(rng: &mut Rng) -> Duration {
    let ms = match rng.range(0..=99) {
        0..=44 => rng.range(0..=500),
        45..=84 => rng.range(500..=10_000),
        85..=96 => rng.range(10_000..=60_000),
        _ => rng.range(60_000..=600_000),
    };
    Duration::from_millis(ms)
}
