//! Each row of the table of simulated numbers, over each transport, against callees that play it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::simulated::Ending;
use outdial_ports::store::{Secret, Transport};
use outdial_ports::{CallOrder, Carrier, PlacedCall};
use outdial_telephony::callee::{Callee, CalleeConfig, DigestScheme, Login};
use outdial_telephony::sip::{SipConfig, TlsListen};

use crate::world::{Counting, TestClock, World, config, next, spec};

async fn callee(change: impl FnOnce(&mut CalleeConfig)) -> Callee {
    let mut config = CalleeConfig::new("127.0.0.1:0".parse().unwrap());
    config.speed = 50.0;
    change(&mut config);
    Callee::open(config, TestClock::new(), Arc::new(Counting(AtomicU64::new(9)))).await.unwrap()
}

/// What it came to, and whether it rang and was answered before.
async fn played(mut call: PlacedCall) -> (CallEnd, bool, bool) {
    let (mut rang, mut answered) = (false, false);
    loop {
        match next(&mut call).await {
            CallEvent::Ringing => rang = true,
            CallEvent::Answered => {
                answered = true;
                call.control.is_stored();
            }
            CallEvent::Ended(end) => return (end, rang, answered),
        }
    }
}

fn check(ending: u64, (end, rang, answered): (CallEnd, bool, bool)) {
    let refused = |status, cause| CallEnd::Refused { status, q850: cause, retry_after: None };
    match Ending::of(PhoneNumber::from_digits(ending)) {
        Ending::Talks | Ending::Voicemail => {
            assert_eq!((end, rang, answered), (CallEnd::TalkOver, true, true), "{ending}");
        }
        Ending::NoAnswer | Ending::ThirdTime => {
            assert_eq!((end, rang, answered), (CallEnd::RingTimeout, true, false), "{ending}");
        }
        Ending::Busy => assert_eq!((end, rang), (refused(486, Some(17)), false), "{ending}"),
        Ending::Rejected => assert_eq!((end, rang), (refused(603, Some(21)), true), "{ending}"),
        Ending::Unavailable => assert_eq!(end, refused(503, None), "{ending}"),
        Ending::UnavailableFor => {
            let CallEnd::Refused { status: 503, retry_after: Some(wait), .. } = end else {
                panic!("{ending}: {end:?}");
            };
            assert!(wait >= Duration::from_secs(1), "{wait:?}");
        }
        Ending::NoSuchNumber => assert_eq!(end, refused(404, Some(1)), "{ending}"),
        Ending::Silence => assert_eq!((end, rang), (CallEnd::Silence, false), "{ending}"),
        Ending::AnswersLate => {
            assert_eq!((end, answered), (CallEnd::AnsweredThenDropped, false), "{ending}");
        }
    }
}

fn order(world: &World, n: u64, ending: u64) -> CallOrder {
    let callee = PhoneNumber::from_digits(12_125_551_000 + ending);
    // Who answers in time does so on a busy machine too.
    let ring_ms = match Ending::of(callee) {
        Ending::Talks | Ending::Voicemail => 20_000,
        _ => 700,
    };
    CallOrder { callee, ring_limit: Duration::from_millis(ring_ms), ..world.order(n) }
}

/// Every row at once, and what the callees saw of it.
async fn whole_table(world: &World, callee: &Callee) {
    let mut calls = Vec::new();
    for ending in 0..100 {
        let call = world.carrier.place(order(world, ending, ending));
        calls.push(tokio::spawn(played(call)));
    }
    for (ending, call) in (0..).zip(calls) {
        check(ending, call.await.unwrap());
    }
    let mut invites = BTreeMap::new();
    for seen in callee.invites() {
        *invites.entry(seen.call_id).or_insert(0) += 1;
    }
    assert_eq!(invites.len(), 100);
    assert!(invites.values().all(|n| *n == 1), "one INVITE each");
    world.until("nothing is left", |_| callee.unended().is_empty()).await;
}

#[tokio::test]
async fn over_udp() {
    let callee = callee(|_| {}).await;
    let world = World::new(spec(callee.udp_addr(), Transport::Udp));
    whole_table(&world, &callee).await;
}

#[tokio::test]
async fn over_tcp() {
    let callee = callee(|_| {}).await;
    let world = World::new(spec(callee.tcp_addr(), Transport::Tcp));
    whole_table(&world, &callee).await;
}

#[tokio::test]
async fn over_tls_with_early_media() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificates, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificates, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let extra_ca = Some(certificates.clone());
    let callee = callee(|config| {
        config.early_media = true;
        config.tls = Some(TlsListen { listen, certificates, key });
    })
    .await;
    let addr = callee.tls_addr().unwrap();
    let world = World::with(SipConfig { extra_ca, ..config() }, spec(addr, Transport::Tls));
    whole_table(&world, &callee).await;
}

#[tokio::test]
async fn the_third_time() {
    let callee = callee(|_| {}).await;
    let world = World::new(spec(callee.udp_addr(), Transport::Udp));
    let mut ends = Vec::new();
    for n in 0..3 {
        ends.push(played(world.carrier.place(order(&world, n, 99))).await.0);
    }
    assert_eq!(ends, [CallEnd::RingTimeout, CallEnd::RingTimeout, CallEnd::TalkOver]);
}

#[tokio::test]
async fn only_with_the_password() {
    for (schemes, is_proxy) in [
        (vec![DigestScheme::Md5], false),
        (vec![DigestScheme::Sha256], true),
        (vec![DigestScheme::Sha256, DigestScheme::Md5], true),
    ] {
        let secret = || Secret("secret".to_owned());
        let login = Login {
            username: "user".to_owned(),
            password: secret(),
            realm: "callees".to_owned(),
            schemes,
            is_proxy,
            one_use: true,
        };
        let callee = callee(|config| config.login = Some(login)).await;
        let mut sip = spec(callee.udp_addr(), Transport::Udp);
        (sip.username, sip.password) = (Some("user".to_owned()), Some(secret()));
        let world = World::new(sip);
        for n in 0..3 {
            let (end, ..) = played(world.carrier.place(order(&world, n, n))).await;
            assert_eq!(end, CallEnd::TalkOver);
        }
        // Two INVITEs each: without credentials, and with.
        assert_eq!(callee.invites().len(), 6);
        let mut sip = spec(callee.udp_addr(), Transport::Udp);
        (sip.username, sip.password) = (Some("user".to_owned()), Some(Secret("no".to_owned())));
        let world = World::new(sip);
        let (end, ..) = played(world.carrier.place(order(&world, 4, 4))).await;
        let status = if is_proxy { 407 } else { 401 };
        assert!(matches!(end, CallEnd::Refused { status: s, .. } if [status, 403].contains(&s)));
    }
}
