//! Lists of contacts out of files, as the `call_data` of a request. Every field is handed on as it
//! stands; whether it is any good is for the server to say.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A list ready to be sent.
#[derive(Debug)]
pub(crate) struct Contacts {
    /// A JSON array of objects.
    pub(crate) json: Vec<u8>,
    /// How many records it has.
    pub(crate) count: u64,
    /// Of a CSV file: on which line each record begins.
    lines: Vec<u64>,
}

impl Contacts {
    /// Reads a `.csv` or `.json` file.
    pub(crate) fn from_file(path: &Path) -> Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("{shown} cannot be read"))?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Self::from_csv(bytes.as_slice()),
            "json" => Self::from_json(&bytes),
            _ => bail!("{shown}: a .csv or .json file is needed"),
        }
        .with_context(|| shown.to_string())
    }

    /// Reads CSV: a header row with the names of the fields, one contact a row. Every value is a
    /// string; an empty cell is a field that the contact does not have.
    pub(crate) fn from_csv(bytes: impl Read) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(bytes);
        let headers = reader.headers()?.clone();
        check_headers(&headers)?;
        let (mut json, mut lines) = (vec![b'['], Vec::new());
        for row in reader.records() {
            let row = row?;
            if !lines.is_empty() {
                json.push(b',');
            }
            lines.push(row.position().map_or(0, csv::Position::line));
            let cells = headers.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty());
            write_object(&mut json, cells)?;
        }
        json.push(b']');
        Self { json, count: lines.len() as u64, lines }.not_empty()
    }

    /// Reads JSON: an array of objects, alone or as `call_data` of an object.
    fn from_json(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Wrapped<'a> {
            #[serde(borrow, alias = "callData")]
            call_data: &'a RawValue,
        }
        let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
        let array = match first {
            Some(b'{') => serde_json::from_slice::<Wrapped<'_>>(bytes)
                .context("an object must have the contacts under `call_data`")?
                .call_data
                .get()
                .as_bytes(),
            _ => bytes,
        };
        let records: Vec<&RawValue> =
            serde_json::from_slice(array).context("an array of contacts is needed")?;
        let count = records.len() as u64;
        Self { json: array.to_vec(), count, lines: Vec::new() }.not_empty()
    }

    /// Where record `index` (from 0) stands, for people.
    pub(crate) fn place(&self, index: u64) -> String {
        match usize::try_from(index).ok().and_then(|i| self.lines.get(i)) {
            Some(line) => format!("line {line}"),
            None => format!("record {}", index + 1),
        }
    }

    fn not_empty(self) -> Result<Self> {
        match self.count {
            0 => bail!("there is no contact in it"),
            _ => Ok(self),
        }
    }
}

fn check_headers(headers: &csv::StringRecord) -> Result<()> {
    if !headers.iter().any(|h| h == "phoneNumber") {
        bail!(
            "the header row must name a column phoneNumber; it names {}",
            headers.iter().collect::<Vec<_>>().join(", ")
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    match headers.iter().find(|h| !seen.insert(*h)) {
        Some(twice) => bail!("two columns are named `{twice}`"),
        None => Ok(()),
    }
}

/// Written by hand, so that the fields keep the order of the columns.
fn write_object<'a>(
    json: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    json.push(b'{');
    for (i, (key, value)) in fields.enumerate() {
        if i > 0 {
            json.push(b',');
        }
        serde_json::to_writer(&mut *json, key)?;
        json.push(b':');
        serde_json::to_writer(&mut *json, value)?;
    }
    json.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> Result<(String, Contacts)> {
        let contacts = Contacts::from_csv(text.as_bytes())?;
        Ok((String::from_utf8(contacts.json.clone())?, contacts))
    }

    #[test]
    fn rows_become_objects_in_the_order_of_the_columns() {
        let rows = [
            "\u{feff}phoneNumber, name ,a",
            "1212,\"J \"\"x\"\" é\",",
            "1213,\"two",
            "lines\",7",
            "1214,z,",
        ];
        let (json, contacts) = csv(&rows.join("\n")).unwrap();
        assert_eq!(
            json,
            "[{\"phoneNumber\":\"1212\",\"name\":\"J \\\"x\\\" é\"},\
             {\"phoneNumber\":\"1213\",\"name\":\"two\\nlines\",\"a\":\"7\"},\
             {\"phoneNumber\":\"1214\",\"name\":\"z\"}]"
        );
        assert_eq!(contacts.count, 3);
        assert_eq!(contacts.place(0), "line 2");
        assert_eq!(contacts.place(2), "line 5");
    }

    #[test]
    fn files_that_cannot_be_lists_say_why() {
        for (text, word) in [
            ("phone\n1\n", "phoneNumber"),
            ("phoneNumber,a,a\n1,2,3\n", "`a`"),
            ("phoneNumber\n", "no contact"),
            ("phoneNumber,a\n1\n", "fields"),
        ] {
            let message = format!("{:#}", csv(text).unwrap_err());
            assert!(message.contains(word), "{text}: {message}");
        }
    }

    #[test]
    fn json_stays_as_it_is() {
        let array =
            r#"[ {"phoneNumber": 12125550100, "n": 1234567890123456789012345678901234567890} ]"#;
        let wrapped = format!(r#" {{"call_data": {array} }}"#);
        for text in [array, &wrapped] {
            let contacts = Contacts::from_json(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(contacts.json.clone()).unwrap().trim(), array);
            assert_eq!((contacts.count, contacts.place(0)), (1, "record 1".to_owned()));
        }
        assert!(Contacts::from_json(b"{}").is_err());
        assert!(Contacts::from_json(b"[]").is_err());
    }

    #[test]
    fn the_shipped_list_shows_every_row_of_the_simulated_table_twice() {
        let file = include_str!("../../../examples/contacts.csv");
        let mut seen = [0; 100];
        for row in csv::Reader::from_reader(file.as_bytes()).records() {
            let row = row.unwrap();
            let number: u64 = row[0].parse().unwrap();
            seen[usize::try_from(number % 100).unwrap()] += 1;
        }
        assert_eq!(seen, [2; 100]);
    }
}
