//! The way out to the telephone network.

use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::id::{AttemptId, TrunkId};
use outdial_core::phone::PhoneNumber;

use crate::Monotonic;

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
    /// How long it may ring before it is canceled.
    pub ring_limit: Duration,
    /// How long it may last from the answer before it is ended.
    pub talk_limit: Duration,
}

/// What happens on a call, in order; ends after `CallEvent::Ended`.
pub type CallStream = Pin<Box<dyn Stream<Item = CallEvent> + Send>>;

/// A call in the carrier's hands.
pub struct PlacedCall {
    /// What happens.
    pub events: CallStream,
    /// What can be asked of it.
    pub control: Box<dyn CallControl>,
}

/// What can be asked of a live call. Neither waits; the result is an event.
pub trait CallControl: Send + Sync {
    /// Take it back before the answer; once answered, end it.
    fn cancel(&self);
}

/// A carrier: places calls, and tells what became of them.
///
/// Promises: at most one INVITE for each order; after `Ended` the call is provably over, or its end
/// says that this cannot be known; dropping `events` neither ends nor repeats a call.
pub trait Carrier: Send + Sync {
    /// Places a call; returns at once.
    fn place(&self, order: CallOrder) -> PlacedCall;
}
