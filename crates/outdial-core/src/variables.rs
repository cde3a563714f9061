//! The variables that an agent declares, and how a contact's fields are checked against them.

use serde::{Deserialize, Serialize};

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
