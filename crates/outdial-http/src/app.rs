//! What every handler works with.

use std::sync::Arc;

use outdial_ports::{Clock, Entropy, Store, Watermark};
use tokio::sync::{Notify, Semaphore};

use crate::budget::Budget;
use crate::config::HttpConfig;
use crate::delivery::Deliveries;
use crate::edits::Edits;

/// Forecasts that are made at once.
const FORECASTS_AT_ONCE: usize = 2;

/// The HTTP side's whole world: the ports, and what it remembers between requests.
pub struct App {
    /// What Outdial remembers.
    pub store: Arc<dyn Store>,
    /// The clocks of this process.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What is noted beside the database, and refuses an older copy; none: no copy is refused.
    pub watermark: Option<Arc<dyn Watermark>>,
    /// Wakes the engine; only a hint.
    pub wake: Arc<Notify>,
    /// What can be set.
    pub config: HttpConfig,
    /// Key of the keyed hashes of API keys (`Store::secret_fetch`).
    pub(crate) secret: [u8; 32],
    /// Bytes of bodies that are being taken in.
    pub(crate) budget: Budget,
    /// Answers to keyless requests on their way to their clients.
    pub(crate) deliveries: Arc<Deliveries>,
    /// Edits that are under way.
    pub(crate) edits: Edits,
    /// Room for forecasts; each keeps a processor busy for as long as it takes.
    pub(crate) forecasts: Arc<Semaphore>,
}

impl App {
    /// `secret` is the store's (`Store::secret_fetch`).
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        watermark: Option<Arc<dyn Watermark>>,
        wake: Arc<Notify>,
        secret: [u8; 32],
        config: HttpConfig,
    ) -> Arc<Self> {
        let budget = Budget::new(config.ingest_budget_bytes);
        let deliveries = Arc::new(Deliveries::new(store.clone()));
        let forecasts = Arc::new(Semaphore::new(FORECASTS_AT_ONCE));
        Arc::new(Self {
            store,
            clock,
            entropy,
            watermark,
            wake,
            config,
            secret,
            budget,
            deliveries,
            edits: Edits::new(),
            forecasts,
        })
    }
}
