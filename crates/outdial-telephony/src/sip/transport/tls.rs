//! What TLS needs: whom to trust, and who we are. With `verify` it must never accept a certificate
//! that is not valid for the name.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Peer, TransportError};

/// Where TLS connections of peers are taken.
#[derive(Clone, Debug)]
pub struct TlsListen {
    /// Port 0: the system chooses one.
    pub listen: SocketAddr,
    /// Our certificate and those that lead to its root, PEM.
    pub certificates: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl TlsListen {
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, TransportError> {
        let unread = |path: &Path, error: &dyn fmt::Display| {
            TransportError::Tls(format!("cannot read {}: {error}", path.display()))
        };
        let certificates = certificates(&self.certificates)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unread(&self.key, &e))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| TransportError::Tls(e.to_string()))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|e| unread(&self.certificates, &e))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Connectors, made when they are first needed.
pub(super) struct Tls {
    extra_ca: Option<PathBuf>,
    strict: OnceCell<TlsConnector>,
    lax: OnceCell<TlsConnector>,
}

impl Tls {
    pub(super) fn new(extra_ca: Option<PathBuf>) -> Self {
        Self { extra_ca, strict: OnceCell::new(), lax: OnceCell::new() }
    }

    pub(super) async fn connector(&self, peer: &Peer) -> Result<TlsConnector, TransportError> {
        let made = if peer.verify {
            let extra_ca = self.extra_ca.clone();
            let make = async || {
                let made = tokio::task::spawn_blocking(move || strict(extra_ca.as_deref())).await;
                made.map_err(|e| TransportError::Tls(e.to_string()))?
            };
            self.strict.get_or_try_init(make).await
        } else {
            self.lax.get_or_try_init(async || lax()).await
        };
        made.cloned()
    }
}

/// The name that a peer's certificate must carry.
pub(super) fn server_name(peer: &Peer) -> Result<ServerName<'static>, TransportError> {
    match &peer.host {
        Some(host) => ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| TransportError::Tls("the host's name cannot be in a certificate".into())),
        None => Ok(ServerName::IpAddress(peer.addr.ip().into())),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(TransportError::Tls(format!("no certificate in {}", path.display())))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(TransportError::Tls(format!("cannot read {}: {error}", path.display()))),
    }
}

fn strict(extra_ca: Option<&Path>) -> Result<TlsConnector, TransportError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a root certificate of the machine cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_ca {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|e| TransportError::Tls(e.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(TransportError::Tls("there are no root certificates to trust".into()));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TransportError::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn lax() -> Result<TlsConnector, TransportError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TransportError::Tls(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider())))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Believes every certificate; only for trunks whose settings say so.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
