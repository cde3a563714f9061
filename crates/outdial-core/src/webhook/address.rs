//! Which addresses are on the public internet. Whatever is not stays out of a webhook's reach:
//! this machine, its network, the metadata service of its cloud, and every way to write those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a packet to this address leaves for the public internet (IANA's special-purpose
/// registries, RFC 6890). What carries an IPv4 address inside is judged by that.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let special = [
        ([0, 0, 0, 0], 8),       // this network
        ([10, 0, 0, 0], 8),      // private
        ([100, 64, 0, 0], 10),   // carrier-grade NAT
        ([127, 0, 0, 0], 8),     // loopback
        ([169, 254, 0, 0], 16),  // link local, and metadata services
        ([172, 16, 0, 0], 12),   // private
        ([192, 0, 0, 0], 24),    // protocol assignments
        ([192, 0, 2, 0], 24),    // documentation
        ([192, 31, 196, 0], 24), // AS112
        ([192, 52, 193, 0], 24), // AMT
        ([192, 88, 99, 0], 24),  // 6to4 relays
        ([192, 168, 0, 0], 16),  // private
        ([192, 175, 48, 0], 24), // AS112
        ([198, 18, 0, 0], 15),   // benchmarks
        ([198, 51, 100, 0], 24), // documentation
        ([203, 0, 113, 0], 24),  // documentation
        ([224, 0, 0, 0], 3),     // multicast, reserved, broadcast
    ];
    let is_within = |(net, bits): ([u8; 4], u32)| {
        (u32::from(v4) ^ u32::from(Ipv4Addr::from(net))) >> (32 - bits) == 0
    };
    // Metadata services that are outside of link local.
    let metadata = [[168, 63, 129, 16]];
    !special.into_iter().any(is_within) && !metadata.contains(&v4.octets())
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    if let Some(v4) = embedded(v6) {
        return is_public_v4(v4);
    }
    let s = v6.segments();
    // ISATAP (RFC 5214): an IPv4 address behind any prefix, so both must be public.
    let leads_inside =
        matches!(s, [_, _, _, _, 0 | 0x0200, 0x5efe, ..]) && !is_public_v4(ends_at(s[6], s[7]));
    // Global unicast is 2000::/3 and nothing else.
    let is_global = s[0] >> 13 == 1;
    let is_special = match (s[0], s[1]) {
        // Protocol assignments (Teredo, benchmarks, ORCHID …).
        (0x2001, second) if second < 0x0200 => true,
        // Documentation.
        (0x2001, 0x0db8) => true,
        (0x3fff, second) if second < 0x1000 => true,
        // AS112.
        (0x2620, 0x004f) => s[2] == 0x8000,
        _ => false,
    };
    is_global && !is_special && !leads_inside
}

fn ends_at(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

/// The IPv4 address that a packet to this one ends at.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    match s {
        // Mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96), compatible (::/96).
        [0, 0, 0, 0, 0, 0xffff, a, b]
        | [0, 0, 0, 0, 0xffff, 0, a, b]
        | [0, 0, 0, 0, 0, 0, a, b] => Some(ends_at(a, b)),
        // NAT64, by its well-known prefix (RFC 6052) and the one for local use (RFC 8215), where
        // the network's operator says what is inside: taken for private.
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Some(ends_at(a, b)),
        [0x64, 0xff9b, 1, ..] => Some(Ipv4Addr::LOCALHOST),
        // 6to4.
        [0x2002, a, b, ..] => Some(ends_at(a, b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001:800::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860:4860::8888",
            "2a00:1450:4001:800:200:5efe:808:808",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn everything_else() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "192.88.99.1",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "2001:2::1",
            "2001:20::1",
            "2620:4f:8000::1",
            "5f00::1",
            "4000::1",
            "2a00:1450:4001:800:0:5efe:7f00:1",
            "2a00:1450:4001:800:200:5efe:a00:1",
            "fd00::5efe:808:808",
            "fe80::5efe:808:808",
            "fe80::200:5efe:808:808",
            "ff0e::5efe:808:808",
            "2001:db8::5efe:808:808",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }
}
