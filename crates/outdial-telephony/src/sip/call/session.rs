//! What a leg has while people talk on it: the talk limit and the session timer of RFC 4028. We
//! are the one who called; either side may have to refresh.

use std::time::Duration;

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::ask::Ask;
use super::leg::{Leg, TRIES, can_answer};
use super::{Desk, Output};
use crate::sip::message::{Method, Refresher, Response};
use crate::sip::sdp;

/// The shortest session interval, in seconds (RFC 4028 section 5).
pub(super) const MIN_SE: u32 = 90;
/// The longest that is believed, in seconds: a day.
pub(super) const MAX_SE: u32 = 86_400;
/// Until a refresh is tried again that met one of the peer's: between 2.1 and 4 s for the owner of
/// the `Call-ID` (RFC 3261 section 14.1).
const AFTER_GLARE: Duration = Duration::from_secs(3);
/// Until a refresh is tried again that was refused for another reason.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);

pub(super) struct Session {
    /// The talk limit.
    pub(super) talk_until: Monotonic,
    /// What we said of our media last.
    pub(super) sdp: Bytes,
    /// Its version.
    pub(super) version: u64,
    pub(super) timer: Option<Timer>,
    refresh: Option<Ask>,
    /// The peer takes UPDATE (RFC 3311).
    takes_update: bool,
}

/// A session interval that runs.
#[derive(Clone, Copy)]
pub(super) struct Timer {
    pub(super) seconds: u32,
    /// We refresh.
    pub(super) is_ours: bool,
    refresh_at: Option<Monotonic>,
    bye_at: Monotonic,
    expires_at: Monotonic,
}

impl Timer {
    /// Starts anew at `now`. A third of the interval before its end, at most 32 s, the session is
    /// given up (RFC 4028 section 10).
    pub(super) fn start(now: Monotonic, seconds: u32, is_ours: bool) -> Self {
        let seconds = seconds.clamp(MIN_SE, MAX_SE);
        let all = Duration::from_secs(seconds.into());
        let early = Duration::from_secs(32).min(all / 3);
        Self {
            seconds,
            is_ours,
            refresh_at: is_ours.then(|| now.after(all / 2)),
            bye_at: now.after(all - early),
            expires_at: now.after(all),
        }
    }
}

impl Session {
    /// Of an answer that came at `now`.
    pub(super) fn new(now: Monotonic, answer: &Response, talk: Duration, sdp: Bytes) -> Self {
        Self {
            talk_until: now.after(talk),
            sdp,
            version: 0,
            timer: timer_of(now, answer),
            refresh: None,
            takes_update: answer.head.allows(&Method::Update),
        }
    }

    /// When the peer gives the call up by itself; none: never.
    pub(super) fn expires_at(&self) -> Option<Monotonic> {
        self.timer.map(|timer| timer.expires_at)
    }

    /// A re-INVITE or UPDATE of ours waits for its answer.
    pub(super) fn is_refreshing(&self) -> bool {
        self.refresh.as_ref().is_some_and(Ask::is_pending)
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let refresh = self.refresh.as_ref().and_then(Ask::deadline);
        let timer = self.timer;
        let refresh_at = timer.and_then(|t| t.refresh_at).filter(|_| !self.is_refreshing());
        let all = [Some(self.talk_until), refresh, refresh_at, timer.map(|t| t.bye_at)];
        all.into_iter().flatten().min()
    }

    fn refresh_at(&mut self, at: Monotonic) {
        if let Some(timer) = &mut self.timer {
            timer.refresh_at = Some(at);
        }
    }
}

/// The session timer that a 2xx of the peer's sets. Without a word on who refreshes, we do.
fn timer_of(now: Monotonic, answer: &Response) -> Option<Timer> {
    let (seconds, refresher) = answer.head.session_expires()?;
    Some(Timer::start(now, seconds, refresher != Some(Refresher::Uas)))
}

impl Leg {
    /// Time has passed, as far as the session goes. True: it must be ended.
    pub(super) fn on_session_tick(&mut self, desk: &mut Desk<'_>) -> bool {
        let Some(session) = &mut self.session else { return false };
        let now = desk.now;
        if now >= session.talk_until || session.timer.is_some_and(|timer| now >= timer.bye_at) {
            return true;
        }
        if session.refresh.as_mut().is_some_and(|ask| ask.on_tick(desk)) {
            // Nobody answers: RFC 3261 section 12.2.1.2.
            return true;
        }
        let is_due = session.timer.and_then(|t| t.refresh_at).is_some_and(|at| now >= at);
        if is_due && !session.is_refreshing() {
            self.refresh(desk, 0);
        }
        false
    }

    fn refresh(&mut self, desk: &mut Desk<'_>, tries: u32) {
        let Some(session) = &mut self.session else { return };
        let Some(timer) = &mut session.timer else { return };
        timer.refresh_at = None;
        let with = (timer.seconds, session.sdp.clone());
        let method = if session.takes_update { Method::Update } else { Method::Invite };
        let ask = self.ask(desk, &method, Some(with), tries);
        if let Some(session) = &mut self.session {
            session.refresh = ask;
        }
    }

    /// An answer to a re-INVITE or UPDATE. None: not of this leg; `Some(true)`: it must be ended.
    pub(super) fn on_refresh_answer(
        &mut self,
        desk: &mut Desk<'_>,
        response: &Response,
    ) -> Option<bool> {
        let session = self.session.as_mut()?;
        let ask = session.refresh.as_mut().filter(|ask| ask.is_of(response))?;
        if !ask.on_response(desk, &self.dialog, response) {
            return Some(false);
        }
        let (is_update, tries) = (ask.method == Method::Update, ask.tries);
        let now = desk.now;
        match response.status {
            200..300 => self.is_refreshed(desk, response),
            408 | 481 => return Some(true),
            401 | 407 if tries < TRIES && can_answer(desk, response) => {
                self.refresh(desk, tries + 1);
            }
            422 if tries < TRIES => {
                let least = response.head.min_se().unwrap_or(MIN_SE).min(MAX_SE);
                if let Some(timer) = &mut session.timer {
                    timer.seconds = timer.seconds.max(least);
                }
                self.refresh(desk, tries + 1);
            }
            405 | 501 if is_update => {
                session.takes_update = false;
                self.refresh(desk, 0);
            }
            491 => session.refresh_at(now.after(AFTER_GLARE)),
            _ => {
                let wait = response.head.retry_after().unwrap_or_default().max(AFTER_REFUSAL);
                session.refresh_at(now.after(wait));
            }
        }
        Some(false)
    }

    fn is_refreshed(&mut self, desk: &mut Desk<'_>, answer: &Response) {
        self.retarget(desk, answer.head.contact().map(|contact| contact.uri));
        let Some(session) = &mut self.session else { return };
        session.timer = timer_of(desk.now, answer);
        if answer.head.method == Method::Invite
            && let Some(remote) = sdp::read_answer(&answer.body)
        {
            desk.out.push(Output::Media { remote, early: false });
        }
    }
}
