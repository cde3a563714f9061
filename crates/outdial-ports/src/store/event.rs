//! Events: what a workspace is told about its calls, batches and lists.
//!
//! A fact leaves an unnumbered row in its own transaction; numbering makes an event of it, which
//! never changes afterwards.

use outdial_core::id::{BatchId, EventId, WorkspaceId};
use outdial_core::time::Timestamp;

/// For so long an event can be read, in milliseconds: 72 h. Longer while a delivery is under way.
pub const EVENT_KEPT_MS: i64 = 72 * 3_600_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A call has its disposition.
    CallFinished,
    /// An attempt that was sent, or may have been, is over.
    CallAttempted,
    /// A batch became active.
    BatchActive,
    /// A batch is done.
    BatchCompleted,
    /// A brake, a budget, or want of numbers or of released calls holds a batch.
    BatchPaused,
    /// A number was put on the do-not-call list.
    DncAdded,
    /// A webhook endpoint gets nothing any more.
    WebhookDisabled,
}

impl EventKind {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::CallFinished,
        Self::CallAttempted,
        Self::BatchActive,
        Self::BatchCompleted,
        Self::BatchPaused,
        Self::DncAdded,
        Self::WebhookDisabled,
    ];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallFinished => "call.finished",
            Self::CallAttempted => "call.attempted",
            Self::BatchActive => "batch.active",
            Self::BatchCompleted => "batch.completed",
            Self::BatchPaused => "batch.paused",
            Self::DncAdded => "dnc.added",
            Self::WebhookDisabled => "webhook.disabled",
        }
    }

    /// The reverse of [`EventKind::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }
}

/// A numbered event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Which; the same in every delivery.
    pub id: EventId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Its place among the workspace's events, from 1 without gaps.
    pub position: u64,
    /// What happened.
    pub kind: EventKind,
    /// In which batch, if in one.
    pub batch: Option<BatchId>,
    /// When it happened.
    pub at: Timestamp,
    /// One JSON object; never changes.
    pub data: String,
}

/// Events in the order of their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// Those asked for.
    pub events: Vec<EventRecord>,
    /// From this position on every event can be read; `latest + 1` when none can.
    pub oldest: u64,
    /// The highest position given; 0: none yet.
    pub latest: u64,
}

/// What waits on the way from facts to receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventBacklog {
    /// When the oldest fact that is not numbered happened.
    pub oldest_fact: Option<Timestamp>,
    /// When the delivery that is overdue longest was due; of endpoints that are not disabled.
    pub oldest_due: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::parse("call"), None);
    }
}
