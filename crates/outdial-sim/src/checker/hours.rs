//! I4: no call outside hours, those of the batch and those of the calling rules. The reference:
//! calling hours read off `semantics.md` 2.2 in the slowest way there is, minute by minute, and
//! only from the offsets of the zones.

use std::collections::BTreeMap;

use outdial_core::hours::CallingHours;
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_core::zone::Zone;

use super::Violation;
use super::laws::Laws;

const DAY: i64 = 24 * 60;
const MINUTE_MS: i64 = 60_000;
/// No zone is farther from UTC than this, in minutes.
const FARTHEST: i64 = 16 * 60;

/// The hours of a batch, in minutes of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spec {
    window: Option<(i64, i64)>,
    /// By day of the week, Sunday first.
    days: [bool; 7],
}

/// The reference. Remembers the edges that it has searched for.
#[derive(Debug, Default)]
pub struct Hours {
    zones: BTreeMap<String, Zone>,
    edges: BTreeMap<(String, i64, Edge), i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Start,
    End,
}

impl Hours {
    /// A call to somebody of `class` leaves at `at`, with these hours of its batch. A clock that
    /// was set a little just before shows either of two instants.
    pub fn placed(
        &mut self,
        hours: &CallingHours,
        rules: CallingRules,
        class: &str,
        at: [Timestamp; 2],
    ) -> Result<(), Violation> {
        for at in at {
            if self.is_open(hours, rules, class, at)? {
                return Ok(());
            }
        }
        let what = format!("a call left at {at:?}, outside {hours:?}, rules {rules:?}, of {class}");
        Err(Violation::new("I4", what))
    }

    /// Whether a call may leave: in every zone of the class, and by the rules of every place.
    pub fn is_open(
        &mut self,
        hours: &CallingHours,
        rules: CallingRules,
        class: &str,
        at: Timestamp,
    ) -> Result<bool, Violation> {
        let spec = Spec::of(hours)?;
        let (zones, places, read_in) = lists(class);
        for name in zones.split(',') {
            if !self.is_open_in(&spec, name, at.as_millis())? {
                return Ok(false);
            }
        }
        if rules == CallingRules::Off {
            return Ok(true);
        }
        if places.is_empty() {
            return Ok(false);
        }
        let laws = Laws::get()?;
        for name in read_in.split(',') {
            let local = self.zone(name)?.tz().to_datetime(at.to_jiff());
            if !places.split(',').all(|place| laws.is_open(place, local)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How often in 24 h the rules of the class's places allow a call.
    pub fn attempts_24h(&self, rules: CallingRules, class: &str) -> Result<Option<u32>, Violation> {
        if rules == CallingRules::Off {
            return Ok(None);
        }
        let laws = Laws::get()?;
        let places = lists(class).1.split(',').filter(|place| !place.is_empty());
        Ok(places.filter_map(|place| laws.attempts(place)).min())
    }

    /// The calendar day of an instant in a zone: days since 1970-01-01.
    pub fn day(&mut self, zone: &str, at: Timestamp) -> Result<i32, Violation> {
        let local = self.local(zone, at.as_millis().div_euclid(MINUTE_MS))?;
        i32::try_from(local.div_euclid(DAY))
            .map_err(|_| Violation::new("harness", format!("{at} is far away")))
    }

    fn is_open_in(&mut self, spec: &Spec, name: &str, ms: i64) -> Result<bool, Violation> {
        let today = (self.local(name, ms.div_euclid(MINUTE_MS))?).div_euclid(DAY);
        let Some((start, end)) = spec.window else {
            return Ok(spec.allows(today));
        };
        let end = if start > end { end + DAY } else { end };
        // The day after too: its window may begin early where a day's edge is skipped.
        for date in (today - 1..=today + 1).filter(|d| spec.allows(*d)) {
            let opens = self.instant(name, date * DAY + start, Edge::Start)?;
            let closes = self.instant(name, date * DAY + end, Edge::End)?;
            if (opens * MINUTE_MS..closes * MINUTE_MS).contains(&ms) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The minute since 1970 at which the clocks of a zone show `wanted` (minutes since 1970 as if
    /// they were UTC). Shown twice: the later for a start, the earlier for an end. Never shown: the
    /// first minute after the gap.
    fn instant(&mut self, name: &str, wanted: i64, edge: Edge) -> Result<i64, Violation> {
        let key = (name.to_owned(), wanted, edge);
        if let Some(found) = self.edges.get(&key) {
            return Ok(*found);
        }
        let (mut shown, mut after) = (Vec::new(), None);
        for minute in wanted - FARTHEST..=wanted + FARTHEST {
            let local = self.local(name, minute)?;
            if local == wanted {
                shown.push(minute);
            } else if local > wanted && after.is_none() {
                after = Some(minute);
            }
        }
        let found = match edge {
            Edge::Start => shown.last().copied(),
            Edge::End => shown.first().copied(),
        };
        let found = found.or(after).ok_or_else(|| {
            Violation::new("harness", format!("{name} never shows minute {wanted}"))
        })?;
        self.edges.insert(key, found);
        Ok(found)
    }

    /// What the clocks of a zone show, in minutes since 1970 as if it were UTC.
    fn local(&mut self, name: &str, minute: i64) -> Result<i64, Violation> {
        let at = Timestamp::from_millis(minute * MINUTE_MS).to_jiff();
        let offset = self.zone(name)?.tz().to_offset(at).seconds();
        Ok(minute + i64::from(offset).div_euclid(60))
    }

    fn zone(&mut self, name: &str) -> Result<&Zone, Violation> {
        if !self.zones.contains_key(name) {
            let zone: Zone =
                name.parse().map_err(|e| Violation::new("harness", format!("zone {name}: {e}")))?;
            self.zones.insert(name.to_owned(), zone);
        }
        Ok(&self.zones[name])
    }
}

/// The lists of a class: zones, places (empty: unknown), and the zones in which the rules of those
/// are read.
fn lists(class: &str) -> (&str, &str, &str) {
    let mut lists = class.split(';');
    let zones = lists.next().unwrap_or_default();
    let places = lists.next().unwrap_or_default();
    (zones, places, lists.next().unwrap_or(zones))
}

impl Spec {
    fn of(hours: &CallingHours) -> Result<Self, Violation> {
        let minutes = |text: String| -> Result<i64, Violation> {
            let parts = text
                .split_once(':')
                .and_then(|(h, m)| Some(h.parse::<i64>().ok()? * 60 + m.parse::<i64>().ok()?));
            parts.ok_or_else(|| Violation::new("harness", format!("`{text}` is no time of day")))
        };
        let window = match hours.window() {
            None => None,
            Some((start, end)) => Some((minutes(start.to_string())?, minutes(end.to_string())?)),
        };
        let mut days = [hours.days().is_none(); 7];
        for day in hours.days().unwrap_or_default() {
            days[usize::from(day) % 7] = true;
        }
        Ok(Self { window, days })
    }

    /// Whether a date (days since 1970-01-01, a Thursday) is allowed.
    fn allows(&self, date: i64) -> bool {
        self.days[(date + 4).rem_euclid(7) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(window: Option<(&str, &str)>, days: Option<&[i64]>, class: &str, at: &str) -> bool {
        let hours = CallingHours::new(window, days).unwrap();
        let at = at.parse().unwrap();
        Hours::default().is_open(&hours, CallingRules::Off, class, at).unwrap()
    }

    #[test]
    fn a_call_outside_hours() {
        let hours = CallingHours::new(Some(("09:00", "17:00")), None).unwrap();
        let mut reference = Hours::default();
        let mut call = |at: &str| {
            let at = at.parse().unwrap();
            reference.placed(&hours, CallingRules::Off, "Asia/Kolkata", [at, at])
        };
        assert!(call("2026-05-04T03:29:59.999Z").is_err());
        call("2026-05-04T03:30:00.000Z").unwrap();
        call("2026-05-04T11:29:59.999Z").unwrap();
        assert!(call("2026-05-04T11:30:00.000Z").unwrap_err().to_string().starts_with("I4"));
    }

    #[test]
    fn every_zone_of_a_class_must_allow_it() {
        let window = Some(("09:00", "17:00"));
        let both = "America/Los_Angeles,America/New_York";
        assert!(!open(window, None, both, "2026-06-15T13:30:00Z"));
        assert!(open(window, None, both, "2026-06-15T16:30:00Z"));
        assert!(!open(window, None, both, "2026-06-15T21:30:00Z"));
    }

    #[test]
    fn the_rules_of_every_place_read_in_every_zone_of_theirs() {
        let open = |class: &str, at: &str, rules| {
            let (hours, at) = (CallingHours::always(), at.parse().unwrap());
            Hours::default().is_open(&hours, rules, class, at).unwrap()
        };
        let florida = "Europe/Berlin;US-FL,US-NY;America/New_York";
        for (at, wanted) in [
            ("2026-06-15T11:59:59Z", false),
            ("2026-06-15T12:00:00Z", true),
            ("2026-06-15T23:59:59Z", true),
            ("2026-06-16T00:00:00Z", false),
        ] {
            assert_eq!(open(florida, at, CallingRules::On), wanted, "{at}");
            assert!(open(florida, at, CallingRules::Off), "{at}");
        }
        let caps = Hours::default();
        assert_eq!(caps.attempts_24h(CallingRules::On, florida).unwrap(), Some(3));
        assert_eq!(caps.attempts_24h(CallingRules::Off, florida).unwrap(), None);
    }

    #[test]
    fn across_midnight_belongs_to_the_day_it_starts_on() {
        // 2026-06-15 is a Monday.
        let window = Some(("22:00", "02:00"));
        assert!(open(window, Some(&[1]), "UTC", "2026-06-16T01:59:59Z"));
        assert!(!open(window, Some(&[1]), "UTC", "2026-06-15T01:00:00Z"));
        assert!(open(None, Some(&[1]), "UTC", "2026-06-15T23:59:59.999Z"));
        assert!(!open(None, Some(&[1]), "UTC", "2026-06-16T00:00:00Z"));
        assert!(open(Some(("08:00", "24:00")), None, "UTC", "2026-06-16T23:59:59Z"));
    }

    #[test]
    fn edges_where_daylight_saving_skips_and_repeats() {
        let ny = "America/New_York";
        // 02:00–03:00 is skipped on 2026-03-08: a start within it is 03:00, 07:00 UTC.
        assert!(!open(Some(("02:30", "09:00")), None, ny, "2026-03-08T06:59:59Z"));
        assert!(open(Some(("02:30", "09:00")), None, ny, "2026-03-08T07:00:00Z"));
        // 01:00–02:00 comes twice on 2026-11-01, from 05:00 and 06:00 UTC.
        assert!(!open(Some(("01:30", "09:00")), None, ny, "2026-11-01T05:45:00Z"));
        assert!(open(Some(("01:30", "09:00")), None, ny, "2026-11-01T06:30:00Z"));
        assert!(open(Some(("00:30", "01:30")), None, ny, "2026-11-01T05:29:59Z"));
        assert!(!open(Some(("00:30", "01:30")), None, ny, "2026-11-01T06:15:00Z"));
    }
}
