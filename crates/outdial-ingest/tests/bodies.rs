//! Bodies of every kind, fed in pieces of every size.

use outdial_core::contact::FaultCode;
use outdial_ingest::{
    Body, BodyError, BodyErrorKind, BodyParser, CallDataFault, Limits, RecordText,
};
use proptest::prelude::*;

fn read_in(body: &[u8], sizes: impl Iterator<Item = usize>) -> Result<Body, BodyError> {
    let mut parser = BodyParser::default();
    let mut rest = body;
    for size in sizes {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        parser.feed(piece)?;
        rest = after;
    }
    parser.feed(rest)?;
    parser.finish()
}

fn read(body: &[u8]) -> Result<Body, BodyError> {
    read_in(body, std::iter::empty())
}

/// Everything that a caller can see of a result.
fn seen(result: &Result<Body, BodyError>) -> String {
    let body = match result {
        Ok(body) => body,
        Err(error) => return format!("{error:?}"),
    };
    let members: Vec<_> = body.members().collect();
    let records = body.records().map(|records| records.iter().collect::<Vec<_>>());
    format!("{members:?} {records:?}")
}

fn records(body: &str) -> Vec<String> {
    let body = read(body.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let records = body.records().unwrap_or_else(|e| panic!("{e}"));
    let shown = records.iter().map(|record| match record {
        RecordText::Kept(text) => text.to_owned(),
        RecordText::Refused(code) => format!("!{code}"),
    });
    shown.collect()
}

/// Kind, byte offset, line, column, record.
fn fails(body: &[u8]) -> (BodyErrorKind, u64, u64, u64, Option<u32>) {
    let error = read(body).expect_err("a body that cannot be read");
    for step in [1, 2, 3, 7] {
        let again = read_in(body, std::iter::repeat_n(step, body.len() / step));
        assert_eq!(again.expect_err("as in one piece"), error, "in pieces of {step}");
    }
    (error.kind, error.at.offset, error.at.line, error.at.column, error.record)
}

#[test]
fn the_documented_request() {
    // tidy: long because it is text as it goes over the wire
    let body = r#"{ "batchId": "64e5f12345abcdef98765432",
  "call_data": [
    { "phoneNumber": "12125551001", "name": "Sarah Johnson", "account_id": "ACC-1001", "custom_field_1": "value1", "priority": "high" },
    { "phoneNumber": "13105552002", "name": "Michael Chen", "account_id": "ACC-1002", "category": "support" } ] }"#;
    let parsed = read(body.as_bytes()).unwrap();
    assert_eq!(parsed.member("batchId"), Some(r#""64e5f12345abcdef98765432""#));
    assert_eq!(parsed.members().count(), 1);
    let records = parsed.records().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(
        records.text(1),
        Some(
            // tidy: long because it is text as it goes over the wire
            r#"{ "phoneNumber": "13105552002", "name": "Michael Chen", "account_id": "ACC-1002", "category": "support" }"#
        )
    );
    assert_eq!(records.get(2), None);
}

#[test]
fn members_come_in_any_order_and_number() {
    // tidy: long because it is text as it goes over the wire
    let body = r#"{"uuid":null,"callData":[{}],"callingNumbers":[ "a", {"b":[]} ],"n":-1.5e3,"userId":"x"}"#;
    let parsed = read(body.as_bytes()).unwrap();
    let members: Vec<_> = parsed.members().collect();
    assert_eq!(
        members,
        [
            ("uuid", "null"),
            ("callingNumbers", r#"[ "a", {"b":[]} ]"#),
            ("n", "-1.5e3"),
            ("userId", r#""x""#)
        ]
    );
    assert_eq!(parsed.records().unwrap().len(), 1);
    assert!(read(b"{}").unwrap().members().next().is_none());
}

#[test]
fn records_keep_every_byte() {
    for record in [
        r#"{"n":1234567890123456789012345678901234567890}"#,
        "{ \"b\" :\t1 ,\r\n \"a\": \"\\u00e9\\ud83d\\ude00 é 😀\" }",
        r#"{"x":"}]\"{[\\"}"#,
        r#"{"n":1e999999,"phoneNumber":1,"phoneNumber":2,"nul":"\u0000","half":"\ud800"}"#,
    ] {
        assert_eq!(records(&format!("{{\"call_data\":[{record}, {record}]}}")), [record; 2]);
    }
}

#[test]
fn refused_records_keep_their_places() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    let megabyte = format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000));
    let array = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = format!(
        // tidy: long because it is text as it goes over the wire
        r#"{{"call_data":[1,"x",null,true,[{{}}],{{"a":1}},{deep},{nested},{megabyte},{array},{{"b":2}}]}}"#
    );
    let object = "!not_an_object";
    assert_eq!(
        records(&body),
        [
            object,
            object,
            object,
            object,
            object,
            r#"{"a":1}"#,
            "!record_too_large",
            "!too_deep",
            "!record_too_large",
            object,
            r#"{"b":2}"#
        ]
    );
    for size in [1000, 4096, 65_536] {
        let parsed = read_in(body.as_bytes(), std::iter::repeat_n(size, body.len() / size));
        assert_eq!(seen(&parsed), seen(&read(body.as_bytes())), "in pieces of {size}");
    }
}

#[test]
fn ten_megabytes_in_one_field_are_not_kept() {
    let mut parser = BodyParser::default();
    parser.feed(br#"{"call_data":[{"phoneNumber":"1"},{"a":""#).unwrap();
    for _ in 0..10_000 {
        parser.feed(&[b'x'; 1000]).unwrap();
    }
    parser.feed(br#""},{"phoneNumber":"2"}]}"#).unwrap();
    let body = parser.finish().unwrap();
    let records = body.records().unwrap();
    assert_eq!(records.get(1), Some(RecordText::Refused(FaultCode::RecordTooLarge)));
    assert_eq!(records.text(2), Some(r#"{"phoneNumber":"2"}"#));
}

#[test]
fn no_call_data_to_speak_of_is_told_apart_from_bad_json() {
    let fault = |body: &str| read(body.as_bytes()).unwrap().records().unwrap_err();
    assert_eq!(fault(r#"{"batchId":"x"}"#), CallDataFault::Missing);
    assert_eq!(fault(r#"{"callData":[ ]}"#), CallDataFault::Empty("callData"));
    for body in [r#"{"call_data":[{}],"callData":[{}]}"#, r#"{"callData":1,"call_data":[]}"#] {
        assert_eq!(fault(body), CallDataFault::Both);
    }
    for (value, what) in [
        (r#"{"a":[1]}"#, "an object"),
        (r#""[{}]""#, "a string"),
        ("12", "a number, `true`, `false` or `null`"),
        ("null", "a number, `true`, `false` or `null`"),
    ] {
        let error = fault(&format!("{{\n\"call_data\": {value}, \"batchId\": 1}}"));
        let CallDataFault::NotAnArray { name: "call_data", found, at } = error else {
            panic!("{error:?}")
        };
        assert_eq!((found, at.offset, at.line, at.column), (what, 15, 2, 14));
    }
    let long = format!(r#"{{"call_data":"{}","batchId":1}}"#, "x".repeat(1_000_000));
    assert!(matches!(fault(&long), CallDataFault::NotAnArray { .. }));
}

#[test]
fn what_is_no_json_object_at_all() {
    use BodyErrorKind::*;
    let kind = |body: &[u8]| fails(body).0;
    assert_eq!(kind(b""), Empty);
    assert_eq!(kind(b" \r\n\t"), Empty);
    assert_eq!(kind(b"\xEF\xBB\xBF{}"), ByteOrderMark);
    assert_eq!(kind(b"\xFF\xFE{\0}\0"), NotUtf8Encoding);
    assert_eq!(kind(b"\xFE\xFF\0{\0}"), NotUtf8Encoding);
    assert_eq!(kind(b"{\0\"\0"), NotUtf8Encoding);
    assert_eq!(kind(b"\0{\0\""), NotUtf8Encoding);
    assert_eq!(kind(b"[{}]"), NotAnObject("an array"));
    assert_eq!(kind(b"\"x\""), NotAnObject("a string"));
    for body in [&b"12"[..], b"null", b"true"] {
        assert!(matches!(kind(body), NotAnObject(_)));
    }
    for body in [&b"batchId=1&call_data=2"[..], b"<xml/>", b"hello", b"\x80", b"}", b"'{}'"] {
        assert!(matches!(kind(body), Syntax(_)), "{body:?}");
    }
    assert_eq!(fails(b"{}x"), (TrailingData, 2, 1, 3, None));
    assert_eq!(fails(b"{}\n{}"), (TrailingData, 3, 2, 1, None));
}

#[test]
fn bodies_that_stop_half_way() {
    let body = br#"{"batchId":"x","n":12,"call_data":[{"a":"\u00e9","b":[1]},null,{}]}"#;
    for end in 1..body.len() {
        let (kind, offset, _, _, record) = fails(&body[..end]);
        assert_eq!((kind, offset), (BodyErrorKind::Truncated, end as u64), "{end}");
        let expected = match end {
            36..57 => Some(0),
            59..=62 => Some(1),
            64 => Some(2),
            _ => None,
        };
        assert_eq!(record, expected, "{end}");
    }
    assert!(read(body).is_ok());
}

#[test]
fn syntax_errors_say_where() {
    let table: [(&str, u64, Option<u32>); 20] = [
        (r#"{"call_data":[{"a":NaN}]}"#, 19, Some(0)),
        (r#"{"call_data":[{},{"a":-Infinity}]}"#, 23, Some(1)),
        (r#"{"call_data":[{"a":1,}]}"#, 21, Some(0)),
        (r#"{"call_data":[{"a" 1}]}"#, 19, Some(0)),
        (r#"{"call_data":[{"a":[1}]}]}"#, 21, Some(0)),
        (r#"{"call_data":[{'a':1}]}"#, 15, Some(0)),
        (r#"{"call_data":[{"a":"\x"}]}"#, 21, Some(0)),
        (r#"{"call_data":[{"a":01}]}"#, 20, Some(0)),
        (r#"{"call_data":[nul]}"#, 14, Some(0)),
        (r#"{"call_data":[{},]}"#, 17, None),
        (r#"{"call_data":[{} {}]}"#, 17, None),
        (r#"{"call_data":[,{}]}"#, 14, None),
        (r#"{"call_data":[{}};"#, 16, None),
        (r#"{"a":1 "b":2}"#, 7, None),
        (r#"{"a":1,}"#, 7, None),
        (r#"{a:1}"#, 1, None),
        (r#"{"a";1}"#, 4, None),
        (r#"{"a":}"#, 5, None),
        (r#"{"a":tru}"#, 5, None),
        (r#"{"a":[1,NaN]}"#, 8, None),
    ];
    for (body, offset, record) in table {
        let got = fails(body.as_bytes());
        assert!(matches!(got.0, BodyErrorKind::Syntax(_)), "{body}: {got:?}");
        assert_eq!((got.1, got.2, got.3, got.4), (offset, 1, offset + 1, record), "{body}");
    }
    for (body, word) in [("[1,nul]", "nul"), ("[+1]", "+1"), ("[01]", "01"), ("[NaN]", "NaN")] {
        let error = read(format!("{{\"call_data\":{body}}}").as_bytes()).unwrap_err();
        assert_eq!(error.kind, BodyErrorKind::Syntax(format!("`{word}` is no JSON value")));
    }
    let said = read(br#"{"call_data":[{"a":NaN}]}"#).unwrap_err().to_string();
    assert_eq!(
        said,
        "the body is not valid JSON: JSON has no `NaN`, at line 1, column 20 (byte 19), \
         in record 0 (counted from 0)"
    );
}

#[test]
fn lines_are_counted_everywhere() {
    let body =
        "{\r\n \"n\": 1,\n \"call_data\": [\n  {\"a\":\n   1},\n  {\"b\":\n   [1,\n    x]}]}";
    let (kind, offset, line, column, record) = fails(body.as_bytes());
    assert!(matches!(kind, BodyErrorKind::Syntax(_)), "{kind:?}");
    assert_eq!((offset as usize, line, column), (body.find('x').unwrap(), 8, 5));
    assert_eq!(record, Some(1));
}

#[test]
fn text_that_is_no_text() {
    let (kind, offset, ..) = fails(b"{\"call_data\":[{\"a\":\"\xC3\xA9\xFF\"}]}");
    assert_eq!((kind, offset), (BodyErrorKind::InvalidUtf8, 22));
    let (kind, offset, ..) = fails(b"{\"a\":\"\xED\xA0\x80\"}");
    assert_eq!((kind, offset), (BodyErrorKind::InvalidUtf8, 6));
    for body in
        [&b"{\"call_data\":[{\"a\":\"x\0y\"}]}"[..], b"{\"a\":\"x\ny\"}", b"{\"\\ud800\":1}"]
    {
        assert!(matches!(fails(body).0, BodyErrorKind::Syntax(_)), "{body:?}");
    }
}

#[test]
fn limits_of_members() {
    use BodyErrorKind::*;
    let name = |s: &str| s.to_owned();
    assert_eq!(
        fails(br#"{"a":1,"b":2,"\u0061":3}"#),
        (DuplicateMember(name("a")), 13, 1, 14, None)
    );
    let twice = br#"{"call_data":[],"call_data":[]}"#;
    assert_eq!(fails(twice).0, DuplicateMember(name("call_data")));
    let long = format!(r#"{{"x":1,"a":[{}0]}}"#, "0,".repeat(40_000));
    let error = fails(long.as_bytes());
    assert_eq!((error.0, error.1), (MemberTooLarge { name: name("a"), max: 65_536 }, 11));
    let named = format!(r#"{{"{}":1}}"#, "a".repeat(2000));
    assert!(matches!(fails(named.as_bytes()).0, NameTooLong { .. }));
    let many: Vec<_> = (0..300).map(|i| format!("\"k{i}\":1")).collect();
    assert!(matches!(fails(format!("{{{}}}", many.join(",")).as_bytes()).0, TooManyMembers { .. }));
}

#[test]
fn too_many_records_are_told_apart() {
    let read = |body: &[u8]| {
        let mut parser = BodyParser::new(Limits { max_records: 2, ..Limits::default() });
        parser.feed(body).and_then(|()| parser.finish())
    };
    assert_eq!(read(br#"{"call_data":[{},{}]}"#).unwrap().records().unwrap().len(), 2);
    let error = read(br#"{"call_data":[{},{},{}]}"#).unwrap_err();
    assert!(error.kind.is_too_many_records());
    assert_eq!(error.at.offset, 20);
}

#[test]
fn an_error_stays() {
    let mut parser = BodyParser::default();
    let error = parser.feed(b"{]").unwrap_err();
    assert_eq!(parser.feed(b"{}").unwrap_err(), error);
    assert_eq!(parser.finish().unwrap_err(), error);
}

/// JSON as people and programs write it, and things close to it.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|s| serde_json::to_string(&s).expect("a string is JSON")),
        Just(r#""\u00e9\ud83d\ude00\n\"\\""#.to_owned()),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[ {} ]", items.join(" ,\n"))),
            prop::collection::vec(("[a-zé\\]}]{0,5}", inner), 0..5).prop_map(|fields| {
                let fields = fields.iter().map(|(k, v)| format!("\"{k}\" :{v}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn fields_come_back_exactly_as_sent(values in prop::collection::vec(json_text(), 1..8)) {
        let sent: Vec<_> = values.iter().map(|v| format!("{{\"a\":{v}, \"b\": {v} }}")).collect();
        prop_assert_eq!(records(&format!("{{\"call_data\":[{}]}}", sent.join(", "))), sent);
    }

    #[test]
    fn pieces_do_not_matter(
        values in prop::collection::vec(json_text(), 0..6),
        hit in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        sizes in prop::collection::vec(0usize..9, 0..200),
    ) {
        let body = format!("{{\"m\":{{}},\n\"callData\":[{}], \"z\":[1]}}", values.join(","));
        let mut body = body.into_bytes();
        if let Some((at, byte)) = hit {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let whole = read(&body);
        prop_assert_eq!(seen(&read_in(&body, sizes.into_iter())), seen(&whole));
        prop_assert_eq!(seen(&read_in(&body, std::iter::repeat_n(1, body.len()))), seen(&whole));
    }

    #[test]
    fn accepts_what_is_json_and_nothing_else(
        values in prop::collection::vec(json_text(), 0..6),
        hit in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut body = format!("{{\"m\":{{}},\n\"callData\":[{}], \"z\":[1]}}", values.join(","));
        if let Some((at, byte)) = hit {
            let mut bytes = body.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            body = String::from_utf8_lossy(&bytes).into_owned();
        }
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok();
        if let Ok(parsed) = read(body.as_bytes()) {
            prop_assert!(is_json, "{}", body);
            drop(parsed);
        } else if is_json {
            // Ours: members that repeat, and names that no text can hold.
            let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body);
            prop_assert!(!object.is_ok_and(|o| o.len() == 3), "{}", body);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = read(&[b"{\"call_data\":[", &bytes[..]].concat());
    }

    #[test]
    fn random_json_bytes_never_panic(
        text in r#"[\[\]{}",:\\0-9eaun\n -]{0,120}"#,
        sizes in prop::collection::vec(0usize..9, 0..40),
    ) {
        for head in ["", "{\"call_data\":[", "{\"a\":"] {
            let body = format!("{head}{text}").into_bytes();
            let whole = read(&body);
            prop_assert_eq!(seen(&read_in(&body, sizes.iter().copied())), seen(&whole));
        }
    }
}
