//! Finds the messages in a stream (RFC 3261 18.3, keep-alives of RFC 5626 4.4.1). No I/O. It must
//! never hold more than one message and what was read with it, and never guess where a message
//! ends: a stream that cannot be followed is given up.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::sip::message::{MAX_MESSAGE, content_length};

/// The largest head (start line and headers), octets.
pub(crate) const MAX_HEAD: usize = 32 * 1024;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole message.
    Message(Bytes),
    /// Two empty lines between messages: the peer wants one back.
    Ping,
    /// One empty line between messages: the answer to a ping of ours.
    Pong,
}

/// Why a stream cannot be followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum FramingError {
    /// The head does not end.
    #[error("the head of a message is longer than {MAX_HEAD} octets")]
    Head,
    /// The message is too large.
    #[error("a message is longer than {MAX_MESSAGE} octets")]
    Message,
    /// `Content-Length` is no number, or there are several.
    #[error("a Content-Length cannot be read")]
    Length,
}

/// What was read and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    read: BytesMut,
    /// No head ends before this.
    scanned: usize,
    /// Length of the message that begins here, once its head is whole.
    whole: Option<usize>,
}

impl Framer {
    /// Where to read into.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.read
    }

    /// Part of a message waits for the rest.
    pub(crate) fn is_partial(&self) -> bool {
        !self.read.is_empty()
    }

    /// The next of what was read; none: read on.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        if self.whole.is_none() {
            if self.scanned == 0
                && let Some(found) = self.empty_lines()
            {
                return Ok(found);
            }
            self.find_head()?;
        }
        match self.whole {
            Some(length) if self.read.len() >= length => {
                self.whole = None;
                self.scanned = 0;
                Ok(Some(Frame::Message(self.read.split_to(length).freeze())))
            }
            _ => Ok(None),
        }
    }

    /// Empty lines before a message. Outer None: there are none.
    fn empty_lines(&mut self) -> Option<Option<Frame>> {
        match self.read.as_ref() {
            [b'\r', b'\n', b'\r', b'\n', ..] => {
                self.read.advance(4);
                Some(Some(Frame::Ping))
            }
            // Half a ping, or a pong that is whole: what follows tells, but a pong must not wait.
            [b'\r'] | [b'\r', b'\n', b'\r'] => Some(None),
            [b'\r', b'\n', ..] => {
                self.read.advance(2);
                Some(Some(Frame::Pong))
            }
            [] => Some(None),
            _ => None,
        }
    }

    fn find_head(&mut self) -> Result<(), FramingError> {
        let from = self.scanned.saturating_sub(3);
        let end = self.read[from..].windows(4).position(|w| w == b"\r\n\r\n");
        let Some(end) = end.map(|at| from + at) else {
            self.scanned = self.read.len();
            return if self.scanned > MAX_HEAD { Err(FramingError::Head) } else { Ok(()) };
        };
        if end > MAX_HEAD {
            return Err(FramingError::Head);
        }
        // Nothing is said of a body where there is none.
        let body = content_length(&self.read[..end]).map_err(|_| FramingError::Length)?;
        let body = body.unwrap_or(0);
        let whole = body.checked_add(end + 4).filter(|whole| *whole <= MAX_MESSAGE);
        self.whole = Some(whole.ok_or(FramingError::Message)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(chunks: &[&[u8]]) -> Result<Vec<Frame>, FramingError> {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for chunk in chunks {
            framer.buffer().extend_from_slice(chunk);
            while let Some(frame) = framer.next()? {
                found.push(frame);
            }
        }
        Ok(found)
    }

    fn message(text: &str) -> Frame {
        Frame::Message(Bytes::copy_from_slice(text.as_bytes()))
    }

    const WITH_BODY: &str = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nabcd";
    const COMPACT: &str = "OPTIONS sip:a SIP/2.0\r\nl :2\r\n\r\n\r\n";
    const WITHOUT: &str = "SIP/2.0 200 OK\r\nVia: x\r\n\r\n";

    #[test]
    fn one_after_another_with_keep_alives_between() {
        let stream = format!("\r\n\r\n{WITH_BODY}{COMPACT}\r\n{WITHOUT}\r\n\r\n");
        let wanted = [
            Frame::Ping,
            message(WITH_BODY),
            message(COMPACT),
            Frame::Pong,
            message(WITHOUT),
            Frame::Ping,
        ];
        assert_eq!(frames(&[stream.as_bytes()]).unwrap(), wanted);
    }

    #[test]
    fn a_stream_that_cannot_be_followed_is_given_up() {
        let with =
            |length: &str| format!("OPTIONS sip:a SIP/2.0\r\nContent-Length: {length}\r\n\r\n");
        for length in ["-1", "+1", "x", "", "1 2", "99999999999999999999", "18446744073709551615"] {
            assert_eq!(frames(&[with(length).as_bytes()]), Err(FramingError::Length), "{length}");
        }
        for length in ["65536", "999999999"] {
            assert_eq!(frames(&[with(length).as_bytes()]), Err(FramingError::Message), "{length}");
        }
        let two = "OPTIONS sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(frames(&[two.as_bytes()]), Err(FramingError::Length));
        let endless = vec![b'a'; MAX_HEAD + 1];
        assert_eq!(frames(&[&endless]), Err(FramingError::Head));
    }

    proptest! {
        /// However the stream is cut, the messages are the same; nothing panics.
        #[test]
        fn cuts_do_not_matter(cuts in prop::collection::vec(1_usize..40, 0..40)) {
            let stream = format!("{WITH_BODY}{COMPACT}{WITHOUT}{WITH_BODY}");
            let mut rest = stream.as_bytes();
            let mut chunks = Vec::new();
            for cut in cuts {
                let (chunk, left) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = left;
            }
            chunks.push(rest);
            let wanted =
                [message(WITH_BODY), message(COMPACT), message(WITHOUT), message(WITH_BODY)];
            prop_assert_eq!(frames(&chunks).unwrap(), wanted);
        }

        #[test]
        fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = frames(&[&noise]);
        }
    }
}
