//! `outdial simulate`: what would happen to a batch, from a file, without server or database.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use outdial_core::forecast::{Ending, Forecast, Hour, Source};
use outdial_core::time::Timestamp;
use outdial_core::zone::Zone;
use outdial_http::offline::{self, Refused, Simulation, Wish};
use outdial_ports::Clock;

use crate::clock::SystemClock;
use crate::term::{hint, say};

/// Widest bar.
const BAR: u64 = 36;
/// More lines than this are put together to days, and then to weeks.
const LINES_MAX: usize = 48;

/// Forecast a batch: when it is done, calls per hour, peak channels, who is never reached and why.
/// Runs the dispatcher itself on virtual time; places no call, needs no server and no database.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// JSON: the fields of createBatch and `call_data`; `numbers`, `trunk` and `workspace` beside
    /// them (docs/forecast.md).
    file: PathBuf,
    /// Print one line of JSON, as GET /api/call/forecast has it.
    #[arg(long)]
    json: bool,
    /// Length of the window, 1-366.
    #[arg(long, default_value_t = 14)]
    days: u32,
    /// Share of attempts that a person answers, 0-1 [default: 0.3].
    #[arg(long, value_name = "SHARE")]
    answer_rate: Option<f64>,
    /// Mean talk in seconds [default: 60].
    #[arg(long, value_name = "SECONDS")]
    talk_seconds: Option<f64>,
    /// When it begins, e.g. 2026-06-01T09:00:00Z [default: now].
    #[arg(long, value_name = "INSTANT")]
    start: Option<Timestamp>,
}

/// Runs it.
pub(crate) fn run(args: &SimulateArgs) -> Result<()> {
    let shown = args.file.display();
    let file = std::fs::read(&args.file).with_context(|| format!("{shown} cannot be read"))?;
    let wish = Wish {
        start: args.start.unwrap_or_else(|| SystemClock::new().now()),
        days: args.days,
        answer_rate: args.answer_rate,
        talk_seconds: args.talk_seconds,
    };
    let made = match offline::simulate(&file, &wish) {
        Ok(made) => made,
        Err(Refused { message, records }) => {
            records.iter().for_each(hint);
            bail!("{shown}: {message}");
        }
    };
    if args.json {
        say(made.json());
    } else {
        say(table(&made).trim_end());
    }
    Ok(())
}

/// Everything, for people.
fn table(made: &Simulation) -> String {
    let f = &made.forecast;
    let mut out = Table { zone: &made.zone, text: String::new() };
    out.line(format_args!(
        "{}: {} from {}; times are {}",
        made.name,
        counted(f.calls, "contact"),
        out.at(f.from),
        made.zone
    ));
    if made.duplicates > 0 {
        let records = counted(made.duplicates, "record");
        out.line(format_args!("  {records} left out: a later one has the same number"));
    }
    out.line("");
    out.row("done", &out.done(f));
    out.row("first call", &f.first_attempt_at.map_or("none".to_owned(), |at| out.at(at)));
    let rate = percent(f.answered, f.attempts);
    out.row("attempts", &format!("{}, {rate} answered by a person", number(f.attempts)));
    out.row("peak channels", &peak(made));
    let share = percent(f.reached, f.calls);
    out.row("reached", &format!("{} of {} ({share})", number(f.reached), number(f.calls)));
    out.never(f);
    out.hours(&f.hours);
    out.line("");
    out.line(assumed(f));
    out.text
}

fn peak(made: &Simulation) -> String {
    let peak = number(made.forecast.peak_batch.into());
    let plural = |n: f64| if n == 1.0 { "" } else { "s" };
    let cps = made.trunk.calls_per_second.map(|n| format!("{n} call{} per second", plural(n)));
    let channels = made.trunk.channels.map(|n| counted(n.into(), "channel"));
    let limits: Vec<String> = cps.into_iter().chain(channels).collect();
    match limits.is_empty() {
        true => peak,
        false => format!("{peak} (the trunk has {})", limits.join(" and ")),
    }
}

fn assumed(f: &Forecast) -> String {
    let a = &f.assumed;
    let whence = match a.source {
        Source::Assumed => "assumed (no --answer-rate given)",
        Source::Given => "as given",
        Source::Observed { .. } => "as observed",
    };
    let share = |n: f64| format!("{:.0} %", n * 100.0);
    format!(
        "Of the attempts {} are answered by a person, {} by a machine, {} by nobody, {} are busy,\n\
         {} fail: {whence}. Mean talk {:.0} s.",
        share(a.answered),
        share(a.voicemail),
        share(a.no_answer),
        share(a.busy),
        share(a.failed),
        a.talk.as_secs_f64()
    )
}

struct Table<'a> {
    zone: &'a Zone,
    text: String,
}

impl Table<'_> {
    fn line(&mut self, line: impl std::fmt::Display) {
        self.text.push_str(&line.to_string());
        self.text.push('\n');
    }

    fn row(&mut self, what: &str, value: &str) {
        self.line(format_args!("  {what:<14} {value}"));
    }

    /// `Mon 2026-06-01 09:00`, in the workspace's zone.
    fn at(&self, at: Timestamp) -> String {
        let local = self.zone.tz().to_datetime(at.to_jiff());
        format!("{} {:02}:{:02}", self.day(at), local.hour(), local.minute())
    }

    fn day(&self, at: Timestamp) -> String {
        let date = self.zone.tz().to_datetime(at.to_jiff()).date();
        let names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let index = usize::from(date.weekday().to_sunday_zero_offset().unsigned_abs());
        format!("{} {date}", names[index % names.len()])
    }

    fn done(&self, f: &Forecast) -> String {
        if let Some(at) = f.done_at {
            return format!("{}, after {}", self.at(at), span(at.since(f.from).as_secs()));
        }
        let to = self.at(f.to);
        match f.ending {
            Ending::Paused(reason) => format!("no: paused at {to} ({})", reason.as_str()),
            Ending::Horizon | Ending::Done => format!("not until {to}; see --days"),
            Ending::TurnsMax => format!("not until {to}, where the work limit was reached"),
            Ending::Stuck => format!("never: nothing goes on after {to}"),
        }
    }

    fn never(&mut self, f: &Forecast) {
        let all: u64 = f.never.iter().map(|(_, calls)| calls).sum();
        self.row("never reached", &number(all));
        for (why, calls) in &f.never {
            self.line(format_args!("  {:>12}  {}", number(*calls), offline::why_never(*why)));
        }
    }

    /// Calls by the hour; by the day or the week where that would be long.
    fn hours(&mut self, hours: &[Hour]) {
        if hours.is_empty() {
            return;
        }
        let hourly = |h: &Hour| self.at(h.start);
        let mut bars = gathered(hours, hourly);
        let mut title = "per hour";
        if bars.len() > LINES_MAX {
            (bars, title) = (gathered(hours, |h| self.day(h.start)), "per day");
        }
        if bars.len() > LINES_MAX {
            (bars, title) = (gathered(hours, |h| self.week(h.start)), "per week, from Monday");
        }
        let most = bars.iter().map(|bar| bar.1).max().unwrap_or(1).max(1);
        self.line("");
        self.line(format_args!("  attempts {title}; \u{2588} answered by a person, \u{2592} not"));
        for (label, attempts, answered) in bars {
            let width = |n: u64| usize::try_from((n * BAR).div_ceil(most)).unwrap_or(0);
            let full = width(answered);
            let rest = width(attempts).saturating_sub(full);
            let bar = "\u{2588}".repeat(full) + &"\u{2592}".repeat(rest);
            self.line(format_args!("  {label}  {bar} {}", number(attempts)));
        }
    }

    /// The Monday before, or that day.
    fn week(&self, at: Timestamp) -> String {
        let date = self.zone.tz().to_datetime(at.to_jiff()).date();
        let since = u64::from(date.weekday().to_monday_zero_offset().unsigned_abs());
        self.day(at.before(std::time::Duration::from_secs(since * 86_400)))
    }
}

/// Attempts and answers of hours with one label together, in their order.
fn gathered(hours: &[Hour], label: impl Fn(&Hour) -> String) -> Vec<(String, u64, u64)> {
    let mut bars: Vec<(String, u64, u64)> = Vec::new();
    for hour in hours {
        let label = label(hour);
        match bars.last_mut().filter(|bar| bar.0 == label) {
            Some(bar) => {
                bar.1 += hour.attempts;
                bar.2 += hour.answered;
            }
            None => bars.push((label, hour.attempts, hour.answered)),
        }
    }
    bars
}

/// `1,234,567`.
fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn counted(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(n), if n == 1 { "" } else { "s" })
}

fn percent(part: u64, of: u64) -> String {
    match of {
        0 => "none".to_owned(),
        of => format!("{} %", (part * 100 + of / 2) / of),
    }
}

/// `3 d 4 h`, `4 h 5 min`, `5 min`, `12 s`.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_for_people() {
        let numbers = [0, 999, 1000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        let spans = [5, 60, 3_700, 90_000].map(span);
        assert_eq!(spans, ["5 s", "1 min", "1 h 1 min", "1 d 1 h"]);
        assert_eq!((percent(1, 3), percent(0, 0)), ("33 %".into(), "none".into()));
    }
}
