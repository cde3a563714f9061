//! What serde_json says of a value, in terms of the whole body.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::BodyErrorKind;

/// None: `text` is one JSON value.
pub(crate) fn json_error(text: &str) -> Option<serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut json).and_then(|_| json.end()).err()
}

/// Which byte of `text` serde_json complains about.
pub(crate) fn error_offset(text: &[u8], error: &serde_json::Error) -> usize {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => memchr::memchr_iter(b'\n', text).nth(line - 2).map_or(0, |at| at + 1),
    };
    (line_start + error.column().saturating_sub(1)).min(text.len())
}

/// What serde_json says, without its own position, which counts from the value's start; or what
/// other languages' writers get wrong, if the text at the error is such a word.
pub(crate) fn syntax(error: &serde_json::Error, at: &[u8]) -> BodyErrorKind {
    let foreign = ["NaN", "Infinity", "-Infinity", "undefined", "None", "True", "False"];
    if let Some(word) = foreign.into_iter().find(|word| at.starts_with(word.as_bytes())) {
        return BodyErrorKind::Syntax(format!("JSON has no `{word}`"));
    }
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    BodyErrorKind::Syntax(said.to_owned())
}

/// A word or number that is neither.
pub(crate) fn no_value(text: &str) -> BodyErrorKind {
    let start: String = text.chars().take(32).collect();
    BodyErrorKind::Syntax(format!("`{start}` is no JSON value"))
}
