//! The records of a request, judged, and cut into chunks as the store takes them.

use std::collections::BTreeMap;

use outdial_core::contact::{CheckedContact, Checker, ClassId, Never};
use outdial_core::id::{BatchId, RequestId};
use outdial_core::outcome::Disposition;
use outdial_core::zone::Class;
use outdial_ingest::{Body, validate_all};
use outdial_ports::store::{ChunkAdd, ChunkLane, ChunkRecord};

use super::answer::{RecordFaults, Remarks};
use super::chunks::Source;
use super::terms::Terms;
use super::warnings::warnings;
use crate::error::{ApiError, ApiResult};

/// Records of a chunk, by position.
const CHUNK: usize = 1000;

/// What to do about records that are not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInvalid {
    /// Store nothing.
    Refuse,
    /// Store the others.
    Skip,
}

/// Records that were found good.
pub(crate) struct Judged {
    /// Whose text they are; its records are there.
    body: Body,
    /// By position; none: rejected, or superseded by a later record of the same number.
    contacts: Vec<Option<CheckedContact>>,
    checker: Checker,
    /// Classes in which a call can never be placed, and why.
    closed: BTreeMap<ClassId, Never>,
    /// What is to be said beside the chunks.
    pub(crate) remarks: Remarks,
}

impl Judged {
    /// Judges every record. Takes some microseconds a record: run it where it blocks nobody.
    pub(crate) fn new(body: Body, terms: &Terms, on_invalid: OnInvalid) -> ApiResult<Self> {
        let mut checker = Checker::new(terms.rules()?);
        let records = body.records().map_err(|e| ApiError::bad(e.to_string()))?;
        let mut validation = validate_all(records, &mut checker);
        let faults = RecordFaults::from(&validation.faults);
        let good = validation.contacts.iter().any(Option::is_some);
        if validation.rejected > 0 && (on_invalid == OnInvalid::Refuse || !good) {
            return Err(faults.refusal(validation.rejected));
        }
        validation.drop_superseded();
        let closed = closed(&checker, terms);
        let mut records: BTreeMap<ClassId, u64> = BTreeMap::new();
        for contact in validation.contacts.iter().flatten() {
            *records.entry(contact.class).or_default() += 1;
        }
        let remarks = Remarks {
            rejected: (validation.rejected > 0).then_some(faults),
            warnings: warnings(&records, &closed, &checker, terms),
        };
        Ok(Self { body, contacts: validation.contacts, checker, closed, remarks })
    }

    /// The body again, to be judged by other terms.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }

    fn record(&self, index: usize) -> Option<ChunkRecord> {
        let contact = self.contacts.get(index).copied().flatten()?;
        let text = self.body.records().ok()?.text(index)?;
        let never = self.closed.get(&contact.class);
        Some(ChunkRecord {
            phone: contact.phone,
            class: self.checker.class_text(contact.class).clone(),
            fields: text.into(),
            blocked: never.map(|never| (Disposition::Skipped, never.as_str())),
        })
    }
}

/// Once per class, not per record.
pub(crate) fn closed(checker: &Checker, terms: &Terms) -> BTreeMap<ClassId, Never> {
    let never = |text: &str| {
        let class: Class = text.parse().ok()?;
        Never::of(&class, &terms.hours, terms.calling_rules, terms.at)
    };
    checker.classes().filter_map(|(id, text)| Some((id, never(text)?))).collect()
}

/// Judged records on their way into a batch.
pub(crate) struct Outgoing {
    /// The records.
    pub(crate) judged: Judged,
    /// By which terms.
    pub(crate) terms: Terms,
    /// Their request.
    pub(crate) request: RequestId,
    /// Their batch.
    pub(crate) batch: BatchId,
}

impl Source for Outgoing {
    fn count(&self) -> u32 {
        u32::try_from(self.judged.contacts.len().div_ceil(CHUNK)).unwrap_or(u32::MAX)
    }

    fn chunk(&self, n: u32) -> Option<ChunkAdd> {
        let first = (n as usize - 1) * CHUNK;
        let last = (first + CHUNK).min(self.judged.contacts.len());
        let records: Vec<_> = (first..last).filter_map(|i| self.judged.record(i)).collect();
        (!records.is_empty()).then(|| ChunkAdd {
            request: self.request,
            chunk_num: n,
            batch: self.batch,
            agent: (self.terms.agent, self.terms.version),
            lane: self.terms.lane.map_or(ChunkLane::Current, ChunkLane::Lane),
            auto_start: self.terms.lane.is_none(),
            records,
        })
    }
}
