//! Whether a person can ever be called, told at import rather than by a call that waits for ever.

use crate::hours::{Allowed, CallingHours};
use crate::rules::{Verdict, verdict};
use crate::settings::CallingRules;
use crate::time::Timestamp;
use crate::zone::Class;

/// Why a call is finished as `skipped` before it was ever tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Never {
    /// No instant within 14 days is allowed by the batch's hours and the calling rules everywhere
    /// the person may be.
    NoCommonHours,
    /// Neither the record nor its number says where the person is, so no rule can be kept.
    PlaceUnknown,
}

impl Never {
    /// Of somebody of this class; none: there is an allowed instant within 14 days of `at`.
    pub fn of(
        class: &Class,
        hours: &CallingHours,
        rules: CallingRules,
        at: Timestamp,
    ) -> Option<Self> {
        Self::of_verdict(&verdict(hours, rules, class, at), class, rules)
    }

    /// Of somebody of this class, whom the verdict is about.
    pub fn of_verdict(verdict: &Verdict, class: &Class, rules: CallingRules) -> Option<Self> {
        let never = Allowed::Closed { opens: None };
        if verdict.allowed != never {
            return None;
        }
        let unknown = rules == CallingRules::On && class.places().is_empty();
        match unknown && verdict.hours != never {
            true => Some(Self::PlaceUnknown),
            false => Some(Self::NoCommonHours),
        }
    }

    /// The reason on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCommonHours => "no_common_hours",
            Self::PlaceUnknown => "place_unknown",
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NoCommonHours => {
                "in the zones and places where these numbers can lie, the batch's calling hours \
                 and the calling rules allow no common hour within 14 days; they are skipped: send \
                 a timezone with the record"
            }
            Self::PlaceUnknown => {
                "nothing says in which country these people are, so no calling rule can be kept; \
                 they are skipped: send a timezone of their country with the record"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_somebody_is_never_called() {
        use CallingRules::{Off, On};
        let at = "2026-11-23T15:00:00Z".parse().unwrap();
        let day = CallingHours::new(Some(("09:00", "17:00")), None).unwrap();
        let night = CallingHours::new(Some(("22:00", "23:00")), None).unwrap();
        let always = CallingHours::always();
        let apart = "America/New_York,Asia/Kathmandu;US-NY";
        let table = [
            ("America/New_York;US-NY", &day, On, None),
            ("America/New_York;US-NY", &night, On, Some(Never::NoCommonHours)),
            ("America/New_York;US-NY", &night, Off, None),
            ("America/New_York", &day, On, Some(Never::PlaceUnknown)),
            ("America/New_York", &always, On, Some(Never::PlaceUnknown)),
            ("America/New_York", &day, Off, None),
            (apart, &day, Off, Some(Never::NoCommonHours)),
            (apart, &always, On, None),
            ("America/New_York,Asia/Kathmandu", &day, On, Some(Never::NoCommonHours)),
            // 9 to 17 is 3 to 11 in New York seen from Berlin, and 22:30 to 6:30 from Kolkata.
            ("Europe/Berlin;US-NY;America/New_York", &day, On, None),
            ("Asia/Kolkata;US-NY;America/New_York", &day, On, Some(Never::NoCommonHours)),
        ];
        for (class, hours, rules, why) in table {
            let got = Never::of(&class.parse().unwrap(), hours, rules, at);
            assert_eq!(got, why, "{class} {hours:?} {rules:?}");
        }
    }
}
