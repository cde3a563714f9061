//! The challenges that a peer and its proxies put to us, and our answers to them (RFC 3261
//! section 22). What was asked once is answered in every later request, so that not each of them is
//! refused first. It must never answer a challenge twice that was not good enough the first time,
//! unless only its nonce was too old.

use super::digest::{Challenges, Credentials};
use super::message::{Method, Response};

/// Headers with credentials.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// The most challenges that are kept: of us and of the proxies on the way.
const KEPT: usize = 8;

/// The challenges of one call: of each side (401, 407) and realm the last one.
#[derive(Default)]
pub(crate) struct Logins(Vec<Login>);

struct Login {
    challenge: Challenges,
    /// How often its nonce was answered.
    used: u32,
}

/// What a challenge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// There is one that was not answered yet, or whose nonce is too old.
    Fresh,
    /// The answer to it was not good enough.
    Again,
    /// It asks for what we cannot do.
    Beyond,
}

impl Logins {
    /// Takes note of a 401 or 407.
    pub(crate) fn learn(&mut self, response: &Response) -> Learned {
        let Some(challenges) = Challenges::of(response) else { return Learned::Beyond };
        let mut learned = Learned::Again;
        for challenge in challenges.each() {
            let known = self.0.iter().position(|login| login.challenge.is_as(&challenge));
            let is_answered = known.is_some_and(|at| self.0.remove(at).used > 0);
            if !is_answered || challenge.is_stale() {
                learned = Learned::Fresh;
            }
            if self.0.len() >= KEPT {
                self.0.remove(0);
            }
            self.0.push(Login { challenge, used: 0 });
        }
        learned
    }

    /// The answers to all that was asked, for a request; `cnonce` is another one for each.
    pub(crate) fn headers(
        &mut self,
        who: Option<&Credentials>,
        method: &Method,
        uri: &str,
        cnonce: &str,
    ) -> Headers {
        let Some(who) = who else { return Vec::new() };
        let mut headers = Vec::new();
        for login in &mut self.0 {
            login.used += 1;
            headers.extend(login.challenge.authorize(who, method, uri, login.used, cnonce));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use outdial_ports::store::Secret;

    use super::*;
    use crate::sip::message::{SipMessage, parse};

    fn asks(status: u16, realms: &[&str], more: &str) -> Response {
        let header = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let line = |realm| format!("{header}: Digest realm=\"{realm}\", nonce=\"n\"{more}\r\n");
        let lines: String = realms.iter().map(line).collect();
        let text = format!(
            "SIP/2.0 {status} No\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
             {lines}Content-Length: 0\r\n\r\n"
        );
        match parse(text.as_bytes()).unwrap() {
            SipMessage::Response(response) => response,
            SipMessage::Request(_) => panic!("an answer"),
        }
    }

    fn answered(logins: &mut Logins) -> Vec<&'static str> {
        let who = Credentials { username: "u".into(), password: Secret("p".into()) };
        let headers = logins.headers(Some(&who), &Method::Invite, "sip:h", "c");
        headers.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn each_proxy_and_the_far_end_are_answered() {
        let mut logins = Logins::default();
        for (status, realm, all) in [(407, "a", 1), (407, "b", 2), (401, "a", 3)] {
            assert_eq!(logins.learn(&asks(status, &[realm], "")), Learned::Fresh, "{realm}");
            assert_eq!(answered(&mut logins).len(), all);
        }
        assert_eq!(logins.learn(&asks(407, &["b"], "")), Learned::Again);
        assert_eq!(logins.learn(&asks(407, &["a"], ", stale=true")), Learned::Fresh);
        assert_eq!(logins.learn(&asks(407, &[], "")), Learned::Beyond);
    }

    #[test]
    fn a_flood_of_realms_is_bounded() {
        let mut logins = Logins::default();
        for n in 0..100 {
            logins.learn(&asks(407, &[&n.to_string()], ""));
        }
        assert_eq!(answered(&mut logins).len(), KEPT);
    }
}
