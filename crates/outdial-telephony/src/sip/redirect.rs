//! Where a trunk may send us on (RFC 3261 section 8.1.3.4): over which transport, and whether that
//! is still the trunk. It must never take a call that was to be secret over an open way, or take a
//! stranger for the trunk: the trunk's credentials are for the trunk alone.

use std::net::IpAddr;
use std::sync::Arc;

use outdial_ports::Monotonic;
use outdial_ports::store::Transport;

use super::call::Dialog;
use super::message::SipUri;
use super::trunk::{Place, Trunk};
use super::{Context, Open};

/// How a contact is reached from a trunk that is reached over `from`: as the contact says, else
/// as the trunk. None: it must not be followed, or we cannot.
pub(crate) fn transport_to(from: Transport, contact: &SipUri) -> Option<Transport> {
    let asked = match contact.param("transport") {
        Some(word) => Some(Transport::parse(&word.to_ascii_lowercase())?),
        None => None,
    };
    match asked {
        _ if !contact.is_sip() => None,
        // `sips` over TCP is TLS (RFC 3261 section 26.2.2).
        Some(Transport::Udp) if contact.is_sips() => None,
        _ if contact.is_sips() => Some(Transport::Tls),
        Some(Transport::Udp | Transport::Tcp) if from == Transport::Tls => None,
        asked => Some(asked.unwrap_or(from)),
    }
}

/// The names of a trunk: its own, and its proxy's.
fn names(trunk: &Trunk) -> impl Iterator<Item = Place> {
    let host = Place { host: trunk.spec.host.clone(), port: trunk.spec.port };
    let proxy = trunk.spec.proxy.as_deref().map(Place::parse);
    [Some(host), proxy].into_iter().flatten()
}

/// The addresses of a trunk that could be found until `by`.
async fn addresses(ctx: &Context, open: &Open, trunk: &Trunk, by: Monotonic) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for name in names(trunk) {
        all.extend(located(ctx, open, &name, trunk.spec.transport, by).await);
    }
    all
}

async fn located(
    ctx: &Context,
    open: &Open,
    place: &Place,
    transport: Transport,
    by: Monotonic,
) -> Vec<IpAddr> {
    let chance = ctx.entropy.next_u64();
    let located = open.resolver.locate(&place.host, place.port, transport, chance);
    let located = tokio::select! {
        biased;
        located = located => located.unwrap_or_default(),
        () = ctx.clock.sleep_until(by) => Vec::new(),
    };
    located.into_iter().map(|addr| addr.ip().to_canonical()).collect()
}

/// Whether a place is the trunk itself, by its name or by all of its addresses. What cannot be
/// found out until `by` is not.
pub(crate) async fn is_own(
    ctx: &Context,
    open: &Open,
    trunk: &Trunk,
    (place, transport): (&Place, Transport),
    by: Monotonic,
) -> bool {
    if names(trunk).any(|own| own.host.eq_ignore_ascii_case(&place.host)) {
        return true;
    }
    let there = located(ctx, open, place, transport, by).await;
    let own = addresses(ctx, open, trunk, by).await;
    !there.is_empty() && there.iter().all(|ip| own.contains(ip))
}

/// The trunks over which a call of ours may have gone whose peer is at `ip`, with their addresses:
/// their domain stands in its `From`.
pub(crate) async fn trunks_at(
    ctx: &Context,
    open: &Open,
    dialog: &Dialog,
    ip: IpAddr,
    by: Monotonic,
) -> Vec<(Arc<Trunk>, Vec<IpAddr>)> {
    let mut found = Vec::new();
    for trunk in ctx.trunks() {
        if trunk.domain().eq_ignore_ascii_case(dialog.local.host()) {
            let own = addresses(ctx, open, &trunk, by).await;
            if own.contains(&ip.to_canonical()) {
                found.push((trunk, own));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_contact_says_and_never_from_tls_to_less() {
        use Transport::{Tcp, Tls, Udp};
        let table = [
            (Udp, "sip:1@h", Some(Udp)),
            (Tcp, "sip:1@h", Some(Tcp)),
            (Tls, "sip:1@h", Some(Tls)),
            (Udp, "sip:1@h;transport=TCP", Some(Tcp)),
            (Udp, "sip:1@h;transport=tls", Some(Tls)),
            (Tcp, "sip:1@h;transport=udp", Some(Udp)),
            (Udp, "sip:1@h;transport=sctp", None),
            (Udp, "sip:1@h;transport", None),
            (Tls, "sip:1@h;transport=udp", None),
            (Tls, "sip:1@h;transport=tcp", None),
            (Tls, "sip:1@h;transport=tls", Some(Tls)),
            (Udp, "sips:1@h", Some(Tls)),
            (Tls, "sips:1@h;transport=tcp", Some(Tls)),
            (Udp, "sips:1@h;transport=udp", None),
            (Udp, "tel:+1", None),
        ];
        for (from, contact, to) in table {
            let uri = SipUri::parse(contact).unwrap();
            assert_eq!(transport_to(from, &uri), to, "{from:?} {contact}");
        }
    }
}
