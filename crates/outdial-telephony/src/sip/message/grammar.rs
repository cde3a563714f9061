//! The little grammar that headers share: tokens, quotes, lists, parameters.

/// The most entries or parameters that are read of one header.
const MAX_PARTS: usize = 64;

/// A `token` of RFC 3261 section 25.1.
pub(crate) fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

/// Cuts at `at` wherever it stands neither in quotes nor in angle brackets; pieces are trimmed,
/// empty ones left out. None: a quote or bracket is not closed, or the pieces are too many.
pub(super) fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let mut pieces = Vec::new();
    let (mut begin, mut is_quoted, mut is_escaped, mut in_brackets) = (0, false, false, false);
    let ends = text.char_indices().map(|(i, c)| (i, Some(c))).chain([(text.len(), None)]);
    for (i, c) in ends {
        match c {
            _ if is_escaped => is_escaped = false,
            Some('\\') if is_quoted => is_escaped = true,
            Some('"') if !in_brackets => is_quoted = !is_quoted,
            Some('<') if !is_quoted => in_brackets = true,
            Some('>') if !is_quoted => in_brackets = false,
            Some(c) if c != at || is_quoted || in_brackets => {}
            _ => {
                let piece = text[begin..i].trim();
                if !piece.is_empty() {
                    pieces.push(piece);
                }
                begin = i + at.len_utf8();
                if pieces.len() > MAX_PARTS {
                    return None;
                }
            }
        }
    }
    (!is_quoted && !in_brackets).then_some(pieces)
}

/// The parameters of a header or an address, names in lower case, quotes taken off the values.
pub(super) fn params(text: &str) -> Option<Vec<(String, Option<String>)>> {
    let read = |piece: &str| match piece.split_once('=') {
        Some((name, value)) => {
            (name.trim_end().to_ascii_lowercase(), Some(unquoted(value.trim_start())))
        }
        None => (piece.to_ascii_lowercase(), None),
    };
    Some(split(text, ';')?.into_iter().map(read).collect())
}

/// The value of the first parameter of that name, which is in lower case; `Some(None)`: it has no
/// value.
pub(super) fn param<'a>(
    all: &'a [(String, Option<String>)],
    name: &str,
) -> Option<Option<&'a str>> {
    all.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_deref())
}

/// A `quoted-string` without its quotes; anything else as it is.
pub(crate) fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// As a `quoted-string`. What may not stand in any header is refused by who builds the message.
pub(crate) fn quoted(text: &str) -> String {
    let mut all = String::with_capacity(text.len() + 2);
    all.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            all.push('\\');
        }
        all.push(c);
    }
    all.push('"');
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_outside_quotes_and_brackets() {
        assert_eq!(split(" a , b,,c ", ','), Some(vec!["a", "b", "c"]));
        assert_eq!(split("\"x, \\\" y\" <sip:a,b>, c", ',').unwrap().len(), 2);
        assert_eq!(split("\"open, c", ','), None);
        assert_eq!(split("<open, c", ','), None);
        assert_eq!(split("\"a\\", ','), None);
        assert_eq!(split("", ','), Some(vec![]));
        assert_eq!(split(&"a,".repeat(65), ','), None);
    }

    #[test]
    fn quotes_come_off_as_they_went_on() {
        for text in ["", "a", "a \"b\" \\c", "ä;,<>"] {
            assert_eq!(unquoted(&quoted(text)), text);
            assert_eq!(split(&quoted(text), ',').unwrap().len(), 1);
        }
        assert_eq!(unquoted("\"a\\\""), "a");
        assert_eq!(unquoted("\""), "\"");
    }
}
