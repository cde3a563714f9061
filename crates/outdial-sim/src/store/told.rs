//! What the watch is told of the store; whether a process lives that could ask it, and how long
//! that takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::batch::PauseReason;
use outdial_core::brake::BrakeState;
use outdial_core::call::{CallNext, CallState};
use outdial_core::id::{AttemptId, BatchId, CallId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    CallCanceled, ChunkAdd, CommitOutcome, DncAddError, DncRecord, DropReason, FinishResult,
    Settle, StoredChunk,
};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::SimStore;
use crate::checker::Violation;
use crate::clock::SimClock;
use crate::watch::Seen;

/// Whether a process is alive; what belongs to a dead one does nothing any more.
#[derive(Default)]
pub(crate) struct Life {
    over: AtomicBool,
    stall: Mutex<Stall>,
    hold: Mutex<Option<Arc<Hold>>>,
}

/// A plan is held on its way to the store, so that something can happen in the meantime.
#[derive(Default)]
pub(crate) struct Hold {
    of: Mutex<Option<WorkspaceId>>,
    held: Notify,
    go: Notify,
}

impl Hold {
    /// Waits until a plan is held; of which workspace. None comes: none.
    pub(crate) async fn held(&self) -> Option<WorkspaceId> {
        timeout(HELD, self.held.notified()).await.ok()?;
        *self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It goes on.
    pub(crate) fn let_go(&self) {
        self.go.notify_one();
    }
}

/// A plan is waited for, and held, for so long at most.
const HELD: Duration = Duration::from_secs(2);

/// So long after a stall what it kept from being done is done.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(10);

/// When it does nothing though its clock goes on; counted since the world began.
#[derive(Clone, Copy, Debug, Default)]
struct Stall {
    from: Duration,
    until: Duration,
    /// At the next commit: so long after it, for so long.
    at_commit: Option<(Duration, Duration)>,
}

impl Life {
    /// It dies.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// It has died.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Until then its clock goes on, and it does nothing.
    pub(crate) fn stall(&self, until: Duration) {
        *self.stalled() = Stall { until, ..Stall::default() };
    }

    /// It is stalled so long after it next commits intents, for so long.
    pub(crate) fn stall_at_commit(&self, after: Duration, lasts: Duration) {
        self.stalled().at_commit = Some((after, lasts));
    }

    /// The next plan is held on its way to the store.
    pub(crate) fn hold_next(&self) -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&hold));
        hold
    }

    /// No plan is held any more.
    pub(crate) fn hold_none(&self) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A plan of this workspace is on its way.
    pub(super) async fn hold(&self, ws: WorkspaceId) {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(hold) = hold else { return };
        *hold.of.lock().unwrap_or_else(PoisonError::into_inner) = Some(ws);
        hold.held.notify_one();
        // Nobody lets it go: then it goes by itself.
        let _ = timeout(HELD, hold.go.notified()).await;
    }

    /// It commits intents; whether that stalls it, and for how long.
    fn commits(&self, now: Duration) -> Option<Duration> {
        let mut stall = self.stalled();
        let (after, lasts) = stall.at_commit.take()?;
        (stall.from, stall.until) = (now + after, now + after + lasts);
        Some(lasts)
    }

    /// Waits until it is not stalled.
    pub(crate) async fn awake(&self, clock: &SimClock) {
        loop {
            let Stall { from, until, .. } = *self.stalled();
            let now = clock.elapsed();
            if now < from || now >= until {
                return;
            }
            clock.sleep(until - now).await;
        }
    }

    fn stalled(&self) -> MutexGuard<'_, Stall> {
        self.stall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long questions and answers take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Usually at most, each way; in milliseconds.
    pub usual_ms: u64,
    /// Now and then at most; in milliseconds.
    pub spike_ms: u64,
}

impl SimStore {
    pub(super) fn saw(&self, f: impl FnOnce(&mut Seen, Timestamp) -> Result<(), Violation>) {
        if !self.is_copy {
            self.watch.look(f);
        }
    }

    pub(super) fn note(&self, what: &str) {
        self.watch.note(&format!("store{}", self.process), what);
    }

    pub(super) fn saw_commit(
        &self,
        ws: WorkspaceId,
        outcome: &CommitOutcome,
        brakes: &[(BatchId, BrakeState)],
        pauses: &[(BatchId, PauseReason)],
    ) {
        for (batch, state) in brakes {
            self.note(&format!("brakes remember of batch {}: {state:?}", batch.seq()));
            self.saw(|seen, real| seen.remembered(*batch, *state, real));
        }
        if !outcome.committed.is_empty()
            && let Some(lasts) = self.life.commits(self.clock.elapsed())
        {
            self.note(&format!("stalls for {lasts:?} over this commit"));
            self.watch.count("fault: stalled between commit and send");
            self.saw(|seen, now| {
                seen.checkers.recalls.excuse(now.after(lasts + AFTERMATH));
                Ok(())
            });
        }
        for c in &outcome.committed {
            let (call, to) = (c.intent.intent.call.seq(), c.intent.intent.callee);
            self.note(&format!("commit attempt {} call {call} to {to}", c.attempt.seq()));
        }
        for d in &outcome.dropped {
            self.note(&format!("dropped call {}: {:?}", d.call.seq(), d.reason));
            self.watch.count(match d.reason {
                DropReason::NumberBusy => "dropped: number busy",
                DropReason::NotPending => "dropped: not pending",
                DropReason::DoNotCall => "dropped: do not call",
                DropReason::AttemptsPerDay => "dropped: attempts per day",
            });
        }
        self.saw(|seen, real| {
            let now = seen.wall;
            let batches = outcome.committed.iter().map(|c| c.intent.intent.batch);
            seen.changed.extend(batches);
            let dropped = outcome.dropped.iter().filter_map(|d| seen.model.calls.get(&d.call));
            seen.changed.extend(dropped.map(|c| c.batch));
            seen.model.committed(self.process, ws, outcome, now)?;
            outcome.committed.iter().try_for_each(|new| seen.committed(ws, new, real))
        });
        for (batch, why) in pauses {
            self.note(&format!("pauses batch {}: {}", batch.seq(), why.as_str()));
            self.saw(|seen, _| {
                seen.changed.insert(*batch);
                if seen.model.paused(*batch, *why)? {
                    seen.count(paused(*why), 1);
                }
                Ok(())
            });
        }
    }

    pub(super) fn saw_finish(
        &self,
        attempt: AttemptId,
        end: &AttemptEnd,
        next: CallNext,
        settle: Settle,
        result: FinishResult,
    ) {
        let (disposition, reason) = (end.outcome.disposition, end.outcome.reason);
        self.note(&format!(
            "finish attempt {} {:?} {disposition:?} {reason} -> {next:?} {result:?}",
            attempt.seq(),
            end.state
        ));
        self.saw(|seen, _| {
            let now = seen.wall;
            if seen.model.finished(attempt, end, next, result, now)? {
                seen.settled(attempt, end, &settle, now)?;
            }
            let Some(made) = seen.model.attempts.get(&attempt) else { return Ok(()) };
            let (process, call, round) = (made.process, made.call, made.round);
            seen.changed.extend(seen.model.calls.get(&call).map(|c| c.batch));
            seen.count(disposition.as_str(), 1);
            if result == FinishResult::AlreadyOver {
                return Ok(());
            }
            let wrong = |what: &str| {
                Err(Violation::new("I1", format!("attempt {attempt} {what}: {end:?}")))
            };
            if end.state == AttemptState::NotSent && seen.checkers.once.was_sent(attempt) {
                return wrong("left and is recorded as not sent");
            }
            if seen.checkers.once.is_live(attempt) {
                return wrong("is still on the phone and is recorded as over");
            }
            let excused = self.weather.broke_down() || seen.excused.contains(&attempt);
            if end.outcome.reason == "lost" && process == self.process && !excused {
                return wrong("was lost by a process that lives");
            }
            if end.state == AttemptState::Unknown && end.outcome.charged {
                seen.checkers.once.lost(attempt, call, round);
            }
            Ok(())
        });
    }

    pub(super) fn saw_expiry(&self, expired: u32) {
        self.saw(|seen, _| {
            let batches = seen.model.expired(expired, seen.wall)?;
            seen.changed.extend(batches);
            seen.count("expired", u64::from(expired));
            Ok(())
        });
        if expired > 0 {
            self.note(&format!("expires {expired} calls"));
        }
    }

    pub(super) fn saw_chunk(&self, add: &ChunkAdd, stored: &StoredChunk) {
        let added = self.watch.look(|seen, _| {
            seen.changed.insert(add.batch);
            let added = seen.model.chunk_added(add, stored, seen.wall)?;
            for call in &stored.calls {
                let state = seen.model.calls.get(call).map(|c| c.state);
                if state == Some(CallState::Pending) && !added.repeated {
                    seen.checkers.wishes.wanted_again(*call);
                }
            }
            seen.count("added: new", u64::from(added.new));
            seen.count("added: deferred", u64::from(added.deferred));
            seen.count("added: re-opened", u64::from(added.reopened));
            seen.count("added: do not call", u64::from(added.listed));
            let pending = added.updated - added.deferred - added.reopened;
            seen.count("added: pending", u64::from(pending));
            Ok(added)
        });
        if let Some(added) = added {
            self.note(&format!("chunk into batch {}: {added:?}", add.batch.seq()));
        }
    }

    pub(super) fn saw_cancel(&self, id: CallId, answer: Option<CallCanceled>) {
        self.note(&format!("takes call {} back: {answer:?}", id.seq()));
        self.saw(|seen, _| {
            let batch = seen.model.canceled(id, answer)?;
            seen.changed.extend(batch);
            match answer {
                Some(CallCanceled::Canceled) => seen.count("taken back: pending", 1),
                Some(CallCanceled::Recalled) => seen.count("taken back: live", 1),
                Some(CallCanceled::WasFinished) | None => {}
            }
            Ok(())
        });
    }

    pub(super) fn saw_listing(
        &self,
        ws: WorkspaceId,
        phone: PhoneNumber,
        answer: &Result<DncRecord, DncAddError>,
    ) {
        let id = answer.as_ref().map(|r| r.id.seq());
        self.note(&format!("do not call {phone}: {id:?}"));
        self.saw(|seen, _| {
            let skipped = seen.model.listed(ws, phone, answer)?;
            seen.count("listed", u64::from(answer.is_ok()));
            seen.count("listed: skipped", skipped.len() as u64);
            seen.changed.extend(skipped);
            Ok(())
        });
    }
}

fn paused(why: PauseReason) -> &'static str {
    match why {
        PauseReason::NoNumbers => "paused: no numbers",
        PauseReason::CallsHeld => "paused: calls held",
        PauseReason::Budget => "paused: budget",
        PauseReason::Failures => "paused: failures",
        PauseReason::ShortCalls => "paused: short calls",
        PauseReason::Voicemail => "paused: voicemail",
    }
}
