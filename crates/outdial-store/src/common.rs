//! What both backends say and count alike. Pure, and without a row or a statement.

use std::collections::BTreeSet;
use std::time::Duration;

use outdial_core::attempt::AttemptState;
use outdial_core::batch::PauseReason;
use outdial_core::outcome::Disposition;
use outdial_ports::store::{CallQuery, CallSort, ChunkRecord, PhoneRecord};

use crate::text::Matcher;

/// Why a call to a listed number was skipped.
pub(crate) const DO_NOT_CALL: &str = "do_not_call";
/// Why a call was canceled, where no attempt says so.
pub(crate) const CANCEL_REQUESTED: &str = "cancel_requested";
/// Why a call expired.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// Longest silence of an owner at work on a request: every chunk extends its lease to this.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// How long a request with a key counts, at least.
pub(crate) const KEPT_WITH_KEY: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the same bytes without a key are a repeat.
pub(crate) const KEPT_WITHOUT_KEY: Duration = Duration::from_secs(24 * 3600);
/// How much longer than it counts a request is kept: a clock that is a day ahead for minutes
/// forgets nothing that counts when it is set back.
pub(crate) const SPARE: Duration = Duration::from_secs(24 * 3600);
/// Most seconds after which to ask again while somebody is at work.
pub(crate) const RETRY_AFTER_MAX_S: u64 = 5;
/// Chunks that one pruning forgets at most, but for a request that has more.
pub(crate) const PRUNED_CHUNKS: i64 = 2_000;

/// What an operation adds to a batch's totals. `total` follows from the others (I3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) pending: i64,
    pub(crate) live: i64,
    pub(crate) finished: i64,
    pub(crate) picked: i64,
    pub(crate) completed: i64,
}

/// How many rows stand before a page that counts from 1.
pub(crate) fn offset(page: u32, limit: u32) -> i64 {
    i64::from(page.saturating_sub(1)) * i64::from(limit)
}

/// The pause is that of a brake, from which a start begins anew.
pub(crate) fn is_brake(reason: Option<PauseReason>) -> bool {
    match reason {
        None | Some(PauseReason::NoNumbers | PauseReason::CallsHeld | PauseReason::Budget) => false,
        Some(PauseReason::Failures | PauseReason::ShortCalls | PauseReason::Voicemail) => true,
    }
}

/// A number without an agent leads nowhere, and differs from none.
pub(crate) fn agents_differ(phones: &[PhoneRecord]) -> bool {
    phones.iter().filter_map(|p| p.agent).collect::<BTreeSet<_>>().len() > 1
}

/// Why a record is finished at once instead of waiting to be called.
pub(crate) fn blocked(record: &ChunkRecord, listed: bool) -> Option<(Disposition, &'static str)> {
    if listed { Some((Disposition::Skipped, DO_NOT_CALL)) } else { record.blocked }
}

/// The page is read off its place, however large the batch: nothing to filter, and an order that
/// is kept anyway.
pub(crate) fn is_read_off(query: &CallQuery) -> bool {
    Matcher::of(query).is_none()
        && matches!(query.sort, CallSort::CreatedAt | CallSort::PhoneNumber)
}

/// `attempt.state` of a state: its place in [`AttemptState::ALL`].
pub(crate) fn attempt_state_number(state: AttemptState) -> i64 {
    let place = AttemptState::ALL.iter().position(|s| *s == state);
    place.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1)
}

/// The state that has this number.
pub(crate) fn attempt_state_of(number: i64) -> Option<AttemptState> {
    usize::try_from(number).ok().and_then(|n| AttemptState::ALL.get(n).copied())
}
