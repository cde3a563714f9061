//! Sound of one call, both ways.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outdial_ports::{Clock, Monotonic};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::packet::{self, HEADER, Header, MAX_PACKET};
use super::ports::RtpPort;
use super::reception::Reception;
use super::source::Source;
use crate::sip::sdp::Remote;

/// What one packet holds.
const FRAME: Duration = Duration::from_millis(20);
/// The same in samples.
const SAMPLES: u16 = 160;
/// After a pause of ours (a busy machine) no more than so many packets leave at once.
const MAX_BURST: u64 = 3;
/// How long a port stays bound after its call, so that late packets reach nobody else.
const DRAIN: Duration = Duration::from_secs(2);

/// What was sent and what came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RtpStats {
    /// Packets sent.
    pub(crate) sent: u64,
    /// Good packets that came in.
    pub(crate) received: u64,
    /// Packets that are missing, by their numbers.
    pub(crate) lost: u64,
    /// How unevenly they came, in samples (RFC 3550).
    pub(crate) jitter: u64,
    /// What came in and was no packet of this call.
    pub(crate) dropped: u64,
}

/// Sound of a call. Dropped, it stops: nothing is sent from then on.
#[derive(Debug)]
pub(crate) struct RtpSession {
    remote: watch::Sender<Option<Remote>>,
    stats: Arc<Mutex<RtpStats>>,
}

impl RtpSession {
    pub(super) fn start(port: RtpPort, source: Source, chance: u64) -> Self {
        let (remote, agreed) = watch::channel(None);
        let stats = Arc::default();
        let task = Task {
            begun: port.clock.monotonic(),
            socket: port.socket,
            clock: port.clock,
            agreed,
            remote: None,
            latched: None,
            sender: Sender::new(source, chance),
            reception: Reception::default(),
            stats: Arc::clone(&stats),
        };
        tokio::spawn(task.run());
        Self { remote, stats }
    }

    /// What was agreed on with the far end; replaces what was before.
    pub(crate) fn set_remote(&self, remote: Remote) {
        self.remote.send_if_modified(|before| before.replace(remote) != Some(remote));
    }

    /// Up to now.
    pub(crate) fn stats(&self) -> RtpStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    begun: Monotonic,
    socket: UdpSocket,
    clock: Arc<dyn Clock>,
    agreed: watch::Receiver<Option<Remote>>,
    remote: Option<Remote>,
    /// Where good packets come from.
    latched: Option<SocketAddr>,
    sender: Sender,
    reception: Reception,
    stats: Arc<Mutex<RtpStats>>,
}

impl Task {
    async fn run(mut self) {
        let mut buffer = [0; MAX_PACKET + 1];
        loop {
            let sends =
                self.remote.filter(|r| r.direction.sends() && !r.addr.ip().is_unspecified());
            let due = self.begun.after(self.sender.next_at());
            tokio::select! {
                biased;
                changed = self.agreed.changed() => match changed {
                    Ok(()) => self.agree(),
                    Err(_) => break,
                },
                () = self.clock.sleep_until(due), if sends.is_some() => {
                    if let Some(remote) = sends {
                        self.send(remote);
                    }
                }
                got = self.socket.recv_from(&mut buffer) => {
                    // An error here is of a packet of ours that nobody wanted.
                    if let Ok((length, from)) = got {
                        self.take(&buffer[..length], from);
                    }
                }
            }
        }
        self.drain(&mut buffer).await;
    }

    fn agree(&mut self) {
        let before = self.remote;
        self.remote = *self.agreed.borrow_and_update();
        if before.map(|r| r.addr) != self.remote.map(|r| r.addr) {
            self.latched = None;
        }
        if !before.is_some_and(|r| r.direction.sends()) {
            self.sender.resume(self.clock.monotonic().since(self.begun));
        }
    }

    fn send(&mut self, remote: Remote) {
        let elapsed = self.clock.monotonic().since(self.begun);
        let to = self.latched.unwrap_or(remote.addr);
        let mut sent = 0;
        for _ in 0..self.sender.due(elapsed) {
            let packet = self.sender.packet(remote);
            // What does not go out at once is lost, as on any network.
            if self.socket.try_send_to(&packet, to).is_ok() {
                sent += 1;
            }
        }
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).sent += sent;
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        let good = self.remote.and_then(|remote| {
            let (header, _) = packet::read(bytes)?;
            let kind = header.payload_type;
            let is_agreed = kind == remote.codec.payload_type() || Some(kind) == remote.dtmf;
            let is_theirs = self.latched.is_none_or(|l| l == from) || from == remote.addr;
            (is_agreed && is_theirs).then_some(header)
        });
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(header) = good else {
            stats.dropped += 1;
            return;
        };
        // Where it said it would be, it is: whoever was quicker was somebody else.
        match self.remote {
            Some(remote) if remote.addr == from => self.latched = Some(from),
            _ => _ = self.latched.get_or_insert(from),
        }
        self.reception.take(header, self.clock.monotonic().since(self.begun));
        stats.received = self.reception.received();
        stats.lost = self.reception.lost();
        stats.jitter = self.reception.jitter();
    }

    /// Late packets reach a port that nobody listens to.
    async fn drain(self, buffer: &mut [u8]) {
        let end = self.clock.monotonic().after(DRAIN);
        loop {
            tokio::select! {
                biased;
                () = self.clock.sleep_until(end) => return,
                _ = self.socket.recv_from(buffer) => {}
            }
        }
    }
}

/// What goes out, and when. Times count from the beginning of the session.
struct Sender {
    source: Source,
    ssrc: u32,
    sequence: u16,
    first_timestamp: u32,
    /// The number of the frame that is due next, by the clock.
    frame: u64,
    /// How much of the source was sent, in samples.
    played: usize,
    /// The next packet comes after a pause.
    fresh: bool,
}

impl Sender {
    fn new(source: Source, chance: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = chance.to_be_bytes();
        Self {
            source,
            ssrc: u32::from_be_bytes([a, b, c, d]),
            // Far from the wrap, which some receivers take badly at the very start.
            sequence: u16::from_be_bytes([e, f]) & 0x7fff,
            first_timestamp: u32::from_be_bytes([g, h, a, e]),
            frame: 0,
            played: 0,
            fresh: true,
        }
    }

    fn next_at(&self) -> Duration {
        u32::try_from(self.frame).map_or(Duration::MAX, |frame| FRAME * frame)
    }

    /// After a pause: what was due while there was nobody to send to is not made up for.
    fn resume(&mut self, elapsed: Duration) {
        let passed = frames(elapsed);
        if self.frame <= passed {
            self.frame = passed + 1;
        }
        self.fresh = true;
    }

    /// How many packets leave now.
    fn due(&mut self, elapsed: Duration) -> u64 {
        let due = (frames(elapsed) + 1).saturating_sub(self.frame);
        if due > MAX_BURST {
            self.frame += due - MAX_BURST;
            self.fresh = true;
        }
        due.min(MAX_BURST)
    }

    fn packet(&mut self, remote: Remote) -> [u8; HEADER + SAMPLES as usize] {
        let passed = self.frame.wrapping_mul(u64::from(SAMPLES)) & u64::from(u32::MAX);
        let passed = u32::try_from(passed).expect("it is masked");
        let header = Header {
            marker: self.fresh,
            payload_type: remote.codec.payload_type(),
            sequence: self.sequence,
            timestamp: self.first_timestamp.wrapping_add(passed),
            ssrc: self.ssrc,
        };
        let mut packet = [0; HEADER + SAMPLES as usize];
        packet[..HEADER].copy_from_slice(&header.write());
        self.source.fill(remote.codec, self.played, &mut packet[HEADER..]);
        self.sequence = self.sequence.wrapping_add(1);
        self.frame += 1;
        self.played = self.played.saturating_add(usize::from(SAMPLES));
        self.fresh = false;
        packet
    }
}

/// How many whole frames have passed.
fn frames(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis() / FRAME.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::sdp::{Codec, Direction};

    fn remote() -> Remote {
        Remote {
            addr: "127.0.0.1:9".parse().unwrap(),
            codec: Codec::Pcma,
            dtmf: None,
            direction: Direction::SendRecv,
        }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn send(sender: &mut Sender, at: Duration) -> Vec<Header> {
        let due = sender.due(at);
        let packets: Vec<_> = (0..due).map(|_| sender.packet(remote())).collect();
        packets.iter().map(|p| packet::read(p).unwrap().0).collect()
    }

    #[test]
    fn even_steps_and_no_drift() {
        let mut sender = Sender::new(Source::Silence, 0x0102_0304_ffff_0708);
        let mut all = Vec::new();
        for frame in 0..5_000 {
            assert_eq!(sender.next_at(), ms(20 * frame));
            // A wake-up is a little late each time.
            all.extend(send(&mut sender, ms(20 * frame + frame % 13)));
        }
        assert_eq!(all.len(), 5_000);
        assert!(all[0].marker && all[1..].iter().all(|h| !h.marker));
        for two in all.windows(2) {
            assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1));
            assert_eq!(two[1].timestamp, two[0].timestamp.wrapping_add(160));
            assert_eq!((two[1].ssrc, two[1].payload_type), (0x0102_0304, 8));
        }
    }

    #[test]
    fn what_was_missed_is_not_made_up() {
        let mut sender = Sender::new(Source::tone(), 7);
        let first = send(&mut sender, ms(0));
        assert_eq!(send(&mut sender, ms(45)).len(), 2);
        let late = send(&mut sender, ms(1_005));
        assert_eq!(late.len(), 3);
        assert!(late[0].marker && !late[1].marker);
        // Frames 48 to 50 of the clock: numbers go on, time has passed.
        assert_eq!(late[0].sequence, first[0].sequence + 3);
        assert_eq!(late[0].timestamp, first[0].timestamp.wrapping_add(48 * 160));
        assert_eq!(sender.next_at(), ms(1_020));
        assert_eq!(send(&mut sender, ms(1_010)).len(), 0);

        sender.resume(ms(60_000));
        assert_eq!(send(&mut sender, ms(60_000)).len(), 0);
        let again = send(&mut sender, ms(60_020));
        assert_eq!((again.len(), again[0].marker), (1, true));
        assert_eq!(again[0].sequence, late[2].sequence + 1);
    }
}
