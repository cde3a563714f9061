//! The answer to a request that brought calls. Fields beyond the documented ones appear only when
//! they have something to say.

use std::collections::BTreeMap;

use outdial_core::batch::BatchState;
use outdial_core::contact;
use outdial_core::id::CallId;
use outdial_ports::store::{StoreError, StoredAnswer, StoredChunk};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::wire::envelope::Envelope;

/// Of a call id in an answer: 24 digits, quotation marks, a comma.
const ID_BYTES: usize = 27;

/// What came of the chunks of a request.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Those that are committed, by number from 1.
    pub(crate) committed: BTreeMap<u32, StoredChunk>,
    /// Those that are not, with the reason.
    pub(crate) failed: BTreeMap<u32, String>,
    /// The batch was deleted meanwhile.
    pub(crate) batch_gone: bool,
    /// The caller's key was revoked meanwhile, or has expired.
    pub(crate) key_gone: bool,
    /// What the store said last when it did not take one.
    pub(crate) store_error: Option<StoreError>,
}

/// A chunk that was not stored.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailedChunk {
    /// From 1: chunk *n* is `call_data[(n-1)*1000 .. n*1000)`.
    chunk_num: u32,
    /// Why.
    error: String,
}

/// One fault of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordFault {
    /// Position in `call_data`, from 0.
    index: u32,
    /// The record's phone number as it was sent, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
    /// Which field; absent: the record as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// A stable word.
    code: &'static str,
    /// What is wrong, and what would be right.
    message: String,
}

/// Faults of records.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordFaults {
    /// The first 100, by index.
    errors: Vec<RecordFault>,
    /// How many there are; one record may have several.
    error_count: u64,
}

impl From<&contact::Faults> for RecordFaults {
    fn from(faults: &contact::Faults) -> Self {
        let errors = faults.kept().iter().map(|f| RecordFault {
            index: f.index,
            phone_number: f.phone_number.clone(),
            field: f.field.clone(),
            code: f.code.as_str(),
            message: f.message.clone(),
        });
        Self { errors: errors.collect(), error_count: faults.count() }
    }
}

impl RecordFaults {
    /// 400, with the first fault in words; the others stand in `data`.
    pub(crate) fn refusal(&self, rejected: u32) -> ApiError {
        let first = self.errors.first().map_or_else(String::new, |f| {
            let field = f.field.as_ref().map_or_else(String::new, |field| format!(".{field}"));
            format!("; the first: call_data[{}]{field}: {}", f.index, f.message)
        });
        let records = if rejected == 1 { "record is" } else { "records are" };
        let text = format!("{rejected} {records} not valid, nothing was stored{first}");
        ApiError::bad(text).with_data(self)
    }
}

/// Something to look at, though the records were stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Warning {
    /// A stable word.
    pub(crate) code: &'static str,
    /// How many records.
    pub(crate) count: u64,
    /// What to do about it.
    pub(crate) message: String,
    /// `calling_rules`: the place whose rule it is, a code of ISO 3166.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
}

/// What is said beside the chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remarks {
    /// With `onInvalid: "skip"`: what was left out.
    pub(crate) rejected: Option<RecordFaults>,
    /// What to look at.
    pub(crate) warnings: Vec<Warning>,
}

/// `data` of `addCallsToBatch`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Added {
    /// Call records inserted or updated.
    added: usize,
    /// Their ids, in the order of `call_data`.
    #[schema(value_type = Vec<String>)]
    call_ids: CallIds,
    /// Chunks that were not stored; only with 207 and 500.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_chunks: Vec<FailedChunk>,
    /// How many were there before.
    #[serde(skip_serializing_if = "is_zero")]
    updated: u64,
    /// How many are on the phone now: their fields take effect when that call ends.
    #[serde(skip_serializing_if = "is_zero")]
    deferred: u64,
    /// What was left out, with `onInvalid: "skip"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<RecordFaults>,
    /// `stopped` or `paused`, when the batch did not start by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_status: Option<&'static str>,
    /// Why it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_reason: Option<&'static str>,
    /// What to look at, though it was stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// Ids without a copy of them as text: there may be a million.
#[derive(Debug)]
struct CallIds(Vec<Vec<CallId>>);

impl Serialize for CallIds {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().flatten())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// `data` of `start-calling`: what became of the batch, and of the `callData` that came along.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    /// Which batch.
    pub(crate) batch_id: String,
    /// `started`.
    pub(crate) status: &'static str,
    /// The caller's tracking id, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uuid: Option<String>,
    /// What was added, with `callData`.
    #[serde(flatten)]
    #[schema(inline)]
    pub(crate) added: Option<Added>,
}

/// How a request went, as its status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 200.
    All,
    /// 207: some chunks were not stored.
    Some,
    /// 207: every chunk was stored, but not every record was good.
    Rejected,
    /// 500.
    None,
}

impl Added {
    /// The same after the batch was started: where it stood before says nothing any more.
    pub(crate) fn once_started(self) -> Self {
        Self { batch_status: None, pause_reason: None, ..self }
    }

    /// How many call ids there are.
    pub(crate) fn len(&self) -> usize {
        self.added
    }
}

impl Stored {
    /// Every chunk is committed: the answer is final.
    pub(crate) fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }

    /// How it went.
    pub(crate) fn verdict(&self, remarks: &Remarks) -> Verdict {
        match (self.failed.is_empty(), self.committed.is_empty()) {
            (true, _) if remarks.rejected.is_none() => Verdict::All,
            (true, _) => Verdict::Rejected,
            (false, false) => Verdict::Some,
            (false, true) => Verdict::None,
        }
    }

    /// In the words of the API.
    pub(crate) fn into_added(self, remarks: Remarks) -> Added {
        let last = self.committed.values().next_back();
        let standing = last.filter(|c| c.batch_state != BatchState::Active);
        let batch_status = standing.map(|c| c.batch_state.as_str());
        let pause_reason = standing.and_then(|c| c.pause_reason).map(|r| r.as_str());
        let sum = |part: fn(&StoredChunk) -> u32| {
            self.committed.values().map(|c| u64::from(part(c))).sum::<u64>()
        };
        let (updated, deferred) = (sum(|c| c.updated), sum(|c| c.deferred));
        let listed = sum(|c| c.do_not_call);
        let call_ids = CallIds(self.committed.into_values().map(|c| c.calls).collect());
        let failed = self.failed.into_iter();
        Added {
            added: call_ids.0.iter().map(Vec::len).sum(),
            call_ids,
            failed_chunks: failed
                .map(|(chunk_num, error)| FailedChunk { chunk_num, error })
                .collect(),
            updated,
            deferred,
            rejected: remarks.rejected,
            batch_status,
            pause_reason,
            warnings: remarks.warnings.into_iter().chain(do_not_call(listed)).collect(),
        }
    }
}

pub(crate) fn do_not_call(count: u64) -> Option<Warning> {
    let message = "these numbers are on the do-not-call list; they are skipped: see /api/dnc/list";
    let warning = Warning { code: "do_not_call", count, message: message.to_owned(), place: None };
    (count > 0).then_some(warning)
}

/// The envelope that goes with a verdict. `done` is what a complete success is called.
pub(crate) fn envelope<T: Serialize>(verdict: Verdict, done: &str, data: T) -> Envelope<T> {
    let (code, error_message) = match verdict {
        Verdict::All => return Envelope::ok(done, data),
        Verdict::Some => (207, "Partial content, check failedChunks for details"),
        Verdict::Rejected => (207, "Partial content, check rejected for details"),
        Verdict::None => (500, "No chunk was stored, check failedChunks and try again"),
    };
    Envelope {
        message: "Some calls failed to enqueue".to_owned(),
        status: false,
        code,
        error_message: error_message.to_owned(),
        data,
    }
}

/// An envelope as it is kept and sent. `ids`: how many call ids are in it; there may be a million,
/// and a buffer that grows as it is written would take twice their room.
pub(crate) fn kept<T: Serialize>(
    envelope: &Envelope<T>,
    ids: usize,
) -> Result<StoredAnswer, serde_json::Error> {
    let mut body = Vec::with_capacity(ids * ID_BYTES + 1024);
    serde_json::to_writer(&mut body, envelope)?;
    Ok(StoredAnswer { status: envelope.code, body: body.into() })
}
