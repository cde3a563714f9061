//! The settings of the HTTP side, in its own terms.

use outdial_http::{ConnectionConfig, HttpConfig, RateConfig};

use super::{Config, ServerConfig};

impl Config {
    /// What the HTTP side is to know of it.
    pub(crate) fn http(&self) -> HttpConfig {
        HttpConfig {
            ingest_body_max_bytes: self.ingest.body_max_bytes,
            ingest_records_max: self.ingest.records_max,
            ingest_budget_bytes: self.ingest.memory_max_bytes,
            body_max_bytes: self.server.body_max_bytes,
            body_idle_timeout_ms: self.server.body_idle_timeout_ms,
            ingest_chunks_in_flight: self.ingest.chunks_in_flight,
            upload_max_bytes: self.ingest.upload_max_bytes,
            upload_rows_max: self.ingest.upload_rows_max,
            uploads_at_once: self.ingest.uploads_at_once,
            spool_dir: self.ingest.spool_dir.clone(),
            body_min_rate_bytes_per_s: self.server.body_min_rate_bytes_per_s,
            body_timeout_ms: self.server.body_timeout_ms,
            body_expansion_max: self.server.body_expansion_max,
            webhook_reach: self.webhooks.reach(),
            connections: connection_config(&self.server),
            rates: rate_config(&self.server),
        }
    }
}

fn connection_config(server: &ServerConfig) -> ConnectionConfig {
    ConnectionConfig {
        connections_max: server.connections_max,
        connections_per_address_max: server.connections_per_address_max,
        head_timeout_ms: server.head_timeout_ms,
        head_max_bytes: server.head_max_bytes,
        head_fields_max: server.head_fields_max,
        keep_alive_ms: server.keep_alive_ms,
        write_timeout_ms: server.write_timeout_ms,
        answer_min_rate_bytes_per_s: server.answer_min_rate_bytes_per_s,
        trusted_proxies: server.trusted_proxies.clone(),
        unlimited_addresses: server.unlimited_addresses.clone(),
    }
}

fn rate_config(server: &ServerConfig) -> RateConfig {
    RateConfig {
        key_requests_per_s: server.key_requests_per_s,
        key_requests_burst: server.key_requests_burst,
        address_requests_per_s: server.address_requests_per_s,
        address_requests_burst: server.address_requests_burst,
        address_failures_per_s: server.address_failures_per_s,
        address_failures_burst: server.address_failures_burst,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_rooms_are_ours() {
        assert_eq!(Config::default().http(), HttpConfig::default());
    }
}
