//! Calls as rows of CSV (RFC 4180): quoted where needed, CRLF, UTF-8.
//!
//! A cell that a spreadsheet would run as a formula begins with an apostrophe; a plain number, also
//! one with a sign, is none, so that phone numbers stay what they are.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use outdial_core::call::CallState;
use outdial_ports::store::CallView;

use super::call::{call_status, phone_logs, zones};
use super::record::{Field, fields};

/// Most fields of contacts that get a column; the others stand together in `otherFields`, as JSON.
const COLUMNS_MAX: usize = 1000;
/// Columns of our own; fields of contacts that collide with them are `variables.NAME`.
const OURS: [&str; 9] = [
    "_id",
    "phoneNumber",
    "callStatus",
    "reason",
    "attempts",
    "callDuration",
    "lastCallAt",
    "createdAt",
    "appliedTimezone",
];
const OTHERS: &str = "otherFields";

/// The fields of contacts that get a column, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    names: Vec<String>,
    known: BTreeSet<String>,
    is_full: bool,
}

impl Columns {
    /// Learns the fields of these.
    pub(crate) fn learn(&mut self, calls: &[CallView]) {
        for call in calls {
            for field in own_fields(call) {
                let name = name(&field);
                if self.known.contains(&*name) {
                    continue;
                }
                if self.names.len() == COLUMNS_MAX {
                    self.is_full = true;
                    continue;
                }
                self.known.insert(name.clone().into_owned());
                self.names.push(name.into_owned());
            }
        }
    }
}

/// Makes the text of a sheet.
#[derive(Debug)]
pub(crate) struct Sheet {
    columns: Columns,
}

impl Sheet {
    /// With these columns.
    pub(crate) fn new(columns: Columns) -> Self {
        Self { columns }
    }

    /// The first row.
    pub(crate) fn header(&self) -> String {
        let mut row = Row::default();
        for name in OURS {
            row.cell(name);
        }
        for name in &self.columns.names {
            row.cell(&column(name));
        }
        if self.columns.is_full {
            row.cell(OTHERS);
        }
        row.end()
    }

    /// A row for each.
    pub(crate) fn rows(&self, calls: &[CallView]) -> String {
        calls.iter().map(|call| self.row(call)).collect()
    }

    fn row(&self, call: &CallView) -> String {
        let logs = phone_logs(call);
        let mut row = Row::default();
        row.cell(&call.id.to_string());
        row.cell(&call.phone.to_string());
        row.cell(call_status(call));
        row.cell(reason(call));
        row.cell(&logs.len().to_string());
        row.cell(&logs.iter().map(|log| log.call_duration).sum::<u64>().to_string());
        row.cell(&logs.last().map_or_else(String::new, |log| log.created_at.to_string()));
        row.cell(&call.created_at.to_string());
        row.cell(zones(&call.class));
        let mut own: BTreeMap<Cow<'_, str>, &str> = BTreeMap::new();
        let own_fields = own_fields(call);
        for field in &own_fields {
            own.entry(name(field)).or_insert(field.raw_value);
        }
        for wanted in &self.columns.names {
            let found = own.get(wanted.as_str());
            row.cell(&found.map_or(Cow::Borrowed(""), |raw| value(raw)));
        }
        if self.columns.is_full {
            let others: Vec<String> = own_fields
                .iter()
                .filter(|f| !self.columns.known.contains(&*name(f)))
                .map(|f| format!("{}:{}", f.raw_key, f.raw_value))
                .collect();
            let text = format!("{{{}}}", others.join(","));
            row.cell(if others.is_empty() { "" } else { &text });
        }
        row.end()
    }
}

/// Of a contact, but its number where that says what our column says.
fn own_fields(call: &CallView) -> Vec<Field<'_>> {
    let digits = call.phone.to_string();
    let mut own = fields(&call.fields);
    own.retain(|f| {
        let sent = f.raw_value.trim_matches('"');
        !(f.is("phoneNumber") && sent.strip_prefix('+').unwrap_or(sent) == digits)
    });
    own
}

fn name<'a>(field: &Field<'a>) -> Cow<'a, str> {
    value(field.raw_key)
}

/// The column of a field.
fn column(name: &str) -> Cow<'_, str> {
    if OURS.contains(&name) || name == OTHERS {
        return Cow::Owned(format!("variables.{name}"));
    }
    Cow::Borrowed(name)
}

/// Why it ended as it did, where something says so.
fn reason(call: &CallView) -> &str {
    match call.state {
        CallState::Finished => {
            let last = call.attempts.last().and_then(|a| a.reason.as_deref());
            call.disposition_reason.as_deref().or(last).unwrap_or_default()
        }
        _ => "",
    }
}

/// What stands in a cell: a string as it reads, everything else as its JSON text; `null` is empty.
fn value(raw: &str) -> Cow<'_, str> {
    match raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
        _ if raw == "null" => Cow::Borrowed(""),
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        Some(_) => serde_json::from_str(raw).map_or(Cow::Borrowed(raw), Cow::Owned),
        None => Cow::Borrowed(raw),
    }
}

#[derive(Default)]
struct Row(String);

impl Row {
    fn cell(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        let text = harmless(text);
        let needs = text.is_empty() && self.0.is_empty()
            || text.contains(['"', ',', ';', '\t', '\r', '\n'])
            || text.starts_with(' ')
            || text.ends_with(' ');
        if !needs {
            self.0.push_str(&text);
            return;
        }
        self.0.push('"');
        self.0.push_str(&text.replace('"', "\"\""));
        self.0.push('"');
    }

    fn end(mut self) -> String {
        self.0.push_str("\r\n");
        self.0
    }
}

/// What a spreadsheet runs begins with one of these, blanks aside.
fn harmless(text: &str) -> Cow<'_, str> {
    let starts = text
        .trim_start_matches([' ', '\u{a0}'])
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if starts && !is_number(text) {
        return Cow::Owned(format!("'{text}"));
    }
    Cow::Borrowed(text)
}

/// A sign and digits, as phone numbers and amounts are written: `+1 212-555-1001`, `-12.50`.
fn is_number(text: &str) -> bool {
    if let Some(amount) = text.strip_prefix('-') {
        return amount.starts_with(|c: char| c.is_ascii_digit())
            && amount.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '(')
        && digits.bytes().all(|b| b.is_ascii_digit() || b" -.()".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_harmless() {
        let cases = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            (" =1+1", "' =1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\"'\t=1\""),
            ("-A1", "'-A1"),
            ("-1-2", "'-1-2"),
            ("-12.50", "-12.50"),
            ("+A1", "'+A1"),
            ("＝1", "'＝1"),
            ("+12125551001", "+12125551001"),
            ("+1 (212) 555-1001", "+1 (212) 555-1001"),
            ("-12.50", "-12.50"),
            ("-", "'-"),
            ("+1e5", "'+1e5"),
            ("a=b", "a=b"),
        ];
        for (text, expected) in cases {
            let mut row = Row("x".to_owned());
            row.cell(text);
            assert_eq!(row.end(), format!("x,{expected}\r\n"), "{text}");
        }
    }

    #[test]
    fn values_read_as_they_would_be_typed() {
        assert_eq!(value("\"a\""), "a");
        assert_eq!(value("\"\\u00e9\\n\""), "é\n");
        assert_eq!(value("null"), "");
        assert_eq!(value("12345678901234567890"), "12345678901234567890");
        assert_eq!(value("{\"a\":[1]}"), "{\"a\":[1]}");
        assert_eq!(column("attempts"), "variables.attempts");
        assert_eq!(column("name"), "name");
    }
}
