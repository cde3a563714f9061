//! Final answers that are none: refusals, credentials, redirects, and what is not an answer.

use std::time::Duration;

use outdial_core::outcome::CallEnd;
use outdial_ports::store::Transport;

use super::world::{BOB, CONTACT, World, at, media, response, setup};
use crate::sip::call::{CallSetup, Input, Kind, Sending};

const REALM: &str = "Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"";

fn www() -> String {
    format!("WWW-Authenticate: {REALM}\r\n")
}

fn proxy() -> String {
    format!("Proxy-Authenticate: {REALM}\r\n")
}

fn refused(status: u16) -> CallEnd {
    CallEnd::Refused { status, q850: None, retry_after: None }
}

#[test]
fn a_refusal_with_its_reasons() {
    let mut world = World::begin(setup());
    world.until(700);
    let why = "Retry-After: 120 (later)\r\nReason: Q.850;cause=34;text=\"none\"\r\n";
    world.answer(503, BOB, why, None);
    let end = CallEnd::Refused {
        status: 503,
        q850: Some(34),
        retry_after: Some(Duration::from_secs(120)),
    };
    assert_eq!(world.end(), Some(end));
    let ack = world.last(Kind::Ack);
    assert!(ack.text().starts_with("ACK sip:+12125551234@trunk.example SIP/2.0\r\n"));
    assert_eq!(ack.request().head.via.branch, world.invite().head.via.branch);
    assert_eq!(ack.request().head.to.tag.as_deref(), Some(BOB));
    assert_eq!(world.overs, 0, "the refusal may come again");
    world.until(1200);
    world.answer(503, BOB, why, None);
    assert_eq!(world.count(Kind::Ack), 2);
    world.finish();
    assert_eq!(world.now, at(1200 + 3_000_000));

    let mut world = World::begin(CallSetup { reliable: true, ..setup() });
    world.answer(486, BOB, "", None);
    assert_eq!((world.end(), world.overs), (Some(refused(486)), 1), "nothing to wait for");
}

#[test]
fn credentials_are_sent_at_most_twice() {
    let mut world = World::begin(setup());
    world.until(50);
    world.answer(407, BOB, &proxy(), None);
    let second = world.last(Kind::Invite).clone();
    assert!(second.text().contains("\r\nProxy-Authorization: Digest "), "{}", second.text());
    assert_eq!((second.request().head.cseq, second.by), (2, Some(at(1100))));
    assert_ne!(second.request().head.via.branch, world.sent[0].request().head.via.branch);
    assert_eq!(second.request().head.call_id, world.sent[0].request().head.call_id);
    assert_eq!(world.sent[1].what, Kind::Ack, "the refusal is acknowledged first");
    world.answer(401, BOB, &www(), None);
    let third = world.last(Kind::Invite).clone();
    assert_eq!(third.request().head.cseq, 3);
    for name in ["\r\nAuthorization: Digest ", "\r\nProxy-Authorization: Digest "] {
        assert!(third.text().contains(name), "both were asked for: {}", third.text());
    }
    // The first refusal comes again: its own ACK, again.
    let first = world.sent[0].request().clone();
    world.answer_to(&first, 407, BOB, &proxy(), None);
    assert_eq!(world.last(Kind::Ack).request().head.cseq, 1);
    world.answer(407, BOB, &proxy(), None);
    assert_eq!((world.end(), world.count(Kind::Invite)), (Some(refused(407)), 3));
    world.finish();
}

#[test]
fn wrong_credentials_are_not_tried_again_but_a_stale_nonce_is() {
    let mut world = World::begin(setup());
    world.answer(401, BOB, &www(), None);
    world.answer(401, BOB, &www(), None);
    assert_eq!((world.end(), world.count(Kind::Invite)), (Some(refused(401)), 2));

    let mut world = World::begin(setup());
    world.answer(401, BOB, &www(), None);
    let stale = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n2\", stale=true, qop=\"auth\"\r\n";
    world.answer(401, BOB, stale, None);
    assert!(world.last(Kind::Invite).text().contains("nonce=\"n2\""));
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    world.put(Input::Stored);
    let ack = world.last(Kind::Ack);
    assert!(ack.text().contains("CSeq: 3 ACK\r\n") && ack.text().contains("Authorization: "));

    let mut world = World::begin(CallSetup { credentials: None, ..setup() });
    world.answer(401, BOB, &www(), None);
    assert_eq!((world.end(), world.count(Kind::Invite)), (Some(refused(401)), 1));
    let mut world = World::begin(setup());
    world.answer(401, BOB, "WWW-Authenticate: Basic realm=\"r\"\r\n", None);
    assert_eq!(world.end(), Some(refused(401)));
}

#[test]
fn credentials_leave_in_time_or_not_at_all() {
    let late = CallEnd::NoRoute { reason: "late" };
    let mut world = World::begin(setup());
    world.until(1099);
    world.answer(407, BOB, &proxy(), None);
    assert_eq!(world.count(Kind::Invite), 2);
    world.now = at(1100);
    world.put(Input::Sent(Kind::Invite, Sending::Nothing));
    assert_eq!(world.end(), Some(late));

    let mut world = World::begin(setup());
    world.until(1100);
    world.answer(407, BOB, &proxy(), None);
    assert_eq!((world.end(), world.count(Kind::Invite)), (Some(late), 1));
}

#[test]
fn credentials_do_not_leave_outside_hours() {
    for (ms, invites) in [(299, 2), (300, 1)] {
        let mut world = World::begin(CallSetup { open_until: at(300), ..setup() });
        world.until(ms);
        world.answer(407, BOB, &proxy(), None);
        assert_eq!(world.count(Kind::Invite), invites);
        assert_eq!(world.last(Kind::Invite).by, Some(at(if invites == 2 { 300 } else { 100 })));
        assert_eq!(world.end().is_some(), invites == 1);
    }
}

#[test]
fn a_call_that_is_taken_back_is_not_sent_again() {
    let mut world = World::begin(setup());
    world.put(Input::Cancel);
    world.answer(407, BOB, &proxy(), None);
    assert_eq!((world.end(), world.count(Kind::Invite)), (Some(CallEnd::Canceled), 1));
}

#[test]
fn after_credentials_a_cancel_waits_for_a_provisional_answer_again() {
    let mut world = World::begin(setup());
    world.answer(100, "", "", None);
    world.answer(407, BOB, &proxy(), None);
    world.put(Input::Cancel);
    assert_eq!(world.count(Kind::Cancel), 0);
    world.answer(180, BOB, "", None);
    assert_eq!(world.last(Kind::Cancel).request().head.cseq, 2);
}

#[test]
fn who_accepts_what_was_refused_is_hung_up() {
    let mut world = World::begin(setup());
    world.answer(407, BOB, &proxy(), None);
    let first = world.sent[0].request().clone();
    world.answer_to(&first, 200, "mad", CONTACT, Some(media(9000)));
    let bye = world.last(Kind::Bye).request().clone();
    assert_eq!(bye.head.to.tag.as_deref(), Some("mad"));
    world.answer_to(&bye, 200, "mad", "", None);
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!((world.end(), world.events().len()), (None, 1), "the call goes on");
}

#[test]
fn redirects_are_told_if_they_lead_to_the_callee() {
    let mut world = World::begin(setup());
    let contacts = "Contact: <sip:other@192.0.2.77>, <sip:12125551234@192.0.2.8:5070>\r\n";
    world.answer(302, BOB, contacts, None);
    assert_eq!(world.end(), Some(CallEnd::Redirected { status: 302 }));
    assert_eq!(world.redirect.unwrap().host(), "192.0.2.8");
    for contacts in [
        "Contact: <sip:+12125559999@192.0.2.8>\r\n",
        "Contact: <tel:+12125551234>\r\n",
        "Contact: <sip:voicemail@192.0.2.8>\r\n",
        "",
    ] {
        let mut world = World::begin(setup());
        world.answer(301, BOB, contacts, None);
        assert_eq!((world.end(), world.redirect), (Some(refused(301)), None));
    }
}

#[test]
fn a_redirect_never_leads_from_tls_to_less() {
    let insecure = "Contact: <sip:12125551234@192.0.2.8;transport=tcp>\r\n";
    let secure = "Contact: <sips:12125551234@192.0.2.7>\r\n";
    let tls = || CallSetup { transport: Transport::Tls, reliable: true, ..setup() };
    let mut world = World::begin(tls());
    world.answer(302, BOB, insecure, None);
    assert_eq!((world.end(), world.redirect), (Some(refused(302)), None));
    let mut world = World::begin(tls());
    world.answer(302, BOB, &format!("{insecure}{secure}"), None);
    assert_eq!(world.redirect.unwrap().host(), "192.0.2.7");
    let mut world = World::begin(setup());
    world.answer(302, BOB, insecure, None);
    assert_eq!(world.redirect.unwrap().host(), "192.0.2.8");
}

#[test]
fn proxies_ask_one_after_the_other() {
    let mut world = World::begin(setup());
    world.answer(407, BOB, &proxy(), None);
    let other = "Proxy-Authenticate: Digest realm=\"far\", nonce=\"n2\"\r\n";
    world.answer(407, BOB, other, None);
    let third = world.last(Kind::Invite).text().to_owned();
    for realm in ["realm=\"r\"", "realm=\"far\""] {
        assert!(third.contains(realm), "{third}");
    }
    assert_eq!(world.count(Kind::Invite), 3);
}

#[test]
fn a_session_interval_that_is_too_short_is_for_the_next_attempt() {
    let mut world = World::begin(setup());
    world.answer(422, BOB, "Min-SE: 3600\r\n", None);
    assert_eq!(world.end(), Some(CallEnd::Redirected { status: 422 }));
    assert_eq!((world.least_interval, world.count(Kind::Invite)), (Some(3600), 1));
    let next = CallSetup { session_expires: 3600, min_se: 3600, ..setup() };
    let mut world = World::begin(next);
    let text = world.sent[0].text();
    assert!(text.contains("\r\nSession-Expires: 3600\r\nMin-SE: 3600\r\n"), "{text}");
    // It was given what it wants, wants what nobody waits for, or nothing.
    world.answer(422, BOB, "Min-SE: 3600\r\n", None);
    assert_eq!((world.end(), world.least_interval), (Some(refused(422)), None));
    for (session_expires, min_se) in
        [(1800, "Min-SE: 999999\r\n"), (1800, ""), (0, "Min-SE: 9\r\n")]
    {
        let mut world = World::begin(CallSetup { session_expires, ..setup() });
        world.answer(422, BOB, min_se, None);
        assert_eq!((world.end(), world.least_interval), (Some(refused(422)), None));
    }
}

#[test]
fn what_ends_a_call_that_rang_too_long() {
    for (status, end) in [
        (487, CallEnd::RingTimeout),
        (480, CallEnd::RingTimeout),
        (503, CallEnd::RingTimeout),
        (486, refused(486)),
        (603, refused(603)),
        (407, CallEnd::NoRoute { reason: "late" }),
    ] {
        let mut world = World::begin(setup());
        world.answer(180, BOB, "", None);
        world.until(45_100);
        world.answer(status, BOB, &proxy(), None);
        assert_eq!(world.end(), Some(end), "{status}");
    }
}

#[test]
fn messages_of_somebody_else_change_nothing() {
    let mut world = World::begin(setup());
    let invite = world.invite();
    let good = response(&invite, 200, BOB, CONTACT, Some(media(9000)));
    let mut foreign = Vec::new();
    let mut bad = good.clone();
    bad.head.call_id = "other".into();
    foreign.push(bad);
    let mut bad = good.clone();
    bad.head.cseq = 2;
    foreign.push(bad);
    let mut bad = good.clone();
    bad.head.via.branch = "z9hG4bKguessed".into();
    foreign.push(bad);
    let mut bad = good.clone();
    bad.head.from.tag = Some("theirs".into());
    foreign.push(bad);
    let twice = "Via: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bKx\r\n";
    foreign.push(response(&invite, 200, BOB, twice, Some(media(9000))));
    let mut bad = good;
    bad.head.method = crate::sip::message::Method::Bye;
    foreign.push(bad);
    let all = foreign.len();
    for response in foreign {
        world.put(Input::Response(response));
    }
    assert_eq!(world.call.ignored() as usize, all);
    assert!(world.told.is_empty() && world.sent.len() == 1);
    world.finish();
    assert_eq!(world.end(), Some(CallEnd::Silence));
}
