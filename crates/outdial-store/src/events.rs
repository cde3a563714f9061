//! What both backends make of facts: the data of events, their places, and who gets them. Pure, and
//! without a row or a statement.

use std::collections::BTreeMap;

use outdial_core::id::{BatchId, CallId, DncId, WebhookId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    DELIVERY_KEPT_MS, DeliveryNext, DeliveryState, EVENT_KEPT_MS, EventKind, StoreError,
    WebhookPatch, WebhookRecord,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::text::uuid_text;

/// Why an endpoint is disabled that a person disabled.
const BY_USER: &str = "user";

/// `outbox.kind` and `event.kind`: the kind's place in [`EventKind::ALL`].
pub(crate) fn kind_number(kind: EventKind) -> i64 {
    place(&EventKind::ALL, kind)
}

/// The reverse of [`kind_number`].
pub(crate) fn kind_of(number: i64) -> Option<EventKind> {
    usize::try_from(number).ok().and_then(|n| EventKind::ALL.get(n).copied())
}

/// `delivery.state`: the state's place in [`DeliveryState::ALL`].
pub(crate) fn delivery_number(state: DeliveryState) -> i64 {
    place(&DeliveryState::ALL, state)
}

/// The reverse of [`delivery_number`].
pub(crate) fn delivery_of(number: i64) -> Option<DeliveryState> {
    usize::try_from(number).ok().and_then(|n| DeliveryState::ALL.get(n).copied())
}

fn place<T: PartialEq + Copy>(all: &[T], one: T) -> i64 {
    all.iter().position(|x| *x == one).and_then(|n| i64::try_from(n).ok()).unwrap_or(-1)
}

/// Kinds as a column; none: all.
pub(crate) fn kinds_text(kinds: Option<&[EventKind]>) -> Option<String> {
    kinds.map(|kinds| kinds.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(","))
}

/// The reverse of [`kinds_text`]. Words that this version does not know are passed over.
pub(crate) fn kinds_of(text: Option<String>) -> Option<Vec<EventKind>> {
    text.map(|text| text.split(',').filter_map(EventKind::parse).collect())
}

/// A text that every backend can hold: none has a NUL.
pub(crate) fn storable(text: Option<&str>) -> Option<String> {
    text.map(|text| text.replace('\0', "\u{fffd}"))
}

/// A delivery after a try: how it stands, when it is tried again, until when it is kept.
pub(crate) fn after_try(
    next: DeliveryNext,
    now: Timestamp,
) -> (DeliveryState, Option<Timestamp>, Option<Timestamp>) {
    let kept = |ms: i64| Some(Timestamp::from_millis(now.as_millis().saturating_add(ms)));
    match next {
        DeliveryNext::Delivered => (DeliveryState::Delivered, None, kept(EVENT_KEPT_MS)),
        DeliveryNext::Again(at) => (DeliveryState::Pending, Some(at), None),
        DeliveryNext::GivenUp => (DeliveryState::GivenUp, None, kept(DELIVERY_KEPT_MS)),
    }
}

/// An endpoint as a patch makes it.
pub(crate) fn patched(
    mut webhook: WebhookRecord,
    patch: &WebhookPatch,
    now: Timestamp,
) -> WebhookRecord {
    let spec = &mut webhook.spec;
    if let Some(url) = patch.url.as_ref().filter(|url| **url != spec.url) {
        spec.url.clone_from(url);
        // It was another receiver that failed.
        webhook.failing_since = None;
    }
    if let Some(description) = &patch.description {
        spec.description.clone_from(description);
    }
    if let Some(events) = &patch.events {
        spec.events.clone_from(events);
    }
    match patch.enabled {
        Some(true) => {
            webhook.disabled = None;
            webhook.failing_since = None;
        }
        Some(false) if webhook.disabled.is_none() => {
            webhook.disabled = Some((now, BY_USER.to_owned()));
        }
        Some(false) | None => {}
    }
    webhook
}

/// An outbox row.
pub(crate) struct Fact {
    pub(crate) seq: i64,
    pub(crate) kind: EventKind,
    pub(crate) at: Timestamp,
    pub(crate) batch: Option<i64>,
    pub(crate) workspace: Option<i64>,
    pub(crate) subject: Option<i64>,
    pub(crate) attempt: Option<i64>,
    pub(crate) attempts: Option<i64>,
    pub(crate) round: Option<i64>,
    pub(crate) disposition: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) facts: Option<String>,
}

impl Fact {
    /// It is about a call, of which more has to be read.
    pub(crate) fn is_of_call(&self) -> bool {
        matches!(self.kind, EventKind::CallFinished | EventKind::CallAttempted)
    }
}

/// What is read of a call when an event about it is numbered.
pub(crate) struct CallOf {
    pub(crate) call: CallId,
    pub(crate) batch: BatchId,
    pub(crate) phone: PhoneNumber,
    pub(crate) fields: String,
    /// Attempts of its round that were sent, or may have been.
    pub(crate) attempts: i64,
    /// The latest of them.
    pub(crate) attempt: Option<AttemptOf>,
}

/// What is read of an attempt.
pub(crate) struct AttemptOf {
    pub(crate) number: i64,
    pub(crate) token: [u8; 16],
    pub(crate) sent_at: Timestamp,
    pub(crate) answered_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) disposition: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) sip_status: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallData<'a> {
    call_id: CallId,
    batch_id: BatchId,
    phone_number: String,
    call_status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptData<'a>>,
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    variables: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptData<'a> {
    number: i64,
    #[serde(rename = "requestUUID")]
    request_uuid: String,
    call_status: &'a str,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    call_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_status: Option<i64>,
}

/// The data of an event. `call`: what was read of its call, if it is about one.
pub(crate) fn data(fact: &Fact, call: Option<&CallOf>) -> Result<String, StoreError> {
    let Some(call) = call else {
        return Ok(fact.facts.clone().unwrap_or_else(|| "{}".to_owned()));
    };
    let attempt = call.attempt.as_ref();
    let of_attempt = |word: fn(&AttemptOf) -> Option<&str>| attempt.and_then(word);
    let is_final = fact.kind == EventKind::CallFinished;
    let (status, reason) = if is_final {
        (fact.disposition.as_deref(), fact.reason.as_deref())
    } else {
        (of_attempt(|a| a.disposition.as_deref()), of_attempt(|a| a.reason.as_deref()))
    };
    let raw = |text: &str| RawValue::from_string(text.to_owned());
    json(&CallData {
        call_id: call.call,
        batch_id: call.batch,
        phone_number: call.phone.to_string(),
        call_status: status.unwrap_or("unknown"),
        reason,
        attempt: attempt.map(attempt_data),
        attempts: call.attempts,
        variables: is_final.then(|| raw(&call.fields)).transpose().map_err(|e| internal(&e))?,
    })
}

fn attempt_data(a: &AttemptOf) -> AttemptData<'_> {
    let talk = a.answered_at.zip(a.ended_at).map_or(0, |(from, to)| {
        u64::try_from(to.as_millis().saturating_sub(from.as_millis())).unwrap_or(0)
    });
    AttemptData {
        number: a.number,
        request_uuid: uuid_text(&a.token),
        call_status: a.disposition.as_deref().unwrap_or("unknown"),
        created_at: a.sent_at,
        answered_at: a.answered_at,
        ended_at: a.ended_at,
        call_duration: talk.div_ceil(1000),
        sip_status: a.sip_status,
    }
}

/// What is told of a listed number.
pub(crate) fn dnc_data(
    id: DncId,
    phone: PhoneNumber,
    kind: Option<&str>,
    batch: BatchId,
    token: &[u8; 16],
) -> Result<String, StoreError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        #[serde(rename = "_id")]
        id: DncId,
        phone_number: String,
        #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
        batch_id: BatchId,
        #[serde(rename = "requestUUID")]
        request_uuid: String,
    }
    let request_uuid = uuid_text(token);
    json(&Data { id, phone_number: phone.to_string(), kind, batch_id: batch, request_uuid })
}

/// What is told of a disabled endpoint.
pub(crate) fn webhook_data(id: WebhookId, url: &str, reason: &str) -> Result<String, StoreError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        webhook_id: WebhookId,
        url: &'a str,
        reason: &'a str,
    }
    json(&Data { webhook_id: id, url, reason })
}

/// What is told of a batch.
#[derive(Serialize)]
pub(crate) struct BatchData<'a> {
    #[serde(rename = "batchId")]
    pub(crate) batch: BatchId,
    #[serde(rename = "batchName")]
    pub(crate) name: &'a str,
    #[serde(rename = "queue_status")]
    pub(crate) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'a str>,
    /// Total, pending, live, finished, picked, completed.
    #[serde(serialize_with = "totals")]
    pub(crate) totals: [i64; 6],
}

fn totals<S: serde::Serializer>(t: &[i64; 6], s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(["total", "pending", "live", "finished", "picked", "completed"].iter().zip(t))
}

impl BatchData<'_> {
    /// As text.
    pub(crate) fn text(&self) -> Result<String, StoreError> {
        json(self)
    }
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| internal(&e))
}

fn internal(e: &serde_json::Error) -> StoreError {
    StoreError::Internal(format!("an event's data: {e}"))
}

/// An endpoint that gets events.
pub(crate) struct Endpoint {
    pub(crate) webhook: i64,
    /// None: all.
    pub(crate) events: Option<Vec<EventKind>>,
}

/// An event to write.
pub(crate) struct Draft {
    pub(crate) workspace: i64,
    pub(crate) position: i64,
    pub(crate) kind: EventKind,
    pub(crate) batch: Option<i64>,
    pub(crate) at: Timestamp,
    pub(crate) data: String,
    /// Endpoints, and its sequence for each.
    pub(crate) to: Vec<(i64, i64)>,
}

/// Endpoints by workspace.
pub(crate) type Endpoints = BTreeMap<i64, Vec<Endpoint>>;

/// Pairs of endpoint and batch (0: of no batch) whose sequences these facts need.
pub(crate) fn pairs(facts: &[(Fact, String)], endpoints: &Endpoints) -> Vec<(i64, i64)> {
    let mut pairs: Vec<(i64, i64)> =
        facts.iter().flat_map(|(f, _)| takers(f, endpoints).map(|w| (w, of_batch(f)))).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Gives facts their places, behind those that were given last.
pub(crate) fn drafts(
    facts: Vec<(Fact, String)>,
    endpoints: &Endpoints,
    mut positions: BTreeMap<i64, i64>,
    mut sequences: BTreeMap<(i64, i64), i64>,
) -> Vec<Draft> {
    let mut drafts = Vec::with_capacity(facts.len());
    for (fact, data) in facts {
        let Some(workspace) = fact.workspace else { continue };
        let position = next(&mut positions, workspace);
        let to = takers(&fact, endpoints)
            .map(|webhook| (webhook, next(&mut sequences, (webhook, of_batch(&fact)))))
            .collect();
        let Fact { kind, batch, at, .. } = fact;
        drafts.push(Draft { workspace, position, kind, batch, at, data, to });
    }
    drafts
}

fn takers<'a>(fact: &'a Fact, endpoints: &'a Endpoints) -> impl Iterator<Item = i64> + 'a {
    let all = fact.workspace.and_then(|ws| endpoints.get(&ws)).into_iter().flatten();
    all.filter(|e| e.events.as_ref().is_none_or(|kinds| kinds.contains(&fact.kind)))
        .map(|e| e.webhook)
}

fn of_batch(fact: &Fact) -> i64 {
    fact.batch.unwrap_or(0)
}

fn next<K: Ord>(last: &mut BTreeMap<K, i64>, key: K) -> i64 {
    let last = last.entry(key).or_insert(0);
    *last += 1;
    *last
}
