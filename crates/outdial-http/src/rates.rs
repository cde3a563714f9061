//! How often a key, and an address, may ask. Beyond it: 429, and when to come again.
//!
//! In memory, and of this process alone: a brake on whoever runs wild, not a price list.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use outdial_core::rate::{Buckets, Rate};
use outdial_ports::Clock;

use crate::config::RateConfig;
use crate::connections::group;
use crate::error::{ApiError, ApiResult};

/// Most keys, and most addresses, that are remembered.
const REMEMBERED_MAX: usize = 65_536;

/// What is remembered of a key: its keyed hash.
type KeyHash = [u8; 32];
type Shared<K> = Option<Mutex<Buckets<K>>>;

/// Where a request comes from, behind proxies; an extension of every request. None: from where
/// nobody is limited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) Option<IpAddr>);

/// Everybody's buckets.
pub(crate) struct Rates {
    clock: Arc<dyn Clock>,
    keys: Shared<KeyHash>,
    addresses: Shared<IpAddr>,
    failures: Shared<IpAddr>,
}

impl Rates {
    /// All full.
    pub(crate) fn new(config: &RateConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            keys: buckets(config.key_requests_per_s, config.key_requests_burst),
            addresses: buckets(config.address_requests_per_s, config.address_requests_burst),
            failures: buckets(config.address_failures_per_s, config.address_failures_burst),
        }
    }

    /// A request comes from there.
    pub(crate) fn request(&self, client: Client) -> ApiResult<()> {
        let (Some(buckets), Some(address)) = (locked(&self.addresses), client.0) else {
            return Ok(());
        };
        take(buckets, group(address), self.now(), "your address sends too many requests")
    }

    /// A key is about to be looked up. Where many were wrong lately, only those that were good
    /// lately are looked up at all: who guesses costs nothing, and keeps nobody else out.
    pub(crate) fn attempt(&self, client: Client, key: &KeyHash) -> ApiResult<()> {
        let (Some(failures), Some(address)) = (locked(&self.failures), client.0) else {
            return Ok(());
        };
        let wait = failures.wait(&group(address), self.now());
        drop(failures);
        if wait.is_zero() || locked(&self.keys).is_some_and(|keys| keys.knows(key)) {
            return Ok(());
        }
        Err(too_many("too many wrong API keys came from your address", wait))
    }

    /// There was no good key in the request.
    pub(crate) fn failed(&self, client: Client) -> ApiResult<()> {
        let (Some(buckets), Some(address)) = (locked(&self.failures), client.0) else {
            return Ok(());
        };
        let why = "too many wrong API keys came from your address";
        take(buckets, group(address), self.now(), why)
    }

    /// The key is good: one request of it.
    pub(crate) fn succeeded(&self, key: KeyHash) -> ApiResult<()> {
        let Some(buckets) = locked(&self.keys) else { return Ok(()) };
        take(buckets, key, self.now(), "this API key sends too many requests")
    }

    /// The key is not good any more.
    pub(crate) fn forget(&self, key: &KeyHash) {
        if let Some(mut buckets) = locked(&self.keys) {
            buckets.forget(key);
        }
    }

    fn now(&self) -> Duration {
        self.clock.monotonic().0
    }
}

fn buckets<K: Ord>(per_second: u32, burst: u32) -> Shared<K> {
    Some(Mutex::new(Buckets::new(Rate::new(per_second, burst)?, REMEMBERED_MAX)))
}

fn locked<K>(buckets: &Shared<K>) -> Option<MutexGuard<'_, Buckets<K>>> {
    Some(buckets.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
}

fn take<K: Ord>(
    mut buckets: MutexGuard<'_, Buckets<K>>,
    who: K,
    now: Duration,
    why: &str,
) -> ApiResult<()> {
    buckets.take(who, now).map_err(|wait| too_many(why, wait))
}

/// 429, with the seconds rounded up: who comes then is not sent away again.
fn too_many(why: &str, wait: Duration) -> ApiError {
    let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, format!("{why}: come again in {seconds} s"))
        .retry_after(seconds)
}
