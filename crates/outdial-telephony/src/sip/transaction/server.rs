//! Server transactions: a request of the peer and our answers to it.

use std::time::Duration;

use outdial_ports::Monotonic;

use super::{Repeat, Timers, TxAction, earlier};

/// The server transaction of any request but INVITE and ACK (RFC 3261 section 17.2.2, RFC 4320).
///
/// ```text
/// Trying ─final answer─▶ Completed (Timer J) ─▶ Terminated
/// ```
#[derive(Clone, Debug)]
pub(crate) struct ServerRequest {
    answered: bool,
    over: bool,
    linger: Duration,
    until: Option<Monotonic>,
}

impl ServerRequest {
    /// A request that came in just now.
    pub(crate) fn new(timers: &Timers, reliable: bool) -> Self {
        let linger = if reliable { Duration::ZERO } else { timers.t1_64() };
        Self { answered: false, over: false, linger, until: None }
    }

    /// Whether this answer may leave: one final one, no provisional one but 100, and no 408, which
    /// could only come too late (RFC 4320 sections 4.1 and 4.2).
    pub(crate) fn on_answer(&mut self, now: Monotonic, status: u16) -> bool {
        if self.answered || matches!(status, 101..=199 | 408) {
            return false;
        }
        if status >= 200 {
            self.answered = true;
            self.over = self.linger.is_zero();
            self.until = (!self.over).then(|| now.after(self.linger));
        }
        true
    }

    /// The same request came again.
    pub(crate) fn on_retransmission(&self) -> Vec<TxAction> {
        if self.answered && !self.over { vec![TxAction::Resend] } else { Vec::new() }
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, now: Monotonic) -> Vec<TxAction> {
        if self.until.is_some_and(|until| now >= until) {
            (self.over, self.until) = (true, None);
            return vec![TxAction::Over];
        }
        Vec::new()
    }

    /// When to tick at the latest.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        self.until
    }

    /// Nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }
}

/// The server transaction of an INVITE (RFC 3261 section 17.2.1 as changed by RFC 6026), and the
/// repetition of its 2xx until the ACK (RFC 3261 section 13.3.1.4), which strictly is its user's.
///
/// ```text
/// Proceeding ─2xx──────▶ Accepted (Timer L) ──────────────────▶ Terminated
///      └────300..699──▶ Completed (G, H) ─ACK─▶ Confirmed (I) ─▶ Terminated
/// ```
#[derive(Clone, Debug)]
pub(crate) struct ServerInvite {
    state: State,
    reliable: bool,
    timers: Timers,
    /// A provisional answer was sent.
    provisional: bool,
    repeat: Option<Repeat>,
    until: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding,
    /// Answered with a 2xx; its ACK is missing.
    Accepted,
    /// Answered with a 2xx that was acknowledged.
    Acknowledged,
    Completed,
    Confirmed,
    Terminated,
}

impl ServerInvite {
    /// An INVITE that came in just now.
    pub(crate) fn new(timers: &Timers, reliable: bool) -> Self {
        Self {
            state: State::Proceeding,
            reliable,
            timers: *timers,
            provisional: false,
            repeat: None,
            until: None,
        }
    }

    /// Whether this answer may leave: none does after a final one.
    pub(crate) fn on_answer(&mut self, now: Monotonic, status: u16) -> bool {
        if self.state != State::Proceeding {
            return false;
        }
        if status < 200 {
            self.provisional = true;
            return true;
        }
        self.state = if status < 300 { State::Accepted } else { State::Completed };
        // A stream loses no refusal, but the ACK of a 2xx comes from end to end.
        let repeats = status < 300 || !self.reliable;
        self.repeat = repeats.then(|| Repeat::from(now, self.timers.t1, self.timers.t2));
        self.until = Some(now.after(self.timers.t1_64()));
        true
    }

    /// The same INVITE came again.
    pub(crate) fn on_retransmission(&self) -> Vec<TxAction> {
        match self.state {
            State::Proceeding if self.provisional => vec![TxAction::Resend],
            State::Completed => vec![TxAction::Resend],
            _ => Vec::new(),
        }
    }

    /// Its ACK came; `PassUp` for the first one of a 2xx.
    pub(crate) fn on_ack(&mut self, now: Monotonic) -> Vec<TxAction> {
        match self.state {
            State::Accepted => {
                (self.state, self.repeat) = (State::Acknowledged, None);
                vec![TxAction::PassUp]
            }
            State::Completed if self.reliable => {
                (self.state, self.repeat, self.until) = (State::Terminated, None, None);
                vec![TxAction::Over]
            }
            State::Completed => {
                (self.state, self.repeat) = (State::Confirmed, None);
                self.until = Some(now.after(self.timers.t4));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, now: Monotonic) -> Vec<TxAction> {
        if self.until.is_some_and(|until| now >= until) {
            let no_ack = matches!(self.state, State::Accepted | State::Completed);
            (self.state, self.repeat, self.until) = (State::Terminated, None, None);
            return if no_ack {
                vec![TxAction::TimedOut, TxAction::Over]
            } else {
                vec![TxAction::Over]
            };
        }
        let is_due = self.repeat.as_mut().is_some_and(|repeat| repeat.is_due(now));
        if is_due { vec![TxAction::Resend] } else { Vec::new() }
    }

    /// When to tick at the latest.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        earlier(self.repeat.map(|repeat| repeat.at), self.until)
    }

    /// Answered with a 2xx whose ACK is missing.
    pub(crate) fn is_unacknowledged(&self) -> bool {
        self.state == State::Accepted
    }

    /// Nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::testing::{at, run};
    use super::*;

    #[test]
    fn one_final_answer_and_no_foolish_one() {
        let mut tx = ServerRequest::new(&Timers::default(), false);
        assert!(tx.on_retransmission().is_empty(), "nothing to say yet");
        assert!(!tx.on_answer(at(0), 180) && !tx.on_answer(at(0), 408));
        assert!(tx.on_answer(at(0), 200));
        assert!(!tx.on_answer(at(0), 500));
        assert_eq!(tx.on_retransmission(), [TxAction::Resend]);
        assert_eq!(tx.on_tick(at(32_000)), [TxAction::Over]);
        assert!(tx.is_over() && tx.on_retransmission().is_empty());
        let mut tx = ServerRequest::new(&Timers::default(), true);
        assert!(tx.on_answer(at(0), 200) && tx.is_over());
    }

    #[test]
    fn a_2xx_is_repeated_until_its_ack_on_every_transport() {
        for reliable in [false, true] {
            let tx = RefCell::new(ServerInvite::new(&Timers::default(), reliable));
            assert!(tx.borrow_mut().on_answer(at(0), 180));
            assert_eq!(tx.borrow().on_retransmission(), [TxAction::Resend]);
            assert!(tx.borrow_mut().on_answer(at(0), 200));
            assert!(tx.borrow().on_retransmission().is_empty(), "absorbed");
            let play =
                |end| run(end, || tx.borrow().deadline(), |now| tx.borrow_mut().on_tick(now));
            assert_eq!(play(2000), [(500, TxAction::Resend), (1500, TxAction::Resend)]);
            assert_eq!(tx.borrow_mut().on_ack(at(2100)), [TxAction::PassUp]);
            assert!(tx.borrow_mut().on_ack(at(2200)).is_empty());
            assert_eq!(play(100_000), [(32_000, TxAction::Over)]);
        }
        let tx = RefCell::new(ServerInvite::new(&Timers::default(), true));
        assert!(tx.borrow_mut().on_answer(at(0), 200));
        let done = run(99_000, || tx.borrow().deadline(), |now| tx.borrow_mut().on_tick(now));
        assert_eq!(done[10..], [(32_000, TxAction::TimedOut), (32_000, TxAction::Over)]);
    }

    #[test]
    fn a_refusal_is_repeated_until_its_ack() {
        let mut tx = ServerInvite::new(&Timers::default(), false);
        assert!(tx.on_answer(at(0), 486));
        assert!(!tx.on_answer(at(0), 200), "too late");
        assert_eq!(tx.on_tick(at(500)), [TxAction::Resend]);
        assert_eq!(tx.on_retransmission(), [TxAction::Resend]);
        assert!(tx.on_ack(at(700)).is_empty());
        assert_eq!(tx.deadline(), Some(at(5700)), "Timer I");
        assert_eq!(tx.on_tick(at(5700)), [TxAction::Over]);

        let mut tx = ServerInvite::new(&Timers::default(), false);
        assert!(tx.on_answer(at(0), 486));
        assert_eq!(tx.on_tick(at(32_000)), [TxAction::TimedOut, TxAction::Over]);

        let mut tx = ServerInvite::new(&Timers::default(), true);
        assert!(tx.on_answer(at(0), 486));
        assert_eq!(tx.deadline(), Some(at(32_000)), "Timer H only");
        assert_eq!(tx.on_ack(at(1)), [TxAction::Over]);
    }
}
