//! CSV of every dialect, and broken files, fed in pieces of every size.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use outdial_core::contact::{Checker, Rules};
use outdial_core::phone_zones::zones_of;
use outdial_core::variables::VariableSchema;
use outdial_core::zone::Zone;
use outdial_ingest::{CsvReader, FirstSeen, Rows, TableError, TableLimits};
use proptest::prelude::*;

fn schema() -> VariableSchema {
    let variables = r#"[{"key":"name","type":"string","required":true},
        {"key":"age","type":"number"}, {"key":"member","type":"boolean"},
        {"key":"since","type":"date"}, {"key":"mobile","type":"phone"}]"#;
    VariableSchema::new(serde_json::from_str(variables).unwrap()).unwrap()
}

fn loose() -> VariableSchema {
    VariableSchema::new(Vec::new()).unwrap()
}

fn checker(schema: VariableSchema) -> Checker {
    Checker::new(Rules {
        schema,
        allowed_countries: ["US".parse().unwrap()].into(),
        allow_special_numbers: false,
        batch_zone: None,
        workspace_zone: Zone::utc(),
        candidate_zones: zones_of,
    })
}

/// All portions of a file that comes in pieces of this size.
fn read_in(text: &[u8], schema: VariableSchema, size: usize) -> Result<Vec<Rows>, TableError> {
    let mut csv = CsvReader::new(schema, TableLimits::default());
    let mut portions = Vec::new();
    for mut piece in text.chunks(size) {
        while !piece.is_empty() {
            piece = &piece[csv.feed(piece)?..];
            portions.extend(csv.take_full());
        }
    }
    portions.extend(csv.finish()?);
    Ok(portions)
}

/// The records, and the faults that need no checker's rules, as `row: text`.
fn shown(portions: &[Rows]) -> Vec<String> {
    let mut lines = Vec::new();
    for rows in portions {
        let records = (0..rows.records().len())
            .map(|i| (rows.row(i).unwrap(), rows.records().text(i).unwrap().to_owned()));
        let checked = rows.check(&mut checker(loose()), 1000);
        let tables = ["wrong_cell_count", "invalid_quotes", "record_too_large", "invalid_text"];
        let faults = checked.faults.iter().filter(|f| tables.contains(&f.code));
        lines.extend(records.chain(faults.map(|f| (f.row, f.code.to_owned()))));
    }
    lines.sort_by_key(|(row, _)| *row);
    lines.into_iter().map(|(row, text)| format!("{row}: {text}")).collect()
}

#[track_caller]
fn reads(text: impl AsRef<[u8]>, expected: &[&str]) {
    let text = text.as_ref();
    for size in [1, 2, 3, 7, 4096] {
        let portions = read_in(text, loose(), size);
        let portions = portions.unwrap_or_else(|e| panic!("{}: {e}", text.escape_ascii()));
        assert_eq!(shown(&portions), expected, "{} by {size}", text.escape_ascii());
    }
}

#[track_caller]
fn fails(text: impl AsRef<[u8]>, expected: &TableError) {
    let text = text.as_ref();
    for size in [1, 2, 3, 7, 4096] {
        let error = read_in(text, loose(), size).expect_err("a fault of the file");
        assert_eq!(&error, expected, "{} by {size}", text.escape_ascii());
    }
}

#[test]
fn dialects() {
    let two = [r#"2: {"phoneNumber":"1","name":"a"}"#, r#"3: {"phoneNumber":"2","name":"b"}"#];
    for text in [
        "phoneNumber,name\n1,a\n2,b\n",
        "phoneNumber,name\r\n1,a\r\n2,b\r\n",
        "phoneNumber,name\r1,a\r2,b\r",
        "phoneNumber,name\n1,a\r\n2,b",
        "\u{feff}phoneNumber,name\n1,a\n2,b\n",
        "\u{feff}\"phoneNumber\",name\n1,a\n2,b\n",
        "phoneNumber;name\n1;a\n2;b\n",
        "phoneNumber\tname\n1\ta\n2\tb\n",
        "phoneNumber|name\n1|a\n2|b\n",
        "sep=;\r\nphoneNumber;name\r\n1;a\r\n2;b\r\n",
        "\u{feff}sep=^\nphoneNumber^name\n1^a\n2^b\n",
        "\"phoneNumber\",\"name\"\n\"1\",\"a\"\n\"2\",\"b\"\n",
        " \"phoneNumber\" , \"name\" \n 1 , \"a\" \n2,b\n",
        " phoneNumber , name \n1,a\n2,b\n",
        "\n\r\n,,\nphoneNumber,name\n1,a\n2,b\n",
        "phoneNumber,name,,,\n1,a,,,\n2,b,\n",
        "phoneNumber,name\n\"=\"\"1\"\"\",a\n=\"2\",b\n",
    ] {
        reads(text, &two);
    }
    // The header decides which delimiter, whatever stands in the rows.
    reads("phoneNumber;a,b\n1;x,y\n", &[r#"2: {"phoneNumber":"1","a,b":"x,y"}"#]);
    reads("a|b,phoneNumber\nx|y,1\n", &[r#"2: {"a|b":"x|y","phoneNumber":"1"}"#]);
    reads("phoneNumber\n1\n2\n", &[r#"2: {"phoneNumber":"1"}"#, r#"3: {"phoneNumber":"2"}"#]);
}

#[test]
fn quotes() {
    let head = "phoneNumber,name\n";
    for (cell, name) in [
        ("\"a \"\"b\"\"\"", r#""a \"b\"""#),
        ("\"a,b\"", r#""a,b""#),
        ("\"a\nb\"", r#""a\nb""#),
        ("\"a\r\nb\"", r#""a\r\nb""#),
        ("\"\"\"\"", r#""\"""#),
        ("5\" pipe", r#""5\" pipe""#),
        ("a\"b\"", r#""a\"b\"""#),
        (" a ", r#"" a ""#),
        ("\" a \"", r#"" a ""#),
        ("é李😀", r#""é李😀""#),
        ("a\\b", r#""a\\b""#),
        ("=1+1", r#""=1+1""#),
    ] {
        let record = format!("2: {{\"phoneNumber\":\"1\",\"name\":{name}}}");
        let next = r#"3: {"phoneNumber":"2","name":"z"}"#;
        reads(format!("{head}1,{cell}\n2,z\n"), &[&record, next]);
    }
}

#[test]
fn rows_that_are_faults_have_the_numbers_that_a_spreadsheet_shows() {
    reads(
        "phoneNumber,name\n1,a\n\n2,b,c\n,,\n3\n\"4\"x,d\n5,\"two\nlines\"\n6,e\n",
        &[
            r#"2: {"phoneNumber":"1","name":"a"}"#,
            "4: wrong_cell_count",
            "6: wrong_cell_count",
            "7: invalid_quotes",
            r#"8: {"phoneNumber":"5","name":"two\nlines"}"#,
            r#"9: {"phoneNumber":"6","name":"e"}"#,
        ],
    );
    reads(
        b"phoneNumber,name\n1,M\xFCller\n2,b\n",
        &["2: invalid_text", r#"3: {"phoneNumber":"2","name":"b"}"#],
    );
    // Cells that are valid only together, and never apart.
    reads(
        b"phoneNumber,name\n1\xC3,\xBC\n2,b\n",
        &["2: invalid_text", r#"3: {"phoneNumber":"2","name":"b"}"#],
    );
    let long = "x".repeat(70_000);
    reads(
        format!("phoneNumber,name\n1,{long}\n2,b\n"),
        &["2: record_too_large", r#"3: {"phoneNumber":"2","name":"b"}"#],
    );
    let many = ",".repeat(5_000);
    reads(
        format!("phoneNumber,name\n1,a{many}x\n2,b{many}\n"),
        &["2: wrong_cell_count", r#"3: {"phoneNumber":"2","name":"b"}"#],
    );
}

#[test]
fn broken_files() {
    use TableError as E;
    for text in ["", "\n\n", "\u{feff}", "  \n", "\"\"\n"] {
        fails(text, &E::Empty);
    }
    fails("phone,name\n1,a\n", &E::NoPhoneColumn("`phone`, `name`; rename `phone`".into()));
    fails("Phonenumber\n1\n", &E::NoPhoneColumn("`Phonenumber`; rename `Phonenumber`".into()));
    fails(",,,\n", &E::NoPhoneColumn("`,,,`".into()));
    fails("1,2\n", &E::NoPhoneColumn("`1`, `2`".into()));
    fails("phoneNumber,a,a\n", &E::DuplicateColumn("a".into()));
    fails("phoneNumber,a, a \n", &E::DuplicateColumn("a".into()));
    fails("phoneNumber,phoneNumber\n", &E::DuplicateColumn("phoneNumber".into()));
    fails("phoneNumber,,b\n", &E::NamelessColumn(2));
    let why = "it has a control character or a line end in it";
    fails("phoneNumber,\"a\nb\"\n", &E::BadColumnName { column: 2, why });
    let why = "it is longer than 128 bytes";
    let name = "n".repeat(129);
    fails(format!("phoneNumber,{name}\n"), &E::BadColumnName { column: 2, why });
    let names: Vec<String> = (0..4_999).map(|n| format!("c{n}")).collect();
    fails(format!("phoneNumber,{}\n1\n", names.join(",")), &E::TooManyColumns(5_000));
    fails("x".repeat(100_000), &E::HeaderTooLong { max: 65_536 });
    fails(
        "phoneNumber,\"name\n".to_owned() + &"1,a\n".repeat(30_000),
        &E::HeaderTooLong { max: 65_536 },
    );
    fails("phoneNumber,\"name\n1,a\n", &E::UnclosedQuote { row: 1 });
    fails("phoneNumber,name\n1,a\n2,\"b\n3,c\n4,d\n", &E::UnclosedQuote { row: 3 });
    fails("phoneNumber,name\n\n1,\"a\"\"\n", &E::UnclosedQuote { row: 3 });
    fails(b"phoneNumber,n\xE4me\n1,a\n", &E::HeaderNotUtf8);
    let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    };
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        fails(utf16("\u{feff}phoneNumber\n1\n", order), &E::Utf16);
        fails(utf16("phoneNumber\n1\n", order), &E::Utf16);
    }
    let wanted = "a CSV file";
    let found = "an .xlsx workbook or a ZIP archive";
    fails(b"PK\x03\x04abc\n", &E::WrongKind { found, wanted });
    let found = "an .xls workbook";
    fails(b"\xD0\xCF\x11\xE0abc\n", &E::WrongKind { found, wanted });
}

#[test]
fn too_many_rows_are_too_large() {
    let limits = TableLimits { rows: 2, ..TableLimits::default() };
    for (text, fits) in [("1\n\n2\n\n", true), ("1\n2\n3\n", false), ("1\n2\n3,4\n", false)] {
        let mut csv = CsvReader::new(loose(), limits);
        let fed = csv.feed(format!("phoneNumber\n{text}").as_bytes());
        let end = fed.and_then(|_| csv.finish());
        assert_eq!(end.is_ok(), fits, "{text}");
        assert!(end.err().is_none_or(|error| error.is_too_large()), "{text}");
    }
}

#[test]
fn cells_are_what_the_agent_declares() {
    let text = "phoneNumber,name,age,member,since,mobile,other,timezone\n\
        12125551001,7,41.50,TRUE, 2025-05-15 ,+1 212 555 1002,0012,America/New_York\n\
        12125551002,a,,,,,,\n\
        12125551003,a,\" 5 \",false,x,12,TRUE,\n\
        12125551004,a,007,yes,15.5.2025,,1e3,Mars/Olympus\n\
        1.21256E+10,,\"1,5\",1,,,,\n\
        ,a,+5,,,,,\n";
    let portions = read_in(text.as_bytes(), schema(), 4096).unwrap();
    assert_eq!(
        portions[0].records().text(0).unwrap(),
        concat!(
            r#"{"phoneNumber":"12125551001","name":"7","age":41.50,"member":true,"#,
            r#""since":"2025-05-15","mobile":"+1 212 555 1002","other":"0012","#,
            r#""timezone":"America/New_York"}"#
        )
    );
    assert_eq!(
        portions[0].records().text(1).unwrap(),
        r#"{"phoneNumber":"12125551002","name":"a"}"#
    );
    let checked = portions[0].check(&mut checker(schema()), 100);
    let faults: Vec<String> = checked
        .faults
        .iter()
        .map(|f| format!("{} {} {}", f.row, f.field.as_deref().unwrap_or("-"), f.code))
        .collect();
    assert_eq!(
        faults,
        [
            "4 since invalid_type",
            "4 mobile invalid_type",
            "5 timezone invalid_timezone",
            "5 age invalid_type",
            "5 member invalid_type",
            "5 since invalid_type",
            "6 phoneNumber invalid_phone_number",
            "6 name missing_variable",
            "6 age invalid_type",
            "6 member invalid_type",
            "7 phoneNumber missing_phone_number",
            "7 age invalid_type",
        ]
    );
    assert_eq!((checked.rejected, checked.fault_count), (4, 12));
    let says = |n: usize| checked.faults[n].message.as_str();
    assert_eq!(says(3), "must be a number, like 12.5");
    assert_eq!(says(4), "must be true or false");
    assert!(says(6).contains("format the column as text"), "{}", says(6));
    assert!(says(7).contains("cell is empty"), "{}", says(7));
}

#[test]
fn required_variables_are_columns() {
    let missing = read_in(b"phoneNumber,age\n1,2\n", schema(), 9).unwrap_err();
    assert_eq!(missing, TableError::MissingColumn("name".into()));
}

#[test]
fn the_first_good_row_with_a_number_is_kept_over_all_portions() {
    let mut text = String::from("phoneNumber,name\n12125551001,\n");
    for n in 0..15_000 {
        text += &format!("1212555{:04},n{n}\n", 1000 + n % 9000);
    }
    let portions = read_in(text.as_bytes(), schema(), 5000).unwrap();
    assert!(portions.len() > 1);
    let (mut seen, mut kept, mut dropped) = (FirstSeen::default(), Vec::new(), 0);
    for rows in &portions {
        let mut checked = rows.check(&mut checker(schema()), 10);
        dropped += seen.drop_repeats(&mut checked.validation);
        let contacts = checked.validation.contacts.iter().enumerate();
        kept.extend(contacts.filter(|(_, c)| c.is_some()).map(|(i, _)| rows.row(i).unwrap()));
    }
    assert_eq!(kept, (3..9_003).collect::<Vec<u32>>());
    assert_eq!(dropped, 6_000);
}

#[test]
fn faults_are_counted_beyond_those_kept() {
    let text = "phoneNumber,name\n".to_owned() + &"1,a,b\nx,\n".repeat(100);
    let portions = read_in(text.as_bytes(), schema(), 4096).unwrap();
    let checked = portions[0].check(&mut checker(schema()), 7);
    assert_eq!((checked.faults.len(), checked.fault_count, checked.rejected), (7, 300, 200));
    let rows: Vec<u32> = checked.faults.iter().map(|f| f.row).collect();
    assert_eq!(rows, [2, 3, 3, 4, 5, 5, 6]);
}

/// One row with a fault in each of its columns leaves room for the others'.
#[test]
fn one_row_has_a_few_of_the_faults_kept() {
    let keys: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
    let variables = keys.iter().map(|k| format!(r#"{{"key":"{k}","type":"number"}}"#));
    let variables = format!("[{}]", variables.collect::<Vec<_>>().join(","));
    let numbers = VariableSchema::new(serde_json::from_str(&variables).unwrap()).unwrap();
    let row = format!("12125551001{}\n", ",x".repeat(100));
    let text = format!("phoneNumber,{}\n{}", keys.join(","), row.repeat(20));
    let portions = read_in(text.as_bytes(), numbers.clone(), 4096).unwrap();
    let checked = portions[0].check(&mut checker(numbers), 200);
    assert_eq!((checked.faults.len(), checked.fault_count, checked.rejected), (200, 2_000, 20));
    let rows: std::collections::BTreeSet<u32> = checked.faults.iter().map(|f| f.row).collect();
    assert_eq!(rows.len(), 20);
}

/// A table of at least two columns, so that no row is a blank line.
fn table() -> impl Strategy<Value = Vec<Vec<String>>> {
    let cell = prop_oneof!["[a-zA-Z0-9 ,;|\t\"\r\n'é李=]{0,12}", Just("x".to_owned())];
    (2..6_usize).prop_flat_map(move |width| {
        prop::collection::vec(prop::collection::vec(cell.clone(), width), 0..12)
    })
}

proptest! {
    /// What another library writes, in any dialect and pieces, comes back.
    #[test]
    fn what_is_written_is_read(
        rows in table(),
        delimiter in prop::sample::select(b",;\t|".to_vec()),
        crlf: bool,
        always: bool,
        size in 1..40_usize,
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::NonNumeric };
        let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter).quote_style(style).terminator(end).from_writer(Vec::new());
        let width = rows.first().map_or(2, Vec::len);
        let names: Vec<String> = (0..width).map(|n| match n {
            0 => "phoneNumber".to_owned(),
            n => format!("c{n}"),
        }).collect();
        writer.write_record(&names).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let mut expected = Vec::new();
        for (row, cells) in (2..).zip(&rows) {
            if cells.iter().all(|cell| cell.chars().all(|c| c == ' ')) {
                continue;
            }
            let fields = names.iter().zip(cells).map(|(name, cell)| match name.as_str() {
                "phoneNumber" => {
                    let cell = cell.trim();
                    let inner = cell.strip_prefix("=\"").and_then(|c| c.strip_suffix('"'));
                    (name, inner.map_or(cell, str::trim))
                }
                _ => (name, cell.as_str()),
            });
            let fields = fields.filter(|(_, cell)| !cell.is_empty());
            let fields: Vec<String> = fields.map(|(name, cell)| {
                format!("{}:{}", serde_json::json!(name), serde_json::json!(cell))
            }).collect();
            expected.push(format!("{row}: {{{}}}", fields.join(",")));
        }
        prop_assert_eq!(shown(&read_in(&text, loose(), size).unwrap()), expected);
    }

    /// Whatever comes, the pieces it comes in make no difference, and nothing panics.
    #[test]
    fn pieces_make_no_difference(
        text in "(phoneNumber[,;\t|]a[\r\n]{1,2})?[a1\",;\n\r =]{0,60}",
        size in 1..9_usize,
    ) {
        let see = |size| read_in(text.as_bytes(), loose(), size).map(|rows| shown(&rows));
        prop_assert_eq!(see(size), see(4096));
    }
}
