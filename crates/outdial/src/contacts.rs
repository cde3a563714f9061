//! Lists of contacts out of files, as the `call_data` of requests of bounded size: CSV, workbooks,
//! JSON and NDJSON. What can be told without the server is told here; the rest is for it to say.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use outdial_core::contact::{Checker, Faults, Rules, no_candidate_zones};
use outdial_core::phone::Country;
use outdial_core::variables::VariableSchema;
use outdial_core::zone::Zone;
use outdial_ingest::{Rows, TableKind, TableLimits, read_table};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A request has at most so many records …
const PART_RECORDS: u64 = 50_000;
/// … and is full with so many bytes of them.
const PART_BYTES: usize = 16 << 20;
/// How many faults of a part are told one by one.
const FAULTS_KEPT: usize = 1_000;

/// The records of one request.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    /// A JSON array of objects.
    pub(crate) json: Vec<u8>,
    /// How many records it has.
    pub(crate) count: u64,
    /// Where in the file each stands: its row or its position, from 1.
    places: Vec<u64>,
    is_table: bool,
}

/// What is wrong with a record, and where it stands.
#[derive(Debug)]
pub(crate) struct Fault {
    /// `row 3`, `record 7`.
    pub(crate) place: String,
    /// Which field; empty: the record as a whole.
    pub(crate) field: String,
    /// For programs.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
}

/// The next records of a file: the good ones, and what is wrong with the others.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The good ones.
    pub(crate) contacts: Contacts,
    /// The first faults.
    pub(crate) faults: Vec<Fault>,
    /// All of them.
    pub(crate) fault_count: u64,
    /// How many records have some.
    pub(crate) rejected: u64,
}

/// A file with contacts.
#[derive(Clone, Debug)]
pub(crate) struct ContactFile {
    path: PathBuf,
    kind: FileKind,
}

#[derive(Clone, Copy, Debug)]
enum FileKind {
    Table(TableKind),
    /// One value: an array of records, alone or as `call_data` of an object.
    Json,
    /// Record after record.
    Lines,
}

impl ContactFile {
    /// A file that is what its name says.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let kind = match (TableKind::of_name(name), extension.to_ascii_lowercase().as_str()) {
            (Some(kind), _) => FileKind::Table(kind),
            (None, "json") => FileKind::Json,
            (None, "ndjson" | "jsonl") => FileKind::Lines,
            _ => bail!("{}: a .csv, .xlsx, .xls, .json or .ndjson file is needed", path.display()),
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    /// Reads the whole file, part by part, in little memory. `schema`: what the agent declares. It
    /// blocks. `emit` says whether to go on.
    pub(crate) fn read(
        &self,
        schema: VariableSchema,
        mut emit: impl FnMut(Part) -> bool,
    ) -> Result<()> {
        let shown = self.path.display();
        let file = File::open(&self.path).with_context(|| format!("{shown} cannot be read"))?;
        let builder = Builder::new(schema, matches!(self.kind, FileKind::Table(_)), &mut emit);
        read(self.kind, file, builder).with_context(|| shown.to_string())
    }
}

fn read(kind: FileKind, source: impl Read + Seek, mut builder: Builder<'_>) -> Result<()> {
    match kind {
        FileKind::Table(kind) => {
            let (schema, limits) = (builder.checker.rules().schema.clone(), table_limits());
            read_table(kind, source, schema, limits, |rows| builder.rows(&rows))?;
        }
        FileKind::Json => {
            let mut json = serde_json::Deserializer::from_reader(BufReader::new(source));
            let read = json.deserialize_any(Top(&mut builder)).and_then(|()| json.end());
            if !builder.stopped {
                read.context("an array of contacts is needed")?;
            }
        }
        FileKind::Lines => {
            let json = serde_json::Deserializer::from_reader(BufReader::new(source));
            for record in json.into_iter::<Box<RawValue>>() {
                let at = builder.seen + 1;
                let record = record.with_context(|| format!("record {at}"))?;
                if !builder.record(record.get()) {
                    break;
                }
            }
        }
    }
    builder.finish()
}

/// The file is the user's own, and goes in pieces: there may be as much of it as there is.
fn table_limits() -> TableLimits {
    TableLimits { rows: u32::MAX, unpacked_bytes: 16 << 30, ..TableLimits::default() }
}

/// Makes parts out of records.
struct Builder<'a> {
    checker: Checker,
    is_table: bool,
    open: Part,
    /// Records so far.
    seen: u64,
    stopped: bool,
    emit: &'a mut dyn FnMut(Part) -> bool,
}

impl<'a> Builder<'a> {
    fn new(schema: VariableSchema, is_table: bool, emit: &'a mut dyn FnMut(Part) -> bool) -> Self {
        let open = Part::default();
        let checker = Checker::new(rules(schema));
        Self { checker, is_table, open, seen: 0, stopped: false, emit }
    }

    fn rows(&mut self, rows: &Rows) -> bool {
        let checked = rows.check(&mut self.checker, FAULTS_KEPT);
        for (i, contact) in checked.validation.contacts.iter().enumerate() {
            if let (Some(_), Some(text), Some(row)) = (contact, rows.records().text(i), rows.row(i))
            {
                self.push(text, row.into());
            }
        }
        let faults = checked.faults.into_iter().map(|fault| Fault {
            place: format!("row {}", fault.row),
            field: fault.field.unwrap_or_default(),
            code: fault.code.to_owned(),
            message: fault.message,
        });
        self.open.faults.extend(faults);
        self.open.fault_count += checked.fault_count;
        self.open.rejected += u64::from(checked.rejected);
        self.seen += rows.len() as u64;
        self.emit_if_full()
    }

    fn record(&mut self, text: &str) -> bool {
        let mut faults = Faults::new(FAULTS_KEPT);
        self.seen += 1;
        let place = format!("record {}", self.seen);
        if self.checker.check_text(0, text, &mut faults).is_some() {
            self.push(text, self.seen);
        } else {
            let own = faults.kept().iter().map(|fault| Fault {
                place: place.clone(),
                field: fault.field.clone().unwrap_or_default(),
                code: fault.code.as_str().to_owned(),
                message: fault.message.clone(),
            });
            let room = FAULTS_KEPT.saturating_sub(self.open.faults.len());
            self.open.faults.extend(own.take(room));
            self.open.fault_count += faults.count();
            self.open.rejected += 1;
        }
        self.emit_if_full()
    }

    fn push(&mut self, text: &str, place: u64) {
        let contacts = &mut self.open.contacts;
        contacts.json.push(if contacts.count == 0 { b'[' } else { b',' });
        contacts.json.extend_from_slice(text.as_bytes());
        contacts.places.push(place);
        contacts.count += 1;
    }

    fn emit_if_full(&mut self) -> bool {
        let full = self.open.contacts.count >= PART_RECORDS
            || self.open.contacts.json.len() >= PART_BYTES
            || self.open.rejected >= PART_RECORDS;
        !full || self.emit_open()
    }

    fn emit_open(&mut self) -> bool {
        let mut part = std::mem::take(&mut self.open);
        if part.contacts.count == 0 {
            part.contacts.json.push(b'[');
        }
        part.contacts.json.push(b']');
        part.contacts.is_table = self.is_table;
        self.stopped = !(self.emit)(part);
        !self.stopped
    }

    fn finish(&mut self) -> Result<()> {
        if self.seen == 0 {
            bail!("there is no contact in it");
        }
        if !self.stopped && (self.open.contacts.count > 0 || self.open.rejected > 0) {
            self.emit_open();
        }
        Ok(())
    }
}

/// What is wrong whatever the workspace allows.
fn rules(schema: VariableSchema) -> Rules {
    let letters = || (b'A'..=b'Z').map(char::from);
    let pairs = letters().flat_map(|a| letters().map(move |b| format!("{a}{b}")));
    Rules {
        schema,
        allowed_countries: pairs.filter_map(|code| code.parse::<Country>().ok()).collect(),
        allow_special_numbers: true,
        batch_zone: None,
        workspace_zone: Zone::utc(),
        candidate_zones: no_candidate_zones,
    }
}

impl Contacts {
    /// Reads CSV as one request; every row must be good.
    pub(crate) fn from_csv(bytes: &[u8]) -> Result<Self> {
        let schema = VariableSchema::new(Vec::new()).context("no variable is a good schema")?;
        let mut parts = Vec::new();
        let mut emit = |part| {
            parts.push(part);
            true
        };
        let builder = Builder::new(schema, true, &mut emit);
        read(FileKind::Table(TableKind::Csv), Cursor::new(bytes), builder)?;
        match (parts.pop(), parts.is_empty()) {
            (Some(part), true) if part.rejected == 0 => Ok(part.contacts),
            _ => bail!("it has faults, or is too long for one request"),
        }
    }

    /// Where record `index` (from 0) stands, for people.
    pub(crate) fn place(&self, index: u64) -> String {
        let place = usize::try_from(index).ok().and_then(|i| self.places.get(i));
        let word = if self.is_table { "row" } else { "record" };
        format!("{word} {}", place.copied().unwrap_or(index + 1))
    }

    /// A fault that the server found.
    pub(crate) fn fault(&self, answer: &Value) -> Fault {
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        Fault {
            place: self.place(answer["index"].as_u64().unwrap_or_default()),
            field: text("field"),
            code: text("code"),
            message: text("message"),
        }
    }
}

impl Fault {
    /// As `--json` shows it.
    pub(crate) fn as_json(&self) -> Value {
        json!({
            "place": self.place, "field": self.field, "code": self.code, "message": self.message,
        })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = if self.field.is_empty() { String::new() } else { format!(" {}:", self.field) };
        write!(f, "{}:{field} {} ({})", self.place, self.message, self.code)
    }
}

/// The whole of a JSON file.
struct Top<'a, 'b>(&'a mut Builder<'b>);

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of contacts, or an object with one under `call_data`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(record) = seq.next_element::<Box<RawValue>>()? {
            if !self.0.record(record.get()) {
                return Err(A::Error::custom("no more are wanted"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "call_data" | "callData" if found => {
                    return Err(A::Error::duplicate_field("call_data"));
                }
                "call_data" | "callData" => {
                    found = true;
                    map.next_value_seed(Top(&mut *self.0))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match found {
            true => Ok(()),
            false => Err(A::Error::missing_field("call_data")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose() -> VariableSchema {
        VariableSchema::new(Vec::new()).unwrap()
    }

    fn parts(kind: FileKind, text: &str) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let mut emit = |part| {
            parts.push(part);
            true
        };
        let is_table = matches!(kind, FileKind::Table(_));
        read(kind, Cursor::new(text), Builder::new(loose(), is_table, &mut emit))?;
        Ok(parts)
    }

    #[test]
    fn rows_become_objects_in_the_order_of_the_columns() {
        let text = "\u{feff}phoneNumber, name ,a\n12125551001,\"J \"\"x\"\" é\",\
            \n\n12125551002,\"two\nlines\",7\n";
        let contacts = Contacts::from_csv(text.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(contacts.json.clone()).unwrap(),
            "[{\"phoneNumber\":\"12125551001\",\"name\":\"J \\\"x\\\" é\"},\
             {\"phoneNumber\":\"12125551002\",\"name\":\"two\\nlines\",\"a\":\"7\"}]"
        );
        assert_eq!((contacts.count, contacts.place(1)), (2, "row 4".to_owned()));
    }

    #[test]
    fn json_stays_as_it_is() {
        let record = r#"{"phoneNumber": 12125550100, "n": 1.50}"#;
        let array = format!("[ {record} ]");
        let wrapped = format!(r#" {{"batchId": "x", "call_data": {array} }}"#);
        for (kind, text) in [
            (FileKind::Json, array),
            (FileKind::Json, wrapped),
            (FileKind::Lines, format!("{record}\n")),
        ] {
            let parts = parts(kind, &text).unwrap();
            assert_eq!(parts[0].contacts.json, format!("[{record}]").as_bytes());
            assert_eq!(parts[0].contacts.place(0), "record 1");
        }
        for text in ["{}", "[]", "5", "", "[1", r#"{"call_data":{}}"#, r#"[{"phoneNumber":1}] x"#] {
            assert!(parts(FileKind::Json, text).is_err(), "{text}");
        }
    }

    #[test]
    fn long_lists_go_in_parts_and_faults_keep_their_places() {
        let record = |n: u64| format!("{{\"phoneNumber\":\"1212555{:04}\"}}\n", 1000 + n % 9000);
        let mut text: String = (0..60_000).map(record).collect();
        text += "7\n";
        let parts = parts(FileKind::Lines, &text).unwrap();
        let counts: Vec<_> = parts.iter().map(|part| part.contacts.count).collect();
        assert_eq!(counts, [50_000, 10_000]);
        assert_eq!(parts[1].contacts.place(0), "record 50001");
        let fault = &parts[1].faults[0];
        assert_eq!((fault.place.as_str(), fault.code.as_str()), ("record 60001", "not_an_object"));
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
