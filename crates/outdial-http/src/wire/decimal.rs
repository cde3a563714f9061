//! Decimal numbers that must come out as they went in: money, prices, minutes. Never through a
//! float.

use serde_json::value::RawValue;

/// Decimal places of money.
pub(crate) const MONEY_PLACES: usize = 6;
/// Decimal places of minutes: whole seconds that have a finite decimal need no more.
const MINUTE_PLACES: usize = 2;

/// A JSON number, or a string of one, as a whole number of its last of `places` decimal places.
/// None: negative, with an exponent, with more places, too large, or not a number at all.
pub(crate) fn units(raw: &RawValue, places: usize) -> Option<u64> {
    let text = raw.get().trim();
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => text,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let scale = 10u64.pow(u32::try_from(places.checked_sub(fraction.len())?).ok()?);
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    digits.checked_mul(scale)
}

/// Money from millionths, as a JSON number.
pub(crate) fn money(micros: u64) -> Box<RawValue> {
    shown(micros, MONEY_PLACES)
}

/// Minutes from seconds, as a JSON number; rounded up in the second place.
pub(crate) fn minutes(seconds: u64) -> Box<RawValue> {
    shown(seconds.saturating_mul(100).div_ceil(60), MINUTE_PLACES)
}

/// Seconds from minutes; none also when they are not whole.
pub(crate) fn seconds(raw: &RawValue) -> Option<u64> {
    let hundredths = units(raw, MINUTE_PLACES)?.checked_mul(60)?;
    (hundredths % 100 == 0).then_some(hundredths / 100)
}

fn shown(units: u64, places: usize) -> Box<RawValue> {
    let digits = format!("{units:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let text = format!("{whole}.{fraction}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn every_digit_counts() {
        for (text, micros) in [
            ("0", 0),
            ("1", 1_000_000),
            ("0.1", 100_000),
            ("0.000001", 1),
            ("\"0.0125\"", 12_500),
            ("8796093022.207999", 8_796_093_022_207_999),
            ("12.50000000", 12_500_000),
        ] {
            assert_eq!(units(&raw(text), MONEY_PLACES), Some(micros), "{text}");
        }
        assert_eq!(money(8_796_093_022_207_999).get(), "8796093022.207999");
        assert_eq!((money(1).get(), money(12_500_000).get()), ("0.000001", "12.5"));
        assert_eq!((money(0).get(), money(10_000_000).get()), ("0", "10"));
    }

    #[test]
    fn what_is_not_one() {
        let bad = [
            "-1",
            "1e3",
            "0.0000001",
            "99999999999999999999",
            "\"\"",
            "\"1,5\"",
            "\" 1\"",
            "\"1.\"",
            "\".5\"",
            "true",
            "[1]",
            "{}",
            "\"",
            "\"+1\"",
        ];
        for text in bad.iter().filter(|t| serde_json::from_str::<&RawValue>(t).is_ok()) {
            assert_eq!(units(&raw(text), MONEY_PLACES), None, "{text}");
        }
    }

    #[test]
    fn minutes_are_whole_seconds() {
        for (text, expected) in
            [("90", Some(5400)), ("1.5", Some(90)), ("0.05", Some(3)), ("0.01", None), ("x", None)]
        {
            let text = if text == "x" { "\"x\"" } else { text };
            assert_eq!(seconds(&raw(text)), expected, "{text}");
        }
        assert_eq!(
            (minutes(5400).get(), minutes(3).get(), minutes(1).get()),
            ("90", "0.05", "0.02")
        );
    }
}
