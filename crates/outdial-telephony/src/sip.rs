//! SIP trunks: calls over the telephone network (RFC 3261).
//!
//! It must never send a second INVITE for an attempt, anything after its slot, or anything of a
//! contact's that was not checked; and it must never say of a call that may have left that it did
//! not.

pub(crate) mod ask;
pub(crate) mod call;
pub(crate) mod digest;
pub(crate) mod dns;
pub(crate) mod endpoint;
pub(crate) mod health;
pub(crate) mod ids;
pub(crate) mod line;
pub(crate) mod message;
pub(crate) mod orphan;
pub(crate) mod sdp;
pub(crate) mod transaction;
pub(crate) mod transport;
pub(crate) mod trunk;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_core::id::TrunkId;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{TrunkHealth, TrunkRecord, TrunkState};
use outdial_ports::{CallOrder, Carrier, Clock, Entropy, Monotonic, OrphanCall, PlacedCall};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::rtp::{RtpPorts, Source};
use dns::Resolver;
use endpoint::Endpoint;
use ids::{Ids, hex};
use message::SipUri;
use transaction::Timers;
pub use transport::{Count, TlsListen};
use transport::{TransportConfig, Transports};
use trunk::{Trunk, Unreachable};

/// Between two tries to open the sockets.
const OPEN_AGAIN: Duration = Duration::from_secs(5);
/// How long it is remembered where a callee is.
const REDIRECT_AGE: Duration = Duration::from_secs(60);
/// Of how many callees.
const REDIRECTS: usize = 10_000;
/// How long a call of a process that is gone waits for its trunk to be told.
const TRUNK_WITHIN: Duration = Duration::from_secs(10);

/// How SIP is set up.
#[derive(Clone, Debug)]
pub struct SipConfig {
    /// Where UDP and TCP are received. Port 0: the system chooses.
    pub listen: SocketAddr,
    /// Where TLS connections of peers are taken; none: only ours are used.
    pub tls: Option<TlsListen>,
    /// Our address as the trunks see it, behind a network address translation; none: as it is.
    pub public_address: Option<IpAddr>,
    /// Certificates to trust beside the machine's own, PEM.
    pub extra_ca: Option<PathBuf>,
    /// The ports of media; none: the system chooses.
    pub rtp_ports: Option<RangeInclusive<u16>>,
    /// What callees hear: linear samples at 8 kHz, repeated; none: silence.
    pub audio: Option<Arc<[i16]>>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// After how many seconds a session is to be refreshed (RFC 4028); 0: sessions have no timer.
    pub session_expires: u32,
    /// The estimate of the round trip from which all timers follow (RFC 3261 17.1.1.1).
    pub t1: Duration,
}

impl Default for SipConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 5060)),
            tls: None,
            public_address: None,
            extra_ca: None,
            rtp_ports: None,
            audio: None,
            user_agent: concat!("Outdial/", env!("CARGO_PKG_VERSION")).to_owned(),
            session_expires: 1800,
            t1: Duration::from_millis(500),
        }
    }
}

/// The carrier of SIP trunks. Its sockets open with the first trunk. All of it must be called
/// within a tokio runtime.
pub struct SipCarrier(Arc<Context>);

impl SipCarrier {
    /// A carrier whose names are keyed by the database's `secret`.
    pub fn new(
        config: SipConfig,
        secret: &[u8; 32],
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (t1, t2, t4) = (config.t1, config.t1.saturating_mul(8), config.t1.saturating_mul(10));
        Self(Arc::new(Context {
            config,
            ids: Ids::new(secret),
            clock,
            entropy,
            timers: Timers { t1, t2, t4 },
            end: watch::channel(End::Closed).0,
            trunks: watch::channel(BTreeMap::new()).0,
            redirects: Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    /// What was counted, by words; empty while no socket is open.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.0.open().map(|open| open.endpoint.transports.counters().all()).unwrap_or_default()
    }

    /// Where UDP is received; none while no socket is open.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.0.open().ok().map(|open| open.endpoint.transports.udp_addr())
    }

    /// Asks a trunk whether it is there (OPTIONS), without calling anybody. What it answered, in
    /// words; or what is wrong with it.
    pub async fn check(&self, trunk: &TrunkRecord) -> Result<String, String> {
        let trunk = Trunk::of(trunk).ok_or("it is no SIP trunk")?;
        Context::start(&self.0);
        let look = health::look(&self.0, &trunk).await.map_err(|why| why.detail)?;
        match look.answer {
            Some(answer) => Ok(format!("{} answered {}", look.flow.peer(), answer.status)),
            None => Err(format!("{} does not answer OPTIONS", look.flow.peer())),
        }
    }
}

impl Drop for SipCarrier {
    fn drop(&mut self) {
        let mut tasks = self.0.tasks();
        let opener = tasks.opener.take();
        for task in tasks.watches.values().chain(&opener) {
            task.abort();
        }
        if let Ok(open) = self.0.open() {
            open.endpoint.transports.shut();
        }
    }
}

impl Carrier for SipCarrier {
    fn place(&self, order: CallOrder) -> PlacedCall {
        line::place(&self.0, order)
    }

    fn take_over(&self, orphan: OrphanCall) -> PlacedCall {
        Context::start(&self.0);
        orphan::take_over(&self.0, orphan)
    }

    fn set_trunks(&self, trunks: Vec<TrunkRecord>) {
        let told: Vec<_> = trunks.iter().filter_map(Trunk::of).collect();
        if !told.is_empty() {
            Context::start(&self.0);
        }
        self.0.set_trunks(told);
    }

    fn trunk_health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
        self.0.trunks.borrow().values().map(|t| (t.id, t.updated_at, t.health())).collect()
    }
}

/// What all of SIP works with.
pub(crate) struct Context {
    pub(crate) config: SipConfig,
    pub(crate) ids: Ids,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) timers: Timers,
    end: watch::Sender<End>,
    trunks: watch::Sender<BTreeMap<TrunkId, Arc<Trunk>>>,
    redirects: Mutex<BTreeMap<(TrunkId, PhoneNumber), (SipUri, Monotonic)>>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    opener: Option<AbortHandle>,
    watches: BTreeMap<TrunkId, AbortHandle>,
}

/// The sockets.
#[derive(Clone)]
enum End {
    Closed,
    Open(Arc<Open>),
    /// Why not.
    Failed(String),
}

/// What is open.
pub(crate) struct Open {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) ports: Arc<RtpPorts>,
    pub(crate) resolver: Resolver,
}

impl Context {
    /// Opens the sockets, if nobody did; tries again until they are open.
    fn start(ctx: &Arc<Self>) {
        let mut tasks = ctx.tasks();
        if tasks.opener.is_none() {
            tasks.opener = Some(tokio::spawn(keep_open(Arc::clone(ctx))).abort_handle());
        }
    }

    /// What is open.
    pub(crate) fn open(&self) -> Result<Arc<Open>, Unreachable> {
        let detail = match &*self.end.borrow() {
            End::Open(open) => return Ok(Arc::clone(open)),
            End::Failed(why) => why.clone(),
            End::Closed => "the sockets are not open".to_owned(),
        };
        Err(Unreachable { reason: "no_socket", detail })
    }

    /// What is open, waiting for it until `by` unless it failed.
    pub(crate) async fn opened(&self, by: Monotonic) -> Result<Arc<Open>, Unreachable> {
        let mut end = self.end.subscribe();
        tokio::select! {
            biased;
            _ = end.wait_for(|end| !matches!(end, End::Closed)) => {}
            () = self.clock.sleep_until(by) => {}
        }
        self.open()
    }

    pub(crate) fn trunk(&self, id: TrunkId) -> Option<Arc<Trunk>> {
        self.trunks.borrow().get(&id).cloned()
    }

    /// A trunk that may not have been told yet.
    async fn trunk_by(&self, id: TrunkId, by: Monotonic) -> Option<Arc<Trunk>> {
        let by = by.min(self.clock.monotonic().after(TRUNK_WITHIN));
        let mut trunks = self.trunks.subscribe();
        tokio::select! {
            biased;
            _ = trunks.wait_for(|trunks| trunks.contains_key(&id)) => {}
            () = self.clock.sleep_until(by) => {}
        }
        self.trunk(id)
    }

    /// Where a trunk sent us lately for that callee.
    pub(crate) fn redirect_of(&self, trunk: TrunkId, callee: PhoneNumber) -> Option<SipUri> {
        let redirects = self.redirects.lock().unwrap_or_else(PoisonError::into_inner);
        let (uri, until) = redirects.get(&(trunk, callee))?;
        (*until > self.clock.monotonic()).then(|| uri.clone())
    }

    /// Takes note of where a trunk sent us for a callee.
    pub(crate) fn remember_redirect(&self, trunk: TrunkId, callee: PhoneNumber, uri: SipUri) {
        let now = self.clock.monotonic();
        let mut redirects = self.redirects.lock().unwrap_or_else(PoisonError::into_inner);
        if redirects.len() >= REDIRECTS {
            redirects.retain(|_, (_, until)| *until > now);
        }
        if redirects.len() < REDIRECTS {
            redirects.insert((trunk, callee), (uri, now.after(REDIRECT_AGE)));
        }
    }

    /// What callees hear.
    pub(crate) fn source(&self) -> Source {
        match &self.config.audio {
            Some(samples) => Source::Audio(Arc::clone(samples)),
            None => Source::Silence,
        }
    }

    /// A name that nobody can guess.
    pub(crate) fn random_hex(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        hex(&bytes)
    }

    pub(crate) fn random_branch(&self) -> String {
        format!("z9hG4bK{}", self.random_hex())
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what was told; what is the same goes on as it is.
    fn set_trunks(self: &Arc<Self>, told: Vec<Trunk>) {
        let before = self.trunks.borrow().clone();
        let mut tasks = self.tasks();
        let mut trunks = BTreeMap::new();
        for trunk in told {
            let same = before.get(&trunk.id).filter(|b| b.spec == trunk.spec);
            let same = same.filter(|b| b.updated_at == trunk.updated_at).cloned();
            let trunk = same.clone().unwrap_or_else(|| Arc::new(trunk));
            if same.is_none() {
                self.tell_failure(&trunk);
                let watch = health::watch(Arc::clone(self), Arc::clone(&trunk));
                let watch = tokio::spawn(watch).abort_handle();
                if let Some(old) = tasks.watches.insert(trunk.id, watch) {
                    old.abort();
                }
            }
            trunks.insert(trunk.id, trunk);
        }
        tasks.watches.retain(|id, watch| {
            let is_there = trunks.contains_key(id);
            if !is_there {
                watch.abort();
            }
            is_there
        });
        self.trunks.send_replace(trunks);
    }

    /// Without sockets every trunk is down.
    fn tell_failure(&self, trunk: &Trunk) {
        if let End::Failed(why) = &*self.end.borrow() {
            trunk.set_health(self.clock.now(), TrunkState::Down, why.clone());
        }
    }
}

/// Opens the sockets, sooner or later, and hands out what comes.
async fn keep_open(ctx: Arc<Context>) {
    loop {
        match open(&ctx).await {
            Ok(()) => return,
            Err(why) => {
                tracing::error!(why, "SIP cannot be spoken");
                ctx.end.send_replace(End::Failed(why));
                for trunk in ctx.trunks.borrow().values() {
                    ctx.tell_failure(trunk);
                }
            }
        }
        ctx.clock.sleep_until(ctx.clock.monotonic().after(OPEN_AGAIN)).await;
    }
}

async fn open(ctx: &Arc<Context>) -> Result<(), String> {
    let config = &ctx.config;
    let transport = TransportConfig {
        tls: config.tls.clone(),
        public_address: config.public_address,
        extra_ca: config.extra_ca.clone(),
        ..TransportConfig::new(config.listen)
    };
    let opened = Transports::open(transport, Arc::clone(&ctx.clock)).await;
    let (transports, received) = opened.map_err(|error| error.to_string())?;
    let (ip, range) = (config.listen.ip(), config.rtp_ports.clone());
    let ports = RtpPorts::new(ip, range, Arc::clone(&ctx.clock)).map_err(|e| e.to_string())?;
    let resolver = Resolver::system(Arc::clone(&ctx.clock));
    tracing::info!(udp_and_tcp = %transports.udp_addr(), tls = ?transports.tls_addr(),
        "SIP is spoken");
    let (ids, clock) = (ctx.ids.clone(), Arc::clone(&ctx.clock));
    let agent = config.user_agent.clone();
    let (endpoint, mut strays) = Endpoint::new(transports, ids, clock, agent);
    let open = Arc::new(Open { endpoint, ports, resolver });
    tokio::spawn(Arc::clone(&open.endpoint).run(received));
    let (ending, of_strays) = (Arc::clone(ctx), Arc::clone(&open));
    tokio::spawn(async move {
        while let Some(stray) = strays.recv().await {
            tokio::spawn(orphan::end_stray(Arc::clone(&ending), Arc::clone(&of_strays), stray));
        }
    });
    for trunk in ctx.trunks.borrow().values() {
        if trunk.health().state == TrunkState::Down {
            let detail = "not looked at yet".to_owned();
            trunk.set_health(ctx.clock.now(), TrunkState::Unknown, detail);
        }
    }
    ctx.end.send_replace(End::Open(open));
    Ok(())
}
