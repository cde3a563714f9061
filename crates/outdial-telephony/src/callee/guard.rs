//! Who may call: digest authentication from the server's side.

use std::collections::BTreeMap;

use outdial_ports::Entropy;
use outdial_ports::store::Secret;

use crate::sip::digest::{Algorithm, Credentials, Presented, challenge};
use crate::sip::ids::hex;
use crate::sip::message::Request;

/// The most nonces that are remembered; the oldest are forgotten, and asked for again.
const MAX_NONCES: usize = 100_000;

/// How a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestScheme {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
}

/// Who may call.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// What it is for.
    pub realm: String,
    /// What is offered, in this order; empty: nobody may call.
    pub schemes: Vec<DigestScheme>,
    /// Asks as a proxy (407), else as the callee (401).
    pub is_proxy: bool,
    /// A nonce is good for one request; after that it is stale.
    pub one_use: bool,
}

/// What came of a look at the credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They are right.
    Welcome,
    /// There are none, or none that are good: asked for with these header lines.
    Ask { status: u16, header: &'static str, values: Vec<String> },
    /// Somebody who does not know the password.
    Refuse,
}

/// Looks at credentials.
pub(super) struct Guard {
    login: Login,
    /// How often each was used; the keys grow, so that the first is the oldest.
    nonces: BTreeMap<String, u32>,
    given: u64,
}

impl Guard {
    pub(super) fn new(login: Login) -> Self {
        Self { login, nonces: BTreeMap::new(), given: 0 }
    }

    pub(super) fn look(&mut self, request: &Request, entropy: &dyn Entropy) -> Verdict {
        let header = if self.login.is_proxy { "Proxy-Authorization" } else { "Authorization" };
        let mut presented = request.head.all(header).into_iter().filter_map(Presented::parse);
        let ours = presented.rfind(|p| p.realm() == self.login.realm);
        let Some(presented) = ours else { return self.ask(false, entropy) };
        let who = Credentials {
            username: self.login.username.clone(),
            password: self.login.password.clone(),
        };
        if !presented.is_right(&who, &request.method) {
            return Verdict::Refuse;
        }
        match self.nonces.get_mut(presented.nonce()) {
            Some(uses) if !self.login.one_use || *uses == 0 => {
                *uses += 1;
                Verdict::Welcome
            }
            _ => self.ask(true, entropy),
        }
    }

    fn ask(&mut self, is_stale: bool, entropy: &dyn Entropy) -> Verdict {
        let mut bytes = [0; 12];
        entropy.fill(&mut bytes);
        self.given += 1;
        let nonce = format!("{:016x}{}", self.given, hex(&bytes));
        if self.nonces.len() >= MAX_NONCES {
            self.nonces.pop_first();
        }
        self.nonces.insert(nonce.clone(), 0);
        let one = |scheme: &DigestScheme| {
            let algorithm = match scheme {
                DigestScheme::Md5 => Algorithm::Md5,
                DigestScheme::Sha256 => Algorithm::Sha256,
            };
            challenge(&self.login.realm, &nonce, algorithm, is_stale)
        };
        let values = self.login.schemes.iter().map(one).collect();
        let (status, header) = if self.login.is_proxy {
            (407, "Proxy-Authenticate")
        } else {
            (401, "WWW-Authenticate")
        };
        Verdict::Ask { status, header, values }
    }
}
