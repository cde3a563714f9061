//! Ids, phone numbers and lengths of time as columns, which are alike in both backends.

use std::time::Duration;

use outdial_core::id::{
    AgentId, AttemptId, BatchId, CallId, DeliveryId, DncId, EventId, KeyId, PhoneId, RequestId,
    TrunkId, UserId, WebhookId, WorkspaceId,
};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;

/// An id as its two columns: `seq`, and the seconds of `created_at`.
pub(crate) trait Id: Sized {
    /// The row's `seq`; −1, which no row has, for what cannot be one.
    fn seq64(&self) -> i64;
    /// The seconds that the row's `created_at` must have.
    fn secs(&self) -> i64;
    /// From the two columns.
    fn of(seq: i64, created_at: i64) -> Self;
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Id for $name {
            fn seq64(&self) -> i64 {
                i64::try_from(self.seq()).unwrap_or(-1)
            }
            fn secs(&self) -> i64 {
                i64::from(self.seconds())
            }
            fn of(seq: i64, created_at: i64) -> Self {
                Self::new(Timestamp::from_millis(created_at), seq.unsigned_abs())
            }
        }
    )*};
}
ids!(AgentId AttemptId BatchId CallId DeliveryId DncId EventId KeyId PhoneId RequestId TrunkId
    UserId WebhookId WorkspaceId);

/// A length of time as its column.
pub(crate) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// A phone number as its column.
pub(crate) fn digits(phone: PhoneNumber) -> i64 {
    i64::try_from(phone.digits()).unwrap_or(i64::MAX)
}
