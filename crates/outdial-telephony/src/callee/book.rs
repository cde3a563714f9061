//! What callees wrote down, and which calls they have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use outdial_ports::Monotonic;
use outdial_ports::store::Transport;
use tokio::sync::mpsc;

use super::player::Got;
use crate::sip::message::{Method, Request};

/// The most requests that are written down; later ones are not.
const MAX_LOG: usize = 300_000;
/// The most numbers whose calls are counted.
const MAX_NUMBERS: usize = 1_000_000;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Monotonic,
    /// `INVITE`, …
    pub method: String,
    /// `Call-ID`.
    pub call_id: String,
    /// The number of `CSeq`.
    pub cseq: u32,
    /// Of the top `Via`: its transaction.
    pub branch: String,
    /// The number in `To`.
    pub to: Option<u64>,
    /// The number in `From`.
    pub from: Option<u64>,
    /// `To` has a tag.
    pub in_dialog: bool,
    /// The same request came before.
    pub again: bool,
    /// It brought credentials, right or wrong.
    pub authorized: bool,
    /// Who sent it.
    pub peer: SocketAddr,
    /// How.
    pub transport: Transport,
}

/// A call in the hands of a player.
pub(super) struct Entry {
    /// Of the INVITE's top `Via`.
    pub(super) branch: String,
    /// Our tag.
    pub(super) tag: String,
    pub(super) inbox: mpsc::Sender<Got>,
    pub(super) standing: Standing,
}

/// How a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not answered for good.
    Calling,
    /// Answered.
    Talking,
    /// Over; only repetitions are still answered.
    Over,
}

/// What was written down.
#[derive(Default)]
pub(super) struct Book {
    log: Vec<Seen>,
    transactions: BTreeSet<(String, String, String)>,
    /// By `Call-ID`.
    calls: BTreeMap<String, Vec<Entry>>,
    /// How many calls came to a number.
    called: BTreeMap<u64, u32>,
    /// The most calls that were live at once.
    most_live: usize,
}

impl Book {
    pub(super) fn log(&self) -> Vec<Seen> {
        self.log.clone()
    }

    /// Writes a request down.
    pub(super) fn write(
        &mut self,
        request: &Request,
        at: Monotonic,
        peer: SocketAddr,
        transport: Transport,
    ) {
        if self.log.len() >= MAX_LOG {
            return;
        }
        let head = &request.head;
        let number = |uri: &crate::sip::message::SipUri| uri.digits().and_then(|d| d.parse().ok());
        let (method, branch) = (request.method.to_string(), head.via.branch.clone());
        let transaction = (head.call_id.clone(), branch.clone(), method.clone());
        let has = |name| head.get(name).is_some();
        self.log.push(Seen {
            at,
            method,
            call_id: head.call_id.clone(),
            cseq: head.cseq,
            branch,
            to: number(&head.to.uri),
            from: number(&head.from.uri),
            in_dialog: head.to.tag.is_some(),
            again: !self.transactions.insert(transaction),
            authorized: has("Authorization") || has("Proxy-Authorization"),
            peer,
            transport,
        });
    }

    /// How many calls to that number came before this one, which is counted.
    pub(super) fn count_call(&mut self, number: u64) -> u32 {
        if self.called.len() >= MAX_NUMBERS && !self.called.contains_key(&number) {
            return 0;
        }
        let count = self.called.entry(number).or_default();
        *count += 1;
        *count - 1
    }

    pub(super) fn add(&mut self, call_id: &str, entry: Entry) {
        self.calls.entry(call_id.to_owned()).or_default().push(entry);
        self.most_live = self.most_live.max(self.live());
    }

    pub(super) fn most_live(&self) -> usize {
        self.most_live
    }

    /// Whose request this is: by the transaction that an INVITE, its ACK and its CANCEL share,
    /// else by our tag.
    pub(super) fn find(&self, request: &Request) -> Option<&Entry> {
        let head = &request.head;
        let all = self.calls.get(&head.call_id)?;
        let shares = matches!(request.method, Method::Invite | Method::Ack | Method::Cancel);
        let by_branch = |e: &&Entry| shares && e.branch == head.via.branch;
        let by_tag = |e: &&Entry| head.to.tag.as_ref() == Some(&e.tag);
        all.iter().find(by_branch).or_else(|| all.iter().find(by_tag))
    }

    /// Whose request an answer answers: ours carry our tag in `From`.
    pub(super) fn find_own(&self, call_id: &str, from_tag: Option<&str>) -> Option<&Entry> {
        self.calls.get(call_id)?.iter().find(|e| Some(e.tag.as_str()) == from_tag)
    }

    pub(super) fn set_standing(&mut self, call_id: &str, tag: &str, standing: Standing) {
        let all = self.calls.get_mut(call_id);
        if let Some(entry) = all.and_then(|all| all.iter_mut().find(|e| e.tag == tag)) {
            entry.standing = standing;
        }
    }

    pub(super) fn remove(&mut self, call_id: &str, tag: &str) {
        let Some(all) = self.calls.get_mut(call_id) else { return };
        all.retain(|e| e.tag != tag);
        if all.is_empty() {
            self.calls.remove(call_id);
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.calls.iter().flat_map(|(id, all)| all.iter().map(move |e| (id, e)))
    }

    pub(super) fn live(&self) -> usize {
        self.entries().filter(|(_, e)| e.standing != Standing::Over).count()
    }

    pub(super) fn unended(&self) -> Vec<String> {
        let talking = self.entries().filter(|(_, e)| e.standing == Standing::Talking);
        talking.map(|(id, _)| id.clone()).collect()
    }

    /// Every player is left alone, and ends.
    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }
}
