//! Time zones, and the sets of them in which a person may be.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use thiserror::Error;

/// An IANA time zone that exists, under its own spelling (`America/New_York`).
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    tz: TimeZone,
}

/// The name is not one of the IANA database's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not an IANA time zone; write one like `America/New_York` or `UTC`")]
pub struct UnknownZone(pub String);

impl Zone {
    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For calendar arithmetic.
    pub fn tz(&self) -> &TimeZone {
        &self.tz
    }

    /// UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), tz: TimeZone::UTC }
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;
    fn from_str(s: &str) -> Result<Self, UnknownZone> {
        if s.len() > 64 || s == "Etc/Unknown" || s == "local" {
            return Err(UnknownZone(s.chars().take(64).collect()));
        }
        let tz = jiff::tz::db().get(s).map_err(|_| UnknownZone(s.to_owned()))?;
        let name = tz.iana_name().unwrap_or(s).to_owned();
        Ok(Self { name, tz })
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Zone {}

impl PartialOrd for Zone {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Zone {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A *class*: the zones in which a called person may be. A call is allowed only when it is allowed
/// in all of them. Many calls share a class, so the store interns its text; the dispatcher decides
/// about hours once per class, not per call.
///
/// The text form is the zone names, sorted, joined by a comma. Places for the calling rules will
/// join it behind a semicolon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class {
    zones: Vec<Zone>,
}

impl Class {
    /// A class of these zones; order and repetition do not matter.
    ///
    /// An empty set would allow a call at any hour, so it becomes UTC and is never built by ingest.
    pub fn new(zones: impl IntoIterator<Item = Zone>) -> Self {
        let mut zones: Vec<Zone> = zones.into_iter().collect();
        zones.sort();
        zones.dedup();
        if zones.is_empty() {
            zones.push(Zone::utc());
        }
        Self { zones }
    }

    /// The candidate zones, sorted by name; at least one.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, z) in self.zones.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(z.name())?;
        }
        Ok(())
    }
}

impl FromStr for Class {
    type Err = UnknownZone;
    fn from_str(s: &str) -> Result<Self, UnknownZone> {
        s.split(',').map(str::parse).collect::<Result<Vec<Zone>, _>>().map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_zones_are_refused() {
        for bad in ["", "Mars/Olympus", "America/Nowhere", "../etc/passwd", "Etc/Unknown"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
        assert_eq!("America/New_York".parse::<Zone>().unwrap().name(), "America/New_York");
    }

    #[test]
    fn a_class_is_a_set() {
        let a: Class = "Europe/Berlin,America/New_York".parse().unwrap();
        assert_eq!(a.to_string(), "America/New_York,Europe/Berlin");
        assert_eq!(a.to_string().parse::<Class>().unwrap(), a);
    }
}
