//! Makes `outdial-core`'s table of time zones by telephone prefix from libphonenumber's data.
//!
//! The data comes with the Python package `phonenumbers`, which follows libphonenumber release by
//! release; `pip` brings it into a temporary folder. What is committed is our own form: a line per
//! list of zones, the zones and then the prefixes, so that a new release shows in review as the
//! prefixes that moved.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::process;

const TABLE: &str = "crates/outdial-core/data/phone_zones.txt";
const NOTICE: &str = "NOTICE";

/// Zones that the data has under a name they no longer go by. A name ought to stand for a class
/// once, and people write the present one; both must mean the same instants.
const RENAMED: &[(&str, &str)] = &[
    ("Africa/Asmera", "Africa/Asmara"),
    ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ("America/Godthab", "America/Nuuk"),
    ("Asia/Calcutta", "Asia/Kolkata"),
    ("Asia/Choibalsan", "Asia/Ulaanbaatar"),
    ("Asia/Katmandu", "Asia/Kathmandu"),
    ("Asia/Rangoon", "Asia/Yangon"),
    ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
    ("Atlantic/Faeroe", "Atlantic/Faroe"),
    ("Europe/Kiev", "Europe/Kyiv"),
    ("Pacific/Enderbury", "Pacific/Kanton"),
    ("Pacific/Ponape", "Pacific/Pohnpei"),
    ("Pacific/Truk", "Pacific/Chuuk"),
];

/// Prints the package's version and its table, prefix to zones.
const READ: &str = "import json, phonenumbers; from phonenumbers.tzdata import TIMEZONE_DATA as t; \
     print(json.dumps({'version': phonenumbers.__version__, 'prefixes': t}))";

/// Prefix → sorted zone names.
type Prefixes = BTreeMap<String, Vec<String>>;

/// Fetches the package and writes the table.
pub(crate) fn run() -> Result<bool> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--root-user-action",
        "ignore",
        "--no-deps",
        "--no-compile",
        "--target",
    ]);
    process::run(pip.arg(folder.path()).arg("phonenumbers"))?;
    let (version, data) = read(folder.path())?;
    let given = data.len();
    let prefixes = without_repetition(&present(data)?);

    fs::write(process::root().join(TABLE), table(&version, &prefixes))
        .with_context(|| format!("writing {TABLE}"))?;
    println!("wrote {TABLE}: {} prefixes, of {given} in phonenumbers {version}", prefixes.len());
    let notice = fs::read_to_string(process::root().join(NOTICE)).unwrap_or_default();
    if !notice.contains(&version) {
        println!("{NOTICE} names another version: write {version} there");
        return Ok(false);
    }
    Ok(true)
}

fn read(folder: &Path) -> Result<(String, Prefixes)> {
    let mut python = Command::new("python3");
    let text = process::output(python.args(["-c", READ]).env("PYTHONPATH", folder))?;
    let mut json: serde_json::Value = serde_json::from_str(&text).context("what python printed")?;
    let prefixes = serde_json::from_value(json["prefixes"].take()).context("the prefixes")?;
    let version = json["version"].as_str().context("the version")?;
    Ok((version.to_owned(), prefixes))
}

/// The data under present names, each known to the library that the core uses.
fn present(data: Prefixes) -> Result<Prefixes> {
    let renamed: BTreeMap<&str, &str> = RENAMED.iter().copied().collect();
    let mut checked = BTreeSet::new();
    let mut result = Prefixes::new();
    for (prefix, zones) in data {
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        if !digits || prefix.is_empty() || prefix.len() > 15 || prefix.starts_with('0') {
            bail!("`{prefix}` is not the beginning of an international number");
        }
        if zones.is_empty() {
            bail!("prefix {prefix} has no zones");
        }
        let mut named = BTreeSet::new();
        for zone in &zones {
            let name = renamed.get(zone.as_str()).copied().unwrap_or(zone);
            if checked.insert(zone.clone()) {
                same_instants(zone, name).with_context(|| format!("prefix {prefix}"))?;
            }
            named.insert(name.to_owned());
        }
        result.insert(prefix, named.into_iter().collect());
    }
    Ok(result)
}

/// Refuses a zone that the library does not know, and a new name that means other instants.
pub(crate) fn same_instants(old: &str, new: &str) -> Result<()> {
    let [old_zone, new_zone] = [zone(old)?, zone(new)?];
    // Calls are placed now and later: from 2025 to 2037, in half months.
    let half_month = 15 * 86_400;
    let (from, to) = (1_735_689_600_i64, 2_145_916_800);
    for seconds in (from..to).step_by(half_month) {
        let at = Timestamp::from_second(seconds)?;
        if old_zone.to_offset(at) != new_zone.to_offset(at) {
            bail!("{old} and {new} differ at {at}");
        }
    }
    Ok(())
}

fn zone(name: &str) -> Result<TimeZone> {
    let zone = jiff::tz::db().get(name).with_context(|| format!("unknown zone {name}"))?;
    if zone.iana_name() != Some(name) {
        bail!("{name} is spelled {:?} by the library", zone.iana_name());
    }
    Ok(zone)
}

/// Leaves out a prefix whose next shorter one says the same.
fn without_repetition(all: &Prefixes) -> Prefixes {
    let inherited = |prefix: &str| {
        let shorter = (1..prefix.len()).rev().find_map(|n| all.get(&prefix[..n]));
        shorter == all.get(prefix)
    };
    all.iter().filter(|(p, _)| !inherited(p)).map(|(p, z)| (p.clone(), z.clone())).collect()
}

/// A line per list of zones, sorted.
fn table(version: &str, prefixes: &Prefixes) -> String {
    let mut lists: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (prefix, zones) in prefixes {
        lists.entry(zones.join(",")).or_default().push(prefix);
    }
    let mut text = format!(
        "# Time zones, then the telephone prefixes (E.164 without +) whose numbers lie in them.\n\
         # Made by `cargo xtask phone-zones` from phonenumbers {version}, libphonenumber's data:\n\
         # Copyright The Libphonenumber Authors, Apache License 2.0, see NOTICE. Do not edit.\n"
    );
    for (zones, prefixes) in lists {
        text.push_str(&format!("{zones} {}\n", prefixes.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(of: &[(&str, &str)]) -> Prefixes {
        let zones = |z: &str| z.split(',').map(str::to_owned).collect();
        of.iter().map(|(p, z)| ((*p).to_owned(), zones(z))).collect()
    }

    #[test]
    fn old_names_become_present_ones() {
        let data = prefixes(&[("91", "Asia/Calcutta"), ("49", "Europe/Busingen,Europe/Berlin")]);
        let wanted = prefixes(&[("91", "Asia/Kolkata"), ("49", "Europe/Berlin,Europe/Busingen")]);
        assert_eq!(present(data).unwrap(), wanted);
    }

    #[test]
    fn what_the_library_does_not_know_is_refused() {
        for (prefix, zone) in [("1", "America/Nowhere"), ("0", "UTC"), ("1a", "UTC"), ("", "UTC")] {
            assert!(present(prefixes(&[(prefix, zone)])).is_err(), "{prefix} {zone}");
        }
        assert!(same_instants("Europe/Kiev", "Europe/Kyiv").is_ok());
        assert!(same_instants("Asia/Calcutta", "Asia/Yangon").is_err());
    }

    #[test]
    fn a_prefix_that_adds_nothing_is_left_out() {
        let all =
            prefixes(&[("1", "A,B"), ("12", "A"), ("123", "A"), ("1234", "B"), ("13", "A,B")]);
        let kept: Vec<String> = without_repetition(&all).into_keys().collect();
        assert_eq!(kept, ["1", "12", "1234"]);
    }

    #[test]
    fn the_notice_credits_the_version_in_use() {
        let table = fs::read_to_string(process::root().join(TABLE)).unwrap();
        let version = table.split("phonenumbers ").nth(1).unwrap().split(',').next().unwrap();
        let notice = fs::read_to_string(process::root().join(NOTICE)).unwrap();
        assert!(notice.contains(&format!("phonenumbers {version}")), "{version}");
    }
}
