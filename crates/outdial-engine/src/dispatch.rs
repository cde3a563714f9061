//! Dispatch of one workspace: turn after turn, a view is read, the core plans, the plan is
//! committed if the view still stands, and what was committed is started.
//!
//! Decides nothing, and starts nothing whose commit was not acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::batch::PauseReason;
use outdial_core::dispatcher::{Group, Head, Intent, NodeShare, Plan, Turn};
use outdial_core::id::{BatchId, CallId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{CommitError, CommitOutcome, NewIntent, NewPlan, StoreError};
use outdial_ports::{Mark, Monotonic, failpoint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument;

use crate::clock_guard::Trust;
use crate::context::{Context, Seldom, Signal, locked};
use crate::doubt::Doubt;
use crate::measure::{CALL_DELAY, SPANS, TURN};
use crate::planner::Planner;
use crate::recognise::{Recognised, Recogniser, not_kept};
use crate::runner::Start;
use crate::standing::Obstacle;
use crate::tasks::{Broken, note};
use crate::timebase::TimeBase;
use crate::trunks;

/// Nobody nudging, it is looked again after this: polling is the truth.
const PERIOD: Duration = Duration::from_secs(1);
/// Between two turns, so that calls that end together are replaced together.
const GAP: Duration = Duration::from_millis(10);
/// A workspace with nothing to place for so long has its dispatch ended.
const IDLE: Duration = Duration::from_secs(5);
/// Bounds of the time between a plan and its first slot.
const LEAD: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(150));
/// Commits that take longer than this make every slot be missed.
const COMMIT_SLOW: Duration = Duration::from_millis(200);
/// A stale plan is made again after a random part of this.
const STALE_JITTER: Duration = Duration::from_millis(20);
/// Why a contact failed whose decision panics each time.
const UNDECIDABLE: &str = "internal_error";
/// Groups are not read anew more often than this, whatever happens.
const GROUPS_GAP: Duration = Duration::from_millis(100);

/// Runs a workspace's dispatch until there is nothing to place for a while, or a drain begins.
pub(crate) async fn dispatch(
    ctx: Arc<Context>,
    workspace: WorkspaceId,
    start: mpsc::UnboundedSender<Start>,
) {
    let signal = ctx.signals.open(workspace);
    let now = ctx.clock.monotonic();
    let mut desk = Desk {
        ctx: Arc::clone(&ctx),
        workspace,
        start,
        signal: Arc::clone(&signal),
        dispatcher: Planner::default(),
        groups: Vec::new(),
        groups_read: None,
        groups_changed: true,
        latency: Duration::ZERO,
        busy_at: now,
        warned: Seldom::default(),
        recogniser: Recogniser::default(),
        due: BTreeMap::new(),
        share: NodeShare::Equal,
    };
    while !ctx.draining.is_set() {
        let began = ctx.clock.monotonic();
        let span = tracing::debug_span!(target: SPANS, parent: None, "turn", %workspace);
        let result = desk.turn().instrument(span).await;
        let next = match &result {
            Ok(turned) => turned.look_again,
            Err(_) => began.after(PERIOD),
        };
        note(&ctx, "dispatch", result.map(|t| t.placed).map_err(Broken::Store));
        let now = ctx.clock.monotonic();
        if now.since(desk.busy_at) >= IDLE {
            break;
        }
        let soonest = now.after(GAP);
        let replaced = soonest.after(desk.share.grace());
        let latest = next.min(now.after(PERIOD)).max(soonest);
        tokio::select! {
            biased;
            () = ctx.draining.wait() => {}
            () = async {
                signal.nudged().await;
                ctx.clock.sleep_until(replaced).await;
            } => {}
            () = ctx.clock.sleep_until(latest) => {}
        }
    }
}

/// Where the dispatch of one workspace sits.
struct Desk {
    ctx: Arc<Context>,
    workspace: WorkspaceId,
    start: mpsc::UnboundedSender<Start>,
    signal: Arc<Signal>,
    dispatcher: Planner,
    groups: Vec<Group>,
    groups_read: Option<Monotonic>,
    groups_changed: bool,
    /// Of a commit, smoothed.
    latency: Duration,
    /// When there last was something to place, now or later.
    busy_at: Monotonic,
    warned: Seldom,
    recogniser: Recogniser,
    /// Since when the calls of the plan are due.
    due: BTreeMap<CallId, Timestamp>,
    /// This node's part of the live calls, as of the latest turn.
    share: NodeShare,
}

/// What a turn did.
struct Turned {
    placed: u32,
    look_again: Monotonic,
}

impl Desk {
    async fn turn(&mut self) -> Result<Turned, StoreError> {
        let asked = self.ctx.clock.monotonic();
        let head = self.ctx.store.dispatch_head(self.workspace, None).await?;
        self.share = self.compare_with_others(&head);
        let read = self.ctx.clock.monotonic();
        let base = TimeBase::new(head.clock, asked, read);
        let later = Turned { placed: 0, look_again: read.after(PERIOD) };
        if !self.may_dial(&base, read) {
            return Ok(later);
        }
        let recognised = self.recogniser.recognise(&self.ctx, self.workspace, read).await?;
        let Recognised::Same(mark) = recognised else { return Ok(later) };
        if head.batches.is_empty() {
            return Ok(later);
        }
        self.busy_at = read;
        trunks::make_known(&self.ctx, head.trunks.iter().map(|trunk| trunk.id)).await?;
        let stale_until = self.read_groups(read).await?;

        let turn = self.now(&base);
        let asks = self.dispatcher.ask(&head, &self.groups, &turn, read)?;
        let candidates = match asks.is_empty() {
            true => Vec::new(),
            false => self.ctx.store.dispatch_candidates(&asks).await?,
        };
        // Reading took time, and other workspaces may have taken capacity.
        let turn = self.now(&base);
        let plan = self.dispatcher.plan(&head, &self.groups, &asks, &candidates, &turn, read)?;
        self.give_up_hopeless(read).await;
        tracing::trace!(workspace = %self.workspace, now = %turn.now, ?asks,
            candidates = candidates.len(), intents = plan.intents.len(), pauses = ?plan.pauses,
            look_again = ?plan.look_again, "planned");
        let look_again = self.share.look_again(plan.look_again, &turn);
        let look_again = look_again.map_or(later.look_again, |at| base.monotonic(at));
        let look_again = stale_until.map_or(look_again, |at| look_again.min(at));
        if plan.intents.is_empty() && plan.pauses.is_empty() && plan.brakes.is_empty() {
            return Ok(Turned { placed: 0, look_again });
        }
        self.due = candidates.iter().map(|c| (c.call, c.not_before)).collect();
        let turned = self.commit(&head, base, (plan, mark), look_again).await;
        metrics::histogram!(TURN).record(self.ctx.clock.monotonic().since(asked));
        turned
    }

    fn compare_with_others(&self, head: &Head) -> NodeShare {
        let own = self.ctx.live.count_of(self.workspace);
        NodeShare::of(own, head.live, locked(&self.ctx.standing).dialing)
    }

    /// Finishes contacts about which nobody can decide. One that cannot be finished now stays left
    /// out, and holds up nobody.
    async fn give_up_hopeless(&mut self, now: Monotonic) {
        let workspace = self.workspace;
        for call in self.dispatcher.hopeless() {
            match self.ctx.store.call_give_up(workspace, call, UNDECIDABLE).await {
                Ok(given_up) => {
                    self.dispatcher.given_up(call);
                    if given_up {
                        tracing::error!(%workspace, %call,
                            "given up: its decision panics each time");
                    }
                }
                Err(error) => {
                    if self.warned.is_due(now) {
                        tracing::warn!(%workspace, %call, %error, "cannot be given up for now");
                    }
                }
            }
        }
    }

    /// Whether this node knows well enough what time it is, and is known itself.
    fn may_dial(&mut self, base: &TimeBase, now: Monotonic) -> bool {
        let workspace = self.workspace;
        match self.ctx.compare_clocks() {
            Trust::Agreed => {}
            Trust::Jumped(by_ms) => {
                tracing::error!(%workspace, by_ms, "the wall clock jumped: not dialing for 60 s");
                return false;
            }
            Trust::Resting => {
                if self.warned.is_due(now) {
                    tracing::warn!(%workspace, "not dialing: the wall clock jumped lately");
                }
                return false;
            }
        }
        let Some(obstacle) = self.ctx.obstacle(base) else { return true };
        if matches!(obstacle, Obstacle::DatabaseJumped(_)) {
            tracing::error!(%workspace, "not dialing for 60 s: {obstacle}");
        } else if self.warned.is_due(now) {
            tracing::warn!(%workspace, "not dialing: {obstacle}");
        }
        false
    }

    fn now(&self, base: &TimeBase) -> Turn {
        let free = self.ctx.capacity.available_permits();
        Turn {
            now: base.now(self.ctx.clock.monotonic()),
            lead: (self.latency * 3).clamp(LEAD.0, LEAD.1),
            node_free: u32::try_from(free).unwrap_or(u32::MAX),
            turn_limit: if self.is_slow() { 1 } else { self.ctx.config.turn_limit },
        }
    }

    /// Commits take so long that no slot can be met: one call at a time tries whether that is over,
    /// instead of many being committed in vain.
    fn is_slow(&self) -> bool {
        self.latency > COMMIT_SLOW
    }

    /// Reads the groups anew when they are old, or when somebody said that they changed. If it is
    /// too early for that: when it is not.
    async fn read_groups(&mut self, now: Monotonic) -> Result<Option<Monotonic>, StoreError> {
        self.groups_changed |= self.signal.take_groups_changed();
        let age = self.groups_read.map_or(Duration::MAX, |at| now.since(at));
        let old = age >= Duration::from_millis(self.ctx.config.groups_ms);
        if old || (self.groups_changed && age >= GROUPS_GAP) {
            self.groups = self.ctx.store.dispatch_groups(self.workspace, None).await?;
            self.groups_read = Some(now);
            self.groups_changed = false;
            self.dispatcher.forget_cursors();
        }
        let changed = self.groups_read.filter(|_| self.groups_changed);
        Ok(changed.map(|at| at.after(GROUPS_GAP)))
    }

    async fn commit(
        &mut self,
        head: &Head,
        base: TimeBase,
        (plan, mark): (Plan, Option<Mark>),
        look_again: Monotonic,
    ) -> Result<Turned, StoreError> {
        let ctx = Arc::clone(&self.ctx);
        let stale =
            |now: Monotonic| Turned { placed: 0, look_again: now.after(ctx.jitter(STALE_JITTER)) };
        let wanted = u32::try_from(plan.intents.len()).unwrap_or(u32::MAX);
        let began = ctx.clock.monotonic();
        let Ok(permits) = Arc::clone(&ctx.capacity).try_acquire_many_owned(wanted) else {
            // Another workspace was quicker.
            self.dispatcher.forget_cursors();
            return Ok(stale(began));
        };
        let Plan { intents, slots, pauses, brakes, .. } = plan;
        let intents: Vec<NewIntent> = intents.into_iter().map(|i| named(&ctx, i)).collect();
        let mut doubt = Doubt::new(&ctx, self.workspace, &intents);
        let new = NewPlan { intents, slots, pauses: pauses.clone(), brakes, mark };
        failpoint("engine.planned");
        let result = ctx.store.attempt_commit_intents(self.workspace, head.version, new).await;
        if let Ok(outcome) = &result {
            self.tell_pauses(&pauses);
            self.keep_mark(outcome).await?;
        }
        // Both must be through before the first slot.
        let now = ctx.clock.monotonic();
        self.latency = (self.latency * 7 + now.since(began)) / 8;
        match result {
            Ok(outcome) => {
                let dropped = !outcome.dropped.is_empty();
                let placed = self.start_runners(head, base, outcome, permits, &mut doubt);
                doubt.dispelled();
                if self.is_slow() {
                    if self.warned.is_due(now) {
                        tracing::warn!(workspace = %self.workspace, latency = ?self.latency,
                            "the database commits too slowly to meet a slot: one call at a time");
                    }
                    return Ok(Turned { placed, look_again: now.after(PERIOD) });
                }
                // What a plan took for calls that dropped out is free at once.
                Ok(Turned { placed, look_again: if dropped { now } else { look_again } })
            }
            Err(error) => {
                self.forget();
                match error {
                    // The next turn tells of an older copy.
                    CommitError::Stale | CommitError::Older => {
                        doubt.dispelled();
                        Ok(stale(now))
                    }
                    CommitError::Store(error @ StoreError::OutcomeUnknown(_)) => {
                        tracing::error!(workspace = %self.workspace, wanted, %error,
                            "nothing of this plan is sent");
                        Err(error)
                    }
                    CommitError::Store(error) => {
                        doubt.dispelled();
                        Err(error)
                    }
                }
            }
        }
    }

    /// Notes outside the database an attempt of what was committed, before anything of it leaves.
    /// An error: all of it is given back as a loose end.
    async fn keep_mark(&mut self, outcome: &CommitOutcome) -> Result<(), StoreError> {
        failpoint("engine.committed");
        let ctx = Arc::clone(&self.ctx);
        if let Some(latest) = outcome.committed.last() {
            let mark = Mark { attempt: latest.attempt, token: latest.intent.token };
            let noted = self.ctx.watermark.note(self.workspace, mark).await;
            noted.map_err(not_kept).inspect_err(|_| self.forget())?;
            self.recogniser.holds(&ctx, mark);
        }
        failpoint("engine.noted");
        Ok(())
    }

    /// What was read and planned does not hold.
    fn forget(&mut self) {
        self.dispatcher.forget_cursors();
        self.groups_changed = true;
        self.recogniser.forget();
    }

    fn tell_pauses(&self, pauses: &[(BatchId, PauseReason)]) {
        for (batch, reason) in pauses {
            tracing::warn!(workspace = %self.workspace, %batch, reason = reason.as_str(),
                "a batch is paused until it is started again");
        }
    }

    /// Hands what was committed to runners.
    fn start_runners(
        &mut self,
        head: &Head,
        base: TimeBase,
        outcome: CommitOutcome,
        mut permits: OwnedSemaphorePermit,
        doubt: &mut Doubt,
    ) -> u32 {
        for dropped in &outcome.dropped {
            tracing::debug!(call = %dropped.call, reason = ?dropped.reason, "not placed after all");
        }
        // They wait for something else now than the groups say.
        self.groups_changed |= !outcome.dropped.is_empty();
        let mut placed = 0;
        let now = base.now(self.ctx.clock.monotonic());
        for committed in outcome.committed {
            let permit = permits.split(1).expect("as many permits as intents were acquired");
            let caller = caller_id(head, &committed.intent.intent);
            // From here on it is its runner's, whatever happens to the others.
            doubt.settled(&committed.intent);
            let due = self.due.get(&committed.intent.intent.call).copied().unwrap_or(now);
            metrics::histogram!(CALL_DELAY).record(now.since(due));
            let workspace = self.workspace;
            let start = Start { workspace, committed, caller, base, permit, due };
            // The nursery ends only after every dispatch.
            if self.start.send(start).is_ok() {
                placed += 1;
            }
        }
        tracing::debug!(workspace = %self.workspace, placed, dropped = outcome.dropped.len(),
            latency = ?self.latency, "committed");
        placed
    }
}

/// With an unguessable name for its attempt.
fn named(ctx: &Context, intent: Intent) -> NewIntent {
    let mut token = [0; 16];
    ctx.entropy.fill(&mut token);
    NewIntent { intent, token }
}

fn caller_id(head: &Head, intent: &Intent) -> PhoneNumber {
    let number = head.numbers.iter().find(|n| n.id == intent.caller);
    number.expect("the dispatcher takes the caller from the head's numbers").number
}
