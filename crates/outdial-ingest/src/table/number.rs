//! The numbers of a spreadsheet as text: digits, or a date where the cell's format is one.

use jiff::ToSpan;
use jiff::civil::{Date, date};

/// How a cell's number is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As a number.
    Number,
    /// As a date, a time of day, or both.
    Date,
    /// As hours, minutes and seconds that may be more than a day.
    Elapsed,
}

/// Days from the day 0 of workbooks that count from 1904 to that of the others.
const DAYS_1904: f64 = 1462.0;
/// Where the years get five digits.
const SERIAL_END: f64 = 2_958_466.0;
const DAY_MS: i64 = 86_400_000;
/// Up to here every whole number has its own `f64`.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl Format {
    /// One of the formats that workbooks do not spell out.
    pub(super) fn builtin(id: u32) -> Self {
        match id {
            46 => Self::Elapsed,
            14..=22 | 27..=36 | 45 | 47 | 50..=58 => Self::Date,
            _ => Self::Number,
        }
    }

    /// By the code of a format, `yyyy-mm-dd` or `[h]:mm`: its first section counts, without what
    /// stands in quotes, behind `\`, `_`, `*`, or in brackets.
    pub(super) fn of_code(code: &str) -> Self {
        let mut chars = code.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => while chars.next().is_some_and(|c| c != '"') {},
                '\\' | '_' | '*' => {
                    chars.next();
                }
                '[' => {
                    let inner: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    let unit = inner.to_ascii_lowercase();
                    if !unit.is_empty()
                        && ["h", "m", "s"].iter().any(|u| unit.replace(u, "").is_empty())
                    {
                        return Self::Elapsed;
                    }
                }
                ';' => return Self::Number,
                'y' | 'Y' | 'm' | 'M' | 'd' | 'D' | 'h' | 'H' | 's' | 'S' => return Self::Date,
                // `General` is a word, and so are the eras' and weekdays' letters of other tongues.
                'G' | 'g' => return Self::Number,
                _ => {}
            }
        }
        Self::Number
    }

    /// The cell's text. `raw` is the number as the file writes it; none: it is no number.
    pub(super) fn text(self, raw: &str, from_1904: bool) -> Option<String> {
        let raw = raw.trim();
        let value: f64 = raw.parse().ok().filter(|value: &f64| value.is_finite())?;
        match self == Self::Number && raw.bytes().all(|b| b.is_ascii_digit()) {
            true => Some(raw.to_owned()),
            false => Some(self.value(value, from_1904)),
        }
    }

    /// The text of a cell with this number.
    pub(super) fn value(self, value: f64, from_1904: bool) -> String {
        let shift = if from_1904 && self == Self::Date { DAYS_1904 } else { 0.0 };
        let time = if self == Self::Number { None } else { self.time(value, shift) };
        time.unwrap_or_else(|| number(value))
    }

    fn time(self, value: f64, shift: f64) -> Option<String> {
        let serial = value + shift;
        if !(0.0..SERIAL_END).contains(&serial) {
            return None;
        }
        // Less than 2^53, checked above.
        let ms = (serial * 86_400_000.0).round() as i64;
        if self == Self::Elapsed || (shift == 0.0 && ms < DAY_MS) {
            return Some(clock(ms));
        }
        let day = day(ms / DAY_MS)?;
        match ms % DAY_MS {
            0 => Some(day.to_string()),
            rest => Some(format!("{day}T{}", clock(rest))),
        }
    }
}

/// Without an exponent, and without a fraction where there is none.
fn number(value: f64) -> String {
    match value.fract() == 0.0 && value.abs() < WHOLE_MAX {
        // Whole and less than 2^53; so `-0` becomes `0`.
        true => (value as i64).to_string(),
        false => value.to_string(),
    }
}

/// Workbooks take 1900 for a leap year: until the end of its February they are a day behind.
fn day(serial: i64) -> Option<Date> {
    let first = if serial < 60 { date(1899, 12, 31) } else { date(1899, 12, 30) };
    first.checked_add(serial.days()).ok()
}

fn clock(ms: i64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match ms {
        0 => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{hours:02}:{minutes:02}:{seconds:02}.{ms:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_phone_numbers_keep_their_digits() {
        for (raw, text) in [
            ("12125551234", "12125551234"),
            ("12125551234.0", "12125551234"),
            ("1.2125551234E10", "12125551234"),
            ("442079460000", "442079460000"),
            ("123456789012345678", "123456789012345678"),
            ("-5", "-5"),
            ("-0", "0"),
            ("1.1000000000000001", "1.1"),
            ("0.5", "0.5"),
            ("1e-7", "0.0000001"),
        ] {
            assert_eq!(Format::Number.text(raw, false).as_deref(), Some(text), "{raw}");
        }
        for raw in ["", "x", "1,5", "NaN", "inf"] {
            assert_eq!(Format::Number.text(raw, false), None, "{raw}");
        }
    }

    #[test]
    fn dates_are_iso_8601() {
        for (raw, from_1904, text) in [
            ("45792", false, "2025-05-15"),
            ("45792.604166666664", false, "2025-05-15T14:30:00"),
            ("44330", true, "2025-05-15"),
            ("0", true, "1904-01-01"),
            ("1", false, "1900-01-01"),
            ("59", false, "1900-02-28"),
            ("61", false, "1900-03-01"),
            ("2958465", false, "9999-12-31"),
            ("0.5", false, "12:00:00"),
            // Half a millisecond before midnight is midnight.
            ("45791.999999999", false, "2025-05-15"),
            ("45792.00000289352", false, "2025-05-15T00:00:00.250"),
            // No day: the number.
            ("2958466", false, "2958466"),
            ("-1", false, "-1"),
        ] {
            assert_eq!(Format::Date.text(raw, from_1904).as_deref(), Some(text), "{raw}");
        }
        assert_eq!(Format::Elapsed.text("1.5", false).as_deref(), Some("36:00:00"));
    }

    #[test]
    fn formats_that_are_dates() {
        use Format::{Date, Elapsed, Number};
        for (code, format) in [
            ("yyyy-mm-dd", Date),
            ("[$-409]d-mmm-yy;@", Date),
            ("[Red]hh:mm", Date),
            ("[h]:mm:ss", Elapsed),
            ("[mm]:ss", Elapsed),
            ("General", Number),
            ("0", Number),
            ("#,##0.00", Number),
            ("0\" days\"", Number),
            ("0\\d", Number),
            ("+0;[Red]-0", Number),
            ("_-* #,##0_d", Number),
            ("@", Number),
            ("", Number),
        ] {
            assert_eq!(Format::of_code(code), format, "{code}");
        }
    }
}
