//! What goes into the machine of a call, and what comes out of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use outdial_core::attempt::CallEvent;
use outdial_core::phone::PhoneNumber;
use outdial_ports::Monotonic;
use outdial_ports::store::Transport;

use crate::sip::digest::Credentials;
use crate::sip::ids::Ids;
use crate::sip::message::{Request, Response, SipUri};
use crate::sip::sdp::Remote;
use crate::sip::transaction::Timers;

/// A call to place, with all that its messages are made of.
#[derive(Clone, Debug)]
pub(crate) struct CallSetup {
    /// Makes branches and nonces.
    pub(crate) ids: Ids,
    /// `Call-ID`.
    pub(crate) call_id: String,
    /// Our tag.
    pub(crate) from_tag: String,
    /// How our `Via` begins: `SIP/2.0/UDP host:port`.
    pub(crate) via: String,
    /// Where requests of the peer come to.
    pub(crate) contact: SipUri,
    /// The request line of the INVITE.
    pub(crate) target: SipUri,
    /// Routes that are known beforehand: an outbound proxy.
    pub(crate) routes: Vec<SipUri>,
    /// Who calls.
    pub(crate) from: SipUri,
    /// Who is called.
    pub(crate) to: SipUri,
    /// `P-Asserted-Identity` (RFC 3325).
    pub(crate) asserted: Option<SipUri>,
    /// How the trunk is reached.
    pub(crate) transport: Transport,
    /// The transport loses nothing.
    pub(crate) reliable: bool,
    /// Where the INVITE goes.
    pub(crate) peer: SocketAddr,
    /// Where we receive media.
    pub(crate) local_media: SocketAddr,
    /// The session of the SDP's `o=`.
    pub(crate) session_id: u64,
    /// What challenges are answered with.
    pub(crate) credentials: Option<Credentials>,
    /// The trunk sent us to somebody else: what the trunk alone may know is not for them.
    pub(crate) is_elsewhere: bool,
    /// Whom a redirect must name to be followed.
    pub(crate) callee: PhoneNumber,
    /// Nothing leaves at this instant or later.
    pub(crate) send_by: Monotonic,
    /// The calling hours end: no INVITE leaves at this instant or later, with credentials neither.
    pub(crate) open_until: Monotonic,
    /// How long it may ring, from the first transmission.
    pub(crate) ring_limit: Duration,
    /// How long it may last, from the answer.
    pub(crate) talk_limit: Duration,
    /// The timers of the transactions.
    pub(crate) timers: Timers,
    /// The session interval that is asked for, in seconds (RFC 4028); 0: none.
    pub(crate) session_expires: u32,
    /// The shortest that the trunk takes, in seconds; 0: it did not say.
    pub(crate) min_se: u32,
    /// `User-Agent`.
    pub(crate) user_agent: String,
}

/// What happens to a call.
#[derive(Debug)]
pub(crate) enum Input {
    /// The slot has begun and the way stands: the INVITE may leave.
    Go,
    /// What became of a transmission: always of a [`Kind::Invite`], of others if nothing left.
    Sent(Kind, Sending),
    /// An answer with our `Call-ID`.
    Response(Response),
    /// A request with our `Call-ID`, and where it came from.
    Request { request: Request, from: SocketAddr },
    /// Time has passed.
    Tick,
    /// Take it back; once answered, end it.
    Cancel,
    /// The dialog is on the disk.
    Stored,
}

/// What became of a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// All was taken.
    Whole,
    /// Certainly nothing left.
    Nothing,
    /// A part may have left.
    Partly,
}

/// What a call asks of its runner, in this order.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Send this; not at `by` or later.
    Send { to: Hop, bytes: Bytes, what: Kind, by: Option<Monotonic> },
    /// Tell what happened. `Ended` comes exactly once, and is the last of these.
    Tell(CallEvent),
    /// Where the peer's media go now.
    Media { remote: Remote, early: bool },
    /// What another process needs to end the call; replaces the one before. The first comes before
    /// `Tell(Answered)`.
    Dialog(String),
    /// Where the callee is, before `Tell(Ended(Redirected))`.
    Redirect(SipUri),
    /// The shortest session interval that the trunk takes, in seconds, before `Tell(Ended(..))`.
    LeastInterval(u32),
    /// Nothing more will happen. Comes exactly once, last.
    Over,
}

/// What a message is, for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first transmission of an INVITE: of the first one, or of one with credentials.
    Invite,
    /// Anything of ours again.
    Resend,
    /// An ACK.
    Ack,
    /// A CANCEL.
    Cancel,
    /// A BYE.
    Bye,
    /// A re-INVITE or UPDATE.
    Request,
    /// An answer to the peer.
    Answer,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// Where the INVITE went.
    Peer,
    /// To the host of this URI, over the trunk's transport. If it cannot be reached, say
    /// [`Sending::Nothing`]: then it goes to the peer, as trunks behind a wrong address want it.
    Next(SipUri),
    /// Where the request came from.
    Back(SocketAddr),
}
