//! As much of PostgreSQL's protocol as it takes to lose one message (chapter 55 of its manual,
//! "Frontend/Backend Protocol"): messages are a type byte and a length that counts itself; only the
//! first one of a client has no type byte.

use std::mem;

/// Cuts a stream of bytes into messages, whatever pieces it comes in.
#[derive(Debug)]
pub(crate) struct Framer {
    rest: Vec<u8>,
    /// The next message has no type byte.
    is_first: bool,
}

/// One whole message, with its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    head: usize,
}

impl Framer {
    /// What a client says.
    pub(crate) fn client() -> Self {
        Self { rest: Vec::new(), is_first: true }
    }

    /// What a server says, without TLS.
    pub(crate) fn server() -> Self {
        Self { rest: Vec::new(), is_first: false }
    }

    /// The messages that are whole with these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.rest.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(message) = self.next() {
            whole.push(message);
        }
        whole
    }

    fn next(&mut self) -> Option<Message> {
        let tagged = usize::from(!self.is_first);
        let length = self.rest.get(tagged..tagged + 4)?;
        let length = u32::from_be_bytes(length.try_into().unwrap());
        let end = tagged + usize::try_from(length).unwrap();
        if self.rest.len() < end {
            return None;
        }
        let rest = self.rest.split_off(end);
        let bytes = mem::replace(&mut self.rest, rest);
        self.is_first = false;
        Some(Message { bytes, head: tagged })
    }
}

impl Message {
    /// It and its head.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn kind(&self) -> Option<u8> {
        (self.head == 1).then(|| self.bytes[0])
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.head + 4..]
    }

    /// The SQL that a client asks for: of a `Query` (Q) or a `Parse` (P).
    pub(crate) fn sql(&self) -> Option<String> {
        let text = match self.kind()? {
            b'Q' => self.body(),
            // The name of the statement goes before.
            b'P' => self.body().splitn(2, |b| *b == 0).nth(1)?,
            _ => return None,
        };
        let end = text.iter().position(|b| *b == 0)?;
        Some(String::from_utf8_lossy(&text[..end]).into_owned())
    }

    /// A client's wish that the transaction be committed.
    pub(crate) fn asks_to_commit(&self) -> bool {
        self.sql().is_some_and(|sql| {
            let sql = sql.trim_start();
            sql.len() >= 6 && sql[..6].eq_ignore_ascii_case("commit")
        })
    }

    /// A server's word that a transaction is committed: `CommandComplete` (C).
    pub(crate) fn says_committed(&self) -> bool {
        self.kind() == Some(b'C') && self.body() == b"COMMIT\0"
    }

    /// A server's word that no transaction is open (`ReadyForQuery`, Z, idle).
    pub(crate) fn says_idle(&self) -> bool {
        self.kind() == Some(b'Z') && self.body() == b"I"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn messages_are_found_in_whatever_pieces_they_come() {
        let startup = [&16_u32.to_be_bytes()[..], b"\0\x03\0\0user\0me\0"].concat();
        let parse = message(b'P', b"name\0INSERT INTO attempt\0\0\0");
        let commit = message(b'Q', b"COMMIT\0");
        let stream = [startup, parse, commit].concat();
        for piece in 1..stream.len() {
            let mut framer = Framer::client();
            let seen: Vec<Message> = stream.chunks(piece).flat_map(|p| framer.feed(p)).collect();
            assert_eq!(seen.len(), 3, "{piece}");
            let together: Vec<u8> = seen.iter().flat_map(|m| m.bytes().to_vec()).collect();
            assert_eq!(together, stream);
            assert_eq!(seen[0].sql(), None);
            assert_eq!(seen[1].sql().as_deref(), Some("INSERT INTO attempt"));
            assert!(!seen[1].asks_to_commit() && seen[2].asks_to_commit());
        }
    }

    #[test]
    fn a_commit_and_its_answer_are_known() {
        let mut framer = Framer::server();
        let answers = [
            message(b'C', b"INSERT 0 1\0"),
            message(b'Z', b"T"),
            message(b'C', b"COMMIT\0"),
            message(b'Z', b"I"),
        ];
        let seen = framer.feed(&answers.concat());
        let committed: Vec<bool> = seen.iter().map(Message::says_committed).collect();
        let idle: Vec<bool> = seen.iter().map(Message::says_idle).collect();
        assert_eq!(committed, [false, false, true, false]);
        assert_eq!(idle, [false, false, false, true]);
    }
}
