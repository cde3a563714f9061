//! After the answer: what the peer asks, refreshes, the end.

use std::time::Duration;

use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;

use super::world::{BOB, CONTACT, World, gateway, media, setup, uri};
use crate::sip::call::{CallSetup, Dialog, Hop, Input, Kind, Sending};
use crate::sip::message::Method;

const SDP: &str = "Content-Type: application/sdp\r\n";

#[test]
fn the_peer_hangs_up() {
    let mut world = World::talking(setup(), "");
    world.until(9000);
    let bye = |world: &mut World| world.ask_on("z9hG4bKb", (BOB, "ours"), "BYE", 1, "", b"");
    assert_eq!(bye(&mut world), Some(200));
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::TalkOver), 9000));
    assert_eq!(bye(&mut world), Some(200), "our answer was lost");
    assert_eq!(
        (world.count(Kind::Bye), world.last(Kind::Answer).to.clone()),
        (0, Hop::Back(gateway()))
    );
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!(world.count(Kind::Ack), 2, "every 2xx, also now");
    world.finish();
}

#[test]
fn a_bye_before_the_ack() {
    let mut world = World::begin(setup());
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!(world.ask("BYE", 1, "", b""), Some(200));
    assert_eq!((world.count(Kind::Ack), world.end()), (1, Some(CallEnd::TalkOver)));
}

#[test]
fn we_hang_up_at_the_talk_limit() {
    let mut world = World::talking(setup(), "");
    world.until(601_999);
    assert_eq!(world.count(Kind::Bye), 0);
    world.until(602_600);
    assert_eq!(world.times(Kind::Bye), [602_000]);
    assert!(world.last(Kind::Bye).text().contains("CSeq: 2 BYE\r\n"));
    assert_eq!(world.end(), None);
    world.answer_last(&Method::Bye, 481, "");
    assert_eq!((world.end(), world.count(Kind::Resend)), (Some(CallEnd::TalkOver), 2));
    world.finish();
}

#[test]
fn a_bye_that_nobody_answers_proves_nothing() {
    // The peer keeps no session timer: the talk limit is the proof.
    let mut world = World::talking(setup(), "");
    world.until(10_000);
    world.put(Input::Cancel);
    world.put(Input::Cancel);
    world.until(601_999);
    assert_eq!(world.end(), None);
    let byes = world.times(Kind::Bye);
    assert_eq!(byes[..3], [10_000, 42_000, 74_000]);
    let cseqs: Vec<u32> = world
        .sent
        .iter()
        .filter(|sent| sent.what == Kind::Bye)
        .map(|sent| sent.request().head.cseq)
        .collect();
    assert!(cseqs.windows(2).all(|two| two[0] < two[1]), "each is a transaction of its own");
    world.until(602_000);
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::TalkOver), 602_000));
    world.finish();

    // At the talk limit itself: two BYEs at least.
    let mut world = World::talking(setup(), "");
    world.finish();
    assert_eq!(world.times(Kind::Bye), [602_000, 634_000]);
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::TalkOver), 666_000));

    // With a session timer, its end.
    let timed = "Session-Expires: 200;refresher=uac\r\n";
    let mut world = World::talking(setup(), timed);
    world.put(Input::Cancel);
    world.finish();
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::TalkOver), 202_000));
}

#[test]
fn a_bye_that_is_refused_for_credentials_proves_nothing() {
    let mut world = World::talking(CallSetup { credentials: None, ..setup() }, "");
    world.until(10_000);
    world.put(Input::Cancel);
    world.answer_last(&Method::Bye, 407, "");
    world.until(42_000);
    assert_eq!((world.end(), world.times(Kind::Bye)), (None, vec![10_000, 42_000]));
    world.answer_last(&Method::Bye, 481, "");
    assert_eq!(world.end(), Some(CallEnd::TalkOver));
    world.finish();
}

#[test]
fn a_late_answer_to_any_bye_is_the_end() {
    let mut world = World::talking(setup(), "");
    world.put(Input::Cancel);
    world.until(100_000);
    world.answer_last(&Method::Bye, 200, "");
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::TalkOver), 100_000));
    world.finish();
}

#[test]
fn crossing_byes() {
    let mut world = World::talking(setup(), "");
    world.put(Input::Cancel);
    assert_eq!(world.ask("BYE", 1, "", b""), Some(200));
    assert_eq!(world.end(), Some(CallEnd::TalkOver));
    world.finish();
}

#[test]
fn a_bye_with_credentials() {
    let mut world = World::talking(setup(), "");
    world.put(Input::Cancel);
    let asks = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    world.answer_last(&Method::Bye, 407, asks);
    assert!(world.last(Kind::Bye).text().contains("\r\nProxy-Authorization: Digest "));
    assert_eq!((world.count(Kind::Bye), world.end()), (2, None));
    world.answer_last(&Method::Bye, 200, "");
    assert_eq!(world.end(), Some(CallEnd::TalkOver));
    world.finish();
}

#[test]
fn requests_follow_the_route() {
    let route = "Record-Route: <sip:far.example;lr>, <sip:192.0.2.9;lr>\r\n";
    let mut world = World::talking(setup(), route);
    let ack = world.last(Kind::Ack);
    assert!(ack.text().contains("Route: <sip:192.0.2.9;lr>\r\nRoute: <sip:far.example;lr>\r\n"));
    assert_eq!(ack.to, Hop::Peer, "the proxy is the peer");
    world.put(Input::Cancel);
    assert_eq!(world.last(Kind::Bye).to, Hop::Peer);

    let route = "Record-Route: <sip:old.example>\r\n";
    let world = World::talking(setup(), route);
    let ack = world.last(Kind::Ack);
    assert_eq!(ack.to, Hop::Next(uri("sip:old.example")));
    assert!(ack.text().starts_with("ACK sip:old.example SIP/2.0\r\n"));
    assert!(ack.text().contains("Route: <sip:gw@192.0.2.9:5060>\r\n"));
}

#[test]
fn a_hop_that_cannot_be_reached_is_left_out() {
    let mut world = World::talking(setup(), "Record-Route: <sip:gone.example;lr>\r\n");
    world.until(3000);
    world.put(Input::Cancel);
    let bye = world.last(Kind::Bye).clone();
    assert_eq!(bye.to, Hop::Next(uri("sip:gone.example;lr")));
    world.put(Input::Sent(Kind::Ack, Sending::Nothing));
    assert_eq!(world.sent.len(), 4, "that ACK was long ago");
    world.put(Input::Sent(Kind::Bye, Sending::Nothing));
    world.put(Input::Sent(Kind::Bye, Sending::Nothing));
    assert_eq!((world.count(Kind::Bye), &world.last(Kind::Bye).to), (2, &Hop::Peer));
    assert_eq!(world.last(Kind::Bye).bytes, bye.bytes);
}

#[test]
fn another_process_can_end_it() {
    let route = "Record-Route: <sip:far.example;lr>, <sip:192.0.2.9;lr>\r\n";
    let mut world = World::talking(setup(), route);
    let dialog = Dialog::parse(&world.dialogs[0]).unwrap();
    let bye =
        dialog.bye("SIP/2.0/UDP 192.0.2.1:5060", "z9hG4bKo", dialog.orphan_cseq(0), &[]).unwrap();
    world.put(Input::Cancel);
    let own = world.last(Kind::Bye).text();
    let lines = |text: &str| -> Vec<String> {
        let kept = ["Route", "From", "To", "Call-ID", "BYE "];
        let lines = text.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines(std::str::from_utf8(&bye).unwrap()), lines(own));
}

#[test]
fn the_peer_changes_the_media_and_its_place() {
    let mut world = World::talking(setup(), "");
    let headers = format!("Contact: <sip:gw2@192.0.2.10>\r\n{SDP}");
    assert_eq!(world.ask("INVITE", 5, &headers, &media(9200)), Some(200));
    assert_eq!(world.media.last(), Some(&(9200, false)));
    assert!(world.last(Kind::Answer).text().contains("Content-Type: application/sdp\r\n"));
    assert_eq!(
        Dialog::parse(world.dialogs.last().unwrap()).unwrap().target,
        uri("sip:gw2@192.0.2.10")
    );
    // A second one before the ACK; then the ACK, and UPDATE.
    assert_eq!(world.ask("INVITE", 6, &headers, &media(9300)), Some(500));
    world.until(2600);
    assert_eq!(world.count(Kind::Answer), 4, "both repeated until their ACKs");
    assert_eq!(world.ask("ACK", 5, "", b""), None);
    assert_eq!(world.ask("ACK", 6, "", b""), None);
    world.until(30_000);
    assert_eq!(world.ask("UPDATE", 7, &headers, &media(9400)), Some(200));
    assert_eq!(world.media.last(), Some(&(9400, false)));
    assert_eq!(world.ask("INVITE", 8, SDP, b"v=0\r\nnonsense"), Some(488));
    assert_eq!(world.ask("INVITE", 9, "Content-Type: text/plain\r\n", b"hello"), Some(488));
    world.put(Input::Cancel);
    let bye = world.last(Kind::Bye);
    assert_eq!(bye.request().uri, uri("sip:gw2@192.0.2.10"));
    assert_eq!(bye.to, Hop::Next(uri("sip:gw2@192.0.2.10")));
    world.answer_last(&Method::Bye, 200, "");
    world.finish();
}

#[test]
fn an_invite_without_an_offer_gets_ours() {
    let mut world = World::talking(setup(), "");
    assert_eq!(world.ask("INVITE", 5, CONTACT, b""), Some(200));
    assert!(world.last(Kind::Answer).text().contains("Content-Type: application/sdp\r\n"));
    world.ask("ACK", 5, SDP, &media(9500));
    assert_eq!(world.media.last(), Some(&(9500, false)));
    world.ask("ACK", 5, SDP, &media(9600));
    assert_eq!(world.media.last(), Some(&(9500, false)), "one ACK counts");
}

#[test]
fn a_change_that_is_never_acknowledged_ends_the_call() {
    let mut world = World::talking(setup(), "");
    assert_eq!(world.ask("INVITE", 5, SDP, &media(9200)), Some(200));
    world.until(34_000);
    assert_eq!(world.times(Kind::Bye), [34_000]);
}

#[test]
fn requests_that_are_not_for_this_dialog() {
    let mut world = World::talking(setup(), "");
    assert_eq!(world.ask_as(("mallory", "ours"), "BYE", 5, "", b""), Some(481));
    assert_eq!(world.ask_as((BOB, "guessed"), "BYE", 5, "", b""), Some(481));
    assert_eq!(world.ask_as(("mallory", "ours"), "INVITE", 5, SDP, &media(1)), Some(481));
    assert_eq!(world.ask("CANCEL", 5, "", b""), Some(481));
    assert_eq!(world.ask("OPTIONS", 5, "", b""), Some(200));
    assert_eq!(world.ask("INFO", 6, "", b""), Some(200));
    assert_eq!(world.ask("BYE", 5, "", b""), Some(500), "CSeq goes back");
    assert_eq!(world.ask("REFER", 7, "", b""), Some(405));
    assert_eq!(world.ask("FROB", 8, "", b""), Some(501));
    assert_eq!(world.ask("INFO", 9, "Require: 100rel, x\r\n", b""), Some(420));
    assert!(world.last(Kind::Answer).text().contains("Unsupported: 100rel, x\r\n"));
    assert_eq!(world.ask("UPDATE", 10, "Session-Expires: 30\r\n", b""), Some(422));
    assert!(world.last(Kind::Answer).text().contains("Min-SE: 90\r\n"));
    assert_eq!(world.events(), [CallEvent::Ringing, CallEvent::Answered]);
}

#[test]
fn requests_before_the_answer() {
    let mut world = World::begin(setup());
    world.answer(180, BOB, CONTACT, None);
    assert_eq!(world.ask("UPDATE", 1, SDP, &media(9200)), Some(491));
    assert_eq!(world.ask("OPTIONS", 2, "", b""), Some(200));
    assert_eq!(world.ask("BYE", 3, "", b""), Some(200)); // It answered: its 2xx is on the way.
    assert_eq!(world.events(), [CallEvent::Ringing]);
}

#[test]
fn we_refresh_with_what_the_peer_takes() {
    let timed = "Session-Expires: 200;refresher=uac\r\nAllow: INVITE, UPDATE\r\n";
    let mut world = World::talking(setup(), timed);
    world.until(102_000);
    let update = world.last(Kind::Request).clone();
    assert_eq!((update.ms, update.method()), (102_000, Some(&Method::Update)));
    assert!(update.text().contains("Session-Expires: 200;refresher=uac\r\n"));
    world.answer_last(&Method::Update, 501, "");
    let invite = world.last(Kind::Request).clone();
    assert_eq!(invite.method(), Some(&Method::Invite));
    assert_eq!(world.invite().head.cseq, 1, "it is no INVITE of an attempt");
    let first = world.sent[0].request().body.clone();
    assert_eq!(invite.request().body, first, "nothing has changed");
    world.answer_to(&invite.request().clone(), 200, BOB, timed, Some(media(9700)));
    assert_eq!(world.count(Kind::Ack), 2);
    assert_eq!(world.media.last(), Some(&(9700, false)));
    world.until(202_000);
    assert_eq!(world.times(Kind::Request), [102_000, 102_000, 202_000]);
    world.answer_to(&invite.request().clone(), 200, BOB, timed, None);
    world.until(203_000);
}

#[test]
fn refreshes_that_fail() {
    let timed = "Session-Expires: 200\r\n";
    let refreshing = || {
        let mut world = World::talking(setup(), timed);
        world.until(102_000);
        assert_eq!(world.count(Kind::Request), 1);
        world
    };
    let mut world = refreshing();
    world.answer_last(&Method::Invite, 481, "");
    assert_eq!((world.times(Kind::Bye), world.count(Kind::Ack)), (vec![102_000], 2));
    let mut world = refreshing();
    world.answer_last(&Method::Invite, 491, "");
    world.until(105_000);
    assert_eq!(world.times(Kind::Request), [102_000, 105_000]);
    let mut world = refreshing();
    world.answer_last(&Method::Invite, 422, "Min-SE: 400\r\n");
    assert!(world.last(Kind::Request).text().contains("Session-Expires: 400;refresher=uac\r\n"));
    let mut world = refreshing();
    world.answer_last(&Method::Invite, 503, "");
    world.until(112_000);
    assert_eq!(world.times(Kind::Request), [102_000, 112_000]);
    let mut world = refreshing();
    world.until(134_000);
    assert_eq!(world.times(Kind::Bye), [134_000], "Timer B");
    let mut world = refreshing();
    world.answer_last(&Method::Invite, 100, "");
    world.until(180_000);
    assert_eq!(world.times(Kind::Bye), [170_000], "32 s before the session expires");
    assert_eq!(world.ask("INVITE", 3, SDP, &media(1)), Some(481), "too late for that");
}

#[test]
fn glare() {
    let mut world = World::talking(setup(), "Session-Expires: 200\r\n");
    world.until(102_000);
    assert_eq!(world.ask("INVITE", 3, SDP, &media(9200)), Some(491));
    assert_eq!(world.ask("BYE", 4, "", b""), Some(200));
    assert_eq!(world.end(), Some(CallEnd::TalkOver));
    world.finish();
}

#[test]
fn the_peer_refreshes_or_the_call_ends() {
    let timed = "Session-Expires: 300;refresher=uas\r\n";
    let mut world = World::talking(setup(), timed);
    world.until(152_000);
    let refresh = "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n";
    assert_eq!(world.ask("UPDATE", 3, refresh, b""), Some(200));
    let answer = world.last(Kind::Answer).text();
    assert!(
        answer.contains("Session-Expires: 300;refresher=uac\r\nRequire: timer\r\n"),
        "{answer}"
    );
    world.until(500_000);
    assert_eq!((world.count(Kind::Request), world.times(Kind::Bye)), (0, vec![420_000, 452_000]));
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::TalkOver), 484_000));
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let mut world = World::talking(setup(), "");
    for n in 1..1000 {
        assert_eq!(world.ask("INFO", n, "", b""), Some(200));
    }
    assert!(world.call.served.len() <= 16);
    assert_eq!(world.ask("BYE", 1000, "", b""), Some(200));
    world.finish();
}

#[test]
fn without_session_timers_nothing_is_asked_or_offered() {
    let world = World::begin(CallSetup { session_expires: 0, ..setup() });
    assert!(!world.sent[0].text().contains("Session-Expires"));
    let short = CallSetup { talk_limit: Duration::from_secs(1), ..setup() };
    let mut world = World::talking(short, "Session-Expires: 1\r\n");
    world.until(3000);
    assert_eq!(world.times(Kind::Bye), [3000]);
}
