//! Compressed bodies: gzip (RFC 1952) and nothing else, decoded as it comes, in small pieces.
//!
//! A few bytes can stand for a thousand times as many. So what one call returns is bounded whatever
//! came, and who reads has a limit on the decoded size, and on how many times larger it is.

use std::io::{self, Write};

use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

use crate::error::{ApiError, ApiResult};

/// Compressed bytes that are decoded at a time: at most 4 MiB come of them.
const STEP_BYTES: usize = 4096;
/// Decoded bytes up to which nobody asks how many times larger they are.
const EXPANSION_GRACE_BYTES: u64 = 1 << 20;

/// How a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Identity,
    /// Compressed.
    Gzip,
}

impl Encoding {
    /// Of a request; 415 for those we do not know, and for one on top of another.
    pub(crate) fn of(headers: &HeaderMap) -> ApiResult<Self> {
        let mut found = Self::Identity;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            for name in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                    continue;
                }
                let is_gzip =
                    name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip");
                if !is_gzip || found == Self::Gzip {
                    let why = "send the body as it is, or once compressed with gzip";
                    return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
                }
                found = Self::Gzip;
            }
        }
        Ok(found)
    }
}

/// Undoes gzip.
pub(crate) struct Inflater {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What came and is not decoded yet.
    waiting: Bytes,
    came: u64,
    made: u64,
    expansion_max: u64,
}

impl Inflater {
    /// What it makes may be `expansion_max` times larger than what comes.
    pub(crate) fn new(expansion_max: u64) -> Self {
        let decoder = MultiGzDecoder::new(Vec::new());
        Self { decoder, waiting: Bytes::new(), came: 0, made: 0, expansion_max }
    }

    /// The next compressed bytes; only when `next` has nothing more.
    pub(crate) fn feed(&mut self, bytes: Bytes) {
        self.waiting = bytes;
    }

    /// A piece of what has come; none: more must come.
    pub(crate) fn next(&mut self) -> ApiResult<Option<Bytes>> {
        while self.waiting.has_remaining() {
            let step = self.waiting.split_to(self.waiting.len().min(STEP_BYTES));
            self.came += step.len() as u64;
            self.decoder.write_all(&step).map_err(|e| not_gzip(&e))?;
            if let Some(piece) = self.piece()? {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// All has come: the last piece, if there is one.
    pub(crate) fn finish(&mut self) -> ApiResult<Option<Bytes>> {
        self.decoder.try_finish().map_err(|e| not_gzip(&e))?;
        self.piece()
    }

    fn piece(&mut self) -> ApiResult<Option<Bytes>> {
        let piece = std::mem::take(self.decoder.get_mut());
        self.made += piece.len() as u64;
        let most = self.came.saturating_mul(self.expansion_max).max(EXPANSION_GRACE_BYTES);
        if self.made > most {
            let why = format!(
                "the compressed body is more than {} times larger than it came: send it as it is",
                self.expansion_max
            );
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

fn not_gzip(e: &io::Error) -> ApiError {
    ApiError::bad("the body is not gzip, is damaged, or is cut off").because(e.to_string())
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(compressed: &[u8], part: usize) -> ApiResult<Vec<u8>> {
        let mut inflater = Inflater::new(200);
        let mut made = Vec::new();
        for bytes in compressed.chunks(part) {
            inflater.feed(Bytes::copy_from_slice(bytes));
            while let Some(piece) = inflater.next()? {
                assert!(piece.len() <= 1100 * STEP_BYTES, "{}", piece.len());
                made.extend_from_slice(&piece);
            }
        }
        made.extend_from_slice(&inflater.finish()?.unwrap_or_default());
        Ok(made)
    }

    #[test]
    fn what_was_compressed_comes_out() {
        let text: Vec<u8> =
            (0..200_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        for part in [1, 17, 4096, 1 << 20] {
            assert_eq!(inflate(&gzip(&text), part).unwrap(), text);
            // Files behind each other are one (RFC 1952 section 2.2).
            let two = [gzip(b"one, "), gzip(b"two")].concat();
            assert_eq!(inflate(&two, part).unwrap(), b"one, two");
            assert_eq!(inflate(&gzip(b""), part).unwrap(), b"");
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = gzip(b"hello hello hello hello hello hello");
        for cut in 0..whole.len() {
            let refused = inflate(&whole[..cut], 4096).map_err(|e| e.status().as_u16());
            assert_eq!(refused, Err(400), "{cut}");
        }
        let mut wrong_sum = whole.clone();
        let at = whole.len() - 6;
        wrong_sum[at] ^= 1;
        for bad in [&wrong_sum[..], b"{\"a\":1}", &[&whole[..], b"rest"].concat()] {
            assert_eq!(inflate(bad, 4096).unwrap_err().status().as_u16(), 400);
        }
        // A name in its head that never ends.
        let mut named = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        named.resize(1 << 20, b'n');
        assert_eq!(inflate(&named, 4096).unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn bombs_do_not_go_off() {
        let bomb = gzip(&vec![0; 64 << 20]);
        let refused = inflate(&bomb, 1 << 20).unwrap_err();
        assert_eq!(refused.status().as_u16(), 413);
        assert!(refused.outer().contains("200 times"));
        // Small ones are harmless.
        assert_eq!(inflate(&gzip(&vec![0; 1 << 20]), 4096).unwrap().len(), 1 << 20);
    }

    #[test]
    fn one_encoding_that_is_known() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            Encoding::of(&headers).map_err(|e| e.status().as_u16())
        };
        for plain in [&[][..], &["identity"], &[""], &["Identity, identity"]] {
            assert_eq!(of(plain), Ok(Encoding::Identity), "{plain:?}");
        }
        for gzip in [&["gzip"][..], &["GZip"], &["x-gzip"], &["identity, gzip"]] {
            assert_eq!(of(gzip), Ok(Encoding::Gzip), "{gzip:?}");
        }
        for bad in [&["br"][..], &["zstd"], &["deflate"], &["gzip, gzip"], &["gzip", "gzip"]] {
            assert_eq!(of(bad), Err(415), "{bad:?}");
        }
        for bad in [&["gzip, br"][..], &["br", "gzip"], &["gzipx"], &["gzip;q=1"]] {
            assert_eq!(of(bad), Err(415), "{bad:?}");
        }
    }
}
