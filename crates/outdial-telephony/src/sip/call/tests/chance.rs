//! Whatever happens in whatever order, the promises hold.

use std::collections::{BTreeMap, BTreeSet};

use outdial_core::attempt::CallEvent;
use proptest::prelude::*;

use super::world::{CONTACT, World, at, media, setup};
use crate::sip::call::{CallSetup, Input, Kind, Sending};
use crate::sip::message::{Method, Request};

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, in steps of 100 ms.
    Wait(u64),
    /// An answer to the nth INVITE.
    Answer(usize, u16, u8, bool),
    /// An answer to the nth request of any kind.
    AnswerAny(usize, u16, u8),
    /// A request of the peer.
    Ask(u8, &'static str, u32, bool),
    /// A transmission of an INVITE went like that.
    Sent(Sending),
    Cancel,
    Stored,
    Go,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        Just(100u16),
        Just(180),
        Just(183),
        Just(200),
        Just(200),
        Just(302),
        Just(401),
        Just(407),
        Just(422),
        Just(481),
        Just(486),
        Just(487),
        Just(491),
        Just(503),
        100u16..700,
    ];
    const METHODS: [&str; 7] = ["BYE", "INVITE", "UPDATE", "INFO", "ACK", "CANCEL", "FROB"];
    prop_oneof![
        3 => prop_oneof![0u64..20, 0u64..600, 0u64..8000].prop_map(Step::Wait),
        4 => (0usize..3, status.clone(), 0u8..12, any::<bool>())
            .prop_map(|(nth, status, tag, media)| Step::Answer(nth, status, tag, media)),
        3 => (0usize..20, status, 0u8..12)
            .prop_map(|(nth, status, tag)| Step::AnswerAny(nth, status, tag)),
        3 => (0u8..12, prop::sample::select(&METHODS[..]), 0u32..50, any::<bool>())
            .prop_map(|(tag, method, cseq, body)| Step::Ask(tag, method, cseq, body)),
        1 => prop_oneof![Just(Sending::Whole), Just(Sending::Nothing), Just(Sending::Partly)]
            .prop_map(Step::Sent),
        1 => Just(Step::Cancel),
        1 => Just(Step::Stored),
        1 => Just(Step::Go),
    ]
}

/// What the far end believes.
#[derive(Default)]
struct Far {
    /// 2xx by tag: how often each was sent.
    accepted: BTreeMap<String, usize>,
    /// A provisional answer was sent to the INVITE with this CSeq.
    heard: BTreeSet<u32>,
}

const EXTRA: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", stale=true\r\n\
    Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", stale=true\r\n\
    Session-Expires: 200;refresher=uac\r\nAllow: UPDATE\r\nMin-SE: 300\r\n";

fn play(world: &mut World, far: &mut Far, step: &Step) {
    let requests: Vec<Request> = world
        .sent
        .iter()
        .filter(|sent| sent.method().is_some() && sent.what != Kind::Ack)
        .map(|sent| sent.request().clone())
        .collect();
    let headers = format!("{CONTACT}{EXTRA}");
    match *step {
        Step::Wait(tenths) => {
            let now = u64::try_from(world.now.0.as_millis()).unwrap();
            world.until(now + tenths * 100);
        }
        Step::Answer(nth, status, tag, with_media) => {
            let invites: Vec<&Request> = requests
                .iter()
                .filter(|r| r.method == Method::Invite && r.head.to.tag.is_none())
                .collect();
            let Some(invite) = invites.get(nth).copied() else { return };
            let is_late = world.call.is_over();
            let tag = format!("t{tag}");
            if status < 200 && !is_late {
                far.heard.insert(invite.head.cseq);
            }
            let before = world.call.ignored();
            let body = with_media.then(|| media(9000));
            world.answer_to(invite, status, &tag, &headers, body);
            if (200..300).contains(&status) && !is_late && world.call.ignored() == before {
                *far.accepted.entry(tag).or_default() += 1;
            }
        }
        Step::AnswerAny(nth, status, tag) => {
            let others: Vec<&Request> = requests
                .iter()
                .filter(|r| r.method != Method::Invite || r.head.to.tag.is_some())
                .collect();
            if let Some(request) = others.get(nth).copied() {
                world.answer_to(request, status, &format!("t{tag}"), &headers, None);
            }
        }
        Step::Ask(tag, method, cseq, with_body) => {
            let body = if with_body { media(9100).to_vec() } else { Vec::new() };
            let kind = "Content-Type: application/sdp\r\nSession-Expires: 200\r\n";
            let tags = (format!("t{tag}"), "ours");
            world.ask_as((&tags.0, tags.1), method, cseq, kind, &body);
        }
        Step::Sent(sending) => world.put(Input::Sent(Kind::Invite, sending)),
        Step::Cancel => world.put(Input::Cancel),
        Step::Stored => world.put(Input::Stored),
        Step::Go => world.put(Input::Go),
    }
}

fn check(world: &World, far: &Far) -> Result<(), TestCaseError> {
    // At most one INVITE, and two with credentials; each leaves in time, and none after a
    // provisional answer to the last one.
    let firsts: Vec<_> = world.sent.iter().filter(|s| s.what == Kind::Invite).collect();
    prop_assert!(firsts.len() <= 3);
    for (nth, sent) in firsts.iter().enumerate() {
        prop_assert!(sent.request().head.to.tag.is_none());
        prop_assert_eq!(sent.request().head.cseq as usize, nth + 1);
        let by = if nth == 0 { at(100) } else { at(1100) };
        prop_assert_eq!(sent.by, Some(by));
        prop_assert!(sent.ms < by.0.as_millis());
    }
    // No CANCEL before a provisional answer, and one at most.
    let cancels: Vec<_> = world.sent.iter().filter(|s| s.what == Kind::Cancel).collect();
    prop_assert!(cancels.len() <= 1);
    for cancel in cancels {
        prop_assert!(far.heard.contains(&cancel.request().head.cseq));
    }
    // Every dialog is acknowledged, and gets a BYE if it is not the call.
    let ends = world.told.iter().filter(|(_, e)| matches!(e, CallEvent::Ended(_))).count();
    prop_assert!(ends <= 1);
    if world.overs == 1 {
        prop_assert_eq!(ends, usize::from(!world.told.is_empty()));
        let of = |what: Kind, tag: &String| {
            let is_it = |sent: &&super::world::Sent| {
                sent.what == what && sent.request().head.to.tag.as_ref() == Some(tag)
            };
            world.sent.iter().filter(is_it).count()
        };
        let byes_in = |tag: &String| {
            let is_it = |s: &&super::world::Sent| s.status() == Some(200);
            world.sent.iter().filter(is_it).any(|s| {
                let head = s.message.head();
                head.method == Method::Bye && head.from.tag.as_ref() == Some(tag)
            })
        };
        for tag in far.accepted.keys() {
            prop_assert!(of(Kind::Ack, tag) >= 1, "no ACK for {}", tag);
            let ended = of(Kind::Bye, tag) >= 1 || byes_in(tag);
            prop_assert!(ended, "nobody ended {}", tag);
        }
        for sent in world.sent.iter().filter(|s| s.what == Kind::Bye) {
            let tag = sent.request().head.to.tag.clone().unwrap_or_default();
            prop_assert!(far.accepted.contains_key(&tag), "a BYE for no dialog: {}", tag);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn the_promises_hold(
        steps in prop::collection::vec(step(), 0..60),
        reliable in any::<bool>(),
        with_credentials in any::<bool>(),
    ) {
        let mut setup = CallSetup { reliable, ..setup() };
        if !with_credentials {
            setup.credentials = None;
        }
        let mut world = World::begin(setup);
        let mut far = Far::default();
        for step in &steps {
            play(&mut world, &mut far, step);
            check(&world, &far)?;
        }
        world.put(Input::Cancel);
        world.finish();
        prop_assert!(world.end().is_some());
        check(&world, &far)?;
    }
}
