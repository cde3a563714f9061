//! The texts that a workbook's cells share, one after another in bounded memory.

use super::TableError;

/// Texts by their number.
#[derive(Debug, Default)]
pub(super) struct Strings {
    text: String,
    ends: Vec<usize>,
}

impl Strings {
    /// One more. All together may take `max` bytes of memory.
    pub(super) fn push(&mut self, text: &str, max: u64) -> Result<(), TableError> {
        let bytes = self.text.len() + text.len() + (self.ends.len() + 1) * size_of::<usize>();
        if bytes as u64 > max {
            return Err(TableError::TooLarge { what: "the text of the workbook's cells", max });
        }
        self.text.push_str(text);
        self.ends.push(self.text.len());
        Ok(())
    }

    /// That with this number, from 0.
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[start..end])
    }
}
