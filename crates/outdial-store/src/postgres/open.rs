//! Opening a database: where it is, how it is spoken to, and whether its schema is ours.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use outdial_ports::Clock;
use outdial_ports::store::StoreError;
use thiserror::Error;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config};

use super::migrate;
use super::pool::{Pool, Target};
use super::shared::Shared;
use super::store::PostgresStore;
use super::tls::{Proof, Tls};

/// Longest time to connect to one host.
const CONNECT: Duration = Duration::from_secs(5);
/// The same where there are others to try.
const CONNECT_ONE_OF_MANY: Duration = Duration::from_secs(2);
/// After so much silence a peer is asked whether it is there, so often, and so many times.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);
/// Longest time that what was sent may stay without the peer's acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// How a database is opened.
#[derive(Clone)]
pub struct PgConfig {
    /// `postgres://user:password@host:port/database?sslmode=…`; several hosts may be named.
    pub url: String,
    /// Most connections that are open at once; four at least.
    pub pool: usize,
    /// In the place of the database's clock; for tests.
    pub clock: Option<Arc<dyn Clock>>,
    /// Longest time that a statement may take.
    pub statement_timeout: Duration,
    /// An empty database becomes an installation.
    pub migrate_if_empty: bool,
}

impl PgConfig {
    /// At this URL, with everything else as by default.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            pool: 16,
            clock: None,
            statement_timeout: Duration::from_secs(10),
            migrate_if_empty: false,
        }
    }
}

/// Why a database was not opened. No text of it holds a password.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL cannot be understood, or names files that cannot be read.
    #[error("the URL of the database: {0}")]
    Url(String),
    /// Its schema is not one that this version can use.
    #[error("the schema of the database: {0}")]
    Schema(String),
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PostgresStore {
    /// Opens a database, as a process of its own.
    pub async fn connect(config: PgConfig) -> Result<Arc<Self>, OpenError> {
        let mut target = target(&config.url)?;
        migrate::check(&target.connect().await?, config.migrate_if_empty).await?;
        // After a failover the host that was the primary may be there, and take no writes.
        target.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let within = target.within;
        let pool = Pool::new(target, config.pool);
        let instance = i64::from_le_bytes(random()?) & i64::MAX;
        let seed = u64::from_le_bytes(random()?);
        let shared = Shared::new(instance, seed, config.clock, config.statement_timeout, within);
        Ok(Arc::new(Self::new(pool, shared)))
    }
}

/// A connection of its own, whatever is at its end.
pub(crate) async fn client(url: &str) -> Result<Client, OpenError> {
    Ok(target(url)?.connect().await?)
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Internal(e.to_string()))?;
    Ok(bytes)
}

/// What a URL says.
pub(super) fn target(url: &str) -> Result<Target, OpenError> {
    let (plain, encryption) = encryption(url)?;
    // The driver's own words may quote what they stumble over, which may be the password.
    let mut config = Config::from_str(&plain).map_err(|_| {
        OpenError::Url("not of the form postgres://user:password@host:port/database".to_owned())
    })?;
    config.ssl_mode(encryption.mode);
    let tls = Tls::new(encryption.proof, encryption.roots.as_deref()).map_err(OpenError::Url)?;
    let hosts = config.get_hosts().len().max(1);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(if hosts > 1 { CONNECT_ONE_OF_MANY } else { CONNECT });
    }
    if config.get_application_name().is_none() {
        config.application_name("outdial");
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED);
    }
    let (idle, interval, retries) = KEEPALIVE;
    config.keepalives(true).keepalives_idle(idle).keepalives_interval(interval);
    config.keepalives_retries(retries);
    let each = config.get_connect_timeout().copied().unwrap_or(CONNECT);
    // The driver bounds how long a host takes to accept; a greeting may not come either.
    let within = each.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX)).max(CONNECT);
    Ok(Target { config, tls, within })
}

/// How connections are to be encrypted.
#[derive(Debug, PartialEq, Eq)]
struct Encryption {
    mode: SslMode,
    proof: Proof,
    roots: Option<PathBuf>,
}

/// Takes out of a URL what the driver does not know.
fn encryption(url: &str) -> Result<(String, Encryption), OpenError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut rest) = ("prefer", None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) => roots = Some(decoded(value)?),
            _ => rest.push(pair),
        }
    }
    let roots = roots.filter(|r| r != "system").map(PathBuf::from);
    let (mode, proof) = match (mode, &roots) {
        ("disable", _) => (SslMode::Disable, Proof::Nothing),
        ("allow" | "prefer", _) => (SslMode::Prefer, Proof::Nothing),
        ("require", None) => (SslMode::Require, Proof::Nothing),
        ("require", Some(_)) | ("verify-ca", _) => (SslMode::Require, Proof::Authority),
        ("verify-full", _) => (SslMode::Require, Proof::Name),
        _ => {
            let known = "disable, prefer, require, verify-ca or verify-full";
            return Err(OpenError::Url(format!("sslmode must be {known}")));
        }
    };
    let plain = match rest[..] {
        [] => base.to_owned(),
        _ => format!("{base}?{}", rest.join("&")),
    };
    Ok((plain, Encryption { mode, proof, roots }))
}

/// Undoes `%20` and its like.
fn decoded(text: &str) -> Result<String, OpenError> {
    let wrong = || OpenError::Url("sslrootcert is not a path".to_owned());
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| wrong())?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says_of_encryption() {
        let of = |url: &str| encryption(url).unwrap();
        let said = |mode, proof| Encryption { mode, proof, roots: None };
        for (sslmode, mode, proof) in [
            ("disable", SslMode::Disable, Proof::Nothing),
            ("prefer", SslMode::Prefer, Proof::Nothing),
            ("require", SslMode::Require, Proof::Nothing),
            ("verify-ca", SslMode::Require, Proof::Authority),
            ("verify-full", SslMode::Require, Proof::Name),
            ("verify-full&sslrootcert=system", SslMode::Require, Proof::Name),
        ] {
            let (plain, found) = of(&format!("postgres://h/d?sslmode={sslmode}&user=u"));
            assert_eq!(plain, "postgres://h/d?user=u");
            assert_eq!(found, said(mode, proof), "{sslmode}");
        }
        let (plain, found) = of("postgres://h/d?sslmode=require&sslrootcert=/etc/a%20b.pem");
        assert_eq!(plain, "postgres://h/d");
        assert_eq!((found.proof, found.roots), (Proof::Authority, Some("/etc/a b.pem".into())));
        assert_eq!(of("postgres://h/d").1, said(SslMode::Prefer, Proof::Nothing));
        assert!(encryption("postgres://h/d?sslmode=maybe").is_err());
        assert!(encryption("postgres://h/d?sslrootcert=%2").is_err());
    }

    #[test]
    fn several_hosts_are_each_given_less_time() {
        let one = target("postgres://u@a/d").unwrap();
        let three = target("postgres://u@a,b,c:5433/d").unwrap();
        assert_eq!(one.config.get_connect_timeout(), Some(&CONNECT));
        assert_eq!(three.config.get_connect_timeout(), Some(&CONNECT_ONE_OF_MANY));
        assert_eq!(three.within, 3 * CONNECT_ONE_OF_MANY);
    }

    #[test]
    fn no_error_holds_the_password() {
        for url in ["postgres://u:hush@h:port/d", "postgres://u:hush@h/d?sslmode=hush", "hush"] {
            let Err(error) = target(url) else { panic!("{url}") };
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }
}
