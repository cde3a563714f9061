//! The address of a webhook endpoint. Taken apart once, by this parser alone: whoever connects goes
//! by these parts, so that no second reading of the text can lead elsewhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::is_public;

/// Longest URL, in bytes.
const URL_MAX_BYTES: usize = 2_048;
/// Longest name of a host, in bytes (RFC 1035).
const HOST_MAX_BYTES: usize = 253;

/// What the operator allows of receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// `http://` too.
    pub http: bool,
    /// Addresses that are not public too.
    pub private: bool,
}

/// Where a receiver is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A name to look up; lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

/// A URL that may be delivered to, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl {
    /// `https`, not `http`.
    pub is_https: bool,
    /// Where.
    pub host: Host,
    /// The port, the scheme's own if none is written.
    pub port: u16,
    /// Path and query as written; begins with `/`.
    pub target: String,
}

/// The text is no URL to deliver to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidUrl(pub &'static str);

impl WebhookUrl {
    /// Reads a URL: `https://HOST[:PORT][/PATH][?QUERY]`, and what `reach` allows beside.
    pub fn parse(text: &str, reach: Reach) -> Result<Self, InvalidUrl> {
        let wrong = |why| Err(InvalidUrl(why));
        if text.len() > URL_MAX_BYTES {
            return wrong("write at most 2048 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['\\', '"', '<', '>']) {
            return wrong("write a URL: ASCII without spaces, anything else percent-encoded");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong("write a URL that begins with https://");
        };
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return wrong("write a URL that begins with https://");
        }
        if !is_https && !reach.http {
            return wrong("only https:// is allowed here");
        }
        if rest.contains('#') {
            return wrong("a fragment (#…) is never sent: leave it out");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return wrong("no user and password in the URL: deliveries are signed");
        }
        let (host, port) = split_port(authority)?;
        let host = parse_host(host)?;
        if let Host::Address(address) = host
            && !reach.private
            && !is_public(address)
        {
            return wrong("only public addresses are allowed here");
        }
        let default_port = if is_https { 443 } else { 80 };
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Ok(Self { is_https, host, port: port.unwrap_or(default_port), target })
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        match (self.is_https, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), InvalidUrl> {
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_host..].find(':').map(|at| after_host + at) else {
        return Ok((authority, None));
    };
    let port = &authority[colon + 1..];
    match port.parse() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((&authority[..colon], Some(number)))
        }
        _ => Err(InvalidUrl("the port must be a number from 1 to 65535")),
    }
}

fn parse_host(text: &str) -> Result<Host, InvalidUrl> {
    let wrong = InvalidUrl("the host must be a name such as hooks.example.com, or an address");
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(|| wrong.clone())?;
        return inner.parse::<Ipv6Addr>().map(|v6| Host::Address(v6.into())).map_err(|_| wrong);
    }
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(v4.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // `127.1`, `2130706433` and `0x7f.1` are addresses to some resolvers.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .or(last.strip_prefix("0X"))
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if name.len() > HOST_MAX_BYTES || is_number || !name.split('.').all(is_label) {
        return Err(wrong);
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Reach = Reach { http: true, private: true };

    #[test]
    fn parts() {
        for (text, authority, port, target) in [
            ("https://Hooks.Example.com", "hooks.example.com", 443, "/"),
            ("HTTPS://hooks.example.com.:8443/a/b?c=d", "hooks.example.com:8443", 8443, "/a/b?c=d"),
            ("https://example.com?x", "example.com", 443, "/?x"),
            ("https://1.1.1.1:443/", "1.1.1.1", 443, "/"),
            ("https://[2606:4700::1111]:99/x", "[2606:4700::1111]:99", 99, "/x"),
            ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ] {
            let url = WebhookUrl::parse(text, Reach::default()).unwrap();
            assert_eq!((&*url.authority(), url.port, &*url.target), (authority, port, target));
        }
        let url = WebhookUrl::parse("http://127.0.0.1:80/x", OPEN).unwrap();
        assert_eq!((url.is_https, &*url.authority()), (false, "127.0.0.1"));
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https:///x",
            "https://a b/",
            "https://user@example.com/",
            "https://u:p@example.com/",
            "https://example.com/#x",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://example.com:/",
            "https://example.com:+80/",
            "https://[::1/",
            "https://::1/",
            "https://-a.com/",
            "https://a..com/",
            "https://ex\\ample.com/",
            "https://bücher.example/",
            "https://example.com\n/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://a.0x1/",
            "https://1.2.3.4.5/",
            "https://0177.0.0.1/",
            "https://[fe80::1%25eth0]/",
            "https://%31.1.1.1/",
            "https://[1.2.3.4]/",
        ] {
            assert!(WebhookUrl::parse(text, OPEN).is_err(), "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_MAX_BYTES));
        assert!(WebhookUrl::parse(&long, OPEN).is_err());
    }

    #[test]
    fn what_only_the_operator_allows() {
        for (text, reach) in [
            ("http://example.com/", Reach { http: true, private: false }),
            ("https://127.0.0.1/", Reach { http: false, private: true }),
            ("https://[::ffff:10.0.0.1]/", Reach { http: false, private: true }),
            ("https://169.254.169.254/latest", Reach { http: false, private: true }),
        ] {
            assert!(WebhookUrl::parse(text, Reach::default()).is_err(), "{text}");
            assert!(WebhookUrl::parse(text, reach).is_ok(), "{text}");
        }
    }
}
