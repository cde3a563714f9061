//! Digest authentication (RFC 7616, RFC 8760; RFC 2617 and RFC 2069 of older peers), both sides.
//!
//! Several challenges may come at once: of each side (401 and 407) and realm the strongest is
//! answered that is understood; the others are passed over. The quality of protection is `auth`,
//! or none where the peer knows none. Passwords are never written anywhere.

use std::fmt;

use md5::Md5;
use outdial_ports::store::Secret;
use sha2::{Digest, Sha256};

use super::ids::hex;
use super::message::{Method, Response, quoted};

mod parts;

use parts::Parts;

/// The most challenges of one answer that are looked at.
const MAX_CHALLENGES: usize = 8;

/// Who we are to a trunk.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// The user's name.
    pub(crate) username: String,
    /// The password.
    pub(crate) password: Secret,
}

/// How a digest is made; a later one is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    /// `MD5`.
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
}

impl Algorithm {
    const ALL: [Algorithm; 4] = [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess];

    /// As it is written.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str().eq_ignore_ascii_case(word))
    }

    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Md5 | Self::Md5Sess => hex(&Md5::digest(text)),
            Self::Sha256 | Self::Sha256Sess => hex(&Sha256::digest(text)),
        }
    }

    const fn has_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess)
    }
}

/// What an answer 401 or 407 asks for, as far as we can do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenges(Vec<Challenge>);

#[derive(Clone, PartialEq, Eq)]
struct Challenge {
    /// Into which header the credentials go.
    into: &'static str,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// The peer wrote the algorithm; it is written back only then (RFC 2069).
    is_named: bool,
    /// `auth` was offered; without, there is no `qop`.
    has_qop: bool,
    is_stale: bool,
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.into, self.algorithm)
    }
}

impl Challenges {
    /// Of an answer. None: it asks for nothing that we can do.
    pub(crate) fn of(response: &Response) -> Option<Self> {
        let sides =
            [("WWW-Authenticate", "Authorization"), ("Proxy-Authenticate", "Proxy-Authorization")];
        let mut chosen: Vec<Challenge> = Vec::new();
        for (header, into) in sides {
            let all = response.head.all(header).into_iter().flat_map(parts::schemes);
            for challenge in all.take(MAX_CHALLENGES).filter_map(|text| Challenge::read(text, into))
            {
                let same = |c: &&mut Challenge| c.into == into && c.realm == challenge.realm;
                match chosen.iter_mut().find(same) {
                    Some(other) if other.algorithm < challenge.algorithm => *other = challenge,
                    Some(_) => {}
                    None => chosen.push(challenge),
                }
            }
        }
        (!chosen.is_empty()).then_some(Self(chosen))
    }

    /// The credentials were right, only the nonce was too old.
    pub(crate) fn is_stale(&self) -> bool {
        self.0.iter().any(|c| c.is_stale)
    }

    /// One by one.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        self.0.iter().map(|one| Self(vec![one.clone()]))
    }

    /// All of these are of the same side and realm.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let same = |a: &Challenge, b: &Challenge| a.into == b.into && a.realm == b.realm;
        self.0.iter().all(|a| other.0.iter().all(|b| same(a, b)))
    }

    /// The headers, name and value, with which the request is asked again: its method and the URI
    /// of its request line. `nc` counts the requests with these challenges from 1; `cnonce` is
    /// another for each.
    pub(crate) fn authorize(
        &self,
        who: &Credentials,
        method: &Method,
        uri: &str,
        nc: u32,
        cnonce: &str,
    ) -> Vec<(&'static str, String)> {
        let answer = |c: &Challenge| (c.into, c.answer(who, method, uri, nc, cnonce));
        self.0.iter().map(answer).collect()
    }
}

impl Challenge {
    fn read(text: &str, into: &'static str) -> Option<Self> {
        let parts = Parts::parse(text)?;
        let named = parts.get("algorithm");
        let algorithm = named.map_or(Some(Algorithm::Md5), Algorithm::parse)?;
        let has_qop = match parts.get("qop") {
            None => false,
            Some(all) => {
                let is_auth = |word: &str| word.trim().eq_ignore_ascii_case("auth");
                // Only `auth-int`: we cannot.
                all.split(',').any(is_auth).then_some(true)?
            }
        };
        // A session digest needs a `cnonce`, which there is only with `qop`.
        if algorithm.has_session() && !has_qop {
            return None;
        }
        Some(Self {
            into,
            realm: parts.get("realm")?.to_owned(),
            nonce: parts.get("nonce")?.to_owned(),
            opaque: parts.get("opaque").map(str::to_owned),
            algorithm,
            is_named: named.is_some(),
            has_qop,
            is_stale: parts.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }

    fn answer(
        &self,
        who: &Credentials,
        method: &Method,
        uri: &str,
        nc: u32,
        cnonce: &str,
    ) -> String {
        let nc = format!("{nc:08x}");
        let qop = self.has_qop.then_some((nc.as_str(), cnonce));
        let digest = Input {
            algorithm: self.algorithm,
            username: &who.username,
            realm: &self.realm,
            password: &who.password.0,
            nonce: &self.nonce,
            method: method.as_str(),
            uri,
            qop,
        };
        let mut text = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{}\"",
            quoted(&who.username),
            quoted(&self.realm),
            quoted(&self.nonce),
            quoted(uri),
            digest.response(),
        );
        if self.is_named {
            text.push_str(&format!(", algorithm={}", self.algorithm.as_str()));
        }
        if self.has_qop {
            text.push_str(&format!(", qop=auth, nc={nc}, cnonce={}", quoted(cnonce)));
        }
        if let Some(opaque) = &self.opaque {
            text.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        text
    }
}

/// What goes into a digest (RFC 7616 section 3.4).
struct Input<'a> {
    algorithm: Algorithm,
    username: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a str,
    method: &'a str,
    uri: &'a str,
    /// `nc` and `cnonce`.
    qop: Option<(&'a str, &'a str)>,
}

impl Input<'_> {
    fn response(&self) -> String {
        let hash = |parts: &[&str]| self.algorithm.hash(parts);
        let mut a1 = hash(&[self.username, self.realm, self.password]);
        if self.algorithm.has_session() {
            a1 = hash(&[&a1, self.nonce, self.qop.map_or("", |(_, cnonce)| cnonce)]);
        }
        let a2 = hash(&[self.method, self.uri]);
        match self.qop {
            Some((nc, cnonce)) => hash(&[&a1, self.nonce, nc, cnonce, "auth", &a2]),
            None => hash(&[&a1, self.nonce, &a2]),
        }
    }
}

/// What a server asks for: the value of `WWW-Authenticate` or `Proxy-Authenticate`.
pub(crate) fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, is_stale: bool) -> String {
    let stale = if is_stale { ", stale=true" } else { "" };
    format!(
        "Digest realm={}, nonce={}, algorithm={}, qop=\"auth\"{stale}",
        quoted(realm),
        quoted(nonce),
        algorithm.as_str()
    )
}

/// What a client presents: the value of `Authorization` or `Proxy-Authorization`.
#[derive(Clone, Debug)]
pub(crate) struct Presented(Parts);

impl Presented {
    /// Reads it. None: it is no digest.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Parts::parse(text).map(Self)
    }

    /// Which nonce it answers.
    pub(crate) fn nonce(&self) -> &str {
        self.0.get("nonce").unwrap_or_default()
    }

    /// For which realm.
    pub(crate) fn realm(&self) -> &str {
        self.0.get("realm").unwrap_or_default()
    }

    /// Whether who presents it knows the password.
    pub(crate) fn is_right(&self, who: &Credentials, method: &Method) -> bool {
        let get = |name| self.0.get(name).unwrap_or_default();
        let algorithm = self.0.get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::parse);
        let Some(algorithm) = algorithm else { return false };
        let qop = match self.0.get("qop") {
            Some("auth") => Some((get("nc"), get("cnonce"))),
            Some(_) => return false,
            None => None,
        };
        let input = Input {
            algorithm,
            username: &who.username,
            realm: self.realm(),
            password: &who.password.0,
            nonce: self.nonce(),
            method: method.as_str(),
            uri: get("uri"),
            qop,
        };
        get("username") == who.username && get("response") == input.response()
    }
}

#[cfg(test)]
mod tests;
