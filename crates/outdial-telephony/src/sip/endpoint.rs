//! Who gets a message that came: the call it belongs to, whoever asked, or nobody. It must never
//! wait for any of them, believe a stranger, or leave a 2xx of a call of ours without its ACK and
//! BYE.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use outdial_core::outcome::CallEnd;
use outdial_ports::Clock;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::call::{LAST_CSEQ, Trickle};
use super::ids::Ids;
use super::message::name_addr;
use super::message::{Method, Request, RequestBuilder, Response, ResponseBuilder, SipMessage};
use super::transport::{Count, Flow, Received, Transports};

/// Messages that wait for a call.
const MAILBOX: usize = 64;
/// Answers of the endpoint itself that are on their way at once.
const REPLIES: usize = 512;
/// Calls that nobody ran of which something is remembered.
const REMEMBERED: usize = 4096;
/// Dialogs of each of these that are ended (forks).
const FORKS: usize = 8;
/// What can be asked of us outside of calls.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO";

/// A message for a call. Boxed on its way: a mailbox has room for 32 from the start.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) message: SipMessage,
    pub(crate) from: SocketAddr,
    /// Where its response goes.
    pub(crate) flow: Flow,
}

/// The demultiplexer.
pub(crate) struct Endpoint {
    pub(crate) transports: Transports,
    pub(crate) ids: Ids,
    pub(crate) clock: Arc<dyn Clock>,
    user_agent: String,
    desk: Mutex<Desk>,
    replies: Arc<Semaphore>,
    strays: mpsc::Sender<Stray>,
    /// An end was remembered.
    remembered: Notify,
}

/// A 2xx of a call of ours that nobody runs.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) response: Response,
    pub(crate) flow: Flow,
}

/// What is to be done with a dialog of a call that nobody runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// End it: nobody asked before.
    First,
    /// It is being ended, or was.
    Known,
    /// End it; it is one of so many that nothing is remembered of it.
    More,
    /// Of these there were too many just now.
    Late,
}

#[derive(Default)]
struct Desk {
    calls: BTreeMap<String, mpsc::Sender<Box<Mail>>>,
    /// By branch and method: a CANCEL has the branch of its INVITE.
    questions: BTreeMap<(String, String), mpsc::Sender<Response>>,
    known: BTreeMap<String, Known>,
    /// The keys of `known`, oldest first.
    order: VecDeque<String>,
    more_forks: Trickle,
}

/// What is known of a call that nobody ran.
#[derive(Default)]
struct Known {
    end: Option<CallEnd>,
    /// The peer's tags of the dialogs that are being ended, or were.
    tags: Vec<String>,
}

impl Desk {
    fn known(&mut self, call_id: &str) -> &mut Known {
        if !self.known.contains_key(call_id) {
            self.order.push_back(call_id.to_owned());
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        self.known.entry(call_id.to_owned()).or_default()
    }
}

/// A call gets its messages while this lives.
pub(crate) struct Seat {
    endpoint: Arc<Endpoint>,
    call_id: String,
    mailbox: mpsc::Sender<Box<Mail>>,
}

/// A question gets its answers while this lives.
pub(crate) struct Asked {
    endpoint: Arc<Endpoint>,
    question: (String, String),
}

impl Endpoint {
    /// One that answers over `transports`. Strays go to the receiver; what it cannot hold comes
    /// again by itself.
    pub(crate) fn new(
        transports: Transports,
        ids: Ids,
        clock: Arc<dyn Clock>,
        user_agent: String,
    ) -> (Arc<Self>, mpsc::Receiver<Stray>) {
        let (strays, received) = mpsc::channel(MAILBOX);
        let replies = Arc::new(Semaphore::new(REPLIES));
        let desk = Mutex::default();
        let remembered = Notify::new();
        let made = Self { transports, ids, clock, user_agent, desk, replies, strays, remembered };
        (Arc::new(made), received)
    }

    /// Hands out what comes, until the sockets close.
    pub(crate) async fn run(self: Arc<Self>, mut received: mpsc::Receiver<Received>) {
        while let Some(received) = received.recv().await {
            // What one message does must not keep the others from their calls.
            let handed = catch_unwind(AssertUnwindSafe(|| self.hand_out(received)));
            if handed.is_err() {
                self.count(Count::Malformed);
            }
        }
    }

    fn hand_out(&self, Received { message, from, flow }: Received) {
        let message = match message {
            SipMessage::Response(response) => match self.hand_to_asker(response) {
                None => return self.transports.trust(from.ip()),
                Some(response) => SipMessage::Response(response),
            },
            request @ SipMessage::Request(_) => request,
        };
        let mailbox = self.desk().calls.get(&message.head().call_id).cloned();
        match (mailbox, message) {
            (Some(mailbox), message) => {
                self.transports.trust(from.ip());
                if mailbox.try_send(Box::new(Mail { message, from, flow })).is_err() {
                    self.count(Count::MailboxFull);
                }
            }
            (None, SipMessage::Response(response)) => self.on_stray(response, flow),
            (None, SipMessage::Request(request)) => self.on_stranger(&request, flow),
        }
    }

    /// From now on messages with that `Call-ID` are in the receiver.
    pub(crate) fn enter(self: &Arc<Self>, call_id: &str) -> (Seat, mpsc::Receiver<Box<Mail>>) {
        let (mailbox, received) = mpsc::channel(MAILBOX);
        self.desk().calls.insert(call_id.to_owned(), mailbox.clone());
        let call_id = call_id.to_owned();
        (Seat { endpoint: Arc::clone(self), call_id, mailbox }, received)
    }

    /// From now on answers of that transaction are in the receiver.
    pub(crate) fn expect(
        self: &Arc<Self>,
        method: &Method,
        branch: &str,
    ) -> (Asked, mpsc::Receiver<Response>) {
        let (answers, received) = mpsc::channel(MAILBOX);
        let question = (branch.to_owned(), method.as_str().to_owned());
        self.desk().questions.insert(question.clone(), answers);
        (Asked { endpoint: Arc::clone(self), question }, received)
    }

    /// What came of a call that nobody ran.
    pub(crate) fn end_of(&self, call_id: &str) -> Option<CallEnd> {
        self.desk().known.get(call_id)?.end
    }

    /// The same, once that is known.
    pub(crate) async fn ended(&self, call_id: &str) -> CallEnd {
        loop {
            let mut remembered = std::pin::pin!(self.remembered.notified());
            remembered.as_mut().enable();
            if let Some(end) = self.end_of(call_id) {
                return end;
            }
            remembered.await;
        }
    }

    /// Remembers what came of a call that nobody runs.
    pub(crate) fn remember(&self, call_id: &str, end: CallEnd) {
        self.desk().known(call_id).end = Some(end);
        self.remembered.notify_waiters();
    }

    /// Whether the dialog with that tag of the peer's is to be ended by who asks.
    pub(crate) fn claim(&self, call_id: &str, tag: &str) -> Claim {
        let now = self.clock.monotonic();
        let mut desk = self.desk();
        let tags = &mut desk.known(call_id).tags;
        if tags.iter().any(|known| known == tag) {
            return Claim::Known;
        }
        if tags.len() < FORKS {
            tags.push(tag.to_owned());
            return Claim::First;
        }
        if desk.more_forks.take(now) { Claim::More } else { Claim::Late }
    }

    /// Sends without being waited for; beyond a bound not at all, since the peer asks again.
    pub(crate) fn reply(&self, flow: Flow, bytes: Bytes) {
        let Ok(permit) = Arc::clone(&self.replies).try_acquire_owned() else {
            return self.count(Count::SendFailed);
        };
        let transports = self.transports.clone();
        tokio::spawn(async move {
            transports.send(&flow, bytes, None).await;
            drop(permit);
        });
    }

    /// The ACK of an answer of 300 or more to an INVITE of which nothing else is known
    /// (RFC 3261 17.1.1.3): the peer finds it by its branch.
    pub(crate) fn acknowledge(&self, response: &Response, flow: Flow) {
        let head = &response.head;
        let ack = RequestBuilder::new(&Method::Ack, &head.to.uri)
            .header("Via", format_args!("{};branch={}", flow.via(), head.via.branch))
            .header("Max-Forwards", 70)
            .header("From", name_addr(&head.from.uri, head.from.tag.as_deref()))
            .header("To", name_addr(&head.to.uri, head.to.tag.as_deref()))
            .header("Call-ID", &head.call_id)
            .header("CSeq", format_args!("{} ACK", head.cseq))
            .build();
        if let Ok(ack) = ack {
            self.reply(flow, ack);
        }
    }

    pub(crate) fn count(&self, what: Count) {
        self.transports.counters().count(what);
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an answer to whoever asked; nobody did: here it is again.
    fn hand_to_asker(&self, response: Response) -> Option<Response> {
        let head = &response.head;
        let question = (head.via.branch.clone(), head.method.as_str().to_owned());
        let asker = self.desk().questions.get(&question).cloned();
        let Some(asker) = asker else { return Some(response) };
        if asker.try_send(response).is_err() {
            self.count(Count::MailboxFull);
        }
        None
    }

    /// An answer for which nobody waits.
    fn on_stray(&self, response: Response, flow: Flow) {
        let head = &response.head;
        let tag = head.from.tag.as_deref().unwrap_or_default();
        if head.method != Method::Invite || !self.ids.is_ours(&head.call_id, tag) {
            return self.count(Count::StrayResponse);
        }
        self.transports.trust(flow.peer().ip());
        match response.status {
            ..=199 => self.count(Count::StrayResponse),
            200..=299 => {
                self.count(Count::LateAnswer);
                if self.strays.try_send(Stray { response, flow }).is_err() {
                    self.count(Count::MailboxFull);
                }
            }
            _ => {
                self.count(Count::StrayResponse);
                if let Some(end) = refusal(&response) {
                    self.remember(&head.call_id, end);
                }
                self.acknowledge(&response, flow);
            }
        }
    }

    /// A request that belongs to no call.
    fn on_stranger(&self, request: &Request, flow: Flow) {
        let head = &request.head;
        let to_tag = head.to.tag.as_deref();
        let answer = match &request.method {
            Method::Ack => return self.count(Count::StrayRequest),
            Method::Bye if to_tag.is_some_and(|tag| self.ids.is_ours(&head.call_id, tag)) => {
                // A call of a process that is gone: its callee hangs up.
                self.remember(&head.call_id, CallEnd::CutOff);
                ResponseBuilder::to(request, 200)
            }
            // There is no such dialog, or nothing to cancel.
            _ if to_tag.is_some() => ResponseBuilder::to(request, 481),
            Method::Bye | Method::Cancel | Method::Update | Method::Info | Method::Prack => {
                ResponseBuilder::to(request, 481)
            }
            Method::Options => {
                ResponseBuilder::to(request, 200).header("Accept", "application/sdp")
            }
            // We place calls; we take none.
            Method::Invite => ResponseBuilder::to(request, 403),
            _ => ResponseBuilder::to(request, 405),
        };
        self.count(Count::StrayRequest);
        // Not the tag of our own dialogs: nobody gets one of those by asking. The same for each
        // repetition, without anything being remembered (RFC 3261 8.2.7).
        let tag = self.ids.cnonce(&head.call_id, head.cseq);
        let answer = answer.to_tag(&tag).header("Allow", ALLOW).header("Server", &self.user_agent);
        if let Ok(answer) = answer.build() {
            self.reply(flow, answer);
        }
    }
}

/// What a final answer of 300 or more says of a call that nobody runs. None: nothing, since an
/// INVITE with credentials may have followed.
pub(crate) fn refusal(response: &Response) -> Option<CallEnd> {
    let head = &response.head;
    match response.status {
        401 | 407 if head.cseq < LAST_CSEQ => None,
        487 => Some(CallEnd::Canceled),
        status => {
            let (q850, retry_after) = (head.q850(), head.retry_after());
            Some(CallEnd::Refused { status, q850, retry_after })
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut desk = self.endpoint.desk();
        // Somebody else may have taken it over.
        if desk.calls.get(&self.call_id).is_some_and(|m| m.same_channel(&self.mailbox)) {
            desk.calls.remove(&self.call_id);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.endpoint.desk().questions.remove(&self.question);
    }
}
