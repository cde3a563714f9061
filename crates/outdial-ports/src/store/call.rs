//! Calls and their histories, as they are shown.

use outdial_core::attempt::AttemptState;
use outdial_core::call::{CallFacts, CallState, WaitReason};
use outdial_core::dispatcher::GroupKey;
use outdial_core::id::{AttemptId, BatchId, CallId, PhoneId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;

/// Which page of a batch's calls, in which order.
#[derive(Clone, Debug)]
pub struct CallQuery {
    /// From 1.
    pub page: u32,
    /// 1–100.
    pub limit: u32,
    /// All of these must hold; within one, any of its values.
    pub filter: Vec<(FilterField, Vec<String>)>,
    /// In which order; ties by creation.
    pub sort: CallSort,
    /// The other way round.
    pub descending: bool,
    /// Part of the phone number or of the value of any contact field, case-insensitive.
    pub search: Option<String>,
}

/// What to filter by. Values are compared as text: a string by its characters, anything else by its
/// JSON text as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterField {
    /// `pending`, a live state, or the latest disposition.
    CallStatus,
    /// The number, without `+`.
    PhoneNumber,
    /// A field of the contact (`timezone` too).
    Contact(String),
}

/// What to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallSort {
    /// When it was first added.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// The number.
    PhoneNumber,
    /// The status word.
    CallStatus,
    /// A field of the contact, as text.
    Contact(String),
}

/// A page of calls.
#[derive(Clone, Debug)]
pub struct CallList {
    /// The page.
    pub calls: Vec<CallView>,
    /// How many match.
    pub total: u64,
}

/// A call with its history.
#[derive(Clone, Debug)]
pub struct CallView {
    /// Which.
    pub id: CallId,
    /// Of which batch.
    pub batch: BatchId,
    /// Whom.
    pub phone: PhoneNumber,
    /// The contact record as it was sent: one JSON object.
    pub fields: String,
    /// Text of its class.
    pub class: String,
    /// Where it stands.
    pub state: CallState,
    /// It waits for a start without `callData`.
    pub held: bool,
    /// Its group, while pending.
    pub group: Option<GroupKey>,
    /// What retry arithmetic knows.
    pub facts: CallFacts,
    /// The latest disposition, if it has one.
    pub disposition: Option<Disposition>,
    /// Why, when no attempt says so (`no_common_hours`), and at whose wish a call was cut short.
    pub disposition_reason: Option<String>,
    /// While pending.
    pub waiting: Option<WaitingCall>,
    /// When it was first added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its attempts, oldest first, unsent ones too.
    pub attempts: Vec<AttemptView>,
}

/// What became of a call that was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallCanceled {
    /// It was pending, and is finished as `canceled`.
    Canceled,
    /// It is on the phone: unless it is answered it is being cancelled, and it is not tried again.
    Recalled,
    /// It was finished before.
    WasFinished,
}

/// What a pending call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingCall {
    /// Not before.
    pub not_before: Timestamp,
    /// Why not earlier.
    pub reason: WaitReason,
}

/// One attempt, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// Which.
    pub id: AttemptId,
    /// Counts from 1 over all rounds.
    pub number: u32,
    /// In which round.
    pub round: u32,
    /// Where it stands.
    pub state: AttemptState,
    /// Unguessable name; `requestUUID` on the wire.
    pub token: [u8; 16],
    /// Calling number.
    pub caller: PhoneId,
    /// Start of its slot.
    pub send_at: Timestamp,
    /// When it was handed to the carrier.
    pub sent_at: Option<Timestamp>,
    /// When the callee's side first answered provisionally.
    pub ringing_at: Option<Timestamp>,
    /// When the 2xx came.
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The verdict.
    pub disposition: Option<Disposition>,
    /// Whose fault, a word of `outdial_core::outcome::Fault`.
    pub fault: Option<String>,
    /// A stable word.
    pub reason: Option<String>,
    /// The SIP status that ended it.
    pub sip_status: Option<u16>,
    /// It counts against `retry`.
    pub charged: bool,
}
