//! Time zones and places, and the sets of them in which a person may be.
//!
//! Nothing here knows which rules hold at a place; `crate::rules` does.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use thiserror::Error;

use crate::phone::Country;

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

/// A place whose law may have something to say: a country (`US`), or a part of one (`US-FL`,
/// `CA-ON`); ISO 3166-1 alpha-2 or 3166-2, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The text, filled up with zeros.
    text: [u8; 6],
}

/// The text is not a place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a place; write a code of ISO 3166 like `US` or `US-FL`")]
pub struct InvalidPlace(pub String);

impl Place {
    /// `US`, `US-FL`.
    pub fn as_str(&self) -> &str {
        let len = self.text.iter().position(|b| *b == 0).unwrap_or(self.text.len());
        std::str::from_utf8(&self.text[..len]).expect("ASCII, checked where it is made")
    }

    /// The country as a whole.
    #[must_use]
    pub fn country(&self) -> Place {
        Place { text: [self.text[0], self.text[1], 0, 0, 0, 0] }
    }

    /// A country, not a part of one.
    pub fn is_country(&self) -> bool {
        self.text[2] == 0
    }
}

impl From<Country> for Place {
    fn from(country: Country) -> Self {
        let code = country.as_str().as_bytes();
        Place { text: [code[0], code[1], 0, 0, 0, 0] }
    }
}

impl FromStr for Place {
    type Err = InvalidPlace;
    fn from_str(s: &str) -> Result<Self, InvalidPlace> {
        let bytes = s.as_bytes();
        let country = bytes.len() >= 2 && bytes[..2].iter().all(u8::is_ascii_uppercase);
        let part = match bytes.get(2..) {
            Some([]) => true,
            Some([b'-', part @ ..]) => {
                (1..=3).contains(&part.len())
                    && part.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            }
            _ => false,
        };
        if !country || !part {
            return Err(InvalidPlace(s.chars().take(64).collect()));
        }
        let mut text = [0; 6];
        text[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { text })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// A *class*: where a called person may be. A call is allowed only when it is allowed at all of it.
/// Many calls share a class, so the store interns its text; the dispatcher decides about hours once
/// per class, not per call.
///
/// It has the zones in which the batch's hours are read, the places whose calling rules hold, and
/// the zones in which those are read, where they differ: the batch's own zone never says where a
/// person is.
///
/// The text form is the three lists, each sorted and joined by commas, apart by semicolons:
/// `America/New_York;US-NY`, or with the third `Europe/Berlin;US-NY;America/New_York`. Without
/// places, `Europe/Berlin`: nothing is known of where the person is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class {
    zones: Vec<Zone>,
    places: Vec<Place>,
    /// Empty: the zones.
    rule_zones: Vec<Zone>,
}

/// The text is not a class.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidClass {
    /// One of its zones does not exist.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// One of its places is none.
    #[error(transparent)]
    Place(#[from] InvalidPlace),
    /// More than three lists.
    #[error("a class has zones, places and rule zones, and nothing behind them")]
    TooManyLists,
}

impl Class {
    /// A class of these zones at an unknown place; order and repetition do not matter.
    ///
    /// An empty set would allow a call at any hour, so it becomes UTC and is never built by ingest.
    pub fn new(zones: impl IntoIterator<Item = Zone>) -> Self {
        let mut zones = sorted(zones);
        if zones.is_empty() {
            zones.push(Zone::utc());
        }
        Self { zones, places: Vec::new(), rule_zones: Vec::new() }
    }

    /// The same zones at these places, whose rules are read in the same zones.
    #[must_use]
    pub fn at_places(self, places: impl IntoIterator<Item = Place>) -> Self {
        Self { places: sorted(places), ..self }
    }

    /// The same, with the rules read in these zones; none: in those of the hours.
    #[must_use]
    pub fn rules_read_in(self, zones: impl IntoIterator<Item = Zone>) -> Self {
        let mut rule_zones = sorted(zones);
        if rule_zones == self.zones {
            rule_zones.clear();
        }
        Self { rule_zones, ..self }
    }

    /// The zones in which the batch's hours are read, sorted by name; at least one.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// Where the person may be, sorted; none: unknown.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The zones in which the calling rules of the places are read, sorted; at least one.
    pub fn rule_zones(&self) -> &[Zone] {
        if self.rule_zones.is_empty() { &self.zones } else { &self.rule_zones }
    }
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items.dedup();
    items
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, &self.zones)?;
        if !self.places.is_empty() || !self.rule_zones.is_empty() {
            f.write_str(";")?;
            list(f, &self.places)?;
        }
        if !self.rule_zones.is_empty() {
            f.write_str(";")?;
            list(f, &self.rule_zones)?;
        }
        Ok(())
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(",")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl FromStr for Class {
    type Err = InvalidClass;
    fn from_str(s: &str) -> Result<Self, InvalidClass> {
        let mut lists = s.split(';');
        let zones = parsed::<Zone>(lists.next().unwrap_or_default())?;
        let places = match lists.next().filter(|text| !text.is_empty()) {
            Some(text) => parsed::<Place>(text)?,
            None => Vec::new(),
        };
        let rule_zones = match lists.next() {
            Some(text) => parsed::<Zone>(text)?,
            None => Vec::new(),
        };
        if lists.next().is_some() {
            return Err(InvalidClass::TooManyLists);
        }
        Ok(Self::new(zones).at_places(places).rules_read_in(rule_zones))
    }
}

fn parsed<T: FromStr>(text: &str) -> Result<Vec<T>, T::Err> {
    text.split(',').map(str::parse).collect()
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

    #[test]
    fn a_class_has_places_and_the_zones_of_their_rules() {
        let zones = |class: &Class| class.rule_zones().iter().map(Zone::to_string).collect();
        let table: [(&str, &str, &[&str], &[&str]); 6] = [
            ("Europe/Berlin", "Europe/Berlin", &[], &["Europe/Berlin"]),
            ("Europe/Berlin;DE", "Europe/Berlin;DE", &["DE"], &["Europe/Berlin"]),
            ("UTC;US-NY,CA,US-NY", "UTC;CA,US-NY", &["CA", "US-NY"], &["UTC"]),
            (
                "Europe/Berlin;US-NY;America/New_York",
                "Europe/Berlin;US-NY;America/New_York",
                &["US-NY"],
                &["America/New_York"],
            ),
            ("UTC;DE;UTC", "UTC;DE", &["DE"], &["UTC"]),
            ("UTC;;Asia/Tokyo", "UTC;;Asia/Tokyo", &[], &["Asia/Tokyo"]),
        ];
        for (text, shown, places, rule_zones) in table {
            let class: Class = text.parse().unwrap();
            assert_eq!(class.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Class>().unwrap(), class, "{text}");
            let got: Vec<&str> = class.places().iter().map(Place::as_str).collect();
            assert_eq!(got, places, "{text}");
            let got: Vec<String> = zones(&class);
            assert_eq!(got, rule_zones, "{text}");
        }
        for bad in
            ["", ";US", "UTC;us", "UTC;USA", "UTC;US-", "UTC;US-FLOR", "UTC;US;", "UTC;US;UTC;"]
        {
            assert!(bad.parse::<Class>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_knows_its_country() {
        let florida: Place = "US-FL".parse().unwrap();
        assert_eq!((florida.country().as_str(), florida.is_country()), ("US", false));
        assert_eq!("GB-ENG".parse::<Place>().unwrap().to_string(), "GB-ENG");
        let country: Country = "de".parse().unwrap();
        assert_eq!(Place::from(country).as_str(), "DE");
        assert!(Place::from(country).is_country());
        assert!("US" < "US-AL" && "US".parse::<Place>().unwrap() < florida);
    }
}
