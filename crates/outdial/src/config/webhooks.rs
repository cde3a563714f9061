//! Telling receivers of events.

use std::path::PathBuf;

use outdial_core::webhook::Reach;
use outdial_engine::WebhookConfig;
use serde::Deserialize;

/// Which receivers there may be, and how they are spoken to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebhooksConfig {
    /// `http://` too, not only `https://`.
    pub(crate) allow_http: bool,
    /// Addresses that are not public too.
    pub(crate) allow_private: bool,
    /// Certificates of authorities, PEM, beside those of the machine.
    pub(crate) ca_file: Option<PathBuf>,
    /// How long one try may take.
    pub(crate) timeout_ms: u64,
    /// Most deliveries of this process on their way at once.
    pub(crate) in_flight: usize,
    /// Most of them to one endpoint.
    pub(crate) in_flight_per_endpoint: usize,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        let WebhookConfig { timeout_ms, in_flight, in_flight_per_endpoint } =
            WebhookConfig::default();
        let Reach { http: allow_http, private: allow_private } = Reach::default();
        let ca_file = None;
        Self { allow_http, allow_private, ca_file, timeout_ms, in_flight, in_flight_per_endpoint }
    }
}

impl WebhooksConfig {
    /// Where deliveries may go.
    pub(crate) fn reach(&self) -> Reach {
        Reach { http: self.allow_http, private: self.allow_private }
    }

    /// What of it is the sender's.
    pub(crate) fn sender(&self) -> WebhookConfig {
        WebhookConfig {
            timeout_ms: self.timeout_ms,
            in_flight: self.in_flight,
            in_flight_per_endpoint: self.in_flight_per_endpoint,
        }
    }

    /// What the types cannot say.
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        // Four in a row must be over before their lease is.
        if !(1..=20_000).contains(&self.timeout_ms) {
            anyhow::bail!("webhooks.timeout_ms must be between 1 and 20000");
        }
        if !(1..=self.in_flight).contains(&self.in_flight_per_endpoint) || self.in_flight > 4_096 {
            anyhow::bail!(
                "webhooks.in_flight_per_endpoint must be at least 1 and at most \
                 webhooks.in_flight, which must be at most 4096"
            );
        }
        Ok(())
    }
}
