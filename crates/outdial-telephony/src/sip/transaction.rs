//! Transactions of SIP (RFC 3261 section 17, RFC 6026): when to send again, what to pass up, when
//! it is over. One machine is one transaction. It holds no bytes, no socket and no clock: whoever
//! owns it keeps what was sent and does what the machine says. It must never know what a call is.

mod client;
mod server;

use std::time::Duration;

use outdial_ports::Monotonic;

pub(crate) use client::{ClientInvite, ClientRequest};
pub(crate) use server::{ServerInvite, ServerRequest};

/// The times from which all timers are made (RFC 3261 section 17.1.1.1 and table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timers {
    /// Estimate of the round trip.
    pub(crate) t1: Duration,
    /// Longest gap between two transmissions of anything but an INVITE.
    pub(crate) t2: Duration,
    /// How long a message may stay in the network.
    pub(crate) t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let t = Duration::from_millis;
        Self { t1: t(500), t2: t(4000), t4: t(5000) }
    }
}

impl Timers {
    /// `64*T1`: Timers B, D, F, H, J, L and M; 32 s by default.
    pub(crate) fn t1_64(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

/// What a transaction asks of its owner, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TxAction {
    /// Send the same bytes again: a client its request, a server its last answer.
    Resend,
    /// The message is news for the user of the transaction.
    PassUp,
    /// Send the ACK of an answer of 300 or more (RFC 3261 section 17.1.1.3), first or again.
    Ack,
    /// Timer B or F: no final answer; Timer H or L: no ACK.
    TimedOut,
    /// Nothing more will happen.
    Over,
}

/// A message that is repeated with growing gaps.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: Monotonic,
    gap: Duration,
    most: Duration,
}

impl Repeat {
    fn from(now: Monotonic, first: Duration, most: Duration) -> Self {
        Self { at: now.after(first), gap: first, most }
    }

    /// Whether it is due; then the next is set. Missed repetitions are not made up.
    fn is_due(&mut self, now: Monotonic) -> bool {
        if now < self.at {
            return false;
        }
        self.gap = self.gap.saturating_mul(2).min(self.most);
        self.at = self.at.after(self.gap).max(now.after(self.gap / 2));
        true
    }
}

fn earlier(a: Option<Monotonic>, b: Option<Monotonic>) -> Option<Monotonic> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod testing {
    use super::{Monotonic, TxAction};
    use std::time::Duration;

    pub(super) fn at(ms: u64) -> Monotonic {
        Monotonic(Duration::from_millis(ms))
    }

    /// Ticks at every deadline up to `end`: what was done, and at which millisecond.
    pub(super) fn run(
        end: u64,
        deadline: impl Fn() -> Option<Monotonic>,
        mut tick: impl FnMut(Monotonic) -> Vec<TxAction>,
    ) -> Vec<(u128, TxAction)> {
        let mut done = Vec::new();
        while let Some(next) = deadline().filter(|next| *next <= at(end)) {
            done.extend(tick(next).into_iter().map(|action| (next.0.as_millis(), action)));
        }
        done
    }
}
