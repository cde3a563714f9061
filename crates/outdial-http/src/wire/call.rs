//! Calls and their histories, as they are shown.

use outdial_core::attempt::AttemptState;
use outdial_core::call::CallState;
use outdial_core::time::Timestamp;
use outdial_ports::store::{AttemptView, CallView};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::record::{Field, ObjectText, fields};

/// Names in the flattened record that are ours; a contact's own go under `variables`. `timezone`
/// is not among them: it is shown as it was sent.
const OURS: [&str; 7] =
    ["_id", "phoneNumber", "phoneLogs", "createdAt", "callStatus", "appliedTimezone", "variables"];

/// A page of a batch's calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Calls {
    /// The batch.
    pub(crate) batch_id: String,
    /// Its display name.
    pub(crate) batch_name: String,
    /// Where it stands.
    pub(crate) batch_status: &'static str,
    /// From 1.
    pub(crate) page: u32,
    /// Most on one page.
    pub(crate) limit: u32,
    /// How many match the filter.
    pub(crate) total: u64,
    /// How many pages that makes.
    pub(crate) total_pages: u64,
    /// The records: ours are `_id`, `phoneNumber`, `phoneLogs`, `createdAt`, `callStatus` and
    /// `appliedTimezone`; the contact's own fields stand beside them as they were sent.
    #[schema(value_type = Vec<Object>)]
    pub(crate) data: Vec<Box<RawValue>>,
}

/// One attempt that was sent and reached the callee's side.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PhoneLog {
    /// The disposition, or `dialing`, `ringing`, `in-progress`.
    pub(crate) call_status: &'static str,
    /// Whole seconds of talk, rounded up.
    pub(crate) call_duration: u64,
    /// Where the recording is.
    pub(crate) recording_url: Option<String>,
    /// What was said.
    pub(crate) transcript: Option<String>,
    /// When it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// Its own id.
    #[serde(rename = "requestUUID")]
    pub(crate) request_uuid: String,
    /// How long its parts took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timings: Option<Timings>,
}

/// How long the parts of a call took, as far as it came.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timings {
    /// Post-dial delay: from the INVITE to the first sign of the callee's side, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) post_dial_ms: Option<u64>,
    /// From there to the answer, or to the end of a call that was not answered, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ring_ms: Option<u64>,
    /// From the answer to the end, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) talk_ms: Option<u64>,
}

/// One attempt, unsent and uncharged ones too.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Counts from 1 over all rounds.
    pub(crate) number: u32,
    /// In which round; re-opening begins a new one.
    pub(crate) round: u32,
    /// `intent`, `sent`, `ringing`, `answered`, `ended`, `not_sent` or `unknown`.
    pub(crate) state: &'static str,
    /// Its own id in phone logs.
    #[serde(rename = "requestUUID")]
    pub(crate) request_uuid: String,
    /// Over which calling number.
    pub(crate) calling_number: String,
    /// It counts against `retry`.
    pub(crate) charged: bool,
    /// When it was to leave.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) send_at: Timestamp,
    /// When it left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) sent_at: Option<Timestamp>,
    /// When it rang.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ringing_at: Option<Timestamp>,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) answered_at: Option<Timestamp>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Timestamp>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disposition: Option<&'static str>,
    /// `none`, `callee`, `carrier` or `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
    /// A stable word that says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The SIP status that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sip_status: Option<u16>,
}

/// Why a pending call is not placed yet.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct WhyNotYet {
    /// A stable word.
    ///
    /// - `database_older`: the database is an older copy, or nobody knows: it is not dialed until
    ///   the operator accepts it.
    /// - `batch_not_started`, `batch_stopped`, `batch_not_running`: start it; `batch_paused`,
    ///   `no_numbers`, `budget`, `failures`, `short_calls`, `voicemail`: it is paused for that.
    /// - `calls_held`: a start with `callData` goes first.
    /// - `expired`: the batch's `expiresAt` is over.
    /// - `retry_delay`, `carrier_unavailable`, `number_busy` (another call to this number is not
    ///   over), `attempts_per_day` (called often enough in 24 h): the call is not due.
    /// - `calling_rules`, `outside_calling_hours`: closed until then; `no_common_hours`,
    ///   `place_unknown`: closed for good.
    /// - `budget`, `no_price`, `no_numbers`, `calls_per_day`: what is left of the batch's budget,
    ///   and of its calling numbers.
    /// - `trunk_down`: none of the calling number's trunks is in order.
    /// - `trunk_paused`: the carrier asked for a pause.
    /// - `brake`, `canary`: earlier calls of the batch must end first, and not badly.
    /// - `batch_concurrency`, `workspace_concurrency`, `channels`, `calls_per_second`: limits.
    /// - `queued`: nothing but the calls before it.
    pub(crate) reason: &'static str,
    /// Until when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
}

/// One call with its whole history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallDetails {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Of which batch.
    pub(crate) batch_id: String,
    /// E.164 without `+`.
    pub(crate) phone_number: String,
    /// `pending`, `dialing`, `ringing`, `in-progress`, or the latest disposition.
    pub(crate) call_status: &'static str,
    /// Why, when no attempt says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The zones in all of which the calling hours must be open.
    pub(crate) applied_timezone: String,
    /// The contact record as it was sent.
    #[schema(value_type = Object)]
    pub(crate) variables: Box<RawValue>,
    /// As in `batch-details`.
    pub(crate) phone_logs: Vec<PhoneLog>,
    /// All attempts, oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// What a pending call waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) why_not_yet: Vec<WhyNotYet>,
    /// The earliest instant at which the next attempt can be placed, as far as hours and delays
    /// say; absent while the batch does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_attempt_at: Option<Timestamp>,
    /// When it was first added.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
}

impl CallDetails {
    /// With what it waits for, and when it can be placed.
    pub(crate) fn of(
        call: CallView,
        why_not_yet: Vec<WhyNotYet>,
        next_attempt_at: Option<Timestamp>,
    ) -> Self {
        Self {
            id: call.id.to_string(),
            batch_id: call.batch.to_string(),
            phone_number: call.phone.to_string(),
            call_status: call_status(&call),
            reason: call.disposition_reason.clone(),
            applied_timezone: zones(&call.class).to_owned(),
            phone_logs: phone_logs(&call),
            attempts: call.attempts.iter().map(attempt).collect(),
            why_not_yet,
            next_attempt_at,
            created_at: call.created_at,
            updated_at: call.updated_at,
            variables: RawValue::from_string(call.fields)
                .unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }
}

/// A call to take back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CancelCall {
    /// Which.
    #[schema(value_type = String)]
    pub(crate) call_id: Option<String>,
    /// The caller's own user; not needed.
    pub(crate) user_id: Option<String>,
}

/// What became of a call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallMoved {
    /// Which.
    pub(crate) call_id: String,
    /// `canceled`, `canceling`, or how it stands.
    pub(crate) status: &'static str,
}

/// The record of `batch-details`: the contact's own fields at the top level beside ours.
pub(crate) fn flattened(call: &CallView) -> Box<RawValue> {
    let own = fields(&call.fields);
    let mut object = ObjectText::new(call.fields.len() + 512);
    object.ours("_id", &call.id);
    object.ours("phoneNumber", &call.phone.to_string());
    let (beside, below): (Vec<&Field<'_>>, Vec<_>) =
        own.iter().partition(|f| !OURS.iter().any(|name| f.is(name)));
    for field in beside {
        object.raw(*field);
    }
    object.ours("phoneLogs", &phone_logs(call));
    object.ours("createdAt", &call.created_at);
    object.ours("callStatus", &call_status(call));
    object.ours("appliedTimezone", &zones(&call.class));
    let digits = call.phone.to_string();
    let mut variables = ObjectText::new(0);
    let mut any = false;
    // The number as it was sent is only worth showing when it was sent otherwise.
    for field in below
        .into_iter()
        .filter(|f| !(f.is("phoneNumber") && f.raw_value.trim_matches('"') == digits))
    {
        variables.raw(*field);
        any = true;
    }
    if any {
        object.ours("variables", &variables.finish());
    }
    object.finish()
}

/// The zones in which the batch's hours are read: the first part of a class's text.
pub(crate) fn zones(class: &str) -> &str {
    class.split(';').next().unwrap_or_default()
}

/// `pending`, a live state, or the latest disposition.
pub(crate) fn call_status(call: &CallView) -> &'static str {
    match call.state {
        CallState::Pending => "pending",
        CallState::Live => {
            call.attempts.last().map_or(AttemptState::Intent, |a| a.state).live_status()
        }
        CallState::Finished => call.disposition.map_or("unknown", |d| d.as_str()),
    }
}

pub(crate) fn phone_logs(call: &CallView) -> Vec<PhoneLog> {
    call.attempts.iter().filter_map(phone_log).collect()
}

/// Attempts that never left, and those that reached nobody, stand in the history only.
fn phone_log(a: &AttemptView) -> Option<PhoneLog> {
    let shown = match a.state {
        AttemptState::Intent | AttemptState::NotSent => false,
        AttemptState::Sent | AttemptState::Ringing | AttemptState::Answered => true,
        AttemptState::Ended | AttemptState::Unknown => a.charged,
    };
    shown.then(|| PhoneLog {
        call_status: match a.disposition {
            Some(d) => d.as_str(),
            None if a.state.is_over() => "unknown",
            None => a.state.live_status(),
        },
        call_duration: talk_seconds(a),
        recording_url: None,
        transcript: None,
        created_at: a.sent_at.unwrap_or(a.send_at),
        request_uuid: uuid(a.token),
        timings: timings(a),
    })
}

fn talk_seconds(a: &AttemptView) -> u64 {
    between(a.answered_at, a.ended_at).unwrap_or(0).div_ceil(1000)
}

fn timings(a: &AttemptView) -> Option<Timings> {
    let rings = a.ringing_at.or(a.answered_at);
    let timings = Timings {
        post_dial_ms: between(a.sent_at, rings),
        ring_ms: between(a.ringing_at, a.answered_at.or(a.ended_at)),
        talk_ms: between(a.answered_at, a.ended_at),
    };
    let Timings { post_dial_ms, ring_ms, talk_ms } = &timings;
    [post_dial_ms, ring_ms, talk_ms].iter().any(|ms| ms.is_some()).then_some(timings)
}

/// Milliseconds.
fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<u64> {
    u64::try_from(to?.since(from?).as_millis()).ok()
}

fn attempt(a: &AttemptView) -> Attempt {
    Attempt {
        id: a.id.to_string(),
        number: a.number,
        round: a.round,
        state: a.state.as_str(),
        request_uuid: uuid(a.token),
        calling_number: a.caller.to_string(),
        charged: a.charged,
        send_at: a.send_at,
        sent_at: a.sent_at,
        ringing_at: a.ringing_at,
        answered_at: a.answered_at,
        ended_at: a.ended_at,
        disposition: a.disposition.map(|d| d.as_str()),
        fault: a.fault.clone(),
        reason: a.reason.clone(),
        sip_status: a.sip_status,
    }
}

/// The five groups of RFC 9562; the bits are as random as they came.
pub(crate) fn uuid(token: [u8; 16]) -> String {
    let hex: String = token.iter().map(|b| format!("{b:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The reverse of [`uuid`], in whatever case; none: it cannot be one of ours.
pub(crate) fn token(text: &str) -> Option<[u8; 16]> {
    let is_shaped = text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    if !is_shaped {
        return None;
    }
    Some(u128::from_str_radix(&text.replace('-', ""), 16).ok()?.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_attempts_go_both_ways() {
        let text = uuid([0xab; 16]);
        assert_eq!(text, "abababab-abab-abab-abab-abababababab");
        assert_eq!(token(&text), Some([0xab; 16]));
        assert_eq!(token(&text.to_uppercase()), Some([0xab; 16]));
        for bad in ["", "x", "abababababababababababababababab", &text[1..], &format!("{text}0")] {
            assert_eq!(token(bad), None, "{bad}");
        }
        assert_eq!(token("abababab-abab-abab-abab-+babababababa"), None);
    }
}
