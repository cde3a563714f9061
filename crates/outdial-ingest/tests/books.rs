//! Workbooks: those that other programs wrote, those written here part by part, and broken ones.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::io::{Cursor, Write};

use outdial_core::variables::VariableSchema;
use outdial_ingest::{Rows, TableError, TableKind, TableLimits, read_table};
use zip::write::SimpleFileOptions;

fn schema() -> VariableSchema {
    let variables = r#"[{"key":"age","type":"number"}, {"key":"member","type":"boolean"},
        {"key":"since","type":"date"}]"#;
    VariableSchema::new(serde_json::from_str(variables).unwrap()).unwrap()
}

fn read_with(kind: TableKind, bytes: &[u8], limits: TableLimits) -> Result<Vec<Rows>, TableError> {
    let mut portions = Vec::new();
    read_table(kind, Cursor::new(bytes), schema(), limits, |rows| {
        portions.push(rows);
        true
    })?;
    Ok(portions)
}

fn read(kind: TableKind, bytes: &[u8]) -> Result<Vec<String>, TableError> {
    let portions = read_with(kind, bytes, TableLimits::default())?;
    let mut lines = Vec::new();
    for rows in &portions {
        let text = |i| (rows.row(i).unwrap(), rows.records().text(i).unwrap().to_owned());
        lines.extend((0..rows.records().len()).map(text));
        let no_country = outdial_core::contact::Rules {
            schema: schema(),
            allowed_countries: ["US".parse().unwrap()].into(),
            allow_special_numbers: false,
            batch_zone: None,
            workspace_zone: outdial_core::zone::Zone::utc(),
            candidate_zones: outdial_core::contact::no_candidate_zones,
        };
        let checked = rows.check(&mut outdial_core::contact::Checker::new(no_country), 100);
        for fault in checked.faults {
            let field = fault.field.unwrap_or_default();
            lines.push((fault.row, format!("{} {field}: {}", fault.code, fault.message)));
        }
    }
    lines.sort_by_key(|(row, _)| *row);
    Ok(lines.into_iter().map(|(row, text)| format!("{row}: {text}")).collect())
}

const SHEET: &str = "xl/worksheets/sheet1.xml";

/// A workbook of these parts, and those that every workbook has.
fn book(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![
        (
            "_rels/.rels",
            concat!(
                r#"<Relationships><Relationship Id="rId1" Type="http://x/officeDocument" "#,
                r#"Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/workbook.xml",
            concat!(
                r#"<workbook xmlns:r="x"><sheets><sheet name="A" sheetId="1" r:id="rId1"/>"#,
                r#"</sheets></workbook>"#
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            concat!(
                r#"<Relationships><Relationship Id="rId1" Type="http://x/worksheet" "#,
                r#"Target="worksheets/sheet1.xml"/>"#,
                r#"<Relationship Id="rId2" Type="http://x/sharedStrings" "#,
                r#"Target="/xl/sharedStrings.xml"/>"#,
                r#"<Relationship Id="rId3" Type="http://x/styles" Target="styles.xml"/>"#,
                r#"</Relationships>"#
            ),
        ),
    ];
    all.retain(|(name, _)| parts.iter().all(|(own, _)| own != name));
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in all.iter().chain(parts) {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn sheet(rows: &str) -> Vec<u8> {
    let text = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
    book(&[(SHEET, &text)])
}

fn inline(row: u32, cells: &[&str]) -> String {
    let cells: String =
        cells.iter().map(|text| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>")).collect();
    format!("<row r=\"{row}\">{cells}</row>")
}

fn header() -> String {
    inline(1, &["phoneNumber", "name", "age"])
}

/// `openpyxl` and `xlwt` wrote the same list.
#[test]
fn what_others_write_is_read() {
    let long = "x".repeat(300);
    let note = r#""note":"=1+1 is text""#;
    let expected = [
        concat!(
            r#"2: {"phoneNumber":"12125551001","name":"Sarah Johnson","age":41,"#,
            r#""member":true,"since":"2025-05-15","seen":"2025-05-15T14:30:00","#,
            r#""note":"a, \"b\"\nc"}"#
        )
        .to_owned(),
        concat!(
            r#"3: {"phoneNumber":"+1 310 555 2002","name":"Zoë 李","age":1.5,"#,
            r#""member":false,"since":"1999-12-31"}"#
        )
        .to_owned(),
        format!(r#"5: {{"phoneNumber":"13105552003","name":"{long}","age":-3,{note}}}"#),
    ];
    let xlsx = include_bytes!("fixtures/contacts.xlsx");
    assert_eq!(read(TableKind::Xlsx, xlsx).unwrap(), expected);
    let xls = include_bytes!("fixtures/contacts.xls");
    assert_eq!(read(TableKind::Xls, xls).unwrap(), expected);
}

/// Texts go on in further records of the file, narrow or wide.
#[test]
fn long_texts_of_xls() {
    let got = read(TableKind::Xls, include_bytes!("fixtures/long-strings.xls")).unwrap();
    let expected = (1..60_usize).map(|i| {
        let name = if i % 2 == 1 { "ä" } else { "李" }.repeat(200 + i * 7);
        let row = i + 1;
        format!(
            "{row}: {{\"phoneNumber\":\"{}\",\"name\":\"{name}{i}\"}}",
            12_125_550_000 + i as u64
        )
    });
    // Whether the numbers exist is not the point here.
    let records: Vec<String> = got.into_iter().filter(|line| line.contains('{')).collect();
    assert_eq!(records, expected.collect::<Vec<_>>());
}

#[test]
fn cells_of_every_type() {
    let strings = "<sst><si><t>phoneNumber</t></si><si><r><t>na</t></r><r><t>me</t></r>\
        <rPh><t>no</t></rPh></si><si/><si><t>a&amp;b &#233;_x000A_c<![CDATA[<d>]]></t></si></sst>";
    let styles = "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"dd/mm/yyyy\"/>\
        </numFmts><cellStyleXfs><xf numFmtId=\"14\"/></cellStyleXfs><cellXfs>\
        <xf numFmtId=\"0\"/><xf numFmtId=\"164\"/><xf numFmtId=\"22\"/></cellXfs></styleSheet>";
    let rows = "<worksheet><sheetData><row r=\"3\"><c r=\"A3\" t=\"s\"><v>0</v></c>\
        <c r=\"B3\" t=\"s\"><v>1</v></c><c r=\"C3\" t=\"str\"><v>since</v></c>\
        <c r=\"D3\" t=\"str\"><v>member</v></c></row>\
        <row r=\"4\"><c r=\"A4\"><v>1.2125551001E10</v></c><c r=\"B4\" t=\"s\"><v>3</v></c>\
        <c r=\"C4\" s=\"1\"><v>45792</v></c><c r=\"D4\" t=\"b\"><v>1</v></c></row>\
        <row r=\"7\"><c r=\"D7\" t=\"b\"><v>0</v></c><c r=\"C7\" s=\"2\"><v>45792.5</v></c>\
        <c r=\"A7\"><f>A4+1</f><v>12125551002</v></c></row>\
        <row r=\"8\"><c r=\"A8\"><v>12125551003</v></c><c r=\"B8\" t=\"e\"><v>#N/A</v></c></row>\
        <row r=\"9\"><c r=\"A9\" s=\"1\"/><c r=\"E9\"><v>5</v></c></row>\
        <row r=\"10\"><c r=\"A10\" t=\"s\"><v>99</v></c></row>\
        <row><c t=\"str\"><v>12125551004</v></c><c t=\"d\"><v>2025-01-01</v></c></row>\
        </sheetData></worksheet>";
    let parts = [(SHEET, rows), ("xl/sharedStrings.xml", strings), ("xl/styles.xml", styles)];
    let expected = [
        concat!(
            r#"2: {"phoneNumber":"12125551001","name":"a&b é\nc<d>","#,
            r#""since":"2025-05-15","member":true}"#
        ),
        r#"5: {"phoneNumber":"12125551002","since":"2025-05-15T12:00:00","member":false}"#,
        "6: invalid_cell name: the cell holds the error #N/A",
        "7: wrong_cell_count : the row has 5 cells, the first row 4",
        "8: invalid_cell phoneNumber: the cell points to a text that the workbook does not have",
        r#"9: {"phoneNumber":"12125551004","name":"2025-01-01"}"#,
    ];
    assert_eq!(read(TableKind::Xlsx, &book(&parts)).unwrap(), expected);
}

#[test]
fn broken_workbooks() {
    use TableError as E;
    let (xlsx, xls) = ("an .xlsx workbook", "an .xls workbook");
    let cut = &include_bytes!("fixtures/contacts.xlsx")[..3000];
    let other = "some other file";
    let no_sheet = r#"<workbook><sheets><sheet name="A" id="rId9"/></sheets></workbook>"#;
    for (what, kind, bytes, expected) in [
        ("nothing", TableKind::Xlsx, vec![], E::Empty),
        (
            "text",
            TableKind::Xlsx,
            b"phoneNumber\n".to_vec(),
            E::WrongKind { found: other, wanted: xlsx },
        ),
        (
            "text",
            TableKind::Xls,
            b"phoneNumber\n".to_vec(),
            E::WrongKind { found: other, wanted: xls },
        ),
        ("zip", TableKind::Xls, sheet(""), E::WrongKind { found: xlsx, wanted: xls }),
        ("no rows", TableKind::Xlsx, sheet(""), E::Empty),
        ("blank rows", TableKind::Xlsx, sheet(&inline(3, &["", " "])), E::Empty),
        ("no sheet", TableKind::Xlsx, book(&[("xl/workbook.xml", no_sheet)]), E::NoSheet),
        ("part gone", TableKind::Xlsx, book(&[]), E::NoSheet),
        (
            "no phone",
            TableKind::Xlsx,
            sheet(&inline(1, &["name"])),
            E::NoPhoneColumn("`name`".into()),
        ),
    ] {
        assert_eq!(read(kind, &bytes).unwrap_err(), expected, "{what}");
    }
    let doctype = format!("<!DOCTYPE x [<!ENTITY a 'b'>]><worksheet><sheetData>{}", header());
    let open = format!("<worksheet><sheetData>{}<row r=\"2\"><c", header());
    let entity = format!("<worksheet><sheetData>{}", inline(1, &["&lol;"]));
    for (what, kind, bytes) in [
        ("cut off", TableKind::Xlsx, cut.to_vec()),
        ("no zip", TableKind::Xlsx, b"PK\x03\x04 and nothing".to_vec()),
        ("doctype", TableKind::Xlsx, book(&[(SHEET, &doctype)])),
        ("open", TableKind::Xlsx, book(&[(SHEET, &open)])),
        ("entity", TableKind::Xlsx, book(&[(SHEET, &entity)])),
        ("no workbook", TableKind::Xls, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".repeat(100)),
    ] {
        let error = read(kind, &bytes).unwrap_err();
        assert!(matches!(error, E::Broken(_)), "{what}: {error}");
    }
}

/// A byte changed or a tail lost gives an answer, whichever, and no panic.
#[test]
fn damaged_workbooks_do_no_harm() {
    let xls = include_bytes!("fixtures/contacts.xls");
    let xlsx = include_bytes!("fixtures/contacts.xlsx");
    for (kind, file, step) in [(TableKind::Xls, &xls[..], 3), (TableKind::Xlsx, &xlsx[..], 11)] {
        let mut refused = 0;
        for at in (0..file.len()).step_by(step) {
            let mut bytes = file.to_vec();
            bytes[at] ^= 0xFF;
            refused += u32::from(read(kind, &bytes).is_err());
            refused += u32::from(read(kind, &file[..at]).is_err());
        }
        assert!(refused > 0);
    }
}

#[test]
fn limits() {
    let small =
        TableLimits { rows: 2, unpacked_bytes: 100_000, shared_bytes: 5_000, xls_bytes: 5_000 };
    let good = |row| inline(row, &["12125551001", "a", "5"]);
    let rows = |n: u32| header() + &(2..2 + n).map(good).collect::<String>();
    let large = |bytes: &[u8]| {
        let error = read_with(TableKind::Xlsx, bytes, small).unwrap_err();
        assert!(error.is_too_large(), "{error}");
        error
    };
    assert_eq!(read_with(TableKind::Xlsx, &sheet(&rows(2)), small).unwrap()[0].len(), 2);
    assert_eq!(large(&sheet(&rows(3))), TableError::TooManyRows { max: 2 });
    // Rows without a cell are no rows, and bytes all the same.
    let blank = "<row/>".repeat(100_000);
    large(&sheet(&(header() + &blank)));
    let shared = format!("<sst>{}</sst>", "<si/>".repeat(1_000));
    large(&book(&[(SHEET, "<worksheet/>"), ("xl/sharedStrings.xml", &shared)]));
    let xls = include_bytes!("fixtures/contacts.xls");
    assert!(read_with(TableKind::Xls, xls, small).unwrap_err().is_too_large());
    let text = inline(1, &["phoneNumber", &"x".repeat(3 << 20)]);
    let error = read_with(TableKind::Xlsx, &sheet(&text), TableLimits::default()).unwrap_err();
    assert!(error.is_too_large(), "{error}");
}

#[test]
fn portions_end_early_when_no_more_are_wanted() {
    let rows: String = (2..25_002).map(|row| inline(row, &["12125551001", "a"])).collect();
    let bytes = sheet(&(header() + &rows));
    for (wanted, expected) in [(1, 10_000), (2, 20_000), (9, 25_000)] {
        let (mut portions, mut count) = (0, 0);
        read_table(
            TableKind::Xlsx,
            Cursor::new(&bytes),
            schema(),
            TableLimits::default(),
            |rows| {
                portions += 1;
                count += rows.len();
                portions < wanted
            },
        )
        .unwrap();
        assert_eq!(count, expected);
    }
}
