//! What can be set about the HTTP side, with its defaults.

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
    /// Slowest that a body may come on average, in bytes per second, once it has taken 30 s; slower
    /// ones are refused, for they hold memory that others wait for. 0: any. Default 4096.
    pub body_min_rate_bytes_per_s: u64,
    /// Chunks of one request that are on their way to the store at once. Default 4.
    pub ingest_chunks_in_flight: u32,
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
            ingest_chunks_in_flight: 8,
        }
    }
}
