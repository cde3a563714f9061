//! Looking at JSON values by their text, without converting them.
//!
//! All functions take the text of one well-formed JSON value without surrounding white space.

use std::borrow::Cow;

use super::{DEPTH_MAX, FaultCode, NUMBER_DIGITS_MAX};

/// The characters of a JSON string; none: another value, or not decodable (a lone surrogate).
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// `null`, or a string of nothing but white space.
pub fn is_blank(raw: &str) -> bool {
    match raw.as_bytes().first() {
        Some(b'n') => true,
        Some(b'"') => string(raw).is_some_and(|s| s.trim().is_empty()),
        _ => false,
    }
}

/// What is to be read as a phone number: the characters of a string, or the digits of an integer.
pub fn phone_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => string(raw),
        // An integer and nothing else: dropping `.` from 1212.0 would make another number of it.
        _ if raw.bytes().all(|b| b.is_ascii_digit()) => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

/// Whether a field's value can be kept as it is: its texts, its numbers, its depth. `level` is that
/// of the object it stands in.
pub(super) fn check_value(raw: &str, level: u32) -> Result<(), FaultCode> {
    match raw.as_bytes().first() {
        Some(b'"') => check_string(raw),
        Some(b'{' | b'[') => check_container(raw, level),
        Some(b'-' | b'0'..=b'9') => check_number(raw),
        _ => Ok(()),
    }
}

/// Refuses escapes that name NUL, or half of a surrogate pair.
pub(super) fn check_string(raw: &str) -> Result<(), FaultCode> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|&b| b == b'\\') {
        at += step;
        let Some(unit) = unit_at(bytes, at) else {
            // `\n` and the like: two bytes, of which the second may be a backslash.
            at += 2;
            continue;
        };
        at += 6;
        match unit {
            0 => return Err(FaultCode::InvalidText),
            0xD800..=0xDBFF => match unit_at(bytes, at) {
                Some(0xDC00..=0xDFFF) => at += 6,
                _ => return Err(FaultCode::InvalidText),
            },
            0xDC00..=0xDFFF => return Err(FaultCode::InvalidText),
            _ => {}
        }
    }
    Ok(())
}

/// The UTF-16 unit of a `\uXXXX` that starts at `at`.
fn unit_at(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

fn check_container(raw: &str, mut level: u32) -> Result<(), FaultCode> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'{' | b'[' => {
                level += 1;
                if level > DEPTH_MAX {
                    return Err(FaultCode::TooDeep);
                }
                at += 1;
            }
            b'}' | b']' => {
                level = level.saturating_sub(1);
                at += 1;
            }
            b'"' => {
                let end = string_end(bytes, at);
                check_string(&raw[at..end])?;
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let len = rest.iter().position(|b| !is_number_byte(*b)).unwrap_or(rest.len());
                check_number(&raw[at..at + len])?;
                at += len;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// Where the string that starts at `at` is over.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(&b) = bytes.get(end) {
        end += match b {
            b'"' => return end + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    bytes.len()
}

const fn is_number_byte(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Refuses |x| > 1e308, and more than 64 digits, by the digits alone.
fn check_number(raw: &str) -> Result<(), FaultCode> {
    // Nothing this short can be out of range: the usual case.
    if raw.len() <= 4 {
        return Ok(());
    }
    if raw.bytes().filter(u8::is_ascii_digit).count() > NUMBER_DIGITS_MAX {
        return Err(FaultCode::NumberOutOfRange);
    }
    let unsigned = raw.strip_prefix('-').unwrap_or(raw);
    let Some((mantissa, exponent)) = unsigned.split_once(['e', 'E']) else {
        // At most 64 digits without an exponent stay far below 1e308.
        return Ok(());
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = whole.bytes().chain(fraction.bytes());
    let Some(zeros) = digits.position(|d| d != b'0') else {
        return Ok(());
    };
    // The number is d.ddd × 10^magnitude with d ≠ 0. An exponent that does not fit is either far
    // beyond, or as far below.
    let shift = whole.len() as i128 - 1 - zeros as i128;
    let magnitude = match exponent.parse::<i64>() {
        Ok(exponent) => i128::from(exponent) + shift,
        Err(_) if exponent.starts_with('-') => return Ok(()),
        Err(_) => return Err(FaultCode::NumberOutOfRange),
    };
    let first = whole.bytes().chain(fraction.bytes()).nth(zeros);
    let is_a_power = first == Some(b'1') && digits.all(|d| d == b'0');
    match magnitude {
        ..308 => Ok(()),
        308 if is_a_power => Ok(()),
        _ => Err(FaultCode::NumberOutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_their_digits() {
        let fine = [
            "0",
            "-0",
            "12",
            "1e308",
            "-1e308",
            "10e307",
            "0.1e309",
            "1.000e308",
            "1E+308",
            "9.99e307",
            "1e-999999",
            "0e999999",
            "0.0e99999999999999999999",
            "1e-99999999999999999999",
            "1234567890123456789012345678901234567890",
            "0.00001e313",
            "100000e303",
        ];
        for n in fine {
            assert_eq!(check_number(n), Ok(()), "{n}");
        }
        let out = [
            "1e309",
            "-1e309",
            "1e999999",
            "1.0001e308",
            "2e308",
            "11e307",
            "0.2e309",
            "100001e303",
            "1e99999999999999999999",
            "0.00002e313",
            "12345678901234567890123456789012345678901234567890123456789012345",
        ];
        for n in out {
            assert_eq!(check_number(n), Err(FaultCode::NumberOutOfRange), "{n}");
        }
    }

    #[test]
    fn escapes_that_name_no_character() {
        for fine in [r#""""#, r#""a\\u0000""#, r#""\ud83d\ude00""#, r#""\n\"\\""#, r#""\u00e9""#] {
            assert_eq!(check_string(fine), Ok(()), "{fine}");
        }
        for bad in [
            r#""\u0000""#,
            r#""\\\u0000""#,
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ud83d\ud83d""#,
            r#""\ude00""#,
            r#""\uD83D\u0041""#,
        ] {
            assert_eq!(check_string(bad), Err(FaultCode::InvalidText), "{bad}");
        }
    }

    #[test]
    fn containers_are_looked_into() {
        assert_eq!(check_value(r#"{"a":[1,"}]",{"b":null}]}"#, 1), Ok(()));
        assert_eq!(check_value(r#"[{"\u0000":1}]"#, 1), Err(FaultCode::InvalidText));
        assert_eq!(check_value(r#"["\\",1e999]"#, 1), Err(FaultCode::NumberOutOfRange));
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(check_value(&deep(31), 1), Ok(()));
        assert_eq!(check_value(&deep(32), 1), Err(FaultCode::TooDeep));
        assert_eq!(check_value(&deep(100_000), 1), Err(FaultCode::TooDeep));
    }

    #[test]
    fn blank_and_phone_texts() {
        for blank in ["null", r#""""#, r#""  ""#, r#""\t\n""#] {
            assert!(is_blank(blank), "{blank}");
        }
        for not in ["0", "false", r#""x""#, "[]", "{}"] {
            assert!(!is_blank(not), "{not}");
        }
        assert_eq!(phone_text(r#""+1 2""#).as_deref(), Some("+1 2"));
        assert_eq!(phone_text("12125551001").as_deref(), Some("12125551001"));
        for not in ["1.5", "-1", "1e5", "true", "null", "[]"] {
            assert_eq!(phone_text(not), None, "{not}");
        }
    }
}
