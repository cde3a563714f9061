//! Calls of a process that is gone.

use std::future::poll_fn;
use std::sync::mpsc;
use std::time::Duration;

use outdial_core::attempt::{AttemptState, CallEvent};
use outdial_core::outcome::CallEnd;
use outdial_ports::Carrier;
use outdial_ports::store::{Secret, Transport};

use crate::stranger::{Message, SDP, Stranger};
use crate::world::{SOON, T1, TIMER_B, World, end, next, spec, trunk};

/// A process that places one call and is killed when the test says so.
struct Doomed {
    kill: tokio::sync::oneshot::Sender<()>,
    dialog: mpsc::Receiver<Option<String>>,
    port: u16,
}

impl Doomed {
    /// `listen` 0: the system chooses.
    fn start(peer: std::net::SocketAddr, until: CallEvent) -> Self {
        let (kill, killed) = tokio::sync::oneshot::channel::<()>();
        let (tell, dialog) = mpsc::channel();
        let (tell_port, port) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                let world = World::new(spec(peer, Transport::Udp));
                world.until("open", |w| w.carrier.udp_addr().is_some()).await;
                tell_port.send(world.carrier.udp_addr().unwrap().port()).unwrap();
                let mut call = world.place(1);
                if until != CallEvent::Ended(CallEnd::Lost) {
                    while next(&mut call).await != until {}
                }
                tell.send(call.control.dialog()).unwrap();
                let _ = killed.await;
            });
            // Whatever its calls were about to do, they do not.
            runtime.shutdown_background();
        });
        Self { kill, dialog, port: port.recv().unwrap() }
    }

    /// The process is gone; the one after it listens where it did.
    async fn kill(self, peer: std::net::SocketAddr) -> (World, Option<String>) {
        let dialog = tokio::task::spawn_blocking(move || self.dialog.recv().unwrap());
        let dialog = dialog.await.unwrap();
        self.kill.send(()).unwrap();
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        // The port is free when the other one is gone.
        let world = loop {
            let config = outdial_telephony::sip::SipConfig { listen, ..crate::world::config() };
            let world = World::with(config, spec(peer, Transport::Udp));
            world.until("tried", |w| w.is_open().is_some()).await;
            if world.is_open() == Some(true) {
                break world;
            }
        };
        (world, dialog)
    }
}

#[tokio::test]
async fn an_answered_call_gets_its_bye() {
    let mut peer = Stranger::udp().await;
    let doomed = Doomed::start(peer.addr, CallEvent::Answered);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    let (world, dialog) = doomed.kill(peer.addr).await;
    let dialog = dialog.expect("stored with the answer");
    let orphan = world.orphan(1, AttemptState::Answered, Some(dialog));
    let mut call = world.carrier.take_over(orphan);
    let bye = peer.next_but(&["INVITE", "ACK"]).await;
    assert!(bye.is("BYE"), "{}", bye.text);
    assert_eq!(bye.get("Call-ID"), invite.get("Call-ID"));
    assert_eq!((bye.tag_of_from(), bye.tag_of_to()), (invite.tag_of_from(), "a"));
    assert!(bye.cseq() > invite.cseq());
    // The peer never saw an ACK, and says so.
    peer.accept(&invite, "a").await;
    let ack = peer.next_but(&["BYE"]).await;
    assert!(ack.is("ACK") && ack.cseq() == invite.cseq(), "{}", ack.text);
    // Whoever does not know the dialog does not end it.
    let forged = Message { text: invite.text.replace(invite.tag_of_from(), "0123456789abcdef") };
    peer.ask("BYE", &forged, "a", "").await;
    assert!(peer.next_of("BYE").await.is("481"));
    peer.answer(&bye, 481, "").await;
    assert_eq!(end(&mut call).await, CallEnd::CutOff);
}

#[tokio::test]
async fn the_dialog_of_another_call_is_not_ended() {
    let mut peer = Stranger::udp().await;
    let doomed = Doomed::start(peer.addr, CallEvent::Answered);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    let (world, dialog) = doomed.kill(peer.addr).await;
    let mut orphan = world.orphan(2, AttemptState::Answered, dialog);
    orphan.give_up_at = world.clock.monotonic().after(Duration::from_millis(300));
    let mut call = world.carrier.take_over(orphan);
    assert_eq!(end(&mut call).await, CallEnd::Lost);
    let all = peer.all_within(T1 * 4).await;
    assert!(all.iter().all(|m| !m.is("BYE")), "{all:?}");
}

#[tokio::test]
async fn a_peer_that_hung_up_itself_is_believed() {
    let mut peer = Stranger::udp().await;
    let doomed = Doomed::start(peer.addr, CallEvent::Answered);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    let (world, dialog) = doomed.kill(peer.addr).await;
    // Before anybody took the call over.
    peer.talk_to(world.carrier.udp_addr().unwrap());
    peer.ask("BYE", &invite, "a", "").await;
    assert!(peer.next_of("BYE").await.is("200"));
    let orphan = world.orphan(1, AttemptState::Answered, dialog);
    assert_eq!(end(&mut world.carrier.take_over(orphan)).await, CallEnd::CutOff);
}

#[tokio::test]
async fn a_ringing_call_is_canceled() {
    let mut peer = Stranger::udp().await;
    let doomed = Doomed::start(peer.addr, CallEvent::Ringing);
    let invite = peer.expect("INVITE").await;
    peer.answer(&invite, 180, "a").await;
    let (world, dialog) = doomed.kill(peer.addr).await;
    assert_eq!(dialog, None);
    let orphan = world.orphan(1, AttemptState::Ringing, None);
    let mut call = world.carrier.take_over(orphan);
    let cancel = loop {
        let message = peer.next_but(&["INVITE"]).await;
        assert!(message.is("CANCEL"), "{}", message.text);
        if message.branch() == invite.branch() {
            break message;
        }
        // One of an INVITE that never was.
        peer.answer(&message, 481, "a").await;
    };
    assert_eq!(cancel.start().replace("CANCEL", "INVITE"), invite.start());
    assert_eq!((cancel.cseq(), cancel.tag_of_from()), (invite.cseq(), invite.tag_of_from()));
    assert_eq!(cancel.get("Via"), invite.get("Via"));
    peer.answer(&cancel, 200, "a").await;
    peer.answer(&invite, 487, "a").await;
    assert_eq!(end(&mut call).await, CallEnd::Canceled);
    assert!(peer.next_but(&["CANCEL"]).await.is("ACK"));
}

/// The first INVITE of a call whose process is gone right after.
async fn sent_and_gone(peer: &mut Stranger) -> (Message, World) {
    let doomed = Doomed::start(peer.addr, CallEvent::Ended(CallEnd::Lost));
    let invite = peer.expect("INVITE").await;
    let (world, _) = doomed.kill(peer.addr).await;
    (invite, world)
}

#[tokio::test]
async fn of_what_was_sent_it_is_waited_for_what_comes() {
    let mut peer = Stranger::udp().await;
    let (invite, world) = sent_and_gone(&mut peer).await;
    let mut call = world.carrier.take_over(world.orphan(1, AttemptState::Sent, None));
    peer.talk_to(world.carrier.udp_addr().unwrap());
    peer.answer(&invite, 486, "a").await;
    assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 486, .. }));
    assert!(peer.next_but(&["INVITE"]).await.is("ACK"));
}

#[tokio::test]
async fn of_what_was_sent_an_answer_is_ended() {
    let mut peer = Stranger::udp().await;
    let (invite, world) = sent_and_gone(&mut peer).await;
    let mut call = world.carrier.take_over(world.orphan(1, AttemptState::Intent, None));
    peer.talk_to(world.carrier.udp_addr().unwrap());
    peer.accept(&invite, "a").await;
    let bye = loop {
        let message = peer.next_but(&["INVITE", "ACK"]).await;
        if message.is("BYE") {
            break message;
        }
    };
    peer.answer(&bye, 200, "").await;
    assert_eq!(end(&mut call).await, CallEnd::AnsweredThenDropped);
}

#[tokio::test]
async fn of_silence_nothing_is_known() {
    let mut peer = Stranger::udp().await;
    let (_, world) = sent_and_gone(&mut peer).await;
    let mut orphan = world.orphan(1, AttemptState::Sent, None);
    orphan.give_up_at = world.clock.monotonic().after(Duration::from_millis(200));
    assert_eq!(end(&mut world.carrier.take_over(orphan)).await, CallEnd::Lost);
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_gets_ack_and_bye() {
    let mut peer = Stranger::udp().await;
    let (invite, world) = sent_and_gone(&mut peer).await;
    peer.talk_to(world.carrier.udp_addr().unwrap());
    peer.accept(&invite, "a").await;
    let ack = peer.next_but(&["INVITE"]).await;
    assert!(ack.is("ACK"), "{}", ack.text);
    let bye = peer.next_but(&["ACK"]).await;
    assert!(bye.is("BYE") && bye.tag_of_to() == "a", "{}", bye.text);
    // Once more: its ACK again, no other BYE.
    peer.answer(&bye, 200, "").await;
    peer.accept(&invite, "a").await;
    assert!(peer.next_but(&["BYE"]).await.is("ACK"));
    let more = peer.all_within(TIMER_B / 2).await;
    assert!(more.is_empty(), "{more:?}");
    // Whoever takes the call over later hears of it.
    let orphan = world.orphan(1, AttemptState::Sent, None);
    let mut call = world.carrier.take_over(orphan);
    assert_eq!(end(&mut call).await, CallEnd::AnsweredThenDropped);
    // An answer in our name that is not of ours is left alone.
    let forged = Message { text: invite.text.replace(invite.tag_of_from(), "0123456789abcdef") };
    let before = world.counted("stray_response");
    peer.accept(&forged, "a").await;
    world.until("counted", |w| w.counted("stray_response") > before).await;
    assert!(peer.all_within(T1 * 4).await.is_empty());
}

#[tokio::test]
async fn a_challenge_is_not_the_last_word() {
    for is_taken_over_first in [false, true] {
        let mut peer = Stranger::udp().await;
        let (invite, world) = sent_and_gone(&mut peer).await;
        peer.talk_to(world.carrier.udp_addr().unwrap());
        let mut orphan = world.orphan(1, AttemptState::Sent, None);
        orphan.give_up_at = world.clock.monotonic().after(Duration::from_millis(600));
        let mut early = is_taken_over_first.then(|| world.carrier.take_over(orphan.clone()));
        // The process that is gone may have answered it, and somebody's phone may ring.
        peer.answer_with(&invite, 401, "a", CHALLENGE, "").await;
        assert!(peer.next_but(&["INVITE"]).await.is("ACK"));
        let call = early.get_or_insert_with(|| world.carrier.take_over(orphan));
        assert_eq!(end(call).await, CallEnd::Lost);
        // No INVITE with credentials can have followed the third.
        let third = Message { text: invite.text.replace("CSeq: 1 ", "CSeq: 3 ") };
        let mut call = world.carrier.take_over(world.orphan(1, AttemptState::Sent, None));
        peer.answer_with(&third, 401, "a", CHALLENGE, "").await;
        assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 401, .. }));
    }
}

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";

#[tokio::test]
async fn each_of_two_late_answers_gets_ack_and_bye() {
    for is_taken_over in [false, true] {
        let mut peer = Stranger::udp().await;
        let (invite, world) = sent_and_gone(&mut peer).await;
        let orphan = world.orphan(1, AttemptState::Sent, None);
        let _call = is_taken_over.then(|| world.carrier.take_over(orphan));
        peer.talk_to(world.carrier.udp_addr().unwrap());
        peer.accept(&invite, "a").await;
        peer.accept(&invite, "b").await;
        let mut missing = std::collections::BTreeSet::from(
            [("ACK", "a"), ("BYE", "a"), ("ACK", "b"), ("BYE", "b")]
                .map(|(method, tag)| format!("{method} {tag}")),
        );
        while !missing.is_empty() {
            let message = peer.next_but(&["INVITE"]).await;
            let method = message.start().split(' ').next().unwrap();
            missing.remove(&format!("{method} {}", message.tag_of_to()));
        }
    }
}

#[tokio::test]
async fn a_late_answer_is_ended_with_credentials_if_the_trunk_asks() {
    // The trunk; a stranger; the trunk, with a stranger as its contact.
    for (answers, ends) in [("t", "t"), ("s", "s"), ("t", "s")] {
        let mut peer = Stranger::udp().await;
        let doomed = Doomed::start(peer.addr, CallEvent::Ended(CallEnd::Lost));
        let invite = peer.expect("INVITE").await;
        let (world, _) = doomed.kill(peer.addr).await;
        let mut sip = spec(peer.addr, Transport::Udp);
        (sip.username, sip.password) = (Some("user".into()), Some(Secret("secret".into())));
        world.carrier.set_trunks(vec![trunk(sip)]);
        let mut other = Stranger::udp_at("127.0.0.2").await;
        let us = world.carrier.udp_addr().unwrap();
        let contact = if ends == "t" { peer.addr } else { other.addr };
        let from = if answers == "t" { &mut peer } else { &mut other };
        from.talk_to(us);
        let text = from.answer_text(&invite, 200, "a", "", SDP);
        let contact = format!("sip:callee@{contact}>");
        from.send(&text.replace(&format!("sip:callee@{}>", from.addr), &contact)).await;
        let from = if ends == "t" { &mut peer } else { &mut other };
        let bye = from.next_but(&["INVITE", "ACK"]).await;
        from.answer_with(&bye, 401, "a", CHALLENGE, "").await;
        let again = from.next_within(TIMER_B * 3).await;
        assert!(again.is("BYE") && again.cseq() > bye.cseq(), "{}", again.text);
        let is_shown = again.get("Authorization").contains("username=\"user\"");
        assert_eq!(is_shown, ends == "t", "{}", again.text);
        from.answer(&again, 200, "a").await;
    }
}

#[tokio::test]
async fn each_of_many_late_answers_gets_ack_and_bye() {
    let mut peer = Stranger::udp().await;
    let (invite, world) = sent_and_gone(&mut peer).await;
    peer.talk_to(world.carrier.udp_addr().unwrap());
    let tags = (0..20).map(|n| format!("t{n}"));
    let mut missing: std::collections::BTreeSet<String> = tags.collect();
    for tag in &missing {
        peer.accept(&invite, tag).await;
    }
    while !missing.is_empty() {
        let message = peer.next_but(&["INVITE", "ACK"]).await;
        assert!(message.is("BYE"), "{}", message.text);
        peer.answer(&message, 200, "").await;
        missing.remove(message.tag_of_to());
    }
}

#[tokio::test]
async fn a_call_is_not_given_up_while_the_sockets_are_not_open() {
    let mut peer = Stranger::udp().await;
    let before = World::new(spec(peer.addr, Transport::Udp));
    let mut call = before.place(1);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    let dialog = call.control.dialog();
    // The port is still somebody else's.
    let taken = Stranger::udp().await;
    let config = outdial_telephony::sip::SipConfig { listen: taken.addr, ..crate::world::config() };
    let world = World::with(config, spec(peer.addr, Transport::Udp));
    world.until("failed", |w| w.is_open() == Some(false)).await;
    let mut orphan = world.orphan(1, AttemptState::Answered, dialog);
    orphan.give_up_at = world.clock.monotonic().after(Duration::from_secs(30));
    let mut call = world.carrier.take_over(orphan);
    drop(taken);
    let bye = loop {
        tokio::select! {
            biased;
            event = poll_fn(|cx| call.events.as_mut().poll_next(cx)) => {
                panic!("{event:?} without a BYE")
            }
            message = peer.next_within(SOON * 2) => if message.is("BYE") { break message },
        }
    };
    peer.answer(&bye, 200, "a").await;
    assert_eq!(end(&mut call).await, CallEnd::CutOff);
}
