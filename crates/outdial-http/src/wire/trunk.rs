//! Trunks.

use std::net::Ipv6Addr;
use std::time::Duration;

use outdial_core::dispatcher::LineLimits;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    CallerIdIn, Secret, SipSpec, Transport, TrunkRecord, TrunkSpec, TrunkState,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::faults::Faults;
use super::phone::{CHANNELS_MAX, CPS_MAX};
use super::present;
use crate::error::ApiResult;

/// What carriers allow a customer that has not asked for more (`parts.md`).
const DEFAULT_CPS: f64 = 1.0;
/// Likewise.
const DEFAULT_CHANNELS: u32 = 10;
/// Between two OPTIONS, in seconds, where the trunk says nothing.
const DEFAULT_KEEP_ALIVE_S: u32 = 30;
/// Bounds of it.
const KEEP_ALIVE_S: (u32, u32) = (5, 3_600);
/// Bounds of how long it may ring, in milliseconds.
const RING_MS: (u32, u32) = (1_000, 300_000);
/// Bounds of how long a call may last, in milliseconds.
const CALL_MS: (u32, u32) = (1_000, 86_400_000);
/// Longest user name and password, in bytes.
const CREDENTIAL_MAX: usize = 256;
/// Longest name of a host (RFC 1035 section 2.3.4).
const HOST_MAX: usize = 253;

/// A trunk to make, or what to change of one: absent leaves as it is, `null` goes back to the
/// default.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TrunkWish {
    /// Display name, unique in the workspace.
    pub(crate) name: Option<String>,
    /// The carrier's host: a name or an address.
    pub(crate) host: Option<String>,
    /// Default: by DNS SRV (RFC 3263), else 5060, with TLS 5061.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) port: Option<Option<i64>>,
    /// `udp` (default), `tcp` or `tls`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) transport: Option<Option<String>>,
    /// For digest authentication and registration.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) username: Option<Option<String>>,
    /// Its password. Never shown again.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Option<String>>,
    /// Calls per second, fractions included. Default: 1.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<f64>)]
    pub(crate) calls_per_second: Option<Option<f64>>,
    /// Live calls at once. Default: 10.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) channels: Option<Option<i64>>,
    /// The domain of the `From`. Default: the host.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) from_domain: Option<Option<String>>,
    /// Every request goes here first: `host` or `host:port`, loose routing.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) outbound_proxy: Option<Option<String>>,
    /// How long a call may ring, in milliseconds, 1,000–300,000. Default: as the server is
    /// configured.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) ring_timeout_ms: Option<Option<i64>>,
    /// How long a call may last, in milliseconds, 1,000–86,400,000; whole seconds count. Default:
    /// as the batch says.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) max_call_ms: Option<Option<i64>>,
    /// Registers with the carrier, and does not dial before that. Needs `username` and `password`.
    /// Default: false.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    pub(crate) register: Option<Option<bool>>,
    /// Seconds between two OPTIONS that ask whether the carrier is there, 5–3,600; 0: it is not
    /// asked. Default: 30.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) keep_alive_seconds: Option<Option<i64>>,
    /// Which header says who calls: `from` (default) or `pAssertedIdentity` (both).
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) caller_id: Option<Option<String>>,
    /// A `+` stands before the numbers (E.164). Default: true.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    pub(crate) plus: Option<Option<bool>>,
    /// With `tls`: the certificate must be valid for `host`. Default: true; false only for trials.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    pub(crate) verify_certificate: Option<Option<bool>>,
}

impl TrunkWish {
    /// The trunk to make.
    pub(crate) fn parse(self) -> ApiResult<TrunkSpec> {
        let mut faults = Faults::default();
        if self.host.is_none() {
            faults.add("host", "is missing: write the carrier's host, like sip.example.com");
        }
        if self.name.is_none() {
            faults.name("name", None);
        }
        self.onto(fresh(), faults)
    }

    /// The trunk after this.
    pub(crate) fn apply(self, old: TrunkSpec) -> ApiResult<TrunkSpec> {
        self.onto(old, Faults::default())
    }

    fn onto(self, mut spec: TrunkSpec, mut faults: Faults) -> ApiResult<TrunkSpec> {
        if let Some(name) = &self.name {
            spec.name = faults.name("name", Some(name));
        }
        self.limits_onto(&mut spec, &mut faults);
        self.sip_onto(&mut spec.sip, &mut faults);
        let sip = &spec.sip;
        if sip.register && (sip.username.is_none() || sip.password.is_none()) {
            faults.add("register", "needs username and password");
        }
        if sip.password.is_some() && sip.username.is_none() {
            faults.add("username", "is missing beside the password");
        }
        faults.finish()?;
        Ok(spec)
    }

    fn limits_onto(&self, spec: &mut TrunkSpec, faults: &mut Faults) {
        match self.calls_per_second {
            Some(Some(cps)) if cps > 0.0 && cps <= CPS_MAX => {
                spec.limits.calls_per_second = Some(cps);
            }
            Some(Some(_)) => {
                faults.add("callsPerSecond", format!("write more than 0, at most {CPS_MAX}"));
            }
            Some(None) => spec.limits.calls_per_second = Some(DEFAULT_CPS),
            None => {}
        }
        if let Some(channels) = self.channels {
            let channels = faults.whole("channels", channels, 1, CHANNELS_MAX);
            spec.limits.channels = Some(channels.unwrap_or(DEFAULT_CHANNELS));
        }
        if let Some(ms) = self.ring_timeout_ms {
            let ms = faults.whole("ringTimeoutMs", ms, RING_MS.0, RING_MS.1);
            spec.ring_timeout = ms.map(|ms| Duration::from_millis(ms.into()));
        }
        if let Some(ms) = self.max_call_ms {
            let ms = faults.whole("maxCallMs", ms, CALL_MS.0, CALL_MS.1);
            spec.max_call_s = ms.map(|ms| ms / 1_000);
        }
    }

    fn sip_onto(self, sip: &mut SipSpec, faults: &mut Faults) {
        if let Some(host) = self.host {
            sip.host = named_host(faults, "host", &host);
        }
        if let Some(port) = self.port {
            let port = faults.whole("port", port, 1, u16::MAX.into());
            sip.port = port.and_then(|port| u16::try_from(port).ok());
        }
        if let Some(word) = self.transport {
            sip.transport = word.map_or(Transport::Udp, |word| {
                Transport::parse(&word).unwrap_or_else(|| {
                    faults.add("transport", format!("{word:?} is not known: udp, tcp or tls"));
                    Transport::Udp
                })
            });
        }
        if let Some(name) = self.username {
            sip.username = name.map(|name| credential(faults, "username", name));
        }
        if let Some(word) = self.password {
            sip.password = word.map(|word| Secret(credential(faults, "password", word)));
        }
        if let Some(domain) = self.from_domain {
            sip.from_domain = domain.map(|domain| named_host(faults, "fromDomain", &domain));
        }
        if let Some(proxy) = self.outbound_proxy {
            sip.proxy = proxy.map(|proxy| host_and_port(faults, "outboundProxy", &proxy));
        }
        if let Some(on) = self.register {
            sip.register = on.unwrap_or(false);
        }
        if let Some(seconds) = self.keep_alive_seconds {
            sip.keep_alive = match seconds {
                Some(0) => None,
                seconds => {
                    let (min, max) = KEEP_ALIVE_S;
                    let s = faults.whole("keepAliveSeconds", seconds, min, max);
                    Some(seconds_of(s.unwrap_or(DEFAULT_KEEP_ALIVE_S)))
                }
            };
        }
        if let Some(word) = self.caller_id {
            sip.caller_id = word.map_or(CallerIdIn::From, |word| {
                CallerIdIn::parse(&word).unwrap_or_else(|| {
                    let text = format!("{word:?} is not known: from or pAssertedIdentity");
                    faults.add("callerId", text);
                    CallerIdIn::From
                })
            });
        }
        if let Some(on) = self.plus {
            sip.plus = on.unwrap_or(true);
        }
        if let Some(on) = self.verify_certificate {
            sip.verify_tls = on.unwrap_or(true);
        }
    }
}

/// A trunk.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trunk {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// `sip` or `simulated`.
    pub(crate) integration: &'static str,
    /// Calls per second; absent: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls_per_second: Option<f64>,
    /// Live calls at once; absent: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<u32>,
    /// How it is reached; absent of the simulated one.
    #[serde(flatten)]
    #[schema(inline)]
    pub(crate) settings: Option<TrunkSettings>,
    /// How it is.
    pub(crate) health: Health,
    /// No call goes out before this instant: the carrier asked for it, or refused several calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) paused_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
}

/// How a SIP trunk is reached and talked to; as of the request that made it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrunkSettings {
    /// Display name.
    pub(crate) name: String,
    /// A name or an address.
    pub(crate) host: String,
    /// Absent: by DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// `udp`, `tcp` or `tls`.
    pub(crate) transport: &'static str,
    /// For digest authentication and registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// A password is kept. It is not shown.
    pub(crate) has_password: bool,
    /// The domain of the `From`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from_domain: Option<String>,
    /// Every request goes here first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outbound_proxy: Option<String>,
    /// How long a call may ring, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ring_timeout_ms: Option<u64>,
    /// How long a call may last, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_call_ms: Option<u64>,
    /// Registers with the carrier.
    pub(crate) register: bool,
    /// Seconds between two OPTIONS; 0: it is not asked.
    pub(crate) keep_alive_seconds: u64,
    /// Which header says who calls.
    pub(crate) caller_id: &'static str,
    /// A `+` stands before the numbers.
    pub(crate) plus: bool,
    /// With `tls`: the certificate must be valid.
    pub(crate) verify_certificate: bool,
}

/// What is known of a trunk's health.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `up`: it answers. `down`: it does not any more, or does not let us register; no call goes
    /// out. `unknown`: it was not asked, or never answered; calls go out.
    pub(crate) state: &'static str,
    /// What it answered last, or what keeps it from answering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// Since when it is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
}

impl From<TrunkRecord> for Trunk {
    fn from(record: TrunkRecord) -> Self {
        let TrunkRecord { id, integration, spec, limits, health, .. } = record;
        Self {
            id: id.to_string(),
            integration: integration.as_str(),
            calls_per_second: limits.calls_per_second,
            channels: limits.channels,
            settings: spec.map(TrunkSettings::from),
            health: Health {
                state: health.state.as_str(),
                detail: health.detail.filter(|_| health.state != TrunkState::Unknown),
                since: health.since,
            },
            paused_until: record.paused_until,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

impl From<TrunkSpec> for TrunkSettings {
    fn from(spec: TrunkSpec) -> Self {
        let TrunkSpec { name, sip, ring_timeout, max_call_s, .. } = spec;
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            name,
            host: sip.host,
            port: sip.port,
            transport: sip.transport.as_str(),
            username: sip.username,
            has_password: sip.password.is_some(),
            from_domain: sip.from_domain,
            outbound_proxy: sip.proxy,
            ring_timeout_ms: ring_timeout.map(millis),
            max_call_ms: max_call_s.map(|s| u64::from(s) * 1_000),
            register: sip.register,
            keep_alive_seconds: sip.keep_alive.map_or(0, |d| d.as_secs()),
            caller_id: sip.caller_id.as_str(),
            plus: sip.plus,
            verify_certificate: sip.verify_tls,
        }
    }
}

/// All trunks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trunks {
    /// Oldest first; the simulated one is made with the first simulated number.
    pub(crate) trunks: Vec<Trunk>,
}

/// A trunk of which nothing was said.
fn fresh() -> TrunkSpec {
    TrunkSpec {
        name: String::new(),
        sip: SipSpec {
            host: String::new(),
            port: None,
            transport: Transport::Udp,
            username: None,
            password: None,
            from_domain: None,
            proxy: None,
            register: false,
            keep_alive: Some(seconds_of(DEFAULT_KEEP_ALIVE_S)),
            caller_id: CallerIdIn::From,
            plus: true,
            verify_tls: true,
        },
        limits: LineLimits {
            calls_per_second: Some(DEFAULT_CPS),
            channels: Some(DEFAULT_CHANNELS),
            calls_per_day: None,
        },
        ring_timeout: None,
        max_call_s: None,
    }
}

fn seconds_of(s: u32) -> Duration {
    Duration::from_secs(s.into())
}

/// A host as it may stand in a SIP URI (RFC 3261 section 25.1): a name, an IPv4 address, or an
/// IPv6 address, in brackets or not; stored without them.
fn named_host(faults: &mut Faults, field: &str, text: &str) -> String {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<Ipv6Addr>().is_ok() {
        return bare.to_owned();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if text.len() > HOST_MAX || !text.strip_suffix('.').unwrap_or(text).split('.').all(is_label) {
        let right = "write a host name like sip.example.com, or an address";
        faults.add(field, format!("is no host: {right}"));
    }
    text.to_owned()
}

fn host_and_port(faults: &mut Faults, field: &str, text: &str) -> String {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address without brackets has colons of its own.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        faults.add(field, "has no valid port: write host or host:port");
    }
    let bare = named_host(faults, field, host);
    let host = if bare.contains(':') { format!("[{bare}]") } else { bare };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

fn credential(faults: &mut Faults, field: &str, text: String) -> String {
    if text.is_empty() || text.len() > CREDENTIAL_MAX || text.chars().any(char::is_control) {
        let right = format!("write 1 to {CREDENTIAL_MAX} bytes without control characters");
        faults.add(field, right);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let is_host = |text: &str| {
            let mut faults = Faults::default();
            named_host(&mut faults, "host", text);
            faults.finish().is_ok()
        };
        for good in ["sip.example.com", "localhost", "10.0.0.1", "::1", "[2001:db8::1]", "a.b."] {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "-a.com",
            "a b",
            "a:5060",
            "sip:a",
            "a;lr",
            "a\r\nX: y",
            "<a>",
            &"a".repeat(64),
        ] {
            assert!(!is_host(bad), "{bad:?}");
        }
    }

    #[test]
    fn proxies() {
        let of = |text: &str| {
            let mut faults = Faults::default();
            let proxy = host_and_port(&mut faults, "outboundProxy", text);
            faults.finish().ok().map(|()| proxy)
        };
        assert_eq!(of("p.example:5070").as_deref(), Some("p.example:5070"));
        assert_eq!(of("p.example").as_deref(), Some("p.example"));
        assert_eq!(of("[::1]:5070").as_deref(), Some("[::1]:5070"));
        assert_eq!(of("::1").as_deref(), Some("[::1]"));
        for bad in ["p.example:0", "p.example:x", "p.example:99999", "a b:1", ":5060"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
