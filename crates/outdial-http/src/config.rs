//! What can be set about the HTTP side, with its defaults.

use outdial_core::webhook::Reach;

use crate::connections::Networks;

/// Settings of the HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Largest body of a request that brings calls, in bytes. Default 512 MiB.
    pub ingest_body_max_bytes: u64,
    /// Most records of one request. Default 1,000,000.
    pub ingest_records_max: u64,
    /// All bodies that bring calls together, in bytes; beyond it 503. Default 1 GiB.
    pub ingest_budget_bytes: u64,
    /// Largest body of every other request, in bytes. Default 1 MiB.
    pub body_max_bytes: u64,
    /// How long a client may send nothing in the middle of a body, in milliseconds. Default 30 s.
    pub body_idle_timeout_ms: u64,
    /// Slowest that a body may come, in bytes per second, in each 30 s that we wait for it. Slower
    /// ones are refused: they hold memory that others wait for. 0: any. Default 4096.
    pub body_min_rate_bytes_per_s: u64,
    /// How long a body may be waited for in all, in milliseconds. Default 2 h.
    pub body_timeout_ms: u64,
    /// How many times larger than it came a compressed body may be, once it is over 1 MiB. Default
    /// 200.
    pub body_expansion_max: u64,
    /// Chunks of one request that are on their way to the store at once. Default 8.
    pub ingest_chunks_in_flight: u32,
    /// Where webhooks may be delivered to. Default: https and public addresses.
    pub webhook_reach: Reach,
    /// Largest file of an upload, in bytes. Default 1 GiB.
    pub upload_max_bytes: u64,
    /// Most rows of it. Default 5,000,000.
    pub upload_rows_max: u32,
    /// Uploads that are taken in at once, half of them of one workspace; beyond it 503. Default 4.
    pub uploads_at_once: u32,
    /// Where files are kept while they are taken in; each may need five times its size. None: where
    /// the system keeps temporary files.
    pub spool_dir: Option<std::path::PathBuf>,
    /// Who may be connected, and for how long.
    pub connections: ConnectionConfig,
    /// How often somebody may ask.
    pub rates: RateConfig,
}

/// Who may be connected, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Most connections at once; beyond it whoever waits longest with nothing asked must go, and if
    /// nobody does, 503. Default 4096.
    pub connections_max: usize,
    /// Most of one address (an IPv6 network of 64 bits); beyond it as above, but 429. Default 512.
    pub connections_per_address_max: usize,
    /// How long the head of a request may take; the first is waited for from the beginning of the
    /// connection. In milliseconds. Default 15 s.
    pub head_timeout_ms: u64,
    /// Largest head of a request, in bytes; more is 431. Default 64 KiB.
    pub head_max_bytes: usize,
    /// Most header fields of a request; more is 431. Default 100.
    pub head_fields_max: usize,
    /// How long a connection is kept between two requests, in milliseconds. Default 75 s.
    pub keep_alive_ms: u64,
    /// How long a client may take nothing of its answer, in milliseconds. Default 30 s.
    pub write_timeout_ms: u64,
    /// Slowest that a client may take its answer, in bytes per second, in each 30 s that it is
    /// waited for. 0: any. Default 1024.
    pub answer_min_rate_bytes_per_s: u64,
    /// Proxies in front: what they say in `X-Forwarded-For` is believed, and they may have as many
    /// connections as they like. Default none.
    pub trusted_proxies: Networks,
    /// Addresses without limits of their own. Default this machine.
    pub unlimited_addresses: Networks,
}

/// How often somebody may ask; a rate of 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// Requests of one API key per second, on average. Default 500.
    pub key_requests_per_s: u32,
    /// And at once after a pause. Default 5000.
    pub key_requests_burst: u32,
    /// Requests from one address per second, on average. Default 1000.
    pub address_requests_per_s: u32,
    /// And at once after a pause. Default 10,000.
    pub address_requests_burst: u32,
    /// Requests without a good key from one address per second, on average. Default 1.
    pub address_failures_per_s: u32,
    /// And at once after a pause. Default 100.
    pub address_failures_burst: u32,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_per_address_max: 512,
            head_timeout_ms: 15_000,
            head_max_bytes: 64 << 10,
            head_fields_max: 100,
            keep_alive_ms: 75_000,
            write_timeout_ms: 30_000,
            answer_min_rate_bytes_per_s: 1024,
            trusted_proxies: Networks::default(),
            unlimited_addresses: Networks::loopback(),
        }
    }
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            key_requests_per_s: 500,
            key_requests_burst: 5_000,
            address_requests_per_s: 1_000,
            address_requests_burst: 10_000,
            address_failures_per_s: 1,
            address_failures_burst: 100,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            ingest_body_max_bytes: 512 << 20,
            ingest_records_max: 1_000_000,
            ingest_budget_bytes: 1 << 30,
            body_max_bytes: 1 << 20,
            body_idle_timeout_ms: 30_000,
            body_min_rate_bytes_per_s: 4096,
            body_timeout_ms: 7_200_000,
            body_expansion_max: 200,
            ingest_chunks_in_flight: 8,
            upload_max_bytes: 1 << 30,
            upload_rows_max: 5_000_000,
            uploads_at_once: 4,
            spool_dir: None,
            webhook_reach: Reach::default(),
            connections: ConnectionConfig::default(),
            rates: RateConfig::default(),
        }
    }
}
