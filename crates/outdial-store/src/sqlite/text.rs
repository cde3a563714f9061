//! Our functions in SQL: contact fields as text.
//!
//! Contact records are stored as they were sent and are taken apart only here and when shown. A
//! value's text is a string's characters, and anything else's JSON exactly as sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use outdial_ports::store::{CallQuery, FilterField};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Error};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Registers `contains`, `uuid_text`, `field_text` and `call_matches` on a connection.
pub(super) fn register(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    conn.create_scalar_function("contains", 2, flags, |ctx| {
        // As SQL has it. OR does not keep its right side from being evaluated everywhere.
        if ctx.get_raw(1) == ValueRef::Null {
            return Ok(None);
        }
        let needle = ctx.get_or_create_aux(1, lower_text)?;
        Ok(Some(contains(ctx.get_raw(0).as_str().map_err(user)?, &needle)))
    })?;
    conn.create_scalar_function("uuid_text", 1, flags, |ctx| {
        Ok(uuid_text(ctx.get_raw(0).as_blob().map_err(user)?))
    })?;
    conn.create_scalar_function("field_text", 2, flags, |ctx| {
        let fields = ctx.get_raw(1).as_str().map_err(user)?;
        let key = ctx.get_raw(0).as_str().map_err(user)?;
        Ok(match field_text(fields, key) {
            Some(text) => ToSqlOutput::Owned(Value::Text(text.into_owned())),
            None => ToSqlOutput::Owned(Value::Null),
        })
    })?;
    conn.create_scalar_function("call_matches", 4, flags, call_matches)
}

/// An attempt's name as the API shows it: a UUID in lower case.
fn uuid_text(token: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in token.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The filter and search of a [`CallQuery`], as the first argument of `call_matches`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Matcher {
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
    pub(super) fn of(query: &CallQuery) -> Option<Self> {
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

    fn matches(&self, phone: &str, fields: &str, status: &str) -> bool {
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

/// `call_matches(matcher, phone, fields, status)`; no matcher matches everything.
fn call_matches(ctx: &Context<'_>) -> rusqlite::Result<bool> {
    if ctx.get_raw(0) == ValueRef::Null {
        return Ok(true);
    }
    let matcher = ctx.get_or_create_aux(0, |v| {
        v.as_str().map_err(user).and_then(|t| serde_json::from_str::<Matcher>(t).map_err(user))
    })?;
    let phone = ctx.get_raw(1).as_i64().map_err(user)?.to_string();
    let fields = ctx.get_raw(2).as_str().map_err(user)?;
    let status = ctx.get_raw(3).as_str_or_null().map_err(user)?.unwrap_or("");
    Ok(matcher.matches(&phone, fields, status))
}

/// The text of a contact record's field, if it has it.
fn field_text<'a>(fields: &'a str, key: &str) -> Option<Cow<'a, str>> {
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

fn contains(haystack: &str, lower_needle: &str) -> bool {
    if haystack.is_ascii() {
        return haystack.to_ascii_lowercase().contains(lower_needle);
    }
    haystack.to_lowercase().contains(lower_needle)
}

fn lower_text(value: ValueRef<'_>) -> Result<String, Error> {
    Ok(value.as_str().map_err(user)?.to_lowercase())
}

fn user(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::UserFunctionError(Box::new(e))
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
