//! Makes `outdial-core`'s tables of places: which states and provinces the area codes of `+1`
//! belong to, and in which places the clocks of a time zone are read.
//!
//! The area codes come from libphonenumber's geocoding data (the Python package `phonenumbers`),
//! the zones from the time zone database (the Python package `tzdata`). What is committed is our
//! own form, so that a new release shows in review as what moved.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::phone_zones::same_instants;
use crate::process;

const AREAS: &str = "crates/outdial-core/data/phone_places.txt";
const ZONES: &str = "crates/outdial-core/data/zone_places.txt";
const PHONE_ZONES: &str = "crates/outdial-core/data/phone_zones.txt";
const NOTICE: &str = "NOTICE";

/// Prints both packages' versions, the descriptions of all prefixes of `+1`, and the two tables of
/// the time zone database that are needed.
const READ: &str = "
import json, pathlib, phonenumbers, tzdata
from phonenumbers.geocoder import GEOCODE_DATA as g
folder = pathlib.Path(tzdata.__file__).parent / 'zoneinfo'
print(json.dumps({
    'phonenumbers': phonenumbers.__version__,
    'tzdata': tzdata.IANA_VERSION,
    'prefixes': {k: v['en'] for k, v in g.items() if k[0] == '1' and len(k) > 3 and 'en' in v},
    'zone_tab': (folder / 'zone.tab').read_text(),
    'shared': [l.split('\t')[2] for l in (folder / 'zone1970.tab').read_text().splitlines()
               if l[0] != '#' and ',' in l.split('\t')[0]],
    'links': [l.split()[1:] for l in (folder / 'tzdata.zi').read_text().splitlines()
              if l.startswith('L ')],
}))";

/// What the packages say.
#[derive(Deserialize)]
struct Given {
    phonenumbers: String,
    tzdata: String,
    /// Prefix → what libphonenumber calls its area.
    prefixes: BTreeMap<String, String>,
    zone_tab: String,
    /// Zones that stand for those of several countries.
    shared: Vec<String>,
    /// Target and alias.
    links: Vec<(String, String)>,
}

/// Names that libphonenumber gives to whole area codes; cities bring the code themselves.
const NAMES: &[(&str, &str)] = &[
    ("Alabama", "US-AL"),
    ("Alaska", "US-AK"),
    ("Alberta", "CA-AB"),
    ("Arizona", "US-AZ"),
    ("Arkansas", "US-AR"),
    ("British Colombia", "CA-BC"),
    ("British Columbia", "CA-BC"),
    ("California", "US-CA"),
    ("Colorado", "US-CO"),
    ("Connecticut", "US-CT"),
    ("Delaware", "US-DE"),
    ("Florida", "US-FL"),
    ("Georgia", "US-GA"),
    ("Hawaii", "US-HI"),
    ("Idaho", "US-ID"),
    ("Illinois", "US-IL"),
    ("Indiana", "US-IN"),
    ("Iowa", "US-IA"),
    ("Kansas", "US-KS"),
    ("Kentucky", "US-KY"),
    ("Louisiana", "US-LA"),
    ("Maine", "US-ME"),
    ("Manitoba", "CA-MB"),
    ("Maryland", "US-MD"),
    ("Massachusetts", "US-MA"),
    ("Michigan", "US-MI"),
    ("Minnesota", "US-MN"),
    ("Mississippi", "US-MS"),
    ("Missouri", "US-MO"),
    ("Montana", "US-MT"),
    ("Nebraska", "US-NE"),
    ("Nevada", "US-NV"),
    ("New Brunswick", "CA-NB"),
    ("New Hampshire", "US-NH"),
    ("New Jersey", "US-NJ"),
    ("New Mexico", "US-NM"),
    ("New York", "US-NY"),
    ("Newfoundland and Labrador", "CA-NL"),
    ("North Carolina", "US-NC"),
    ("North Dakota", "US-ND"),
    ("Northwest Territories", "CA-NT"),
    ("Nova Scotia", "CA-NS"),
    ("Nunavut", "CA-NU"),
    ("Ohio", "US-OH"),
    ("Oklahoma", "US-OK"),
    ("Ontario", "CA-ON"),
    ("Oregon", "US-OR"),
    ("Pennsylvania", "US-PA"),
    ("Prince Edward Island", "CA-PE"),
    ("Quebec", "CA-QC"),
    ("Rhode Island", "US-RI"),
    ("Saskatchewan", "CA-SK"),
    ("South Carolina", "US-SC"),
    ("South Dakota", "US-SD"),
    ("Tennessee", "US-TN"),
    ("Texas", "US-TX"),
    ("Utah", "US-UT"),
    ("Vermont", "US-VT"),
    ("Virginia", "US-VA"),
    ("Washington D.C.", "US-DC"),
    ("Washington State", "US-WA"),
    ("West Virginia", "US-WV"),
    ("Wisconsin", "US-WI"),
    ("Wyoming", "US-WY"),
    ("Yukon", "CA-YT"),
];

/// Countries whose subdivisions are told apart.
const DIVIDED: [&str; 2] = ["US", "CA"];

type Places = BTreeSet<String>;

/// Fetches the packages and writes the tables.
pub(crate) fn run() -> Result<bool> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--root-user-action", "ignore"]);
    pip.args(["--no-deps", "--no-compile", "--target"]).arg(folder.path());
    process::run(pip.args(["phonenumbers", "tzdata"]))?;
    let given = read(folder.path())?;
    let areas = areas(&given.prefixes)?;
    let phone_zones = fs::read_to_string(process::root().join(PHONE_ZONES))
        .with_context(|| format!("reading {PHONE_ZONES}"))?;
    let zones = zones(&given, &areas, &phone_zones)?;
    write(AREAS, &areas_text(&given.phonenumbers, &areas))?;
    write(ZONES, &zones_text(&given, &zones))?;
    println!("{} area codes, {} zones", areas.len(), zones.len());
    let notice = fs::read_to_string(process::root().join(NOTICE)).unwrap_or_default();
    if !notice.contains(&given.phonenumbers) || !notice.contains(&given.tzdata) {
        println!("{NOTICE} lacks {} or {}: write them there", given.phonenumbers, given.tzdata);
        return Ok(false);
    }
    Ok(true)
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(process::root().join(path), text).with_context(|| format!("writing {path}"))
}

fn read(folder: &Path) -> Result<Given> {
    let mut python = Command::new("python3");
    let text = process::output(python.args(["-c", READ]).env("PYTHONPATH", folder))?;
    serde_json::from_str(&text).context("what python printed")
}

/// Area code (`1212`) → its places. An area code without a description of its own is where most of
/// its longer prefixes are.
fn areas(prefixes: &BTreeMap<String, String>) -> Result<BTreeMap<String, Places>> {
    let mut areas = BTreeMap::new();
    let mut votes: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    for (prefix, name) in prefixes {
        let found = places(name);
        if prefix.len() == 4 {
            if found.is_empty() {
                bail!("area code {prefix}: `{name}` is no state or province that is known here");
            }
            areas.insert(prefix.clone(), found);
        } else if let (Some(place), 1) = (found.first(), found.len()) {
            *votes.entry(&prefix[..4]).or_default().entry(place.clone()).or_default() += 1;
        }
    }
    for (area, votes) in votes {
        if areas.contains_key(area) {
            continue;
        }
        let all: usize = votes.values().sum();
        let (place, most) = votes.iter().max_by_key(|(_, n)| **n).context("it has a vote")?;
        if most * 10 < all * 9 {
            bail!("the prefixes of area code {area} do not agree: {votes:?}");
        }
        areas.insert(area.to_owned(), Places::from([place.clone()]));
    }
    Ok(areas)
}

/// `Fort Lee, NJ` → `US-NJ`; `Nova Scotia/Prince Edward Island` → both.
fn places(name: &str) -> Places {
    let code = |code: &str| NAMES.iter().find(|(_, c)| c[3..] == *code).map(|(_, c)| *c);
    let place = |part: &str| match part.rsplit_once(", ") {
        Some((_, "DC")) => Some("US-DC"),
        Some((_, short)) => code(short),
        None => NAMES.iter().find(|(n, _)| *n == part).map(|(_, c)| *c),
    };
    let found: Option<Places> = name.split('/').map(|p| place(p).map(str::to_owned)).collect();
    found.unwrap_or_default()
}

/// A zone as the tables of phone numbers name it, its places, and the names that read as it.
struct Clock {
    places: Places,
    others: BTreeSet<String>,
}

/// Every zone of a country, and every name that means it. A zone that no phone number names, but
/// whose clocks are those of one of its country that some number names, reads as that.
fn zones(
    given: &Given,
    areas: &BTreeMap<String, Places>,
    phone_zones: &str,
) -> Result<BTreeMap<String, Clock>> {
    let mut country_of = BTreeMap::new();
    for line in given.zone_tab.lines().filter(|l| !l.starts_with('#')) {
        let mut columns = line.split('\t');
        let (Some(country), Some(zone)) = (columns.next(), columns.nth(1)) else {
            bail!("zone.tab has the line `{line}`");
        };
        country_of.insert(zone, country);
    }
    let (named, subdivisions) = named_by_numbers(areas, phone_zones);
    let mut clocks: BTreeMap<String, Clock> = BTreeMap::new();
    let mut reads_as: BTreeMap<&str, &str> = BTreeMap::new();
    for (zone, country) in &country_of {
        let twins = named.iter().filter(|n| country_of.get(*n) == Some(country));
        let twin = twins.into_iter().find(|n| same_instants(zone, n).is_ok());
        let known = if named.contains(zone) { zone } else { twin.unwrap_or(zone) };
        reads_as.insert(*zone, *known);
        let divided = DIVIDED.contains(country).then(|| subdivisions.get(known)).flatten();
        let of_country = divided
            .map(|all| all.iter().filter(|p| p.starts_with(country)).cloned().collect::<Places>());
        let places = of_country.filter(|p| !p.is_empty());
        let entry = clocks.entry((*known).to_owned()).or_insert_with(|| Clock {
            places: places.unwrap_or_else(|| Places::from([(*country).to_owned()])),
            others: BTreeSet::new(),
        });
        if zone != known {
            entry.others.insert((*zone).to_owned());
        }
    }
    for (target, alias) in &given.links {
        // Another name of a zone that several countries share may mean any of them.
        let national = ["US/", "Canada/"].iter().any(|p| alias.starts_with(p));
        if given.shared.contains(target) && !national {
            continue;
        }
        let known = reads_as.get(target.as_str());
        if let Some(known) = known.filter(|_| !country_of.contains_key(alias.as_str())) {
            let clock = clocks.get_mut(*known).context("entered above")?;
            clock.others.insert(alias.clone());
        }
    }
    Ok(clocks)
}

/// The zones in the table of phone numbers, and the subdivisions whose area codes lie in each.
fn named_by_numbers<'a>(
    areas: &BTreeMap<String, Places>,
    phone_zones: &'a str,
) -> (BTreeSet<&'a str>, BTreeMap<&'a str, Places>) {
    let mut named = BTreeSet::new();
    let mut subdivisions: BTreeMap<&str, Places> = BTreeMap::new();
    for line in phone_zones.lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split(' ');
        let zones: Vec<&str> = words.next().unwrap_or_default().split(',').collect();
        named.extend(&zones);
        for prefix in words {
            let Some(area) = prefix.get(..4).filter(|_| prefix.starts_with('1')) else { continue };
            for zone in &zones {
                let places = areas.get(area).into_iter().flatten().cloned();
                subdivisions.entry(zone).or_default().extend(places);
            }
        }
    }
    (named, subdivisions)
}

/// A line per list of places, sorted.
fn areas_text(version: &str, areas: &BTreeMap<String, Places>) -> String {
    let mut lists: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (area, places) in areas {
        lists.entry(joined(places)).or_default().push(area);
    }
    let mut text = format!(
        "# Places (ISO 3166-2), then the area codes of +1 whose numbers belong to them.\n\
         # Made by `cargo xtask phone-places` from phonenumbers {version}, libphonenumber's data:\n\
         # Copyright The Libphonenumber Authors, Apache License 2.0, see NOTICE. Do not edit.\n"
    );
    for (places, areas) in lists {
        text.push_str(&format!("{places} {}\n", areas.join(" ")));
    }
    text
}

/// A line per zone, sorted.
fn zones_text(given: &Given, zones: &BTreeMap<String, Clock>) -> String {
    let mut text = format!(
        "# A time zone, the places (ISO 3166) where its clocks are read, then other names that\n\
         # read as it. Made by `cargo xtask phone-places` from tzdata {}, the time zone database,\n\
         # which is in the public domain, and phonenumbers {}; see NOTICE. Do not edit.\n",
        given.tzdata, given.phonenumbers
    );
    for (zone, clock) in zones {
        text.push_str(&format!("{zone} {}", joined(&clock.places)));
        for other in &clock.others {
            text.push_str(&format!(" {other}"));
        }
        text.push('\n');
    }
    text
}

fn joined(places: &Places) -> String {
    places.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn names_become_codes() {
        for (name, wanted) in [
            ("New Jersey", "US-NJ"),
            ("Fort Lee, NJ", "US-NJ"),
            ("Toronto, ON", "CA-ON"),
            ("Washington D.C.", "US-DC"),
            ("Nova Scotia/Prince Edward Island", "CA-NS,CA-PE"),
            ("Atlantis", ""),
            ("Somewhere, ZZ", ""),
        ] {
            assert_eq!(joined(&places(name)), wanted, "{name}");
        }
    }

    #[test]
    fn an_area_code_is_where_its_prefixes_are() {
        let good = map(&[("1212", "New York"), ("1203222", "Bridgeport, CT")]);
        let found = areas(&good).unwrap();
        assert_eq!(joined(&found["1203"]), "US-CT");
        assert_eq!(joined(&found["1212"]), "US-NY");
        let split = map(&[("1203222", "Bridgeport, CT"), ("1203333", "Fort Lee, NJ")]);
        assert!(areas(&split).unwrap_err().to_string().contains("do not agree"));
        assert!(areas(&map(&[("1999", "Atlantis")])).is_err());
    }

    #[test]
    fn a_zone_has_the_places_of_its_numbers_and_its_other_names() {
        let given = Given {
            phonenumbers: String::new(),
            tzdata: String::new(),
            prefixes: BTreeMap::new(),
            zone_tab: "# head\nUS\t+40-73\tAmerica/New_York\tEastern\n\
                       US\t+42-83\tAmerica/Detroit\tMI\nUS\t+41-87\tAmerica/Chicago\n\
                       CA\t+43-79\tAmerica/Toronto\nDE\t+52+13\tEurope/Berlin\n"
                .to_owned(),
            shared: vec!["Europe/Berlin".to_owned()],
            links: [
                ("America/New_York", "US/Eastern"),
                ("Etc/UTC", "UTC"),
                ("Europe/Berlin", "Somewhere"),
            ]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .to_vec(),
        };
        let phone_zones = "# head\nAmerica/New_York 1212 1313\nAmerica/Toronto 1416\n\
                           Europe/Berlin 49\n";
        let of = map(&[("1212", "New York"), ("1313", "Michigan"), ("1416", "Ontario")]);
        let found = zones(&given, &areas(&of).unwrap(), phone_zones).unwrap();
        let text = zones_text(&given, &found);
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "America/Chicago US",
                "America/New_York US-MI,US-NY America/Detroit US/Eastern",
                "America/Toronto CA-ON",
                "Europe/Berlin DE",
            ]
        );
    }

    #[test]
    fn the_notice_credits_the_versions_in_use() {
        let table = fs::read_to_string(process::root().join(ZONES)).unwrap();
        let notice = fs::read_to_string(process::root().join(NOTICE)).unwrap();
        let version = table.split("tzdata ").nth(1).unwrap().split(',').next().unwrap();
        assert!(notice.contains(&format!("tzdata {version}")), "{version}");
    }
}
