//! Webhook endpoints and what is delivered to them.

use outdial_core::id::{BatchId, DeliveryId, EventId, WebhookId, WorkspaceId};
use outdial_core::time::Timestamp;
use thiserror::Error;

use super::{EventKind, EventRecord, Secret, StoreError};

/// Most endpoints of a workspace.
pub const WEBHOOKS_MAX: usize = 50;
/// For so long a claimed delivery is its process's own, in milliseconds.
pub const DELIVERY_LEASE_MS: i64 = 60_000;
/// For so long a delivery that was given up is kept, in milliseconds: 30 days. One that succeeded
/// is kept as long as an event can be read.
pub const DELIVERY_KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// What the maker of an endpoint chose. Checked by the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSpec {
    /// Where deliveries go.
    pub url: String,
    /// Free text; may be empty.
    pub description: String,
    /// Which events; none: all.
    pub events: Option<Vec<EventKind>>,
}

/// An endpoint to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWebhook {
    /// Its settings.
    pub spec: WebhookSpec,
    /// What deliveries are signed with.
    pub secret: Secret,
}

/// A stored endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRecord {
    /// Which.
    pub id: WebhookId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Its settings.
    pub spec: WebhookSpec,
    /// What deliveries are signed with.
    pub secret: Secret,
    /// The secret before that, and until when deliveries are signed with it too.
    pub old_secret: Option<(Secret, Timestamp)>,
    /// Since when it gets nothing, and why.
    pub disabled: Option<(Timestamp, String)>,
    /// When the first of the tries failed that nothing has succeeded since.
    pub failing_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings last changed.
    pub updated_at: Timestamp,
}

/// What to change of an endpoint; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookPatch {
    /// Another address; nothing has failed there yet.
    pub url: Option<String>,
    /// Another text.
    pub description: Option<String>,
    /// Other events; `Some(None)`: all.
    pub events: Option<Option<Vec<EventKind>>>,
    /// Whether it gets anything: true forgets its failures, and what waited is due as it was;
    /// false disables it, reason `user`, without an event about it.
    pub enabled: Option<bool>,
}

/// Why an endpoint was not made or changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// No such endpoint in this workspace.
    #[error("no such webhook")]
    NotFound,
    /// The workspace has [`WEBHOOKS_MAX`].
    #[error("the workspace has as many webhooks as it may have")]
    TooMany,
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A delivery to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryJob {
    /// Which.
    pub delivery: DeliveryId,
    /// To whom.
    pub webhook: WebhookRecord,
    /// What.
    pub event: EventRecord,
    /// Its place among the endpoint's events of this batch (or of no batch), from 1 without gaps.
    pub sequence: u64,
    /// How often it was tried since it was made or replayed.
    pub tries: u32,
    /// When it was made or replayed.
    pub first_at: Timestamp,
}

/// How one try went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryTry {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What went wrong otherwise.
    pub error: Option<String>,
    /// The beginning of the answer's body, at most 1 KiB.
    pub answer: Option<String>,
}

/// What becomes of a delivery after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryNext {
    /// It arrived.
    Delivered,
    /// It is tried again at this instant.
    Again(Timestamp),
    /// It is not tried again.
    GivenUp,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// To be tried, or tried again.
    Pending,
    /// It arrived.
    Delivered,
    /// It is not tried again.
    GivenUp,
}

impl DeliveryState {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::GivenUp];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }

    /// The reverse of [`DeliveryState::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// A delivery as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Which.
    pub id: DeliveryId,
    /// What.
    pub event: EventId,
    /// What happened.
    pub kind: EventKind,
    /// In which batch, if in one.
    pub batch: Option<BatchId>,
    /// As of [`DeliveryJob::sequence`].
    pub sequence: u64,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is tried next, while pending; while it is being tried, when others may.
    pub next_at: Option<Timestamp>,
    /// Every try, oldest first, those before a replay too.
    pub tries: Vec<DeliveryTry>,
}

/// Which page of an endpoint's deliveries, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// From 1.
    pub page: u32,
    /// 1–100.
    pub limit: u32,
    /// Those that stand so; none: all.
    pub state: Option<DeliveryState>,
}

/// A page of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryList {
    /// The page.
    pub deliveries: Vec<DeliveryRecord>,
    /// How many match.
    pub total: u64,
}

/// Which deliveries to do again. Those that are pending are not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// This one.
    One(DeliveryId),
    /// Those made since.
    Since(Timestamp),
    /// Those given up.
    Failed,
}
