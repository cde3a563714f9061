//! The variables that an agent declares, and how a contact's fields are checked against them.
//!
//! Values are looked at as the JSON text that was sent. They are never converted and never pass
//! through a floating-point number: what is stored is what came.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::contact::json;
use crate::phone;

/// The type of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VariableType {
    /// A JSON string.
    String,
    /// A JSON number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An ISO 8601 date or date-time, as a string.
    Date,
    /// A phone number, as a string or an integer.
    Phone,
}

impl VariableType {
    /// What a value of this type looks like, for error messages.
    pub const fn wanted(self) -> &'static str {
        match self {
            Self::String => "a string, like \"Sarah\"",
            Self::Number => "a JSON number without quotes, like 12.5",
            Self::Boolean => "true or false without quotes",
            Self::Date => {
                "an ISO 8601 date or date-time as a string, like \"2025-05-15\" or \
                 \"2025-05-15T14:30:00Z\""
            }
            Self::Phone => "a phone number with its country code, like \"12125551234\"",
        }
    }

    /// Whether this JSON value (its text) is one of this type. No coercion: `"12"` is no number.
    pub fn accepts(self, raw: &str) -> bool {
        let first = raw.as_bytes().first().copied().unwrap_or_default();
        match self {
            Self::String => first == b'"',
            Self::Number => first == b'-' || first.is_ascii_digit(),
            Self::Boolean => raw == "true" || raw == "false",
            Self::Date => first == b'"' && json::string(raw).is_some_and(|s| is_iso_8601(&s)),
            Self::Phone => json::phone_text(raw).is_some_and(|text| phone::parse(&text).is_ok()),
        }
    }
}

/// One variable that an agent declares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    /// Its key in a contact record, and its CSV column.
    pub key: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: VariableType,
    /// Whether a record must bring it (unless there is a default).
    #[serde(default)]
    pub required: bool,
    /// Filled in at the dial, not in the record, when the record brings none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What is wrong with a contact's value for a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableFault {
    /// Required, and absent, `null` or a blank string.
    Missing,
    /// Of another type.
    WrongType,
}

impl Variable {
    /// Whether a record must bring a value.
    pub fn is_needed(&self) -> bool {
        self.required && self.default.is_none()
    }

    /// Checks a record's value (its JSON text; none: absent). `null` and a blank string count as
    /// absent for every type, because that is how exports write an empty cell.
    pub fn check(&self, raw: Option<&str>) -> Result<(), VariableFault> {
        match raw {
            Some(raw) if !json::is_blank(raw) => match self.kind.accepts(raw) {
                true => Ok(()),
                false => Err(VariableFault::WrongType),
            },
            _ if self.is_needed() => Err(VariableFault::Missing),
            _ => Ok(()),
        }
    }
}

/// Why a set of variables cannot be declared. Names the variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// Too many.
    #[error(
        "{0} variables are declared; at most {max} are possible",
        max = VariableSchema::COUNT_MAX
    )]
    TooMany(usize),
    /// An empty or blank key.
    #[error("variable {0} (counted from 1) has an empty key")]
    EmptyKey(usize),
    /// A key that is too long; its beginning.
    #[error(
        "the key of variable `{0}…` is too long; at most {max} bytes are possible",
        max = VariableSchema::KEY_MAX_BYTES
    )]
    LongKey(String),
    /// A key with a control character, or with a space at an end.
    #[error("the key of variable {0:?} has control characters, or spaces at an end; remove them")]
    OddKey(String),
    /// Declared twice.
    #[error("variable `{0}` is declared twice")]
    Repeated(String),
    /// A key that means something else in a record.
    #[error("variable `{0}` cannot be declared: the key has a fixed meaning in call records")]
    Reserved(String),
    /// A default of another type.
    #[error("the default of variable `{key}` must be {}", .kind.wanted())]
    Default {
        /// Which variable.
        key: String,
        /// Its type.
        kind: VariableType,
    },
    /// A description that is too long.
    #[error(
        "the description of variable `{0}` is too long; at most {max} bytes are possible",
        max = VariableSchema::DESCRIPTION_MAX_BYTES
    )]
    LongDescription(String),
}

/// The variables of an agent, found good: unique keys, none of them reserved, defaults of their
/// types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VariableSchema {
    variables: Vec<Variable>,
}

impl VariableSchema {
    /// Most variables of an agent; below the most keys of a record.
    pub const COUNT_MAX: usize = 200;
    /// Longest key, in bytes.
    pub const KEY_MAX_BYTES: usize = 128;
    /// Longest description, in bytes.
    pub const DESCRIPTION_MAX_BYTES: usize = 2000;
    /// Keys that have a meaning of their own in call records.
    pub const RESERVED: [&'static str; 7] =
        ["phoneNumber", "timezone", "_id", "phoneLogs", "createdAt", "callStatus", "variables"];

    /// Checks what an agent is to declare.
    pub fn new(variables: Vec<Variable>) -> Result<Self, SchemaError> {
        if variables.len() > Self::COUNT_MAX {
            return Err(SchemaError::TooMany(variables.len()));
        }
        let mut seen = std::collections::BTreeSet::new();
        for (i, variable) in variables.iter().enumerate() {
            check_key(i + 1, &variable.key)?;
            if !seen.insert(variable.key.as_str()) {
                return Err(SchemaError::Repeated(variable.key.clone()));
            }
            if let Some(default) = &variable.default
                && !variable.kind.accepts(&default.to_string())
            {
                let (key, kind) = (variable.key.clone(), variable.kind);
                return Err(SchemaError::Default { key, kind });
            }
            if variable.description.as_ref().is_some_and(|d| d.len() > Self::DESCRIPTION_MAX_BYTES)
            {
                return Err(SchemaError::LongDescription(variable.key.clone()));
            }
        }
        Ok(Self { variables })
    }

    /// As declared, in the order declared.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The variable with this key.
    pub fn get(&self, key: &str) -> Option<&Variable> {
        self.variables.iter().find(|v| v.key == key)
    }
}

fn check_key(number: usize, key: &str) -> Result<(), SchemaError> {
    if key.trim().is_empty() {
        return Err(SchemaError::EmptyKey(number));
    }
    if key.len() > VariableSchema::KEY_MAX_BYTES {
        return Err(SchemaError::LongKey(key.chars().take(32).collect()));
    }
    if key.chars().any(char::is_control) || key.trim() != key {
        return Err(SchemaError::OddKey(key.to_owned()));
    }
    if VariableSchema::RESERVED.contains(&key) {
        return Err(SchemaError::Reserved(key.to_owned()));
    }
    Ok(())
}

/// A date, a date with a time, or those with an offset. The calendar's parser also takes RFC 9557
/// annotations (`[America/New_York]`), which ISO 8601 does not know.
fn is_iso_8601(text: &str) -> bool {
    !text.contains('[')
        && (text.parse::<jiff::civil::DateTime>().is_ok()
            || text.parse::<jiff::Timestamp>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variable(value: &serde_json::Value) -> Variable {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn schema(values: &[serde_json::Value]) -> Result<VariableSchema, SchemaError> {
        VariableSchema::new(values.iter().map(variable).collect())
    }

    #[test]
    fn types_without_coercion() {
        use VariableType::{Boolean, Date, Number, Phone, String};
        let table = [
            (String, r#""x""#, true),
            (String, "12", false),
            (String, "{}", false),
            (Number, "12", true),
            (Number, "-1.5e3", true),
            (Number, "1234567890123456789012345678901234567890", true),
            (Number, r#""12""#, false),
            (Number, "true", false),
            (Boolean, "true", true),
            (Boolean, "false", true),
            (Boolean, r#""true""#, false),
            (Boolean, "1", false),
            (Date, r#""2025-05-15""#, true),
            (Date, r#""2024-02-29""#, true),
            (Date, r#""2025-02-29""#, false),
            (Date, r#""2025-05-15T14:30:00.000Z""#, true),
            (Date, r#""2025-05-15T14:30""#, true),
            (Date, r#""2025-05-15T14:30:00+02:00""#, true),
            (Date, r#""2025\u002d05-15""#, true),
            (Date, r#""2025-05-15T25:00:00Z""#, false),
            (Date, r#""2025-05-15T14:30:00+02:00[Europe/Berlin]""#, false),
            (Date, r#""15.05.2025""#, false),
            (Date, r#""05/15/2025""#, false),
            (Date, r#""tomorrow""#, false),
            (Date, "20250515", false),
            (Phone, r#""12125551001""#, true),
            (Phone, r#""+1 (212) 555-1001""#, true),
            (Phone, "12125551001", true),
            (Phone, "12125551001.0", false),
            (Phone, "-12125551001", false),
            (Phone, "1.2125551001e10", false),
            (Phone, r#""5551001""#, false),
            (Phone, "true", false),
        ];
        for (kind, raw, expected) in table {
            assert_eq!(kind.accepts(raw), expected, "{kind:?} {raw}");
        }
    }

    #[test]
    fn required_is_met_by_anything_but_nothing() {
        let v = variable(&json!({"key": "name", "type": "string", "required": true}));
        for nothing in [None, Some("null"), Some(r#""""#), Some(r#"" \t ""#), Some(r#""\u0020""#)] {
            assert_eq!(v.check(nothing), Err(VariableFault::Missing), "{nothing:?}");
        }
        assert_eq!(v.check(Some(r#""x""#)), Ok(()));
        assert_eq!(v.check(Some("0")), Err(VariableFault::WrongType));

        let n = variable(&json!({"key": "n", "type": "number", "required": true}));
        assert_eq!(n.check(Some("0")), Ok(()));
        assert_eq!(n.check(Some(r#""""#)), Err(VariableFault::Missing));
    }

    #[test]
    fn default_or_not_required_makes_it_optional() {
        for v in [
            json!({"key": "n", "type": "number", "required": true, "default": 3}),
            json!({"key": "n", "type": "number"}),
        ] {
            let v = variable(&v);
            for nothing in [None, Some("null"), Some(r#""""#)] {
                assert_eq!(v.check(nothing), Ok(()), "{nothing:?}");
            }
            assert_eq!(v.check(Some(r#""3""#)), Err(VariableFault::WrongType));
        }
    }

    #[test]
    fn schemas_name_the_variable_that_is_wrong() {
        assert!(schema(&[]).is_ok());
        let name = json!({"key": "name", "type": "string"});
        assert!(schema(std::slice::from_ref(&name)).is_ok());
        assert_eq!(
            schema(&[name.clone(), name.clone()]),
            Err(SchemaError::Repeated("name".into()))
        );
        for key in VariableSchema::RESERVED {
            let got = schema(&[json!({"key": key, "type": "string"})]);
            assert_eq!(got, Err(SchemaError::Reserved(key.into())));
        }
        for blank in ["", "  "] {
            let got = schema(&[name.clone(), json!({"key": blank, "type": "string"})]);
            assert_eq!(got, Err(SchemaError::EmptyKey(2)));
        }
        for odd in [" a", "a\n", "a\u{0}b"] {
            let got = schema(&[json!({"key": odd, "type": "string"})]);
            assert_eq!(got, Err(SchemaError::OddKey(odd.into())));
        }
        let long = "k".repeat(129);
        let got = schema(&[json!({"key": long, "type": "string"})]);
        assert!(matches!(got, Err(SchemaError::LongKey(_))));
        let got = schema(&[json!({"key": "n", "type": "number", "default": "3"})]);
        let error = got.unwrap_err();
        assert!(error.to_string().contains("`n`"), "{error}");
        let many: Vec<_> =
            (0..201).map(|i| json!({"key": format!("k{i}"), "type": "string"})).collect();
        assert_eq!(schema(&many), Err(SchemaError::TooMany(201)));
    }
}
