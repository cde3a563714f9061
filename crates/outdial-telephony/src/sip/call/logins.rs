//! The challenges that the peer and its proxies put to us, and our answers to them (RFC 3261
//! section 22). What was asked once is answered in every later request, so that not each of them is
//! refused first.

use crate::sip::digest::{Challenges, Credentials};
use crate::sip::ids::Ids;
use crate::sip::message::{Method, Response};

/// Headers with credentials.
pub(super) type Headers = Vec<(&'static str, String)>;

/// The challenges of one call: at most one set of each kind (401, 407), the last one.
#[derive(Default)]
pub(super) struct Logins(Vec<Login>);

struct Login {
    status: u16,
    challenges: Challenges,
    /// How often its nonce was answered.
    used: u32,
}

/// What a challenge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// Of a kind that was not answered yet, or only the nonce is too old.
    Fresh,
    /// The answer to one of this kind was not good enough.
    Again,
    /// It asks for what we cannot do.
    Beyond,
}

impl Logins {
    /// Takes note of a 401 or 407.
    pub(super) fn learn(&mut self, response: &Response) -> Learned {
        let Some(challenges) = Challenges::of(response) else { return Learned::Beyond };
        let known = self.0.iter().position(|login| login.status == response.status);
        let answered = known.is_some_and(|at| self.0.remove(at).used > 0);
        let learned =
            if answered && !challenges.is_stale() { Learned::Again } else { Learned::Fresh };
        self.0.push(Login { status: response.status, challenges, used: 0 });
        learned
    }

    /// The answers to all that was asked, for a request.
    pub(super) fn headers(
        &mut self,
        who: Option<&Credentials>,
        method: &Method,
        uri: &str,
        (ids, call_id, cseq): (&Ids, &str, u32),
    ) -> Headers {
        let Some(who) = who else { return Vec::new() };
        let mut headers = Vec::new();
        for login in &mut self.0 {
            login.used += 1;
            let cnonce = ids.cnonce(call_id, cseq);
            headers.extend(login.challenges.authorize(who, method, uri, login.used, &cnonce));
        }
        headers
    }
}
