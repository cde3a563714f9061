//! Phone numbers: what people write, made into E.164.
//!
//! Never guesses a country: every number must bring its country code. Never accepts what the
//! numbering plan calls impossible, because a wrong number rings at a stranger.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberType, Region};
use thiserror::Error;

/// Most digits of a number in E.164 (ITU-T E.164 section 6).
const E164_DIGITS_MAX: u32 = 15;
/// Most digits that are worth parsing: E.164 and a superfluous national prefix.
const SENT_DIGITS_MAX: usize = 20;

/// A phone number in E.164 without `+`, at most 15 digits (ITU-T E.164 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(u64);

impl PhoneNumber {
    /// From digits that the store holds, or that [`parse`] normalised.
    pub const fn from_digits(digits: u64) -> Self {
        Self(digits)
    }

    /// The digits as an integer.
    pub const fn digits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A country or territory: ISO 3166-1 alpha-2, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// The text is not a country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a country: two letters of ISO 3166-1 are needed, like `US`")]
pub struct InvalidCountry;

impl Country {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters, checked where it is made")
    }
}

impl FromStr for Country {
    type Err = InvalidCountry;
    fn from_str(s: &str) -> Result<Self, InvalidCountry> {
        match s.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(InvalidCountry),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Country({self})")
    }
}

/// What a call to a number costs, as far as that decides whether we may place it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberKind {
    /// Landline, mobile, toll-free, and whatever else costs no more than those.
    Ordinary,
    /// The called side is paid.
    PremiumRate,
    /// The caller pays a share above the ordinary rate.
    SharedCost,
    /// A satellite network.
    Satellite,
}

impl NumberKind {
    /// Called only where the workspace allows it.
    pub const fn is_special(self) -> bool {
        !matches!(self, Self::Ordinary)
    }

    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::PremiumRate => "premium-rate",
            Self::SharedCost => "shared-cost",
            Self::Satellite => "satellite",
        }
    }
}

/// A number, and what the numbering plan says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedPhone {
    /// Normalised.
    pub number: PhoneNumber,
    /// Where it belongs; none: a non-geographic code (`+800`, `+870`, …).
    pub country: Option<Country>,
    /// What it costs.
    pub kind: NumberKind,
}

/// Why a text is not a phone number. Says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PhoneError {
    /// A character that is no digit and not dropped.
    #[error(
        "{0:?} does not belong in a phone number; write digits with the country code, like \
         `12125551234` (spaces, `-`, `.`, `(`, `)` and one leading `+` are dropped)"
    )]
    Character(char),
    /// No digits.
    #[error("it has no digits; write it with its country code, like `12125551234`")]
    NoDigits,
    /// Starts with 0.
    #[error("no country code starts with 0; write the country code first, like `442079460000`")]
    LeadingZero,
    /// The plan of its country code knows no such number.
    #[error(
        "no such number exists in the numbering plan of its country code; write the country code \
         first, like `12125551234` or `442079460000`"
    )]
    NotInPlan,
}

/// Reads a number as people write it: ASCII digits with the country code. Spaces, `-`, `.`, `(`,
/// `)` and one leading `+` are dropped.
pub fn parse(text: &str) -> Result<ParsedPhone, PhoneError> {
    // `+` and the digits, on the stack: this runs once for each of a million records.
    let mut buf = [b'+'; SENT_DIGITS_MAX + 1];
    let mut len = 1;
    let mut plus = false;
    for c in text.chars() {
        match c {
            '0'..='9' if len <= SENT_DIGITS_MAX => {
                buf[len] = c as u8;
                len += 1;
            }
            '0'..='9' => return Err(PhoneError::NotInPlan),
            ' ' | '-' | '.' | '(' | ')' => {}
            '+' if len == 1 && !plus => plus = true,
            c => return Err(PhoneError::Character(c)),
        }
    }
    match buf.get(1..len) {
        None | Some([]) => Err(PhoneError::NoDigits),
        Some([b'0', ..]) => Err(PhoneError::LeadingZero),
        Some(_) => {
            let text = std::str::from_utf8(&buf[..len]).expect("`+` and ASCII digits");
            look_up(text)
        }
    }
}

/// What the plan says of a number that was parsed before; none if it does not know it (any more).
pub fn describe(number: PhoneNumber) -> Option<ParsedPhone> {
    look_up(&format!("+{number}")).ok().filter(|parsed| parsed.number == number)
}

/// Whether some numbering plan has numbers of this country.
pub fn has_numbers(country: Country) -> bool {
    let mut regions = PHONE_NUMBER_UTIL.get_supported_regions();
    regions.any(|region| region.as_region_str().parse() == Ok(country))
}

fn look_up(plus_digits: &str) -> Result<ParsedPhone, PhoneError> {
    let plan = &*PHONE_NUMBER_UTIL;
    let parsed = plan.parse(plus_digits, None).map_err(|_| PhoneError::NotInPlan)?;
    // `Unknown` is what the library itself means by "not valid".
    let kind = match plan.get_number_type(&parsed) {
        PhoneNumberType::Unknown => return Err(PhoneError::NotInPlan),
        _ if is_satellite(&parsed) => NumberKind::Satellite,
        PhoneNumberType::PremiumRate => NumberKind::PremiumRate,
        PhoneNumberType::SharedCost => NumberKind::SharedCost,
        _ => NumberKind::Ordinary,
    };
    let number = e164(&parsed).ok_or(PhoneError::NotInPlan)?;
    let country = match plan.get_region_for_number(&parsed) {
        None | Some(Region::World) => None,
        Some(region) => region.as_region_str().parse().ok(),
    };
    Ok(ParsedPhone { number, country, kind })
}

/// Country code, leading zeros that belong to the number, national number.
fn e164(parsed: &rlibphonenumber::PhoneNumber) -> Option<PhoneNumber> {
    let zeros = match parsed.italian_leading_zero() {
        true => u32::try_from(parsed.number_of_leading_zeros()).ok()?,
        false => 0,
    };
    let code = u64::try_from(parsed.country_code).ok()?;
    // A national number of zeros alone has one digit less than its zeros say.
    let width = zeros + parsed.national_number.checked_ilog10().map_or(1, |log| log + 1);
    let code_width = code.checked_ilog10()? + 1;
    if code_width + width > E164_DIGITS_MAX {
        return None;
    }
    Some(PhoneNumber(code * 10u64.pow(width) + parsed.national_number))
}

/// Inmarsat (+870), the satellite systems (+881), and those among the networks of +882: EMSAT
/// (+882 13) and Thuraya (+882 16). The library calls them mobile.
fn is_satellite(parsed: &rlibphonenumber::PhoneNumber) -> bool {
    match parsed.country_code {
        870 | 881 => true,
        882 => {
            let mut head = parsed.national_number;
            while head >= 100 {
                head /= 10;
            }
            matches!(head, 13 | 16)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rlibphonenumber::PhoneNumberFormat;

    use super::*;

    fn ok(text: &str) -> (u64, Option<String>, NumberKind) {
        let p = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        (p.number.digits(), p.country.map(|c| c.to_string()), p.kind)
    }

    #[test]
    fn numbers_of_the_documented_requests() {
        for n in [12_125_551_001u64, 13_105_552_002, 12_125_551_234] {
            let us = Some("US".to_owned());
            assert_eq!(ok(&n.to_string()), (n, us.clone(), NumberKind::Ordinary));
            assert_eq!(ok(&format!("+{n}")), (n, us, NumberKind::Ordinary));
        }
    }

    #[test]
    fn punctuation_is_dropped_and_a_national_prefix_too() {
        for text in ["4402079460000", "+44 (0)20 7946-0000", " 44.20.79460000", "(+44) 2079460000"]
        {
            assert_eq!(ok(text).0, 442_079_460_000, "{text}");
        }
    }

    #[test]
    fn countries_are_known_by_their_plans() {
        let known = |text: &str| has_numbers(text.parse().unwrap());
        assert!(["US", "CA", "GB", "GG", "XK"].into_iter().all(known));
        assert!(!["XX", "ZZ", "UK", "EU"].into_iter().any(known));
    }

    #[test]
    fn regions_that_share_a_code_are_told_apart() {
        let table = [
            ("12125551001", "US"),
            ("14165550123", "CA"),
            ("18765550123", "JM"),
            ("442079460000", "GB"),
            ("441534880000", "JE"),
            ("447400123456", "GB"),
            ("447911123456", "GG"),
            ("74951234567", "RU"),
            ("77172123456", "KZ"),
            ("390612345678", "IT"),
            ("4915112345678", "DE"),
        ];
        for (number, country) in table {
            assert_eq!(ok(number).1.as_deref(), Some(country), "{number}");
        }
    }

    #[test]
    fn zeros_that_belong_to_the_number_stay() {
        assert_eq!(ok("+39 06 1234 5678").0, 390_612_345_678);
    }

    #[test]
    fn special_kinds() {
        let table = [
            ("19002345678", NumberKind::PremiumRate, Some("US")),
            ("449012345678", NumberKind::PremiumRate, Some("GB")),
            ("39848123456", NumberKind::SharedCost, Some("IT")),
            ("80812345678", NumberKind::SharedCost, None),
            ("979123456789", NumberKind::PremiumRate, None),
            ("870773111632", NumberKind::Satellite, None),
            ("881612345678", NumberKind::Satellite, None),
            ("8821612345678", NumberKind::Satellite, None),
            ("18002345678", NumberKind::Ordinary, Some("US")),
            ("80012345678", NumberKind::Ordinary, None),
        ];
        for (number, kind, country) in table {
            let got = ok(number);
            assert_eq!((got.2, got.1.as_deref()), (kind, country), "{number}");
        }
    }

    #[test]
    fn refuses_with_a_reason() {
        let not_in_plan =
            ["1", "12", "123456", "1212555", "10005551234", "999999999999", "2125551001"];
        for bad in not_in_plan {
            assert_eq!(parse(bad), Err(PhoneError::NotInPlan), "{bad}");
        }
        for bad in ["12125551001234567890123456789", "99999999999999999999999999"] {
            assert_eq!(parse(bad), Err(PhoneError::NotInPlan), "{bad}");
        }
        for bad in ["", " ", "+", "()"] {
            assert_eq!(parse(bad), Err(PhoneError::NoDigits), "{bad}");
        }
        for (bad, c) in [
            ("1212555CALL", 'C'),
            ("++12125551001", '+'),
            ("1+2125551001", '+'),
            ("12125551001;ext=5", ';'),
            ("12125551001 x5", 'x'),
            ("\u{661}2125551001", '\u{661}'),
            ("1212\u{a0}5551001", '\u{a0}'),
            ("12125551001\0", '\0'),
        ] {
            assert_eq!(parse(bad), Err(PhoneError::Character(c)), "{bad}");
        }
        for bad in ["0012125551001", "02079460000", "+0044 2079460000"] {
            assert_eq!(parse(bad), Err(PhoneError::LeadingZero), "{bad}");
        }
    }

    #[test]
    fn agrees_with_the_library_on_every_country_and_stays_as_it_is() {
        let mut seen = 0;
        for region in PHONE_NUMBER_UTIL.get_supported_regions() {
            let Ok(example) = PHONE_NUMBER_UTIL.get_example_number(region) else { continue };
            let e164 = example.format_as(PhoneNumberFormat::E164);
            let parsed = parse(&e164).unwrap_or_else(|e| panic!("{e164}: {e}"));
            assert_eq!(format!("+{}", parsed.number), e164, "{region:?}");
            assert_eq!(describe(parsed.number), Some(parsed), "{region:?}");
            seen += 1;
        }
        assert!(seen > 200, "{seen}");
    }

    #[test]
    fn countries_are_two_letters() {
        assert_eq!("us".parse::<Country>().map(|c| c.to_string()), Ok("US".to_owned()));
        for bad in ["", "U", "USA", "1A", "Ü"] {
            assert_eq!(bad.parse::<Country>(), Err(InvalidCountry), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_yields_e164(text in "[+]?[0-9 ().-]{0,24}") {
            if let Ok(parsed) = parse(&text) {
                prop_assert!(parsed.number.digits() < 1_000_000_000_000_000);
                prop_assert!(parsed.number.digits() >= 1_000);
            }
        }

        #[test]
        fn any_text_is_taken_without_panic(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
