//! One call, as the callee plays it: the server's side of one INVITE and of its dialog. No socket,
//! no clock, no chance.
//!
//! ```text
//! Calling ─180─▶ Calling ─200─▶ Talking ─BYE, whoever sends it─▶ Over
//!    └──── refused, or taken back: 3xx to 6xx ───────────────────▲
//! ```

mod dialog;
mod within;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use outdial_core::outcome::CallEnd;
use outdial_core::simulated::{Fate, Script};
use outdial_ports::Monotonic;

use super::book::Standing;
use crate::sip::message::{Method, Request, Response, ResponseBuilder, SipUri};
use crate::sip::sdp::{self, Remote};
use crate::sip::transaction::{ServerInvite, Timers, TxAction};
use dialog::Dialog;
use within::{ALLOW, Served};

/// When a call that nobody answered or took back is forgotten.
const RINGS: Duration = Duration::from_secs(600);
/// When one is forgotten that we said nothing to: after Timer B of the caller.
const SILENCE: Duration = Duration::from_secs(36);
/// What a call is played with.
pub(super) struct Part {
    /// The INVITE.
    pub(super) invite: Request,
    /// What happens.
    pub(super) ending: Ending,
    /// How many times faster than real.
    pub(super) speed: f64,
    /// Our tag.
    pub(super) tag: String,
    /// Where we can be reached, `<sip:…>`.
    pub(super) contact: String,
    /// How our own requests begin their `Via`, without a branch.
    pub(super) via: String,
    /// Nothing is lost on the way.
    pub(super) is_reliable: bool,
    /// Where our sound comes in.
    pub(super) local: SocketAddr,
    /// Of our session descriptions.
    pub(super) session: u64,
    /// 183 instead of 180.
    pub(super) early_media: bool,
    /// The caller is to refresh the session.
    pub(super) session_expires: Option<u32>,
    /// The timers of SIP.
    pub(super) timers: Timers,
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// It is played.
    Plays(Script),
    /// It is refused at once, with these headers.
    Refused {
        /// 300 or more.
        status: u16,
        /// What else the answer says.
        headers: Vec<(&'static str, String)>,
    },
}

/// What happens to a call from outside.
pub(super) enum Input {
    /// Time has passed.
    Tick,
    /// A request of the caller, the INVITE again among them.
    Request(Request),
    /// An answer to a request of ours.
    Response(Response),
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Send to where the INVITE came from.
    ToCaller(Bytes),
    /// Send to where the request that was handed over came from.
    Back(Bytes),
    /// A request of ours: send to where that URI is.
    Next(SipUri, Bytes),
    /// The sound goes there from now on.
    Media(Remote),
    /// How the call stands.
    Stands(Standing),
}

/// A call as the callee plays it.
pub(super) struct Play {
    part: Part,
    begun: Monotonic,
    /// The answer to the offer in the INVITE; none: there is no offer, or none that we can use.
    answer: Option<(Bytes, Remote)>,
    dialog: Dialog,
    tx: ServerInvite,
    last: Bytes,
    rang: bool,
    /// A final answer, decided: what, and when.
    decided: Option<(Monotonic, Final)>,
    standing: Standing,
    /// When we hang up.
    until: Option<Monotonic>,
    served: Vec<Served>,
    version: u64,
}

#[derive(Clone, Debug)]
enum Final {
    Answer { talk: Duration },
    Refuse { status: u16, headers: Vec<(&'static str, String)> },
}

impl Play {
    /// The INVITE came at `now`.
    pub(super) fn new(part: Part, now: Monotonic) -> (Self, Vec<Output>) {
        let body = &part.invite.body;
        let answer = sdp::answer(body, part.session, 1, part.local);
        let mut play = Self {
            begun: now,
            dialog: Dialog::new(&part),
            tx: ServerInvite::new(&part.timers, part.is_reliable),
            last: Bytes::new(),
            rang: false,
            decided: None,
            standing: Standing::Calling,
            until: None,
            served: Vec::new(),
            version: 1,
            answer,
            part,
        };
        play.decided = play.decide();
        let mut out = Vec::new();
        if !play.is_silent() {
            out.extend(play.provisional(now, 100));
        }
        out.extend(play.tick(now));
        (play, out)
    }

    fn decide(&self) -> Option<(Monotonic, Final)> {
        let script = match &self.part.ending {
            Ending::Refused { status, headers } => {
                let (status, headers) = (*status, headers.clone());
                return Some((self.begun, Final::Refuse { status, headers }));
            }
            Ending::Plays(script) => script,
        };
        let (at, end) = match script.fate {
            Fate::Answers { at, talk, .. } => (at, Final::Answer { talk: self.hurried(talk) }),
            Fate::Refuses { at, end } => (at, refusal(end, self.part.speed)),
            Fate::Rings | Fate::AnswersCancel | Fate::Silence => return None,
        };
        Some((self.begun.after(self.hurried(at)), end))
    }

    fn hurried(&self, time: Duration) -> Duration {
        time.div_f64(self.part.speed)
    }

    fn script(&self) -> Option<&Script> {
        match &self.part.ending {
            Ending::Plays(script) => Some(script),
            Ending::Refused { .. } => None,
        }
    }

    fn is_silent(&self) -> bool {
        self.script().is_some_and(|s| s.fate == Fate::Silence)
    }

    fn rings_at(&self) -> Option<Monotonic> {
        let rings_at = self.script()?.rings_at?;
        (!self.rang && self.standing == Standing::Calling)
            .then(|| self.begun.after(self.hurried(rings_at)))
    }

    /// When to tick at the latest; none: everything is over, and the call can be forgotten.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let given_up = (self.standing == Standing::Calling && self.decided.is_none())
            .then(|| self.given_up_at());
        let decided = self.decided.as_ref().map(|(at, _)| *at);
        let own = [
            self.rings_at(),
            decided,
            self.tx.deadline(),
            self.hangs_up_at(),
            self.dialog.deadline(),
            given_up,
        ];
        own.into_iter().flatten().chain(self.served_deadlines()).min()
    }

    /// When a call that nobody ends is given up: the caller is gone, and said nothing.
    fn given_up_at(&self) -> Monotonic {
        let patience = if self.is_silent() { SILENCE } else { RINGS };
        self.begun.after(patience)
    }

    /// A BYE of ours waits for the ACK (RFC 3261 section 15).
    fn hangs_up_at(&self) -> Option<Monotonic> {
        self.until.filter(|_| !self.tx.is_unacknowledged())
    }

    /// What follows from `input`.
    pub(super) fn handle(&mut self, now: Monotonic, input: Input) -> Vec<Output> {
        let mut out = match input {
            Input::Tick => Vec::new(),
            Input::Request(request) => self.request(now, &request),
            Input::Response(response) => self.dialog.response(now, &response),
        };
        out.extend(self.tick(now));
        out
    }

    fn tick(&mut self, now: Monotonic) -> Vec<Output> {
        let mut out = Vec::new();
        if self.rings_at().is_some_and(|at| now >= at) {
            self.rang = true;
            out.extend(self.provisional(now, if self.early() { 183 } else { 180 }));
        }
        if let Some((_, end)) = self.decided.take_if(|(at, _)| now >= *at) {
            out.extend(self.finish(now, end));
        }
        for action in self.tx.on_tick(now) {
            match action {
                TxAction::Resend => out.push(Output::ToCaller(self.last.clone())),
                // A dialog that was never confirmed is ended all the same (section 13.3.1.4).
                TxAction::TimedOut if self.standing == Standing::Talking => {
                    out.extend(self.hang_up(now));
                }
                _ => {}
            }
        }
        if self.hangs_up_at().is_some_and(|at| now >= at) {
            out.extend(self.hang_up(now));
        }
        let undecided = self.standing == Standing::Calling && self.decided.is_none();
        if undecided && now >= self.given_up_at() {
            if !self.is_silent() {
                out.extend(self.finish(now, Final::Refuse { status: 480, headers: Vec::new() }));
            }
            out.extend(self.stands(Standing::Over));
        }
        out.extend(self.tick_served(now));
        out.extend(self.dialog.tick(now));
        out
    }

    fn stands(&mut self, standing: Standing) -> Option<Output> {
        let is_new = self.standing != standing;
        self.standing = standing;
        is_new.then_some(Output::Stands(standing))
    }

    fn early(&self) -> bool {
        self.part.early_media && self.answer.is_some()
    }

    fn provisional(&mut self, now: Monotonic, status: u16) -> Vec<Output> {
        let answer = self.answer.clone().filter(|_| status == 183);
        let mut builder = self.respond(&self.part.invite, status);
        if let Some((body, _)) = &answer {
            builder = builder.body(sdp::CONTENT_TYPE, body.clone());
        }
        let mut out = self.answer_invite(now, status, builder);
        out.extend(answer.map(|(_, remote)| Output::Media(remote)));
        out
    }

    fn finish(&mut self, now: Monotonic, end: Final) -> Vec<Output> {
        let (status, talk, headers) = match end {
            Final::Refuse { status, headers } => (status, None, headers),
            Final::Answer { .. } if self.answer.is_none() && !self.part.invite.body.is_empty() => {
                (488, None, Vec::new())
            }
            Final::Answer { talk } => (200, Some(talk), Vec::new()),
        };
        let mut builder = self.respond(&self.part.invite, status);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let Some(talk) = talk else {
            let mut out = self.answer_invite(now, status, builder);
            out.extend(self.stands(Standing::Over));
            return out;
        };
        // Without an offer we make one; what the ACK answers to it is not needed to be silent.
        let (body, remote) = match self.answer.clone() {
            Some((body, remote)) => (body, Some(remote)),
            None => (sdp::offer(self.part.session, 1, self.part.local), None),
        };
        let builder = self.timed(builder, &self.part.invite).body(sdp::CONTENT_TYPE, body);
        let mut out = self.answer_invite(now, status, builder);
        self.until = Some(now.after(talk));
        out.extend(remote.map(Output::Media));
        out.extend(self.stands(Standing::Talking));
        out
    }

    fn answer_invite(
        &mut self,
        now: Monotonic,
        status: u16,
        builder: ResponseBuilder,
    ) -> Vec<Output> {
        if !self.tx.on_answer(now, status) {
            return Vec::new();
        }
        self.last = built(builder);
        vec![Output::ToCaller(self.last.clone())]
    }

    fn respond(&self, request: &Request, status: u16) -> ResponseBuilder {
        let mut builder = ResponseBuilder::to(request, status);
        if status > 100 {
            builder = builder.to_tag(&self.part.tag);
        }
        let targets = matches!(request.method, Method::Invite | Method::Update);
        if targets && (101..300).contains(&status) {
            builder = builder.header("Contact", &self.part.contact).header("Allow", ALLOW);
        }
        builder
    }

    /// With what the caller has to do to keep the session alive.
    fn timed(&self, builder: ResponseBuilder, request: &Request) -> ResponseBuilder {
        match self.part.session_expires {
            Some(seconds) if request.head.supports("timer") => builder
                .header("Require", "timer")
                .header("Session-Expires", format_args!("{seconds};refresher=uac")),
            _ => builder,
        }
    }

    fn hang_up(&mut self, now: Monotonic) -> Vec<Output> {
        self.until = None;
        let mut out: Vec<_> = self.dialog.bye(now).into_iter().collect();
        out.extend(self.stands(Standing::Over));
        out
    }
}

fn refusal(end: CallEnd, speed: f64) -> Final {
    let CallEnd::Refused { status, q850, retry_after } = end else {
        // A script that refuses names the answer; nothing else can be sent.
        return Final::Refuse { status: 500, headers: Vec::new() };
    };
    let mut headers = Vec::new();
    headers.extend(q850.map(|cause| ("Reason", format!("Q.850;cause={cause}"))));
    let seconds = |wait: Duration| wait.div_f64(speed).as_secs_f64().ceil().max(1.0);
    headers.extend(retry_after.map(|wait| ("Retry-After", format!("{:.0}", seconds(wait)))));
    Final::Refuse { status, headers }
}

/// What stands in our answers was read from a message, or is ours: it can be written.
fn built(builder: ResponseBuilder) -> Bytes {
    builder.build().unwrap_or_default()
}

#[cfg(test)]
mod tests;
