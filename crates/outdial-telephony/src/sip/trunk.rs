//! A trunk as its messages see it: where they go, what names and numbers they carry, how it is.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_core::id::TrunkId;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::Monotonic;
use outdial_ports::store::{CallerIdIn, SipSpec, Transport, TrunkHealth, TrunkRecord, TrunkState};

use super::Context;
use super::digest::Credentials;
use super::message::{SipUri, Unfit};
use super::register::Registration;
use super::transport::{Flow, Peer};

/// A SIP trunk, as told.
#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) id: TrunkId,
    pub(crate) spec: SipSpec,
    standing: Mutex<Standing>,
    is_registered: AtomicBool,
    registration: Mutex<Option<Registration>>,
    /// The shortest session interval that it takes, as far as it said, in seconds.
    min_se: AtomicU32,
}

#[derive(Debug)]
struct Standing {
    /// Of what was told last.
    updated_at: Timestamp,
    /// How long a call may ring.
    ring_limit: Option<Duration>,
    health: TrunkHealth,
}

/// A host, and a port if one is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// Why a trunk cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreachable {
    /// A stable word.
    pub(crate) reason: &'static str,
    /// In words.
    pub(crate) detail: String,
}

impl Trunk {
    /// None: it is no SIP trunk.
    pub(crate) fn of(record: &TrunkRecord) -> Option<Self> {
        let spec = record.spec.as_ref()?;
        let trunk = Self::new(record.id, spec.sip.clone(), record.updated_at);
        trunk.standing().ring_limit = spec.ring_timeout;
        Some(trunk)
    }

    /// How long a call over it may ring, if it says.
    pub(crate) fn ring_limit(&self) -> Option<Duration> {
        self.standing().ring_limit
    }

    fn new(id: TrunkId, spec: SipSpec, updated_at: Timestamp) -> Self {
        let is_registered = AtomicBool::new(false);
        let standing =
            Mutex::new(Standing { updated_at, ring_limit: None, health: TrunkHealth::default() });
        let (registration, min_se) = (Mutex::default(), AtomicU32::new(0));
        Self { id, spec, standing, is_registered, registration, min_se }
    }

    /// How it is.
    pub(crate) fn health(&self) -> TrunkHealth {
        self.standing().health.clone()
    }

    /// How it is, and of what was told.
    pub(crate) fn report(&self) -> (TrunkId, Timestamp, TrunkHealth) {
        let standing = self.standing();
        (self.id, standing.updated_at, standing.health.clone())
    }

    /// Something else of it was changed: its messages are the same.
    pub(crate) fn told_again(&self, again: &Trunk) {
        let (updated_at, ring_limit) = {
            let again = again.standing();
            (again.updated_at, again.ring_limit)
        };
        let mut standing = self.standing();
        (standing.updated_at, standing.ring_limit) = (updated_at, ring_limit);
    }

    /// Takes note of how it is; `since` moves only with the state.
    pub(crate) fn set_health(&self, now: Timestamp, state: TrunkState, detail: String) {
        let mut standing = self.standing();
        let since = standing.health.since.filter(|_| standing.health.state == state);
        standing.health = TrunkHealth { state, detail: Some(detail), since: since.or(Some(now)) };
    }

    /// Orders may go out as far as registration matters.
    pub(crate) fn is_ready(&self) -> bool {
        !self.spec.register || self.is_registered.load(Ordering::Relaxed)
    }

    /// Takes note of a registration, or of its end.
    pub(crate) fn set_registered(&self, is_registered: bool) {
        self.is_registered.store(is_registered, Ordering::Relaxed);
    }

    /// What its registrar knows of us; none: nothing was asked.
    pub(crate) fn registration(&self) -> MutexGuard<'_, Option<Registration>> {
        self.registration.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shortest session interval that it takes, in seconds (RFC 4028 section 7.4); 0: it did
    /// not say.
    pub(crate) fn min_se(&self) -> u32 {
        self.min_se.load(Ordering::Relaxed)
    }

    /// Takes note of it; it only grows.
    pub(crate) fn remember_min_se(&self, seconds: u32) {
        self.min_se.fetch_max(seconds, Ordering::Relaxed);
    }

    /// Where requests go first.
    pub(crate) fn first_hop(&self) -> Place {
        match self.spec.proxy.as_deref() {
            Some(proxy) => Place::parse(proxy),
            None => Place { host: self.spec.host.clone(), port: self.spec.port },
        }
    }

    /// The routes that are known beforehand.
    pub(crate) fn routes(&self) -> Result<Vec<SipUri>, Unfit> {
        let Some(proxy) = self.spec.proxy.as_deref().map(Place::parse) else { return Ok(vec![]) };
        let uri = SipUri::new(None, &proxy.host, proxy.port)?;
        let uri = SipUri::parse(&format!("{uri};lr")).ok_or(Unfit("a proxy that is none"))?;
        Ok(vec![uri])
    }

    /// The trunk itself.
    pub(crate) fn uri(&self) -> Result<SipUri, Unfit> {
        SipUri::new(None, &self.spec.host, self.spec.port)
    }

    /// Whom the INVITE asks for.
    pub(crate) fn callee(&self, number: PhoneNumber) -> Result<SipUri, Unfit> {
        SipUri::new(Some(&self.number(number)), &self.spec.host, self.spec.port)
    }

    /// Who is called, as `To` says it.
    pub(crate) fn to(&self, number: PhoneNumber) -> Result<SipUri, Unfit> {
        SipUri::new(Some(&self.number(number)), &self.spec.host, None)
    }

    /// Who calls, as `From` says it.
    pub(crate) fn caller(&self, number: PhoneNumber) -> Result<SipUri, Unfit> {
        SipUri::new(Some(&self.number(number)), self.domain(), None)
    }

    /// We, where no number calls.
    pub(crate) fn us(&self) -> Result<SipUri, Unfit> {
        SipUri::new(Some(self.spec.username.as_deref().unwrap_or("outdial")), self.domain(), None)
    }

    /// Who calls, as `P-Asserted-Identity` says it.
    pub(crate) fn asserted(&self, number: PhoneNumber) -> Result<Option<SipUri>, Unfit> {
        match self.spec.caller_id {
            CallerIdIn::From => Ok(None),
            CallerIdIn::PAssertedIdentity => self.caller(number).map(Some),
        }
    }

    /// Where the peer finds us over that way.
    pub(crate) fn contact(&self, user: &str, flow: &Flow) -> Result<SipUri, Unfit> {
        let user = SipUri::new(Some(user), "h", None)?.to_string();
        let user = user.trim_end_matches('h');
        SipUri::parse(&format!("{user}{}", flow.contact())).ok_or(Unfit("a contact that is none"))
    }

    /// As the trunk wants numbers written.
    pub(crate) fn number(&self, number: PhoneNumber) -> String {
        if self.spec.plus { format!("+{number}") } else { number.to_string() }
    }

    /// What challenges are answered with.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let (username, password) = (self.spec.username.clone()?, self.spec.password.clone()?);
        Some(Credentials { username, password })
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our domain towards it.
    pub(crate) fn domain(&self) -> &str {
        self.spec.from_domain.as_deref().unwrap_or(&self.spec.host)
    }

    /// A way there before `by`: the first of its addresses that can be reached. Nothing that asks
    /// for anything is sent.
    pub(crate) async fn reach(
        &self,
        ctx: &Context,
        place: &Place,
        transport: Transport,
        by: Monotonic,
    ) -> Result<Flow, Unreachable> {
        let open = ctx.open()?;
        let chance = ctx.entropy.next_u64();
        let host = &place.host;
        let no_address = |detail| Unreachable { reason: "no_address", detail };
        let located = tokio::select! {
            biased;
            located = open.resolver.locate(host, place.port, transport, chance) => located,
            () = ctx.clock.sleep_until(by) => {
                return Err(no_address("its address was not found in time".to_owned()));
            }
        };
        let addresses = located.map_err(|e| no_address(e.to_string()))?;
        let mut last = no_address("it has no address".to_owned());
        for addr in addresses {
            let verify = self.spec.verify_tls;
            let peer = Peer { transport, addr, host: Some(host.clone()), verify };
            match open.endpoint.transports.connect(&peer, by).await {
                Ok(flow) => return Ok(flow),
                Err(error) => {
                    last = Unreachable { reason: "no_connection", detail: error.to_string() };
                }
            }
        }
        Err(last)
    }
}

impl Place {
    /// `host[:port]`, the host a name or an address.
    pub(crate) fn parse(text: &str) -> Self {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Self { host: ip.to_string(), port: None };
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (text, None),
        };
        let bare = |text: &str| text.trim_matches(['[', ']']).to_owned();
        match port {
            Some(port) => Self { host: bare(host), port: Some(port) },
            None => Self { host: bare(text), port: None },
        }
    }

    /// Where a URI leads.
    pub(crate) fn of(uri: &SipUri) -> Self {
        Self { host: uri.host().to_owned(), port: uri.port() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use outdial_core::time::Timestamp;

    /// A trunk on the loopback.
    pub(crate) fn spec(port: u16, transport: Transport) -> SipSpec {
        SipSpec {
            host: "127.0.0.1".to_owned(),
            port: Some(port),
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

    fn trunk(change: impl FnOnce(&mut SipSpec)) -> Trunk {
        let mut spec = spec(5070, Transport::Udp);
        spec.host = "sip.example.com".to_owned();
        change(&mut spec);
        Trunk::new(TrunkId::from_parts(1, 1), spec, Timestamp::EPOCH)
    }

    #[test]
    fn places() {
        let place = |host: &str, port| Place { host: host.to_owned(), port };
        assert_eq!(Place::parse("a.example"), place("a.example", None));
        assert_eq!(Place::parse("a.example:5080"), place("a.example", Some(5080)));
        assert_eq!(Place::parse("[::1]:5080"), place("::1", Some(5080)));
        assert_eq!(Place::parse("::1"), place("::1", None));
        assert_eq!(Place::parse("[::1]"), place("::1", None));
    }

    #[test]
    fn names_and_numbers_are_as_the_trunk_wants_them() {
        let (caller, callee) =
            (PhoneNumber::from_digits(12_125_550_000), PhoneNumber::from_digits(12_125_551_000));
        let plain = trunk(|_| {});
        assert_eq!(plain.callee(callee).unwrap().as_str(), "sip:+12125551000@sip.example.com:5070");
        assert_eq!(plain.caller(caller).unwrap().as_str(), "sip:+12125550000@sip.example.com");
        assert_eq!(plain.asserted(caller).unwrap(), None);
        assert!(plain.routes().unwrap().is_empty() && plain.credentials().is_none());
        let rich = trunk(|spec| {
            spec.plus = false;
            spec.from_domain = Some("us.example.org".to_owned());
            spec.caller_id = CallerIdIn::PAssertedIdentity;
            spec.proxy = Some("edge.example.net:5080".to_owned());
        });
        assert_eq!(rich.caller(caller).unwrap().as_str(), "sip:12125550000@us.example.org");
        assert_eq!(rich.asserted(caller).unwrap(), Some(rich.caller(caller).unwrap()));
        assert_eq!(rich.routes().unwrap()[0].as_str(), "sip:edge.example.net:5080;lr");
        assert_eq!(rich.first_hop(), Place::parse("edge.example.net:5080"));
    }

    #[test]
    fn since_moves_only_with_the_state() {
        let trunk = trunk(|spec| spec.register = true);
        let at = |ms| Timestamp::from_millis(ms);
        assert!(!trunk.is_ready());
        trunk.set_registered(true);
        assert!(trunk.is_ready());
        trunk.set_health(at(1), TrunkState::Up, "registered".to_owned());
        trunk.set_health(at(2), TrunkState::Up, "still".to_owned());
        assert_eq!(trunk.health().since, Some(at(1)));
        trunk.set_health(at(3), TrunkState::Down, "gone".to_owned());
        assert_eq!(trunk.health().since, Some(at(3)));
    }
}
