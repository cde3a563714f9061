//! Values as PostgreSQL's `COPY` writes them in its text format: what is sent and what is read back
//! are the same bytes.

use rusqlite::types::ValueRef;

use super::{Column, CopyError, Kind};

/// Appends a value; `at` names it in an error.
pub(super) fn put(
    line: &mut Vec<u8>,
    value: ValueRef<'_>,
    kind: Kind,
    at: impl Fn() -> String,
) -> Result<(), CopyError> {
    let wrong = || CopyError::Value(format!("{}: a value is not what its column holds", at()));
    match (kind, value) {
        (_, ValueRef::Null) => line.extend_from_slice(b"\\N"),
        (Kind::Int, ValueRef::Integer(n)) => line.extend_from_slice(n.to_string().as_bytes()),
        (Kind::Bool, ValueRef::Integer(0)) => line.push(b'f'),
        (Kind::Bool, ValueRef::Integer(1)) => line.push(b't'),
        (Kind::Float, ValueRef::Real(x)) => line.extend_from_slice(x.to_string().as_bytes()),
        (Kind::Float, ValueRef::Integer(n)) => line.extend_from_slice(n.to_string().as_bytes()),
        (Kind::Text, ValueRef::Text(text)) => {
            if text.contains(&0) {
                return Err(CopyError::Value(format!("{}: a text has a NUL in it", at())));
            }
            std::str::from_utf8(text).map_err(|_| wrong())?;
            escaped(line, text);
        }
        (Kind::Bytes, ValueRef::Blob(bytes)) => {
            line.extend_from_slice(b"\\\\x");
            for byte in bytes {
                let digits = [byte >> 4, byte & 15];
                line.extend(digits.map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn escaped(line: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        let letter = match byte {
            b'\\' => b'\\',
            8 => b'b',
            9 => b't',
            10 => b'n',
            11 => b'v',
            12 => b'f',
            13 => b'r',
            other => {
                line.push(*other);
                continue;
            }
        };
        line.extend([b'\\', letter]);
    }
}

/// A line that was read back, its floating-point numbers written as `put` does.
pub(super) fn normal(line: &[u8], columns: &[Column]) -> Option<Vec<u8>> {
    let bare = line.strip_suffix(b"\n")?;
    let mut out = Vec::with_capacity(line.len());
    for (i, (value, column)) in bare.split(|b| *b == b'\t').zip(columns).enumerate() {
        if i > 0 {
            out.push(b'\t');
        }
        match column.kind {
            Kind::Float if value != b"\\N" => {
                let number: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
                out.extend_from_slice(number.to_string().as_bytes());
            }
            _ => out.extend_from_slice(value),
        }
    }
    out.push(b'\n');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: ValueRef<'_>, kind: Kind) -> Result<String, CopyError> {
        let mut line = Vec::new();
        put(&mut line, value, kind, || "t.c".to_owned())?;
        Ok(String::from_utf8(line).unwrap())
    }

    #[test]
    fn values() {
        let text = |t: &'static str| ValueRef::Text(t.as_bytes());
        for (value, kind, written) in [
            (ValueRef::Null, Kind::Int, "\\N"),
            (ValueRef::Integer(-7), Kind::Int, "-7"),
            (ValueRef::Integer(1), Kind::Bool, "t"),
            (ValueRef::Real(2.5), Kind::Float, "2.5"),
            (ValueRef::Real(1.0), Kind::Float, "1"),
            (text("a\\b\tc\nd\u{b}\u{7f}é\u{1}"), Kind::Text, "a\\\\b\\tc\\nd\\v\u{7f}é\u{1}"),
            (text("\\N"), Kind::Text, "\\\\N"),
            (ValueRef::Blob(&[0, 255, 10]), Kind::Bytes, "\\\\x00ff0a"),
        ] {
            assert_eq!(line(value, kind).unwrap(), written);
        }
        for (value, kind) in [
            (ValueRef::Integer(2), Kind::Bool),
            (text("x"), Kind::Int),
            (text("a\0b"), Kind::Text),
            (ValueRef::Text(&[0xff]), Kind::Text),
        ] {
            assert!(line(value, kind).is_err(), "{value:?}");
        }
    }

    #[test]
    fn floating_point_numbers_are_written_one_way() {
        let column = |kind| Column { name: "c".to_owned(), of: "c".to_owned(), kind };
        let columns = [column(Kind::Int), column(Kind::Float), column(Kind::Float)];
        let read = normal(b"1\t1e+20\t\\N\n", &columns).unwrap();
        assert_eq!(read, b"1\t100000000000000000000\t\\N\n");
    }
}
