//! Section 4, restored backups: from a database that does not hold what was dialed, nobody is.

use std::collections::BTreeSet;

use outdial_core::id::AttemptId;

use super::Violation;

/// Processes whose database is such a one in every workspace with something to dial.
#[derive(Debug, Default)]
pub struct Copies(BTreeSet<u32>);

impl Copies {
    /// A process starts on one.
    pub fn started(&mut self, process: u32) {
        self.0.insert(process);
    }

    /// A call leaves a process.
    pub fn placed(&self, process: u32, attempt: AttemptId) -> Result<(), Violation> {
        if !self.0.contains(&process) {
            return Ok(());
        }
        let what = format!("attempt {attempt} left process {process}, which has an older copy");
        Err(Violation::new("older copy", what))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::placed;
    use super::*;

    #[test]
    fn a_call_from_an_older_copy() {
        let attempt = placed(1, 0).attempt;
        let mut copies = Copies::default();
        copies.started(2);
        copies.placed(1, attempt).unwrap();
        assert_eq!(copies.placed(2, attempt).unwrap_err().promise, "older copy");
        copies.placed(3, attempt).unwrap();
    }
}
