//! The header's rules, and how the cells of a row become a record.

use std::collections::BTreeSet;

use outdial_core::contact::RECORD_MAX_BYTES;
use outdial_core::variables::{VariableSchema, VariableType};

use super::{COLUMNS_MAX, TableError};

/// The column that every table has.
pub(super) const PHONE: &str = "phoneNumber";
/// Most bytes of a column's name.
const NAME_MAX_BYTES: usize = VariableSchema::KEY_MAX_BYTES;
/// How many names an error repeats, and how much of each.
const NAMES_SHOWN: usize = 10;
const NAME_SHOWN_CHARS: usize = 40;

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Columns(Vec<Column>);

#[derive(Debug)]
struct Column {
    name: String,
    /// `"name":`
    json_key: Vec<u8>,
    kind: Option<VariableType>,
}

impl Columns {
    /// Reads the header: the names, up to the last that is not blank.
    pub(super) fn read<'a>(
        names: impl Iterator<Item = &'a str>,
        schema: &VariableSchema,
    ) -> Result<Self, TableError> {
        let mut names: Vec<&str> = names.map(str::trim).collect();
        while names.last().is_some_and(|name| name.is_empty()) {
            names.pop();
        }
        if names.is_empty() {
            return Err(TableError::Empty);
        }
        if !names.contains(&PHONE) {
            return Err(TableError::NoPhoneColumn(shown(&names)));
        }
        if names.len() > COLUMNS_MAX {
            return Err(TableError::TooManyColumns(names.len()));
        }
        let mut seen = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            let bad = |why| TableError::BadColumnName { column: at + 1, why };
            if name.is_empty() {
                return Err(TableError::NamelessColumn(at + 1));
            } else if name.len() > NAME_MAX_BYTES {
                return Err(bad("it is longer than 128 bytes"));
            } else if name.contains(char::is_control) {
                return Err(bad("it has a control character or a line end in it"));
            } else if !seen.insert(*name) {
                return Err(TableError::DuplicateColumn((*name).to_owned()));
            }
        }
        let missing = schema.variables().iter().find(|v| v.is_needed() && !seen.contains(&*v.key));
        match missing {
            Some(variable) => Err(TableError::MissingColumn(variable.key.clone())),
            None => Ok(Self(names.into_iter().map(|name| Column::new(name, schema)).collect())),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What the agent declares the column of this name to be.
    pub(super) fn kind(&self, name: &str) -> Option<VariableType> {
        self.0.iter().find(|column| column.name == name)?.kind
    }

    /// Writes a row as a JSON object, its fields in the order of the columns. Whether the object
    /// is short enough to be a record.
    pub(super) fn write<'a>(
        &self,
        cells: impl Iterator<Item = &'a str>,
        json: &mut Vec<u8>,
    ) -> bool {
        json.clear();
        json.push(b'{');
        for (column, cell) in self.0.iter().zip(cells) {
            column.write(cell, json);
        }
        json.push(b'}');
        json.len() <= RECORD_MAX_BYTES
    }
}

impl Column {
    fn new(name: &str, schema: &VariableSchema) -> Self {
        let mut json_key = Vec::new();
        push_string(name, &mut json_key);
        json_key.push(b':');
        // The number to call is read like any other phone number.
        let own = (name == PHONE).then_some(VariableType::Phone);
        let kind = own.or_else(|| schema.get(name).map(|variable| variable.kind));
        Self { name: name.to_owned(), json_key, kind }
    }

    fn write(&self, cell: &str, json: &mut Vec<u8>) {
        let trimmed = cell.trim();
        let text = match self.kind {
            Some(VariableType::Phone) => unwrapped(trimmed),
            Some(VariableType::Number | VariableType::Boolean | VariableType::Date) => trimmed,
            None if self.name == "timezone" => trimmed,
            Some(VariableType::String) | None => cell,
        };
        if text.is_empty() {
            return;
        }
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend_from_slice(&self.json_key);
        match self.kind {
            Some(VariableType::Number) if is_number(text) => json.extend(text.as_bytes()),
            Some(VariableType::Boolean) if text.eq_ignore_ascii_case("true") => {
                json.extend(b"true");
            }
            Some(VariableType::Boolean) if text.eq_ignore_ascii_case("false") => {
                json.extend(b"false");
            }
            _ => push_string(text, json),
        }
    }
}

/// Without the `="…"` that keeps spreadsheets from making a number of a phone number.
fn unwrapped(text: &str) -> &str {
    let inner = text.strip_prefix("=\"").and_then(|text| text.strip_suffix('"'));
    inner.map_or(text, str::trim)
}

/// As JSON writes numbers.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text)
            .is_ok_and(|raw| raw.get().len() == text.len())
}

fn push_string(text: &str, json: &mut Vec<u8>) {
    // Most texts have nothing to escape.
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        serde_json::to_writer(json, text).expect("text can be written to memory");
    }
}

/// Names, for people.
fn shown(names: &[&str]) -> String {
    let few: Vec<String> = names
        .iter()
        .take(NAMES_SHOWN)
        .map(|name| format!("`{}`", name.chars().take(NAME_SHOWN_CHARS).collect::<String>()))
        .collect();
    let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
    let close = names.iter().find(|name| {
        let squeezed: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
        ["phonenumber", "phone", "number", "mobile", "tel"]
            .contains(&squeezed.to_lowercase().as_str())
    });
    let advice = match close {
        Some(name) => format!("; rename `{name}`"),
        None => String::new(),
    };
    format!("{}{more}{advice}", few.join(", "))
}
