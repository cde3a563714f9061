//! How long a forecast takes: a year of 100,000 contacts over thirty and more zones, calling rules
//! on, every attempt checked by the reference of `outdial-core`'s tests. One outside: exit code 1.
//!
//! `cargo xtask bench forecast [CONTACTS] [DAYS]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[allow(dead_code, clippy::unwrap_used, reason = "it is a test's")]
#[path = "../../outdial-core/tests/reference/mod.rs"]
mod reference;
#[path = "support/thirty_zones.rs"]
mod thirty_zones;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use outdial_core::forecast::{Assumptions, Input, run_watched};
use outdial_core::time::Timestamp;
use thirty_zones::{Judge, batch, people, settings, workspace};

const DAY: Duration = Duration::from_secs(86_400);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let mut number = |default: u64| {
        args.next().map_or(default, |a| a.parse().expect("CONTACTS and DAYS are numbers"))
    };
    let (contacts, days) = (number(100_000), number(400));
    let from: Timestamp = "2026-01-05T00:00:00Z".parse().expect("an instant");
    let (waiting, zones) = people(contacts);
    println!("{contacts} contacts, {} places in {zones} sets of zones", waiting.len());
    // Ten numbers; some two and a half attempts each, in somewhat more than a year.
    let calls_per_day = u32::try_from(contacts * 24 / 10 / 10 / 365).unwrap_or(u32::MAX).max(1);
    let until = from.after(DAY * u32::try_from(days).expect("fewer days"));
    let judge = Judge::new(&waiting, from, until);
    let input = Input {
        head: workspace(calls_per_day, settings(), from),
        waiting,
        batch: batch(),
        assumes_start: false,
        assume: Assumptions::default(),
        until,
        turns_max: u64::MAX,
    };
    let before = peak_kib();
    let (mut attempts, mut outside) = (0u64, 0u64);
    let mut checking = Duration::ZERO;
    let start = now();
    let forecast = run_watched(input, &mut |attempt| {
        let began = now();
        attempts += 1;
        if !judge.may_leave(attempt.class, attempt.at) {
            outside += 1;
            println!("outside: {} at {}", attempt.class, attempt.at);
        }
        checking += began.elapsed();
    });
    let took = start.elapsed() - checking;
    let span = forecast.to.since(forecast.from).as_secs_f64() / 86_400.0;
    println!(
        "{:>14.2} s  run time ({:.2} s more for the checks)",
        took.as_secs_f64(),
        checking.as_secs_f64()
    );
    println!("{span:>14.1} d  virtual time, {:?}", forecast.ending);
    println!("{attempts:>14}    attempts, {outside} outside hours");
    println!("{:>14}    turns", forecast.turns);
    println!("{:>14.1} µs for an attempt", took.as_secs_f64() * 1e6 / attempts.max(1) as f64);
    println!("{:>14.1} MiB more memory", (peak_kib() - before) / 1024.0);
    println!(
        "{:>14}    reached of {}; never: {:?}",
        forecast.reached, forecast.calls, forecast.never
    );
    ExitCode::from(u8::from(outside > 0 || attempts == 0))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark runs on the real clock")]
fn now() -> Instant {
    Instant::now()
}

/// Most memory that this process ever had: `VmHWM` of /proc/self/status.
fn peak_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
}
