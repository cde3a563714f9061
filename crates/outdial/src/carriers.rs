//! The carriers that the configuration describes, as one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use outdial_ports::{Clock, Entropy, Store};
use outdial_telephony::route::Carriers;
use outdial_telephony::simulated::{SimulatedCarrier, SimulatedConfig};
use outdial_telephony::sip::{SipCarrier, SipConfig, TlsListen};

use crate::config::{self, Config};

/// Opens them. No socket is opened before there is a SIP trunk.
pub(crate) async fn open(
    config: &Config,
    store: &dyn Store,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Carriers> {
    let simulated =
        SimulatedConfig { speed: config.simulated.speed, placed_log: config.simulated.log.clone() };
    let simulated = SimulatedCarrier::new(simulated, clock.clone(), entropy.clone())?;
    let secret = store.secret_fetch().await?;
    let sip = SipCarrier::new(sip(&config.sip), &secret, clock.clone(), entropy.clone())?;
    Ok(Carriers::new(Arc::new(simulated), Arc::new(sip)))
}

/// SIP as the operator wants it.
pub(crate) fn sip(config: &config::SipConfig) -> SipConfig {
    let defaults = SipConfig::default();
    let config::SipConfig { tls_listen, tls_certificate, tls_key, rtp_ports, .. } = config;
    let tls = match (tls_listen, tls_certificate, tls_key) {
        (Some(listen), Some(certificates), Some(key)) => Some(TlsListen {
            listen: *listen,
            certificates: certificates.clone(),
            key: key.clone(),
        }),
        _ => None,
    };
    SipConfig {
        listen: config.listen,
        tls,
        public_address: config.public_address,
        extra_ca: config.ca_file.clone(),
        sound: config.sound.clone(),
        rtp_ports: (rtp_ports.first > 0).then_some(rtp_ports.first..=rtp_ports.last),
        t1: config.t1.or_else(t1_of_tests).unwrap_or(defaults.t1),
        ..defaults
    }
}

/// Tests of silence do not wait half a minute. In no release.
fn t1_of_tests() -> Option<Duration> {
    if !cfg!(feature = "failpoints") {
        return None;
    }
    let ms = std::env::var("OUTDIALTEST_SIP_T1_MS").ok()?.parse().ok()?;
    Some(Duration::from_millis(ms))
}
