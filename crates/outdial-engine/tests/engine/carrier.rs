//! A carrier that plays simulated numbers, notes what it is asked to place, and misbehaves on
//! order. It watches what a carrier can watch: I1 and `send_by`.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::id::{AttemptId, TrunkId};
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::simulated::{Script, SimulatedCall, SimulatedInput};
use outdial_core::time::Timestamp;
use outdial_ports::store::{TrunkHealth, TrunkRecord};
use outdial_ports::{
    CallControl, CallOrder, Carrier, Clock, Entropy, Leaving, Monotonic, OrphanCall, PlacedCall,
};
use tokio::sync::{Notify, mpsc};

use crate::world::TestClock;

/// What a callee does instead of what its number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trick {
    /// `place` panics.
    PlacePanics,
    /// Answers, and then breaks whoever listens; ends when asked to.
    BreaksItsRunner,
    /// Answers, and never ends, whatever it is asked.
    NeverEnds,
    /// Answers, and ends only when asked to.
    TalksUntilHungUp,
    /// Rings until it is cancelled.
    RingsUntilCancelled,
    /// The events end without a last word.
    Vanishes,
    /// Reports everything twice, and goes on after the end.
    Stutters,
}

/// A call that was placed.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) at: Monotonic,
    pub(crate) order: CallOrder,
}

pub(crate) struct TestCarrier {
    clock: Arc<TestClock>,
    entropy: Arc<dyn Entropy>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    placed: Vec<Placed>,
    tricks: BTreeMap<u64, Trick>,
    on_the_phone: BTreeSet<PhoneNumber>,
    most_at_once: usize,
    cancels: Vec<AttemptId>,
    complaints: Vec<String>,
    /// Refuses everything over these trunks with 503.
    refusing: BTreeSet<TrunkId>,
    /// What becomes of calls that are taken over, by their callees' last digits.
    fates: BTreeMap<u64, CallEnd>,
    taken_over: Vec<OrphanCall>,
    /// Calls that were live whenever the trunks were left.
    left_with: Vec<usize>,
    /// Answers that were told to be stored.
    stored: Vec<AttemptId>,
    trunks: Vec<Vec<TrunkRecord>>,
    /// Calls over trunks that nobody told of.
    strangers: usize,
    health: Vec<(TrunkId, Timestamp, TrunkHealth)>,
}

impl TestCarrier {
    pub(crate) fn new(clock: Arc<TestClock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, state: Arc::default() }
    }

    /// The callee whose number ends in these digits plays a trick.
    pub(crate) fn trick(&self, callee: u64, trick: Trick) {
        self.state.lock().unwrap().tricks.insert(callee, trick);
    }

    /// Everything placed so far, in order.
    pub(crate) fn placed(&self) -> Vec<Placed> {
        self.state.lock().unwrap().placed.clone()
    }

    /// How many were placed so far.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().placed.len()
    }

    /// How many are going on.
    pub(crate) fn live(&self) -> usize {
        self.state.lock().unwrap().on_the_phone.len()
    }

    /// Most that ever went on at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.lock().unwrap().most_at_once
    }

    /// Attempts that were cancelled or hung up.
    pub(crate) fn cancels(&self) -> Vec<AttemptId> {
        self.state.lock().unwrap().cancels.clone()
    }

    /// Calls over this trunk are refused from now on, or no more.
    pub(crate) fn refuse(&self, trunk: TrunkId, on: bool) {
        let mut state = self.state.lock().unwrap();
        let _changed =
            if on { state.refusing.insert(trunk) } else { state.refusing.remove(&trunk) };
    }

    /// What becomes of the call to this callee when it is taken over.
    pub(crate) fn fate(&self, callee: u64, end: CallEnd) {
        self.state.lock().unwrap().fates.insert(callee, end);
    }

    /// Calls that were to be taken over, in order.
    pub(crate) fn taken_over(&self) -> Vec<OrphanCall> {
        self.state.lock().unwrap().taken_over.clone()
    }

    /// How many calls were live whenever the trunks were left.
    pub(crate) fn left_with(&self) -> Vec<usize> {
        self.state.lock().unwrap().left_with.clone()
    }

    /// Attempts whose answer was told to be stored.
    pub(crate) fn stored(&self) -> Vec<AttemptId> {
        self.state.lock().unwrap().stored.clone()
    }

    /// What was told of trunks, each time.
    pub(crate) fn trunks(&self) -> Vec<Vec<TrunkRecord>> {
        self.state.lock().unwrap().trunks.clone()
    }

    /// Every call went over a trunk that was told of before it.
    pub(crate) fn knew_every_trunk(&self) -> bool {
        self.state.lock().unwrap().strangers == 0
    }

    /// What it finds of trunks' health.
    pub(crate) fn finds(&self, health: Vec<(TrunkId, Timestamp, TrunkHealth)>) {
        self.state.lock().unwrap().health = health;
    }

    /// Everybody on the phone hangs up, as when the machine dies.
    pub(crate) fn forget_live(&self) {
        self.state.lock().unwrap().on_the_phone.clear();
    }

    /// Panics if the engine did what it must not.
    pub(crate) fn check(&self) {
        let state = self.state.lock().unwrap();
        assert!(state.complaints.is_empty(), "{:#?}", state.complaints);
    }

    fn note(&self, order: &CallOrder) -> Option<Trick> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap();
        if state.placed.iter().any(|p| p.order.attempt == order.attempt) {
            state.complaints.push(format!("I1: {} placed twice", order.attempt));
        }
        if now >= order.send_by {
            state.complaints.push(format!("{} placed at {now:?}, after send_by", order.attempt));
        }
        if !state.on_the_phone.insert(order.callee) {
            state.complaints.push(format!("I1: two live calls to {}", order.callee));
        }
        let known = state.trunks.last().is_some_and(|all| all.iter().any(|t| t.id == order.trunk));
        state.strangers += usize::from(!known);
        state.most_at_once = state.most_at_once.max(state.on_the_phone.len());
        state.placed.push(Placed { at: now, order: order.clone() });
        state.tricks.get(&(order.callee.digits() % 10_000)).copied()
    }
}

impl Carrier for TestCarrier {
    fn place(&self, order: CallOrder) -> PlacedCall {
        let trick = self.note(&order);
        let (tell, events) = mpsc::unbounded_channel();
        let hang_up = Arc::new(Notify::new());
        let control = Control {
            hang_up: Arc::clone(&hang_up),
            attempt: order.attempt,
            state: Arc::clone(&self.state),
        };
        if trick == Some(Trick::PlacePanics) {
            self.state.lock().unwrap().on_the_phone.remove(&order.callee);
            panic!("the carrier panics because a test wants it to");
        }
        if self.state.lock().unwrap().refusing.contains(&order.trunk) {
            let end = CallEnd::Refused { status: 503, q850: None, retry_after: None };
            self.state.lock().unwrap().on_the_phone.remove(&order.callee);
            let _ = tell.send(CallEvent::Ended(end));
            let events = Events { events, breaks: false };
            return PlacedCall { events: Box::pin(events), control: Arc::new(control) };
        }
        let script = Script::of(order.callee, order.charged_before, self.entropy.next_u64());
        let call = SimulatedCall::new(script, order.ring_limit, order.talk_limit);
        let line = Line {
            call,
            callee: order.callee,
            placed_at: self.clock.monotonic(),
            clock: Arc::clone(&self.clock),
            state: Arc::clone(&self.state),
            hang_up,
            tell,
        };
        tokio::spawn(line.run(trick));
        let breaks = trick == Some(Trick::BreaksItsRunner);
        PlacedCall { events: Box::pin(Events { events, breaks }), control: Arc::new(control) }
    }

    fn take_over(&self, orphan: OrphanCall) -> PlacedCall {
        let (tell, events) = mpsc::unbounded_channel();
        let mut state = self.state.lock().unwrap();
        let fate = state.fates.get(&(orphan.callee.digits() % 10_000)).copied();
        state.taken_over.push(orphan.clone());
        let (clock, hang_up) = (Arc::clone(&self.clock), Arc::new(Notify::new()));
        tokio::spawn(async move {
            let end = match fate {
                Some(end) => end,
                None => {
                    clock.sleep_until(orphan.give_up_at).await;
                    CallEnd::Lost
                }
            };
            let _ = tell.send(CallEvent::Ended(end));
        });
        let control = Control { hang_up, attempt: orphan.attempt, state: Arc::clone(&self.state) };
        let events = Events { events, breaks: false };
        PlacedCall { events: Box::pin(events), control: Arc::new(control) }
    }

    fn set_trunks(&self, trunks: Vec<TrunkRecord>) {
        self.state.lock().unwrap().trunks.push(trunks);
    }

    fn trunk_health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
        self.state.lock().unwrap().health.clone()
    }

    fn leave(&self) -> Leaving<'_> {
        let live = self.live();
        self.state.lock().unwrap().left_with.push(live);
        Box::pin(std::future::ready(()))
    }
}

struct Line {
    call: SimulatedCall,
    callee: PhoneNumber,
    placed_at: Monotonic,
    clock: Arc<TestClock>,
    state: Arc<Mutex<State>>,
    hang_up: Arc<Notify>,
    tell: mpsc::UnboundedSender<CallEvent>,
}

impl Line {
    async fn run(mut self, trick: Option<Trick>) {
        match trick {
            None | Some(Trick::PlacePanics) => self.play(1).await,
            Some(Trick::Stutters) => {
                self.play(2).await;
                self.say(CallEvent::Ringing);
            }
            Some(Trick::Vanishes) => self.say(CallEvent::Ringing),
            Some(Trick::NeverEnds) => {
                self.say(CallEvent::Answered);
                std::future::pending::<()>().await;
            }
            Some(Trick::TalksUntilHungUp | Trick::BreaksItsRunner) => {
                self.say(CallEvent::Answered);
                self.hang_up.notified().await;
                self.say(CallEvent::Ended(outdial_core::outcome::CallEnd::TalkOver));
            }
            Some(Trick::RingsUntilCancelled) => {
                self.say(CallEvent::Ringing);
                self.hang_up.notified().await;
                self.say(CallEvent::Ended(outdial_core::outcome::CallEnd::Canceled));
            }
        }
        self.state.lock().unwrap().on_the_phone.remove(&self.callee);
    }

    async fn play(&mut self, times: usize) {
        while let Some((due, _)) = self.call.deadline() {
            let events = tokio::select! {
                biased;
                () = self.hang_up.notified() => {
                    let now = self.clock.monotonic().since(self.placed_at);
                    self.call.handle(now, SimulatedInput::Cancel)
                }
                () = self.clock.sleep_until(self.placed_at.after(due)) => {
                    self.call.handle(due, SimulatedInput::Tick)
                }
            };
            if self.call.deadline().is_none() {
                // Over before anybody can be told, or they might be called again too early.
                self.state.lock().unwrap().on_the_phone.remove(&self.callee);
            }
            for event in events {
                for _ in 0..times {
                    self.say(event);
                }
            }
        }
    }

    fn say(&self, event: CallEvent) {
        let _ = self.tell.send(event);
    }
}

struct Control {
    hang_up: Arc<Notify>,
    attempt: AttemptId,
    state: Arc<Mutex<State>>,
}

impl CallControl for Control {
    fn cancel(&self) {
        self.state.lock().unwrap().cancels.push(self.attempt);
        self.hang_up.notify_one();
    }

    fn dialog(&self) -> Option<String> {
        Some(format!("the dialog of {}", self.attempt))
    }

    fn is_stored(&self) {
        self.state.lock().unwrap().stored.push(self.attempt);
    }
}

struct Events {
    events: mpsc::UnboundedReceiver<CallEvent>,
    breaks: bool,
}

impl Stream for Events {
    type Item = CallEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        let event = self.events.poll_recv(cx);
        assert!(
            !(self.breaks && event.is_ready()),
            "the carrier panics because a test wants it to"
        );
        event
    }
}
