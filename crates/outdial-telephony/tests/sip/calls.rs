//! What a trunk may do to a call, against a stranger.

use std::time::Duration;

use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_ports::store::{Secret, Transport};
use outdial_ports::{CallOrder, Carrier};

use crate::stranger::{Message, SDP, Stranger};
use crate::world::{SOON, T1, TIMER_B, World, end, next, spec};

async fn udp() -> (Stranger, World) {
    let peer = Stranger::udp().await;
    let world = World::new(spec(peer.addr, Transport::Udp));
    (peer, world)
}

/// Plays a call that rings, is answered, and is hung up by the callee.
async fn whole_call(peer: &mut Stranger, world: &World) {
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    assert_eq!(invite.uri("To"), format!("sip:+12125551001@{}", peer.addr.ip()));
    assert!(invite.get("From").contains("sip:+12125550000@"), "{}", invite.text);
    assert!(invite.body().contains("m=audio ") && invite.body().contains("PCMU"));
    peer.answer(&invite, 100, "").await;
    peer.answer(&invite, 180, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Ringing);
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    let dialog = call.control.dialog().expect("there with the answer");
    assert!(dialog.contains(invite.get("Call-ID")));
    call.control.is_stored();
    let ack = peer.next_but(&["INVITE"]).await;
    assert!(ack.is("ACK"), "{}", ack.text);
    assert_eq!((ack.cseq(), ack.tag_of_to()), (invite.cseq(), "a"));
    assert_ne!(ack.branch(), invite.branch());
    peer.ask("BYE", &invite, "a", "").await;
    peer.expect("200").await;
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}

#[tokio::test]
async fn a_call_over_udp() {
    let (mut peer, world) = udp().await;
    whole_call(&mut peer, &world).await;
    let more = peer.all_within(TIMER_B).await;
    assert!(more.is_empty(), "{more:?}");
}

#[tokio::test]
async fn a_call_over_tcp() {
    let mut peer = Stranger::stream(None).await;
    let world = World::new(spec(peer.addr, Transport::Tcp));
    whole_call(&mut peer, &world).await;
}

#[tokio::test]
async fn a_connection_that_breaks_does_not_keep_a_call_from_its_end() {
    let mut peer = Stranger::stream(None).await;
    let world = World::new(spec(peer.addr, Transport::Tcp));
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    call.control.is_stored();
    assert!(peer.next().await.is("ACK"));
    peer.disconnect();
    call.control.cancel();
    let bye = peer.expect("BYE").await;
    assert_eq!(bye.get("Call-ID"), invite.get("Call-ID"));
    peer.answer(&bye, 200, "a").await;
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}

#[tokio::test]
async fn a_call_over_tls() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let mut peer = Stranger::stream(Some(std::sync::Arc::new(server))).await;
    let config = outdial_telephony::sip::SipConfig { extra_ca: Some(ca), ..crate::world::config() };
    let world = World::with(config, spec(peer.addr, Transport::Tls));
    whole_call(&mut peer, &world).await;
}

#[tokio::test]
async fn nothing_leaves_late_or_without_a_trunk() {
    let (mut peer, world) = udp().await;
    world.until("open", |w| w.carrier.udp_addr().is_some()).await;
    let late = CallOrder { send_by: world.clock.monotonic(), ..world.order(1) };
    assert_eq!(end(&mut world.carrier.place(late)).await, CallEnd::NotSent { reason: "late" });
    let elsewhere = outdial_core::id::TrunkId::from_parts(1, 2);
    let lost = CallOrder { trunk: elsewhere, ..world.order(1) };
    assert_eq!(end(&mut world.carrier.place(lost)).await, CallEnd::NoRoute { reason: "no_trunk" });
    assert!(peer.all_within(Duration::from_millis(100)).await.is_empty());
}

#[tokio::test]
async fn a_trunk_that_cannot_be_reached_is_no_route() {
    let gone = Stranger::stream(None).await.addr;
    let world = World::new(spec(gone, Transport::Tcp));
    let mut call = world.place(1);
    assert_eq!(end(&mut call).await, CallEnd::NoRoute { reason: "no_connection" });
}

#[tokio::test]
async fn without_a_socket_there_is_no_route_and_every_trunk_is_down() {
    let taken = Stranger::udp().await;
    let config = outdial_telephony::sip::SipConfig { listen: taken.addr, ..crate::world::config() };
    let world = World::with(config, spec(taken.addr, Transport::Udp));
    assert_eq!(end(&mut world.place(1)).await, CallEnd::NoRoute { reason: "no_socket" });
    let health = world.carrier.trunk_health().remove(0).2;
    assert_eq!(health.state.as_str(), "down");
    assert!(health.detail.unwrap().contains("cannot listen"));
}

#[tokio::test]
async fn silence_is_timer_b_and_one_invite() {
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    assert_eq!(end(&mut call).await, CallEnd::Silence);
    let all = peer.all_within(T1 * 10).await;
    assert!(all.len() >= 5, "{}", all.len());
    assert!(all.iter().all(|m| m.text == all[0].text && m.is("INVITE")), "the same each time");
}

#[tokio::test]
async fn refusals_say_what_they_say() {
    let (mut peer, world) = udp().await;
    let cases = [
        (486, "", None, None),
        (503, "Retry-After: 7\r\n", None, Some(Duration::from_secs(7))),
        (480, "Reason: Q.850;cause=20;text=\"off\"\r\n", Some(20), None),
        (603, "", None, None),
    ];
    for (n, (status, headers, q850, retry_after)) in cases.into_iter().enumerate() {
        let mut call = world.place(n as u64);
        let invite = peer.expect("INVITE").await;
        peer.answer_with(&invite, status, "a", headers, "").await;
        let ack = peer.next_but(&["INVITE"]).await;
        assert!(ack.is("ACK"));
        assert_eq!((ack.branch(), ack.tag_of_to()), (invite.branch(), "a"));
        assert_eq!(end(&mut call).await, CallEnd::Refused { status, q850, retry_after });
    }
}

#[tokio::test]
async fn taken_back_while_it_rings() {
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    call.control.cancel();
    // Nothing but the INVITE before a provisional answer.
    let before = peer.all_within(T1 * 5).await;
    assert!(before.iter().all(|m| m.is("INVITE")));
    peer.answer(&invite, 180, "a").await;
    let cancel = peer.next_but(&["INVITE"]).await;
    assert!(cancel.is("CANCEL"), "{}", cancel.text);
    assert_eq!((cancel.branch(), cancel.cseq()), (invite.branch(), invite.cseq()));
    peer.answer(&cancel, 200, "a").await;
    peer.answer(&invite, 487, "a").await;
    peer.expect("ACK").await;
    assert_eq!(end(&mut call).await, CallEnd::Canceled);
}

#[tokio::test]
async fn recalled_before_it_leaves() {
    // The sockets open while the order waits: the recall is there first.
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    call.control.cancel();
    let ended = end(&mut call);
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => assert_eq!(ended, CallEnd::NotSent { reason: "recalled" }),
        invite = peer.expect("INVITE") => {
            peer.answer(&invite, 486, "a").await;
            assert!(matches!(ended.await, CallEnd::Refused { status: 486, .. }));
        }
    }
}

/// Rings, and is canceled: the INVITE and the CANCEL.
async fn canceled(peer: &mut Stranger, call: &mut outdial_ports::PlacedCall) -> (Message, Message) {
    let invite = peer.expect("INVITE").await;
    peer.answer(&invite, 180, "a").await;
    assert_eq!(next(call).await, CallEvent::Ringing);
    call.control.cancel();
    let cancel = peer.next_but(&["INVITE"]).await;
    assert!(cancel.is("CANCEL"));
    (invite, cancel)
}

#[tokio::test]
async fn answered_after_or_while_it_is_taken_back() {
    for crossing in [false, true] {
        let (mut peer, world) = udp().await;
        let mut call = world.place(1);
        let (invite, cancel) = canceled(&mut peer, &mut call).await;
        if !crossing {
            peer.answer(&cancel, 200, "a").await;
        }
        peer.accept(&invite, "a").await;
        let ack = peer.next_but(&["CANCEL"]).await;
        assert!(ack.is("ACK"), "{}", ack.text);
        if crossing {
            peer.answer(&cancel, 481, "a").await;
        }
        let bye = peer.next_but(&["ACK", "CANCEL"]).await;
        assert!(bye.is("BYE"), "{}", bye.text);
        peer.answer(&bye, 200, "a").await;
        assert_eq!(end(&mut call).await, CallEnd::AnsweredThenDropped, "crossing: {crossing}");
    }
}

#[tokio::test]
async fn rings_for_too_long() {
    let (mut peer, world) = udp().await;
    let order = CallOrder { ring_limit: Duration::from_millis(200), ..world.order(1) };
    let mut call = world.carrier.place(order);
    let invite = peer.expect("INVITE").await;
    peer.answer_with(&invite, 183, "a", "", SDP).await;
    let cancel = peer.next_but(&["INVITE"]).await;
    assert!(cancel.is("CANCEL"));
    peer.answer(&cancel, 200, "a").await;
    peer.answer(&invite, 487, "a").await;
    assert_eq!(end(&mut call).await, CallEnd::RingTimeout);
}

#[tokio::test]
async fn a_fork_that_answers_too_is_ended() {
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    call.control.is_stored();
    assert_eq!(peer.next_but(&["INVITE"]).await.tag_of_to(), "a");
    peer.accept(&invite, "b").await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let message = peer.next().await;
        assert_eq!(message.tag_of_to(), "b", "{}", message.text);
        seen.push(message.start().split(' ').next().unwrap().to_owned());
        if message.is("BYE") {
            peer.answer(&message, 200, "").await;
        }
    }
    assert_eq!(seen, ["ACK", "BYE"]);
    peer.ask("BYE", &invite, "a", "").await;
    peer.expect("200").await;
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}

#[tokio::test]
async fn an_ack_that_was_lost_comes_again_and_waits_for_the_store() {
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    let early = peer.all_within(Duration::from_millis(200)).await;
    assert!(early.iter().all(|m| m.is("INVITE")), "no ACK before the store: {early:?}");
    call.control.is_stored();
    let ack = peer.expect("ACK").await;
    for _ in 0..3 {
        peer.accept(&invite, "a").await;
        assert_eq!(peer.expect("ACK").await.text, ack.text);
    }
    call.control.cancel();
    let bye = peer.expect("BYE").await;
    peer.answer(&bye, 200, "").await;
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}

#[tokio::test]
async fn the_ack_waits_for_the_store_no_longer_than_a_second() {
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    let answered_at = world.clock.monotonic();
    assert!(peer.next_but(&["INVITE"]).await.is("ACK"));
    let waited = world.clock.monotonic().since(answered_at);
    assert!(waited > Duration::from_millis(900) && waited < SOON, "{waited:?}");
}

#[tokio::test]
async fn talks_no_longer_than_allowed() {
    let (mut peer, world) = udp().await;
    let order = CallOrder { talk_limit: Duration::from_millis(300), ..world.order(1) };
    let mut call = world.carrier.place(order);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    call.control.is_stored();
    let bye = peer.next_but(&["INVITE", "ACK"]).await;
    assert!(bye.is("BYE"), "{}", bye.text);
    assert_eq!((bye.tag_of_to(), bye.tag_of_from()), ("a", invite.tag_of_from()));
    peer.answer(&bye, 481, "").await;
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}

#[tokio::test]
async fn requests_within_the_call() {
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    call.control.is_stored();
    assert!(peer.next_but(&["INVITE"]).await.is("ACK"));
    peer.ask("INVITE", &invite, "a", SDP).await;
    let ok = peer.next_but(&["100"]).await;
    assert!(ok.is("200") && ok.body().contains("m=audio"), "{}", ok.text);
    // Its ACK has the number of its INVITE.
    peer.ack(&invite, "a").await;
    peer.ask("OPTIONS", &invite, "a", "").await;
    assert!(peer.next_of("OPTIONS").await.is("200"));
    peer.ask("UPDATE", &invite, "a", "").await;
    assert!(peer.next_of("UPDATE").await.is("200"));
    peer.ask("REFER", &invite, "a", "").await;
    assert!(peer.next_of("REFER").await.is("405"));
    // Of a stranger who does not know the tags.
    peer.ask("BYE", &invite, "wrong", "").await;
    assert!(peer.next_of("BYE").await.is("481"));
    peer.ask("BYE", &invite, "a", "").await;
    peer.expect("200").await;
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}

#[tokio::test]
async fn a_redirect_is_followed_by_the_next_order() {
    let (mut peer, world) = udp().await;
    let mut other = Stranger::udp().await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    let there = format!("Contact: <sip:+12125551001@{}>\r\n", other.addr);
    let text = peer.answer_text(&invite, 302, "a", "", "");
    let own = format!("Contact: <sip:callee@{}>\r\n", peer.addr);
    peer.send(&text.replace(&own, &there)).await;
    assert_eq!(end(&mut call).await, CallEnd::Redirected { status: 302 });
    let mut call = world.place(1001);
    let invite = other.expect("INVITE").await;
    assert!(invite.start().contains(&other.addr.to_string()));
    other.answer(&invite, 486, "a").await;
    assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 486, .. }));
    // To another number: not.
    let mut call = world.place(2);
    let invite = peer.next_but(&["ACK"]).await;
    let text = peer.answer_text(&invite, 302, "a", "", "");
    peer.send(&text.replace(&own, "Contact: <sip:+19005550000@127.0.0.1>\r\n")).await;
    assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 302, .. }));
}

/// Answers an INVITE with 302 to the same number at another address.
async fn redirect(peer: &mut Stranger, invite: &Message, to: &str) {
    let text = peer.answer_text(invite, 302, "a", "", "");
    let own = text.lines().find(|line| line.starts_with("Contact:")).unwrap().to_owned();
    peer.send(&text.replace(&own, &format!("Contact: <sip:+12125551001@{to}>"))).await;
}

#[tokio::test]
async fn nobody_but_the_trunk_gets_its_credentials() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    for (ip, is_own) in [("127.0.0.1", true), ("127.0.0.2", false)] {
        let mut peer = Stranger::udp().await;
        let mut sip = spec(peer.addr, Transport::Udp);
        (sip.username, sip.password) = (Some("user".into()), Some(Secret("secret".into())));
        let world = World::new(sip);
        let mut other = Stranger::udp_at(ip).await;
        let mut call = world.place(1);
        let invite = peer.expect("INVITE").await;
        redirect(&mut peer, &invite, &other.addr.to_string()).await;
        assert_eq!(end(&mut call).await, CallEnd::Redirected { status: 302 });
        let mut call = world.place(1001);
        let invite = other.expect("INVITE").await;
        other.answer_with(&invite, 401, "a", challenge, "").await;
        assert!(other.next_but(&["INVITE"]).await.is("ACK"));
        if is_own {
            let again = other.expect("INVITE").await;
            assert!(again.get("Authorization").contains("username=\"user\""), "{}", again.text);
            continue;
        }
        assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 401, .. }));
        // Nor when it is answered, and the BYE is challenged.
        let mut call = world.place(2001);
        let invite = other.next_but(&["ACK"]).await;
        other.accept(&invite, "a").await;
        assert_eq!(next(&mut call).await, CallEvent::Answered);
        assert!(call.control.dialog().unwrap().contains("\"isElsewhere\":true"));
        call.control.cancel();
        let bye = other.next_but(&["ACK", "INVITE"]).await;
        other.answer_with(&bye, 401, "a", challenge, "").await;
        let again = other.next_within(TIMER_B * 3).await;
        assert!(again.is("BYE") && again.all("Authorization").is_empty(), "{}", again.text);
        other.answer(&again, 481, "a").await;
        assert_eq!(end(&mut call).await, CallEnd::TalkOver);
    }
}

#[tokio::test]
async fn a_redirect_says_over_which_transport() {
    let (mut peer, world) = udp().await;
    let mut other = Stranger::stream(None).await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    redirect(&mut peer, &invite, &format!("{};transport=tcp", other.addr)).await;
    assert_eq!(end(&mut call).await, CallEnd::Redirected { status: 302 });
    let mut call = world.place(1001);
    let invite = other.expect("INVITE").await;
    assert!(invite.get("Via").starts_with("SIP/2.0/TCP "), "{}", invite.text);
    other.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    other.ask("BYE", &invite, "a", "").await;
    assert!(other.next_of("BYE").await.is("200"));
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);
}

#[tokio::test]
async fn a_session_interval_is_learned_for_the_next_attempt() {
    let (mut peer, world) = udp().await;
    let mut call = world.place(1);
    let invite = peer.expect("INVITE").await;
    assert_eq!((invite.get("Session-Expires"), invite.get("Min-SE")), ("1800", "90"));
    peer.answer_with(&invite, 422, "a", "Min-SE: 7200\r\n", "").await;
    assert_eq!(end(&mut call).await, CallEnd::Redirected { status: 422 });
    let mut call = world.place(2);
    let invite = peer.next_but(&["ACK"]).await;
    assert_eq!((invite.get("Session-Expires"), invite.get("Min-SE")), ("7200", "7200"));
    peer.answer(&invite, 486, "a").await;
    assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 486, .. }));
}

#[tokio::test]
async fn credentials_are_sent_when_they_are_asked_for_and_not_for_ever() {
    let mut peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    sip.username = Some("user".to_owned());
    sip.password = Some(Secret("secret".to_owned()));
    let world = World::new(sip);
    let of = |nonce: &str, algorithm: &str| {
        let says = format!("realm=\"r\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"");
        format!("Proxy-Authenticate: Digest {says}\r\n")
    };
    let challenge = &(of("n1", "MD5") + &of("n2", "SHA-256"));
    let mut call = world.place(1);
    let first = peer.expect("INVITE").await;
    peer.answer_with(&first, 407, "a", challenge, "").await;
    assert!(peer.expect("ACK").await.is("ACK"));
    let second = peer.expect("INVITE").await;
    assert_eq!(second.get("Call-ID"), first.get("Call-ID"));
    assert_eq!(second.cseq(), first.cseq() + 1);
    assert_ne!(second.branch(), first.branch());
    let proof = second.get("Proxy-Authorization");
    assert!(proof.contains("algorithm=SHA-256") && proof.contains("nonce=\"n2\""), "{proof}");
    peer.accept(&second, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
    peer.ask("BYE", &second, "a", "").await;
    assert!(peer.next_of("BYE").await.is("200"));
    assert_eq!(end(&mut call).await, CallEnd::TalkOver);

    let mut call = world.place(2);
    let mut invites = 0;
    loop {
        let message = peer.next().await;
        if message.is("INVITE") {
            invites += 1;
            peer.answer_with(&message, 407, "a", challenge, "").await;
        } else if message.get("Call-ID") != first.get("Call-ID") {
            assert!(message.is("ACK"), "{}", message.text);
            if invites >= 2 {
                break;
            }
        }
    }
    assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 407, .. }));
    assert!(peer.all_within(T1 * 20).await.iter().all(|m| !m.is("INVITE")));
}

#[tokio::test]
async fn that_nobody_listens_does_not_end_a_call() {
    let (mut peer, world) = udp().await;
    let call = world.place(1);
    let control = std::sync::Arc::clone(&call.control);
    drop(call);
    let invite = peer.expect("INVITE").await;
    peer.accept(&invite, "a").await;
    assert!(peer.next_but(&["INVITE"]).await.is("ACK"));
    control.cancel();
    let bye = peer.next_but(&["ACK"]).await;
    assert!(bye.is("BYE"));
    peer.answer(&bye, 200, "").await;
}
