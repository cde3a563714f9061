//! Webhook endpoints and what was delivered to them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outdial_core::time::Timestamp;
use outdial_core::webhook::{Reach, WebhookUrl};
use outdial_ports::Entropy;
use outdial_ports::store::{
    DeliveryRecord, DeliveryTry, EventKind, Secret, WebhookPatch, WebhookRecord, WebhookSpec,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::faults::Faults;
use super::page::Pagination;
use crate::error::ApiResult;

/// Written before every secret.
const SECRET_PREFIX: &str = "whsec_";
/// A secret that is made here, in bytes.
const SECRET_BYTES: usize = 32;
/// Longest description, in characters.
const DESCRIPTION_MAX_CHARS: usize = 500;

/// An endpoint to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateWebhook {
    /// Where events are posted to: https, and a public address, unless the operator allows more.
    #[schema(value_type = String)]
    url: Option<String>,
    /// Free text.
    description: Option<String>,
    /// Which events; by default all.
    #[schema(value_type = Option<Vec<String>>)]
    events: Option<Vec<String>>,
    /// A secret of your own: `whsec_` and 24 to 64 bytes in base64. By default one is made.
    secret: Option<String>,
}

/// What to change; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateWebhook {
    /// Where events are posted to.
    url: Option<String>,
    /// Free text.
    description: Option<String>,
    /// Which events; `null`: all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    events: Option<Option<Vec<String>>>,
    /// `true` enables it again: what waited for it is delivered. `false`: it gets nothing.
    enabled: Option<bool>,
}

/// Another secret.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RotateWebhook {
    /// A secret of your own; by default one is made.
    secret: Option<String>,
    /// For how long deliveries are signed with the old one too, in hours: 0–168. Default 24.
    #[schema(value_type = Option<u32>)]
    old_secret_hours: Option<u64>,
}

/// Which deliveries to send again: one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReplayDeliveries {
    /// This one.
    pub(crate) delivery_id: Option<String>,
    /// Those made since, ISO 8601.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<String>,
    /// `true`: those that were given up.
    pub(crate) failed: Option<bool>,
}

/// A field that is there, though it may be `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

impl CreateWebhook {
    /// What to store.
    pub(crate) fn parse(
        self,
        reach: Reach,
        entropy: &dyn Entropy,
    ) -> ApiResult<(WebhookSpec, Secret)> {
        let mut faults = Faults::default();
        let url = match self.url {
            Some(url) => parse_url(&mut faults, url, reach),
            None => {
                faults.add("url", "is missing");
                String::new()
            }
        };
        let description = parse_description(&mut faults, self.description.unwrap_or_default());
        let events = self.events.and_then(|words| parse_events(&mut faults, &words));
        let secret = parse_secret(&mut faults, self.secret, entropy);
        faults.finish()?;
        Ok((WebhookSpec { url, description, events }, secret))
    }
}

impl UpdateWebhook {
    /// What to change.
    pub(crate) fn parse(self, reach: Reach) -> ApiResult<WebhookPatch> {
        let mut faults = Faults::default();
        let url = self.url.map(|url| parse_url(&mut faults, url, reach));
        let description = self.description.map(|text| parse_description(&mut faults, text));
        let events =
            self.events.map(|words| words.and_then(|words| parse_events(&mut faults, &words)));
        faults.finish()?;
        Ok(WebhookPatch { url, description, events, enabled: self.enabled })
    }
}

impl RotateWebhook {
    /// The secret, and for how many hours the old one is good.
    pub(crate) fn parse(self, entropy: &dyn Entropy) -> ApiResult<(Secret, u64)> {
        let mut faults = Faults::default();
        let secret = parse_secret(&mut faults, self.secret, entropy);
        let hours = self.old_secret_hours.unwrap_or(24);
        if hours > 168 {
            faults.add("oldSecretHours", "write a whole number from 0 to 168");
        }
        faults.finish()?;
        Ok((secret, hours))
    }
}

fn parse_url(faults: &mut Faults, url: String, reach: Reach) -> String {
    if let Err(wrong) = WebhookUrl::parse(&url, reach) {
        faults.add("url", wrong);
    }
    url
}

fn parse_description(faults: &mut Faults, text: String) -> String {
    if text.chars().count() > DESCRIPTION_MAX_CHARS || text.chars().any(char::is_control) {
        faults.add(
            "description",
            format!("write at most {DESCRIPTION_MAX_CHARS} characters on one line"),
        );
    }
    text
}

fn parse_events(faults: &mut Faults, words: &[String]) -> Option<Vec<EventKind>> {
    if words.is_empty() {
        faults.add("events", "name at least one, or leave it out for all");
    }
    let mut kinds = Vec::new();
    for (i, word) in words.iter().enumerate() {
        match EventKind::parse(word) {
            Some(kind) if kinds.contains(&kind) => {}
            Some(kind) => kinds.push(kind),
            None => {
                let all = EventKind::ALL.map(EventKind::as_str).join(", ");
                faults.add(format!("events[{i}]"), format!("write one of {all}"));
                break;
            }
        }
    }
    Some(kinds)
}

fn parse_secret(faults: &mut Faults, given: Option<String>, entropy: &dyn Entropy) -> Secret {
    let Some(text) = given else {
        let mut bytes = [0; SECRET_BYTES];
        entropy.fill(&mut bytes);
        return Secret(format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes)));
    };
    let key = text.strip_prefix(SECRET_PREFIX).and_then(|key| STANDARD.decode(key).ok());
    if !key.is_some_and(|key| (24..=64).contains(&key.len())) {
        faults.add("secret", "write whsec_ and 24 to 64 bytes in base64");
    }
    Secret(text)
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Webhook {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Where events are posted to.
    pub(crate) url: String,
    /// Free text.
    pub(crate) description: String,
    /// Which events; `null`: all.
    pub(crate) events: Option<Vec<&'static str>>,
    /// Whether it gets anything.
    pub(crate) enabled: bool,
    /// Since when not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) disabled_at: Option<Timestamp>,
    /// Why not: `user`, or what the receiver did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disabled_reason: Option<String>,
    /// Since when nothing arrived that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) failing_since: Option<Timestamp>,
    /// Until when deliveries are signed with the secret before, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) old_secret_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When its settings last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
    /// What deliveries are signed with: shown once, in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
}

impl From<WebhookRecord> for Webhook {
    fn from(record: WebhookRecord) -> Self {
        let WebhookSpec { url, description, events } = record.spec;
        let (disabled_at, disabled_reason) = record.disabled.unzip();
        Self {
            id: record.id.to_string(),
            url,
            description,
            events: events.map(|kinds| kinds.into_iter().map(EventKind::as_str).collect()),
            enabled: disabled_at.is_none(),
            disabled_at,
            disabled_reason,
            failing_since: record.failing_since,
            old_secret_until: record.old_secret.map(|(_, until)| until),
            created_at: record.created_at,
            updated_at: record.updated_at,
            secret: None,
        }
    }
}

impl Webhook {
    /// With its secret, for the answer that made it.
    pub(crate) fn with_secret(record: WebhookRecord) -> Self {
        let secret = Some(record.secret.0.clone());
        Self { secret, ..Self::from(record) }
    }
}

/// All endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Webhooks {
    /// Oldest first.
    pub(crate) webhooks: Vec<Webhook>,
}

/// One event on its way to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// Which.
    #[serde(rename = "_id")]
    id: String,
    /// The event's id: the header `webhook-id`.
    event_id: String,
    /// What happened.
    #[serde(rename = "type")]
    kind: &'static str,
    /// In which batch, if in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    /// Its place among the endpoint's events of this batch (or of no batch), from 1 without gaps.
    sequence: u64,
    /// `pending`, `delivered` or `given_up`.
    state: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// Every try, oldest first.
    tries: Vec<Try>,
}

/// How a try went.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Try {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How long it took, in milliseconds.
    duration_ms: u32,
    /// The HTTP status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What went wrong otherwise: `dns`, `forbidden`, `connect`, `tls`, `timeout` or `broken`, and
    /// more in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The beginning of the answer, at most 1 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

impl From<DeliveryTry> for Try {
    fn from(tried: DeliveryTry) -> Self {
        let DeliveryTry { at, took_ms, status, error, answer } = tried;
        Self { at, duration_ms: took_ms, status, error, answer }
    }
}

impl From<DeliveryRecord> for Delivery {
    fn from(record: DeliveryRecord) -> Self {
        Self {
            id: record.id.to_string(),
            event_id: record.event.to_string(),
            kind: record.kind.as_str(),
            batch_id: record.batch.map(|id| id.to_string()),
            sequence: record.sequence,
            state: record.state.as_str(),
            created_at: record.created_at,
            next_attempt_at: record.next_at,
            tries: record.tries.into_iter().map(Try::from).collect(),
        }
    }
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    /// Newest first.
    pub(crate) deliveries: Vec<Delivery>,
    /// Where it stands among all.
    pub(crate) pagination: Pagination,
}

/// How many are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    /// So many.
    pub(crate) replayed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn create(body: &str) -> Result<(WebhookSpec, Secret), String> {
        let body: CreateWebhook = serde_json::from_str(body).map_err(|e| e.to_string())?;
        body.parse(Reach::default(), &Sevens).map_err(|e| e.outer().to_owned())
    }

    #[test]
    fn a_secret_is_made_or_checked() {
        let (spec, secret) = create(r#"{"url":"https://example.com/x"}"#).unwrap();
        assert_eq!((&*spec.url, spec.events), ("https://example.com/x", None));
        let key = STANDARD.decode(secret.0.strip_prefix("whsec_").unwrap()).unwrap();
        assert_eq!(key, [7; 32]);
        let with = |secret: &str| {
            create(&format!(r#"{{"url":"https://example.com/x","secret":"{secret}"}}"#))
        };
        for (bytes, good) in [(23, false), (24, true), (64, true), (65, false)] {
            let secret = format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
            assert_eq!(with(&secret).is_ok(), good, "{bytes}");
        }
        assert!(with("whsec_*").is_err() && with(&STANDARD.encode([1; 32])).is_err());
    }

    #[test]
    fn all_faults_are_told() {
        let why = create(
            r#"{"url":"http://127.0.0.1/","events":["call.finished","x"],"description":"a\nb"}"#,
        );
        let why = why.unwrap_err();
        for field in ["url", "events[1]", "description"] {
            assert!(why.contains(field), "{field}: {why}");
        }
        assert!(create(r#"{}"#).unwrap_err().contains("url"));
        assert!(create(r#"{"url":"https://a.b/","events":[]}"#).unwrap_err().contains("events"));
        assert!(create(r#"{"url":"https://a.b/","more":1}"#).is_err());
    }

    #[test]
    fn null_events_are_all_and_absent_ones_stay() {
        let patch = |body: &str| {
            let body: UpdateWebhook = serde_json::from_str(body).unwrap();
            body.parse(Reach::default()).unwrap().events
        };
        assert_eq!(patch("{}"), None);
        assert_eq!(patch(r#"{"events":null}"#), Some(None));
        let some = Some(Some(vec![EventKind::DncAdded]));
        assert_eq!(patch(r#"{"events":["dnc.added","dnc.added"]}"#), some);
    }
}
