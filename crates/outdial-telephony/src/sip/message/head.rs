//! The headers of a message that was read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rsipstack::sip as rsip;
use rsipstack::sip::Header;

use super::{Address, Malformed, Method, SipUri, grammar, uri};

/// The longest wait that a `Retry-After` is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// The most addresses that are read of one header.
const MAX_ADDRESSES: usize = 32;

/// The headers of a message. What must be there has been read.
#[derive(Clone)]
pub(crate) struct Head {
    /// The top `Via`.
    pub(crate) via: Via,
    /// Who began the dialog.
    pub(crate) from: Address,
    /// With whom.
    pub(crate) to: Address,
    /// `Call-ID`.
    pub(crate) call_id: String,
    /// The number of `CSeq`, below 2^31.
    pub(crate) cseq: u32,
    /// The method of `CSeq`.
    pub(crate) method: Method,
    /// Every `Via`, one entry each, the top one first.
    vias: Vec<String>,
    others: rsip::Headers,
}

/// The top `Via`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Via {
    /// How it was sent, in capitals: `UDP`.
    pub(crate) transport: String,
    /// Who says to have sent it.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: Option<u16>,
    /// Of which transaction.
    pub(crate) branch: String,
    /// Where it came from, as the receiver saw it.
    pub(crate) received: Option<IpAddr>,
    /// The port it came from; `Some(None)`: asked for, and not filled in.
    pub(crate) rport: Option<Option<u16>>,
}

/// Who refreshes a session (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

/// Without whom: this may stand in a log.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {:?}", self.cseq, self.method, self.call_id)
    }
}

impl Head {
    /// Takes what must be there out of `headers`.
    pub(super) fn new(mut headers: rsip::Headers) -> Result<Self, Malformed> {
        let vias = split_all(&headers, "Via").ok_or(Malformed::Via)?;
        let via = vias.first().and_then(|v| Via::parse(v)).ok_or(Malformed::Via)?;
        let from = one(&headers, "From")?;
        let from = Address::parse(from).ok_or(Malformed::Address)?;
        let to = Address::parse(one(&headers, "To")?).ok_or(Malformed::Address)?;
        let call_id = one(&headers, "Call-ID")?.to_owned();
        if !(1..=512).contains(&call_id.len()) || call_id.contains([' ', '\t', ',', ';']) {
            return Err(Malformed::Header);
        }
        let (cseq, method) = cseq(one(&headers, "CSeq")?).ok_or(Malformed::CSeq)?;
        let read = |h: &Header| {
            matches!(
                h,
                Header::Via(_)
                    | Header::From(_)
                    | Header::To(_)
                    | Header::CallId(_)
                    | Header::CSeq(_)
                    | Header::ContentLength(_)
            )
        };
        headers.retain(|h| !read(h));
        Ok(Self { via, from, to, call_id, cseq, method, vias, others: headers })
    }

    /// The value of the first header of that name, of those that are not fields here. Names are
    /// the long ones, whatever the case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// The values of all headers of that name, as [`Head::get`].
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        values(&self.others, name).collect()
    }

    /// The entries of all headers of that name, cut at commas. Empty also if one cannot be read.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        split_all(&self.others, name).unwrap_or_default()
    }

    /// Every `Via`, the top one first.
    pub(crate) fn vias(&self) -> &[String] {
        &self.vias
    }

    /// The contacts; empty also if one cannot be read, or for `*`.
    pub(crate) fn contacts(&self) -> Vec<Address> {
        self.addresses("Contact")
    }

    /// The first contact.
    pub(crate) fn contact(&self) -> Option<Address> {
        self.contacts().into_iter().next()
    }

    /// `Record-Route` from top to bottom. None: there is one that cannot be read.
    pub(crate) fn record_route(&self) -> Option<Vec<SipUri>> {
        let lines = values(&self.others, "Record-Route").count();
        let route = self.addresses("Record-Route");
        let is_whole = route.len() >= lines;
        is_whole.then(|| route.into_iter().map(|a| a.uri).collect())
    }

    fn addresses(&self, name: &str) -> Vec<Address> {
        let entries = self.list(name);
        if entries.len() > MAX_ADDRESSES {
            return Vec::new();
        }
        let all: Option<Vec<_>> = entries.iter().map(|text| Address::parse(text)).collect();
        all.unwrap_or_default()
    }

    /// `Retry-After`, at most an hour.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = leading_number(self.get("Retry-After")?)?;
        Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
    }

    /// The cause of a `Reason: Q.850` (RFC 3326).
    pub(crate) fn q850(&self) -> Option<u8> {
        self.list("Reason").iter().find_map(|entry| {
            let (protocol, params) = entry.split_once(';')?;
            if !protocol.trim().eq_ignore_ascii_case("Q.850") {
                return None;
            }
            let params = grammar::params(params)?;
            let cause = grammar::param(&params, "cause")??.parse().ok()?;
            (1..=127).contains(&cause).then_some(cause)
        })
    }

    /// `Session-Expires` (RFC 4028): seconds, and who refreshes.
    pub(crate) fn session_expires(&self) -> Option<(u32, Option<Refresher>)> {
        let value = self.get("Session-Expires")?;
        let seconds = u32::try_from(leading_number(value)?).ok()?;
        let params = grammar::params(value.split_once(';').map_or("", |(_, p)| p))?;
        let refresher = match grammar::param(&params, "refresher").flatten() {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some((seconds, refresher))
    }

    /// `Min-SE`, in seconds.
    pub(crate) fn min_se(&self) -> Option<u32> {
        u32::try_from(leading_number(self.get("Min-SE")?)?).ok()
    }

    /// `Expires`, in seconds.
    pub(crate) fn expires(&self) -> Option<u32> {
        u32::try_from(leading_number(self.get("Expires")?)?).ok()
    }

    /// `Supported` or `Require` names that extension.
    pub(crate) fn supports(&self, tag: &str) -> bool {
        let is_it = |entry: &String| entry.eq_ignore_ascii_case(tag);
        self.list("Supported").iter().any(is_it) || self.list("Require").iter().any(is_it)
    }

    /// The extensions that must be understood.
    pub(crate) fn requires(&self) -> Vec<String> {
        self.list("Require")
    }

    /// `Allow` names that method. False if there is no `Allow`.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        self.list("Allow").iter().any(|entry| entry == method.as_str())
    }

    /// The body is a session description.
    pub(crate) fn content_type_is_sdp(&self) -> bool {
        let kind = self.get("Content-Type").and_then(|value| value.split(';').next());
        kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/sdp"))
    }

    pub(super) fn set_received(&mut self, from: SocketAddr) {
        self.via.received = Some(from.ip());
        self.via.rport = Some(Some(from.port()));
        let Some(top) = self.vias.first_mut() else { return };
        let mut kept = grammar::split(top, ';').unwrap_or_default();
        kept.retain(|part| {
            let name = part.split('=').next().unwrap_or_default().trim_end();
            !name.eq_ignore_ascii_case("received") && !name.eq_ignore_ascii_case("rport")
        });
        *top = format!("{};received={};rport={}", kept.join(";"), from.ip(), from.port());
    }
}

impl Via {
    /// Reads one entry.
    fn parse(text: &str) -> Option<Self> {
        let parsed = rsip::typed::Via::parse(text).ok()?;
        let (protocol, _) = text.split_once('/')?;
        if !protocol.trim().eq_ignore_ascii_case("SIP") {
            return None;
        }
        let sent_by = parsed.sent_by().to_string();
        let (host, port) = uri::host_and_port(&sent_by)?;
        let branch = parsed.branch()?.value().to_owned();
        if branch.len() > 256 || !grammar::is_token(&branch.replace(['=', ':', '/', '@'], "-")) {
            return None;
        }
        let received = parsed.received().and_then(Result::ok);
        let rport = parsed.rport();
        Some(Self { transport: parsed.transport.to_string(), host, port, branch, received, rport })
    }
}

fn values<'a>(headers: &'a rsip::Headers, name: &str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |h| h.name().eq_ignore_ascii_case(name)).map(|h| h.value().trim())
}

/// All entries of all headers of that name. None: one cannot be read.
fn split_all(headers: &rsip::Headers, name: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for value in values(headers, name) {
        all.extend(grammar::split(value, ',')?.into_iter().map(str::to_owned));
    }
    Some(all)
}

/// The value of a header that must be there once.
fn one<'a>(headers: &'a rsip::Headers, name: &str) -> Result<&'a str, Malformed> {
    let mut all = values(headers, name);
    let value = all.next().ok_or(Malformed::Missing)?;
    if all.next().is_some() { Err(Malformed::Twice) } else { Ok(value) }
}

fn cseq(text: &str) -> Option<(u32, Method)> {
    let mut parts = text.split_ascii_whitespace();
    let (number, method) = (parts.next()?, parts.next()?);
    if parts.next().is_some() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = number.parse().ok().filter(|n| *n < 1 << 31)?;
    Some((number, Method::parse(method)?))
}

/// The number that `text` begins with, before a space, `;` or `(`. A longer one than fits is the
/// longest.
fn leading_number(text: &str) -> Option<u64> {
    let number = text.split([' ', '\t', ';', '(']).next()?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| number.parse().unwrap_or(u64::MAX))
}
