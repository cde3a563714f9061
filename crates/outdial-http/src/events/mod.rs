//! Server-sent events: what a workspace is told, as it happens.
//!
//! The store is the truth: it is asked each second, and at once after a hint. A *feed* asks for all
//! streams of a workspace; a *stream* tells one client, from where it left off. What a slow client
//! has not read is not kept for it in memory: it is read again from the store.

mod feed;
mod frame;
mod stream;

pub(crate) use feed::Feeds;
pub(crate) use stream::{Start, open};
