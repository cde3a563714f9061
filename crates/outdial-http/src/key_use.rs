//! When keys were last used: written down beside the requests, once a minute for each key at most.
//!
//! Never waits, and never fails a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outdial_core::id::KeyId;
use outdial_ports::store::{KEY_USE_EVERY, Principal};
use outdial_ports::{Clock, Monotonic, Store};

/// Beyond so many keys those that were not used within a minute are forgotten.
const REMEMBERED: usize = 10_000;

/// Uses of keys.
pub(crate) struct KeyUse {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// When a use was last handed to the store.
    noted: BTreeMap<KeyId, Monotonic>,
    /// What is to be written.
    pending: BTreeSet<KeyId>,
    is_writing: bool,
}

impl KeyUse {
    /// Nothing is noted yet.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, inner: Mutex::default() }
    }

    /// The key was used.
    pub(crate) fn note(self: &Arc<Self>, by: &Principal) {
        let known = by.last_used_at.is_some_and(|at| self.clock.now().since(at) < KEY_USE_EVERY);
        if known || !self.is_due(by.key) {
            return;
        }
        tokio::spawn(self.clone().write());
    }

    /// Puts a key among those to be written; true: and there is nobody at it.
    fn is_due(&self, key: KeyId) -> bool {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        let is_recent = |at: &Monotonic| now.since(*at) < KEY_USE_EVERY;
        if inner.noted.get(&key).is_some_and(is_recent) {
            return false;
        }
        if inner.noted.len() >= REMEMBERED {
            inner.noted.retain(|_, at| is_recent(at));
        }
        inner.noted.insert(key, now);
        inner.pending.insert(key);
        !std::mem::replace(&mut inner.is_writing, true)
    }

    async fn write(self: Arc<Self>) {
        loop {
            let keys: Vec<KeyId> = {
                let mut inner = self.lock();
                let keys = std::mem::take(&mut inner.pending);
                inner.is_writing = !keys.is_empty();
                keys.into_iter().collect()
            };
            if keys.is_empty() {
                return;
            }
            if let Err(e) = self.store.key_touch(keys).await {
                // In a minute there is another chance.
                tracing::debug!(error = %e, "the use of keys was not written down");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
