//! The runner of one attempt: a dull shell over `outdial_core::attempt::AttemptMachine`. It carries
//! events in and commands out, and decides nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::{
    AttemptCommand, AttemptEvent, AttemptMachine, AttemptProgress, AttemptState,
};
use outdial_core::id::{AttemptId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{Committed, StoreError};
use outdial_ports::{CallOrder, PlacedCall, failpoint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::context::Context;
use crate::finish;
use crate::live::{Entry, Request};
use crate::measure::{INVITE_DELAY, SPANS};
use crate::timebase::TimeBase;

/// Between two tries to record an answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// An attempt whose intent's commit was acknowledged to this process, and which is to be run.
pub(crate) struct Start {
    pub(crate) workspace: WorkspaceId,
    pub(crate) committed: Committed,
    /// The caller ID.
    pub(crate) caller: PhoneNumber,
    /// The reading of the database's clock on which it was planned.
    pub(crate) base: TimeBase,
    /// Its share of the process's capacity, given back when its end is recorded.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Since when the call was due.
    pub(crate) due: Timestamp,
}

/// Runs an attempt to its recorded end.
pub(crate) async fn run(ctx: Arc<Context>, start: Start, entry: Entry) {
    let span = tracing::debug_span!(target: SPANS, parent: None, "attempt",
        workspace = %start.workspace, attempt = %start.committed.attempt,
        call = %start.committed.intent.intent.call, batch = %start.committed.intent.intent.batch,
        disposition = tracing::field::Empty);
    let machine = AttemptMachine::new(start.base.slot(&start.committed.intent.intent));
    let runner = Runner { ctx, start, entry, machine, line: None, records: JoinSet::new() };
    runner.run().instrument(span).await;
}

struct Runner {
    ctx: Arc<Context>,
    start: Start,
    entry: Entry,
    machine: AttemptMachine,
    line: Option<Line>,
    /// Writes that nobody waits for. They end with the runner at the latest: by then the end says
    /// all that they could.
    records: JoinSet<()>,
}

/// A call in the carrier's hands. If the runner breaks down, nobody would end it.
struct Line(PlacedCall);

impl Drop for Line {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.control.cancel();
        }
    }
}

impl Runner {
    async fn run(mut self) {
        loop {
            let event = match self.next_event().await {
                // A machine that slept, or a clock that was set: the slot is no longer what it was.
                AttemptEvent::Tick if !self.ctx.clocks_agree() => AttemptEvent::ClockJumped,
                // Whoever is stopped for long, and goes on, may be dead to the others.
                AttemptEvent::Tick if !self.ctx.is_heard() => AttemptEvent::Unheard,
                event => event,
            };
            let now = self.start.base.now(self.ctx.clock.monotonic());
            for command in self.machine.handle(now, event) {
                match command {
                    AttemptCommand::Place => {
                        failpoint("engine.placing");
                        self.place();
                        failpoint("engine.placed");
                    }
                    AttemptCommand::Cancel => self.hang_up(),
                    AttemptCommand::Record(progress) => self.record(progress),
                    AttemptCommand::Finish(end) => {
                        failpoint("engine.over");
                        finish::finish(&self.ctx, self.start, end).await;
                        failpoint("engine.recorded");
                        return;
                    }
                }
            }
        }
    }

    /// Waits for what concerns the machine.
    async fn next_event(&mut self) -> AttemptEvent {
        let deadline = self.machine.deadline().map(|(at, _)| self.start.base.monotonic(at));
        tokio::select! {
            biased;
            // The machine has a deadline exactly while nothing has left.
            () = self.ctx.draining.wait(), if deadline.is_some() => AttemptEvent::Drain,
            Some(request) = self.entry.requests.recv() => match request {
                Request::Recall => AttemptEvent::Recall,
                Request::HangUp => AttemptEvent::HangUp,
            },
            event = told(&mut self.line), if self.line.is_some() => event,
            () = self.ctx.clock.sleep_until(deadline.unwrap_or_default()),
                if deadline.is_some() => AttemptEvent::Tick,
        }
    }

    fn place(&mut self) {
        let Start { committed, caller, base, .. } = &self.start;
        let intent = &committed.intent.intent;
        let slot = base.slot(intent);
        let order = CallOrder {
            attempt: committed.attempt,
            token: committed.intent.token,
            trunk: intent.trunk,
            caller: *caller,
            callee: intent.callee,
            charged_before: intent.facts.charged,
            send_by: base.monotonic(slot.send_by.min(slot.open_until)).min(self.ctx.heard_until()),
            open_until: base.monotonic(slot.open_until),
            ring_limit: self.ctx.config.ring_limit(),
            talk_limit: Duration::from_secs(u64::from(intent.max_call_s)),
        };
        let delay = self.start.now(&self.ctx).since(self.start.due);
        metrics::histogram!(INVITE_DELAY).record(delay);
        tracing::debug!(attempt = %committed.attempt, call = %intent.call, "placed");
        self.line = Some(Line(self.ctx.carrier.place(order)));
    }

    fn hang_up(&self) {
        if let Some(line) = &self.line {
            line.0.control.cancel();
        }
    }

    fn record(&mut self, progress: AttemptProgress) {
        let (ctx, attempt) = (Arc::clone(&self.ctx), self.start.committed.attempt);
        let answered = progress.state == AttemptState::Answered;
        let control = self.line.as_ref().filter(|_| answered).map(|l| Arc::clone(&l.0.control));
        self.records.spawn(async move {
            loop {
                let dialog = control.as_ref().and_then(|control| control.dialog());
                match ctx.store.attempt_record(attempt, progress, dialog).await {
                    Ok(true) => {
                        if answered {
                            failpoint("engine.answer_recorded");
                        }
                        return control.iter().for_each(|control| control.is_stored());
                    }
                    // A later record was quicker.
                    Ok(false) if control.is_none() => return,
                    Ok(false) => match is_ours(&ctx, attempt).await {
                        Ok(true) => {
                            return control.iter().for_each(|control| control.is_stored());
                        }
                        // Nobody here records its end, and two must not hold one conversation.
                        Ok(false) => {
                            tracing::warn!(%attempt, "hung up: another node has taken it over");
                            return ctx.live.hang_up(attempt);
                        }
                        Err(error) => tracing::debug!(%attempt, %error, "not looked up"),
                    },
                    Err(error) => {
                        let state = progress.state.as_str();
                        tracing::debug!(%attempt, %error, state, "not recorded");
                    }
                }
                if control.is_none() {
                    return;
                }
                // Without the dialog the next process could not end the call.
                ctx.sleep(TRY_AGAIN).await;
            }
        });
    }
}

/// An answer was not recorded: because it is already, by a try whose own answer was lost, or
/// because another process has taken the attempt over, and perhaps ended it.
async fn is_ours(ctx: &Context, attempt: AttemptId) -> Result<bool, StoreError> {
    let open = ctx.store.attempt_fetch(attempt).await?;
    Ok(open.is_some_and(|open| open.state == AttemptState::Answered))
}

/// What the carrier says next.
async fn told(line: &mut Option<Line>) -> AttemptEvent {
    let Some(Line(call)) = line else { return std::future::pending().await };
    match poll_fn(|cx| call.events.as_mut().poll_next(cx)).await {
        Some(event) => AttemptEvent::Carrier(event),
        None => AttemptEvent::CarrierGone,
    }
}

impl Start {
    /// The earliest that the database's time can be now.
    pub(crate) fn now(&self, ctx: &Context) -> Timestamp {
        self.base.now(ctx.clock.monotonic())
    }
}
