//! Judged records in a temporary file, and chunks of them as the store takes them. Read by place,
//! so that a chunk whose outcome is not known can be built again.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use outdial_core::id::{AgentId, BatchId, RequestId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_ports::store::{ChunkAdd, ChunkLane, ChunkRecord};

use crate::ingest::Source;

/// Records of a chunk.
pub(super) const CHUNK: u64 = 1000;
/// Number, class, length of the text.
const HEAD_BYTES: usize = 8 + 4 + 4;

/// A class's text, and why nobody of it is ever called.
pub(super) type Class = (Arc<str>, Option<(Disposition, &'static str)>);

/// The records of a file.
pub(super) struct Records {
    file: File,
    /// Where each chunk begins, and where the last ends.
    places: Vec<u64>,
    count: u64,
    /// By place.
    classes: Vec<Class>,
}

/// Writes one record; how many bytes.
pub(super) fn write(file: &mut impl Write, phone: u64, class: u32, text: &[u8]) -> io::Result<u64> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    file.write_all(&phone.to_le_bytes())?;
    file.write_all(&class.to_le_bytes())?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(text)?;
    Ok((HEAD_BYTES + text.len()) as u64)
}

impl Records {
    /// `chunks`: where each begins; `end`: where the last ends.
    pub(super) fn new(
        file: File,
        chunks: Vec<u64>,
        end: u64,
        count: u64,
        classes: Vec<Class>,
    ) -> Self {
        let mut places = chunks;
        places.push(end);
        Self { file, places, count, classes }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    fn chunks(&self) -> u32 {
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    /// Those of chunk `n`, from 1.
    fn chunk(&self, n: u32) -> io::Result<Vec<ChunkRecord>> {
        let broken = || io::Error::other("a temporary file of records is not as it was written");
        let index = n as usize;
        let (Some(from), Some(to)) = (self.places.get(index - 1), self.places.get(index)) else {
            return Err(broken());
        };
        let length = usize::try_from(to - from).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, *from)?;
        let (mut rest, mut records) = (&bytes[..], Vec::with_capacity(1000));
        while let Some((head, after)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let (phone, class, text) = parts(head);
            let (text, after) = after.split_at_checked(text).ok_or_else(broken)?;
            let (class, blocked) = self.classes.get(class).ok_or_else(broken)?;
            records.push(ChunkRecord {
                phone: PhoneNumber::from_digits(phone),
                class: class.clone(),
                fields: std::str::from_utf8(text).map_err(io::Error::other)?.into(),
                blocked: *blocked,
            });
            rest = after;
        }
        if rest.is_empty() { Ok(records) } else { Err(broken()) }
    }
}

fn parts(head: &[u8; HEAD_BYTES]) -> (u64, usize, usize) {
    let [a, b, c, d, e, f, g, h, class @ .., i, j, k, l] = *head;
    let length = u32::from_le_bytes([i, j, k, l]);
    (
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        u32::from_le_bytes(class) as usize,
        length as usize,
    )
}

/// Records on their way into a batch that nobody sees yet.
pub(super) struct Importing {
    /// The records.
    pub(super) records: Records,
    /// The agent and the version of its variables that they were checked with.
    pub(super) agent: (AgentId, u32),
    /// Their request.
    pub(super) request: RequestId,
    /// Their batch.
    pub(super) batch: BatchId,
}

impl Source for Importing {
    fn count(&self) -> u32 {
        self.records.chunks()
    }

    fn chunk(&self, n: u32) -> Option<ChunkAdd> {
        let records = match self.records.chunk(n) {
            Ok(records) => records,
            Err(e) => {
                // The import lacks them, and is not finished.
                tracing::error!(chunk = n, error = %e, "records were not read back");
                return None;
            }
        };
        Some(ChunkAdd {
            request: self.request,
            chunk_num: n,
            batch: self.batch,
            agent: self.agent,
            lane: ChunkLane::Current,
            auto_start: false,
            records,
        })
    }

    fn keeps_ids(&self) -> bool {
        false
    }

    fn failures_max(&self) -> u32 {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_by_chunk() {
        let mut file = tempfile::tempfile().unwrap();
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        for n in 0..2500_u64 {
            if n.is_multiple_of(CHUNK) {
                chunks.push(bytes);
            }
            let text = format!("{{\"n\":\"{}\"}}", "é".repeat(n as usize % 7));
            bytes += write(&mut file, 12_125_550_000 + n, (n % 2) as u32, text.as_bytes()).unwrap();
        }
        let never = Some((Disposition::Skipped, "no_common_hours"));
        let classes = vec![("a".into(), None), ("b".into(), never)];
        let records = Records::new(file, chunks, bytes, 2500, classes);
        assert_eq!((records.chunks(), records.count()), (3, 2500));
        let lengths: Vec<_> = (1..=3).map(|n| records.chunk(n).unwrap().len()).collect();
        assert_eq!(lengths, [1000, 1000, 500]);
        let last = records.chunk(3).unwrap().pop().unwrap();
        assert_eq!(last.phone, PhoneNumber::from_digits(12_125_552_499));
        assert_eq!((&*last.class, last.blocked, &*last.fields), ("b", never, "{\"n\":\"\"}"));
        assert!(records.chunk(4).is_err());
    }
}
