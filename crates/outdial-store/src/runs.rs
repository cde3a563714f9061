//! Call ids as runs of consecutive ones: how the ids of a chunk are stored.

use outdial_core::id::CallId;

/// Bytes of a run: seconds (4), first sequence number (8), count (4), big-endian.
const RUN: usize = 16;

/// As bytes: a chunk of new records is 16 of them.
pub(crate) fn pack(calls: &[CallId]) -> Vec<u8> {
    let mut runs: Vec<(CallId, u32)> = Vec::new();
    for &call in calls {
        match runs.last_mut() {
            Some((first, count))
                if call.seconds() == first.seconds()
                    && call.seq() == first.seq() + u64::from(*count) =>
            {
                *count += 1;
            }
            _ => runs.push((call, 1)),
        }
    }
    let mut bytes = Vec::with_capacity(runs.len() * RUN);
    for (first, count) in runs {
        bytes.extend(first.seconds().to_be_bytes());
        bytes.extend(first.seq().to_be_bytes());
        bytes.extend(count.to_be_bytes());
    }
    bytes
}

/// The reverse of [`pack`].
pub(crate) fn unpack(bytes: &[u8]) -> Vec<CallId> {
    let number = |part: &[u8]| part.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
    bytes
        .chunks_exact(RUN)
        .flat_map(|run| {
            let seconds = u32::try_from(number(&run[..4])).unwrap_or(0);
            let (first, count) = (number(&run[4..12]), number(&run[12..]));
            (first..first + count).map(move |seq| CallId::from_parts(seconds, seq))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_packed_as_runs() {
        let id = CallId::from_parts;
        let fresh: Vec<_> = (1..=1000).map(|seq| id(7, seq)).collect();
        assert_eq!(pack(&fresh).len(), RUN);
        let mixed = [id(7, 5), id(7, 6), id(8, 7), id(8, 3), id(8, 4), id(8, 4), id(7, 1 << 40)];
        for calls in [&fresh[..], &mixed, &[]] {
            assert_eq!(unpack(&pack(calls)), calls);
        }
    }
}
