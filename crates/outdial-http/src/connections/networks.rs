//! Addresses and networks, as an operator writes them; and who a client is, behind proxies.

use std::fmt;
use std::net::IpAddr;

use axum::http::HeaderMap;
use serde::Deserialize;

/// A list of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Networks {
    /// This machine.
    pub fn loopback() -> Self {
        let v4 = Network { address: IpAddr::from([127, 0, 0, 0]), bits: 8 };
        Self(vec![v4, Network { address: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), bits: 128 }])
    }

    /// `address` is in one of them. An IPv4 address that is written as IPv6 is itself.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

impl TryFrom<String> for Networks {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let each = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        each.map(|part| {
            let wrong =
                || format!("{part:?} is no network: write for instance 10.0.0.0/8 or 10.1.2.3");
            let (address, bits) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), |b| b.parse().map_err(|_| wrong()))?;
            if bits > most { Err(wrong()) } else { Ok(Network { address, bits }) }
        })
        .collect::<Result<_, _>>()
        .map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Network { address, bits }) in self.0.iter().enumerate() {
            write!(f, "{}{address}/{bits}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differs = u32::from(ours) ^ u32::from(theirs);
                differs.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differs = u128::from(ours) ^ u128::from(theirs);
                differs.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Who is counted together: an IPv4 address, or the IPv6 network that one customer has (/64).
pub(crate) fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

/// The client of a request that came over a connection from `peer`. What a trusted proxy says is
/// believed, and what one of them says of another; never what anybody else says. None: a trusted
/// proxy speaks for itself.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return Some(peer);
    }
    let values: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|v| v.to_str().unwrap_or("?")).collect();
    // Each proxy adds at the end who it has heard it from.
    for text in values.iter().rev().flat_map(|value| value.rsplit(',')).map(str::trim) {
        let Ok(address) = text.parse::<IpAddr>() else { return Some(peer) };
        if !trusted.contains(address) {
            return Some(address.to_canonical());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        Networks::try_from(text.to_owned()).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_as_they_are_written() {
        let some = networks("10.0.0.0/8, 192.0.2.7,fd00::/8 , 0.0.0.0/32");
        for inside in ["10.255.0.1", "192.0.2.7", "fdab::1", "::ffff:10.1.1.1", "0.0.0.0"] {
            assert!(some.contains(ip(inside)), "{inside}");
        }
        for outside in ["11.0.0.0", "192.0.2.8", "fe80::1", "::1"] {
            assert!(!some.contains(ip(outside)), "{outside}");
        }
        assert!(networks("0.0.0.0/0").contains(ip("1.2.3.4")));
        assert!(networks("::/0").contains(ip("2001:db8::1")));
        assert_eq!(networks(" "), Networks::default());
        let loopback = Networks::loopback();
        assert!(loopback.contains(ip("127.1.2.3")) && loopback.contains(ip("::1")));
        assert_eq!(networks(&loopback.to_string()), loopback);
        for bad in ["10.0.0.0/33", "x", "10.0.0.0/", "::/129", "10.0.0.0/-1", "localhost"] {
            let text = Networks::try_from(bad.to_owned()).unwrap_err();
            assert!(text.contains(bad), "{text}");
        }
    }

    #[test]
    fn who_the_client_is() {
        let trusted = networks("10.0.0.0/8");
        for (peer, forwarded, expected) in [
            ("203.0.113.1", &[][..], Some("203.0.113.1")),
            // Whoever is not trusted may say what he likes.
            ("203.0.113.1", &["198.51.100.1"], Some("203.0.113.1")),
            ("10.0.0.1", &[], None),
            ("::ffff:10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1, 10.0.0.2"], Some("198.51.100.1")),
            ("10.0.0.1", &["127.0.0.1", "198.51.100.1", "10.0.0.2"], Some("198.51.100.1")),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], None),
            ("10.0.0.1", &["198.51.100.1, unknown"], Some("10.0.0.1")),
            ("10.0.0.1", &["\u{e9}"], Some("10.0.0.1")),
            ("10.0.0.1", &["2001:db8::1"], Some("2001:db8::1")),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                let value = axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append("x-forwarded-for", value);
            }
            let found = client(ip(peer), &headers, &trusted);
            assert_eq!(found, expected.map(ip), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_customer_has_a_network() {
        assert_eq!(group(ip("2001:db8:1:2:3::4")), ip("2001:db8:1:2::"));
        assert_eq!(group(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
