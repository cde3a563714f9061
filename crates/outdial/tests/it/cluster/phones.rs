//! The people who are called, and what their telephones saw: a user agent in this process that
//! nothing of what is tested has any part in.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::simulated::{Fate, Script};
use outdial_core::time::Timestamp;
use outdial_ports::Clock;
use outdial_telephony::callee::{Callee, CalleeConfig, Seen};
use tokio::runtime::Runtime;

use super::machine::{RealClock, Weyl};

/// They ring at once, most answer; the longest call takes this.
pub(crate) const LONGEST: Duration = Duration::from_millis(1_900);

/// Telephones.
pub(crate) struct Phones {
    callee: Option<Callee>,
    clock: Arc<RealClock>,
    runtime: Runtime,
}

impl Phones {
    /// Plugs them in.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
        let clock = Arc::new(RealClock::new());
        let mut config = CalleeConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        config.scripts = Some(Arc::new(|number, _| Some(script(number))));
        let opened = Callee::open(config, clock.clone(), Arc::new(Weyl::default()));
        let callee = Some(runtime.block_on(opened).unwrap());
        Self { callee, clock, runtime }
    }

    fn callee(&self) -> &Callee {
        self.callee.as_ref().expect("until they are dropped")
    }

    /// Where they are called.
    pub(crate) fn port(&self) -> u16 {
        self.callee().udp_addr().port()
    }

    /// The first transmission of every INVITE so far.
    pub(crate) fn invites(&self) -> Vec<Seen> {
        self.callee().invites()
    }

    /// Since they were plugged in.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic().0
    }

    /// When a message came, by the wall clock.
    pub(crate) fn wall(&self, seen: &Seen) -> Timestamp {
        let ago = i64::try_from((self.now() - seen.at.0).as_millis()).unwrap();
        Timestamp::from_millis(self.clock.now().as_millis() - ago)
    }

    /// How many a node called in the `before` that end now: at least as many as it has live.
    pub(crate) fn called_lately(&self, sip_port: u16, before: Duration) -> usize {
        let since = self.now().saturating_sub(before);
        let is_its = |seen: &&Seen| seen.peer.port() == sip_port && seen.at.0 >= since;
        self.invites().iter().filter(is_its).count()
    }

    /// The most calls that were live at once.
    pub(crate) fn most_live(&self) -> usize {
        self.callee().most_live()
    }

    /// Calls that were answered and have not ended.
    pub(crate) fn unended(&self) -> usize {
        self.callee().unended().len()
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.callee = None;
    }
}

/// Nine of ten answer and talk up to a second; the others are busy.
fn script(number: PhoneNumber) -> Script {
    let spread = number.digits() * 37 % 1_000;
    let rings = Duration::from_millis(30);
    let answers = Duration::from_millis(150 + spread / 2);
    let fate = match number.digits() % 10 {
        7 => Fate::Refuses {
            at: answers,
            end: CallEnd::Refused { status: 486, q850: Some(17), retry_after: None },
        },
        _ => Fate::Answers {
            at: answers,
            talk: Duration::from_millis(250 + spread),
            end: CallEnd::TalkOver,
        },
    };
    Script { rings_at: Some(rings), fate, round_trip: Duration::from_millis(50) }
}

/// I1: no attempt had two INVITEs; with one attempt for each number, none was called twice. How
/// often each number was called.
pub(crate) fn times_called(invites: &[Seen]) -> BTreeMap<u64, usize> {
    let mut ids = BTreeMap::<&str, usize>::new();
    let mut numbers = BTreeMap::<u64, usize>::new();
    for invite in invites {
        *ids.entry(&invite.call_id).or_default() += 1;
        *numbers.entry(invite.to.expect("a number is called")).or_default() += 1;
    }
    let twice: Vec<_> = ids.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "an attempt with two INVITEs: {twice:?}");
    numbers
}

/// I5: the shortest time that held one more first transmission than the pace allows in a second.
pub(crate) fn tightest(invites: &[Seen], calls_per_second: usize) -> Duration {
    let mut at: Vec<Duration> = invites.iter().map(|seen| seen.at.0).collect();
    at.sort();
    let spans = at.windows(calls_per_second + 1).map(|w| w[calls_per_second] - w[0]);
    spans.min().unwrap_or(Duration::MAX)
}

/// The longest time without any INVITE, and when it began.
pub(crate) fn longest_silence(invites: &[Seen]) -> (Duration, Duration) {
    let mut at: Vec<Duration> = invites.iter().map(|seen| seen.at.0).collect();
    at.sort();
    at.windows(2).map(|w| (w[1] - w[0], w[0])).max().unwrap_or_default()
}
