//! The carrier of the world: plays the far ends of `outdial_core::simulated` in virtual time, and
//! tells the watch of every call that leaves and of every one that is over. The calls of a process
//! die with it. In bad weather things go wrong on calls: `mishap`.

mod mishap;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::id::AttemptId;
use outdial_core::outcome::CallEnd;
use outdial_core::simulated::{Ending, Script, SimulatedCall, SimulatedInput};
use outdial_ports::{CallControl, CallOrder, Carrier, Clock, PlacedCall};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use crate::clock::SimClock;
use crate::rng::Rng;
use crate::store::Life;
use crate::watch::Watch;
use crate::weather::Weather;
use mishap::Mishap;

/// The carrier as one process has it.
pub(crate) struct SimCarrier {
    process: u32,
    life: Arc<Life>,
    watch: Arc<Watch>,
    clock: Arc<SimClock>,
    weather: Arc<Weather>,
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
        weather: Arc<Weather>,
        rng: Rng,
    ) -> Self {
        let (rng, lines) = (Mutex::new(rng), Mutex::default());
        Self { process, life, watch, clock, weather, rng, lines }
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
            let (script, mishap) = {
                let mut rng = locked(&self.rng);
                let script = Script::of(order.callee, order.charged_before, rng.draw());
                mishap::strike(script, self.weather.at_carrier(), &mut rng)
            };
            for what in mishap.words() {
                self.watch.count(what);
                self.watch.note("carrier", &format!("attempt {}: {what}", order.attempt.seq()));
            }
            let line = Line {
                process: self.process,
                call: SimulatedCall::new(script, order.ring_limit, order.talk_limit),
                mishap,
                life: Arc::clone(&self.life),
                clock: Arc::clone(&self.clock),
                watch: Arc::clone(&self.watch),
                hang_up: Arc::clone(&hang_up),
                tell,
                order,
            };
            let attempt = line.order.attempt;
            // It leaves before anybody can think twice, unless the carrier is slow.
            let line = match mishap.leaves_after.is_zero() {
                true => line.leave(),
                false => line,
            };
            let task = tokio::spawn(line.run());
            locked(&self.lines).insert(attempt, task.abort_handle());
        }
        PlacedCall { events: Box::pin(Events(events)), control: Arc::new(Control(hang_up)) }
    }
}

/// A call on its way.
struct Line {
    process: u32,
    order: CallOrder,
    call: SimulatedCall,
    mishap: Mishap,
    life: Arc<Life>,
    clock: Arc<SimClock>,
    watch: Arc<Watch>,
    hang_up: Arc<Notify>,
    tell: mpsc::UnboundedSender<CallEvent>,
}

impl Line {
    /// The INVITE goes out.
    fn leave(self) -> Self {
        self.watch.placed(self.process, &self.order);
        self.watch.count("attempts");
        self.watch.count(word(Ending::of(self.order.callee)));
        let what = format!("attempt {} leaves to {}", self.order.attempt.seq(), self.order.callee);
        self.watch.note("carrier", &what);
        self
    }

    async fn run(mut self) {
        let wait = self.mishap.leaves_after;
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
            self.life.awake(&self.clock).await;
            if self.clock.monotonic() >= self.order.send_by {
                let _ = self.tell.send(CallEvent::Ended(CallEnd::NotSent { reason: "late" }));
                return;
            }
            self = self.leave();
        }
        let (placed_at, attempt) = (self.clock.monotonic(), self.order.attempt);
        while let Some((due, _)) = self.call.deadline() {
            let events = tokio::select! {
                biased;
                () = self.hang_up.notified() => {
                    self.watch.hung_up(attempt);
                    let now = self.clock.monotonic().since(placed_at);
                    self.call.handle(now, SimulatedInput::Cancel)
                }
                () = self.clock.sleep_until(placed_at.after(due)) => {
                    self.call.handle(due, SimulatedInput::Tick)
                }
            };
            for event in events {
                if matches!(event, CallEvent::Ended(_)) {
                    self.clock.sleep(self.mishap.ends_late_by).await;
                }
                self.tell(event).await;
                if self.mishap.gone_after == Some(event_rank(&event)) {
                    self.watch.note("carrier", &format!("attempt {}: not a word", attempt.seq()));
                    self.watch.excuse(attempt);
                    self.watch.over(attempt, None);
                    return;
                }
            }
        }
    }

    /// What has happened is so at once; the process hears of it when it is awake.
    async fn tell(&mut self, event: CallEvent) {
        let attempt = self.order.attempt;
        self.watch.note("carrier", &format!("attempt {} {event:?}", attempt.seq()));
        match &event {
            CallEvent::Ringing => {}
            CallEvent::Answered => self.watch.answered(attempt),
            CallEvent::Ended(end) => self.watch.over(attempt, Some(end)),
        }
        self.life.awake(&self.clock).await;
        self.watch.heard(attempt, &event);
        for event in self.mishap.told(event) {
            let _ = self.tell.send(event);
        }
    }
}

/// Counts from 0.
fn event_rank(event: &CallEvent) -> u8 {
    match event {
        CallEvent::Ringing => 0,
        CallEvent::Answered => 1,
        CallEvent::Ended(_) => 2,
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
