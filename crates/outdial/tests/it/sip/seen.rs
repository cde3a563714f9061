//! What a peer saw, read from SIPp's message log; and what it proves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A message that SIPp received or sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Since midnight.
    pub(crate) at: Duration,
    /// By SIPp.
    pub(crate) received: bool,
    /// The whole message.
    pub(crate) text: String,
}

impl Seen {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Of a request.
    pub(crate) fn method(&self) -> Option<&str> {
        self.line().ends_with("SIP/2.0").then(|| self.line().split(' ').next().unwrap())
    }

    /// Of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        let (status, _) = self.line().strip_prefix("SIP/2.0 ")?.split_once(' ')?;
        status.parse().ok()
    }

    /// Every value of a header, in its long name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
    }

    /// The first value of a header that must be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        all.first().copied().unwrap_or_else(|| panic!("no {name} in {}", self.text))
    }

    /// Number and method of the CSeq.
    pub(crate) fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").split_once(' ').unwrap();
        (number.parse().unwrap(), method.trim())
    }

    /// The tag of `From` or `To`, empty where there is none.
    pub(crate) fn tag(&self, header: &str) -> &str {
        parameter(self.header(header), "tag").unwrap_or_default()
    }

    /// The branch of the topmost Via.
    pub(crate) fn branch(&self) -> &str {
        parameter(self.header("Via"), "branch").unwrap()
    }

    /// The digits before the `@` of `From` or `To`.
    pub(crate) fn number(&self, header: &str) -> String {
        let value = self.header(header);
        let user = value.split("sip:").nth(1).unwrap().split('@').next().unwrap();
        user.chars().filter(char::is_ascii_digit).collect()
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The credentials it carries, if it does.
    pub(crate) fn credentials(&self) -> Vec<&str> {
        [self.all("Authorization"), self.all("Proxy-Authorization")].concat()
    }

    /// An INVITE that opens a call.
    fn opens(&self) -> bool {
        self.received && self.method() == Some("INVITE") && self.tag("To").is_empty()
    }
}

/// `name=value` behind a `;`.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = value.split(';').skip(1).filter_map(|part| part.trim().split_once('='));
    parts.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

/// The messages of a log, in their order.
pub(crate) fn read_log(file: &Path) -> Vec<Seen> {
    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned();
    let parts = text.split("\n-----------------------------------------------");
    parts.filter_map(|part| seen(part.trim_start_matches('-'))).collect()
}

/// ` DATE TIME`, then `UDP message received [N] bytes :`, an empty line, and the message.
fn seen(part: &str) -> Option<Seen> {
    let (head, rest) = part.split_once('\n')?;
    let at = time_of_day(head.split_whitespace().nth(1)?)?;
    let (what, rest) = rest.split_once('\n')?;
    let text = rest.strip_prefix('\n')?;
    // The last one has a line end more.
    let text = if text.ends_with("\r\n\n") { &text[..text.len() - 1] } else { text };
    // One that is being written is not whole yet.
    text.contains("\r\n\r\n").then(|| Seen {
        at,
        received: what.contains("message received"),
        text: text.to_owned(),
    })
}

/// `HH:MM:SS.micros`.
fn time_of_day(text: &str) -> Option<Duration> {
    let (whole, micros) = text.split_once('.')?;
    let mut seconds = 0;
    for part in whole.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some(Duration::from_secs(seconds) + Duration::from_micros(micros.parse().ok()?))
}

/// The attempts that a peer saw: Call-ID → the number that was called.
pub(crate) fn attempts(log: &[Seen]) -> BTreeMap<String, String> {
    let opening = log.iter().filter(|m| m.opens());
    opening.map(|m| (m.header("Call-ID").to_owned(), m.number("To"))).collect()
}

/// I1: no attempt has two INVITEs. What came again under a Call-ID is the same message, byte for
/// byte, or carries credentials that were asked for, at most twice.
pub(crate) fn one_invite_each(log: &[Seen]) {
    for call_id in attempts(log).keys() {
        let of_call = || log.iter().filter(|m| m.header("Call-ID") == call_id);
        let mut sent: Vec<&Seen> = Vec::new();
        let mut asked = 0;
        for message in of_call() {
            let wants = matches!(message.status(), Some(401 | 407));
            if !message.received && wants && message.cseq().1 == "INVITE" {
                asked += 1;
            }
            if !message.opens() {
                continue;
            }
            if let Some(first) = sent.iter().find(|m| m.branch() == message.branch()) {
                assert_eq!(first.text, message.text, "a repetition that is none");
                continue;
            }
            assert!(sent.len() <= asked, "an INVITE that nobody asked for: {}", message.text);
            assert!(sent.len() < 3, "asked more than twice: {}", message.text);
            if let Some(last) = sent.last() {
                assert!(!message.credentials().is_empty(), "a second INVITE: {}", message.text);
                assert_eq!(message.cseq().0, last.cseq().0 + 1, "{}", message.text);
                assert_eq!(message.tag("From"), last.tag("From"), "{}", message.text);
            }
            sent.push(message);
        }
    }
}

/// I7: every 2xx to an INVITE was acknowledged, by dialog; as many times as it was sent, unless the
/// peer is known to lose some.
pub(crate) fn every_answer_acknowledged(log: &[Seen]) {
    let dialog = |m: &Seen| (m.header("Call-ID").to_owned(), m.tag("To").to_owned(), m.cseq().0);
    let acks: Vec<_> =
        log.iter().filter(|m| m.received && m.method() == Some("ACK")).map(dialog).collect();
    let is_answer = |m: &&Seen| {
        !m.received && m.status().is_some_and(|s| s / 100 == 2) && m.cseq().1 == "INVITE"
    };
    for answer in log.iter().filter(is_answer) {
        assert!(acks.contains(&dialog(answer)), "never acknowledged: {}", answer.text);
    }
}
