//! The way out to the telephone network.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use outdial_core::attempt::{AttemptState, CallEvent};
use outdial_core::id::{AttemptId, TrunkId};
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;

use crate::Monotonic;
use crate::store::{TrunkHealth, TrunkRecord};

/// A call to place. All its timers are the carrier's to run.
#[derive(Clone, Debug)]
pub struct CallOrder {
    /// The attempt: at most one INVITE leaves for it, ever.
    pub attempt: AttemptId,
    /// Unguessable name of the attempt, made with the intent; the Call-ID is made from it.
    pub token: [u8; 16],
    /// Over which trunk.
    pub trunk: TrunkId,
    /// Caller ID.
    pub caller: PhoneNumber,
    /// Whom to call.
    pub callee: PhoneNumber,
    /// Charged attempts of this call's round before this one.
    pub charged_before: u32,
    /// Nothing may leave after this.
    pub send_by: Monotonic,
    /// The calling hours end: no INVITE leaves at this instant or later, also none with the
    /// credentials that the far end asked for.
    pub open_until: Monotonic,
    /// How long it may ring before it is canceled.
    pub ring_limit: Duration,
    /// How long it may last from the answer before it is ended.
    pub talk_limit: Duration,
}

/// What happens on a call, in order; ends after `CallEvent::Ended`.
pub type CallStream = Pin<Box<dyn Stream<Item = CallEvent> + Send>>;

/// Ready when the trunks were left.
pub type Leaving<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A call in the carrier's hands.
pub struct PlacedCall {
    /// What happens.
    pub events: CallStream,
    /// What can be asked of it.
    pub control: Arc<dyn CallControl>,
}

/// What can be asked of a live call. Nothing waits; the result is an event.
pub trait CallControl: Send + Sync {
    /// Take it back before the answer; once answered, end it.
    fn cancel(&self);
    /// What another process needs to end the call, in the carrier's own words; there from
    /// `CallEvent::Answered` on. None: the call dies with this process.
    fn dialog(&self) -> Option<String> {
        None
    }
    /// The answer, with its dialog, is on the disk: the far end may be told that the call stands.
    /// A carrier may wait a little for it, so that at every moment either the far end asks again
    /// or the dialog is stored.
    fn is_stored(&self) {}
}

/// A call that a process which is gone had placed, or was about to.
#[derive(Clone, Debug)]
pub struct OrphanCall {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its unguessable name.
    pub token: [u8; 16],
    /// Over which trunk.
    pub trunk: TrunkId,
    /// Caller ID.
    pub caller: PhoneNumber,
    /// Whom.
    pub callee: PhoneNumber,
    /// How far it is known to have come.
    pub state: AttemptState,
    /// As of [`CallControl::dialog`], if its answer was recorded.
    pub dialog: Option<String>,
    /// When nothing can come any more of a call that was not answered.
    pub give_up_at: Monotonic,
}

/// A carrier: places calls, and tells what became of them.
///
/// Promises: at most one INVITE for each order; after `Ended` the call is provably over, or its end
/// says that this cannot be known; dropping `events` neither ends nor repeats a call.
pub trait Carrier: Send + Sync {
    /// Places a call; returns at once.
    fn place(&self, order: CallOrder) -> PlacedCall;
    /// Takes over a call of a process that is gone: nothing is placed. One that was answered is
    /// ended (`CutOff`); one that rings is canceled; of the others it is waited for what still
    /// comes of them. `Lost`: it cannot be known, `give_up_at` at the latest. As it stands, for
    /// carriers whose calls die with their process.
    fn take_over(&self, orphan: OrphanCall) -> PlacedCall {
        drop(orphan);
        PlacedCall {
            events: Box::pin(Once(Some(CallEvent::Ended(CallEnd::Lost)))),
            control: Arc::new(NoControl),
        }
    }
    /// The trunks as they are; replaces what was said before.
    fn set_trunks(&self, trunks: Vec<TrunkRecord>) {
        drop(trunks);
    }
    /// What was found of the trunks' health, with the `updated_at` of what was looked at.
    fn trunk_health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
        Vec::new()
    }
    /// The process is about to end, and places no call any more: takes back what it left at the
    /// trunks (registrations). Takes seconds at most.
    fn leave(&self) -> Leaving<'_> {
        Box::pin(std::future::ready(()))
    }
}

struct Once(Option<CallEvent>);

impl Stream for Once {
    type Item = CallEvent;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        Poll::Ready(self.0.take())
    }
}

struct NoControl;

impl CallControl for NoControl {
    fn cancel(&self) {}
}
