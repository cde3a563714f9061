//! The runner of one call: drives the machine of the call with real time, sockets and media. It
//! must never send what the machine did not ask for, nor wait for whoever listens; that nobody
//! listens any more neither ends nor repeats the call.

mod ways;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Waker, Poll};

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_ports::{CallControl, CallOrder, PlacedCall};
use tokio::sync::mpsc;

use super::call::{Call, Input, Kind, Output, Sending};
use super::endpoint::{Mail, Seat};
use super::message::{SipMessage, Unfit};
use super::redirect::is_own;
use super::setup::{Route, setup};
use super::transport::{Count, Flow};
use super::trunk::{Place, Trunk, Unreachable};
use super::{Context, Open};
use crate::rtp::{RtpPort, RtpSession};

/// Ways back to where requests came from that are kept.
const BACKS: usize = 8;

/// Puts a call on its way; returns at once.
pub(crate) fn place(ctx: &Arc<Context>, order: CallOrder) -> PlacedCall {
    let (tell, events) = mpsc::unbounded_channel();
    let (ask, asked) = mpsc::unbounded_channel();
    let control = Arc::new(Control { ask, dialog: Mutex::default() });
    let line = Line { ctx: Arc::clone(ctx), order, tell, asked, control: Arc::clone(&control) };
    tokio::spawn(line.run());
    PlacedCall { events: Box::pin(Events(events)), control }
}

/// What is told of a call, as a stream.
pub(crate) struct Events(pub(crate) mpsc::UnboundedReceiver<CallEvent>);

impl Stream for Events {
    type Item = CallEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Waker<'_>) -> Poll<Option<CallEvent>> {
        self.0.poll_recv(cx)
    }
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Cancel,
    Stored,
}

struct Control {
    ask: mpsc::UnboundedSender<Asked>,
    dialog: Mutex<Option<String>>,
}

impl CallControl for Control {
    fn cancel(&self) {
        // A call that is over has nothing to take back.
        let _ = self.ask.send(Asked::Cancel);
    }

    fn dialog(&self) -> Option<String> {
        self.dialog.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_stored(&self) {
        let _ = self.ask.send(Asked::Stored);
    }
}

struct Line {
    ctx: Arc<Context>,
    order: CallOrder,
    tell: mpsc::UnboundedSender<CallEvent>,
    asked: mpsc::UnboundedReceiver<Asked>,
    control: Arc<Control>,
}

impl Line {
    async fn run(self) {
        match self.prepare().await {
            Ok(ready) => self.dial(ready).await,
            Err(end) => drop(self.tell.send(CallEvent::Ended(end))),
        }
    }

    /// Everything that must stand before the INVITE leaves.
    async fn prepare(&self) -> Result<Box<Ready>, CallEnd> {
        let (ctx, order) = (&self.ctx, &self.order);
        let no_route = |reason| CallEnd::NoRoute { reason };
        let told = |why: Unreachable| {
            tracing::debug!(attempt = %order.attempt, trunk = %order.trunk, reason = why.reason,
                detail = why.detail, "a call cannot leave");
            no_route(why.reason)
        };
        if ctx.clock.monotonic() >= order.send_by {
            return Err(CallEnd::NotSent { reason: "late" });
        }
        let trunk = ctx.trunk(order.trunk).ok_or(no_route("no_trunk"))?;
        if !trunk.is_ready() {
            return Err(no_route("not_registered"));
        }
        let open = ctx.opened(order.send_by).await.map_err(told)?;
        let unfit = |why: Unfit| told(Unreachable { reason: "bad_trunk", detail: why.to_string() });
        let sent_on = ctx.redirect_of(order.trunk, order.callee);
        let route = Route::of(&trunk, order, sent_on).map_err(unfit)?;
        let by = order.send_by;
        let flow = trunk.reach(ctx, &route.place, route.transport, by).await.map_err(told)?;
        let there = (&Place::of(&route.target), route.transport);
        let is_elsewhere = route.is_sent_on && !is_own(ctx, &open, &trunk, there, by).await;
        let port = open.ports.open().map_err(|error| {
            told(Unreachable { reason: "no_rtp_port", detail: error.to_string() })
        })?;
        let media = SocketAddr::new(flow.local_ip(), port.local().port());
        let mut setup = setup(ctx, &trunk, order, route.target, &flow, media).map_err(unfit)?;
        setup.is_elsewhere = is_elsewhere;
        setup.credentials.take_if(|_| is_elsewhere);
        let (seat, mailbox) = open.endpoint.enter(&setup.call_id);
        let call = Call::new(setup);
        let place = route.place;
        // Boxed, as is every way that is seldom gone: a call that is over is remembered for half a
        // minute, and its task has the size of its largest step with all that is handed to it.
        Ok(Box::new(Ready { open, trunk, flow, place, port, call, mailbox, _seat: seat }))
    }

    async fn dial(self, ready: Box<Ready>) {
        let Ready { open, trunk, flow, place, port, call, mut mailbox, _seat } = *ready;
        let Self { ctx, order, tell, mut asked, control } = self;
        let (media, tell) = (Media::Port(port), Some(tell));
        let (backs, nexts, dead_ends) = (VecDeque::new(), VecDeque::new(), Vec::new());
        let mut dialing = Dialing {
            ctx,
            open,
            order,
            trunk,
            flow,
            place,
            call,
            media,
            backs,
            nexts,
            dead_ends,
            tell,
            control,
        };
        while let Ok(early) = asked.try_recv() {
            dialing.step(early.into()).await;
        }
        dialing.step(Input::Go).await;
        while !dialing.call.is_over() {
            let deadline = dialing.call.deadline();
            let clock = Arc::clone(&dialing.ctx.clock);
            let input = tokio::select! {
                biased;
                Some(asked) = asked.recv() => asked.into(),
                Some(mail) = mailbox.recv() => dialing.read(*mail),
                () = clock.sleep_until(deadline.unwrap_or_default()), if deadline.is_some() => {
                    Input::Tick
                }
                // Nothing more can happen to it. The machine does not come to this.
                else => return,
            };
            dialing.step(input).await;
            // However much comes in, what is due is due.
            if dialing.is_due() {
                dialing.step(Input::Tick).await;
            }
        }
        let counters = dialing.open.endpoint.transports.counters();
        counters.add(Count::Foreign, u64::from(dialing.call.ignored()));
    }
}

impl From<Asked> for Input {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Cancel => Self::Cancel,
            Asked::Stored => Self::Stored,
        }
    }
}

/// What stands before the INVITE leaves.
struct Ready {
    open: Arc<Open>,
    trunk: Arc<Trunk>,
    flow: Flow,
    place: Place,
    port: RtpPort,
    call: Call,
    mailbox: mpsc::Receiver<Box<Mail>>,
    _seat: Seat,
}

enum Media {
    /// Nobody says yet where to send.
    Port(RtpPort),
    Session(RtpSession),
    Over,
}

/// A call on its way.
struct Dialing {
    ctx: Arc<Context>,
    open: Arc<Open>,
    order: CallOrder,
    trunk: Arc<Trunk>,
    /// The way of the INVITE; another one when its connection broke.
    flow: Flow,
    place: Place,
    call: Call,
    media: Media,
    /// Where requests came from.
    backs: VecDeque<(SocketAddr, Flow)>,
    /// Where requests went past the peer: their connections are the call's while it lasts.
    nexts: VecDeque<(Place, Flow)>,
    /// Hops that could not be reached. They are not tried again: meanwhile the call is deaf.
    dead_ends: Vec<Place>,
    /// None once the end was told.
    tell: Option<mpsc::UnboundedSender<CallEvent>>,
    control: Arc<Control>,
}

impl Dialing {
    fn read(&mut self, mail: Mail) -> Input {
        match mail.message {
            SipMessage::Response(response) => Input::Response(response),
            SipMessage::Request(request) => {
                self.backs.retain(|(from, _)| *from != mail.from);
                self.backs.push_back((mail.from, mail.flow));
                if self.backs.len() > BACKS {
                    self.backs.pop_front();
                }
                Input::Request { request, from: mail.from }
            }
        }
    }

    /// Hands the machine what happened, and does what it asks for.
    fn step(&mut self, input: Input) -> impl Future<Output = ()> {
        let todo = self.handle(input);
        self.carry_out(todo.into())
    }

    async fn carry_out(&mut self, mut todo: VecDeque<Output>) {
        while let Some(output) = todo.pop_front() {
            match output {
                Output::Send { to, bytes, what, by } => {
                    let sending = self.send(to, bytes, what, by).await;
                    if what == Kind::Invite || sending != Sending::Whole {
                        // What follows of it comes before what was asked for earlier.
                        for more in self.handle(Input::Sent(what, sending)).into_iter().rev() {
                            todo.push_front(more);
                        }
                    }
                }
                Output::Tell(event) => self.tell(event),
                Output::Media { remote, early } => {
                    tracing::trace!(attempt = %self.order.attempt, early, "media");
                    self.hear(remote);
                }
                Output::Dialog(text) => {
                    let mut dialog =
                        self.control.dialog.lock().unwrap_or_else(PoisonError::into_inner);
                    *dialog = Some(text);
                }
                Output::Redirect(uri) => {
                    self.ctx.remember_redirect(self.order.trunk, self.order.callee, uri);
                }
                Output::LeastInterval(seconds) => self.trunk.remember_min_se(seconds),
                Output::Over => {}
            }
        }
        if self.call.is_ending() {
            self.hush();
        }
    }

    fn is_due(&self) -> bool {
        self.call.deadline().is_some_and(|at| self.ctx.clock.monotonic() >= at)
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.call.handle(self.ctx.clock.monotonic(), input)
    }

    fn tell(&mut self, event: CallEvent) {
        // That nobody listens does not end a call.
        if let Some(tell) = &self.tell {
            let _ = tell.send(event);
        }
        if matches!(event, CallEvent::Ended(_)) {
            self.tell = None;
        }
    }

    fn hear(&mut self, remote: super::sdp::Remote) {
        self.media = match std::mem::replace(&mut self.media, Media::Over) {
            Media::Port(port) => {
                Media::Session(port.start(self.ctx.source.clone(), self.ctx.entropy.next_u64()))
            }
            other => other,
        };
        if let Media::Session(session) = &self.media {
            session.set_remote(remote);
        }
    }

    /// No sound any more.
    fn hush(&mut self) {
        if let Media::Session(session) = std::mem::replace(&mut self.media, Media::Over) {
            let stats = session.stats();
            tracing::debug!(attempt = %self.order.attempt, ?stats, "sound of a call");
        }
    }
}
