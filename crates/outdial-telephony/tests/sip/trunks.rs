//! How trunks are, and what strangers get.

use std::time::Duration;

use outdial_ports::Carrier;
use outdial_ports::store::{Secret, Transport, TrunkState};

use crate::stranger::Stranger;
use crate::world::{SOON, World, end, next, spec, trunk};
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;

fn state(world: &World) -> TrunkState {
    world.carrier.trunk_health().remove(0).2.state
}

#[tokio::test]
async fn up_when_it_answers_and_down_when_it_does_not_any_more() {
    let mut peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    sip.keep_alive = Some(Duration::from_millis(50));
    let world = World::new(sip);
    assert_eq!(state(&world), TrunkState::Unknown);
    let options = peer.expect("OPTIONS").await;
    peer.answer(&options, 404, "a").await;
    world.until("up", |w| state(w) == TrunkState::Up).await;
    let health = world.carrier.trunk_health().remove(0);
    assert_eq!(health.2.detail.as_deref(), Some("answered OPTIONS with 404"));
    world.until("down", |w| state(w) == TrunkState::Down).await;
    // It comes back.
    let options = loop {
        let message = peer.next().await;
        if peer.all_within(Duration::from_millis(1)).await.is_empty() {
            break message;
        }
    };
    peer.answer(&options, 200, "a").await;
    world.until("up again", |w| state(w) == TrunkState::Up).await;
}

#[tokio::test]
async fn what_never_answered_is_not_down() {
    let peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    sip.keep_alive = Some(Duration::from_millis(20));
    let world = World::new(sip);
    let is_told = |w: &World| w.carrier.trunk_health()[0].2.detail.is_some();
    world.until("looked at", is_told).await;
    assert_eq!(state(&world), TrunkState::Unknown);
}

#[tokio::test]
async fn registers_with_credentials_before_it_dials() {
    let mut peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    (sip.register, sip.username) = (true, Some("user".to_owned()));
    sip.password = Some(Secret("secret".to_owned()));
    let world = World::new(sip);
    let first = peer.expect("REGISTER").await;
    assert_eq!(first.start(), format!("REGISTER sip:{} SIP/2.0", peer.addr.ip()));
    assert!(first.get("Contact").contains("user@127.0.0.1:"), "{}", first.text);
    let refused = end(&mut world.place(1)).await;
    assert_eq!(refused, CallEnd::NoRoute { reason: "not_registered" });
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    peer.answer_with(&first, 401, "a", challenge, "").await;
    let second = peer.next_but(&["401"]).await;
    assert!(second.get("Authorization").contains("uri=\"sip:127.0.0.1\""), "{}", second.text);
    assert_eq!(second.cseq(), first.cseq() + 1);
    peer.answer(&second, 200, "a").await;
    world.until("up", |w| state(w) == TrunkState::Up).await;
    let mut call = world.place(2);
    let invite = peer.expect("INVITE").await;
    peer.answer(&invite, 486, "a").await;
    assert!(matches!(end(&mut call).await, CallEnd::Refused { status: 486, .. }));
}

#[tokio::test]
async fn a_proxy_and_the_registrar_both_ask() {
    let mut peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    (sip.register, sip.username) = (true, Some("user".to_owned()));
    sip.password = Some(Secret("secret".to_owned()));
    let world = World::new(sip);
    let first = peer.expect("REGISTER").await;
    let of = |realm: &str| format!("Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"\r\n");
    let proxy = format!("Proxy-Authenticate: {}", of("edge"));
    peer.answer_with(&first, 407, "a", &proxy, "").await;
    let second = peer.expect("REGISTER").await;
    let registrar = format!("WWW-Authenticate: {}", of("home"));
    peer.answer_with(&second, 401, "a", &registrar, "").await;
    let third = peer.expect("REGISTER").await;
    assert!(third.get("Proxy-Authorization").contains("realm=\"edge\""), "{}", third.text);
    assert!(third.get("Authorization").contains("realm=\"home\""), "{}", third.text);
    peer.answer(&third, 200, "a").await;
    world.until("up", |w| state(w) == TrunkState::Up).await;
}

#[tokio::test]
async fn a_refused_registration_is_down() {
    let mut peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    (sip.register, sip.username) = (true, Some("user".to_owned()));
    let world = World::new(sip);
    let register = peer.expect("REGISTER").await;
    peer.answer(&register, 403, "a").await;
    let detail = |w: &World| w.carrier.trunk_health().remove(0).2.detail.unwrap_or_default();
    world.until("refused", |w| detail(w) == "REGISTER was refused with 403").await;
    assert_eq!(state(&world), TrunkState::Down);
}

fn registering(peer: &Stranger) -> outdial_ports::store::SipSpec {
    let mut sip = spec(peer.addr, Transport::Udp);
    (sip.register, sip.username) = (true, Some("user".to_owned()));
    sip
}

#[tokio::test]
async fn a_short_registration_is_refreshed_in_time() {
    let mut peer = Stranger::udp().await;
    let world = World::new(registering(&peer));
    let first = peer.expect("REGISTER").await;
    let began = world.clock.monotonic();
    peer.answer_with(&first, 200, "a", "Expires: 3\r\n", "").await;
    let second = peer.expect("REGISTER").await;
    assert!(world.clock.monotonic().since(began) < Duration::from_secs(3));
    assert_eq!(second.get("Call-ID"), first.get("Call-ID"));
    assert!(second.cseq() > first.cseq());
    assert_eq!(state(&world), TrunkState::Up);
}

#[tokio::test]
async fn a_registration_that_ends_at_once_is_none() {
    let mut peer = Stranger::udp().await;
    let world = World::new(registering(&peer));
    let register = peer.expect("REGISTER").await;
    peer.answer_with(&register, 200, "a", "Expires: 0\r\n", "").await;
    let detail = |w: &World| w.carrier.trunk_health().remove(0).2.detail.unwrap_or_default();
    world.until("told", |w| detail(w).contains("end at once")).await;
    assert_eq!(state(&world), TrunkState::Down);
    let refused = end(&mut world.place(1)).await;
    assert_eq!(refused, CallEnd::NoRoute { reason: "not_registered" });
}

#[tokio::test]
async fn a_registrar_may_want_to_be_asked_for_longer() {
    let mut peer = Stranger::udp().await;
    let world = World::new(registering(&peer));
    let first = peer.expect("REGISTER").await;
    assert_eq!(first.get("Expires"), "3600");
    peer.answer_with(&first, 423, "a", "Min-Expires: 7200\r\n", "").await;
    let second = peer.expect("REGISTER").await;
    assert_eq!(second.get("Expires"), "7200");
    peer.answer(&second, 200, "a").await;
    world.until("up", |w| state(w) == TrunkState::Up).await;
}

/// A trunk that is registered, and its REGISTER.
async fn registered(peer: &mut Stranger) -> (World, crate::stranger::Message) {
    let world = World::new(registering(peer));
    let register = peer.expect("REGISTER").await;
    peer.answer(&register, 200, "a").await;
    world.until("up", |w| state(w) == TrunkState::Up).await;
    (world, register)
}

/// A REGISTER that takes back `first`, which is answered.
async fn taken_back(peer: &mut Stranger, first: &crate::stranger::Message) {
    let last = peer.expect("REGISTER").await;
    assert_eq!(last.get("Expires"), "0", "{}", last.text);
    for name in ["Call-ID", "Contact", "To"] {
        assert_eq!(last.get(name), first.get(name));
    }
    assert!(last.cseq() > first.cseq());
    peer.answer(&last, 200, "a").await;
}

#[tokio::test]
async fn a_registration_is_taken_back_when_its_trunk_is_gone() {
    let mut peer = Stranger::udp().await;
    let (world, first) = registered(&mut peer).await;
    world.carrier.set_trunks(Vec::new());
    taken_back(&mut peer, &first).await;
    // Another name: the old one first. Another password: nothing is taken back.
    let (world, first) = registered(&mut peer).await;
    let mut sip = registering(&peer);
    sip.username = Some("other".to_owned());
    world.carrier.set_trunks(vec![trunk(sip.clone())]);
    taken_back(&mut peer, &first).await;
    let other = peer.expect("REGISTER").await;
    assert!(other.get("Contact").contains("other@"), "{}", other.text);
    peer.answer(&other, 200, "a").await;
    world.until("up", |w| state(w) == TrunkState::Up).await;
    sip.password = Some(Secret("another".to_owned()));
    world.carrier.set_trunks(vec![trunk(sip)]);
    let again = peer.expect("REGISTER").await;
    assert_eq!(again.get("Expires"), "3600", "{}", again.text);
}

#[tokio::test]
async fn registrations_are_taken_back_at_the_end_of_the_process() {
    let mut peer = Stranger::udp().await;
    let (world, first) = registered(&mut peer).await;
    tokio::join!(world.carrier.leave(), taken_back(&mut peer, &first));
    // A registrar that is gone keeps nobody.
    let (world, _) = registered(&mut peer).await;
    let began = world.clock.monotonic();
    world.carrier.leave().await;
    assert!(world.clock.monotonic().since(began) < SOON);
    assert!(peer.expect("REGISTER").await.get("Expires") == "0");
}

#[tokio::test]
async fn calls_go_on_over_a_connection_whose_peer_never_answers_options() {
    let mut peer = Stranger::stream(None).await;
    let mut sip = spec(peer.addr, Transport::Tcp);
    sip.keep_alive = Some(Duration::from_millis(50));
    let world = World::new(sip);
    let mut call = world.place(1);
    let invite = peer.next_but(&["OPTIONS"]).await;
    // Each is asked when the one before it was given up.
    for _ in 0..3 {
        while !peer.next().await.is("OPTIONS") {}
    }
    peer.accept(&invite, "a").await;
    assert_eq!(next(&mut call).await, CallEvent::Answered);
}

#[tokio::test]
async fn a_trunk_is_examined_without_calling_anybody() {
    let mut peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    (sip.username, sip.password) = (Some("user".to_owned()), Some(Secret("word".to_owned())));
    let world = World::new(sip.clone());
    let record = trunk(sip);
    // What its registrar says, and whether that is well.
    for (status, is_well) in [(200, true), (403, false), (405, true)] {
        let answers = async {
            let options = peer.expect("OPTIONS").await;
            peer.answer(&options, 200, "a").await;
            let register = peer.expect("REGISTER").await;
            assert!(register.all("Contact").is_empty(), "it would change something");
            peer.answer(&register, status, "a").await;
        };
        let (found, ()) = tokio::join!(world.carrier.examine(&record), answers);
        let well: Vec<_> = found.iter().map(|f| (f.what, f.result.is_ok())).collect();
        assert_eq!(well, [("resolve", true), ("options", true), ("login", is_well)], "{found:?}");
    }
    let silent = Stranger::udp().await;
    let record = trunk(spec(silent.addr, Transport::Udp));
    let found = world.carrier.examine(&record).await;
    let [_, options] = &found[..] else { panic!("{found:?}") };
    assert!(options.result.as_ref().unwrap_err().contains("does not answer"));
}

#[tokio::test]
async fn strangers_get_answers_and_nothing_else() {
    let peer = Stranger::udp().await;
    let world = World::new(spec(peer.addr, Transport::Udp));
    world.until("open", |w| w.carrier.udp_addr().is_some()).await;
    let mut stranger = Stranger::udp().await;
    let us = world.carrier.udp_addr().unwrap();
    stranger.talk_to(us);
    let cases = [
        ("OPTIONS", "", "200"),
        ("INVITE", "", "403"),
        ("MESSAGE", "", "405"),
        ("REGISTER", "", "405"),
        ("BYE", ";tag=x", "481"),
        ("INVITE", ";tag=x", "481"),
        ("CANCEL", "", "481"),
        ("FROB", "", "405"),
    ];
    for (n, (method, tag, status)) in cases.into_iter().enumerate() {
        let text = format!(
            "{method} sip:us@{us} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKn{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:x@example.com>;tag=1\r\nTo: <sip:us@{us}>{tag}\r\n\
             Call-ID: c{n}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n",
            stranger.addr
        );
        stranger.send(&text).await;
        let first = stranger.expect(status).await;
        assert!(first.get("Via").contains("received=127.0.0.1;rport="), "{}", first.text);
        // The same again, and the same answer: nothing is remembered.
        stranger.send(&text).await;
        assert_eq!(stranger.expect(status).await.text, first.text);
    }
    assert_eq!(world.counted("stray_request"), 16);
}

#[tokio::test]
async fn trunks_that_are_gone_are_left_alone() {
    let mut peer = Stranger::udp().await;
    let mut sip = spec(peer.addr, Transport::Udp);
    sip.keep_alive = Some(Duration::from_millis(20));
    let world = World::new(sip);
    let options = peer.expect("OPTIONS").await;
    peer.answer(&options, 200, "a").await;
    world.carrier.set_trunks(Vec::new());
    assert!(world.carrier.trunk_health().is_empty());
    // What was on its way.
    peer.all_within(Duration::from_millis(20)).await;
    assert!(peer.all_within(Duration::from_millis(150)).await.is_empty());
    assert_eq!(end(&mut world.place(1)).await, CallEnd::NoRoute { reason: "no_trunk" });
}
