//! What every handler works with.

use std::sync::{Arc, OnceLock};

use outdial_ports::{Clock, Entropy, Store, Watermark};
use tokio::sync::{Notify, Semaphore};

use crate::budget::Budget;
use crate::config::HttpConfig;
use crate::delivery::Deliveries;
use crate::edits::Edits;
use crate::events::Feeds;
use crate::key_use::KeyUse;
use crate::monitoring::Monitoring;
use crate::rates::Rates;
use crate::request_id::RequestIds;
use crate::upload::Room;

/// Forecasts that are made at once.
const FORECASTS_AT_ONCE: usize = 2;
/// Exports that are sent at once; each has a page of calls in memory.
const EXPORTS_AT_ONCE: u32 = 8;

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
    /// Woken (`notify_waiters`) when there are new events; only a hint.
    pub told: Arc<Notify>,
    /// What those who run it look at; set once, by the binary.
    pub monitoring: OnceLock<Monitoring>,
    /// What can be set.
    pub config: HttpConfig,
    /// Key of the keyed hashes of API keys (`Store::secret_fetch`).
    pub(crate) secret: [u8; 32],
    /// Bytes of bodies that are being taken in.
    pub(crate) budget: Budget,
    /// Answers to keyless requests on their way to their clients.
    pub(crate) deliveries: Arc<Deliveries>,
    /// When keys were last used.
    pub(crate) key_use: Arc<KeyUse>,
    /// How often somebody may ask.
    pub(crate) rates: Rates,
    /// Names for requests.
    pub(crate) request_ids: RequestIds,
    /// The streams of events.
    pub(crate) feeds: Arc<Feeds>,
    /// Edits that are under way.
    pub(crate) edits: Edits,
    /// Room for forecasts; each keeps a processor busy for as long as it takes.
    pub(crate) forecasts: Arc<Semaphore>,
    /// Room for uploads.
    pub(crate) uploads: Arc<Room>,
    /// Room for exports.
    pub(crate) exports: Arc<Room>,
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
        let rates = Rates::new(&config.rates, clock.clone());
        let request_ids = RequestIds::new(&*entropy);
        let deliveries = Arc::new(Deliveries::new(store.clone()));
        let key_use = Arc::new(KeyUse::new(store.clone(), clock.clone()));
        let forecasts = Arc::new(Semaphore::new(FORECASTS_AT_ONCE));
        let uploads = Room::new(config.uploads_at_once);
        let exports = Room::new(EXPORTS_AT_ONCE);
        Arc::new(Self {
            store,
            clock,
            entropy,
            watermark,
            wake,
            told: Arc::default(),
            feeds: Arc::default(),
            monitoring: OnceLock::new(),
            config,
            secret,
            budget,
            deliveries,
            key_use,
            rates,
            request_ids,
            edits: Edits::new(),
            forecasts,
            uploads,
            exports,
        })
    }

    /// Ends the streams of events: they would not end by themselves when the process is to stop.
    pub fn end_streams(&self) {
        self.feeds.close();
    }
}
