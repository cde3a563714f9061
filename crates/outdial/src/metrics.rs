//! What this process measures, for Prometheus.
//!
//! Labels are words of closed lists: never an id that clients make, a number or a contact. What the
//! database knows is read when somebody asks, and not more often than each `FRESH_FOR`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use outdial_core::time::Timestamp;
use outdial_engine::{CALL_DELAY, INVITE_DELAY, LIVE_HERE, TURN};
use outdial_ports::store::{StoreError, TrunkState};
use outdial_ports::{Clock, Meters, Monotonic, Store};
use tokio::sync::Mutex;

/// Calls that finished, by `disposition`.
pub(crate) const CALLS: &str = "outdial_calls_finished_total";
/// Seconds that an operation of the store takes, by `operation` and `result`.
pub(crate) const STORE: &str = "outdial_store_operation_seconds";

const LIVE: &str = "outdial_live_calls";
const WAITING: &str = "outdial_waiting_calls";
const WAITING_BATCHES: &str = "outdial_waiting_batches";
const OLDEST: &str = "outdial_oldest_due_seconds";
const EVENT_LAG: &str = "outdial_event_lag_seconds";
const WEBHOOK_LAG: &str = "outdial_webhook_lag_seconds";
const TRUNKS: &str = "outdial_trunks";
const STATES: [&str; 4] = ["pending", "active", "paused", "stopped"];

/// What was read of the database is told again for so long.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// Between two looks at what was recorded, so that nothing piles up where nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Bounds of what takes milliseconds.
const SHORT: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Bounds of how long calls wait.
const LONG: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0];

/// Measures from here on; once per process.
pub(crate) fn start() -> Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(CALL_DELAY.to_owned()), &LONG)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Full(INVITE_DELAY.to_owned()), &LONG))
        .and_then(|b| b.set_buckets(&SHORT))
        .context("the bounds of what is measured")?;
    let handle = builder.install_recorder().context("measuring cannot be started")?;
    describe();
    Ok(handle)
}

fn describe() {
    let seconds = Unit::Seconds;
    describe_counter!(CALLS, "Calls that finished through this process");
    describe_histogram!(STORE, seconds, "How long operations of the store take");
    describe_histogram!(TURN, seconds, "From reading a workspace's view to the commit of its plan");
    describe_histogram!(
        CALL_DELAY,
        seconds,
        "From when a call was due to the commit of its attempt"
    );
    describe_histogram!(INVITE_DELAY, seconds, "From when a call was due to its INVITE");
    describe_gauge!(LIVE_HERE, "Calls on the phone at this process");
    describe_gauge!(LIVE, "Calls on the phone, of all nodes");
    describe_gauge!(WAITING, "Calls that wait, by the state of their batch");
    describe_gauge!(WAITING_BATCHES, "Batches in which calls wait, by their state");
    describe_gauge!(
        OLDEST,
        seconds,
        "For how long the call due longest has been due, by batch state"
    );
    describe_gauge!(EVENT_LAG, seconds, "Age of the oldest fact that is no event yet");
    describe_gauge!(WEBHOOK_LAG, seconds, "For how long the delivery due longest has been due");
    describe_gauge!(TRUNKS, "SIP trunks, by how they are");
}

/// What is answered to `GET /metrics`.
pub(crate) struct Page {
    handle: PrometheusHandle,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// When the database was read last.
    read: Mutex<Option<Monotonic>>,
}

impl Page {
    /// Of this store.
    pub(crate) fn new(
        handle: PrometheusHandle,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self { handle, store, clock, read: Mutex::default() })
    }

    /// Keeps what is measured small while nobody asks; never returns.
    pub(crate) async fn keep_small(self: Arc<Self>) {
        loop {
            self.clock.sleep_until(self.clock.monotonic().after(UPKEEP)).await;
            self.handle.run_upkeep();
        }
    }

    async fn read(&self) -> Result<(), StoreError> {
        let mut read = self.read.lock().await;
        let now = self.clock.monotonic();
        if read.is_some_and(|at| now.since(at) < FRESH_FOR) {
            return Ok(());
        }
        let backlog = self.store.batch_backlog().await?;
        let events = self.store.event_backlog().await?;
        let trunks = self.store.trunk_list_all().await?;
        let wall = self.clock.now();
        let age = |at: Option<Timestamp>| at.map_or(0.0, |at| seconds(wall, at));
        gauge!(LIVE).set(float(backlog.live));
        for state in STATES {
            let waits = backlog.waiting.iter().find(|w| w.state.as_str() == state);
            gauge!(WAITING, "state" => state).set(float(waits.map_or(0, |w| w.calls)));
            gauge!(WAITING_BATCHES, "state" => state).set(float(waits.map_or(0, |w| w.batches)));
            gauge!(OLDEST, "state" => state).set(age(waits.and_then(|w| w.oldest_due)));
        }
        gauge!(EVENT_LAG).set(age(events.oldest_fact));
        gauge!(WEBHOOK_LAG).set(age(events.oldest_due));
        for state in TrunkState::ALL {
            let so = trunks.iter().filter(|t| t.spec.is_some() && t.health.state == state);
            gauge!(TRUNKS, "state" => state.as_str())
                .set(float(u64::try_from(so.count()).unwrap_or(0)));
        }
        *read = Some(now);
        Ok(())
    }
}

#[async_trait]
impl Meters for Page {
    async fn render(&self) -> Result<String, StoreError> {
        self.read().await?;
        Ok(self.handle.render())
    }
}

/// How long ago; 0: not yet.
fn seconds(now: Timestamp, at: Timestamp) -> f64 {
    now.since(at).as_secs_f64()
}

/// Gauges are floats; nobody has more than four billion of anything.
fn float(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
