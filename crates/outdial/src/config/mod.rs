//! What the operator decides: one typed struct for each concern.
//!
//! A setting comes from the TOML file, the environment (`OUTDIAL_SECTION_KEY`) or a flag; the later
//! of the three wins. A key that nobody knows is refused, never ignored. Nothing here does anything
//! with a setting; nothing elsewhere reads the environment.

mod database;
mod http;
mod load;
mod monitoring;
mod webhooks;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use outdial_engine::EngineConfig;
use outdial_http::Networks;
use serde::Deserialize;

pub(crate) use database::{DatabaseUrl, PostgresUrl};
pub(crate) use load::{Overrides, load};
pub(crate) use monitoring::MonitoringConfig;
pub(crate) use webhooks::WebhooksConfig;

/// The commented default file; a test proves it equal to `Config::default()`.
pub(crate) const DEFAULT_FILE: &str = include_str!("../../outdial.default.toml");

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The HTTP server and what this process does.
    pub(crate) server: ServerConfig,
    /// Where the data is.
    pub(crate) database: DatabaseConfig,
    /// How much one request, and all of them, may bring.
    pub(crate) ingest: IngestConfig,
    /// Placing calls.
    pub(crate) engine: EngineConfig,
    /// Telling receivers of events.
    pub(crate) webhooks: WebhooksConfig,
    /// SIP trunks.
    pub(crate) sip: SipConfig,
    /// The carrier that touches no telephone.
    pub(crate) simulated: SimulatedConfig,
    /// What is logged, and how.
    pub(crate) log: LogConfig,
    /// Metrics and traces.
    pub(crate) monitoring: MonitoringConfig,
}

/// The HTTP server and what this process does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerConfig {
    /// `host:port`; port 0 takes a free one.
    pub(crate) listen: String,
    /// What this process does.
    pub(crate) role: Role,
    /// What this node is called; none: as its machine.
    pub(crate) node_name: Option<String>,
    /// Largest body of a request that brings no calls.
    pub(crate) body_max_bytes: u64,
    /// How long a client may send nothing in the middle of a body.
    pub(crate) body_idle_timeout_ms: u64,
    /// A body that comes more slowly than this, in 30 s of waiting for it, is refused; 0: any.
    pub(crate) body_min_rate_bytes_per_s: u64,
    /// How long a body may be waited for in all.
    pub(crate) body_timeout_ms: u64,
    /// How many times larger than it came a compressed body may be.
    pub(crate) body_expansion_max: u64,
    /// Most connections at once.
    pub(crate) connections_max: usize,
    /// Most connections of one address.
    pub(crate) connections_per_address_max: usize,
    /// How long the head of a request may take.
    pub(crate) head_timeout_ms: u64,
    /// Largest head of a request.
    pub(crate) head_max_bytes: usize,
    /// Most header fields of a request.
    pub(crate) head_fields_max: usize,
    /// How long a connection is kept between two requests.
    pub(crate) keep_alive_ms: u64,
    /// How long a client may take nothing of its answer.
    pub(crate) write_timeout_ms: u64,
    /// A client that takes its answer more slowly, in 30 s of waiting for it, is cut; 0: none.
    pub(crate) answer_min_rate_bytes_per_s: u64,
    /// Requests of one API key, on average; 0: any number. So with the others.
    pub(crate) key_requests_per_s: u32,
    /// And at once after a pause.
    pub(crate) key_requests_burst: u32,
    /// Requests from one address, on average.
    pub(crate) address_requests_per_s: u32,
    /// And at once after a pause.
    pub(crate) address_requests_burst: u32,
    /// Wrong API keys from one address, on average.
    pub(crate) address_failures_per_s: u32,
    /// And at once after a pause.
    pub(crate) address_failures_burst: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Networks,
    /// Addresses without limits of their own.
    pub(crate) unlimited_addresses: Networks,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            role: Role::All,
            node_name: None,
            body_max_bytes: 1 << 20,
            body_idle_timeout_ms: 30_000,
            body_min_rate_bytes_per_s: 4_096,
            body_timeout_ms: 7_200_000,
            body_expansion_max: 200,
            connections_max: 4_096,
            connections_per_address_max: 512,
            head_timeout_ms: 15_000,
            head_max_bytes: 65_536,
            head_fields_max: 100,
            keep_alive_ms: 75_000,
            write_timeout_ms: 30_000,
            answer_min_rate_bytes_per_s: 1_024,
            key_requests_per_s: 500,
            key_requests_burst: 5_000,
            address_requests_per_s: 1_000,
            address_requests_burst: 10_000,
            address_failures_per_s: 1,
            address_failures_burst: 100,
            trusted_proxies: Networks::default(),
            unlimited_addresses: Networks::loopback(),
        }
    }
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The API, and placing calls.
    All,
    /// The API alone: takes lists, places no call.
    Api,
    /// Placing calls alone: of HTTP only the health endpoints.
    Dialer,
}

impl Role {
    /// The word in files and flags.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Dialer => "dialer",
        }
    }

    /// Whether it places calls.
    pub(crate) const fn dials(self) -> bool {
        matches!(self, Self::All | Self::Dialer)
    }

    /// Whether it serves the API.
    pub(crate) const fn serves_api(self) -> bool {
        matches!(self, Self::All | Self::Api)
    }
}

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DatabaseConfig {
    /// `sqlite:FILE` or `postgres://…`.
    pub(crate) url: DatabaseUrl,
    /// What this node must know even when the database is put back to an older state; none: beside
    /// the file, with PostgreSQL where the supervisor says, else in the working directory.
    pub(crate) state_dir: Option<PathBuf>,
    /// Connections to a PostgreSQL, at most.
    pub(crate) pool: usize,
    /// How long a PostgreSQL may take for one statement.
    pub(crate) statement_timeout_ms: u64,
    /// Where systemd keeps the state of a service: `STATE_DIRECTORY`.
    #[serde(skip)]
    pub(crate) state_of_service: Option<PathBuf>,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::default(),
            state_dir: None,
            pool: 16,
            statement_timeout_ms: 10_000,
            state_of_service: None,
        }
    }
}

/// How much one request, and all of them, may bring.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IngestConfig {
    /// Most records in one request; more is 413.
    pub(crate) records_max: u64,
    /// Largest body of one request; more is 413.
    pub(crate) body_max_bytes: u64,
    /// Memory of all bodies being taken in at once; beyond it 503 with `Retry-After`.
    pub(crate) memory_max_bytes: u64,
    /// Chunks of one request that are on their way to the store at once.
    pub(crate) chunks_in_flight: u32,
    /// Largest file of an upload; more is 413.
    pub(crate) upload_max_bytes: u64,
    /// Most rows of an uploaded file; more is 413.
    pub(crate) upload_rows_max: u32,
    /// Uploads that are taken in at once; beyond it 503 with `Retry-After`.
    pub(crate) uploads_at_once: u32,
    /// Where uploaded files are kept while they are taken in; none: where the system keeps
    /// temporary files.
    pub(crate) spool_dir: Option<PathBuf>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            records_max: 1_000_000,
            body_max_bytes: 512 << 20,
            memory_max_bytes: 1 << 30,
            chunks_in_flight: 8,
            upload_max_bytes: 1 << 30,
            upload_rows_max: 5_000_000,
            uploads_at_once: 4,
            spool_dir: None,
        }
    }
}

/// SIP trunks: what this machine is to them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SipConfig {
    /// Where SIP is spoken, UDP and TCP. Opened with the first SIP trunk.
    pub(crate) listen: SocketAddr,
    /// Where it is spoken over TLS by those who connect to us; none: nowhere. TLS trunks do not
    /// need it.
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Our certificate there, PEM.
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates of authorities, PEM, beside those of the machine, for TLS trunks.
    pub(crate) ca_file: Option<PathBuf>,
    /// Our address as the carrier sees it, where a NAT stands between.
    pub(crate) public_address: Option<IpAddr>,
    /// The UDP ports of audio.
    pub(crate) rtp_ports: PortRange,
    /// What is played, over and over, to those who answer: a WAV file of 8 kHz; none: silence.
    pub(crate) sound: Option<PathBuf>,
    /// The timers' unit (T1, RFC 3261 section 17.1.1.1); none: as it should be. For the demo, whose
    /// time runs faster.
    #[serde(skip)]
    pub(crate) t1: Option<Duration>,
}

impl Default for SipConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 5060)),
            tls_listen: None,
            tls_certificate: None,
            tls_key: None,
            ca_file: None,
            public_address: None,
            rtp_ports: PortRange { first: 10_000, last: 19_999 },
            sound: None,
            t1: None,
        }
    }
}

/// `FIRST-LAST`; `0`: the operating system chooses each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PortRange {
    /// The first.
    pub(crate) first: u16,
    /// The last.
    pub(crate) last: u16,
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no range of ports: write for instance 10000-19999");
        if text == "0" {
            return Ok(Self { first: 0, last: 0 });
        }
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| wrong());
        let range = Self { first: port(first)?, last: port(last)? };
        // A call takes an even port (RFC 3550 section 11).
        match range.first >= 1024 && range.last > range.first {
            true => Ok(range),
            false => Err(wrong()),
        }
    }
}

/// The carrier that touches no telephone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SimulatedConfig {
    /// How many times faster than the clock the carrier's time runs.
    pub(crate) speed: f64,
    /// File to which the carrier appends what it was asked to place, and what became of it.
    pub(crate) log: Option<PathBuf>,
}

impl Default for SimulatedConfig {
    fn default() -> Self {
        Self { speed: 1.0, log: None }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// For people or for machines.
    pub(crate) format: LogFormat,
    /// What is let through, in the syntax of `tracing`'s `EnvFilter`.
    pub(crate) filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people; in colour on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The word in files and flags.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}
