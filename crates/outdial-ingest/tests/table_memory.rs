//! Files of a gigabyte, made on the way, and bombs: the memory of this process stays where it was.
//! Alone in its process, and one test, so that nothing else counts.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::io::{Cursor, Write};

use outdial_core::variables::VariableSchema;
use outdial_ingest::{CsvReader, TableError, TableKind, TableLimits, read_table};
use zip::write::SimpleFileOptions;

const GIB: usize = 1 << 30;
/// Portions and buffers, and what the allocator keeps.
const ROOM_KIB: u64 = 48 << 10;

fn schema() -> VariableSchema {
    VariableSchema::new(Vec::new()).unwrap()
}

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// `head`, then `piece` again and again up to `total` bytes. Rows, and how it ended.
fn feed(head: &str, piece: &str, total: usize) -> (u64, Option<TableError>) {
    let mut csv = CsvReader::new(schema(), TableLimits::default());
    let (mut rows, mut fed) = (0, 0);
    let pieces = std::iter::once(head).chain(std::iter::repeat(piece));
    for piece in pieces {
        let mut rest = piece.as_bytes();
        while !rest.is_empty() {
            match csv.feed(rest) {
                Ok(took) => rest = &rest[took..],
                Err(error) => return (rows, Some(error)),
            }
            rows += csv.take_full().map_or(0, |rows| rows.len() as u64);
        }
        fed += piece.len();
        if fed >= total {
            break;
        }
    }
    match csv.finish() {
        Ok(last) => (rows + last.map_or(0, |rows| rows.len() as u64), None),
        Err(error) => (rows, Some(error)),
    }
}

fn bomb(part: &str, head: &str, piece: &str, total: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let rels = concat!(
        r#"<Relationships><Relationship Id="a" Type="x/worksheet" Target="s.xml"/>"#,
        r#"<Relationship Id="b" Type="x/sharedStrings" Target="t.xml"/>"#,
        r#"</Relationships>"#
    );
    let book = r#"<workbook><sheets><sheet id="a"/></sheets></workbook>"#;
    let rows = "<worksheet><sheetData/></worksheet>";
    let parts =
        [("xl/workbook.xml", book), ("xl/_rels/workbook.xml.rels", rels), ("xl/s.xml", rows)];
    for (name, text) in parts.into_iter().filter(|(name, _)| *name != part) {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.start_file(part, SimpleFileOptions::default().compression_level(Some(1))).unwrap();
    zip.write_all(head.as_bytes()).unwrap();
    for _ in 0..total / piece.len() {
        zip.write_all(piece.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An `.xls` file whose stream is `head`, then `piece` up to `total` bytes.
fn xls_bomb(head: &[u8], piece: &[u8], total: usize) -> Vec<u8> {
    let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
    let mut stream = file.create_stream("Workbook").unwrap();
    stream.write_all(head).unwrap();
    for _ in 0..total / piece.len() {
        stream.write_all(piece).unwrap();
    }
    stream.flush().unwrap();
    drop(stream);
    file.into_inner().into_inner()
}

#[test]
fn memory_does_not_follow_the_size_of_the_input() {
    let before = peak_kib();
    csv();
    let most = peak_kib() - before;
    println!("CSV: {most} KiB");
    assert!(most < ROOM_KIB, "{most} KiB for CSV");
    unpacked();
    lists_and_empty_texts();
    let most = peak_kib() - before;
    println!("workbooks: {most} KiB");
    assert!(most < ROOM_KIB, "{most} KiB for workbooks");
}

fn csv() {
    let head = "phoneNumber,name\n";

    let line = "x".repeat(256 << 10);
    // One line of 1 GiB.
    assert_eq!(feed(&format!("{head}1,"), &line, GIB), (1, None));
    // In quotes that are never closed.
    let unclosed = TableError::UnclosedQuote { row: 2 };
    assert_eq!(feed(&format!("{head}1,\""), &line, GIB), (0, Some(unclosed)));
    // No line end at all.
    let error = feed("", &line, GIB).1;
    assert_eq!(error, Some(TableError::HeaderTooLong { max: 65_536 }));
    // Long rows, good and bad.
    let rows = format!("1,{}\n2\n", "y".repeat(60_000)).repeat(4);
    let count = GIB.div_ceil(rows.len()) as u64;
    let got = feed(head, &rows, GIB);
    assert!(got.0.abs_diff(count * 8) <= 8 && got.1.is_none(), "{got:?}");
    // Blank lines, and rows of next to nothing under long names.
    assert_eq!(feed(head, &"\n".repeat(64 << 10), 32 << 20), (0, None));
    let names: Vec<String> = (0..200).map(|n| format!("{n:0120}")).collect();
    let wide = format!("phoneNumber,{}\n", names.join(","));
    let row = format!("1{}\n", ",x".repeat(200));
    assert_eq!(feed(&wide, &row.repeat(100), 2 << 20).1, None);
}

fn limits() -> TableLimits {
    TableLimits { unpacked_bytes: 100 << 20, shared_bytes: 8 << 20, ..Default::default() }
}

/// Parts that unpack to more than they may.
fn unpacked() {
    let text = "z".repeat(64 << 10);
    let open = "<worksheet><sheetData><row><c t=\"inlineStr\"><is><t>";
    let strings = "<si><t>abcdefgh</t></si>".repeat(2_000);
    for (what, bytes) in [
        (
            "a sheet of rows",
            bomb("xl/s.xml", "<worksheet><sheetData>", &"<row/>".repeat(9_000), 120 << 20),
        ),
        ("one text", bomb("xl/s.xml", open, &text, 120 << 20)),
        ("one tag", bomb("xl/s.xml", "<worksheet a=\"", &text, 120 << 20)),
        ("one comment", bomb("xl/s.xml", "<!-- ", &">".repeat(64 << 10), 120 << 20)),
        ("shared texts", bomb("xl/t.xml", "<sst>", &strings, 100 << 20)),
        (
            "one shared text",
            bomb("xl/t.xml", "<sst><si>", &"<t>abcdefgh</t>".repeat(4_000), 120 << 20),
        ),
        ("entities", bomb("xl/s.xml", open, &"&amp;".repeat(13_000), 120 << 20)),
        ("entities, shared", bomb("xl/t.xml", "<sst><si><t>", &"&#65;".repeat(13_000), 120 << 20)),
    ] {
        let source = Cursor::new(bytes.as_slice());
        let error = read_table(TableKind::Xlsx, source, schema(), limits(), |_| true).unwrap_err();
        assert!(error.is_too_large(), "{what}: {error}");
    }
}

fn lists_and_empty_texts() {
    // Lists of other parts: of kinds that are used, and of those that are not.
    let list = |kind: &str| {
        let one =
            format!(r#"<Relationship Id="{}" Type="a/{kind}" Target="s.xml"/>"#, "z".repeat(9_000));
        bomb("xl/_rels/workbook.xml.rels", "<Relationships>", &one, 90 << 20)
    };
    for (kind, wanted) in [("worksheet", "it has too many parts"), ("image", "no worksheet")] {
        let source = Cursor::new(list(kind));
        let error = read_table(TableKind::Xlsx, source, schema(), limits(), |_| true).unwrap_err();
        assert!(error.to_string().contains(wanted), "{kind}: {error}");
    }
    // Shared texts with nothing in them, and a record that is continued with nothing.
    let begin = [9, 8, 4, 0, 0, 6, 5, 0];
    let continued = [0x3C, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let shared = [&begin[..], &[0xFC, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let nothing = [0x3C, 0, 0, 0].repeat(1_000);
    for (what, bytes, wanted) in [
        ("empty texts", xls_bomb(&shared, &continued.repeat(1_000), 8 << 20), "text of the work"),
        ("no texts", xls_bomb(&shared, &nothing, 8 << 20), "no worksheet"),
    ] {
        let source = Cursor::new(bytes);
        let error = read_table(TableKind::Xls, source, schema(), limits(), |_| true).unwrap_err();
        assert!(error.to_string().contains(wanted), "{what}: {error}");
    }
}
