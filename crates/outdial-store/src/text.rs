//! Contact fields as text, and what a filter or a search finds in them.
//!
//! Contact records are stored as they were sent and are taken apart only here and when shown. A
//! value's text is a string's characters, and anything else's JSON exactly as sent. Pure: how rows
//! come here is each backend's business.

use std::borrow::Cow;
use std::collections::BTreeMap;

use outdial_ports::store::{CallQuery, FilterField};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An attempt's name as the API shows it: a UUID in lower case.
pub(crate) fn uuid_text(token: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in token.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The filter and search of a [`CallQuery`].
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matcher {
    /// Each: the status must be one of these.
    statuses: Vec<Vec<String>>,
    /// Each: the number must be one of these.
    phones: Vec<Vec<String>>,
    /// Each: this field must be one of these.
    contact: Vec<(String, Vec<String>)>,
    /// Lower case; the number or any field must contain it.
    search: Option<String>,
}

impl Matcher {
    /// None: everything matches.
    pub(crate) fn of(query: &CallQuery) -> Option<Self> {
        let search = query.search.as_deref().filter(|s| !s.is_empty()).map(str::to_lowercase);
        let mut matcher = Self { search, ..Self::default() };
        for (field, values) in &query.filter {
            match field {
                FilterField::CallStatus => matcher.statuses.push(values.clone()),
                FilterField::PhoneNumber => matcher.phones.push(values.clone()),
                FilterField::Contact(key) => matcher.contact.push((key.clone(), values.clone())),
            }
        }
        (matcher != Self::default()).then_some(matcher)
    }

    /// The statuses that a call may have to be found; none: any.
    pub(crate) fn statuses(&self) -> Option<Vec<String>> {
        all_of(&self.statuses)
    }

    /// The numbers likewise, as they are stored.
    pub(crate) fn phones(&self) -> Option<Vec<i64>> {
        let canonical = |text: &String| {
            let number = text.parse::<i64>().ok()?;
            (number.to_string() == *text).then_some(number)
        };
        Some(all_of(&self.phones)?.iter().filter_map(canonical).collect())
    }

    /// What the number or any field must contain, in lower case.
    pub(crate) fn search(&self) -> Option<&str> {
        self.search.as_deref()
    }

    /// A call of this number, with these fields, in this status, is found.
    pub(crate) fn matches(&self, phone: &str, fields: &str, status: &str) -> bool {
        let among = |values: &[String], text: &str| values.iter().any(|v| v == text);
        if !self.statuses.iter().all(|values| among(values, status))
            || !self.phones.iter().all(|values| among(values, phone))
        {
            return false;
        }
        let search = self.search.as_deref().filter(|needle| !phone.contains(needle));
        if self.contact.is_empty() && search.is_none() {
            return true;
        }
        // Without escapes, what is in a value is in the text: most records need not be taken apart.
        if search.is_some_and(|needle| !fields.contains('\\') && !contains(fields, needle)) {
            return false;
        }
        let fields = parse(fields);
        let text_of = |key: &str| fields.get(key).map(|raw| text(raw));
        self.contact.iter().all(|(key, values)| text_of(key).is_some_and(|t| among(values, &t)))
            && search.is_none_or(|needle| fields.values().any(|raw| contains(&text(raw), needle)))
    }
}

/// What is in all of the lists; none: there is no list.
fn all_of(lists: &[Vec<String>]) -> Option<Vec<String>> {
    let (first, more) = lists.split_first()?;
    let in_all = |v: &&String| more.iter().all(|list| list.contains(*v));
    Some(first.iter().filter(in_all).cloned().collect())
}

/// The text of a contact record's field, if it has it.
pub(crate) fn field_text<'a>(fields: &'a str, key: &str) -> Option<Cow<'a, str>> {
    parse(fields).get(key).map(|raw| text(raw))
}

/// A record that is not an object has no fields; ingest lets none through.
fn parse(fields: &str) -> BTreeMap<Cow<'_, str>, &RawValue> {
    serde_json::from_str(fields).unwrap_or_default()
}

fn text(raw: &RawValue) -> Cow<'_, str> {
    let raw = raw.get();
    if raw.starts_with('"') {
        serde_json::from_str::<Text<'_>>(raw).map_or(Cow::Borrowed(raw), |t| t.0)
    } else {
        Cow::Borrowed(raw)
    }
}

/// A string, borrowed when it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text contains it in whatever case; the needle is in lower case.
pub(crate) fn contains(haystack: &str, lower_needle: &str) -> bool {
    if haystack.is_ascii() {
        return haystack.to_ascii_lowercase().contains(lower_needle);
    }
    haystack.to_lowercase().contains(lower_needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = r#"{"phoneNumber":"12125551001","name":"Zo\u00eb \"Z\" Ångström",
        "n":12345678901234567890123,"tags":["Red", "blue"],"none":null,"a\u0062":true}"#;

    #[test]
    fn text_is_as_sent() {
        let of = |key: &str| field_text(FIELDS, key).map(Cow::into_owned);
        assert_eq!(of("name").as_deref(), Some("Zoë \"Z\" Ångström"));
        assert_eq!(of("n").as_deref(), Some("12345678901234567890123"));
        assert_eq!(of("tags").as_deref(), Some(r#"["Red", "blue"]"#));
        assert_eq!(of("none").as_deref(), Some("null"));
        assert_eq!(of("ab").as_deref(), Some("true"));
        assert_eq!(of("absent"), None);
    }

    #[test]
    fn everything_of_a_filter_must_hold() {
        let s = |t: &str| t.to_owned();
        let matches = |m: &Matcher| m.matches("12125551001", FIELDS, "pending");
        let one = |key: &str, values: &[&str]| Matcher {
            contact: vec![(s(key), values.iter().map(|v| s(v)).collect())],
            ..Matcher::default()
        };
        assert!(matches(&one("ab", &["false", "true"])));
        assert!(!matches(&one("ab", &["tru"])));
        assert!(!matches(&one("absent", &["null"])));
        let both = Matcher { statuses: vec![vec![s("busy")]], ..one("ab", &["true"]) };
        assert!(!matches(&both));
        for (needle, found) in [("5551", true), ("ångström", true), ("blue", true), ("x", false)]
        {
            let search = Matcher { search: Some(s(needle)), ..Matcher::default() };
            assert_eq!(matches(&search), found, "{needle}");
        }
    }
}
