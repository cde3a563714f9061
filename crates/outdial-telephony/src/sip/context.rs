//! What all of SIP works with: the sockets, the trunks as they were told, and what is remembered.
//! It must never hold a lock while it waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outdial_core::id::TrunkId;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{TrunkHealth, TrunkState};
use outdial_ports::{Clock, Entropy, Monotonic};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::dns::Resolver;
use super::endpoint::Endpoint;
use super::ids::{Ids, hex};
use super::message::SipUri;
use super::register::{is_taken_over, unregister, unregister_all};
use super::transaction::Timers;
use super::transport::{TransportConfig, Transports};
use super::trunk::{Trunk, Unreachable};
use super::{SipConfig, ending, health};
use crate::rtp::{RtpPorts, Source};

/// Between two tries to open the sockets.
const OPEN_AGAIN: Duration = Duration::from_secs(5);
/// How long it is remembered where a callee is.
const REDIRECT_AGE: Duration = Duration::from_secs(60);
/// Of how many callees.
const REDIRECTS: usize = 10_000;
/// How long a call of a process that is gone waits for its trunk to be told.
const TRUNK_WITHIN: Duration = Duration::from_secs(10);

/// What all of SIP works with.
pub(crate) struct Context {
    pub(crate) config: SipConfig,
    /// What callees hear.
    pub(crate) source: Source,
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
    pub(super) fn new(
        config: SipConfig,
        source: Source,
        secret: &[u8; 32],
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (t1, t2, t4) = (config.t1, config.t1.saturating_mul(8), config.t1.saturating_mul(10));
        Self {
            config,
            source,
            ids: Ids::new(secret),
            clock,
            entropy,
            timers: Timers { t1, t2, t4 },
            end: watch::channel(End::Closed).0,
            trunks: watch::channel(BTreeMap::new()).0,
            redirects: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// Opens the sockets, if nobody did; tries again until they are open.
    pub(super) fn start(ctx: &Arc<Self>) {
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

    /// The same, however often it failed before. None: not until `by`.
    pub(crate) async fn opened_at_last(&self, by: Monotonic) -> Option<Arc<Open>> {
        let mut end = self.end.subscribe();
        tokio::select! {
            biased;
            _ = end.wait_for(|end| matches!(end, End::Open(_))) => {}
            () = self.clock.sleep_until(by) => {}
        }
        self.open().ok()
    }

    pub(crate) fn trunk(&self, id: TrunkId) -> Option<Arc<Trunk>> {
        self.trunks.borrow().get(&id).cloned()
    }

    /// Every trunk.
    pub(crate) fn trunks(&self) -> Vec<Arc<Trunk>> {
        self.trunks.borrow().values().cloned().collect()
    }

    /// A trunk that may not have been told yet.
    pub(crate) async fn trunk_by(&self, id: TrunkId, by: Monotonic) -> Option<Arc<Trunk>> {
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

    /// A name that nobody can guess.
    pub(crate) fn random_hex(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        hex(&bytes)
    }

    pub(crate) fn random_branch(&self) -> String {
        format!("z9hG4bK{}", self.random_hex())
    }

    /// How each trunk is.
    pub(super) fn health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
        self.trunks.borrow().values().map(|trunk| trunk.report()).collect()
    }

    /// Looks at no trunk any more, and takes back what it left at them.
    pub(super) async fn leave(self: &Arc<Self>) {
        for watch in self.tasks().watches.values() {
            watch.abort();
        }
        unregister_all(self).await;
    }

    /// Takes nothing in any more, and looks at no trunk.
    pub(super) fn close(&self) {
        let mut tasks = self.tasks();
        let opener = tasks.opener.take();
        for task in tasks.watches.values().chain(&opener) {
            task.abort();
        }
        if let Ok(open) = self.open() {
            open.endpoint.transports.shut();
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what was told; what is the same goes on as it is.
    pub(super) fn set_trunks(self: &Arc<Self>, told: Vec<Trunk>) {
        let before = self.trunks.borrow().clone();
        let mut tasks = self.tasks();
        let mut trunks = BTreeMap::new();
        for trunk in told {
            if let Some(same) = before.get(&trunk.id).filter(|same| same.spec == trunk.spec) {
                same.told_again(&trunk);
                trunks.insert(trunk.id, Arc::clone(same));
                continue;
            }
            let trunk = Arc::new(trunk);
            self.tell_failure(&trunk);
            let (ctx, new) = (Arc::clone(self), Arc::clone(&trunk));
            let is_taken_over = |old: &&Arc<Trunk>| is_taken_over(&old.spec, &new.spec);
            let old = before.get(&trunk.id).filter(|old| !is_taken_over(old)).cloned();
            let watch = tokio::spawn(async move {
                // Not after the registration that follows: it may be of the same name.
                if let Some(old) = old {
                    unregister(&ctx, &old).await;
                }
                health::watch(ctx, new).await;
            });
            let watch = watch.abort_handle();
            if let Some(old) = tasks.watches.insert(trunk.id, watch) {
                old.abort();
            }
            trunks.insert(trunk.id, trunk);
        }
        tasks.watches.retain(|id, watch| {
            let is_there = trunks.contains_key(id);
            if !is_there {
                watch.abort();
                let (ctx, old) = (Arc::clone(self), before.get(id).cloned());
                tokio::spawn(async move {
                    if let Some(old) = old {
                        unregister(&ctx, &old).await;
                    }
                });
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
            tokio::spawn(ending::end_stray(Arc::clone(&ending), Arc::clone(&of_strays), stray));
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
