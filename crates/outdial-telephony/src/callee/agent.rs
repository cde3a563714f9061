//! Who takes in what comes to the callees, and hands it to the call it belongs to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outdial_core::phone::PhoneNumber;
use outdial_core::simulated::Script;
use outdial_ports::{Clock, Entropy};
use tokio::sync::mpsc;

use super::book::{Book, Entry, Standing};
use super::guard::{Guard, Verdict};
use super::play::{Ending, Part, Play};
use super::player::{Got, Player, Sound};
use super::{CalleeConfig, CalleeError};
use crate::rtp::{RtpPorts, Source};
use crate::sip::ids::hex;
use crate::sip::message::{Method, Request, ResponseBuilder, SipMessage, SipUri};
use crate::sip::transaction::Timers;
use crate::sip::transport::{Bounds, Flow, Rate, Received, TransportConfig, Transports};

/// The most messages that wait for one call; what comes then is sent again by who sent it.
const INBOX: usize = 64;

pub(super) struct Agent {
    config: CalleeConfig,
    pub(super) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    pub(super) transports: Transports,
    ports: Arc<RtpPorts>,
    book: Mutex<Book>,
    guard: Option<Mutex<Guard>>,
    is_deaf: AtomicBool,
}

impl Agent {
    pub(super) async fn open(
        config: CalleeConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Received>), CalleeError> {
        let mut listen = TransportConfig::new(config.listen);
        listen.tls.clone_from(&config.tls);
        // Everybody who calls is a stranger here, and welcome.
        let strangers = Rate { burst: 1_000_000, per_second: 1_000_000 };
        let bounds = Bounds { strangers, connections_per_source: 1_024, ..Bounds::default() };
        listen.bounds = bounds;
        let (transports, received) = Transports::open(listen, Arc::clone(&clock)).await?;
        let ports = RtpPorts::new(config.listen.ip(), None, Arc::clone(&clock))?;
        let guard = config.login.clone().map(|login| Mutex::new(Guard::new(login)));
        let (book, is_deaf) = (Mutex::default(), AtomicBool::new(false));
        let agent = Self { config, clock, entropy, transports, ports, book, guard, is_deaf };
        Ok((Arc::new(agent), received))
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_deaf(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::SeqCst);
    }

    /// Nothing is said any more, and the sockets are given back.
    pub(super) fn close(&self) {
        self.transports.shut();
        self.book().clear();
    }

    pub(super) async fn receive(self: Arc<Self>, mut received: mpsc::Receiver<Received>) {
        while let Some(Received { message, from, flow }) = received.recv().await {
            if self.is_deaf.load(Ordering::SeqCst) {
                continue;
            }
            match message {
                SipMessage::Request(request) => {
                    let now = self.clock.monotonic();
                    self.book().write(&request, now, from, flow.transport());
                    self.request(request, flow).await;
                }
                SipMessage::Response(response) => {
                    let tag = response.head.from.tag.as_deref();
                    let book = self.book();
                    if let Some(entry) = book.find_own(&response.head.call_id, tag) {
                        let _ = entry.inbox.try_send(Got::Response(response));
                    }
                }
            }
        }
    }

    async fn request(self: &Arc<Self>, request: Request, flow: Flow) {
        let inbox = self.book().find(&request).map(|entry| entry.inbox.clone());
        if let Some(inbox) = inbox {
            let _ = inbox.try_send(Got::Request(request, flow));
            return;
        }
        let is_new = request.head.to.tag.is_none();
        match &request.method {
            Method::Ack => {}
            Method::Invite if is_new => self.invite(request, flow),
            Method::Register if is_new => self.register(&request, &flow).await,
            Method::Options if is_new => self.answer(&request, &flow, 200, &[]).await,
            Method::Cancel | Method::Bye => self.answer(&request, &flow, 481, &[]).await,
            _ if !is_new => self.answer(&request, &flow, 481, &[]).await,
            Method::Other(_) => self.answer(&request, &flow, 501, &[]).await,
            _ => self.answer(&request, &flow, 405, &[]).await,
        }
    }

    /// An answer that stands for itself: a request that comes again is answered again.
    async fn answer(
        &self,
        request: &Request,
        flow: &Flow,
        status: u16,
        headers: &[(&'static str, String)],
    ) {
        let mut builder = ResponseBuilder::to(request, status).to_tag(&self.random());
        builder = builder.header("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER");
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        if let Ok(bytes) = builder.build() {
            let _ = self.transports.send(flow, bytes, None).await;
        }
    }

    async fn register(&self, request: &Request, flow: &Flow) {
        match self.look(request) {
            Verdict::Welcome => {}
            Verdict::Refuse => return self.answer(request, flow, 403, &[]).await,
            Verdict::Ask { status, header, values } => {
                let headers: Vec<_> = values.into_iter().map(|value| (header, value)).collect();
                return self.answer(request, flow, status, &headers).await;
            }
        }
        let expires = request.head.expires().unwrap_or(3_600);
        let contacts = request.head.list("Contact");
        let bare = |contact: &String| contact.split_once('>').map(|(uri, _)| format!("{uri}>"));
        let granted = contacts.iter().filter_map(bare);
        let headers: Vec<_> = granted
            .map(|contact| ("Contact", format!("{contact};expires={expires}")))
            .chain([("Expires", expires.to_string())])
            .collect();
        self.answer(request, flow, 200, &headers).await;
    }

    fn look(&self, request: &Request) -> Verdict {
        let Some(guard) = &self.guard else { return Verdict::Welcome };
        let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
        guard.look(request, &*self.entropy)
    }

    fn invite(self: &Arc<Self>, invite: Request, flow: Flow) {
        let mut ending = self.ending(&invite);
        let mut sound = Sound::Nothing;
        let mut local = SocketAddr::new(flow.local_ip(), 0);
        if let Ending::Plays(_) = ending {
            match self.ports.open() {
                Ok(port) => {
                    local.set_port(port.port());
                    let source = if self.config.tone { Source::tone() } else { Source::Silence };
                    sound = Sound::Ready { port, source, chance: self.entropy.next_u64() };
                }
                // Without sound there is no call.
                Err(_) => ending = refused(500),
            }
        }
        let tag = self.random();
        let uri_host = flow.contact();
        let (call_id, branch) = (invite.head.call_id.clone(), invite.head.via.branch.clone());
        let part = Part {
            invite,
            ending,
            speed: self.config.speed,
            tag: tag.clone(),
            contact: format!("<sip:callee@{uri_host}>"),
            via: flow.via(),
            is_reliable: flow.is_reliable(),
            local,
            session: self.entropy.next_u64() >> 2,
            early_media: self.config.early_media,
            session_expires: self.config.session_expires,
            timers: Timers::default(),
        };
        let (inbox, got) = mpsc::channel(INBOX);
        let (play, first) = Play::new(part, self.clock.monotonic());
        let standing = Standing::Calling;
        self.book().add(&call_id, Entry { branch, tag: tag.clone(), inbox, standing });
        let agent = Arc::clone(self);
        let player = Player { agent, play, call_id, tag, flow, inbox: got, sound };
        tokio::spawn(player.run(first));
    }

    /// What an INVITE comes to.
    fn ending(&self, invite: &Request) -> Ending {
        match self.look(invite) {
            Verdict::Welcome => {}
            Verdict::Refuse => return refused(403),
            Verdict::Ask { status, header, values } => {
                let headers = values.into_iter().map(|value| (header, value)).collect();
                return Ending::Refused { status, headers };
            }
        }
        if self.book().live() >= self.config.max_calls {
            return refused(503);
        }
        let digits = invite.uri.digits();
        let Some(number) = digits.as_ref().and_then(|d| d.parse::<u64>().ok()) else {
            return refused(404);
        };
        if let Some(to) = self.config.redirect {
            let ip = to.ip().to_string();
            let there = SipUri::new(digits.as_deref(), &ip, Some(to.port()));
            return match there {
                Ok(uri) => {
                    let headers = vec![("Contact", format!("<{uri}>"))];
                    Ending::Refused { status: 302, headers }
                }
                Err(_) => refused(500),
            };
        }
        let callee = PhoneNumber::from_digits(number);
        let before = self.book().count_call(number);
        let own = self.config.scripts.as_ref().and_then(|script_of| script_of(callee, before));
        Ending::Plays(own.unwrap_or_else(|| Script::of(callee, before, self.entropy.next_u64())))
    }

    fn random(&self) -> String {
        let mut bytes = [0; 12];
        self.entropy.fill(&mut bytes);
        hex(&bytes)
    }
}

fn refused(status: u16) -> Ending {
    Ending::Refused { status, headers: Vec::new() }
}
