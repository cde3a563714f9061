//! The names that our messages carry: `Call-ID`, tags, branches.
//!
//! All are keyed hashes, so that any process with the database's secret knows our own calls
//! without having seen them, and nobody else can name one. They say nothing of the attempt.

use std::fmt;

use hmac::{Hmac, Mac};
use outdial_core::id::AttemptId;
use sha2::Sha256;

use super::message::Method;

/// Makes and knows our names.
#[derive(Clone)]
pub(crate) struct Ids {
    keyed: Hmac<Sha256>,
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids(…)")
    }
}

impl Ids {
    /// By the database's secret.
    pub(crate) fn new(secret: &[u8]) -> Self {
        let keyed = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Self { keyed }
    }

    /// The `Call-ID` of an attempt with its unguessable name.
    pub(crate) fn call_id(&self, attempt: AttemptId, token: &[u8; 16]) -> String {
        let (seconds, seq) = (attempt.seconds().to_be_bytes(), attempt.seq().to_be_bytes());
        hex(&self.hash("call", &[&seconds, &seq, token])[..16])
    }

    /// Our tag in the dialogs of a `Call-ID`.
    #[expect(clippy::wrong_self_convention, reason = "the tag of `From`")]
    pub(crate) fn from_tag(&self, call_id: &str) -> String {
        hex(&self.hash("tag", &[call_id.as_bytes()])[..10])
    }

    /// The branch of a transaction; `nth` tells apart those with the same method and `CSeq`.
    pub(crate) fn branch(&self, call_id: &str, method: &Method, cseq: u32, nth: u32) -> String {
        let parts = [call_id.as_bytes(), method.as_str().as_bytes()];
        let numbers = [cseq.to_be_bytes(), nth.to_be_bytes()].concat();
        let hash = self.hash("branch", &[parts[0], parts[1], &numbers]);
        format!("z9hG4bK{}", hex(&hash[..16]))
    }

    /// Whether that `Call-ID` with that tag is one of ours.
    pub(crate) fn is_ours(&self, call_id: &str, tag: &str) -> bool {
        let right = self.from_tag(call_id);
        // Every byte is looked at, so that the time tells nothing.
        let differing = right.bytes().zip(tag.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        right.len() == tag.len() && differing == 0
    }

    /// A `cnonce` for a request with credentials.
    pub(crate) fn cnonce(&self, call_id: &str, cseq: u32) -> String {
        hex(&self.hash("cnonce", &[call_id.as_bytes(), &cseq.to_be_bytes()])[..8])
    }

    /// The session's number in our session descriptions, below 2^62.
    pub(crate) fn session_id(&self, call_id: &str) -> u64 {
        let hash = self.hash("session", &[call_id.as_bytes()]);
        let first = hash.first_chunk().expect("a hash has more than 8 bytes");
        u64::from_be_bytes(*first) >> 2
    }

    /// The parts cannot run into each other: each stands after its length.
    fn hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut keyed = self.keyed.clone();
        for part in [purpose.as_bytes()].iter().chain(parts) {
            let length = u64::try_from(part.len()).expect("a length fits into 64 bits");
            keyed.update(&length.to_be_bytes());
            keyed.update(part);
        }
        keyed.finalize().into_bytes().into()
    }
}

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn another_process_finds_the_same_names() {
        let (one, two) = (Ids::new(b"secret"), Ids::new(b"secret"));
        let attempt = AttemptId::from_parts(7, 9);
        let call_id = one.call_id(attempt, &[3; 16]);
        assert_eq!(call_id, two.call_id(attempt, &[3; 16]));
        let tag = one.from_tag(&call_id);
        assert!(two.is_ours(&call_id, &tag));
        assert_eq!(
            one.branch(&call_id, &Method::Invite, 1, 0),
            two.branch(&call_id, &Method::Invite, 1, 0)
        );
    }

    #[test]
    fn strangers_do_not() {
        let (ours, theirs) = (Ids::new(b"secret"), Ids::new(b"other"));
        let call_id = ours.call_id(AttemptId::from_parts(7, 9), &[3; 16]);
        let tag = ours.from_tag(&call_id);
        assert!(!ours.is_ours(&call_id, &theirs.from_tag(&call_id)));
        for wrong in ["", &tag[1..], &format!("{tag}0"), &tag.to_uppercase()] {
            assert!(!ours.is_ours(&call_id, wrong), "{wrong}");
        }
        assert!(!ours.is_ours("x", &tag));
        assert!(ours.session_id(&call_id) < 1 << 62);
    }

    #[test]
    fn no_two_are_the_same() {
        let ids = Ids::new(b"secret");
        let mut all = BTreeSet::new();
        for seq in 0..50 {
            let call_id = ids.call_id(AttemptId::from_parts(1, seq), &[0; 16]);
            assert!(all.insert(ids.from_tag(&call_id)));
            assert!(all.insert(ids.cnonce(&call_id, 1)));
            for method in [Method::Invite, Method::Bye] {
                for (cseq, nth) in [(1, 0), (1, 1), (2, 0)] {
                    assert!(all.insert(ids.branch(&call_id, &method, cseq, nth)));
                }
            }
            assert!(all.insert(call_id));
        }
        let one = ids.call_id(AttemptId::from_parts(1, 1), &[0; 16]);
        assert_ne!(one, ids.call_id(AttemptId::from_parts(1, 1), &[1; 16]));
        // What is hashed is not only glued together.
        assert_ne!(ids.hash("a", &[b"bc"]), ids.hash("ab", &[b"c"]));
    }
}
