//! Dialogs (RFC 3261 section 12): whom a request goes to, over which route, with which tags; and
//! the text by which another process can end one. Nothing here keeps time or decides.

use std::net::SocketAddr;

use bytes::Bytes;
use outdial_ports::store::Transport;
use serde::{Deserialize, Serialize};

use crate::sip::message::{Method, RequestBuilder, Response, SipUri, name_addr};

/// How far above the INVITE's `CSeq` another process begins: the one that is gone may have used the
/// numbers between for what it asked in the dialog. The peer takes any that is higher (RFC 3261
/// section 12.2.2).
const ORPHAN_GAP: u32 = 10_000;

/// What a request within a dialog is made of. The callee's side answered our INVITE: we are the
/// caller (RFC 3261 section 12.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialog {
    /// `Call-ID`.
    pub(crate) call_id: String,
    /// Our tag.
    pub(crate) local_tag: String,
    /// The peer's; empty if it has none (RFC 2543).
    pub(crate) remote_tag: String,
    /// Who calls.
    pub(crate) local: SipUri,
    /// Who is called.
    pub(crate) remote: SipUri,
    /// `CSeq` of the INVITE that made it.
    pub(crate) cseq: u32,
    /// The remote target: where the peer is.
    pub(crate) target: SipUri,
    /// The route set, the nearest proxy first.
    pub(crate) routes: Vec<SipUri>,
    /// How the INVITE went.
    pub(crate) transport: Transport,
    /// Where the INVITE went.
    pub(crate) peer: SocketAddr,
    /// The trunk sent us to that peer, which is not the trunk.
    pub(crate) is_elsewhere: bool,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    call_id: String,
    local_tag: String,
    remote_tag: String,
    local: String,
    remote: String,
    cseq: u32,
    target: String,
    routes: Vec<String>,
    transport: String,
    peer: SocketAddr,
    #[serde(default)]
    is_elsewhere: bool,
}

impl Dialog {
    /// The dialog that a 2xx to an INVITE of ours makes, whoever sent that INVITE. What cannot be
    /// read of its route or contact is replaced by what is known, for it must be acknowledged and
    /// ended all the same. None: it has no tag of ours.
    pub(crate) fn of_answer(
        answer: &Response,
        transport: Transport,
        peer: SocketAddr,
    ) -> Option<Self> {
        let head = &answer.head;
        let mut routes = head.record_route().unwrap_or_default();
        routes.reverse();
        let contact = head.contact().map(|contact| contact.uri);
        let known = [contact, Some(head.to.uri.clone())].into_iter().flatten().find(SipUri::is_sip);
        let target = match known {
            Some(target) => target,
            None => SipUri::new(None, &peer.ip().to_string(), Some(peer.port())).ok()?,
        };
        Some(Self {
            call_id: head.call_id.clone(),
            local_tag: head.from.tag.clone()?,
            remote_tag: head.to.tag.clone().unwrap_or_default(),
            local: head.from.uri.clone(),
            remote: head.to.uri.clone(),
            cseq: head.cseq,
            target,
            routes,
            transport,
            peer,
            is_elsewhere: false,
        })
    }

    /// The reverse of [`Dialog::to_text`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text: Text = serde_json::from_str(text).ok()?;
        Some(Self {
            call_id: text.call_id,
            local_tag: text.local_tag,
            remote_tag: text.remote_tag,
            local: SipUri::parse(&text.local)?,
            remote: SipUri::parse(&text.remote)?,
            cseq: text.cseq,
            target: SipUri::parse(&text.target)?,
            routes: text.routes.iter().map(|r| SipUri::parse(r)).collect::<Option<_>>()?,
            transport: Transport::parse(&text.transport)?,
            peer: text.peer,
            is_elsewhere: text.is_elsewhere,
        })
    }

    /// As another process needs it. Holds the numbers of the call: for the store, not for a log.
    pub(crate) fn to_text(&self) -> String {
        let text = Text {
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
            remote_tag: self.remote_tag.clone(),
            local: self.local.to_string(),
            remote: self.remote.to_string(),
            cseq: self.cseq,
            target: self.target.to_string(),
            routes: self.routes.iter().map(ToString::to_string).collect(),
            transport: self.transport.as_str().to_owned(),
            peer: self.peer,
            is_elsewhere: self.is_elsewhere,
        };
        serde_json::to_string(&text).expect("strings and numbers only")
    }

    /// The ACK of the 2xx (RFC 3261 section 13.2.2.4), with the credentials that its INVITE bore.
    /// None: it cannot be written.
    pub(crate) fn ack(
        &self,
        via: &str,
        branch: &str,
        credentials: &[(&'static str, String)],
    ) -> Option<Bytes> {
        let ack = self.request(&Method::Ack, self.cseq, via, branch);
        let with =
            |ack: RequestBuilder, (name, value): &(&'static str, String)| ack.header(name, value);
        credentials.iter().fold(ack, with).build().ok()
    }

    /// A BYE. None: it cannot be written.
    pub(crate) fn bye(
        &self,
        via: &str,
        branch: &str,
        cseq: u32,
        credentials: &[(&'static str, String)],
    ) -> Option<Bytes> {
        with(self.request(&Method::Bye, cseq, via, branch), credentials).build().ok()
    }

    /// The `CSeq` of the nth BYE (from 0) that a process sends which did not place the call.
    pub(crate) fn orphan_cseq(&self, nth: u32) -> u32 {
        self.cseq.saturating_add(ORPHAN_GAP).saturating_add(nth).min((1 << 31) - 1)
    }

    /// Where a request of this dialog goes (RFC 3261 sections 8.1.2 and 12.2.1.1).
    pub(crate) fn next_hop(&self) -> &SipUri {
        self.routes.first().unwrap_or(&self.target)
    }

    /// What stands in the request line.
    pub(crate) fn request_uri(&self) -> &SipUri {
        if self.is_strict() { &self.routes[0] } else { &self.target }
    }

    fn is_strict(&self) -> bool {
        self.routes.first().is_some_and(|first| !first.is_loose())
    }

    /// A request within the dialog, up to its `CSeq`. A first route that knows only strict routing
    /// stands in the request line, and the target last (RFC 3261 section 12.2.1.1).
    pub(crate) fn request(
        &self,
        method: &Method,
        cseq: u32,
        via: &str,
        branch: &str,
    ) -> RequestBuilder {
        let uri = self.request_uri();
        let routes = match self.is_strict() {
            true => self.routes[1..].iter().chain(Some(&self.target)),
            false => self.routes.iter().chain(None),
        };
        let to_tag = Some(self.remote_tag.as_str()).filter(|tag| !tag.is_empty());
        RequestBuilder::new(method, uri)
            .header("Via", format_args!("{via};branch={branch};rport"))
            .header("Max-Forwards", 70)
            .headers("Route", routes.map(|route| name_addr(route, None)))
            .header("From", name_addr(&self.local, Some(&self.local_tag)))
            .header("To", name_addr(&self.remote, to_tag))
            .header("Call-ID", &self.call_id)
            .header("CSeq", format_args!("{cseq} {method}"))
    }
}

/// A request with credentials in it.
pub(super) fn with(
    request: RequestBuilder,
    credentials: &[(&'static str, String)],
) -> RequestBuilder {
    credentials.iter().fold(request, |request, (name, value)| request.header(name, value))
}

#[cfg(test)]
mod tests {
    use crate::sip::message::{SipMessage, parse};

    use super::*;

    fn answer(more: &str) -> Response {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n\
             From: <sip:+1@us.example>;tag=ours\r\nTo: <sip:+2@them.example>;tag=theirs\r\n\
             Call-ID: c1\r\nCSeq: 3 INVITE\r\n{more}Content-Length: 0\r\n\r\n"
        );
        match parse(text.as_bytes()).unwrap() {
            SipMessage::Response(response) => response,
            SipMessage::Request(_) => panic!("an answer"),
        }
    }

    fn dialog(more: &str) -> Dialog {
        Dialog::of_answer(&answer(more), Transport::Udp, "192.0.2.9:5060".parse().unwrap()).unwrap()
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn loose_routes_stand_in_reverse_order() {
        let d = dialog(
            "Contact: <sip:gw@192.0.2.8:5070>\r\n\
             Record-Route: <sip:far.example;lr>, <sip:mid.example;lr=on>\r\n\
             Record-Route: <sip:near.example;lr>\r\n",
        );
        let bye = d.bye("SIP/2.0/UDP 192.0.2.1:5060", "z9hG4bKb", 4, &[]).unwrap();
        let bye = text(&bye);
        assert!(bye.starts_with("BYE sip:gw@192.0.2.8:5070 SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains(
            "Route: <sip:near.example;lr>\r\nRoute: <sip:mid.example;lr=on>\r\n\
             Route: <sip:far.example;lr>\r\n"
        ));
        assert!(bye.contains("CSeq: 4 BYE\r\n") && bye.contains(";tag=theirs\r\n"));
        assert_eq!(d.next_hop().as_str(), "sip:near.example;lr");
    }

    #[test]
    fn a_strict_router_stands_in_the_request_line() {
        let d = dialog(
            "Contact: <sip:gw@192.0.2.8>\r\n\
             Record-Route: <sip:far.example;lr>, <sip:old.example>\r\n",
        );
        let ack = d.ack("SIP/2.0/UDP 192.0.2.1", "z9hG4bKa", &[]).unwrap();
        let ack = text(&ack);
        assert!(ack.starts_with("ACK sip:old.example SIP/2.0\r\n"), "{ack}");
        assert!(ack.contains("Route: <sip:far.example;lr>\r\nRoute: <sip:gw@192.0.2.8>\r\n"));
        assert!(ack.contains("CSeq: 3 ACK\r\n"));
        assert_eq!(d.next_hop().as_str(), "sip:old.example");
    }

    #[test]
    fn without_a_contact_the_callee_itself_is_the_target() {
        assert_eq!(dialog("").target.as_str(), "sip:+2@them.example");
        assert_eq!(dialog("Contact: <tel:+2>\r\n").target.as_str(), "sip:+2@them.example");
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let d = dialog("Contact: <sip:a@h>\r\nRecord-Route: <sip:\r\n");
        assert_eq!((d.next_hop().as_str(), d.routes.len()), ("sip:a@h", 0));
    }

    #[test]
    fn the_text_says_all_and_bad_text_nothing() {
        let d = dialog("Contact: <sip:gw@h;x=1>\r\nRecord-Route: <sip:p;lr>, <sip:q;lr>\r\n");
        assert_eq!(Dialog::parse(&d.to_text()), Some(d.clone()));
        let elsewhere = Dialog { is_elsewhere: true, ..d.clone() };
        assert_eq!(Dialog::parse(&elsewhere.to_text()), Some(elsewhere));
        let before = d.to_text().replace(",\"isElsewhere\":false", "");
        assert!(before != d.to_text() && Dialog::parse(&before) == Some(d.clone()));
        assert!(d.orphan_cseq(0) > d.cseq + 1000 && d.orphan_cseq(1) == d.orphan_cseq(0) + 1);
        for bad in ["", "{}", &d.to_text().replace("sip:gw@h", "sip:gw@h\\r\\n")] {
            assert_eq!(Dialog::parse(bad), None, "{bad}");
        }
    }
}
