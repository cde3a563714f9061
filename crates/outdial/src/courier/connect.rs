//! From a host to a connection: the name is looked up once, what is not allowed is left out, and
//! nobody looks it up again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outdial_core::webhook::{Host, is_public};
use outdial_ports::{CourierError, CourierErrorKind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failed;

/// Of the addresses of a name, so many are tried.
const ADDRESSES_MAX: usize = 4;
/// For so long each, unless it is the only one.
const EACH_LIMIT: Duration = Duration::from_secs(3);

/// Who knows names.
pub(super) enum Resolver {
    /// The operating system.
    System,
    /// A table.
    #[cfg(test)]
    Table(std::collections::BTreeMap<&'static str, Vec<SocketAddr>>),
}

impl Resolver {
    /// The addresses of a host that may be connected to.
    pub(super) async fn lookup(
        &self,
        host: &Host,
        port: u16,
        private: bool,
    ) -> Result<Vec<SocketAddr>, CourierError> {
        let found = match host {
            Host::Address(address) => vec![SocketAddr::new(*address, port)],
            Host::Name(name) => self.addresses(name, port).await?,
        };
        if found.is_empty() {
            return Err(failed(CourierErrorKind::Dns, "the name has no address"));
        }
        let allowed = found.into_iter().filter(|a| private || is_public(a.ip()));
        let allowed: Vec<_> = allowed.take(ADDRESSES_MAX).collect();
        match allowed.is_empty() {
            true => Err(failed(CourierErrorKind::Forbidden, "the name has no public address")),
            false => Ok(allowed),
        }
    }

    async fn addresses(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, CourierError> {
        match self {
            Self::System => match tokio::net::lookup_host((name, port)).await {
                Ok(found) => Ok(found.collect()),
                Err(_) => Err(failed(CourierErrorKind::Dns, "the name cannot be looked up")),
            },
            #[cfg(test)]
            Self::Table(table) => Ok(table.get(name).cloned().unwrap_or_default()),
        }
    }
}

/// Connects to the first address that takes it.
pub(super) async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, CourierError> {
    let mut last = failed(CourierErrorKind::Connect, "no address");
    for (at, address) in addresses.iter().enumerate() {
        let connecting = TcpStream::connect(address);
        let connected = match at + 1 == addresses.len() {
            // The limit of the whole exchange holds.
            true => connecting.await,
            false => match tokio::time::timeout(EACH_LIMIT, connecting).await {
                Ok(connected) => connected,
                Err(late) => Err(late.into()),
            },
        };
        match connected {
            Ok(stream) => {
                let _only_slower = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = failed(CourierErrorKind::Connect, error.kind().to_string()),
        }
    }
    Err(last)
}

/// What is needed for TLS; certificates are read when it is first.
pub(super) struct Tls {
    ca_file: Option<PathBuf>,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub(super) fn new(ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, connector: OnceCell::new() }
    }

    /// The handshake; the certificate must be good for the host.
    pub(super) async fn handshake(
        &self,
        host: &Host,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, CourierError> {
        let tls = |text: String| failed(CourierErrorKind::Tls, text);
        let connector = self.connector.get_or_try_init(async || {
            let ca_file = self.ca_file.clone();
            let made = tokio::task::spawn_blocking(move || connector(ca_file.as_deref())).await;
            made.context("making a TLS client").flatten()
        });
        let connector = match connector.await {
            Ok(connector) => connector,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "no webhook over TLS can be sent");
                return Err(tls("TLS is not set up on our side".to_owned()));
            }
        };
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| tls("the host's name cannot be in a certificate".to_owned()))?,
            Host::Address(address) => ServerName::IpAddress((*address).into()),
        };
        connector.connect(name, stream).await.map_err(|e| tls(e.to_string()))
    }
}

fn connector(ca_file: Option<&Path>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a root certificate of the machine cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        let unread = || format!("webhooks.ca_file: {} cannot be read", path.display());
        for certificate in CertificateDer::pem_file_iter(path).with_context(unread)? {
            roots.add(certificate.with_context(unread)?).with_context(unread)?;
        }
    }
    ensure!(!roots.is_empty(), "there are no root certificates to trust");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
