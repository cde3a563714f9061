//! The carrier of the world: plays the far ends of `outdial_core::simulated` in virtual time, and
//! tells the watch of every call that leaves and of every one that is over. The calls of a process
//! die with it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::id::AttemptId;
use outdial_core::outcome::CallEnd;
use outdial_core::simulated::{Ending, Script, SimulatedCall, SimulatedInput};
use outdial_ports::{CallControl, CallOrder, Carrier, Clock, Monotonic, PlacedCall};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use crate::clock::SimClock;
use crate::rng::Rng;
use crate::store::Life;
use crate::watch::Watch;

/// The carrier as one process has it.
pub(crate) struct SimCarrier {
    process: u32,
    life: Arc<Life>,
    watch: Arc<Watch>,
    clock: Arc<SimClock>,
    rng: Mutex<Rng>,
    lines: Mutex<BTreeMap<AttemptId, AbortHandle>>,
}

impl SimCarrier {
    /// For the calls of a process; `rng` draws their times.
    pub(crate) fn new(
        process: u32,
        life: Arc<Life>,
        watch: Arc<Watch>,
        clock: Arc<SimClock>,
        rng: Rng,
    ) -> Self {
        Self { process, life, watch, clock, rng: Mutex::new(rng), lines: Mutex::default() }
    }

    /// The process has died, and its calls with it. How many there were.
    pub(crate) fn die(&self) -> usize {
        let mut dropped = 0;
        for (attempt, task) in std::mem::take(&mut *locked(&self.lines)) {
            if !task.is_finished() {
                task.abort();
                dropped += 1;
                self.watch.over(attempt, None);
            }
        }
        dropped
    }
}

impl Carrier for SimCarrier {
    fn place(&self, order: CallOrder) -> PlacedCall {
        let (tell, events) = mpsc::unbounded_channel();
        let hang_up = Arc::new(Notify::new());
        let placed_at = self.clock.monotonic();
        if self.life.is_over() {
            // Nothing leaves, and nobody is there to hear of it.
        } else if placed_at >= order.send_by {
            let _ = tell.send(CallEvent::Ended(CallEnd::NotSent { reason: "late" }));
        } else {
            self.watch.placed(self.process, &order);
            let ending = Ending::of(order.callee);
            self.watch.count(word(ending));
            let what = format!("attempt {} leaves to {}", order.attempt.seq(), order.callee);
            self.watch.note("carrier", &what);
            let chance = locked(&self.rng).draw();
            let script = Script::of(order.callee, order.charged_before, chance);
            let line = Line {
                attempt: order.attempt,
                call: SimulatedCall::new(script, order.ring_limit, order.talk_limit),
                placed_at,
                clock: Arc::clone(&self.clock),
                watch: Arc::clone(&self.watch),
                hang_up: Arc::clone(&hang_up),
                tell,
            };
            let task = tokio::spawn(line.run());
            locked(&self.lines).insert(order.attempt, task.abort_handle());
        }
        PlacedCall { events: Box::pin(Events(events)), control: Box::new(Control(hang_up)) }
    }
}

/// A call on its way.
struct Line {
    attempt: AttemptId,
    call: SimulatedCall,
    placed_at: Monotonic,
    clock: Arc<SimClock>,
    watch: Arc<Watch>,
    hang_up: Arc<Notify>,
    tell: mpsc::UnboundedSender<CallEvent>,
}

impl Line {
    async fn run(mut self) {
        while let Some((due, _)) = self.call.deadline() {
            let events = tokio::select! {
                biased;
                () = self.hang_up.notified() => {
                    self.watch.hung_up(self.attempt);
                    let now = self.clock.monotonic().since(self.placed_at);
                    self.call.handle(now, SimulatedInput::Cancel)
                }
                () = self.clock.sleep_until(self.placed_at.after(due)) => {
                    self.call.handle(due, SimulatedInput::Tick)
                }
            };
            for event in events {
                let what = format!("attempt {} {event:?}", self.attempt.seq());
                self.watch.note("carrier", &what);
                match &event {
                    CallEvent::Ringing => {}
                    CallEvent::Answered => self.watch.answered(self.attempt),
                    CallEvent::Ended(end) => self.watch.over(self.attempt, Some(end)),
                }
                let _ = self.tell.send(event);
            }
        }
    }
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Talks => "dialed: talks",
        Ending::NoAnswer => "dialed: no answer",
        Ending::Busy => "dialed: busy",
        Ending::Rejected => "dialed: rejected",
        Ending::Voicemail => "dialed: voicemail",
        Ending::Unavailable => "dialed: 503",
        Ending::UnavailableFor => "dialed: 503 with Retry-After",
        Ending::NoSuchNumber => "dialed: no such number",
        Ending::Silence => "dialed: silence",
        Ending::AnswersLate => "dialed: answers late",
        Ending::ThirdTime => "dialed: third time",
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Control(Arc<Notify>);

impl CallControl for Control {
    fn cancel(&self) {
        self.0.notify_one();
    }
}

struct Events(mpsc::UnboundedReceiver<CallEvent>);

impl Stream for Events {
    type Item = CallEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        self.0.poll_recv(cx)
    }
}
