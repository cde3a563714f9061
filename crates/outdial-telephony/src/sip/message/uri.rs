//! Addresses: `sip:` URIs and what stands in `From`, `To`, `Contact`, `Record-Route`.

use std::fmt;
use std::net::Ipv6Addr;

use rsipstack::sip as rsip;

use super::Unfit;
use super::grammar;

/// A URI as the peer wrote it, without its `?headers`. It goes out again byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SipUri {
    text: String,
    scheme: Scheme,
    /// Escaped, without a password; of other schemes everything after the colon.
    user: Option<String>,
    /// An IPv6 address without its brackets.
    host: String,
    port: Option<u16>,
    params: Vec<(String, Option<String>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Sip,
    Sips,
    /// `tel:` and what else there is; nothing can be sent there.
    Other,
}

impl SipUri {
    /// Of a user at a host, `sip:`. The user is escaped; the host must be a name or an address.
    pub(crate) fn new(user: Option<&str>, host: &str, port: Option<u16>) -> Result<Self, Unfit> {
        let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.into() };
        // Whole: it brings neither a port of its own nor parameters.
        if !matches!(host_and_port(&host), Some((_, None))) {
            return Err(Unfit("a host that is none"));
        }
        let mut text = String::from("sip:");
        if let Some(user) = user {
            text.extend(user.bytes().flat_map(escape));
            text.push('@');
        }
        text.push_str(&host);
        if let Some(port) = port {
            text.push_str(&format!(":{port}"));
        }
        Self::parse(&text).filter(SipUri::is_sip).ok_or(Unfit("a host that is none"))
    }

    /// Reads one. None: it is none, or holds what no URI may.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b)) {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "sip" => Scheme::Sip,
            "sips" => Scheme::Sips,
            other if grammar::is_token(other) && !rest.is_empty() => Scheme::Other,
            _ => return None,
        };
        if scheme == Scheme::Other {
            let (host, port, params) = (String::new(), None, Vec::new());
            let user = Some(rest.to_owned());
            return Some(Self { text: text.to_owned(), scheme, user, host, port, params });
        }
        // The user may hold `;` and `?`; after it an `@` can only stand escaped.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        if user.is_some_and(|u| u.is_empty() || u.contains('@')) {
            return None;
        }
        let (rest, headers) = rest.split_once('?').map_or((rest, None), |(r, h)| (r, Some(h)));
        let (host_port, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = host_and_port(host_port)?;
        let params = grammar::params(params)?;
        let kept = text.len() - headers.map_or(0, |h| h.len() + 1);
        let user = user.map(|u| u.split_once(':').map_or(u, |(name, _)| name).to_owned());
        Some(Self { text: text[..kept].to_owned(), scheme, user, host, port, params })
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// `sip:` or `sips:`.
    pub(crate) fn is_sip(&self) -> bool {
        self.scheme != Scheme::Other
    }

    /// `sips:`.
    pub(crate) fn is_sips(&self) -> bool {
        self.scheme == Scheme::Sips
    }

    /// Whom at the host, unescaped.
    pub(crate) fn user(&self) -> Option<String> {
        self.user.as_deref().map(unescape)
    }

    /// The digits, if the user is a telephone number: without `+`, what stands between the digits,
    /// and its parameters. At most 20.
    pub(crate) fn digits(&self) -> Option<String> {
        let user = self.user()?;
        let number = user.split(';').next()?;
        let number = number.strip_prefix('+').unwrap_or(number);
        let digits: String = number.chars().filter(|c| !"-.() ".contains(*c)).collect();
        let is_number =
            (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then_some(digits)
    }

    /// A name or an address, without brackets; empty if it is not `sip:` or `sips:`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of a parameter, its name in lower case; empty if it has none.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        grammar::param(&self.params, name).map(Option::unwrap_or_default)
    }

    /// The parameter `lr`: loose routing.
    pub(crate) fn is_loose(&self) -> bool {
        self.param("lr").is_some()
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Without whom: this may stand in a log.
impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SipUri(…@{})", self.host)
    }
}

/// What stands in `From`, `To`, `Contact`, `Record-Route`: an address with parameters.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The address.
    pub(crate) uri: SipUri,
    /// The parameter `tag`.
    pub(crate) tag: Option<String>,
    params: Vec<(String, Option<String>)>,
    text: String,
}

impl Address {
    /// Reads one entry of a header.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (uri, params) = match open_bracket(text)? {
            Some(open) => {
                let (uri, rest) = text[open + 1..].split_once('>')?;
                let rest = rest.trim_start();
                if !rest.is_empty() && !rest.starts_with(';') {
                    return None;
                }
                (uri.trim(), rest)
            }
            // Without brackets every parameter is the header's (RFC 3261 section 20).
            None => text.split_once(';').unwrap_or((text, "")),
        };
        let uri = SipUri::parse(uri.trim())?;
        let params = grammar::params(params)?;
        let tag = grammar::param(&params, "tag").flatten().map(str::to_owned);
        if tag.as_deref().is_some_and(|t| !is_tag(t)) {
            return None;
        }
        Some(Self { uri, tag, params, text: text.to_owned() })
    }

    /// The value of a parameter of the header, its name in lower case; empty if it has none.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        grammar::param(&self.params, name).map(Option::unwrap_or_default)
    }

    /// The whole entry, as it was received.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// Without whom: this may stand in a log.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:?}, tag {:?})", self.uri, self.tag)
    }
}

/// `<URI>`, with a tag if there is one.
pub(crate) fn name_addr(uri: &SipUri, tag: Option<&str>) -> String {
    match tag {
        Some(tag) => format!("<{uri}>;tag={tag}"),
        None => format!("<{uri}>"),
    }
}

/// Where the bracket of the address opens: after a name, which may be quoted. `Some(None)`: there
/// is no bracket.
fn open_bracket(text: &str) -> Option<Option<usize>> {
    let name = if text.starts_with('"') { quoted_len(text)? } else { 0 };
    match text[name..].find('<').map(|open| open + name) {
        Some(open) if name > 0 => text[name..open].trim().is_empty().then_some(Some(open)),
        Some(open) if text[..open].contains(['"', ';', ',', '>']) => None,
        None if name > 0 => None,
        found => Some(found),
    }
}

/// How long the quoted string is that `text` begins with, in bytes.
fn quoted_len(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let close = text[1..].find(|c| {
        let closes = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        closes
    })?;
    Some(close + 2)
}

fn is_tag(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && !b";,<>\"\\".contains(&b))
}

/// A host as it stands in a URI or a `Via`, and its port.
pub(super) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let parsed = rsip::HostWithPort::try_from(text).ok()?;
    let port = parsed.port.map(|port| port.0);
    let host = match parsed.host {
        rsip::Host::IpAddr(ip) => ip.to_string(),
        rsip::Host::Domain(name) => name.0,
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let is_host = host.parse::<Ipv6Addr>().is_ok() || host.bytes().all(is_name);
    // The parser takes no notice of what follows a bracket.
    let is_whole = match text.rsplit_once(']') {
        Some((_, "")) => true,
        Some((_, rest)) => rest.starts_with(':') && port.is_some(),
        None => true,
    };
    let fits = !host.is_empty() && host.len() <= 253 && is_host && is_whole && port != Some(0);
    fits.then_some((host, port))
}

/// What may not stand in a user part as it is becomes `%XX`.
fn escape(byte: u8) -> impl Iterator<Item = char> {
    let is_plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&byte);
    let text = if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.chars().collect::<Vec<_>>().into_iter()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> SipUri {
        SipUri::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn reads_what_carriers_write() {
        let plain = uri("sip:+12125551234@192.0.2.7:5080;transport=TCP;lr");
        assert_eq!(plain.digits().as_deref(), Some("12125551234"));
        assert_eq!((plain.host(), plain.port()), ("192.0.2.7", Some(5080)));
        assert_eq!(plain.param("transport"), Some("TCP"));
        assert!(plain.is_loose() && !plain.is_sips());

        let with_params = uri("sip:+1-212.555(1234);npdi;tgrp=a@carrier.example;user=phone");
        assert_eq!(with_params.host(), "carrier.example");
        assert_eq!(with_params.digits().as_deref(), Some("12125551234"));
        assert_eq!(with_params.param("user"), Some("phone"));
        assert_eq!(with_params.param("npdi"), None);

        let six = uri("sips:[2001:db8::1]:5061");
        assert_eq!((six.host(), six.port(), six.user()), ("2001:db8::1", Some(5061), None));
        assert!(six.is_sips());

        let escaped = uri("sip:a%20b%zz:secret@h?Subject=x");
        assert_eq!(escaped.user().as_deref(), Some("a b%zz"));
        assert_eq!(escaped.as_str(), "sip:a%20b%zz:secret@h");

        let tel = uri("tel:+1-212-555-1234;phone-context=x");
        assert!(!tel.is_sip());
        assert_eq!(tel.digits().as_deref(), Some("12125551234"));
        assert_eq!(tel.host(), "");
    }

    #[test]
    fn refuses_what_is_no_uri() {
        for text in [
            "",
            "sip:",
            "sip",
            ":x",
            "sip:a@",
            "sip:@h",
            "sip:a b@h",
            "sip:a@h:0",
            "sip:a@h:65536",
            "sip:a@h:x",
            "sip:a@[::1",
            "sip:a@[::1]x",
            "sip:a@h<",
            "sip:a@\"h\"",
            "sip:a@b@h",
            "sip:é@h",
            "sip:a@h\r\n",
            "tel:",
            "sip:a@h;x=\"",
            "sip:?x",
            "sip:a@h/x",
        ] {
            assert!(SipUri::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn who_is_called_cannot_say_more_than_a_name() {
        for user in ["a\r\nX: y", "a>;tag=b", "a@evil", "a;lr", "a?b", "a b", "\"", "%", "ü", ":"]
        {
            let made = SipUri::new(Some(user), "h", None).unwrap();
            assert_eq!(made.user().as_deref(), Some(user));
            assert_eq!(made.host(), "h");
            assert!(made.params.is_empty());
            assert!(made.as_str().bytes().all(|b| b.is_ascii_graphic() && b != b'>'));
        }
        for host in ["", "a b", "h\r\n", "h;lr", "h>", "h@x", "h:5060x", "[::1]", "h?x", "h/"] {
            let made = SipUri::new(None, host, Some(5060));
            assert!(made.is_err() || host == "[::1]", "{host:?}");
            assert!(SipUri::new(Some("1"), "h:5060", None).is_err());
        }
        let six = SipUri::new(Some("1"), "::1", Some(5060)).unwrap();
        assert_eq!(six.as_str(), "sip:1@[::1]:5060");
    }

    #[test]
    fn reads_names_with_brackets_in_them() {
        let read = |text: &str| Address::parse(text).unwrap_or_else(|| panic!("{text}"));
        let tricky =
            read("\"a <sip:evil@x>;tag=no \\\" b\" <sip:real@y;tag=uri>;x=\"1;tag=2\";tag=t1");
        assert_eq!((tricky.uri.host(), tricky.tag.as_deref()), ("y", Some("t1")));
        assert_eq!(tricky.param("x"), Some("1;tag=2"));
        let bare = read("sip:a@h;tag=t2;lr");
        assert_eq!((bare.uri.as_str(), bare.tag.as_deref()), ("sip:a@h", Some("t2")));
        assert_eq!(read("Bob Smith <sip:a@h>").tag, None);
        assert_eq!(read("<sip:a@h;lr>").uri.param("lr"), Some(""));
        for text in [
            "",
            "<",
            "<>",
            "\"a",
            "\"a\" sip:a@h",
            "a;b <sip:a@h>",
            "<sip:a@h> x",
            "<sip:a@h>;tag=\"a b\"",
            "<sip:a@h",
            "*",
            "<sip:a@h>;tag=",
            "\"a\\\" <sip:a@h>",
        ] {
            assert!(Address::parse(text).is_none(), "{text:?}");
        }
    }
}
