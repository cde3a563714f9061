//! The task that reads a connection: hands on its messages, keeps it alive, and ends it when it is
//! dead, mute or cannot be followed. It must never hold more of it than one message.

use std::sync::Arc;
use std::time::Duration;

use outdial_ports::Monotonic;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf};

use super::counters::Count;
use super::flow::{Flow, Link};
use super::framing::{Frame, Framer, FramingError};
use super::stream::{AnyWire, Connection};
use super::{PATIENCE, Received, Sent, Shared, lock, raised};

/// Between two pings on a connection that we made (RFC 5626 4.4.1).
const PING_EVERY: Duration = Duration::from_secs(95);
/// How long the answer may take of a peer that answered before.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// How long a peer's connection may be silent.
const IDLE: Duration = Duration::from_secs(600);
/// How long a stranger's may be.
const IDLE_STRANGER: Duration = Duration::from_secs(60);
/// How long a message may take to arrive.
const MESSAGE_WITHIN: Duration = Duration::from_secs(30);

/// The task that reads a connection.
pub(super) struct Reading {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    framer: Framer,
    heard: Monotonic,
    /// When the message began that is not whole yet.
    begun: Option<Monotonic>,
    /// When a ping left whose answer is missing.
    pinged: Option<Monotonic>,
    answers_pings: bool,
}

impl Reading {
    pub(super) fn new(connection: Arc<Connection>, shared: Arc<Shared>) -> Self {
        Self {
            heard: shared.clock.monotonic(),
            connection,
            shared,
            framer: Framer::default(),
            begun: None,
            pinged: None,
            answers_pings: false,
        }
    }

    /// Reads until the connection ends, by whomever.
    pub(super) async fn run(mut self, mut reader: ReadHalf<AnyWire>) {
        let mut closing = self.shared.closing.subscribe();
        let mut closed = self.connection.closed.subscribe();
        let clock = Arc::clone(&self.shared.clock);
        loop {
            let looks_again = self.looks_again();
            let read = tokio::select! {
                biased;
                () = raised(&mut closing) => break,
                () = raised(&mut closed) => break,
                read = reader.read_buf(self.framer.buffer()) => read,
                () = clock.sleep_until(looks_again) => {
                    let now = clock.monotonic();
                    if self.is_dead(now) || self.is_retired(now) {
                        self.shared.counters.count(Count::ConnectionIdle);
                        break;
                    }
                    if now >= self.ping_at() {
                        self.ping().await;
                    }
                    continue;
                }
            };
            match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            self.heard = clock.monotonic();
            let taken = tokio::select! {
                biased;
                () = raised(&mut closing) => break,
                () = raised(&mut closed) => break,
                taken = self.take() => taken,
            };
            if taken.is_err() {
                self.shared.counters.count(Count::BadFraming);
                break;
            }
        }
        self.connection.close();
        // Writers see that it is closed; whoever writes now is done at its deadline at the latest.
        let by = clock.monotonic().after(PATIENCE);
        tokio::select! {
            mut writer = self.connection.writer.lock() => {
                tokio::select! {
                    _ = writer.shutdown() => {}
                    () = clock.sleep_until(by) => {}
                }
            }
            () = clock.sleep_until(by) => {}
        }
    }

    /// Hands on what is whole. A full queue slows the peer down instead of losing messages.
    async fn take(&mut self) -> Result<(), FramingError> {
        let connection = Arc::clone(&self.connection);
        while let Some(frame) = self.framer.next()? {
            self.begun = None;
            match frame {
                Frame::Ping => {
                    self.shared.counters.count(Count::KeepAlive);
                    if self.shared.admits(connection.peer.ip()) {
                        self.write(b"\r\n").await;
                    }
                }
                Frame::Pong => {
                    self.pinged = None;
                    self.answers_pings = true;
                }
                Frame::Message(bytes) => self.hand_on(&bytes).await,
            }
        }
        if self.framer.is_partial() && self.begun.is_none() {
            self.begun = Some(self.heard);
        }
        Ok(())
    }

    async fn hand_on(&self, bytes: &[u8]) {
        let (shared, from) = (&self.shared, self.connection.peer);
        if !shared.admits(from.ip()) {
            return;
        }
        let Some((message, _)) = shared.read(bytes, from) else { return };
        let local = shared.config.advertised(self.connection.local, from.ip());
        let flow = Flow::new(Link::Stream(Arc::clone(&self.connection)), from, local);
        if shared.queue.send(Received { message, from, flow }).await.is_ok() {
            shared.counters.count(Count::Received);
        }
    }

    fn looks_again(&self) -> Monotonic {
        let limit = if !self.connection.inbound {
            let (ping_at, idle_until) = (self.ping_at(), self.idle_until());
            // Whoever holds it may let go of it without a word.
            let is_held = self.shared.clock.monotonic() >= idle_until && !self.connection.is_idle();
            if is_held { ping_at } else { ping_at.min(idle_until) }
        } else if self.is_trusted() {
            self.heard.after(IDLE)
        } else {
            self.heard.after(IDLE_STRANGER)
        };
        self.begun.map_or(limit, |begun| limit.min(begun.after(MESSAGE_WITHIN)))
    }

    /// When the next ping leaves; when the answer to the last one is overdue.
    fn ping_at(&self) -> Monotonic {
        match self.pinged {
            Some(pinged) if self.answers_pings => pinged.after(PONG_WITHIN),
            Some(pinged) => pinged.after(PING_EVERY),
            None => self.heard.after(PING_EVERY),
        }
    }

    fn idle_until(&self) -> Monotonic {
        self.connection.wanted_at().after(self.shared.config.bounds.idle)
    }

    /// Nobody has wanted it for long: it is closed.
    fn is_retired(&self, now: Monotonic) -> bool {
        let connection = &self.connection;
        let is_due = !connection.inbound && now >= self.idle_until();
        is_due && connection.retire(connection.wanted_at())
    }

    fn is_dead(&self, now: Monotonic) -> bool {
        let stuck = self.begun.is_some_and(|begun| now >= begun.after(MESSAGE_WITHIN));
        let idle = self.connection.inbound && now >= self.looks_again();
        let mute = self.answers_pings && self.pinged.is_some_and(|at| now >= at.after(PONG_WITHIN));
        stuck || idle || mute
    }

    fn is_trusted(&self) -> bool {
        let now = self.shared.clock.monotonic();
        lock(&self.shared.gate).trusts(now, self.connection.peer.ip())
    }

    async fn ping(&mut self) {
        self.write(b"\r\n\r\n").await;
        self.pinged = Some(self.shared.clock.monotonic());
    }

    async fn write(&self, bytes: &[u8]) {
        let clock = &self.shared.clock;
        let by = clock.monotonic().after(PATIENCE);
        if let Sent::Nothing(why) | Sent::Partly(why) =
            self.connection.write(bytes, by, &**clock).await
        {
            tracing::debug!(why, "a keep-alive was not sent");
            self.connection.close();
        }
    }
}
