//! Connections: made when they are needed, kept while they are good, given up at the first doubt.
//!
//! Never waits without a deadline: a server may vanish without a word.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outdial_ports::store::StoreError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_postgres::{Client, Config};

use super::error::store_error;
use super::tls::Tls;
use super::tx::Kind;

/// Longest wait for a connection to come free.
const WAIT: Duration = Duration::from_secs(10);

/// Where to connect to, and how.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: Tls,
    /// Longest time to connect to any of its hosts.
    pub(super) within: Duration,
}

impl Target {
    /// One connection. It ends when its client is dropped.
    pub(super) async fn connect(&self) -> Result<Client, StoreError> {
        let connected = timeout(self.within, self.config.connect(self.tls.clone())).await;
        let (client, connection) = connected
            .map_err(|_| {
                StoreError::Unavailable(format!("cannot connect within {:?}", self.within))
            })?
            .map_err(|e| match store_error(&e) {
                StoreError::Internal(why) => StoreError::Unavailable(why),
                other => other,
            })?;
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %super::error::text(&e), "a connection ended");
            }
        });
        Ok(client)
    }
}

/// The connections of a process.
pub(super) struct Pool {
    target: Target,
    idle: Mutex<Vec<Arc<Client>>>,
    /// All that may be open at once.
    all: Semaphore,
    /// Of them, those that people's requests may have: the others are the engine's alone.
    common: Semaphore,
    /// Of those, the ones that long reads may have.
    slow: Semaphore,
}

impl Pool {
    /// Of at most `size` connections, but no fewer than four.
    pub(super) fn new(target: Target, size: usize) -> Self {
        let size = size.max(4);
        Self {
            target,
            idle: Mutex::default(),
            all: Semaphore::new(size),
            common: Semaphore::new(size - size / 4),
            slow: Semaphore::new(size / 4),
        }
    }

    /// A connection, one that was kept if that will do; waits for one to come free.
    pub(super) async fn take(
        &self,
        kind: Kind,
        kept_will_do: bool,
    ) -> Result<Conn<'_>, StoreError> {
        let permits = timeout(WAIT, self.permits(kind)).await;
        let permits = permits.map_err(|_| {
            StoreError::Unavailable("all connections to the database are busy".to_owned())
        })??;
        let kept = match kept_will_do {
            true => std::iter::from_fn(|| self.idle().pop()).find(|client| !client.is_closed()),
            false => None,
        };
        let is_kept = kept.is_some();
        let client = match kept {
            Some(client) => client,
            None => Arc::new(self.target.connect().await?),
        };
        Ok(Conn { client, is_kept, pool: self, _permits: permits })
    }

    async fn permits(&self, kind: Kind) -> Result<Permits<'_>, StoreError> {
        let closed = |_| StoreError::Internal("the store was closed".to_owned());
        let is_common =
            matches!(kind, Kind::Read | Kind::SlowRead | Kind::BigWrite | Kind::SlowWrite);
        // From the narrowest to the widest, so that nobody holds what others could use.
        let slow = match kind {
            Kind::SlowRead => Some(self.slow.acquire().await.map_err(closed)?),
            _ => None,
        };
        let common = match is_common {
            true => Some(self.common.acquire().await.map_err(closed)?),
            false => None,
        };
        let all = self.all.acquire().await.map_err(closed)?;
        Ok(Permits { _all: all, _common: common, _slow: slow })
    }

    /// Closes all that nobody uses.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Client>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Permits<'a> {
    _all: SemaphorePermit<'a>,
    _common: Option<SemaphorePermit<'a>>,
    _slow: Option<SemaphorePermit<'a>>,
}

/// A connection that nobody else uses. Closed when it is dropped, unless it was given back.
pub(super) struct Conn<'a> {
    client: Arc<Client>,
    is_kept: bool,
    pool: &'a Pool,
    _permits: Permits<'a>,
}

impl Conn<'_> {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// It was made for an earlier transaction.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// It is good and outside of any transaction: others may have it next.
    pub(super) fn give_back(&self) {
        self.pool.idle().push(Arc::clone(&self.client));
    }

    /// Closes all that nobody uses.
    pub(super) fn forget_idle(&self) {
        self.pool.forget_idle();
    }
}
