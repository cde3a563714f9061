//! `x-request-id`: one name for a request, in its answer and in every line that is logged about it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use outdial_ports::Entropy;

/// The header, in requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client, in bytes.
const MAX_BYTES: usize = 128;

/// Makes ids: chance once for the process, then a number.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: String,
    last: AtomicU64,
}

impl RequestIds {
    /// Those of this process.
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let process = random.iter().fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        });
        Self { process, last: AtomicU64::new(0) }
    }

    /// An id that nothing else has.
    pub(crate) fn make(&self) -> HeaderValue {
        let number = self.last.fetch_add(1, Ordering::AcqRel);
        HeaderValue::try_from(format!("{}-{number:08x}", self.process))
            .expect("hexadecimal digits are a header's value")
    }

    /// The client's own id if it is a sane one, else one of ours.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let mut values = headers.get_all(REQUEST_ID).iter();
        match (values.next(), values.next()) {
            (Some(value), None) if is_sane(value.as_bytes()) => value.clone(),
            _ => self.make(),
        }
    }
}

/// Short, and nothing that a log could be forged with.
fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_BYTES).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn sane_ones_are_taken_over() {
        let ids = RequestIds::new(&Zeros);
        let mut own = 0;
        let mut of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            }
            let id = ids.of(&headers);
            let ours = format!("0000000000000000-{own:08x}");
            let is_ours = id == ours.as_str();
            own += u32::from(is_ours);
            (!is_ours).then(|| id.as_bytes().to_vec())
        };
        for sane in [&b"a"[..], b"4bf92f35-77b3:4da6/x+y=.@_", &[b'x'; 128]] {
            assert_eq!(of(&[sane]), Some(sane.to_vec()));
        }
        for bad in [&[][..], &[&b""[..]], &[b"a b"], &[b"a\"b"], &["\u{e9}".as_bytes()]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(of(&[&[b'x'; 129]]), None);
        assert_eq!(of(&[b"a", b"b"]), None);
    }
}
