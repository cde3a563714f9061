//! Who carries events to webhook endpoints.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Of an answer, so much is read; the rest is not waited for.
pub const REPLY_READ_MAX: usize = 64 << 10;

/// One POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Where to.
    pub url: String,
    /// Names and values beside those of HTTP itself.
    pub headers: Vec<(&'static str, String)>,
    /// What.
    pub body: Bytes,
    /// From looking the name up to the end of the answer.
    pub timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status; redirects are not followed.
    pub status: u16,
    /// The beginning of the body, at most [`REPLY_READ_MAX`] bytes; less where it did not come.
    pub body_head: Bytes,
    /// How long the receiver wants to be left alone: `Retry-After` in seconds.
    pub retry_after: Option<Duration>,
}

/// Where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CourierErrorKind {
    /// The name has no address.
    Dns,
    /// The address or the scheme is not allowed.
    Forbidden,
    /// Nobody took the connection.
    Connect,
    /// The certificate is not good, or nothing was agreed on.
    Tls,
    /// It took too long.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Broken,
}

impl CourierErrorKind {
    /// The word in the delivery log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Forbidden => "forbidden",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

/// There was no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {text}", kind.as_str())]
pub struct CourierError {
    /// Where it went wrong.
    pub kind: CourierErrorKind,
    /// For the owner of the endpoint; tells nothing of the network behind this server.
    pub text: String,
}

/// Carries one parcel at a time, as often as it is asked; tries nothing again.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Posts it. The parcel may have arrived though there was no answer.
    async fn post(&self, parcel: Parcel) -> Result<Reply, CourierError>;
}
