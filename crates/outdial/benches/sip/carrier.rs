//! The carrier of SIP trunks as both figures use it: whoever answers is hung up on at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use outdial_core::dispatcher::LineLimits;
use outdial_core::id::TrunkId;
use outdial_core::time::Timestamp;
use outdial_ports::store::{CallerIdIn, SipSpec, Transport, TrunkHealth, TrunkRecord, TrunkSpec};
use outdial_ports::{CallControl, CallOrder, Carrier, OrphanCall, PlacedCall};
use outdial_telephony::sip::{SipCarrier, SipConfig};

use crate::machine::{RealClock, Weyl, now};

/// No call lasts longer, whatever is said of it.
const LONGEST: Duration = Duration::from_secs(20);

/// Hangs up as soon as the answer is stored: the talk takes no time.
pub(crate) struct Brief {
    sip: SipCarrier,
    first: OnceLock<Instant>,
}

impl Brief {
    /// On the loopback, at a port that the system chooses.
    pub(crate) fn new(clock: &Arc<RealClock>) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = SipConfig { listen, ..SipConfig::default() };
        let sip = SipCarrier::new(config, &[7; 32], clock.clone(), Arc::new(Weyl::default()));
        Self { sip: sip.expect("a carrier"), first: OnceLock::new() }
    }

    /// When its first call was placed.
    pub(crate) fn first(&self) -> Instant {
        *self.first.get_or_init(now)
    }

    /// Places a call that lasts until somebody cancels it.
    pub(crate) fn place_lasting(&self, order: CallOrder) -> PlacedCall {
        self.sip.place(order)
    }

    /// Its sockets are open.
    pub(crate) fn is_open(&self) -> bool {
        self.sip.udp_addr().is_some()
    }
}

impl Carrier for Brief {
    fn place(&self, order: CallOrder) -> PlacedCall {
        self.first();
        let talk_limit = order.talk_limit.min(LONGEST);
        let PlacedCall { events, control } = self.sip.place(CallOrder { talk_limit, ..order });
        PlacedCall { events, control: Arc::new(HangUp(control)) }
    }

    fn take_over(&self, orphan: OrphanCall) -> PlacedCall {
        self.sip.take_over(orphan)
    }

    fn set_trunks(&self, trunks: Vec<TrunkRecord>) {
        self.sip.set_trunks(trunks);
    }

    fn trunk_health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
        self.sip.trunk_health()
    }
}

struct HangUp(Arc<dyn CallControl>);

impl CallControl for HangUp {
    fn cancel(&self) {
        self.0.cancel();
    }

    fn dialog(&self) -> Option<String> {
        self.0.dialog()
    }

    fn is_stored(&self) {
        self.0.is_stored();
        self.0.cancel();
    }
}

/// A trunk that leads to a callee over UDP.
pub(crate) fn trunk_to(callee: SocketAddr, limits: LineLimits) -> TrunkSpec {
    let sip = SipSpec {
        host: callee.ip().to_string(),
        port: Some(callee.port()),
        transport: Transport::Udp,
        username: None,
        password: None,
        from_domain: None,
        proxy: None,
        register: false,
        keep_alive: None,
        caller_id: CallerIdIn::From,
        plus: true,
        verify_tls: true,
    };
    TrunkSpec { name: "SIPp".to_owned(), sip, limits, ring_timeout: None, max_call_s: None }
}
