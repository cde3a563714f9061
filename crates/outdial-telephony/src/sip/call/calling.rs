//! A call until its INVITE is answered: when it may leave, when it is taken back, what an answer
//! means. Here the rules of at most one INVITE are kept.

use std::time::Duration;

use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_ports::Monotonic;

use super::invite::{Cancel, Heard, Invite, Why};
use super::leg::Leg;
use super::session::{MAX_SE, Session};
use super::{Call, Output, Sending, Stage};
use crate::sip::logins::Learned;
use crate::sip::message::{Response, SipUri};
use crate::sip::redirect::transport_to;
use crate::sip::sdp::{self, Remote};

/// How much later than the INVITE's `send_by` one with credentials may leave.
const RESEND_GRACE: Duration = Duration::from_secs(1);
/// The `CSeq` of the last INVITE of a call: the first has 1, and two with credentials may follow.
pub(crate) const LAST_CSEQ: u32 = 3;
/// The longest that the ACK waits until the dialog is stored.
const ACK_WAIT: Duration = Duration::from_secs(1);
/// The most early media descriptions that are kept (forks).
const EARLY: usize = 8;
/// The most BYEs that overtake their 2xx (forks).
const OVERTAKEN: usize = 8;

impl Call {
    /// The slot has begun and the way stands.
    pub(super) fn go(&mut self, now: Monotonic) {
        if self.stage != Stage::Waiting {
            return;
        }
        self.stage = Stage::Calling;
        if now >= self.setup.send_by {
            return self.decide(CallEnd::NotSent { reason: "late" });
        }
        let by = self.setup.send_by;
        self.ring_until = Some(now.after(self.setup.ring_limit));
        let mut desk = desk!(self, now);
        match Invite::compose(&mut desk, 1) {
            Ok(text) => self.invite = Some(Invite::send(&mut desk, 1, text, by)),
            // It will be no fitter the next time.
            Err(_) => self.decide(CallEnd::NoRoute { reason: "unfit" }),
        }
    }

    /// What the transport says of the first transmission of an INVITE.
    pub(super) fn on_sent(&mut self, now: Monotonic, sending: Sending) {
        if self.stage != Stage::Calling {
            return;
        }
        match (sending, &mut self.invite) {
            (Sending::Partly, Some(invite)) => invite.is_partly_sent = true,
            (Sending::Nothing, Some(invite)) => {
                let is_first = invite.cseq == 1;
                self.invite = None;
                self.decide(match now >= self.setup.send_by {
                    true if is_first => CallEnd::NotSent { reason: "late" },
                    true => CallEnd::NoRoute { reason: "late" },
                    false => CallEnd::NoRoute { reason: "no_connection" },
                });
            }
            _ => {}
        }
    }

    /// We were asked to end the call, answered or not.
    pub(super) fn take_back(&mut self, now: Monotonic) {
        match self.stage {
            Stage::Waiting => self.decide(CallEnd::NotSent { reason: "recalled" }),
            Stage::Calling => self.want_cancel(now, Why::Asked),
            Stage::Talking => self.end_talk(now),
            Stage::Ending | Stage::Lingering | Stage::Over => {}
        }
    }

    pub(super) fn want_cancel(&mut self, now: Monotonic, why: Why) {
        let Some(invite) = &self.invite else { return };
        let cancel = self.cancel.get_or_insert(Cancel::wanted(why));
        if invite.is_heard {
            cancel.send(&mut desk!(self, now), invite.cseq);
        }
    }

    /// Time has passed, as far as the INVITE and its CANCEL go.
    pub(super) fn on_calling_tick(&mut self, now: Monotonic) {
        let mut desk = desk!(self, now);
        let timer_b = self.invite.as_mut().is_some_and(|invite| invite.on_tick(&mut desk));
        let no_final = self.cancel.as_mut().is_some_and(|cancel| cancel.on_tick(&mut desk));
        if self.stage != Stage::Calling {
            return;
        }
        let is_partly_sent = self.invite.as_ref().is_some_and(|invite| invite.is_partly_sent);
        let is_hung_up = !self.overtaken.is_empty();
        if timer_b || no_final {
            self.give_up(
                now,
                match timer_b && !is_partly_sent {
                    _ if is_hung_up => CallEnd::AnsweredThenDropped,
                    true => CallEnd::Silence,
                    false => CallEnd::Lost,
                },
            );
        } else if self.ring_until.is_some_and(|until| now >= until) {
            self.ring_until = None;
            self.want_cancel(now, if is_hung_up { Why::HungUp } else { Why::RingLimit });
        }
    }

    /// Nothing can be known any more; what still comes is ended.
    fn give_up(&mut self, now: Monotonic, end: CallEnd) {
        self.linger_until = Some(now.after(self.setup.timers.t1_64()));
        self.decide(end);
    }

    /// An answer to an INVITE of ours that made no dialog yet. False: it is not one.
    pub(super) fn on_invite_answer(&mut self, now: Monotonic, response: &Response) -> bool {
        let mut desk = desk!(self, now);
        let Some(invite) = &mut self.invite else { return false };
        match invite.on_response(&mut desk, response) {
            Heard::Foreign => return false,
            Heard::Known => {}
            Heard::News => match response.status {
                100..200 => self.on_provisional(now, response),
                200..300 => self.on_2xx(now, response),
                _ => self.on_refusal(now, response),
            },
        }
        true
    }

    fn on_provisional(&mut self, now: Monotonic, response: &Response) {
        match self.stage {
            Stage::Calling => {}
            // It begins to ring after we gave it up.
            Stage::Lingering if self.linger_until.is_some() => {
                return self.want_cancel(now, Why::Asked);
            }
            _ => return,
        }
        if (180..=183).contains(&response.status) && !self.is_ringing {
            self.is_ringing = true;
            self.out.push(Output::Tell(CallEvent::Ringing));
        }
        if response.status > 100
            && let Some(remote) = sdp::read_answer(&response.body)
        {
            self.on_early_media(response.head.to.tag.clone().unwrap_or_default(), remote);
        }
        if let (Some(cancel), Some(invite)) = (&mut self.cancel, &self.invite) {
            cancel.send(&mut desk!(self, now), invite.cseq);
        }
    }

    fn on_early_media(&mut self, tag: String, remote: Remote) {
        let known = self.early.iter().position(|(of, _)| *of == tag);
        if known.is_some_and(|at| self.early[at].1 == remote) {
            return;
        }
        match known {
            Some(at) => self.early[at].1 = remote,
            None if self.early.len() < EARLY => self.early.push((tag, remote)),
            None => return,
        }
        self.out.push(Output::Media { remote, early: true });
    }

    fn on_2xx(&mut self, now: Monotonic, response: &Response) {
        let tag = response.head.to.tag.as_deref();
        let of = |leg: &&Leg| leg.is_of(tag) && leg.dialog.cseq == response.head.cseq;
        if let Some(leg) = self.legs.iter().find(of) {
            return leg.acknowledge_again(&mut desk!(self, now));
        }
        let nth = self.next_leg;
        let credentials = self.invite.as_ref().map(|invite| &invite.credentials);
        let leg = credentials.and_then(|with| Leg::new(&desk!(self, now), response, nth, with));
        let Some(mut leg) = leg else { return self.ignore() };
        self.next_leg = nth.saturating_add(1);
        let is_current = self.invite.as_ref().is_some_and(|i| i.cseq == response.head.cseq);
        let is_the_answer = is_current && self.stage == Stage::Calling;
        if !is_the_answer && !self.has_room() {
            return self.end_unremembered(now, leg);
        }
        let is_overtaken = self.overtaken.iter().any(|tag| leg.is_of(Some(tag)));
        let is_wanted = is_the_answer && self.cancel.is_none();
        let remote = sdp::read_answer(&response.body).or_else(|| self.early_media(tag));
        if is_wanted && let Some(remote) = remote {
            let sdp = sdp::offer(self.setup.session_id, 0, self.setup.local_media);
            leg.session = Some(Session::new(now, response, self.setup.talk_limit, sdp));
            leg.acknowledge_by(now.after(ACK_WAIT));
            self.out.push(Output::Dialog(leg.dialog.to_text()));
            self.out.push(Output::Media { remote, early: false });
            self.out.push(Output::Tell(CallEvent::Answered));
            self.stage = Stage::Talking;
            if is_overtaken {
                leg.is_ended_by_peer(&mut desk!(self, now));
                self.is_talked_out();
            }
        } else {
            self.end_unwanted(now, &mut leg, is_overtaken);
            if is_the_answer {
                // Nobody can talk to a peer that does not say where its media go.
                let no_media = CallEnd::Refused { status: 488, q850: None, retry_after: None };
                let is_mute = is_wanted && !is_overtaken;
                self.decide(if is_mute { no_media } else { CallEnd::AnsweredThenDropped });
            }
        }
        self.legs.push(leg);
    }

    fn end_unwanted(&mut self, now: Monotonic, leg: &mut Leg, is_overtaken: bool) {
        let wait = self.setup.timers.t1_64();
        let is_lingering = self.stage == Stage::Lingering;
        let give_up_at = now.after(if is_lingering { wait } else { wait * 2 });
        if is_overtaken {
            leg.is_ended_by_peer(&mut desk!(self, now));
        } else {
            leg.hang_up(&mut desk!(self, now), give_up_at);
        }
        // It may come again for as long.
        self.linger_until = self.linger_until.map(|until| until.max(now.after(wait)));
    }

    /// A BYE of a dialog whose 2xx did not come: only who has answered may send it (RFC 3261
    /// section 15). False: there are too many.
    pub(super) fn is_overtaken_by_bye(&mut self, now: Monotonic, tag: &str) -> bool {
        if self.overtaken.len() >= OVERTAKEN {
            return false;
        }
        self.overtaken.push(tag.to_owned());
        if self.cancel.is_none() {
            // For so long a 2xx comes again.
            let until = now.after(self.setup.timers.t1_64());
            self.ring_until = Some(self.ring_until.map_or(until, |limit| limit.min(until)));
        }
        true
    }

    /// Some gateways say in a 183 what belongs into the 200.
    fn early_media(&self, tag: Option<&str>) -> Option<Remote> {
        let of = |(early, _): &&(String, Remote)| early == tag.unwrap_or_default();
        self.early.iter().find(of).or(self.early.first()).map(|(_, remote)| *remote)
    }

    fn on_refusal(&mut self, now: Monotonic, response: &Response) {
        if self.stage != Stage::Calling {
            return;
        }
        let is_challenge = matches!(response.status, 401 | 407);
        let end = match self.cancel.as_ref().map(|cancel| cancel.why) {
            Some(Why::Asked) => Some(CallEnd::Canceled),
            Some(Why::HungUp) => Some(CallEnd::AnsweredThenDropped),
            Some(Why::RingLimit) if is_challenge => Some(CallEnd::NoRoute { reason: "late" }),
            // The callee's own word on it may cross our CANCEL; whatever else says that it is over
            // only says that it rang too long.
            Some(Why::RingLimit) if matches!(response.status, 486 | 600..700) => {
                Some(refused(response))
            }
            Some(Why::RingLimit) => Some(CallEnd::RingTimeout),
            None if is_challenge => self.send_again(now, response),
            None => Some(self.refused_or_redirected(response)),
        };
        if let Some(end) = end {
            self.decide(end);
        }
    }

    /// Sends the INVITE with credentials. Some: why not.
    fn send_again(&mut self, now: Monotonic, response: &Response) -> Option<CallEnd> {
        let by = self.setup.send_by.after(RESEND_GRACE).min(self.setup.open_until);
        let before = self.invite.take()?;
        let cseq = before.cseq + 1;
        let mut desk = desk!(self, now);
        let may = before.cseq < LAST_CSEQ
            && desk.setup.credentials.is_some()
            && desk.logins.learn(response) == Learned::Fresh;
        if !may || now >= by {
            self.invite = Some(before);
            let late = CallEnd::NoRoute { reason: "late" };
            return Some(if may { late } else { refused(response) });
        }
        match Invite::compose(&mut desk, cseq) {
            Ok(text) => {
                let mut invite = Invite::send(&mut desk, cseq, text, by);
                invite.follows(before);
                self.invite = Some(invite);
                None
            }
            Err(_) => {
                self.invite = Some(before);
                Some(refused(response))
            }
        }
    }

    fn refused_or_redirected(&mut self, response: &Response) -> CallEnd {
        if (300..400).contains(&response.status) {
            let callee = self.setup.callee.to_string();
            let is_callee = |uri: &SipUri| uri.is_sip() && uri.digits().as_ref() == Some(&callee);
            let from = self.setup.transport;
            let can_be_reached = |uri: &SipUri| transport_to(from, uri).is_some();
            let contacts = response.head.contacts().into_iter().map(|contact| contact.uri);
            let there = contacts.into_iter().find(|uri| is_callee(uri) && can_be_reached(uri));
            if let Some(there) = there {
                self.out.push(Output::Redirect(there));
                return CallEnd::Redirected { status: response.status };
            }
        }
        if let Some(least) = self.least_interval(response) {
            self.out.push(Output::LeastInterval(least));
            return CallEnd::Redirected { status: response.status };
        }
        refused(response)
    }

    /// The session interval that a 422 asks for, if the next attempt can ask for that (RFC 4028
    /// section 7.3). This one cannot: it has had its INVITE.
    fn least_interval(&self, response: &Response) -> Option<u32> {
        let asked = self.setup.session_expires;
        let least = response.head.min_se().filter(|_| response.status == 422 && asked > 0)?;
        (asked < least && least <= MAX_SE).then_some(least)
    }
}

fn refused(response: &Response) -> CallEnd {
    let head = &response.head;
    let (q850, retry_after) = (head.q850(), head.retry_after());
    CallEnd::Refused { status: response.status, q850, retry_after }
}
