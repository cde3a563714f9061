//! Where a host is: RFC 3263 without NAPTR.
//!
//! An address is taken as it is; with a port, or without SRV records, a name's own addresses are
//! used; else its SRV records say which hosts and ports, by priority and weight (RFC 2782). What
//! DNS says is bounded in number and kept for a bounded time, also that it says nothing. A lookup
//! that failed is never taken for one that found nothing: a call must not go where it was not sent.

mod system;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use outdial_ports::store::Transport;
use outdial_ports::{Clock, Monotonic};
use thiserror::Error;

/// The most places of one host.
const MAX_PLACES: usize = 16;
/// The most records that are taken of one lookup.
const MAX_RECORDS: usize = 32;
/// The most names that are remembered.
const MAX_CACHED: usize = 1_024;
/// How long one question may take, with all that it brings along.
const TIMEOUT: Duration = Duration::from_secs(3);
/// What was found is kept no shorter.
const MIN_KEPT: Duration = Duration::from_secs(5);
/// What was found is kept no longer.
const MAX_KEPT: Duration = Duration::from_secs(3_600);
/// How long it is kept that nothing was found, or that a lookup failed.
const KEPT_NEGATIVE: Duration = Duration::from_secs(5);

/// Why there is no place to send to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ResolveError {
    /// It cannot be a host.
    #[error("not a host name")]
    Name,
    /// DNS knows no address.
    #[error("no address")]
    Nothing,
    /// DNS says that the service is not offered there (an SRV target of `.`).
    #[error("the service is not offered there")]
    NotOffered,
    /// DNS could not be asked.
    #[error("DNS: {0}")]
    Failed(String),
}

/// What one lookup found; nothing found is an empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<T> {
    /// The records.
    pub(crate) records: Vec<T>,
    /// How long they hold.
    pub(crate) ttl: Duration,
}

/// A record that says where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Srv {
    /// Lower ones first.
    pub(crate) priority: u16,
    /// Its share among those of the same priority.
    pub(crate) weight: u16,
    /// Of the host.
    pub(crate) port: u16,
    /// The host; `.`: there is none.
    pub(crate) target: String,
}

/// Whom DNS is asked through.
#[async_trait]
pub(crate) trait Lookup: Send + Sync {
    /// The SRV records of a name.
    async fn srv(&self, name: &str) -> Result<Found<Srv>, String>;
    /// The addresses of a name, IPv4 before IPv6.
    async fn addresses(&self, name: &str) -> Result<Found<IpAddr>, String>;
}

/// Finds places, and remembers them for a while.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Inner>);

struct Inner {
    lookup: Arc<dyn Lookup>,
    clock: Arc<dyn Clock>,
    services: Cache<Srv>,
    hosts: Cache<IpAddr>,
}

impl Resolver {
    /// Asks through `lookup`.
    pub(crate) fn new(lookup: Arc<dyn Lookup>, clock: Arc<dyn Clock>) -> Self {
        let (services, hosts) = (Cache::default(), Cache::default());
        Self(Arc::new(Inner { lookup, clock, services, hosts }))
    }

    /// Asks as the machine is set up. If it is not, every name fails, addresses do not.
    pub(crate) fn system(clock: Arc<dyn Clock>) -> Self {
        Self::new(system::lookup(), clock)
    }

    /// The places of a host, in the order in which they are tried; at least one, at most 16.
    /// `chance` chooses among those with weights. An IPv6 address may stand in brackets.
    pub(crate) async fn locate(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
        chance: u64,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        let usual = if transport == Transport::Tls { 5061 } else { 5060 };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse() {
            return Ok(vec![SocketAddr::new(ip, port.unwrap_or(usual))]);
        }
        let host = host.to_ascii_lowercase();
        if !is_name(&host) {
            return Err(ResolveError::Name);
        }
        let until = self.0.clock.monotonic().after(TIMEOUT);
        let mut services = Vec::new();
        if port.is_none() {
            let service = match transport {
                Transport::Udp => "_sip._udp",
                Transport::Tcp => "_sip._tcp",
                Transport::Tls => "_sips._tcp",
            };
            services = self.services(&format!("{service}.{host}"), until).await?;
        }
        if services.is_empty() {
            let all = self.addresses(&host, until).await?;
            let port = port.unwrap_or(usual);
            return places(all.into_iter().map(|ip| SocketAddr::new(ip, port)));
        }
        if services.iter().all(|s| s.target == ".") {
            return Err(ResolveError::NotOffered);
        }
        services.retain(|s| s.target != "." && is_name(&s.target) && s.port != 0);
        let mut all = Vec::new();
        let mut failed = None;
        for service in in_order(services, chance) {
            match self.addresses(&service.target.to_ascii_lowercase(), until).await {
                Ok(ips) => all.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, service.port))),
                Err(error) => failed = Some(error),
            }
            if all.len() >= MAX_PLACES {
                break;
            }
        }
        places(all.into_iter()).map_err(|nothing| failed.unwrap_or(nothing))
    }

    async fn services(&self, name: &str, until: Monotonic) -> Result<Vec<Srv>, ResolveError> {
        let inner = &*self.0;
        inner.services.get(name, inner.lookup.srv(name), &*inner.clock, until).await
    }

    async fn addresses(&self, name: &str, until: Monotonic) -> Result<Vec<IpAddr>, ResolveError> {
        let inner = &*self.0;
        inner.hosts.get(name, inner.lookup.addresses(name), &*inner.clock, until).await
    }
}

fn places(all: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
    let mut places: Vec<SocketAddr> = Vec::new();
    for place in all {
        if places.len() < MAX_PLACES && !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() { Err(ResolveError::Nothing) } else { Ok(places) }
}

/// A host name: labels of letters, digits, hyphens and underscores.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        (1..=63).contains(&label.len()) && label.bytes().all(fits)
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// By priority, and within it by chance in proportion to the weights (RFC 2782).
fn in_order(mut left: Vec<Srv>, mut chance: u64) -> Vec<Srv> {
    // Those without a weight stand first, so that they too are chosen now and then.
    left.sort_by_key(|s| (s.priority, s.weight != 0));
    left.truncate(MAX_RECORDS);
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(priority) = left.first().map(|s| s.priority) {
        let group = left.iter().take_while(|s| s.priority == priority);
        let sum: u64 = group.map(|s| u64::from(s.weight)).sum();
        chance = stir(chance);
        let point = chance % (sum + 1);
        let mut running = 0;
        let chosen = left.iter().position(|s| {
            running += u64::from(s.weight);
            running >= point
        });
        ordered.push(left.remove(chosen.unwrap_or(0)));
    }
    ordered
}

/// The next of a row of numbers without a pattern.
fn stir(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

type Answer<T> = Result<Vec<T>, ResolveError>;

/// What was found of names, and who is asking right now: everybody else waits for that answer.
struct Cache<T> {
    kept: Mutex<BTreeMap<String, (Monotonic, Answer<T>)>>,
    asking: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { kept: Mutex::default(), asking: Mutex::default() }
    }
}

impl<T: Clone> Cache<T> {
    async fn get(
        &self,
        name: &str,
        ask: impl Future<Output = Result<Found<T>, String>>,
        clock: &dyn Clock,
        until: Monotonic,
    ) -> Answer<T> {
        if let Some(answer) = self.kept(name, clock.monotonic()) {
            return answer;
        }
        let turn = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody waits for those that only this map holds.
            asking.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(asking.entry(name.to_owned()).or_default())
        };
        let late = || Err(ResolveError::Failed("no answer in time".into()));
        let _turn = tokio::select! {
            guard = turn.lock() => guard,
            () = clock.sleep_until(until) => return late(),
        };
        if let Some(answer) = self.kept(name, clock.monotonic()) {
            return answer;
        }
        let found = tokio::select! {
            found = ask => found,
            () = clock.sleep_until(until) => Err("no answer in time".into()),
        };
        let (answer, keep) = match found {
            Ok(found) if found.records.is_empty() => (Ok(Vec::new()), KEPT_NEGATIVE),
            Ok(mut found) => {
                found.records.truncate(MAX_RECORDS);
                (Ok(found.records), found.ttl.clamp(MIN_KEPT, MAX_KEPT))
            }
            Err(why) => (Err(ResolveError::Failed(why)), KEPT_NEGATIVE),
        };
        self.keep(name, answer.clone(), clock.monotonic(), keep);
        answer
    }

    fn kept(&self, name: &str, now: Monotonic) -> Option<Answer<T>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|(end, _)| now < *end).map(|(_, answer)| answer.clone())
    }

    fn keep(&self, name: &str, answer: Answer<T>, now: Monotonic, keep: Duration) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_CACHED {
            kept.retain(|_, (end, _)| now < *end);
        }
        if kept.len() >= MAX_CACHED {
            kept.pop_first();
        }
        kept.insert(name.to_owned(), (now.after(keep), answer));
    }
}

#[cfg(test)]
mod tests;
