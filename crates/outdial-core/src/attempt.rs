//! An attempt: at most one INVITE, and what is known of it.

use std::time::Duration;

use crate::outcome::{CallEnd, Disposition, Outcome, hung_up_unanswered, outcome_of};
use crate::time::Timestamp;

/// Where an attempt stands. Its history only goes forward (I6).
///
/// ```text
/// Intent ─▶ Sent ─▶ Ringing ─▶ Answered ─▶ Ended
///   │         └────────┴──────────┴──────▶ Ended | Unknown
///   └────▶ NotSent | Unknown
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptState {
    /// Committed; nothing has left yet as far as anybody knows.
    Intent,
    /// Handed to the carrier.
    Sent,
    /// The callee's side answered provisionally.
    Ringing,
    /// A 2xx came.
    Answered,
    /// Over, with an outcome.
    Ended,
    /// It certainly did not leave.
    NotSent,
    /// It may have left; what came of it cannot be known.
    Unknown,
}

impl AttemptState {
    /// Every one, in the order in which an attempt can pass through them.
    pub const ALL: [AttemptState; 7] = [
        Self::Intent,
        Self::Sent,
        Self::Ringing,
        Self::Answered,
        Self::Ended,
        Self::NotSent,
        Self::Unknown,
    ];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Sent => "sent",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Ended => "ended",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }

    /// The reverse of [`AttemptState::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::NotSent | Self::Unknown)
    }

    /// `callStatus` of a phone log while the attempt is live.
    pub const fn live_status(self) -> &'static str {
        match self {
            Self::Answered => "in-progress",
            Self::Ringing => "ringing",
            _ => "dialing",
        }
    }
}

/// What a carrier tells of a call that it was asked to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// A provisional answer of the callee's side (180, 183).
    Ringing,
    /// A 2xx: somebody or something is on the line.
    Answered,
    /// Over. Nothing follows.
    Ended(CallEnd),
}

/// What the runner of an attempt tells its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEvent {
    /// Time has passed; look at the deadlines.
    Tick,
    /// The carrier said something.
    Carrier(CallEvent),
    /// The carrier's event stream ended without a final word.
    CarrierGone,
    /// The batch was deleted, or the number put on the do-not-call list: take the call back unless
    /// it is answered.
    Recall,
    /// This process is about to stop: what has not left must not leave.
    Drain,
    /// The drain's time is over: end the call, answered or not.
    HangUp,
    /// The clocks of this process cannot be trusted (one jumped, or the machine slept): what has
    /// not left must not leave.
    ClockJumped,
    /// This process has not been heard of for so long that others may take it for dead: what has
    /// not left must not leave.
    Unheard,
}

/// What the machine of an attempt asks of its runner, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptCommand {
    /// Hand it to the carrier, now. Comes at most once.
    Place,
    /// Take it back (the carrier turns this into CANCEL, or BYE when it is too late for that).
    Cancel,
    /// Remember how far it is; nobody waits for it.
    Record(AttemptProgress),
    /// It is over: record this, and wait until it is recorded. Comes exactly once, last.
    Finish(AttemptEnd),
}

/// How far a live attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptProgress {
    /// `Sent`, `Ringing` or `Answered`.
    pub state: AttemptState,
    /// Since when.
    pub at: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// `Ended`, `NotSent` or `Unknown`.
    pub state: AttemptState,
    /// The verdict.
    pub outcome: Outcome,
    /// The SIP status that ended it, if one did.
    pub sip_status: Option<u16>,
    /// When it was handed to the carrier.
    pub sent_at: Option<Timestamp>,
    /// When the callee's side first answered provisionally.
    pub ringing_at: Option<Timestamp>,
    /// When the 2xx came.
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Timestamp,
}

impl AttemptEnd {
    /// Time between the answer and the end.
    pub fn talk(&self) -> Duration {
        self.answered_at.map_or(Duration::ZERO, |at| self.ended_at.since(at))
    }
}

/// When an attempt may leave. All instants are on one clock, the database's as this node reads it;
/// whoever reads it with an uncertainty has subtracted that from the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Not before.
    pub send_at: Timestamp,
    /// Not at this instant or later: a missed slot is lost, not made up.
    pub send_by: Timestamp,
    /// Not at this instant or later: the calling hours end.
    pub open_until: Timestamp,
}

/// What the deadline of an attempt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptDeadline {
    /// Its slot begins.
    Slot,
}

/// The machine of one attempt, from its committed intent to its end. It decides whether the call
/// may still leave; the carrier runs the timers of a call that has left.
#[derive(Clone, Debug)]
pub struct AttemptMachine {
    slot: Slot,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Committed, waiting for its slot.
    Waiting,
    /// In the carrier's hands.
    Placed(Placed),
    /// Nothing more will happen; what still comes is late or duplicate.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    sent_at: Timestamp,
    ringing_at: Option<Timestamp>,
    answered_at: Option<Timestamp>,
    canceled: bool,
    hung_up: bool,
}

impl AttemptMachine {
    /// An attempt whose intent's commit was acknowledged to this process.
    pub fn new(slot: Slot) -> Self {
        Self { slot, phase: Phase::Waiting }
    }

    /// When to send `Tick` at the latest, and what for; none: only events matter.
    pub fn deadline(&self) -> Option<(Timestamp, AttemptDeadline)> {
        match self.phase {
            Phase::Waiting => Some((self.slot.send_at, AttemptDeadline::Slot)),
            Phase::Placed(_) | Phase::Over => None,
        }
    }

    /// Takes note of `event` at `now`. An event that says nothing new gives no command.
    #[must_use]
    pub fn handle(&mut self, now: Timestamp, event: AttemptEvent) -> Vec<AttemptCommand> {
        match self.phase {
            Phase::Waiting => self.while_waiting(now, event),
            Phase::Placed(placed) => self.while_placed(now, placed, event),
            Phase::Over => Vec::new(),
        }
    }

    fn while_waiting(&mut self, now: Timestamp, event: AttemptEvent) -> Vec<AttemptCommand> {
        match event {
            AttemptEvent::Recall => self.not_sent(now, "recalled"),
            AttemptEvent::Drain | AttemptEvent::HangUp => self.not_sent(now, "draining"),
            AttemptEvent::ClockJumped => self.not_sent(now, "clock"),
            AttemptEvent::Unheard => self.not_sent(now, "unheard"),
            AttemptEvent::Carrier(_) | AttemptEvent::CarrierGone => Vec::new(),
            AttemptEvent::Tick if now >= self.slot.send_by => self.not_sent(now, "late"),
            AttemptEvent::Tick if now >= self.slot.open_until => self.not_sent(now, "hours"),
            AttemptEvent::Tick if now < self.slot.send_at => Vec::new(),
            AttemptEvent::Tick => {
                self.phase = Phase::Placed(Placed {
                    sent_at: now,
                    ringing_at: None,
                    answered_at: None,
                    canceled: false,
                    hung_up: false,
                });
                let sent = AttemptProgress { state: AttemptState::Sent, at: now };
                vec![AttemptCommand::Place, AttemptCommand::Record(sent)]
            }
        }
    }

    fn while_placed(
        &mut self,
        now: Timestamp,
        mut placed: Placed,
        event: AttemptEvent,
    ) -> Vec<AttemptCommand> {
        let commands = match event {
            AttemptEvent::Carrier(CallEvent::Ended(end)) => return self.over(now, placed, &end),
            AttemptEvent::CarrierGone => return self.over(now, placed, &CallEnd::Lost),
            AttemptEvent::Carrier(CallEvent::Ringing)
                if placed.ringing_at.is_none() && placed.answered_at.is_none() =>
            {
                placed.ringing_at = Some(now);
                vec![record(AttemptState::Ringing, now)]
            }
            AttemptEvent::Carrier(CallEvent::Answered) if placed.answered_at.is_none() => {
                placed.answered_at = Some(now);
                vec![record(AttemptState::Answered, now)]
            }
            // Answered calls end by themselves.
            AttemptEvent::Recall if placed.answered_at.is_none() && !placed.canceled => {
                placed.canceled = true;
                vec![AttemptCommand::Cancel]
            }
            AttemptEvent::HangUp if !placed.canceled => {
                (placed.canceled, placed.hung_up) = (true, true);
                vec![AttemptCommand::Cancel]
            }
            AttemptEvent::Carrier(CallEvent::Ringing | CallEvent::Answered)
            | AttemptEvent::Recall
            | AttemptEvent::HangUp
            | AttemptEvent::ClockJumped
            | AttemptEvent::Unheard
            | AttemptEvent::Tick
            | AttemptEvent::Drain => Vec::new(),
        };
        self.phase = Phase::Placed(placed);
        commands
    }

    fn over(&mut self, now: Timestamp, placed: Placed, end: &CallEnd) -> Vec<AttemptCommand> {
        self.phase = Phase::Over;
        let outcome = match end {
            CallEnd::Canceled if placed.hung_up => hung_up_unanswered(),
            _ => outcome_of(end),
        };
        let (state, sent_at) = match end {
            CallEnd::NotSent { .. } => (AttemptState::NotSent, None),
            CallEnd::NoRoute { .. } => (AttemptState::Ended, None),
            _ if outcome.disposition == Disposition::Unknown => {
                (AttemptState::Unknown, Some(placed.sent_at))
            }
            _ => (AttemptState::Ended, Some(placed.sent_at)),
        };
        vec![AttemptCommand::Finish(AttemptEnd {
            state,
            outcome,
            sip_status: sip_status(end),
            sent_at,
            ringing_at: placed.ringing_at,
            answered_at: placed.answered_at,
            ended_at: now,
        })]
    }

    fn not_sent(&mut self, now: Timestamp, reason: &'static str) -> Vec<AttemptCommand> {
        self.phase = Phase::Over;
        vec![AttemptCommand::Finish(AttemptEnd {
            state: AttemptState::NotSent,
            outcome: outcome_of(&CallEnd::NotSent { reason }),
            sip_status: None,
            sent_at: None,
            ringing_at: None,
            answered_at: None,
            ended_at: now,
        })]
    }
}

fn record(state: AttemptState, at: Timestamp) -> AttemptCommand {
    AttemptCommand::Record(AttemptProgress { state, at })
}

fn sip_status(end: &CallEnd) -> Option<u16> {
    match end {
        CallEnd::Refused { status, .. } | CallEnd::Redirected { status } => Some(*status),
        CallEnd::RingTimeout | CallEnd::Canceled => Some(487),
        CallEnd::TalkOver
        | CallEnd::MachineOver
        | CallEnd::AnsweredThenDropped
        | CallEnd::CutOff => Some(200),
        CallEnd::Silence
        | CallEnd::NoRoute { .. }
        | CallEnd::NotSent { .. }
        | CallEnd::Lost
        | CallEnd::CarrierCode { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn machine() -> AttemptMachine {
        let slot = Slot { send_at: at(100), send_by: at(200), open_until: at(10_000) };
        AttemptMachine::new(slot)
    }

    fn not_sent_reason(commands: &[AttemptCommand]) -> Option<&'static str> {
        match commands {
            [AttemptCommand::Finish(end)] if end.state == AttemptState::NotSent => {
                assert!(!end.outcome.charged && end.sent_at.is_none());
                Some(end.outcome.reason)
            }
            _ => None,
        }
    }

    #[test]
    fn leaves_inside_its_slot_only() {
        let mut m = machine();
        assert!(m.handle(at(99), AttemptEvent::Tick).is_empty());
        assert_eq!(m.handle(at(100), AttemptEvent::Tick)[0], AttemptCommand::Place);
        let late = machine().handle(at(200), AttemptEvent::Tick);
        assert_eq!(not_sent_reason(&late), Some("late"));
        let slot = Slot { send_at: at(100), send_by: at(200), open_until: at(150) };
        let closed = AttemptMachine::new(slot).handle(at(150), AttemptEvent::Tick);
        assert_eq!(not_sent_reason(&closed), Some("hours"));
    }

    #[test]
    fn recall_takes_back_what_is_not_answered() {
        assert_eq!(
            not_sent_reason(&machine().handle(at(0), AttemptEvent::Recall)),
            Some("recalled")
        );
        assert_eq!(
            not_sent_reason(&machine().handle(at(0), AttemptEvent::Drain)),
            Some("draining")
        );
        let mut m = machine();
        let _ = m.handle(at(100), AttemptEvent::Tick);
        assert!(m.handle(at(101), AttemptEvent::Drain).is_empty(), "it has left");
        assert_eq!(m.handle(at(102), AttemptEvent::Recall), [AttemptCommand::Cancel]);
        assert!(m.handle(at(103), AttemptEvent::Recall).is_empty(), "once is enough");
        let mut m = machine();
        let _ = m.handle(at(100), AttemptEvent::Tick);
        let _ = m.handle(at(101), AttemptEvent::Carrier(CallEvent::Answered));
        assert!(m.handle(at(102), AttemptEvent::Recall).is_empty(), "answered");
    }

    #[test]
    fn keeps_the_times_of_a_call() {
        let mut m = machine();
        let _ = m.handle(at(100), AttemptEvent::Tick);
        let _ = m.handle(at(300), AttemptEvent::Carrier(CallEvent::Ringing));
        let _ = m.handle(at(900), AttemptEvent::Carrier(CallEvent::Answered));
        let end = AttemptEvent::Carrier(CallEvent::Ended(CallEnd::TalkOver));
        let [AttemptCommand::Finish(end)] = &m.handle(at(5000), end)[..] else { panic!() };
        assert_eq!((end.sent_at, end.ringing_at), (Some(at(100)), Some(at(300))));
        assert_eq!(end.talk(), Duration::from_millis(4100));
        assert!(end.outcome.picked && end.state == AttemptState::Ended);
    }

    #[test]
    fn what_a_drain_hangs_up_may_be_retried() {
        let mut m = machine();
        let _ = m.handle(at(100), AttemptEvent::Tick);
        assert_eq!(m.handle(at(101), AttemptEvent::HangUp), [AttemptCommand::Cancel]);
        let end = AttemptEvent::Carrier(CallEvent::Ended(CallEnd::Canceled));
        let [AttemptCommand::Finish(end)] = &m.handle(at(102), end)[..] else { panic!() };
        assert_eq!((end.outcome.reason, end.outcome.charged), ("draining", true));
        assert_eq!(end.outcome.retry, crate::outcome::RetryClass::Policy);
    }

    #[test]
    fn nothing_leaves_when_the_clock_cannot_be_trusted() {
        let commands = machine().handle(at(100), AttemptEvent::ClockJumped);
        assert_eq!(not_sent_reason(&commands), Some("clock"));
        let commands = machine().handle(at(100), AttemptEvent::Unheard);
        assert_eq!(not_sent_reason(&commands), Some("unheard"));
    }

    fn any_event() -> impl Strategy<Value = AttemptEvent> {
        prop_oneof![
            3 => Just(AttemptEvent::Tick),
            1 => Just(AttemptEvent::Recall),
            1 => Just(AttemptEvent::Drain),
            1 => Just(AttemptEvent::HangUp),
            1 => Just(AttemptEvent::ClockJumped),
            1 => Just(AttemptEvent::Unheard),
            1 => Just(AttemptEvent::CarrierGone),
            2 => Just(AttemptEvent::Carrier(CallEvent::Ringing)),
            2 => Just(AttemptEvent::Carrier(CallEvent::Answered)),
            1 => Just(AttemptEvent::Carrier(CallEvent::Ended(CallEnd::TalkOver))),
            1 => Just(AttemptEvent::Carrier(CallEvent::Ended(CallEnd::Silence))),
        ]
    }

    proptest! {
        /// I1 and I6 at the machine: placed at most once and only in the slot, progress only
        /// forward, the end exactly once and last.
        #[test]
        fn whatever_comes_it_is_placed_once_and_ends_once(
            events in proptest::collection::vec((0i64..60, any_event()), 0..40),
        ) {
            let (mut m, mut now) = (machine(), 0);
            let (mut places, mut ends, mut state) = (0, 0, AttemptState::Intent);
            for (gap, event) in events {
                now += gap;
                for command in m.handle(at(now), event) {
                    prop_assert_eq!(ends, 0, "nothing follows the end");
                    match command {
                        AttemptCommand::Place => {
                            prop_assert!((100..200).contains(&now));
                            places += 1;
                        }
                        AttemptCommand::Record(p) => {
                            prop_assert!(p.state > state && !p.state.is_over());
                            state = p.state;
                        }
                        AttemptCommand::Cancel => prop_assert_eq!(places, 1),
                        AttemptCommand::Finish(end) => {
                            prop_assert!(end.state.is_over());
                            prop_assert_eq!(end.state == AttemptState::NotSent, places == 0);
                            ends += 1;
                        }
                    }
                }
            }
            prop_assert!(places <= 1 && ends <= 1);
        }
    }
}
