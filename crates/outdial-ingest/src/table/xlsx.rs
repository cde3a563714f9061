//! `.xlsx`: the first worksheet of a workbook, row by row.
//!
//! A cell becomes its text: a shared or own string, `true` or `false`, digits, an ISO 8601 date. A
//! formula is its last result. A cell that holds an error makes its row a fault.

use std::io::{Read, Seek};

use quick_xml::events::{BytesStart, Event};

use super::book::{BookRow, Sink};
use super::number::Format;
use super::package::{PARTS_MAX, Package, Xml, attribute, broken, push_text};
use super::rows::Gatherer;
use super::strings::Strings;
use super::{FORMATS_MAX, TableError, TableLimits};

/// What a pointer can be to, by the end of its type.
const KINDS: [&str; 4] = ["officeDocument", "worksheet", "sharedStrings", "styles"];
/// Most bytes of the names and places in a list of such pointers.
const RELATIONS_MAX_BYTES: usize = 1 << 20;

/// Reads the first worksheet.
pub(super) fn read(
    source: impl Read + Seek,
    limits: &TableLimits,
    gatherer: &mut Gatherer,
    sink: &mut Sink<'_>,
) -> Result<(), TableError> {
    let mut package = Package::open(source, limits.unpacked_bytes)?;
    let book = Workbook::read(&mut package)?;
    let strings = match &book.strings {
        Some(path) => read_strings(&mut package, path, limits.shared_bytes)?,
        None => Strings::default(),
    };
    let formats = match &book.styles {
        Some(path) => read_formats(&mut package, path)?,
        None => Vec::new(),
    };
    let mut sheet = package.part(&book.sheet)?.ok_or(TableError::NoSheet)?;
    let mut reader = Sheet {
        strings: &strings,
        formats: &formats,
        from_1904: book.from_1904,
        row: BookRow::default(),
        cell: Cell::default(),
    };
    reader.read(&mut sheet, gatherer, sink)
}

/// Where the parts are.
#[derive(Default)]
struct Workbook {
    sheet: String,
    strings: Option<String>,
    styles: Option<String>,
    from_1904: bool,
}

impl Workbook {
    fn read<R: Read + Seek>(package: &mut Package<R>) -> Result<Self, TableError> {
        let root = relations(package, "_rels/.rels", "")?;
        let main = root.iter().find(|r| r.kind == "officeDocument");
        let main = main.map_or("xl/workbook.xml", |r| r.target.as_str());
        let (folder, file) = main.rsplit_once('/').unwrap_or(("", main));
        let rels = relations(package, &join(folder, &format!("_rels/{file}.rels")), folder)?;
        let path = |kind| rels.iter().find(|r| r.kind == kind).map(|r| r.target.clone());
        let mut book =
            Self { strings: path("sharedStrings"), styles: path("styles"), ..Self::default() };
        let no_book = || TableError::Broken("this is no .xlsx workbook".to_owned());
        let mut sheets = 0;
        let mut xml = package.part(main)?.ok_or_else(no_book)?;
        while let Some(event) = xml.next()? {
            let (Event::Start(tag) | Event::Empty(tag)) = event else { continue };
            match tag.local_name().as_ref() {
                "workbookPr" => {
                    let word = attribute(&tag, "date1904").unwrap_or_default();
                    book.from_1904 = word == "1" || word == "true";
                }
                // The first that has cells: a chart on a sheet of its own has none.
                "sheet" if book.sheet.is_empty() && sheets < PARTS_MAX => {
                    sheets += 1;
                    let id = attribute(&tag, "id").unwrap_or_default();
                    let found = rels.iter().find(|r| r.id == id && r.kind == "worksheet");
                    book.sheet = found.map(|r| r.target.clone()).unwrap_or_default();
                }
                _ => {}
            }
        }
        match book.sheet.is_empty() {
            true => Err(TableError::NoSheet),
            false => Ok(book),
        }
    }
}

/// One part's pointer to another.
struct Relation {
    id: String,
    /// One of [`KINDS`].
    kind: &'static str,
    /// From the root.
    target: String,
}

/// Pointers of other kinds are to pictures, links and the like.
fn relations<R: Read + Seek>(
    package: &mut Package<R>,
    path: &str,
    folder: &str,
) -> Result<Vec<Relation>, TableError> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    let Some(mut xml) = package.part(path)? else { return Ok(all) };
    while let Some(event) = xml.next()? {
        let (Event::Start(tag) | Event::Empty(tag)) = event else { continue };
        if tag.local_name().as_ref() != "Relationship" {
            continue;
        }
        let get = |name| attribute(&tag, name).unwrap_or_default();
        let kind = get("Type");
        let name = kind.rsplit('/').next();
        let Some(kind) = KINDS.into_iter().find(|kind| name == Some(kind)) else { continue };
        let (id, target) = (get("Id"), join(folder, &get("Target")));
        bytes += id.len() + target.len();
        if all.len() == PARTS_MAX || bytes > RELATIONS_MAX_BYTES {
            return Err(broken(&"it has too many parts"));
        }
        all.push(Relation { id, kind, target });
    }
    Ok(all)
}

/// A path as a part in `folder` writes it, from the root.
fn join(folder: &str, path: &str) -> String {
    if let Some(absolute) = path.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut steps: Vec<&str> = folder.split('/').filter(|s| !s.is_empty()).collect();
    for step in path.split('/') {
        match step {
            "." | "" => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.join("/")
}

/// The texts that cells share; `max`: bytes of memory for them.
fn read_strings<R: Read + Seek>(
    package: &mut Package<R>,
    path: &str,
    max: u64,
) -> Result<Strings, TableError> {
    let mut all = Strings::default();
    let Some(mut xml) = package.part(path)? else { return Ok(all) };
    let (mut one, mut in_text, mut in_reading) = (String::new(), false, false);
    while let Some(event) = xml.next()? {
        match &event {
            Event::Empty(tag) if tag.local_name().as_ref() == "si" => all.push("", max)?,
            Event::Start(tag) => match tag.local_name().as_ref() {
                "si" => one.clear(),
                "t" => in_text = !in_reading,
                // How it is pronounced, beside the text.
                "rPh" => in_reading = true,
                _ => {}
            },
            Event::End(tag) => match tag.local_name().as_ref() {
                "si" => all.push(&unescaped(&one), max)?,
                "t" => in_text = false,
                "rPh" => in_reading = false,
                _ => {}
            },
            _ if in_text => push_text(&event, &mut one)?,
            _ => {}
        }
    }
    Ok(all)
}

/// How the numbers of each cell style are to be read.
fn read_formats<R: Read + Seek>(
    package: &mut Package<R>,
    path: &str,
) -> Result<Vec<Format>, TableError> {
    let mut formats = Vec::new();
    let mut codes = std::collections::BTreeMap::new();
    let Some(mut xml) = package.part(path)? else { return Ok(formats) };
    let mut in_cells = false;
    while let Some(event) = xml.next()? {
        match &event {
            Event::End(tag) if tag.local_name().as_ref() == "cellXfs" => in_cells = false,
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                "cellXfs" => in_cells = true,
                "numFmt" if codes.len() < FORMATS_MAX => {
                    let id = attribute(tag, "numFmtId").and_then(|id| id.parse::<u32>().ok());
                    let code = attribute(tag, "formatCode").unwrap_or_default();
                    codes.extend(id.map(|id| (id, Format::of_code(&code))));
                }
                "xf" if in_cells && formats.len() < FORMATS_MAX => {
                    let id = attribute(tag, "numFmtId").and_then(|id| id.parse().ok()).unwrap_or(0);
                    formats.push(codes.get(&id).copied().unwrap_or_else(|| Format::builtin(id)));
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok(formats)
}

/// The cell being read.
#[derive(Default)]
struct Cell {
    column: usize,
    kind: String,
    style: usize,
    value: String,
    in_value: bool,
    in_reading: bool,
}

struct Sheet<'a> {
    strings: &'a Strings,
    formats: &'a [Format],
    from_1904: bool,
    row: BookRow,
    cell: Cell,
}

impl Sheet<'_> {
    fn read(
        &mut self,
        xml: &mut Xml<impl Read>,
        gatherer: &mut Gatherer,
        sink: &mut Sink<'_>,
    ) -> Result<(), TableError> {
        // Rows and columns that do not say where they are follow the one before.
        let (mut last_row, mut next_column) = (0_u32, 0);
        while let Some(event) = xml.next()? {
            match &event {
                Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "row" => {
                    let own = attribute(tag, "r").and_then(|r| r.parse::<u32>().ok());
                    last_row = own.unwrap_or_default().max(last_row.saturating_add(1));
                    next_column = 0;
                    self.row.start(last_row);
                }
                Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "c" => {
                    self.cell = Cell::start(tag, next_column);
                    next_column = self.cell.column + 1;
                }
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "v" | "t" => self.cell.in_value = !self.cell.in_reading,
                    "rPh" => self.cell.in_reading = true,
                    _ => {}
                },
                Event::End(tag) => match tag.local_name().as_ref() {
                    "v" | "t" => self.cell.in_value = false,
                    "rPh" => self.cell.in_reading = false,
                    "c" => self.end_cell(),
                    "row" if !self.row.hand_on(gatherer, sink)? => return Ok(()),
                    "sheetData" => return Ok(()),
                    _ => {}
                },
                _ if self.cell.in_value => push_text(&event, &mut self.cell.value)?,
                _ => {}
            }
        }
        Err(broken(&"its sheet ends in the middle"))
    }

    fn end_cell(&mut self) {
        let cell = std::mem::take(&mut self.cell);
        let value = &cell.value;
        let column = cell.column;
        if value.is_empty() {
            return;
        }
        match cell.kind.as_str() {
            "s" => match value.trim().parse().ok().and_then(|index| self.strings.get(index)) {
                Some(text) => self.row.put(column, text),
                None => self.row.fault(column, "points to a text that the workbook does not have"),
            },
            "b" if value.trim() == "1" => self.row.put(column, "true"),
            "b" if value.trim() == "0" => self.row.put(column, "false"),
            "e" => {
                let shown: String = value.chars().take(20).collect();
                self.row.fault(column, &format!("holds the error {shown}"));
            }
            "" | "n" => {
                let format = self.formats.get(cell.style).copied().unwrap_or(Format::Number);
                match format.text(value, self.from_1904) {
                    Some(text) => self.row.put(column, &text),
                    None => self.row.fault(column, "is said to hold a number, and does not"),
                }
            }
            "inlineStr" | "str" => self.row.put(column, &unescaped(value)),
            // A date as text, and whatever else is text.
            _ => self.row.put(column, value),
        }
    }
}

impl Cell {
    fn start(tag: &BytesStart<'_>, next: usize) -> Self {
        let place = attribute(tag, "r");
        Self {
            column: place.as_deref().and_then(column_of).unwrap_or(next),
            kind: attribute(tag, "t").unwrap_or_default(),
            style: attribute(tag, "s").and_then(|s| s.parse().ok()).unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// `C7` is in column 2.
fn column_of(place: &str) -> Option<usize> {
    let letters = place.bytes().take_while(u8::is_ascii_alphabetic);
    let column =
        letters.take(4).fold(0, |sum, b| sum * 26 + usize::from(b.to_ascii_uppercase() - b'A') + 1);
    column.checked_sub(1)
}

/// With `_x000D_` and the like, which stand for what XML cannot say, undone.
fn unescaped(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains("_x") {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        let code = rest.get(at + 2..at + 6).filter(|_| rest.as_bytes().get(at + 6) == Some(&b'_'));
        let code = code.filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        let c = code.and_then(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
        plain.push_str(&rest[..at]);
        match c {
            Some(c) => plain.push(c),
            None => plain.push_str("_x"),
        }
        rest = &rest[at + if c.is_some() { 7 } else { 2 }..];
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_things() {
        assert_eq!(
            ["A1", "C7", "Z9", "AA1", "XFD1", "7"].map(column_of),
            [Some(0), Some(2), Some(25), Some(26), Some(16_383), None]
        );
        assert_eq!(join("xl", "worksheets/sheet1.xml"), "xl/worksheets/sheet1.xml");
        assert_eq!(join("xl", "/xl/a.xml"), "xl/a.xml");
        assert_eq!(join("xl/a", "../b.xml"), "xl/b.xml");
        for (text, plain) in [
            ("a_x000A_b", "a\nb"),
            ("_x005F_x000A_", "_x000A_"),
            ("a_x", "a_x"),
            ("_xZZZZ_é_x00", "_xZZZZ_é_x00"),
            ("_xD800_", "_xD800_"),
            ("_xéé", "_xéé"),
        ] {
            assert_eq!(unescaped(text), plain);
        }
    }
}
