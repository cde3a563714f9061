//! A carrier on the loopback, and what it is asked for. Its timers run 25 times as fast as usual.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outdial_core::attempt::{AttemptState, CallEvent};
use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{AttemptId, TrunkId, WorkspaceId};
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    CallerIdIn, Integration, SipSpec, Transport, TrunkHealth, TrunkRecord, TrunkSpec,
};
use outdial_ports::{CallOrder, Carrier, Clock, Entropy, Monotonic, OrphanCall, PlacedCall};
use outdial_telephony::sip::{SipCarrier, SipConfig};

/// A twenty-fifth of the usual.
pub(crate) const T1: Duration = Duration::from_millis(20);
/// Timers B and F.
pub(crate) const TIMER_B: Duration = Duration::from_millis(20 * 64);
/// For whatever should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// The real clock.
pub(crate) struct TestClock(Instant);

impl TestClock {
    #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

#[async_trait::async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(self.0.elapsed())
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed())
    }
    async fn sleep_until(&self, at: Monotonic) {
        match self.0.checked_add(at.0) {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// Numbers that do not repeat.
pub(crate) struct Counting(pub(crate) AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&n.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A carrier with one trunk.
pub(crate) struct World {
    pub(crate) carrier: SipCarrier,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) fn config() -> SipConfig {
    SipConfig { listen: "127.0.0.1:0".parse().unwrap(), t1: T1, ..SipConfig::default() }
}

pub(crate) fn spec(peer: SocketAddr, transport: Transport) -> SipSpec {
    SipSpec {
        host: peer.ip().to_string(),
        port: Some(peer.port()),
        transport,
        username: None,
        password: None,
        from_domain: None,
        proxy: None,
        register: false,
        keep_alive: None,
        caller_id: CallerIdIn::From,
        plus: true,
        verify_tls: true,
    }
}

pub(crate) fn trunk_id() -> TrunkId {
    TrunkId::from_parts(1, 1)
}

pub(crate) fn trunk(sip: SipSpec) -> TrunkRecord {
    TrunkRecord {
        id: trunk_id(),
        workspace: WorkspaceId::from_parts(1, 1),
        integration: Integration::Sip,
        spec: Some(TrunkSpec {
            name: "t".to_owned(),
            sip,
            limits: LineLimits::default(),
            ring_timeout: None,
            max_call_s: None,
        }),
        limits: LineLimits::default(),
        paused_until: None,
        health: TrunkHealth::default(),
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
    }
}

impl World {
    pub(crate) fn new(sip: SipSpec) -> Self {
        Self::with(config(), sip)
    }

    pub(crate) fn with(config: SipConfig, sip: SipSpec) -> Self {
        let clock: Arc<dyn Clock> = TestClock::new();
        let entropy = Arc::new(Counting(AtomicU64::new(1)));
        let carrier = SipCarrier::new(config, &[7; 32], Arc::clone(&clock), entropy).unwrap();
        carrier.set_trunks(vec![trunk(sip)]);
        Self { carrier, clock }
    }

    pub(crate) fn soon(&self) -> Monotonic {
        self.clock.monotonic().after(SOON)
    }

    /// An order for the nth attempt, with time to spare.
    pub(crate) fn order(&self, n: u64) -> CallOrder {
        CallOrder {
            attempt: AttemptId::from_parts(1, n),
            token: [3; 16],
            trunk: trunk_id(),
            caller: PhoneNumber::from_digits(12_125_550_000),
            callee: PhoneNumber::from_digits(12_125_551_000 + n % 1000),
            charged_before: 0,
            send_by: self.soon(),
            open_until: self.clock.monotonic().after(Duration::from_secs(3600)),
            ring_limit: Duration::from_secs(20),
            talk_limit: Duration::from_secs(60),
        }
    }

    pub(crate) fn orphan(&self, n: u64, state: AttemptState, dialog: Option<String>) -> OrphanCall {
        let order = self.order(n);
        OrphanCall {
            attempt: order.attempt,
            token: order.token,
            trunk: order.trunk,
            caller: order.caller,
            callee: order.callee,
            state,
            dialog,
            give_up_at: self.soon(),
        }
    }

    pub(crate) fn place(&self, n: u64) -> PlacedCall {
        self.carrier.place(self.order(n))
    }

    /// Whether the sockets are open; none: nobody knows yet.
    pub(crate) fn is_open(&self) -> Option<bool> {
        let is_failed = || self.carrier.trunk_health()[0].2.detail.is_some();
        match self.carrier.udp_addr() {
            Some(_) => Some(true),
            None => is_failed().then_some(false),
        }
    }

    pub(crate) fn counted(&self, word: &str) -> u64 {
        self.carrier.counters().into_iter().find(|(w, _)| *w == word).map_or(0, |(_, n)| n)
    }

    /// Waits until `is_so`.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let by = self.soon();
        while !is_so(self) {
            assert!(self.clock.monotonic() < by, "{what}: {:?}", self.carrier.counters());
            let again = self.clock.monotonic().after(Duration::from_millis(2));
            self.clock.sleep_until(again).await;
        }
    }
}

pub(crate) async fn next(call: &mut PlacedCall) -> CallEvent {
    let next = poll_fn(|cx| call.events.as_mut().poll_next(cx));
    tokio::time::timeout(SOON, next).await.expect("in time").expect("not the end")
}

pub(crate) async fn end(call: &mut PlacedCall) -> CallEnd {
    loop {
        if let CallEvent::Ended(end) = next(call).await {
            let after = poll_fn(|cx| call.events.as_mut().poll_next(cx));
            assert_eq!(tokio::time::timeout(SOON, after).await.expect("closed"), None);
            return end;
        }
    }
}
