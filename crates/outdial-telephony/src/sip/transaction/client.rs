//! Client transactions: a request of ours and the answers to it.

use std::time::Duration;

use outdial_ports::Monotonic;

use super::{Repeat, Timers, TxAction, earlier};

/// The client transaction of an INVITE (RFC 3261 section 17.1.1 as changed by RFC 6026).
///
/// ```text
/// Calling ──1xx──▶ Proceeding
///    │  ╲2xx           │2xx ─────▶ Accepted (Timer M) ──▶ Terminated
///    │   ╲─────────────┘
///    │ 300..699 ─────────────────▶ Completed (Timer D) ─▶ Terminated
///    └ Timer B ──────────────────────────────────────────▶ Terminated
/// ```
/// A call that has been answered provisionally has no timer here; how long it may ring is the
/// caller's matter.
#[derive(Clone, Debug)]
pub(crate) struct ClientInvite {
    state: InviteState,
    reliable: bool,
    wait: Duration,
    repeat: Option<Repeat>,
    until: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InviteState {
    Calling,
    Proceeding,
    Accepted,
    Completed,
    Terminated,
}

impl ClientInvite {
    /// An INVITE that was handed to the transport at `now`.
    pub(crate) fn new(timers: &Timers, reliable: bool, now: Monotonic) -> Self {
        let wait = timers.t1_64();
        Self {
            state: InviteState::Calling,
            reliable,
            wait,
            repeat: (!reliable).then(|| Repeat::from(now, timers.t1, wait)),
            until: Some(now.after(wait)),
        }
    }

    /// An answer of this transaction.
    pub(crate) fn on_response(&mut self, now: Monotonic, status: u16) -> Vec<TxAction> {
        use InviteState as S;
        match (self.state, status) {
            (S::Calling | S::Proceeding, 100..=199) => {
                self.enter(S::Proceeding, None);
                vec![TxAction::PassUp]
            }
            (S::Calling | S::Proceeding, 200..=299) => {
                self.enter(S::Accepted, Some(now.after(self.wait)));
                vec![TxAction::PassUp]
            }
            (S::Accepted, 200..=299) => vec![TxAction::PassUp],
            // Timer D is zero where nothing is lost on the way.
            (S::Calling | S::Proceeding, 300..=699) if self.reliable => {
                self.enter(S::Terminated, None);
                vec![TxAction::Ack, TxAction::PassUp, TxAction::Over]
            }
            (S::Calling | S::Proceeding, 300..=699) => {
                self.enter(S::Completed, Some(now.after(self.wait)));
                vec![TxAction::Ack, TxAction::PassUp]
            }
            (S::Completed, 300..=699) => vec![TxAction::Ack],
            _ => Vec::new(),
        }
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, now: Monotonic) -> Vec<TxAction> {
        if self.until.is_some_and(|until| now >= until) {
            let timed_out = self.state == InviteState::Calling;
            self.enter(InviteState::Terminated, None);
            return if timed_out {
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

    /// Nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        self.state == InviteState::Terminated
    }

    fn enter(&mut self, state: InviteState, until: Option<Monotonic>) {
        (self.state, self.until, self.repeat) = (state, until, None);
    }
}

/// The client transaction of any other request but ACK (RFC 3261 section 17.1.2).
///
/// ```text
/// Trying ─1xx─▶ Proceeding ─200..699─▶ Completed (Timer K) ─▶ Terminated
///    └──────────────┴─ Timer F ─────────────────────────────▶ Terminated
/// ```
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    state: RequestState,
    linger: Duration,
    t2: Duration,
    repeat: Option<Repeat>,
    until: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestState {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

impl ClientRequest {
    /// A request that was handed to the transport at `now`.
    pub(crate) fn new(timers: &Timers, reliable: bool, now: Monotonic) -> Self {
        Self {
            state: RequestState::Trying,
            linger: if reliable { Duration::ZERO } else { timers.t4 },
            t2: timers.t2,
            repeat: (!reliable).then(|| Repeat::from(now, timers.t1, timers.t2)),
            until: Some(now.after(timers.t1_64())),
        }
    }

    /// An answer of this transaction.
    pub(crate) fn on_response(&mut self, now: Monotonic, status: u16) -> Vec<TxAction> {
        use RequestState as S;
        match (self.state, status) {
            (S::Trying | S::Proceeding, 100..=199) => {
                // Timer E goes on, at T2.
                if let Some(repeat) = &mut self.repeat {
                    repeat.gap = self.t2;
                }
                self.state = S::Proceeding;
                vec![TxAction::PassUp]
            }
            (S::Trying | S::Proceeding, 200..=699) => {
                self.repeat = None;
                if self.linger.is_zero() {
                    (self.state, self.until) = (S::Terminated, None);
                    return vec![TxAction::PassUp, TxAction::Over];
                }
                (self.state, self.until) = (S::Completed, Some(now.after(self.linger)));
                vec![TxAction::PassUp]
            }
            _ => Vec::new(),
        }
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, now: Monotonic) -> Vec<TxAction> {
        if self.until.is_some_and(|until| now >= until) {
            let answered = self.state == RequestState::Completed;
            (self.state, self.until, self.repeat) = (RequestState::Terminated, None, None);
            return if answered {
                vec![TxAction::Over]
            } else {
                vec![TxAction::TimedOut, TxAction::Over]
            };
        }
        let is_due = self.repeat.as_mut().is_some_and(|repeat| repeat.is_due(now));
        if is_due { vec![TxAction::Resend] } else { Vec::new() }
    }

    /// When to tick at the latest.
    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        earlier(self.repeat.map(|repeat| repeat.at), self.until)
    }

    /// Nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        self.state == RequestState::Terminated
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::testing::{at, run};
    use super::*;

    fn play_invite(tx: &RefCell<ClientInvite>, end: u64) -> Vec<(u128, TxAction)> {
        run(end, || tx.borrow().deadline(), |now| tx.borrow_mut().on_tick(now))
    }

    fn play_request(tx: &RefCell<ClientRequest>, end: u64) -> Vec<(u128, TxAction)> {
        run(end, || tx.borrow().deadline(), |now| tx.borrow_mut().on_tick(now))
    }

    #[test]
    fn an_invite_without_any_answer() {
        let tx = RefCell::new(ClientInvite::new(&Timers::default(), false, at(0)));
        let resends = [500, 1500, 3500, 7500, 15_500, 31_500].map(|ms| (ms, TxAction::Resend));
        let mut wanted = resends.to_vec();
        wanted.extend([(32_000, TxAction::TimedOut), (32_000, TxAction::Over)]);
        assert_eq!(play_invite(&tx, 100_000), wanted);
        assert!(tx.borrow().is_over());

        let tx = RefCell::new(ClientInvite::new(&Timers::default(), true, at(0)));
        let wanted = [(32_000, TxAction::TimedOut), (32_000, TxAction::Over)];
        assert_eq!(play_invite(&tx, 100_000), wanted, "nothing is repeated on a stream");
    }

    #[test]
    fn a_provisional_answer_stops_timers_a_and_b() {
        let tx = RefCell::new(ClientInvite::new(&Timers::default(), false, at(0)));
        assert_eq!(tx.borrow_mut().on_response(at(100), 100), [TxAction::PassUp]);
        assert_eq!(tx.borrow().deadline(), None);
        assert_eq!(tx.borrow_mut().on_response(at(90_000), 180), [TxAction::PassUp]);
    }

    #[test]
    fn every_2xx_is_passed_up_until_timer_m() {
        let mut tx = ClientInvite::new(&Timers::default(), false, at(0));
        for ms in [100, 600, 32_099] {
            assert_eq!(tx.on_response(at(ms), 200), [TxAction::PassUp]);
        }
        assert!(tx.on_response(at(700), 486).is_empty(), "an answer after the answer");
        assert_eq!(tx.on_tick(at(32_100)), [TxAction::Over]);
        assert!(tx.on_response(at(32_101), 200).is_empty());
    }

    #[test]
    fn every_refusal_is_acknowledged_until_timer_d() {
        let mut tx = ClientInvite::new(&Timers::default(), false, at(0));
        assert_eq!(tx.on_response(at(100), 486), [TxAction::Ack, TxAction::PassUp]);
        assert_eq!(tx.on_response(at(600), 486), [TxAction::Ack]);
        assert!(tx.on_response(at(700), 180).is_empty());
        assert_eq!(tx.on_tick(at(32_100)), [TxAction::Over]);
        let mut tx = ClientInvite::new(&Timers::default(), true, at(0));
        let all = [TxAction::Ack, TxAction::PassUp, TxAction::Over];
        assert_eq!(tx.on_response(at(100), 486), all);
    }

    #[test]
    fn a_request_without_an_answer() {
        let tx = RefCell::new(ClientRequest::new(&Timers::default(), false, at(0)));
        let done = play_request(&tx, 100_000);
        let resends: Vec<u128> =
            done.iter().filter(|(_, a)| *a == TxAction::Resend).map(|(ms, _)| *ms).collect();
        assert_eq!(resends[..5], [500, 1500, 3500, 7500, 11_500]);
        assert_eq!(resends.len(), 10, "eleven transmissions in 64*T1");
        assert_eq!(done[10..], [(32_000, TxAction::TimedOut), (32_000, TxAction::Over)]);
    }

    #[test]
    fn a_request_that_is_answered() {
        let mut tx = ClientRequest::new(&Timers::default(), false, at(0));
        assert_eq!(tx.on_response(at(10), 100), [TxAction::PassUp]);
        assert_eq!(tx.on_tick(at(500)), [TxAction::Resend]);
        assert_eq!(tx.deadline(), Some(at(4500)), "T2 once there was a provisional answer");
        assert_eq!(tx.on_response(at(600), 200), [TxAction::PassUp]);
        assert!(tx.on_response(at(700), 200).is_empty(), "absorbed");
        assert_eq!(tx.on_tick(at(5600)), [TxAction::Over]);
        let mut tx = ClientRequest::new(&Timers::default(), true, at(0));
        assert_eq!(tx.on_response(at(10), 200), [TxAction::PassUp, TxAction::Over]);
    }
}
