//! Which places a number belongs to, and in which places the clocks of a zone are read.
//!
//! The tables are data, made by `cargo xtask phone-places`: `data/phone_places.txt` has the states
//! and provinces of the area codes of `+1`, `data/zone_places.txt` the places of every zone.
//! Nothing here guesses: a number without an area of its own belongs to all of its country, or,
//! where countries share its code, to all of these.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::phone::{Country, PhoneNumber};
use crate::zone::{Place, Zone};

/// Countries that share the codes of `+1` without a place: toll-free, personal numbers.
const SHARED: [&str; 2] = ["CA", "US"];
/// Digits after the area code of a number of `+1`.
const BEHIND_AREA: u64 = 10_000_000;

/// To which places a number belongs, as small as a table's index: many numbers share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumberPlaces {
    /// None that is known.
    Nowhere,
    /// A country, anywhere in it.
    Country(Country),
    /// Somewhere in the countries that share `+1`.
    Shared,
    /// The places of an area code; an index of the table.
    Area(u16),
}

impl NumberPlaces {
    /// Of a number that belongs to `country`, as the numbering plan says.
    pub fn of(number: PhoneNumber, country: Option<Country>) -> Self {
        let Some(country) = country else { return Self::Nowhere };
        if !SHARED.contains(&country.as_str()) {
            return Self::Country(country);
        }
        let area = number.digits() / BEHIND_AREA;
        let index = area.checked_sub(1000).and_then(|code| usize::try_from(code).ok());
        match index.and_then(|code| AREAS.by_code.get(code).copied().flatten()) {
            Some(list) => Self::Area(list),
            None => Self::Shared,
        }
    }

    /// The places.
    pub fn list(self) -> Vec<Place> {
        match self {
            Self::Nowhere => Vec::new(),
            Self::Country(country) => vec![country.into()],
            Self::Shared => SHARED.iter().filter_map(|place| place.parse().ok()).collect(),
            Self::Area(list) => AREAS.lists.get(usize::from(list)).cloned().unwrap_or_default(),
        }
    }
}

/// What is known of a zone: the name under which numbers know it, and where its clocks are read.
#[derive(Debug, PartialEq, Eq)]
pub struct ZonePlaces {
    name: String,
    places: Vec<Place>,
}

impl ZonePlaces {
    /// Of a zone of some country, by any of its names; none: `UTC` and others of no country.
    pub fn of(zone: &Zone) -> Option<&'static ZonePlaces> {
        ZONES.by_name.get(zone.name()).and_then(|index| ZONES.zones.get(*index))
    }

    /// The zone with the same clocks, in the same country, that numbers lie in: `America/New_York`
    /// for `America/Detroit` and `US/Eastern`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its clocks are read, sorted.
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

/// The area codes of `+1`, `200` as index 200.
struct Areas {
    lists: Vec<Vec<Place>>,
    by_code: Vec<Option<u16>>,
}

struct Zones {
    zones: Vec<ZonePlaces>,
    by_name: BTreeMap<&'static str, usize>,
}

static AREAS: LazyLock<Areas> = LazyLock::new(|| {
    Areas::parse(include_str!("../data/phone_places.txt"))
        .expect("the table is generated, and a test reads all of it")
});

static ZONES: LazyLock<Zones> = LazyLock::new(|| {
    Zones::parse(include_str!("../data/zone_places.txt"))
        .expect("the table is generated, and a test reads all of it")
});

impl Areas {
    /// A line per list of places, then the area codes, apart by blanks. The error names the line.
    fn parse(text: &str) -> Result<Self, String> {
        let mut areas = Self { lists: Vec::new(), by_code: vec![None; 1000] };
        for (line, places, codes) in lines(text) {
            let list = u16::try_from(areas.lists.len()).map_err(|_| fault(line, "one too many"))?;
            areas.lists.push(parsed_places(line, places)?);
            for code in codes {
                let three = code.strip_prefix('1').filter(|three| three.len() == 3);
                let index: Option<usize> = three.and_then(|three| three.parse().ok());
                let slot = index.and_then(|index| areas.by_code.get_mut(index));
                let slot = slot.ok_or_else(|| fault(line, "not an area code of +1"))?;
                if slot.replace(list).is_some() {
                    return Err(fault(line, "an area code stands twice"));
                }
            }
        }
        Ok(areas)
    }
}

impl Zones {
    /// A line per zone: its name, its places, other names of it.
    fn parse(text: &'static str) -> Result<Self, String> {
        let mut zones = Self { zones: Vec::new(), by_name: BTreeMap::new() };
        for (line, name, mut rest) in lines(text) {
            let places = parsed_places(line, rest.next().unwrap_or_default())?;
            let index = zones.zones.len();
            zones.zones.push(ZonePlaces { name: name.to_owned(), places });
            for name in std::iter::once(name).chain(rest) {
                if zones.by_name.insert(name, index).is_some() {
                    return Err(fault(line, "a zone stands twice"));
                }
            }
        }
        Ok(zones)
    }
}

/// Number from 1, first word and further words of every line that is no comment.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, std::str::Split<'_, char>)> {
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    numbered.map(|(i, line)| {
        let mut words = line.split(' ');
        (i + 1, words.next().unwrap_or_default(), words)
    })
}

fn parsed_places(line: usize, text: &str) -> Result<Vec<Place>, String> {
    let places: Result<Vec<Place>, _> = text.split(',').map(str::parse).collect();
    let places = places.map_err(|e| fault(line, &e.to_string()))?;
    if !places.is_sorted() {
        return Err(fault(line, "its places are not sorted"));
    }
    Ok(places)
}

fn fault(line: usize, what: &str) -> String {
    format!("line {line}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone;
    use crate::phone_zones::zones_of;

    fn shown(places: &[Place]) -> String {
        places.iter().map(Place::as_str).collect::<Vec<_>>().join(",")
    }

    fn of(digits: u64) -> String {
        let number = phone::describe(PhoneNumber::from_digits(digits)).unwrap();
        shown(&NumberPlaces::of(number.number, number.country).list())
    }

    #[test]
    fn numbers_belong_to_places() {
        for (digits, places) in [
            (12_125_551_001, "US-NY"),
            (13_055_551_001, "US-FL"),
            (12_035_551_001, "US-CT"),
            (14_165_550_123, "CA-ON"),
            (19_025_550_123, "CA-NS,CA-PE"),
            (18_002_345_678, "CA,US"),
            (15_002_345_678, "CA,US"),
            (18_765_550_123, "JM"),
            (17_875_550_123, "PR"),
            (442_079_460_000, "GB"),
            (4_930_123_456, "DE"),
            (80_012_345_678, ""),
            (870_773_111_632, ""),
        ] {
            assert_eq!(of(digits), places, "{digits}");
        }
    }

    #[test]
    fn zones_are_read_in_places() {
        let of = |name: &str| {
            let known = ZonePlaces::of(&name.parse().unwrap())?;
            Some((known.name(), shown(known.places())))
        };
        assert_eq!(of("Europe/Berlin"), Some(("Europe/Berlin", "DE".to_owned())));
        assert_eq!(of("America/Phoenix"), Some(("America/Phoenix", "US-AZ".to_owned())));
        let (name, places) = of("America/Detroit").unwrap();
        assert_eq!(name, "America/New_York");
        assert!(places.contains("US-MI") && places.contains("US-FL"), "{places}");
        assert!(!places.contains("US-CA") && !places.contains("CA-"), "{places}");
        assert_eq!(of("US/Eastern").unwrap().0, "America/New_York");
        assert_eq!(of("Asia/Calcutta"), Some(("Asia/Kolkata", "IN".to_owned())));
        for nowhere in ["UTC", "Etc/GMT+5", "EST5EDT"] {
            assert_eq!(of(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn the_tables_are_whole() {
        let areas = Areas::parse(include_str!("../data/phone_places.txt")).unwrap();
        assert!(areas.by_code.iter().flatten().count() > 400);
        let all: Vec<Place> = areas.lists.iter().flatten().copied().collect();
        // 50 states and the capital; 13 provinces and territories.
        assert_eq!(all.iter().filter(|p| p.country().as_str() == "US").count(), 51);
        assert_eq!(all.iter().filter(|p| p.country().as_str() == "CA").count(), 13);
        let zones = Zones::parse(include_str!("../data/zone_places.txt")).unwrap();
        assert!(zones.zones.len() > 300);
        for name in zones.by_name.keys() {
            assert_eq!(name.parse::<Zone>().map(|z| z.to_string()), Ok((*name).to_owned()));
        }
    }

    #[test]
    fn every_number_with_a_country_has_zones_and_these_have_places() {
        let plan = &rlibphonenumber::PHONE_NUMBER_UTIL;
        for region in plan.get_supported_regions() {
            let Ok(example) = plan.get_example_number(region) else { continue };
            let text = example.format_as(rlibphonenumber::PhoneNumberFormat::E164);
            let parsed = phone::parse(&text).unwrap();
            assert!(parsed.country.is_some(), "{text}");
            assert!(!NumberPlaces::of(parsed.number, parsed.country).list().is_empty());
            let zones = zones_of(parsed.number);
            assert!(zones.is_some(), "{text} of {region:?} lies in no zone");
        }
    }

    #[test]
    fn a_broken_table_says_where() {
        for (text, wanted) in [
            ("# head\nus 1212", "line 2: `us`"),
            ("US-NY 1212\nUS-NJ 1212", "line 2: an area code stands twice"),
            ("US-NY 212", "line 1: not an area code"),
            ("US-NY,US-NJ 1212", "line 1: its places are not sorted"),
        ] {
            let error = Areas::parse(text).err().unwrap();
            assert!(error.starts_with(wanted), "{error}");
        }
        let error = Zones::parse("UTC DE\nEurope/Berlin DE UTC").err().unwrap();
        assert_eq!(error, "line 2: a zone stands twice");
    }
}
