//! Plays one call: its clock, its sockets, its sound.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use outdial_ports::store::Transport;
use tokio::sync::mpsc;

use super::agent::Agent;
use super::play::{Input, Output, Play};
use crate::rtp::{RtpPort, RtpSession, Source};
use crate::sip::message::{Request, Response, SipUri};
use crate::sip::transport::{Flow, Peer};

/// A message for a call.
pub(super) enum Got {
    Request(Request, Flow),
    Response(Response),
}

/// A call in play.
pub(super) struct Player {
    pub(super) agent: Arc<Agent>,
    pub(super) play: Play,
    pub(super) call_id: String,
    pub(super) tag: String,
    /// Where the INVITE came from.
    pub(super) flow: Flow,
    pub(super) inbox: mpsc::Receiver<Got>,
    pub(super) sound: Sound,
}

/// The sound of a call.
pub(super) enum Sound {
    /// There is none.
    Nothing,
    /// A port, and nobody to send to yet.
    Ready { port: RtpPort, source: Source, chance: u64 },
    /// Both ways.
    Flows(RtpSession),
}

impl Player {
    /// Plays to the end, `first` before anything else.
    pub(super) async fn run(mut self, first: Vec<Output>) {
        let flow = self.flow.clone();
        self.carry_out(first, &flow).await;
        let clock = Arc::clone(&self.agent.clock);
        while let Some(at) = self.play.deadline() {
            let got = tokio::select! {
                got = self.inbox.recv() => match got {
                    Some(got) => Some(got),
                    // Nobody knows this call any more.
                    None => return,
                },
                () = clock.sleep_until(at) => None,
            };
            let now = clock.monotonic();
            let (outputs, back) = match got {
                None => (self.play.handle(now, Input::Tick), self.flow.clone()),
                Some(Got::Request(request, back)) => {
                    (self.play.handle(now, Input::Request(request)), back)
                }
                Some(Got::Response(response)) => {
                    (self.play.handle(now, Input::Response(response)), self.flow.clone())
                }
            };
            self.carry_out(outputs, &back).await;
        }
        self.agent.book().remove(&self.call_id, &self.tag);
    }

    async fn carry_out(&mut self, outputs: Vec<Output>, back: &Flow) {
        for output in outputs {
            match output {
                Output::ToCaller(bytes) => self.send(&self.flow, bytes).await,
                Output::Back(bytes) => self.send(back, bytes).await,
                Output::Next(uri, bytes) => {
                    let flow = self.way_to(&uri).await;
                    self.send(&flow, bytes).await;
                }
                Output::Media(remote) => {
                    self.sound = match std::mem::replace(&mut self.sound, Sound::Nothing) {
                        Sound::Ready { port, source, chance } => {
                            Sound::Flows(port.start(source, chance))
                        }
                        other => other,
                    };
                    if let Sound::Flows(session) = &self.sound {
                        session.set_remote(remote);
                    }
                }
                Output::Stands(standing) => {
                    if standing == super::book::Standing::Over {
                        self.sound = Sound::Nothing;
                    }
                    self.agent.book().set_standing(&self.call_id, &self.tag, standing);
                }
            }
        }
    }

    /// What is lost here is sent again by the timers of SIP, as what is lost on the way.
    async fn send(&self, flow: &Flow, bytes: Bytes) {
        let _ = self.agent.transports.send(flow, bytes, None).await;
    }

    /// Where the caller wants requests of ours. A stream that stands is used; names are not looked
    /// up: whoever calls from here has an address.
    async fn way_to(&self, uri: &SipUri) -> Flow {
        let ip = uri.host().parse().ok().filter(|_| self.flow.transport() == Transport::Udp);
        let Some(ip) = ip else { return self.flow.clone() };
        let addr = SocketAddr::new(ip, uri.port().unwrap_or(5060));
        let peer = Peer { transport: Transport::Udp, addr, host: None, verify: false };
        let now = self.agent.clock.monotonic();
        let way = self.agent.transports.connect(&peer, now).await;
        way.unwrap_or_else(|_| self.flow.clone())
    }
}
