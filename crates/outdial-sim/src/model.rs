//! The reference model: batches, calls and attempts as plain maps, moved by the answers of the
//! store in the order in which it gave them. What the store says must be what the model says.
//!
//! It restates the rules of `semantics.md` 1.3, 1.8 and 3 in their simplest form, and decides
//! nothing that the product decides by chance or by time.

mod attempts;
mod compare;
mod edits;

use std::collections::BTreeMap;
use std::sync::Arc;

use outdial_core::batch::{BatchSettings, BatchState, PauseReason};
use outdial_core::brake::BrakeState;
use outdial_core::call::{CallFacts, CallState, WaitReason};
use outdial_core::dispatcher::LineLimits;
use outdial_core::hours::CallingHours;
use outdial_core::id::{AttemptId, BatchId, CallId, DncId, PhoneId, RequestId, WorkspaceId};
use outdial_core::outcome::Disposition;
use outdial_core::phone::PhoneNumber;
use outdial_core::settings::{CallingRules, WorkspaceSettings};
use outdial_core::time::Timestamp;
use outdial_ports::store::{ChunkAdd, ChunkLane, ChunkRecord, NewBatch, StoredChunk};

use crate::checker::Violation;

/// A batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Whose.
    pub workspace: WorkspaceId,
    /// What its maker chose.
    pub settings: BatchSettings,
    /// Its calling numbers.
    pub numbers: Vec<PhoneId>,
    /// Where it stands.
    pub state: BatchState,
    /// Why it is paused, if it is.
    pub reason: Option<PauseReason>,
    /// Only calls of this lane are placed; none: all.
    pub lane: Option<u32>,
    /// What the brakes remember of it.
    pub brake: BrakeState,
    /// Retries, as many as it ever allowed: what was about to wait for one then is not given up.
    pub retry_most: u8,
}

impl Batch {
    /// The brakes forget what made them pause it; whether they had.
    fn leave_pause(&mut self) -> bool {
        use PauseReason::{Failures, ShortCalls, Voicemail};
        let braked = matches!(self.reason, Some(Failures | ShortCalls | Voicemail));
        if braked {
            self.brake = BrakeState::default();
        }
        braked
    }
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Of which batch.
    pub batch: BatchId,
    /// To whom.
    pub phone: PhoneNumber,
    /// Where the person may be.
    pub class: Arc<str>,
    /// Its lane.
    pub lane: u32,
    /// Where it stands.
    pub state: CallState,
    /// What was counted.
    pub facts: CallFacts,
    /// How often it was added.
    pub adds: u32,
    /// While pending.
    pub not_before: Timestamp,
    /// Why not earlier.
    pub reason: WaitReason,
    /// It waits for a retry.
    pub is_retry: bool,
    /// How the latest attempt ended, and the latest that counts.
    pub last: [Option<Disposition>; 2],
    /// The one that is not over.
    pub attempt: Option<AttemptId>,
    /// Taken back while on the phone.
    pub canceled: bool,
    /// While finished.
    pub disposition: Option<Disposition>,
    /// Finished because its number is on the do-not-call list.
    pub by_list: bool,
    deferred: Option<Deferred>,
}

impl Call {
    fn new(
        batch: BatchId,
        record: &ChunkRecord,
        finished: Option<Disposition>,
        now: Timestamp,
    ) -> Self {
        Self {
            batch,
            phone: record.phone,
            class: Arc::clone(&record.class),
            lane: 0,
            state: if finished.is_some() { CallState::Finished } else { CallState::Pending },
            facts: CallFacts { round: 1, ..CallFacts::default() },
            adds: 1,
            not_before: now,
            reason: WaitReason::Due,
            is_retry: false,
            last: [None; 2],
            attempt: None,
            canceled: false,
            disposition: finished,
            by_list: false,
            deferred: None,
        }
    }
}

/// Added while the call was on the phone.
#[derive(Clone, Debug)]
struct Deferred {
    class: Arc<str>,
    lane: Option<u32>,
    blocked: Option<Disposition>,
}

/// An attempt.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// At which call.
    pub call: CallId,
    /// Committed by which process.
    pub process: u32,
    /// In which round.
    pub round: u32,
    /// From which number.
    pub caller: PhoneId,
    /// Where the person may be, as of the commit.
    pub class: Arc<str>,
    /// The hours of its batch, as of the commit.
    pub hours: CallingHours,
    /// Whether the calling rules applied, as of the commit.
    pub rules: CallingRules,
    /// When its batch expires, as of the commit.
    pub expires_at: Option<Timestamp>,
    /// When it was committed.
    pub at: Timestamp,
    /// That process was told that it is committed.
    pub acknowledged: bool,
    /// Nothing more will happen.
    pub over: bool,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Batches, deleted ones too.
    pub batches: BTreeMap<BatchId, Batch>,
    /// Calls.
    pub calls: BTreeMap<CallId, Call>,
    /// Attempts.
    pub attempts: BTreeMap<AttemptId, Attempt>,
    /// Settings of the workspaces.
    pub settings: BTreeMap<WorkspaceId, WorkspaceSettings>,
    /// Limits and prices of the calling numbers.
    pub phones: BTreeMap<PhoneId, (LineLimits, Option<u64>)>,
    /// The do-not-call lists.
    pub listed: BTreeMap<(WorkspaceId, PhoneNumber), DncId>,
    by_phone: BTreeMap<(BatchId, PhoneNumber), CallId>,
    live: BTreeMap<(WorkspaceId, PhoneNumber), AttemptId>,
    chunks: BTreeMap<(RequestId, u32), StoredChunk>,
}

/// The store did not do what the model does.
pub(crate) fn differs<T>(what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation::new("model", what))
}

impl Model {
    /// A batch was made.
    pub(crate) fn batch_created(&mut self, id: BatchId, new: &NewBatch) {
        let batch = Batch {
            workspace: new.workspace,
            settings: new.settings.clone(),
            numbers: new.numbers.clone(),
            state: BatchState::Pending,
            reason: None,
            lane: None,
            brake: BrakeState::default(),
            retry_most: new.settings.retry,
        };
        self.batches.insert(id, batch);
    }

    /// A batch was started; whether that ended the pause of a brake.
    pub(crate) fn batch_started(
        &mut self,
        id: BatchId,
        lane: Option<u32>,
    ) -> Result<bool, Violation> {
        let batch = self.batch(id)?;
        if batch.state == BatchState::Deleted {
            return differs(format!("batch {id} was started although it is deleted"));
        }
        let braked = batch.leave_pause();
        (batch.state, batch.reason, batch.lane) = (BatchState::Active, None, lane);
        Ok(braked)
    }

    /// A batch was stopped or deleted; whether that ended the pause of a brake.
    pub(crate) fn batch_halted(
        &mut self,
        id: BatchId,
        state: BatchState,
    ) -> Result<bool, Violation> {
        let batch = self.batch(id)?;
        let braked = batch.leave_pause();
        (batch.state, batch.reason) = (state, None);
        Ok(braked)
    }

    /// The closer took a batch for done; whether that ended the pause of a brake.
    pub(crate) fn batch_closed(&mut self, id: BatchId) -> Result<bool, Violation> {
        let Batch { state, lane, .. } = *self.batch(id)?;
        if !matches!(state, BatchState::Active | BatchState::Paused) {
            return differs(format!("batch {id} was closed although it is {state:?}"));
        }
        let mut waiting = false;
        for (call, c) in self.calls.iter().filter(|(_, c)| c.batch == id) {
            let placeable = lane.is_none_or(|lane| lane == c.lane);
            if c.state == CallState::Live || (c.state == CallState::Pending && placeable) {
                return differs(format!("batch {id} was closed over call {call}: {c:?}"));
            }
            waiting |= c.state == CallState::Pending;
        }
        let batch = self.batch(id)?;
        let braked = batch.leave_pause();
        (batch.state, batch.reason) = match waiting {
            true => (BatchState::Paused, Some(PauseReason::CallsHeld)),
            false => (BatchState::Completed, None),
        };
        Ok(braked)
    }

    /// A chunk was stored; how many of its calls were deferred and re-opened. Again: nothing.
    pub(crate) fn chunk_added(
        &mut self,
        add: &ChunkAdd,
        stored: &StoredChunk,
        now: Timestamp,
    ) -> Result<Added, Violation> {
        if let Some(before) = self.chunks.get(&(add.request, add.chunk_num)) {
            return match before == stored {
                true => Ok(Added { repeated: true, ..Added::default() }),
                false => differs(format!("I11: a chunk was applied again: {before:?}, {stored:?}")),
            };
        }
        self.chunks.insert((add.request, add.chunk_num), stored.clone());
        if stored.calls.len() != add.records.len() {
            return differs("a chunk's answer has not one call for each record");
        }
        let mut added = Added::default();
        for (record, &id) in add.records.iter().zip(&stored.calls) {
            self.record_added(add, record, id, now, &mut added)?;
        }
        let batch = self.batch(add.batch)?;
        if add.auto_start && starts_by_adding(batch) {
            (batch.state, batch.reason) = (BatchState::Active, None);
        }
        let counts = (stored.updated, stored.deferred, stored.do_not_call);
        let told = (counts, stored.batch_state, stored.pause_reason);
        let counts = (added.updated, added.deferred, added.listed);
        let wanted = (counts, batch.state, batch.reason);
        match told == wanted {
            true => Ok(added),
            false => differs(format!("a chunk's answer {told:?} should be {wanted:?}")),
        }
    }

    fn record_added(
        &mut self,
        add: &ChunkAdd,
        record: &ChunkRecord,
        id: CallId,
        now: Timestamp,
        added: &mut Added,
    ) -> Result<(), Violation> {
        let lane = match add.lane {
            ChunkLane::Current => None,
            ChunkLane::Lane(lane) => Some(lane),
        };
        let fresh_lane = lane.or(self.batch(add.batch)?.lane).unwrap_or(0);
        let listed = self.is_listed(add.batch, record.phone);
        let blocked = record.blocked.map(|(disposition, _)| disposition);
        let finished = if listed { Some(Disposition::Skipped) } else { blocked };
        let known = *self.by_phone.entry((add.batch, record.phone)).or_insert(id);
        if known != id {
            return differs(format!("{} is call {known} and was answered as {id}", record.phone));
        }
        let class = Arc::clone(&record.class);
        let waiting = if finished.is_some() { CallState::Finished } else { CallState::Pending };
        let Some(call) = self.calls.get_mut(&id) else {
            let call = Call {
                lane: fresh_lane,
                by_list: listed,
                ..Call::new(add.batch, record, finished, now)
            };
            self.calls.insert(id, call);
            added.new += 1;
            added.listed += u32::from(listed);
            return Ok(());
        };
        call.adds += 1;
        added.updated += 1;
        added.listed += u32::from(listed);
        if listed && call.state == CallState::Finished && call.by_list {
            // It stays skipped.
            return Ok(());
        }
        if call.state != CallState::Live {
            call.disposition = finished.or(call.disposition);
            call.by_list = listed;
        }
        match call.state {
            CallState::Live => {
                added.deferred += 1;
                let lane = lane.or(call.deferred.as_ref().and_then(|d| d.lane));
                call.deferred = Some(Deferred { class, lane, blocked });
            }
            CallState::Pending => {
                call.class = class;
                call.lane = lane.unwrap_or(call.lane);
                call.state = waiting;
            }
            CallState::Finished => {
                added.reopened += 1;
                (call.class, call.lane, call.state) = (class, fresh_lane, waiting);
                let CallFacts { round, attempts, .. } = call.facts;
                call.facts = CallFacts { round: round + 1, charged: 0, uncharged: 0, attempts };
                (call.not_before, call.reason, call.is_retry) = (now, WaitReason::Due, false);
            }
        }
        Ok(())
    }

    fn batch(&mut self, id: BatchId) -> Result<&mut Batch, Violation> {
        match self.batches.get_mut(&id) {
            Some(batch) => Ok(batch),
            None => differs(format!("nobody made batch {id}")),
        }
    }
}

/// What a chunk did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// Calls that were not there before.
    pub new: u32,
    /// Calls that were.
    pub updated: u32,
    /// Of those, on the phone.
    pub deferred: u32,
    /// Of those, finished.
    pub reopened: u32,
    /// Skipped because their number is on the do-not-call list.
    pub listed: u32,
    /// It had been stored before.
    pub repeated: bool,
}

/// A batch that a person stopped, or that a brake paused, is not started by adding.
fn starts_by_adding(batch: &Batch) -> bool {
    match batch.state {
        BatchState::Pending | BatchState::Active | BatchState::Completed => true,
        BatchState::Paused => batch.reason == Some(PauseReason::CallsHeld),
        BatchState::Stopped | BatchState::Importing | BatchState::Deleted => false,
    }
}
