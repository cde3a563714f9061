//! Every record of a request, judged.

use outdial_core::contact::{CheckedContact, Checker, FAULTS_SHOWN, Faults, superseded};

use crate::body::{RecordText, Records};

/// What came of the records of a request.
#[derive(Clone, Debug)]
pub struct Validation {
    /// By position; none: it has faults, or (after [`Validation::drop_superseded`]) a later record
    /// has the same number.
    pub contacts: Vec<Option<CheckedContact>>,
    /// All faults are counted, the first kept.
    pub faults: Faults,
    /// How many records have faults.
    pub rejected: u32,
}

impl Validation {
    /// Settles numbers that come several times in the request: the later record wins at its own
    /// place, the earlier is stored nowhere. Returns how many were dropped.
    pub fn drop_superseded(&mut self) -> usize {
        let phones = (0..).zip(&self.contacts).filter_map(|(i, c)| Some((i, c.as_ref()?.phone)));
        let earlier = superseded(phones);
        for index in &earlier {
            self.contacts[*index as usize] = None;
        }
        earlier.len()
    }
}

/// Judges every record; all faults are counted, and the first [`FAULTS_SHOWN`] kept, by position.
/// Takes some microseconds a record: run it where it blocks nobody.
pub fn validate_all(records: &Records, checker: &mut Checker) -> Validation {
    let mut contacts = Vec::with_capacity(records.len());
    let mut faults = Faults::new(FAULTS_SHOWN);
    let mut rejected = 0;
    for (index, record) in (0u32..).zip(records.iter()) {
        let checked = match record {
            RecordText::Kept(text) => checker.check_text(index, text, &mut faults),
            RecordText::Refused(code) => {
                faults.add_refusal(index, code);
                None
            }
        };
        rejected += u32::from(checked.is_none());
        contacts.push(checked);
    }
    Validation { contacts, faults, rejected }
}
