//! What users choose, drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::hours::{Allowed, CallingHours};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_core::zone::Class;
use outdial_ports::store::ChunkRecord;

use crate::rng::Rng;

/// Where people may be.
const CLASSES: [&str; 6] = [
    "America/New_York",
    "America/Los_Angeles,America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "UTC",
];
/// Minutes.
const DAY: u64 = 24 * 60;

/// Settings of a batch.
pub(super) fn settings(rng: &mut Rng, now: Timestamp) -> BatchSettings {
    BatchSettings {
        retry: rng.range(0..=3) as u8,
        delay_s: *rng.pick(&[0, 1, 5, 30, 120]),
        timezone: None,
        calling_hours: if rng.percent(40) { CallingHours::always() } else { hours(rng, now) },
        redial_unknown: rng.percent(30),
        retry_voicemail: rng.percent(30),
        concurrency: if rng.percent(30) { Some(rng.range(1..=6) as u32) } else { None },
        weight: rng.range(1..=5) as u32,
        max_call_s: *rng.pick(&[2, 5, 600]),
    }
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
    hours: &CallingHours,
    now: Timestamp,
) -> ChunkRecord {
    let text = *rng.pick(&CLASSES);
    let class: Class = text.parse().expect("these zones exist");
    let never = hours.allowed(&class, now) == Allowed::Closed { opens: None };
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
