//! What came, what went, and what was dropped and why. Counts only: it must never keep a message
//! or a number.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count {
            $($(#[$doc])* $name,)*
        }

        impl Count {
            /// Every one.
            pub(crate) const ALL: &[Count] = &[$(Self::$name,)*];

            /// The word in a report.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

counts! {
    /// Messages taken in and handed on.
    Received = "received",
    /// Messages sent whole.
    Sent = "sent",
    /// Keep-alives of peers (RFC 5626 and the like).
    KeepAlive = "keep_alive",
    /// No SIP, or broken SIP.
    Malformed = "malformed",
    /// Streams on which the next message could not be found.
    BadFraming = "bad_framing",
    /// From a source that sent too much that belongs to no call.
    RateLimited = "rate_limited",
    /// The queue of received messages was full.
    QueueFull = "queue_full",
    /// Connections beyond the bounds.
    ConnectionRefused = "connection_refused",
    /// Connections that were not made because there are too many, with calls on all of them.
    ConnectionsFull = "connections_full",
    /// Connections closed because they were idle, slow or dead.
    ConnectionIdle = "connection_idle",
    /// TLS handshakes that failed.
    TlsFailed = "tls_failed",
    /// Messages that could not be sent.
    SendFailed = "send_failed",
    /// Messages that may have left in part.
    SendCut = "send_cut",
    /// Requests larger than a path may carry in one piece, sent over UDP all the same: the trunk's
    /// settings decide the transport.
    UdpOversize = "udp_oversize",
    /// Answers that belong to no call and no question.
    StrayResponse = "stray_response",
    /// Requests that belong to no call.
    StrayRequest = "stray_request",
    /// Answers that were late: 2xx of our own calls that nobody waited for, ACKed and ended.
    LateAnswer = "late_answer",
    /// Messages with the name of a call that were none of it: another branch, another dialog.
    Foreign = "foreign",
    /// Messages for a call whose mailbox was full.
    MailboxFull = "mailbox_full",
}

const KINDS: usize = Count::ALL.len();

/// The counters of a process's SIP.
#[derive(Debug)]
pub(crate) struct Counters([AtomicU64; KINDS]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    /// One more.
    pub(crate) fn count(&self, what: Count) {
        self.add(what, 1);
    }

    /// So many more.
    pub(crate) fn add(&self, what: Count, n: u64) {
        self.0[what as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// How many so far.
    pub(crate) fn get(&self, what: Count) -> u64 {
        self.0[what as usize].load(Ordering::Relaxed)
    }

    /// All, by their words.
    pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
        Count::ALL.iter().map(|what| (what.as_str(), self.get(*what))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_apart() {
        let counters = Counters::default();
        counters.count(Count::Malformed);
        counters.count(Count::Malformed);
        counters.count(Count::MailboxFull);
        assert_eq!(counters.get(Count::Malformed), 2);
        let told: Vec<_> = counters.all().into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(told, [("malformed", 2), ("mailbox_full", 1)]);
    }
}
