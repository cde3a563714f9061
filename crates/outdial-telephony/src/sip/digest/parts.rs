//! The text of challenges and credentials: `Digest name=value, name="value"`.

use crate::sip::message::{is_token, unquoted};

/// The most parameters of one challenge.
const MAX_PARTS: usize = 32;

/// The parameters of a digest challenge or of credentials.
#[derive(Clone)]
pub(super) struct Parts(Vec<(String, String)>);

/// Without values: secrets and names are among them.
impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Parts {
    /// Of one challenge. None: it is no digest, or cannot be read, or says something twice.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut parts: Vec<(String, String)> = Vec::new();
        for piece in pieces(rest) {
            let (name, value) = piece.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            let is_again = parts.iter().any(|(n, _)| *n == name);
            if !is_token(&name) || is_again || parts.len() == MAX_PARTS {
                return None;
            }
            parts.push((name, unquoted(value.trim())));
        }
        Some(Self(parts))
    }

    /// The value of that parameter, its name in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges of one header line: there may be several, told apart only by a scheme and a
/// space where a parameter is expected.
pub(super) fn schemes(line: &str) -> Vec<&str> {
    let mut begins = Vec::new();
    for piece in pieces(line) {
        let word = piece.split([' ', '\t']).next().unwrap_or_default();
        // `realm = "x"` has a space as well, but goes on with `=`.
        let rest = piece[word.len()..].trim_start();
        if is_token(word) && (rest.is_empty() || !rest.starts_with('=')) && !word.contains('=') {
            begins.push(piece.as_ptr().addr() - line.as_ptr().addr());
        }
    }
    let ends = begins.iter().skip(1).copied().chain([line.len()]);
    let cut = |(begin, end): (&usize, usize)| line[*begin..end].trim_end_matches([' ', '\t', ',']);
    begins.iter().zip(ends).map(cut).collect()
}

/// Cuts at commas outside quotes.
fn pieces(text: &str) -> Vec<&str> {
    let (mut all, mut begin, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                all.push(text[begin..i].trim());
                begin = i + 1;
            }
            _ => {}
        }
    }
    all.push(text[begin..].trim());
    all.retain(|piece| !piece.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_challenges_in_one_line() {
        let line = "Digest realm=\"a, Basic b\", nonce = \"n\" , Basic realm=\"x\",Digest nonce=y, \
                    realm=\"z\", Negotiate";
        let all = schemes(line);
        assert_eq!(
            all,
            [
                "Digest realm=\"a, Basic b\", nonce = \"n\"",
                "Basic realm=\"x\"",
                "Digest nonce=y, realm=\"z\"",
                "Negotiate"
            ]
        );
        assert_eq!(Parts::parse(all[0]).unwrap().get("realm"), Some("a, Basic b"));
        assert_eq!(Parts::parse(all[0]).unwrap().get("nonce"), Some("n"));
        assert!(Parts::parse(all[1]).is_none());
        assert!(schemes("").is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for text in ["", "Digest", "Digest realm", "Digest a=1, a=2", "Digest =x", "Digest \"a=1"] {
            assert!(Parts::parse(text).is_none(), "{text}");
        }
        let many = (0..40).map(|i| format!("p{i}=1")).collect::<Vec<_>>().join(",");
        assert!(Parts::parse(&format!("Digest {many}")).is_none());
    }
}
