//! Identifiers: 24 hex digits in ObjectId's layout, 4 bytes of seconds and 8 bytes of the store's
//! own sequence number, so that a public id needs no index of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::time::Timestamp;

/// The 12 bytes behind every id: when the thing was made (seconds), and its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    seconds: u32,
    seq: u64,
}

/// The text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not an id: 24 hexadecimal digits are needed")]
pub struct InvalidId;

impl ObjectId {
    /// The id of row `seq`, made at `created`.
    pub fn new(created: Timestamp, seq: u64) -> Self {
        Self { seconds: created.as_seconds(), seq }
    }

    /// From the two stored parts.
    pub const fn from_parts(seconds: u32, seq: u64) -> Self {
        Self { seconds, seq }
    }

    /// When it was made, in seconds since the epoch. A store compares it with the row's own, so
    /// that a made-up id with the right number is still nobody's.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// The store's sequence number.
    pub const fn seq(self) -> u64 {
        self.seq
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:016x}", self.seconds, self.seq)
    }
}

impl FromStr for ObjectId {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        if s.len() != 24 || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidId);
        }
        let seconds = u32::from_str_radix(&s[..8], 16).map_err(|_| InvalidId)?;
        let seq = u64::from_str_radix(&s[8..], 16).map_err(|_| InvalidId)?;
        Ok(Self { seconds, seq })
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ObjectId);

        impl $name {
            /// The id of row `seq`, made at `created`.
            pub fn new(created: Timestamp, seq: u64) -> Self {
                Self(ObjectId::new(created, seq))
            }
            /// From the two stored parts: seconds and sequence number.
            pub const fn from_parts(seconds: u32, seq: u64) -> Self {
                Self(ObjectId::from_parts(seconds, seq))
            }
            /// When it was made, in seconds since the epoch.
            pub const fn seconds(self) -> u32 {
                self.0.seconds()
            }
            /// The store's sequence number.
            pub const fn seq(self) -> u64 {
                self.0.seq()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                s.parse().map(Self)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! { /// The organization: everything else belongs to exactly one.
WorkspaceId }
id! { /// The person that a workspace's documented API calls `userId`.
UserId }
id! { /// An API key (not its secret).
KeyId }
id! { /// An agent: who talks when a call is answered, and which variables it declares.
AgentId }
id! { /// A trunk: the way out to a carrier.
TrunkId }
id! { /// A calling number of the workspace (what the documented API calls a phone).
PhoneId }
id! { /// A batch of calls.
BatchId }
id! { /// One call record: one (batch, phone number).
CallId }
id! { /// One attempt at a call: at most one INVITE.
AttemptId }
id! { /// An entry of a workspace's do-not-call list.
DncId }
id! { /// One ingest request, for `Idempotency-Key`.
RequestId }
id! { /// An event: something that happened in a workspace, told once and for all.
EventId }
id! { /// A webhook endpoint: a receiver of a workspace's events.
WebhookId }
id! { /// One event on its way to one webhook endpoint.
DeliveryId }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = BatchId::from_parts(0x64e5_f123, 0x45ab_cdef_9876_5432);
        assert_eq!(id.to_string(), "64e5f12345abcdef98765432");
        assert_eq!("64e5f12345abcdef98765432".parse(), Ok(id));
        assert_eq!("64E5F12345ABCDEF98765432".parse(), Ok(id));
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for bad in ["", "64e5f123", "64e5f12345abcdef9876543g", "+4e5f12345abcdef98765432"] {
            assert_eq!(bad.parse::<BatchId>(), Err(InvalidId), "{bad}");
        }
    }
}
