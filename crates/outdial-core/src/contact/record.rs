//! One record taken apart: its keys, and its values as they were sent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{FIELDS_MAX, FaultCode, RECORD_MAX_BYTES, json};

/// Up to this many fields are searched one by one; more are sorted first.
const LINEAR_MAX: usize = 16;

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The key, decoded.
    pub key: Cow<'a, str>,
    /// The value's JSON text, as sent.
    pub raw: &'a str,
}

/// A record: its fields in the order sent, and what is wrong with its texts.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    fields: Vec<Field<'a>>,
    /// Positions in `fields` by key and position; empty when there are few.
    by_key: Vec<u16>,
    faults: Vec<(u16, FaultCode)>,
}

impl<'a> Record<'a> {
    /// Takes a record's JSON text apart. The error is a code that condemns the record as a whole:
    /// not an object (or not JSON: `InvalidText`), too large, too many fields, too deep.
    pub fn read(raw: &'a str) -> Result<Self, FaultCode> {
        if raw.len() > RECORD_MAX_BYTES {
            return Err(FaultCode::RecordTooLarge);
        }
        let mut json = serde_json::Deserializer::from_str(raw);
        let raw_fields = match raw.trim_ascii_start().as_bytes().first() {
            Some(b'{') => json.deserialize_map(FieldsVisitor),
            _ => return Err(FaultCode::NotAnObject),
        };
        let Ok(raw_fields) = raw_fields.and_then(|fields| json.end().map(|()| fields)) else {
            return Err(FaultCode::InvalidText);
        };
        let raw_fields = raw_fields.ok_or(FaultCode::TooManyFields)?;

        let mut record = Self {
            fields: Vec::with_capacity(raw_fields.len()),
            by_key: Vec::new(),
            faults: Vec::new(),
        };
        for (key, value) in raw_fields {
            record.push(key.get(), value.get())?;
        }
        record.find_duplicates();
        Ok(record)
    }

    /// The fields, in the order sent.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The JSON text of the value under this key; the first, should there be two.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        if self.by_key.is_empty() {
            return self.fields.iter().find(|f| f.key == key).map(|f| f.raw);
        }
        let at = self.by_key.partition_point(|&i| self.field(i).key.as_ref() < key);
        self.by_key.get(at).map(|&i| self.field(i)).filter(|f| f.key == key).map(|f| f.raw)
    }

    /// Keys whose text or value cannot be kept as sent, and keys that repeat an earlier one, in
    /// the order sent.
    pub fn faults(&self) -> impl Iterator<Item = (&str, FaultCode)> {
        self.faults.iter().map(|&(i, code)| (self.field(i).key.as_ref(), code))
    }

    fn field(&self, i: u16) -> &Field<'a> {
        &self.fields[usize::from(i)]
    }

    fn push(&mut self, key: &'a str, raw: &'a str) -> Result<(), FaultCode> {
        // At most FIELDS_MAX fields came here.
        let i = self.fields.len() as u16;
        let key = match json::check_string(key) {
            Ok(()) => json::string(key).unwrap_or(Cow::Borrowed(key)),
            Err(code) => {
                self.faults.push((i, code));
                Cow::Borrowed(key.trim_matches('"'))
            }
        };
        self.fields.push(Field { key, raw });
        match json::check_value(raw, 1) {
            Err(FaultCode::TooDeep) => return Err(FaultCode::TooDeep),
            Err(code) => self.faults.push((i, code)),
            Ok(()) => {}
        }
        Ok(())
    }

    fn find_duplicates(&mut self) {
        let fields = &self.fields;
        let before = self.faults.len();
        if fields.len() <= LINEAR_MAX {
            for (i, field) in fields.iter().enumerate() {
                if fields[..i].iter().any(|earlier| earlier.key == field.key) {
                    self.faults.push((i as u16, FaultCode::DuplicateKey));
                }
            }
        } else {
            self.by_key = (0..fields.len() as u16).collect();
            let key = |i: &u16| &fields[usize::from(*i)].key;
            self.by_key.sort_by(|a, b| key(a).cmp(key(b)).then(a.cmp(b)));
            for pair in self.by_key.windows(2) {
                if key(&pair[0]) == key(&pair[1]) {
                    self.faults.push((pair[1], FaultCode::DuplicateKey));
                }
            }
        }
        if self.faults.len() > before {
            self.faults.sort_by_key(|&(i, _)| i);
        }
    }
}

/// Key and value texts; none: more than [`FIELDS_MAX`].
struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Option<Vec<(&'de RawValue, &'de RawValue)>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some(field) = map.next_entry()? {
            if fields.len() == FIELDS_MAX {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            fields.push(field);
        }
        Ok(Some(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(raw: &str) -> Vec<(String, FaultCode)> {
        Record::read(raw).unwrap().faults().map(|(k, c)| (k.to_owned(), c)).collect()
    }

    #[test]
    fn fields_come_back_as_sent() {
        let raw = r#"{ "b" : 1.50e+2,"a":"\u00e9\n" ,
            "n":1234567890123456789012345678901234567890,
"\u0061x":{ "y" : [] } }"#;
        let record = Record::read(raw).unwrap();
        let got: Vec<_> = record.fields().iter().map(|f| (f.key.as_ref(), f.raw)).collect();
        assert_eq!(
            got,
            [
                ("b", "1.50e+2"),
                ("a", "\"\\u00e9\\n\""),
                ("n", "1234567890123456789012345678901234567890"),
                ("ax", "{ \"y\" : [] }"),
            ]
        );
        assert_eq!(record.get("ax"), Some("{ \"y\" : [] }"));
        assert_eq!(record.get("x"), None);
        assert_eq!(record.faults().count(), 0);
    }

    #[test]
    fn condemned_as_a_whole() {
        for raw in ["", "null", "1", "\"x\"", "[]", "[{}]"] {
            assert_eq!(Record::read(raw).err(), Some(FaultCode::NotAnObject), "{raw}");
        }
        for raw in ["{", "{}x", "{\"a\":}", "{\"a\":1,}", "{\"a\":NaN}", "{'a':1}", "{a:1}"] {
            assert_eq!(Record::read(raw).err(), Some(FaultCode::InvalidText), "{raw}");
        }
        let wide = |n: usize| {
            let fields: Vec<_> = (0..n).map(|i| format!("\"k{i}\":{i}")).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert_eq!(Record::read(&wide(256)).unwrap().fields().len(), 256);
        assert_eq!(Record::read(&wide(257)).err(), Some(FaultCode::TooManyFields));
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(Record::read(&deep(31)).is_ok());
        assert_eq!(Record::read(&deep(32)).err(), Some(FaultCode::TooDeep));
        assert_eq!(Record::read(&deep(10_000)).err(), Some(FaultCode::TooDeep));
        let long = |n: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(n));
        assert!(Record::read(&long(RECORD_MAX_BYTES - 8)).is_ok());
        assert_eq!(
            Record::read(&long(RECORD_MAX_BYTES - 7)).err(),
            Some(FaultCode::RecordTooLarge)
        );
    }

    #[test]
    fn texts_and_numbers_that_cannot_be_kept() {
        use FaultCode::{DuplicateKey, InvalidText, NumberOutOfRange};
        let f = |k: &str, c| (k.to_owned(), c);
        assert_eq!(
            faults(r#"{"a":"\u0000","b":1e999999}"#),
            [f("a", InvalidText), f("b", NumberOutOfRange)]
        );
        assert_eq!(faults(r#"{"\ud800":1}"#), [f("\\ud800", InvalidText)]);
        assert_eq!(faults(r#"{"a":1,"b":2,"\u0061":3}"#), [f("a", DuplicateKey)]);
        assert_eq!(faults(r#"{"a":{"b":1,"b":2}}"#), []);
        assert_eq!(
            faults(r#"{"a":1,"a":"\ud800","a":2}"#),
            [f("a", InvalidText), f("a", DuplicateKey), f("a", DuplicateKey)]
        );
    }

    #[test]
    fn many_fields_are_found_and_duplicates_too() {
        let fields: Vec<_> = (0..100).map(|i| format!("\"k{}\":{i}", i % 90)).collect();
        let raw = format!("{{{}}}", fields.join(","));
        let record = Record::read(&raw).unwrap();
        assert_eq!(record.get("k7"), Some("7"), "the first of two");
        assert_eq!(record.get("k89"), Some("89"));
        assert_eq!(record.get("k90"), None);
        let twice: Vec<_> = record.faults().map(|(k, _)| k.to_owned()).collect();
        assert_eq!(twice, (0..10).map(|i| format!("k{i}")).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_without_panic(text in any::<String>()) {
            let _ = Record::read(&text);
            let _ = Record::read(&format!("{{\"a\":{text}}}"));
            let _ = Record::read(&format!("{{\"{text}\":\"{text}\"}}"));
        }
    }
}
