//! Where the text of records is kept: blocks of a fixed size that are never moved or grown, so that
//! a long list costs its own length and not twice that.

/// Of the first block: enough for a usual request.
const FIRST_BLOCK_BYTES: usize = 128 * 1024;
/// Of every further block. A text that does not fit into the rest of a block is moved to the next:
/// texts of at most 64 KiB waste at most a sixteenth.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Where a closed text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    block: u32,
    offset: u32,
    len: u32,
}

/// Texts, of which the last is *open*: it is still growing. It always lies in one block.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    blocks: Vec<Vec<u8>>,
    /// Where the open text starts in the last block.
    open: usize,
}

impl Arena {
    /// The open text as far as it goes.
    pub(crate) fn open_text(&self) -> &[u8] {
        self.blocks.last().map_or(&[], |block| &block[self.open..])
    }

    /// Makes the open text longer. The caller bounds it; it must stay below the size of a block.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let needed = bytes.len();
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < needed) {
            self.next_block(needed);
        }
        let block = self.blocks.last_mut().expect("there is one, made above if need be");
        block.extend_from_slice(bytes);
    }

    /// Keeps the open text, and opens the next one.
    pub(crate) fn close(&mut self) -> Span {
        let last = self.blocks.len().saturating_sub(1);
        let end = self.blocks.last().map_or(0, Vec::len);
        // Blocks are far smaller than 4 GiB, and the body would have to be 4 PiB for too many.
        let part = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let span = Span { block: part(last), offset: part(self.open), len: part(end - self.open) };
        self.open = end;
        span
    }

    /// Forgets the open text, and opens the next one in its place.
    pub(crate) fn discard(&mut self) {
        if let Some(block) = self.blocks.last_mut() {
            block.truncate(self.open);
        }
    }

    /// A text that was closed.
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        let Some(block) = self.blocks.get(span.block as usize) else { return &[] };
        &block[span.offset as usize..][..span.len as usize]
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    fn next_block(&mut self, needed: usize) {
        let size = if self.blocks.is_empty() { FIRST_BLOCK_BYTES } else { BLOCK_BYTES };
        let open = self.open_text();
        let mut block = Vec::with_capacity(size.max(open.len() + needed));
        block.extend_from_slice(open);
        self.discard();
        self.blocks.push(block);
        self.open = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_waste_little() {
        let mut arena = Arena::default();
        let text = |i: usize| format!("{i:05}").repeat(1 + i * 7 % 4000).into_bytes();
        let spans: Vec<Span> = (0..1000)
            .map(|i| {
                for piece in text(i).chunks(999) {
                    arena.push(piece);
                }
                if i % 10 == 3 {
                    arena.discard();
                }
                arena.close()
            })
            .collect();
        let mut kept = 0;
        for (i, span) in spans.into_iter().enumerate() {
            let expected = if i % 10 == 3 { Vec::new() } else { text(i) };
            assert_eq!(arena.text(span), expected, "{i}");
            kept += expected.len();
        }
        assert!(arena.capacity() < kept * 108 / 100 + BLOCK_BYTES, "{} {kept}", arena.capacity());
    }
}
