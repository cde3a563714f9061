//! RTP packets (RFC 3550): read with bounds, written.

/// The bytes of a header without additions.
pub(super) const HEADER: usize = 12;
/// The longest packet that is read.
pub(super) const MAX_PACKET: usize = 1_500;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// After a pause.
    pub(super) marker: bool,
    pub(super) payload_type: u8,
    pub(super) sequence: u16,
    /// In samples.
    pub(super) timestamp: u32,
    /// Who sends.
    pub(super) ssrc: u32,
}

impl Header {
    /// As it is sent.
    pub(super) fn write(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = 0x80;
        bytes[1] = self.payload_type & 0x7f | if self.marker { 0x80 } else { 0 };
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

/// Reads a packet: its header and what it carries. None: it is none.
pub(super) fn read(bytes: &[u8]) -> Option<(Header, &[u8])> {
    if bytes.len() > MAX_PACKET {
        return None;
    }
    let (head, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [first, second, s0, s1, t0, t1, t2, t3, o0, o1, o2, o3] = *head;
    if first >> 6 != 2 {
        return None;
    }
    let mut payload = rest.get(4 * usize::from(first & 15)..)?;
    if first & 0x10 != 0 {
        let (extension, rest) = payload.split_first_chunk::<4>()?;
        let words = u16::from_be_bytes([extension[2], extension[3]]);
        payload = rest.get(4 * usize::from(words)..)?;
    }
    if first & 0x20 != 0 {
        let padding = usize::from(*payload.last()?);
        payload = payload.get(..payload.len().checked_sub(padding)?)?;
        if padding == 0 {
            return None;
        }
    }
    let header = Header {
        marker: second & 0x80 != 0,
        payload_type: second & 0x7f,
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([o0, o1, o2, o3]),
    };
    Some((header, payload))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let header =
            Header { marker: true, payload_type: 101, sequence: 0xfffe, timestamp: 7, ssrc: 9 };
        let bytes = [&header.write()[..], b"sound"].concat();
        assert_eq!(read(&bytes), Some((header, &b"sound"[..])));
    }

    #[test]
    fn reads_past_additions() {
        let plain = [0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        let with = |first: u8, rest: &[u8]| {
            let mut bytes = plain.to_vec();
            bytes[0] = first;
            bytes.extend_from_slice(rest);
            read(&bytes).map(|(_, payload)| payload.to_vec())
        };
        assert_eq!(with(0x82, b"ssrcssrcx"), Some(b"x".to_vec()));
        assert_eq!(with(0x90, &[0, 0, 0, 1, 9, 9, 9, 9, 5]), Some(vec![5]));
        assert_eq!(with(0xa0, &[5, 6, 0, 2]), Some(vec![5, 6]));
        assert_eq!(with(0x80, b""), Some(vec![]));
        for (first, rest) in [
            (0x40, &b"x"[..]),
            (0x82, b"ssrcssr"),
            (0x90, &[0, 0, 0]),
            (0x90, &[0, 0, 0, 2, 1, 1, 1, 1]),
            (0xa0, &[]),
            (0xa0, &[1, 0]),
            (0xa0, &[1, 3]),
        ] {
            assert_eq!(with(first, rest), None, "{first:x} {rest:?}");
        }
        assert_eq!(read(&plain[..11]), None);
        assert_eq!(read(&[0x80; MAX_PACKET + 1]), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
        }
    }
}
