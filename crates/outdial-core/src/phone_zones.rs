//! Which time zones a phone number can lie in, told by its leading digits.
//!
//! The table is data: `data/phone_zones.txt`, made by `cargo xtask phone-zones` from
//! libphonenumber's, read once. Nothing here guesses: a number of several zones has them all, and
//! a number without a place has none.

use std::sync::{Arc, LazyLock};

use crate::phone::PhoneNumber;
use crate::zone::Class;

/// The zones of all numbers under some prefix; each distinct list exists once in the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneZones {
    id: u16,
    class: Class,
    text: Arc<str>,
}

impl PhoneZones {
    /// Which of the lists this is; no two lists have the same.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The zones as a class.
    pub fn class(&self) -> &Class {
        &self.class
    }

    /// The class in its text form, ready to be interned by the store; cloning it copies nothing.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }
}

/// The zones in which a called person may be, as far as the number tells; `None` when the number
/// belongs to no place (satellite, international networks) or to no country.
///
/// The longest prefix in the table decides for numbers that belong to an area. A mobile or a
/// toll-free number belongs to its whole country: an Australian mobile may ring in Perth, though
/// the table has Sydney for its prefix. Toll-free `+1` lies in 42 zones.
///
/// Costs a walk over at most nine digits; only where area and country differ (mobiles of some
/// countries, not of `+1`) is the kind of the number looked up, some microseconds.
pub fn zones_of(number: PhoneNumber) -> Option<&'static PhoneZones> {
    let Match { country, area } = TABLE.find(number.digits())?;
    let list = if country == area || is_geographic(number) { area } else { country };
    TABLE.lists.get(usize::from(list))
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    Table::parse(include_str!("../data/phone_zones.txt"))
        .expect("the table is generated, and a test reads all of it")
});

/// A tree over the digits of the prefixes; node 0 is the root.
struct Table {
    nodes: Vec<Node>,
    lists: Vec<PhoneZones>,
}

#[derive(Clone, Default)]
struct Node {
    /// The node of each next digit; 0, the root, is nobody's child and means none.
    next: [u16; 10],
    /// Index into the lists, when a prefix ends here.
    list: Option<u16>,
    /// This prefix is a country of its own beneath another's prefix.
    is_country: bool,
}

/// What the digits of a number match: indexes into the lists.
struct Match {
    country: u16,
    area: u16,
}

impl Table {
    fn find(&self, digits: u64) -> Option<Match> {
        let mut found: Option<Match> = None;
        let mut node = &self.nodes[0];
        let mut unit = 10u64.pow(digits.checked_ilog10()?);
        while unit > 0 {
            let child = node.next[(digits / unit % 10) as usize];
            if child == 0 {
                break;
            }
            node = &self.nodes[usize::from(child)];
            if let Some(area) = node.list {
                let country = match found {
                    Some(shorter) if !node.is_country => shorter.country,
                    _ => area,
                };
                found = Some(Match { country, area });
            }
            unit /= 10;
        }
        found
    }

    /// Reads the generated text: a line per list, the class and then its prefixes, apart by
    /// blanks; lines with `#` are comments. The error names the line, from 1.
    fn parse(text: &str) -> Result<Self, String> {
        let mut table = Self { nodes: vec![Node::default()], lists: Vec::new() };
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.starts_with('#')) {
            let fault = |what: &str| format!("line {}: {what}", i + 1);
            let mut words = line.split(' ');
            let text = words.next().unwrap_or_default();
            let class: Class = text.parse().map_err(|e| fault(&format!("{e}")))?;
            if *class.to_string() != *text {
                return Err(fault("its zones are not sorted, or not under their own names"));
            }
            let list = u16::try_from(table.lists.len()).map_err(|_| fault("one list too many"))?;
            table.lists.push(PhoneZones { id: list, class, text: text.into() });
            for prefix in words {
                table.insert(prefix, list).map_err(fault)?;
            }
        }
        Ok(table)
    }

    fn insert(&mut self, prefix: &str, list: u16) -> Result<(), &'static str> {
        if prefix.is_empty() || prefix.starts_with('0') {
            return Err("a prefix is empty or starts with 0");
        }
        let mut at = 0;
        for byte in prefix.bytes() {
            let digit = usize::from(byte.wrapping_sub(b'0'));
            let fresh = self.nodes.len();
            let child = self.nodes[at].next.get_mut(digit).ok_or("a prefix is not digits")?;
            if *child == 0 {
                *child = u16::try_from(fresh).map_err(|_| "one prefix too many")?;
                self.nodes.push(Node::default());
                at = fresh;
            } else {
                at = usize::from(*child);
            }
        }
        let node = &mut self.nodes[at];
        node.is_country = is_country(prefix);
        if node.list.replace(list).is_some() {
            return Err("a prefix stands twice");
        }
        Ok(())
    }
}

/// Whether a prefix beneath another's is a country of its own, so that its mobiles stay in it:
/// the area codes of the islands and states under `1`, and Kazakhstan beside Russia under `7`.
fn is_country(prefix: &str) -> bool {
    prefix.starts_with('1') || prefix == "77"
}

/// Whether the number belongs to an area: a landline, or a mobile where these have area codes.
/// A number that the library does not know belongs to its country.
fn is_geographic(number: PhoneNumber) -> bool {
    format!("+{number}")
        .parse::<rlibphonenumber::PhoneNumber>()
        .is_ok_and(|parsed| parsed.is_geographical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(digits: u64) -> Option<&'static str> {
        zones_of(PhoneNumber::from_digits(digits)).map(|z| &**z.text())
    }

    fn count(digits: u64) -> usize {
        zones_of(PhoneNumber::from_digits(digits)).map_or(0, |z| z.class().zones().len())
    }

    #[test]
    fn an_area_tells_the_zone() {
        for (digits, zones) in [
            (12125551001, "America/New_York"),
            (13105552002, "America/Los_Angeles"),
            (442079460000, "Europe/London"),
            (61732211111, "Australia/Brisbane"),
            (74232201234, "Asia/Vladivostok"),
            (5511987654321, "America/Sao_Paulo"),
            (12684641234, "America/Antigua"),
            (919876543210, "Asia/Kolkata"),
            (4930123456, "Europe/Berlin"),
        ] {
            assert_eq!(text(digits), Some(zones), "{digits}");
        }
    }

    #[test]
    fn a_mobile_or_toll_free_number_lies_anywhere_in_its_country() {
        assert_eq!(count(18005550100), 42);
        assert_eq!(count(18885550100), 42);
        assert_eq!(
            text(447400123456),
            Some("Europe/Guernsey,Europe/Isle_of_Man,Europe/Jersey,Europe/London")
        );
        // By their prefixes alone these would be in Sydney, Moscow, Almaty, Madrid.
        for (digits, within) in [
            (61412345678, "Australia/Perth"),
            (79123456789, "Asia/Kamchatka"),
            (77710009998, "Asia/Aqtobe"),
            (34612345678, "Atlantic/Canary"),
        ] {
            assert!(text(digits).unwrap().contains(within), "{digits}: {:?}", text(digits));
        }
        assert_eq!(count(77710009998), 2, "Kazakhstan, without Russia");
    }

    #[test]
    fn what_lies_nowhere_has_no_zones() {
        for digits in [0, 9, 80012345678, 881612345678, 883510001234567, 999123456789] {
            assert_eq!(text(digits), None, "{digits}");
        }
    }

    #[test]
    fn equal_lists_are_one() {
        let list = |digits| zones_of(PhoneNumber::from_digits(digits)).unwrap();
        assert!(std::ptr::eq(list(12125551001), list(16465551001)));
    }

    #[test]
    fn the_table_is_whole() {
        let table = Table::parse(include_str!("../data/phone_zones.txt")).unwrap();
        assert!(table.lists.len() > 250, "{}", table.lists.len());
        assert!(table.nodes.iter().filter(|n| n.list.is_some()).count() > 2000);
        for list in &table.lists {
            assert_eq!(list.text.parse::<Class>().unwrap(), list.class);
        }
    }

    #[test]
    fn a_broken_table_says_where() {
        for (text, wanted) in [
            ("# head\nMars/Olympus 12", "line 2: `Mars/Olympus`"),
            ("Europe/Paris,Europe/Berlin 12", "line 1: its zones are not sorted"),
            ("UTC 12\nEurope/Paris 12", "line 2: a prefix stands twice"),
            ("UTC 1a", "line 1: a prefix is not digits"),
            ("UTC  12", "line 1: a prefix is empty"),
        ] {
            let error = Table::parse(text).err().unwrap();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
