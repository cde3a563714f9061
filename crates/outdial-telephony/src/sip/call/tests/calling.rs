//! Until the answer: one INVITE, CANCEL, silence, the answer itself.

use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;

use super::world::{BOB, CONTACT, World, at, media, setup};
use crate::sip::call::{CallSetup, Dialog, Hop, Input, Kind, Sending};
use crate::sip::message::Method;

#[test]
fn one_invite_that_says_all() {
    let world = World::begin(setup());
    let [invite] = &world.sent[..] else { panic!("{:?}", world.sent) };
    assert_eq!((invite.what, &invite.to, invite.by), (Kind::Invite, &Hop::Peer, Some(at(100))));
    let text = invite.text();
    for line in [
        "INVITE sip:+12125551234@trunk.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=",
        ";rport\r\nMax-Forwards: 70\r\n",
        "From: <sip:+12125550000@us.example>;tag=ours\r\nTo: <sip:+12125551234@trunk.example>\r\n",
        "Call-ID: c0ffee\r\nCSeq: 1 INVITE\r\nContact: <sip:12125550000@192.0.2.1:5060>\r\n",
        "Supported: timer\r\nSession-Expires: 1800\r\n",
        "Content-Type: application/sdp\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("100rel") && !text.contains("P-Asserted"));
    let asserted = Some(super::world::uri("sip:+12125550000@us.example"));
    let proxy = vec![super::world::uri("sip:proxy.example;lr")];
    let world = World::begin(CallSetup { asserted, routes: proxy, ..setup() });
    let text = world.sent[0].text();
    assert!(text.contains("P-Asserted-Identity: <sip:+12125550000@us.example>\r\n"));
    assert!(text.contains("Route: <sip:proxy.example;lr>\r\n"));
}

#[test]
fn nothing_leaves_late_or_when_it_was_taken_back() {
    let mut world = World::waiting(setup());
    assert_eq!(world.call.deadline(), None);
    world.now = at(100);
    world.put(Input::Go);
    assert_eq!(world.end(), Some(CallEnd::NotSent { reason: "late" }));
    let mut other = World::waiting(setup());
    other.put(Input::Cancel);
    other.put(Input::Go);
    assert_eq!(other.end(), Some(CallEnd::NotSent { reason: "recalled" }));
    for world in [world, other] {
        assert!(world.sent.is_empty() && world.overs == 1);
    }
}

#[test]
fn what_was_not_sent_is_said_so_and_what_may_have_left_is_not() {
    for (ms, end) in [
        (50, CallEnd::NoRoute { reason: "no_connection" }),
        (100, CallEnd::NotSent { reason: "late" }),
    ] {
        let mut world = World::begin(setup());
        world.now = at(ms);
        world.put(Input::Sent(Kind::Invite, Sending::Nothing));
        assert_eq!((world.end(), world.overs), (Some(end), 1));
    }
    let mut world = World::begin(CallSetup { reliable: true, ..setup() });
    world.put(Input::Sent(Kind::Invite, Sending::Partly));
    world.finish();
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::Lost), 32_000));
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn silence_until_timer_b() {
    let mut world = World::begin(setup());
    world.until(5000);
    world.put(Input::Cancel);
    world.until(31_900);
    assert_eq!(world.times(Kind::Resend), [500, 1500, 3500, 7500, 15_500, 31_500]);
    let first = &world.sent[0].bytes;
    assert!(world.sent.iter().all(|sent| sent.bytes == first), "the same bytes, and no CANCEL");
    world.finish();
    assert_eq!((world.end(), world.end_ms()), (Some(CallEnd::Silence), 32_000));
}

#[test]
fn what_wakes_up_after_timer_b_is_ended() {
    for (status, reply) in [(180, Kind::Cancel), (200, Kind::Ack)] {
        let mut world = World::begin(setup());
        world.until(40_000);
        assert_eq!(world.end(), Some(CallEnd::Silence));
        world.answer(status, BOB, CONTACT, None);
        assert_eq!(world.count(reply), 1, "{status}");
        assert_eq!(world.count(Kind::Bye), usize::from(status == 200));
        world.finish();
    }
}

#[test]
fn rings_is_answered_and_the_ack_waits_for_the_store() {
    let mut world = World::begin(setup());
    world.until(100);
    world.answer(100, "", "", None);
    assert!(world.told.is_empty(), "100 is not ringing");
    world.until(1000);
    world.answer(183, BOB, CONTACT, Some(media(9000)));
    world.answer(180, BOB, CONTACT, None);
    world.answer(180, "carol", CONTACT, None);
    assert_eq!(
        (&world.events()[..], &world.media[..]),
        (&[CallEvent::Ringing][..], &[(9000, true)][..])
    );
    world.until(3000);
    assert_eq!(world.sent.len(), 1, "nothing is repeated after the 100");
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!(world.events(), [CallEvent::Ringing, CallEvent::Answered]);
    let dialog = Dialog::parse(&world.dialogs[0]).unwrap();
    assert_eq!((dialog.remote_tag.as_str(), dialog.cseq), (BOB, 1));
    world.until(3500);
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!(world.count(Kind::Ack), 0, "the far end asks again while the disk is written");
    world.put(Input::Stored);
    world.put(Input::Stored);
    assert_eq!(world.count(Kind::Ack), 1);
    let ack = world.last(Kind::Ack);
    assert!(ack.text().starts_with("ACK sip:gw@192.0.2.9:5060 SIP/2.0\r\n"), "{}", ack.text());
    assert!(ack.text().contains("CSeq: 1 ACK\r\n") && ack.to == Hop::Peer);
    let ack = ack.bytes.clone();
    for n in 2..5 {
        world.answer(200, BOB, CONTACT, Some(media(9000)));
        assert_eq!(world.count(Kind::Ack), n, "every 2xx");
    }
    assert_eq!(world.last(Kind::Ack).bytes, ack, "the same ACK");
}

#[test]
fn the_ack_waits_a_second_at_most() {
    let mut world = World::begin(setup());
    world.until(1000);
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    world.until(5000);
    assert_eq!(world.times(Kind::Ack), [2000]);
    world.put(Input::Stored);
    assert_eq!(world.count(Kind::Ack), 1);
}

#[test]
fn the_media_may_stand_in_the_183_alone() {
    let mut world = World::begin(setup());
    world.answer(183, BOB, CONTACT, Some(media(9000)));
    world.answer(200, BOB, CONTACT, None);
    assert_eq!(world.events(), [CallEvent::Ringing, CallEvent::Answered]);
    assert_eq!(world.media, [(9000, true), (9000, false)]);

    let mut world = World::begin(setup());
    world.answer(200, BOB, CONTACT, None);
    assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (1, 1));
    world.answer_last(&Method::Bye, 200, "");
    let none = CallEnd::Refused { status: 488, q850: None, retry_after: None };
    assert_eq!(world.events(), [CallEvent::Ended(none)]);
}

#[test]
fn the_ring_limit_counts_from_the_first_transmission() {
    let mut world = World::begin(setup());
    world.until(200);
    world.answer(183, BOB, "", None);
    world.until(44_999);
    assert_eq!(world.count(Kind::Cancel), 0);
    world.until(45_000);
    assert_eq!(world.count(Kind::Cancel), 1);
    let (cancel, invite) = (world.last(Kind::Cancel).request().clone(), world.invite());
    assert_eq!(cancel.head.via.branch, invite.head.via.branch);
    assert_eq!((cancel.head.cseq, &cancel.head.to.tag), (1, &None));
    assert_eq!(cancel.uri, invite.uri);
    world.answer_to(&cancel, 200, "x", "", None);
    assert_eq!(world.end(), None, "the INVITE's answer counts");
    world.until(46_000);
    world.answer(487, BOB, "", None);
    assert_eq!((world.end(), world.count(Kind::Ack)), (Some(CallEnd::RingTimeout), 1));
    world.answer(487, BOB, "", None);
    assert_eq!(world.count(Kind::Ack), 2, "the first ACK was lost");
    world.finish();
}

#[test]
fn a_cancel_waits_for_a_provisional_answer() {
    let mut world = World::begin(setup());
    world.put(Input::Cancel);
    world.until(700);
    assert_eq!(world.count(Kind::Cancel), 0);
    world.answer(100, "", "", None);
    assert_eq!(world.times(Kind::Cancel), [700]);
    world.until(1300);
    assert_eq!(world.times(Kind::Resend), [500, 1200], "INVITE, then CANCEL");
    world.answer(487, BOB, "", None);
    assert_eq!(world.end(), Some(CallEnd::Canceled));
    world.finish();
}

#[test]
fn a_cancel_that_leads_to_nothing() {
    let mut world = World::begin(setup());
    world.answer(180, BOB, "", None);
    world.until(1000);
    world.put(Input::Cancel);
    world.put(Input::Cancel);
    world.until(32_999);
    assert_eq!((world.count(Kind::Cancel), world.end()), (1, None));
    world.until(33_000);
    assert_eq!(world.end(), Some(CallEnd::Lost));
    world.answer(487, BOB, "", None);
    assert_eq!(world.count(Kind::Ack), 1, "still acknowledged");
    world.finish();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_dropped() {
    for provisional in [true, false] {
        let mut world = World::begin(setup());
        if provisional {
            world.answer(180, BOB, "", None);
        }
        world.put(Input::Cancel);
        world.answer(200, BOB, CONTACT, Some(media(9000)));
        assert_eq!(world.count(Kind::Cancel), usize::from(provisional));
        assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (1, 1));
        assert_eq!(world.end(), None, "the dialog stands until the BYE is answered");
        world.answer(200, BOB, CONTACT, Some(media(9000)));
        assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (2, 1));
        world.until(100);
        world.answer_last(&Method::Bye, 200, "");
        assert_eq!(world.end(), Some(CallEnd::AnsweredThenDropped));
        assert!(world.dialogs.is_empty() && !world.events().contains(&CallEvent::Answered));
        world.finish();
    }
}

#[test]
fn forks_are_acknowledged_and_hung_up() {
    let mut world = World::talking(setup(), "");
    for tag in ["carol", "dave"] {
        world.answer(200, tag, CONTACT, Some(media(9100)));
        let bye = world.last(Kind::Bye).request().clone();
        assert_eq!(bye.head.to.tag.as_deref(), Some(tag));
        world.answer_to(&bye, 200, tag, "", None);
    }
    assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (3, 2));
    world.answer(200, "carol", CONTACT, Some(media(9100)));
    assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (4, 2));
    assert_eq!(world.events(), [CallEvent::Ringing, CallEvent::Answered]);
    let branches: Vec<String> = world
        .sent
        .iter()
        .filter(|sent| matches!(sent.what, Kind::Ack | Kind::Bye))
        .map(|sent| sent.request().head.via.branch.clone())
        .collect();
    let distinct: std::collections::BTreeSet<_> = branches.iter().collect();
    assert_eq!(distinct.len(), 5, "five transactions, one ACK twice");
    assert_eq!(world.ask("BYE", 1, "", b""), Some(200));
    assert_eq!(world.end(), Some(CallEnd::TalkOver));
    world.answer(200, "erin", CONTACT, Some(media(9100)));
    assert_eq!(world.count(Kind::Bye), 3, "also after the end");
    world.finish();
}

#[test]
fn an_end_waits_for_a_fork_that_stands() {
    let mut world = World::talking(setup(), "");
    world.answer(200, "carol", CONTACT, None);
    assert_eq!(world.ask("BYE", 1, "", b""), Some(200));
    assert_eq!(world.end(), None, "carol may still be on the line");
    world.answer_last(&Method::Bye, 481, "");
    assert_eq!(world.end(), Some(CallEnd::TalkOver));
    world.finish();
}

#[test]
fn each_of_many_forks_is_acknowledged_and_hung_up() {
    let mut world = World::talking(setup(), "");
    for n in 0..20 {
        world.answer(200, &format!("f{n}"), CONTACT, None);
    }
    assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (21, 20));
    let byes = world.sent.iter().filter(|sent| sent.what == Kind::Bye);
    let branches: Vec<_> = byes.map(|bye| bye.request().head.via.branch.clone()).collect();
    assert_eq!(branches.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
    // Those that are gone make room to remember others.
    let byes: Vec<_> = world.sent.iter().filter(|sent| sent.what == Kind::Bye).cloned().collect();
    for bye in byes {
        let tag = bye.request().head.to.tag.clone().unwrap();
        world.answer_to(bye.request(), 200, &tag, "", None);
    }
    world.until(10_000);
    world.answer(200, "late", CONTACT, None);
    world.until(10_400);
    assert_eq!(world.count(Kind::Bye), 21);
    world.until(10_600);
    assert_eq!(world.last(Kind::Resend).request().head.to.tag.as_deref(), Some("late"));
    assert_eq!(world.end(), None, "the call itself goes on");
}

#[test]
fn a_flood_of_forks_is_a_trickle_and_none_is_forgotten() {
    let mut world = World::talking(setup(), "");
    let tags: Vec<String> = (0..100).map(|n| format!("f{n}")).collect();
    for tag in &tags {
        world.answer(200, tag, CONTACT, None);
    }
    // Seven are remembered, sixteen a second are not; the rest is not even acknowledged.
    assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (24, 23));
    for second in 3..8 {
        world.until(second * 1000);
        let is_done = |world: &World, tag: &str| {
            let mut byes = world.sent.iter().filter(|sent| sent.what == Kind::Bye);
            byes.any(|bye| bye.request().head.to.tag.as_deref() == Some(tag))
        };
        for tag in tags.iter().filter(|tag| !is_done(&world, tag)).cloned().collect::<Vec<_>>() {
            world.answer(200, &tag, CONTACT, None);
        }
    }
    assert_eq!(world.count(Kind::Bye), 100);
}

#[test]
fn a_bye_that_overtakes_its_answer() {
    let mut world = World::begin(setup());
    world.answer(180, BOB, CONTACT, None);
    world.until(1000);
    let bye = |world: &mut World| world.ask_on("z9hG4bKb", (BOB, "ours"), "BYE", 1, "", b"");
    assert_eq!((bye(&mut world), bye(&mut world)), (Some(200), Some(200)));
    assert_eq!(world.end(), None, "what it ended is not known yet");
    world.until(1500);
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (1, 0));
    assert_eq!(world.events()[1..], [CallEvent::Answered, CallEvent::Ended(CallEnd::TalkOver)]);
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!(world.count(Kind::Ack), 2, "every 2xx");
    world.finish();
    assert_eq!(world.count(Kind::Invite), 1);

    // Taken back meanwhile.
    let mut world = World::begin(setup());
    world.answer(180, BOB, CONTACT, None);
    world.put(Input::Cancel);
    assert_eq!(world.ask("BYE", 1, "", b""), Some(200));
    world.answer(200, BOB, CONTACT, Some(media(9000)));
    assert_eq!((world.count(Kind::Ack), world.count(Kind::Bye)), (1, 0));
    assert_eq!(world.end(), Some(CallEnd::AnsweredThenDropped));
}

#[test]
fn a_bye_whose_answer_never_comes_is_no_reason_to_call_again() {
    for (status, at_ms) in [(Some(487), 33_000), (None, 65_000)] {
        let mut world = World::begin(setup());
        world.answer(180, BOB, CONTACT, None);
        world.until(1000);
        assert_eq!(world.ask("BYE", 1, "", b""), Some(200));
        world.until(33_000);
        assert_eq!((world.times(Kind::Cancel), world.end()), (vec![33_000], None));
        if let Some(status) = status {
            world.answer(status, BOB, "", None);
        }
        world.finish();
        let end = (world.end(), world.end_ms());
        assert_eq!(end, (Some(CallEnd::AnsweredThenDropped), at_ms));
    }
    // Another fork is answered all the same.
    let mut world = World::begin(setup());
    world.answer(180, BOB, CONTACT, None);
    assert_eq!(world.ask("BYE", 1, "", b""), Some(200));
    world.answer(200, "carol", CONTACT, Some(media(9000)));
    assert_eq!((world.events().last(), world.end()), (Some(&CallEvent::Answered), None));
    // Whoever does not know our tag ends nothing.
    let mut world = World::begin(setup());
    world.answer(180, BOB, CONTACT, None);
    assert_eq!(world.ask_as((BOB, "guessed"), "BYE", 1, "", b""), Some(481));
}
