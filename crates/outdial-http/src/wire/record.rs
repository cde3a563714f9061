//! A contact's own fields as they were sent: taken apart only to be shown, never rewritten.
//!
//! The raw text of every key and value is kept: integers of any length, escapes, order.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One field of a contact record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The key as it was sent, with its quotation marks and escapes.
    pub(crate) raw_key: &'a str,
    /// The value as it was sent.
    pub(crate) raw_value: &'a str,
}

impl Field<'_> {
    /// Whether its key is `name`, however it was escaped.
    pub(crate) fn is(&self, name: &str) -> bool {
        if !self.raw_key.contains('\\') {
            return self.raw_key.get(1..self.raw_key.len() - 1) == Some(name);
        }
        serde_json::from_str::<String>(self.raw_key).is_ok_and(|key| key == name)
    }
}

/// The fields of one JSON object, in order. Text that is not one has none; the store only holds
/// objects that ingest has checked.
pub(crate) fn fields(text: &str) -> Vec<Field<'_>> {
    serde_json::Deserializer::from_str(text).deserialize_map(Split).unwrap_or_default()
}

struct Split;

impl<'a> Visitor<'a> for Split {
    type Value = Vec<Field<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Vec::new();
        while let Some((key, value)) = map.next_entry::<&'a RawValue, &'a RawValue>()? {
            fields.push(Field { raw_key: key.get(), raw_value: value.get() });
        }
        Ok(fields)
    }
}

/// Builds one JSON object whose fields come from us and from the contact.
#[derive(Debug)]
pub(crate) struct ObjectText(String);

impl ObjectText {
    /// `{}`, so far.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity);
        text.push('{');
        Self(text)
    }

    /// One of the contact's, untouched.
    pub(crate) fn raw(&mut self, field: Field<'_>) {
        self.comma();
        self.0.push_str(field.raw_key);
        self.0.push(':');
        self.0.push_str(field.raw_value);
    }

    /// One of ours. `name` needs no escapes.
    pub(crate) fn ours(&mut self, name: &str, value: &impl serde::Serialize) {
        let value = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        self.comma();
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(&value);
    }

    /// The finished object.
    pub(crate) fn finish(mut self) -> Box<RawValue> {
        self.0.push('}');
        RawValue::from_string(self.0).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }

    fn comma(&mut self) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_as_it_was_sent() {
        let text = "{ \"n\" : 1234567890123456789012345678901234567890 ,\"\\u00e4\\\"\":\
                    \"\\u00e4\", \"o\":{\"a\":[1, 2]},\"n\":1.0e+2,\"\":null}";
        let fields = fields(text);
        let keys: Vec<_> = fields.iter().map(|f| f.raw_key).collect();
        assert_eq!(keys, ["\"n\"", "\"\\u00e4\\\"\"", "\"o\"", "\"n\"", "\"\""]);
        let values: Vec<_> = fields.iter().map(|f| f.raw_value).collect();
        let long = "1234567890123456789012345678901234567890";
        assert_eq!(values, [long, "\"\\u00e4\"", "{\"a\":[1, 2]}", "1.0e+2", "null"]);
        assert!(fields[1].is("ä\"") && fields[0].is("n") && fields[4].is(""));
    }

    #[test]
    fn an_object_of_both() {
        let mut object = ObjectText::new(0);
        object.ours("_id", &"64");
        for field in fields(r#"{"a": 1e999, "b":[ ]}"#) {
            object.raw(field);
        }
        assert_eq!(object.finish().get(), r#"{"_id":"64","a":1e999,"b":[ ]}"#);
        assert_eq!(ObjectText::new(0).finish().get(), "{}");
    }
}
